use core::future::ready;
use core::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use x402_core::{Address, Amount, PaymentId, Refusal};

use super::Rejection;
use crate::BoxFuture;
use crate::chain::{Chain, ChainError, Journal, Settlement, Transaction, TxHash};
use crate::ledger::{Entry, Ledger, LedgerError, Step};

/// The way on which the money of claimed payments is moved: by transactions of one's own
/// ([`OnChain`](super::OnChain)), or by a facilitator.
pub trait Rail: Send + Sync + 'static {
    /// Whether there is code at an address: whether a payer is a contract. `None` where others find
    /// out, and pay for what comes of it.
    ///
    /// # Errors
    ///
    /// [`ChainError::Unavailable`].
    fn has_code(&self, address: Address) -> BoxFuture<'_, Result<Option<bool>, ChainError>>;

    /// The chain that payments are settled on, where it is looked at.
    fn chain(&self) -> Option<&dyn Chain> {
        None
    }

    /// The transactions of one's own that were seen in a block and moved nothing, with their payments, since
    /// this was asked last: each has cost gas.
    fn take_losses(&self) -> Vec<(PaymentId, TxHash)> {
        Vec::new()
    }

    /// The account that settles, which payments of the scheme `upto` are signed for; `None` where it is not
    /// known.
    fn settler(&self) -> Option<Address> {
        None
    }

    /// How long it takes from one block to the next, in seconds; 0 where it is not known.
    fn block_seconds(&self) -> u64 {
        0
    }

    /// How much of a token an account has, in atomic units. `None` where others look, and pay for what
    /// comes of it.
    ///
    /// # Errors
    ///
    /// [`ChainError::Unavailable`].
    fn token_balance(
        &self,
        asset: Address,
        account: Address,
    ) -> BoxFuture<'_, Result<Option<Amount>, ChainError>> {
        let _ = (asset, account);
        Box::pin(ready(Ok(None)))
    }

    /// Whether a new payment can be settled, as far as that does not lie with its payer, at this time in Unix
    /// seconds. What is to be mended is in the log when it is news. Here it always can.
    fn ready<'a>(&'a self, entry: &'a Entry, now: u64) -> BoxFuture<'a, bool> {
        let _ = (entry, now);
        Box::pin(ready(true))
    }

    /// Whether the chain's time and the seller's, in Unix seconds, agree, as far as is known. Here they do.
    fn is_on_time(&self, now: u64) -> BoxFuture<'_, bool> {
        let _ = now;
        Box::pin(ready(true))
    }

    /// By how many seconds the chain's time was seen ahead of the seller's: 0 where it is not, or not known.
    fn ahead_seconds(&self) -> u64 {
        0
    }

    /// Asks whether a payment would be taken now.
    ///
    /// # Errors
    ///
    /// [`ChainError::Refused`] with the reason, or [`ChainError::Unavailable`].
    fn verify<'a>(&'a self, entry: &'a Entry) -> BoxFuture<'a, Result<(), ChainError>>;

    /// Whether payments are moved together, or at the same time. Here they are not.
    fn takes_many(&self) -> bool {
        false
    }

    /// Moves the money of payments together, or finds out what became of them: either nothing was sent of
    /// any, or the same transaction was journalled for all. One that cannot be settled harms no other, and
    /// one that is claimed and would not be taken is released. Says of each what [`Self::follow`] would.
    ///
    /// Here it is done one by one.
    fn settle_batch<'a>(&'a self, batch: Vec<(Entry, Steps<'a>)>) -> BoxFuture<'a, Vec<Moved>> {
        Box::pin(async move {
            let mut all = Vec::with_capacity(batch.len());
            for (entry, steps) in &batch {
                all.push((entry.id(), self.follow(entry, steps).await));
            }
            all
        })
    }

    /// Moves the money of payments of which nothing was sent yet, each by itself, at the same time: what is
    /// claimed and would not be taken is released. Here it is done as by [`Self::settle_batch`].
    fn settle_each<'a>(&'a self, batch: Vec<(Entry, Steps<'a>)>) -> BoxFuture<'a, Vec<Moved>> {
        self.settle_batch(batch)
    }

    /// Moves the money of a payment of which nothing was sent yet, taking it from step to step in the
    /// ledger, and returns the transaction that moved it.
    ///
    /// # Errors
    ///
    /// [`Rejection`], with what to tell the payer.
    fn settle<'a>(
        &'a self,
        entry: &'a Entry,
        steps: &'a Steps<'a>,
    ) -> BoxFuture<'a, Result<TxHash, Rejection>>;

    /// Finds out what became of a payment of which something was sent, and sends nothing.
    ///
    /// # Errors
    ///
    /// As [`Self::follow`]. Here it is done as by that: a rail that [takes many](Self::takes_many) sends
    /// for all of them together.
    fn look_for<'a>(
        &'a self,
        entry: &'a Entry,
        steps: &'a Steps<'a>,
    ) -> BoxFuture<'a, Result<TxHash, Rejection>> {
        self.follow(entry, steps)
    }

    /// Finds out what became of a payment of which something was sent, and goes on with it; or settles
    /// one of which nothing was sent, or what was sent did nothing.
    ///
    /// # Errors
    ///
    /// As [`Self::settle`].
    fn follow<'a>(
        &'a self,
        entry: &'a Entry,
        steps: &'a Steps<'a>,
    ) -> BoxFuture<'a, Result<TxHash, Rejection>>;
}

