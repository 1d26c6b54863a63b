//! What the official TypeScript SDK's facilitator answered, and what ours does: the cases of
//! `tests/vectors/sdk.json`, over a node that says what the SDK's chain said.

mod entrusted;
mod node;
mod once;

use core::time::Duration;
use std::sync::Arc;

use serde_json::{Value, json};
use x402_core::wire::json as wire_json;
use x402_core::{Address, Asset, ChainId, Signer as _};

use super::*;
use crate::chain::{RpcChain, RpcOptions, RpcUrl};
use crate::config::OwnedAsset;
use crate::key::SecretKey;
use crate::ledger::MemoryLedger;
use crate::seller::{Seller, SellerOptions};
use node::Node;

/// The third of anvil's accounts: the facilitator that the vectors name.
const KEY: &str = "0x5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a";

/// Where we differ from the SDK on purpose: the case, our reason (or none for "taken"), and why.
const DIFFERENT: [(&str, Option<&str>, &str); 13] = [
    (
        "fv-10",
        Some("invalid_exact_evm_payload_authorization_valid_after"),
        "the token takes it in later blocks only",
    ),
    ("fv-14", None, "the tokens that are settled are listed, and checked at start"),
    ("fv-29", Some("invalid_exact_evm_signature"), "the token refuses a high s"),
    ("fv-34", Some("invalid_payload"), "a number of the wire is decimal"),
    ("fv-36", None, "a key's signature needs no look at the chain"),
    (
        "fv-38",
        Some("invalid_exact_evm_payload_authorization_value_mismatch"),
        "to move nothing costs gas all the same",
    ),
    ("fp-17", None, "gas sponsoring is not offered, so what it says is not read"),
    ("fp-18", Some("unsupported_payload_type"), "the terms ask for Permit2"),
    (
        "fs-02",
        Some("settlement_pending"),
        "a token logs what it does: a receipt of its success without logs is not to be believed",
    ),
    (
        "fs-04",
        Some("settlement_pending"),
        "it reverted, and the authorization can be used until it ends",
    ),
    (
        "fs-07",
        Some("settlement_pending"),
        "a nonce of the facilitator's is not the payer's fault, and the node has seen what was signed",
    ),
    ("fs-08", Some("settlement_pending"), "the transaction was signed here, so its hash is known"),
    ("fs-12", Some("permit2_simulation_failed"), "it is tried before it is sent"),
];

fn sdk() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/vectors/sdk.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// The chain that a case's terms name, in either version's spelling.
fn chain_of(case: &Value) -> ChainId {
    ChainId::parse(case["paymentRequirements"]["network"].as_str().unwrap()).unwrap()
}

async fn chain(case: &Value, node: &Node) -> Arc<RpcChain> {
    let signer = SecretKey::from_text("KEY", KEY).unwrap().signer().unwrap();
    let url = RpcUrl::parse(&node.url).unwrap();
    let options = RpcOptions { fee_cache: Duration::ZERO, ..RpcOptions::new(chain_of(case)) };
    Arc::new(RpcChain::connect(url, signer, options).await.unwrap())
}

async fn facilitator(case: &Value, node: &Node) -> LocalFacilitator {
    facilitator_on(Arc::new(MemoryLedger::new()), case, node).await
}

async fn facilitator_on(
    ledger: Arc<dyn crate::Ledger>,
    case: &Value,
    node: &Node,
) -> LocalFacilitator {
    let chain_id = chain_of(case);
    let terms = &case["paymentRequirements"];
    let address = Address::parse(terms["asset"].as_str().unwrap()).unwrap();
    let text = |key: &str| terms["extra"][key].as_str().unwrap_or_default().to_owned();
    let listed = Asset::find_by_address(chain_id, address).map(OwnedAsset::from);
    // One case has the token of another chain: as if it were listed.
    let asset = listed.unwrap_or_else(|| OwnedAsset {
        chain_id,
        symbol: "USDC".into(),
        address,
        name: text("name"),
        version: text("version"),
        decimals: 6,
        log_order: x402_core::LogOrder::TransferNext,
    });
    let chain = chain(case, node).await;
    let account = chain.address();
    let now = case["nowUnixSeconds"].as_u64().unwrap();
    let options = SellerOptions {
        settle_timeout: Duration::from_millis(50),
        contract_wallets: true,
        clock: Arc::new(move || now),
        ..SellerOptions::of_facilitator()
    };
    let seller = Seller::new(ledger, chain, options);
    let assets = vec![asset];
    let kinds = vec![Kind::Eip3009, Kind::Permit2, Kind::Upto];
    LocalFacilitator::new(seller, vec![ServedChain { chain_id, account, assets, kinds }])
}

