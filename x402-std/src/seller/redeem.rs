//! Payments that somebody else has settled before they were presented.

use std::sync::Arc;

use x402_core::Refusal;

use super::arrival::{Found, find_use};
use super::{Admission, Claimant, Guard, Receipt, Rejection, Seller, Steps};
use crate::ledger::Entry;

impl Seller {
    /// Takes a payment whose authorization was used before it was presented: by a transaction that moved
    /// its money here, not longer ago than the terms allow, and only for who proves to be its payer, as
    /// its bytes have been public since. The chain is asked only then.
    pub(super) async fn redeem(
        self: Arc<Self>,
        entry: Entry,
        guard: Guard,
        by: &Claimant,
    ) -> Result<Admission, Rejection> {
        /// Chain and seller may differ by some minutes.
        const CLOCK_SKEW_SECONDS: u64 = 300;
        let steps = Steps::new(&*self.ledger, entry.id());
        let rail = self.rail(entry.payment.chain_id())?;
        let Some(chain) = rail.chain().filter(|_| by.is_payer(&entry, &self)) else {
            steps.release().await;
            return Err(Refusal::Unproven.into());
        };
        let past = by.max_timeout_seconds.saturating_add(CLOCK_SKEW_SECONDS);
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
}
