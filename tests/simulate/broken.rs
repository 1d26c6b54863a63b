//! Faults that were in the seller once, put back: the simulation must find each of them.

use x402_core::settlement::{AUTHORIZATION_USED_TOPIC, TRANSFER_TOPIC};
use x402_core::settlement::{Log, Receipt, Submitter};
use x402_core::{Address, Amount, ChainId, Claimed, LogOrder, Settled};
use x402_std::BoxFuture;
use x402_std::chain::{Block, Call, Chain, ChainError, Head, Journal, Outcome, PaidLog, RpcChain};
use x402_std::chain::{Sent, Settlement, Transaction, TxHash, Usage};
use x402_std::ledger::Step;

use alloy_consensus::{Transaction as _, TxEnvelope};
use alloy_eips::Decodable2718 as _;

use crate::node::Node;
use crate::token::Use;
use crate::weather::Weather;
use crate::world::{Shared, lock};

/// What is put back.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Broken {
    /// The ledger forgets what is to be sent.
    Journal,
    /// The ledger does not keep which log has paid.
    Unique,
    /// The use and the transfer are looked for independently of each other.
    Pairs,
    /// That the node cannot say it counts as a no.
    Proof,
    /// State and logs are not of one block.
    View,
    /// What has paid is not looked at again.
    Watch,
    /// An account nonce that is used up has another transaction sent.
    Nonce,
    /// Nonces that no transaction has are left as they are.
    Gaps,
    /// A payer's balance is never too small for what is under way.
    Cover,
    /// A request that its client broke off is taken for one that has ended.
    Ending,
    /// A request is the same whatever it says of what its price depends on.
    Fields,
    /// A gateway does not ask whether a name was replaced.
    Names,
    /// The disk says that it has what it has not.
    Sync,
    /// Whoever signs is taken for the payer.
    Payer,
    /// A facilitator's word is taken without a look at the chain.
    Word,
    /// A facilitator does not keep that it has said success.
    Repeat,
}

impl Broken {
    pub(crate) fn named(name: &str) -> Self {
        match name {
            "journal" => Self::Journal,
            "unique" => Self::Unique,
            "pairs" => Self::Pairs,
            "proof" => Self::Proof,
            "view" => Self::View,
            "watch" => Self::Watch,
            "nonce" => Self::Nonce,
            "gaps" => Self::Gaps,
            "cover" => Self::Cover,
            "ending" => Self::Ending,
            "fields" => Self::Fields,
            "names" => Self::Names,
            "sync" => Self::Sync,
            "payer" => Self::Payer,
            "word" => Self::Word,
            "repeat" => Self::Repeat,
            other => panic!("nothing is broken by the name {other}"),
        }
    }

    /// What of a step reaches the ledger.
    pub(crate) fn step(broken: Option<Self>, step: Step) -> Option<Step> {
        match (broken, step) {
            (Some(Self::Journal), Step::Journalled(_)) => None,
            (Some(Self::Repeat), Step::Answered(..)) => None,
            (Some(Self::Unique), Step::Confirmed(Settlement { transaction, .. })) => {
                Some(Step::Confirmed(Settlement { transaction, log: None }))
            }
            (_, step) => Some(step),
        }
    }

    /// Sees to it that there is the trouble in which it shows.
    pub(crate) const fn provoke(self, weather: &mut Weather) {
        match self {
            Self::Journal => {}
            Self::Unique => (weather.permit2, weather.bundled) = (1, 300),
            Self::Pairs => (weather.permit2, weather.bundled) = (0, 300),
            Self::Proof => (weather.call_fails, weather.stranger) = (100, 300),
            Self::View => (weather.lagging, weather.stranger) = (500, 300),
            Self::Watch => weather.deep_reorg = 20,
            Self::Nonce => (weather.lagging, weather.receipt_late) = (600, 500),
            Self::Gaps => {
                (weather.dropped, weather.stranger, weather.block_full) = (500, 600, 500);
            }
            Self::Cover => (weather.poor, weather.entrusted, weather.engine) = (1_000, 0, 0),
            Self::Ending => {
                (weather.cheats, weather.unmeasured, weather.engine) = (500, 1, 0);
            }
            Self::Fields => (weather.greedy, weather.engine) = (500, 0),
            Self::Names => (weather.renamed, weather.engine) = (1, 0),
            Self::Sync => weather.file = 1,
            Self::Payer => (weather.observed, weather.engine) = (500, 0),
            Self::Repeat => (weather.engine, weather.entrusted) = (1, 0),
            Self::Word => (weather.entrusted, weather.engine, weather.lies) = (1, 0, 300),
        }
    }

