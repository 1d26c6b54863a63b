//! Transactions that wait for a block.
use alloy_consensus::{Transaction as _, TxEnvelope, transaction::Recovered};
use alloy_primitives::{Address, B256};

use super::failure::Failure;

/// Transactions that may wait at once.
const CAPACITY: usize = 1_024;
/// Nonces that an account may be ahead of itself.
pub(super) const MAX_GAP: u64 = 64;

/// Waiting transactions in the order they came.
#[derive(Clone, Debug, Default)]
pub(super) struct Pool {
    waiting: Vec<Recovered<TxEnvelope>>,
}

impl Pool {
    /// Takes a transaction, or puts it in the place of one with the same sender and nonce that pays
    /// less.
    ///
    /// # Errors
    /// It is here already, pays too little for the other's place, or there is no room.
    pub(super) fn insert(&mut self, tx: Recovered<TxEnvelope>) -> Result<(), Failure> {
        if self.find(tx.tx_hash()).is_some() {
            return Err(Failure::server("already known"));
        }
        let same = |other: &&mut Recovered<TxEnvelope>| {
            other.signer() == tx.signer() && other.nonce() == tx.nonce()
        };
        let full = self.waiting.len() >= CAPACITY;
        match self.waiting.iter_mut().find(same) {
            Some(other) if outbids(&tx, other) => *other = tx,
            Some(_) => return Err(Failure::server("replacement transaction underpriced")),
            None if full => {
                return Err(Failure::server("txpool is full"));
            }
            None => self.waiting.push(tx),
        }
        Ok(())
    }

    /// The waiting transaction with this hash.
    pub(super) fn find(&self, hash: &B256) -> Option<&Recovered<TxEnvelope>> {
        self.waiting.iter().find(|tx| tx.tx_hash() == hash)
    }

    /// Takes out the transaction with this hash, if it waits.
    pub(super) fn remove(&mut self, hash: &B256) -> Option<Recovered<TxEnvelope>> {
        let index = self.waiting.iter().position(|tx| tx.tx_hash() == hash)?;
        Some(self.waiting.remove(index))
    }

    /// Takes out the first transaction that `ready` says may run now.
    pub(super) fn take(
        &mut self,
        ready: impl FnMut(&Recovered<TxEnvelope>) -> bool,
    ) -> Option<Recovered<TxEnvelope>> {
        let index = self.waiting.iter().position(ready)?;
        Some(self.waiting.remove(index))
    }

    /// Drops what `keep` does not want.
    pub(super) fn retain(&mut self, keep: impl FnMut(&Recovered<TxEnvelope>) -> bool) {
        self.waiting.retain(keep);
    }

    /// The first nonce from `next` on that no transaction of this account uses.
    pub(super) fn nonce_after(&self, account: Address, mut next: u64) -> u64 {
        let has =
            |nonce| self.waiting.iter().any(|tx| tx.signer() == account && tx.nonce() == nonce);
        while has(next) {
            next += 1;
        }
        next
    }
}

/// Whether `new` offers at least a tenth more than `old`, in the fee and in the tip.
fn outbids(new: &Recovered<TxEnvelope>, old: &Recovered<TxEnvelope>) -> bool {
    let more = |new: u128, old: u128| new >= old.saturating_add(old.div_ceil(10).max(1));
    more(new.max_fee_per_gas(), old.max_fee_per_gas())
        && more(new.priority_fee_or_price(), old.priority_fee_or_price())
}
