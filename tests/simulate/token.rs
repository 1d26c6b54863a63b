//! The token, as FiatToken v2.2 is in what matters here: its state, and what calls make of it.

use std::collections::BTreeMap;

use alloy_primitives::{Address as Contract, Bytes, address};
use alloy_sol_types::SolValue as _;
use x402_core::permit2::{EXACT_PROXY, PERMIT2, SETTLE_EXACT_SELECTOR};
use x402_core::settlement::{
    AUTHORIZATION_CANCELED_TOPIC, AUTHORIZATION_USED_TOPIC, SETTLED_TOPIC, TRANSFER_TOPIC,
};
use x402_core::{Address, Transfer, keccak256};

pub(crate) type Word = [u8; 32];

pub(crate) fn word(number: u64) -> Word {
    let mut word = [0; 32];
    word[24..].copy_from_slice(&number.to_be_bytes());
    word
}

fn units(word: &Word) -> u128 {
    let (high, low) = word.split_at(16);
    if high == [0; 16] { u128::from_be_bytes(low.try_into().unwrap()) } else { u128::MAX }
}

fn word_of(units: u128) -> Word {
    let mut word = [0; 32];
    word[16..].copy_from_slice(&units.to_be_bytes());
    word
}

pub(crate) const TOKEN: Contract = address!("a0b86991c6218b36c1d19d4a2e9eb0ce3606eb48");

pub(crate) const fn contract(address: Address) -> Contract {
    Contract::new(*address.as_bytes())
}

/// What was signed, as words of the calldata: from, to, value, validAfter, validBefore, nonce. A permit has
/// the same, and its deadline for validBefore.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Terms([Word; 6]);

/// `transferWithAuthorization`, with v, r and s.
pub(crate) const TRANSFER_WITH_AUTHORIZATION: [u8; 4] = [0xe3, 0xee, 0x16, 0x0e];
/// `aggregate3((address,bool,bytes)[])`
pub(crate) const AGGREGATE3: [u8; 4] = [0x82, 0xad, 0x56, 0xcb];

impl Terms {
    pub(crate) fn of(signed: &Transfer) -> Self {
        let (after, before) = match signed {
            Transfer::Eip3009(signed) => (signed.valid_after, signed.valid_before),
            Transfer::Permit2(permit) => (permit.valid_after, permit.deadline),
        };
        Self([
            signed.from().to_word(),
            signed.to().to_word(),
            signed.value().to_be_bytes(),
            after.to_be_bytes(),
            before.to_be_bytes(),
            *signed.nonce().as_bytes(),
        ])
    }

    /// Of a call of `transferWithAuthorization`.
    pub(crate) fn read(calldata: &[u8]) -> Option<Self> {
        let arguments = calldata.strip_prefix(&TRANSFER_WITH_AUTHORIZATION)?;
        let (words, _) = arguments.as_chunks::<32>();
        Some(Self(*words.first_chunk()?))
    }

    /// Of a call of the proxy's `settle`.
    fn read_permit(calldata: &[u8]) -> Option<Self> {
        let arguments = calldata.strip_prefix(&SETTLE_EXACT_SELECTOR)?;
        let (words, _) = arguments.as_chunks::<32>();
        let [_, value, nonce, deadline, from, to, after] = *words.first_chunk()?;
        Some(Self([from, to, value, after, deadline, nonce]))
    }

    /// The calldata of the call, with a signature that nobody looks at.
    pub(crate) fn calldata(&self) -> Vec<u8> {
        let signature = [word(27), word(1), word(1)];
        [&TRANSFER_WITH_AUTHORIZATION[..], self.0.as_flattened(), signature.as_flattened()].concat()
    }

