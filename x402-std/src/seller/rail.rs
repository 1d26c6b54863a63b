use x402_core::{Address, PaymentId};

use super::Rejection;
use crate::BoxFuture;
use crate::chain::{ChainError, Journal, Transaction, TxHash};
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

    /// Asks whether a payment would be taken now.
    ///
    /// # Errors
    ///
    /// [`ChainError::Refused`] with the reason, or [`ChainError::Unavailable`].
    fn verify<'a>(&'a self, entry: &'a Entry) -> BoxFuture<'a, Result<(), ChainError>>;

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

    /// Finds out what became of a payment of which something was sent, and goes on with it.
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

/// The steps of one payment in its ledger.
pub struct Steps<'a> {
    ledger: &'a dyn Ledger,
    id: PaymentId,
}

impl<'a> Steps<'a> {
    pub(super) const fn new(ledger: &'a dyn Ledger, id: PaymentId) -> Self {
        Self { ledger, id }
    }

    /// Takes a step.
    ///
    /// # Errors
    ///
    /// [`Rejection`] where the ledger fails.
    pub async fn take(&self, step: Step) -> Result<(), Rejection> {
        let applied = self.ledger.apply(self.id, step).await;
        applied.map_err(|error| Rejection::unavailable(&error))
    }

    /// Records that the money has arrived.
    ///
    /// # Errors
    ///
    /// As [`Self::take`].
    pub async fn confirm(&self, hash: TxHash) -> Result<TxHash, Rejection> {
        self.take(Step::Confirmed(hash)).await?;
        tracing::info!(payment = %self.id, transaction = %hash, "settled");
        Ok(hash)
    }

    /// Lets the payer present the same bytes again. Where that fails, the entry stays claimed, and
    /// the next attempt goes on from there.
    pub async fn release(&self) {
        if let Err(error) = self.ledger.apply(self.id, Step::Refused).await {
            tracing::warn!(payment = %self.id, %error, "not released");
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
        entry.map_err(|error| Rejection::unavailable(&error))
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
