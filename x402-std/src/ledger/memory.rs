mod credits;
mod logs;
mod names;
mod owed;

use core::fmt;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use x402_core::{Amount, ChainId, Claim, PaymentId};

#[cfg(test)]
use super::logs::PaidRow;
use super::logs::{Paying, filled_in};
use super::owed::Owing;
use super::{Claiming, Conclusion, CreditAccount, Draw, DrawId, Drawing, Entry, Identifier};
use super::{CreditNames, Ledger, LedgerError, LedgerIdentity, Owed, OwedAccount, PaidBy, Step};
use crate::BoxFuture;
use crate::chain::{Block, PaidLog, TxHash};
use credits::Credits;
use logs::Logs;
use owed::Owings;

/// A ledger in memory: what it holds is forgotten when the program ends.
///
/// For demonstrations and tests. A restart forgets which payments were used and which were under
/// way; the token still takes each at most once, but what was paid and not served is lost.
pub struct MemoryLedger {
    entries: Mutex<Entries>,
    capacity: usize,
    identity: OnceLock<LedgerIdentity>,
}

#[derive(Default)]
struct Entries {
    by_id: HashMap<PaymentId, Entry>,
    owings: Owings,
    /// Which payment has an identifier.
    identified: HashMap<Identifier, PaymentId>,
    sweeper: Sweeper,
    credits: Credits,
    names: HashMap<CreditAccount, CreditNames>,
    logs: Logs,
}

/// When old records were last looked for, in Unix seconds.
#[derive(Default)]
struct Sweeper(u64);

impl Sweeper {
    /// How many seconds pass between two searches for old records while there is room.
    const SECONDS: u64 = 60;

    /// Whether to look for them now. Where it is full, at most once in a second: a sweep reads all.
    fn is_due(&mut self, now: u64, is_full: bool) -> bool {
        let pause = if is_full { 1 } else { Self::SECONDS };
        let is_due = now >= self.0.saturating_add(pause);
        if is_due {
            self.0 = now;
        }
        is_due
    }
}

impl MemoryLedger {
    /// How many payments, how many draws, and how many logs that have paid are held at most, unless the
    /// caller says otherwise.
    pub const DEFAULT_CAPACITY: usize = 1_000_000;

    /// An empty ledger of the default capacity.
    #[must_use]
    pub fn new() -> Self {
        Self::with_capacity(Self::DEFAULT_CAPACITY)
    }

    /// An empty ledger of at most so many payments, and as many draws and logs that have paid, which are
    /// remembered for a month after their payments. What is beyond them is refused:
    /// none is forgotten before its time.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        Self { entries: Mutex::default(), capacity, identity: OnceLock::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        // Every change is a few insertions and removals, none of which panics: nothing is half done.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn claim_now(&self, entry: Entry) -> Result<Claiming, LedgerError> {
        let id = entry.id();
        let mut entries = self.lock();
        if let Some(entry) = entries.by_id.get(&id) {
            return Ok(Claiming::Known(Box::new(entry.clone())));
        }
        if entries.is_taken(&entry) {
            return Ok(Claiming::Taken);
        }
        let owing = Owing::claimed(&entry);
        let owed = entries.owings.sum_after(&owing)?;
        entries.make_room(self.capacity, entry.claimed_at)?;
        entries.owings.set(&owing, owed);
        entries.insert(entry);
        Ok(Claiming::New(Claim::recorded(id)))
    }

    fn apply_now(&self, id: PaymentId, step: Step) -> Result<(), LedgerError> {
        let mut entries = self.lock();
        let entries = &mut *entries;
        let before = entries.by_id.get(&id).ok_or(LedgerError::Missing)?;
        let withdrawn = before.withdraws(&step);
        let mut after = before.clone().after(step)?;
        let withdrawn = withdrawn.map(|(account, most)| {
            let taken = most.min(entries.credits.balance(&account));
            after.iter_mut().for_each(|entry| entry.withdrawn(taken));
            (account, taken)
        });
        let paying = Paying::stepped(before, after.as_ref());
        entries.logs.check(&paying)?;
        let owing = Owing::stepped(before, after.as_ref());
        let owed = entries.owings.sum_after(&owing)?;
        if let Some((account, taken)) = withdrawn {
            entries.credits.withdraw(account, taken)?;
        }
        if let Some((account, credit)) = after.as_ref().and_then(|after| after.earned_since(before))
        {
            entries.credits.add(account, credit)?;
        }
        entries.owings.set(&owing, owed);
        entries.logs.step(paying);
        match after {
            Some(entry) => drop(entries.by_id.insert(id, entry)),
            None => entries.remove(id),
        }
        Ok(())
    }

    fn fill_in_now(
        &self,
        chain_id: ChainId,
        transaction: TxHash,
        logs: &[(PaymentId, PaidLog)],
    ) -> Result<(), LedgerError> {
        let mut entries = self.lock();
        entries.logs.fill_in(chain_id, transaction, logs)?;
        for (id, log) in logs {
            if let Some(entry) = entries.by_id.get_mut(id)
                && let Some(filled) = filled_in(entry, transaction, *log)
            {
                *entry = filled;
            }
        }
        Ok(())
    }

    /// Counts an entry's whole transaction as used, as if it was written before logs were.
    #[cfg(test)]
    pub(super) fn mark_whole(&self, id: PaymentId) {
        let mut entries = self.lock();
        let row = entries.by_id.get(&id).and_then(PaidRow::of_old);
        entries.logs.insert_whole(row.unwrap());
    }
}

