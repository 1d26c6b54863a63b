use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use x402_core::{ChainId, PaymentId};

use crate::chain::{Block, PaidLog, Settlement, TxHash};
use crate::ledger::{Entry, LOG_KEEP_SECONDS, LedgerError};

/// Which logs have paid, and for what.
#[derive(Default)]
pub(super) struct Logs {
    /// By chain, transaction and payment: the log, and until when it is remembered.
    paid: BTreeMap<(ChainId, [u8; 32], PaymentId), (Option<PaidLog>, u64)>,
    /// In blocks that are not final.
    unfinal: BTreeSet<(ChainId, Block, PaymentId)>,
}

impl Logs {
    /// Whether the step from one to the other entry may be taken, as far as its log goes.
    pub(super) fn check(&self, before: &Entry, after: Option<&Entry>) -> Result<(), LedgerError> {
        let Some(settlement) = gained(before, after) else { return Ok(()) };
        let Some(log) = settlement.log else { return Ok(()) };
        for (_, paid) in self.paid_by(before.payment.chain_id(), settlement.transaction) {
            match paid {
                Some(paid) if paid.block != log.block => return Err(LedgerError::Remined),
                Some(paid) if paid.position != log.position => {}
                Some(_) | None => return Err(LedgerError::LogTaken),
            }
        }
        Ok(())
    }

    /// The step has been taken.
    pub(super) fn step(&mut self, before: &Entry, after: Option<&Entry>) {
        let (id, chain_id) = (before.id(), before.payment.chain_id());
        if let Some(Settlement { transaction, log }) = lost(before, after) {
            self.paid.remove(&(chain_id, transaction.0, id));
            if let Some(log) = log {
                self.unfinal.remove(&(chain_id, log.block, id));
            }
        }
        if let Some(Settlement { transaction, log: Some(log) }) = gained(before, after) {
            let until = before.keep_until().saturating_add(LOG_KEEP_SECONDS);
            self.paid.insert((chain_id, transaction.0, id), (Some(log), until));
            self.unfinal.insert((chain_id, log.block, id));
        }
    }

    pub(super) fn paid_by(
        &self,
        chain_id: ChainId,
        transaction: TxHash,
    ) -> Vec<(PaymentId, Option<PaidLog>)> {
        let from = (chain_id, transaction.0, PaymentId::from_bytes(&[0; PaymentId::LEN]));
        let rows = self.paid.range(from..);
        rows.take_while(|((chain, hash, _), _)| (*chain, *hash) == (chain_id, transaction.0))
            .map(|((_, _, id), (log, _))| (*id, *log))
            .collect()
    }

    pub(super) fn unfinal_blocks(&self, chain_id: ChainId, most: usize) -> Vec<Block> {
        let mut blocks: Vec<Block> = Vec::new();
        for (chain, block, _) in &self.unfinal {
            if *chain == chain_id && blocks.last() != Some(block) {
                if blocks.len() == most {
                    break;
                }
                blocks.push(*block);
            }
        }
        blocks
    }

    pub(super) fn paid_in(
        &self,
        chain_id: ChainId,
        block: Block,
        after: Option<PaymentId>,
        most: usize,
    ) -> Vec<PaymentId> {
        let from = match after {
            Some(id) => Bound::Excluded((chain_id, block, id)),
            None => Bound::Included((chain_id, block, PaymentId::from_bytes(&[0; PaymentId::LEN]))),
        };
        let rows = self.unfinal.range((from, Bound::Unbounded));
        let rows = rows.take_while(|(chain, at, _)| (*chain, *at) == (chain_id, block));
        rows.map(|(_, _, id)| *id).take(most).collect()
    }

    pub(super) fn finalize(&mut self, chain_id: ChainId, block: Block) {
        self.unfinal.retain(|(chain, at, _)| (*chain, *at) != (chain_id, block));
    }

    /// Forgets what no payment can claim any more.
    pub(super) fn sweep(&mut self, now: u64) {
        self.paid.retain(|_, (_, until)| *until >= now);
    }
}

/// What moved the money, where it is a step's news.
fn gained(before: &Entry, after: Option<&Entry>) -> Option<Settlement> {
    let now = after.and_then(|after| after.settlement);
    now.filter(|_| before.settlement.is_none())
}

/// What had moved it, where a step takes that back.
fn lost(before: &Entry, after: Option<&Entry>) -> Option<Settlement> {
    let is_gone = after.is_none_or(|after| after.settlement.is_none());
    before.settlement.filter(|_| is_gone)
}