/// What became of a payment: the transaction that moved it.
pub type Moved = (PaymentId, Result<TxHash, Rejection>);

/// Whether it is not known what became of the payment.
pub(super) fn is_open((_, moved): &Moved) -> bool {
    let refusal = moved.as_ref().err().map(|rejection| rejection.refusal);
    refusal.is_some_and(|refusal| !matches!(refusal, Refusal::Payment(_)))
}

/// The steps of one payment in its ledger.
#[derive(Clone, Copy)]
pub struct Steps<'a> {
    ledger: &'a dyn Ledger,
    id: PaymentId,
    may_lose: bool,
}

impl<'a> Steps<'a> {
    pub(super) const fn new(ledger: &'a dyn Ledger, id: PaymentId) -> Self {
        Self { ledger, id, may_lose: true }
    }

    /// The same, with whether another transaction may be risked in the stead of one that moved nothing.
    pub(super) const fn losing(self, may_lose: bool) -> Self {
        Self { may_lose, ..self }
    }

    /// Whether another transaction may be risked in the stead of one that moved nothing: its payer may
    /// have to wait.
    #[must_use]
    pub const fn may_lose(&self) -> bool {
        self.may_lose
    }

    /// Takes a step.
    ///
    /// # Errors
    ///
    /// [`Rejection`] where the ledger fails: the step may have been taken all the same.
    pub async fn take(&self, step: Step) -> Result<(), Rejection> {
        let applied = self.ledger.apply(self.id, step).await;
        applied.map_err(|error| Rejection::in_doubt(&error))
    }

    pub(super) const fn id(&self) -> PaymentId {
        self.id
    }

