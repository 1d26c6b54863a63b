//! Blocks, transactions, receipts and logs as JSON.
use core::fmt::LowerHex;

use alloy_consensus::{Transaction as _, TxEnvelope, Typed2718 as _, transaction::Recovered};
use alloy_eips::eip2718::Encodable2718 as _;
use alloy_primitives::{Log, U256, hex};
use serde_json::{Map, Value, json};

use super::{
    block::{BASE_FEE, Block, Mined},
    chain::Chain,
};

/// A quantity: hex without zeros before it.
pub(super) fn quantity(number: impl LowerHex) -> Value {
    Value::String(format!("{number:#x}"))
}

/// A count of things in memory.
fn count(number: usize) -> Value {
    quantity(number)
}

/// Bytes of any length.
pub(super) fn bytes(bytes: impl AsRef<[u8]>) -> Value {
    Value::String(hex::encode_prefixed(bytes))
}

/// A block, with its transactions whole or by hash.
pub(super) fn block(block: &Block, whole: bool) -> Value {
    let header = &block.header;
    let transactions: Vec<Value> = (block.transactions.iter().enumerate())
        .map(|(index, mined)| match whole {
            true => transaction(&mined.tx, Some((block, index))),
            false => bytes(mined.tx.tx_hash()),
        })
        .collect();
    let mut object = json!({
        "hash": bytes(block.hash),
        "parentHash": bytes(header.parent_hash),
        "sha3Uncles": bytes(header.ommers_hash),
        "miner": bytes(header.beneficiary),
        "stateRoot": bytes(header.state_root),
        "transactionsRoot": bytes(header.transactions_root),
        "receiptsRoot": bytes(header.receipts_root),
        "logsBloom": bytes(header.logs_bloom),
        "difficulty": quantity(header.difficulty),
        "number": quantity(header.number),
        "gasLimit": quantity(header.gas_limit),
        "gasUsed": quantity(header.gas_used),
        "timestamp": quantity(header.timestamp),
        "extraData": bytes(&header.extra_data),
        "mixHash": bytes(header.mix_hash),
        "nonce": bytes(header.nonce),
        "size": count(size(block)),
        "uncles": [],
        "withdrawals": [],
        "transactions": transactions,
    });
    let later = [
        ("baseFeePerGas", header.base_fee_per_gas.map(quantity)),
        ("withdrawalsRoot", header.withdrawals_root.map(bytes)),
        ("blobGasUsed", header.blob_gas_used.map(quantity)),
        ("excessBlobGas", header.excess_blob_gas.map(quantity)),
        ("parentBeaconBlockRoot", header.parent_beacon_block_root.map(bytes)),
        ("requestsHash", header.requests_hash.map(bytes)),
    ];
    for (name, value) in later {
        object[name] = value.into();
    }
    object
}

/// Bytes of a block, but for the few that frame its lists.
fn size(block: &Block) -> usize {
    let body: usize = block.transactions.iter().map(|mined| mined.tx.encode_2718_len()).sum();
    block.header.size() + body
}

/// A transaction: in its block, or waiting for one.
pub(super) fn transaction(tx: &Recovered<TxEnvelope>, place: Option<(&Block, usize)>) -> Value {
    let signature = tx.signature();
    let parity = u64::from(signature.v());
    let price = place.map_or(tx.max_fee_per_gas(), |_| tx.effective_gas_price(Some(BASE_FEE)));
    let mut object = json!({
        "hash": bytes(tx.tx_hash()),
        "type": quantity(tx.ty()),
        "nonce": quantity(tx.nonce()),
        "from": bytes(tx.signer()),
        "to": tx.to().map(bytes),
        "value": quantity(tx.value()),
        "gas": quantity(tx.gas_limit()),
        "gasPrice": quantity(price),
        "input": bytes(tx.input()),
        "chainId": tx.chain_id().map(quantity),
        "v": quantity(parity),
        "r": quantity(signature.r()),
        "s": quantity(signature.s()),
        "blockHash": place.map(|(block, _)| bytes(block.hash)),
        "blockNumber": place.map(|(block, _)| quantity(block.header.number)),
        "transactionIndex": place.map(|(_, index)| count(index)),
    });
    if tx.is_legacy() {
        // EIP-155
        let chain = U256::from(tx.chain_id().unwrap_or_default());
        object["v"] = quantity(chain * U256::from(2) + U256::from(35 + parity));
    } else {
        object["yParity"] = quantity(parity);
        object["accessList"] = access_list(tx);
    }
    if let Some(tip) = tx.max_priority_fee_per_gas() {
        object["maxFeePerGas"] = quantity(tx.max_fee_per_gas());
        object["maxPriorityFeePerGas"] = quantity(tip);
    }
    object
}

