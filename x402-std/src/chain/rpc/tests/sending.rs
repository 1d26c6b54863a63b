use std::sync::Arc;

use serde_json::{Value, json};

use super::harness::{SETTLER, STRANGER, Trick, options};
use super::*;

const SEND: &str = "eth_sendRawTransaction";

async fn send(shop: &Shop) -> (Result<TxHash, ChainError>, Pages) {
    let pages = Pages::of(shop);
    let result = shop.chain.broadcast(&call(&Buyer::default().pays(PRICE)), &pages).await;
    (result, pages)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_at_once_have_consecutive_nonces() {
    let shop = Arc::new(Shop::open().await);
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let shop = Arc::clone(&shop);
        tasks.spawn(async move {
            let payment = Buyer::default().pays(PRICE);
            shop.chain.simulate(&call(&payment)).await.unwrap();
            let hash = shop.chain.broadcast(&call(&payment), &Pages::default()).await.unwrap();
            let outcome = shop.chain.outcome(&payment, Sent::own(hash)).await.unwrap();
            assert!(matches!(outcome, Outcome::Settled(..)));
        });
    }
    tasks.join_all().await;
    assert_eq!(shop.nonces(), (0..50).collect::<Vec<_>>());
    assert_eq!(shop.received(), 50 * PRICE);
    let calls = shop.calls();
    let count = |method: &str| calls.iter().filter(|call| *call == method).count();
    assert_eq!(
        (count(SEND), count("eth_getTransactionCount"), count("eth_feeHistory")),
        (50, 1, 1)
    );
}

#[tokio::test]
async fn a_wrong_nonce_is_corrected() {
    let shop = Shop::open().await;
    send(&shop).await.0.unwrap();
    // The same key elsewhere takes nonces that we count as ours.
    let other = shop.chain_of(&SETTLER).await;
    for _ in 0..2 {
        other.broadcast(&call(&Buyer::default().pays(PRICE)), &Pages::default()).await.unwrap();
    }
    let (result, pages) = send(&shop).await;
    assert_eq!(pages.nonces(), [1, 3]);
    assert_eq!(pages.hashes()[1], result.unwrap());
    // The second was journalled before it was sent.
    assert_eq!(pages.sent_before(), [3, 4]);
    for (error, nonces) in
        [("nonce too high: next nonce 4", [4, 4]), ("replacement transaction underpriced", [5, 6])]
    {
        shop.play(SEND, &[Trick::Error(-32000, error)]);
        let (result, pages) = send(&shop).await;
        assert_eq!(pages.nonces(), nonces);
        result.unwrap();
    }
}

#[tokio::test]
async fn corrections_come_to_an_end() {
    let shop = Shop::open().await;
    shop.play(SEND, &[const { Trick::Error(-32000, "nonce too low") }; 9]);
    let (result, pages) = send(&shop).await;
    assert!(matches!(result, Err(ChainError::Unsent(_))), "{result:?}");
    assert_eq!(pages.nonces(), [0, 1, 2]);
    shop.play(SEND, &[]);
    assert_eq!(send(&shop).await.1.nonces(), [0]);

    // The node goes away between two attempts: what was journalled must not pass for nothing.
    shop.play(SEND, &[Trick::Error(-32000, "nonce too low")]);
    shop.play("eth_getTransactionCount", &[Trick::Status(502)]);
    let (result, pages) = send(&shop).await;
    assert!(matches!(result, Err(ChainError::Unsent(_))), "{result:?}");
    assert_eq!(pages.nonces(), [1]);
}

#[tokio::test]
async fn fees_too_low_are_read_again() {
    let shop = Shop::open().await;
    send(&shop).await.0.unwrap();
    shop.calls();
    shop.play(SEND, &[Trick::Error(-32000, "max fee per gas less than block base fee")]);
    let (result, pages) = send(&shop).await;
    result.unwrap();
    assert_eq!(shop.calls(), [SEND, "eth_feeHistory", SEND]);
    assert_eq!(pages.nonces(), [1, 1]);
}

