//! What a seller does with leases; and several sellers on one ledger.

use super::*;
use crate::ledger::{Conclusion, CreditAccount, Draw, DrawId, Drawing, LedgerIdentity};
use crate::ledger::{CreditNames, NameLedger, Owed, OwedAccount, Owner, Renewal};

/// A ledger whose leases are as the test wants them.
#[derive(Default)]
struct Leasing {
    memory: MemoryLedger,
    /// What becomes of the next; then all are given.
    next: Mutex<VecDeque<Result<bool, LedgerError>>>,
    leases: AtomicUsize,
    releases: AtomicUsize,
    claims: AtomicUsize,
}

impl Leasing {
    fn counts(&self) -> [usize; 3] {
        [&self.leases, &self.releases, &self.claims].map(|count| count.load(Ordering::SeqCst))
    }

    fn say(&self, next: impl IntoIterator<Item = Result<bool, LedgerError>>) {
        self.next.lock().unwrap().extend(next);
    }
}

names_in_memory!(Leasing);

impl Ledger for Leasing {
    fn claim(&self, entry: Entry) -> BoxFuture<'_, Result<Claiming, LedgerError>> {
        self.claims.fetch_add(1, Ordering::SeqCst);
        self.memory.claim(entry)
    }

    fn apply(&self, id: PaymentId, step: Step) -> BoxFuture<'_, Result<(), LedgerError>> {
        self.memory.apply(id, step)
    }

    fn find(&self, id: PaymentId) -> BoxFuture<'_, Result<Option<Entry>, LedgerError>> {
        self.memory.find(id)
    }

    rest_in_memory!();

    fn lease(
        &self,
        _: PaymentId,
        _: Owner,
        seconds: u32,
    ) -> BoxFuture<'_, Result<bool, LedgerError>> {
        assert_eq!(seconds, 30);
        self.leases.fetch_add(1, Ordering::SeqCst);
        let says = self.next.lock().unwrap().pop_front().unwrap_or(Ok(true));
        Box::pin(async move { says })
    }

    fn release_lease(&self, _: PaymentId, _: Owner) -> BoxFuture<'_, Result<(), LedgerError>> {
        Box::pin(async {
            // Whoever comes next has to wait for it.
            tokio::time::sleep(Duration::from_millis(20)).await;
            self.releases.fetch_add(1, Ordering::SeqCst);
            Ok(())
        })
    }
}

fn shop() -> (Shop, Arc<Leasing>) {
    let ledger = Arc::new(Leasing::default());
    (Shop::with(ledger.clone(), Arc::new(Script::default())), ledger)
}

fn down() -> Result<bool, LedgerError> {
    Err(LedgerError::Storage("down".into()))
}

#[tokio::test]
async fn a_payment_that_is_leased_elsewhere_is_in_flight() {
    let (shop, ledger) = shop();
    let payment = shop.payment();
    ledger.say([Ok(false)]);
    assert_eq!(shop.refused(&payment).await.refusal, Refusal::InFlight);
    assert_eq!(ledger.counts(), [1, 0, 0]);
    drop(shop.serve(&payment).await);
    assert_eq!(ledger.counts()[..1], [2]);
}

#[tokio::test]
async fn a_ledger_without_an_answer_leaves_it_in_doubt() {
    let (shop, ledger) = shop();
    let payment = shop.payment();
    ledger.say([down()]);
    assert_eq!(shop.refused(&payment).await.refusal, Refusal::InDoubt);
    assert_eq!(ledger.counts(), [1, 0, 0]);
    drop(shop.serve(&payment).await);
}

#[tokio::test]
async fn a_lease_is_given_back_before_the_next_is_taken() {
    let (shop, ledger) = shop();
    let payment = shop.payment();
    for round in 1..=5 {
        let ticket = shop.serve(&payment).await;
        assert_eq!(ledger.counts(), [round, round - 1, round]);
        assert_eq!(shop.refused(&payment).await.refusal, Refusal::InFlight);
        drop(ticket);
    }
    assert_eq!(shop.chain.broadcasts.load(Ordering::SeqCst), 1);
}

/// Who reads a payment on the chain keeps its payer from nothing: he is refused before his turn.
#[tokio::test]
async fn who_may_not_have_it_takes_no_lease() {
    let (shop, ledger) = shop();
    let payment = shop.payment();
    drop(shop.serve(&payment).await);
    let before = ledger.counts();
    let (request, terms) = (RequestId::new("POST", "/a"), shop.offer.requirements());
    for seconds in [0, 600] {
        shop.now.store(NOW + seconds, Ordering::SeqCst);
        let refused = shop.seller.admit(&payment.into(), terms, request).await.unwrap_err();
        assert_eq!(refused.refusal, Refusal::Unproven);
    }
    assert_eq!(ledger.counts(), before);
}

