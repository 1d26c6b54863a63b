//! Payments that somebody else has settled before they were presented.

use std::sync::Arc;

use x402_core::proof::PayerProof;
use x402_core::{Refusal, Requirements};

use super::arrival::{Found, find_use};
use super::{Admission, Guard, Presented, Receipt, Rejection, Seller, Steps};
use crate::ledger::Entry;

/// What shows that a request comes from the payer himself, as it came: see [`x402_core::proof`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Proof {
    /// The origin that the request was sent to.
    pub origin: String,
    /// The field's value.
    pub value: String,
}

/// How a payment may be taken that was settled before.
#[derive(Clone, Debug)]
pub(super) struct Redeeming {
    proof: Option<Proof>,
    /// The longest validity that was asked for, in seconds: a transaction before that was for something
    /// else.
    max_timeout_seconds: u64,
}

impl Redeeming {
    pub(super) fn of(presented: &Presented, requirements: &Requirements) -> Self {
        let max_timeout_seconds = requirements.max_timeout_seconds.into();
        Self { proof: presented.proof.clone(), max_timeout_seconds }
    }
}

impl Seller {
    /// Takes a payment whose authorization was used before it was presented: by a transaction that moved
    /// its money here, not longer ago than the terms allow, and only for who proves to be its payer, as
    /// its bytes have been public since. The chain is asked only then.
    pub(super) async fn redeem(
        self: Arc<Self>,
        entry: Entry,
        guard: Guard,
        how: &Redeeming,
    ) -> Result<Admission, Rejection> {
        /// Chain and seller may differ by some minutes.
        const CLOCK_SKEW_SECONDS: u64 = 300;
        let steps = Steps::new(&*self.ledger, entry.id());
        let rail = self.rail(entry.payment.chain_id())?;
        let Some(chain) = rail.chain().filter(|_| self.is_payer(&entry, how)) else {
            steps.release().await;
            return Err(Refusal::Unproven.into());
        };
        let past = how.max_timeout_seconds.saturating_add(CLOCK_SKEW_SECONDS);
        let since = entry.claimed_at.saturating_sub(past);
        match find_use(chain, &entry, &steps, since).await {
            Found::Settled(hash) => {
                let receipt = Receipt { payer: entry.payment.payer(), transaction: Some(hash) };
                Ok(self.ticket(&entry, receipt, guard))
            }
            Found::Ended(error) => {
                steps.release().await;
                Err(error.into())
            }
            // It stays recorded, for the operator to see to.
            Found::Undecided(transaction) => {
                Err(Rejection { transaction: Some(transaction), ..Rejection::pending(&entry) })
            }
            Found::Unused | Found::Unknown => {
                steps.release().await;
                Err(Rejection { payer: Some(entry.payment.payer()), ..Refusal::InDoubt.into() })
            }
        }
    }

    fn is_payer(&self, entry: &Entry, how: &Redeeming) -> bool {
        let Some(Proof { origin, value }) = &how.proof else { return false };
        let proof = PayerProof { origin, payment: entry.id(), time: 0 };
        proof.is_proved_by(value, self.now(), &&*self.options.recover)
    }
}
