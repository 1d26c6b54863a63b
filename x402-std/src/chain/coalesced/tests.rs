use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use tokio::time::{Instant, timeout};
use x402_core::{Claim, Error};

use super::*;
use crate::ledger::tests::payment;

/// A node that takes a while, and refuses the payments that it is told to.
#[derive(Default)]
struct Slow {
    alone: AtomicUsize,
    /// How many payments came together, each time.
    together: Mutex<Vec<usize>>,
    refuses: Vec<u8>,
    /// The payment of this number is never answered.
    ignores: Option<u8>,
    has_no_batches: bool,
    is_down: AtomicBool,
}

const NODE_TAKES: Duration = Duration::from_millis(20);

fn call(number: u8) -> Call {
    let checked = payment(number.into());
    let payment = checked.claimed(Claim::recorded(checked.id())).unwrap();
    Call::new(payment, &[]).unwrap()
}

/// The number that a payment was made of is its nonce's.
fn number(payment: &Claimed) -> u8 {
    payment.id().nonce.as_bytes()[31]
}

impl Slow {
    fn judge(&self, payment: &Claimed) -> bool {
        !self.refuses.contains(&number(payment))
    }

    fn together(&self) -> Vec<usize> {
        self.together.lock().unwrap().clone()
    }
}

impl Chain for Slow {
    fn chain_id(&self) -> ChainId {
        ChainId::ETHEREUM
    }

    fn account(&self) -> Address {
        Address::ZERO
    }

    fn has_code(&self, _: Address) -> BoxFuture<'_, Result<bool, ChainError>> {
        Box::pin(async { Ok(false) })
    }

    fn simulate<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Result<(), ChainError>> {
        self.alone.fetch_add(1, SeqCst);
        Box::pin(async {
            let [payment] = &call.payments[..] else { panic!("one at a time") };
            if self.ignores == Some(number(payment)) {
                return core::future::pending().await;
            }
            sleep(NODE_TAKES).await;
            if self.judge(payment) { Ok(()) } else { Err(ChainError::Refused(Error::Balance)) }
        })
    }

    fn simulate_batch<'a>(
        &'a self,
        batch: &'a Call,
    ) -> BoxFuture<'a, Result<Option<Vec<bool>>, ChainError>> {
        self.together.lock().unwrap().push(batch.payments.len());
        Box::pin(async {
            sleep(NODE_TAKES).await;
            if self.is_down.load(SeqCst) {
                return Err(ChainError::Unavailable("down".to_owned()));
            }
            let taken = batch.payments.iter().map(|payment| self.judge(payment)).collect();
            Ok((!self.has_no_batches).then_some(taken))
        })
    }

    fn broadcast<'a>(
        &'a self,
        _: &'a Call,
        _: &'a dyn Journal,
    ) -> BoxFuture<'a, Result<TxHash, ChainError>> {
        Box::pin(async { Err(ChainError::Unavailable("not asked for".to_owned())) })
    }

    fn rebroadcast<'a>(
        &'a self,
        _: &'a Call,
        _: &'a Transaction,
        _: &'a dyn Journal,
    ) -> BoxFuture<'a, Result<TxHash, ChainError>> {
        Box::pin(async { Err(ChainError::Unavailable("not asked for".to_owned())) })
    }

    fn outcome<'a>(
        &'a self,
        _: &'a Claimed,
        _: Sent<'a>,
    ) -> BoxFuture<'a, Result<Outcome, ChainError>> {
        Box::pin(async { Ok(Outcome::Unknown) })
    }

    fn find<'a>(
        &'a self,
        _: &'a Claimed,
        _: u64,
        _: &'a [(TxHash, u32)],
    ) -> BoxFuture<'a, Result<Usage, ChainError>> {
        Box::pin(async { Ok(Usage::Unused) })
    }
}

fn over(node: Slow) -> (Arc<Slow>, Arc<Coalesced>) {
    let node = Arc::new(node);
    let chain = Coalesced::new(Arc::clone(&node) as Arc<dyn Chain>);
    (node, Arc::new(chain))
}

