//! Blocks as they are kept, and how the next one is built.
use alloy_consensus::{
    Eip658Value, Header, Receipt, ReceiptEnvelope, Transaction as _, TxEnvelope,
    constants::{EMPTY_OMMER_ROOT_HASH, EMPTY_WITHDRAWALS},
    proofs::{calculate_receipt_root, calculate_transaction_root},
    transaction::Recovered,
};
use alloy_eips::eip7685::EMPTY_REQUESTS_HASH;
use alloy_primitives::{Address, B256, Bloom, U256};
use revm::context::{BlockEnv, result::ExecutionResult};

/// What a block may use.
pub(super) const GAS_LIMIT: u64 = 30_000_000;
/// Wei per gas. The same in every block: demand does not move it.
pub(super) const BASE_FEE: u64 = 1_000_000_000;

/// A mined block; its place in the chain is its number.
#[derive(Clone, Debug)]
pub(super) struct Block {
    pub(super) hash: B256,
    pub(super) header: Header,
    pub(super) transactions: Vec<Mined>,
}

/// A transaction in its block, with what came of it.
#[derive(Clone, Debug)]
pub(super) struct Mined {
    pub(super) tx: Recovered<TxEnvelope>,
    pub(super) receipt: ReceiptEnvelope,
    pub(super) gas_used: u64,
    pub(super) created: Option<Address>,
    /// Place of its first log among the logs of the block.
    pub(super) first_log: usize,
}

impl Mined {
    /// Wei per gas that the sender paid.
    pub(super) fn price(&self) -> u128 {
        self.tx.effective_gas_price(Some(BASE_FEE))
    }
}

/// A block being filled.
pub(super) struct Draft {
    number: u64,
    parent: B256,
    timestamp: u64,
    gas_used: u64,
    logs: usize,
    transactions: Vec<Mined>,
}

impl Draft {
    pub(super) const fn new(number: u64, parent: B256, timestamp: u64) -> Self {
        Self { number, parent, timestamp, gas_used: 0, logs: 0, transactions: Vec::new() }
    }

    /// The block as code in it sees it.
    pub(super) fn env(&self) -> BlockEnv {
        BlockEnv {
            number: U256::from(self.number),
            timestamp: U256::from(self.timestamp),
            gas_limit: GAS_LIMIT,
            basefee: BASE_FEE,
            prevrandao: Some(self.parent),
            ..BlockEnv::default()
        }
    }

    /// Whether a transaction that may use `gas` still has room.
    pub(super) const fn fits(&self, gas: u64) -> bool {
        gas <= GAS_LIMIT.saturating_sub(self.gas_used)
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.transactions.is_empty()
    }

    /// Appends a transaction that was executed.
    pub(super) fn push(&mut self, tx: Recovered<TxEnvelope>, result: ExecutionResult) {
        let gas_used = result.tx_gas_used();
        self.gas_used = self.gas_used.saturating_add(gas_used);
        let success = result.is_success();
        let created = result.created_address();
        // What reverted, logged nothing.
        let logs = if success { result.into_logs() } else { Vec::new() };
        let first_log = self.logs;
        self.logs += logs.len();
        let receipt = Receipt {
            status: Eip658Value::Eip658(success),
            cumulative_gas_used: self.gas_used,
            logs,
        };
        let receipt = ReceiptEnvelope::from_typed(tx.tx_type(), receipt);
        self.transactions.push(Mined { tx, receipt, gas_used, created, first_log });
    }

    /// Closes the block.
    pub(super) fn seal(self) -> Block {
        let txs: Vec<_> = self.transactions.iter().map(|mined| mined.tx.inner()).collect();
        let receipts: Vec<_> = self.transactions.iter().map(|mined| &mined.receipt).collect();
        let mut logs_bloom = Bloom::ZERO;
        receipts.iter().for_each(|receipt| logs_bloom.accrue_bloom(receipt.logs_bloom()));
        let header = Header {
            parent_hash: self.parent,
            ommers_hash: EMPTY_OMMER_ROOT_HASH,
            // A trie over all accounts for each block would cost more than the rest of the chain
            // together.
            state_root: B256::ZERO,
            transactions_root: calculate_transaction_root(&txs),
            receipts_root: calculate_receipt_root(&receipts),
            logs_bloom,
            number: self.number,
            gas_limit: GAS_LIMIT,
            gas_used: self.gas_used,
            timestamp: self.timestamp,
            mix_hash: self.parent,
            base_fee_per_gas: Some(BASE_FEE),
            withdrawals_root: Some(EMPTY_WITHDRAWALS),
            blob_gas_used: Some(0),
            excess_blob_gas: Some(0),
            parent_beacon_block_root: Some(B256::ZERO),
            requests_hash: Some(EMPTY_REQUESTS_HASH),
            ..Header::default()
        };
        Block { hash: header.hash_slow(), header, transactions: self.transactions }
    }
}
