//! Which logs have paid.

use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row, Transaction};
use x402_core::{ChainId, PaymentId};

use super::pool::storage;
use super::rows::{EntryRow, decode, decode_id};
use crate::chain::{Block, PaidLog, TxHash};
use crate::ledger::logs::{PaidRow, check_fill_in, filled_in, key};
use crate::ledger::remote::failed;
use crate::ledger::{Entry, LedgerError, PaidBy};

/// With an entry, in one statement, the log that pays for it; and why not, if it cannot: whether its
/// transaction is recorded in another block.
///
/// Two who claim the same log are kept apart by the table's key. Of two who record two logs of one
/// transaction at the same time, each in a block of its own, both may succeed: both are in the index of
/// what is not final, and the one whose block is none is reversed from there.
const UPDATE_AND_PAY: &str = "
    WITH others AS MATERIALIZED (
        SELECT slot, block FROM x402_logs WHERE transaction = $6
    ), paid AS (
        INSERT INTO x402_logs (transaction, slot, id, block, until, unfinal)
        SELECT $6, $7, $1, $8, $9, true
        WHERE NOT EXISTS (SELECT FROM others WHERE block IS DISTINCT FROM $8 OR slot = $7)
        ON CONFLICT (transaction, slot) DO NOTHING
        RETURNING true
    ), changed AS (
        UPDATE x402_entries SET entry = $2, open = $3, due = $4, debtor = $5 WHERE id = $1
    )
    SELECT EXISTS (SELECT FROM paid), EXISTS (SELECT FROM others WHERE block <> $8)";
/// With an entry, what it was paid by is given back.
const UPDATE_AND_GIVE_BACK: &str = "
    WITH gone AS (
        DELETE FROM x402_logs WHERE transaction = $6 AND slot = $7 AND id = $1
    )
    UPDATE x402_entries SET entry = $2, open = $3, due = $4, debtor = $5 WHERE id = $1";
const PAID_BY: &str = "SELECT id, slot, block FROM x402_logs WHERE transaction = $1 ORDER BY id";
/// From one block to the next, however many payments each has.
const UNFINAL_BLOCKS: &str = "
    WITH RECURSIVE blocks AS (
        (SELECT block FROM x402_logs WHERE unfinal AND block > $1 AND block < $2
         ORDER BY block LIMIT 1)
        UNION ALL
        SELECT (SELECT block FROM x402_logs
                WHERE unfinal AND block > blocks.block AND block < $2
                ORDER BY block LIMIT 1)
        FROM blocks WHERE blocks.block IS NOT NULL
    )
    SELECT block FROM blocks WHERE block IS NOT NULL LIMIT $3";
const PAID_IN: &str = "
    SELECT id FROM x402_logs WHERE unfinal AND block = $1 AND id > $2 ORDER BY id LIMIT $3";
const FINALIZE: &str = "UPDATE x402_logs SET unfinal = false WHERE unfinal AND block = $1";
const FIND_ALL_TO_CHANGE: &str =
    "SELECT entry FROM x402_entries WHERE id = ANY($1) ORDER BY id FOR UPDATE";
const PAID_BY_TO_CHANGE: &str = "
    SELECT id, slot, block FROM x402_logs WHERE transaction = $1 ORDER BY id FOR UPDATE";
const FILL_IN: &str =
    "UPDATE x402_logs SET slot = $3, block = $4 WHERE transaction = $1 AND slot = $2";
const UPDATE_ENTRY: &str = "UPDATE x402_entries SET entry = $2 WHERE id = $1";

/// Writes an entry, and the log that pays for it.
pub(super) async fn update_and_pay(
    transaction: &Transaction<'_>,
    id: &[u8],
    entry: &EntryRow,
    row: &PaidRow,
) -> Result<(), LedgerError> {
    let Some(log) = row.log else { return Err(LedgerError::Corrupt) };
    let (name, slot) =
        (key::transaction(row.chain_id, row.transaction), key::slot(row.id, row.log));
    let (name, until) = (&name[..], super::to_column(row.until));
    let block = &key::block(row.chain_id, log.block)[..];
    let log: [(&(dyn ToSql + Sync), Type); 4] =
        [(&name, Type::BYTEA), (&slot, Type::BYTEA), (&block, Type::BYTEA), (&until, Type::INT8)];
    let values: Vec<_> = entry.values(&id).into_iter().chain(log).collect();
    let done = transaction.query_typed_one(UPDATE_AND_PAY, &values).await.map_err(storage)?;
    let is_paid: bool = done.try_get(0).map_err(storage)?;
    let is_elsewhere: bool = done.try_get(1).map_err(storage)?;
    match (is_paid, is_elsewhere) {
        (true, _) => Ok(()),
        (false, true) => Err(LedgerError::Remined),
        (false, false) => Err(LedgerError::LogTaken),
    }
}

/// Writes an entry, and gives back what has paid for it.
pub(super) async fn update_and_give_back(
    transaction: &Transaction<'_>,
    id: &[u8],
    entry: &EntryRow,
    row: &PaidRow,
) -> Result<(), LedgerError> {
    let (name, slot) =
        (key::transaction(row.chain_id, row.transaction), key::slot(row.id, row.log));
    let name = &name[..];
    let log: [(&(dyn ToSql + Sync), Type); 2] = [(&name, Type::BYTEA), (&slot, Type::BYTEA)];
    let values: Vec<_> = entry.values(&id).into_iter().chain(log).collect();
    let done = transaction.execute_typed(UPDATE_AND_GIVE_BACK, &values).await;
    done.map(drop).map_err(storage)
}