    pub(super) const fn ledger(&self) -> &'a dyn Ledger {
        self.ledger
    }

    /// As [`Self::take`], with the ledger's own word on a failure.
    ///
    /// # Errors
    ///
    /// As [`Ledger::apply`].
    pub async fn apply(&self, step: Step) -> Result<(), LedgerError> {
        self.ledger.apply(self.id, step).await
    }

    /// Records what moved the money.
    ///
    /// # Errors
    ///
    /// As [`Ledger::apply`]: [`LedgerError::LogTaken`] where the log has paid for another payment.
    pub async fn settle(&self, settlement: Settlement) -> Result<(), LedgerError> {
        self.apply(Step::Confirmed(settlement)).await
    }

    /// Records that the money has arrived, by the word of whoever was told to move it: no log is known.
    ///
    /// # Errors
    ///
    /// [`Rejection`] where the ledger fails; the money has moved all the same.
    pub async fn settle_by_word(&self, transaction: TxHash) -> Result<TxHash, Rejection> {
        let settled = self.settle(Settlement { transaction, log: None }).await;
        if let Err(error) = settled {
            tracing::warn!(payment = %self.id, %transaction, %error, "not taken down as settled");
            let refusal = Refusal::Pending;
            return Err(Rejection {
                refusal,
                transaction: Some(transaction),
                payer: Some(self.id.from),
            });
        }
        tracing::info!(payment = %self.id, %transaction, "settled, by the facilitator's word");
        Ok(transaction)
    }

    /// Lets the payer present the same bytes again, and says whether nothing is recorded of the payment then.
    /// Where that fails, the entry stays claimed, and the next attempt goes on from there; or a transaction
    /// was journalled.
    pub async fn release(&self) -> bool {
        match self.ledger.apply(self.id, Step::Refused).await {
            Ok(()) | Err(LedgerError::Missing) => true,
            Err(error) => {
                tracing::warn!(payment = %self.id, %error, "not released");
                false
            }
        }
    }

    /// The entry as it stands now.
    ///
    /// # Errors
    ///
    /// As [`Self::take`].
    pub async fn entry(&self) -> Result<Entry, Rejection> {
        let entry = self.ledger.find(self.id).await;
        let entry = entry.and_then(|entry| entry.ok_or(LedgerError::Missing));
        entry.map_err(|error| Rejection::in_doubt(&error))
    }
}

impl Journal for Steps<'_> {
    fn record<'a>(
        &'a self,
        transaction: &'a Transaction,
    ) -> BoxFuture<'a, Result<(), LedgerError>> {
        self.ledger.apply(self.id, Step::Journalled(transaction.clone()))
    }
}

/// A journal that remembers what it was given last: whatever the ledger says afterwards, that is what was sent,
/// if something was.
pub(super) struct Noted<'a> {
    journal: &'a dyn Journal,
    last: Mutex<Option<Transaction>>,
}

impl<'a> Noted<'a> {
    pub(super) const fn new(journal: &'a dyn Journal) -> Self {
        Self { journal, last: Mutex::new(None) }
    }

    /// What was recorded last.
    pub(super) fn last(&self) -> Option<Transaction> {
        // Every change is one assignment: whole, whatever panicked.
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Journal for Noted<'_> {
    fn record<'a>(
        &'a self,
        transaction: &'a Transaction,
    ) -> BoxFuture<'a, Result<(), LedgerError>> {
        Box::pin(async move {
            self.journal.record(transaction).await?;
            *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(transaction.clone());
            Ok(())
        })
    }
}

/// Journals a transaction in the stead of others that are in blocks and did nothing, or can be in none any
/// more: they say nothing of the new one. What is journalled after it, for the same call, replaces it.
pub(super) struct Anew<'a> {
    steps: &'a Steps<'a>,
    is_begun: AtomicBool,
}

impl<'a> Anew<'a> {
    pub(super) const fn new(steps: &'a Steps<'a>) -> Self {
        Self { steps, is_begun: AtomicBool::new(false) }
    }
}

impl Journal for Anew<'_> {
    fn record<'a>(
        &'a self,
        transaction: &'a Transaction,
    ) -> BoxFuture<'a, Result<(), LedgerError>> {
        Box::pin(async move {
            let transaction = transaction.clone();
            if self.is_begun.load(Ordering::Relaxed) {
                return self.steps.apply(Step::Journalled(transaction)).await;
            }
            self.steps.apply(Step::JournalledAnew(transaction)).await?;
            self.is_begun.store(true, Ordering::Relaxed);
            Ok(())
        })
    }
}
