//! What was paid and never served: it is served, or given back, and only one of these.

use super::credit::units;
use super::refund::{key, refusal};
use super::*;
use crate::ledger::Returned;

impl Shop {
    /// With 6,000 of credit, and a payment of 10,000 that has arrived and whose work was not done.
    async fn owing_work(script: Script) -> (Self, Payment, PaymentId) {
        let shop = Self::of_key(script).await;
        let payment = shop.payment_of(8, 60);
        drop(shop.serve(&payment).await);
        let id = shop.offer.requirements().identify(&payment, &K256).unwrap();
        // Until its lease is given back somebody is busy with it.
        while shop.seller.working.is_busy(id) {
            tokio::task::yield_now().await;
        }
        (shop, payment, id)
    }

    async fn refund_unserved(&self, id: PaymentId) -> Result<Refunded, RefundError> {
        let by = Refunder { asset: self.offer.asset(), key: &key() };
        self.seller.refund_unserved(id, by).await
    }

    async fn returned(&self, id: PaymentId) -> Option<Returned> {
        self.ledger.find(id).await.unwrap().unwrap().returned
    }

    /// Nothing more comes of it: this is where it stands.
    async fn is_ended(&self, id: PaymentId, standing: &str) {
        for ended in [
            self.seller.credit_unserved(id).await.map(drop),
            self.refund_unserved(id).await.map(drop),
        ] {
            let Err(RefundError::Unserved(at)) = ended else { panic!("{ended:?}") };
            assert_eq!(at, standing);
        }
        assert!(self.seller.unserved().await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn what_was_not_served_waits_for_its_payer_however_long() {
    let (shop, payment, id) = Shop::owing_work(Script::default()).await;
    let unserved = async || shop.seller.unserved().await.unwrap();
    assert_eq!(unserved().await.iter().map(Entry::id).collect::<Vec<_>>(), [id]);
    assert_eq!(shop.seller.resolve_open().await.unwrap(), 0, "its outcome is known");
    shop.now.store(NOW + 400 * 86_400, Ordering::SeqCst);
    // Others come, and what is over is forgotten.
    let entry = shop.claimed(9).await;
    let later = Entry { claimed_at: NOW + 400 * 86_400, ..entry };
    shop.ledger.apply(later.id(), Step::Refused).await.unwrap();
    assert!(matches!(shop.ledger.claim(later).await.unwrap(), Claiming::New(_)));
    assert_eq!(shop.state(&shop.payment()).await, None, "it was served");
    assert_eq!(unserved().await.len(), 1);
    shop.serve(&payment).await.complete(answer()).await.unwrap();
    shop.is_ended(id, "served").await;
}

#[tokio::test]
async fn what_was_not_served_becomes_credit_once() {
    let (shop, payment, id) = Shop::owing_work(Script::default()).await;
    let ticket = shop.serve(&payment).await;
    let busy = shop.seller.credit_unserved(id).await;
    assert!(matches!(busy, Err(RefundError::Rejected(ref r)) if r.refusal == Refusal::InFlight));
    drop(ticket);
    shop.seller.credit_unserved(id).await.unwrap();
    assert_eq!(shop.balance().await, units(16_000));
    shop.is_ended(id, "credited").await;
    assert_eq!(shop.refused(&payment).await.refusal, Refusal::Returned);
    shop.now.store(NOW + 61, Ordering::SeqCst);
    assert_eq!(shop.refused(&payment).await.refusal, Refusal::Returned, "it has ended since");
    assert_eq!(shop.balance().await, units(16_000));
    assert!(shop.sent_back().is_empty());
}

#[tokio::test]
async fn what_was_not_served_is_refunded_once() {
    let (shop, payment, id) = Shop::owing_work(Script::default()).await;
    shop.is_final().await;
    let refunded = shop.refund_unserved(id).await.unwrap();
    assert_eq!(refunded.amount, units(10_000));
    let [sent] = shop.sent_back()[..] else { panic!() };
    assert_eq!((sent.amount(), sent.transfer().to()), (units(10_000), shop.account().payer));
    assert_eq!(sent.transfer().nonce(), Nonce::new(refunded.draw.0));
    assert_eq!(shop.returned(id).await, Some(Returned::Refunded(refunded.transaction)));
    shop.is_ended(id, "refunded").await;
    assert_eq!(shop.refused(&payment).await.refusal, Refusal::Returned);
    // It was none of his credit.
    assert_eq!((shop.balance().await, shop.sent_back().len()), (units(6_000), 1));
}

#[tokio::test]
async fn what_the_chain_may_go_back_on_is_not_refunded() {
    let (shop, payment, id) = Shop::owing_work(Script::default()).await;
    *shop.chain.outcome.lock().unwrap() = [Says::Arrived].into();
    shop.chain.is_final_to.store(0, Ordering::SeqCst);
    let early = shop.refund_unserved(id).await;
    assert!(matches!(early, Err(RefundError::NotFinal(Amount::ZERO))), "{early:?}");
    assert_eq!((shop.returned(id).await, shop.sent_back().len()), (None, 0));
    drop(shop.serve(&payment).await);
}

/// As after a crash between the sending and the record of it, and before.
#[tokio::test]
async fn a_refund_of_what_was_not_served_that_was_cut_off_is_gone_on_with() {
    for (broadcast, sent) in [(Says::Down, 1), (Says::Lost, 2)] {
        let (shop, payment, id) = Shop::owing_work(Script::default()).await;
        shop.is_final().await;
        shop.says(broadcast, Says::Nothing);
        refusal(shop.refund_unserved(id).await);
        assert_eq!(shop.returned(id).await, Some(Returned::Refunding));
        assert_eq!(shop.refused(&payment).await.refusal, Refusal::Returned);
        let credited = shop.seller.credit_unserved(id).await;
        assert!(matches!(credited, Err(RefundError::Unserved("refunding"))), "{credited:?}");
        assert_eq!(shop.seller.unserved().await.unwrap().len(), 1);
        shop.now.store(NOW + 86_400, Ordering::SeqCst);
        shop.says(Says::Takes, Says::Arrived);
        shop.refund_unserved(id).await.unwrap();
        let all = shop.sent_back();
        assert_eq!(all.len(), sent);
        assert!(all.iter().all(|payment| payment.id() == all[0].id()), "the token takes one");
        shop.is_ended(id, "refunded").await;
        assert_eq!(shop.balance().await, units(6_000));
    }
}

#[tokio::test]
async fn of_two_operators_at_once_one_gives_it_back() {
    for _ in 0..8 {
        let (shop, _, id) = Shop::owing_work(Script::default()).await;
        shop.is_final().await;
        let (credited, refunded) =
            tokio::join!(shop.seller.credit_unserved(id), shop.refund_unserved(id));
        assert_ne!(credited.is_ok(), refunded.is_ok(), "{credited:?}, {refunded:?}");
        let (credit, sent) = if credited.is_ok() { (16_000, 0) } else { (6_000, 1) };
        assert_eq!((shop.balance().await, shop.sent_back().len()), (units(credit), sent));
    }
}
