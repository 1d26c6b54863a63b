//! What a seller remembers of payments: never twice, never lost.

mod credit;
#[cfg(any(feature = "postgres", feature = "redb", feature = "redis"))]
mod encoding;
mod entry;
mod identity;
mod lease;
mod logs;
mod memory;
mod names;
mod owed;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "redb")]
mod redb;
#[cfg(feature = "redis")]
mod redis;
#[cfg(any(feature = "postgres", feature = "redis"))]
mod remote;
mod returned;
mod set_off;
#[cfg(test)]
pub(crate) mod tests;

use core::future::ready;

use futures_util::future::join_all;
use x402_core::{Amount, ChainId, Claim, PaymentId};

use crate::BoxFuture;
use crate::chain::{Block, PaidLog, TxHash};

pub use credit::{Conclusion, CreditAccount, Draw, DrawId, DrawState, Drawing};
pub use entry::{Answer, Entry, Identifier, RequestId, SecretHash, Settle, Step};
pub use identity::LedgerIdentity;
pub use lease::Owner;
pub use memory::MemoryLedger;
pub use names::{CreditNames, DrawRule, NameLedger, Renewal};
pub use owed::{Owed, OwedAccount};
#[cfg(feature = "postgres")]
pub use postgres::PostgresLedger;
#[cfg(feature = "redb")]
pub use redb::RedbLedger;
#[cfg(feature = "redis")]
pub use redis::RedisLedger;
pub use returned::Returned;

/// The record of payments, keyed by [`PaymentId`].
///
/// An entry is made by [`Ledger::claim`], atomically and durably, and moves on by
/// [`Ledger::apply`], along [`x402_core::state`]. It is kept until it can do no harm to forget it:
/// at least until [`Entry::keep_until`], and while it is open, or paid and not served
/// ([`Entry::is_unserved`]). So a ledger grows with what was paid and nobody has come for: with nothing that
/// costs its payer nothing.
///
/// Beside the payments it keeps what each payer owes: with the very step that changes an entry, the sum
/// is another, so that to ask for it costs the same whether one payment is owed or thousands.
///
/// It keeps the balances, too, of those who paid more than was used. With the very step that makes a
/// payment [`State::Served`](x402_core::state::State::Served), its credit is in the balance: never
/// twice, as no step leads there from there, and never lost.
pub trait Ledger: NameLedger {
    /// Records a payment for one caller, if it is not recorded yet: an [`Entry::new`].
    ///
    /// The record need not be safe before the payment's next step is: until then nothing is sent, and no
    /// answer is whole. Of callers that race, exactly one is given [`Claiming::New`].
    ///
    /// # Errors
    ///
    /// [`LedgerError`]; then nothing must be done for the payment. [`LedgerError::Overflow`] where what
    /// the payer owes could not be counted with it.
    fn claim(&self, entry: Entry) -> BoxFuture<'_, Result<Claiming, LedgerError>>;

    /// Takes a payment on by one step. A [`Step::Confirmed`] or [`Step::Short`] that names a log records
    /// that the log has paid, in the same change: chain, transaction and position belong to one payment,
    /// for at least [`LOG_KEEP_SECONDS`]; [`Step::Reversed`] gives the log back. Of a transaction of
    /// which it is not known which log paid for a payment (entries of older versions), none pays for
    /// another. Returns once the change is safe; for [`Settle::First`],
    /// [`Step::Confirmed`] of a transaction of ours, which the chain says again to whoever asks, need not be
    /// before the next step.
    ///
    /// # Errors
    ///
    /// [`LedgerError::Missing`] for a payment that is not recorded, [`LedgerError::Illegal`] for a
    /// step that cannot be taken from where it stands, [`LedgerError::Amount`] for work that costs more
    /// than was paid, [`LedgerError::LogTaken`] for a log that has paid for another payment,
    /// [`LedgerError::Remined`] for one of a transaction that is recorded in another block,
    /// [`LedgerError::Overflow`], or the storage's own failure; in each case nothing has changed.
    fn apply(&self, id: PaymentId, step: Step) -> BoxFuture<'_, Result<(), LedgerError>>;

