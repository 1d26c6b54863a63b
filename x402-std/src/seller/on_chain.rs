use core::sync::atomic::AtomicBool;
use core::time::Duration;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;
use x402_core::state::State;
use x402_core::{Address, Amount, Error, PaymentId};

use super::Rejection;
use super::arrival::{Found, find_use, record, record_short, short, since, undecided};
use super::rail::{Anew, Moved, Noted, Rail, Steps};
use super::unsent::{Unsent, journalled};
use crate::BoxFuture;
use crate::chain::{Call, Chain, ChainError, Outcome, Sent, Settlement, Transaction, TxHash};
use crate::ledger::{Entry, LedgerError, Step};

/// After how long a transaction that is in no block is sent again, for a node forgets some.
pub(super) const SEND_AGAIN: Duration = Duration::from_secs(10);

/// What the chain shows of a payment's transactions.
#[derive(Clone, Copy)]
pub(super) enum Seen {
    /// None is in a block.
    Nothing,
    /// This moved the money.
    Settled(Settlement),
    /// This moved another value than was signed.
    Short(Settlement, Amount),
    /// One did nothing.
    Reverted,
    /// One used the authorization, and what it moved cannot be told: it is for the operator to see to.
    Undecided,
}

impl Seen {
    /// Of what a transaction did; `None` where it is in no block.
    pub(super) const fn of(outcome: Outcome, transaction: TxHash) -> Option<Self> {
        Some(match outcome {
            Outcome::Settled(_, log) => Self::Settled(Settlement { transaction, log: Some(log) }),
            Outcome::Short(log, arrived) => {
                Self::Short(Settlement { transaction, log: Some(log) }, arrived)
            }
            Outcome::Reverted => Self::Reverted,
            Outcome::Undecided => Self::Undecided,
            Outcome::Unknown => return None,
        })
    }

    /// Whether it says more of a payment than another that was seen of it.
    pub(super) const fn is_more_than(&self, other: &Self) -> bool {
        const fn rank(seen: &Seen) -> u8 {
            match seen {
                Seen::Nothing => 0,
                Seen::Reverted => 1,
                Seen::Undecided => 2,
                Seen::Short(..) => 3,
                Seen::Settled(_) => 4,
            }
        }
        rank(self) > rank(other)
    }
}

/// Moves the money by transactions of one's own.
pub struct OnChain {
    pub(super) chain: Arc<dyn Chain>,
    pub(super) timeout: Duration,
    pub(super) poll: (Duration, Duration),
    /// There is no Multicall3, as far as was seen.
    pub(super) takes_no_batches: AtomicBool,
    /// The tokens that were seen to move another value than is signed.
    stopped: Mutex<BTreeSet<Address>>,
    /// The transactions that moved nothing, and were not told yet.
    losses: Mutex<BTreeSet<(PaymentId, [u8; 32])>>,
    /// What was served and could not be sent, for what lies with us.
    pub(super) unsent: Unsent,
}

impl OnChain {
    /// On this chain; a payment waits so long for its receipt, which is asked for, at most and at
    /// least, so often: the pause doubles.
    #[must_use]
    pub fn new(chain: Arc<dyn Chain>, timeout: Duration, poll: (Duration, Duration)) -> Self {
        let (takes_no_batches, stopped, losses, unsent) = Default::default();
        Self { chain, timeout, poll, takes_no_batches, stopped, losses, unsent }
    }

    fn stopped(&self) -> MutexGuard<'_, BTreeSet<Address>> {
        // Every change is one insertion: whole, whatever panicked.
        self.stopped.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether nothing more is sold in the token of a payment.
    pub(super) fn is_stopped(&self, entry: &Entry) -> bool {
        self.stopped().contains(&entry.payment.asset())
    }

    fn losses(&self) -> MutexGuard<'_, BTreeSet<(PaymentId, [u8; 32])>> {
        // Every change is one call of the set's: whole, whatever panicked.
        self.losses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A transaction of the payment is in a block, and did nothing for it.
    pub(super) fn lost(&self, entry: &Entry) {
        /// Nobody asks: who has no limits, or a test.
        const MOST: usize = 10_000;
        let mut losses = self.losses();
        if let Some(transaction) = &entry.transaction
            && losses.len() < MOST
        {
            losses.insert((entry.id(), transaction.hash.0));
        }
    }

