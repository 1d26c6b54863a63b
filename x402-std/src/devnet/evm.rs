//! The machine: one transaction against one state.
use core::convert::Infallible;

use alloy_consensus::{Transaction as _, TxEnvelope, Typed2718 as _, transaction::Recovered};
use alloy_primitives::{Address, Bytes, TxKind, U256};
use revm::{
    Context, Database, ExecuteEvm as _, MainBuilder as _, MainContext as _,
    context::{
        BlockEnv, CfgEnv, TxEnv,
        result::{EVMError, ResultAndState},
    },
    database::{CacheDB, EmptyDB},
    primitives::hardfork::SpecId,
};

use super::failure::{Failure, refused};

/// All accounts, code and storage of the chain.
pub(super) type State = CacheDB<EmptyDB>;

/// The rules the chain follows.
const RULES: SpecId = SpecId::PRAGUE;

/// Runs `tx` as a block would, and gives back what it changed; `state` itself stays as it is.
///
/// # Errors
/// The transaction may not be in a block.
pub(super) fn execute<DB: Database<Error = Infallible>>(
    state: DB,
    chain_id: u64,
    block: BlockEnv,
    tx: TxEnv,
) -> Result<ResultAndState, Failure> {
    run(state, CfgEnv::new_with_spec(RULES).with_chain_id(chain_id), block, tx)
}

/// Runs `tx` as if: nobody signed it, so its nonce counts for nothing and any account may be the
/// sender. What it reads is cached beside `state`, so that questions do not make the state grow.
///
/// # Errors
/// As [`execute`].
pub(super) fn simulate(
    state: &State,
    chain_id: u64,
    mut block: BlockEnv,
    tx: TxEnv,
) -> Result<ResultAndState, Failure> {
    let mut rules = CfgEnv::new_with_spec(RULES).with_chain_id(chain_id);
    rules.disable_nonce_check = true;
    rules.disable_eip3607 = true;
    if tx.gas_price == 0 {
        block.basefee = 0;
    }
    run(CacheDB::new(state), rules, block, tx)
}

fn run<DB: Database<Error = Infallible>>(
    state: DB,
    rules: CfgEnv,
    block: BlockEnv,
    tx: TxEnv,
) -> Result<ResultAndState, Failure> {
    let context = Context::mainnet().with_db(state).with_cfg(rules).with_block(block);
    context.build_mainnet().transact(tx).map_err(|error| match error {
        EVMError::Transaction(reason) => refused(&reason),
        other => Failure::server(other.to_string()),
    })
}

/// A signed transaction as the machine takes it.
pub(super) fn signed(tx: &Recovered<TxEnvelope>) -> TxEnv {
    TxEnv {
        tx_type: tx.ty(),
        caller: tx.signer(),
        gas_limit: tx.gas_limit(),
        gas_price: tx.max_fee_per_gas(),
        kind: tx.kind(),
        value: tx.value(),
        data: tx.input().clone(),
        nonce: tx.nonce(),
        chain_id: tx.chain_id(),
        access_list: tx.access_list().cloned().unwrap_or_default(),
        gas_priority_fee: tx.max_priority_fee_per_gas(),
        ..TxEnv::default()
    }
}

/// A message that nobody signed and nobody pays for.
pub(super) fn message(from: Address, kind: TxKind, data: Bytes, gas_limit: u64) -> TxEnv {
    TxEnv {
        caller: from,
        gas_limit,
        gas_price: 0,
        kind,
        value: U256::ZERO,
        data,
        chain_id: None,
        ..TxEnv::default()
    }
}
