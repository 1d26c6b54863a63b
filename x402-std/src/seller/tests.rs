use core::time::Duration;
use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};

use x402_core::eip3009::Authorization;
use x402_core::secp256k1::{K256, K256Signer};
use x402_core::settlement::{self, AUTHORIZATION_USED_TOPIC, Log, Submitter, TRANSFER_TOPIC};
use x402_core::{Amount, Asset, ChainId, Claimed, Nonce, Offer, Settled, Signer as _, Timestamp};
use x402_core::{LogOrder, Payment, Transfer, hex};

use super::*;
use crate::BoxFuture;
use crate::chain::Usage;
use crate::chain::{Block, Call, Head, Journal, Outcome, PaidLog, Sent, Settlement, Transaction};
use crate::ledger::{Answer, Identifier, LedgerError, MemoryLedger, SecretHash, Step};

#[macro_use]
mod in_memory;

mod arrivals;
mod claimed;
mod credit;
mod imports;
mod leases;
mod names;
mod pledges;
mod redeemed;
mod refund;
mod resolved;
mod said;
mod set_off;
mod under_way;
mod unserved;

const NOW: u64 = 1_790_000_000;
const PAYER_KEY: &str = "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d";

/// What the scripted chain answers next; the last answer stays.
#[derive(Clone, Debug)]
enum Says {
    Takes,
    Refuses(Error),
    Down,
    Lost,
    Nothing,
    Arrived,
    Reverted,
    Unused,
    ByStranger,
    Expired,
    Undecided,
    /// The token moved so much.
    Short(u128),
    /// By the log of the payment with this nonce.
    ByLogOf(u8),
}

/// A chain that says what the test wants, and counts what it was asked.
#[derive(Default)]
struct Script {
    simulate: Mutex<VecDeque<Says>>,
    broadcast: Mutex<VecDeque<Says>>,
    rebroadcast: Mutex<VecDeque<Says>>,
    outcome: Mutex<VecDeque<Says>>,
    find: Mutex<VecDeque<Says>>,
    simulated: AtomicUsize,
    broadcasts: AtomicUsize,
    rebroadcasts: AtomicUsize,
    /// The payments of the transactions that were journalled.
    sent: Mutex<Vec<Claimed>>,
    /// Which fork the chain is on: the hash of its blocks says so.
    fork: AtomicU8,
    /// How many blocks it has, and up to which they are final.
    height: AtomicU64,
    is_final_to: AtomicU64,
    purse: under_way::Purse,
    block_seconds: u64,
    /// Whether there is a Multicall3.
    takes_batches: bool,
    /// Whether nothing can be settled for what lies with the seller.
    is_unready: AtomicBool,
    ahead_seconds: AtomicU64,
}

impl Script {
    fn block_of(&self, number: u64) -> Block {
        Block { number, hash: [self.fork.load(Ordering::SeqCst) + 1; 32] }
    }

    /// What `outcome` and `find` say of a payment that has arrived; its nonce tells which log it was.
    fn paid_log(&self, nonce: u8) -> PaidLog {
        PaidLog { block: self.block_of(1), position: nonce.into() }
    }
}

const STRANGER: TxHash = TxHash([0xee; 32]);

fn next(queue: &Mutex<VecDeque<Says>>, default: Says) -> Says {
    let mut queue = queue.lock().unwrap();
    match queue.len() {
        0 => default,
        1 => queue[0].clone(),
        _ => queue.pop_front().unwrap(),
    }
}

fn settled(payment: &Claimed) -> Settled {
    let signed = payment.transfer();
    let (from, to) = (signed.from().to_word(), signed.to().to_word());
    let value = signed.value().to_be_bytes();
    let address = payment.asset();
    let transfer = Log { address, topics: &[TRANSFER_TOPIC, from, to], data: &value };
    let topics = [AUTHORIZATION_USED_TOPIC, from, *signed.nonce().as_bytes()];
    let logs = [Log { address, topics: &topics, data: &[] }, transfer];
    let order = LogOrder::TransferNext;
    let receipt =
        settlement::Receipt { succeeded: true, logs: &logs, submitter: Submitter::Own, order };
    payment.settled(&receipt, |_| false).unwrap().settled
}

fn nonce_of(payment: &Claimed) -> u8 {
    payment.transfer().nonce().as_bytes()[31]
}

impl Chain for Script {
    fn chain_id(&self) -> ChainId {
        ChainId::ETHEREUM
    }

    fn block_seconds(&self) -> u64 {
        self.block_seconds
    }

