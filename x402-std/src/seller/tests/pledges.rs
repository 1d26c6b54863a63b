//! Payments whose money moves after the work.

use super::*;
use crate::ledger::{Owed, OwedAccount};

impl Shop {
    async fn buy(&self, payment: &Payment, settle: Settle) -> Result<Admission, Rejection> {
        let request = RequestId::new("POST", "/a");
        let amount = self.offer.requirements().amount;
        let purchase = Purchase { request, amount, settle, replay: Replay::Payer };
        let terms = self.offer.requirements();
        self.seller.admit_for(&secretly(payment), terms, purchase).await
    }

    pub(super) async fn pledged(&self, payment: &Payment, settle: Settle) -> Pledge {
        match self.buy(payment, settle).await {
            Ok(Admission::Pledged(pledge)) => *pledge,
            other => panic!("{other:?}"),
        }
    }

    pub(super) async fn replayed(&self, payment: &Payment, settle: Settle) -> Option<TxHash> {
        match self.buy(payment, settle).await {
            Ok(Admission::Replay(receipt, kept)) => {
                assert_eq!(kept, answer());
                receipt.transaction
            }
            other => panic!("{other:?}"),
        }
    }

    pub(super) async fn refused_with(&self, payment: &Payment, settle: Settle) -> Refusal {
        self.buy(payment, settle).await.unwrap_err().refusal
    }

    fn price(&self) -> Amount {
        self.offer.requirements().amount
    }

    fn broadcasts(&self) -> usize {
        self.chain.broadcasts.load(Ordering::SeqCst)
    }

    async fn owes(&self, payment: &Payment) -> Owed {
        let Payment { chain_id, asset, transfer, .. } = *payment;
        let account = OwedAccount { payer: transfer.from(), chain_id, asset };
        self.ledger.owes(account).await.unwrap()
    }

    async fn owed(&self, payment: &Payment) -> Amount {
        self.owes(payment).await.sum
    }

    /// The only one.
    pub(super) async fn debt(&self, payment: &Payment) -> PaymentId {
        let owed = self.owes(payment).await;
        let [id] = owed.debts[..] else { panic!("{owed:?}") };
        id
    }
}

const NOTHING: Amount = Amount::ZERO;
const FIRST: Option<TxHash> = Some(TxHash([1; 32]));

#[tokio::test]
async fn after_the_work_the_money_moves_and_then_the_answer_is_good() {
    let shop = Shop::new(Script::default());
    let payment = shop.payment();
    let pledge = shop.pledged(&payment, Settle::After).await;
    assert_eq!((shop.broadcasts(), pledge.is_later()), (0, false));
    assert_eq!(shop.refused_with(&payment, Settle::After).await, Refusal::InFlight);
    let receipt = pledge.settle(answer(), shop.price()).await.unwrap();
    assert_eq!((receipt.transaction, shop.state(&payment).await), (FIRST, Some(State::Served)));
    assert_eq!(shop.replayed(&payment, Settle::After).await, FIRST);
    assert_eq!(shop.broadcasts(), 1);
}

#[tokio::test]
async fn work_that_outlasts_its_payment_is_refused_as_expired_and_nothing_is_sent() {
    let shop = Shop::new(Script::default());
    let payment = shop.payment();
    let pledge = shop.pledged(&payment, Settle::After).await;
    let simulated = shop.chain.simulated.load(Ordering::SeqCst);
    shop.now.store(NOW + 75, Ordering::SeqCst);
    let rejection = pledge.settle(answer(), shop.price()).await.unwrap_err();
    assert_eq!(rejection.refusal, Refusal::Payment(Error::Expired));
    assert_eq!((shop.broadcasts(), shop.state(&payment).await), (0, Some(State::Failed)));
    assert_eq!(shop.chain.simulated.load(Ordering::SeqCst), simulated, "it is known already");
}

/// Refuses what it takes without a reason.
struct Refusing;

