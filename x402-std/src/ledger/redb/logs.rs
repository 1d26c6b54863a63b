//! Which logs have paid.

use redb::WriteTransaction;
use redb::{Database, ReadableDatabase as _, ReadableTable, Table, TableDefinition};
use x402_core::{ChainId, PaymentId};

use super::{SWEEP_ROWS, storage};
use crate::chain::{Block, PaidLog, TxHash};
use crate::ledger::logs::{PaidRow, Paying, check, check_fill_in, key};
use crate::ledger::{LedgerError, PaidBy};

/// chain id (8) || block number (8) || block hash (32) || payment (80)
const UNFINAL_LEN: usize = key::BLOCK + PaymentId::LEN;
type UnfinalKey = &'static [u8; UNFINAL_LEN];
type UnfinalName<'k> = &'k [u8; UNFINAL_LEN];

/// What has paid: chain id (8) || transaction (32) || position (4) -> until when it is remembered (8) ||
/// payment (80) || block number (8) || block hash (32); or, where the whole transaction counts as used,
/// chain id || transaction || payment -> until when (8).
const PAID: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("paid");
/// When to look whether a row of [`PAID`] can be forgotten, in Unix seconds. A row may be too many; what
/// decides is the other.
const OLD: TableDefinition<'_, (u64, &[u8]), ()> = TableDefinition::new("paid_until");
/// The payments that logs have paid for in blocks that are not final.
const UNFINAL: TableDefinition<'_, UnfinalKey, ()> = TableDefinition::new("unfinal");

/// What a row of [`PAID`] says.
struct Paid {
    id: PaymentId,
    log: Option<PaidLog>,
    until: u64,
}

impl Paid {
    fn read(key: &[u8], value: &[u8]) -> Result<Self, LedgerError> {
        read_paid(key, value).ok_or(LedgerError::Corrupt)
    }
}

fn read_paid(key: &[u8], value: &[u8]) -> Option<Paid> {
    let slot = key.get(key::TRANSACTION..)?;
    let (until, rest) = value.split_first_chunk()?;
    let until = u64::from_be_bytes(*until);
    if rest.is_empty() {
        return Some(Paid { id: PaymentId::from_bytes(slot.try_into().ok()?), log: None, until });
    }
    let (id, block) = rest.split_first_chunk()?;
    let (number, hash) = block.split_first_chunk()?;
    let block = Block { number: u64::from_be_bytes(*number), hash: hash.try_into().ok()? };
    let log = Some(PaidLog { block, position: u32::from_be_bytes(slot.try_into().ok()?) });
    Some(Paid { id: PaymentId::from_bytes(id), log, until })
}

fn name(chain_id: ChainId, transaction: TxHash, id: PaymentId, log: Option<PaidLog>) -> Vec<u8> {
    [&key::transaction(chain_id, transaction)[..], &key::slot(id, log)].concat()
}

fn value(id: PaymentId, log: Option<PaidLog>, until: u64) -> Vec<u8> {
    let mut value = until.to_be_bytes().to_vec();
    if let Some(PaidLog { block, .. }) = log {
        value.extend(id.to_bytes());
        value.extend(block.number.to_be_bytes());
        value.extend(block.hash);
    }
    value
}

fn unfinal_key(chain_id: ChainId, block: Block, id: &[u8; PaymentId::LEN]) -> [u8; UNFINAL_LEN] {
    let mut bytes = [0; UNFINAL_LEN];
    let block = key::block(chain_id, block);
    bytes.iter_mut().zip(block.iter().chain(id)).for_each(|(slot, byte)| *slot = *byte);
    bytes
}

pub(super) fn paid_by(
    database: &Database,
    chain_id: ChainId,
    transaction: TxHash,
) -> Result<PaidBy, LedgerError> {
    let reading = database.begin_read().map_err(storage)?;
    let paid = reading.open_table(PAID).map_err(storage)?;
    let rows = rows_of(&paid, chain_id, transaction)?;
    Ok(rows.into_iter().map(|row| (row.id, row.log)).collect())
}

