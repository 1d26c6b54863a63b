//! What one payer has under way, against the balance; and what was lost with a payer.

use super::*;

/// The balance of the payer, and how often it was asked for.
#[derive(Default)]
pub(super) struct Purse {
    /// `None`: enough for everything.
    pub(super) balance: Mutex<Option<u128>>,
    pub(super) asked: AtomicUsize,
}

impl Purse {
    pub(super) fn look(&self) -> Amount {
        self.asked.fetch_add(1, Ordering::SeqCst);
        self.balance.lock().unwrap().map_or(Amount::MAX, Amount::from_units)
    }
}

fn of(balance: u128) -> Purse {
    Purse { balance: Mutex::new(Some(balance)), ..Purse::default() }
}

impl Shop {
    /// Each for a request of its own.
    async fn take(&self, nonce: u8, settle: Settle) -> Result<Admission, Rejection> {
        let request = RequestId::new("POST", &format!("/{nonce}"));
        let terms = *self.offer.requirements();
        let purchase = Purchase { request, amount: terms.amount, settle, replay: Replay::Payer };
        self.seller.admit_for(&secretly(&self.payment_of(nonce, 60)), &terms, purchase).await
    }

    /// How many of a hundred that come at once are admitted; the others have too small a balance.
    async fn of_a_hundred(self: &Arc<Self>, settle: Settle) -> usize {
        let tasks: Vec<_> = (0..100)
            .map(|nonce| {
                let shop = Arc::clone(self);
                tokio::spawn(async move { shop.take(nonce, settle).await })
            })
            .collect();
        let mut pledges = Vec::new();
        for task in tasks {
            match task.await.unwrap() {
                Ok(admission) => pledges.push(admission),
                Err(Rejection { refusal: Refusal::Payment(Error::Balance), .. }) => {}
                Err(Rejection { refusal: Refusal::Pending, .. }) => {}
                Err(rejection) => panic!("{rejection:?}"),
            }
        }
        pledges.len()
    }

    fn balances(&self) -> usize {
        self.chain.purse.asked.load(Ordering::SeqCst)
    }

    fn sent(&self) -> usize {
        self.chain.broadcasts.load(Ordering::SeqCst)
    }
}

#[tokio::test]
async fn of_a_hundred_on_a_balance_for_one_one_is_sent() {
    for (balance, most) in [(10_000, 1), (19_999, 1), (20_000, 2), (55_000, 5)] {
        let script =
            Script { outcome: queue([Says::Nothing]), purse: of(balance), ..Script::default() };
        let shop = Arc::new(Shop::new(script));
        assert_eq!(shop.of_a_hundred(Settle::First).await, 0);
        assert_eq!(shop.sent(), most, "{balance}");
        // Of the first, nobody asks: it has nothing beside it.
        assert_eq!(shop.balances(), 99);
    }
}

#[tokio::test]
async fn of_a_hundred_pieces_of_work_after_which_is_paid_one_is_done() {
    for settle in [Settle::After, Settle::Later] {
        let shop = Arc::new(Shop::new(Script { purse: of(10_000), ..Script::default() }));
        let mut pledges = Vec::new();
        for nonce in 0..100 {
            if let Ok(admission) = shop.take(nonce, settle).await {
                pledges.push(admission);
            }
        }
        assert_eq!(pledges.len(), 1, "{settle:?}");
        assert_eq!(shop.sent(), 0);
        // Let go, it is not under way any more.
        let Some(Admission::Pledged(pledge)) = pledges.pop() else { panic!("{settle:?}") };
        pledge.release().await;
        assert!(shop.take(200, settle).await.is_ok(), "{settle:?}");
    }
}

#[tokio::test]
async fn one_after_the_other_costs_one_call_each() {
    let shop = Shop::new(Script { purse: of(10_000), ..Script::default() });
    for nonce in 0..20 {
        let Ok(Admission::Serve(ticket)) = shop.take(nonce, Settle::First).await else { panic!() };
        ticket.complete(answer()).await.unwrap();
    }
    for nonce in 20..40 {
        let Ok(Admission::Pledged(pledge)) = shop.take(nonce, Settle::After).await else {
            panic!()
        };
        pledge.settle(answer(), Amount::from_units(10_000)).await.unwrap();
    }
    assert_eq!((shop.balances(), shop.sent()), (0, 40));
    assert_eq!(shop.chain.simulated.load(Ordering::SeqCst), 60);
}

#[tokio::test]
async fn who_is_verified_has_what_is_under_way_beside_it() {
    let script = Script { outcome: queue([Says::Nothing]), purse: of(10_000), ..Script::default() };
    let shop = Shop::new(script);
    let verify = || async {
        let presented = shop.payment_of(2, 60).into();
        shop.seller.verify(&presented, shop.offer.requirements()).await.map_err(|it| it.refusal)
    };
    assert_eq!((verify().await, shop.balances()), (Ok(()), 0));
    assert_eq!(shop.take(1, Settle::First).await.unwrap_err().refusal, Refusal::Pending);
    assert_eq!(verify().await, Err(Refusal::Payment(Error::Balance)));
    *shop.chain.purse.balance.lock().unwrap() = Some(20_000);
    assert_eq!(verify().await, Ok(()));
}