impl Rail for Refusing {
    fn has_code(&self, _: x402_core::Address) -> BoxFuture<'_, Result<Option<bool>, ChainError>> {
        Box::pin(core::future::ready(Ok(Some(false))))
    }

    fn verify<'a>(&'a self, _: &'a Entry) -> BoxFuture<'a, Result<(), ChainError>> {
        Box::pin(core::future::ready(Ok(())))
    }

    fn settle<'a>(
        &'a self,
        _: &'a Entry,
        _: &'a Steps<'a>,
    ) -> BoxFuture<'a, Result<TxHash, Rejection>> {
        Box::pin(core::future::ready(Err(Error::Simulation.into())))
    }

    fn follow<'a>(
        &'a self,
        entry: &'a Entry,
        steps: &'a Steps<'a>,
    ) -> BoxFuture<'a, Result<TxHash, Rejection>> {
        self.settle(entry, steps)
    }
}

#[tokio::test]
async fn what_is_refused_at_its_very_end_is_refused_as_expired() {
    for (seconds, expected) in [(30, Error::Simulation), (56, Error::Expired)] {
        let shop = Shop::new(Script::default());
        let now = Arc::clone(&shop.now);
        let clock: Clock = Arc::new(move || now.load(Ordering::SeqCst));
        let options = SellerOptions { clock, ..SellerOptions::default() };
        let rails = vec![(ChainId::ETHEREUM, Arc::new(Refusing) as Arc<dyn Rail>)];
        let seller = Seller::with_rails(shop.ledger.clone(), rails, options);
        let shop = Shop { seller, ..shop };
        let pledge = shop.pledged(&shop.payment(), Settle::After).await;
        shop.now.store(NOW + seconds, Ordering::SeqCst);
        let rejection = pledge.settle(answer(), shop.price()).await.unwrap_err();
        assert_eq!(rejection.refusal, Refusal::Payment(expected), "{seconds}");
    }
}

#[tokio::test]
async fn what_is_let_go_is_not_charged_and_may_be_presented_again() {
    for settle in [Settle::After, Settle::Later] {
        let shop = Shop::new(Script::default());
        let payment = shop.payment();
        shop.pledged(&payment, settle).await.release().await;
        assert_eq!((shop.state(&payment).await, shop.owed(&payment).await), (None, NOTHING));
        drop(shop.pledged(&payment, settle).await);
        assert_eq!(shop.state(&payment).await, Some(State::Claimed));
        // Dropped: the same request has it done.
        shop.pledged(&payment, settle).await.release().await;
        assert_eq!(shop.broadcasts(), 0);
    }
}

#[tokio::test]
async fn an_answer_that_cannot_be_paid_for_is_not_given() {
    let simulate = queue([Says::Takes, Says::Refuses(Error::Balance)]);
    let shop = Shop::new(Script { simulate, ..Script::default() });
    let payment = shop.payment();
    let pledge = shop.pledged(&payment, Settle::After).await;
    let rejection = pledge.settle(answer(), shop.price()).await.unwrap_err();
    assert_eq!(rejection.refusal, Refusal::Payment(Error::Balance));
    assert_eq!(shop.state(&payment).await, Some(State::Failed));
    // Nothing was given, so nothing is owed.
    assert_eq!((shop.owed(&payment).await, shop.broadcasts()), (NOTHING, 0));
}

#[tokio::test]
async fn an_answer_whose_payment_is_not_known_is_given_once_it_is() {
    let shop = Shop::new(Script { outcome: queue([Says::Nothing]), ..Script::default() });
    let payment = shop.payment();
    let pledge = shop.pledged(&payment, Settle::After).await;
    let rejection = pledge.settle(answer(), shop.price()).await.unwrap_err();
    assert_eq!((rejection.refusal, rejection.transaction), (Refusal::Pending, FIRST));
    *shop.chain.outcome.lock().unwrap() = [Says::Arrived].into();
    assert_eq!(shop.replayed(&payment, Settle::After).await, FIRST);
    assert_eq!((shop.broadcasts(), shop.state(&payment).await), (1, Some(State::Served)));
}

