//! Receipts: when one is believed, and what it says.

use alloy_primitives::{Address, B256, Bytes, U64, U128, U256};
use serde::Deserialize;
use x402_core::settlement::{self, AUTHORIZATION_USED_TOPIC, Log, TRANSFER_TOPIC};
use x402_core::settlement::{Paid, SettlementError, Submitter};
use x402_core::{Amount, Claimed, LogOrder, Transfer};

use super::fault::Fault;
use super::logs::Use;
use crate::chain::{Block, TxHash, multicall};

/// A receipt. Of alloy's own there is one for each kind of chain; this has what all of them have.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Receipt {
    transaction_hash: B256,
    /// Missing while the transaction is in no block.
    block_hash: Option<B256>,
    block_number: Option<U64>,
    to: Option<Address>,
    contract_address: Option<Address>,
    status: U64,
    logs: Vec<ReceiptLog>,
    #[serde(default)]
    gas_used: U64,
    /// Wei per gas.
    #[serde(default)]
    effective_gas_price: U128,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ReceiptLog {
    address: Address,
    topics: Vec<B256>,
    data: Bytes,
    #[serde(default)]
    removed: bool,
    // Some nodes leave these out of a receipt's logs.
    block_hash: Option<B256>,
    block_number: Option<U64>,
    transaction_hash: Option<B256>,
}

/// What a receipt says of one payment.
#[derive(Clone, Copy, Debug)]
#[allow(clippy::large_enum_variant, reason = "one at a time, on the stack")]
pub(super) enum Verdict {
    Paid(Paid),
    /// So much arrived instead, the first of it by the log at this position.
    Short(usize, Amount),
    Not(SettlementError),
}

impl Receipt {
    /// As a node gave it for this transaction: only if it belongs together. `None` while the
    /// transaction is in no block.
    pub(super) fn coherent(self, transaction: TxHash) -> Result<Option<Self>, Fault> {
        if self.transaction_hash != B256::from(transaction.0) {
            return Err(Fault::Malformed("the receipt is of another transaction"));
        }
        let (Some(hash), Some(number)) = (self.block_hash, self.block_number) else {
            return match self.block_hash {
                None => Ok(None),
                Some(_) => Err(Fault::Malformed("a receipt without a block")),
            };
        };
        let is_own = |log: &ReceiptLog| {
            !log.removed
                && log.block_hash.is_none_or(|own| own == hash)
                && log.block_number.is_none_or(|own| own == number)
                && log.transaction_hash.is_none_or(|own| own == self.transaction_hash)
        };
        if !self.logs.iter().all(is_own) {
            return Err(Fault::Malformed("a receipt with the log of another transaction"));
        }
        let creates = self.contract_address.is_some_and(|address| !address.is_zero());
        if creates && self.to.is_some_and(|to| !to.is_zero()) {
            return Err(Fault::Malformed("a receipt of a call that makes a contract"));
        }
        match self.status.to::<u64>() {
            1 => Ok(Some(self)),
            0 if self.logs.is_empty() => Ok(Some(self)),
            0 => Err(Fault::Malformed("a transaction that reverted and has logs")),
            _ => Err(Fault::Malformed("a receipt of another status than 0 and 1")),
        }
    }

    /// The block it is in.
    pub(super) fn block(&self) -> Result<Block, Fault> {
        let (number, hash) = self
            .block_number
            .zip(self.block_hash)
            .ok_or(Fault::Malformed("a receipt without a block"))?;
        Ok(Block { number: number.to(), hash: hash.0 })
    }

    /// Makes sure that it is of a call of ours: of the contract that settles these payments, or of
    /// Multicall3.
    pub(super) fn expect_own(&self, payments: &[Claimed]) -> Result<(), Fault> {
        let to = self.to.map(|to| x402_core::Address::new(to.into_array()));
        let is_own = to.is_some_and(|to| {
            to == multicall::ADDRESS || payments.iter().all(|payment| payment.target() == to)
        });
        if !is_own {
            return Err(Fault::Malformed("the receipt is of a call that is not ours"));
        }
        // Multicall3 takes no harm from a call in it that fails; what a token does, it logs.
        if to != Some(multicall::ADDRESS) && self.succeeded() && self.logs.is_empty() {
            return Err(Fault::Malformed("a call that succeeded and has no logs"));
        }
        Ok(())
    }

