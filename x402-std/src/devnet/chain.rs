//! The chain: state, blocks, and the way of a transaction into one of them.
use std::borrow::Cow;
use std::collections::{HashMap, VecDeque};

use alloy_consensus::{
    Transaction as _, TxEnvelope, transaction::Recovered, transaction::SignerRecoverable as _,
};
use alloy_eips::eip2718::Decodable2718 as _;
use alloy_primitives::{Address, B256, U256};
use revm::{
    DatabaseCommit as _, DatabaseRef as _,
    context::{BlockEnv, TxEnv, result::ExecutionResult},
    state::AccountInfo,
};

use super::{
    DevnetOptions,
    block::{Block, Draft, Mined},
    clock::Clock,
    evm::{self, State},
    failure::{Failure, nonce_too_high, nonce_too_low},
    genesis,
    pool::{MAX_GAP, Pool},
};

/// Longest transaction taken, in bytes: what nodes pass on to each other.
const MAX_TRANSACTION: usize = 128 * 1024;

/// How many blocks back the states are kept.
const MAX_STATES: usize = 1_024;

/// What a block has changed, as it was before: accounts, and slots of their storage.
type Undo = Vec<(Address, AccountInfo, Vec<(U256, U256)>)>;

/// Everything the chain is; copied whole for a snapshot.
#[derive(Clone, Debug)]
pub(super) struct Chain {
    pub(super) id: u64,
    /// Whether each transaction is mined as soon as it can be.
    pub(super) automine: bool,
    pub(super) clock: Clock,
    pub(super) pool: Pool,
    pub(super) state: State,
    /// The chain at earlier times, each without snapshots of its own.
    pub(super) snapshots: Vec<Self>,
    /// What the last blocks have changed, the newest last.
    undo: VecDeque<Undo>,
    /// Block n is at n; never empty, the first is the genesis.
    blocks: Vec<Block>,
    numbers: HashMap<B256, usize>,
    places: HashMap<B256, (usize, usize)>,
}

impl Chain {
    pub(super) fn new(options: &DevnetOptions) -> Result<Self, Failure> {
        let clock = options.started_at.map_or_else(Clock::default, Clock::starting_at);
        let mut chain = Self {
            id: options.chain_id,
            automine: true,
            clock,
            pool: Pool::default(),
            state: genesis::state(options.chain_id, &options.tokens)?,
            snapshots: Vec::new(),
            undo: VecDeque::new(),
            blocks: Vec::new(),
            numbers: HashMap::new(),
            places: HashMap::new(),
        };
        chain.append(Draft::new(0, B256::ZERO, clock.now()).seal(), Undo::new());
        Ok(chain)
    }

    /// Number of the newest block.
    pub(super) fn height(&self) -> u64 {
        self.blocks.len().saturating_sub(1) as u64
    }

    /// The block with this number.
    pub(super) fn block(&self, number: u64) -> Option<&Block> {
        self.blocks.get(usize::try_from(number).ok()?)
    }

    /// The block with this hash.
    pub(super) fn block_by_hash(&self, hash: &B256) -> Option<&Block> {
        self.blocks.get(*self.numbers.get(hash)?)
    }

    /// A mined transaction: its block and its place in it.
    pub(super) fn mined(&self, hash: &B256) -> Option<(&Block, usize, &Mined)> {
        let (number, index) = *self.places.get(hash)?;
        let block = self.blocks.get(number)?;
        Some((block, index, block.transactions.get(index)?))
    }

    /// The account as the newest block left it; an empty one where nothing is.
    pub(super) fn account(&self, address: Address) -> AccountInfo {
        let Ok(info) = self.state.basic_ref(address);
        info.unwrap_or_default()
    }

