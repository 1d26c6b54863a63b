//! What is presented to a seller, and what comes of it.

use core::fmt;

use x402_core::{Address, Amount, Payment, Refusal};

use super::{Pledge, Proof, Ticket};
use crate::chain::TxHash;
use crate::ledger::{Answer, Entry, Identifier, RequestId, SecretHash, Settle};

/// Proof of payment for the payer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Receipt {
    /// Who paid.
    pub payer: Address,
    /// The transaction that moved the money; `None` where it is still to move ([`Settle::Later`]).
    pub transaction: Option<TxHash>,
}

/// Who has an answer again, or the work that is owed, once a payment's bytes can be read on a chain.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Replay {
    /// Who shows to be its payer: by the secret that went with the payment ([`Presented::secret`]), by its
    /// name ([`Presented::identifier`]), or by a signature ([`Presented::proof`]).
    #[default]
    Payer,
    /// Whoever has the bytes: for what is public anyway.
    Anyone,
}

/// What a payment is for.
#[derive(Clone, Copy, Debug)]
pub struct Purchase {
    /// The request.
    pub request: RequestId,
    /// How much of what was signed is taken, at most; less than all only by the scheme `upto`.
    pub amount: Amount,
    /// When the money moves.
    pub settle: Settle,
    /// Who has the answer again.
    pub replay: Replay,
}

/// A payment as it was presented.
#[derive(Clone, Debug)]
pub struct Presented {
    /// The payment.
    pub payment: Payment,
    /// The signature's bytes, for a payer who is a contract; empty where the dialect has signatures
    /// of keys only.
    pub signature: Vec<u8>,
    /// The payer's own name for the purchase, if it has one.
    pub identifier: Option<Identifier>,
    /// The secret that was sent with it, which never goes to the chain, if there is one.
    pub secret: Option<SecretHash>,
    /// What shows that it is presented by its payer, where the request has it.
    pub proof: Option<Proof>,
}

impl From<Payment> for Presented {
    fn from(payment: Payment) -> Self {
        Self { payment, signature: Vec::new(), identifier: None, secret: None, proof: None }
    }
}

/// What a payment is good for.
#[derive(Debug)]
pub enum Admission {
    /// The payment is good, and its money moves after the work: do it.
    Pledged(Box<Pledge>),
    /// The work is owed: do it, once.
    Serve(Ticket),
    /// The work was done: give the same answer again, if its body was kept, and the request's is the same
    /// ([`Answer::request_body`]).
    Replay(Receipt, Answer),
}

/// Why a payment is not taken, with what is known of it.
#[derive(Clone, Copy, Debug)]
pub struct Rejection {
    /// The reason.
    pub refusal: Refusal,
    /// The transaction that was sent: whose outcome is not known, or which failed.
    pub transaction: Option<TxHash>,
    /// The payer, once it was tried to move the money.
    pub payer: Option<Address>,
}

impl<R: Into<Refusal>> From<R> for Rejection {
    fn from(refusal: R) -> Self {
        Self { refusal: refusal.into(), transaction: None, payer: None }
    }
}

impl Rejection {
    /// Nothing of the payment was sent, nor is recorded to be. No trace of what failed goes to the payer; the
    /// operator reads it in the log.
    pub(crate) fn unavailable(what: &dyn fmt::Display) -> Self {
        tracing::warn!(error = %what, "payments cannot be taken");
        Refusal::Unavailable.into()
    }

    /// Something may have been sent, or be recorded to be: only the ledger knows, and does not say.
    pub(crate) fn in_doubt(what: &dyn fmt::Display) -> Self {
        tracing::warn!(error = %what, "what became of a payment is not known");
        Refusal::InDoubt.into()
    }

    pub(crate) fn pending(entry: &Entry) -> Self {
        let transaction = entry.transaction.as_ref().map(|transaction| transaction.hash);
        Self::pending_by(entry, transaction)
    }

    /// As [`Self::pending`], by a transaction that the entry may not have yet.
    pub(crate) fn pending_by(entry: &Entry, transaction: Option<TxHash>) -> Self {
        Self { refusal: Refusal::Pending, transaction, payer: Some(entry.payment.payer()) }
    }
}
