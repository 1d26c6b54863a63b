//! What is said of a payment when the node or the ledger fails on its way: that nothing was charged only where
//! nothing is, nor will be.

use super::*;
use crate::ledger::{Conclusion, CreditAccount, Draw, DrawId, Drawing, LedgerIdentity};
use crate::ledger::{CreditNames, NameLedger, Owed, OwedAccount, Renewal};

/// A ledger whose writes fail from one of them on, for so long as it is told, done or not; and whose reads may
/// fail with them.
#[derive(Default)]
struct Failing {
    memory: MemoryLedger,
    /// The first write that fails, counted from 0, and how many do.
    fails: Mutex<Option<(usize, usize)>>,
    writes: AtomicUsize,
    /// Whether a write that fails is done all the same.
    is_done: AtomicBool,
    fails_reads: AtomicBool,
    has_failed: AtomicBool,
}

fn storage<T>() -> Result<T, LedgerError> {
    Err(LedgerError::Storage("down".into()))
}

impl Failing {
    fn write_fails(&self) -> bool {
        let count = self.writes.fetch_add(1, Ordering::SeqCst);
        let fails = *self.fails.lock().unwrap();
        let fails = fails.is_some_and(|(first, many)| (first..first + many).contains(&count));
        self.has_failed.fetch_or(fails, Ordering::SeqCst);
        fails
    }

    fn mend(&self) {
        *self.fails.lock().unwrap() = None;
        self.fails_reads.store(false, Ordering::SeqCst);
    }
}

names_in_memory!(Failing);

impl Ledger for Failing {
    fn claim(&self, entry: Entry) -> BoxFuture<'_, Result<Claiming, LedgerError>> {
        Box::pin(async move {
            let fails = self.write_fails();
            if !fails || self.is_done.load(Ordering::SeqCst) {
                let claimed = self.memory.claim(entry).await;
                return if fails { storage() } else { claimed };
            }
            storage()
        })
    }

    fn apply(&self, id: PaymentId, step: Step) -> BoxFuture<'_, Result<(), LedgerError>> {
        Box::pin(async move {
            let fails = self.write_fails();
            if !fails || self.is_done.load(Ordering::SeqCst) {
                let applied = self.memory.apply(id, step).await;
                return if fails { storage() } else { applied };
            }
            storage()
        })
    }

    fn find(&self, id: PaymentId) -> BoxFuture<'_, Result<Option<Entry>, LedgerError>> {
        let fails =
            self.fails_reads.load(Ordering::SeqCst) && self.has_failed.load(Ordering::SeqCst);
        match fails {
            true => Box::pin(async { storage() }),
            false => self.memory.find(id),
        }
    }

    rest_in_memory!();
}

/// How a payment goes that meets with these failures.
#[derive(Clone, Copy, Debug)]
struct Weather {
    first: usize,
    many: usize,
    is_done: bool,
    fails_reads: bool,
}

fn weathers() -> impl Iterator<Item = Weather> {
    let both = [false, true];
    (0..6).flat_map(move |first| {
        [1, 9].into_iter().flat_map(move |many| {
            both.into_iter().flat_map(move |is_done| {
                let weather = Weather { first, many, is_done, fails_reads: false };
                both.into_iter().map(move |fails_reads| Weather { fails_reads, ..weather })
            })
        })
    })
}

fn shop(weather: Weather, broadcast: Says, outcome: Says) -> (Shop, Arc<Failing>) {
    let ledger = Arc::new(Failing {
        fails: Mutex::new(Some((weather.first, weather.many))),
        is_done: weather.is_done.into(),
        fails_reads: weather.fails_reads.into(),
        ..Failing::default()
    });
    let (broadcast, outcome) = (queue([broadcast]), queue([outcome]));
    let script = Script { broadcast, outcome, ..Script::default() };
    (Shop::with(ledger.clone(), Arc::new(script)), ledger)
}

/// Once all is well again, nothing of the payment is sent by anybody but its payer.
async fn expect_nothing_charged(shop: &Shop, ledger: &Failing, payment: &Payment, what: &str) {
    ledger.mend();
    shop.chain.broadcast.lock().unwrap().clear();
    shop.seller.resolve_open().await.unwrap();
    let state = shop.state(payment).await;
    assert!(matches!(state, None | Some(State::Claimed)), "{what}: {state:?}");
    assert!(shop.chain.sent.lock().unwrap().is_empty(), "{what}: it was sent");
    assert_eq!(shop.chain.rebroadcasts.load(Ordering::SeqCst), 0, "{what}");
}

