//! Tables of the format before, which did not say which logs have paid.

use tokio_postgres::types::Type;
use tokio_postgres::{Client, Transaction};

use super::begin;
use super::pool::storage;
use super::schema::{FORMAT, LOCK, OLD_FORMAT, TABLES, format_of};
use crate::ledger::logs::{PaidRow, key};
use crate::ledger::remote::failed;
use crate::ledger::{LedgerError, encoding};

/// How many entries are read at once: each may have an answer with it.
const PAGE: i64 = 100;
/// It takes as long as it takes, and whoever comes meanwhile waits for it.
const UNLIMITED: &str =
    "SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0";
/// Whoever has the tables open and is of the version before writes nothing meanwhile.
const HOLD: &str = "LOCK TABLE x402_entries IN SHARE ROW EXCLUSIVE MODE";
const NEXT: &str = "SELECT id, entry FROM x402_entries WHERE id > $1 ORDER BY id LIMIT $2";
const INSERT: &str = "
    INSERT INTO x402_logs (transaction, slot, id, until, unfinal)
    SELECT *, false FROM unnest($1::bytea[], $2::bytea[], $2::bytea[], $3::bigint[])
    ON CONFLICT (transaction, slot) DO NOTHING";
/// Who might write to the tables that were there may write to the new one.
const GRANT: &str = "
    DO $$ DECLARE name text; BEGIN
        FOR name IN
            SELECT DISTINCT CASE grantee WHEN 'PUBLIC' THEN 'PUBLIC' ELSE quote_ident(grantee) END
            FROM information_schema.role_table_grants
            WHERE table_schema = current_schema() AND table_name = 'x402_entries'
                AND privilege_type = 'INSERT' AND grantee <> current_user
        LOOP
            EXECUTE 'GRANT SELECT, INSERT, UPDATE, DELETE ON x402_logs TO ' || name;
        END LOOP;
    END $$";
const SIGN: &str = "UPDATE x402_ledger SET format = $1";

/// Makes them tables of this format, in one change: of what was settled, the whole transaction counts as
/// used. Of several who do it at once, the first does it.
pub(super) async fn convert(client: &mut Client) -> Result<(), LedgerError> {
    let transaction = begin(client).await?;
    transaction.batch_execute(UNLIMITED).await.map_err(storage)?;
    transaction.batch_execute(LOCK).await.map_err(storage)?;
    if format_of(&transaction).await? != Some(OLD_FORMAT) {
        return Ok(());
    }
    for statement in [HOLD, TABLES, GRANT] {
        transaction
            .batch_execute(statement)
            .await
            .map_err(|error| not_converted(&storage(error)))?;
    }
    let mut after = Vec::new();
    while let Some(last) = convert_page(&transaction, &after).await? {
        after = last;
    }
    transaction.execute_typed(SIGN, &[(&FORMAT, Type::INT8)]).await.map_err(storage)?;
    transaction.commit().await.map_err(storage)?;
    tracing::info!("the ledger is converted to format {FORMAT}");
    Ok(())
}

fn not_converted(error: &LedgerError) -> LedgerError {
    failed(format_args!(
        "it is a ledger of format {OLD_FORMAT}, and this role cannot convert it: connect once as the one \
         who has made its tables ({error})"
    ))
}

/// The id of the last entry that was read; `None` behind the last of all.
async fn convert_page(
    transaction: &Transaction<'_>,
    after: &[u8],
) -> Result<Option<Vec<u8>>, LedgerError> {
    let values = [(&after as _, Type::BYTEA), (&PAGE as _, Type::INT8)];
    let page = transaction.query_typed(NEXT, &values).await.map_err(storage)?;
    let (mut names, mut slots, mut untils) = (Vec::new(), Vec::new(), Vec::new());
    for row in &page {
        match encoding::decode(row.try_get(1).map_err(storage)?) {
            Ok(entry) => {
                let Some(row) = PaidRow::of_old(&entry) else { continue };
                names.push(key::transaction(row.chain_id, row.transaction).to_vec());
                slots.push(key::slot(row.id, row.log));
                untils.push(super::to_column(row.until));
            }
            // It is an error of its own payment, now as before.
            Err(LedgerError::Corrupt) => tracing::warn!("an entry of the ledger cannot be read"),
            Err(error) => return Err(error),
        }
    }
    let values = [
        (&names as _, Type::BYTEA_ARRAY),
        (&slots as _, Type::BYTEA_ARRAY),
        (&untils as _, Type::INT8_ARRAY),
    ];
    transaction.execute_typed(INSERT, &values).await.map_err(storage)?;
    let last = page.last().map(|row| row.try_get::<_, Vec<u8>>(0).map_err(storage));
    last.transpose()
}
