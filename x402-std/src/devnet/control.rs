//! Methods that only a development chain has: time, mining, accounts, snapshots.
use alloy_primitives::{Address, B256, Bytes, U256};
use revm::state::AccountInfo;
use serde_json::{Value, json};

use super::{
    chain::Chain,
    failure::Failure,
    genesis,
    json::quantity,
    methods::{Answer, Method},
    params::{Args, Count},
};

/// Snapshots kept at once.
const MAX_SNAPSHOTS: usize = 16;

/// The method of this name, and how many arguments it takes at most.
pub(super) fn find(name: &str) -> Option<(usize, Method)> {
    Some(match name {
        "evm_mine" => (1, mine),
        "evm_increaseTime" => (1, increase_time),
        "evm_setAutomine" | "anvil_setAutomine" => (1, set_automine),
        "evm_snapshot" | "anvil_snapshot" => (0, snapshot),
        "evm_revert" | "anvil_revert" => (1, revert),
        "anvil_setBalance" | "hardhat_setBalance" => (2, set_balance),
        "anvil_setCode" | "hardhat_setCode" => (2, set_code),
        "anvil_dropTransaction" | "hardhat_dropTransaction" => (1, drop_transaction),
        _ => return None,
    })
}

/// Mines one block, at the time given if one is given.
fn mine(chain: &mut Chain, args: &Args<'_>) -> Answer {
    if let Some(Count(time)) = args.optional(0)? {
        let now = chain.clock.now();
        let ahead = time.checked_sub(now);
        chain.clock.advance(
            ahead.ok_or_else(|| {
                Failure::params(format!("invalid argument 0: it is already {now}"))
            })?,
        );
    }
    chain.mine();
    Ok(json!("0x0"))
}

/// Moves the clock; the next block shows it. Answers how far ahead the clock is in all.
fn increase_time(chain: &mut Chain, args: &Args<'_>) -> Answer {
    let Count(seconds) = args.required(0)?;
    Ok(json!(chain.clock.advance(seconds)))
}

/// Off: transactions wait until `evm_mine`. On: what waits is mined at once.
fn set_automine(chain: &mut Chain, args: &Args<'_>) -> Answer {
    chain.automine = args.required(0)?;
    while chain.automine && chain.mine_ready(usize::MAX) {}
    Ok(Value::Bool(true))
}

/// Remembers everything, and answers with a number to come back to it.
fn snapshot(chain: &mut Chain, _: &Args<'_>) -> Answer {
    if chain.snapshots.len() >= MAX_SNAPSHOTS {
        return Err(Failure::server(format!("more than {MAX_SNAPSHOTS} snapshots")));
    }
    let earlier = core::mem::take(&mut chain.snapshots);
    let now = chain.clone();
    chain.snapshots = earlier;
    chain.snapshots.push(now);
    Ok(quantity(chain.snapshots.len()))
}

/// Goes back: blocks since then are gone, as in a reorganization. The snapshot and later ones are
/// used up.
fn revert(chain: &mut Chain, args: &Args<'_>) -> Answer {
    let number: u64 = args.required(0)?;
    let index = usize::try_from(number).ok().and_then(|number| number.checked_sub(1));
    let Some(index) = index.filter(|index| *index < chain.snapshots.len()) else {
        return Ok(Value::Bool(false));
    };
    let mut snapshots = core::mem::take(&mut chain.snapshots);
    *chain = snapshots.swap_remove(index);
    snapshots.truncate(index);
    chain.snapshots = snapshots;
    Ok(Value::Bool(true))
}

fn set_balance(chain: &mut Chain, args: &Args<'_>) -> Answer {
    let (account, balance): (Address, U256) = (args.required(0)?, args.required(1)?);
    chain.set_balance(account, balance);
    Ok(Value::Null)
}

/// Puts code at an address: a contract wallet, for instance.
fn set_code(chain: &mut Chain, args: &Args<'_>) -> Answer {
    let (account, code): (Address, Bytes) = (args.required(0)?, args.required(1)?);
    let before = chain.account(account);
    let after = match code.is_empty() {
        true => {
            AccountInfo { balance: before.balance, nonce: before.nonce, ..AccountInfo::default() }
        }
        false => {
            AccountInfo { balance: before.balance, nonce: before.nonce, ..genesis::contract(code)? }
        }
    };
    chain.state.insert_account_info(account, after);
    Ok(Value::Null)
}

/// Forgets a transaction that waits, as a node under pressure may.
fn drop_transaction(chain: &mut Chain, args: &Args<'_>) -> Answer {
    let hash: B256 = args.required(0)?;
    Ok(chain.pool.remove(&hash).map_or(Value::Null, |_| json!(hash)))
}