#[tokio::test]
async fn refused_transactions_give_their_nonce_back() {
    let shop = Shop::open().await;
    for (code, text) in [
        (-32000, "insufficient funds for gas * price + value"),
        (-32000, "intrinsic gas too low"),
        (-32003, "transaction rejected"),
        (3, "execution reverted"),
    ] {
        shop.play(SEND, &[Trick::Error(code, text)]);
        let (result, pages) = send(&shop).await;
        let Err(ChainError::Unsent(why)) = result else { panic!("{result:?}") };
        assert!(why.contains(text), "{why}");
        assert_eq!(pages.nonces(), [0]);
    }
    let (result, pages) = send(&shop).await;
    result.unwrap();
    assert_eq!(pages.nonces(), [0]);
}

#[tokio::test]
async fn a_transaction_that_is_known_is_sent() {
    let shop = Shop::open().await;
    for text in ["already known", "Known transaction"] {
        shop.play(SEND, &[Trick::Error(-32000, text)]);
        send(&shop).await.0.unwrap();
    }
    assert_eq!(shop.nonces(), [0, 1]);
}

#[tokio::test]
async fn what_may_have_been_sent_is_unknown() {
    for trick in [
        Trick::Break,
        Trick::Hang,
        Trick::Status(502),
        Trick::Status(429),
        Trick::Error(-32005, "limit exceeded"),
        Trick::Error(-32603, "Internal error"),
        Trick::Body("{\"jsonrpc\":".into()),
        Trick::Edit(|answer| answer["result"] = json!(format!("0x{:064x}", 1))),
        Trick::Edit(|answer| answer["result"] = Value::Null),
    ] {
        let shop = Shop::open().await;
        send(&shop).await.0.unwrap();
        shop.play(SEND, &[trick]);
        let (result, pages) = send(&shop).await;
        assert!(matches!(result, Err(ChainError::Unknown(_))), "{result:?}");
        // The node says what the next nonce is: there is no gap, whether it has the transaction.
        send(&shop).await.0.unwrap();
        let sent = shop.nonces();
        assert_eq!(sent[..2], [0, 1]);
        assert!(sent[2] <= 2 && pages.nonces() == [1], "{sent:?}");
        let count = shop.rpc("eth_getTransactionCount", json!([shop.settler().to_string()]));
        assert_eq!(count, format!("0x{:x}", sent[2] + 1));
    }
}

#[tokio::test]
async fn an_answer_that_is_lost_is_found() {
    let shop = Shop::open().await;
    shop.play(SEND, &[Trick::HangAfter]);
    let payment = Buyer::default().pays(PRICE);
    let pages = Pages::default();
    let result = shop.chain.broadcast(&call(&payment), &pages).await;
    assert!(matches!(result, Err(ChainError::Unknown(_))), "{result:?}");
    shop.again(&pages.last()).await.unwrap();
    let outcome = shop.chain.outcome(&payment, Sent::own(pages.last().hash)).await.unwrap();
    assert!(matches!(outcome, Outcome::Settled(..)));
    assert_eq!(send(&shop).await.1.nonces(), [1]);
}

#[tokio::test]
async fn who_is_dropped_leaves_no_gap() {
    for trick in [Trick::Hang, Trick::HangAfter] {
        let shop = Shop::open().await;
        send(&shop).await.0.unwrap();
        let is_late = matches!(trick, Trick::HangAfter);
        shop.play(SEND, &[trick]);
        let short = Duration::from_millis(200);
        assert!(tokio::time::timeout(short, send(&shop)).await.is_err());
        let (result, pages) = send(&shop).await;
        result.unwrap();
        assert_eq!(pages.nonces(), [if is_late { 2 } else { 1 }]);
    }
}

#[tokio::test]
async fn a_node_that_is_down_was_sent_nothing() {
    let mut shop = Shop::open().await;
    send(&shop).await.0.unwrap();
    shop.close().await;
    let (result, pages) = send(&shop).await;
    assert!(matches!(result, Err(ChainError::Unsent(_))), "{result:?}");
    assert_eq!(pages.nonces(), [1]);
    assert_eq!(shop.chain.account.turn().await.unwrap().next_nonce, Some(1));
    let result = shop.again(&pages.last()).await;
    assert!(matches!(result, Err(ChainError::Unknown(_))), "{result:?}");
}

