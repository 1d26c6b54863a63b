//! Sums of money, each in a row of its own.

use tokio_postgres::types::Type;
use tokio_postgres::{Row, Transaction};
use x402_core::Amount;

use super::pool::storage;
use crate::ledger::LedgerError;

/// A table of sums, as 32 bytes, big-endian, by account. Those that are zero have no row.
pub(super) struct Sums {
    pub(super) table: &'static str,
}

impl Sums {
    /// Locks a sum until the transaction ends, also one that has no row yet, and reads it.
    pub(super) async fn lock(
        &self,
        transaction: &Transaction<'_>,
        key: &[u8],
    ) -> Result<Amount, LedgerError> {
        let table = self.table;
        // Makes the row, or locks the one that is there; either way, says what is in it.
        let lock = format!(
            "INSERT INTO {table} (account, amount) VALUES ($1, $2)
             ON CONFLICT (account) DO UPDATE SET amount = {table}.amount
             RETURNING amount"
        );
        let nothing = &Amount::ZERO.to_be_bytes()[..];
        let values = [(&key as _, Type::BYTEA), (&nothing as _, Type::BYTEA)];
        let row = transaction.query_typed_one(&lock, &values).await.map_err(storage)?;
        amount(&row, 0)
    }

    /// Writes a sum that is locked.
    pub(super) async fn set(
        &self,
        transaction: &Transaction<'_>,
        key: &[u8],
        sum: Amount,
    ) -> Result<(), LedgerError> {
        let table = self.table;
        let bytes = &sum.to_be_bytes()[..];
        let values = [(&key as _, Type::BYTEA), (&bytes as _, Type::BYTEA)];
        let done = if sum == Amount::ZERO {
            let delete = format!("DELETE FROM {table} WHERE account = $1");
            transaction.execute_typed(&delete, &values[..1]).await
        } else {
            let update = format!("UPDATE {table} SET amount = $2 WHERE account = $1");
            transaction.execute_typed(&update, &values).await
        };
        done.map(drop).map_err(storage)
    }
}

pub(super) fn amount(row: &Row, column: usize) -> Result<Amount, LedgerError> {
    let amount: &[u8] = row.try_get(column).map_err(storage)?;
    amount.try_into().map(Amount::from_be_bytes).map_err(|_| LedgerError::Corrupt)
}
