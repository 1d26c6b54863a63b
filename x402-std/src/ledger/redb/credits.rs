//! Balances and draws.

use redb::WriteTransaction;
use redb::{Database, ReadableDatabase as _, ReadableTable as _, Table, TableDefinition};
use x402_core::{Amount, PaymentId};

use super::{SWEEP_ROWS, storage};
use crate::ledger::{Conclusion, CreditAccount, Draw, DrawId, Drawing, LedgerError, encoding};

type AccountKey = &'static [u8; CreditAccount::LEN];
type DrawKey = &'static [u8; 32];

/// Every balance that is not zero, as 32 bytes, big-endian.
const BALANCES: TableDefinition<'_, AccountKey, &[u8; 32]> = TableDefinition::new("balances");
const DRAWS: TableDefinition<'_, DrawKey, &[u8]> = TableDefinition::new("draws");
/// The draws that are held.
const HELD: TableDefinition<'_, DrawKey, ()> = TableDefinition::new("held");
/// When the draws that are done can be forgotten, in Unix seconds.
const DONE: TableDefinition<'_, (u64, DrawKey), ()> = TableDefinition::new("done");

pub(super) fn balance(database: &Database, account: &CreditAccount) -> Result<Amount, LedgerError> {
    let reading = database.begin_read().map_err(storage)?;
    let balances = reading.open_table(BALANCES).map_err(storage)?;
    let value = balances.get(&account.to_bytes()).map_err(storage)?;
    Ok(value.map(|value| Amount::from_be_bytes(*value.value())).unwrap_or_default())
}

pub(super) fn balances(database: &Database) -> Result<Vec<(CreditAccount, Amount)>, LedgerError> {
    let reading = database.begin_read().map_err(storage)?;
    let balances = reading.open_table(BALANCES).map_err(storage)?;
    let rows = balances.iter().map_err(storage)?;
    rows.map(|row| {
        let (account, amount) = row.map_err(storage)?;
        let account = CreditAccount::from_bytes(account.value());
        Ok((account, Amount::from_be_bytes(*amount.value())))
    })
    .collect()
}

pub(super) fn find_draw(database: &Database, id: DrawId) -> Result<Option<Draw>, LedgerError> {
    let reading = database.begin_read().map_err(storage)?;
    let draws = reading.open_table(DRAWS).map_err(storage)?;
    let value = draws.get(&id.0).map_err(storage)?;
    value.map(|value| encoding::decode_draw(value.value())).transpose()
}

pub(super) fn held_draws(database: &Database) -> Result<Vec<Draw>, LedgerError> {
    let reading = database.begin_read().map_err(storage)?;
    let draws = reading.open_table(DRAWS).map_err(storage)?;
    let held = reading.open_table(HELD).map_err(storage)?;
    let rows = held.iter().map_err(storage)?;
    rows.map(|row| {
        let (key, _) = row.map_err(storage)?;
        let value = draws.get(key.value()).map_err(storage)?.ok_or(LedgerError::Corrupt)?;
        encoding::decode_draw(value.value())
    })
    .collect()
}

/// The tables, to be changed.
pub(super) struct Credits<'t> {
    balances: Table<'t, AccountKey, &'static [u8; 32]>,
    draws: Table<'t, DrawKey, &'static [u8]>,
    held: Table<'t, DrawKey, ()>,
    done: Table<'t, (u64, DrawKey), ()>,
}

impl<'t> Credits<'t> {
    pub(super) fn open(writing: &'t WriteTransaction) -> Result<Self, LedgerError> {
        Ok(Self {
            balances: writing.open_table(BALANCES).map_err(storage)?,
            draws: writing.open_table(DRAWS).map_err(storage)?,
            held: writing.open_table(HELD).map_err(storage)?,
            done: writing.open_table(DONE).map_err(storage)?,
        })
    }

