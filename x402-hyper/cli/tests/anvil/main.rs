//! The exchange of the header dialect against a real node, byte by byte over a raw socket.
#![allow(unreachable_pub, missing_docs, reason = "a test program exports nothing")]

mod attacks;
mod facilitator;
mod faults;
mod http;
mod later;
mod metered;
mod model;
mod node;
mod prices;
mod proxy;
mod shop;
mod wallet;

use x402_core::{Amount, Asset, ChainId, Timestamp};

use shop::{BUYER, PAY_TO, Shop, fields, four_fields, set, sign, terms, usdc};

/// Nothing served, nothing moved.
fn assert_refused(shop: &Shop, answer: &http::Answer, status: u16, code: &str) {
    assert_eq!(answer.status, status, "{}", answer.body);
    let body = answer.json();
    assert_eq!(body["code"], code, "{body}");
    assert!(body["reason"].is_string() && body["message"].is_string() && body["help"].is_string());
    if status == 402 {
        assert_eq!(answer.header("X-Payment-Error"), Some(code));
        assert_eq!(answer.header("X-Payment-Required"), Some("true"));
    }
    assert_eq!(shop.recipient_balance(), 0);
    assert_eq!(shop.upstream.hits(), 0);
}

#[test]
fn the_exchange_as_documented() {
    let mut shop = Shop::open();

    let unpaid = shop.send(&[]);
    assert_eq!(unpaid.status, 402);
    for (name, value) in [
        ("X-Payment-Required", "true"),
        ("X-Payment-Amount", "0.01"),
        ("X-Payment-Asset", "USDC"),
        ("X-Payment-Network", "ethereum"),
        ("X-Payment-Recipient", PAY_TO),
        ("X-Payment-Timeout", "60"),
        ("Cache-Control", "no-store"),
    ] {
        assert_eq!(unpaid.header(name), Some(value), "{name}");
    }
    assert_eq!(unpaid.header("X-Payment-Error"), None);
    assert_eq!((shop.recipient_balance(), shop.upstream.hits()), (0, 0));

    let payment = four_fields(&terms("12345"), "12345");
    let paid = shop.send(&payment);
    assert_eq!(paid.status, 200, "{}", paid.body);
    assert_eq!(paid.json()["served"], 1);
    assert_eq!(paid.header("X-Payment-Status"), Some("settled"));
    assert_eq!(paid.header("X-Payment-Payer"), Some(BUYER));
    let transaction = paid.header("X-Payment-Transaction").expect("a hash").to_owned();
    assert_eq!(shop.recipient_balance(), 10_000);
    assert_eq!(shop.node.balance(BUYER), 990_000);
    let receipt = shop.node.rpc("eth_getTransactionReceipt", serde_json::json!([transaction]));
    assert_eq!(receipt["status"], "0x1");

    // A replay is the same answer, not the same work; for another body it is refused.
    let replay = shop.send(&payment);
    assert_eq!((replay.status, &replay.body), (200, &paid.body));
    let other = shop.send_body(&payment, "other words");
    assert_eq!(other.status, 409, "{}", other.body);
    shop.restart();
    let replay = shop.send(&payment);
    assert_eq!((replay.status, &replay.body), (200, &paid.body));
    let transaction_again = replay.header("X-Payment-Transaction");
    assert_eq!(transaction_again, Some(transaction.as_str()));
    assert_eq!((shop.recipient_balance(), shop.upstream.hits()), (10_000, 1));
}

#[test]
fn round_trips_to_the_chain() {
    let shop = Shop::open();
    shop.proxy.take();

    let mut bad = four_fields(&terms("1"), "1");
    set(&mut bad, "X-Payment-Nonce", "2");
    assert_refused(&shop, &shop.send(&bad), 402, "402.2");
    assert_eq!(shop.proxy.take(), Vec::<String>::new(), "a refusal asks the chain nothing");

    // The first payment may also learn the account's nonce and the fees.
    assert_eq!(shop.send(&four_fields(&terms("3"), "3")).status, 200);
    shop.proxy.take();
    assert_eq!(shop.send(&four_fields(&terms("4"), "4")).status, 200);
    let asked = shop.proxy.take();
    // The receipt, and the head where its block is newer than any that was seen.
    let polls = ["eth_getTransactionReceipt", "eth_getBlockByNumber"];
    let without_polls: Vec<_> =
        asked.iter().filter(|method| !polls.contains(&method.as_str())).collect();
    assert_eq!(without_polls[0], "eth_call", "accepted by one call: {asked:?}");
    assert!(without_polls.len() <= 3, "settled by at most two round trips: {asked:?}");
    assert_eq!(*without_polls.last().expect("a call"), "eth_sendRawTransaction");
    let heads = asked.iter().filter(|method| *method == "eth_getBlockByNumber").count();
    assert!(heads <= 1, "its receipt is checked by one block at most: {asked:?}");
    println!("accept and settle: {asked:?}");
}

