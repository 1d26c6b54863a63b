//! A node, as far as it is asked: one token, one account that sends, blocks that may go again.

use std::collections::HashMap;

use alloy_consensus::{Transaction as _, TxEnvelope};
use alloy_eips::Decodable2718 as _;
use alloy_primitives::{Address, Bytes};
use alloy_sol_types::SolValue as _;
use serde_json::{Value, json};
use x402_core::hex::Hex;
use x402_core::keccak256;
use x402_core::settlement::{AUTHORIZATION_USED_TOPIC, TRANSFER_TOPIC};

type Word = [u8; 32];

/// A transaction of `transferWithAuthorization`, or of several at once by `aggregate3`.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) hash: Word,
    /// The account nonce; `None` where somebody else sends it.
    pub(crate) nonce: Option<u64>,
    max_fee: u128,
    tip: u128,
    pub(crate) terms: Vec<Terms>,
    /// It is a batch: one that fails does not undo the others.
    is_batch: bool,
    /// It takes the authorization back, and moves nothing.
    cancels: bool,
}

/// What was signed, as words of the calldata: from, to, value, validAfter, validBefore, nonce.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Terms([Word; 6]);

impl Terms {
    fn read(calldata: &[u8]) -> Option<Self> {
        let (words, _) = calldata.get(4..)?.as_chunks::<32>();
        Some(Self(*words.first_chunk()?))
    }

    /// Of one call, or of each in a batch; and whether it is a batch.
    fn read_all(calldata: &[u8]) -> Option<(Vec<Self>, bool)> {
        if calldata.is_empty() {
            // It uses up a nonce.
            return Some((Vec::new(), false));
        }
        if !calldata.starts_with(&AGGREGATE3) {
            return Some((vec![Self::read(calldata)?], false));
        }
        let calls = <Vec<(Address, bool, Bytes)>>::abi_decode_params(calldata.get(4..)?).ok()?;
        let terms = calls.iter().map(|(_, may_fail, data)| {
            assert!(may_fail, "one that fails would undo the others");
            Self::read(data)
        });
        Some((terms.collect::<Option<_>>()?, true))
    }

    pub(crate) const fn nonce(&self) -> Word {
        self.0[5]
    }

    fn is_in_time(&self, time: u64) -> bool {
        word(time) > self.0[3] && word(time) < self.0[4]
    }
}

/// `aggregate3((address,bool,bytes)[])`
const AGGREGATE3: [u8; 4] = [0x82, 0xad, 0x56, 0xcb];

pub(crate) fn word(number: u64) -> Word {
    let mut word = [0; 32];
    word[24..].copy_from_slice(&number.to_be_bytes());
    word
}

/// What became of an authorization.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Use {
    Moved,
    Cancelled,
}

#[derive(Clone, Debug)]
struct Mined {
    sent: Sent,
    /// Of each of its terms.
    succeeded: Vec<bool>,
}

impl Mined {
    fn used(&self) -> impl Iterator<Item = &Terms> {
        let terms = self.sent.terms.iter().zip(&self.succeeded);
        terms.filter(|(_, succeeded)| **succeeded).map(|(terms, _)| terms)
    }
}

#[derive(Clone, Debug)]
struct Block {
    time: u64,
    hash: Word,
    mined: Vec<Mined>,
}

#[derive(Default)]
pub(crate) struct Node {
    blocks: Vec<Block>,
    pub(crate) pool: Vec<Sent>,
    /// By nonce of the authorization.
    used: HashMap<Word, Use>,
    /// The account's nonce, as mined.
    pub(crate) account: u64,
    pub(crate) base_fee: u64,
    /// Payers whose money is gone.
    pub(crate) poor: Vec<Word>,
    pub(crate) has_no_gas: bool,
    /// Receipts in blocks above this height are not told.
    pub(crate) told: Option<u64>,
    salt: u64,
}

