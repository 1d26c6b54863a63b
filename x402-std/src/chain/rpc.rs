//! An EVM chain over JSON-RPC.

mod account;
mod fault;
mod fees;
mod gaps;
mod logs;
mod meter;
mod node;
mod nodes;
mod proof;
mod readiness;
mod reason;
mod receipt;
mod send;
mod start;
mod stuck;
mod tokens;
mod train;
mod transport;
mod url;
mod usage;

#[cfg(test)]
#[cfg(feature = "devnet")]
mod tests;

use core::fmt;
use core::time::Duration;

use alloy_primitives::U256;
use x402_core::{Address, Amount, ChainId, Claimed, Error};

use super::multicall;
use super::{Block, Call, Chain, ChainError, Head, Journal, Outcome, PaidLog};
use super::{Sent, Transaction, TxHash, Usage};
use crate::BoxFuture;
use account::Account;
use fault::Kind;
use meter::Meter;
use node::{At, Node, Token};
use nodes::{Heads, Nodes};
use readiness::Readiness;
use tokens::Tokens;

pub use meter::Spent;
pub use readiness::{Lack, Standing};
pub use start::{NamedDomain, StartError};
pub use url::{RpcUrl, UrlError};

/// How a node is used.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RpcOptions {
    /// The chain that the node must be on.
    pub chain_id: ChainId,
    /// In how many blocks, its own counted, a transaction must be before what it did is believed: 1
    /// for chains that do not go back on a block.
    pub confirmations: u64,
    /// Whether `http` is allowed to other machines than this one.
    pub allow_plain_http: bool,
    /// For how long fees that were read are offered.
    pub fee_cache: Duration,
    /// The gas limit of each transaction and of its simulation. USDC needs about 100,000; chains
    /// that charge for the data in gas need more.
    pub gas_limit: u64,
    /// The gas limit of a batch, for each payment in it.
    pub batch_gas_limit: u64,
    /// What the gas limit is raised by where the payer's wallet is deployed on the way.
    pub deploy_gas_limit: u64,
    /// How many blocks are searched for a log in one call, at most. Providers have limits; where one is
    /// met, fewer are searched from then on. 7,200 blocks are a day of Ethereum.
    pub log_range: u64,
    /// So many blocks below the newest one the chain does not go back any more, where the node does not
    /// say itself which block is final. 0 for chains on which each block is.
    pub finality: u64,
    /// The tokens that are not in the table and whose logs are in a known order
    /// ([`LogOrder::TransferNext`](x402_core::LogOrder::TransferNext)).
    pub transfer_next: Vec<Address>,
    /// What is paid for a unit of gas at most, in wei, the tip included. While gas costs more,
    /// nothing is sent.
    pub max_fee_per_gas: u128,
    /// What the gas of one payment may cost at most, in wei, if it needs all of its limit. While it costs
    /// more, nothing is sent. [`Self::usual_gas_cost`] unless somebody knows better.
    pub max_gas_cost: u128,
    /// How long an answer may be, in bytes.
    pub max_response: usize,
    /// How long a call may take, from the connection to the last byte. A connection may take half
    /// of it.
    pub timeout: Duration,
}

impl RpcOptions {
    /// What suits a public chain and a hosted node.
    #[must_use]
    pub const fn new(chain_id: ChainId) -> Self {
        Self {
            chain_id,
            confirmations: 1,
            allow_plain_http: false,
            fee_cache: Duration::from_secs(10),
            gas_limit: 200_000,
            // A hundred of them are below the most that a transaction may have (EIP-7825).
            batch_gas_limit: 120_000,
            deploy_gas_limit: 800_000,
            log_range: 7_200,
            finality: 64,
            transfer_next: Vec::new(),
            max_fee_per_gas: 2_000_000_000_000,
            max_gas_cost: Self::usual_gas_cost(chain_id),
            max_response: 4 * 1024 * 1024,
            timeout: Duration::from_secs(10),
        }
    }
}

