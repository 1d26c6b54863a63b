mod convert;
mod credits;
mod file;
mod logs;
mod names;
mod owed;
mod pen;
mod sweep;

use core::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use redb::{Database, ReadableDatabase as _, ReadableTable as _, Table, TableDefinition};
use redb::{Durability, StorageBackend, WriteTransaction};
use x402_core::{Amount, ChainId, Claim, PaymentId};

use super::logs::{Paying, filled_in};
use super::owed::Owing;
use super::{Claiming, Conclusion, CreditAccount, Draw, DrawId, Drawing, Entry, Identifier};
use super::{
    Ledger, LedgerError, LedgerIdentity, Owed, OwedAccount, PaidBy, Settle, Step, encoding,
};
use crate::BoxFuture;
use crate::chain::{Block, PaidLog, TxHash};
use credits::Credits;
use logs::Logs;
use names::Names;
use owed::Owings;
use pen::{OnDisk, Pen};

type Key = &'static [u8; PaymentId::LEN];

/// Every payment, by [`PaymentId::to_bytes`].
const ENTRIES: TableDefinition<'_, Key, &[u8]> = TableDefinition::new("entries");
/// The payments whose outcome the chain still has to say.
const OPEN: TableDefinition<'_, Key, ()> = TableDefinition::new("open");
/// When to look whether a payment can be forgotten, in Unix seconds. A row may be late or too many;
/// what decides is the entry.
const DUE: TableDefinition<'_, (u64, Key), ()> = TableDefinition::new("due");

/// Which payment has an [`Identifier`].
const IDENTIFIED: TableDefinition<'_, &[u8; 32], Key> = TableDefinition::new("identified");

/// How many due payments are looked at when one is claimed: more than one, so that the ledger
/// shrinks, and few, so that the claim does not wait.
const SWEEP_ROWS: usize = 16;
/// How long, in seconds, a payment that is due and cannot be forgotten is left alone.
const SWEEP_AGAIN_SECONDS: u64 = 60 * 60;

/// A ledger in one file, of which one process has hold.
///
/// Every change is on disk (`fsync`, in two phases) when the call returns, but for those that lose nothing:
/// the claim of a payment, of which nothing was sent and no answer is kept, and that the transaction of one
/// that is settled before its work is confirmed, which the chain says again. These are there with the next
/// change, and soon at the latest. Changes that are asked for at the same time share the wait. The file is a [redb]
/// database; it holds signatures of payments under way and the answers that were given, so only its
/// owner may read it. Calls need a Tokio runtime. A call that is dropped may still take effect.
///
/// Once the disk has failed (it was full, say), every later call fails too, and the file has to be
/// opened anew: nothing is done on an unsure footing.
///
/// [redb]: https://docs.rs/redb
pub struct RedbLedger {
    database: Arc<Database>,
    pen: Pen,
}