    fn ready<'a>(&'a self, _: &'a Claimed, _: u64) -> BoxFuture<'a, Result<(), ChainError>> {
        let lack = self.is_unready.load(Ordering::SeqCst).then_some("the account is empty");
        Box::pin(async move { lack.map_or(Ok(()), |why| Err(ChainError::Unavailable(why.into()))) })
    }

    fn is_on_time(&self, _: u64) -> BoxFuture<'_, bool> {
        let is_on_time = !self.is_unready.load(Ordering::SeqCst);
        Box::pin(async move { is_on_time })
    }

    fn ahead_seconds(&self) -> u64 {
        self.ahead_seconds.load(Ordering::SeqCst)
    }

    fn token_balance(&self, _: Address, _: Address) -> BoxFuture<'_, Result<Amount, ChainError>> {
        Box::pin(async { Ok(self.purse.look()) })
    }

    fn account(&self) -> Address {
        Address::ZERO
    }

    fn has_code(&self, _: Address) -> BoxFuture<'_, Result<bool, ChainError>> {
        Box::pin(async { Ok(false) })
    }

    fn simulate<'a>(&'a self, _: &'a Call) -> BoxFuture<'a, Result<(), ChainError>> {
        self.simulated.fetch_add(1, Ordering::SeqCst);
        Box::pin(async {
            tokio::time::sleep(Duration::from_millis(5)).await;
            match next(&self.simulate, Says::Takes) {
                Says::Takes => Ok(()),
                Says::Refuses(error) => Err(ChainError::Refused(error)),
                _ => Err(ChainError::Unavailable("down".into())),
            }
        })
    }

    fn simulate_batch<'a>(
        &'a self,
        batch: &'a Call,
    ) -> BoxFuture<'a, Result<Option<Vec<bool>>, ChainError>> {
        let taken = self.takes_batches.then(|| vec![true; batch.payments.len()]);
        Box::pin(async move { Ok(taken) })
    }

    fn broadcast<'a>(
        &'a self,
        call: &'a Call,
        journal: &'a dyn Journal,
    ) -> BoxFuture<'a, Result<TxHash, ChainError>> {
        Box::pin(async move {
            let says = next(&self.broadcast, Says::Takes);
            if matches!(says, Says::Down) {
                return Err(ChainError::Unavailable("down".into()));
            }
            let count = self.broadcasts.fetch_add(1, Ordering::SeqCst) + 1;
            let hash = TxHash([count.try_into().unwrap(); 32]);
            let raw = call.data.clone();
            journal.record(&Transaction { hash, raw }).await.map_err(ChainError::Journal)?;
            self.sent.lock().unwrap().extend(&call.payments);
            match says {
                Says::Takes => Ok(hash),
                Says::Refuses(_) => Err(ChainError::Unsent("refused".into())),
                _ => Err(ChainError::Unknown("no answer".into())),
            }
        })
    }

    fn rebroadcast<'a>(
        &'a self,
        _: &'a Call,
        sent: &'a Transaction,
        _: &'a dyn Journal,
    ) -> BoxFuture<'a, Result<TxHash, ChainError>> {
        self.rebroadcasts.fetch_add(1, Ordering::SeqCst);
        Box::pin(async {
            match next(&self.rebroadcast, Says::Takes) {
                Says::Takes => Ok(sent.hash),
                Says::Refuses(_) => Err(ChainError::Unsent("nonce too low".into())),
                _ => Err(ChainError::Unknown("no answer".into())),
            }
        })
    }

    fn outcome<'a>(
        &'a self,
        payment: &'a Claimed,
        sent: Sent<'a>,
    ) -> BoxFuture<'a, Result<Outcome, ChainError>> {
        Box::pin(async move {
            match next(&self.outcome, Says::Arrived) {
                Says::Arrived if sent.taken.contains(&nonce_of(payment).into()) => {
                    Ok(Outcome::Undecided)
                }
                Says::Arrived => {
                    Ok(Outcome::Settled(settled(payment), self.paid_log(nonce_of(payment))))
                }
                Says::ByLogOf(nonce) if sent.taken.contains(&nonce.into()) => {
                    Ok(Outcome::Undecided)
                }
                Says::ByLogOf(nonce) => {
                    Ok(Outcome::Settled(settled(payment), self.paid_log(nonce)))
                }
                Says::Short(units) => {
                    let arrived = Amount::from_units(units);
                    Ok(Outcome::Short(self.paid_log(nonce_of(payment)), arrived))
                }
                Says::Reverted => Ok(Outcome::Reverted),
                Says::Nothing => Ok(Outcome::Unknown),
                _ => Err(ChainError::Unavailable("down".into())),
            }
        })
    }

    fn find<'a>(
        &'a self,
        payment: &'a Claimed,
        _: u64,
        _: &'a [(TxHash, u32)],
    ) -> BoxFuture<'a, Result<Usage, ChainError>> {
        Box::pin(async move {
            match next(&self.find, Says::Unused) {
                Says::Unused => Ok(Usage::Unused),
                Says::ByStranger => {
                    let log = Some(self.paid_log(nonce_of(payment)));
                    let settlement = Settlement { transaction: STRANGER, log };
                    Ok(Usage::Settled(settled(payment), settlement))
                }
                Says::Nothing => Ok(Usage::Void),
                Says::Expired => Ok(Usage::Expired),
                Says::Undecided => Ok(Usage::Undecided(STRANGER)),
                _ => Err(ChainError::Unavailable("down".into())),
            }
        })
    }

    fn head(&self) -> BoxFuture<'_, Result<Head, ChainError>> {
        let block = self.block_of(self.height.load(Ordering::SeqCst));
        let is_final_to = self.is_final_to.load(Ordering::SeqCst);
        Box::pin(async move { Ok(Head { block, time: NOW, is_final_to }) })
    }

    fn block(&self, number: u64) -> BoxFuture<'_, Result<Option<Block>, ChainError>> {
        let is_there = number <= self.height.load(Ordering::SeqCst);
        let block = is_there.then(|| self.block_of(number));
        Box::pin(async move { Ok(block) })
    }
}