const ANSWERS: [Says; 4] = [Says::Takes, Says::Lost, Says::Refuses(Error::Simulation), Says::Down];

#[tokio::test]
async fn that_nothing_was_charged_is_said_where_it_is_so() {
    let (mut unavailable, mut pending, mut in_doubt) = (0, 0, 0);
    for (weather, broadcast) in weathers().flat_map(|w| ANSWERS.map(|broadcast| (w, broadcast))) {
        let what = format!("{weather:?}, {broadcast:?}");
        let (shop, ledger) = shop(weather, broadcast, Says::Nothing);
        let payment = shop.payment();
        match shop.refused(&payment).await {
            Rejection { refusal: Refusal::Unavailable, transaction, .. } => {
                assert_eq!(transaction, None, "{what}");
                expect_nothing_charged(&shop, &ledger, &payment, &what).await;
                unavailable += 1;
            }
            Rejection { refusal: Refusal::Pending, transaction, .. } => {
                assert!(transaction.is_some(), "{what}: pending by what?");
                pending += 1;
            }
            Rejection { refusal: Refusal::InDoubt, .. } => in_doubt += 1,
            other => panic!("{what}: {other:?}"),
        }
        // Whatever was said, the payer who does as told is served.
        ledger.mend();
        shop.chain.broadcast.lock().unwrap().clear();
        *shop.chain.outcome.lock().unwrap() = [Says::Arrived].into();
        drop(shop.serve(&payment).await);
    }
    assert!(
        unavailable > 10 && pending > 10 && in_doubt > 10,
        "{unavailable} {pending} {in_doubt}"
    );
}

/// The work is done and its answer kept: it is sent later, whether or not its payer comes again.
#[tokio::test]
async fn of_work_that_is_done_it_is_never_said_that_nothing_was_charged() {
    for (weather, broadcast) in weathers().flat_map(|w| ANSWERS.map(|broadcast| (w, broadcast))) {
        // The claim is written before the work.
        let weather = Weather { first: weather.first + 1, ..weather };
        let (shop, _ledger) = shop(weather, broadcast, Says::Nothing);
        let (settle, replay) = (Settle::After, Replay::Payer);
        let amount = shop.offer.requirements().amount;
        let purchase = Purchase { request: RequestId::new("POST", "/a"), amount, settle, replay };
        let presented = secretly(&shop.payment());
        let terms = shop.offer.requirements();
        let admitted = shop.seller.admit_for(&presented, terms, purchase).await;
        let Ok(Admission::Pledged(pledge)) = admitted else { panic!("{weather:?}: {admitted:?}") };
        let said = pledge.settle(answer(), amount).await.unwrap_err().refusal;
        let what = format!("{weather:?}: {said:?}");
        assert!(matches!(said, Refusal::Pending | Refusal::InDoubt), "{what}");
    }
}

/// The money moves while the ledger is away: that is not forgotten, and not said to be nothing.
#[tokio::test]
async fn money_that_arrives_while_the_ledger_is_away_is_pending_by_its_transaction() {
    // The claim is 0, the journal 1, the arrival 2.
    for fails_reads in [false, true] {
        let weather = Weather { first: 2, many: 99, is_done: false, fails_reads };
        let (shop, ledger) = shop(weather, Says::Takes, Says::Arrived);
        let payment = shop.payment();
        // The ledger that does not answer has taken the transaction down before.
        ledger.has_failed.store(true, Ordering::SeqCst);
        ledger.fails_reads.store(false, Ordering::SeqCst);
        let rejection = shop.refused(&payment).await;
        assert_eq!((rejection.refusal, rejection.transaction), (Refusal::Pending, FIRST));
        ledger.fails_reads.store(true, Ordering::SeqCst);
        assert_eq!(shop.refused(&payment).await.refusal, Refusal::InDoubt);
        ledger.mend();
        drop(shop.serve(&payment).await);
    }
}

const FIRST: Option<TxHash> = Some(TxHash([1; 32]));

