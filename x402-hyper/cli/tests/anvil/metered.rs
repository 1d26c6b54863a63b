//! What is sold by the token and by the minute, paid on a real node. All amounts are computed by hand:
//! 0.00001 for a token of the request, of which four bytes make one, 0.00003 for one of the answer, and
//! 0.10 for a minute.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;
use x402_core::Amount;

use crate::http::{self, Answer};
use crate::shop::{BUYER, BUYER_KEY, Shop, four_fields, terms};

const COMPLETIONS: &str = "POST /v1/chat/completions";
/// 54 bytes are 14 tokens: 140, and 100 tokens of the answer: 3,000.
const DOCUMENT: &str = r#"{"messages":[],"max_tokens":100,"script":"json:12:34"}"#;
const DOCUMENT_CEILING: u64 = 3_140;
/// 12 tokens and 34.
const DOCUMENT_COST: u64 = 120 + 1_020;
/// Permit2, and the proxies of x402 that it lets move money, at their addresses.
pub const PERMIT2: &str = "0x000000000022D473030F116dDEE9F6B43aC78BA3";
pub const UPTO_PROXY: &str = "0x4020A4f3b7b90ccA423B9fabCc0CE57C6C240002";

type Fields = Vec<(&'static str, String)>;

fn paying(nonce: &str, units: u64) -> Fields {
    let mut terms = terms(nonce);
    terms.value = Amount::from_units(units.into());
    let mut fields = four_fields(&terms, nonce);
    let price = terms.value.to_price(6).to_string();
    crate::shop::set(&mut fields, "X-Payment-Amount", &price);
    fields
}

fn drawing(credit: &str, nonce: &str) -> Fields {
    vec![("X-Payment-Credit", credit.to_owned()), ("X-Payment-Nonce", nonce.to_owned())]
}

fn ask(shop: &Shop, line: &str, fields: &[(&'static str, String)], body: &str) -> Answer {
    http::exchange(shop.address, &http::request(line, fields, body))
}

/// What is left of what was paid, in units: a request that nobody could pay for tells it.
fn credit(shop: &Shop, credit: &str) -> u64 {
    let dear = r#"{"messages":[],"max_tokens":1000000000,"script":"json:1:1"}"#;
    let answer = ask(shop, COMPLETIONS, &drawing(credit, "999"), dear);
    assert_eq!((answer.status, answer.header("X-Payment-Error")), (402, Some("402.1")));
    let balance = answer.header("X-Payment-Balance").expect("a balance");
    let balance = x402_core::Price::parse(balance).expect("a number");
    balance.to_amount(6).expect("units").to_string().parse().expect("a number")
}

fn until<T: PartialEq + core::fmt::Debug>(expected: T, is: impl Fn() -> T) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while is() != expected {
        assert!(Instant::now() < deadline, "{:?} is not {expected:?}", is());
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn tokens_are_paid_for_up_to_a_ceiling_and_the_rest_is_credit() {
    let mut shop = Shop::open();
    let unpaid = ask(&shop, COMPLETIONS, &[], DOCUMENT);
    assert_eq!((unpaid.status, unpaid.header("X-Payment-Amount")), (402, Some("0.00314")));
    let paid = ask(&shop, COMPLETIONS, &paying("1", DOCUMENT_CEILING), DOCUMENT);
    assert_eq!(paid.status, 200, "{}", paid.body);
    assert_eq!(shop.recipient_balance(), u128::from(DOCUMENT_CEILING));
    let token = paid.header("X-Payment-Credit").expect("its name").to_owned();
    assert_eq!(credit(&shop, &token), DOCUMENT_CEILING - DOCUMENT_COST);
    // Two thousand are left: not enough for the ceiling, until there is more.
    let short = ask(&shop, COMPLETIONS, &drawing(&token, "1"), DOCUMENT);
    assert_eq!((short.status, short.header("X-Payment-Balance")), (402, Some("0.002")));
    ask(&shop, COMPLETIONS, &paying("2", DOCUMENT_CEILING), DOCUMENT);
    shop.restart();
    let hits = shop.upstream.hits();
    for _ in 0..2 {
        let drawn = ask(&shop, COMPLETIONS, &drawing(&token, "1"), DOCUMENT);
        assert_eq!((drawn.status, &drawn.body), (200, &paid.body));
        assert_eq!(drawn.header("X-Payment-Payer"), Some(BUYER));
        assert_eq!(credit(&shop, &token), 2 * DOCUMENT_CEILING - 3 * DOCUMENT_COST);
    }
    assert_eq!(shop.upstream.hits(), hits + 1);
    assert_eq!(shop.recipient_balance(), 2 * u128::from(DOCUMENT_CEILING));
}

/// Sends a request for a stream, and gives what comes, from behind the head on.
fn open_stream(shop: &Shop, line: &str, fields: &Fields, body: &str) -> BufReader<TcpStream> {
    let mut stream = TcpStream::connect(shop.address).expect("a connection");
    stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a timeout");
    stream.write_all(http::request(line, fields, body).as_bytes()).expect("sent");
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    stream.read_line(&mut line).expect("a status line");
    assert!(line.starts_with("HTTP/1.1 200 "), "{line}");
    while line != "\r\n" {
        line.clear();
        stream.read_line(&mut line).expect("a field");
    }
    stream
}

/// 72 bytes are 18 tokens: 180, and 10,000 of the answer: 300,000. The upstream counts 9 and 10,000.
#[test]
fn a_stream_of_ten_thousand_pieces_is_not_held_back() {
    let shop = Shop::open();
    let body = r#"{"messages":[],"stream":true,"max_tokens":10000,"script":"chunks:10000"}"#;
    let ceiling = 300_180;
    let mut stream = open_stream(&shop, COMPLETIONS, &paying("1", ceiling), body);
    let mut first = String::new();
    while !first.contains("abcd") {
        assert_ne!(stream.read_line(&mut first).expect("a line"), 0, "{first}");
    }
    // The upstream says nothing more until this is seen.
    assert!(shop.upstream.last().contains(r#""stream_options":{"include_usage":true}"#));
    shop.upstream.gate().open();
    let mut all = first;
    stream.read_to_string(&mut all).expect("the rest");
    assert!(all.ends_with("0\r\n\r\n"), "it came to its end");
    assert_eq!(http::dechunk(&all).matches("abcd").count(), 10_000);
    let again = ask(&shop, COMPLETIONS, &paying("1", ceiling), body);
    assert_eq!(again.body.matches("abcd").count(), 10_000);
    let token = again.header("X-Payment-Credit").expect("its name");
    assert_eq!(credit(&shop, token), ceiling - (90 + 300_000));
    assert_eq!((shop.upstream.hits(), shop.recipient_balance()), (1, u128::from(ceiling)));
}

/// What is said of an answer that was given, and not kept, once it is over.
fn concluded(shop: &Shop, fields: &Fields, body: &str) -> Answer {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let again = ask(shop, COMPLETIONS, fields, body);
        assert_eq!(again.status, 409, "{}", again.body);
        if again.header("Retry-After").is_none() {
            return again;
        }
        assert!(Instant::now() < deadline, "it is not over");
        thread::sleep(Duration::from_millis(50));
    }
}

/// 67 bytes are 17 tokens: 170, and 500 of the answer: 15,000. A hundred pieces of four letters pass:
/// 100 tokens, 3,000.
#[test]
fn an_aborted_stream_is_charged_for_what_has_passed() {
    let shop = Shop::open();
    shop.upstream.gate().open();
    let body = r#"{"messages":[],"stream":true,"max_tokens":500,"script":"break:100"}"#;
    let ceiling = 15_170;
    let mut stream = open_stream(&shop, COMPLETIONS, &paying("1", ceiling), body);
    let mut all = String::new();
    let _ = stream.read_to_string(&mut all);
    assert_eq!(http::dechunk(&all).matches("abcd").count(), 100);
    assert!(!all.ends_with("0\r\n\r\n"), "it looks whole");
    let again = concluded(&shop, &paying("1", ceiling), body);
    let token = again.header("X-Payment-Credit").expect("its name");
    assert_eq!(credit(&shop, token), ceiling - (170 + 3_000));
    assert_eq!(shop.upstream.hits(), 1);
}

/// Whoever hangs up is charged for what has passed by then, and the upstream is told.
#[test]
fn a_stream_ends_when_nobody_listens() {
    let shop = Shop::open();
    let body = r#"{"messages":[],"stream":true,"max_tokens":10000,"script":"chunks:10000"}"#;
    let fields = paying("1", 300_180);
    let mut stream = open_stream(&shop, COMPLETIONS, &fields, body);
    let mut first = String::new();
    while !first.contains("abcd") {
        assert_ne!(stream.read_line(&mut first).expect("a line"), 0, "{first}");
    }
    drop(stream);
    let again = concluded(&shop, &fields, body);
    shop.upstream.gate().open();
    let token = again.header("X-Payment-Credit").expect("its name");
    // 18 tokens and one.
    assert_eq!(credit(&shop, token), 300_180 - (180 + 30));
}

/// The buyer's own program signs the ceiling, and no more moves than was used.
#[test]
fn of_a_ceiling_that_was_signed_only_what_was_used_moves() {
    let shop = Shop::open_with("later: {max_delay: 0}\n");
    let code = include_str!("../../../../tests/contracts/bytecode/Permit2.runtime.hex");
    shop.node.install(PERMIT2, code);
    let code = include_str!("../../../../tests/contracts/bytecode/UptoProxy.runtime.hex");
    shop.node.install(UPTO_PROXY, code);
    shop.node.approve(BUYER, PERMIT2);
    let pay = |path: &str, args: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_x402"))
            .arg("pay")
            .arg(format!("http://{}{path}", shop.address))
            .args(["--max", "0.5", "--permit2", "--json"])
            .args(args)
            .env("X402_KEY", BUYER_KEY)
            .output()
            .expect("the buyer's program");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
        said
    };
    pay("/v1/chat/completions", &["-d", DOCUMENT]);
    until(u128::from(DOCUMENT_COST), || shop.recipient_balance());
    // Two seconds of three minutes are one.
    pay("/live/ticks?seconds=2", &["-H", "X-Payment-Minutes: 3"]);
    until(u128::from(DOCUMENT_COST) + 100_000, || shop.recipient_balance());
    assert_eq!(shop.exported(), shop.recipient_balance());
}

#[test]
fn minutes_are_bought_and_give_a_pass() {
    let mut shop = Shop::open();
    let (line, minutes) = ("GET /live/ticks?seconds=1", ("X-Payment-Minutes", "3".to_owned()));
    let unpaid = ask(&shop, line, &[], "");
    assert_eq!((unpaid.status, unpaid.header("X-Payment-Amount")), (402, Some("0.1")));
    let unpaid = ask(&shop, line, core::slice::from_ref(&minutes), "");
    assert_eq!((unpaid.status, unpaid.header("X-Payment-Amount")), (402, Some("0.3")));
    let mut fields = paying("1", 300_000);
    fields.push(minutes);
    let paid = ask(&shop, line, &fields, "");
    assert_eq!((paid.status, paid.body.matches("data: ").count()), (200, 10));
    let pass = vec![("X-Payment-Pass", paid.header("X-Payment-Pass").expect("one").to_owned())];
    shop.restart();
    for _ in 0..3 {
        let passed = ask(&shop, line, &pass, "");
        assert_eq!((passed.status, passed.body.matches("data: ").count()), (200, 10));
    }
    let elsewhere = ask(&shop, "POST /api/analyze", &pass, "some words");
    assert_eq!(elsewhere.status, 402);
    assert!(shop.upstream.last().contains(&format!("x-payer: {BUYER}")), "who has paid is told");
    assert_eq!((shop.upstream.hits(), shop.recipient_balance()), (4, 300_000));
    // A refusal in time costs nothing more.
    let refused = ask(&shop, line, &[("X-Payment-Pass", "nonsense".to_owned())], "");
    assert_eq!(refused.status, 402);
    assert_eq!(refused.json()["error"], json!("invalid_pass"));
}
