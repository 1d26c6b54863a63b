use std::sync::Arc;

use x402_core::PaymentId;

use super::{DrawTicket, Seller, Ticket};
use crate::ledger::{Answer, Conclusion, DrawId, LedgerError, Step};

/// An answer whose head is kept, for it hands out all that was paid for: its body may follow.
#[derive(Debug)]
#[must_use]
pub struct HandedOut {
    seller: Arc<Seller>,
    what: What,
}

#[derive(Debug)]
enum What {
    Drawn(DrawId),
    Paid(PaymentId),
}

impl HandedOut {
    /// Keeps the whole answer in the place of its head, to be given again to a repetition.
    ///
    /// # Errors
    ///
    /// [`LedgerError`]; the head is kept all the same, unless the chain has gone back on the payment.
    pub async fn follow(self, answer: Answer) -> Result<(), LedgerError> {
        let Self { seller, what } = self;
        match what {
            What::Drawn(id) => seller.ledger.conclude(id, Conclusion::Followed(answer)).await,
            What::Paid(id) => seller.ledger.apply(id, Step::Followed(answer)).await,
        }
    }
}

impl Ticket {
    /// Keeps the head of an answer by which all that was paid for is handed out: a pass, say. The payment is
    /// used from then on, whatever comes of the body; when this returns, the head may be given.
    ///
    /// # Errors
    ///
    /// [`LedgerError`]; the payment then counts as not served, and the head must not be given.
    pub async fn hand_out(self, head: Answer) -> Result<HandedOut, LedgerError> {
        let (seller, what) = (Arc::clone(&self.seller), What::Paid(self.id()));
        self.complete(Answer { body: None, ..head }).await?;
        Ok(HandedOut { seller, what })
    }
}

impl DrawTicket {
    /// As [`Ticket::hand_out`]: all that is held is used.
    ///
    /// # Errors
    ///
    /// [`LedgerError`]; the work then counts as not done, and the head must not be given.
    pub async fn hand_out(self, head: Answer) -> Result<HandedOut, LedgerError> {
        let (seller, what) = (Arc::clone(&self.seller), What::Drawn(self.draw_id()));
        let amount = self.amount();
        self.complete(Answer { body: None, ..head }, amount).await?;
        Ok(HandedOut { seller, what })
    }
}
