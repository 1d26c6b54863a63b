//! Permit2: direct calls, wrappers, and nonces that were burnt.

use alloy_primitives::keccak256;
use serde_json::{Value, json};
use x402_core::permit2::{EXACT_PROXY, Kind, PERMIT2, Permit};
use x402_core::{Nonce, Payment, Signer as _};
use x402_core::{Timestamp, Transfer};

use super::harness::{BUYER, PAYEE, STRANGER, recorded, sends, signer, usdc};
use super::*;
use crate::chain::multicall;
use crate::devnet;

/// A node with Permit2 and the proxy, and a payer who lets Permit2 move his tokens.
async fn open() -> Shop {
    let shop = Shop::open().await;
    for (address, code) in [
        (PERMIT2, include_str!("../../../../../tests/contracts/bytecode/Permit2.runtime.hex")),
        (
            EXACT_PROXY,
            include_str!("../../../../../tests/contracts/bytecode/ExactProxy.runtime.hex"),
        ),
    ] {
        let code = format!("0x{}", code.trim().trim_start_matches("0x"));
        shop.rpc("anvil_setCode", json!([address.to_string(), code]));
    }
    let selector = keccak256("approve(address,uint256)");
    let words = [PERMIT2.to_word(), [0xff; 32]].concat();
    sends(&shop, &BUYER, devnet::USDC, [&selector[..4], &words].concat());
    shop
}

fn permit(amount: u128, nonce: u8, to: Address) -> Claimed {
    let permit = Permit {
        from: Buyer::default().address(),
        token: usdc().address,
        amount: Amount::from_units(amount),
        nonce: Nonce::new([nonce; 32]),
        deadline: Timestamp::MAX,
        to,
        valid_after: Timestamp::ZERO,
        kind: Kind::Exact,
    };
    let Ok(signature) = signer(&BUYER).sign(&permit.digest(ChainId::ETHEREUM));
    let payment = Payment {
        chain_id: ChainId::ETHEREUM,
        asset: permit.token,
        transfer: Transfer::Permit2(permit),
        signature: Ok(signature),
    };
    recorded(&payment)
}

fn pays(nonce: u8) -> Claimed {
    permit(PRICE, nonce, Address::new(PAYEE))
}

/// Uses up a nonce: by a permit that moves one unit to the payer himself.
fn burns(nonce: u8) -> Call {
    call(&permit(1, nonce, Buyer::default().address()))
}

/// One transaction of somebody else's, by another contract than the proxy.
fn wrapped(shop: &Shop, calls: &[Call]) -> TxHash {
    sends(shop, &STRANGER, *multicall::ADDRESS.as_bytes(), Call::batch(calls).data)
}

fn theirs(hash: TxHash) -> Sent<'static> {
    Sent { is_own: false, ..Sent::own(hash) }
}

fn is_settled_by(usage: &Usage, hash: TxHash) -> bool {
    matches!(usage, Usage::Settled(_, by) if by.transaction == hash)
}

#[tokio::test]
async fn ours_and_a_strangers_direct_call_settle() {
    let shop = open().await;
    let ours = pays(1);
    shop.chain.simulate(&call(&ours)).await.unwrap();
    let hash = shop.chain.broadcast(&call(&ours), &Pages::default()).await.unwrap();
    let outcome = shop.chain.outcome(&ours, Sent::own(hash)).await.unwrap();
    assert!(matches!(outcome, Outcome::Settled(..)), "{outcome:?}");
    let payment = pays(2);
    assert_eq!(shop.chain.find(&payment, 0, &[]).await.unwrap(), Usage::Unused);
    let hash = sends(&shop, &STRANGER, *EXACT_PROXY.as_bytes(), call(&payment).data);
    shop.calls();
    let outcome = shop.chain.outcome(&payment, theirs(hash)).await.unwrap();
    assert!(matches!(outcome, Outcome::Settled(..)), "{outcome:?}");
    let calls = ["eth_getTransactionReceipt", "eth_getBlockByNumber", "eth_getTransactionByHash"];
    assert_eq!(shop.calls(), calls);
    let found = shop.chain.find(&payment, 0, &[]).await.unwrap();
    assert!(is_settled_by(&found, hash), "{found:?}");
    assert_eq!(shop.received(), 2 * PRICE);
}