    /// Whether it is something about the chain.
    pub(crate) const fn is_of_chain(self) -> bool {
        let of_reading = matches!(self, Self::Pairs | Self::Proof | Self::View | Self::Cover);
        of_reading || matches!(self, Self::Nonce | Self::Gaps)
    }
}

/// A chain that is asked in a way that proves nothing.
pub(crate) struct Careless {
    pub(crate) chain: RpcChain,
    pub(crate) world: Shared,
    pub(crate) broken: Broken,
}

impl Careless {
    /// A transaction that uses the nonce somewhere and moves the money somewhere.
    fn by_parts(&self, payment: &Claimed, hash: Option<TxHash>) -> Option<Settlement> {
        let world = lock(&self.world);
        let depth = world.confirmations as usize - 1;
        let blocks = world.node.blocks.iter().rev().skip(depth);
        let signed = payment.transfer();
        let (from, to) = (signed.from().to_word(), signed.to().to_word());
        let nonce = *signed.nonce().as_bytes();
        for block in blocks {
            for mined in &block.mined {
                let transaction = TxHash(mined.sent.hash);
                let used = mined.logs.iter().position(|log| log.uses(from, nonce));
                let is_moved = mined.logs.iter().any(|log| {
                    log.moved(from, to)
                        .is_some_and(|moved| payment.amount() == Amount::from_units(moved))
                });
                if let Some(used) = used
                    && is_moved
                    && hash.is_none_or(|hash| hash == transaction)
                {
                    let block = Block { number: block.number, hash: block.hash };
                    let log = Some(PaidLog { block, position: used as u32 + 1 });
                    return Some(Settlement { transaction, log });
                }
            }
        }
        None
    }

    /// Used as one machine has it, and nowhere as another has it.
    fn by_halves(&self, payment: &Claimed) -> Option<Usage> {
        let mut world = lock(&self.world);
        let count = world.node.backends.len() as u64;
        let [state, logs] = [(), ()].map(|()| world.random.below(count) as usize);
        let signed = payment.transfer();
        let (from, nonce) = (signed.from().to_word(), *signed.nonce().as_bytes());
        let uses = |node: &Node, backend: usize| {
            let head = node.view(backend).last().expect("there is a first block");
            head.state.use_of(from, nonce)
        };
        let used = uses(&world.node, state);
        let is_told = uses(&world.node, logs).is_some() && world.node.told.is_none();
        (matches!(used, Some(Use::As(_))) && !is_told).then_some(Usage::Void)
    }
}

/// The proof of a payment, made up.
fn settled(payment: &Claimed) -> Settled {
    let signed = payment.transfer();
    let (from, to) = (signed.from().to_word(), signed.to().to_word());
    let (address, value) = (payment.asset(), payment.amount().to_be_bytes());
    let used = [AUTHORIZATION_USED_TOPIC, from, *signed.nonce().as_bytes()];
    let logs = [
        Log { address, topics: &used, data: &[] },
        Log { address, topics: &[TRANSFER_TOPIC, from, to], data: &value },
    ];
    let (submitter, order) = (Submitter::Own, LogOrder::TransferNext);
    let receipt = Receipt { succeeded: true, logs: &logs, submitter, order };
    payment.settled(&receipt, |_| false).unwrap().settled
}