/// Asks for these at the same time, and says which are taken.
async fn ask(chain: &Arc<Coalesced>, numbers: core::ops::Range<u8>) -> Vec<bool> {
    let tasks: Vec<_> = numbers
        .map(|number| {
            let chain = Arc::clone(chain);
            tokio::spawn(async move { chain.simulate(&call(number)).await })
        })
        .collect();
    let mut taken = Vec::new();
    for task in tasks {
        taken.push(match task.await.unwrap() {
            Ok(()) => true,
            Err(ChainError::Refused(Error::Balance)) => false,
            Err(error) => panic!("{error}"),
        });
    }
    taken
}

#[tokio::test(start_paused = true)]
async fn what_comes_alone_goes_out_at_once() {
    let (node, chain) = over(Slow { refuses: vec![2], ..Slow::default() });
    let began = Instant::now();
    for (number, expected) in [(1, true), (2, false), (3, true)] {
        assert_eq!(ask(&chain, number..number + 1).await, [expected]);
    }
    assert!(began.elapsed() < 3 * NODE_TAKES + Duration::from_millis(5));
    assert_eq!((node.alone.load(SeqCst), node.together()), (3, vec![]));
}

#[tokio::test(start_paused = true)]
async fn what_waits_together_goes_out_together_and_harms_no_other() {
    let (node, chain) = over(Slow { refuses: vec![7, 30], ..Slow::default() });
    let began = Instant::now();
    let taken = ask(&chain, 1..41).await;
    let refused: Vec<_> = (1..41).zip(taken).filter(|(_, taken)| !taken).map(|(n, _)| n).collect();
    assert_eq!(refused, [7, 30]);
    // One at once, the others two milliseconds later, and those that were refused once more.
    assert_eq!((node.alone.load(SeqCst), node.together()), (1 + 2, vec![39]));
    assert!(began.elapsed() < 2 * NODE_TAKES + 5 * WINDOW, "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn no_more_than_fifty_go_out_together() {
    let (node, chain) = over(Slow::default());
    assert_eq!(ask(&chain, 1..152).await, [true; 151]);
    assert_eq!(node.together(), [50, 50, 50]);
}

#[tokio::test(start_paused = true)]
async fn one_that_is_never_answered_holds_nobody_up() {
    let (node, chain) = over(Slow { ignores: Some(1), ..Slow::default() });
    let ignored = {
        let chain = Arc::clone(&chain);
        tokio::spawn(async move { chain.simulate(&call(1)).await })
    };
    tokio::task::yield_now().await;
    let others = timeout(NODE_TAKES + 2 * WINDOW, ask(&chain, 2..12)).await.unwrap();
    assert_eq!((others, node.together()), (vec![true; 10], vec![10]));
    ignored.abort();
}

#[tokio::test(start_paused = true)]
async fn without_multicall_and_where_it_fails_each_is_asked_alone() {
    let (node, chain) = over(Slow { has_no_batches: true, refuses: vec![3], ..Slow::default() });
    for _ in 0..2 {
        assert_eq!(ask(&chain, 1..6).await, [true, true, false, true, true]);
    }
    // It is not tried again.
    assert_eq!((node.alone.load(SeqCst), node.together()), (10, vec![4]));
    let (node, chain) = over(Slow { is_down: true.into(), ..Slow::default() });
    for _ in 0..2 {
        assert_eq!(ask(&chain, 1..6).await, [true; 5]);
    }
    assert_eq!((node.alone.load(SeqCst), node.together()), (10, vec![4, 4]));
}

#[tokio::test(start_paused = true)]
async fn who_goes_away_leaves_the_others_their_answers() {
    let (node, chain) = over(Slow::default());
    let tasks: Vec<_> = (1..21)
        .map(|number| {
            let chain = Arc::clone(&chain);
            tokio::spawn(async move { chain.simulate(&call(number)).await })
        })
        .collect();
    tokio::task::yield_now().await;
    for (number, task) in tasks.into_iter().enumerate() {
        if number % 3 == 0 {
            task.abort();
        } else {
            task.await.unwrap().unwrap();
        }
    }
    // Nothing is left running: the next one goes out at once.
    let alone = node.alone.load(SeqCst);
    assert_eq!(ask(&chain, 30..31).await, [true]);
    assert_eq!(node.alone.load(SeqCst), alone + 1);
}
