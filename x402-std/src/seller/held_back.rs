//! Who has a payment under way whose outcome is not known does not pay a second time for the same request.

use std::collections::HashMap;
use std::collections::hash_map::Entry::{Occupied, Vacant};
use std::sync::{Mutex, MutexGuard, PoisonError};

use x402_core::state::State;
use x402_core::{Address, ChainId, PaymentId, Refusal};

use super::{Rejection, Seller};
use crate::ledger::{Entry, RequestId};

/// The payments whose outcome is not known, in this process, by payer and request.
#[derive(Debug, Default)]
pub(super) struct PendingRequests(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    first: HashMap<Key, Noted>,
    /// How many times all open payments were looked at.
    round: u64,
}

#[derive(Clone, Copy, Debug)]
struct Noted {
    id: PaymentId,
    /// The last look at which it was open.
    round: u64,
}

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

    fn table(&self) -> MutexGuard<'_, Table> {
        // A panic between two changes could only leave one remembered that has ended: it is found out.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(super) fn clear(&self) {
        self.table().first.clear();
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.table().first.len()
    }

    /// Remembers a payment whose outcome is not known.
    pub(super) fn note(&self, entry: &Entry) {
        if is_waited_for(entry) {
            self.table().note(entry);
        }
    }

    /// All open payments are looked at from here on: gives what [`Self::forget_before`] takes.
    pub(super) fn begin_round(&self) -> u64 {
        let mut table = self.table();
        table.round += 1;
        table.round
    }

    /// Forgets those that were not noted since a look began: they have ended.
    pub(super) fn forget_before(&self, round: u64) {
        self.table().first.retain(|_, noted| noted.round >= round);
    }
}

impl Table {
    fn note(&mut self, entry: &Entry) {
        let Self { first, round } = self;
        let (is_full, now) = (first.len() >= PendingRequests::MOST, *round);
        match first.entry(key(entry)) {
            Occupied(mut known) if known.get().id == entry.id() => known.get_mut().round = now,
            Vacant(place) if !is_full => drop(place.insert(Noted { id: entry.id(), round: now })),
            _ => {}
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
        let first = self.pending.table().first.get(&key(entry)).map(|noted| noted.id);
        let Some(first) = first.filter(|first| *first != entry.id()) else { return Ok(()) };
        let known = self.ledger.find(first).await;
        let known = known.map_err(|error| Rejection::in_doubt(&error))?;
        if let Some(known) = known.filter(is_waited_for) {
            tracing::info!(payment = %entry.id(), %first, "held back: another is under way");
            return Err(Rejection { refusal: Refusal::HeldBack, ..Rejection::pending(&known) });
        }
        let mut table = self.pending.table();
        if table.first.get(&key(entry)).is_some_and(|noted| noted.id == first) {
            table.first.remove(&key(entry));
        }
        Ok(())
    }
}
