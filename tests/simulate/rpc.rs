//! What one of the node's machines answers: the methods that are asked, and no others.

use std::sync::Arc;

use alloy_primitives::{Address as Contract, Bytes, address};
use alloy_sol_types::{SolCall as _, SolValue as _, sol};
use serde_json::{Map, Value, json};
use x402_core::hex::Hex;
use x402_core::permit2::{EXACT_PROXY, PERMIT2};

use crate::node::{Block, Mined, Node, STRANGER, preview};
use crate::token::{AGGREGATE3, Act, Log, State, TOKEN, Word, contract, word};

/// The code and the message of an error.
pub(crate) type Refused = (i64, &'static str);

pub(crate) const MULTICALL3: Contract = address!("ca11bde05977b3631167028862be2a173976ca11");

sol! {
    function authorizationState(address authorizer, bytes32 nonce);
    function balanceOf(address account);
    function allowance(address owner, address spender);
    function nonceBitmap(address owner, uint256 word);
    function paused();
    function isBlacklisted(address account);
}

/// What of a view is looked at.
struct View<'a> {
    node: &'a Node,
    blocks: &'a [Arc<Block>],
}

impl Node {
    pub(crate) fn answer(
        &mut self,
        backend: usize,
        method: &str,
        params: &Value,
    ) -> Result<Value, Refused> {
        let garble = self.garble.take();
        if method == "eth_sendRawTransaction" {
            let account = self.view(backend).last().unwrap().state.account;
            return self.send(&bytes(&params[0]), account).map(|hash| hex(&hash));
        }
        let view = View { node: self, blocks: self.view(backend) };
        Ok(match method {
            "eth_chainId" => json!("0x1"),
            "eth_getCode" => view.code(&params[0]),
            "eth_getBalance" => number_of(if self.has_no_gas { 0 } else { u64::MAX }),
            "eth_call" => json!(view.call(params)?),
            "eth_getTransactionCount" => number_of(view.count(&params[1])?),
            "eth_gasPrice" => number_of(self.base_fee + 100),
            "eth_feeHistory" => {
                let base = number_of(self.base_fee);
                json!({"baseFeePerGas": [base, base], "reward": [["0x64"]]})
            }
            "eth_getTransactionReceipt" => view.receipt(&params[0], garble),
            "eth_getTransactionByHash" => view.transaction(&params[0]),
            "eth_getBlockByNumber" => view.by_number(&params[0])?.map_or(Value::Null, tell),
            "eth_getBlockByHash" => view.by_hash(word_in(&params[0])).map_or(Value::Null, tell),
            "eth_getLogs" => view.logs(&params[0])?,
            other => panic!("the node is asked for {other}"),
        })
    }
}