impl RpcOptions {
    /// What the gas of a payment may cost where nobody says, in wei: 0.005 of the chain's coin, and 1 on the
    /// chains whose coin is known to be worth a small part of an ether.
    #[must_use]
    pub const fn usual_gas_cost(chain_id: ChainId) -> u128 {
        const COIN: u128 = 1_000_000_000_000_000_000;
        match chain_id.get() {
            // Flare, Polygon and Amoy, Sei and its test network, IoTeX, Peaq, Celo and its test networks, Monad and its,
            // Avalanche and Fuji.
            14 | 137 | 80_002 | 1_329 | 1_328 | 4_689 | 3_338 | 42_220 | 44_787 | 11_142_220
            | 143 | 10_143 | 43_114 | 43_113 => COIN,
            _ => COIN / 200,
        }
    }

    /// The most that is offered for a unit of gas, in wei, by what settles a payment, or does nothing, by the
    /// limit of each payment.
    fn fee_cap(&self, deploys: bool) -> u128 {
        let more = if deploys { self.deploy_gas_limit } else { 0 };
        let gas = u128::from(self.gas_limit.max(self.batch_gas_limit).saturating_add(more)).max(1);
        self.max_fee_per_gas.min(self.max_gas_cost / gas)
    }

    fn gas_for(&self, call: &Call) -> u64 {
        /// What a transaction costs before it does anything, and Multicall3's own part.
        const BATCH_GAS: u64 = 60_000;
        if call.payments.len() > 1 {
            let all = self.batch_gas_limit.saturating_mul(call.payments.len() as u64);
            return all.saturating_add(BATCH_GAS);
        }
        if call.deploys {
            return self.gas_limit.saturating_add(self.deploy_gas_limit);
        }
        self.gas_limit
    }
}

/// An EVM chain behind a JSON-RPC node, with an account that pays for the gas.
///
/// In the steady state a payment costs one call to simulate, one to send, one for each look at the
/// receipt, and one for the newest block where the receipt's is above all that were seen; fees are read again every [`RpcOptions::fee_cache`], the account's nonce only when
/// the node disagrees with the count. One `RpcChain` for each key: two would count the same nonces.
///
/// Every call may be dropped at any point; what was under way may then have reached the node.
pub struct RpcChain {
    account: Account,
    nodes: Nodes,
    heads: Heads,
    options: RpcOptions,
    meter: Meter,
    block_seconds: u64,
    readiness: Readiness,
    tokens: Tokens,
}

impl RpcChain {
    /// Which chain it is.
    #[must_use]
    pub const fn id(&self) -> ChainId {
        self.options.chain_id
    }

    /// What the transactions have cost that were seen to settle payments, since the start.
    #[must_use]
    pub fn spent(&self) -> Spent {
        self.meter.spent()
    }

    /// The account that pays for the gas.
    #[must_use]
    pub fn address(&self) -> Address {
        Address::new(self.account.address().into_array())
    }

    /// The ether of that account, in wei.
    ///
    /// # Errors
    ///
    /// [`ChainError::Unavailable`].
    pub async fn balance(&self) -> Result<Amount, ChainError> {
        let account = self.account.address();
        let balance = self.ask(async |node: &Node| Ok(node.balance(account).await?)).await?;
        Ok(Amount::from_be_bytes(balance.to_be_bytes()))
    }

    /// How long a payment should wait for its receipt: until its block is as deep as it has to be, with
    /// some blocks to spare, and never less than half a minute.
    #[must_use]
    pub fn settle_timeout(&self) -> Duration {
        const SHORTEST: Duration = Duration::from_secs(30);
        const MARGIN: u64 = 10;
        let blocks = self.options.confirmations.saturating_add(3);
        let seconds = blocks.saturating_mul(self.block_seconds).saturating_add(MARGIN);
        Duration::from_secs(seconds).max(SHORTEST)
    }