/// In ascending order of the payments.
fn rows_of(
    paid: &impl ReadableTable<&'static [u8], &'static [u8]>,
    chain_id: ChainId,
    transaction: TxHash,
) -> Result<Vec<Paid>, LedgerError> {
    let prefix = key::transaction(chain_id, transaction);
    let mut rows = Vec::new();
    for row in paid.range(&prefix[..]..).map_err(storage)? {
        let (key, value) = row.map_err(storage)?;
        if !key.value().starts_with(&prefix) {
            break;
        }
        rows.push(Paid::read(key.value(), value.value())?);
    }
    rows.sort_unstable_by_key(|row| row.id);
    Ok(rows)
}

pub(super) fn unfinal_blocks(
    database: &Database,
    chain_id: ChainId,
    most: usize,
) -> Result<Vec<Block>, LedgerError> {
    let reading = database.begin_read().map_err(storage)?;
    let unfinal = reading.open_table(UNFINAL).map_err(storage)?;
    let chain = chain_id.get().to_be_bytes();
    let mut from = unfinal_key(chain_id, Block { number: 0, hash: [0; 32] }, &[0; PaymentId::LEN]);
    let mut blocks = Vec::new();
    // From one block to the next, however many payments each has.
    while blocks.len() < most {
        let Some(row) = unfinal.range::<UnfinalName<'_>>(&from..).map_err(storage)?.next() else {
            break;
        };
        let (row, _) = row.map_err(storage)?;
        if !row.value().starts_with(&chain) {
            break;
        }
        let block = row.value().get(..key::BLOCK).and_then(key::read_block);
        let block = block.ok_or(LedgerError::Corrupt)?;
        blocks.push(block);
        // No id is all ones: its first bytes are the chain's, and its last a hash's.
        from = unfinal_key(chain_id, block, &[0xff; PaymentId::LEN]);
    }
    Ok(blocks)
}

pub(super) fn paid_in(
    database: &Database,
    chain_id: ChainId,
    block: Block,
    after: Option<PaymentId>,
    most: usize,
) -> Result<Vec<PaymentId>, LedgerError> {
    let reading = database.begin_read().map_err(storage)?;
    let unfinal = reading.open_table(UNFINAL).map_err(storage)?;
    let from = unfinal_key(chain_id, block, &after.map_or([0; PaymentId::LEN], |id| id.to_bytes()));
    let last = unfinal_key(chain_id, block, &[0xff; PaymentId::LEN]);
    let mut ids = Vec::new();
    for row in unfinal.range::<UnfinalName<'_>>(&from..=&last).map_err(storage)? {
        if ids.len() == most {
            break;
        }
        let (row, _) = row.map_err(storage)?;
        let (_, id) = row.value().split_last_chunk().ok_or(LedgerError::Corrupt)?;
        let id = PaymentId::from_bytes(id);
        if Some(id) != after {
            ids.push(id);
        }
    }
    Ok(ids)
}

/// The tables, to be changed.
pub(super) struct Logs<'t> {
    paid: Table<'t, &'static [u8], &'static [u8]>,
    old: Table<'t, (u64, &'static [u8]), ()>,
    unfinal: Table<'t, UnfinalKey, ()>,
}

impl<'t> Logs<'t> {
    pub(super) fn open(writing: &'t WriteTransaction) -> Result<Self, LedgerError> {
        Ok(Self {
            paid: writing.open_table(PAID).map_err(storage)?,
            old: writing.open_table(OLD).map_err(storage)?,
            unfinal: writing.open_table(UNFINAL).map_err(storage)?,
        })
    }

    /// Whether the step may be taken, as far as its log goes. Nothing is written.
    pub(super) fn check(&self, paying: &Paying) -> Result<(), LedgerError> {
        match *paying {
            Paying::Gains(PaidRow { chain_id, transaction, log: Some(log), .. }) => {
                check(log, &self.paid_by(chain_id, transaction)?)
            }
            // Damage is found before anything is written.
            Paying::Loses(PaidRow { chain_id, transaction, id, log, .. }) => {
                self.read(&name(chain_id, transaction, id, log)).map(drop)
            }
            Paying::Same | Paying::Gains(_) => Ok(()),
        }
    }

