//! Payers who sign for Permit2: their nonces can be burnt without moving anything.

use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use x402_core::hex;
use x402_core::permit2::{EXACT_PROXY, Kind, Permit};
use x402_core::proof::FIELD;
use x402_core::wire::base64::{Base64, decode, decoded_room};
use x402_core::wire::{Answers, SignedPayload};
use x402_core::{Address, Amount, ChainId, Nonce, Signer as _, Timestamp, Transfer};

use super::stranger::{id, proof_of};
use super::{PAYERS, payer, selector, signer_of, together, transact, wait_for, word};
use super::{STRANGER, address, books_agree, had, insist, key_of, mint_all, padded};
use crate::faults::{PRICE, after};
use crate::http;
use crate::metered::{PERMIT2, UPTO_PROXY};
use crate::node::USDC;
use crate::shop::{PAY_TO, SETTLER_KEY, Setup, Shop, terms};

const WRAPPER: &str = "0x0000000000000000000000000000000000C0FFEE";
const OFFER: &str = "    offers: [{amount: \"0.01\", transfer: permit2}]\n";

fn open() -> Shop {
    let extra = "later: {max_delay: 0}\n".to_owned();
    let shop = Shop::set_up(Setup { route: OFFER, extra, ..Setup::default() });
    for (at, code) in [
        (PERMIT2, include_str!("../../../../../tests/contracts/bytecode/Permit2.runtime.hex")),
        (
            &EXACT_PROXY.to_string(),
            include_str!("../../../../../tests/contracts/bytecode/ExactProxy.runtime.hex"),
        ),
        (UPTO_PROXY, include_str!("../../../../../tests/contracts/bytecode/UptoProxy.runtime.hex")),
        (WRAPPER, include_str!("../../../../../tests/contracts/bytecode/Wrapper.runtime.hex")),
    ] {
        shop.node.install(at, code);
    }
    mint_all(&shop.node);
    for key in PAYERS {
        shop.node.approve(&key_of(key).to_string(), PERMIT2);
    }
    shop
}

fn permit(nonce: Nonce, units: u128, kind: Kind) -> Permit {
    Permit {
        from: payer(1),
        token: address(USDC),
        amount: Amount::from_units(units),
        nonce,
        deadline: terms("1").valid_before,
        to: address(PAY_TO),
        valid_after: Timestamp::ZERO,
        kind,
    }
}

fn sign(permit: &Permit) -> [u8; 65] {
    let Ok(signature) = signer_of(permit.from).sign(&permit.digest(ChainId::ETHEREUM));
    signature.to_rsv()
}

/// The proxy's call that the permit is for.
fn settle(permit: &Permit) -> Vec<u8> {
    let mut out = [0; 1024];
    permit.calldata(permit.amount, &sign(permit), &mut out).expect("room").to_vec()
}

/// A stranger's call, by which the proxy is called.
fn relay(permit: &Permit) -> Vec<u8> {
    let head = [EXACT_PROXY.to_word(), word(64)].concat();
    [&selector("relay(address,bytes)")[..], &head, &padded(&settle(permit))].concat()
}

/// What the seller takes that goes by Permit2, as his 402 has it.
fn accepted(shop: &Shop, line: &str, body: &str) -> Value {
    let told = http::exchange(shop.address, &http::request(line, &[], body));
    let told = told.header("PAYMENT-REQUIRED").expect("terms").as_bytes();
    let mut json = vec![0; decoded_room(told.len())];
    let told: Value =
        serde_json::from_slice(decode(told, &mut json).expect("base64")).expect("JSON");
    let mut all = told["accepts"].as_array().expect("a list").iter();
    let is_wanted =
        |it: &&Value| it["scheme"] == "upto" || it["extra"]["assetTransferMethod"] == "permit2";
    all.find(is_wanted).unwrap_or_else(|| panic!("no Permit2: {told}")).clone()
}

/// A request that is paid by a permit.
fn request(shop: &Shop, line: &str, body: &str, permit: &Permit) -> String {
    let key = format!("the-key-of-the-payer-of-{}", permit.nonce);
    http::request(line, &[paying(shop, line, body, permit), ("Idempotency-Key", key)], body)
}

