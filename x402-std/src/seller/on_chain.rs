use core::sync::atomic::AtomicBool;
use core::time::Duration;
use std::sync::Arc;

use tokio::time::Instant;
use x402_core::state::State;
use x402_core::{Address, Amount, Error};

use super::Rejection;
use super::rail::{Moved, Rail, Steps};
use crate::BoxFuture;
use crate::chain::{Call, Chain, ChainError, Outcome, Sent, Settlement, TxHash, Usage};
use crate::ledger::{Entry, LedgerError, Settle, Step};

/// After how long a transaction that is in no block is sent again, for a node forgets some.
pub(super) const SEND_AGAIN: Duration = Duration::from_secs(10);

/// What the chain shows of a payment's transactions.
#[derive(Clone, Copy)]
pub(super) enum Seen {
    /// None is in a block.
    Nothing,
    /// This moved the money.
    Settled(Settlement),
    /// One did nothing.
    Reverted,
}

/// Moves the money by transactions of one's own.
pub struct OnChain {
    pub(super) chain: Arc<dyn Chain>,
    pub(super) timeout: Duration,
    pub(super) poll: (Duration, Duration),
    /// There is no Multicall3, as far as was seen.
    pub(super) takes_no_batches: AtomicBool,
}

impl OnChain {
    /// On this chain; a payment waits so long for its receipt, which is asked for, at most and at
    /// least, so often: the pause doubles.
    #[must_use]
    pub fn new(chain: Arc<dyn Chain>, timeout: Duration, poll: (Duration, Duration)) -> Self {
        Self { chain, timeout, poll, takes_no_batches: AtomicBool::new(false) }
    }

    /// Journals and sends a transaction, and waits for the money's arrival.
    async fn send(&self, entry: &Entry, steps: &Steps<'_>) -> Result<TxHash, Rejection> {
        let call = Call::of(entry).map_err(|error| Rejection::unavailable(&error))?;
        let sent = self.chain.broadcast(&call, steps).await;
        self.await_sent(entry, steps, sent).await
    }

    /// Waits for the money's arrival by a transaction that was journalled, and sent, or not.
    pub(super) async fn await_sent(
        &self,
        entry: &Entry,
        steps: &Steps<'_>,
        sent: Result<TxHash, ChainError>,
    ) -> Result<TxHash, Rejection> {
        let id = entry.id();
        let sent = match sent {
            Ok(hash) => {
                tracing::info!(payment = %id, transaction = %hash, "broadcast");
                Some(Instant::now())
            }
            Err(ChainError::Unknown(error)) => {
                tracing::warn!(payment = %id, %error, "it is not known whether the chain has it");
                None
            }
            Err(error @ ChainError::Unsent(_)) => return Err(Rejection::unavailable(&error)),
            Err(error) => {
                if entry.state == State::Claimed {
                    steps.release().await;
                }
                return Err(Rejection::unavailable(&error));
            }
        };
        // With the transaction that was journalled last.
        self.pursue(steps.entry().await?, steps, sent).await
    }

