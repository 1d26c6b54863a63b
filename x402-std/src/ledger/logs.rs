//! Which logs have paid: each for one payment, whatever comes.

use std::collections::BTreeSet;

use x402_core::{ChainId, PaymentId};

use super::{Entry, LOG_KEEP_SECONDS, LedgerError};
use crate::chain::{PaidLog, Settlement, TxHash};

/// What is remembered of a payment and what paid for it.
#[derive(Clone, Copy, Debug)]
pub(super) struct PaidRow {
    pub(super) chain_id: ChainId,
    pub(super) transaction: TxHash,
    pub(super) id: PaymentId,
    /// `None` where the whole transaction counts as used.
    pub(super) log: Option<PaidLog>,
    /// Until when it is remembered at least, in Unix seconds: see [`keep_until`].
    pub(super) until: u64,
}

impl PaidRow {
    fn new(entry: &Entry, settlement: Settlement) -> Self {
        Self {
            chain_id: entry.payment.chain_id(),
            transaction: settlement.transaction,
            id: entry.id(),
            log: settlement.log,
            until: keep_until(entry),
        }
    }

    /// What is to be remembered of an entry that was written before logs were: its whole transaction is
    /// used. `None` where nothing has moved its money.
    #[cfg(any(test, feature = "postgres", feature = "redb", feature = "redis"))]
    pub(super) fn of_old(entry: &Entry) -> Option<Self> {
        entry.settlement.map(|settlement| Self { log: None, ..Self::new(entry, settlement) })
    }
}

/// How rows are named in files and tables.
#[cfg(any(feature = "postgres", feature = "redb", feature = "redis"))]
pub(super) mod key {
    use x402_core::ChainId;
    #[cfg(any(feature = "postgres", feature = "redb"))]
    use x402_core::PaymentId;

    use crate::chain::TxHash;
    #[cfg(any(feature = "postgres", feature = "redb"))]
    use crate::chain::{Block, PaidLog};

    /// chain id (8) || transaction (32)
    pub(in crate::ledger) const TRANSACTION: usize = 8 + 32;
    /// chain id (8) || block number (8) || block hash (32)
    #[cfg(any(feature = "postgres", feature = "redb"))]
    pub(in crate::ledger) const BLOCK: usize = 8 + 8 + 32;

    pub(in crate::ledger) fn transaction(chain_id: ChainId, hash: TxHash) -> [u8; TRANSACTION] {
        joined(&[&chain_id.get().to_be_bytes(), &hash.0])
    }

    #[cfg(any(feature = "postgres", feature = "redb"))]
    pub(in crate::ledger) fn block(chain_id: ChainId, block: Block) -> [u8; BLOCK] {
        let (chain_id, number) = (chain_id.get().to_be_bytes(), block.number.to_be_bytes());
        joined(&[&chain_id, &number, &block.hash])
    }

    #[cfg(any(feature = "postgres", feature = "redb"))]
    pub(in crate::ledger) fn read_block(bytes: &[u8]) -> Option<Block> {
        let (_chain_id, rest) = bytes.split_first_chunk::<8>()?;
        let (number, hash) = rest.split_first_chunk::<8>()?;
        Some(Block { number: u64::from_be_bytes(*number), hash: hash.try_into().ok()? })
    }

    /// Which one of a transaction's rows it is: position (4), or the payment's id (80) where the whole
    /// transaction counts as used.
    #[cfg(any(feature = "postgres", feature = "redb"))]
    pub(in crate::ledger) fn slot(id: PaymentId, log: Option<PaidLog>) -> Vec<u8> {
        let whole = || id.to_bytes().to_vec();
        log.map_or_else(whole, |log| log.position.to_be_bytes().to_vec())
    }

    fn joined<const N: usize>(parts: &[&[u8]]) -> [u8; N] {
        let mut bytes = [0; N];
        let all = parts.iter().copied().flatten();
        bytes.iter_mut().zip(all).for_each(|(slot, byte)| *slot = *byte);
        bytes
    }
}

/// Until when it is remembered what paid for an entry. Steps carry no time, and need none: whatever moves
/// the money does so in a block that is younger than the authorization is valid, and the entry is kept
/// for that long at least. So a row that is forgotten is of a log that is older than
/// [`LOG_KEEP_SECONDS`], however late it was found, and such a log pays for nothing any more.
fn keep_until(entry: &Entry) -> u64 {
    entry.keep_until().saturating_add(LOG_KEEP_SECONDS)
}

/// What a step changes in what has paid.
#[derive(Clone, Copy, Debug)]
pub(super) enum Paying {
    /// Nothing.
    Same,
    /// This log pays from now on.
    Gains(PaidRow),
    /// This paid, and does not any more.
    Loses(PaidRow),
}

impl Paying {
    /// With a step that leads from one entry to the other, or to none. By somebody's word alone nothing
    /// is gained.
    pub(super) fn stepped(before: &Entry, after: Option<&Entry>) -> Self {
        match (before.settlement, after.and_then(|after| after.settlement)) {
            (None, Some(settlement)) if settlement.log.is_some() => {
                Self::Gains(PaidRow::new(before, settlement))
            }
            (Some(settlement), None) => Self::Loses(PaidRow::new(before, settlement)),
            // No step puts one settlement in the place of another.
            (None | Some(_), None | Some(_)) => Self::Same,
        }
    }
}

/// Whether a log can pay, beside what its transaction has paid for already.
pub(super) fn check(
    log: PaidLog,
    others: &[(PaymentId, Option<PaidLog>)],
) -> Result<(), LedgerError> {
    check_block(log, others)?;
    let is_taken =
        |other: &Option<PaidLog>| other.is_none_or(|other| other.position == log.position);
    if others.iter().any(|(_, other)| is_taken(other)) {
        return Err(LedgerError::LogTaken);
    }
    Ok(())
}

fn check_block(log: PaidLog, others: &[(PaymentId, Option<PaidLog>)]) -> Result<(), LedgerError> {
    let mut others = others.iter().filter_map(|(_, other)| *other);
    if others.any(|other| other.block != log.block) {
        return Err(LedgerError::Remined);
    }
    Ok(())
}

/// Whether these logs can take the place of their transaction as a whole, which is said of these payments.
pub(super) fn check_fill_in(
    logs: &[(PaymentId, PaidLog)],
    paid: &[(PaymentId, Option<PaidLog>)],
) -> Result<(), LedgerError> {
    let (mut ids, mut positions) = (BTreeSet::new(), BTreeSet::new());
    let known = paid.iter().filter_map(|(_, log)| log.map(|log| log.position));
    positions.extend(known);
    for (id, log) in logs {
        if !paid.contains(&(*id, None)) {
            return Err(LedgerError::Missing);
        }
        check_block(*log, paid)?;
        if logs.iter().any(|(_, other)| other.block != log.block) {
            return Err(LedgerError::Remined);
        }
        if !ids.insert(*id) || !positions.insert(log.position) {
            return Err(LedgerError::LogTaken);
        }
    }
    Ok(())
}

/// The entry with the log that paid, where it is the one that the transaction settled.
pub(super) fn filled_in(entry: &Entry, transaction: TxHash, log: PaidLog) -> Option<Entry> {
    let is_of_it = entry.settlement == Some(Settlement { transaction, log: None });
    let settlement = Some(Settlement { transaction, log: Some(log) });
    is_of_it.then(|| Entry { settlement, ..entry.clone() })
}