struct Shop {
    seller: Arc<Seller>,
    chain: Arc<Script>,
    ledger: Arc<dyn Ledger>,
    now: Arc<AtomicU64>,
    offer: Offer<'static>,
}

/// A payment, and the secret of who presents it.
fn secretly(payment: &Payment) -> Presented {
    let secret = SecretHash::of_key("what nobody else can know");
    Presented { secret, ..Presented::from(*payment) }
}

impl Shop {
    fn new(script: Script) -> Self {
        Self::with(Arc::new(MemoryLedger::default()), Arc::new(script))
    }

    fn with(ledger: Arc<dyn Ledger>, chain: Arc<Script>) -> Self {
        let now = Arc::new(AtomicU64::new(NOW));
        let time = Arc::clone(&now);
        let asset = *Asset::find(ChainId::ETHEREUM, "USDC").unwrap();
        let options = SellerOptions {
            settle_timeout: Duration::from_millis(60),
            clock: Arc::new(move || time.load(Ordering::SeqCst)),
            later: Later {
                max_batch: 2,
                max_delay: Duration::from_millis(20),
                max_owed: vec![(asset.chain_id, asset.address, Amount::from_units(20_000))],
            },
            ..SellerOptions::default()
        };
        let pay_to = x402_core::Address::new([0x20; 20]);
        let offer = Offer::new(asset, pay_to, Amount::from_units(10_000), 60);
        let seller = Seller::new(ledger.clone(), chain.clone(), options);
        Self { seller, chain, ledger, now, offer }
    }

    async fn admit(&self, payment: &Payment, target: &str) -> Result<Admission, Rejection> {
        let request = RequestId::new("POST", target);
        self.seller.admit(&secretly(payment), self.offer.requirements(), request).await
    }

    async fn serve(&self, payment: &Payment) -> Ticket {
        match self.admit(payment, "/a").await {
            Ok(Admission::Serve(ticket)) => ticket,
            other => panic!("{other:?}"),
        }
    }

    async fn refused(&self, payment: &Payment) -> Rejection {
        self.admit(payment, "/a").await.unwrap_err()
    }

    async fn state(&self, payment: &Payment) -> Option<State> {
        let id = self.offer.requirements().identify(payment, &K256).unwrap();
        self.ledger.find(id).await.unwrap().map(|entry| entry.state)
    }

    /// Claimed, and not settled.
    async fn claimed(&self, nonce: u8) -> Entry {
        let (terms, moment) = (self.offer.requirements(), Moment::at(NOW));
        let checked = terms.check(&self.payment_of(nonce, 60), &moment, &K256).unwrap();
        let request = RequestId::new("POST", &format!("/{nonce}"));
        let entry = new_entry(checked, Vec::new(), request, &moment).unwrap();
        assert!(matches!(self.ledger.claim(entry.clone()).await, Ok(Claiming::New(_))));
        entry
    }

    fn payment(&self) -> Payment {
        self.payment_of(7, 60)
    }

