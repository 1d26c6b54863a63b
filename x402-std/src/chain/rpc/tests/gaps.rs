//! Nonces that are gone.

use serde_json::{Value, json};

use super::harness::{SETTLER, Trick, options};
use super::*;

async fn send(shop: &Shop) -> (TxHash, Pages) {
    let pages = Pages::of(shop);
    let payment = Buyer::default().pays(PRICE);
    (shop.chain.broadcast(&call(&payment), &pages).await.unwrap(), pages)
}

fn drop_one(shop: &Shop, hash: TxHash) {
    shop.rpc("anvil_dropTransaction", json!([hash.to_string()]));
}

/// The second of two transactions, which waits: the node lost the first.
async fn behind_a_gap() -> (Shop, Transaction) {
    let shop = Shop::with(options()).await;
    shop.rpc("evm_setAutomine", json!([false]));
    let (first, _) = send(&shop).await;
    let (_, second) = send(&shop).await;
    drop_one(&shop, first);
    (shop, second.last())
}

#[tokio::test]
async fn what_waits_for_nonces_that_are_gone_is_mined() {
    let mut shop = Shop::with(options()).await;
    shop.rpc("evm_setAutomine", json!([false]));
    let mut sent = Vec::new();
    for _ in 0..6 {
        sent.push(send(&shop).await);
    }
    // The node lost the first, the third and the last.
    for at in [0, 2, 5] {
        drop_one(&shop, sent[at].0);
    }
    let last = sent[4].1.last();
    shop.again(&last).await.unwrap();
    // Those to whom they belong may send them again: for a while nothing is done.
    shop.calls();
    assert_eq!(send(&shop).await.1.nonces(), [0]);
    assert_eq!(shop.nonces()[6..], [4, 0]);
    shop.chain.account.hole_wait = Duration::ZERO;
    shop.again(&last).await.unwrap();
    // It takes the third's nonce itself; nothing waits for the last one's.
    assert_eq!(send(&shop).await.1.nonces(), [2]);
    assert_eq!(shop.nonces()[8..], [4, 2]);
    shop.rpc("evm_mine", json!([]));
    assert_eq!(shop.received(), 5 * PRICE);
}

#[tokio::test]
async fn two_that_are_gone_do_not_hold_up_the_others() {
    let mut shop = Shop::with(options()).await;
    shop.rpc("evm_setAutomine", json!([false]));
    let mut sent = Vec::new();
    for _ in 0..5 {
        sent.push(send(&shop).await);
    }
    for at in [0, 1, 3] {
        drop_one(&shop, sent[at].0);
    }
    shop.chain.account.hole_wait = Duration::ZERO;
    let waiting = sent[4].1.last();
    shop.again(&waiting).await.unwrap();
    // One payment comes: it has the first nonce, and two that do nothing the others.
    let (_, pages) = send(&shop).await;
    assert_eq!(pages.nonces(), [0]);
    assert_eq!(shop.nonces()[5..], [4, 1, 3, 0]);
    shop.rpc("evm_mine", json!([]));
    // Those with the nonces 2 and 4, and the one that came.
    assert_eq!(shop.received(), 3 * PRICE);
    assert_eq!(send(&shop).await.1.nonces(), [5]);
}

#[tokio::test]
async fn what_waits_is_mined_where_no_other_payment_comes() {
    let (mut shop, second) = behind_a_gap().await;
    shop.calls();
    // There is no reason to look, but for whether they are mined.
    shop.chain.fill_gaps().await;
    assert_eq!(shop.calls(), ["eth_getTransactionCount"]);
    shop.again(&second).await.unwrap();
    // The first may be sent again, and is not.
    shop.chain.fill_gaps().await;
    assert_eq!(shop.nonces()[2..], [1]);
    shop.chain.account.hole_wait = Duration::ZERO;
    shop.chain.fill_gaps().await;
    assert_eq!(shop.nonces()[2..], [1, 0]);
    shop.rpc("evm_mine", json!([]));
    assert_eq!(shop.received(), PRICE);
    // All is well, which is seen once.
    shop.chain.fill_gaps().await;
    shop.calls();
    shop.chain.fill_gaps().await;
    assert!(shop.calls().is_empty());
    assert_eq!(send(&shop).await.1.nonces(), [2]);
}