#[test]
fn too_little_is_402_1() {
    let shop = Shop::open();
    let mut little = terms("1");
    little.value = Amount::from_units(9_999);
    assert_refused(&shop, &shop.send(&four_fields(&little, "1")), 402, "402.1");

    // The amount that is stated is not the amount that is signed.
    let mut lying = four_fields(&little, "1");
    set(&mut lying, "X-Payment-Amount", "0.01");
    assert_refused(&shop, &shop.send(&lying), 402, "402.2");

    shop.node.call_token(&{
        // transferWithAuthorization of all that the buyer has but 9,999 units, to somebody else.
        let mut away = terms("77");
        away.to = x402_core::Address::new([0x11; 20]);
        away.value = Amount::from_units(990_001);
        x402_core::hex::Hex(&away.calldata(&sign(&away, &usdc()))).to_string()
    });
    assert_eq!(shop.node.balance(BUYER), 9_999);
    let answer = shop.send(&four_fields(&terms("2"), "2"));
    assert_refused(&shop, &answer, 402, "402.1");
    assert_eq!(answer.json()["reason"], "insufficient_funds");
}

#[test]
fn a_wrong_signature_is_402_2() {
    let shop = Shop::open();
    let good = four_fields(&terms("1"), "1");
    let signature = good[0].1.clone();
    assert_eq!(good[0].0, "X-Payment-Signature");
    let respelt = |at: usize, digit: &str| {
        let mut text = signature.clone();
        text.replace_range(at..=at, digit);
        let mut fields = good.clone();
        set(&mut fields, "X-Payment-Signature", &text);
        fields
    };

    // One bit of r: 0x, then 36 bytes of terms.
    let at = 2 + 2 * 36 + 5;
    let flipped = u8::from_str_radix(&signature[at..=at], 16).expect("a digit") ^ 1;
    assert_refused(&shop, &shop.send(&respelt(at, &format!("{flipped:x}"))), 402, "402.2");

    // s' = n - s with the other v recovers the same key, and the token refuses it.
    let s = ruint::aliases::U256::from_str_radix(&signature[2 + 2 * 68..2 + 2 * 100], 16);
    let order = "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141";
    let order = ruint::aliases::U256::from_str_radix(order, 16).expect("the order");
    let v = if signature.ends_with("1b") { "1c" } else { "1b" };
    let high = format!("{}{:064x}{v}", &signature[..2 + 2 * 68], order - s.expect("a number"));
    let mut fields_high = good.clone();
    set(&mut fields_high, "X-Payment-Signature", &high);
    let answer = shop.send(&fields_high);
    assert_refused(&shop, &answer, 402, "402.2");
    assert!(answer.json()["message"].as_str().expect("a message").contains("upper half"));

    let mut domain = usdc();
    domain.name = "USDC";
    let authorization = terms("1");
    let wrong_domain = fields(&authorization, sign(&authorization, &domain), "1");
    assert_refused(&shop, &shop.send(&wrong_domain), 402, "402.2");

    let mut elsewhere = terms("1");
    elsewhere.to = x402_core::Address::new([0x11; 20]);
    assert_refused(&shop, &shop.send(&four_fields(&elsewhere, "1")), 402, "402.2");
}