    /// With a nonce, and valid for so many seconds.
    fn payment_of(&self, nonce: u8, seconds: u64) -> Payment {
        let key = K256Signer::from_bytes(&hex::decode(PAYER_KEY).unwrap()).unwrap();
        let terms = self.offer.requirements();
        let authorization = Authorization {
            from: key.address(),
            to: terms.pay_to,
            value: terms.amount,
            valid_after: Timestamp::ZERO,
            valid_before: Timestamp::from_secs(NOW + seconds),
            nonce: Nonce::new([nonce; 32]),
        };
        let Ok(signature) = key.sign(&authorization.digest(&terms.domain));
        Payment {
            chain_id: terms.chain_id,
            asset: terms.asset,
            transfer: Transfer::Eip3009(authorization),
            signature: Ok(signature),
        }
    }
}

fn answer() -> Answer {
    Answer { status: 200, headers: Vec::new(), body: Some(b"done".to_vec()), request_body: [0; 32] }
}

fn queue(says: impl IntoIterator<Item = Says>) -> Mutex<VecDeque<Says>> {
    Mutex::new(says.into_iter().collect())
}

#[tokio::test]
async fn serves_once_and_then_repeats_the_answer() {
    let shop = Shop::new(Script::default());
    let payment = shop.payment();
    let ticket = shop.serve(&payment).await;
    assert_eq!(ticket.receipt().transaction, Some(TxHash([1; 32])));
    assert_eq!(shop.refused(&payment).await.refusal, Refusal::InFlight);
    ticket.complete(answer()).await.unwrap();
    let Ok(Admission::Replay(receipt, kept)) = shop.admit(&payment, "/a").await else { panic!() };
    assert_eq!((receipt.transaction, kept), (Some(TxHash([1; 32])), answer()));
    let other = shop.admit(&payment, "/b").await.unwrap_err();
    assert_eq!(other.refusal, Refusal::Conflict);
    assert_eq!(shop.chain.broadcasts.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_bad_payment_asks_no_chain() {
    let shop = Shop::new(Script::default());
    let mut payment = shop.payment();
    let Transfer::Eip3009(authorization) = &mut payment.transfer else { panic!("{payment:?}") };
    authorization.nonce = Nonce::new([8; 32]);
    assert_eq!(shop.refused(&payment).await.refusal, Refusal::Payment(Error::Signer));
    shop.now.store(NOW + 55, Ordering::SeqCst);
    assert_eq!(shop.refused(&shop.payment()).await.refusal, Refusal::Payment(Error::Expired));
    assert_eq!(shop.chain.simulated.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn of_a_hundred_at_once_one_is_served() {
    let shop = Shop::new(Script::default());
    let payment = shop.payment();
    let tasks: Vec<_> = (0..100)
        .map(|_| {
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
    assert_eq!(shop.chain.broadcasts.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn what_the_token_refuses_may_be_sent_again() {
    let simulate = queue([Says::Refuses(Error::Balance), Says::Takes]);
    let shop = Shop::new(Script { simulate, ..Script::default() });
    let payment = shop.payment();
    assert_eq!(shop.refused(&payment).await.refusal, Refusal::Payment(Error::Balance));
    assert_eq!(shop.state(&payment).await, None);
    drop(shop.serve(&payment).await);
}

#[tokio::test]
async fn a_chain_that_is_down_charges_nothing() {
    for script in [
        Script { simulate: queue([Says::Down, Says::Takes]), ..Script::default() },
        Script { broadcast: queue([Says::Down, Says::Takes]), ..Script::default() },
    ] {
        let shop = Shop::new(script);
        let payment = shop.payment();
        assert_eq!(shop.refused(&payment).await.refusal, Refusal::Unavailable);
        assert_eq!(shop.state(&payment).await, None);
        drop(shop.serve(&payment).await);
        assert_eq!(shop.chain.broadcasts.load(Ordering::SeqCst), 1);
    }
}

#[tokio::test]
async fn an_unknown_outcome_is_pending_and_is_served_when_it_is_known() {
    let shop = Shop::new(Script {
        broadcast: queue([Says::Lost]),
        outcome: queue([Says::Nothing]),
        ..Script::default()
    });
    let payment = shop.payment();
    for _ in 0..2 {
        let rejection = shop.refused(&payment).await;
        assert_eq!(rejection.refusal, Refusal::Pending);
        assert_eq!(rejection.transaction, Some(TxHash([1; 32])));
    }
    assert_eq!(shop.state(&payment).await, Some(State::Pending));
    *shop.chain.outcome.lock().unwrap() = [Says::Arrived].into();
    // By now the authorization is expired: it was accepted in time all the same.
    shop.now.store(NOW + 600, Ordering::SeqCst);
    assert_eq!(shop.serve(&payment).await.receipt().transaction, Some(TxHash([1; 32])));
    assert_eq!(shop.chain.broadcasts.load(Ordering::SeqCst), 1);
    // Once because it was not known whether the node has it, once because it was asked for again.
    assert_eq!(shop.chain.rebroadcasts.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_stranger_who_submits_it_first_has_paid_for_the_payer() {
    let shop = Shop::new(Script {
        outcome: queue([Says::Reverted]),
        find: queue([Says::ByStranger]),
        ..Script::default()
    });
    assert_eq!(shop.serve(&shop.payment()).await.receipt().transaction, Some(STRANGER));
}

#[tokio::test]
async fn a_revert_is_open_until_the_money_arrives_after_all() {
    let shop = Shop::new(Script {
        simulate: queue([Says::Takes, Says::Refuses(Error::Balance)]),
        outcome: queue([Says::Reverted]),
        find: queue([Says::Unused, Says::Unused, Says::ByStranger]),
        ..Script::default()
    });
    let payment = shop.payment();
    for _ in 0..2 {
        assert_eq!(shop.refused(&payment).await.refusal, Refusal::Pending);
        assert_eq!(shop.state(&payment).await, Some(State::Pending));
    }
    assert_eq!(shop.serve(&payment).await.receipt().transaction, Some(STRANGER));
}

#[tokio::test]
async fn a_cancelled_authorization_is_not_paid() {
    let shop = Shop::new(Script {
        outcome: queue([Says::Reverted]),
        find: queue([Says::Nothing]),
        ..Script::default()
    });
    let refusal = shop.refused(&shop.payment()).await.refusal;
    assert_eq!(refusal, Refusal::Payment(Error::AuthorizationUsed));
}

#[tokio::test]
async fn a_transaction_that_can_no_longer_be_mined_is_replaced() {
    let shop = Shop::new(Script {
        broadcast: queue([Says::Lost, Says::Takes]),
        rebroadcast: queue([Says::Refuses(Error::Simulation)]),
        outcome: queue([Says::Nothing]),
        ..Script::default()
    });
    let payment = shop.payment();
    assert_eq!(shop.refused(&payment).await.refusal, Refusal::Pending);
    *shop.chain.outcome.lock().unwrap() = [Says::Nothing, Says::Arrived].into();
    assert_eq!(shop.serve(&payment).await.receipt().transaction, Some(TxHash([2; 32])));
}

#[tokio::test]
async fn a_client_who_goes_away_changes_nothing() {
    let shop = Shop::new(Script::default());
    let payment = shop.payment();
    {
        let mut gone = Box::pin(shop.admit(&payment, "/a"));
        tokio::select! {
            biased;
            _ = &mut gone => panic!("too fast"),
            () = tokio::task::yield_now() => {}
        }
    }
    for _ in 0..100 {
        match shop.admit(&payment, "/a").await {
            Ok(Admission::Serve(_)) => {
                assert_eq!(shop.chain.broadcasts.load(Ordering::SeqCst), 1);
                return;
            }
            Ok(other) => panic!("{other:?}"),
            Err(rejection) => assert_eq!(rejection.refusal, Refusal::InFlight),
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("the payment was lost");
}

#[tokio::test]
async fn after_a_crash_everything_open_is_asked_for() {
    let ledger: Arc<dyn Ledger> = Arc::new(MemoryLedger::default());
    let script = Script { outcome: queue([Says::Nothing]), ..Script::default() };
    let before = Shop::with(ledger.clone(), Arc::new(script));
    let payment = before.payment();
    assert_eq!(before.refused(&payment).await.refusal, Refusal::Pending);
    let after = Shop::with(ledger, Arc::new(Script::default()));
    assert_eq!(after.seller.resolve_open().await.unwrap(), 0);
    assert_eq!(after.state(&payment).await, Some(State::Settled));
    assert_eq!(after.serve(&payment).await.receipt().transaction, Some(TxHash([1; 32])));
    assert_eq!(after.chain.broadcasts.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_ticket_that_is_dropped_is_owed_still() {
    let shop = Shop::new(Script::default());
    let payment = shop.payment();
    drop(shop.serve(&payment).await);
    drop(shop.serve(&payment).await);
    assert_eq!(shop.chain.broadcasts.load(Ordering::SeqCst), 1);
}
