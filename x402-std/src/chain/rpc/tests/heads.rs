//! Where the chain stands, nodes that are behind, and several of them.

use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};
use x402_core::{Signer as _, Timestamp};

use super::harness::{BUYER, SETTLER, STRANGER, Trick, options, sends, signer};
use super::*;
use crate::devnet;

fn mine(shop: &Shop, blocks: usize) {
    for _ in 0..blocks {
        shop.rpc("evm_mine", json!([]));
    }
}

fn number(value: &Value) -> Option<u64> {
    u64::from_str_radix(value.as_str()?.strip_prefix("0x")?, 16).ok()
}

fn ask(node: &dyn Fn(&Value) -> Value, method: &str, params: Value) -> Value {
    node(&json!({ "jsonrpc": "2.0", "id": 0, "method": method, "params": params }))["result"]
        .clone()
}

/// How a node answers that is so many blocks behind.
fn late(request: &Value, node: &dyn Fn(&Value) -> Value, behind: u64) -> Value {
    let newest = number(&ask(node, "eth_blockNumber", json!([]))).unwrap().saturating_sub(behind);
    let is_new = |block: &Value| number(&block["number"]).is_some_and(|block| block > newest);
    let by_hash = |hash: &Value| ask(node, "eth_getBlockByHash", json!([hash, false]));
    let result = |result: Value| json!({ "jsonrpc": "2.0", "id": request["id"], "result": result });
    let error = |message: &str| {
        json!({ "jsonrpc": "2.0", "id": request["id"],
            "error": { "code": -32000, "message": message } })
    };
    let (mut asked, params) = (request.clone(), &request["params"]);
    for at in 0..2 {
        if matches!(params[at].as_str(), Some("latest" | "finalized")) {
            asked["params"][at] = json!(format!("0x{newest:x}"));
        }
        if params[at].get("blockHash").is_some_and(|hash| is_new(&by_hash(hash))) {
            return error("header not found");
        }
    }
    match request["method"].as_str().unwrap() {
        "eth_getBlockByNumber" if number(&params[0]).is_some_and(|asked| asked > newest) => {
            return result(Value::Null);
        }
        "eth_getTransactionReceipt" => {
            let receipt = node(&asked)["result"].clone();
            let is_new = number(&receipt["blockNumber"]).is_some_and(|block| block > newest);
            return result(if is_new { Value::Null } else { receipt });
        }
        "eth_getLogs" if number(&params[0]["toBlock"]).is_some_and(|to| to > newest) => {
            let from = number(&params[0]["fromBlock"]).unwrap();
            if from > newest {
                return result(json!([]));
            }
            asked["params"][0]["toBlock"] = json!(format!("0x{newest:x}"));
        }
        _ => {}
    }
    node(&asked)
}

#[tokio::test]
async fn two_back_ends_of_which_one_is_a_block_behind_prove_no_failure() {
    for seed in 1..=3_u64 {
        let shop = Shop::open().await;
        let state = AtomicU64::new(seed);
        shop.front(move |request, node| {
            let next = |state: u64| state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let drawn =
                state.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |it| Some(next(it)));
            late(request, node, (drawn.unwrap() >> 40) & 1)
        });
        let (mut settled, mut unknown) = (0, 0);
        for _ in 0..60 {
            let now = shop.devnet_time();
            let payment = Buyer::default().pays_until(PRICE, Timestamp::from_secs(now + 60));
            let pages = Pages::default();
            let sent = shop.chain.broadcast(&call(&payment), &pages).await;
            let Ok(hash) = sent else { panic!("{sent:?}") };
            match shop.chain.outcome(&payment, Sent::own(hash)).await {
                Ok(Outcome::Settled(..)) => settled += 1,
                Ok(Outcome::Unknown) | Err(ChainError::Unavailable(_)) => unknown += 1,
                other => panic!("{seed}: {other:?}"),
            }
            match shop.chain.find(&payment, 0, &[]).await {
                Ok(Usage::Settled(_, by)) if by.transaction == hash => {}
                // It is not known to be used yet, and can be: nothing is concluded from that.
                Ok(Usage::Unused) | Err(ChainError::Unavailable(_)) => {}
                other => panic!("{seed}: {other:?}"),
            }
            match shop.chain.rebroadcast(&call(&payment), &pages.last(), &pages).await {
                Ok(again) => assert_eq!(again, hash),
                Err(ChainError::Unknown(_)) => {}
                other => panic!("{seed}: {other:?}"),
            }
            mine(&shop, 1);
        }
        assert!(settled > 5 && unknown > 5, "{seed}: {settled} {unknown}");
    }
}