    /// Asks one node after the other, until one of them can answer.
    async fn ask<'a, T, F>(&'a self, ask: impl Fn(&'a Node) -> F) -> Result<T, ChainError>
    where
        F: Future<Output = Result<T, ChainError>>,
    {
        let mut turn = self.nodes.turn();
        loop {
            match ask(turn.node()).await {
                Err(ChainError::Unavailable(why)) if turn.passes(&why) => {}
                answer => return answer,
            }
        }
    }

    async fn try_payment(&self, node: &Node, call: &Call) -> Result<(), ChainError> {
        let [payment] = &call.payments[..] else {
            return Err(ChainError::Unavailable("a batch is not one payment".into()));
        };
        if payment.chain_id() != self.options.chain_id {
            return Err(ChainError::Refused(Error::Network));
        }
        let from = self.account.address();
        let gas = self.options.gas_for(call);
        match node.simulate(call, from, gas, self.account.offer()).await {
            // An address without code takes every call: there is no Multicall3.
            Ok(returned) if call.deploys && returned.is_empty() => {
                Err(ChainError::Refused(Error::Undeployed))
            }
            Ok(_) => Ok(()),
            Err(fault) if fault.kind() == Some(Kind::Reverted) => {
                let reason = self.reason(node, payment).await?;
                if matches!(reason, Error::Method | Error::Signer | Error::Simulation) {
                    self.look_at_token(node, payment).await?;
                }
                tracing::debug!(payment = %payment.id(), %fault, %reason, "the token refuses");
                Err(ChainError::Refused(reason))
            }
            Err(fault) => Err(fault.into()),
        }
    }

    async fn try_batch(&self, node: &Node, batch: &Call) -> Result<Option<Vec<bool>>, ChainError> {
        let (from, gas) = (self.account.address(), self.options.gas_for(batch));
        match node.simulate(batch, from, gas, self.account.offer()).await {
            Ok(returned) => {
                let taken = multicall::succeeded(&returned);
                Ok(taken.filter(|taken| taken.len() == batch.payments.len()))
            }
            // The node does not give so much gas, or the contract is another: one by one, then.
            Err(fault) if fault.kind() == Some(Kind::Reverted) => Ok(None),
            Err(fault) => Err(fault.into()),
        }
    }

    async fn stand(&self, node: &Node) -> Result<Head, ChainError> {
        let head = node.known_header(At::Latest).await?;
        self.heads.note(head.number())?;
        let number = head.number();
        let is_final_to = match self.options.finality {
            0 => number,
            depth => match node.final_number().await? {
                Some(final_number) => final_number.min(number),
                None => number.saturating_sub(depth),
            },
        };
        Ok(Head { block: head.block(), time: head.timestamp(), is_final_to })
    }

    async fn block_of(&self, node: &Node, number: u64) -> Result<Option<Block>, ChainError> {
        match node.header(At::Number(number)).await? {
            Some(header) => Ok(Some(header.block())),
            None if self.heads.reach(number) => {
                Err(ChainError::Unavailable("the node lags: it lacks a block".into()))
            }
            None => Ok(None),
        }
    }
}

async fn has_code(node: &Node, address: Address) -> Result<bool, ChainError> {
    Ok(!node.code(evm(address)).await?.is_empty())
}

async fn balance_of(
    node: &Node,
    token: Address,
    call: &Token::balanceOfCall,
) -> Result<U256, ChainError> {
    Ok(node.read(evm(token), call.clone(), At::Latest).await?)
}

fn evm(address: Address) -> alloy_primitives::Address {
    alloy_primitives::Address::from(*address.as_bytes())
}

impl Chain for RpcChain {
    fn chain_id(&self) -> ChainId {
        self.options.chain_id
    }

    fn account(&self) -> Address {
        self.address()
    }

    fn has_code(&self, address: Address) -> BoxFuture<'_, Result<bool, ChainError>> {
        Box::pin(self.ask(move |node| has_code(node, address)))
    }

    fn simulate<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Result<(), ChainError>> {
        Box::pin(self.ask(move |node| self.try_payment(node, call)))
    }

