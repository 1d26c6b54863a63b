//! A chain of one token, one account of ours and many others', whose blocks may go again.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use alloy_consensus::{Transaction as _, TxEnvelope};
use alloy_eips::Decodable2718 as _;
use alloy_primitives::Address as Contract;
use x402_core::keccak256;

use crate::backends::Backend;
use crate::token::{Act, Log, State, Terms, Use, Word, word};

/// Who sends what is not ours.
pub(crate) const STRANGER: Contract = Contract::repeat_byte(0x66);
/// A contract of theirs.
pub(crate) const WRAPPER: Contract = Contract::repeat_byte(0x67);

/// A transaction of calls of the token.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) hash: Word,
    /// The account nonce; `None` where somebody else sends it.
    pub(crate) nonce: Option<u64>,
    max_fee: u128,
    tip: u128,
    pub(crate) to: Contract,
    pub(crate) input: Vec<u8>,
    pub(crate) acts: Vec<Act>,
    /// One act that fails does not undo the others.
    is_batch: bool,
}

impl Sent {
    /// The authorizations that it uses.
    pub(crate) fn terms(&self) -> impl Iterator<Item = Terms> {
        self.acts.iter().filter_map(Act::terms)
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Mined {
    pub(crate) sent: Sent,
    pub(crate) has_succeeded: bool,
    /// Of each act.
    succeeded: Vec<bool>,
    pub(crate) logs: Vec<Log>,
}

#[derive(Clone, Debug)]
pub(crate) struct Block {
    pub(crate) number: u64,
    pub(crate) time: u64,
    pub(crate) hash: Word,
    pub(crate) parent: Word,
    pub(crate) mined: Vec<Mined>,
    /// After its transactions.
    pub(crate) state: Arc<State>,
}

pub(crate) struct Node {
    pub(crate) blocks: Vec<Arc<Block>>,
    /// In which block a transaction is.
    mined: HashMap<Word, u64>,
    pub(crate) orphans: HashMap<Word, Arc<Block>>,
    pub(crate) pool: Vec<Sent>,
    /// The transactions that it was sent in this life of the seller, whatever it said.
    pub(crate) shown: BTreeSet<Word>,
    pub(crate) base_fee: u64,
    pub(crate) has_no_gas: bool,
    pub(crate) backends: Vec<Backend>,
    /// No receipt is told.
    pub(crate) hides_receipts: bool,
    /// Neither receipts nor logs of blocks above this height are told.
    pub(crate) told: Option<u64>,
    /// How the next receipt of something that waits is made up, if it is.
    pub(crate) garble: Option<u64>,
    pub(crate) traits: Traits,
    /// Blocks up to this height are final.
    pub(crate) finalized: u64,
    salt: u64,
}

/// What kind of node it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Traits {
    /// After how many blocks one is final.
    pub(crate) finality: u64,
    /// It knows the tags `finalized` and `safe`.
    pub(crate) knows_finalized: bool,
    /// It takes a block's hash where one is named (EIP-1898).
    pub(crate) takes_hashes: bool,
    /// How many blocks it searches for logs at once.
    pub(crate) log_range: u64,
}

impl Node {
    pub(crate) fn start(time: u64, traits: Traits) -> Self {
        let mut node = Self {
            blocks: Vec::new(),
            mined: HashMap::new(),
            orphans: HashMap::new(),
            pool: Vec::new(),
            shown: BTreeSet::new(),
            base_fee: 1_000,
            has_no_gas: false,
            backends: vec![Backend::default()],
            hides_receipts: false,
            told: None,
            garble: None,
            traits,
            finalized: 0,
            salt: 0,
        };
        node.begin(time, BTreeMap::new());
        node
    }

    /// The first block, in which so much is whose.
    pub(crate) fn begin(&mut self, time: u64, balances: BTreeMap<Word, u128>) {
        for block in self.blocks.drain(..) {
            self.orphans.insert(block.hash, block);
        }
        self.mined.clear();
        self.pool.clear();
        self.finalized = 0;
        let state = Arc::new(State::of(balances));
        let hash = self.new_hash(b"block");
        let (mined, parent) = (Vec::new(), [0; 32]);
        self.blocks.push(Arc::new(Block { number: 0, time, hash, parent, mined, state }));
        for backend in &mut self.backends {
            *backend = Backend::default();
        }
    }

    fn new_hash(&mut self, what: &[u8]) -> Word {
        self.salt += 1;
        keccak256(&[&word(self.salt), what])
    }

    pub(crate) fn head(&self) -> &Arc<Block> {
        self.blocks.last().expect("there is a first block")
    }

    pub(crate) fn use_of(&self, terms: &Terms) -> Option<Use> {
        self.head().state.use_of(terms.from(), terms.nonce())
    }

    /// The next block. Where it is full, only strangers find room.
    pub(crate) fn mine(&mut self, time: u64, is_full: bool) {
        let hash = self.new_hash(b"block");
        let parent = Arc::clone(self.head());
        let number = parent.number + 1;
        let (mut state, mut mined) = (Arc::clone(&parent.state), Vec::new());
        let (theirs, mut ours): (Vec<_>, Vec<_>) =
            self.pool.drain(..).partition(|sent| sent.nonce.is_none());
        for sent in theirs {
            mined.push(execute(Arc::make_mut(&mut state), sent, time));
        }
        ours.sort_by_key(|sent| sent.nonce);
        for sent in ours {
            let fits = sent.nonce == Some(state.account) && sent.max_fee >= self.base_fee.into();
            if fits && !is_full {
                let state = Arc::make_mut(&mut state);
                state.account += 1;
                mined.push(execute(state, sent, time));
            } else if sent.nonce >= Some(state.account) {
                self.pool.push(sent);
            }
        }
        self.mined.extend(mined.iter().map(|mined| (mined.sent.hash, number)));
        self.finalized = self.finalized.max(number.saturating_sub(self.traits.finality));
        let parent = parent.hash;
        self.blocks.push(Arc::new(Block { number, time, hash, parent, mined, state }));
    }

