//! What a payment entitles to: the request it was made for, the time that was sold, at the gateway that was
//! paid, whatever the price is by now.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::SystemTime;

use super::*;
use crate::faults::PRICE;
use crate::shop::{BUYER, Setup};

const TICKS: &str = "GET /live/ticks?seconds=1";
const MINUTE: u128 = 100_000;
const COMPLETIONS: &str = "POST /v1/chat/completions";
/// 3,140 are paid for it, and 1,140 used.
const DOCUMENT: &str = r#"{"messages":[],"max_tokens":100,"script":"json:12:34"}"#;
/// The same as elsewhere, fifty times as dear.
const DEAR: &str = "  - path: /v1/chat/completions
    methods: [POST]
    pricing: {model: per_token, input_price: 0.0005, output_price: 0.0015, currency: USDC}
  - path: /live/*
    methods: [GET]
    pricing: {model: per_minute, amount: 5.00, currency: USDC, minimum_minutes: 1}
";

fn ask(shop: &Shop, line: &str, fields: &[(&'static str, String)], body: &str) -> Answer {
    http::exchange(shop.address, &http::request(line, fields, body))
}

fn paying_for(nonce: &str, units: u128) -> Fields {
    paying(&Authorization { value: Amount::from_units(units), ..terms(nonce) })
}

fn with(fields: &[(&'static str, String)], name: &'static str, value: &str) -> Fields {
    [fields, &[(name, value.to_owned())]].concat()
}

/// For how many minutes a pass is good that was told just now.
fn minutes_of(answer: &Answer) -> u128 {
    let end = answer.header("X-Payment-Pass-Expires").expect("its end").parse::<u64>();
    let now = SystemTime::UNIX_EPOCH.elapsed().expect("a clock").as_secs();
    u128::from(end.expect("a number").saturating_sub(now)).div_ceil(60)
}

#[test]
fn a_minute_buys_a_minute() {
    let mut shop = Shop::open();
    let minute = paying_for("1", MINUTE);
    let asking = |count: &str| with(&minute, "X-Payment-Minutes", count);
    let request = http::request(TICKS, &asking("1"), "");
    http::abandon(shop.address, &request, Duration::from_millis(300));
    let mut had = 0;
    for round in 0..2 {
        for count in ["1440", "60", "2"] {
            let answer = ask(&shop, TICKS, &asking(count), "");
            assert!(matches!(answer.status, 402 | 409), "{count}: {}", answer.body);
            had += u128::from(answer.header("X-Payment-Pass").is_some());
        }
        if round == 0 {
            shop.restart();
        }
    }
    // Who asks for what he has paid is told the pass, with the answer or, where that was not kept, without.
    let honest = ask(&shop, TICKS, &asking("1"), "");
    assert!(honest.header("X-Payment-Pass").is_some(), "{}: {}", honest.status, honest.body);
    had += minutes_of(&honest);
    println!("minutes: paid {}, had {}", shop.recipient_balance(), had * MINUTE);
    assert_eq!((shop.recipient_balance(), had), (MINUTE, 1));
}

#[test]
fn what_was_owed_when_the_price_rose_buys_one() {
    let shop = Shop::settling("later", "\nlater: {max_delay: 5, max_owed: \"5\"}\n");
    let owed = paying(&terms("1"));
    let mut had = BTreeSet::from([shop.send(&owed).body]);
    shop.reload(&[("amount: \"0.01\"", "amount: \"0.05\"")]);
    wait_for("the new price", || shop.send(&[]).header("X-Payment-Amount") == Some("0.05"));
    for n in 0..6 {
        let again = shop.send(&owed);
        assert_eq!(again.status, 200, "{}", again.body);
        had.insert(again.body);
        let other = shop.send_body(&owed, &format!("other words {n}"));
        assert_eq!(other.status, 409, "{}", other.body);
    }
    wait_for("the money", || shop.recipient_balance() > 0);
    had.insert(shop.send(&owed).body);
    let (paid, had) = (shop.recipient_balance(), had.len() as u128 * PRICE);
    println!("the price rose: paid {paid}, had {had}, worked {} times", shop.upstream.hits());
    assert_eq!((paid, had, shop.upstream.hits()), (PRICE, PRICE, 1));
    books_agree(&shop, 0);
}

/// Both sign with the same key, for they pay the gas with it.
#[test]
fn what_one_gateway_gives_is_good_there_alone() {
    let node = Arc::new(Node::start());
    node.mint(BUYER, 1_000_000);
    let cheap = Shop::on(Arc::clone(&node), Setup::default());
    let dear = Shop::on(node, Setup { metered: DEAR, ..Setup::default() });
    let minute = |fields: &[_]| with(fields, "X-Payment-Minutes", "1");
    let pass = ask(&cheap, TICKS, &minute(&paying_for("1", MINUTE)), "");
    let pass = pass.header("X-Payment-Pass").expect("a pass").to_owned();
    let credit = ask(&cheap, COMPLETIONS, &paying_for("2", 3_140), DOCUMENT);
    let credit = credit.header("X-Payment-Credit").expect("a name").to_owned();
    let quote = ask(&cheap, TICKS, &minute(&[]), "");
    let quote = quote.header("X-Payment-Quote").expect("a quote").to_owned();
    let by_quote = with(&minute(&paying_for("3", MINUTE)), "X-Payment-Quote", &quote);
    let drawing = with(&[("X-Payment-Credit", credit)], "X-Payment-Nonce", "1");
    let shown = [
        ask(&dear, TICKS, &[("X-Payment-Pass", pass.clone())], ""),
        ask(&dear, TICKS, &by_quote, ""),
        ask(&dear, COMPLETIONS, &drawing, DOCUMENT),
    ];
    let paid = MINUTE + 3_140;
    println!("another gateway: paid 0, had {}", had(&shown));
    for answer in &shown {
        assert!(matches!(answer.status, 400 | 402), "{}: {}", answer.status, answer.body);
    }
    assert_eq!((dear.upstream.hits(), cheap.recipient_balance()), (0, paid));
    // At their own they are good.
    let again = ask(&cheap, TICKS, &[("X-Payment-Pass", pass)], "");
    assert_eq!(again.status, 200, "{}", again.body);
}