    /// Takes several payments on, each by one step, and the last of them once all others are safe. Returns
    /// once that is, too.
    ///
    /// # Errors
    ///
    /// As [`Self::apply`]; some of them may have taken their step, the last has not.
    fn apply_all(&self, steps: Vec<(PaymentId, Step)>) -> BoxFuture<'_, Result<(), LedgerError>> {
        Box::pin(async move {
            let mut steps = steps;
            let Some((last, step)) = steps.pop() else { return Ok(()) };
            let others = steps.into_iter().map(|(id, step)| self.apply(id, step));
            join_all(others).await.into_iter().collect::<Result<(), _>>()?;
            self.apply(last, step).await
        })
    }

    /// The entry of a payment, if it is recorded.
    ///
    /// # Errors
    ///
    /// The storage's own failure.
    fn find(&self, id: PaymentId) -> BoxFuture<'_, Result<Option<Entry>, LedgerError>>;

    /// The payments that a transaction's logs have paid for, in ascending order of their ids, with the
    /// log; without one, the whole transaction counts as used.
    ///
    /// # Errors
    ///
    /// The storage's own failure.
    fn paid_by(
        &self,
        chain_id: ChainId,
        transaction: TxHash,
    ) -> BoxFuture<'_, Result<PaidBy, LedgerError>>;

    /// Says which logs of a transaction have paid for these payments, where it is only known that some log
    /// of it has ([`Self::paid_by`] gives them without one): all of them, or none. The others' logs can
    /// pay once no payment counts the whole transaction as used any more.
    ///
    /// # Errors
    ///
    /// [`LedgerError::Missing`] where the whole transaction does not count as used for one of them,
    /// [`LedgerError::LogTaken`] for a log that has paid for another payment, or is there twice,
    /// [`LedgerError::Remined`] where the transaction is recorded in another block, or the storage's own
    /// failure; in each case nothing has changed.
    fn fill_in_logs(
        &self,
        chain_id: ChainId,
        transaction: TxHash,
        logs: Vec<(PaymentId, PaidLog)>,
    ) -> BoxFuture<'_, Result<(), LedgerError>>;

    /// The blocks that hold logs which have paid, and which [`Self::finalize`] was not called for yet, in
    /// ascending order: at most so many.
    ///
    /// # Errors
    ///
    /// The storage's own failure.
    fn unfinal_blocks(
        &self,
        chain_id: ChainId,
        most: usize,
    ) -> BoxFuture<'_, Result<Vec<Block>, LedgerError>>;

    /// The payments that logs in a block have paid for, in ascending order, behind `after`: at most so
    /// many.
    ///
    /// # Errors
    ///
    /// The storage's own failure.
    fn paid_in(
        &self,
        chain_id: ChainId,
        block: Block,
        after: Option<PaymentId>,
        most: usize,
    ) -> BoxFuture<'_, Result<Vec<PaymentId>, LedgerError>>;

    /// Takes down that the chain does not go back on a block any more: one change, however many payments
    /// it holds. Returns once it is safe.
    ///
    /// # Errors
    ///
    /// The storage's own failure.
    fn finalize(&self, chain_id: ChainId, block: Block) -> BoxFuture<'_, Result<(), LedgerError>>;

    /// All payments of which the chain still has something to say ([`Entry::is_open`]): what a restart
    /// resolves.
    ///
    /// # Errors
    ///
    /// The storage's own failure.
    fn open_entries(&self) -> BoxFuture<'_, Result<Vec<Entry>, LedgerError>>;

    /// What a payer owes in an asset: for what was served and is not settled yet, for what is being
    /// served, and for what the chain did not take; and which of the payer's payments are debts.
    ///
    /// Whoever claims a payment and asks then has that payment in the sum, and all that others have
    /// claimed before they asked.
    ///
    /// # Errors
    ///
    /// The storage's own failure.
    fn owes(&self, account: OwedAccount) -> BoxFuture<'_, Result<Owed, LedgerError>>;

    /// All payments that are recorded, in ascending order of their ids: for those who look at the
    /// books. What is claimed or forgotten meanwhile may be there or not.
    ///
    /// # Errors
    ///
    /// The storage's own failure.
    fn ids(&self) -> BoxFuture<'_, Result<Vec<PaymentId>, LedgerError>>;

    /// What a payer has paid and not used: the [`Entry::credit`] of every payment that was served
    /// ([`Entry::earned`]), without what was drawn.
    ///
    /// # Errors
    ///
    /// The storage's own failure.
    fn balance(&self, account: CreditAccount) -> BoxFuture<'_, Result<Amount, LedgerError>>;

    /// All balances that are not zero, in ascending order of their accounts.
    ///
    /// # Errors
    ///
    /// The storage's own failure.
    fn balances(&self) -> BoxFuture<'_, Result<Vec<(CreditAccount, Amount)>, LedgerError>>;

    /// Takes an amount from a balance and records the draw, a [`Draw::new`], as held: both or neither.
    /// A balance is never less than nothing. Nothing is drawn while its payer has debts with the same seller,
    /// in the same token, that are [outstanding](Entry::outstanding): they are set off first ([`Step::SetOff`]).
    ///
    /// Returns once the change is safe. Of callers that race with the same draw, exactly one is given
    /// [`Drawing::New`].
    ///
    /// # Errors
    ///
    /// The storage's own failure; then nothing must be done for the draw.
    fn draw(&self, draw: Draw) -> BoxFuture<'_, Result<Drawing, LedgerError>>;

    /// Ends a draw that is held, and puts back what of it was not used. Returns once the change is
    /// safe. A draw whose work is done is kept at least until [`Draw::keep_until`].
    ///
    /// # Errors
    ///
    /// [`LedgerError::Missing`] for a draw that is not recorded, [`LedgerError::Concluded`] for one that
    /// has ended, [`LedgerError::Amount`] where more was used than is held, [`LedgerError::Overflow`],
    /// or the storage's own failure; in each case nothing has changed.
    fn conclude(
        &self,
        id: DrawId,
        conclusion: Conclusion,
    ) -> BoxFuture<'_, Result<(), LedgerError>>;

    /// A draw, if it is recorded.
    ///
    /// # Errors
    ///
    /// The storage's own failure.
    fn find_draw(&self, id: DrawId) -> BoxFuture<'_, Result<Option<Draw>, LedgerError>>;

    /// All draws that are held, in ascending order of their ids. They are never forgotten.
    ///
    /// # Errors
    ///
    /// The storage's own failure.
    fn held_draws(&self) -> BoxFuture<'_, Result<Vec<Draw>, LedgerError>>;

    /// Which ledger it is: the same for all who share it, from the first call on and for as long as it is
    /// there, and no other's. Of callers that race to be the first, all are told the same.
    ///
    /// # Errors
    ///
    /// The storage's own failure.
    fn identity(&self) -> BoxFuture<'_, Result<LedgerIdentity, LedgerError>>;

    /// Takes the lease of a payment for so many seconds from now, or renews one's own; `false` while
    /// another owner's is running. The payment need not be recorded. What "now" is, the ledger's
    /// server says: the clocks of those who share it may differ.
    ///
    /// A ledger of one process needs no leases, and gives them to everybody; so does this
    /// implementation. A ledger that several processes share must have its own.
    ///
    /// # Errors
    ///
    /// The storage's own failure; then the lease may have been taken all the same.
    fn lease(
        &self,
        id: PaymentId,
        owner: Owner,
        seconds: u32,
    ) -> BoxFuture<'_, Result<bool, LedgerError>> {
        let _ = (id, owner, seconds);
        Box::pin(ready(Ok(true)))
    }

    /// Ends the owner's lease of a payment. Another owner's stays, and none is as well.
    ///
    /// # Errors
    ///
    /// The storage's own failure; then the lease runs out by itself.
    fn release_lease(&self, id: PaymentId, owner: Owner) -> BoxFuture<'_, Result<(), LedgerError>> {
        let _ = (id, owner);
        Box::pin(ready(Ok(())))
    }
}