impl Entries {
    /// Whether another payment has the entry's identifier.
    fn is_taken(&self, entry: &Entry) -> bool {
        let holder = entry.identifier.and_then(|identifier| self.identified.get(&identifier));
        let holder = holder.and_then(|id| self.by_id.get(id));
        holder.is_some_and(|holder| !holder.frees_identifier())
    }

    /// The payments for which credit of this account is owed.
    fn due_from(&self, account: &CreditAccount) -> Vec<PaymentId> {
        let entry = |id: &PaymentId| self.by_id.get(id).filter(|entry| entry.is_due_from(account));
        self.owings.debts_of(&account.payer).filter_map(entry).map(Entry::id).collect()
    }

    fn insert(&mut self, entry: Entry) {
        let id = entry.id();
        if let Some(identifier) = entry.identifier {
            self.identified.insert(identifier, id);
        }
        self.by_id.insert(id, entry);
    }

    fn remove(&mut self, id: PaymentId) {
        let Some(entry) = self.by_id.remove(&id) else { return };
        let identifier = entry.identifier;
        if let Some(identifier) = identifier
            && self.identified.get(&identifier) == Some(&id)
        {
            self.identified.remove(&identifier);
        }
    }

    /// Forgets old entries from time to time, and whenever there is no room without.
    fn make_room(&mut self, capacity: usize, now: u64) -> Result<(), LedgerError> {
        let is_full = self.is_full(capacity);
        if self.sweeper.is_due(now, is_full) {
            self.by_id.retain(|_, entry| !entry.is_over(now));
            self.identified.retain(|_, id| self.by_id.contains_key(id));
            self.logs.sweep(now);
        }
        if self.is_full(capacity) {
            return Err(LedgerError::Storage("full".into()));
        }
        Ok(())
    }

    fn is_full(&self, capacity: usize) -> bool {
        self.by_id.len() >= capacity || self.logs.len() >= capacity
    }
}

impl Default for MemoryLedger {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryLedger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryLedger").field("capacity", &self.capacity).finish_non_exhaustive()
    }
}

