//! What `find` says, and what it does not say.

use alloy_primitives::hex;
use serde_json::{Value, json};
use x402_core::Timestamp;

use super::harness::{Trick, cancel, options};
use super::*;
use crate::devnet;

const MISSING: &str = "missing trie node 0a (path )";

/// Blocks in which nothing happens.
fn mine(shop: &Shop, blocks: usize) {
    for _ in 0..blocks {
        shop.rpc("evm_mine", json!([]));
    }
}

async fn find(shop: &Shop, payment: &Claimed) -> Result<Usage, ChainError> {
    shop.chain.find(payment, 0, &[]).await
}

async fn assert_unavailable(shop: &Shop, payment: &Claimed) -> String {
    match find(shop, payment).await {
        Err(ChainError::Unavailable(why)) => why,
        other => panic!("{other:?}"),
    }
}

fn searches(shop: &Shop) -> usize {
    shop.calls().iter().filter(|call| *call == "eth_getLogs").count()
}

/// A node without state but that of its newest block, as most are after a while.
fn forget_states(shop: &Shop) {
    shop.front(|request, node| {
        let state = request["params"][1].clone();
        let newest = node(&json!({ "jsonrpc": "2.0", "id": 0, "method": "eth_getBlockByNumber",
            "params": ["latest", false] }))["result"]
            .clone();
        let is_old = request["method"] == "eth_call"
            && state != "latest"
            && state != newest["number"]
            && state["blockHash"] != newest["hash"];
        match is_old {
            true => json!({ "id": request["id"], "error": { "code": -32000, "message": MISSING } }),
            false => node(request),
        }
    });
}

fn without_ranged_logs(request: &Value, node: &dyn Fn(&Value) -> Value) -> Value {
    match request["method"] == "eth_getLogs" && request["params"][0].get("blockHash").is_none() {
        true => json!({ "jsonrpc": "2.0", "id": request["id"], "result": [] }),
        false => node(request),
    }
}

#[tokio::test]
async fn unused_past_its_end_is_expired_at_a_deep_block_only() {
    let shop = Shop::with(RpcOptions { confirmations: 2, ..options() }).await;
    let now = shop.chain.head().await.unwrap().time;
    let payment = Buyer::default().pays_until(PRICE, Timestamp::from_secs(now + 1_000));
    let other = Buyer::default().pays_until(PRICE, Timestamp::from_secs(now + 1_001));
    let mine_at = |time: u64| drop(shop.rpc("evm_mine", json!([time])));
    mine_at(now + 500);
    mine(&shop, 1);
    assert_eq!(find(&shop, &payment).await.unwrap(), Usage::Unused);
    mine_at(now + 1_000);
    assert_eq!(find(&shop, &payment).await.unwrap(), Usage::Unused, "not deep");
    mine_at(now + 1_000);
    assert_eq!(find(&shop, &payment).await.unwrap(), Usage::Expired);
    assert_eq!(find(&shop, &other).await.unwrap(), Usage::Unused, "a second is left");
    // Its state at the deep block is asked for, and where that cannot be had nothing is said.
    shop.play("eth_call", &[Trick::None, Trick::Error(-32000, MISSING)]);
    assert_unavailable(&shop, &payment).await;
}

#[tokio::test]
async fn missing_receipts_and_logs_prove_nothing() {
    let shop = Shop::open().await;
    let payment = Buyer::default().pays(PRICE);
    let hash = shop.chain.broadcast(&call(&payment), &Pages::default()).await.unwrap();
    let cancelled = Buyer::default().pays(PRICE);
    cancel(&shop, &cancelled);
    shop.front(|request, node| {
        let nothing = match request["method"].as_str().unwrap() {
            "eth_getTransactionReceipt" => Value::Null,
            "eth_getLogs" => json!([]),
            _ => return node(request),
        };
        json!({ "jsonrpc": "2.0", "id": request["id"], "result": nothing })
    });
    assert_eq!(shop.chain.outcome(&payment, Sent::own(hash)).await.unwrap(), Outcome::Unknown);
    for payment in [&payment, &cancelled] {
        let why = assert_unavailable(&shop, payment).await;
        assert!(why.contains("do not say what its state says"), "{why}");
    }
    // The logs are there, the receipts are not.
    shop.front(|request, node| match request["method"] == "eth_getTransactionReceipt" {
        true => json!({ "jsonrpc": "2.0", "id": request["id"], "result": null }),
        false => node(request),
    });
    for payment in [&payment, &cancelled] {
        assert_unavailable(&shop, payment).await;
    }
    shop.unfront();
    assert!(matches!(find(&shop, &payment).await, Ok(Usage::Settled(..))));
    assert_eq!(find(&shop, &cancelled).await.unwrap(), Usage::Void);
}