    fn succeeded(&self) -> bool {
        self.status == U64::from(1)
    }

    /// The gas, and what was paid for each unit of it, in wei.
    pub(super) fn cost(&self) -> (u64, u128) {
        (self.gas_used.to(), self.effective_gas_price.to())
    }

    /// Whether it holds a log that was found.
    pub(super) fn holds(&self, found: &Use) -> bool {
        self.logs.iter().any(|log| log.address == found.address && log.topics == found.topics)
    }

    /// Whether the transaction moved the money of each of these payments: no log pays for two of them,
    /// nor one of those that are taken.
    pub(super) fn judge(
        &self,
        payments: &[Claimed],
        submitter: Submitter<'_>,
        order: impl Fn(&Claimed) -> LogOrder,
        taken: &[u32],
    ) -> Vec<Verdict> {
        // Once for all of them: a batch has hundreds of logs.
        let topics: Vec<Vec<[u8; 32]>> =
            self.logs.iter().map(|log| log.topics.iter().map(|topic| topic.0).collect()).collect();
        let logs = self.logs.iter().zip(&topics).map(|(log, topics)| Log {
            address: x402_core::Address::new(log.address.into_array()),
            topics,
            data: &log.data,
        });
        let logs: Vec<_> = logs.collect();
        let mut taken: Vec<usize> =
            taken.iter().filter_map(|position| usize::try_from(*position).ok()).collect();
        let mut judged = Vec::with_capacity(payments.len());
        for payment in payments {
            let receipt = settlement::Receipt {
                succeeded: self.succeeded(),
                logs: &logs,
                submitter,
                order: order(payment),
            };
            let verdict = match payment.settled(&receipt, |position| taken.contains(&position)) {
                Ok(paid) => Verdict::Paid(paid),
                Err(SettlementError::Short(arrived)) => {
                    let position = self.arrival(payment, &taken);
                    position.map_or(Verdict::Not(SettlementError::Taken), |position| {
                        Verdict::Short(position, arrived)
                    })
                }
                Err(error) => Verdict::Not(error),
            };
            if let Verdict::Paid(Paid { position, .. }) | Verdict::Short(position, _) = verdict {
                taken.push(position);
            }
            judged.push(verdict);
        }
        judged
    }

    /// Where the transfers of exactly the payment's amount are.
    pub(super) fn transfers(&self, payment: &Claimed) -> impl Iterator<Item = usize> {
        let amount = U256::from_be_bytes(payment.amount().to_be_bytes());
        let logs = self.logs.iter().enumerate();
        logs.filter(move |(_, log)| log.moved(payment) == Some(amount))
            .map(|(position, _)| position)
    }

    /// Where the first of what arrived in place of the amount is: behind the use of the authorization, and
    /// not among those that are taken.
    fn arrival(&self, payment: &Claimed, taken: &[usize]) -> Option<usize> {
        let signed = payment.transfer();
        let used = [AUTHORIZATION_USED_TOPIC, signed.from().to_word(), *signed.nonce().as_bytes()];
        let is_use = |log: &ReceiptLog| {
            log.address.as_slice() == payment.asset().as_bytes()
                && log.topics.iter().map(|topic| topic.0).eq(used)
        };
        let from = match signed {
            Transfer::Eip3009(_) => self.logs.iter().position(is_use)?.checked_add(1)?,
            Transfer::Permit2(_) => 0,
        };
        let mut logs = self.logs.iter().enumerate().skip(from);
        let is_arrival =
            |log: &ReceiptLog| log.moved(payment).is_some_and(|value| !value.is_zero());
        let found = logs.find(|(position, log)| !taken.contains(position) && is_arrival(log));
        found.map(|(position, _)| position)
    }
}

impl ReceiptLog {
    /// What the payment's token says to have moved from its payer to its payee.
    fn moved(&self, payment: &Claimed) -> Option<U256> {
        let signed = payment.transfer();
        let transfer = [TRANSFER_TOPIC, signed.from().to_word(), signed.to().to_word()];
        let is_transfer = self.address.as_slice() == payment.asset().as_bytes()
            && self.topics.iter().map(|topic| topic.0).eq(transfer);
        let value = <[u8; 32]>::try_from(&self.data[..]).ok().filter(|_| is_transfer)?;
        Some(U256::from_be_bytes(value))
    }
}
