//! Many payments in one transaction.

use std::sync::Arc;

use x402_core::state::State;
use x402_core::{Offer, PaymentId};

use super::harness::{PAYEE, usdc};
use super::*;
use crate::devnet;
use crate::ledger::{Answer, Entry, Ledger, MemoryLedger, OwedAccount, RequestId, Settle, Step};
use crate::seller::{Later, Seller, SellerOptions};

fn batch(payments: &[Claimed]) -> Call {
    Call::batch(&payments.iter().map(call).collect::<Vec<_>>())
}

fn payments(count: usize) -> Vec<Claimed> {
    (0..count).map(|_| Buyer::default().pays(PRICE)).collect()
}

#[tokio::test]
async fn a_hundred_payments_cost_less_than_three_quarters_of_the_gas() {
    let shop = Shop::with(RpcOptions { max_response: 1 << 20, ..harness::options() }).await;
    for payment in payments(3) {
        let hash = shop.chain.broadcast(&call(&payment), &Pages::default()).await.unwrap();
        shop.chain.outcome(&payment, Sent::own(hash)).await.unwrap();
    }
    let single = shop.chain.spent();
    let many = payments(100);
    let call = batch(&many);
    let taken = shop.chain.simulate_batch(&call).await.unwrap();
    assert_eq!(taken, Some(vec![true; 100]));
    let hash = shop.chain.broadcast(&call, &Pages::default()).await.unwrap();
    let outcomes = shop.chain.outcomes(&many, Sent::own(hash)).await.unwrap();
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Outcome::Settled(..))));
    assert_eq!(shop.received(), 103 * PRICE);
    let all = shop.chain.spent();
    assert_eq!((all.payments, all.transactions), (103, 4));
    let (each, in_batch) = (single.gas / 3, (all.gas - single.gas) / 100);
    println!("gas per payment: {each} alone, {in_batch} in a batch of 100");
    assert!(in_batch * 4 <= each * 3, "{in_batch} of {each}");
    // Looked at again, it counts once.
    shop.chain.outcomes(&many, Sent::own(hash)).await.unwrap();
    assert_eq!(shop.chain.spent(), all);
}

#[tokio::test]
async fn one_that_fails_harms_no_other() {
    let shop = Shop::open().await;
    let mut many = payments(3);
    many.push(Buyer::default().pays(u128::MAX));
    let used = many[1];
    shop.chain.broadcast(&call(&used), &Pages::default()).await.unwrap();
    let taken = shop.chain.simulate_batch(&batch(&many)).await.unwrap();
    assert_eq!(taken, Some(vec![true, false, true, false]));
    let hash = shop.chain.broadcast(&batch(&many), &Pages::default()).await.unwrap();
    let outcomes = shop.chain.outcomes(&many, Sent::own(hash)).await.unwrap();
    let is_settled = |outcome: &Outcome| matches!(outcome, Outcome::Settled(..));
    assert_eq!(outcomes.iter().map(is_settled).collect::<Vec<_>>(), [true, false, true, false]);
    assert_eq!(shop.received(), 3 * PRICE);
}

#[tokio::test]
async fn where_there_is_no_contract_for_batches_there_are_none() {
    let shop = Shop::open().await;
    let address = Address::new(devnet::MULTICALL3).to_string();
    shop.rpc("anvil_setCode", serde_json::json!([address, "0x"]));
    assert_eq!(shop.chain.simulate_batch(&batch(&payments(2))).await.unwrap(), None);
}

/// A seller to whom payments are owed.
struct Creditor {
    seller: Arc<Seller>,
    ledger: Arc<MemoryLedger>,
}

impl Creditor {
    fn new(shop: Shop) -> (Self, Arc<RpcChain>, devnet::Devnet) {
        let devnet = shop.devnet.clone();
        // The node goes on until the test ends.
        let shop = Box::leak(Box::new(shop));
        let chain = Arc::new(harness::unconnected(&shop.url));
        let ledger = Arc::new(MemoryLedger::new());
        let later = Later { max_delay: Duration::from_millis(10), ..Later::default() };
        let clock = Arc::new(|| 1_790_000_000);
        let options = SellerOptions { later, clock, ..SellerOptions::default() };
        let seller = Seller::new(Arc::clone(&ledger) as _, Arc::clone(&chain) as _, options);
        (Self { seller, ledger }, chain, devnet)
    }