impl<'a> View<'a> {
    fn head(&self) -> &'a Block {
        self.blocks.last().expect("there is a first block")
    }

    /// The block of a number or a tag, if there is one.
    fn by_number(&self, at: &Value) -> Result<Option<&'a Block>, Refused> {
        let traits = self.node.traits;
        let text = at.as_str().unwrap_or_else(|| panic!("no number of a block: {at}"));
        let number = match text {
            "latest" | "pending" => return Ok(Some(self.head())),
            "earliest" => 0,
            "finalized" | "safe" if !traits.knows_finalized => {
                return Err((-32602, "invalid argument 0: hex string without 0x prefix"));
            }
            "finalized" => self.node.finalized.min(self.head().number),
            "safe" => self.head().number.saturating_sub(traits.finality / 2),
            _ => number(at).unwrap_or_else(|| panic!("no number of a block: {at}")),
        };
        Ok(self.blocks.get(number as usize).map(|block| &**block))
    }

    fn by_hash(&self, hash: Word) -> Option<&'a Block> {
        let is = |block: &&Arc<Block>| block.hash == hash;
        let found = self.blocks.iter().rev().find(is).or_else(|| self.node.orphans.get(&hash));
        found.map(|block| &**block)
    }

    /// The block that a call is about: by a tag, a number, or a hash (EIP-1898).
    fn block(&self, at: &Value) -> Result<&'a Block, Refused> {
        let Value::Object(members) = at else {
            return self.by_number(at)?.ok_or((-32000, "header not found"));
        };
        if !self.node.traits.takes_hashes {
            return Err((-32602, "invalid argument 1: json: cannot unmarshal object"));
        }
        only(members, &["blockHash", "requireCanonical"]);
        let block = self.by_hash(word_in(&at["blockHash"])).ok_or((-32000, "header not found"))?;
        let is_canonical =
            self.blocks.get(block.number as usize).is_some_and(|known| known.hash == block.hash);
        if at["requireCanonical"] == json!(true) && !is_canonical {
            return Err((-32000, "hash is not currently canonical"));
        }
        Ok(block)
    }

    fn code(&self, params: &Value) -> Value {
        let known = [TOKEN, MULTICALL3, contract(EXACT_PROXY), contract(PERMIT2)];
        json!(if known.contains(&Contract::from_slice(&bytes(params))) { "0x6001" } else { "0x" })
    }

    fn count(&self, at: &Value) -> Result<u64, Refused> {
        let mut next = self.block(at)?.state.account;
        if at == "pending" {
            while self.node.pool.iter().any(|sent| sent.nonce == Some(next)) {
                next += 1;
            }
        }
        Ok(next)
    }

    fn call(&self, params: &Value) -> Result<String, Refused> {
        const CALL: [&str; 12] = [
            "accessList",
            "chainId",
            "data",
            "from",
            "gas",
            "gasPrice",
            "input",
            "maxFeePerGas",
            "maxPriorityFeePerGas",
            "nonce",
            "to",
            "value",
        ];
        let call = params[0].as_object().expect("a call");
        only(call, &CALL);
        let block = self.block(&params[1])?;
        let fee = call.get("maxFeePerGas").or_else(|| call.get("gasPrice"));
        if let Some(fee) = fee.and_then(number) {
            if fee < self.node.base_fee {
                return Err((-32000, "max fee per gas less than block base fee"));
            }
            if self.node.has_no_gas && fee > 0 {
                return Err((-32000, "insufficient funds for gas * price + value"));
            }
        }
        let to = Contract::from_slice(&bytes(&call["to"]));
        let data = bytes(call.get("data").unwrap_or_else(|| &call["input"]));
        run(&block.state, block.time + 1, to, &data)
    }

    fn is_told(&self, block: &Block) -> bool {
        self.node.told.is_none_or(|told| block.number <= told)
    }

    fn receipt(&self, hash: &Value, garble: Option<u64>) -> Value {
        let hash = word_in(hash);
        match self.node.find(self.blocks, hash) {
            Some((block, at)) if !self.node.hides_receipts && self.is_told(block) => {
                receipt(block, &block.mined[at], at)
            }
            Some(_) => Value::Null,
            None => garble.map_or(Value::Null, |how| self.made_up(hash, how)),
        }
    }

    /// The receipt of a transaction that waits still, as some nodes tell it.
    fn made_up(&self, hash: Word, how: u64) -> Value {
        let Some(sent) = self.node.pool.iter().find(|sent| sent.hash == hash) else {
            return Value::Null;
        };
        let head = self.head();
        let mined = preview(&head.state, sent, head.time + 1);
        let next = Block { number: head.number + 1 + how, ..head.clone() };
        let mut told = receipt(&next, &mined, 0);
        match how {
            // Of a block that is not there yet.
            0 | 1 => told["blockHash"] = hex(&word(how + 1)),
            // Of none.
            2 => told["blockNumber"] = Value::Null,
            3 => (told["blockHash"], told["blockNumber"]) = (Value::Null, Value::Null),
            // With logs of another transaction.
            _ => {
                let next = Block { number: head.number, ..head.clone() };
                told = receipt(&next, &mined, 0);
                for log in told["logs"].as_array_mut().unwrap() {
                    log["transactionHash"] = hex(&word(how));
                }
            }
        }
        told
    }

    fn transaction(&self, hash: &Value) -> Value {
        let hash = word_in(hash);
        let found = self.node.find(self.blocks, hash);
        let waiting = || self.node.pool.iter().find(|sent| sent.hash == hash);
        let sent = found.map(|(block, at)| &block.mined[at].sent).or_else(waiting);
        let Some(sent) = sent else { return Value::Null };
        json!({
            "hash": hex(&hash),
            "from": STRANGER,
            "to": sent.to,
            "input": Hex(&sent.input).to_string(),
            "value": "0x0",
            "blockHash": found.map(|(block, _)| hex(&block.hash)),
            "blockNumber": found.map(|(block, _)| number_of(block.number)),
            "transactionIndex": found.map(|(_, at)| number_of(at as u64)),
        })
    }

    fn logs(&self, filter: &Value) -> Result<Value, Refused> {
        let members = filter.as_object().expect("a filter");
        only(members, &["address", "blockHash", "fromBlock", "toBlock", "topics"]);
        let blocks: Vec<&Block> = if let Some(hash) = members.get("blockHash") {
            assert!(!members.contains_key("fromBlock") && !members.contains_key("toBlock"));
            vec![self.by_hash(word_in(hash)).ok_or((-32000, "unknown block"))?]
        } else {
            let end = |at: Option<&Value>| match at.and_then(number) {
                Some(number) => Ok(number),
                None => self.block(at.unwrap_or(&json!("latest"))).map(|block| block.number),
            };
            let (first, last) = (end(members.get("fromBlock"))?, end(members.get("toBlock"))?);
            if first > last {
                return Err((-32602, "invalid block range params"));
            }
            if last - first >= self.node.traits.log_range {
                return Err((-32005, "query exceeds max block range"));
            }
            let range = self.blocks.iter().skip(first as usize);
            range.take((last - first) as usize + 1).map(|block| &**block).collect()
        };
        let topics = filter["topics"].as_array().map_or(&[][..], |topics| topics);
        let fits = |log: &Log| {
            let mut pairs = topics.iter().zip(&log.topics);
            topics.len() <= log.topics.len()
                && one_of(&filter["address"], |wanted| bytes(wanted) == log.address[..])
                && pairs.all(|(wanted, topic)| one_of(wanted, |wanted| bytes(wanted) == topic[..]))
        };
        let mut found = Vec::new();
        for block in blocks.into_iter().filter(|block| self.is_told(block)) {
            for (at, mined) in block.mined.iter().enumerate() {
                let logs = mined.logs.iter().enumerate().filter(|(_, log)| fits(log));
                found.extend(logs.map(|(place, log)| tell_log(block, mined, (at, place), log)));
            }
        }
        Ok(found.into())
    }
}