#[tokio::test]
async fn a_chain_that_is_down_after_the_work_loses_nothing() {
    let broadcast = queue([Says::Down, Says::Takes]);
    let shop = Shop::new(Script { broadcast, ..Script::default() });
    let payment = shop.payment();
    let pledge = shop.pledged(&payment, Settle::After).await;
    let rejection = pledge.settle(answer(), shop.price()).await.unwrap_err();
    // It is sent later, whether or not its payer comes again.
    assert_eq!((rejection.refusal, rejection.transaction), (Refusal::Pending, None));
    assert_eq!(shop.state(&payment).await, Some(State::Worked));
    assert_eq!(shop.replayed(&payment, Settle::After).await, FIRST);
}

#[tokio::test]
async fn what_is_served_on_trust_is_repeated_at_once_and_settled_later() {
    let shop = Shop::new(Script::default());
    let payment = shop.payment();
    let pledge = shop.pledged(&payment, Settle::Later).await;
    assert_eq!(pledge.owe(answer(), shop.price()).await.unwrap().transaction, None);
    assert_eq!((shop.owed(&payment).await, shop.broadcasts()), (shop.price(), 0));
    assert_eq!(shop.replayed(&payment, Settle::Later).await, None);
    shop.seller.close_tab().await;
    assert_eq!((shop.owed(&payment).await, shop.broadcasts()), (NOTHING, 1));
    assert_eq!(shop.replayed(&payment, Settle::Later).await, FIRST);
    assert_eq!(shop.state(&payment).await, Some(State::Served));
}

#[tokio::test]
async fn who_owes_as_much_as_he_may_pays_first() {
    let shop = Shop::new(Script::default());
    let mut held = Vec::new();
    for nonce in [1, 2] {
        held.push(shop.pledged(&shop.payment_of(nonce, 60), Settle::Later).await);
    }
    // Both are being worked on: the third would be more than the two that are allowed.
    let third = shop.buy(&shop.payment_of(3, 60), Settle::Later).await;
    let Ok(Admission::Serve(ticket)) = third else { panic!("{third:?}") };
    assert_eq!(ticket.receipt().transaction, FIRST);
    ticket.complete(answer()).await.unwrap();
    for pledge in held {
        pledge.release().await;
    }
    shop.pledged(&shop.payment_of(4, 60), Settle::Later).await.release().await;
}

#[tokio::test]
async fn of_many_at_once_no_more_are_trusted_than_may_be_owed() {
    let shop = Arc::new(Shop::new(Script::default()));
    let tasks: Vec<_> = (10..30)
        .map(|nonce| {
            let shop = Arc::clone(&shop);
            tokio::spawn(async move {
                shop.buy(&shop.payment_of(nonce, 60), Settle::Later).await.unwrap()
            })
        })
        .collect();
    let mut pledges = Vec::new();
    for task in tasks {
        if let Admission::Pledged(pledge) = task.await.unwrap() {
            pledges.push(*pledge);
        }
    }
    assert!(pledges.len() <= 2, "{}", pledges.len());
}

#[tokio::test]
async fn whose_authorization_ends_too_soon_pays_first() {
    let shop = Shop::new(Script::default());
    let brief = shop.buy(&shop.payment_of(1, 8), Settle::Later).await;
    assert!(matches!(brief, Ok(Admission::Serve(_))), "{brief:?}");
}

/// A payer who was served, and whose balance was gone afterwards.
pub(super) async fn in_debt() -> (Shop, Payment) {
    let simulate = queue([Says::Takes, Says::Refuses(Error::Balance)]);
    let shop = Shop::new(Script { simulate, ..Script::default() });
    let payment = shop.payment();
    let pledge = shop.pledged(&payment, Settle::Later).await;
    pledge.owe(answer(), shop.price()).await.unwrap();
    shop.seller.close_tab().await;
    assert_eq!(shop.state(&payment).await, Some(State::Failed));
    (shop, payment)
}