    /// Journals and sends a transaction, and waits for the money's arrival. What was sent before has done
    /// nothing, and can do nothing any more.
    async fn send(&self, entry: &Entry, steps: &Steps<'_>) -> Result<TxHash, Rejection> {
        let call = match Call::of(entry) {
            Ok(call) => call,
            Err(error) => {
                return Err(self.not_sent(entry, steps, &ChainError::Journal(error)).await);
            }
        };
        let anew = Anew::new(steps);
        let noted = match entry.transaction.is_some() {
            true => Noted::new(&anew),
            false => Noted::new(steps),
        };
        let sent = self.chain.broadcast(&call, &noted).await;
        self.await_sent(entry, steps, sent, noted.last()).await
    }

    /// Waits for the money's arrival by a transaction that was journalled (`noted`), and sent, or not. One
    /// that the node has refused has been seen by it: until its nonce is another's, it may be mined.
    pub(super) async fn await_sent(
        &self,
        entry: &Entry,
        steps: &Steps<'_>,
        sent: Result<TxHash, ChainError>,
        noted: Option<Transaction>,
    ) -> Result<TxHash, Rejection> {
        let id = entry.id();
        let sent = match sent {
            Ok(hash) => {
                tracing::info!(payment = %id, transaction = %hash, "broadcast");
                self.unsent.forget(entry);
                Some(Instant::now())
            }
            Err(ChainError::Unknown(error)) => {
                tracing::warn!(payment = %id, %error, "it is not known whether the chain has it");
                None
            }
            Err(ChainError::Unsent(error)) => {
                tracing::warn!(payment = %id, %error, "journalled, and not taken by the node");
                self.unsent.note(entry);
                None
            }
            Err(error) => return Err(self.not_sent(entry, steps, &error).await),
        };
        // With the transaction that was journalled last; the chain can be asked for that without the ledger.
        match steps.entry().await.ok().or_else(|| journalled(entry, noted.clone())) {
            Some(entry) => self.pursue(entry, steps, sent).await,
            None => Err(Rejection::pending_by(entry, noted.map(|noted| noted.hash))),
        }
    }

    pub(super) async fn find_out(
        &self,
        entry: &Entry,
        steps: &Steps<'_>,
    ) -> Result<TxHash, Rejection> {
        if entry.is_short() {
            return Err(short(entry, entry.settled_by()));
        }
        if entry.state == State::Claimed {
            return self.send_if_taken(entry, steps).await;
        }
        if entry.state == State::Worked || entry.is_unpaid() {
            return self.send_anew(entry, steps).await;
        }
        if entry.transaction.is_none() {
            // Refused before anything was sent, and forgiven: it is over, unless a stranger pays.
            return self.look_for_use(entry, steps, Error::Simulation).await;
        }
        match self.look(entry).await {
            // Whatever made it do nothing may be gone, and then another transaction may do.
            Ok(Seen::Reverted) => self.try_again(entry, steps).await,
            Ok(Seen::Nothing) => self.pursue(entry.clone(), steps, None).await,
            Ok(seen) => self.end(entry, steps, seen).await,
            Err(error) => {
                tracing::warn!(payment = %entry.id(), %error, "the outcome cannot be asked for");
                Err(Rejection::pending(entry))
            }
        }
    }

    /// Sends the first transaction of a payment, or releases it.
    async fn send_if_taken(&self, entry: &Entry, steps: &Steps<'_>) -> Result<TxHash, Rejection> {
        self.verify_or_release(entry, steps).await?;
        self.send(entry, steps).await
    }

    pub(super) async fn verify_or_release(
        &self,
        entry: &Entry,
        steps: &Steps<'_>,
    ) -> Result<(), Rejection> {
        let Err(error) = self.verify(entry).await else { return Ok(()) };
        steps.release().await;
        Err(match error {
            ChainError::Refused(error) => error.into(),
            error => Rejection::unavailable(&error),
        })
    }

    /// Sends a transaction, where no other can be mined that uses the authorization.
    pub(super) async fn send_anew(
        &self,
        entry: &Entry,
        steps: &Steps<'_>,
    ) -> Result<TxHash, Rejection> {
        match self.verify(entry).await {
            Ok(()) => self.send(entry, steps).await,
            // Nobody was shown the signature, or it has failed before: it is as the token says now, if that
            // is known. A refusal without a reason may be that somebody has used it just now.
            Err(ChainError::Refused(error))
                if error != Error::AuthorizationUsed
                    && (entry.state == State::Failed
                        || entry.transaction.is_none() && !is_for_the_chain(error)) =>
            {
                self.fail(entry, steps, error).await
            }
            Err(ChainError::Refused(error)) => {
                if !matches!(error, Error::Expired | Error::NotYetValid) {
                    self.unsent.forget(entry);
                }
                self.look_for_use(entry, steps, error).await
            }
            Err(_) => {
                self.unsent.note(entry);
                Err(Rejection::pending(entry))
            }
        }
    }