fn request(case: &Value) -> Request {
    let body = json!({
        "x402Version": case["paymentPayload"]["x402Version"],
        "paymentPayload": case["paymentPayload"],
        "paymentRequirements": case["paymentRequirements"],
    });
    Request::parse(body.to_string().into_bytes()).unwrap()
}

/// What ours answered: the JSON, as it would be sent.
async fn answer(case: &Value) -> Value {
    let node = Node::start(case).await;
    let facilitator = facilitator(case, &node).await;
    let request = request(case);
    let json = if case["op"] == "verify" {
        facilitator.verify(&request).await.unwrap().to_json()
    } else {
        facilitator.settle(&request).await.unwrap().to_json()
    };
    assert!(wire_json::parse(json.as_bytes()).is_ok(), "{json}");
    serde_json::from_str(&json).unwrap()
}

fn reason(answer: &Value) -> Option<&str> {
    answer["invalidReason"].as_str().or(answer["errorReason"].as_str())
}

#[tokio::test]
async fn judges_as_the_official_facilitator_does_or_says_why_not() {
    let sdk = sdk();
    let cases = sdk["facilitatorCases"].as_array().unwrap();
    assert_eq!(cases.len(), 49);
    let mut wrong = Vec::new();
    for case in cases {
        let (id, theirs) = (case["id"].as_str().unwrap(), &case["expected"]);
        let ours = answer(case).await;
        let listed = DIFFERENT.iter().find(|(listed, ..)| *listed == id);
        let expected = listed.map_or(reason(theirs), |(_, reason, _)| *reason);
        assert!(listed.is_none() || expected != reason(theirs), "{id} is listed, and the same");
        if reason(&ours) != expected {
            wrong.push(format!("{id} {}: {ours} for {theirs}", case["title"]));
            continue;
        }
        let is_good = ours["isValid"] == true || ours["success"] == true;
        assert_eq!(is_good, expected.is_none(), "{id}: {ours}");
        // An address is the same in any case, and nobody pays who sent no authorization to read.
        let payer = |answer: &Value| answer["payer"].as_str().unwrap_or_default().to_lowercase();
        if expected != Some("invalid_payload") {
            assert_eq!(payer(&ours), payer(theirs), "{id}: {ours}");
        }
        if case["op"] == "settle" {
            assert_eq!(ours["network"], theirs["network"], "{id}: {ours}");
            let has_hash = !ours["transaction"].as_str().unwrap().is_empty();
            let is_pending = reason(&ours) == Some("settlement_pending");
            assert!(has_hash == (theirs["transaction"] != "") || is_pending, "{id}: {ours}");
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn case(sdk: &Value, id: &str) -> Value {
    let cases = sdk["facilitatorCases"].as_array().unwrap();
    cases.iter().find(|case| case["id"] == id).unwrap().clone()
}

#[tokio::test]
async fn settles_a_part_of_a_ceiling_and_nothing_without_a_transaction() {
    let sdk = sdk();
    for (amount, sent) in [("0", 0), ("4200", 1), ("10000", 1)] {
        let mut case = case(&sdk, "fu-01");
        case["paymentRequirements"]["amount"] = amount.into();
        let node = Node::start(&case).await;
        let facilitator = facilitator(&case, &node).await;
        let answer = facilitator.settle(&request(&case)).await.unwrap();
        assert_eq!(answer.reason, None, "{amount}: {answer:?}");
        assert_eq!(answer.amount.unwrap().to_string(), amount);
        assert_eq!((answer.transaction.is_some(), node.sent()), (sent == 1, sent));
    }
}

#[tokio::test]
async fn touches_no_other_token_chain_or_kind() {
    let sdk = sdk();
    let good = case(&sdk, "fv-01");
    let node = Node::start(&good).await;
    let facilitator = facilitator(&good, &node).await;
    type Change = fn(&mut Value);
    let changes: [(Change, &str); 4] = [
        (
            |case| case["paymentRequirements"]["asset"] = json!(format!("0x{}", "11".repeat(20))),
            "invalid_payment_requirements",
        ),
        (|case| case["paymentRequirements"]["network"] = json!("eip155:1"), "invalid_network"),
        (
            |case| case["paymentRequirements"]["scheme"] = json!("batch-settlement"),
            "unsupported_scheme",
        ),
        (
            |case| case["paymentRequirements"]["extra"]["name"] = json!("USD Coin"),
            "invalid_exact_evm_token_name_mismatch",
        ),
    ];
    for (change, expected) in changes {
        let mut case = good.clone();
        change(&mut case);
        let verdict = facilitator.verify(&request(&case)).await.unwrap();
        assert_eq!(verdict.reason.as_deref(), Some(expected));
        let settled = facilitator.settle(&request(&case)).await.unwrap();
        assert_eq!(settled.reason.as_deref(), Some(expected));
    }
    assert_eq!(node.sent(), 0);
}

#[tokio::test]
async fn tells_what_it_settles() {
    let good = case(&sdk(), "fu-01");
    let node = Node::start(&good).await;
    let supported = facilitator(&good, &node).await.supported().await.unwrap();
    let account = "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC";
    let json: Value = serde_json::from_str(&supported.to_json()).unwrap();
    let expected = json!({
        "kinds": [
            {"x402Version": 2, "scheme": "exact", "network": "eip155:84532"},
            {"x402Version": 1, "scheme": "exact", "network": "base-sepolia"},
            {"x402Version": 2, "scheme": "upto", "network": "eip155:84532",
             "extra": {"facilitatorAddress": account}},
        ],
        "extensions": [],
        "signers": {"eip155:*": [account]},
    });
    assert_eq!(json, expected);
    assert_eq!(Supported::parse(supported.to_json().as_bytes()).unwrap(), supported);
}

#[tokio::test]
async fn a_kind_is_settled_only_where_its_contracts_are() {
    use x402_core::permit2::{EXACT_PROXY, PERMIT2, UPTO_PROXY};
    let mut case = case(&sdk(), "fv-01");
    let all = [PERMIT2, EXACT_PROXY, UPTO_PROXY];
    let empty = |missing: &[Address]| {
        let code = missing.iter().map(|it| (it.to_string().to_lowercase(), json!("0x")));
        Value::Object(code.collect())
    };
    for (missing, permit2, upto) in [
        (&[][..], None, None),
        (&[PERMIT2], Some(PERMIT2), Some(PERMIT2)),
        (&[EXACT_PROXY], Some(EXACT_PROXY), None),
        (&[UPTO_PROXY], None, Some(UPTO_PROXY)),
        (&all, Some(PERMIT2), Some(PERMIT2)),
    ] {
        case["chainState"]["code"] = empty(missing);
        let node = Node::start(&case).await;
        let chain = chain(&case, &node).await;
        for (kind, expected) in
            [(Kind::Eip3009, None), (Kind::Permit2, permit2), (Kind::Upto, upto)]
        {
            assert_eq!(kind.missing_on(&*chain).await.unwrap(), expected, "{kind:?}");
        }
        case["chainState"]["getCodeThrows"] = json!(true);
        let node = Node::start(&case).await;
        let chain = self::chain(&case, &node).await;
        assert!(Kind::Upto.missing_on(&*chain).await.is_err());
        case["chainState"]["getCodeThrows"] = json!(false);
    }
}

#[tokio::test]
async fn a_payer_whose_transaction_reverted_is_told_to_wait() {
    let sdk = sdk();
    let reverts = case(&sdk, "fs-04");
    let node = Node::start(&reverts).await;
    let facilitator = facilitator(&reverts, &node).await;
    let another = request(&case(&sdk, "fu-01"));
    assert_eq!(facilitator.verify(&another).await.unwrap().reason, None);
    let answer = facilitator.settle(&request(&reverts)).await.unwrap();
    assert_eq!(answer.reason.as_deref(), Some("settlement_pending"));
    let verdict = facilitator.verify(&another).await.unwrap();
    assert_eq!(verdict.reason.as_deref(), Some("unexpected_verify_error"));
    assert!(verdict.message.contains("has to wait"), "{}", verdict.message);
    let answer = facilitator.settle(&another).await.unwrap();
    assert_eq!(answer.reason.as_deref(), Some("unexpected_settle_error"));
    assert_eq!((answer.transaction, node.sent()), (None, 1));
}