#[tokio::test]
async fn who_was_served_and_did_not_pay_is_refused_until_it_is_covered() {
    let (shop, payment) = in_debt().await;
    let says = [Says::Takes, Says::Refuses(Error::Balance)];
    *shop.chain.simulate.lock().unwrap() = says.clone().into();
    let next = shop.payment_of(8, 60);
    assert_eq!(shop.refused_with(&next, Settle::Later).await, Refusal::Payment(Error::Owing));
    assert_eq!((shop.state(&next).await, shop.owed(&next).await), (None, shop.price()));
    // The same bytes are not served again either, before they are paid.
    *shop.chain.simulate.lock().unwrap() = [Says::Refuses(Error::Balance)].into();
    assert_eq!(shop.refused_with(&payment, Settle::Later).await, Refusal::Payment(Error::Balance));
    *shop.chain.simulate.lock().unwrap() = [Says::Takes].into();
    shop.pledged(&next, Settle::Later).await.release().await;
    assert_eq!(shop.state(&payment).await, Some(State::Served));
    assert_eq!(shop.owes(&payment).await, Owed::default());
    assert_eq!(shop.replayed(&payment, Settle::Later).await, FIRST);
}

#[tokio::test]
async fn a_debt_is_not_forgotten() {
    let (shop, payment) = in_debt().await;
    let id = shop.debt(&payment).await;
    let entry = shop.ledger.find(id).await.unwrap().unwrap();
    assert!(entry.is_debt() && !entry.is_over(u64::MAX));
}

#[tokio::test]
async fn a_debt_is_tried_again_while_it_is_valid_and_not_for_ever() {
    let (shop, payment) = in_debt().await;
    shop.seller.resolve_open().await.unwrap();
    assert_eq!((shop.state(&payment).await, shop.broadcasts()), (Some(State::Failed), 0));
    let asked = shop.chain.simulated.load(Ordering::SeqCst);
    shop.now.store(NOW + 60 + 601, Ordering::SeqCst);
    shop.seller.resolve_open().await.unwrap();
    assert_eq!(shop.chain.simulated.load(Ordering::SeqCst), asked, "it has ended");
    shop.now.store(NOW + 30, Ordering::SeqCst);
    *shop.chain.simulate.lock().unwrap() = [Says::Takes].into();
    shop.seller.resolve_open().await.unwrap();
    assert_eq!((shop.state(&payment).await, shop.broadcasts()), (Some(State::Served), 1));
}

#[tokio::test]
async fn what_is_forgiven_is_over() {
    let (shop, payment) = in_debt().await;
    let id = shop.debt(&payment).await;
    shop.ledger.apply(id, Step::Forgiven).await.unwrap();
    *shop.chain.simulate.lock().unwrap() = [Says::Takes].into();
    // Its bytes buy nothing more, and their payer may buy again.
    let refusal = shop.refused_with(&payment, Settle::Later).await;
    assert_eq!(refusal, Refusal::Payment(Error::Simulation));
    shop.pledged(&shop.payment_of(8, 60), Settle::Later).await.release().await;
    assert_eq!((shop.broadcasts(), shop.owes(&payment).await), (0, Owed::default()));
}

#[tokio::test]
async fn after_a_crash_what_is_owed_is_settled() {
    let ledger: Arc<dyn Ledger> = Arc::new(MemoryLedger::default());
    let before = Shop::with(ledger.clone(), Arc::new(Script::default()));
    let payments = [before.payment_of(1, 60), before.payment_of(2, 60)];
    for payment in &payments {
        let pledge = before.pledged(payment, Settle::Later).await;
        ledger.apply(pledge.id(), Step::Worked(answer(), before.price())).await.unwrap();
    }
    let after = Shop::with(ledger, Arc::new(Script::default()));
    assert_eq!(after.seller.resolve_open().await.unwrap(), 0);
    for payment in &payments {
        assert_eq!(after.state(payment).await, Some(State::Served));
    }
    assert_eq!(after.owed(&payments[0]).await, NOTHING);
}

#[tokio::test]
async fn what_was_only_claimed_is_let_go_when_it_is_over() {
    let shop = Shop::new(Script::default());
    let payment = shop.payment();
    drop(shop.pledged(&payment, Settle::Later).await);
    while shop.seller.resolve_open().await.unwrap() == 0 {
        // The pledge's lease is being given back.
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(shop.state(&payment).await, Some(State::Claimed));
    shop.now.store(NOW + 2 * Entry::KEEP_SECONDS, Ordering::SeqCst);
    assert_eq!(shop.seller.resolve_open().await.unwrap(), 0);
    assert_eq!((shop.state(&payment).await, shop.owed(&payment).await), (None, NOTHING));
}
