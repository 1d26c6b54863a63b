//! Against the development chain behind HTTP, and against nodes that are broken in every way.

mod batches;
mod bundles;
mod faults;
mod gaps;
mod harness;
mod heads;
mod permits;
mod proofs;
mod readiness;
mod sending;
mod settling;
mod starting;
mod together;
mod usage;

use x402_core::Amount;

use super::*;
use harness::{Buyer, Pages, Shop};

const PRICE: u128 = 10_000;

#[tokio::test]
async fn a_payment_moves_exactly_its_value() {
    let shop = Shop::open().await;
    let payment = Buyer::default().pays(PRICE);
    shop.chain.simulate(&call(&payment)).await.unwrap();
    let pages = Pages::of(&shop);
    let hash = shop.chain.broadcast(&call(&payment), &pages).await.unwrap();
    assert_eq!(pages.hashes(), [hash]);
    // Nothing had been sent when it was journalled.
    assert_eq!(pages.sent_before(), [0]);
    let outcome = shop.chain.outcome(&payment, Sent::own(hash)).await.unwrap();
    assert!(matches!(outcome, Outcome::Settled(..)), "{outcome:?}");
    assert_eq!(shop.received(), PRICE);
}

#[tokio::test]
async fn round_trips_are_as_promised() {
    let shop = Shop::open().await;
    let buyer = Buyer::default();
    let first = buyer.pays(PRICE);
    shop.calls();
    shop.chain.simulate(&call(&first)).await.unwrap();
    assert_eq!(shop.calls(), ["eth_call"]);
    shop.chain.broadcast(&call(&first), &Pages::default()).await.unwrap();
    assert_eq!(
        shop.calls(),
        ["eth_feeHistory", "eth_getTransactionCount", "eth_sendRawTransaction"]
    );
    let second = buyer.pays(PRICE);
    let hash = shop.chain.broadcast(&call(&second), &Pages::default()).await.unwrap();
    assert_eq!(shop.calls(), ["eth_sendRawTransaction"]);
    shop.chain.outcome(&second, Sent::own(hash)).await.unwrap();
    // Its block is newer than any that was seen: it is made sure of, once.
    assert_eq!(shop.calls(), ["eth_getTransactionReceipt", "eth_getBlockByNumber"]);
    shop.chain.outcome(&second, Sent::own(hash)).await.unwrap();
    assert_eq!(shop.calls(), ["eth_getTransactionReceipt"]);
    shop.again(&shop.last_sent()).await.unwrap();
    assert_eq!(shop.calls(), ["eth_sendRawTransaction", "eth_getTransactionReceipt"]);
    assert!(
        matches!(shop.chain.find(&second, 0, &[]).await, Ok(Usage::Settled(_, by)) if by.transaction == hash)
    );
    let find = ["eth_getBlockByNumber", "eth_call", "eth_chainId", "eth_getLogs"];
    let judge = ["eth_getBlockByNumber", "eth_getTransactionReceipt", "eth_getBlockByNumber"];
    assert_eq!(shop.calls(), [&find[..], &judge].concat());
    assert_eq!(shop.chain.find(&buyer.pays(1), 0, &[]).await.unwrap(), Usage::Unused);
    assert_eq!(shop.calls(), ["eth_getBlockByNumber", "eth_call"]);
}

#[tokio::test]
async fn refusals_have_reasons() {
    let shop = Shop::open().await;
    let buyer = Buyer::default();
    let refusal = async |payment: &Claimed| match shop.chain.simulate(&call(payment)).await {
        Err(ChainError::Refused(error)) => error,
        other => panic!("{other:?}"),
    };

    let used = buyer.pays(PRICE);
    shop.chain.broadcast(&call(&used), &Pages::default()).await.unwrap();
    shop.calls();
    assert_eq!(refusal(&used).await, Error::AuthorizationUsed);
    // All that is asked after the call is of one block.
    assert_eq!(shop.calls(), ["eth_call", "eth_getBlockByNumber", "eth_call"]);

    let poor = buyer.pays(1_000_000_000_001);
    assert_eq!(refusal(&poor).await, Error::Balance);
    let asked = ["eth_call", "eth_getBlockByNumber", "eth_call", "eth_call"];
    assert_eq!(shop.calls(), asked);

    let elsewhere = Buyer { domain_name: "USDC", ..Buyer::default() }.pays(PRICE);
    assert_eq!(refusal(&elsewhere).await, Error::Simulation);
    let other_chain = Buyer { chain_id: ChainId::BASE, ..Buyer::default() }.pays(PRICE);
    assert_eq!(refusal(&other_chain).await, Error::Network);

    // A contract wallet, whose signature is not this one.
    let wallet = buyer.pays(PRICE);
    shop.chain.simulate(&call(&wallet)).await.unwrap();
    shop.rpc("anvil_setCode", serde_json::json!([buyer.address().to_string(), "0x00"]));
    assert_eq!(refusal(&wallet).await, Error::Signer);
}

#[tokio::test]
async fn the_account_shows_its_ether_and_nothing_else() {
    let shop = Shop::open().await;
    let ether = 10_000 * 1_000_000_000_000_000_000_u128;
    assert_eq!(shop.chain.balance().await.unwrap(), Amount::from_units(ether));
    let shown = format!("{:?}", shop.chain);
    assert_eq!(
        shown,
        format!("RpcChain {{ chain_id: ChainId(1), address: {}, .. }}", shop.settler())
    );
}

#[tokio::test]
async fn credentials_are_sent_as_a_header() {
    let shop = Shop::open().await;
    // user:CANARY-PASSWORD
    assert_eq!(shop.authorization().unwrap(), "Basic dXNlcjpDQU5BUlktUEFTU1dPUkQ=");
}

#[test]
fn everything_can_be_sent_to_a_task() {
    fn is_sendable<T: Send + Sync + 'static>() {}
    is_sendable::<RpcChain>();
    is_sendable::<StartError>();
}

/// The call that settles a payment of a payer with a key.
fn call(payment: &Claimed) -> Call {
    Call::new(*payment, &[]).unwrap()
}