impl Chain for Careless {
    fn chain_id(&self) -> ChainId {
        self.chain.chain_id()
    }

    fn account(&self) -> Address {
        self.chain.account()
    }

    fn has_code(&self, address: Address) -> BoxFuture<'_, Result<bool, ChainError>> {
        self.chain.has_code(address)
    }

    fn simulate<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Result<(), ChainError>> {
        self.chain.simulate(call)
    }

    fn simulate_batch<'a>(
        &'a self,
        batch: &'a Call,
    ) -> BoxFuture<'a, Result<Option<Vec<bool>>, ChainError>> {
        self.chain.simulate_batch(batch)
    }

    fn broadcast<'a>(
        &'a self,
        call: &'a Call,
        journal: &'a dyn Journal,
    ) -> BoxFuture<'a, Result<TxHash, ChainError>> {
        self.chain.broadcast(call, journal)
    }

    fn broadcast_each<'a>(
        &'a self,
        calls: &'a [(Call, &'a dyn Journal)],
    ) -> BoxFuture<'a, Vec<Result<TxHash, ChainError>>> {
        self.chain.broadcast_each(calls)
    }

    fn rebroadcast<'a>(
        &'a self,
        call: &'a Call,
        transaction: &'a Transaction,
        journal: &'a dyn Journal,
    ) -> BoxFuture<'a, Result<TxHash, ChainError>> {
        let nonce = TxEnvelope::decode_2718_exact(&transaction.raw).map(|it| it.nonce());
        if self.broken == Broken::Nonce
            && nonce.is_ok_and(|nonce| lock(&self.world).state().account > nonce)
        {
            let why = "nonce too low".into();
            return Box::pin(async { Err(ChainError::Unsent(why)) });
        }
        self.chain.rebroadcast(call, transaction, journal)
    }

    fn outcome<'a>(
        &'a self,
        payment: &'a Claimed,
        sent: Sent<'a>,
    ) -> BoxFuture<'a, Result<Outcome, ChainError>> {
        Box::pin(async move {
            if self.broken == Broken::Pairs
                && let Some(found) = self.by_parts(payment, Some(sent.hash))
            {
                return Ok(Outcome::Settled(settled(payment), found.log.unwrap()));
            }
            self.chain.outcome(payment, sent).await
        })
    }

    fn find<'a>(
        &'a self,
        payment: &'a Claimed,
        since: u64,
        taken: &'a [(TxHash, u32)],
    ) -> BoxFuture<'a, Result<Usage, ChainError>> {
        Box::pin(async move {
            match self.broken {
                Broken::Pairs => {
                    if let Some(found) = self.by_parts(payment, None) {
                        return Ok(Usage::Settled(settled(payment), found));
                    }
                }
                Broken::View => {
                    if let Some(usage) = self.by_halves(payment) {
                        return Ok(usage);
                    }
                }
                _ => {}
            }
            match self.chain.find(payment, since, taken).await {
                Err(_) | Ok(Usage::Undecided(_)) if self.broken == Broken::Proof => Ok(Usage::Void),
                found => found,
            }
        })
    }

    fn head(&self) -> BoxFuture<'_, Result<Head, ChainError>> {
        self.chain.head()
    }

    fn block(&self, number: u64) -> BoxFuture<'_, Result<Option<Block>, ChainError>> {
        self.chain.block(number)
    }

    fn fill_gaps(&self) -> BoxFuture<'_, ()> {
        match self.broken {
            Broken::Gaps => Box::pin(async {}),
            _ => self.chain.fill_gaps(),
        }
    }

    fn token_balance(
        &self,
        asset: Address,
        account: Address,
    ) -> BoxFuture<'_, Result<Amount, ChainError>> {
        match self.broken {
            Broken::Cover => Box::pin(async { Ok(Amount::from_units(u128::MAX)) }),
            _ => self.chain.token_balance(asset, account),
        }
    }

    fn block_seconds(&self) -> u64 {
        self.chain.block_seconds()
    }
}
