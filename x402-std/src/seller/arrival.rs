//! What moved the money, taken down: one log pays for one payment.

use x402_core::{Amount, ChainId, Error, PaymentId, Refusal};

use super::{Rejection, Steps};
use crate::chain::{Chain, ChainError, Outcome, PaidLog, Sent, Settlement, TxHash, Usage};
use crate::ledger::{Entry, Ledger, LedgerError, Step};

/// Takes down that a transaction moved the money of a payment.
///
/// Where its log has paid for another payment, one that has not is looked for in the same transaction;
/// where there is none, the payment stays open, for the operator. Where the transaction is recorded in
/// another block, that one is gone: all that it had settled there is open again, and judged anew.
///
/// # Errors
///
/// [`Rejection`]: the outcome is not known yet. The money may have moved, so it never is that nothing was
/// charged.
pub(crate) async fn record(
    chain: &dyn Chain,
    entry: &Entry,
    steps: &Steps<'_>,
    settlement: Settlement,
    is_own: bool,
) -> Result<TxHash, Rejection> {
    let recorded = match steps.settle(settlement).await {
        Err(LedgerError::LogTaken) => another(chain, entry, steps, settlement, is_own).await,
        Err(LedgerError::Remined) => again(chain, steps, settlement).await,
        recorded => recorded,
    };
    let hash = settlement.transaction;
    if let Err(error) = recorded {
        tracing::warn!(payment = %entry.id(), transaction = %hash, %error, "not taken down as settled");
        return Err(Rejection { transaction: Some(hash), ..Rejection::pending(entry) });
    }
    tracing::info!(payment = %entry.id(), transaction = %hash, "settled");
    Ok(hash)
}

/// From when on, in Unix seconds, a use of the authorization counts as this payment's. Before the
/// claim it was spent on something else; chain and seller may differ by some minutes.
pub(crate) const fn since(entry: &Entry) -> u64 {
    const CLOCK_SKEW_SECONDS: u64 = 300;
    entry.claimed_at.saturating_sub(CLOCK_SKEW_SECONDS)
}

/// What became of an authorization, whoever has used it.
pub(crate) enum Found {
    /// This transaction has moved its money, which is taken down.
    Settled(TxHash),
    /// It is proved that it never will, for this reason.
    Ended(Error),
    /// Nobody has used it.
    Unused,
    /// It was used by this transaction, and what that moved cannot be told: it is for the operator.
    Undecided(TxHash),
    /// It is not known.
    Unknown,
}

/// Looks for the use of a payment's authorization in blocks not older than `since` (Unix seconds), and takes
/// down what it moved. Logs that have paid for other payments do not count: where one of those is found, the
/// next is looked for.
pub(crate) async fn find_use(
    chain: &dyn Chain,
    entry: &Entry,
    steps: &Steps<'_>,
    since: u64,
) -> Found {
    /// Of how many transactions the logs may turn out to be others'.
    const TRIES: usize = 4;
    let mut taken: Vec<(TxHash, u32)> = Vec::new();
    for _ in 0..TRIES {
        let settlement = match chain.find(&entry.payment, since, &taken).await {
            Ok(Usage::Settled(_, settlement)) => settlement,
            Ok(Usage::Void) => return Found::Ended(Error::AuthorizationUsed),
            Ok(Usage::Expired) => return Found::Ended(Error::Expired),
            Ok(Usage::Unused) => return Found::Unused,
            Ok(Usage::Undecided(transaction)) => return Found::Undecided(transaction),
            Err(error) => {
                tracing::warn!(payment = %entry.id(), %error, "its use cannot be asked for");
                return Found::Unknown;
            }
        };
        let hash = settlement.transaction;
        let is_own = entry.hashes().any(|sent| sent == hash);
        if let Ok(hash) = record(chain, entry, steps, settlement, is_own).await {
            return Found::Settled(hash);
        }
        let others = others_of(steps, chain.chain_id(), hash).await.unwrap_or_default();
        let before = taken.len();
        taken.extend(others.into_iter().map(|position| (hash, position)));
        taken.sort_unstable_by_key(|(hash, position)| (hash.0, *position));
        taken.dedup();
        if taken.len() == before {
            break;
        }
    }
    Found::Unknown
}

/// The positions of a transaction's logs that have paid for other payments.
async fn others_of(
    steps: &Steps<'_>,
    chain_id: ChainId,
    hash: TxHash,
) -> Result<Vec<u32>, LedgerError> {
    let rows = steps.ledger().paid_by(chain_id, hash).await?;
    let others = rows.into_iter().filter(|(id, _)| *id != steps.id());
    Ok(others.filter_map(|(_, log)| log.map(|log| log.position)).collect())
}

