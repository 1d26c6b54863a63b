use std::time::{Duration, Instant};

use serde_json::Value;

use crate::process::{Running, run, run_with};

#[test]
fn once_shows_the_payment_and_ends() {
    let text = run(&["demo", "--once"]).succeeded();
    for line in [
        "> POST /api/analyze HTTP/1.1",
        "< HTTP/1.1 402 Payment Required",
        "< x-payment-amount: 0.01",
        "> X-Payment-Signature: 0x",
        "< HTTP/1.1 200 OK",
        "\"words\":9",
        "before  buyer 1 USDC, recipient 0 USDC",
        "after   buyer 0.99 USDC, recipient 0.01 USDC",
        "moved   10000 atomic units, by the transaction 0x",
        "of these: verify ",
    ] {
        assert!(text.to_lowercase().contains(&line.to_lowercase()), "{line}\n{text}");
    }
}

#[test]
fn json_is_one_object() {
    let text = run(&["demo", "--once", "--json"]).succeeded();
    let report: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(report["ok"], true);
    assert_eq!(report["balances"]["after"]["recipient"], "10000");
    assert!(report["ms"]["split"]["settle"].is_number(), "{report}");
}

#[test]
fn the_lines_to_paste_work() {
    let mut demo = Running::start(&["demo"], &[]);
    let line = demo.line("X402_KEY=");
    demo.line("Ctrl-C");
    let words: Vec<_> = line.split_whitespace().collect();
    let key = words[0].strip_prefix("X402_KEY=").unwrap();
    let url = words.iter().find(|word| word.starts_with("http://")).unwrap();
    let args = ["pay", url, "--max", "0.05", "-d", "some words"];
    let paid = run_with(&args, &[("X402_KEY", key)], std::path::Path::new("."));
    assert!(paid.stderr.contains("settled in 0x"), "{paid:?}");
    assert!(paid.succeeded().contains("\"words\":2"));
    let started = Instant::now();
    assert_eq!(demo.interrupt().code, 0);
    assert!(started.elapsed() < Duration::from_secs(10));
}