    /// A payment whose answer was given.
    async fn serve(&self, payment: &Claimed) -> PaymentId {
        let (asset, transfer) = (usdc(), payment.transfer());
        let offer = Offer::new(asset, Address::new(PAYEE), payment.amount(), 60);
        let presented = x402_core::Payment {
            chain_id: payment.chain_id(),
            asset: payment.asset(),
            transfer: *transfer,
            signature: Ok(*payment.signature().unwrap()),
        };
        let moment = x402_core::Moment::at(1_790_000_000);
        let recover = &x402_core::secp256k1::K256;
        let checked = offer.requirements().check(&presented, &moment, recover).unwrap();
        let entry = Entry::new(&checked, RequestId([1; 32]), 1_790_000_000).unwrap();
        let entry = Entry { settle: Settle::Later, ..entry };
        let id = entry.id();
        drop(self.ledger.claim(entry).await.unwrap());
        let body = Some(Vec::new());
        let answer = Answer { status: 200, headers: Vec::new(), body, request_body: [0; 32] };
        self.ledger.apply(id, Step::Worked(answer, payment.amount())).await.unwrap();
        id
    }

    async fn states(&self, ids: &[PaymentId]) -> Vec<State> {
        let mut states = Vec::new();
        for id in ids {
            states.push(self.ledger.find(*id).await.unwrap().unwrap().state);
        }
        states
    }
}

#[tokio::test]
async fn what_is_owed_is_settled_together() {
    let (creditor, chain, devnet) = Creditor::new(Shop::open().await);
    let mut ids = Vec::new();
    for payment in payments(7) {
        ids.push(creditor.serve(&payment).await);
    }
    assert_eq!(creditor.seller.resolve_open().await.unwrap(), 0);
    assert_eq!(creditor.states(&ids).await, [State::Served; 7]);
    let spent = chain.spent();
    assert_eq!((spent.payments, spent.transactions), (7, 1));
    assert_eq!(devnet.balance_of(devnet::USDC, PAYEE).unwrap(), 7 * PRICE);
}

#[tokio::test]
async fn who_cannot_pay_owes_and_the_others_have_paid() {
    let (creditor, chain, devnet) = Creditor::new(Shop::open().await);
    let mut many = payments(4);
    many[2] = Buyer::default().pays(u128::MAX);
    let mut ids = Vec::new();
    for payment in &many {
        ids.push(creditor.serve(payment).await);
    }
    creditor.seller.resolve_open().await.unwrap();
    let mut expected = [State::Served; 4];
    expected[2] = State::Failed;
    assert_eq!(creditor.states(&ids).await, expected);
    assert_eq!(chain.spent().transactions, 1);
    let owed = creditor.ledger.owes(OwedAccount::of(&many[2])).await.unwrap();
    assert_eq!((owed.sum, owed.debts), (many[2].amount(), vec![ids[2]]));
    assert_eq!(devnet.balance_of(devnet::USDC, PAYEE).unwrap(), 3 * PRICE);
}

#[tokio::test]
async fn a_batch_whose_seller_crashed_is_found_again() {
    let shop = Shop::open().await;
    let many = payments(3);
    // Journalled and sent by a seller who is gone: one of the entries has the bytes.
    let pages = Pages::default();
    shop.chain.broadcast(&batch(&many), &pages).await.unwrap();
    let sent = pages.last();
    let (creditor, chain, devnet) = Creditor::new(shop);
    let mut ids = Vec::new();
    for (number, payment) in many.iter().enumerate() {
        let id = creditor.serve(payment).await;
        let raw = if number == 1 { sent.raw.clone() } else { Vec::new() };
        let journalled = Step::Journalled(Transaction { hash: sent.hash, raw });
        creditor.ledger.apply(id, journalled).await.unwrap();
        ids.push(id);
    }
    assert_eq!(creditor.seller.resolve_open().await.unwrap(), 0);
    assert_eq!(creditor.states(&ids).await, [State::Served; 3]);
    assert_eq!(chain.spent().transactions, 1);
    assert_eq!(devnet.balance_of(devnet::USDC, PAYEE).unwrap(), 3 * PRICE);
}

#[tokio::test]
async fn a_batch_that_was_never_sent_is_sent() {
    let shop = Shop::open().await;
    let many = payments(3);
    shop.play("eth_sendRawTransaction", &[harness::Trick::Break]);
    let pages = Pages::default();
    assert!(shop.chain.broadcast(&batch(&many), &pages).await.is_err());
    let sent = pages.last();
    let (creditor, _, devnet) = Creditor::new(shop);
    let mut ids = Vec::new();
    for (number, payment) in many.iter().enumerate() {
        let id = creditor.serve(payment).await;
        let raw = if number == 0 { sent.raw.clone() } else { Vec::new() };
        let journalled = Step::Journalled(Transaction { hash: sent.hash, raw });
        creditor.ledger.apply(id, journalled).await.unwrap();
        ids.push(id);
    }
    assert_eq!(creditor.seller.resolve_open().await.unwrap(), 0);
    assert_eq!(creditor.states(&ids).await, [State::Served; 3]);
    assert_eq!(devnet.balance_of(devnet::USDC, PAYEE).unwrap(), 3 * PRICE);
}