impl Ledger for MemoryLedger {
    fn claim(&self, entry: Entry) -> BoxFuture<'_, Result<Claiming, LedgerError>> {
        Box::pin(async move { self.claim_now(entry) })
    }

    fn apply(&self, id: PaymentId, step: Step) -> BoxFuture<'_, Result<(), LedgerError>> {
        Box::pin(async move { self.apply_now(id, step) })
    }

    fn find(&self, id: PaymentId) -> BoxFuture<'_, Result<Option<Entry>, LedgerError>> {
        Box::pin(async move { Ok(self.lock().by_id.get(&id).cloned()) })
    }

    fn owes(&self, account: OwedAccount) -> BoxFuture<'_, Result<Owed, LedgerError>> {
        Box::pin(async move { Ok(self.lock().owings.owed(&account)) })
    }

    fn ids(&self) -> BoxFuture<'_, Result<Vec<PaymentId>, LedgerError>> {
        Box::pin(async move {
            let mut ids: Vec<_> = self.lock().by_id.keys().copied().collect();
            ids.sort_unstable();
            Ok(ids)
        })
    }

    fn paid_by(
        &self,
        chain_id: ChainId,
        transaction: TxHash,
    ) -> BoxFuture<'_, Result<PaidBy, LedgerError>> {
        Box::pin(async move { Ok(self.lock().logs.paid_by(chain_id, transaction)) })
    }

    fn unfinal_blocks(
        &self,
        chain_id: ChainId,
        most: usize,
    ) -> BoxFuture<'_, Result<Vec<Block>, LedgerError>> {
        Box::pin(async move { Ok(self.lock().logs.unfinal_blocks(chain_id, most)) })
    }

    fn paid_in(
        &self,
        chain_id: ChainId,
        block: Block,
        after: Option<PaymentId>,
        most: usize,
    ) -> BoxFuture<'_, Result<Vec<PaymentId>, LedgerError>> {
        Box::pin(async move { Ok(self.lock().logs.paid_in(chain_id, block, after, most)) })
    }

    fn finalize(&self, chain_id: ChainId, block: Block) -> BoxFuture<'_, Result<(), LedgerError>> {
        Box::pin(async move {
            self.lock().logs.finalize(chain_id, block);
            Ok(())
        })
    }

    fn fill_in_logs(
        &self,
        chain_id: ChainId,
        transaction: TxHash,
        logs: Vec<(PaymentId, PaidLog)>,
    ) -> BoxFuture<'_, Result<(), LedgerError>> {
        Box::pin(async move { self.fill_in_now(chain_id, transaction, &logs) })
    }

    fn open_entries(&self) -> BoxFuture<'_, Result<Vec<Entry>, LedgerError>> {
        Box::pin(async move {
            let entries = self.lock();
            let open = entries.by_id.values().filter(|entry| entry.is_open());
            Ok(open.cloned().collect())
        })
    }

    fn balance(&self, account: CreditAccount) -> BoxFuture<'_, Result<Amount, LedgerError>> {
        Box::pin(async move { Ok(self.lock().credits.balance(&account)) })
    }

    fn balances(&self) -> BoxFuture<'_, Result<Vec<(CreditAccount, Amount)>, LedgerError>> {
        Box::pin(async move { Ok(self.lock().credits.balances()) })
    }

    fn draw(&self, draw: Draw) -> BoxFuture<'_, Result<Drawing, LedgerError>> {
        Box::pin(async move {
            let mut entries = self.lock();
            let due = entries.due_from(&draw.account);
            entries.credits.draw(draw, due, self.capacity)
        })
    }

    fn conclude(
        &self,
        id: DrawId,
        conclusion: Conclusion,
    ) -> BoxFuture<'_, Result<(), LedgerError>> {
        Box::pin(async move { self.lock().credits.conclude(id, conclusion) })
    }

    fn find_draw(&self, id: DrawId) -> BoxFuture<'_, Result<Option<Draw>, LedgerError>> {
        Box::pin(async move { Ok(self.lock().credits.find(id).cloned()) })
    }

    fn held_draws(&self) -> BoxFuture<'_, Result<Vec<Draw>, LedgerError>> {
        Box::pin(async move { Ok(self.lock().credits.held()) })
    }

    fn identity(&self) -> BoxFuture<'_, Result<LedgerIdentity, LedgerError>> {
        Box::pin(async move {
            let new = LedgerIdentity::random()?;
            Ok(*self.identity.get_or_init(|| new))
        })
    }
}
