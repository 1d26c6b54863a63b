use tokio_postgres::types::Type;
use tokio_postgres::{Client, GenericClient};

use super::begin;
use super::pool::storage;
use crate::ledger::LedgerError;
use crate::ledger::remote::failed;

/// The format of the tables; entries carry one of their own.
pub(super) const FORMAT: i64 = 4;
/// The format before, which is converted.
pub(super) const OLD_FORMAT: i64 = 3;

/// Two who make the tables at the same time would be in each other's way, `IF NOT EXISTS` or not.
pub(super) const LOCK: &str = "SELECT pg_advisory_xact_lock(7340402)";
/// A row of `x402_logs` is of a log that has paid, or of a transaction that counts as used for a payment: by
/// chain and transaction; the log's position, or the payment's id; and the chain and block, if it is a
/// log's.
pub(super) const TABLES: &str = "
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
    CREATE INDEX IF NOT EXISTS x402_draws_due ON x402_draws (due) WHERE due IS NOT NULL;
    CREATE TABLE IF NOT EXISTS x402_logs (
        transaction bytea, slot bytea, id bytea NOT NULL, block bytea, until bigint NOT NULL,
        unfinal boolean NOT NULL, PRIMARY KEY (transaction, slot)
    );
    CREATE INDEX IF NOT EXISTS x402_logs_unfinal ON x402_logs (block, id) WHERE unfinal;
    CREATE INDEX IF NOT EXISTS x402_logs_until ON x402_logs (until);";
const SIGN: &str =
    "INSERT INTO x402_ledger (format) SELECT $1 WHERE NOT EXISTS (SELECT FROM x402_ledger)";

/// What there is to do yet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Prepared {
    /// Nothing.
    IsReady,
    /// The tables are of the format before: they have to be converted, however long that takes.
    IsOld,
}

/// Sees to it that the tables are there, and of this format or the one before.
pub(super) async fn prepare(client: &mut Client) -> Result<Prepared, LedgerError> {
    // Looked for first: who may not make tables may use those that are there.
    let mut found = format(client).await?;
    if found.is_none() {
        create(client).await?;
        found = format(client).await?;
    }
    if found == Some(OLD_FORMAT) {
        return Ok(Prepared::IsOld);
    }
    match found {
        Some(FORMAT) => {
            warn_of_loss(client).await?;
            Ok(Prepared::IsReady)
        }
        other => Err(failed(format_args!(
            "it is a ledger of format {}, and this version reads formats {OLD_FORMAT} and {FORMAT}: \
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
    format_of(client).await
}

/// What the tables that are there say of themselves.
pub(super) async fn format_of(client: &impl GenericClient) -> Result<Option<i64>, LedgerError> {
    let row = client.query_opt("SELECT format FROM x402_ledger", &[]).await;
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