#[tokio::test]
async fn a_strangers_wrapper_settles_where_the_nonce_is_of_its_block() {
    let shop = open().await;
    let payment = pays(1);
    let hash = wrapped(&shop, &[call(&payment)]);
    for _ in 0..40 {
        shop.rpc("evm_mine", json!([]));
    }
    let outcome = shop.chain.outcome(&payment, theirs(hash)).await.unwrap();
    assert!(matches!(outcome, Outcome::Settled(..)), "{outcome:?}");
    let found = shop.chain.find(&payment, 0, &[]).await.unwrap();
    assert!(is_settled_by(&found, hash), "{found:?}");
    // A payment whose nonce was used in another block: its own is not in this one.
    let burnt = pays(2);
    wrapped(&shop, &[burns(2)]);
    assert_eq!(shop.chain.outcome(&burnt, theirs(hash)).await.unwrap(), Outcome::Undecided);
    assert_eq!(shop.chain.find(&burnt, 0, &[]).await.unwrap(), Usage::Void);
    // What the operator accepts by his word; not while the permit is unused, and may still move the money.
    assert!(shop.chain.candidate(&burnt, theirs(hash)).await.unwrap().is_some());
    assert_eq!(shop.chain.candidate(&pays(3), theirs(hash)).await.unwrap(), None);
    // And one that is not used at all.
    assert_eq!(shop.chain.outcome(&pays(3), theirs(hash)).await.unwrap(), Outcome::Undecided);
    assert_eq!(shop.chain.find(&pays(3), 0, &[]).await.unwrap(), Usage::Unused);
}

#[tokio::test]
async fn one_transfer_pays_for_one_of_fifteen() {
    let shop = open().await;
    let payments: Vec<_> = (1..=15).map(pays).collect();
    let mut calls: Vec<_> = (2..=15).map(burns).collect();
    calls.push(call(&payments[0]));
    let hash = wrapped(&shop, &calls);
    assert_eq!(shop.received(), PRICE);
    let outcomes = shop.chain.outcomes(&payments, theirs(hash)).await.unwrap();
    let Outcome::Settled(_, log) = outcomes[0] else { panic!("{outcomes:?}") };
    assert_eq!(outcomes[1..], [Outcome::Undecided; 14]);
    // By themselves: the transfer is there for one of them, whichever the ledger gives it to.
    let taken = [(hash, log.position)];
    for payment in &payments {
        assert_eq!(shop.chain.find(payment, 0, &taken).await.unwrap(), Usage::Void);
    }
}

#[tokio::test]
async fn the_call_of_another_permit_pays_for_none_but_that() {
    let shop = open().await;
    let (paid, burnt) = (pays(1), pays(2));
    // In one block: the nonce of one is burnt, and the other is settled by a call of its own.
    shop.rpc("evm_setAutomine", json!([false]));
    let stranger = shop.chain_of(&STRANGER).await;
    let pages = Pages::default();
    stranger.broadcast(&burns(2), &pages).await.unwrap();
    let hash = shop.chain_of(&BUYER).await.broadcast(&call(&paid), &pages).await.unwrap();
    shop.rpc("evm_mine", json!([]));
    assert_eq!(shop.received(), PRICE);
    assert_eq!(shop.chain.outcome(&burnt, theirs(hash)).await.unwrap(), Outcome::Reverted);
    assert_eq!(shop.chain.find(&burnt, 0, &[]).await.unwrap(), Usage::Void);
    let found = shop.chain.find(&paid, 0, &[]).await.unwrap();
    assert!(is_settled_by(&found, hash), "{found:?}");
    let both = shop.chain.outcomes(&[burnt, paid], theirs(hash)).await.unwrap();
    assert!(matches!(both[..], [Outcome::Reverted, Outcome::Settled(..)]), "{both:?}");
}

