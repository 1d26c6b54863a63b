//! A chain that goes back on what has paid.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use super::wait_for;
use super::{Bundle, Fields, books_agree, insist, install_multicall, paying, requests, together};
use crate::faults::PRICE;
use crate::http::{self, Answer};
use crate::shop::{BUYER, PAY_TO, Shop, terms};

/// Lets the chain go back to before `what`, and grow longer than it was.
fn go_back_on<T>(shop: &Shop, what: impl FnOnce() -> T, then: impl FnOnce()) -> T {
    let before = shop.node.rpc("evm_snapshot", json!([]));
    let done = what();
    assert_eq!(shop.node.rpc("evm_revert", json!([before])), true);
    then();
    shop.node.mine(20);
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
    let pay = || drop(["1", "2", "3"].map(|nonce| served(&shop, nonce)));
    go_back_on(&shop, pay, || shop.node.burn(BUYER));
    let other = super::key_of(super::PAYERS[1]);
    shop.node.mint(&other.to_string(), 10 * PRICE);
    let fields = paying(&x402_core::Authorization { from: other, ..terms("1") });
    wait_for("another payer to be served", || shop.send(&fields).status == 200);
    wait_for("the books", || shop.exported() == shop.recipient_balance());
    assert_eq!(shop.recipient_balance(), PRICE);
    println!("reorg, lost: had {}, paid {PRICE}, owed {}", 4 * PRICE, 3 * PRICE);
}

/// The one that was paid is another one now: what was served first is owed, and no log counts twice.
#[test]
fn a_chain_that_comes_back_with_another_of_the_nine_has_paid_for_one() {
    let shop = Shop::open();
    install_multicall(&shop.node);
    // The same nine, of which different ones are paid.
    let (first, second) = (Bundle::new(1, PRICE, PAY_TO), Bundle::paying(1, PRICE, PAY_TO, 3));
    let requests = requests(&first.payments());
    let play = |bundle: &Bundle| {
        shop.proxy.hold_sends(true);
        together(shop.address, &requests, || {
            wait_for("a transaction of ours", || shop.proxy.held() > 0);
            thread::sleep(Duration::from_secs(1));
            bundle.run(&shop.node);
            shop.proxy.hold_sends(false);
        });
        let answers = insist(shop.address, &requests, 40);
        assert_eq!(super::had(&answers), 1);
        answers
    };
    let before = go_back_on(&shop, || play(&first), || drop(second.run(&shop.node)));
    wait_for("the first to be owed", || shop.has_said("reversed"));
    let again = insist(shop.address, &requests, 40);
    books_agree(&shop, 0);
    let is_owed = |row: &serde_json::Value| row["state"] == "pending" || row["state"] == "unpaid";
    let owed = shop.rows().iter().filter(|row| is_owed(row)).count() as u128;
    // What is owed is given again until it is known that it is not paid; who had it, had it.
    let is_had = |(before, again): &(&Answer, &Answer)| before.status == 200 || again.status == 200;
    let had = before.iter().zip(&again).filter(is_had).count() as u128;
    println!("reorg, nine: paid {PRICE}, had {had} x {PRICE}, owed {owed} x {PRICE}");
    assert_eq!(had, 1 + owed);
    assert_eq!((shop.recipient_balance(), shop.exported()), (PRICE, PRICE));
}

#[test]
fn a_node_that_starts_again_empty_takes_nothing_into_the_books() {
    start_again(0, 40);
}

/// Its chain stays shorter for long: that a node of several lags looks the same for a minute.
#[test]
fn a_node_that_starts_again_empty_and_stays_short_takes_nothing_into_the_books() {
    start_again(40, 0);
}

