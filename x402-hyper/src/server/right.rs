//! What entitles a request to the work.

use http::StatusCode;
use x402_core::{Amount, ChainId, PaymentId};
use x402_std::ledger::{Answer, LedgerError};
use x402_std::seller::{Pledge, Receipt, Ticket};

use super::Paid;

/// The right to have the work done.
#[allow(clippy::large_enum_variant, reason = "one at a time, on the stack")]
pub(super) enum Right {
    /// The money has arrived.
    Paid(Ticket),
    /// The payment is good, and so much of it moves when the work is done.
    Pledged(Box<Pledge>, Amount),
}

impl Right {
    pub(super) fn id(&self) -> PaymentId {
        match self {
            Self::Paid(ticket) => ticket.id(),
            Self::Pledged(pledge, _) => pledge.id(),
        }
    }

    pub(super) fn chain_id(&self) -> ChainId {
        self.id().chain_id
    }

    /// What the service behind is told.
    pub(super) fn paid(&self) -> Paid {
        let (payer, transaction) = match self {
            Self::Paid(ticket) => (ticket.receipt().payer, ticket.receipt().transaction),
            Self::Pledged(pledge, _) => (pledge.payer(), None),
        };
        Paid { payer, transaction, payment: self.id() }
    }

    /// What the head of an answer says of the payment; `None` where that is known only in the end.
    pub(super) fn receipt(&self) -> Option<Receipt> {
        match self {
            Self::Paid(ticket) => Some(*ticket.receipt()),
            Self::Pledged(pledge, _) => {
                let receipt = Receipt { payer: pledge.payer(), transaction: None };
                pledge.is_later().then_some(receipt)
            }
        }
    }

    /// Whether an answer of this status is what was paid for. What has been paid before is owed until it
    /// is done; what has not is charged for success only.
    pub(super) fn is_earned_by(&self, status: StatusCode) -> bool {
        match self {
            Self::Paid(_) => status.as_u16() < 500,
            Self::Pledged(..) => status.as_u16() < 400,
        }
    }

    /// Keeps the answer: the work is done.
    pub(super) async fn keep(self, answer: Answer) -> Result<(), LedgerError> {
        match self {
            Self::Paid(ticket) => ticket.complete(answer).await,
            Self::Pledged(pledge, amount) => pledge.owe(answer, amount).await.map(drop),
        }
    }

    /// The work is not done: it is owed still where the money has arrived, and else nothing is charged.
    pub(super) async fn give_up(self) {
        if let Self::Pledged(pledge, _) = self {
            pledge.release().await;
        }
    }
}
