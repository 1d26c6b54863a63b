//! What a seller remembers of payments: never twice, never lost.

mod entry;
mod memory;
#[cfg(feature = "redb")]
mod redb;
#[cfg(test)]
mod tests;

use x402_core::{Claim, PaymentId};

use crate::BoxFuture;

pub use entry::{Answer, Entry, Identifier, RequestId, Step};
pub use memory::MemoryLedger;
#[cfg(feature = "redb")]
pub use redb::RedbLedger;

/// The record of payments, keyed by [`PaymentId`].
///
/// An entry is made by [`Ledger::claim`], atomically and durably, and moves on by
/// [`Ledger::apply`], along [`x402_core::state`]. It is kept until it can do no harm to forget it:
/// at least until [`Entry::keep_until`].
pub trait Ledger: Send + Sync + 'static {
    /// Records a payment for one caller, if it is not recorded yet: an [`Entry::new`].
    ///
    /// Returns once the record is safe. Of callers that race, exactly one is given
    /// [`Claiming::New`].
    ///
    /// # Errors
    ///
    /// [`LedgerError`]; then nothing must be done for the payment.
    fn claim(&self, entry: Entry) -> BoxFuture<'_, Result<Claiming, LedgerError>>;

    /// Takes a payment on by one step. Returns once the change is safe.
    ///
    /// # Errors
    ///
    /// [`LedgerError::Missing`] for a payment that is not recorded, [`LedgerError::Illegal`] for a
    /// step that cannot be taken from where it stands, or the storage's own failure; in each case
    /// nothing has changed.
    fn apply(&self, id: PaymentId, step: Step) -> BoxFuture<'_, Result<(), LedgerError>>;

    /// The entry of a payment, if it is recorded.
    ///
    /// # Errors
    ///
    /// The storage's own failure.
    fn find(&self, id: PaymentId) -> BoxFuture<'_, Result<Option<Entry>, LedgerError>>;

    /// All payments whose outcome the chain still has to say: what a restart resolves.
    ///
    /// # Errors
    ///
    /// The storage's own failure.
    fn open_entries(&self) -> BoxFuture<'_, Result<Vec<Entry>, LedgerError>>;
}

/// What became of an attempt to claim.
#[derive(Debug)]
pub enum Claiming {
    /// The payment is the caller's to settle.
    New(Claim),
    /// It was recorded before.
    Known(Box<Entry>),
    /// Another payment has its [`Identifier`], and has not failed: nothing was recorded.
    Taken,
}

/// Why a ledger did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LedgerError {
    /// The entry cannot be read: it was not written by this version, or was damaged.
    #[error("an entry of the ledger cannot be read")]
    Corrupt,
    /// The step cannot be taken from where the payment stands.
    #[error("the payment cannot take this step: {0}")]
    Illegal(#[from] x402_core::state::IllegalTransition),
    /// Another process has the ledger open.
    #[error("another process has the ledger open: {0}")]
    Locked(String),
    /// The payment is not recorded.
    #[error("the payment is not in the ledger")]
    Missing,
    /// The storage failed.
    #[error("the ledger's storage failed: {0}")]
    Storage(String),
}
