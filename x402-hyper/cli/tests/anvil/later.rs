//! Work before the money, on a real node.

use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use crate::faults::{AT_ONCE, PRICE, after, insist, kill_amid, request, rounds};
use crate::http;
use crate::shop::{BUYER, Shop, four_fields, terms};
use crate::wallet::MULTICALL3;

const LATER: &str = "\nlater: {max_delay: 1, max_owed: \"5\"}\nmetrics: 127.0.0.1:";

fn open(settle: &'static str, funds: u128) -> (Shop, u16) {
    let port = free_port();
    let shop = Shop::settling(settle, &format!("{LATER}{port}\n"));
    let multicall = include_str!("../../../../x402-std/src/devnet/bytecode/Multicall3.runtime.hex");
    shop.node.install(MULTICALL3, multicall.trim());
    shop.node.mint(BUYER, funds);
    (shop, port)
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("its address").port()
}

/// A counter of the gateway's.
fn metric(port: u16, name: &str) -> u64 {
    let address = ([127, 0, 0, 1], port).into();
    let text = http::exchange(address, &http::request("GET /metrics", &[], "")).body;
    let line = text.lines().find(|line| line.starts_with(name)).expect("the counter");
    line.rsplit(' ').next().expect("a value").parse().expect("a number")
}

fn wait_for(shop: &Shop, balance: u128) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while shop.recipient_balance() != balance {
        let received = shop.recipient_balance();
        assert!(Instant::now() < deadline, "{received} of {balance} were received");
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn served_at_once_and_settled_in_one_transaction() {
    let (shop, metrics) = open("later", 100_000_000);
    for nonce in 1..=40_u32 {
        let answer = http::exchange(shop.address, &request(&nonce.to_string()));
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert_eq!(answer.header("X-Payment-Status"), Some("accepted"));
        assert_eq!(answer.header("X-Payment-Transaction"), None);
    }
    wait_for(&shop, 40 * PRICE);
    // Once it is settled, a repetition names the transaction.
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let answer = http::exchange(shop.address, &request("1"));
        assert_eq!((answer.status, answer.json()["served"].clone()), (200, 1.into()));
        if answer.header("X-Payment-Status") == Some("settled") {
            assert!(answer.header("X-Payment-Transaction").is_some());
            break;
        }
        assert!(Instant::now() < deadline, "{}", answer.body);
        thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(shop.upstream.hits(), 40);
    let payments = metric(metrics, "x402_settled_payments_total{");
    let transactions = metric(metrics, "x402_settling_transactions_total{");
    let gas = metric(metrics, "x402_settling_gas_total{");
    assert_eq!(payments, 40);
    assert!(transactions <= 8, "{transactions} transactions");
    println!("40 payments in {transactions} transactions, {} gas each", gas / payments);
}

#[test]
fn who_owes_as_much_as_he_may_pays_first() {
    let (shop, _) = open("later", 100_000_000);
    // Nothing is settled while the node says nothing of blocks.
    shop.proxy.withhold_receipts(true);
    let mut accepted = 0;
    for nonce in 1..=502_u32 {
        let fields = four_fields(&terms(&nonce.to_string()), &nonce.to_string());
        // Each its own: a second payment for the same request would wait for the first, and be told so.
        let line = format!("POST /api/analyze?{nonce}");
        let request = http::request(&line, &fields, "some words");
        if nonce > 500 {
            // Five USDC are owed: these wait for the chain.
            let mut stream = TcpStream::connect(shop.address).expect("a connection");
            std::io::Write::write_all(&mut stream, request.as_bytes()).expect("sent");
            stream.set_read_timeout(Some(Duration::from_secs(2))).expect("a timeout");
            let mut byte = [0];
            assert!(std::io::Read::read(&mut stream, &mut byte).is_err(), "it is served on trust");
            continue;
        }
        let answer = http::exchange(shop.address, &request);
        assert_eq!(answer.status, 200, "{}", answer.body);
        accepted += u32::from(answer.header("X-Payment-Status") == Some("accepted"));
    }
    assert_eq!(accepted, 500);
    shop.proxy.withhold_receipts(false);
    wait_for(&shop, 502 * PRICE);
}

#[test]
fn who_moves_the_money_away_is_served_no_more() {
    let (shop, _) = open("later", 0);
    // The buyer has one USDC.
    let first = http::exchange(shop.address, &request("1"));
    assert_eq!(first.header("X-Payment-Status"), Some("accepted"));
    shop.node.burn(BUYER);
    // The chain refuses the first, and goes on refusing it.
    thread::sleep(Duration::from_secs(3));
    for nonce in 2..5_u32 {
        let refused = http::exchange(shop.address, &request(&nonce.to_string()));
        assert_eq!(refused.status, 402, "{}", refused.body);
        assert_eq!(refused.header("X-Payment-Error"), Some("402.1"));
    }
    assert_eq!((shop.recipient_balance(), shop.upstream.payments()), (0, 1));
    // With money again the old debt is paid along with the new payment.
    shop.node.mint(BUYER, 2 * PRICE);
    assert_eq!(insist(shop.address, &request("5")).status, 200);
    wait_for(&shop, 2 * PRICE);
    assert_eq!(shop.upstream.payments(), 2);
}

#[test]
fn who_is_forgiven_may_buy_again_and_owes_nothing() {
    let (mut shop, _) = open("later", 0);
    assert_eq!(http::exchange(shop.address, &request("1")).status, 200);
    shop.node.burn(BUYER);
    thread::sleep(Duration::from_secs(3));
    let rows = shop.ledger(&["list", "--format", "json"]);
    let rows: serde_json::Value = serde_json::from_str(&rows).expect("JSON");
    assert_eq!(rows[0]["state"], "unpaid", "{rows}");
    let id = rows[0]["id"].as_str().expect("an id");
    // The file has one owner at a time.
    shop.kill();
    assert!(shop.ledger(&["forgive", id]).contains("owes nothing"));
    assert!(!shop.ledger(&["forgive", id]).contains("owes nothing"), "it is forgiven once");
    shop.start_program();
    shop.node.mint(BUYER, 2 * PRICE);
    assert_eq!(insist(shop.address, &request("2")).status, 200);
    wait_for(&shop, PRICE);
    thread::sleep(Duration::from_secs(2));
    assert_eq!(shop.recipient_balance(), PRICE, "what was forgiven is not charged");
}

#[test]
fn who_is_killed_while_payments_are_owed_settles_them() {
    for settle in ["after", "later"] {
        let (mut shop, _) = open(settle, 100_000_000);
        let rounds = rounds(15, 300);
        let mut luck = 11;
        for round in 0..rounds {
            luck = after(luck);
            let instant = Duration::from_micros((luck >> 33) % 1_500_000);
            kill_amid(&mut shop, round, instant);
            assert_eq!(shop.upstream.payments() as u64, (round + 1) * AT_ONCE, "{instant:?}");
        }
        shop.proxy.lose(0);
        wait_for(&shop, u128::from(rounds * AT_ONCE) * PRICE);
        // The chain has it first, and the books follow.
        let deadline = Instant::now() + Duration::from_secs(30);
        while shop.exported() != shop.recipient_balance() {
            assert!(Instant::now() < deadline, "the books do not add up");
            thread::sleep(Duration::from_millis(200));
        }
        println!("{settle}: {rounds} kills, {} payments received", rounds * AT_ONCE);
    }
}
