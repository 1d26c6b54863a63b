//! Simulations that wait together go out as one call.

use core::fmt;
use core::time::Duration;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;
use tokio::time::sleep;
use x402_core::{Address, Amount, ChainId, Claimed};

use super::{Block, Call, Chain, ChainError, Head, Journal, Outcome, PaidLog, Sent, Transaction};
use super::{TxHash, Usage};
use crate::BoxFuture;

/// For how long a simulation waits for others at most.
const WINDOW: Duration = Duration::from_millis(2);
/// How many go out together: no more gas than nodes let a call have.
const MOST: usize = 50;

/// A chain of which many payments are asked at once: while one simulation is under way the next ones
/// wait, for two milliseconds at most, and go out together, as one call of Multicall3. A call that comes
/// when nothing is under way goes out at once.
///
/// What is refused in company is asked alone, for it may be the company's fault (two payments of what is
/// there for one), and for the reason. Where the chain has no Multicall3, every call goes out alone.
pub struct Coalesced {
    shared: Arc<Shared>,
}

struct Shared {
    chain: Arc<dyn Chain>,
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    /// How many calls are under way.
    running: usize,
    waiting: Vec<Waiting>,
    /// Whether somebody will send what is waiting when the window ends.
    has_clock: bool,
    /// There is no Multicall3.
    is_alone: bool,
}

struct Waiting {
    call: Call,
    answer: oneshot::Sender<Result<(), ChainError>>,
}

impl Coalesced {
    /// Asks this chain.
    #[must_use]
    pub fn new(chain: Arc<dyn Chain>) -> Self {
        Self { shared: Arc::new(Shared { chain, queue: Mutex::default() }) }
    }

    async fn ask(&self, call: &Call) -> Result<(), ChainError> {
        let Some(waiting) = self.shared.enter(call) else {
            let _running = Running(&self.shared);
            return self.shared.chain.simulate(call).await;
        };
        let gone = || ChainError::Unavailable("the task that asks was stopped".to_owned());
        waiting.await.unwrap_or_else(|_| Err(gone()))
    }
}

impl Shared {
    /// Takes a call up that can go out at once, or has it wait.
    fn enter(self: &Arc<Self>, call: &Call) -> Option<oneshot::Receiver<Result<(), ChainError>>> {
        let mut queue = self.queue();
        if queue.running == 0 || queue.is_alone || !call.can_be_batched() {
            queue.running += 1;
            return None;
        }
        let (answer, waiting) = oneshot::channel();
        queue.waiting.push(Waiting { call: call.clone(), answer });
        if queue.waiting.len() >= MOST {
            self.send(&mut queue);
        } else if !queue.has_clock {
            queue.has_clock = true;
            let shared = Arc::clone(self);
            tokio::spawn(async move {
                sleep(WINDOW).await;
                let mut queue = shared.queue();
                queue.has_clock = false;
                shared.send(&mut queue);
            });
        }
        Some(waiting)
    }

    /// Sends what is waiting.
    fn send(self: &Arc<Self>, queue: &mut Queue) {
        let waiting = core::mem::take(&mut queue.waiting);
        if waiting.is_empty() {
            return;
        }
        queue.running += 1;
        let shared = Arc::clone(self);
        tokio::spawn(async move {
            let _running = Running(&shared);
            let mut alone = shared.ask_together(waiting).await;
            let last = alone.pop();
            for one in alone {
                let shared = Arc::clone(&shared);
                tokio::spawn(async move { shared.ask_alone(one).await });
            }
            if let Some(last) = last {
                shared.ask_alone(last).await;
            }
        });
    }

    async fn ask_alone(&self, Waiting { call, answer }: Waiting) {
        let result = self.chain.simulate(&call).await;
        // Who has asked may be gone.
        drop(answer.send(result));
    }

    /// Asks for all at once, and gives back those that are to be asked for alone.
    async fn ask_together(&self, waiting: Vec<Waiting>) -> Vec<Waiting> {
        if waiting.len() == 1 {
            return waiting;
        }
        let calls: Vec<_> = waiting.iter().map(|waiting| waiting.call.clone()).collect();
        let taken = match self.chain.simulate_batch(&Call::batch(&calls)).await {
            Ok(Some(taken)) => taken,
            Ok(None) => {
                self.queue().is_alone = true;
                return waiting;
            }
            Err(error) => {
                tracing::debug!(%error, "not asked together");
                return waiting;
            }
        };
        let mut alone = Vec::new();
        for (waiting, is_taken) in waiting.into_iter().zip(taken) {
            if is_taken {
                // Who has asked may be gone.
                drop(waiting.answer.send(Ok(())));
            } else {
                alone.push(waiting);
            }
        }
        alone
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        // Every change is one assignment: the queue is whole whatever panicked.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call that is under way; when it ends, those that wait need not wait longer.
struct Running<'s>(&'s Arc<Shared>);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let mut queue = self.0.queue();
        queue.running -= 1;
        if queue.running == 0 {
            self.0.send(&mut queue);
        }
    }
}