fn read(row: &Row) -> Result<(PaymentId, Option<PaidLog>), LedgerError> {
    let [id, slot] = [0, 1].map(|column| row.try_get::<_, &[u8]>(column).map_err(storage));
    let block: Option<&[u8]> = row.try_get(2).map_err(storage)?;
    let id = id?.try_into().map(PaymentId::from_bytes).map_err(|_| LedgerError::Corrupt)?;
    let Some(block) = block else { return Ok((id, None)) };
    let block = key::read_block(block).ok_or(LedgerError::Corrupt)?;
    let position = slot?.try_into().map(u32::from_be_bytes).map_err(|_| LedgerError::Corrupt)?;
    Ok((id, Some(PaidLog { block, position })))
}

pub(super) async fn paid_by(
    client: &Client,
    chain_id: ChainId,
    transaction: TxHash,
) -> Result<PaidBy, LedgerError> {
    let name = &key::transaction(chain_id, transaction)[..];
    let rows = client.query_typed(PAID_BY, &[(&name, Type::BYTEA)]).await.map_err(storage)?;
    rows.iter().map(read).collect()
}

pub(super) async fn unfinal_blocks(
    client: &Client,
    chain_id: ChainId,
    most: usize,
) -> Result<Vec<Block>, LedgerError> {
    let [before, behind] = [0, 0xff].map(|byte| {
        let mut name = [byte; key::BLOCK];
        name.iter_mut().zip(chain_id.get().to_be_bytes()).for_each(|(slot, byte)| *slot = byte);
        name
    });
    let (before, behind, most) = (&before[..], &behind[..], limit(most));
    let values =
        [(&before as _, Type::BYTEA), (&behind as _, Type::BYTEA), (&most as _, Type::INT8)];
    let rows = client.query_typed(UNFINAL_BLOCKS, &values).await.map_err(storage)?;
    let block = |row: &Row| {
        let block: &[u8] = row.try_get(0).map_err(storage)?;
        key::read_block(block).ok_or(LedgerError::Corrupt)
    };
    rows.iter().map(block).collect()
}

fn limit(most: usize) -> i64 {
    i64::try_from(most).unwrap_or(i64::MAX)
}

pub(super) async fn paid_in(
    client: &Client,
    chain_id: ChainId,
    block: Block,
    after: Option<PaymentId>,
    most: usize,
) -> Result<Vec<PaymentId>, LedgerError> {
    let block = &key::block(chain_id, block)[..];
    let after = after.map(|id| id.to_bytes().to_vec()).unwrap_or_default();
    let most = limit(most);
    let values = [(&block as _, Type::BYTEA), (&after as _, Type::BYTEA), (&most as _, Type::INT8)];
    let rows = client.query_typed(PAID_IN, &values).await.map_err(storage)?;
    rows.iter().map(decode_id).collect()
}

pub(super) async fn finalize(
    client: &Client,
    chain_id: ChainId,
    block: Block,
) -> Result<(), LedgerError> {
    let block = &key::block(chain_id, block)[..];
    let done = client.execute_typed(FINALIZE, &[(&block, Type::BYTEA)]).await;
    done.map(drop).map_err(storage)
}

/// Puts logs in the place of the whole transaction. What stood there was final, and stays so.
///
/// All entries are locked before any log is: whoever takes a step has its entry's lock before it asks for
/// a log's.
pub(super) async fn fill_in(
    client: &mut Client,
    chain_id: ChainId,
    hash: TxHash,
    logs: &[(PaymentId, PaidLog)],
) -> Result<(), LedgerError> {
    let transaction = super::begin(client).await?;
    let ids: Vec<_> = logs.iter().map(|(id, _)| id.to_bytes().to_vec()).collect();
    let rows = transaction.query_typed(FIND_ALL_TO_CHANGE, &[(&ids, Type::BYTEA_ARRAY)]).await;
    let entries = rows.map_err(storage)?.iter().map(decode).collect::<Result<Vec<_>, _>>()?;
    let name = &key::transaction(chain_id, hash)[..];
    let rows = transaction.query_typed(PAID_BY_TO_CHANGE, &[(&name, Type::BYTEA)]).await;
    let paid = rows.map_err(storage)?.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    check_fill_in(logs, &paid)?;
    for (id, log) in logs {
        let (whole, slot) = (key::slot(*id, None), key::slot(*id, Some(*log)));
        let block = &key::block(chain_id, log.block)[..];
        let values = [&name as &(dyn ToSql + Sync), &whole, &slot, &block];
        let values = values.map(|value| (value, Type::BYTEA));
        transaction.execute_typed(FILL_IN, &values).await.map_err(storage)?;
    }
    for entry in &entries {
        let log = logs.iter().find(|(id, _)| *id == entry.id());
        let filled = log.and_then(|(_, log)| filled_in(entry, hash, *log));
        if let Some(entry) = filled {
            write_entry(&transaction, &entry).await?;
        }
    }
    transaction.commit().await.map_err(storage)
}

async fn write_entry(transaction: &Transaction<'_>, entry: &Entry) -> Result<(), LedgerError> {
    let (id, bytes) = (entry.id().to_bytes().to_vec(), crate::ledger::encoding::encode(entry));
    let values = [(&id as _, Type::BYTEA), (&bytes as _, Type::BYTEA)];
    match transaction.execute_typed(UPDATE_ENTRY, &values).await.map_err(storage)? {
        1 => Ok(()),
        _ => Err(failed("PostgreSQL has lost an entry that is locked")),
    }
}
