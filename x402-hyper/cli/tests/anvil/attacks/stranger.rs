//! Payments that somebody else has settled before they were presented.

use std::sync::Arc;
use std::time::SystemTime;

use x402_core::proof::{FIELD, PayerProof};
use x402_core::secp256k1::K256Signer;
use x402_core::{Address, Authorization, ChainId, Nonce, PaymentId, Signer as _, hex};

use super::{PAYERS, STRANGER, books_agree, call_of, paying, sign, transact};
use crate::facilitator::{Service, body_of, settle};
use crate::faults::PRICE;
use crate::http;
use crate::node::{Node, USDC};
use crate::shop::{BUYER, Setup, Shop, terms, usdc};

/// The value of the field that proves to this seller who pays.
pub(super) fn proof(payment: &Authorization, origin: &str) -> String {
    proof_by(&super::signer_of(payment.from), payment, origin)
}

pub(super) fn proof_by(signer: &K256Signer, payment: &Authorization, origin: &str) -> String {
    proof_of(signer, id(USDC, payment.from, payment.nonce), origin)
}

/// Of a payment whose nonces this contract keeps account of.
pub(super) fn id(contract: &str, from: Address, nonce: Nonce) -> PaymentId {
    PaymentId { chain_id: ChainId::ETHEREUM, contract: super::address(contract), from, nonce }
}

pub(super) fn proof_of(signer: &K256Signer, payment: PaymentId, origin: &str) -> String {
    let time = SystemTime::UNIX_EPOCH.elapsed().expect("a clock").as_secs();
    let Ok(signature) = signer.sign(&PayerProof { origin, payment, time }.digest());
    format!("{time}:{}", hex::Hex(&signature.to_rsv()))
}

#[test]
fn who_was_paid_by_a_stranger_serves_the_payer_once() {
    let shop = Shop::open();
    let payment = terms("1");
    transact(&shop.node, STRANGER, USDC, &call_of(&payment, &usdc()));
    let told = shop.send(&paying(&payment));
    assert_eq!(told.status, 409, "{}", told.body);
    assert!(told.json()["help"].as_str().expect("help").contains(FIELD), "{}", told.body);
    assert_eq!(shop.upstream.hits(), 0);

    let with = |proof: String| [paying(&payment), vec![(FIELD, proof)]].concat();
    for (key, origin) in [(PAYERS[1], "http://localhost"), (PAYERS[0], "http://another.example")] {
        let refused = shop.send(&with(proof_by(&super::signer(key), &payment, origin)));
        assert_eq!(refused.status, 409, "{}", refused.body);
    }
    let served = shop.send(&with(proof(&payment, "http://localhost")));
    assert_eq!(served.status, 200, "{}", served.body);
    let again = shop.send(&with(proof(&payment, "http://localhost")));
    assert_eq!((again.status, &again.body), (200, &served.body));
    let other = shop.send_body(&with(proof(&payment, "http://localhost")), "other words");
    assert_eq!(other.status, 409, "{}", other.body);
    println!("stranger: paid {}, had {PRICE}", shop.recipient_balance());
    assert_eq!((shop.recipient_balance(), shop.upstream.hits()), (PRICE, 1));
    books_agree(&shop, 0);
}

/// Whenever the money is to move: here it has.
#[test]
fn it_is_served_whatever_the_order_of_work_and_money() {
    for settle in ["after", "later"] {
        let extra = "later: {max_delay: 1}\n".to_owned();
        let shop = Shop::set_up(Setup { settle, extra, ..Setup::default() });
        let payment = terms("1");
        transact(&shop.node, STRANGER, USDC, &call_of(&payment, &usdc()));
        assert_eq!(shop.send(&paying(&payment)).status, 409);
        let proof = proof(&payment, "http://localhost");
        let served = shop.send(&[paying(&payment), vec![(FIELD, proof)]].concat());
        assert_eq!(served.status, 200, "{settle}: {}", served.body);
        assert_eq!((shop.recipient_balance(), shop.upstream.hits()), (PRICE, 1));
        books_agree(&shop, 0);
    }
}

/// It was for something else: nobody signs for a minute what he presents a quarter of an hour later.
#[test]
fn what_was_paid_long_before_is_not_taken() {
    let past = SystemTime::UNIX_EPOCH.elapsed().expect("a clock").as_secs() - 900;
    let node = Arc::new(Node::start_with(&["--timestamp", &past.to_string()]));
    node.mint(BUYER, 1_000_000);
    let shop = Shop::on(node, Setup::default());
    let payment = terms("1");
    transact(&shop.node, STRANGER, USDC, &call_of(&payment, &usdc()));
    let proof = proof(&payment, "http://localhost");
    let refused = shop.send(&[paying(&payment), vec![(FIELD, proof)]].concat());
    assert_eq!(refused.status, 409, "{}", refused.body);
    assert_eq!((shop.upstream.hits(), shop.exported()), (0, 0));
}

/// What moved something else, or was cancelled, has not paid, whoever proves what.
#[test]
fn what_a_stranger_used_up_otherwise_is_refused() {
    let shop = Shop::open();
    let payment = terms("1");
    let twin = Authorization { to: payment.from, ..payment };
    transact(&shop.node, STRANGER, USDC, &call_of(&twin, &usdc()));
    let proof = proof(&payment, "http://localhost");
    let refused = shop.send(&[paying(&payment), vec![(FIELD, proof)]].concat());
    assert_eq!(refused.status, 409, "{}", refused.body);
    assert_eq!((shop.recipient_balance(), shop.upstream.hits(), shop.exported()), (0, 0, 0));
}

/// It cannot tell for whom: several sellers may have one payee.
#[test]
fn a_facilitator_never_takes_what_a_stranger_settled() {
    let service = Service::open();
    let payment = terms("1");
    transact(&service.node, STRANGER, USDC, &call_of(&payment, &usdc()));
    let body = body_of(&payment, &sign(&payment, &usdc()).to_rsv());
    let line = [("Content-Type", "application/json".to_owned())];
    let verified = http::exchange(service.address, &http::request("POST /verify", &line, &body));
    assert_eq!(verified.json()["isValid"], false, "{}", verified.body);
    let settled = settle(service.address, &body).json();
    assert_eq!(settled["success"], false, "{settled}");
}
