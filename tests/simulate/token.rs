//! The token, as FiatToken v2.2 is in what matters here: its state, and what calls make of it.

use std::collections::BTreeMap;

use alloy_primitives::{Address as Contract, Bytes};
use alloy_sol_types::SolValue as _;
use x402_core::Authorization;
use x402_core::settlement::{
    AUTHORIZATION_CANCELED_TOPIC, AUTHORIZATION_USED_TOPIC, TRANSFER_TOPIC,
};

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

/// What was signed, as words of the calldata: from, to, value, validAfter, validBefore, nonce.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Terms([Word; 6]);

/// `transferWithAuthorization`, with v, r and s.
pub(crate) const TRANSFER_WITH_AUTHORIZATION: [u8; 4] = [0xe3, 0xee, 0x16, 0x0e];
/// `aggregate3((address,bool,bytes)[])`
pub(crate) const AGGREGATE3: [u8; 4] = [0x82, 0xad, 0x56, 0xcb];

impl Terms {
    pub(crate) fn of(signed: &Authorization) -> Self {
        let time = |time: x402_core::Timestamp| word(time.to_secs().unwrap());
        Self([
            signed.from.to_word(),
            signed.to.to_word(),
            signed.value.to_be_bytes(),
            time(signed.valid_after),
            time(signed.valid_before),
            *signed.nonce.as_bytes(),
        ])
    }

    /// Of a call of `transferWithAuthorization`.
    pub(crate) fn read(calldata: &[u8]) -> Option<Self> {
        let arguments = calldata.strip_prefix(&TRANSFER_WITH_AUTHORIZATION)?;
        let (words, _) = arguments.as_chunks::<32>();
        Some(Self(*words.first_chunk()?))
    }

    /// Of one call, or of each in a batch; and whether it is a batch.
    pub(crate) fn read_all(calldata: &[u8]) -> Option<(Vec<Self>, bool)> {
        if calldata.is_empty() {
            // It uses up a nonce.
            return Some((Vec::new(), false));
        }
        let Some(arguments) = calldata.strip_prefix(&AGGREGATE3) else {
            return Some((vec![Self::read(calldata)?], false));
        };
        let calls = <Vec<(Contract, bool, Bytes)>>::abi_decode_params(arguments).ok()?;
        let terms = calls.iter().map(|(_, may_fail, data)| {
            assert!(may_fail, "one that fails would undo the others");
            Self::read(data)
        });
        Some((terms.collect::<Option<_>>()?, true))
    }

    /// The calldata of the call, with a signature that nobody looks at.
    pub(crate) fn calldata(&self) -> Vec<u8> {
        let signature = [word(27), word(1), word(1)];
        [&TRANSFER_WITH_AUTHORIZATION[..], self.0.as_flattened(), signature.as_flattened()].concat()
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

    fn is_in_time(&self, time: u64) -> bool {
        word(time) > self.0[3] && word(time) < self.0[4]
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

/// What is called of the token.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Act {
    /// `transferWithAuthorization`
    Use(Terms),
    /// `cancelAuthorization`
    Cancel { from: Word, nonce: Word },
    /// `transfer`
    Send { from: Word, to: Word, value: u128 },
}

/// What became of an authorization.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Use {
    /// It was used: as this one, which need not be the one that somebody else has in mind.
    As(Terms),
    Cancelled,
}

/// A log of the token.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Log {
    pub(crate) topics: [Word; 3],
    /// What is not indexed: the value of a transfer.
    pub(crate) data: Option<Word>,
}

impl Log {
    /// What of the payer's went to the payee, if it is a log of that.
    pub(crate) fn moved(&self, from: Word, to: Word) -> Option<u128> {
        let is = self.topics == [TRANSFER_TOPIC, from, to];
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

    /// Does it, and gives the logs; `None` where it reverts.
    pub(crate) fn run(&mut self, act: &Act, time: u64) -> Option<Vec<Log>> {
        match *act {
            Act::Use(terms) => {
                let key = (terms.from(), terms.nonce());
                let is_good = !self.used.contains_key(&key) && terms.is_in_time(time);
                if !is_good {
                    return None;
                }
                let moved = self.send(terms.from(), terms.0[1], terms.value())?;
                self.used.insert(key, Use::As(terms));
                let topics = [AUTHORIZATION_USED_TOPIC, key.0, key.1];
                Some(vec![Log { topics, data: None }, moved])
            }
            Act::Cancel { from, nonce } => {
                if self.used.contains_key(&(from, nonce)) {
                    return None;
                }
                self.used.insert((from, nonce), Use::Cancelled);
                Some(vec![Log { topics: [AUTHORIZATION_CANCELED_TOPIC, from, nonce], data: None }])
            }
            Act::Send { from, to, value } => Some(vec![self.send(from, to, value)?]),
        }
    }

    fn send(&mut self, from: Word, to: Word, value: u128) -> Option<Log> {
        let rest = self.balance(from).checked_sub(value)?;
        self.balances.insert(from, rest);
        let sum = self.balance(to).checked_add(value)?;
        self.balances.insert(to, sum);
        Some(Log { topics: [TRANSFER_TOPIC, from, to], data: Some(word_of(value)) })
    }
}
