//! What is printed arrives, or the program says that it did not.
#![cfg(target_os = "linux")]

use std::fs::File;
use std::io::PipeWriter;
use std::path::Path;

use crate::process::{Ended, run_to, run_with};
use crate::seller::{BUYER_KEY, PAY_TO, Scripted, Shop, answer, challenge};

const TRANSACTION: &str = "0x89c91c789e57059b17285e7ba1716a1f5ff4c5dace0ea5a5135f26158d0421b9";
const ENV: &[(&str, &str)] = &[("X402_KEY", BUYER_KEY)];

/// A disk that is full.
fn full() -> File {
    File::options().write(true).open("/dev/full").unwrap()
}

/// A pipe that nobody reads any more.
fn closed() -> PipeWriter {
    let (_, writer) = std::io::pipe().unwrap();
    writer
}

fn seller() -> Scripted {
    Scripted::start(|request, _| {
        match request.to_lowercase().contains("\r\nx-payment-signature:") {
            true => {
                answer("200 OK", &format!("X-Payment-Transaction: {TRANSACTION}\r\n"), "served")
            }
            false => challenge(),
        }
    })
}

#[track_caller]
fn assert_said(ended: &Ended) {
    assert_eq!(ended.code, 8, "{ended:?}");
    assert!(ended.stderr.contains("error: stdout cannot be written: No space left"), "{ended:?}");
}

#[test]
fn what_cannot_be_written_is_an_error() {
    let shop = Shop::open();
    let here = shop.folder.path();
    let args = ["pay", &shop.url, "--max", "1", "-d", "some words"];
    assert_eq!(run_with(&args, ENV, here).code, 0);
    let vectors = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/vectors/eip3009_valid.json");
    std::fs::write(here.join("log"), "{\"method\":\"POST\",\"path\":\"/api/analyze\"}\n").unwrap();
    let config = ["--config", "x402.yaml"];
    for args in [
        &[&["ledger", "export"], &config[..]].concat()[..],
        &[&["ledger", "list"], &config[..]].concat(),
        &[&["ledger", "list", "--format", "json"], &config[..]].concat(),
        &[&["ledger", "credits"], &config[..]].concat(),
        &[&["price", "POST", "/api/analyze"], &config[..]].concat(),
        &[&["simulate", "log"], &config[..]].concat(),
        &["vectors", vectors],
        &["quote", &shop.url, "-X", "POST"],
        &["quote", &shop.url, "-X", "POST", "--json"],
        &["demo", "--once", "--json"],
        &["--help"],
        &["pay", "--help"],
        &["--version"],
    ] {
        let whole = run_with(args, ENV, here);
        assert_eq!(whole.code, 0, "{args:?}: {whole:?}");
        assert_said(&run_to(full(), args, ENV, here));
        // Whoever has read enough is not told so; but of the books, all is wanted.
        let unread = run_to(closed(), args, ENV, here);
        let expected = if args[1..].first() == Some(&"export") { 8 } else { 0 };
        assert_eq!(unread.code, expected, "{args:?}: {unread:?}");
        assert!(!unread.stderr.contains("cannot be written"), "{unread:?}");
    }
}

#[test]
fn an_error_stays_what_it_is_without_an_output() {
    let args = ["pay", "http://127.0.0.1:1/", "--max", "1", "--json"];
    assert_eq!(run_to(full(), &args, ENV, Path::new(".")).code, 1);
    let args = ["vectors", "no/such/file"];
    assert_eq!(run_to(full(), &args, ENV, Path::new(".")).code, 2);
}

#[test]
fn a_paid_answer_that_was_lost_is_had_again_for_the_same_payment() {
    for flags in [&["--max", "1"][..], &["--max", "1", "--json"]] {
        let (seller, folder) = (seller(), tempfile::tempdir().unwrap());
        let url = seller.url();
        let args = [&["pay", &url, "-d", "some words"], flags].concat();
        let lost = run_to(full(), &args, ENV, folder.path());
        assert_said(&lost);
        for said in ["paid 0.01 USDC", PAY_TO, TRANSACTION, "the answer could not be written"] {
            assert!(lost.stderr.contains(said), "{said}: {lost:?}");
        }
        let kept = std::fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().file_name();
        assert!(lost.stderr.contains(&format!("--resume {}", kept.to_str().unwrap())), "{lost:?}");
        let again = run_with(&args, ENV, folder.path());
        assert_eq!(again.code, 0, "{again:?}");
        assert!(again.stdout.contains("served"), "{again:?}");
        let signatures = seller.signatures();
        assert!(signatures.len() == 2 && signatures[0] == signatures[1]);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}

#[test]
fn a_reader_who_has_enough_leaves_nothing_open() {
    let (seller, folder) = (seller(), tempfile::tempdir().unwrap());
    let args = ["pay", &seller.url(), "-d", "some words", "--max", "1"];
    let unread = run_to(closed(), &args, ENV, folder.path());
    assert_eq!(unread.code, 0, "{unread:?}");
    assert!(unread.stderr.contains("paid 0.01 USDC"), "{unread:?}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}