    fn paid_by(&self, chain_id: ChainId, transaction: TxHash) -> Result<PaidBy, LedgerError> {
        let rows = rows_of(&self.paid, chain_id, transaction)?;
        Ok(rows.into_iter().map(|row| (row.id, row.log)).collect())
    }

    /// The step has been taken.
    pub(super) fn step(&mut self, paying: Paying) -> Result<(), LedgerError> {
        match paying {
            Paying::Same => Ok(()),
            Paying::Gains(row) => {
                self.insert(&row)?;
                let Some(log) = row.log else { return Ok(()) };
                let unfinal = unfinal_key(row.chain_id, log.block, &row.id.to_bytes());
                self.unfinal.insert(&unfinal, ()).map_err(storage).map(drop)
            }
            Paying::Loses(row) => {
                self.remove(&name(row.chain_id, row.transaction, row.id, row.log), row.id)
            }
        }
    }

    /// Remembers it, as one that is final.
    pub(super) fn insert(&mut self, row: &PaidRow) -> Result<(), LedgerError> {
        let PaidRow { chain_id, transaction, id, log, until } = *row;
        let name = name(chain_id, transaction, id, log);
        self.paid.insert(&name[..], &value(id, log, until)[..]).map_err(storage)?;
        self.old.insert((until, &name[..]), ()).map_err(storage)?;
        Ok(())
    }

    /// Forgets a row, if it is this payment's.
    fn remove(&mut self, name: &[u8], id: PaymentId) -> Result<(), LedgerError> {
        let Some(row) = self.read(name)?.filter(|row| row.id == id) else { return Ok(()) };
        self.paid.remove(name).map_err(storage)?;
        self.old.remove((row.until, name)).map_err(storage)?;
        if let Some(log) = row.log {
            let unfinal = unfinal_key(id.chain_id, log.block, &id.to_bytes());
            self.unfinal.remove(&unfinal).map_err(storage)?;
        }
        Ok(())
    }

    fn read(&self, name: &[u8]) -> Result<Option<Paid>, LedgerError> {
        let value = self.paid.get(name).map_err(storage)?;
        value.map(|value| Paid::read(name, value.value())).transpose()
    }

    /// Puts logs in the place of the whole transaction, or changes nothing. What stood there was final, and
    /// stays so.
    pub(super) fn fill_in(
        &mut self,
        chain_id: ChainId,
        transaction: TxHash,
        logs: &[(PaymentId, PaidLog)],
    ) -> Result<(), LedgerError> {
        check_fill_in(logs, &self.paid_by(chain_id, transaction)?)?;
        for (id, log) in logs {
            let whole = name(chain_id, transaction, *id, None);
            let Some(Paid { until, .. }) = self.read(&whole)? else { continue };
            self.remove(&whole, *id)?;
            self.insert(&PaidRow { chain_id, transaction, id: *id, log: Some(*log), until })?;
        }
        Ok(())
    }

    pub(super) fn finalize(&mut self, chain_id: ChainId, block: Block) -> Result<(), LedgerError> {
        let first = unfinal_key(chain_id, block, &[0; PaymentId::LEN]);
        let last = unfinal_key(chain_id, block, &[0xff; PaymentId::LEN]);
        self.unfinal.retain_in::<UnfinalName<'_>, _>(&first..=&last, |_, ()| false).map_err(storage)
    }

    /// Forgets a few of the rows whose time is over.
    pub(super) fn sweep(&mut self, now: u64) -> Result<(), LedgerError> {
        let mut old = Vec::new();
        for row in self.old.range(..(now, &[][..])).map_err(storage)?.take(SWEEP_ROWS) {
            let (row, _) = row.map_err(storage)?;
            let (time, name) = row.value();
            old.push((time, name.to_vec()));
        }
        for (time, name) in old {
            self.old.remove((time, &name[..])).map_err(storage)?;
            match self.read(&name) {
                Ok(Some(row)) if row.until < now => self.remove(&name, row.id)?,
                // It pays for another by now, whose time comes by itself; or it is damaged, which must
                // not stop all other payments.
                Ok(_) | Err(LedgerError::Corrupt) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
