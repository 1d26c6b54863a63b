//! Success is said once for a payment: to one call of one seller.

use core::sync::atomic::Ordering;

use x402_core::state::State;
use x402_core::{Amount, ChainId};

use super::*;
use crate::Ledger;
use crate::chain::{Settlement, TxHash};
use crate::facilitator::{Caller, KnownSettlement, Sought};
use crate::ledger::Step;

const USED: Option<&str> = Some("invalid_exact_evm_nonce_already_used");

struct Shop {
    node: Node,
    ledger: Arc<MemoryLedger>,
    facilitator: Arc<LocalFacilitator>,
    request: Request,
}

impl Shop {
    /// The facilitator of one case of the vectors, over a node.
    async fn open(id: &str) -> Self {
        let case = case(&sdk(), id);
        let node = Node::start(&case).await;
        let ledger = Arc::new(MemoryLedger::new());
        let facilitator = facilitator_on(Arc::clone(&ledger) as _, &case, &node).await;
        Self { node, ledger, facilitator: Arc::new(facilitator), request: request(&case) }
    }

    async fn settle(&self, caller: Caller) -> SettleAnswer {
        self.facilitator.settle(&self.request.clone().by(caller)).await.unwrap()
    }

    async fn entry(&self) -> crate::ledger::Entry {
        let ids = self.ledger.ids().await.unwrap();
        self.ledger.find(ids[0]).await.unwrap().unwrap()
    }
}

#[tokio::test]
async fn a_settlement_succeeds_once() {
    let shop = Shop::open("fs-01").await;
    let first = shop.settle(Caller::default()).await;
    assert_eq!((first.reason.as_deref(), first.transaction.is_some()), (None, true));
    for _ in 0..3 {
        let again = shop.settle(Caller::default()).await;
        assert_eq!((again.reason.as_deref(), again.transaction), (USED, first.transaction));
    }
    assert_eq!(shop.node.sent(), 1);
    // Who verifies now is told that it was used.
    let verdict = shop.facilitator.verify(&shop.request).await.unwrap();
    assert_eq!(verdict.reason.as_deref(), USED);
}

#[tokio::test]
async fn of_ten_at_once_one_succeeds() {
    let shop = Arc::new(Shop::open("fs-01").await);
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..10 {
        let shop = Arc::clone(&shop);
        tasks.spawn(async move { shop.settle(Caller::default()).await });
    }
    let (good, rest): (Vec<_>, Vec<_>) =
        tasks.join_all().await.into_iter().partition(|answer| answer.reason.is_none());
    assert_eq!((good.len(), shop.node.sent()), (1, 1));
    for answer in rest {
        assert_eq!((answer.reason.as_deref(), answer.transaction), (USED, good[0].transaction));
    }
}

#[tokio::test]
async fn his_own_call_again_succeeds_with_his_key_and_for_nobody_else() {
    let shop = Shop::open("fs-01").await;
    let [ours, theirs] = ["ours", "theirs"].map(Caller::named);
    let first = shop.settle(ours.with_key(b"one")).await;
    assert_eq!(first.reason, None);
    assert_eq!(shop.settle(ours.with_key(b"one")).await, first);
    for other in [ours, ours.with_key(b"two")] {
        let again = shop.settle(other).await;
        assert_eq!((again.reason.as_deref(), again.transaction), (USED, first.transaction));
    }
    for other in [theirs, theirs.with_key(b"one"), Caller::default()] {
        assert_eq!(shop.settle(other).await.reason.as_deref(), USED);
    }
    assert_eq!((shop.settle(ours.with_key(b"one")).await, shop.node.sent()), (first, 1));
}

#[tokio::test]
async fn what_was_pending_succeeds_for_its_caller() {
    let shop = Shop::open("fs-01").await;
    let [ours, theirs] = ["ours", "theirs"].map(Caller::named);
    shop.node.hides_receipts().store(true, Ordering::SeqCst);
    let pending = shop.settle(ours).await;
    assert_eq!(pending.reason.as_deref(), Some("settlement_pending"));
    assert!(pending.transaction.is_some());
    shop.node.hides_receipts().store(false, Ordering::SeqCst);
    assert_eq!(shop.settle(theirs).await.reason.as_deref(), USED);
    let again = shop.settle(ours).await;
    assert_eq!((again.reason, again.transaction), (None, pending.transaction));
    assert_eq!(shop.settle(ours).await.reason.as_deref(), USED);
    assert_eq!(shop.node.sent(), 1);
}