    /// The state as a block left it; `None` where it is not kept. What was set by hand since then is in
    /// it, unless a block has changed it.
    pub(super) fn state_at(&self, number: u64) -> Option<Cow<'_, State>> {
        let newer = usize::try_from(self.height().checked_sub(number)?).ok()?;
        if newer == 0 {
            return Some(Cow::Borrowed(&self.state));
        }
        // The first of these has the oldest: it is put back last.
        let first = self.undo.len().checked_sub(newer)?;
        let mut state = self.state.clone();
        for (account, info, slots) in
            self.undo.range(first..).rev().flat_map(|undo| undo.iter().rev())
        {
            state.insert_account_info(*account, info.clone());
            for (slot, value) in slots {
                let Ok(()) = state.insert_account_storage(*account, *slot, *value);
            }
        }
        Some(Cow::Owned(state))
    }

    /// Sets the ether of an account, in wei, outside any block.
    pub(super) fn set_balance(&mut self, account: Address, balance: U256) {
        let info = AccountInfo { balance, ..self.account(account) };
        self.state.insert_account_info(account, info);
    }

    /// Runs `tx` on the newest state, as a question.
    ///
    /// Code sees the newest block, but with the time of now: between two payments nothing is mined
    /// here, and a question about an authorization must not be answered as of an hour ago.
    pub(super) fn ask(&self, tx: TxEnv) -> Result<ExecutionResult, Failure> {
        self.ask_of(&self.state, tx)
    }

    /// As [`Self::ask`], on another state.
    pub(super) fn ask_of(&self, state: &State, tx: TxEnv) -> Result<ExecutionResult, Failure> {
        evm::simulate(state, self.id, self.env(), tx).map(|answer| answer.result)
    }

    fn env(&self) -> BlockEnv {
        let BlockEnv { timestamp, .. } = self.draft().env();
        let head = self.blocks.last().map_or_else(BlockEnv::default, |head| {
            Draft::new(head.header.number, head.header.parent_hash, head.header.timestamp).env()
        });
        BlockEnv { timestamp, ..head }
    }

    /// Takes a signed transaction, in its network encoding, and mines what can be mined.
    ///
    /// # Errors
    /// The transaction can never be in a block, or not now. One that would revert is no error.
    pub(super) fn send(&mut self, raw: &[u8]) -> Result<B256, Failure> {
        let tx = self.admit(raw)?;
        let hash = *tx.tx_hash();
        self.pool.insert(tx)?;
        if self.automine {
            while self.mine_ready(1) {}
        }
        Ok(hash)
    }

    /// Mines one block with everything that can be in it, be it nothing.
    pub(super) fn mine(&mut self) {
        let (draft, undo) = self.fill(usize::MAX);
        self.append(draft.seal(), undo);
    }

    /// Mines one block with at most `limit` transactions, unless there are none.
    pub(super) fn mine_ready(&mut self, limit: usize) -> bool {
        let (draft, undo) = self.fill(limit);
        let any = !draft.is_empty();
        if any {
            self.append(draft.seal(), undo);
        }
        any
    }

    /// The next block, without transactions. Its time may equal its parent's: were it later by a
    /// second each, a hundred payments in one second would send the chain into the future and
    /// outlive their validity.
    fn draft(&self) -> Draft {
        let (parent, time) =
            self.blocks.last().map_or((B256::ZERO, 0), |head| (head.hash, head.header.timestamp));
        Draft::new(self.blocks.len() as u64, parent, self.clock.now().max(time))
    }

    fn fill(&mut self, limit: usize) -> (Draft, Undo) {
        let mut draft = self.draft();
        let mut undo = Undo::new();
        let state = &mut self.state;
        for _ in 0..limit {
            let next = self.pool.take(|tx| {
                draft.fits(tx.gas_limit()) && nonce_of(state, tx.signer()) == tx.nonce()
            });
            let Some(tx) = next else { break };
            // One that has become impossible while it waited is dropped, as nodes do.
            let outcome = evm::execute(&mut *state, self.id, draft.env(), evm::signed(&tx));
            if let Ok(outcome) = outcome {
                for (address, account) in &outcome.state {
                    let Ok(before) = state.basic_ref(*address);
                    let slots = account.changed_storage_slots();
                    let slots = slots.map(|(slot, value)| (*slot, value.original_value)).collect();
                    undo.push((*address, before.unwrap_or_default(), slots));
                }
                state.commit(outcome.state);
                draft.push(tx, outcome.result);
            }
        }
        self.pool.retain(|tx| tx.nonce() >= nonce_of(state, tx.signer()));
        (draft, undo)
    }

    fn append(&mut self, block: Block, undo: Undo) {
        if self.undo.len() >= MAX_STATES {
            self.undo.pop_front();
        }
        self.undo.push_back(undo);
        let number = self.blocks.len();
        self.state.cache.block_hashes.insert(U256::from(number), block.hash);
        self.numbers.insert(block.hash, number);
        for (index, mined) in block.transactions.iter().enumerate() {
            self.places.insert(*mined.tx.tx_hash(), (number, index));
        }
        self.blocks.push(block);
    }

    /// Everything that can be wrong with a transaction before it waits, cheap checks first.
    fn admit(&self, raw: &[u8]) -> Result<Recovered<TxEnvelope>, Failure> {
        let tx = self.decode(raw)?;
        let next = self.account(tx.signer()).nonce;
        if tx.nonce() < next {
            return Err(Failure::server(nonce_too_low(tx.nonce(), next)));
        }
        if tx.nonce() - next > MAX_GAP {
            return Err(Failure::server(nonce_too_high(tx.nonce(), next)));
        }
        // A run whose result is thrown away finds what remains: funds, fees, gas, sizes.
        let run = TxEnv { nonce: next, ..evm::signed(&tx) };
        let state = revm::database::CacheDB::new(&self.state);
        evm::execute(state, self.id, self.draft().env(), run)?;
        Ok(tx)
    }

    fn decode(&self, raw: &[u8]) -> Result<Recovered<TxEnvelope>, Failure> {
        if raw.len() > MAX_TRANSACTION {
            return Err(Failure::server("oversized data"));
        }
        match raw {
            [] | [_] => return Err(Failure::server("typed transaction too short")),
            // Access list, dynamic fee, and what begins an RLP list: legacy.
            [0x01 | 0x02 | 0x80.., ..] => {}
            _ => return Err(Failure::server("transaction type not supported")),
        }
        let tx = TxEnvelope::decode_2718_exact(raw)
            .map_err(|error| Failure::server(format!("rlp: {error}")))?;
        match tx.chain_id() {
            Some(id) if id == self.id => {}
            Some(id) => {
                let want = self.id;
                return Err(Failure::server(format!(
                    "invalid sender: invalid chain id for signer: have {id} want {want}"
                )));
            }
            None => {
                return Err(Failure::server(
                    "only replay-protected (EIP-155) transactions allowed over RPC",
                ));
            }
        }
        tx.try_into_recovered()
            .map_err(|_| Failure::server("invalid sender: invalid transaction v, r, s values"))
    }
}

fn nonce_of(state: &State, account: Address) -> u64 {
    let Ok(info) = state.basic_ref(account);
    info.map_or(0, |info| info.nonce)
}