/// Takes down that the token moved another value than was signed: what has arrived is the payer's credit.
pub(super) async fn record_short(
    entry: &Entry,
    steps: &Steps<'_>,
    settlement: Settlement,
    arrived: Amount,
) -> Result<(), Rejection> {
    let (asset, signed) = (entry.payment.asset(), entry.payment.amount());
    let transaction = settlement.transaction;
    tracing::error!(
        payment = %entry.id(), %asset, %signed, %arrived, %transaction,
        "THE TOKEN MOVES ANOTHER VALUE THAN IS SIGNED: nothing more is sold in it until a restart"
    );
    let recorded = steps.apply(Step::Short(settlement, arrived)).await;
    recorded.map_err(|_| Rejection { transaction: Some(transaction), ..Rejection::pending(entry) })
}

/// The token moved another value than was signed: that is so, however often it is asked.
pub(super) fn short(entry: &Entry, transaction: Option<TxHash>) -> Rejection {
    let payer = Some(entry.payment.payer());
    Rejection { refusal: Refusal::Short, transaction, payer }
}

/// What a transaction has done cannot be told: nothing is charged anew for it.
pub(super) fn undecided(entry: &Entry) -> Rejection {
    tracing::error!(
        payment = %entry.id(),
        "the authorization was used, and whether it has paid cannot be told: see `x402 ledger resolve --accept`"
    );
    Rejection::pending(entry)
}

/// Looks for another log of the transaction that has not paid yet.
async fn another(
    chain: &dyn Chain,
    entry: &Entry,
    steps: &Steps<'_>,
    settlement: Settlement,
    is_own: bool,
) -> Result<(), LedgerError> {
    let (chain_id, hash) = (entry.payment.chain_id(), settlement.transaction);
    let rows = steps.ledger().paid_by(chain_id, hash).await?;
    if rows.iter().any(|(_, log)| log.is_none()) {
        fill_in(chain, steps.ledger(), hash, &rows).await?;
    }
    let taken = others_of(steps, chain_id, hash).await?;
    let sent = Sent { hash, is_own, taken: &taken };
    match chain.outcome(&entry.payment, sent).await {
        Ok(Outcome::Settled(_, log)) => {
            steps.settle(Settlement { transaction: hash, log: Some(log) }).await
        }
        Ok(_) | Err(_) => Err(LedgerError::LogTaken),
    }
}

/// Says of payments of which no log is known, for an earlier version did not keep it, which one has paid:
/// until then their whole transaction counts as used.
async fn fill_in(
    chain: &dyn Chain,
    ledger: &dyn Ledger,
    hash: TxHash,
    rows: &[(PaymentId, Option<PaidLog>)],
) -> Result<(), LedgerError> {
    let (mut entries, mut taken) = (Vec::new(), Vec::new());
    for (id, log) in rows {
        match log {
            Some(log) => taken.push(log.position),
            None => entries.push(ledger.find(*id).await?.ok_or(LedgerError::LogTaken)?),
        }
    }
    let is_own = entries.iter().any(|entry| entry.hashes().any(|sent| sent == hash));
    let payments: Vec<_> = entries.iter().map(|entry| entry.payment).collect();
    let outcomes = chain.outcomes(&payments, Sent { hash, is_own, taken: &taken }).await;
    let outcomes = outcomes.map_err(|_| LedgerError::LogTaken)?;
    let logs = entries.iter().zip(outcomes).map(|(entry, outcome)| match outcome {
        Outcome::Settled(_, log) => Ok((entry.id(), log)),
        _ => Err(LedgerError::LogTaken),
    });
    let logs = logs.collect::<Result<Vec<_>, _>>()?;
    ledger.fill_in_logs(chain.chain_id(), hash, logs).await
}

/// The transaction was in another block. If that one is gone, what it had settled is open again, and this
/// payment is the first that is settled in the new one.
async fn again(
    chain: &dyn Chain,
    steps: &Steps<'_>,
    settlement: Settlement,
) -> Result<(), LedgerError> {
    let chain_id = chain.chain_id();
    for (id, log) in steps.ledger().paid_by(chain_id, settlement.transaction).await? {
        if let Some(log) = log
            && settlement.log.is_none_or(|now| now.block != log.block)
        {
            if !is_gone(chain, log).await {
                return Err(LedgerError::Remined);
            }
            reverse(&Steps::new(steps.ledger(), id)).await?;
        }
    }
    steps.settle(settlement).await
}

/// Whether the chain has gone back on the block of a log.
async fn is_gone(chain: &dyn Chain, log: PaidLog) -> bool {
    let now: Result<_, ChainError> = chain.block(log.block.number).await;
    now.is_ok_and(|now| now != Some(log.block))
}

/// Takes down that the chain went back on what a payment was settled by. What was settled by something
/// else meanwhile stays.
pub(super) async fn reverse(steps: &Steps<'_>) -> Result<(), LedgerError> {
    match steps.apply(Step::Reversed).await {
        Ok(()) => {
            tracing::error!(
                payment = %steps.id(),
                "reversed: the chain went back on the block that moved the money; it is sent again until it is over"
            );
            Ok(())
        }
        Err(LedgerError::Illegal(_) | LedgerError::Missing) => Ok(()),
        Err(error) => Err(error),
    }
}