#[tokio::test]
async fn a_node_that_is_behind_what_was_seen_is_not_asked_further() {
    let shop = Shop::open().await;
    let payment = Buyer::default().pays(PRICE);
    mine(&shop, 3);
    assert_eq!(shop.chain.head().await.unwrap().block.number, 3);
    shop.front(|request, node| late(request, node, 1));
    let lags = |error: ChainError| match error {
        ChainError::Unavailable(why) => assert!(why.contains("lags"), "{why}"),
        other => panic!("{other:?}"),
    };
    lags(shop.chain.head().await.unwrap_err());
    lags(shop.chain.find(&payment, 0, &[]).await.unwrap_err());
    lags(shop.chain.block(3).await.unwrap_err());
    assert_eq!(shop.chain.block(4).await.unwrap(), None);
    mine(&shop, 1);
    assert_eq!(shop.chain.head().await.unwrap().block.number, 3);
    assert_eq!(shop.chain.find(&payment, 0, &[]).await.unwrap(), Usage::Unused);
}

#[tokio::test]
async fn the_head_is_shown_and_what_is_final() {
    let shop = Shop::open().await;
    mine(&shop, 100);
    let shown = shop.rpc("eth_getBlockByNumber", json!(["latest", false]));
    shop.calls();
    let head = shop.chain.head().await.unwrap();
    assert_eq!(head.block, shop.chain.block(100).await.unwrap().unwrap());
    assert_eq!(json!(TxHash(head.block.hash).to_string()), shown["hash"]);
    assert_eq!((head.block.number, Some(head.time)), (100, number(&shown["timestamp"])));
    // Here each block is final, and the node says so.
    assert_eq!(head.is_final_to, 100);
    assert_eq!(shop.calls(), ["eth_getBlockByNumber"; 3]);
    for (finality, is_final_to, calls) in [(64, 36, 3), (0, 100, 2), (200, 0, 3)] {
        let chain = harness::unconnected_with(&shop.url, RpcOptions { finality, ..options() });
        let none = Trick::Error(-32602, "invalid block tag");
        shop.play("eth_getBlockByNumber", &[Trick::None, none]);
        let head = chain.head().await.unwrap();
        assert_eq!((head.block.number, head.is_final_to), (100, is_final_to), "{finality}");
        // That the node does not know the word is learned once.
        shop.play("eth_getBlockByNumber", &[]);
        assert_eq!(chain.head().await.unwrap().is_final_to, is_final_to);
        assert_eq!(shop.calls().len(), calls, "{finality}");
    }
}

#[tokio::test]
async fn what_was_final_once_is_final_while_the_node_does_not_say_more() {
    let shop = Shop::open().await;
    mine(&shop, 10);
    assert_eq!(shop.chain.head().await.unwrap().is_final_to, 10);
    mine(&shop, 100);
    // Not what is so deep: 46.
    for silence in [
        Trick::Error(-32005, "daily request count exceeded"),
        Trick::Error(-32000, "finalized block not found"),
        Trick::Error(-32602, "invalid block tag"),
        Trick::Edit(|answer| answer["result"] = Value::Null),
    ] {
        shop.play("eth_getBlockByNumber", &[Trick::None, silence]);
        let head = shop.chain.head().await.unwrap();
        assert_eq!((head.block.number, head.is_final_to), (110, 10));
    }
    assert_eq!(shop.chain.head().await.unwrap().is_final_to, 110);
    // A node that has not said it yet is asked again.
    let chain = harness::unconnected_with(&shop.url, options());
    let not_yet = Trick::Error(-32000, "finalized block not found");
    shop.play("eth_getBlockByNumber", &[Trick::None, not_yet]);
    assert_eq!(chain.head().await.unwrap().is_final_to, 46);
    assert_eq!(chain.head().await.unwrap().is_final_to, 110);
}

#[tokio::test]
async fn what_a_block_takes_is_measured() {
    let shop = Shop::open().await;
    let begin = shop.chain.head().await.unwrap().time + 1_000;
    for block in 0..21_u64 {
        shop.rpc("evm_mine", json!([begin + 12 * block]));
    }
    let chain = shop.chain_of(&SETTLER).await;
    assert_eq!(chain.block_seconds(), 12);
    assert_eq!(chain.settle_timeout(), Duration::from_secs(58));
    assert_eq!(shop.chain.block_seconds(), 0);
    assert_eq!(shop.chain.settle_timeout(), Duration::from_secs(30));
    let url = RpcUrl::parse(&shop.url).unwrap();
    let deep = RpcOptions { confirmations: 12, ..options() };
    let chain = RpcChain::connect(url, signer(&SETTLER), deep).await.unwrap();
    assert_eq!(chain.settle_timeout(), Duration::from_secs(190));
}