/// The same by who shows that he is the payer.
fn proved(shop: &Shop, line: &str, body: &str, permit: &Permit) -> String {
    let payment = id(PERMIT2, permit.from, permit.nonce);
    let proof = proof_of(&signer_of(permit.from), payment, "http://localhost");
    http::request(line, &[paying(shop, line, body, permit), (FIELD, proof)], body)
}

fn paying(shop: &Shop, line: &str, body: &str, permit: &Permit) -> (&'static str, String) {
    let accepted = accepted(shop, line, body).to_string();
    let answers = Answers::V2 { accepted: &accepted, resource: "", extensions: "" };
    let (transfer, signature) = (Transfer::Permit2(*permit), sign(permit));
    let payload = SignedPayload { transfer: &transfer, signature: &signature, answers };
    ("PAYMENT-SIGNATURE", Base64(payload).to_string())
}

/// Has the payer burn nonces of his.
fn burn(shop: &Shop, payer: Address, nonces: impl Iterator<Item = Nonce>) {
    let function = selector("invalidateUnorderedNonces(uint256,uint256)");
    for nonce in nonces {
        let (mut place, mut mask) = (*nonce.as_bytes(), [0; 32]);
        let bit = usize::from(place[31]);
        mask[31 - bit / 8] = 1 << (bit % 8);
        place.copy_within(..31, 1);
        place[0] = 0;
        transact(&shop.node, &payer.to_string(), PERMIT2, &[&function[..], &place, &mask].concat());
    }
}

/// One is settled by somebody else, whose calldata names the nonces of all; the others are burnt.
#[test]
fn of_fifteen_permits_the_one_that_was_settled_is_served() {
    let shop = open();
    let mut served = 0;
    for seed in 1..=3_u64 {
        let nonce = |n| Nonce::new(word(256 * seed as usize + n));
        let permits: Vec<_> = (1..=15)
            .map(|n| Permit { from: payer(seed), ..permit(nonce(n), PRICE, Kind::Exact) })
            .collect();
        let line = "POST /api/analyze";
        let body = |n| format!("{{\"n\":{n}}}");
        let permitted = permits.iter().enumerate();
        let requests: Vec<_> =
            permitted.map(|(n, permit)| request(&shop, line, &body(n), permit)).collect();
        let paid = (after(seed) >> 33) as usize % permits.len();
        shop.proxy.hold_sends(true);
        together(shop.address, &requests, || {
            wait_for("a transaction of ours", || shop.proxy.held() > 0);
            thread::sleep(Duration::from_secs(1));
            let names = permits.iter().flat_map(|permit| *permit.nonce.as_bytes());
            let call: Vec<_> = settle(&permits[paid]).into_iter().chain(names).collect();
            transact(&shop.node, STRANGER, &EXACT_PROXY.to_string(), &call);
            let others = (0..permits.len()).filter(|n| *n != paid).map(|n| permits[n].nonce);
            burn(&shop, payer(seed), others);
            shop.proxy.hold_sends(false);
        });
        // Those that were burnt stay open until they cannot be valid any more.
        let answers = insist(shop.address, &requests, 8);
        served += had(&answers);
        let paid = shop.recipient_balance();
        println!("15 permits, seed {seed}: paid {paid}, had {}", served * PRICE);
        assert_eq!(served * PRICE, paid, "seed {seed}");
    }
    books_agree(&shop, 0);
}