#[tokio::test]
async fn the_block_of_the_use_is_found_by_halves() {
    let shop = Shop::open().await;
    mine(&shop, 50);
    let payment = Buyer::default().pays(PRICE);
    let hash = shop.chain.broadcast(&call(&payment), &Pages::default()).await.unwrap();
    let cancelled = Buyer::default().pays(PRICE);
    mine(&shop, 20);
    cancel(&shop, &cancelled);
    mine(&shop, 300);
    shop.front(without_ranged_logs);
    shop.calls();
    let usage = find(&shop, &payment).await.unwrap();
    assert!(matches!(usage, Usage::Settled(_, by) if by.transaction == hash
        && by.log.unwrap().block.number == 51 && by.log.unwrap().position == 1));
    assert!(shop.calls().len() < 40, "{:?}", shop.calls());
    assert_eq!(find(&shop, &cancelled).await.unwrap(), Usage::Void);
    // In blocks that are too old to matter: no log is asked for.
    let time = shop.chain.head().await.unwrap().time;
    shop.rpc("evm_mine", json!([time + 1_000]));
    mine(&shop, 10);
    shop.calls();
    let void = shop.chain.find(&payment, time + 500, &[]).await.unwrap();
    assert_eq!((void, searches(&shop)), (Usage::Void, 1));
}

#[tokio::test]
async fn where_old_states_are_gone_the_logs_say_all_there_is() {
    let shop = Shop::with(RpcOptions { log_range: 2, ..options() }).await;
    let payment = Buyer::default().pays(PRICE);
    let hash = shop.chain.broadcast(&call(&payment), &Pages::default()).await.unwrap();
    mine(&shop, 7);
    forget_states(&shop);
    shop.calls();
    let usage = find(&shop, &payment).await.unwrap();
    assert!(matches!(usage, Usage::Settled(_, by) if by.transaction == hash), "{usage:?}");
    // Blocks 8 and 7 first, for a hint; then these again, and 6 and 5, 4 and 3, 2 and 1.
    assert_eq!(searches(&shop), 5);
    let cancelled = Buyer::default().pays(PRICE);
    cancel(&shop, &cancelled);
    mine(&shop, 10);
    assert_eq!(find(&shop, &cancelled).await.unwrap(), Usage::Void);
    mine(&shop, 60);
    shop.calls();
    // Too far back to be sure of anything.
    let error = assert_unavailable(&shop, &cancelled).await;
    assert!(error.contains("32 times 2 blocks (log_range)"), "{error}");
    assert_eq!(searches(&shop), 33);
}

#[tokio::test]
async fn a_node_that_searches_fewer_blocks_is_asked_for_fewer() {
    let shop = Shop::open().await;
    let payment = Buyer::default().pays(PRICE);
    let hash = shop.chain.broadcast(&call(&payment), &Pages::default()).await.unwrap();
    mine(&shop, 4_000);
    let refused = "eth_getLogs is limited to a 1,000 blocks range";
    shop.front(move |request, node| {
        let number = |name: &str| {
            let text = request["params"][0][name].as_str()?.strip_prefix("0x")?;
            u64::from_str_radix(text, 16).ok()
        };
        match number("toBlock").zip(number("fromBlock")) {
            Some((to, from)) if to - from >= 1_000 => {
                json!({ "id": request["id"], "error": { "code": -32602, "message": refused } })
            }
            _ => node(request),
        }
    });
    shop.calls();
    // 7,200; 3,600; 1,800; 900. That far back the state is not kept: again, and four times further.
    let settled = |usage: Usage| matches!(usage, Usage::Settled(_, by) if by.transaction == hash);
    assert!(settled(find(&shop, &payment).await.unwrap()));
    assert_eq!(searches(&shop), 9);
    // What it allows is remembered.
    assert!(settled(find(&shop, &payment).await.unwrap()));
    assert_eq!(searches(&shop), 6);
}

