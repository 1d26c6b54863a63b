//! What payers owe.

use redb::{Database, ReadableDatabase as _, ReadableTable, Table, TableDefinition};
use redb::{StorageError, WriteTransaction};
use x402_core::{Address, Amount, PaymentId};

use super::{Key, Tables, storage};
use crate::ledger::owed::Owing;
use crate::ledger::{Draw, Drawing, LedgerError, Owed, OwedAccount};

type AccountKey = &'static [u8; OwedAccount::LEN];

/// Every sum that is not zero, as 32 bytes, big-endian.
const OWED: TableDefinition<'_, AccountKey, &[u8; 32]> = TableDefinition::new("owed");
/// The debts: the payer, and the payment.
const DEBTS: TableDefinition<'_, (&'static [u8; 20], Key), ()> = TableDefinition::new("debts");

pub(super) fn owes(database: &Database, account: &OwedAccount) -> Result<Owed, LedgerError> {
    let reading = database.begin_read().map_err(storage)?;
    let sum = sum(&reading.open_table(OWED).map_err(storage)?, account)?;
    let debts = debts_of(&reading.open_table(DEBTS).map_err(storage)?, &account.payer)?;
    Ok(Owed { sum, debts })
}

fn debts_of(
    table: &impl ReadableTable<(&'static [u8; 20], Key), ()>,
    payer: &Address,
) -> Result<Vec<PaymentId>, LedgerError> {
    let (first, last) = (&[0; PaymentId::LEN], &[0xff; PaymentId::LEN]);
    let payer = payer.as_bytes();
    let rows = table.range((payer, first)..=(payer, last)).map_err(storage)?;
    let ids = rows.map(|row| row.map(|(row, _)| PaymentId::from_bytes(row.value().1)));
    ids.collect::<Result<Vec<_>, StorageError>>().map_err(storage)
}

fn sum(
    table: &impl ReadableTable<AccountKey, &'static [u8; 32]>,
    account: &OwedAccount,
) -> Result<Amount, LedgerError> {
    let value = table.get(&account.to_bytes()).map_err(storage)?;
    Ok(value.map(|value| Amount::from_be_bytes(*value.value())).unwrap_or_default())
}

/// The tables, to be changed.
pub(super) struct Owings<'t> {
    owed: Table<'t, AccountKey, &'static [u8; 32]>,
    debts: Table<'t, (&'static [u8; 20], Key), ()>,
}

impl<'t> Owings<'t> {
    pub(super) fn open(writing: &'t WriteTransaction) -> Result<Self, LedgerError> {
        Ok(Self {
            owed: writing.open_table(OWED).map_err(storage)?,
            debts: writing.open_table(DEBTS).map_err(storage)?,
        })
    }

    /// The sum that [`Self::set`] is to write, if it is another then. Nothing is written.
    pub(super) fn sum_after(&self, owing: &Owing) -> Result<Option<Amount>, LedgerError> {
        if !owing.moves_sum() {
            return Ok(None);
        }
        owing.sum_after(sum(&self.owed, &owing.account)?).map(Some)
    }

    pub(super) fn set(&mut self, owing: &Owing, sum: Option<Amount>) -> Result<(), LedgerError> {
        let key = owing.account.to_bytes();
        match sum {
            None => {}
            Some(Amount::ZERO) => drop(self.owed.remove(&key).map_err(storage)?),
            Some(sum) => drop(self.owed.insert(&key, &sum.to_be_bytes()).map_err(storage)?),
        }
        let (payer, id) = (owing.account.payer.as_bytes(), owing.id.to_bytes());
        match owing.debt {
            None => {}
            Some(true) => drop(self.debts.insert((payer, &id), ()).map_err(storage)?),
            Some(false) => drop(self.debts.remove((payer, &id)).map_err(storage)?),
        }
        Ok(())
    }
}

impl Tables<'_> {
    /// Takes an amount from a balance, unless the payer owes some of it.
    pub(super) fn draw(&mut self, draw: &Draw) -> Result<Drawing, LedgerError> {
        let mut due = Vec::new();
        for id in debts_of(&self.owings.debts, &draw.account.payer)? {
            let entry = self.entry(&id.to_bytes())?;
            due.extend(entry.filter(|entry| entry.is_due_from(&draw.account)).map(|_| id));
        }
        self.credits.draw(draw, due)
    }
}