    pub(super) fn balance(&self, account: &CreditAccount) -> Result<Amount, LedgerError> {
        let value = self.balances.get(&account.to_bytes()).map_err(storage)?;
        Ok(value.map(|value| Amount::from_be_bytes(*value.value())).unwrap_or_default())
    }

    /// Nothing is written where the sum is too large.
    pub(super) fn add(
        &mut self,
        account: &CreditAccount,
        amount: Amount,
    ) -> Result<(), LedgerError> {
        let sum = self.balance(account)?.checked_add(amount).ok_or(LedgerError::Overflow)?;
        self.set(account, sum)
    }

    /// Takes out what is there: the caller has looked. Nothing is written where it is not.
    pub(super) fn withdraw(
        &mut self,
        account: &CreditAccount,
        amount: Amount,
    ) -> Result<(), LedgerError> {
        let rest = self.balance(account)?.checked_sub(amount).ok_or(LedgerError::Amount)?;
        self.set(account, rest)
    }

    fn set(&mut self, account: &CreditAccount, balance: Amount) -> Result<(), LedgerError> {
        let key = account.to_bytes();
        if balance == Amount::ZERO {
            self.balances.remove(&key).map_err(storage)?;
        } else {
            self.balances.insert(&key, &balance.to_be_bytes()).map_err(storage)?;
        }
        Ok(())
    }

    fn find(&self, id: DrawId) -> Result<Option<Draw>, LedgerError> {
        let value = self.draws.get(&id.0).map_err(storage)?;
        value.map(|value| encoding::decode_draw(value.value())).transpose()
    }

    /// `due` are the debts that the balance has to be set off against first.
    pub(super) fn draw(
        &mut self,
        draw: &Draw,
        due: Vec<PaymentId>,
    ) -> Result<Drawing, LedgerError> {
        if let Some(known) = self.find(draw.id)? {
            return Ok(Drawing::Known(Box::new(known)));
        }
        let balance = self.balance(&draw.account)?;
        if balance != Amount::ZERO && !due.is_empty() {
            return Ok(Drawing::Owing(due));
        }
        let Some(rest) = balance.checked_sub(draw.amount) else {
            return Ok(Drawing::Short(balance));
        };
        self.sweep(draw.drawn_at)?;
        self.set(&draw.account, rest)?;
        self.put(draw)?;
        self.held.insert(&draw.id.0, ()).map_err(storage)?;
        Ok(Drawing::New)
    }

    /// Nothing is written where it cannot be concluded so.
    pub(super) fn conclude(
        &mut self,
        id: DrawId,
        conclusion: Conclusion,
    ) -> Result<(), LedgerError> {
        let draw = self.find(id)?.ok_or(LedgerError::Missing)?;
        let account = draw.account;
        let (draw, rest) = draw.after(conclusion)?;
        self.add(&account, rest)?;
        self.held.remove(&id.0).map_err(storage)?;
        let Some(draw) = draw else {
            self.draws.remove(&id.0).map_err(storage)?;
            return Ok(());
        };
        self.put(&draw)?;
        self.done.insert((draw.keep_until(), &id.0), ()).map_err(storage)?;
        Ok(())
    }

    fn put(&mut self, draw: &Draw) -> Result<(), LedgerError> {
        let bytes = encoding::encode_draw(draw);
        self.draws.insert(&draw.id.0, bytes.as_slice()).map_err(storage)?;
        Ok(())
    }

    /// Forgets a few of the draws whose time is over.
    fn sweep(&mut self, now: u64) -> Result<(), LedgerError> {
        const FIRST: DrawKey = &[0; 32];
        let mut over = Vec::new();
        for row in self.done.range(..(now, FIRST)).map_err(storage)?.take(SWEEP_ROWS) {
            let (row, _) = row.map_err(storage)?;
            let (time, id) = row.value();
            over.push((time, *id));
        }
        for (time, id) in over {
            self.done.remove((time, &id)).map_err(storage)?;
            self.draws.remove(&id).map_err(storage)?;
        }
        Ok(())
    }
}