/// The code and the message of an error.
pub(crate) type Refused = (i64, &'static str);

impl Node {
    pub(crate) fn start(time: u64) -> Self {
        let mut node = Self { base_fee: 1_000, ..Self::default() };
        node.mine(time, false);
        node
    }

    pub(crate) fn use_of(&self, nonce: Word) -> Option<Use> {
        self.used.get(&nonce).copied()
    }

    fn head(&self) -> u64 {
        self.blocks.len() as u64 - 1
    }

    /// The next block. Where it is full, only strangers find room.
    pub(crate) fn mine(&mut self, time: u64, is_full: bool) {
        self.salt += 1;
        let hash = keccak256(&[&word(self.salt)]);
        let mut block = Block { time, hash, mined: Vec::new() };
        let (theirs, ours): (Vec<_>, Vec<_>) =
            self.pool.drain(..).partition(|sent| sent.nonce.is_none());
        for sent in theirs {
            block.mined.push(self.execute(sent, time));
        }
        let mut waiting = ours;
        waiting.sort_by_key(|sent| sent.nonce);
        for sent in waiting {
            let fits = sent.nonce == Some(self.account) && sent.max_fee >= self.base_fee.into();
            if fits && !is_full {
                self.account += 1;
                block.mined.push(self.execute(sent, time));
            } else if sent.nonce >= Some(self.account) {
                self.pool.push(sent);
            }
        }
        self.blocks.push(block);
    }

    fn execute(&mut self, sent: Sent, time: u64) -> Mined {
        let mut succeeded = Vec::with_capacity(sent.terms.len());
        for terms in &sent.terms {
            let nonce = terms.nonce();
            let is_good = self.would_move(terms, time) || sent.cancels && !self.is_used(nonce);
            if is_good {
                self.used.insert(nonce, if sent.cancels { Use::Cancelled } else { Use::Moved });
            }
            succeeded.push(is_good);
        }
        Mined { sent, succeeded }
    }

    fn is_used(&self, nonce: Word) -> bool {
        self.used.contains_key(&nonce)
    }

    fn would_move(&self, terms: &Terms, time: u64) -> bool {
        !self.is_used(terms.nonce()) && terms.is_in_time(time) && !self.poor.contains(&terms.0[0])
    }

    /// Takes the last blocks back. Their transactions wait again, but for those that are forgotten.
    pub(crate) fn go_back(&mut self, depth: u64, mut is_forgotten: impl FnMut() -> bool) {
        let kept = self.blocks.len().saturating_sub(depth as usize).max(1);
        let gone = self.blocks.split_off(kept);
        self.used.clear();
        self.account = 0;
        let mut blocks = std::mem::take(&mut self.blocks);
        for mined in blocks.iter_mut().flat_map(|block| &mut block.mined) {
            self.account += u64::from(mined.sent.nonce.is_some());
            let is = if mined.sent.cancels { Use::Cancelled } else { Use::Moved };
            self.used.extend(mined.used().map(|terms| (terms.nonce(), is)));
        }
        self.blocks = blocks;
        for mined in gone.into_iter().flat_map(|block| block.mined) {
            if !is_forgotten() {
                self.pool.push(mined.sent);
            }
        }
    }

    /// How many authorizations were used together with others.
    pub(crate) fn in_batches(&self) -> u64 {
        let mined = self.blocks.iter().flat_map(|block| &block.mined);
        mined.filter(|mined| mined.sent.is_batch).map(|mined| mined.used().count() as u64).sum()
    }

    /// Whether one transaction of the account is in a block.
    pub(crate) fn is_mined(&self, hash: Word) -> bool {
        self.find(hash).is_some()
    }

    fn find(&self, hash: Word) -> Option<(u64, &Mined)> {
        let blocks = self.blocks.iter().enumerate().rev();
        let mut all = blocks.flat_map(|(height, block)| {
            block.mined.iter().map(move |mined| (height as u64, mined))
        });
        all.find(|(_, mined)| mined.sent.hash == hash)
    }

    /// Somebody who has seen the transaction submits the authorization, or its payer takes it back.
    pub(crate) fn overtake(&mut self, terms: Terms, cancels: bool) {
        self.salt += 1;
        let hash = keccak256(&[&word(self.salt), b"another"]);
        let (terms, is_batch) = (vec![terms], false);
        self.pool.push(Sent { hash, nonce: None, max_fee: 0, tip: 0, terms, is_batch, cancels });
    }

    pub(crate) fn answer(&mut self, method: &str, params: &Value) -> Result<Value, Refused> {
        Ok(match method {
            "eth_chainId" => json!("0x1"),
            "eth_getCode" => json!("0x"),
            "eth_call" => json!(self.call(&bytes(&params[0]["data"]))?),
            "eth_getTransactionCount" => {
                let height = number(&params[1]);
                let count = height.map_or_else(|| self.next_nonce(), |at| self.nonce_at(at));
                json!(format!("{count:#x}"))
            }
            "eth_feeHistory" => {
                let base = format!("{:#x}", self.base_fee);
                json!({"baseFeePerGas": [base, base], "reward": [["0x64"]]})
            }
            "eth_sendRawTransaction" => json!(Hex(&self.send(&bytes(&params[0]))?).to_string()),
            "eth_getTransactionReceipt" => self.receipt(&params[0]),
            "eth_getBlockByNumber" => {
                let number = number(&params[0]).unwrap_or_else(|| self.head());
                match self.blocks.get(number as usize) {
                    Some(block) => {
                        json!({"number": format!("{number:#x}"), "timestamp": format!("{:#x}", block.time)})
                    }
                    None => Value::Null,
                }
            }
            "eth_getLogs" => self.logs(&params[0]),
            other => unreachable!("{other}"),
        })
    }

    fn call(&self, data: &[u8]) -> Result<String, Refused> {
        let (selector, words) = data.split_first_chunk::<4>().unwrap();
        let time = self.blocks.last().unwrap().time + 1;
        let word_of = |number| Hex(&word(number)).to_string();
        match Hex(selector).to_string().as_str() {
            // transferWithAuthorization
            "0xe3ee160e" if self.would_move(&Terms::read(data).unwrap(), time) => Ok("0x".into()),
            "0xe3ee160e" => Err((3, "execution reverted")),
            // aggregate3: the money of each is its payer's own, so that none is in another's way
            "0x82ad56cb" => {
                let (terms, _) = Terms::read_all(data).unwrap();
                let would = terms.iter().map(|terms| (self.would_move(terms, time), Bytes::new()));
                Ok(Hex(&would.collect::<Vec<_>>().abi_encode()).to_string())
            }
            // authorizationState
            "0xe94a0102" => Ok(word_of(self.is_used(words[32..64].try_into().unwrap()).into())),
            // balanceOf
            "0x70a08231" if self.poor.iter().any(|poor| *poor == words[..32]) => Ok(word_of(0)),
            "0x70a08231" => Ok(word_of(u64::MAX)),
            other => unreachable!("{other}"),
        }
    }

    fn nonce_at(&self, height: u64) -> u64 {
        let blocks = self.blocks.iter().take(height as usize + 1);
        let mined = blocks.flat_map(|block| &block.mined);
        mined.filter(|mined| mined.sent.nonce.is_some()).count() as u64
    }

    fn next_nonce(&self) -> u64 {
        let mut next = self.account;
        while self.pool.iter().any(|sent| sent.nonce == Some(next)) {
            next += 1;
        }
        next
    }

    fn send(&mut self, raw: &[u8]) -> Result<Word, Refused> {
        let hash = keccak256(&[raw]);
        let transaction = TxEnvelope::decode_2718_exact(raw).unwrap();
        let (terms, is_batch) = Terms::read_all(transaction.input()).unwrap();
        let sent = Sent {
            hash,
            nonce: Some(transaction.nonce()),
            max_fee: transaction.max_fee_per_gas(),
            tip: transaction.max_priority_fee_per_gas().unwrap(),
            terms,
            is_batch,
            cancels: false,
        };
        if self.pool.iter().any(|known| known.hash == hash) {
            return Err((-32000, "already known"));
        }
        if sent.nonce < Some(self.account) {
            return Err((-32000, "nonce too low"));
        }
        if self.has_no_gas {
            return Err((-32000, "insufficient funds for gas * price + value"));
        }
        if sent.max_fee < u128::from(self.base_fee) / 2 {
            return Err((-32000, "transaction underpriced"));
        }
        if let Some(known) = self.pool.iter_mut().find(|known| known.nonce == sent.nonce) {
            let is_more = |old: u128, new: u128| new * 10 >= old * 11;
            if !is_more(known.max_fee, sent.max_fee) || !is_more(known.tip, sent.tip) {
                return Err((-32000, "replacement transaction underpriced"));
            }
            *known = sent;
        } else {
            self.pool.push(sent);
        }
        Ok(hash)
    }

    fn receipt(&self, hash: &Value) -> Value {
        let hash: Word = bytes(hash).try_into().unwrap();
        let Some((height, mined)) = self.find(hash) else { return Value::Null };
        if self.told.is_some_and(|told| height > told) {
            return Value::Null;
        }
        let hex = |word: Word| Hex(&word).to_string();
        let token = "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48";
        let logs = |terms: &Terms| {
            let Terms([from, to, value, _, _, nonce]) = *terms;
            [
                json!({"address": token, "topics": [hex(AUTHORIZATION_USED_TOPIC), hex(from), hex(nonce)], "data": "0x"}),
                json!({"address": token, "topics": [hex(TRANSFER_TOPIC), hex(from), hex(to)], "data": hex(value)}),
            ]
        };
        let logs: Vec<_> =
            if mined.sent.cancels { Vec::new() } else { mined.used().flat_map(logs).collect() };
        let succeeded = mined.sent.is_batch || mined.succeeded.contains(&true);
        json!({
            "transactionHash": hex(hash),
            "blockHash": hex(self.blocks[height as usize].hash),
            "blockNumber": format!("{height:#x}"),
            "status": if succeeded { "0x1" } else { "0x0" },
            "logs": logs,
        })
    }

    fn logs(&self, filter: &Value) -> Value {
        let nonce = bytes(&filter["topics"][2]);
        let range = number(&filter["fromBlock"]).unwrap()..=number(&filter["toBlock"]).unwrap();
        let mut logs = Vec::new();
        for (height, block) in self.blocks.iter().enumerate() {
            for mined in &block.mined {
                let is_use = mined.used().any(|terms| terms.nonce()[..] == nonce);
                if is_use && !mined.sent.cancels && range.contains(&(height as u64)) {
                    logs.push(json!({
                        "blockNumber": format!("{height:#x}"),
                        "transactionHash": Hex(&mined.sent.hash).to_string(),
                    }));
                }
            }
        }
        logs.into()
    }
}

fn number(value: &Value) -> Option<u64> {
    u64::from_str_radix(value.as_str()?.strip_prefix("0x")?, 16).ok()
}

fn bytes(value: &Value) -> Vec<u8> {
    let digits = value.as_str().unwrap().strip_prefix("0x").unwrap();
    let pair = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
    (0..digits.len()).step_by(2).map(pair).collect()
}
