//! Honest payers before nodes that are late, or blind: nobody is told to pay anew, and all are served.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;
use x402_core::Authorization;

use super::{books_agree, is_open, paying, requests, sign, wait_for};
use crate::facilitator::{Service, body_of, settle};
use crate::faults::{PRICE, rounds};
use crate::http::{self, Answer};
use crate::node::Node;
use crate::proxy::Proxy;
use crate::shop::{BUYER, SETTLER_KEY, Setup, Shop, terms, usdc};

/// How long a node says nothing of receipts and logs.
const BLIND: Duration = Duration::from_secs(15);

fn payments(numbers: impl Iterator<Item = u64>) -> Vec<String> {
    requests(&numbers.map(|n| paying(&terms(&n.to_string()))).collect::<Vec<_>>())
}

/// Repeats one request until it is served; nobody ever says that it has failed.
fn patience(to: SocketAddr, request: &str) -> Answer {
    let deadline = Instant::now() + Duration::from_secs(55);
    loop {
        let answer = http::exchange(to, request);
        if answer.status == 200 {
            return answer;
        }
        assert!(is_open(&answer), "told to pay anew: {} {}", answer.status, answer.body);
        assert!(answer.header("X-Payment-Required").is_none(), "{}", answer.body);
        assert!(Instant::now() < deadline, "it is not served: {}", answer.body);
        thread::sleep(Duration::from_millis(500));
    }
}

/// So many at the same time, each until it is served.
fn all_served(to: SocketAddr, requests: &[String], at_once: usize) {
    let left = Mutex::new(requests.iter());
    thread::scope(|scope| {
        for _ in 0..at_once {
            scope.spawn(|| {
                loop {
                    let next = left.lock().expect("the rest").next();
                    let Some(request) = next else { return };
                    patience(to, request);
                }
            });
        }
    });
}

/// How many transactions of the gateway's did nothing, and how often at most for one payment.
fn reverted(node: &Node, payments: &[Authorization]) -> (usize, usize) {
    let settler = super::key_of(SETTLER_KEY).to_string().to_lowercase();
    let newest = node.rpc("eth_blockNumber", json!([]));
    let newest = u64::from_str_radix(&newest.as_str().expect("one")[2..], 16).expect("a number");
    let mut times = HashMap::new();
    let (mut sent, mut count) = (0, 0);
    for number in 0..=newest {
        let block = node.rpc("eth_getBlockByNumber", json!([format!("{number:#x}"), true]));
        for transaction in block["transactions"].as_array().expect("a list") {
            if transaction["from"] != settler {
                continue;
            }
            sent += 1;
            let receipt = node.rpc("eth_getTransactionReceipt", json!([transaction["hash"]]));
            if receipt["status"] == "0x1" {
                continue;
            }
            count += 1;
            let input = transaction["input"].as_str().expect("calldata");
            for payment in payments {
                let nonce = x402_core::hex::Hex(payment.nonce.as_bytes()).to_string();
                if input.contains(&nonce[2..]) {
                    *times.entry(nonce).or_insert(0) += 1;
                }
            }
        }
    }
    assert!(sent > 0, "no transaction of the gateway's is found");
    (count, times.values().copied().max().unwrap_or(0))
}

/// Of two back ends behind the URL, one is a block late.
#[test]
fn before_a_back_end_that_is_a_block_late_all_are_served() {
    for (seed, settle) in [(1, "first"), (2, "after"), (3, "later")] {
        let extra = "later: {max_delay: 1, max_owed: \"5\"}\n".to_owned();
        let shop = Shop::set_up(Setup { settle, extra, ..Setup::default() });
        super::install_multicall(&shop.node);
        shop.proxy.go_late(seed);
        play(&shop, &format!("late, {settle}"));
    }
}

/// State is current, and receipts and logs are a block late.
#[test]
fn before_receipts_and_logs_that_are_a_block_late_all_are_served() {
    let shop = Shop::open();
    shop.proxy.keep_history_late();
    play(&shop, "late receipts and logs");
}