    /// A transaction of the payment did nothing: another is sent, where the token would take it now, and
    /// the payer does not have to wait for what was lost.
    pub(super) async fn try_again(
        &self,
        entry: &Entry,
        steps: &Steps<'_>,
    ) -> Result<TxHash, Rejection> {
        if !steps.may_lose() {
            return self.end(entry, steps, Seen::Reverted).await;
        }
        self.lost(entry);
        self.send_anew(entry, steps).await
    }

    /// Asks for the receipt until it is there or the time is up, and sees to it that the node has the
    /// transaction: `sent` is when it was seen to take it.
    async fn pursue(
        &self,
        mut entry: Entry,
        steps: &Steps<'_>,
        mut sent: Option<Instant>,
    ) -> Result<TxHash, Rejection> {
        let deadline = Instant::now() + self.timeout;
        let (mut pause, longest) = self.poll;
        loop {
            match self.look(&entry).await {
                Ok(Seen::Nothing) if sent.is_some_and(|sent| sent.elapsed() < SEND_AGAIN) => {}
                Ok(Seen::Nothing) => match self.send_again(&entry, steps).await {
                    Ok(again) => {
                        self.unsent.forget(&again);
                        (entry, sent) = (again, Some(Instant::now()));
                    }
                    // It cannot be mined any more; another may carry the same authorization, which
                    // the token takes at most once.
                    Err(ChainError::Unsent(_)) => {
                        return Box::pin(self.send_anew(&entry, steps)).await;
                    }
                    Err(error @ ChainError::Journal(_)) => {
                        tracing::warn!(payment = %entry.id(), %error, "not sent again");
                        return Err(Rejection::pending(&entry));
                    }
                    Err(error) => tracing::debug!(payment = %entry.id(), %error, "not sent again"),
                },
                Ok(seen) => return self.end(&entry, steps, seen).await,
                Err(error) => tracing::warn!(payment = %entry.id(), %error, "no receipt"),
            }
            if Instant::now() + pause > deadline {
                // None of ours is in a block: somebody else's may be, or it has ended meanwhile.
                return self.look_for_use(&entry, steps, Error::Simulation).await;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(longest);
        }
    }

    async fn time_out(&self, entry: &Entry, steps: &Steps<'_>) -> Result<TxHash, Rejection> {
        if entry.state == State::Broadcast
            && let Err(error) = steps.apply(Step::TimedOut).await
        {
            tracing::warn!(payment = %entry.id(), %error, "the ledger does not take it down");
        }
        Err(Rejection::pending(entry))
    }

    /// A transaction of the payment is in a block.
    pub(super) async fn end(
        &self,
        entry: &Entry,
        steps: &Steps<'_>,
        seen: Seen,
    ) -> Result<TxHash, Rejection> {
        match seen {
            Seen::Settled(settlement) => record(&*self.chain, entry, steps, settlement, true).await,
            Seen::Short(settlement, arrived) => {
                self.stopped().insert(entry.payment.asset());
                record_short(entry, steps, settlement, arrived).await?;
                Err(short(entry, Some(settlement.transaction)))
            }
            Seen::Reverted => {
                self.lost(entry);
                self.look_for_use(entry, steps, Error::Simulation).await
            }
            Seen::Undecided => Err(undecided(entry)),
            Seen::Nothing => Err(Rejection::pending(entry)),
        }
    }

    /// Sends the last transaction again, or one that offers more, and gives the entry as it is then.
    async fn send_again(&self, entry: &Entry, steps: &Steps<'_>) -> Result<Entry, ChainError> {
        let transaction = entry.transaction.as_ref();
        let transaction = transaction.ok_or(ChainError::Journal(LedgerError::Corrupt))?;
        if transaction.raw.is_empty() {
            // It settled several payments; whoever has its bytes has seen it in a block, or void.
            return Err(ChainError::Unsent("its transaction is another payment's".into()));
        }
        let call = Call::of(entry).map_err(ChainError::Journal)?;
        let hash = self.chain.rebroadcast(&call, transaction, steps).await?;
        if hash == transaction.hash {
            return Ok(entry.clone());
        }
        let again = steps.entry().await;
        again.map_err(|_| ChainError::Unavailable("the ledger cannot be read".into()))
    }

    /// What the chain shows of the payment's transactions.
    async fn look(&self, entry: &Entry) -> Result<Seen, ChainError> {
        let mut seen = Seen::Nothing;
        for hash in entry.hashes() {
            let outcome = self.chain.outcome(&entry.payment, Sent::own(hash)).await?;
            if let Some(now) = Seen::of(outcome, hash)
                && now.is_more_than(&seen)
            {
                seen = now;
            }
        }
        Ok(seen)
    }

    /// No transaction of ours moves the money: somebody else's may, or have. The payment has failed where the
    /// chain proves that nobody can move it any more; until then it is open, whatever the token says now
    /// (`otherwise`).
    pub(super) async fn look_for_use(
        &self,
        entry: &Entry,
        steps: &Steps<'_>,
        otherwise: Error,
    ) -> Result<TxHash, Rejection> {
        match find_use(&*self.chain, entry, steps, since(entry)).await {
            Found::Settled(hash) => Ok(hash),
            Found::Ended(error) => self.fail(entry, steps, error).await,
            Found::Undecided(transaction) => {
                Err(Rejection { transaction: Some(transaction), ..undecided(entry) })
            }
            // It has failed before, or was given up: nothing of it waits.
            Found::Unused if entry.state == State::Failed => {
                self.fail(entry, steps, otherwise).await
            }
            Found::Unused | Found::Unknown => self.time_out(entry, steps).await,
        }
    }
}

impl Rail for OnChain {
    fn chain(&self) -> Option<&dyn Chain> {
        Some(&*self.chain)
    }