#[tokio::test]
async fn nothing_is_sent_that_is_not_journalled() {
    let shop = Shop::open().await;
    let full = Pages::full();
    let result = shop.chain.broadcast(&call(&Buyer::default().pays(PRICE)), &full).await;
    assert!(matches!(result, Err(ChainError::Journal(_))), "{result:?}");
    assert!(shop.nonces().is_empty());
    assert_eq!(send(&shop).await.1.nonces(), [0]);
}

#[tokio::test]
async fn gas_that_is_too_dear_is_not_bought() {
    let shop = Shop::with(RpcOptions { max_fee_per_gas: 1_000_000_000, ..options() }).await;
    let (result, pages) = send(&shop).await;
    let Err(ChainError::Unavailable(why)) = result else { panic!("{result:?}") };
    assert!(why.contains("above the limit of 1000000000 (max_fee_per_gas, max_gas_cost)"), "{why}");
    assert!(pages.hashes().is_empty() && shop.nonces().is_empty());
}

#[tokio::test]
async fn a_node_without_fee_history_is_asked_for_the_price() {
    let shop = Shop::open().await;
    shop.calls();
    shop.play("eth_feeHistory", &[Trick::Error(-32601, "the method does not exist")]);
    send(&shop).await.0.unwrap();
    assert_eq!(shop.calls(), ["eth_feeHistory", "eth_gasPrice", "eth_getTransactionCount", SEND]);
    // Any other failure is not answered by a guess.
    let shop = Shop::open().await;
    shop.play("eth_feeHistory", &[Trick::Error(-32603, "internal error")]);
    let (result, pages) = send(&shop).await;
    assert!(matches!(result, Err(ChainError::Unavailable(_))), "{result:?}");
    assert!(pages.hashes().is_empty());
}

#[tokio::test]
async fn fees_are_read_again_when_they_are_old() {
    let shop = Shop::with(RpcOptions { fee_cache: Duration::ZERO, ..options() }).await;
    send(&shop).await.0.unwrap();
    shop.calls();
    send(&shop).await.0.unwrap();
    assert_eq!(shop.calls(), ["eth_feeHistory", SEND]);
}

#[tokio::test]
async fn sending_again_says_what_became_of_it() {
    let shop = Shop::open().await;
    shop.rpc("evm_setAutomine", json!([false]));
    let (result, pages) = send(&shop).await;
    let hash = result.unwrap();
    let transaction = pages.last();
    // It waits: the node has it.
    shop.again(&transaction).await.unwrap();
    // It was forgotten: the node takes it again.
    shop.rpc("anvil_dropTransaction", json!([hash.to_string()]));
    shop.again(&transaction).await.unwrap();
    // It is in a block.
    shop.rpc("evm_mine", json!([]));
    shop.again(&transaction).await.unwrap();
    shop.play("eth_getTransactionReceipt", &[Trick::Status(502)]);
    let result = shop.again(&transaction).await;
    assert!(matches!(result, Err(ChainError::Unknown(_))), "{result:?}");

    // Its nonce went to another.
    let (_, lost) = send(&shop).await;
    shop.rpc("anvil_dropTransaction", json!([lost.last().hash.to_string()]));
    let other = shop.chain_of(&SETTLER).await;
    other.broadcast(&call(&Buyer::default().pays(PRICE)), &Pages::default()).await.unwrap();
    shop.rpc("evm_mine", json!([]));
    let result = shop.again(&lost.last()).await;
    assert!(matches!(result, Err(ChainError::Unsent(_))), "{result:?}");
    // From there the nonces are those of the node.
    assert_eq!(send(&shop).await.1.nonces(), [2]);
}

fn tips(answer: &mut Value, wei: &str) {
    answer["result"]["reward"] = json!([[wei]]);
}