/// What a call returns.
fn run(state: &State, time: u64, to: Contract, data: &[u8]) -> Result<String, Refused> {
    let (selector, words) = data.split_first_chunk::<4>().unwrap();
    let word_at = |at: usize| -> Word { words[at * 32..][..32].try_into().unwrap() };
    let told = |word: &Word| Hex(word).to_string();
    match *selector {
        AGGREGATE3 if to == MULTICALL3 => {
            let (acts, _) = Act::read_all(data).unwrap();
            let mut state = state.clone();
            let would = acts.iter().map(|act| (state.run(act, time).is_some(), Bytes::new()));
            Ok(Hex(&would.collect::<Vec<_>>().abi_encode()).to_string())
        }
        authorizationStateCall::SELECTOR if to == TOKEN => {
            let is_used = state.use_of(word_at(0), word_at(1)).is_some();
            Ok(told(&word(is_used.into())))
        }
        balanceOfCall::SELECTOR if to == TOKEN => {
            let balance = u64::try_from(state.balance(word_at(0))).unwrap_or(u64::MAX);
            Ok(told(&word(balance)))
        }
        allowanceCall::SELECTOR if to == TOKEN => Ok(told(&[0xff; 32])),
        // It is never paused, and lists nobody.
        pausedCall::SELECTOR | isBlacklistedCall::SELECTOR if to == TOKEN => Ok(told(&word(0))),
        nonceBitmapCall::SELECTOR if to == contract(PERMIT2) => {
            Ok(told(&state.nonce_bitmap(word_at(0), word_at(1))))
        }
        _ => {
            let acts = Act::read_all(data).map(|(acts, _)| acts).unwrap_or_default();
            let is_known = match acts[..] {
                [Act::Use(_)] => to == TOKEN,
                [Act::Settle(_)] => to == contract(EXACT_PROXY),
                _ => false,
            };
            assert!(is_known, "{to} is called with {}", Hex(selector));
            match state.clone().run(&acts[0], time) {
                Some(_) => Ok("0x".into()),
                None => Err((3, "execution reverted")),
            }
        }
    }
}

