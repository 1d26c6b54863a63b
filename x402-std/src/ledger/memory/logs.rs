use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use x402_core::{Address, ChainId, Nonce, PaymentId};

use crate::chain::{Block, PaidLog, TxHash};
use crate::ledger::logs::{PaidRow, Paying, check, check_fill_in};
use crate::ledger::{LedgerError, PaidBy};

const FIRST: PaymentId = PaymentId {
    chain_id: ChainId::new(0),
    contract: Address::new([0; 20]),
    from: Address::new([0; 20]),
    nonce: Nonce::new([0; 32]),
};

/// Chain, transaction and payment.
type Name = (ChainId, [u8; 32], PaymentId);

/// Which logs have paid, and for what.
#[derive(Default)]
pub(super) struct Logs {
    /// By chain, transaction and payment: the log, and until when it is remembered.
    paid: BTreeMap<Name, (Option<PaidLog>, u64)>,
    /// In blocks that are not final.
    unfinal: BTreeSet<(ChainId, Block, PaymentId)>,
}

impl Logs {
    /// Whether the step may be taken, as far as its log goes.
    pub(super) fn check(&self, paying: &Paying) -> Result<(), LedgerError> {
        match paying {
            Paying::Gains(PaidRow { chain_id, transaction, log: Some(log), .. }) => {
                check(*log, &self.paid_by(*chain_id, *transaction))
            }
            Paying::Same | Paying::Gains(_) | Paying::Loses(_) => Ok(()),
        }
    }

    /// The step has been taken.
    pub(super) fn step(&mut self, paying: Paying) {
        match paying {
            Paying::Same => {}
            Paying::Gains(row) => self.insert(row),
            Paying::Loses(PaidRow { chain_id, transaction, id, log, .. }) => {
                self.paid.remove(&(chain_id, transaction.0, id));
                if let Some(log) = log {
                    self.unfinal.remove(&(chain_id, log.block, id));
                }
            }
        }
    }

    fn insert(&mut self, PaidRow { chain_id, transaction, id, log, until }: PaidRow) {
        self.paid.insert((chain_id, transaction.0, id), (log, until));
        if let Some(log) = log {
            self.unfinal.insert((chain_id, log.block, id));
        }
    }

    /// Puts logs in the place of the whole transaction. What stood there was final, and stays so.
    pub(super) fn fill_in(
        &mut self,
        chain_id: ChainId,
        transaction: TxHash,
        logs: &[(PaymentId, PaidLog)],
    ) -> Result<(), LedgerError> {
        check_fill_in(logs, &self.paid_by(chain_id, transaction))?;
        for (id, log) in logs {
            if let Some((whole, _)) = self.paid.get_mut(&(chain_id, transaction.0, *id)) {
                *whole = Some(*log);
            }
        }
        Ok(())
    }

    pub(super) fn len(&self) -> usize {
        self.paid.len()
    }

    /// As a ledger that was written before logs were.
    #[cfg(test)]
    pub(super) fn insert_whole(&mut self, row: PaidRow) {
        self.insert(row);
    }

    pub(super) fn paid_by(&self, chain_id: ChainId, transaction: TxHash) -> PaidBy {
        let rows = self.paid.range((chain_id, transaction.0, FIRST)..);
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
            None => Bound::Included((chain_id, block, FIRST)),
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
        let unfinal = &mut self.unfinal;
        self.paid.retain(|(chain_id, _, id), (log, until)| {
            let is_kept = *until >= now;
            if let Some(log) = log.filter(|_| !is_kept) {
                unfinal.remove(&(*chain_id, log.block, *id));
            }
            is_kept
        });
    }
}
