//! Who has a payment under way whose outcome is not known does not pay a second time for the same request.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use x402_core::state::State;
use x402_core::{Address, ChainId, PaymentId, Refusal};

use super::{Rejection, Seller};
use crate::ledger::{Entry, RequestId};

/// The payments whose outcome is not known, in this process, by payer and request.
#[derive(Debug, Default)]
pub(super) struct PendingRequests(Mutex<HashMap<Key, PaymentId>>);

type Key = (Address, ChainId, [u8; 32]);

fn key(entry: &Entry) -> Key {
    let RequestId(request) = entry.request;
    (entry.payment.payer(), entry.payment.chain_id(), request)
}

/// Whether its payer waits for what became of it: it was sent, and the answer was not given.
fn is_waited_for(entry: &Entry) -> bool {
    matches!(entry.state, State::Broadcast | State::Pending) && entry.answer.is_none()
}

impl PendingRequests {
    /// How many are remembered: beyond that a second payment is taken, as if it were for another request.
    const MOST: usize = 100_000;

    fn table(&self) -> MutexGuard<'_, HashMap<Key, PaymentId>> {
        // Every change is one call of the map's: it is whole whatever panicked.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(super) fn clear(&self) {
        self.table().clear();
    }

    /// Remembers a payment whose outcome is not known.
    pub(super) fn note(&self, entry: &Entry) {
        let mut table = self.table();
        if is_waited_for(entry) && table.len() < Self::MOST {
            table.entry(key(entry)).or_insert_with(|| entry.id());
        }
    }
}

impl Seller {
    /// Refuses a new payment for a request for which another of its payer's is under way: he is told to
    /// wait for that one.
    ///
    /// # Errors
    ///
    /// [`Rejection`], with the other payment's transaction.
    pub(super) async fn hold_back(&self, entry: &Entry) -> Result<(), Rejection> {
        if !self.options.holds_back {
            return Ok(());
        }
        let first = self.pending.table().get(&key(entry)).copied();
        let Some(first) = first.filter(|first| *first != entry.id()) else { return Ok(()) };
        let known = self.ledger.find(first).await;
        let known = known.map_err(|error| Rejection::unavailable(&error))?;
        if let Some(known) = known.filter(is_waited_for) {
            tracing::info!(payment = %entry.id(), %first, "held back: another is under way");
            return Err(Rejection { refusal: Refusal::HeldBack, ..Rejection::pending(&known) });
        }
        let mut table = self.pending.table();
        if table.get(&key(entry)) == Some(&first) {
            table.remove(&key(entry));
        }
        Ok(())
    }
}
