use serde_json::Value;

use crate::process::{Ended, run, run_with};
use crate::seller::{BUYER_KEY, PAY_TO, SETTLER_KEY, Shop};

fn ledger(shop: &Shop, args: &[&str]) -> Ended {
    let config = shop.folder.path().join("x402.yaml");
    let args = [&["ledger"], args, &["--config", config.to_str().unwrap()]].concat();
    let ended = run_with(&args, &[("X402_KEY", SETTLER_KEY)], shop.folder.path());
    ended.assert_without(SETTLER_KEY);
    ended
}

fn pay(shop: &Shop) -> String {
    let args = ["pay", &shop.url, "-d", "some words", "--max", "0.05", "--json"];
    let paid = run_with(&args, &[("X402_KEY", BUYER_KEY)], shop.folder.path()).succeeded();
    let paid: Value = serde_json::from_str(&paid).unwrap();
    paid["payment"]["transaction"].as_str().unwrap().to_owned()
}

#[test]
fn the_books_are_read_while_the_gateway_runs_and_add_up() {
    let shop = Shop::open();
    assert_eq!(ledger(&shop, &["list"]).succeeded().lines().count(), 1, "the titles");
    let hashes: Vec<_> = (0..5).map(|_| pay(&shop)).collect();

    let listed = ledger(&shop, &["list"]).succeeded();
    let mut lines = listed.lines();
    let titles: Vec<_> = lines.next().unwrap().split(',').collect();
    let column = |name| titles.iter().position(|title| *title == name).unwrap();
    let rows: Vec<Vec<_>> = lines.map(|line| line.split(',').collect()).collect();
    assert_eq!(rows.len(), 5);
    let mut transactions: Vec<_> = rows.iter().map(|row| row[column("transaction")]).collect();
    transactions.sort_unstable();
    let mut expected: Vec<_> = hashes.iter().map(String::as_str).collect();
    expected.sort_unstable();
    assert_eq!(transactions, expected);
    for row in &rows {
        assert_eq!((row[column("state")], row[column("symbol")]), ("served", "USDC"));
        assert_eq!((row[column("pay_to")], row[column("amount")]), (PAY_TO, "0.01"));
        assert_eq!((row[column("chain")], row[column("status")]), ("eip155:1", "200"));
        assert_eq!((row[column("by_word")], row[column("reversed")]), ("false", "false"));
        assert!(row[column("block")].parse::<u64>().unwrap() > 0);
        assert!(row[column("log")].parse::<u32>().is_ok());
        assert_eq!(row[column("block_hash")].len(), 66);
    }

    let exported = ledger(&shop, &["export", "--format", "json"]);
    let stderr = exported.stderr.clone();
    let exported: Value = serde_json::from_str(&exported.succeeded()).unwrap();
    let units = exported.as_array().unwrap().iter().map(|row| row["amount_units"].as_str());
    let sum: u128 = units.map(|units| units.unwrap().parse::<u128>().unwrap()).sum();
    assert_eq!(sum, shop.chain.balance(PAY_TO));
    assert!(stderr.contains("received: 5 payments, 50000 units, 0.05 USDC"), "{stderr}");
    assert_eq!(ledger(&shop, &["export", "--to", "2026-01-01"]).succeeded().lines().count(), 1);
    assert_eq!(ledger(&shop, &["export", "--from", "2026-01-01"]).succeeded().lines().count(), 6);

    for what in [rows[0][column("id")], &hashes[3], rows[1][column("nonce")]] {
        let shown: Value =
            serde_json::from_str(&ledger(&shop, &["show", what]).succeeded()).unwrap();
        assert_eq!((&shown["state"], &shown["status"]), (&"served".into(), &200.into()));
        assert!(shown["block"].is_u64() && shown["log"].is_u64(), "{shown}");
        assert_eq!((&shown["by_word"], &shown["reversed"]), (&false.into(), &false.into()));
    }
    let table = ledger(&shop, &["list", "--format", "table", "--limit", "2"]).succeeded();
    assert_eq!(table.lines().count(), 3);
    assert!(table.starts_with("claimed at ") && table.contains("0.01 USDC"), "{table}");
    assert_eq!(ledger(&shop, &["list", "--open"]).succeeded().lines().count(), 1);
    assert_eq!(ledger(&shop, &["list", "--state", "failed"]).succeeded().lines().count(), 1);
}

#[test]
fn what_is_open_is_resolved_when_the_gateway_is_gone() {
    let shop = Shop::open();
    pay(&shop);
    let refused = ledger(&shop, &["resolve"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.stderr.contains("another process has the ledger open"), "{refused:?}");
    let Shop { gateway, folder, chain, upstream, url } = shop;
    drop(gateway);
    let config = folder.path().join("x402.yaml");
    let args = ["ledger", "resolve", "--config", config.to_str().unwrap()];
    let resolved = run_with(&args, &[("X402_KEY", SETTLER_KEY)], folder.path());
    assert_eq!(resolved.succeeded(), "nothing is open\n");
    drop((chain, upstream, url));
}

#[test]
fn what_is_no_ledger_or_no_time_is_said() {
    let shop = Shop::open();
    assert_eq!(ledger(&shop, &["export", "--from", "yesterday"]).code, 2);
    let missing = ledger(&shop, &["show", "0x0123"]);
    assert_eq!(missing.code, 1);
    assert!(missing.stderr.contains("there is no payment 0x0123"), "{missing:?}");
    for ledger in ["memory", "mysql://a/b", "./none.redb", "./x402.yaml"] {
        let ended = run_with(&["ledger", "list", "--ledger", ledger], &[], shop.folder.path());
        assert!(matches!(ended.code, 1 | 2), "{ledger}: {ended:?}");
        assert!(!shop.folder.path().join("none.redb").exists());
    }
    assert_eq!(run(&["ledger", "list"]).code, 2);
    let file = ["ledger", "list", "--ledger", "./x402.redb"];
    assert_eq!(run_with(&file, &[], shop.folder.path()).succeeded().lines().count(), 1);
}
