//! The ledger under fire, on a real node: the program is killed, calls get lost, clients hang up.
//!
//! `X402_LONG=1` makes the long form of it.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::http::{self, Answer};
use crate::shop::{Shop, four_fields, terms};

pub const PRICE: u128 = 10_000;

pub fn rounds(short: u64, long: u64) -> u64 {
    if std::env::var_os("X402_LONG").is_some() { long } else { short }
}

pub fn request(nonce: &str) -> String {
    let fields = four_fields(&terms(nonce), nonce);
    http::request("POST /api/analyze", &fields, "some words")
}

/// Repeats a request until it is served.
pub fn insist(to: SocketAddr, request: &str) -> Answer {
    let mut last = None;
    for _ in 0..400 {
        match http::try_exchange(to, request) {
            Some(answer) if answer.status == 200 => return answer,
            Some(answer) => {
                assert!(matches!(answer.status, 409 | 503 | 500), "{}", answer.body);
                last = Some(answer.body);
            }
            None => {}
        }
        thread::sleep(Duration::from_millis(25));
    }
    panic!("it is not served: {last:?}");
}

/// Numbers that follow from a seed (Knuth's MMIX generator).
pub fn after(seed: u64) -> u64 {
    seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407)
}

/// How many payments are under way when the program is killed.
pub const AT_ONCE: u64 = 8;

/// Kills the program at this instant, with payments under way and calls that get lost, starts it again,
/// and has each request repeated until it is served.
pub fn kill_amid(shop: &mut Shop, round: u64, instant: Duration) -> (Vec<String>, Vec<Answer>) {
    let requests: Vec<_> =
        (0..AT_ONCE).map(|n| request(&(1 + round * AT_ONCE + n).to_string())).collect();
    shop.proxy.lose(round + 1);
    let to = shop.address;
    thread::scope(|scope| {
        for request in &requests {
            scope.spawn(move || http::try_exchange(to, request));
        }
        thread::sleep(instant);
        shop.kill();
    });
    // A program that cannot ask its chain at the start says so and ends; that is not the point here.
    shop.proxy.lose(0);
    shop.start_program();
    shop.proxy.lose(round + 1);
    let to = shop.address;
    let answers = thread::scope(|scope| {
        let insisting: Vec<_> =
            requests.iter().map(|request| scope.spawn(move || insist(to, request))).collect();
        insisting.into_iter().map(|thread| thread.join().expect("an answer")).collect()
    });
    (requests, answers)
}

#[test]
fn who_is_killed_at_any_instant_serves_what_was_paid() {
    let mut shop = Shop::open();
    shop.node.mint(crate::shop::BUYER, 100_000_000);
    let (rounds, begun) = (rounds(200, 2_000), Instant::now());
    let mut luck = 42;
    for round in 0..rounds {
        luck = after(luck);
        let instant = Duration::from_micros((luck >> 33) % 120_000);
        let (requests, answers) = kill_amid(&mut shop, round, instant);
        let to = shop.address;
        // What was served is served again, and is the same.
        for (request, answer) in requests.iter().zip(&answers) {
            assert_eq!(insist(to, request).body, answer.body);
        }
        let served = (round + 1) * AT_ONCE;
        assert_eq!(
            shop.recipient_balance(),
            u128::from(served) * PRICE,
            "round {round}, {instant:?}"
        );
        assert_eq!(shop.upstream.payments() as u64, served, "round {round}, {instant:?}");
    }
    assert_eq!(shop.exported(), shop.recipient_balance(), "the books add up");
    let again = shop.upstream.hits() - shop.upstream.payments();
    println!(
        "{rounds} kills with {AT_ONCE} payments under way: served and received {}, work asked for again {again} times, {:.1} s",
        rounds * AT_ONCE,
        begun.elapsed().as_secs_f32()
    );
}

#[test]
fn of_a_thousand_equal_requests_one_is_served() {
    let shop = Shop::open();
    shop.node.mint(crate::shop::BUYER, 100_000_000);
    let rounds = rounds(5, 100);
    for round in 0..rounds {
        let request = request(&(1 + round).to_string());
        shop.proxy.take();
        // All of them come while the first waits, however long that takes here.
        shop.proxy.withhold_receipts(true);
        let (left, answered) = (&AtomicUsize::new(1_000), &AtomicUsize::new(0));
        let answers: Vec<_> = thread::scope(|scope| {
            let (request, to) = (&request, shop.address);
            let threads: Vec<_> =
                (0..64).map(|_| scope.spawn(move || race(to, request, left, answered))).collect();
            while answered.load(Ordering::SeqCst) < 999 && !threads.iter().all(|t| t.is_finished())
            {
                thread::sleep(Duration::from_millis(5));
            }
            shop.proxy.withhold_receipts(false);
            threads.into_iter().flat_map(|thread| thread.join().expect("answers")).collect()
        });
        assert_eq!(answers.len(), 1_000);
        let served = answers.iter().filter(|status| **status == 200).count();
        assert_eq!(served, 1, "round {round}");
        assert!(answers.iter().all(|status| matches!(status, 200 | 409)), "round {round}");
        let sent = shop.proxy.take();
        let sent = sent.iter().filter(|method| *method == "eth_sendRawTransaction").count();
        assert_eq!((sent, shop.upstream.hits() as u64), (1, round + 1), "round {round}");
        assert_eq!(shop.recipient_balance(), u128::from(round + 1) * PRICE);
    }
    println!(
        "{rounds} races of 1,000 equal requests on 64 connections: one served, one run, one broadcast each"
    );
}