    /// As [`Self::calldata`], of a permit.
    pub(crate) fn permit_calldata(&self) -> Vec<u8> {
        let [from, to, value, after, deadline, nonce] = self.0;
        let token = TOKEN.into_word().0;
        let permit = [token, value, nonce, deadline, from, to, after, word(256), word(65)];
        [&SETTLE_EXACT_SELECTOR[..], permit.as_flattened(), &[1; 96]].concat()
    }

    pub(crate) const fn from(&self) -> Word {
        self.0[0]
    }

    pub(crate) const fn nonce(&self) -> Word {
        self.0[5]
    }

    pub(crate) fn value(&self) -> u128 {
        units(&self.0[2])
    }

    /// The same nonce of the same payer, and something else.
    pub(crate) const fn with(self, to: Word, value: u64) -> Self {
        let [from, _, _, after, before, nonce] = self.0;
        Self([from, to, word_const(value), after, before, nonce])
    }
}

const fn word_const(number: u64) -> Word {
    let mut word = [0; 32];
    let bytes = number.to_be_bytes();
    let mut at = 0;
    while at < 8 {
        word[24 + at] = bytes[at];
        at += 1;
    }
    word
}

/// What is called of the token, or of the proxy and of Permit2.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Act {
    /// `transferWithAuthorization`
    Use(Terms),
    /// `cancelAuthorization`
    Cancel { from: Word, nonce: Word },
    /// `transfer`
    Send { from: Word, to: Word, value: u128 },
    /// The proxy's `settle`.
    Settle(Terms),
    /// `invalidateUnorderedNonces`, of one nonce.
    Invalidate { from: Word, nonce: Word },
}

impl Act {
    /// Of one call, or of each in a batch; and whether it is a batch.
    pub(crate) fn read_all(calldata: &[u8]) -> Option<(Vec<Self>, bool)> {
        if calldata.is_empty() {
            // It uses up a nonce.
            return Some((Vec::new(), false));
        }
        let one = |calldata: &[u8]| {
            let used = Terms::read(calldata).map(Self::Use);
            used.or_else(|| Terms::read_permit(calldata).map(Self::Settle))
        };
        let Some(arguments) = calldata.strip_prefix(&AGGREGATE3) else {
            return Some((vec![one(calldata)?], false));
        };
        let calls = <Vec<(Contract, bool, Bytes)>>::abi_decode_params(arguments).ok()?;
        let acts = calls.iter().map(|(_, may_fail, data)| {
            assert!(may_fail, "one that fails would undo the others");
            one(data)
        });
        Some((acts.collect::<Option<_>>()?, true))
    }

    /// What it uses.
    pub(crate) const fn terms(&self) -> Option<Terms> {
        match self {
            Self::Use(terms) | Self::Settle(terms) => Some(*terms),
            Self::Cancel { .. } | Self::Send { .. } | Self::Invalidate { .. } => None,
        }
    }
}

/// What became of an authorization.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Use {
    /// It was used: as this one, which need not be the one that somebody else has in mind.
    As(Terms),
    Cancelled,
}

/// A log.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Log {
    pub(crate) address: Contract,
    pub(crate) topics: Vec<Word>,
    /// What is not indexed: the value of a transfer.
    pub(crate) data: Option<Word>,
}

impl Log {
    fn of_token(topics: [Word; 3], data: Option<Word>) -> Self {
        Self { address: TOKEN, topics: topics.to_vec(), data }
    }

    /// What of the payer's went to the payee, if it is a log of that.
    pub(crate) fn moved(&self, from: Word, to: Word) -> Option<u128> {
        let is = self.topics == [TRANSFER_TOPIC, from, to] && self.address == TOKEN;
        self.data.as_ref().filter(|_| is).map(units)
    }

    /// Whether it says that the payer's nonce was used.
    pub(crate) fn uses(&self, from: Word, nonce: Word) -> bool {
        self.topics == [AUTHORIZATION_USED_TOPIC, from, nonce]
    }
}

