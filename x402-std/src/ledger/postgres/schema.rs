use tokio_postgres::Client;
use tokio_postgres::types::Type;

use super::begin;
use super::pool::storage;
use crate::ledger::LedgerError;
use crate::ledger::remote::failed;

/// The format of the tables; entries carry one of their own.
const FORMAT: i64 = 3;

/// Two who make the tables at the same time would be in each other's way, `IF NOT EXISTS` or not.
const LOCK: &str = "SELECT pg_advisory_xact_lock(7340402)";
const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS x402_ledger (format bigint NOT NULL);
    CREATE TABLE IF NOT EXISTS x402_entries (
        id bytea PRIMARY KEY, entry bytea NOT NULL, open boolean NOT NULL, due bigint NOT NULL,
        debtor bytea
    );
    CREATE INDEX IF NOT EXISTS x402_entries_open ON x402_entries (id) WHERE open;
    CREATE INDEX IF NOT EXISTS x402_entries_due ON x402_entries (due) WHERE NOT open;
    CREATE INDEX IF NOT EXISTS x402_entries_debtor ON x402_entries (debtor) WHERE debtor IS NOT NULL;
    CREATE TABLE IF NOT EXISTS x402_identifiers (
        identifier bytea PRIMARY KEY, id bytea NOT NULL
    );
    CREATE INDEX IF NOT EXISTS x402_identifiers_id ON x402_identifiers (id);
    CREATE TABLE IF NOT EXISTS x402_leases (
        id bytea PRIMARY KEY, owner bytea NOT NULL, until timestamptz NOT NULL
    );
    CREATE TABLE IF NOT EXISTS x402_owed (account bytea PRIMARY KEY, amount bytea NOT NULL);
    CREATE TABLE IF NOT EXISTS x402_balances (account bytea PRIMARY KEY, amount bytea NOT NULL);
    CREATE TABLE IF NOT EXISTS x402_draws (id bytea PRIMARY KEY, draw bytea NOT NULL, due bigint);
    CREATE INDEX IF NOT EXISTS x402_draws_held ON x402_draws (id) WHERE due IS NULL;
    CREATE INDEX IF NOT EXISTS x402_draws_due ON x402_draws (due) WHERE due IS NOT NULL;";
const SIGN: &str =
    "INSERT INTO x402_ledger (format) SELECT $1 WHERE NOT EXISTS (SELECT FROM x402_ledger)";

/// Sees to it that the tables are there, and of this format.
pub(super) async fn prepare(client: &mut Client) -> Result<(), LedgerError> {
    // Looked for first: who may not make tables may use those that are there.
    let mut found = format(client).await?;
    if found.is_none() {
        create(client).await?;
        found = format(client).await?;
    }
    match found {
        Some(FORMAT) => warn_of_loss(client).await,
        other => Err(failed(format_args!(
            "it is a ledger of format {}, and this version reads format {FORMAT}: \
             use the version that wrote it, or another schema",
            other.unwrap_or_default()
        ))),
    }
}

/// What the tables say of themselves; `None` where there are none.
async fn format(client: &Client) -> Result<Option<i64>, LedgerError> {
    let there = client.query_typed_one("SELECT to_regclass('x402_ledger') IS NOT NULL", &[]).await;
    let there: bool = there.and_then(|row| row.try_get(0)).map_err(storage)?;
    if !there {
        return Ok(None);
    }
    let row = client.query_typed_opt("SELECT format FROM x402_ledger", &[]).await;
    row.map_err(storage)?.map(|row| row.try_get(0).map_err(storage)).transpose()
}

async fn create(client: &mut Client) -> Result<(), LedgerError> {
    let transaction = begin(client).await?;
    transaction.batch_execute(LOCK).await.map_err(storage)?;
    transaction.batch_execute(TABLES).await.map_err(storage)?;
    transaction.execute_typed(SIGN, &[(&FORMAT, Type::INT8)]).await.map_err(storage)?;
    transaction.commit().await.map_err(storage)
}

/// The server's settings are the operator's; those that forget payments in a crash are said aloud.
async fn warn_of_loss(client: &Client) -> Result<(), LedgerError> {
    for setting in ["fsync", "synchronous_commit"] {
        let row = client.query_typed_one(&format!("SHOW {setting}"), &[]).await;
        let value: String = row.and_then(|row| row.try_get(0)).map_err(storage)?;
        if value == "off" {
            tracing::warn!(setting, "is off in PostgreSQL: it may forget payments when it crashes");
        }
    }
    Ok(())
}
