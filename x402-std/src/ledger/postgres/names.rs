//! Which names of balances are good.
//!
//! It stands among the identifiers of payments, as the ledger's identity does and for the same reason: a
//! gateway need not be able to make tables. An account's key is longer than a hash, and what stands there is
//! no payment's id.

use tokio_postgres::Client;
use tokio_postgres::types::Type;

use super::pool::storage;
use super::{HAND_OVER, IDENTIFY, PostgresLedger, begin};
use crate::BoxFuture;
use crate::ledger::{CreditAccount, CreditNames, LedgerError, NameLedger, Renewal};

const NAME: &[u8] = b"x402 credit ";
const FIND: &str = "SELECT id FROM x402_identifiers WHERE identifier = $1";

fn key(account: &CreditAccount) -> Vec<u8> {
    [NAME, &account.to_bytes()].concat()
}

async fn find(client: &Client, account: &CreditAccount) -> Result<CreditNames, LedgerError> {
    let key = &key(account)[..];
    let row = client.query_typed_opt(FIND, &[(&key, Type::BYTEA)]).await.map_err(storage)?;
    let Some(row) = row else { return Ok(CreditNames::default()) };
    CreditNames::from_bytes(row.try_get(0).map_err(storage)?)
}

async fn renew(
    client: &mut Client,
    account: &CreditAccount,
    renewal: Renewal,
) -> Result<CreditNames, LedgerError> {
    let (key, first) = (&key(account)[..], CreditNames::default().to_bytes());
    // Dropped without a commit, a transaction leaves nothing behind.
    let transaction = begin(client).await?;
    let values = [(&key as _, Type::BYTEA), (&&first[..] as _, Type::BYTEA)];
    let row = transaction.query_typed_one(IDENTIFY, &values).await.map_err(storage)?;
    let names = CreditNames::from_bytes(row.try_get(0).map_err(storage)?)?.after(renewal)?;
    let bytes = names.to_bytes();
    let values = [(&key as _, Type::BYTEA), (&&bytes[..] as _, Type::BYTEA)];
    transaction.execute_typed(HAND_OVER, &values).await.map_err(storage)?;
    transaction.commit().await.map_err(storage)?;
    Ok(names)
}

impl NameLedger for PostgresLedger {
    fn credit_names(
        &self,
        account: CreditAccount,
    ) -> BoxFuture<'_, Result<CreditNames, LedgerError>> {
        Box::pin(self.pool.call(async move {
            let mut turn = self.pool.take().await?;
            let result = find(turn.client(), &account).await;
            turn.end(result)
        }))
    }

    fn renew_names(
        &self,
        account: CreditAccount,
        renewal: Renewal,
    ) -> BoxFuture<'_, Result<CreditNames, LedgerError>> {
        Box::pin(self.pool.call(async move {
            let mut turn = self.pool.take().await?;
            let result = renew(turn.client(), &account, renewal).await;
            turn.end(result)
        }))
    }
}