/// What is done is repeated to everybody at once, whoever has the lease.
#[tokio::test]
async fn an_answer_is_repeated_without_a_lease() {
    let (shop, ledger) = shop();
    let payment = shop.payment();
    shop.serve(&payment).await.complete(answer()).await.unwrap();
    ledger.say([Ok(false), down()]);
    for _ in 0..3 {
        let Ok(Admission::Replay(_, kept)) = shop.admit(&payment, "/a").await else { panic!() };
        assert_eq!(kept, answer());
    }
    // By then it is too late for the payment, which was accepted in time.
    shop.now.store(NOW + 600, Ordering::SeqCst);
    assert!(matches!(shop.admit(&payment, "/a").await, Ok(Admission::Replay(..))));
    assert_eq!(shop.admit(&payment, "/b").await.unwrap_err().refusal, Refusal::Conflict);
    assert_eq!(ledger.counts()[0], 1);
}

#[tokio::test(start_paused = true)]
async fn a_lease_is_renewed_while_the_work_goes_on() {
    let (shop, ledger) = shop();
    let ticket = shop.serve(&shop.payment()).await;
    assert_eq!(ledger.counts()[0], 1);
    // What fails is tried again, and ends nothing.
    ledger.say([Ok(true), down(), Ok(false)]);
    tokio::time::sleep(Duration::from_secs(41)).await;
    assert_eq!(ledger.counts(), [5, 0, 1]);
    drop(ticket);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(ledger.counts(), [5, 1, 1]);
}

#[tokio::test]
async fn what_another_process_ended_is_left_alone() {
    let (shop, ledger) = shop();
    *shop.chain.outcome.lock().unwrap() = [Says::Nothing].into();
    *shop.chain.broadcast.lock().unwrap() = [Says::Lost].into();
    let payment = shop.payment();
    assert_eq!(shop.refused(&payment).await.refusal, Refusal::Pending);
    ledger.say([Ok(false)]);
    assert_eq!(shop.seller.resolve_open().await.unwrap(), 0, "another looks after it");
    assert_eq!(shop.state(&payment).await, Some(State::Pending));
    ledger.say([down()]);
    assert!(shop.seller.resolve_open().await.is_err());
    assert_eq!(shop.seller.resolve_open().await.unwrap(), 1);
}

#[tokio::test]
async fn a_hold_ends_with_the_lease_of_its_holder() {
    let (shop, ledger) = shop();
    shop.earn().await;
    let (account, request) = (shop.account(), RequestId::new("POST", "/a"));
    let amount = Amount::from_units(1_000);
    let held = Draw::new(account, [1; 32], request, amount, NOW);
    assert_eq!(ledger.draw(held.clone()).await.unwrap(), Drawing::New);
    ledger.say([Ok(false), down()]);
    assert_eq!(shop.seller.release_holds().await.unwrap(), [], "its holder lives");
    assert!(shop.seller.release_holds().await.is_err());
    assert_eq!(shop.balance().await, Amount::from_units(5_000));
    let released = shop.seller.release_holds().await.unwrap();
    assert_eq!(released, core::slice::from_ref(&held));
    assert_eq!(shop.balance().await, Amount::from_units(6_000));
    // Who held it, and comes back to it, has nothing to keep his answer with.
    let late = ledger.conclude(held.id, Conclusion::Used(amount, answer())).await;
    assert!(matches!(late, Err(LedgerError::Missing)), "{late:?}");
    assert_eq!(shop.balance().await, Amount::from_units(6_000));
}

