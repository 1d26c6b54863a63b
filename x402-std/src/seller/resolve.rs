//! What became of everything that was under way: after a crash, and now and then.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use tokio::task::{JoinError, JoinSet};
use x402_core::state::State;
use x402_core::{ChainId, PaymentId};

use super::rail::{Moved, is_open};
use super::{Guard, Seller, Steps};
use crate::chain::TxHash;
use crate::ledger::{Entry, LOG_KEEP_SECONDS, LedgerError, Settle};

/// How many open payments, or batches of them, are looked after at the same time.
const RESOLVED_AT_ONCE: usize = 64;

/// A payment that somebody here works on.
pub(super) struct Held {
    pub(super) entry: Entry,
    pub(super) guard: Guard,
}

/// What taking a payment up has led to.
enum Taken {
    Up(Box<Held>),
    /// Somebody else is busy with it, and finds out.
    Busy,
    /// There is nothing left to find out.
    Over,
}

impl Seller {
    /// Asks the chain what became of every payment that was under way, and returns how many are
    /// open still.
    ///
    /// To be called when a seller starts, and now and then after: a payment whose outcome was not
    /// known in time is settled here, so that its repetition is served at once, and what is owed is
    /// settled. A payment of which nothing had been sent, and whose answer was not given, is left for
    /// its payer to repeat, until it is over.
    ///
    /// # Errors
    ///
    /// [`LedgerError`] where the ledger cannot be read.
    pub async fn resolve_open(self: &Arc<Self>) -> Result<usize, LedgerError> {
        let mut open = 0;
        let mut tasks = JoinSet::new();
        let round = self.pending.begin_round();
        let mut entries = self.ledger.open_entries().await?;
        // Who has waited longest comes first.
        entries.sort_by_key(|entry| (entry.claimed_at, entry.id()));
        if self.options.holds_back {
            entries.iter().for_each(|entry| self.pending.note(entry));
            self.pending.forget_before(round);
        }
        for group in groups(entries, self.options.later.max_batch.max(1)) {
            if tasks.len() >= RESOLVED_AT_ONCE {
                open += tasks.join_next().await.map_or(Ok(0), still)?;
            }
            tasks.spawn(Arc::clone(self).resolve(group));
        }
        while let Some(left) = tasks.join_next().await {
            open += still(left)?;
        }
        // What was sent for a payment may wait in a pool when nothing of it is open any more.
        for chain in self.rails.iter().filter_map(|(_, rail)| rail.chain()) {
            chain.fill_gaps().await;
        }
        Ok(open)
    }

    /// How many of the payments still are open then.
    async fn resolve(self: Arc<Self>, group: Vec<Entry>) -> Result<usize, LedgerError> {
        let (count, is_sent) = (group.len(), group.iter().all(|entry| entry.transaction.is_some()));
        let mut held = Vec::with_capacity(count);
        let mut open = 0;
        for entry in group {
            if entry.state == State::Claimed {
                open += usize::from(self.leave(&entry).await?);
            } else if entry.is_set_off() && self.has_ended(&entry) {
                // It is paid, by credit.
            } else if self.is_too_old(&entry) {
                open += 1;
            } else if entry.is_debt() && self.has_ended(&entry) {
                // Nobody can submit it any more: it is for the operator to see to.
            } else if entry.is_set_off() {
                self.look_whether_paid(entry.id()).await?;
            } else {
                // What was sent for all is not sent again for some: the others' would be lost.
                let is_together = is_sent && count > 1;
                match self.take_up(entry.id(), is_together).await? {
                    Taken::Up(one) => held.push(*one),
                    Taken::Over => {}
                    Taken::Busy if is_together => return Ok(count),
                    Taken::Busy => {}
                }
            }
        }
        Ok(open + self.settle_held(held).await)
    }

    /// Takes a payment up that was sent, or is owed; waits for those that are busy with it, or does not.
    async fn take_up(&self, id: PaymentId, waits: bool) -> Result<Taken, LedgerError> {
        let guard = match waits {
            true => self.working.enter_next(&self.ledger, id).await?,
            false => self.working.enter(&self.ledger, id).await?,
        };
        let Some(guard) = guard else { return Ok(Taken::Busy) };
        // The list is as old as the first of it: somebody may have ended this one.
        let entry = self.ledger.find(id).await?;
        let entry = entry.filter(|entry| entry.is_open() && entry.state != State::Claimed);
        Ok(entry.map_or(Taken::Over, |entry| Taken::Up(Box::new(Held { entry, guard }))))
    }

    /// Leaves a payment of which nothing was sent to its payer, or lets it go once it is over. Whether
    /// it still is open.
    async fn leave(&self, entry: &Entry) -> Result<bool, LedgerError> {
        let id = entry.id();
        if self.working.is_busy(id) {
            return Ok(false);
        }
        // Until then its payer may come back; afterwards no chain would take it.
        if !self.has_ended(entry) {
            return Ok(true);
        }
        if let Some(_guard) = self.working.enter(&self.ledger, id).await? {
            let now = self.ledger.find(id).await?;
            if now.is_some_and(|entry| entry.state == State::Claimed) {
                Steps::new(&*self.ledger, id).release().await;
            }
        }
        Ok(false)
    }