/// How long it is remembered that a log has paid, in seconds: thirty days. A log in an older block pays for
/// no payment any more, unless the operator says so.
pub const LOG_KEEP_SECONDS: u64 = 30 * 24 * 60 * 60;

/// The payments that a transaction has paid for, with their logs, as [`Ledger::paid_by`] gives them.
pub type PaidBy = Vec<(PaymentId, Option<PaidLog>)>;

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
    /// The amount is more than was paid, or than is held.
    #[error("the amount is more than was paid, or than is held")]
    Amount,
    /// The draw has ended before.
    #[error("the draw has ended before")]
    Concluded,
    /// The entry cannot be read: it was not written by this version, or was damaged.
    #[error("an entry of the ledger cannot be read")]
    Corrupt,
    /// The step cannot be taken from where the payment stands.
    #[error("the payment cannot take this step: {0}")]
    Illegal(#[from] x402_core::state::IllegalTransition),
    /// The log has paid for another payment, or its whole transaction counts as used.
    #[error("the log has paid for another payment")]
    LogTaken,
    /// The transaction is recorded in another block: what it settled there is judged anew first.
    #[error("the transaction was recorded in another block")]
    Remined,
    /// Another process has the ledger open.
    #[error("another process has the ledger open: {0}")]
    Locked(String),
    /// A proof of the payer's is not later than the last that was used.
    #[error("a later proof was used before, or this one")]
    Outdated,
    /// The payment or the draw is not recorded.
    #[error("it is not in the ledger")]
    Missing,
    /// The balance, or what is owed, would be 2^256 or more.
    #[error("the sum would be more than can be counted")]
    Overflow,
    /// The storage failed.
    #[error("the ledger's storage failed: {0}")]
    Storage(String),
}