    /// Takes the last blocks back. Their transactions wait again, but for those that are forgotten.
    pub(crate) fn go_back(&mut self, depth: u64, mut is_forgotten: impl FnMut() -> bool) {
        let kept = self.blocks.len().saturating_sub(depth as usize).max(1);
        for backend in &mut self.backends {
            backend.branch(&self.blocks);
        }
        for block in self.blocks.split_off(kept) {
            for mined in &block.mined {
                self.mined.remove(&mined.sent.hash);
                if !is_forgotten() {
                    self.pool.push(mined.sent.clone());
                }
            }
            self.orphans.insert(block.hash, block);
        }
    }

    /// How many blocks may go.
    pub(crate) fn unfinal(&self) -> u64 {
        self.head().number - self.finalized
    }

    /// How many authorizations were used together with others.
    pub(crate) fn in_batches(&self) -> u64 {
        let mined = self.blocks.iter().flat_map(|block| &block.mined);
        let batches = mined.filter(|mined| mined.sent.is_batch && mined.sent.nonce.is_some());
        batches.map(|mined| mined.logs.len() as u64 / 2).sum()
    }

    /// Whether a transaction is in a block.
    pub(crate) fn is_mined(&self, hash: Word) -> bool {
        self.mined.contains_key(&hash)
    }

    /// A transaction in a block of these, which are the chain, or a part of it, or of another branch.
    pub(crate) fn find<'a>(
        &'a self,
        blocks: &'a [Arc<Block>],
        hash: Word,
    ) -> Option<(&'a Block, usize)> {
        let of = |block: &'a Arc<Block>| {
            let at = block.mined.iter().position(|mined| mined.sent.hash == hash);
            at.map(|at| (&**block, at))
        };
        let known = self.mined.get(&hash).and_then(|number| blocks.get(*number as usize));
        let is_whole = blocks.last().map(|last| last.hash)
            == self.blocks.get(blocks.len() - 1).map(|block| block.hash);
        match known.and_then(of) {
            None if !is_whole => blocks.iter().rev().find_map(of),
            found => found,
        }
    }

    /// Whether this transaction used the authorization as it was signed.
    pub(crate) fn has_moved(&self, hash: Word, terms: &Terms) -> bool {
        let Some((block, at)) = self.find(&self.blocks, hash) else { return false };
        let Mined { sent, succeeded, .. } = &block.mined[at];
        let mut acts = sent.acts.iter().zip(succeeded);
        acts.any(|(act, succeeded)| *succeeded && act.terms() == Some(*terms))
    }

    /// Whether a block is in the chain.
    pub(crate) fn has(&self, number: u64, hash: Word) -> bool {
        self.blocks.get(number as usize).is_some_and(|block| block.hash == hash)
    }

    /// Somebody else sends a transaction, which is in the next block.
    pub(crate) fn submit(&mut self, to: Contract, acts: Vec<Act>, input: Vec<u8>) -> Word {
        let hash = self.new_hash(b"another");
        let is_batch = acts.len() > 1;
        let (max_fee, tip, nonce) = (0, 0, None);
        self.pool.push(Sent { hash, nonce, max_fee, tip, to, input, acts, is_batch });
        hash
    }

    /// We send one, to a node whose chain this is.
    pub(crate) fn send(&mut self, raw: &[u8], account: u64) -> Result<Word, (i64, &'static str)> {
        let hash = keccak256(&[raw]);
        self.shown.insert(hash);
        let transaction = TxEnvelope::decode_2718_exact(raw).unwrap();
        let input = transaction.input().to_vec();
        let (acts, is_batch) = Act::read_all(&input).unwrap();
        let sent = Sent {
            hash,
            nonce: Some(transaction.nonce()),
            max_fee: transaction.max_fee_per_gas(),
            tip: transaction.max_priority_fee_per_gas().unwrap(),
            to: transaction.to().unwrap(),
            input,
            acts,
            is_batch,
        };
        if self.pool.iter().any(|known| known.hash == hash) {
            return Err((-32000, "already known"));
        }
        if sent.nonce < Some(account) {
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
}

fn execute(state: &mut State, sent: Sent, time: u64) -> Mined {
    let results: Vec<_> = sent.acts.iter().map(|act| state.run(act, time)).collect();
    let succeeded: Vec<_> = results.iter().map(Option::is_some).collect();
    let has_succeeded = sent.is_batch || succeeded.iter().all(|succeeded| *succeeded);
    let logs = results.into_iter().flatten().flatten().collect();
    Mined { sent, has_succeeded, succeeded, logs }
}

/// What a transaction would write, if it were mined now.
pub(crate) fn preview(state: &State, sent: &Sent, time: u64) -> Mined {
    execute(&mut state.clone(), sent.clone(), time)
}
