//! `eth_estimateGas`: the least gas with which a call succeeds.
use revm::context::{TxEnv, result::ExecutionResult};

use super::{
    block::GAS_LIMIT,
    chain::Chain,
    failure::{Failure, returned},
};

/// Gas that a plain transfer of ether needs.
const TRANSFER: u64 = 21_000;

/// Searches between what the call used and what it was given: a call may need more at hand than it
/// uses in the end, because of refunds, and because a callee gets 63 of 64 parts of what is left.
///
/// # Errors
/// The call fails even with all the gas it may have.
pub(super) fn estimate(chain: &Chain, tx: &TxEnv) -> Result<u64, Failure> {
    let with = |gas_limit: u64| chain.ask(TxEnv { gas_limit, ..tx.clone() });
    let mut most = affordable(chain, tx)?.min(tx.gas_limit);
    let first = with(most)?;
    let used = first.gas().total_gas_spent().max(first.tx_gas_used());
    returned(first)?;
    let mut least = used.saturating_sub(1).max(TRANSFER - 1);
    if with(used).is_ok_and(|result| result.is_success()) {
        return Ok(used);
    }
    // Within 1/64, which the next rounding would eat anyway.
    while most - least > 1 && (most - least) > most / 64 {
        // Most calls need little more than they use, so the middle is sought near the lower end.
        let middle = (least + (most - least) / 2).min(least.saturating_mul(2));
        match with(middle) {
            Ok(ExecutionResult::Success { .. }) => most = middle,
            _ => least = middle,
        }
    }
    Ok(most)
}

/// The gas that the sender's ether pays for at the price offered.
fn affordable(chain: &Chain, tx: &TxEnv) -> Result<u64, Failure> {
    if tx.gas_price == 0 {
        return Ok(GAS_LIMIT);
    }
    let left = chain.account(tx.caller).balance.checked_sub(tx.value);
    let left = left.ok_or_else(|| Failure::server("insufficient funds for transfer"))?;
    let gas = left / revm::primitives::U256::from(tx.gas_price);
    Ok(u64::try_from(gas).unwrap_or(u64::MAX))
}