#[test]
fn another_asset_is_402_3_and_another_network_402_4() {
    let shop = Shop::open();
    let eurc = Asset::find(ChainId::ETHEREUM, "EURC").expect("EURC");
    let authorization = terms("1");
    let mut payment = fields(&authorization, sign(&authorization, eurc), "1");
    set(&mut payment, "X-Payment-Asset", "EURC");
    assert_refused(&shop, &shop.send(&payment), 402, "402.3");

    let mut payment = four_fields(&authorization, "1");
    payment.push(("X-Payment-Network", "base".to_owned()));
    assert_refused(&shop, &shop.send(&payment), 402, "402.4");
}

#[test]
fn out_of_time_is_402_5() {
    let shop = Shop::open();
    let mut expired = terms("1");
    expired.valid_before = Timestamp::from_secs(1_700_000_000);
    assert_refused(&shop, &shop.send(&four_fields(&expired, "1")), 402, "402.5");
    let mut early = terms("1");
    early.valid_after = early.valid_before;
    early.valid_before = early.valid_before.saturating_add(60);
    assert_refused(&shop, &shop.send(&four_fields(&early, "1")), 402, "402.5");
}

#[test]
fn what_cannot_be_read_is_400() {
    let shop = Shop::open();
    let good = four_fields(&terms("1"), "1");
    for (name, value) in [
        ("X-Payment-Signature", "0xzz"),
        ("X-Payment-Signature", "yes"),
        ("X-Payment-Nonce", "0x12"),
        ("X-Payment-Nonce", "-1"),
        ("X-Payment-Amount", "1e-2"),
        ("X-Payment-Amount", "0,01"),
        ("X-Payment-Amount", "+0.01"),
    ] {
        let mut bad = good.clone();
        set(&mut bad, name, value);
        assert_refused(&shop, &shop.send(&bad), 400, "400");
    }
    for at in 0..4 {
        let mut incomplete = good.clone();
        incomplete.remove(at);
        assert_refused(&shop, &shop.send(&incomplete), 400, "400");
        let mut twice = good.clone();
        twice.push(good[at].clone());
        assert_refused(&shop, &shop.send(&twice), 400, "400");
    }
    assert_eq!(shop.send(&good).status, 200);
}

#[test]
fn an_authorization_used_elsewhere_is_409() {
    let shop = Shop::open();
    let authorization = terms("5");
    let calldata = authorization.calldata(&sign(&authorization, &usdc()));
    let receipt = shop.node.call_token(&x402_core::hex::Hex(&calldata).to_string());
    assert_eq!(receipt["status"], "0x1");
    let answer = shop.send(&four_fields(&authorization, "5"));
    assert_eq!(answer.status, 409, "{}", answer.body);
    assert_eq!(answer.json()["reason"], "invalid_exact_evm_nonce_already_used");
    assert_eq!(shop.upstream.hits(), 0);
}

#[test]
fn a_node_that_is_down_is_503_and_charges_nothing() {
    let shop = Shop::open();
    let payment = four_fields(&terms("6"), "6");
    shop.proxy.cut(true);
    let down = shop.send(&payment);
    assert_eq!(down.status, 503, "{}", down.body);
    assert!(down.header("Retry-After").is_some());
    assert_eq!((shop.recipient_balance(), shop.upstream.hits()), (0, 0));
    assert_eq!(shop.send(&[]).status, 402, "prices are told without the chain");
    shop.proxy.cut(false);
    assert_eq!(shop.send(&payment).status, 200);
    assert_eq!((shop.recipient_balance(), shop.upstream.hits()), (10_000, 1));
}

#[test]
fn of_many_equal_requests_one_is_served() {
    let shop = Shop::open();
    let payment = four_fields(&terms("8"), "8");
    let answers: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..32).map(|_| scope.spawn(|| shop.send(&payment))).collect();
        threads.into_iter().map(|thread| thread.join().expect("an answer")).collect()
    });
    assert!(answers.iter().all(|answer| matches!(answer.status, 200 | 409)));
    assert!(answers.iter().any(|answer| answer.status == 200));
    let bodies: Vec<_> = answers.iter().filter(|answer| answer.status == 200).collect();
    assert!(bodies.iter().all(|answer| answer.json()["served"] == 1), "the same answer to all");
    assert_eq!((shop.recipient_balance(), shop.upstream.hits()), (10_000, 1));
    assert!(shop.path().join("x402.redb").exists());
}
