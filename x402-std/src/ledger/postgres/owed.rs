//! What payers owe.

use tokio_postgres::types::Type;
use tokio_postgres::{Client, Transaction};
use x402_core::{Amount, PaymentId};

use super::pool::storage;
use super::rows::decode;
use super::sums::{Sums, amount};
use crate::ledger::owed::Owing;
use crate::ledger::{CreditAccount, LedgerError, Owed, OwedAccount};

const OWED: Sums = Sums { table: "x402_owed" };
const FIND_DEBTS: &str = "SELECT entry FROM x402_entries WHERE debtor = $1 ORDER BY id";
/// In one statement: both as they were at one time.
const OWES: &str = "
    SELECT COALESCE((SELECT amount FROM x402_owed WHERE account = $1), $2),
        ARRAY(SELECT id FROM x402_entries WHERE debtor = $3 ORDER BY id)";

pub(super) async fn owes(client: &Client, account: &OwedAccount) -> Result<Owed, LedgerError> {
    let (key, nothing) = (&account.to_bytes()[..], &Amount::ZERO.to_be_bytes()[..]);
    let payer = &account.payer.as_bytes()[..];
    let values = [&key as _, &nothing as _, &payer as _].map(|value| (value, Type::BYTEA));
    let row = client.query_typed_one(OWES, &values).await.map_err(storage)?;
    let ids: Vec<&[u8]> = row.try_get(1).map_err(storage)?;
    let ids = ids.into_iter().map(|id| id.try_into().map(PaymentId::from_bytes));
    let debts = ids.collect::<Result<_, _>>().map_err(|_| LedgerError::Corrupt)?;
    Ok(Owed { sum: amount(&row, 0)?, debts })
}

/// The payments for which credit of this account is owed.
pub(super) async fn due_from(
    transaction: &Transaction<'_>,
    account: &CreditAccount,
) -> Result<Vec<PaymentId>, LedgerError> {
    let payer = &account.payer.as_bytes()[..];
    let rows = transaction.query_typed(FIND_DEBTS, &[(&payer, Type::BYTEA)]).await;
    let mut due = Vec::new();
    for row in rows.map_err(storage)? {
        let entry = decode(&row)?;
        due.extend(entry.is_due_from(account).then(|| entry.id()));
    }
    Ok(due)
}

/// Changes the sum; the debts are in the entries' rows. Only a balance is locked later than the sum,
/// whatever else a transaction has locked: so no two wait for each other.
pub(super) async fn change(
    transaction: &Transaction<'_>,
    owing: &Owing,
) -> Result<(), LedgerError> {
    if !owing.moves_sum() {
        return Ok(());
    }
    let sum = lock(transaction, &owing.account).await?;
    set(transaction, owing, owing.sum_after(sum)?).await
}

pub(super) async fn lock(
    transaction: &Transaction<'_>,
    account: &OwedAccount,
) -> Result<Amount, LedgerError> {
    OWED.lock(transaction, &account.to_bytes()).await
}

/// Writes a sum that is locked.
pub(super) async fn set(
    transaction: &Transaction<'_>,
    owing: &Owing,
    sum: Amount,
) -> Result<(), LedgerError> {
    OWED.set(transaction, &owing.account.to_bytes(), sum).await
}