#[tokio::test]
async fn what_offers_too_little_is_replaced_and_one_of_the_two_is_mined() {
    let shop = Shop::with(RpcOptions { fee_cache: Duration::ZERO, ..options() }).await;
    shop.rpc("evm_setAutomine", json!([false]));
    let (payment, pages) = (Buyer::default().pays(PRICE), Pages::default());
    shop.play("eth_feeHistory", &[Trick::Edit(|answer| tips(answer, "0x1"))]);
    let first = shop.chain.broadcast(&call(&payment), &pages).await.unwrap();
    let again = async || shop.chain.rebroadcast(&call(&payment), &pages.last(), &pages).await;
    // What is asked now is what was offered.
    shop.play("eth_feeHistory", &[Trick::Edit(|answer| tips(answer, "0x1"))]);
    assert_eq!(again().await.unwrap(), first);
    shop.play("eth_feeHistory", &[Trick::Edit(|answer| tips(answer, "0x3b9aca00"))]);
    let second = again().await.unwrap();
    assert_ne!(first, second);
    assert_eq!((pages.nonces(), pages.last().hash), (vec![0, 0], second));
    // It is the one that waits now, and the next payment is not in its way.
    shop.play("eth_feeHistory", &[Trick::Edit(|answer| tips(answer, "0x3b9aca00"))]);
    assert_eq!(again().await.unwrap(), second);
    assert_eq!(send(&shop).await.1.nonces(), [1]);
    shop.rpc("evm_mine", json!([]));
    let outcome = async |hash| shop.chain.outcome(&payment, Sent::own(hash)).await.unwrap();
    assert!(matches!(outcome(second).await, Outcome::Settled(..)));
    assert_eq!(outcome(first).await, Outcome::Unknown);
    assert_eq!(shop.received(), 2 * PRICE);
}

#[tokio::test]
async fn a_block_that_may_still_go_is_not_believed() {
    let shop = Shop::with(RpcOptions { confirmations: 3, ..options() }).await;
    let (payment, pages) = (Buyer::default().pays(PRICE), Pages::default());
    let hash = shop.chain.broadcast(&call(&payment), &pages).await.unwrap();
    for _ in 0..2 {
        assert_eq!(shop.chain.outcome(&payment, Sent::own(hash)).await.unwrap(), Outcome::Unknown);
        let found = shop.chain.find(&payment, 0, &[]).await;
        assert!(matches!(found, Err(ChainError::Unavailable(_))), "{found:?}");
        shop.rpc("evm_mine", json!([]));
    }
    assert!(matches!(
        shop.chain.outcome(&payment, Sent::own(hash)).await.unwrap(),
        Outcome::Settled(..)
    ));
    assert!(
        matches!(shop.chain.find(&payment, 0, &[]).await.unwrap(), Usage::Settled(_, by) if by.transaction == hash)
    );
}

#[tokio::test]
async fn a_gap_is_filled() {
    let shop = Shop::open().await;
    shop.rpc("evm_setAutomine", json!([false]));
    let (_, lost) = send(&shop).await;
    let (_, stuck) = send(&shop).await;
    shop.rpc("anvil_dropTransaction", json!([lost.last().hash.to_string()]));
    // The node has it; it waits for one that the node has no more.
    shop.again(&stuck.last()).await.unwrap();
    assert_eq!(send(&shop).await.1.nonces(), [0]);
    shop.rpc("evm_mine", json!([]));
    assert_eq!(shop.received(), 2 * PRICE);
    let result = shop.again(&lost.last()).await;
    assert!(matches!(result, Err(ChainError::Unsent(_))), "{result:?}");
}

#[tokio::test]
async fn accounts_do_not_wait_for_each_other() {
    let shop = Shop::open().await;
    shop.play(SEND, &[Trick::Hang]);
    let stranger = shop.chain_of(&STRANGER).await;
    let hangs = async { send(&shop).await.0.unwrap_err() };
    let passes = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let (payment, pages) = (Buyer::default().pays(PRICE), Pages::default());
        let call = call(&payment);
        let sent = stranger.broadcast(&call, &pages);
        tokio::time::timeout(Duration::from_millis(400), sent).await.unwrap().unwrap()
    };
    tokio::join!(hangs, passes);
}
