//! Which names of balances are good.

use redb::{Database, ReadableDatabase as _, ReadableTable as _, TableError};
use redb::{Table, TableDefinition, WriteTransaction};

use super::pen::OnDisk;
use super::{RedbLedger, storage};
use crate::BoxFuture;
use crate::ledger::{CreditAccount, CreditNames, LedgerError, NameLedger, Renewal};

type AccountKey = &'static [u8; CreditAccount::LEN];

/// What holds for the names of each balance, where they were ever replaced: [`CreditNames::to_bytes`].
const NAMES: TableDefinition<'_, AccountKey, &[u8]> = TableDefinition::new("credit names");

fn read(database: &Database, account: &CreditAccount) -> Result<CreditNames, LedgerError> {
    let reading = database.begin_read().map_err(storage)?;
    let names = match reading.open_table(NAMES) {
        Ok(names) => names,
        // Made by a version that replaced none, and not written to since.
        Err(TableError::TableDoesNotExist(_)) => return Ok(CreditNames::default()),
        Err(error) => return Err(storage(error)),
    };
    let value = names.get(&account.to_bytes()).map_err(storage)?;
    value.map_or(Ok(CreditNames::default()), |value| CreditNames::from_bytes(value.value()))
}

/// The table, to be changed.
pub(super) struct Names<'t>(Table<'t, AccountKey, &'static [u8]>);

impl<'t> Names<'t> {
    pub(super) fn open(writing: &'t WriteTransaction) -> Result<Self, LedgerError> {
        Ok(Self(writing.open_table(NAMES).map_err(storage)?))
    }

    /// Nothing is written where they cannot be replaced.
    fn renew(
        &mut self,
        account: &CreditAccount,
        renewal: Renewal,
    ) -> Result<CreditNames, LedgerError> {
        let key = account.to_bytes();
        let names = {
            let value = self.0.get(&key).map_err(storage)?;
            let bytes = value.as_ref().map(|value| value.value());
            bytes.map_or(Ok(CreditNames::default()), CreditNames::from_bytes)?
        };
        let names = names.after(renewal)?;
        self.0.insert(&key, names.to_bytes().as_slice()).map_err(storage)?;
        Ok(names)
    }
}

impl NameLedger for RedbLedger {
    fn credit_names(
        &self,
        account: CreditAccount,
    ) -> BoxFuture<'_, Result<CreditNames, LedgerError>> {
        Box::pin(async move { self.read(|database| read(database, &account)) })
    }

    fn renew_names(
        &self,
        account: CreditAccount,
        renewal: Renewal,
    ) -> BoxFuture<'_, Result<CreditNames, LedgerError>> {
        Box::pin(self.pen.write(OnDisk::Now, move |tables| tables.names.renew(&account, renewal)))
    }
}