#[tokio::test]
async fn a_chain_without_a_base_fee_is_paid_by_one_price() {
    let shop = Shop::open().await;
    shop.front(|request, node| {
        let mut answer = node(request);
        if request["method"] == "eth_getBlockByNumber" {
            drop(answer["result"].as_object_mut().unwrap().remove("baseFeePerGas"));
        }
        answer
    });
    let chain = shop.chain_of(&SETTLER).await;
    let payment = Buyer::default().pays(PRICE);
    let (pages, begun) = (Pages::default(), shop.calls());
    drop(begun);
    let hash = chain.broadcast(&call(&payment), &pages).await.unwrap();
    assert_eq!(shop.calls(), ["eth_gasPrice", "eth_getTransactionCount", "eth_sendRawTransaction"]);
    let shown = shop.rpc("eth_getTransactionByHash", json!([hash.to_string()]));
    // The price that the node names, and an eighth.
    assert_eq!((&shown["type"], number(&shown["gasPrice"])), (&json!("0x0"), Some(2_250_000_000)));
    assert!(matches!(chain.outcome(&payment, Sent::own(hash)).await, Ok(Outcome::Settled(..))));
    assert_eq!(chain.rebroadcast(&call(&payment), &pages.last(), &pages).await.unwrap(), hash);
}

#[tokio::test]
async fn where_one_node_does_not_answer_the_next_is_asked() {
    let (mut down, shop) = (Shop::open().await, Shop::open().await);
    let urls = [&down.url, &shop.url].map(|url| RpcUrl::parse(url).unwrap());
    let [first, second] = urls.clone();
    let chain =
        RpcChain::connect_to(first, vec![second], signer(&SETTLER), options()).await.unwrap();
    down.close().await;
    let payment = Buyer::default().pays(PRICE);
    chain.simulate(&call(&payment)).await.unwrap();
    let hash = chain.broadcast(&call(&payment), &Pages::default()).await.unwrap();
    assert!(matches!(chain.outcome(&payment, Sent::own(hash)).await, Ok(Outcome::Settled(..))));
    assert!(matches!(chain.find(&payment, 0, &[]).await, Ok(Usage::Settled(..))));
    assert_eq!(chain.head().await.unwrap().block.number, 1);
    assert_eq!(shop.received(), PRICE);
    // The operator's question and the checks of the start, too, which meet with the fault first.
    let fresh = || {
        let account = Account::new(signer(&SETTLER), &options(), false);
        let node = |url| Node::new(url, account.address(), &options()).unwrap();
        let [first, second] = urls.clone().map(node);
        let (nodes, heads) = (Nodes::new(first, vec![second]), Heads::default());
        let (options, meter) = (options(), Meter::default());
        let (readiness, tokens) = Default::default();
        RpcChain { account, nodes, heads, options, meter, block_seconds: 0, readiness, tokens }
    };
    assert!(fresh().candidate(&payment, Sent::own(hash)).await.unwrap().is_some());
    fresh().check_asset(&harness::usdc()).await.unwrap();
    // It starts without the first, and not with one of another chain.
    let [first, second] = urls;
    RpcChain::connect_to(first, vec![second.clone()], signer(&SETTLER), options()).await.unwrap();
    shop.play("eth_chainId", &[Trick::None, Trick::Edit(|answer| answer["result"] = json!("0x2"))]);
    let other =
        RpcChain::connect_to(second.clone(), vec![second], signer(&SETTLER), options()).await;
    assert!(matches!(other, Err(StartError::ChainId { .. })));
}

#[tokio::test]
async fn a_node_of_the_list_that_lags_is_passed_over() {
    let shop = Shop::open().await;
    let other = shop.second_url().await;
    let urls = [&shop.url, &other].map(|url| RpcUrl::parse(url).unwrap());
    let [first, second] = urls;
    let chain =
        RpcChain::connect_to(first, vec![second], signer(&SETTLER), options()).await.unwrap();
    let payment = Buyer::default().pays(PRICE);
    let hash = chain.broadcast(&call(&payment), &Pages::default()).await.unwrap();
    assert!(matches!(chain.find(&payment, 0, &[]).await, Ok(Usage::Settled(..))));
    // The first falls behind; the second is as it was.
    shop.front(|request, node| late(request, node, 1));
    let found = chain.find(&payment, 0, &[]).await.unwrap();
    assert!(matches!(found, Usage::Settled(_, by) if by.transaction == hash), "{found:?}");
    assert_eq!(chain.head().await.unwrap().block.number, 1);
}