impl RedbLedger {
    /// Opens the file, or makes it. Reads all of it, and repairs it where the last process was
    /// stopped in the middle of a change. A file of the format before is converted, in one change; as it
    /// was, it is kept beside it, under its name and `.format4`.
    ///
    /// # Errors
    ///
    /// [`LedgerError::Locked`] where a process has it open already; [`LedgerError::Storage`] where
    /// it cannot be read and written, is damaged, is no ledger, or is of a format that is not known.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, LedgerError> {
        Self::of(file::open(path.as_ref())?)
    }

    /// Opens what is in a storage, or begins a ledger there, for a disk that is no file, or one that fails as
    /// a test wants it to. What is of the format before is converted, and not kept.
    ///
    /// There is no thread beside the caller's: each call is done when it is polled first, and a change that
    /// loses nothing is on disk with the next one that has to be.
    ///
    /// # Errors
    ///
    /// As [`Self::open`], but for [`LedgerError::Locked`].
    pub fn over(storage: impl StorageBackend) -> Result<Self, LedgerError> {
        let database = Arc::new(file::open_storage(storage)?);
        Ok(Self { pen: Pen::Caller(Arc::clone(&database)), database })
    }

    /// Reads the file as it is now, also while another process has it open: a copy of it, which is gone
    /// when the ledger is dropped. What is written to it changes nothing.
    ///
    /// A copy that was made while a change was being written is seen to be torn, and made again.
    ///
    /// # Errors
    ///
    /// As [`Self::open`], but for [`LedgerError::Locked`]; and where there is no file.
    pub fn open_copy(path: impl AsRef<Path>) -> Result<Self, LedgerError> {
        Self::of(file::open_copy(path.as_ref())?)
    }

    fn of(database: Database) -> Result<Self, LedgerError> {
        let database = Arc::new(database);
        let pen = Pen::in_a_thread(Arc::clone(&database))?;
        Ok(Self { database, pen })
    }

    /// Counts an entry's whole transaction as used, as if it was written before logs were.
    #[cfg(test)]
    pub(super) async fn mark_whole(&self, id: PaymentId) {
        let marked = self.pen.write(OnDisk::Now, move |tables| {
            let entry = tables.entry(&id.to_bytes())?.ok_or(LedgerError::Missing)?;
            let row = super::logs::PaidRow::of_old(&entry).ok_or(LedgerError::Missing)?;
            tables.logs.insert(&row)
        });
        marked.await.unwrap();
    }

    /// Reads a few rows, at once: they are in memory, or in the system's, and to have another thread read
    /// them costs many times what it takes. No reader waits for the disk that a change waits for.
    fn read<T>(
        &self,
        work: impl FnOnce(&Database) -> Result<T, LedgerError>,
    ) -> Result<T, LedgerError> {
        let result = catch_unwind(AssertUnwindSafe(|| work(&self.database)));
        // It panicked: a damaged page, as the library says.
        result.unwrap_or_else(|_| Err(LedgerError::Storage("the ledger is damaged".into())))
    }

    /// Reads all rows, where that holds nobody else up, or where the caller does all.
    async fn read_all<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Database) -> Result<T, LedgerError> + Send + 'static,
    ) -> Result<T, LedgerError> {
        if matches!(self.pen, Pen::Caller(_)) {
            return self.read(work);
        }
        let database = Arc::clone(&self.database);
        match tokio::task::spawn_blocking(move || work(&database)).await {
            Ok(result) => result,
            // It panicked (a damaged page, as the library says) or the runtime is being stopped.
            Err(error) => Err(LedgerError::Storage(error.to_string())),
        }
    }
}

impl fmt::Debug for RedbLedger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedbLedger").finish_non_exhaustive()
    }
}