#[tokio::test]
async fn what_the_node_refuses_is_pending_by_its_transaction_and_served_once_it_is_taken() {
    let shop = Shop::new(Script {
        broadcast: queue([Says::Refuses(Error::Simulation)]),
        rebroadcast: queue([Says::Lost]),
        outcome: queue([Says::Nothing]),
        ..Script::default()
    });
    let payment = shop.payment();
    let rejection = shop.refused(&payment).await;
    assert_eq!((rejection.refusal, rejection.transaction), (Refusal::Pending, FIRST));
    assert!(rejection.payer.is_some());
    // The key has ether again: it is sent as it was, once, and its payer has what was paid for.
    *shop.chain.rebroadcast.lock().unwrap() = [Says::Takes].into();
    *shop.chain.outcome.lock().unwrap() = [Says::Nothing, Says::Arrived].into();
    assert_eq!(shop.seller.resolve_open().await.unwrap(), 0);
    assert_eq!(shop.serve(&payment).await.receipt().transaction, FIRST);
    assert_eq!(shop.chain.broadcasts.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_batch_that_the_node_refuses_is_pending_by_its_transaction() {
    for rebroadcast in [Says::Lost, Says::Down] {
        let shop = Shop::new(Script {
            broadcast: queue([Says::Refuses(Error::Simulation)]),
            rebroadcast: queue([rebroadcast]),
            outcome: queue([Says::Nothing]),
            takes_batches: true,
            ..Script::default()
        });
        for moved in shop.move_two().await {
            let rejection = moved.unwrap_err();
            assert_eq!((rejection.refusal, rejection.transaction), (Refusal::Pending, FIRST));
        }
    }
}

/// What was served on trust, and could not be sent for what lies with us until its authorization ended.
async fn served_and_not_sent(broadcast: Says) -> (Shop, Payment) {
    let shop = Shop::new(Script {
        broadcast: queue([broadcast]),
        rebroadcast: queue([Says::Lost]),
        outcome: queue([Says::Nothing]),
        ..Script::default()
    });
    let payment = shop.payment_of(7, 60);
    let (settle, replay) = (Settle::Later, Replay::Payer);
    let amount = shop.offer.requirements().amount;
    let purchase = Purchase { request: RequestId::new("POST", "/a"), amount, settle, replay };
    let presented = secretly(&payment);
    let admitted = shop.seller.admit_for(&presented, shop.offer.requirements(), purchase).await;
    let Ok(Admission::Pledged(pledge)) = admitted else { panic!("{admitted:?}") };
    pledge.owe(answer(), amount).await.unwrap();
    shop.seller.close_tab().await;
    (shop, payment)
}

async fn owes(shop: &Shop, payment: &Payment) -> Amount {
    let id = shop.offer.requirements().identify(payment, &K256).unwrap();
    let entry = shop.ledger.find(id).await.unwrap().unwrap();
    shop.ledger.owes(OwedAccount::of(&entry.payment)).await.unwrap().sum
}

async fn ends(shop: &Shop) {
    shop.set(&shop.chain.simulate, [Says::Refuses(Error::Expired)]);
    shop.set(&shop.chain.find, [Says::Expired]);
    shop.now.store(NOW + 120, Ordering::SeqCst);
    shop.seller.resolve_open().await.unwrap();
}

#[tokio::test]
async fn what_was_not_sent_for_our_own_lack_is_nobodys_debt() {
    for broadcast in [Says::Down, Says::Refuses(Error::Simulation)] {
        let (shop, payment) = served_and_not_sent(broadcast).await;
        assert_ne!(owes(&shop, &payment).await, Amount::ZERO, "while it can be paid it is owed");
        ends(&shop).await;
        assert_eq!(shop.state(&payment).await, Some(State::Failed));
        assert_eq!(owes(&shop, &payment).await, Amount::ZERO);
        // He is a payer like any other.
        shop.set(&shop.chain.simulate, [Says::Takes]);
        shop.set(&shop.chain.broadcast, [Says::Takes]);
        shop.set(&shop.chain.outcome, [Says::Arrived]);
        drop(shop.serve(&shop.payment_of(8, 200)).await);
    }
}

/// Whose money is gone when it is sent owes it, whatever lay with us before.
#[tokio::test]
async fn who_could_not_have_paid_owes_all_the_same() {
    let (shop, payment) = served_and_not_sent(Says::Down).await;
    shop.set(&shop.chain.simulate, [Says::Refuses(Error::Simulation)]);
    shop.seller.resolve_open().await.unwrap();
    ends(&shop).await;
    assert_eq!(shop.state(&payment).await, Some(State::Failed));
    assert_ne!(owes(&shop, &payment).await, Amount::ZERO);
}

/// A chain that is not ready, and why is no matter of the payer's.
#[tokio::test]
async fn where_nothing_can_be_settled_nothing_is_recorded_and_nothing_is_asked() {
    let shop = Shop::new(Script { is_unready: true.into(), ..Script::default() });
    let payment = shop.payment();
    for _ in 0..3 {
        let rejection = shop.refused(&payment).await;
        assert_eq!((rejection.refusal, rejection.transaction), (Refusal::Unavailable, None));
    }
    let verified = shop.seller.verify(&secretly(&payment), shop.offer.requirements()).await;
    assert_eq!(verified.unwrap_err().refusal, Refusal::Unavailable);
    assert_eq!(shop.state(&payment).await, None);
    assert_eq!(shop.chain.simulated.load(Ordering::SeqCst), 0);
    // What was taken before is gone on with.
    shop.chain.is_unready.store(false, Ordering::SeqCst);
    let ticket = shop.serve(&payment).await;
    shop.chain.is_unready.store(true, Ordering::SeqCst);
    ticket.complete(answer()).await.unwrap();
    assert!(matches!(shop.admit(&payment, "/a").await, Ok(Admission::Replay(..))));
}

#[tokio::test]
async fn a_chain_that_is_ahead_ends_authorizations_earlier() {
    let shop = Shop::new(Script { ahead_seconds: 40.into(), ..Script::default() });
    let refusal = async |seconds| shop.admit(&shop.payment_of(7, seconds), "/a").await.map(drop);
    let refused = refusal(45).await.unwrap_err().refusal;
    assert_eq!(refused, Refusal::Payment(Error::Expired));
    refusal(60).await.unwrap();
}

/// Each batch waits for its block, and the authorizations of the others would end meanwhile.
#[tokio::test(start_paused = true)]
async fn of_many_that_are_owed_none_waits_for_the_block_of_another() {
    let shop = Shop::new(Script { outcome: queue([Says::Nothing]), ..Script::default() });
    let asset = shop.offer.requirements();
    let options = SellerOptions {
        settle_timeout: Duration::from_millis(60),
        clock: Arc::new(|| NOW),
        later: Later {
            max_batch: 2,
            max_delay: Duration::from_millis(20),
            max_owed: vec![(asset.chain_id, asset.asset, Amount::from_units(60_000))],
        },
        ..SellerOptions::default()
    };
    let seller = Seller::new(shop.ledger.clone(), shop.chain.clone(), options);
    let shop = Shop { seller, ..shop };
    let mut owing = Vec::new();
    for nonce in 1..=6 {
        let payment = shop.payment_of(nonce, 90);
        let admitted = shop.pledged(&payment, Settle::Later).await;
        owing.push(admitted);
    }
    let begun = tokio::time::Instant::now();
    // Nobody collects before all of them are there; two are a batch.
    futures_util::future::join_all(owing.into_iter().map(|pledge| {
        let amount = shop.offer.requirements().amount;
        pledge.owe(answer(), amount)
    }))
    .await;
    shop.seller.close_tab().await;
    // One waits for 30 ms: for two looks more than the first.
    assert!(begun.elapsed() < Duration::from_millis(55), "{:?}", begun.elapsed());
    assert!(shop.chain.broadcasts.load(Ordering::SeqCst) >= 3);
}

/// A payer who has signed in time is not told that he has not, by a clock that may be wrong.
#[tokio::test]
async fn a_clock_that_is_wrong_is_not_the_payers_fault() {
    for is_unready in [true, false] {
        let shop = Shop::new(Script { is_unready: is_unready.into(), ..Script::default() });
        let payment = shop.payment();
        shop.now.store(NOW + 300, Ordering::SeqCst);
        let said = if is_unready { Refusal::Unavailable } else { Error::Expired.into() };
        assert_eq!(shop.refused(&payment).await.refusal, said);
    }
}