/// A block each second, and honest payers.
fn play(shop: &Shop, what: &str) {
    shop.node.mint(BUYER, 100_000_000);
    shop.node.mine_at_once(false);
    shop.node.rpc("evm_setIntervalMining", json!([1]));
    let count = rounds(10, 100);
    all_served(shop.address, &payments(1..=count), 5);
    wait_for("the money", || shop.recipient_balance() == u128::from(count) * PRICE);
    assert!(shop.proxy.late_answers() > 0, "nothing was late");
    books_agree(shop, 0);
    let signed: Vec<_> = (1..=count).map(|n| terms(&n.to_string())).collect();
    let (reverts, most) = reverted(&shop.node, &signed);
    let (paid, had) = (shop.recipient_balance(), shop.upstream.payments());
    println!("{what}: paid {paid}, had {had} x {PRICE}, {reverts} transactions reverted");
    assert!(most <= 1, "a payment was sent {most} times for nothing");
    assert_eq!((paid, had as u64), (u128::from(count) * PRICE, count));
    // Nobody owes: who comes next is served.
    all_served(shop.address, &payments(count + 1..=count + 1), 1);
}

/// State is current, receipts and logs are not there.
#[test]
fn before_a_node_that_shows_no_receipts_and_no_logs_all_wait_and_are_served() {
    let shop = Shop::open();
    let requests = payments(1..=10);
    blind_for_a_while(&shop.proxy, || all_served(shop.address, &requests, 10));
    println!("blind: 10 paid, {} served", shop.upstream.payments());
    assert_eq!((shop.recipient_balance(), shop.upstream.payments()), (10 * PRICE, 10));
    books_agree(&shop, 0);
}

fn blind_for_a_while(proxy: &Proxy, what: impl FnOnce() + Send) {
    proxy.go_blind(true);
    thread::scope(|scope| {
        scope.spawn(what);
        thread::sleep(BLIND);
        proxy.go_blind(false);
    });
}

#[test]
fn nobody_owes_because_a_node_shows_no_receipts_and_no_logs() {
    let extra = "later: {max_delay: 1, max_owed: \"5\"}\n".to_owned();
    let shop = Shop::set_up(Setup { settle: "later", extra, ..Setup::default() });
    super::install_multicall(&shop.node);
    blind_for_a_while(&shop.proxy, || {
        all_served(shop.address, &payments(1..=12), 12);
        let served = Instant::now();
        while served.elapsed() < BLIND {
            let rows = shop.rows();
            let debtors =
                rows.iter().filter(|row| ["unpaid", "failed"].iter().any(|s| row["state"] == *s));
            assert_eq!(debtors.count(), 0, "{rows:?}");
            thread::sleep(Duration::from_millis(500));
        }
    });
    wait_for("the money", || shop.recipient_balance() == 12 * PRICE);
    books_agree(&shop, 0);
    all_served(shop.address, &payments(13..=13), 1);
    println!("blind, later: 12 served, {} paid", shop.recipient_balance() / PRICE);
}

#[test]
fn a_facilitator_calls_nothing_failed_that_it_does_not_know() {
    let service = Service::open();
    let terms: Vec<_> = (1..=10_u32).map(|n| terms(&n.to_string())).collect();
    let bodies: Vec<_> = terms.iter().map(|it| body_of(it, &sign(it, &usdc()).to_rsv())).collect();
    let to = service.address;
    blind_for_a_while(&service.proxy, || {
        thread::scope(|scope| {
            for body in &bodies {
                scope.spawn(move || insist_on_settling(to, body));
            }
        });
    });
    println!("blind, facilitator: {} settled", service.received() / PRICE);
    assert_eq!(service.received(), 10 * PRICE);
}

fn insist_on_settling(to: SocketAddr, body: &str) {
    let deadline = Instant::now() + Duration::from_secs(55);
    loop {
        let answer = settle(to, body).json();
        if answer["success"] == true {
            return;
        }
        assert_eq!(answer["errorReason"], "settlement_pending", "{answer}");
        assert!(Instant::now() < deadline, "it is not settled: {answer}");
        thread::sleep(Duration::from_millis(500));
    }
}