impl Ledger for RedbLedger {
    fn claim(&self, entry: Entry) -> BoxFuture<'_, Result<Claiming, LedgerError>> {
        Box::pin(async move {
            let id = entry.id();
            // A repetition is answered without a turn at the pen.
            if let Some(entry) = self.read(|database| find(database, &id))? {
                return Ok(Claiming::Known(Box::new(entry)));
            }
            // Until its next step nothing comes of a payment: nothing is sent, and no answer is whole.
            self.pen.write(OnDisk::Soon, move |tables| tables.claim(&entry)).await
        })
    }

    fn apply(&self, id: PaymentId, step: Step) -> BoxFuture<'_, Result<(), LedgerError>> {
        Box::pin(async move {
            // Of a transaction of ours the chain says it again to whoever asks, and nothing else changes
            // with it; a facilitator, or the operator, may say it once.
            let is_said = match &step {
                Step::Confirmed(settlement) => {
                    let entry = self.read(|database| find(database, &id))?;
                    let is_ours =
                        |entry: &Entry| entry.hashes().any(|hash| hash == settlement.transaction);
                    entry.is_some_and(|entry| entry.settle == Settle::First && is_ours(&entry))
                }
                _ => false,
            };
            let on_disk = if is_said { OnDisk::Soon } else { OnDisk::Now };
            self.pen.write(on_disk, move |tables| tables.apply(&id, step)).await
        })
    }

    fn apply_all(&self, steps: Vec<(PaymentId, Step)>) -> BoxFuture<'_, Result<(), LedgerError>> {
        Box::pin(self.pen.write(OnDisk::Now, move |tables| {
            steps.into_iter().try_for_each(|(id, step)| tables.apply(&id, step))
        }))
    }

    fn find(&self, id: PaymentId) -> BoxFuture<'_, Result<Option<Entry>, LedgerError>> {
        Box::pin(async move { self.read(|database| find(database, &id)) })
    }

    fn owes(&self, account: OwedAccount) -> BoxFuture<'_, Result<Owed, LedgerError>> {
        Box::pin(async move { self.read(|database| owed::owes(database, &account)) })
    }

    fn ids(&self) -> BoxFuture<'_, Result<Vec<PaymentId>, LedgerError>> {
        Box::pin(self.read_all(ids))
    }

    fn paid_by(
        &self,
        chain_id: ChainId,
        transaction: TxHash,
    ) -> BoxFuture<'_, Result<PaidBy, LedgerError>> {
        Box::pin(
            async move { self.read(|database| logs::paid_by(database, chain_id, transaction)) },
        )
    }

    fn fill_in_logs(
        &self,
        chain_id: ChainId,
        transaction: TxHash,
        logs: Vec<(PaymentId, PaidLog)>,
    ) -> BoxFuture<'_, Result<(), LedgerError>> {
        Box::pin(
            self.pen.write(OnDisk::Now, move |tables| tables.fill_in(chain_id, transaction, &logs)),
        )
    }

    fn unfinal_blocks(
        &self,
        chain_id: ChainId,
        most: usize,
    ) -> BoxFuture<'_, Result<Vec<Block>, LedgerError>> {
        Box::pin(
            async move { self.read(|database| logs::unfinal_blocks(database, chain_id, most)) },
        )
    }

    fn paid_in(
        &self,
        chain_id: ChainId,
        block: Block,
        after: Option<PaymentId>,
        most: usize,
    ) -> BoxFuture<'_, Result<Vec<PaymentId>, LedgerError>> {
        Box::pin(async move {
            self.read(|database| logs::paid_in(database, chain_id, block, after, most))
        })
    }

    fn finalize(&self, chain_id: ChainId, block: Block) -> BoxFuture<'_, Result<(), LedgerError>> {
        Box::pin(self.pen.write(OnDisk::Now, move |tables| tables.logs.finalize(chain_id, block)))
    }

    fn open_entries(&self) -> BoxFuture<'_, Result<Vec<Entry>, LedgerError>> {
        Box::pin(self.read_all(open_entries))
    }

    fn balance(&self, account: CreditAccount) -> BoxFuture<'_, Result<Amount, LedgerError>> {
        Box::pin(async move { self.read(|database| credits::balance(database, &account)) })
    }

    fn balances(&self) -> BoxFuture<'_, Result<Vec<(CreditAccount, Amount)>, LedgerError>> {
        Box::pin(self.read_all(credits::balances))
    }

    fn draw(&self, draw: Draw) -> BoxFuture<'_, Result<Drawing, LedgerError>> {
        Box::pin(self.pen.write(OnDisk::Now, move |tables| tables.draw(&draw)))
    }

    fn conclude(
        &self,
        id: DrawId,
        conclusion: Conclusion,
    ) -> BoxFuture<'_, Result<(), LedgerError>> {
        Box::pin(self.pen.write(OnDisk::Now, move |tables| tables.credits.conclude(id, conclusion)))
    }

    fn find_draw(&self, id: DrawId) -> BoxFuture<'_, Result<Option<Draw>, LedgerError>> {
        Box::pin(async move { self.read(|database| credits::find_draw(database, id)) })
    }

    fn held_draws(&self) -> BoxFuture<'_, Result<Vec<Draw>, LedgerError>> {
        Box::pin(self.read_all(credits::held_draws))
    }

    fn identity(&self) -> BoxFuture<'_, Result<LedgerIdentity, LedgerError>> {
        Box::pin(async move { self.read(file::identity) })
    }
}