/// Two sellers, as in two processes, before one chain.
#[cfg(all(feature = "test-servers", any(feature = "postgres", feature = "redis")))]
async fn of_two_sellers_one_serves(ledgers: [Arc<dyn Ledger>; 2]) {
    let chain = Arc::new(Script::default());
    let shops = ledgers.clone().map(|ledger| Shop::with(ledger, Arc::clone(&chain)));
    let payment = shops[0].payment();
    let tasks: Vec<_> = (0..100)
        .map(|number| {
            let shop = &shops[number % 2];
            let (seller, terms) = (shop.seller.clone(), *shop.offer.requirements());
            tokio::spawn(async move {
                seller.admit(&secretly(&payment), &terms, RequestId::new("POST", "/a")).await
            })
        })
        .collect();
    let mut tickets = Vec::new();
    for task in tasks {
        match task.await.unwrap() {
            Ok(Admission::Serve(ticket)) => tickets.push(ticket),
            Ok(other) => panic!("{other:?}"),
            Err(rejection) => assert_eq!(rejection.refusal, Refusal::InFlight),
        }
    }
    assert_eq!(tickets.len(), 1);
    assert_eq!(chain.broadcasts.load(Ordering::SeqCst), 1);
    for shop in &shops {
        assert_eq!(shop.refused(&payment).await.refusal, Refusal::InFlight);
    }
    tickets.pop().unwrap().complete(answer()).await.unwrap();
    for shop in &shops {
        let admission = shop.admit(&payment, "/a").await;
        let Ok(Admission::Replay(_, kept)) = admission else { panic!("{admission:?}") };
        assert_eq!(kept, answer());
    }
    assert_eq!(chain.broadcasts.load(Ordering::SeqCst), 1);
    a_crash_lets_the_lease_run_out(&shops, &ledgers).await;
    a_crash_lets_the_hold_end(&shops, &ledgers).await;
}

#[cfg(all(feature = "test-servers", any(feature = "postgres", feature = "redis")))]
async fn a_crash_lets_the_lease_run_out(shops: &[Shop; 2], ledgers: &[Arc<dyn Ledger>; 2]) {
    let mut payment = shops[0].payment();
    let Transfer::Eip3009(authorization) = &mut payment.transfer else { panic!("{payment:?}") };
    authorization.nonce = Nonce::new([9; 32]);
    let key = K256Signer::from_bytes(&hex::decode(PAYER_KEY).unwrap()).unwrap();
    let Ok(signature) = key.sign(&authorization.digest(&shops[0].offer.requirements().domain));
    payment.signature = Ok(signature);
    let id = shops[0].offer.requirements().identify(&payment, &K256).unwrap();
    assert!(ledgers[0].lease(id, Owner([9; 16]), 1).await.unwrap());
    for shop in shops {
        assert_eq!(shop.refused(&payment).await.refusal, Refusal::InFlight);
    }
    tokio::time::sleep(Duration::from_millis(1300)).await;
    drop(shops[1].serve(&payment).await);
}

/// Held by a process that lives, by one that has crashed, and by nobody.
#[cfg(all(feature = "test-servers", any(feature = "postgres", feature = "redis")))]
async fn a_crash_lets_the_hold_end(shops: &[Shop; 2], ledgers: &[Arc<dyn Ledger>; 2]) {
    let units = Amount::from_units;
    let ticket = shops[0].serve(&shops[0].payment_of(11, 60)).await;
    ticket.complete_for(answer(), units(4_000)).await.unwrap();
    let (account, request) = (shops[0].account(), RequestId::new("POST", "/a"));
    let drawn = shops[0].seller.draw(account, [1; 32], request, units(500)).await;
    let Ok(Drawn::Serve(alive)) = drawn else { panic!("{drawn:?}") };
    let crashed = Draw::new(account, [2; 32], request, units(300), NOW);
    assert_eq!(ledgers[0].draw(crashed.clone()).await.unwrap(), Drawing::New);
    let name = crate::seller::credit::name(&crashed);
    assert!(ledgers[0].lease(name, Owner([9; 16]), 1).await.unwrap());
    for shop in shops {
        assert_eq!(shop.seller.release_holds().await.unwrap(), []);
        assert_eq!(shop.balance().await, units(5_200));
    }
    tokio::time::sleep(Duration::from_millis(1300)).await;
    assert_eq!(shops[1].seller.release_holds().await.unwrap(), [crashed]);
    assert_eq!(shops[0].balance().await, units(5_500));
    // What is done is nobody's to free.
    alive.complete(answer(), units(500)).await.unwrap();
    for shop in shops {
        assert_eq!(shop.seller.release_holds().await.unwrap(), []);
        assert_eq!(shop.balance().await, units(5_500));
    }
}

#[cfg(all(feature = "test-servers", feature = "postgres"))]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_two_sellers_on_one_postgres_one_serves() {
    use crate::ledger::{PostgresLedger, tests::postgres::new_ledger};
    let (first, url) = new_ledger().await;
    let second = PostgresLedger::connect(&url).await.unwrap();
    of_two_sellers_one_serves([Arc::new(first), Arc::new(second)]).await;
}

#[cfg(all(feature = "test-servers", feature = "redis"))]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_two_sellers_on_one_redis_one_serves() {
    use crate::ledger::{RedisLedger, tests::redis::new_ledger};
    let (first, url) = new_ledger().await;
    let second = RedisLedger::connect(&url).await.unwrap();
    of_two_sellers_one_serves([Arc::new(first), Arc::new(second)]).await;
}