    fn take_losses(&self) -> Vec<(PaymentId, TxHash)> {
        let losses = core::mem::take(&mut *self.losses());
        losses.into_iter().map(|(id, hash)| (id, TxHash(hash))).collect()
    }

    fn settler(&self) -> Option<Address> {
        Some(self.chain.account())
    }

    fn has_code(&self, address: Address) -> BoxFuture<'_, Result<Option<bool>, ChainError>> {
        Box::pin(async move { self.chain.has_code(address).await.map(Some) })
    }

    fn block_seconds(&self) -> u64 {
        self.chain.block_seconds()
    }

    fn ready<'a>(&'a self, entry: &'a Entry, now: u64) -> BoxFuture<'a, bool> {
        Box::pin(async move { self.chain.ready(&entry.payment, now).await.is_ok() })
    }

    fn is_on_time(&self, now: u64) -> BoxFuture<'_, bool> {
        self.chain.is_on_time(now)
    }

    fn ahead_seconds(&self) -> u64 {
        self.chain.ahead_seconds()
    }

    fn token_balance(
        &self,
        asset: Address,
        account: Address,
    ) -> BoxFuture<'_, Result<Option<Amount>, ChainError>> {
        Box::pin(async move { self.chain.token_balance(asset, account).await.map(Some) })
    }

    fn verify<'a>(&'a self, entry: &'a Entry) -> BoxFuture<'a, Result<(), ChainError>> {
        Box::pin(async move {
            if self.is_stopped(entry) {
                let why = "the token moves another value than is signed";
                return Err(ChainError::Unavailable(why.into()));
            }
            let call = Call::of(entry).map_err(ChainError::Journal)?;
            self.chain.simulate(&call).await
        })
    }

    fn settle<'a>(
        &'a self,
        entry: &'a Entry,
        steps: &'a Steps<'a>,
    ) -> BoxFuture<'a, Result<TxHash, Rejection>> {
        Box::pin(async move {
            match entry.state {
                // The work took its time: what was good when it began may not be any more.
                State::Worked => self.send_anew(entry, steps).await,
                _ => self.send(entry, steps).await,
            }
        })
    }

    fn takes_many(&self) -> bool {
        true
    }

    fn settle_each<'a>(&'a self, batch: Vec<(Entry, Steps<'a>)>) -> BoxFuture<'a, Vec<Moved>> {
        Box::pin(self.send_train(batch))
    }

    fn settle_batch<'a>(&'a self, batch: Vec<(Entry, Steps<'a>)>) -> BoxFuture<'a, Vec<Moved>> {
        Box::pin(self.settle_all(batch))
    }

    fn look_for<'a>(
        &'a self,
        entry: &'a Entry,
        steps: &'a Steps<'a>,
    ) -> BoxFuture<'a, Result<TxHash, Rejection>> {
        Box::pin(async move {
            match self.look(entry).await {
                Ok(seen) => self.end(entry, steps, seen).await,
                Err(_) => Err(Rejection::pending(entry)),
            }
        })
    }

    fn follow<'a>(
        &'a self,
        entry: &'a Entry,
        steps: &'a Steps<'a>,
    ) -> BoxFuture<'a, Result<TxHash, Rejection>> {
        Box::pin(self.find_out(entry, steps))
    }
}

/// Whether a refusal may be that somebody has used the authorization just now, or that of a block which goes
/// again: the chain is asked for a proof.
const fn is_for_the_chain(error: Error) -> bool {
    matches!(error, Error::Simulation | Error::Expired | Error::NotYetValid)
}