#[tokio::test]
async fn a_nonce_that_is_burnt_beside_a_wrapped_transfer_is_for_the_operator() {
    let shop = open().await;
    let payment = pays(1);
    let hash = wrapped(&shop, &[call(&payment)]);
    // As if Permit2 had said so in the same block: word and bit of the nonce.
    let event = keccak256("UnorderedNonceInvalidation(address,uint256,uint256)");
    let owner = Buyer::default().address().to_word();
    let mut word = [1; 32];
    word.rotate_right(1);
    word[0] = 0;
    let first = shop.rpc("eth_getBlockByNumber", json!(["0x0", false]))["hash"].clone();
    let burnt_as = |mask: u8| {
        let first = first.clone();
        let mut bits = [0; 32];
        bits[31] = mask;
        let data = alloy_primitives::hex::encode_prefixed([word, bits].concat());
        let topics = [event.0, owner].map(alloy_primitives::hex::encode_prefixed);
        shop.front(move |request, node| {
            if request["method"] == "eth_call" && request["params"][1]["blockHash"] == first {
                return forgotten(request);
            }
            let mut answer = node(request);
            if request["method"] == "eth_getLogs" {
                let mut log = answer["result"][0].clone();
                log["address"] = json!(PERMIT2.to_string());
                (log["topics"], log["data"]) = (json!(topics), json!(data));
                answer["result"].as_array_mut().unwrap().push(log);
            }
            answer
        });
    };
    burnt_as(1 << 1);
    assert_eq!(shop.chain.find(&payment, 0, &[]).await.unwrap(), Usage::Undecided(hash));
    assert_eq!(shop.chain.outcome(&payment, theirs(hash)).await.unwrap(), Outcome::Undecided);
    // Another nonce of the same word is no matter of this payment's.
    burnt_as(1 << 2);
    assert!(is_settled_by(&shop.chain.find(&payment, 0, &[]).await.unwrap(), hash));
    // The same where the block is found by its logs, for the node has no state of the first any more.
    for _ in 0..5 {
        shop.rpc("evm_mine", json!([]));
    }
    assert!(is_settled_by(&shop.chain.find(&payment, 0, &[]).await.unwrap(), hash));
    burnt_as(1 << 1);
    assert_eq!(shop.chain.find(&payment, 0, &[]).await.unwrap(), Usage::Undecided(hash));
}

/// The answer of a node that has no state of that block any more.
fn forgotten(request: &Value) -> Value {
    json!({ "id": request["id"], "error": { "code": -32000, "message": "missing trie node 0a (path )" } })
}

#[tokio::test]
async fn transfers_of_nothing_cost_no_calls() {
    let shop = open().await;
    // Anybody may move nothing from the payer to the payee.
    let selector = keccak256("transferFrom(address,address,uint256)");
    let payer = Buyer::default().address();
    let words = [payer.to_word(), Address::new(PAYEE).to_word(), [0; 32]].concat();
    let data = [&selector[..4], &words].concat();
    let nothing = (Address::new(devnet::USDC), false, &data[..]);
    let many = multicall::aggregate3(&vec![nothing; 30]);
    for _ in 0..2 {
        sends(&shop, &STRANGER, *multicall::ADDRESS.as_bytes(), many.clone());
    }
    let payment = pays(1);
    let hash = wrapped(&shop, &[call(&payment)]);
    for _ in 0..5 {
        shop.rpc("evm_mine", json!([]));
    }
    let first = shop.rpc("eth_getBlockByNumber", json!(["0x0", false]))["hash"].clone();
    shop.front(move |request, node| {
        match request["method"] == "eth_call" && request["params"][1]["blockHash"] == first {
            true => forgotten(request),
            false => node(request),
        }
    });
    shop.calls();
    let found = shop.chain.find(&payment, 0, &[]).await.unwrap();
    assert!(is_settled_by(&found, hash), "{found:?}");
    let calls = shop.calls();
    assert!(calls.iter().filter(|call| *call == "eth_getLogs").count() == 2, "{calls:?}");
    assert!(calls.len() < 25, "{calls:?}");
}

#[tokio::test]
async fn a_nonce_among_other_calldata_is_no_payment() {
    let shop = open().await;
    let payment = pays(7);
    wrapped(&shop, &[burns(7)]);
    // The payer moves the same amount to the payee by other means, and writes the nonce behind it.
    let selector = keccak256("transfer(address,uint256)");
    let words = [Address::new(PAYEE).to_word(), payment.amount().to_be_bytes(), [7; 32]].concat();
    let hash = sends(&shop, &BUYER, devnet::USDC, [&selector[..4], &words].concat());
    assert_eq!(shop.received(), PRICE);
    assert_eq!(shop.chain.outcome(&payment, theirs(hash)).await.unwrap(), Outcome::Reverted);
    assert_eq!(shop.chain.find(&payment, 0, &[]).await.unwrap(), Usage::Void);
}

#[tokio::test]
async fn a_block_without_any_log_of_the_payer_contradicts_itself() {
    let shop = open().await;
    let payment = pays(1);
    wrapped(&shop, &[call(&payment)]);
    shop.front(|request, node| match request["method"] == "eth_getLogs" {
        true => json!({ "jsonrpc": "2.0", "id": request["id"], "result": [] }),
        false => node(request),
    });
    let found = shop.chain.find(&payment, 0, &[]).await;
    assert!(matches!(found, Err(ChainError::Unavailable(_))), "{found:?}");
}
