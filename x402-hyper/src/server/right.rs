//! What entitles a request to the work.

use core::time::Duration;

use http::StatusCode;
use x402_core::{Address, Amount, ChainId, PaymentId};
use x402_std::ledger::{Answer, LedgerError};
use x402_std::seller::{DrawTicket, HandedOut, Pledge, Receipt, Ticket};

use super::Paid;

/// The right to have the work done.
#[allow(clippy::large_enum_variant, reason = "one at a time, on the stack")]
pub(super) enum Right {
    /// So much is held of a balance.
    Drawn(Box<DrawTicket>),
    /// The money has arrived.
    Paid(Ticket),
    /// The payment is good, and its money moves when the work is done.
    Pledged(Box<Pledge>),
}

impl Right {
    pub(super) fn id(&self) -> PaymentId {
        match self {
            Self::Drawn(ticket) => ticket.id(),
            Self::Paid(ticket) => ticket.id(),
            Self::Pledged(pledge) => pledge.id(),
        }
    }

    pub(super) fn chain_id(&self) -> ChainId {
        self.id().chain_id
    }

    pub(super) fn payer(&self) -> Address {
        match self {
            Self::Drawn(ticket) => ticket.payer(),
            Self::Paid(ticket) => ticket.receipt().payer,
            Self::Pledged(pledge) => pledge.payer(),
        }
    }

    /// How long the answer may take, where what it costs is settled after it.
    pub(super) fn time_left(&self) -> Option<Duration> {
        match self {
            Self::Pledged(pledge) if pledge.is_later() => Some(pledge.time_left()),
            Self::Drawn(_) | Self::Paid(_) | Self::Pledged(_) => None,
        }
    }

    /// What the service behind is told.
    pub(super) fn paid(&self) -> Paid {
        let transaction = match self {
            Self::Paid(ticket) => ticket.receipt().transaction,
            Self::Drawn(_) | Self::Pledged(_) => None,
        };
        Paid { payer: self.payer(), transaction, payment: Some(self.id()) }
    }

    /// Whether the money is there already, whatever comes of the work.
    pub(super) const fn is_paid(&self) -> bool {
        matches!(self, Self::Drawn(_) | Self::Paid(_))
    }

    /// Whether the money has moved on the chain.
    pub(super) const fn is_settled(&self) -> bool {
        matches!(self, Self::Paid(_))
    }

    /// What the head of an answer says of the payment; `None` where that is known only in the end.
    pub(super) fn receipt(&self) -> Option<Receipt> {
        match self {
            Self::Drawn(ticket) => Some(Receipt { payer: ticket.payer(), transaction: None }),
            Self::Paid(ticket) => Some(*ticket.receipt()),
            Self::Pledged(pledge) => {
                let receipt = Receipt { payer: pledge.payer(), transaction: None };
                pledge.is_later().then_some(receipt)
            }
        }
    }

    /// Whether an answer of this status is what was paid for. What has been paid before is owed until it
    /// is done; what has not is charged for success only, and not for what the client has already (304).
    pub(super) fn is_earned_by(&self, status: StatusCode) -> bool {
        match self {
            Self::Paid(_) => status.as_u16() < 500,
            Self::Drawn(_) | Self::Pledged(_) => {
                status.as_u16() < 400 && status != StatusCode::NOT_MODIFIED
            }
        }
    }

    /// What the payment was admitted for: the work costs so much at most, whatever its price is by now.
    pub(super) fn amount(&self) -> Amount {
        match self {
            Self::Drawn(ticket) => ticket.amount(),
            Self::Paid(ticket) => ticket.amount(),
            Self::Pledged(pledge) => pledge.amount(),
        }
    }

    /// Keeps the head of an answer that hands out all that was paid for. Nothing is where the money is not
    /// there yet.
    pub(super) async fn hand_out(self, head: Answer) -> Result<Begun, LedgerError> {
        Ok(match self {
            Self::Drawn(ticket) => Begun::HandedOut(ticket.hand_out(head).await?),
            Self::Paid(ticket) => Begun::HandedOut(ticket.hand_out(head).await?),
            Self::Pledged(_) => Begun::Owed(self),
        })
    }

    /// Keeps the answer: the work is done, and costs so much.
    async fn keep(self, answer: Answer, cost: Amount) -> Result<(), LedgerError> {
        match self {
            Self::Drawn(ticket) => ticket.complete(answer, cost).await,
            Self::Paid(ticket) => ticket.complete_for(answer, cost).await,
            Self::Pledged(pledge) => pledge.owe(answer, cost).await.map(drop),
        }
    }

    /// The work is not done: it is owed still where the money has arrived, and else nothing is charged.
    pub(super) async fn give_up(self) {
        match self {
            Self::Drawn(ticket) => ticket.release().await,
            Self::Paid(_) => {}
            Self::Pledged(pledge) => pledge.release().await,
        }
    }
}

/// A right whose answer is under way.
#[allow(clippy::large_enum_variant, reason = "as of a right")]
pub(super) enum Begun {
    /// What it is for was handed out, which is kept.
    HandedOut(HandedOut),
    /// Nothing is kept yet.
    Owed(Right),
}

impl Begun {
    /// Keeps the answer, which costs so much. Of what was handed out, all that can be lost is that a
    /// repetition is given the body again.
    pub(super) async fn keep(self, answer: Answer, cost: Amount) -> Result<(), LedgerError> {
        match self {
            Self::HandedOut(handed_out) => {
                if answer.body.is_some()
                    && let Err(error) = handed_out.follow(answer).await
                {
                    tracing::warn!(%error, "the body of an answer is not kept");
                }
                Ok(())
            }
            Self::Owed(right) => right.keep(answer, cost).await,
        }
    }

    /// The work is not done.
    pub(super) async fn give_up(self) {
        match self {
            Self::HandedOut(_) => {}
            Self::Owed(right) => right.give_up().await,
        }
    }
}