/// Only the seller's account settles those; words of its calldata are nonces of the others.
#[test]
fn of_four_ceilings_the_one_that_was_settled_is_received() {
    let shop = open();
    let facilitator = key_of(SETTLER_KEY);
    let line = "POST /v1/chat/completions";
    let body = |n| format!(r#"{{"messages":[],"max_tokens":100,"k":{n},"script":"json:12:34"}}"#);
    let nonces = [word(1), address(USDC).to_word(), payer(1).to_word(), facilitator.to_word()];
    let kind = Kind::Upto { facilitator };
    let permits = nonces.map(|nonce| permit(Nonce::new(nonce), 3_150, kind));
    let requests: Vec<_> = (0..4).map(|n| request(&shop, line, &body(n), &permits[n])).collect();
    shop.proxy.hold_sends(true);
    let answers = together(shop.address, &requests, || {
        wait_for("a transaction of ours", || shop.proxy.held() > 0);
        thread::sleep(Duration::from_secs(1));
        burn(&shop, payer(1), permits[1..].iter().map(|permit| permit.nonce));
        shop.proxy.hold_sends(false);
    });
    // 12 tokens and 34.
    wait_for("the one that can be settled", || shop.recipient_balance() == 120 + 1_020);
    thread::sleep(Duration::from_secs(11));
    books_agree(&shop, 0);
    // The others were served on trust, and are owed.
    wait_for("the debts in the books", || {
        shop.rows().iter().filter(|row| row["state"] == "unpaid").count()
            == had(&answers) as usize - 1
    });
    let next = permit(Nonce::new(word(9)), 3_150, kind);
    let next = http::exchange(shop.address, &request(&shop, line, &body(9), &next));
    assert!(matches!(next.status, 402 | 429), "{}", next.body);
    let received = shop.rows().iter().filter(|row| row["state"] == "served").count();
    println!("4 ceilings: paid {}, had {}", shop.recipient_balance(), had(&answers) * 1_140);
    assert_eq!((received, shop.recipient_balance()), (1, 1_140));
}

/// In one block a stranger settles one by a wrapper, and another of the same amount is burnt: whichever is
/// presented, one transfer pays for one.
#[test]
fn of_two_permits_that_one_block_used_up_one_is_served() {
    let shop = open();
    for seed in 1..=3_u64 {
        let permits = [1, 2].map(|n| Permit {
            from: payer(seed),
            ..permit(Nonce::new(word(256 * seed as usize + n)), PRICE, Kind::Exact)
        });
        shop.node.mine_at_once(false);
        let submit = |from: &str, to: &str, data: &[u8]| {
            let data = hex::Hex(data).to_string();
            let call = json!({"from": from, "to": to, "data": data, "gas": "0x4c4b40"});
            shop.node.rpc("eth_sendTransaction", json!([call]));
        };
        submit(STRANGER, WRAPPER, &relay(&permits[0]));
        let function = selector("invalidateUnorderedNonces(uint256,uint256)");
        let burnt = [&function[..], &word(seed as usize), &word(1 << 2)].concat();
        submit(&payer(seed).to_string(), PERMIT2, &burnt);
        shop.node.mine(1);
        shop.node.mine_at_once(true);
        assert_eq!(shop.recipient_balance(), u128::from(seed) * PRICE);
        let ask =
            |n: usize| proved(&shop, "POST /api/analyze", &format!("{{\"n\":{n}}}"), &permits[n]);
        let requests = [ask(0), ask(1)];
        together(shop.address, &requests, || {});
        let answers = insist(shop.address, &requests, 5);
        println!("two permits, seed {seed}: paid {PRICE}, had {}", had(&answers) * PRICE);
        assert_eq!(had(&answers), 1, "{} {}", answers[0].body, answers[1].body);
    }
    books_agree(&shop, 0);
}

/// Whoever settles it, by whatever contract, the payer has paid.
#[test]
fn a_permit_that_a_stranger_settles_by_a_wrapper_is_paid() {
    let shop = open();
    let permit = permit(Nonce::new(word(7)), PRICE, Kind::Exact);
    let requests = [request(&shop, "POST /api/analyze", "some words", &permit)];
    shop.proxy.hold_sends(true);
    together(shop.address, &requests, || {
        wait_for("our transaction", || shop.proxy.held() > 0);
        transact(&shop.node, STRANGER, WRAPPER, &relay(&permit));
        shop.proxy.hold_sends(false);
    });
    let answers = insist(shop.address, &requests, 40);
    println!("wrapped: paid {}, had {}", shop.recipient_balance(), had(&answers) * PRICE);
    assert_eq!((had(&answers), shop.recipient_balance()), (1, PRICE), "{}", answers[0].body);
    books_agree(&shop, 0);
}
