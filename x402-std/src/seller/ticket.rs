use std::sync::Arc;

use x402_core::{Amount, PaymentId};

use super::{Guard, Receipt, Seller};
use crate::ledger::{Answer, Entry, LedgerError, Step};

/// The right and the duty to do the work of a payment that has arrived.
///
/// Dropped without [`Ticket::complete`], the work still is owed: the same request with the same
/// payment is admitted again.
#[derive(Debug)]
#[must_use]
pub struct Ticket {
    pub(super) seller: Arc<Seller>,
    id: PaymentId,
    receipt: Receipt,
    /// What was paid.
    amount: Amount,
    _guard: Guard,
}

impl Ticket {
    pub(super) fn new(seller: Arc<Seller>, entry: &Entry, receipt: Receipt, guard: Guard) -> Self {
        let (id, amount) = (entry.id(), entry.payment.amount());
        Self { seller, id, receipt, amount, _guard: guard }
    }

    /// Proof of payment for the payer.
    #[must_use]
    pub const fn receipt(&self) -> &Receipt {
        &self.receipt
    }

    /// Which payment it is.
    #[must_use]
    pub const fn id(&self) -> PaymentId {
        self.id
    }

    /// How much was paid.
    #[must_use]
    pub const fn amount(&self) -> Amount {
        self.amount
    }

    /// Keeps the answer: the work is done and never done again. It costs all that was paid.
    ///
    /// # Errors
    ///
    /// [`LedgerError`]; the payment then counts as not served.
    pub async fn complete(self, answer: Answer) -> Result<(), LedgerError> {
        let amount = self.amount;
        self.complete_for(answer, amount).await
    }

    /// As [`Self::complete`], for work that costs so much; what was paid beyond that is the payer's
    /// credit.
    ///
    /// # Errors
    ///
    /// As [`Self::complete`]; [`LedgerError::Amount`] for more than was paid.
    pub async fn complete_for(self, answer: Answer, used: Amount) -> Result<(), LedgerError> {
        self.seller.ledger.apply(self.id, Step::Answered(answer, used)).await
    }
}