/// Equal requests, one after the other, as long as there are some left.
fn race(to: SocketAddr, request: &str, left: &AtomicUsize, answered: &AtomicUsize) -> Vec<u16> {
    let take = || left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
    let ask = |_| {
        let status = http::exchange(to, request).status;
        answered.fetch_add(1, Ordering::SeqCst);
        status
    };
    core::iter::from_fn(|| take().ok()).map(ask).collect()
}

#[test]
fn a_client_who_hangs_up_at_any_instant_is_served_later() {
    let shop = Shop::open();
    shop.node.mint(crate::shop::BUYER, 100_000_000);
    let rounds = rounds(40, 400);
    let mut luck = 7;
    for round in 0..rounds {
        let request = request(&(1 + round).to_string());
        luck = after(luck);
        http::abandon(shop.address, &request, Duration::from_micros((luck >> 33) % 60_000));
        assert_eq!(insist(shop.address, &request).status, 200);
        assert_eq!(shop.upstream.hits() as u64, round + 1);
        assert_eq!(shop.recipient_balance(), u128::from(round + 1) * PRICE);
    }
}

/// A file that may not grow is a disk that is full.
#[test]
fn on_a_full_disk_nothing_is_charged_that_is_not_recorded() {
    let mut shop = Shop::open();
    shop.node.mint(crate::shop::BUYER, 100_000_000);
    insist(shop.address, &request("1"));
    shop.kill();
    let size = std::fs::metadata(shop.path().join("x402.redb")).expect("the ledger").len();
    shop.start_limited(size.div_ceil(1024));
    let mut full = None;
    for nonce in 2..5_000 {
        let request = request(&nonce.to_string());
        // An answer that cannot be kept is cut off.
        let answer = http::try_exchange(shop.address, &request);
        if answer.as_ref().is_none_or(|answer| answer.status != 200) {
            full = Some((request, answer));
            break;
        }
    }
    let (first, answer) = full.expect("the file is full at last");
    if let Some(answer) = answer {
        assert!(matches!(answer.status, 500 | 503), "{}", answer.body);
        assert!(answer.header("X-Payment-Required").is_none());
    }
    // From then on nothing new is taken, and prices are told.
    let before = shop.recipient_balance();
    for nonce in 5_000..5_010 {
        let answer = shop.send(&four_fields(&terms(&nonce.to_string()), &nonce.to_string()));
        assert_eq!(answer.status, 503, "{}", answer.body);
        assert!(answer.header("Retry-After").is_some());
    }
    assert_eq!(shop.send(&[]).status, 402);
    assert_eq!(shop.recipient_balance(), before);
    // With room again, what was under way is served, and the books add up.
    shop.restart();
    insist(shop.address, &first);
    assert_eq!(shop.recipient_balance(), shop.upstream.payments() as u128 * PRICE);
    assert_eq!(shop.exported(), shop.recipient_balance());
}

#[test]
fn a_receipt_that_is_withheld_is_waited_for_and_never_paid_twice() {
    let shop = Shop::open();
    let request = request("1");
    shop.proxy.withhold_receipts(true);
    let begun = Instant::now();
    let withheld = Duration::from_secs(90);
    while begun.elapsed() < withheld {
        let answer = http::exchange(shop.address, &request);
        assert!(matches!(answer.status, 409 | 503), "{}", answer.body);
        if answer.status == 503 {
            assert_eq!(answer.header("X-Payment-Status"), Some("pending"));
            assert!(answer.header("X-Payment-Transaction").is_some());
            assert!(answer.header("X-Payment-Required").is_none());
        }
        thread::sleep(Duration::from_secs(1));
    }
    assert_eq!((shop.recipient_balance(), shop.upstream.hits()), (PRICE, 0));
    shop.proxy.withhold_receipts(false);
    assert_eq!(insist(shop.address, &request).json()["served"], 1);
    assert_eq!((shop.recipient_balance(), shop.upstream.hits()), (PRICE, 1));
    assert_eq!(shop.node.balance(crate::shop::BUYER), 1_000_000 - PRICE);
}
