//! Rows of entries.

use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};
use x402_core::PaymentId;

use super::pool::storage;
use super::to_column;
use crate::ledger::{Entry, LedgerError, encoding};

/// An entry as its row has it.
pub(super) struct EntryRow {
    entry: Vec<u8>,
    is_open: bool,
    due: i64,
    /// Whose debt it is, if it is one.
    debtor: Option<Vec<u8>>,
}

impl EntryRow {
    pub(super) fn of(entry: &Entry) -> Self {
        Self {
            entry: encoding::encode(entry),
            is_open: entry.is_open(),
            due: to_column(entry.due()),
            debtor: entry.is_debt().then(|| entry.payment.payer().as_bytes().to_vec()),
        }
    }

    pub(super) fn values<'r>(&'r self, key: &'r &[u8]) -> [(&'r (dyn ToSql + Sync), Type); 5] {
        [
            (key, Type::BYTEA),
            (&self.entry, Type::BYTEA),
            (&self.is_open, Type::BOOL),
            (&self.due, Type::INT8),
            (&self.debtor, Type::BYTEA),
        ]
    }
}

pub(super) fn decode(row: &Row) -> Result<Entry, LedgerError> {
    encoding::decode(row.try_get(0).map_err(storage)?)
}

pub(super) fn decode_id(row: &Row) -> Result<PaymentId, LedgerError> {
    let id: &[u8] = row.try_get(0).map_err(storage)?;
    id.try_into().map(PaymentId::from_bytes).map_err(|_| LedgerError::Corrupt)
}