#[tokio::test]
async fn what_is_pending_counts_until_it_has_ended() {
    let script = Script { outcome: queue([Says::Nothing]), purse: of(10_000), ..Script::default() };
    let shop = Shop::new(script);
    assert_eq!(shop.take(1, Settle::First).await.unwrap_err().refusal, Refusal::Pending);
    for nonce in 2..5 {
        let refused = shop.take(nonce, Settle::First).await.unwrap_err().refusal;
        assert_eq!(refused, Refusal::Payment(Error::Balance));
        assert_eq!(shop.state(&shop.payment_of(nonce, 60)).await, None);
    }
    *shop.chain.outcome.lock().unwrap() = [Says::Arrived].into();
    assert_eq!(shop.seller.resolve_open().await.unwrap(), 0);
    let Ok(Admission::Serve(_)) = shop.take(2, Settle::First).await else { panic!() };
    assert_eq!(shop.sent(), 2);
}

#[tokio::test]
async fn what_was_pending_before_a_restart_counts() {
    let ledger: Arc<dyn Ledger> = Arc::new(MemoryLedger::default());
    let script =
        || Script { outcome: queue([Says::Nothing]), purse: of(10_000), ..Script::default() };
    let before = Shop::with(Arc::clone(&ledger), Arc::new(script()));
    assert_eq!(before.take(1, Settle::First).await.unwrap_err().refusal, Refusal::Pending);
    let after = Shop::with(ledger, Arc::new(script()));
    let presented = after.payment_of(2, 60).into();
    let verified = after.seller.verify(&presented, after.offer.requirements()).await;
    assert_eq!(verified.unwrap_err().refusal, Refusal::Payment(Error::Balance));
    let refused = after.take(2, Settle::First).await.unwrap_err().refusal;
    assert_eq!((refused, after.sent()), (Refusal::Payment(Error::Balance), 0));
    *after.chain.purse.balance.lock().unwrap() = Some(20_000);
    assert_eq!(after.take(2, Settle::First).await.unwrap_err().refusal, Refusal::Pending);
    assert_eq!(after.sent(), 1);
}

#[tokio::test]
async fn what_is_owed_counts_once() {
    // Enough for two: what is owed, and one more.
    let shop = Shop::new(Script { purse: of(20_000), ..Script::default() });
    let Ok(Admission::Pledged(_one)) = shop.take(1, Settle::Later).await else { panic!() };
    assert_eq!(shop.balances(), 0);
    let Ok(Admission::Pledged(_two)) = shop.take(2, Settle::After).await else { panic!() };
    let refused = shop.take(3, Settle::First).await.unwrap_err().refusal;
    assert_eq!(refused, Refusal::Payment(Error::Balance));
    let refused = shop.take(4, Settle::Later).await.unwrap_err().refusal;
    assert_eq!(refused, Refusal::Payment(Error::Balance));
    *shop.chain.purse.balance.lock().unwrap() = Some(30_000);
    let Ok(Admission::Serve(_)) = shop.take(3, Settle::First).await else { panic!() };
}

#[tokio::test]
async fn what_two_blocks_cannot_carry_any_more_is_expired() {
    for (block, margin) in [(0, 6), (1, 6), (2, 6), (3, 8), (12, 26)] {
        let shop = Shop::new(Script { block_seconds: block, ..Script::default() });
        let late = shop.refused(&shop.payment_of(1, margin - 1)).await.refusal;
        assert_eq!(late, Refusal::Payment(Error::Expired), "{block}");
        assert_eq!(shop.chain.simulated.load(Ordering::SeqCst), 0);
        drop(shop.serve(&shop.payment_of(2, margin)).await);
    }
}

#[tokio::test]
async fn a_payer_whose_transaction_moved_nothing_waits_longer_each_time() {
    let script = Script { outcome: queue([Says::Reverted]), ..Script::default() };
    let shop = Shop::new(script);
    let mut now = NOW;
    for (count, wait) in [10, 20].into_iter().enumerate() {
        let reverted = shop.payment_of(count.try_into().unwrap(), 600);
        shop.seller.pending.clear();
        let refused = shop.refused(&reverted).await;
        assert_eq!(refused.refusal, Refusal::Pending, "it can be used until it ends");
        // The same again costs nothing, and does not make it longer.
        assert_eq!(shop.refused(&reverted).await.refusal, refused.refusal);
        assert_eq!(shop.sent(), count + 1);
        let next = shop.payment_of(100, 600);
        let refused = shop.admit(&next, "/next").await.unwrap_err();
        assert_eq!(refused.refusal, Refusal::TooSoon(wait));
        let verified = shop.seller.verify(&next.into(), shop.offer.requirements()).await;
        assert_eq!(verified.unwrap_err().refusal, Refusal::TooSoon(wait));
        assert_eq!(shop.state(&next).await, None);
        now += u64::from(wait);
        shop.now.store(now, Ordering::SeqCst);
    }
    *shop.chain.outcome.lock().unwrap() = [Says::Arrived].into();
    assert!(shop.admit(&shop.payment_of(100, 600), "/next").await.is_ok());
}