    /// Whether a payment has been open for so long that the ledger may have forgotten which logs have paid
    /// for others: it is for the operator to say what became of it ([`Self::accept`]).
    pub(super) fn is_too_old(&self, entry: &Entry) -> bool {
        const MARGIN_SECONDS: u64 = 24 * 60 * 60;
        let until = entry.claimed_at.saturating_add(LOG_KEEP_SECONDS - MARGIN_SECONDS);
        let is_too_old = self.now() > until && entry.state != State::Claimed;
        if is_too_old {
            tracing::error!(payment = %entry.id(), "open for too long: see `x402 ledger resolve --accept`");
        }
        is_too_old
    }

    /// Whether the authorization ended so long ago that no block which uses it is still to be seen.
    fn has_ended(&self, entry: &Entry) -> bool {
        const LAST_BLOCKS_SECONDS: u64 = 600;
        let valid_before = entry.payment.transfer().valid_before().to_secs().unwrap_or(u64::MAX);
        valid_before.saturating_add(LAST_BLOCKS_SECONDS) < self.now()
    }

    /// Settles payments together, or finds out what became of them; returns how many are open still.
    pub(super) async fn settle_held(&self, held: Vec<Held>) -> usize {
        self.move_held(&held, true).await.iter().filter(|moved| is_open(moved)).count()
    }

    /// As [`Self::settle_held`], saying what became of each; or settles each by itself, at the same time.
    pub(super) async fn move_held(&self, held: &[Held], is_batched: bool) -> Vec<Moved> {
        let mut all = Vec::with_capacity(held.len());
        let mut chains: BTreeMap<ChainId, Vec<(Entry, Steps<'_>)>> = BTreeMap::new();
        for Held { entry, .. } in held {
            let may_lose = self.may_lose_by(entry).is_ok();
            let steps = Steps::new(&*self.ledger, entry.id()).losing(may_lose);
            chains.entry(entry.payment.chain_id()).or_default().push((entry.clone(), steps));
        }
        for (chain_id, batch) in chains {
            let Ok(rail) = self.rail(chain_id) else { continue };
            all.extend(match is_batched {
                true => rail.settle_batch(batch).await,
                false => rail.settle_each(batch).await,
            });
        }
        all
    }
}

/// Who is looked after together: those that a transaction was journalled for, and what is owed and was
/// not sent.
fn groups(entries: Vec<Entry>, most: usize) -> Vec<Vec<Entry>> {
    let (mut alone, mut owed) = (Vec::new(), Vec::new());
    let mut sent: HashMap<TxHash, Vec<Entry>> = HashMap::new();
    for entry in entries {
        match (entry.settle, &entry.transaction) {
            // One by one: what they were sent with is in a block, and did nothing.
            _ if entry.is_debt() => alone.push(entry),
            // Alone, or together with others.
            (_, Some(transaction)) => {
                sent.entry(transaction.hash).or_default().push(entry);
            }
            (Settle::Later, None) if entry.state == State::Worked => owed.push(entry),
            _ => alone.push(entry),
        }
    }
    let mut groups: Vec<_> = joined(sent).into_values().collect();
    // In the same order whatever the map's.
    groups.iter_mut().for_each(|group| group.sort_by_key(Entry::id));
    groups.sort_by_key(|group| group.first().map(Entry::id));
    let owed = owed.chunks(most).map(<[Entry]>::to_vec);
    groups.into_iter().chain(alone.into_iter().map(|entry| vec![entry])).chain(owed).collect()
}

/// A transaction that was to replace another, and of which nobody has the bytes, was never sent: its
/// payments are with the one before, if somebody has the bytes of that.
fn joined(mut sent: HashMap<TxHash, Vec<Entry>>) -> HashMap<TxHash, Vec<Entry>> {
    let has_bytes = |group: &[Entry]| group.iter().any(Entry::has_bytes);
    let unsent: Vec<_> =
        sent.iter().filter(|(_, group)| !has_bytes(group)).map(|(hash, _)| *hash).collect();
    for hash in unsent {
        let Some(group) = sent.remove(&hash) else { continue };
        for entry in group {
            let before = |hash: &TxHash| sent.get(hash).is_some_and(|group| has_bytes(group));
            let home = entry.hashes().find(before).unwrap_or(hash);
            sent.entry(home).or_default().push(entry);
        }
    }
    sent
}

/// A task that panicked has not resolved anything.
fn still(left: Result<Result<usize, LedgerError>, JoinError>) -> Result<usize, LedgerError> {
    left.unwrap_or(Ok(1))
}