    pub(super) async fn find_out(
        &self,
        entry: &Entry,
        steps: &Steps<'_>,
    ) -> Result<TxHash, Rejection> {
        if entry.state == State::Claimed {
            return self.send_if_taken(entry, steps).await;
        }
        if entry.state == State::Worked || entry.is_unpaid() {
            return self.send_anew(entry, steps).await;
        }
        if entry.transaction.is_none() {
            // Refused before anything was sent, and forgiven: it is over, unless a stranger pays.
            return self.reverted(entry, steps).await;
        }
        if let Err(error) = self.look(entry).await {
            tracing::warn!(payment = %entry.id(), %error, "the outcome cannot be asked for");
            return Err(Rejection::pending(entry));
        }
        self.pursue(entry.clone(), steps, None).await
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
            Err(ChainError::Refused(Error::AuthorizationUsed)) => {
                match self.chain.find(&entry.payment, since(entry), &[]).await {
                    Ok(Usage::Settled(_, settlement)) => steps.confirm(settlement).await,
                    Ok(Usage::Void | Usage::Expired) => {
                        fail(entry, steps, Error::AuthorizationUsed).await
                    }
                    // The nodes behind the URL are not of one mind.
                    Ok(Usage::Unused | Usage::Undecided(_)) | Err(_) => {
                        Err(Rejection::pending(entry))
                    }
                }
            }
            Err(ChainError::Refused(error)) => fail(entry, steps, error).await,
            Err(_) => Err(Rejection::pending(entry)),
        }
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
                Ok(Seen::Settled(settlement)) => return steps.confirm(settlement).await,
                Ok(Seen::Reverted) => return self.reverted(&entry, steps).await,
                Ok(Seen::Nothing) if sent.is_some_and(|sent| sent.elapsed() < SEND_AGAIN) => {}
                Ok(Seen::Nothing) => match self.send_again(&entry, steps).await {
                    Ok(again) => (entry, sent) = (again, Some(Instant::now())),
                    // It cannot be mined any more; another may carry the same authorization, which
                    // the token takes at most once.
                    Err(ChainError::Unsent(_)) => {
                        return Box::pin(self.send_anew(&entry, steps)).await;
                    }
                    Err(error @ ChainError::Journal(_)) => {
                        return Err(Rejection::unavailable(&error));
                    }
                    Err(error) => tracing::debug!(payment = %entry.id(), %error, "not sent again"),
                },
                Err(error) => tracing::warn!(payment = %entry.id(), %error, "no receipt"),
            }
            if Instant::now() + pause > deadline {
                if entry.state == State::Broadcast {
                    steps.take(Step::TimedOut).await?;
                }
                return Err(Rejection::pending(&entry));
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(longest);
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
            match self.chain.outcome(&entry.payment, Sent::own(hash)).await? {
                Outcome::Settled(_, log) => {
                    let settlement = Settlement { transaction: hash, log: Some(log) };
                    return Ok(Seen::Settled(settlement));
                }
                Outcome::Reverted | Outcome::Short(..) => seen = Seen::Reverted,
                Outcome::Unknown | Outcome::Undecided => {}
            }
        }
        Ok(seen)
    }

    /// Our transaction did nothing: somebody else's may have moved the money, or nobody's.
    async fn reverted(&self, entry: &Entry, steps: &Steps<'_>) -> Result<TxHash, Rejection> {
        let error = match self.chain.find(&entry.payment, since(entry), &[]).await {
            Ok(Usage::Settled(_, settlement)) => return steps.confirm(settlement).await,
            Ok(Usage::Void) => Error::AuthorizationUsed,
            Ok(Usage::Expired) => Error::Expired,
            Ok(Usage::Unused) => match self.verify(entry).await {
                Err(ChainError::Refused(error)) => error,
                Ok(()) | Err(_) => Error::Simulation,
            },
            Ok(Usage::Undecided(_)) | Err(_) => return Err(Rejection::pending(entry)),
        };
        fail(entry, steps, error).await
    }
}

impl Rail for OnChain {
    fn settler(&self) -> Option<Address> {
        Some(self.chain.account())
    }

    fn has_code(&self, address: Address) -> BoxFuture<'_, Result<Option<bool>, ChainError>> {
        Box::pin(async move { self.chain.has_code(address).await.map(Some) })
    }

    fn block_seconds(&self) -> u64 {
        self.chain.block_seconds()
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
                Ok(Seen::Settled(settlement)) => steps.confirm(settlement).await,
                Ok(Seen::Reverted) => self.reverted(entry, steps).await,
                Ok(Seen::Nothing) | Err(_) => Err(Rejection::pending(entry)),
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

async fn fail(entry: &Entry, steps: &Steps<'_>, error: Error) -> Result<TxHash, Rejection> {
    match entry.state {
        State::Failed => {}
        State::Worked => steps.take(Step::Refused).await?,
        _ => steps.take(Step::Reverted).await?,
    }
    if entry.settle == Settle::Later && entry.answer.is_some() {
        tracing::warn!(payment = %entry.id(), payer = %entry.payment.payer(), %error, "served, and not paid");
    }
    let transaction = entry.transaction.as_ref().map(|transaction| transaction.hash);
    let payer = Some(entry.payment.payer());
    Err(Rejection { transaction, payer, ..error.into() })
}

/// From when on, in Unix seconds, a use of the authorization counts as this payment's. Before the
/// claim it was spent on something else; chain and seller may differ by some minutes.
pub(crate) const fn since(entry: &Entry) -> u64 {
    const CLOCK_SKEW_SECONDS: u64 = 300;
    entry.claimed_at.saturating_sub(CLOCK_SKEW_SECONDS)
}