/// It does not know which transactions wait until one of them is sent again.
#[tokio::test]
async fn what_waits_since_before_a_restart_is_mined() {
    let (mut shop, second) = behind_a_gap().await;
    shop.chain = shop.chain_of(&SETTLER).await;
    shop.chain.account.hole_wait = Duration::ZERO;
    shop.chain.fill_gaps().await;
    assert_eq!(shop.nonces(), [0, 1]);
    shop.again(&second).await.unwrap();
    shop.chain.fill_gaps().await;
    assert_eq!(shop.nonces()[2..], [1, 0]);
    shop.rpc("evm_mine", json!([]));
    assert_eq!(shop.received(), PRICE);
}

fn tip(answer: &mut Value, wei: &str) {
    for reward in answer["result"]["reward"].as_array_mut().unwrap() {
        *reward = json!([wei]);
    }
}

/// Its payment was settled by somebody else, so that nobody raises it.
#[tokio::test]
async fn what_offers_too_little_is_not_in_the_way_for_ever() {
    for restarts in [false, true] {
        let mut shop = Shop::with(RpcOptions { fee_cache: Duration::ZERO, ..options() }).await;
        shop.rpc("evm_setAutomine", json!([false]));
        let dear = || Trick::Edit(|answer| tip(answer, "0x3b9aca00"));
        shop.play("eth_feeHistory", &[Trick::Edit(|answer| tip(answer, "0x1"))]);
        let (left, _) = send(&shop).await;
        if restarts {
            shop.chain = shop.chain_of(&SETTLER).await;
        }
        shop.play("eth_feeHistory", &vec![dear(); 16]);
        let (waits, _) = send(&shop).await;
        // It may be raised, for a while.
        for _ in 0..2 {
            shop.chain.fill_gaps().await;
        }
        assert_eq!(shop.nonces(), [0, 1], "{restarts}");
        shop.chain.account.hole_wait = Duration::ZERO;
        shop.chain.fill_gaps().await;
        assert_eq!(shop.nonces(), [0, 1, 0], "{restarts}");
        // What is there now offers enough.
        for _ in 0..3 {
            shop.chain.fill_gaps().await;
        }
        assert_eq!(shop.nonces(), [0, 1, 0], "{restarts}");
        shop.rpc("evm_mine", json!([]));
        assert_eq!(shop.received(), PRICE, "{restarts}");
        let found = |hash: TxHash| shop.rpc("eth_getTransactionReceipt", json!([hash.to_string()]));
        assert!(found(left).is_null() && found(waits)["status"] == "0x1", "{restarts}");
        shop.chain.fill_gaps().await;
        shop.calls();
        shop.chain.fill_gaps().await;
        assert!(shop.calls().is_empty(), "{restarts}");
    }
}

/// More nonces were used up there than are by now.
#[tokio::test]
async fn what_offers_too_little_on_a_chain_that_begins_again_is_not_in_the_way() {
    let mut shop = Shop::with(RpcOptions { fee_cache: Duration::ZERO, ..options() }).await;
    let empty = shop.rpc("evm_snapshot", json!([]));
    for _ in 0..5 {
        send(&shop).await;
    }
    shop.chain.fill_gaps().await;
    shop.rpc("evm_revert", json!([empty]));
    shop.rpc("evm_setAutomine", json!([false]));
    shop.chain.account.recount();
    shop.play("eth_feeHistory", &[Trick::Edit(|answer| tip(answer, "0x1"))]);
    send(&shop).await;
    shop.play("eth_feeHistory", &vec![Trick::Edit(|answer| tip(answer, "0x3b9aca00")); 16]);
    send(&shop).await;
    assert_eq!(shop.nonces()[5..], [0, 1]);
    shop.chain.account.hole_wait = Duration::ZERO;
    for _ in 0..3 {
        shop.chain.fill_gaps().await;
    }
    assert_eq!(shop.nonces()[5..], [0, 1, 0]);
}

#[tokio::test]
async fn a_chain_that_is_empty_again_is_begun_at_its_nonce() {
    let mut shop = Shop::with(options()).await;
    let empty = shop.rpc("evm_snapshot", json!([]));
    let mut sent = Vec::new();
    for _ in 0..3 {
        sent.push(send(&shop).await);
    }
    shop.chain.account.hole_wait = Duration::ZERO;
    shop.rpc("evm_revert", json!([empty]));
    shop.chain.account.recount();
    // None of ours waits there: no nonce is used up.
    assert_eq!(send(&shop).await.1.nonces(), [0]);
    assert_eq!(shop.nonces()[3..], [0]);
}