    fn simulate_batch<'a>(
        &'a self,
        batch: &'a Call,
    ) -> BoxFuture<'a, Result<Option<Vec<bool>>, ChainError>> {
        Box::pin(self.ask(move |node| self.try_batch(node, batch)))
    }

    fn broadcast<'a>(
        &'a self,
        call: &'a Call,
        journal: &'a dyn Journal,
    ) -> BoxFuture<'a, Result<TxHash, ChainError>> {
        Box::pin(self.send_payment(call, journal))
    }

    fn broadcast_each<'a>(
        &'a self,
        calls: &'a [(Call, &'a dyn Journal)],
    ) -> BoxFuture<'a, Vec<Result<TxHash, ChainError>>> {
        Box::pin(self.send_each(calls))
    }

    fn rebroadcast<'a>(
        &'a self,
        call: &'a Call,
        transaction: &'a Transaction,
        journal: &'a dyn Journal,
    ) -> BoxFuture<'a, Result<TxHash, ChainError>> {
        Box::pin(self.send_again(call, transaction, journal))
    }

    fn outcome<'a>(
        &'a self,
        payment: &'a Claimed,
        sent: Sent<'a>,
    ) -> BoxFuture<'a, Result<Outcome, ChainError>> {
        Box::pin(async move {
            let outcomes = self.outcomes(core::slice::from_ref(payment), sent).await?;
            Ok(outcomes.first().copied().unwrap_or(Outcome::Unknown))
        })
    }

    fn outcomes<'a>(
        &'a self,
        payments: &'a [Claimed],
        sent: Sent<'a>,
    ) -> BoxFuture<'a, Result<Vec<Outcome>, ChainError>> {
        Box::pin(self.ask(move |node| self.judge(node, payments, sent)))
    }

    fn candidate<'a>(
        &'a self,
        payment: &'a Claimed,
        sent: Sent<'a>,
    ) -> BoxFuture<'a, Result<Option<PaidLog>, ChainError>> {
        Box::pin(self.ask(move |node| self.look_for_candidate(node, payment, sent)))
    }

    fn find<'a>(
        &'a self,
        payment: &'a Claimed,
        since: u64,
        taken: &'a [(TxHash, u32)],
    ) -> BoxFuture<'a, Result<Usage, ChainError>> {
        Box::pin(async move {
            let usage = self.ask(|node| self.look_up(node, payment, since, taken)).await?;
            usage.ok_or_else(|| ChainError::Unavailable("the block of its use may still go".into()))
        })
    }

    fn head(&self) -> BoxFuture<'_, Result<Head, ChainError>> {
        Box::pin(self.ask(|node| self.stand(node)))
    }

    fn block(&self, number: u64) -> BoxFuture<'_, Result<Option<Block>, ChainError>> {
        Box::pin(self.ask(move |node| self.block_of(node, number)))
    }

    fn fill_gaps(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.fill_left_gaps())
    }

    fn token_balance(
        &self,
        asset: Address,
        account: Address,
    ) -> BoxFuture<'_, Result<Amount, ChainError>> {
        Box::pin(async move {
            let call = Token::balanceOfCall { account: evm(account) };
            let balance = self.ask(|node| balance_of(node, asset, &call)).await?;
            Ok(Amount::from_be_bytes(balance.to_be_bytes()))
        })
    }

    fn block_seconds(&self) -> u64 {
        self.block_seconds
    }

    fn ready<'a>(
        &'a self,
        payment: &'a Claimed,
        now: u64,
    ) -> BoxFuture<'a, Result<(), ChainError>> {
        Box::pin(self.is_ready(payment, now))
    }

    fn is_on_time(&self, now: u64) -> BoxFuture<'_, bool> {
        Box::pin(self.agrees_on_time(now))
    }

    fn ahead_seconds(&self) -> u64 {
        self.readiness.ahead_seconds()
    }
}

impl fmt::Debug for RpcChain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RpcChain")
            .field("chain_id", &self.options.chain_id)
            .field("address", &self.address())
            .finish_non_exhaustive()
    }
}