fn find(database: &Database, id: &PaymentId) -> Result<Option<Entry>, LedgerError> {
    let reading = database.begin_read().map_err(storage)?;
    let entries = reading.open_table(ENTRIES).map_err(storage)?;
    let value = entries.get(&id.to_bytes()).map_err(storage)?;
    value.map(|value| encoding::decode(value.value())).transpose()
}

fn ids(database: &Database) -> Result<Vec<PaymentId>, LedgerError> {
    let reading = database.begin_read().map_err(storage)?;
    let entries = reading.open_table(ENTRIES).map_err(storage)?;
    let rows = entries.iter().map_err(storage)?;
    rows.map(|row| row.map(|(key, _)| PaymentId::from_bytes(key.value())).map_err(storage))
        .collect()
}

fn open_entries(database: &Database) -> Result<Vec<Entry>, LedgerError> {
    let reading = database.begin_read().map_err(storage)?;
    let entries = reading.open_table(ENTRIES).map_err(storage)?;
    let open = reading.open_table(OPEN).map_err(storage)?;
    let rows = open.iter().map_err(storage)?;
    rows.map(|row| {
        let (key, _) = row.map_err(storage)?;
        let value = entries.get(key.value()).map_err(storage)?.ok_or(LedgerError::Corrupt)?;
        encoding::decode(value.value())
    })
    .collect()
}

fn begin(database: &Database) -> Result<WriteTransaction, LedgerError> {
    let mut writing = database.begin_write().map_err(storage)?;
    writing.set_durability(Durability::Immediate).map_err(storage)?;
    // Payers choose much of what is written here, and the one-phase commit's checksum is none
    // against those who choose.
    writing.set_two_phase_commit(true);
    Ok(writing)
}

struct Tables<'t> {
    entries: Table<'t, Key, &'static [u8]>,
    open: Table<'t, Key, ()>,
    due: Table<'t, (u64, Key), ()>,
    identified: Table<'t, &'static [u8; 32], Key>,
    owings: Owings<'t>,
    credits: Credits<'t>,
    names: Names<'t>,
    logs: Logs<'t>,
}

impl<'t> Tables<'t> {
    fn open(writing: &'t WriteTransaction) -> Result<Self, LedgerError> {
        Ok(Self {
            entries: writing.open_table(ENTRIES).map_err(storage)?,
            open: writing.open_table(OPEN).map_err(storage)?,
            due: writing.open_table(DUE).map_err(storage)?,
            identified: writing.open_table(IDENTIFIED).map_err(storage)?,
            owings: Owings::open(writing)?,
            credits: Credits::open(writing)?,
            names: Names::open(writing)?,
            logs: Logs::open(writing)?,
        })
    }

    fn claim(&mut self, entry: &Entry) -> Result<Claiming, LedgerError> {
        let (id, key) = (entry.id(), entry.id().to_bytes());
        if let Some(entry) = self.entry(&key)? {
            return Ok(Claiming::Known(Box::new(entry)));
        }
        if self.is_taken(entry)? {
            return Ok(Claiming::Taken);
        }
        let owing = Owing::claimed(entry);
        // First: it is what can fail.
        let owed = self.owings.sum_after(&owing)?;
        self.sweep(entry.claimed_at)?;
        self.logs.sweep(entry.claimed_at)?;
        self.owings.set(&owing, owed)?;
        self.put(&key, entry)?;
        self.due.insert((entry.keep_until(), &key), ()).map_err(storage)?;
        self.identify(&key, entry.identifier)?;
        Ok(Claiming::New(Claim::recorded(id)))
    }

