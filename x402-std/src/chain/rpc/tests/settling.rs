//! The facilitator's engine over a real chain: many at once, and what it costs.

use std::sync::{Arc, Mutex};

use x402_core::Offer;
use x402_core::wire::PaymentFlow;

use super::harness::{SETTLER, Trick, options, signer, usdc};
use super::*;
use crate::Facilitator as _;
use crate::chain::Chain;
use crate::config::OwnedAsset;
use crate::facilitator::{Kind, LocalFacilitator, Request, ServedChain};
use crate::ledger::MemoryLedger;
use crate::seller::{Seller, SellerOptions};

/// A facilitator before the shop's node.
async fn facilitator(shop: &Shop) -> LocalFacilitator {
    let url = RpcUrl::parse(&shop.url).unwrap();
    let patient = RpcOptions { timeout: Duration::from_secs(30), ..options() };
    let chain = Arc::new(RpcChain::connect(url, signer(&SETTLER), patient).await.unwrap());
    let served = ServedChain {
        chain_id: chain.chain_id(),
        account: chain.account(),
        assets: vec![OwnedAsset::from(&usdc())],
        kinds: vec![Kind::Eip3009],
    };
    let seller = Seller::new(Arc::new(MemoryLedger::new()), chain, SellerOptions::default());
    shop.calls();
    LocalFacilitator::new(seller, vec![served])
}

fn request() -> Request {
    let payment = Buyer::default().pays(PRICE);
    let offer = Offer::new(usdc(), payment.transfer().to(), payment.amount(), 60);
    Request::of(&payment, &[], &offer, PaymentFlow::Authorization)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_hundred_at_once_leave_no_gap() {
    const COUNT: u64 = 300;
    let shop = Shop::open().await;
    let facilitator = Arc::new(facilitator(&shop).await);
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..COUNT {
        let facilitator = Arc::clone(&facilitator);
        tasks.spawn(async move { facilitator.settle(&request()).await.unwrap() });
    }
    let answers = tasks.join_all().await;
    assert!(answers.iter().all(|answer| answer.reason.is_none()), "{answers:?}");
    assert_eq!(shop.nonces(), (0..COUNT).collect::<Vec<_>>());
    assert_eq!(shop.received(), u128::from(COUNT) * PRICE);
    let calls = shop.calls();
    let count = |method: &str| calls.iter().filter(|call| *call == method).count();
    assert_eq!((count("eth_sendRawTransaction"), count("eth_getTransactionCount")), (300, 1));
}

#[tokio::test]
async fn a_verdict_costs_one_call_and_a_settlement_three_and_the_head() {
    let shop = Shop::open().await;
    let facilitator = facilitator(&shop).await;
    // The first one learns the fees and the nonce.
    facilitator.settle(&request()).await.unwrap();
    shop.calls();
    let request = request();
    assert_eq!(facilitator.verify(&request).await.unwrap().reason, None);
    assert_eq!(shop.calls(), ["eth_call"]);
    assert_eq!(facilitator.settle(&request).await.unwrap().reason, None);
    let calls = ["eth_call", "eth_sendRawTransaction", "eth_getTransactionReceipt"];
    // And the head, where the block is newer than any that was seen.
    assert_eq!(shop.calls(), [&calls[..], &["eth_getBlockByNumber"]].concat());
    // Again: nothing is asked, and the same is told.
    assert!(facilitator.settle(&request).await.unwrap().transaction.is_some());
    assert!(facilitator.verify(&request).await.unwrap().reason.is_some());
    assert!(shop.calls().is_empty());
}

/// A contract may tell a simulation from a transaction by the price of its gas.
#[tokio::test]
async fn it_is_simulated_with_what_will_be_offered_for_gas() {
    let shop = Shop::open().await;
    let buyer = Buyer::default();
    let offered: Arc<Mutex<Vec<bool>>> = Arc::default();
    let seen = Arc::clone(&offered);
    shop.front(move |request, node| {
        if request["method"] == "eth_call" {
            seen.lock().unwrap().push(!request["params"][0]["maxFeePerGas"].is_null());
        }
        node(request)
    });
    let take = || core::mem::take(&mut *offered.lock().unwrap());
    let payment = buyer.pays(PRICE);
    shop.chain.simulate(&call(&payment)).await.unwrap();
    assert_eq!(take(), [false], "nothing is known of it before the first");
    shop.chain.broadcast(&call(&payment), &Pages::default()).await.unwrap();
    take();
    let next = buyer.pays(PRICE);
    shop.chain.simulate(&call(&next)).await.unwrap();
    assert_eq!(take(), [true]);
    // A purse of ours that is empty is no fault of the payer's.
    shop.play("eth_call", &[Trick::Error(-32000, "insufficient funds for gas * price + value")]);
    shop.chain.simulate(&call(&next)).await.unwrap();
    assert_eq!(take().last(), Some(&false));
}

/// A contract that sees the price need not revert: it can use up the gas, or end in a way of its own.
#[tokio::test]
async fn what_fails_at_the_price_to_come_is_not_tried_without_it() {
    let shop = Shop::open().await;
    let buyer = Buyer::default();
    shop.chain.broadcast(&call(&buyer.pays(PRICE)), &Pages::default()).await.unwrap();
    let next = buyer.pays(PRICE);
    shop.calls();
    for message in
        ["out of gas", "out of gas: gas required exceeds: 200000", "invalid opcode: INVALID"]
    {
        shop.play("eth_call", &[Trick::Error(-32000, message)]);
        let refused = shop.chain.simulate(&call(&next)).await;
        assert!(matches!(refused, Err(ChainError::Unavailable(_))), "{message}: {refused:?}");
        assert_eq!(shop.calls(), ["eth_call"], "{message}");
    }
    shop.chain.simulate(&call(&next)).await.unwrap();
}