#[tokio::test]
async fn a_node_that_knows_no_block_by_its_hash_is_asked_by_number() {
    let shop = Shop::with(RpcOptions { confirmations: 2, ..options() }).await;
    shop.front(|request, node| match request["params"][1].is_object() {
        true => {
            let message = "Cannot wrap a \"object\" as a json-rpc type";
            json!({ "id": request["id"], "error": { "code": -32700, "message": message } })
        }
        false => node(request),
    });
    let payment = Buyer::default().pays(PRICE);
    assert_eq!(find(&shop, &payment).await.unwrap(), Usage::Unused);
    let hash = shop.chain.broadcast(&call(&payment), &Pages::default()).await.unwrap();
    mine(&shop, 3);
    assert!(
        matches!(find(&shop, &payment).await, Ok(Usage::Settled(_, by)) if by.transaction == hash)
    );
    let cancelled = Buyer::default().pays(PRICE);
    cancel(&shop, &cancelled);
    mine(&shop, 1);
    assert_eq!(find(&shop, &cancelled).await.unwrap(), Usage::Void);
    // The block changes between the reading of its hash and that of its state.
    let other = Trick::Edit(|answer| answer["result"]["hash"] = json!(format!("0x{:064x}", 1)));
    shop.play("eth_getBlockByNumber", &[Trick::None, Trick::None, Trick::None, other]);
    assert_unavailable(&shop, &payment).await;
}

#[tokio::test]
async fn a_node_that_disagrees_with_itself_decides_nothing() {
    let shop = Shop::open().await;
    let payment = Buyer::default().pays(PRICE);
    shop.chain.broadcast(&call(&payment), &Pages::default()).await.unwrap();
    // Another chain.
    shop.play("eth_chainId", &[Trick::Edit(|answer| answer["result"] = json!("0x2105"))]);
    let error = assert_unavailable(&shop, &payment).await;
    assert!(error.contains("eip155:8453") && error.contains("eip155:1"), "{error}");
    // Of another block than the one that was looked at: in the receipt, in the log, in the chain.
    type Edit = (&'static str, fn(&mut Value));
    let edits: [Edit; 4] = [
        ("eth_getTransactionReceipt", |a| {
            let other = json!(format!("0x{:064x}", 1));
            a["result"]["blockHash"] = other.clone();
            a["result"]["logs"].as_array_mut().unwrap().iter_mut().for_each(|log| {
                log["blockHash"] = other.clone();
            });
        }),
        ("eth_getTransactionReceipt", |a| a["result"]["logs"] = json!([])),
        ("eth_getLogs", |a| a["result"][0]["blockHash"] = json!(format!("0x{:064x}", 1))),
        ("eth_getLogs", |a| a["result"][0]["topics"][1] = json!(format!("0x{:064x}", 1))),
    ];
    for (at, (method, edit)) in edits.into_iter().enumerate() {
        shop.play(method, &[Trick::Edit(edit), Trick::Edit(edit)]);
        let found = find(&shop, &payment).await;
        assert!(matches!(found, Err(ChainError::Unavailable(_))), "{at}: {found:?}");
        shop.play(method, &[]);
    }
    assert!(matches!(find(&shop, &payment).await, Ok(Usage::Settled(..))));
}

#[tokio::test]
async fn contracts_are_asked_in_the_name_of_the_account() {
    let shop = Shop::open().await;
    let account = hex::encode_prefixed(shop.settler().as_bytes());
    shop.front(move |request, node| {
        if request["method"] == "eth_call" {
            let from = request["params"][0]["from"].as_str().unwrap();
            assert_eq!(from.to_lowercase(), account);
        }
        node(request)
    });
    shop.chain.check_asset(&harness::usdc()).await.unwrap();
    let payment = Buyer::default().pays(PRICE);
    shop.chain.simulate(&call(&payment)).await.unwrap();
    assert_eq!(find(&shop, &payment).await.unwrap(), Usage::Unused);
    let balance = shop.chain.token_balance(Address::new(devnet::USDC), payment.payer()).await;
    assert_eq!(balance.unwrap(), Amount::from_units(1_000_000_000_000));
    // It is nobody's but the payer's.
    let other = shop.chain.token_balance(Address::new(devnet::USDC), shop.settler()).await;
    assert_eq!(other.unwrap(), Amount::ZERO);
}