fn access_list(tx: &TxEnvelope) -> Value {
    let items = tx.access_list().into_iter().flat_map(|list| list.iter());
    items
        .map(|item| {
            let keys: Vec<Value> = item.storage_keys.iter().map(bytes).collect();
            json!({ "address": bytes(item.address), "storageKeys": keys })
        })
        .collect()
}

/// What became of the transaction at `index` of `block`.
pub(super) fn receipt(block: &Block, index: usize, mined: &Mined) -> Value {
    json!({
        "transactionHash": bytes(mined.tx.tx_hash()),
        "transactionIndex": count(index),
        "blockHash": bytes(block.hash),
        "blockNumber": quantity(block.header.number),
        "type": quantity(mined.tx.ty()),
        "from": bytes(mined.tx.signer()),
        "to": mined.tx.to().map(bytes),
        "contractAddress": mined.created.map(bytes),
        "status": quantity(u8::from(mined.receipt.status())),
        "gasUsed": quantity(mined.gas_used),
        "cumulativeGasUsed": quantity(mined.receipt.cumulative_gas_used()),
        "effectiveGasPrice": quantity(mined.price()),
        "logsBloom": bytes(mined.receipt.logs_bloom()),
        "logs": logs(block, index, mined, |_| true),
    })
}

/// The logs of one transaction that `wanted` lets through.
pub(super) fn logs(
    block: &Block,
    index: usize,
    mined: &Mined,
    wanted: impl Fn(&Log) -> bool,
) -> Vec<Value> {
    let numbered = mined.receipt.logs().iter().enumerate();
    numbered
        .filter(|(_, log)| wanted(log))
        .map(|(number, log)| {
            let topics: Vec<Value> = log.topics().iter().map(bytes).collect();
            json!({
                "address": bytes(log.address),
                "topics": topics,
                "data": bytes(&log.data.data),
                "blockHash": bytes(block.hash),
                "blockNumber": quantity(block.header.number),
                "blockTimestamp": quantity(block.header.timestamp),
                "transactionHash": bytes(mined.tx.tx_hash()),
                "transactionIndex": count(index),
                "logIndex": count(mined.first_log + number),
                "removed": false,
            })
        })
        .collect()
}

/// The fees of the blocks from `oldest` to `newest`, with the tips at `percentiles` of each block's
/// gas.
pub(super) fn fee_history(chain: &Chain, oldest: u64, newest: u64, percentiles: &[f64]) -> Value {
    let blocks: Vec<&Block> = (oldest..=newest).filter_map(|number| chain.block(number)).collect();
    // One more than there are blocks: the base fee of the block to come.
    let each = |value: Value| vec![value; blocks.len() + 1];
    let ratios: Vec<f64> = blocks.iter().map(|block| fullness(block)).collect();
    let mut object = Map::new();
    object.insert("oldestBlock".to_owned(), quantity(oldest));
    object.insert("baseFeePerGas".to_owned(), each(quantity(BASE_FEE)).into());
    object.insert("gasUsedRatio".to_owned(), json!(ratios));
    object.insert("baseFeePerBlobGas".to_owned(), each(quantity(1u8)).into());
    object.insert("blobGasUsedRatio".to_owned(), json!(vec![0.0; blocks.len()]));
    if !percentiles.is_empty() {
        let reward: Vec<Value> = blocks.iter().map(|block| tips(block, percentiles)).collect();
        object.insert("reward".to_owned(), reward.into());
    }
    object.into()
}

/// How full a block is, from 0 to 1; not money, so a float will do.
#[expect(clippy::cast_precision_loss, reason = "gas of a block is far below 2^53")]
fn fullness(block: &Block) -> f64 {
    block.header.gas_used as f64 / block.header.gas_limit as f64
}

#[expect(clippy::cast_precision_loss, reason = "gas of a block is far below 2^53")]
fn tips(block: &Block, percentiles: &[f64]) -> Value {
    let mut paid: Vec<(u128, u64)> = (block.transactions.iter())
        .map(|mined| (mined.price().saturating_sub(u128::from(BASE_FEE)), mined.gas_used))
        .collect();
    paid.sort_unstable();
    let tip = |percentile: &f64| {
        let threshold = block.header.gas_used as f64 * percentile / 100.0;
        let mut gas = 0;
        let at = paid.iter().find(|(_, used)| {
            gas += used;
            gas as f64 >= threshold
        });
        quantity(at.map_or(0, |(tip, _)| *tip))
    };
    percentiles.iter().map(tip).collect()
}
