//! A chain that goes back on what has paid.

use std::thread;
use std::time::Duration;

use serde_json::json;

use super::{Fields, books_agree, paying, wait_for};
use crate::faults::PRICE;
use crate::http::{self, Answer};
use crate::shop::{BUYER, Shop, terms};

/// Lets the chain go back to before `what`, and grow longer than it was.
fn go_back_on<T>(shop: &Shop, what: impl FnOnce() -> T, then: impl FnOnce()) -> T {
    let before = shop.node.rpc("evm_snapshot", json!([]));
    let done = what();
    assert_eq!(shop.node.rpc("evm_revert", json!([before])), true);
    then();
    shop.node.mine(5);
    done
}

fn served(shop: &Shop, nonce: &str) -> Answer {
    let answer = shop.send(&paying(&terms(nonce)));
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer
}

/// What was served is paid again while it is valid, and whoever comes next is served.
#[test]
fn what_the_chain_went_back_on_is_sent_again() {
    let shop = Shop::open();
    served(&shop, "1");
    go_back_on(&shop, || served(&shop, "2"), || {});
    assert_eq!(shop.recipient_balance(), PRICE);
    wait_for("the money again", || shop.recipient_balance() == 2 * PRICE);
    books_agree(&shop, 0);
    served(&shop, "3");
    assert_eq!((shop.recipient_balance(), shop.upstream.payments()), (3 * PRICE, 3));
    assert!(shop.has_said("reversed"), "it is said loudly");
    println!("reorg: had {}, paid {}", 3 * PRICE, shop.recipient_balance());
}

/// The payer has moved his money away meanwhile: it is owed, and never called received.
#[test]
fn what_was_lost_is_owed_and_the_next_payers_are_served() {
    let shop = Shop::open();
    go_back_on(&shop, || served(&shop, "1"), || shop.node.burn(BUYER));
    wait_for("the books", || shop.exported() == 0);
    assert_eq!(shop.recipient_balance(), 0);
    assert!(shop.has_said("reversed"), "it is said loudly");
    let state = shop.rows()[0]["state"].clone();
    assert!(state == "reversed" || state == "pending" || state == "unpaid", "{state}");
    // The nonce of what was lost is the next one of the account.
    shop.node.mint(BUYER, 10 * PRICE);
    wait_for("another payment to be served", || shop.send(&paying(&terms("2"))).status == 200);
    wait_for("the lost one", || shop.recipient_balance() == 2 * PRICE);
    books_agree(&shop, 0);
}

/// The same for nobody who has money: the next payer has another purse.
#[test]
fn the_account_goes_on_after_a_transaction_that_is_gone() {
    let shop = Shop::open();
    // Several transactions of ours are gone, and none of them can be mined again.
    let pay = || (1..=3).map(|n| served(&shop, &n.to_string())).count();
    go_back_on(&shop, pay, || shop.node.burn(BUYER));
    let other = super::purse::POOR_KEY;
    shop.node.mint(&super::key_of(other).to_string(), 10 * PRICE);
    let terms = x402_core::Authorization { from: super::key_of(other), ..terms("1") };
    let fields: Fields = super::paying_by(other, &terms);
    wait_for("another payer to be served", || shop.send(&fields).status == 200);
    wait_for("the books", || shop.exported() == shop.recipient_balance());
    assert_eq!(shop.recipient_balance(), PRICE);
    println!("reorg, lost: had {}, paid {PRICE}, owed {}", 4 * PRICE, 3 * PRICE);
}

#[test]
fn a_node_that_starts_again_empty_takes_nothing_into_the_books() {
    let shop = Shop::open();
    for nonce in ["1", "2"] {
        served(&shop, nonce);
    }
    shop.node.start_again_empty();
    shop.node.mint(BUYER, 1_000_000);
    // A chain whose blocks are as many as before, and more.
    shop.node.mine(40);
    wait_for("the books", || shop.exported() == shop.recipient_balance());
    wait_for("another payment to be served", || shop.send(&paying(&terms("3"))).status == 200);
    wait_for("those from before", || shop.recipient_balance() == 3 * PRICE);
    books_agree(&shop, 0);
    assert_eq!(shop.upstream.payments(), 3);
}

/// 54 bytes are 14 tokens: 140, and 100 tokens of the answer: 3,000.
const DOCUMENT: &str = r#"{"messages":[],"max_tokens":100,"script":"json:12:34"}"#;

#[test]
fn credit_of_what_the_chain_went_back_on_is_taken_back() {
    let shop = Shop::open();
    let buy = |fields: &Fields| {
        let line = "POST /v1/chat/completions";
        http::exchange(shop.address, &http::request(line, fields, DOCUMENT))
    };
    let mut terms = terms("1");
    terms.value = x402_core::Amount::from_units(3_140);
    let paid = go_back_on(&shop, || buy(&paying(&terms)), || shop.node.burn(BUYER));
    assert_eq!(paid.status, 200, "{}", paid.body);
    let credit = paid.header("X-Payment-Credit").expect("its name").to_owned();
    wait_for("the books", || shop.exported() == 0);
    thread::sleep(Duration::from_secs(1));
    let credits = shop.ledger(&["credits", "--format", "json"]);
    let credits: serde_json::Value = serde_json::from_str(&credits).expect("JSON");
    let units = |row: &serde_json::Value| row["amount_units"].as_str() != Some("0");
    assert_eq!(
        credits.as_array().expect("rows").iter().filter(|row| units(row)).count(),
        0,
        "{credits}"
    );
    let hits = shop.upstream.hits();
    let drawn = buy(&vec![("X-Payment-Credit", credit), ("X-Payment-Nonce", "9".to_owned())]);
    assert_eq!((drawn.status, shop.upstream.hits()), (402, hits), "{}", drawn.body);
}