/// With so many blocks more in the old chain, and in the new one.
fn start_again(old: u32, new: u32) {
    let shop = Shop::open();
    for nonce in ["1", "2"] {
        served(&shop, nonce);
    }
    shop.node.mine(old);
    shop.node.start_again_empty();
    shop.node.mint(BUYER, 1_000_000);
    shop.node.mine(new);
    let begun = Instant::now();
    let since = || begun.elapsed().as_secs();
    // Each time another one: nobody signs for so long.
    let mut nonces = 3..;
    wait_long("another payment to be served", || {
        let nonce = nonces.next().map(|nonce: u32| nonce.to_string());
        shop.send(&paying(&terms(&nonce.expect("a number")))).status == 200
    });
    println!("empty node: the next one is served after {} s", since());
    wait_long("the books", || shop.exported() == shop.recipient_balance());
    println!("empty node: the books are right after {} s", since());
    let (had, paid) = (shop.upstream.payments() as u128 * PRICE, shop.recipient_balance());
    let owed = shop.rows().iter().filter(|row| row["state"] != "served").count() as u128 * PRICE;
    println!("empty node: had {had}, paid {paid}, open {owed}");
    assert!(had <= paid + owed);
}

/// What was paid on the chain before is sent again until its end is proved, for its account nonces are those
/// that others wait for. On an idle node that is after its end: it does nothing then, and its payer waits for
/// 10, 20 and 40 seconds more.
fn wait_long(what: &str, mut is: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(240);
    while !is() {
        assert!(Instant::now() < deadline, "it does not come: {what}");
        thread::sleep(Duration::from_millis(500));
    }
}

/// 54 bytes are 14 tokens: 140, and 100 tokens of the answer: 3,000.
const DOCUMENT: &str = r#"{"messages":[],"max_tokens":100,"script":"json:12:34"}"#;

fn buy(shop: &Shop, fields: &Fields) -> Answer {
    let line = "POST /v1/chat/completions";
    http::exchange(shop.address, &http::request(line, fields, DOCUMENT))
}

/// Pays the ceiling, of which 1,140 are used.
fn ceiling(nonce: &str) -> Fields {
    let mut terms = terms(nonce);
    terms.value = x402_core::Amount::from_units(3_140);
    paying(&terms)
}

fn drawing(credit: &str, nonce: &str) -> Fields {
    vec![("X-Payment-Credit", credit.to_owned()), ("X-Payment-Nonce", nonce.to_owned())]
}

/// What was drawn from credit that is gone is owed: once all is paid again, nothing was had for nothing.
#[test]
fn what_was_drawn_from_credit_that_is_gone_is_made_up_for() {
    let shop = Shop::open();
    let credit = go_back_on(
        &shop,
        || {
            let paid = ["1", "2"].map(|nonce| buy(&shop, &ceiling(nonce)));
            let credit = paid[1].header("X-Payment-Credit").expect("its name").to_owned();
            // 2 x 2,000 are left, and then 2,860.
            assert_eq!(buy(&shop, &drawing(&credit, "1")).status, 200);
            credit
        },
        || shop.node.burn(BUYER),
    );
    wait_for("the books", || shop.exported() == 0);
    assert_eq!(balance(&shop, &credit), "0");
    shop.node.mint(BUYER, 3 * 3_140);
    wait_for("what was lost", || shop.recipient_balance() == 2 * 3_140);
    books_agree(&shop, 0);
    assert_eq!(buy(&shop, &ceiling("3")).status, 200);
    let (paid, had) = (shop.recipient_balance(), 4 * 1_140);
    println!("reorg, credit: paid {paid}, had {had}, left {}", balance(&shop, &credit));
    assert_eq!((paid, balance(&shop, &credit).as_str()), (3 * 3_140, "0.00486"));
}

/// What is left of credit: a request that nobody could pay for tells it.
fn balance(shop: &Shop, credit: &str) -> String {
    let dear = r#"{"messages":[],"max_tokens":1000000000,"script":"json:1:1"}"#;
    let line = "POST /v1/chat/completions";
    let request = http::request(line, &drawing(credit, "999"), dear);
    let answer = http::exchange(shop.address, &request);
    assert_eq!(answer.status, 402, "{}", answer.body);
    answer.header("X-Payment-Balance").expect("a balance").to_owned()
}

#[test]
fn credit_of_what_the_chain_went_back_on_is_taken_back() {
    let shop = Shop::open();
    let buy = |fields: &Fields| buy(&shop, fields);
    let paid = go_back_on(&shop, || buy(&ceiling("1")), || shop.node.burn(BUYER));
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
    let drawn = buy(&drawing(&credit, "9"));
    assert_eq!((drawn.status, shop.upstream.hits()), (402, hits), "{}", drawn.body);
}