/// What a block leaves behind.
#[derive(Clone, Debug, Default)]
pub(crate) struct State {
    /// By payer and nonce.
    used: BTreeMap<(Word, Word), Use>,
    balances: BTreeMap<Word, u128>,
    /// How many transactions our account has in blocks.
    pub(crate) account: u64,
}

impl State {
    /// In the beginning.
    pub(crate) fn of(balances: BTreeMap<Word, u128>) -> Self {
        Self { balances, ..Self::default() }
    }

    pub(crate) fn use_of(&self, from: Word, nonce: Word) -> Option<Use> {
        self.used.get(&(from, nonce)).copied()
    }

    pub(crate) fn balance(&self, account: Word) -> u128 {
        self.balances.get(&account).copied().unwrap_or(0)
    }

    /// Which of 256 nonces are used, as Permit2 has it.
    pub(crate) fn nonce_bitmap(&self, from: Word, position: Word) -> Word {
        let mut bitmap = [0; 32];
        for (_, nonce) in self.used.range((from, [0; 32])..=(from, [0xff; 32])).map(|(key, _)| key)
        {
            if nonce[..31] == position[1..] && position[0] == 0 {
                bitmap[31 - usize::from(nonce[31] / 8)] |= 1 << (nonce[31] % 8);
            }
        }
        bitmap
    }

    /// Does it, and gives the logs; `None` where it reverts.
    pub(crate) fn run(&mut self, act: &Act, time: u64) -> Option<Vec<Log>> {
        match *act {
            Act::Use(terms) => {
                let key = self.unused(terms.from(), terms.nonce())?;
                if !(word(time) > terms.0[3] && word(time) < terms.0[4]) {
                    return None;
                }
                let moved = self.send(&terms)?;
                self.used.insert(key, Use::As(terms));
                let topics = [AUTHORIZATION_USED_TOPIC, key.0, key.1];
                Some(vec![Log::of_token(topics, None), moved])
            }
            Act::Cancel { from, nonce } => {
                let key = self.unused(from, nonce)?;
                self.used.insert(key, Use::Cancelled);
                let topics = [AUTHORIZATION_CANCELED_TOPIC, from, nonce];
                Some(vec![Log::of_token(topics, None)])
            }
            Act::Send { from, to, value } => Some(vec![self.transfer(from, to, value)?]),
            Act::Settle(terms) => {
                let key = self.unused(terms.from(), terms.nonce())?;
                if !(word(time) >= terms.0[3] && word(time) <= terms.0[4]) {
                    return None;
                }
                let moved = self.send(&terms)?;
                self.used.insert(key, Use::As(terms));
                let (address, topics) = (contract(EXACT_PROXY), vec![SETTLED_TOPIC]);
                Some(vec![moved, Log { address, topics, data: None }])
            }
            Act::Invalidate { from, nonce } => {
                self.used.entry((from, nonce)).or_insert(Use::Cancelled);
                // Who looks for it looks at its topics: the event's hash, and whose nonces they are.
                let event = keccak256(&[b"UnorderedNonceInvalidation(address,uint256,uint256)"]);
                let (address, topics) = (contract(PERMIT2), vec![event, from]);
                Some(vec![Log { address, topics, data: Some(nonce) }])
            }
        }
    }

    fn unused(&self, from: Word, nonce: Word) -> Option<(Word, Word)> {
        let key = (from, nonce);
        (!self.used.contains_key(&key)).then_some(key)
    }

    fn send(&mut self, terms: &Terms) -> Option<Log> {
        self.transfer(terms.from(), terms.0[1], terms.value())
    }

    fn transfer(&mut self, from: Word, to: Word, value: u128) -> Option<Log> {
        let rest = self.balance(from).checked_sub(value)?;
        self.balances.insert(from, rest);
        let sum = self.balance(to).checked_add(value)?;
        self.balances.insert(to, sum);
        Some(Log::of_token([TRANSFER_TOPIC, from, to], Some(word_of(value))))
    }
}
