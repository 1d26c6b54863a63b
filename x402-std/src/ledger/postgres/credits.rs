//! Balances and draws.

use tokio_postgres::types::Type;
use tokio_postgres::{Client, Row, Transaction};
use x402_core::Amount;

use super::pool::storage;
use super::sums::{Sums, amount};
use super::{begin, owed, to_column};
use crate::ledger::{Conclusion, CreditAccount, Draw, DrawId, Drawing, LedgerError, encoding};

const SUMS: Sums = Sums { table: "x402_balances" };
const BALANCE: &str = "SELECT amount FROM x402_balances WHERE account = $1";
const BALANCE_TO_CHANGE: &str = "SELECT amount FROM x402_balances WHERE account = $1 FOR UPDATE";
const BALANCES: &str = "SELECT account, amount FROM x402_balances ORDER BY account";
const FIND: &str = "SELECT draw FROM x402_draws WHERE id = $1";
const FIND_TO_CHANGE: &str = "SELECT draw FROM x402_draws WHERE id = $1 FOR UPDATE";
const FIND_HELD: &str = "SELECT draw FROM x402_draws WHERE due IS NULL ORDER BY id";
const INSERT: &str =
    "INSERT INTO x402_draws (id, draw) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING";
const UPDATE: &str = "UPDATE x402_draws SET draw = $2, due = $3 WHERE id = $1";
const DELETE: &str = "DELETE FROM x402_draws WHERE id = $1";
/// Forgets a few draws whose time is over, by the caller's clock and by the server's. What is held has
/// none.
const SWEEP: &str = "
    DELETE FROM x402_draws WHERE id IN (
        SELECT id FROM x402_draws WHERE due < LEAST($1, EXTRACT(EPOCH FROM now())::bigint)
        ORDER BY due LIMIT 16 FOR UPDATE SKIP LOCKED
    )";
/// How often a draw looks again that was made and returned under its eyes.
const ATTEMPTS: usize = 8;

pub(super) async fn balance(
    client: &Client,
    account: &CreditAccount,
) -> Result<Amount, LedgerError> {
    let key = &account.to_bytes()[..];
    let row = client.query_typed_opt(BALANCE, &[(&key, Type::BYTEA)]).await.map_err(storage)?;
    Ok(row.map(|row| amount(&row, 0)).transpose()?.unwrap_or_default())
}

pub(super) async fn balances(client: &Client) -> Result<Vec<(CreditAccount, Amount)>, LedgerError> {
    let rows = client.query_typed(BALANCES, &[]).await.map_err(storage)?;
    rows.iter()
        .map(|row| {
            let account: &[u8] = row.try_get(0).map_err(storage)?;
            let account = account.try_into().map_err(|_| LedgerError::Corrupt)?;
            Ok((CreditAccount::from_bytes(account), amount(row, 1)?))
        })
        .collect()
}

/// Puts an amount into a balance. Its row is locked last, whatever else a transaction has locked: so no
/// two wait for each other.
pub(super) async fn add(
    transaction: &Transaction<'_>,
    account: &CreditAccount,
    more: Amount,
) -> Result<(), LedgerError> {
    if more == Amount::ZERO {
        return Ok(());
    }
    let balance = lock(transaction, account).await?;
    set(transaction, account, balance.checked_add(more).ok_or(LedgerError::Overflow)?).await
}

pub(super) async fn lock(
    transaction: &Transaction<'_>,
    account: &CreditAccount,
) -> Result<Amount, LedgerError> {
    SUMS.lock(transaction, &account.to_bytes()).await
}

/// Writes a balance that is locked.
pub(super) async fn set(
    transaction: &Transaction<'_>,
    account: &CreditAccount,
    balance: Amount,
) -> Result<(), LedgerError> {
    SUMS.set(transaction, &account.to_bytes(), balance).await
}

fn decode(row: &Row) -> Result<Draw, LedgerError> {
    encoding::decode_draw(row.try_get(0).map_err(storage)?)
}

pub(super) async fn find(client: &Client, id: DrawId) -> Result<Option<Draw>, LedgerError> {
    let key = &id.0[..];
    let row = client.query_typed_opt(FIND, &[(&key, Type::BYTEA)]).await.map_err(storage)?;
    row.as_ref().map(decode).transpose()
}

pub(super) async fn held(client: &Client) -> Result<Vec<Draw>, LedgerError> {
    let rows = client.query_typed(FIND_HELD, &[]).await.map_err(storage)?;
    rows.iter().map(decode).collect()
}

pub(super) async fn draw(client: &mut Client, draw: &Draw) -> Result<Drawing, LedgerError> {
    let now = to_column(draw.drawn_at);
    for attempt in 0..ATTEMPTS {
        // A repetition is answered without a transaction.
        if let Some(known) = find(client, draw.id).await? {
            return Ok(Drawing::Known(Box::new(known)));
        }
        if attempt == 0 {
            client.execute_typed(SWEEP, &[(&now, Type::INT8)]).await.map_err(storage)?;
        }
        if let Some(drawing) = insert(client, draw).await? {
            return Ok(drawing);
        }
    }
    Err(LedgerError::Storage("the draw is made and returned all the time".into()))
}

/// Records the draw and takes its amount; `None` where another has done so since we looked.
async fn insert(client: &mut Client, draw: &Draw) -> Result<Option<Drawing>, LedgerError> {
    let (id, bytes) = (&draw.id.0[..], encoding::encode_draw(draw));
    // Dropped without a commit, a transaction leaves nothing behind.
    let transaction = begin(client).await?;
    let values = [(&id as _, Type::BYTEA), (&bytes as _, Type::BYTEA)];
    if transaction.execute_typed(INSERT, &values).await.map_err(storage)? == 0 {
        return Ok(None);
    }
    let key = &draw.account.to_bytes()[..];
    let row = transaction.query_typed_opt(BALANCE_TO_CHANGE, &[(&key, Type::BYTEA)]).await;
    let row = row.map_err(storage)?;
    let balance = row.map(|row| amount(&row, 0)).transpose()?.unwrap_or_default();
    if balance != Amount::ZERO {
        let due = owed::due_from(&transaction, &draw.account).await?;
        if !due.is_empty() {
            return Ok(Some(Drawing::Owing(due)));
        }
    }
    let Some(rest) = balance.checked_sub(draw.amount) else {
        return Ok(Some(Drawing::Short(balance)));
    };
    SUMS.set(&transaction, key, rest).await?;
    transaction.commit().await.map_err(storage)?;
    Ok(Some(Drawing::New))
}

pub(super) async fn conclude(
    client: &mut Client,
    id: DrawId,
    conclusion: Conclusion,
) -> Result<(), LedgerError> {
    let key = &id.0[..];
    let transaction = begin(client).await?;
    let row = transaction.query_typed_opt(FIND_TO_CHANGE, &[(&key, Type::BYTEA)]).await;
    let draw = decode(&row.map_err(storage)?.ok_or(LedgerError::Missing)?)?;
    let account = draw.account;
    let (draw, rest) = draw.after(conclusion)?;
    let done = match draw {
        Some(draw) => {
            let (bytes, due) = (encoding::encode_draw(&draw), to_column(draw.keep_until()));
            let values =
                [(&key as _, Type::BYTEA), (&bytes as _, Type::BYTEA), (&due as _, Type::INT8)];
            transaction.execute_typed(UPDATE, &values).await
        }
        None => transaction.execute_typed(DELETE, &[(&key, Type::BYTEA)]).await,
    };
    done.map_err(storage)?;
    add(&transaction, &account, rest).await?;
    transaction.commit().await.map_err(storage)
}
