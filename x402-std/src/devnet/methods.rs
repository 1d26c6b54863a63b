//! What each method does.
use std::borrow::Cow;

use alloy_eips::eip2718::Encodable2718 as _;
use alloy_primitives::{Address, B256, Bytes, U256};
use revm::{DatabaseRef as _, context::result::ExecutionResult, state::AccountInfo};
use serde_json::{Value, json};

use super::{
    block::{BASE_FEE, Block},
    chain::Chain,
    evm::State,
    failure::{Failure, returned},
    gas,
    json::{self as encode, bytes, quantity},
    logs::{Filter, number},
    params::{Args, BlockId, CallRequest, Count, Param, Slot},
};

/// Wei per gas that is suggested on top of the base fee.
const PRIORITY_FEE: u64 = 1_000_000_000;
/// Blocks that one fee history covers at most.
const MAX_HISTORY: u64 = 1_024;
/// Percentiles that one fee history takes at most.
const MAX_PERCENTILES: usize = 100;

pub(super) type Answer = Result<Value, Failure>;
pub(super) type Method = fn(&mut Chain, &Args<'_>) -> Answer;

/// The method of this name, and how many arguments it takes at most.
pub(super) fn find(name: &str) -> Option<(usize, Method)> {
    Some(match name {
        "web3_clientVersion" => {
            (0, |_, _| Ok(json!(concat!("x402-devnet/", env!("CARGO_PKG_VERSION")))))
        }
        "net_version" => (0, |chain, _| Ok(json!(chain.id.to_string()))),
        "net_listening" => (0, |_, _| Ok(json!(true))),
        "eth_chainId" => (0, |chain, _| Ok(quantity(chain.id))),
        "eth_syncing" => (0, |_, _| Ok(json!(false))),
        "eth_accounts" => (0, |_, _| Ok(json!([]))),
        "eth_blockNumber" => (0, |chain, _| Ok(quantity(chain.height()))),
        "eth_gasPrice" => (0, |_, _| Ok(quantity(BASE_FEE + PRIORITY_FEE))),
        "eth_maxPriorityFeePerGas" => (0, |_, _| Ok(quantity(PRIORITY_FEE))),
        "eth_feeHistory" => (3, fee_history),
        "eth_getBalance" => (2, balance),
        "eth_getCode" => (2, code),
        "eth_getStorageAt" => (3, storage),
        "eth_getTransactionCount" => (2, transaction_count),
        "eth_call" => (2, call),
        "eth_estimateGas" => (2, estimate_gas),
        "eth_sendRawTransaction" => (1, send),
        "eth_getTransactionByHash" => (1, transaction),
        "eth_getTransactionReceipt" => (1, receipt),
        "eth_getRawTransactionByHash" => (1, raw_transaction),
        "eth_getBlockByNumber" => (2, block::<ByNumber>),
        "eth_getBlockByHash" => (2, block::<B256>),
        "eth_getBlockReceipts" => (1, block_receipts),
        "eth_getLogs" => (1, |chain, args| args.required::<Filter>(0)?.find(chain)),
        _ => return super::control::find(name),
    })
}

/// The state of the block that the argument at `index` names, the newest if it names none.
fn state<'c>(chain: &'c Chain, args: &Args<'_>, index: usize) -> Result<Cow<'c, State>, Failure> {
    let id = args.optional(index)?.unwrap_or(BlockId::Newest);
    let (wanted, newest) = (number(chain, id)?, chain.height());
    if wanted > newest {
        return Err(Failure::server("header not found"));
    }
    chain.state_at(wanted).ok_or_else(|| {
        Failure::server(format!(
            "state of block {wanted} is not kept: the newest block is {newest}"
        ))
    })
}

/// The account at an address; an empty one where nothing is.
fn account(state: &State, address: Address) -> AccountInfo {
    let Ok(info) = state.basic_ref(address);
    info.unwrap_or_default()
}

fn balance(chain: &mut Chain, args: &Args<'_>) -> Answer {
    let address = args.required(0)?;
    Ok(quantity(account(&*state(chain, args, 1)?, address).balance))
}

fn code(chain: &mut Chain, args: &Args<'_>) -> Answer {
    let address = args.required(0)?;
    let state = state(chain, args, 1)?;
    let Ok(code) = state.code_by_hash_ref(account(&state, address).code_hash);
    Ok(bytes(code.original_bytes()))
}

fn storage(chain: &mut Chain, args: &Args<'_>) -> Answer {
    let (account, Slot(slot)) = (args.required(0)?, args.required(1)?);
    let Ok(value) = state(chain, args, 2)?.storage_ref(account, slot);
    Ok(bytes(value.to_be_bytes::<32>()))
}

fn transaction_count(chain: &mut Chain, args: &Args<'_>) -> Answer {
    let address: Address = args.required(0)?;
    let mined = account(&*state(chain, args, 1)?, address).nonce;
    let pending = args.optional::<Tag>(1)?.is_some_and(|tag| tag.0);
    Ok(quantity(if pending { chain.pool.nonce_after(address, mined) } else { mined }))
}

/// Whether a block argument says `pending`.
struct Tag(bool);

impl Param for Tag {
    fn read(value: &Value) -> Result<Self, String> {
        Ok(Self(value.as_str() == Some("pending")))
    }
}

fn call(chain: &mut Chain, args: &Args<'_>) -> Answer {
    let request: CallRequest = args.required(0)?;
    let state = state(chain, args, 1)?;
    returned(chain.ask_of(&state, request.tx(chain))?).map(bytes)
}

fn estimate_gas(chain: &mut Chain, args: &Args<'_>) -> Answer {
    let request: CallRequest = args.required(0)?;
    if matches!(state(chain, args, 1)?, Cow::Owned(_)) {
        return Err(Failure::server("gas is estimated on the newest block only"));
    }
    gas::estimate(chain, &request.tx(chain)).map(quantity)
}

fn send(chain: &mut Chain, args: &Args<'_>) -> Answer {
    let raw: Bytes = args.required(0)?;
    chain.send(&raw).map(bytes)
}

fn transaction(chain: &mut Chain, args: &Args<'_>) -> Answer {
    let hash = args.required(0)?;
    if let Some((block, index, mined)) = chain.mined(&hash) {
        return Ok(encode::transaction(&mined.tx, Some((block, index))));
    }
    Ok(chain.pool.find(&hash).map_or(Value::Null, |tx| encode::transaction(tx, None)))
}

fn raw_transaction(chain: &mut Chain, args: &Args<'_>) -> Answer {
    let hash = args.required(0)?;
    let tx = chain.mined(&hash).map(|(_, _, mined)| &mined.tx).or_else(|| chain.pool.find(&hash));
    Ok(tx.map_or(Value::Null, |tx| bytes(tx.encoded_2718())))
}

fn receipt(chain: &mut Chain, args: &Args<'_>) -> Answer {
    let mined = chain.mined(&args.required(0)?);
    Ok(mined.map_or(Value::Null, |(block, index, mined)| encode::receipt(block, index, mined)))
}

fn block_receipts(chain: &mut Chain, args: &Args<'_>) -> Answer {
    let wanted = lookup(chain, args.required(0)?);
    Ok(wanted.map_or(Value::Null, |block| {
        let numbered = block.transactions.iter().enumerate();
        numbered.map(|(index, mined)| encode::receipt(block, index, mined)).collect()
    }))
}

/// A block argument that is no hash.
struct ByNumber(BlockId);

impl Param for ByNumber {
    fn read(value: &Value) -> Result<Self, String> {
        match BlockId::read(value)? {
            BlockId::Hash(_) => Err("want a block number or tag".to_owned()),
            id => Ok(Self(id)),
        }
    }
}

impl From<ByNumber> for BlockId {
    fn from(ByNumber(id): ByNumber) -> Self {
        id
    }
}

impl From<B256> for BlockId {
    fn from(hash: B256) -> Self {
        Self::Hash(hash)
    }
}

fn block<T: Param + Into<BlockId>>(chain: &mut Chain, args: &Args<'_>) -> Answer {
    let wanted = lookup(chain, args.required::<T>(0)?.into());
    let whole = args.optional(1)?.unwrap_or(false);
    Ok(wanted.map_or(Value::Null, |block| encode::block(block, whole)))
}

fn lookup(chain: &Chain, id: BlockId) -> Option<&Block> {
    match id {
        BlockId::Newest => chain.block(chain.height()),
        BlockId::Number(number) => chain.block(number),
        BlockId::Hash(hash) => chain.block_by_hash(&hash),
    }
}

/// The percentiles asked for: from 0 to 100, none below the one before it.
struct Percentiles(Vec<f64>);

impl Param for Percentiles {
    fn read(value: &Value) -> Result<Self, String> {
        let list = value.as_array().ok_or("want a list of percentiles")?;
        let list: Option<Vec<f64>> = list.iter().map(Value::as_f64).collect();
        let list = list.filter(|list| list.len() <= MAX_PERCENTILES && list.is_sorted());
        let list = list.filter(|list| list.iter().all(|each| (0.0..=100.0).contains(each)));
        list.map(Self).ok_or_else(|| "want rising percentiles between 0 and 100".to_owned())
    }
}

fn fee_history(chain: &mut Chain, args: &Args<'_>) -> Answer {
    let Count(count) = args.required(0)?;
    let newest = number(chain, args.required(1)?)?;
    let Percentiles(percentiles) = args.optional(2)?.unwrap_or(Percentiles(Vec::new()));
    if newest > chain.height() {
        return Err(Failure::server("request beyond head block"));
    }
    let count = count.clamp(1, MAX_HISTORY);
    let oldest = newest.saturating_sub(count - 1);
    Ok(encode::fee_history(chain, oldest, newest, &percentiles))
}

/// Atomic units of `token` that `owner` has.
///
/// # Errors
/// No token is at that address.
pub(super) fn token_balance(
    chain: &Chain,
    token: Address,
    owner: Address,
) -> Result<U256, Failure> {
    // balanceOf(address)
    let owner = owner.into_word();
    let data = [&[0x70, 0xa0, 0x82, 0x31][..], owner.as_slice()].concat();
    let tx = super::evm::message(Address::ZERO, token.into(), data.into(), 1_000_000);
    let answer = match chain.ask(tx)? {
        ExecutionResult::Success { output, .. } => output.into_data(),
        _ => Bytes::new(),
    };
    U256::try_from_be_slice(&answer)
        .filter(|_| answer.len() == 32)
        .ok_or_else(|| Failure::server("no token is there"))
}
