//! Which ledger it is.
//!
//! It stands among the identifiers of payments, which are hashes of 32 bytes, under a name that is none: a
//! table of its own, or a column, could only be made by who may make tables, and a gateway need not be that.
//! What the versions before do with identifiers does not touch it.

use tokio_postgres::Client;
use tokio_postgres::types::Type;

use super::pool::storage;
use crate::ledger::{LedgerError, LedgerIdentity};

const NAME: &[u8] = b"x402 ledger";
const FIND: &str = "SELECT id FROM x402_identifiers WHERE identifier = $1";
const INSERT: &str = "
    INSERT INTO x402_identifiers (identifier, id) VALUES ($1, $2)
    ON CONFLICT (identifier) DO NOTHING";

/// Which ledger it is; of several who are the first to ask, all are told the same.
pub(super) async fn identity(client: &Client) -> Result<LedgerIdentity, LedgerError> {
    if let Some(known) = find(client).await? {
        return Ok(known);
    }
    let new = LedgerIdentity::random()?.0;
    let values = [(&NAME as _, Type::BYTEA), (&&new[..] as _, Type::BYTEA)];
    client.execute_typed(INSERT, &values).await.map_err(storage)?;
    find(client).await?.ok_or(LedgerError::Missing)
}

async fn find(client: &Client) -> Result<Option<LedgerIdentity>, LedgerError> {
    let rows = client.query_typed(FIND, &[(&NAME as _, Type::BYTEA)]).await.map_err(storage)?;
    let Some(row) = rows.first() else { return Ok(None) };
    LedgerIdentity::read(row.try_get(0).map_err(storage)?).map(Some)
}