#[tokio::test]
async fn a_nonce_that_is_used_up_is_no_proof_that_the_transaction_is_lost() {
    let shop = Shop::open().await;
    let (payment, pages) = (Buyer::default().pays(PRICE), Pages::default());
    let hash = shop.chain.broadcast(&call(&payment), &pages).await.unwrap();
    let again = async || shop.chain.rebroadcast(&call(&payment), &pages.last(), &pages).await;
    assert_eq!(again().await.unwrap(), hash);
    // It is mined, and the node has no receipt of it yet.
    let none = Trick::Edit(|answer| answer["result"] = Value::Null);
    for refusal in [Trick::None, Trick::Error(-32000, "intrinsic gas too low")] {
        shop.play("eth_sendRawTransaction", &[refusal]);
        shop.play("eth_getTransactionReceipt", &[none.clone(), none.clone()]);
        let result = again().await;
        assert!(matches!(result, Err(ChainError::Unknown(_))), "{result:?}");
    }
    assert_eq!(shop.nonces(), [0; 4]);
    assert_eq!(pages.hashes(), [hash]);
    // The state of the newest block cannot be asked for.
    shop.play("eth_getTransactionReceipt", &[none]);
    shop.play("eth_getTransactionCount", &[Trick::Error(-32000, "header not found")]);
    let result = again().await;
    assert!(matches!(result, Err(ChainError::Unknown(_))), "{result:?}");
}

#[tokio::test]
async fn a_transaction_whose_payment_another_has_settled_is_lost_with_its_nonce() {
    let shop = Shop::open().await;
    shop.rpc("evm_setAutomine", json!([false]));
    let (payment, pages) = (Buyer::default().pays(PRICE), Pages::default());
    let hash = shop.chain.broadcast(&call(&payment), &pages).await.unwrap();
    shop.rpc("anvil_dropTransaction", json!([hash.to_string()]));
    // Another of the account takes its nonce, and a stranger submits the authorization.
    let other = shop.chain_of(&SETTLER).await;
    other.broadcast(&call(&Buyer::default().pays(PRICE)), &Pages::default()).await.unwrap();
    shop.rpc("evm_mine", json!([]));
    let stranger = shop.chain_of(&STRANGER).await;
    let theirs = stranger.broadcast(&call(&payment), &Pages::default()).await.unwrap();
    shop.rpc("evm_mine", json!([]));
    let again = async || shop.chain.rebroadcast(&call(&payment), &pages.last(), &pages).await;
    // Nobody knows by whom it was used, as long as the node does not say.
    shop.play("eth_getLogs", &[Trick::Status(502)]);
    let result = again().await;
    assert!(matches!(result, Err(ChainError::Unknown(_))), "{result:?}");
    let result = again().await;
    assert!(matches!(result, Err(ChainError::Unsent(_))), "{result:?}");
    let found = shop.chain.find(&payment, 0, &[]).await.unwrap();
    assert!(matches!(found, Usage::Settled(_, by) if by.transaction == theirs), "{found:?}");
    assert_eq!(pages.hashes(), [hash]);
}

/// What a back end shows that has not seen the newest block yet, beside one that has.
#[tokio::test]
async fn who_has_paid_is_not_told_that_he_cannot() {
    let shop = Shop::open().await;
    let balance =
        shop.devnet.balance_of(devnet::USDC, *signer(&BUYER).address().as_bytes()).unwrap();
    let payment = Buyer::default().pays(balance);
    let call = call(&payment);
    sends(&shop, &STRANGER, devnet::USDC, call.data.clone());
    shop.front(|request, node| {
        let call = &request["params"][0]["data"];
        let is_of_use = call.as_str().is_some_and(|data| data.starts_with("0xe94a0102"));
        match is_of_use && request["params"][1] == "latest" {
            true => late(request, node, 1),
            false => node(request),
        }
    });
    let refused = shop.chain.simulate(&call).await.unwrap_err();
    assert!(matches!(refused, ChainError::Refused(Error::AuthorizationUsed)), "{refused}");
    // A node that is behind as a whole does not know.
    shop.chain.head().await.unwrap();
    shop.front(|request, node| match request["method"] == "eth_call" {
        true => node(request),
        false => late(request, node, 1),
    });
    let unknown = shop.chain.simulate(&call).await.unwrap_err();
    assert!(matches!(unknown, ChainError::Unavailable(_)), "{unknown}");
}