fn tell(block: &Block) -> Value {
    let hashes: Vec<_> = block.mined.iter().map(|mined| hex(&mined.sent.hash)).collect();
    json!({
        "number": number_of(block.number),
        "hash": hex(&block.hash),
        "parentHash": hex(&block.parent),
        "timestamp": number_of(block.time),
        "baseFeePerGas": "0x64",
        "transactions": hashes,
    })
}

fn receipt(block: &Block, mined: &Mined, at: usize) -> Value {
    let logs = mined.logs.iter().enumerate();
    let logs: Vec<_> = logs.map(|(place, log)| tell_log(block, mined, (at, place), log)).collect();
    json!({
        "transactionHash": hex(&mined.sent.hash),
        "transactionIndex": number_of(at as u64),
        "blockHash": hex(&block.hash),
        "blockNumber": number_of(block.number),
        "from": STRANGER,
        "to": mined.sent.to,
        "contractAddress": null,
        "status": if mined.has_succeeded { "0x1" } else { "0x0" },
        "gasUsed": "0x186a0",
        "effectiveGasPrice": "0x3e8",
        "logs": logs,
    })
}

/// A log, by where its transaction is in the block and it in the transaction.
fn tell_log(block: &Block, mined: &Mined, (at, place): (usize, usize), log: &Log) -> Value {
    let before: usize = block.mined.iter().take(at).map(|mined| mined.logs.len()).sum();
    let topics: Vec<_> = log.topics.iter().map(hex).collect();
    json!({
        "address": log.address,
        "topics": topics,
        "data": log.data.as_ref().map_or(json!("0x"), hex),
        "blockNumber": number_of(block.number),
        "blockHash": hex(&block.hash),
        "transactionHash": hex(&mined.sent.hash),
        "transactionIndex": number_of(at as u64),
        "logIndex": number_of((before + place) as u64),
        "removed": false,
    })
}

/// Whether a member of a filter leaves it open, or has one that fits.
fn one_of(wanted: &Value, fits: impl Fn(&Value) -> bool) -> bool {
    match wanted {
        Value::Null => true,
        Value::Array(any) => any.iter().any(fits),
        one => fits(one),
    }
}

fn only(members: &Map<String, Value>, known: &[&str]) {
    let strange = members.keys().find(|key| !known.contains(&key.as_str()));
    assert!(strange.is_none(), "the node is asked with {strange:?}");
}

fn number_of(number: u64) -> Value {
    json!(format!("{number:#x}"))
}

fn hex(word: &Word) -> Value {
    json!(Hex(word).to_string())
}

fn number(value: &Value) -> Option<u64> {
    u64::from_str_radix(value.as_str()?.strip_prefix("0x")?, 16).ok()
}

fn word_in(value: &Value) -> Word {
    bytes(value).try_into().expect("a hash")
}

fn bytes(value: &Value) -> Vec<u8> {
    let digits = value.as_str().unwrap().strip_prefix("0x").unwrap();
    let pair = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
    (0..digits.len()).step_by(2).map(pair).collect()
}