/// The facilitator ended between the money's arrival and its word.
#[tokio::test]
async fn what_is_settled_and_was_never_said_is_said_to_the_next_call() {
    let shop = Shop::open("fs-01").await;
    shop.node.hides_receipts().store(true, Ordering::SeqCst);
    let pending = shop.settle(Caller::default()).await;
    let transaction = pending.transaction.unwrap();
    let confirmed = Step::Confirmed(Settlement { transaction, log: None });
    shop.ledger.apply(shop.entry().await.id(), confirmed).await.unwrap();
    assert_eq!(shop.entry().await.state, State::Settled);
    assert_eq!(shop.settle(Caller::default()).await.reason, None);
    assert_eq!(shop.settle(Caller::default()).await.reason.as_deref(), USED);
}

#[tokio::test]
async fn a_part_of_a_ceiling_succeeds_once_too() {
    let mut part = case(&sdk(), "fu-01");
    part["paymentRequirements"]["amount"] = "4200".into();
    let node = Node::start(&part).await;
    let facilitator = facilitator(&part, &node).await;
    let settle = async |amount: &str| {
        part["paymentRequirements"]["amount"] = amount.into();
        facilitator.settle(&request(&part)).await.unwrap()
    };
    let mut settle = settle;
    assert_eq!(settle("4200").await.reason, None);
    for amount in ["4200", "10000", "1", "0"] {
        let again = settle(amount).await;
        assert_eq!(again.reason.as_deref(), Some("permit2_invalid_nonce"), "{amount}: {again:?}");
        assert_eq!(again.amount, None);
    }
    assert_eq!(node.sent(), 1);
}

#[tokio::test]
async fn a_seller_sees_its_own_settlements() {
    let shop = Shop::open("fs-01").await;
    let [ours, theirs] = ["ours", "theirs"].map(Caller::named);
    shop.node.hides_receipts().store(true, Ordering::SeqCst);
    let hash = shop.settle(ours).await.transaction.unwrap();
    let payment = shop.entry().await.payment;
    let (asset, from, nonce) = (payment.asset(), payment.payer(), payment.transfer().nonce());
    let by_payment = Sought::Payment { chain_id: payment.chain_id(), asset, from, nonce };
    let other_chain = Sought::Payment { chain_id: ChainId::ETHEREUM, asset, from, nonce };
    let ask = async |sought: Sought, caller: Caller| {
        let known = shop.facilitator.settlements(&sought, &caller).await.unwrap();
        let json: Value = serde_json::from_str(&KnownSettlement::to_json(&known)).unwrap();
        json["settlements"].as_array().unwrap().clone()
    };
    let expected = |state: &str, is_said: bool| {
        json!({
            "state": state,
            "network": payment.chain_id().to_string(),
            "asset": asset.to_string(),
            "payTo": payment.transfer().to().to_string(),
            "payer": from.to_string(),
            "nonce": x402_core::hex::Hex(nonce.as_bytes()).to_string(),
            "amount": Amount::from_units(10_000).to_string(),
            "transaction": hash.to_string(),
            "successSaid": is_said,
        })
    };
    for sought in [Sought::Transaction(hash), by_payment] {
        assert_eq!(ask(sought, ours).await, [expected("pending", false)]);
        assert_eq!(ask(sought, ours.with_key(b"any")).await.len(), 1);
    }
    shop.node.hides_receipts().store(false, Ordering::SeqCst);
    assert_eq!(shop.settle(ours).await.reason, None);
    for sought in [Sought::Transaction(hash), by_payment] {
        assert_eq!(ask(sought, ours).await, [expected("served", true)]);
        for other in [theirs, Caller::default()] {
            assert!(ask(sought, other).await.is_empty());
        }
    }
    for nothing in [Sought::Transaction(TxHash([9; 32])), other_chain] {
        assert!(ask(nothing, ours).await.is_empty());
    }
}
