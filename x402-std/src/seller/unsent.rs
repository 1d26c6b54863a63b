//! Payments that were not sent, for what lies with us: the account has no ether, gas is too dear, a node or the
//! ledger does not answer, the token is paused.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use x402_core::state::State;
use x402_core::{Error, PaymentId};

use super::on_chain::OnChain;
use super::{Rejection, Steps};
use crate::chain::{ChainError, Transaction, TxHash};
use crate::ledger::{Entry, Settle, Step};

/// What was served and would have been taken by the token, and could not be sent when that was tried last. What
/// a process that has ended knew is found out anew, while the authorization lasts.
#[derive(Debug, Default)]
pub(super) struct Unsent(Mutex<BTreeSet<PaymentId>>);

impl Unsent {
    /// How many are remembered: what is beyond that is owed as before.
    const MOST: usize = 100_000;

    fn set(&self) -> MutexGuard<'_, BTreeSet<PaymentId>> {
        // Every change is one call of the set's: whole, whatever panicked.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It could not be sent.
    pub(super) fn note(&self, entry: &Entry) {
        let is_served = entry.settle == Settle::Later && entry.answer.is_some();
        // What has failed before has failed for its payer's sake.
        if !is_served || entry.state == State::Failed {
            return;
        }
        let mut set = self.set();
        if set.len() < Self::MOST {
            set.insert(entry.id());
        }
    }

    /// It was sent, or the token refuses it: whether it is paid lies with its payer.
    pub(super) fn forget(&self, entry: &Entry) -> bool {
        self.set().remove(&entry.id())
    }
}

/// The entry as it is once a transaction is journalled for it.
pub(super) fn journalled(entry: &Entry, noted: Option<Transaction>) -> Option<Entry> {
    entry.clone().after(Step::Journalled(noted?)).ok()?
}

impl OnChain {
    /// Nothing was sent of a payment just now. That nothing is charged is said of one that was only claimed, and of
    /// which nothing is journalled: where that is in doubt, the ledger is asked. What is owed is sent later.
    pub(super) async fn not_sent(
        &self,
        entry: &Entry,
        steps: &Steps<'_>,
        error: &ChainError,
    ) -> Rejection {
        self.unsent.note(entry);
        let is_claimed = entry.state == State::Claimed;
        let is_released = is_claimed && steps.release().await;
        let is_asked_for = matches!(error, ChainError::Journal(_) | ChainError::Unsent(_));
        if is_claimed && (is_released || !is_asked_for) {
            return Rejection::unavailable(error);
        }
        let payer = Some(entry.payment.payer());
        match steps.entry().await {
            Ok(now) if now.state != State::Claimed => {
                tracing::warn!(payment = %entry.id(), %error, "not sent: it is later");
                Rejection::pending(&now)
            }
            Ok(_) | Err(_) => Rejection { payer, ..Rejection::in_doubt(error) },
        }
    }

    /// The money of a payment has not moved, and by what is known will not.
    pub(super) async fn fail(
        &self,
        entry: &Entry,
        steps: &Steps<'_>,
        error: Error,
    ) -> Result<TxHash, Rejection> {
        match entry.state {
            State::Failed => {}
            State::Worked => steps.take(Step::Refused).await?,
            _ => steps.take(Step::Reverted).await?,
        }
        if entry.settle == Settle::Later && entry.answer.is_some() {
            self.not_paid(entry, steps, error).await;
        }
        let transaction = entry.transaction.as_ref().map(|transaction| transaction.hash);
        let payer = Some(entry.payment.payer());
        Err(Rejection { transaction, payer, ..error.into() })
    }

    /// What was served is not paid. Where that is because it was not sent in time, for what lies with us, its
    /// payer owes nothing: he had the money, and signed.
    async fn not_paid(&self, entry: &Entry, steps: &Steps<'_>, error: Error) {
        let (id, payer) = (entry.id(), entry.payment.payer());
        let is_ours = self.unsent.forget(entry) && error == Error::Expired;
        if !is_ours {
            tracing::warn!(payment = %id, %payer, %error, "served, and not paid");
            return;
        }
        tracing::error!(
            payment = %id, %payer,
            "served, and not sent before its authorization ended: it is lost, and nobody owes it"
        );
        if let Err(error) = steps.apply(Step::Forgiven).await {
            tracing::warn!(payment = %id, %error, "not taken down as given up");
        }
    }
}
