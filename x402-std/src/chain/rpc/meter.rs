//! What settling costs.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use crate::chain::TxHash;

/// How many of the last transactions are remembered, so that one that is looked at twice counts once.
const REMEMBERED: usize = 1024;

/// What settling has cost.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Spent {
    /// How many payments were settled.
    pub payments: u64,
    /// By how many transactions.
    pub transactions: u64,
    /// The gas of these.
    pub gas: u64,
    /// What was paid for it, in wei.
    pub wei: u128,
}

/// Counts what transactions have cost.
#[derive(Debug, Default)]
pub(super) struct Meter(Mutex<(Spent, VecDeque<TxHash>)>);

impl Meter {
    pub(super) fn spent(&self) -> Spent {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0
    }

    /// A transaction was seen that settles so many payments.
    pub(super) fn count(&self, transaction: TxHash, payments: usize, gas: u64, price: u128) {
        let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (spent, seen) = &mut *counted;
        if seen.contains(&transaction) {
            return;
        }
        if seen.len() >= REMEMBERED {
            seen.pop_front();
        }
        seen.push_back(transaction);
        spent.payments += payments as u64;
        spent.transactions += 1;
        spent.gas = spent.gas.saturating_add(gas);
        spent.wei = spent.wei.saturating_add(u128::from(gas).saturating_mul(price));
    }
}