    /// Nothing is written where the step cannot be taken.
    fn apply(&mut self, id: &PaymentId, step: Step) -> Result<(), LedgerError> {
        let key = id.to_bytes();
        let before = self.entry(&key)?.ok_or(LedgerError::Missing)?;
        let withdrawn = before.withdraws(&step);
        let mut after = before.clone().after(step)?;
        let mut taken = None;
        if let (Some((account, most)), Some(entry)) = (withdrawn, &mut after) {
            let amount = most.min(self.credits.balance(&account)?);
            entry.withdrawn(amount);
            taken = Some((account, amount));
        }
        let paying = Paying::stepped(&before, after.as_ref());
        let owing = Owing::stepped(&before, after.as_ref());
        // First: these are what can fail, and of the first two the tables are only read here.
        self.logs.check(&paying)?;
        let owed = self.owings.sum_after(&owing)?;
        if let Some((account, amount)) = taken {
            self.credits.withdraw(&account, amount)?;
        }
        if let Some((account, credit)) =
            after.as_ref().and_then(|after| after.earned_since(&before))
        {
            self.credits.add(&account, credit)?;
        }
        self.owings.set(&owing, owed)?;
        self.logs.step(paying)?;
        match after {
            Some(entry) => self.put(&key, &entry),
            None => self.remove(&key, before.keep_until(), &before),
        }
    }

    /// All of it or nothing.
    fn fill_in(
        &mut self,
        chain_id: ChainId,
        transaction: TxHash,
        logs: &[(PaymentId, PaidLog)],
    ) -> Result<(), LedgerError> {
        let mut filled = Vec::new();
        for (id, log) in logs {
            let entry = self.entry(&id.to_bytes())?;
            filled.extend(entry.and_then(|entry| filled_in(&entry, transaction, *log)));
        }
        self.logs.fill_in(chain_id, transaction, logs)?;
        filled.iter().try_for_each(|entry| self.put(&entry.id().to_bytes(), entry))
    }

    fn entry(&self, key: &[u8; PaymentId::LEN]) -> Result<Option<Entry>, LedgerError> {
        let value = self.entries.get(key).map_err(storage)?;
        value.map(|value| encoding::decode(value.value())).transpose()
    }

    fn put(&mut self, key: &[u8; PaymentId::LEN], entry: &Entry) -> Result<(), LedgerError> {
        self.entries.insert(key, encoding::encode(entry).as_slice()).map_err(storage)?;
        if entry.is_open() {
            self.open.insert(key, ()).map_err(storage)?;
        } else {
            self.open.remove(key).map_err(storage)?;
        }
        Ok(())
    }

    /// Whether another payment has the entry's identifier.
    fn is_taken(&self, entry: &Entry) -> Result<bool, LedgerError> {
        let Some(identifier) = entry.identifier else { return Ok(false) };
        let Some(holder) = self.holder(identifier)? else { return Ok(false) };
        Ok(self.entry(&holder)?.is_some_and(|holder| !holder.frees_identifier()))
    }

    fn holder(&self, identifier: Identifier) -> Result<Option<[u8; PaymentId::LEN]>, LedgerError> {
        let holder = self.identified.get(&identifier.0).map_err(storage)?;
        Ok(holder.map(|holder| *holder.value()))
    }

    fn identify(
        &mut self,
        key: &[u8; PaymentId::LEN],
        identifier: Option<Identifier>,
    ) -> Result<(), LedgerError> {
        if let Some(identifier) = identifier {
            self.identified.insert(&identifier.0, key).map_err(storage)?;
        }
        Ok(())
    }

    fn remove(
        &mut self,
        key: &[u8; PaymentId::LEN],
        due: u64,
        entry: &Entry,
    ) -> Result<(), LedgerError> {
        if let Some(identifier) = entry.identifier
            && self.holder(identifier)? == Some(*key)
        {
            self.identified.remove(&identifier.0).map_err(storage)?;
        }
        self.entries.remove(key).map_err(storage)?;
        self.open.remove(key).map_err(storage)?;
        self.due.remove((due, key)).map_err(storage)?;
        Ok(())
    }
}

fn storage(error: impl Into<redb::Error>) -> LedgerError {
    LedgerError::Storage(error.into().to_string())
}