impl fmt::Debug for Coalesced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Coalesced").finish_non_exhaustive()
    }
}

impl Chain for Coalesced {
    fn chain_id(&self) -> ChainId {
        self.shared.chain.chain_id()
    }

    fn account(&self) -> Address {
        self.shared.chain.account()
    }

    fn has_code(&self, address: Address) -> BoxFuture<'_, Result<bool, ChainError>> {
        self.shared.chain.has_code(address)
    }

    fn simulate<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Result<(), ChainError>> {
        Box::pin(self.ask(call))
    }

    fn simulate_batch<'a>(
        &'a self,
        batch: &'a Call,
    ) -> BoxFuture<'a, Result<Option<Vec<bool>>, ChainError>> {
        self.shared.chain.simulate_batch(batch)
    }

    fn broadcast<'a>(
        &'a self,
        call: &'a Call,
        journal: &'a dyn Journal,
    ) -> BoxFuture<'a, Result<TxHash, ChainError>> {
        self.shared.chain.broadcast(call, journal)
    }

    fn broadcast_each<'a>(
        &'a self,
        calls: &'a [(Call, &'a dyn Journal)],
    ) -> BoxFuture<'a, Vec<Result<TxHash, ChainError>>> {
        self.shared.chain.broadcast_each(calls)
    }

    fn rebroadcast<'a>(
        &'a self,
        call: &'a Call,
        transaction: &'a Transaction,
        journal: &'a dyn Journal,
    ) -> BoxFuture<'a, Result<TxHash, ChainError>> {
        self.shared.chain.rebroadcast(call, transaction, journal)
    }

    fn outcome<'a>(
        &'a self,
        payment: &'a Claimed,
        sent: Sent<'a>,
    ) -> BoxFuture<'a, Result<Outcome, ChainError>> {
        self.shared.chain.outcome(payment, sent)
    }

    fn outcomes<'a>(
        &'a self,
        payments: &'a [Claimed],
        sent: Sent<'a>,
    ) -> BoxFuture<'a, Result<Vec<Outcome>, ChainError>> {
        self.shared.chain.outcomes(payments, sent)
    }

    fn find<'a>(
        &'a self,
        payment: &'a Claimed,
        since: u64,
        taken: &'a [(TxHash, u32)],
    ) -> BoxFuture<'a, Result<Usage, ChainError>> {
        self.shared.chain.find(payment, since, taken)
    }

    fn candidate<'a>(
        &'a self,
        payment: &'a Claimed,
        sent: Sent<'a>,
    ) -> BoxFuture<'a, Result<Option<PaidLog>, ChainError>> {
        self.shared.chain.candidate(payment, sent)
    }

    fn head(&self) -> BoxFuture<'_, Result<Head, ChainError>> {
        self.shared.chain.head()
    }

    fn block(&self, number: u64) -> BoxFuture<'_, Result<Option<Block>, ChainError>> {
        self.shared.chain.block(number)
    }

    fn fill_gaps(&self) -> BoxFuture<'_, ()> {
        self.shared.chain.fill_gaps()
    }

    fn token_balance(
        &self,
        asset: Address,
        account: Address,
    ) -> BoxFuture<'_, Result<Amount, ChainError>> {
        self.shared.chain.token_balance(asset, account)
    }

    fn block_seconds(&self) -> u64 {
        self.shared.chain.block_seconds()
    }

    fn ready<'a>(
        &'a self,
        payment: &'a Claimed,
        now: u64,
    ) -> BoxFuture<'a, Result<(), ChainError>> {
        self.shared.chain.ready(payment, now)
    }

    fn is_on_time(&self, now: u64) -> BoxFuture<'_, bool> {
        self.shared.chain.is_on_time(now)
    }

    fn ahead_seconds(&self) -> u64 {
        self.shared.chain.ahead_seconds()
    }
}

#[cfg(test)]
mod tests;
