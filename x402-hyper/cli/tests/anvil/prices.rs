//! Prices that depend on the request, paid on a real node.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use x402_core::{Amount, Price};

use crate::http::{self, Answer};
use crate::shop::{BUYER, Shop, four_fields, terms};

fn browse(shop: &Shop, payment: Option<(&str, u64)>, body: &str) -> Answer {
    answering(shop, payment, None, body)
}

/// Pays, or asks for the price; with the quote that is answered.
fn answering(shop: &Shop, payment: Option<(&str, u64)>, quote: Option<&str>, body: &str) -> Answer {
    let fields = payment.map(|(nonce, units)| {
        let mut terms = terms(nonce);
        terms.value = Amount::from_units(units.into());
        let mut fields = four_fields(&terms, nonce);
        let decimals = Amount::from_units(units.into()).to_price(6).to_string();
        crate::shop::set(&mut fields, "X-Payment-Amount", &decimals);
        fields
    });
    let mut fields = fields.unwrap_or_default();
    fields.extend(quote.map(|quote| ("X-Payment-Quote", quote.to_owned())));
    let request = http::request("POST /api/browse", &fields, body);
    http::exchange(shop.address, &request)
}

/// By hand: 0.01, times 2 from 1,001 letters on, times 1.5 with a browser.
#[test]
fn each_request_costs_what_its_facts_say() {
    let shop = Shop::open();
    let long = "é".repeat(1001);
    let mut received = 0;
    for (number, (body, price, units)) in [
        ("{}".to_owned(), "0.01", 10_000),
        (r#"{"query": "short", "requires_browser": true}"#.to_owned(), "0.015", 15_000),
        (format!(r#"{{"query": "{long}"}}"#), "0.02", 20_000),
        (format!(r#"{{"query": "{long}", "requires_browser": true}}"#), "0.03", 30_000),
    ]
    .into_iter()
    .enumerate()
    {
        let unpaid = browse(&shop, None, &body);
        assert_eq!((unpaid.status, unpaid.header("X-Payment-Amount")), (402, Some(price)));
        let nonce = (number + 1).to_string();
        // A cent less buys nothing.
        let cheap = browse(&shop, Some((&nonce, units - 5_000)), &body);
        assert_eq!((cheap.status, cheap.header("X-Payment-Error")), (402, Some("402.1")));
        let paid = browse(&shop, Some((&nonce, units)), &body);
        assert_eq!(paid.status, 200, "{}", paid.body);
        received += u128::from(units);
        assert_eq!(shop.recipient_balance(), received);
    }
    assert_eq!(shop.upstream.hits(), 4);
    let unpriced = browse(&shop, None, r#"{"requires_browser": "yes"}"#);
    assert_eq!(unpriced.status, 400, "{}", unpriced.body);
    assert!(unpriced.body.contains("`requires_browser` is of another kind"), "{}", unpriced.body);
}

/// A body whose length is not said is priced and passed on as well, once, and cut off it is not.
#[test]
fn a_body_in_chunks_is_priced_as_any() {
    let shop = Shop::open();
    let mut terms = terms("1");
    terms.value = Amount::from_units(15_000);
    let mut fields = four_fields(&terms, "1");
    crate::shop::set(&mut fields, "X-Payment-Amount", "0.015");
    let fields: String =
        fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let head = format!(
        "POST /api/browse HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\
         Transfer-Encoding: chunked\r\n{fields}\r\n"
    );
    let (first, second) = (r#"{"requires_"#, r#"browser": true}"#);
    let chunk = |text: &str| format!("{:x}\r\n{text}\r\n", text.len());
    http::abandon(shop.address, &format!("{head}{}", chunk(first)), Duration::from_millis(200));
    assert_eq!((shop.recipient_balance(), shop.upstream.hits()), (0, 0));
    let whole = format!("{head}{}{}0\r\n\r\n", chunk(first), chunk(second));
    for _ in 0..2 {
        let paid = http::exchange(shop.address, &whole);
        assert_eq!(paid.status, 200, "{}", paid.body);
    }
    assert_eq!((shop.recipient_balance(), shop.upstream.hits()), (15_000, 1));
}

#[test]
fn of_many_who_pay_the_cheap_price_nobody_gets_the_dear_work() {
    let shop = Shop::open();
    shop.node.mint(BUYER, 100_000_000);
    let (cheap, dear) = ("{}", r#"{"requires_browser": true}"#);
    let (served, refused) = (&AtomicUsize::new(0), &AtomicUsize::new(0));
    thread::scope(|scope| {
        for thread in 0..8_u32 {
            let shop = &shop;
            scope.spawn(move || {
                for round in 0..10_u32 {
                    let nonce = (1 + thread * 10 + round).to_string();
                    let answer = browse(shop, Some((&nonce, 10_000)), dear);
                    assert_eq!(answer.status, 402, "{}", answer.body);
                    refused.fetch_add(1, Ordering::SeqCst);
                    let answer = browse(shop, Some((&nonce, 10_000)), cheap);
                    assert_eq!(answer.status, 200, "{}", answer.body);
                    served.fetch_add(1, Ordering::SeqCst);
                    // What was paid for the one is not good for the other afterwards.
                    assert!(matches!(browse(shop, Some((&nonce, 10_000)), dear).status, 402 | 409));
                }
            });
        }
    });
    assert_eq!((served.load(Ordering::SeqCst), refused.load(Ordering::SeqCst)), (80, 80));
    assert_eq!((shop.upstream.hits(), shop.recipient_balance()), (80, 800_000));
}

/// The price and the quote that a request is told.
fn told(shop: &Shop, body: &str) -> (u64, String) {
    let unpaid = browse(shop, None, body);
    assert_eq!(unpaid.status, 402, "{}", unpaid.body);
    let price = Price::parse(unpaid.header("X-Payment-Amount").expect("a price")).expect("one");
    let units = price.to_amount(6).expect("units").to_string().parse().expect("a number");
    (units, unpaid.header("X-Payment-Quote").expect("a quote").to_owned())
}

/// The price is another one every tenth of a second: 0.01 and 0.013, times 1.5 with a browser.
#[test]
fn five_hundred_payers_get_what_they_were_told_while_the_prices_change() {
    const PAYERS: u32 = 500;
    let shop = &Shop::open();
    shop.node.mint(BUYER, 100_000_000);
    let (next, received) = (&AtomicU32::new(0), &AtomicU64::new(0));
    let seen = &Mutex::new(BTreeSet::new());
    let late = &AtomicUsize::new(0);
    thread::scope(|scope| {
        let payers: Vec<_> = (0..16)
            .map(|_| {
                scope.spawn(move || {
                    loop {
                        let number = next.fetch_add(1, Ordering::SeqCst);
                        if number >= PAYERS {
                            return;
                        }
                        let body = ["{}", r#"{"requires_browser": true}"#][number as usize % 2];
                        let (cheap, cheap_quote) = told(shop, "{}");
                        let (units, quote) = told(shop, body);
                        seen.lock().expect("them").insert(units);
                        thread::sleep(Duration::from_millis(u64::from(number % 7) * 40));
                        if body != "{}" {
                            let nonce = (10_000 + number).to_string();
                            let payment = Some((nonce.as_str(), cheap));
                            let answer = answering(shop, payment, Some(&cheap_quote), body);
                            assert_eq!(answer.status, 402, "{}", answer.body);
                        }
                        let nonce = (1 + number).to_string();
                        let payment = Some((nonce.as_str(), units));
                        late.fetch_add(usize::from(told(shop, body).0 != units), Ordering::SeqCst);
                        let answer = answering(shop, payment, Some(&quote), body);
                        assert_eq!(answer.status, 200, "{}", answer.body);
                        received.fetch_add(units, Ordering::SeqCst);
                    }
                })
            })
            .collect();
        let mut round = 0;
        while payers.iter().any(|payer| !payer.is_finished()) {
            round += 1;
            let price = if round % 2 == 0 { "base_price: 0.01\n" } else { "base_price: 0.013\n" };
            shop.reload(&[("base_price: 0.01\n", price)]);
            thread::sleep(Duration::from_millis(100));
        }
    });
    assert_eq!(
        seen.lock().expect("them").iter().copied().collect::<Vec<_>>(),
        [10_000, 13_000, 15_000, 19_500]
    );
    assert_eq!(shop.upstream.hits(), PAYERS as usize);
    assert_eq!(shop.recipient_balance(), u128::from(received.load(Ordering::SeqCst)));
    // Some paid what they were told when it was another price already.
    assert!(late.load(Ordering::SeqCst) > 20, "{late:?}");
}

/// Whatever cannot be read or taken over while the program runs leaves the prices as they are.
#[test]
fn a_file_that_cannot_be_taken_over_leaves_the_prices() {
    let shop = Shop::open_with("later: {max_delay: 1}\n");
    let dearer = ("base_price: 0.01\n", "base_price: 0.013\n");
    for (from, to) in [
        ("default: not_found", "default: nowhere"),
        (
            "pay_to: \"0x209693Bc6afc0C5328bA36FaF03C514EF312287C\"",
            "pay_to: \"0x70997970C51812dc3A010C7d01b50e0d17dc79C8\"",
        ),
        ("later: {max_delay: 1}", "later: {max_delay: 2}"),
        ("ledger: ./x402.redb", "ledger: ./other.redb"),
        ("chain: {rpc: \"http://", "chain: {rpc: \"http://a@"),
    ] {
        shop.reload(&[dearer, (from, to)]);
        thread::sleep(Duration::from_millis(300));
        assert_eq!(told(&shop, "{}").0, 10_000, "{to}");
    }
    shop.reload(&[dearer]);
    let deadline = Instant::now() + Duration::from_secs(10);
    while told(&shop, "{}").0 != 13_000 {
        assert!(Instant::now() < deadline, "the prices stay");
        thread::sleep(Duration::from_millis(20));
    }
}
