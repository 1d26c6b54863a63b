//! What a seller asks of a chain.

mod coalesced;
pub(crate) mod multicall;
#[cfg(feature = "rpc")]
mod rpc;
pub(crate) mod wallet;

use core::fmt;
use core::future::ready;

use x402_core::{Address, Amount, ChainId, Claimed, Error, Settled, Signature, TransferMethod};

use crate::BoxFuture;
use crate::ledger::{Entry, LedgerError};
use wallet::Undeployed;

pub use coalesced::Coalesced;
#[cfg(feature = "rpc")]
pub use rpc::{
    Lack, NamedDomain, RpcChain, RpcOptions, RpcUrl, Spent, Standing, StartError, UrlError,
};

/// The hash of a transaction.
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
pub struct TxHash(pub [u8; 32]);

impl fmt::Display for TxHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        x402_core::hex::Hex(&self.0).fmt(f)
    }
}

impl fmt::Debug for TxHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A signed transaction, ready to be sent: kept in the journal before it is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Transaction {
    /// Its hash.
    pub hash: TxHash,
    /// Its bytes, as `eth_sendRawTransaction` takes them (EIP-2718).
    pub raw: Vec<u8>,
}

/// The call that settles a payment, or a batch of them.
#[derive(Clone, Debug)]
pub struct Call {
    /// The payment; or several, in their order.
    pub payments: Vec<Claimed>,
    /// The contract that is called: [`Claimed::target`], or Multicall3 for several payments, and where
    /// the payer's wallet is deployed on the way.
    pub target: Address,
    /// The calldata.
    pub data: Vec<u8>,
    /// Whether the payer's wallet is deployed on the way.
    pub deploys: bool,
}

impl Call {
    /// The call for a payment; `None` where `wallet_signature` is not the one that it was checked
    /// with. A payer with a key has none.
    #[must_use]
    pub fn new(payment: Claimed, wallet_signature: &[u8]) -> Option<Self> {
        let wallet = Undeployed::parse(wallet_signature);
        let signature = wallet.as_ref().map_or(wallet_signature, |wallet| wallet.signature);
        let mut data = vec![0; Claimed::calldata_len(signature.len().max(Signature::LEN))];
        let length = payment.calldata(signature, &mut data)?.len();
        data.truncate(length);
        let target = payment.target();
        let Some(Undeployed { factory, calldata, .. }) = wallet else {
            return Some(Self { payments: vec![payment], target, data, deploys: false });
        };
        // Somebody may have deployed it meanwhile: then the factory's call fails, and does no harm.
        let data = multicall::aggregate3(&[(factory, true, calldata), (target, false, &data)]);
        Some(Self { payments: vec![payment], target: multicall::ADDRESS, data, deploys: true })
    }

    /// The calls of several payments in one transaction; one that fails harms no other.
    #[must_use]
    pub fn batch(calls: &[Self]) -> Self {
        let parts: Vec<_> = calls.iter().map(|call| (call.target, true, &call.data[..])).collect();
        Self {
            payments: calls.iter().flat_map(|call| call.payments.iter().copied()).collect(),
            target: multicall::ADDRESS,
            data: multicall::aggregate3(&parts),
            deploys: false,
        }
    }

    /// Whether it may be one of several in a transaction: anybody may make the call, and its gas is
    /// known, for it is the token's own and the payer is no contract.
    pub(crate) fn can_be_batched(&self) -> bool {
        let is_plain = |payment: &Claimed| {
            payment.signature().is_some() && payment.transfer().method() == TransferMethod::Eip3009
        };
        !self.deploys && self.payments.iter().all(is_plain)
    }

    pub(crate) fn of(entry: &Entry) -> Result<Self, LedgerError> {
        Self::new(entry.payment, &entry.wallet_signature).ok_or(LedgerError::Corrupt)
    }
}

/// A block of a chain.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Block {
    /// How many are below it.
    pub number: u64,
    /// Its hash: a number may come to be another block's.
    pub hash: [u8; 32],
}

/// The log that paid for a payment: a `Transfer` of its token.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct PaidLog {
    /// The block it is in.
    pub block: Block,
    /// Which one it is among the logs of its transaction's receipt, counted from 0.
    pub position: u32,
}

/// What moved the money of a payment.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Settlement {
    /// The transaction.
    pub transaction: TxHash,
    /// The log in it, which pays for nothing else; `None` where nobody of ours has looked: a facilitator
    /// said that it was so, or an earlier version, which did not keep it.
    pub log: Option<PaidLog>,
}

/// A transaction that is looked at.
#[derive(Clone, Copy, Debug)]
pub struct Sent<'a> {
    /// Its hash.
    pub hash: TxHash,
    /// Whether it was signed here, so that its calldata is known.
    pub is_own: bool,
    /// The positions of those of its logs that have paid for other payments.
    pub taken: &'a [u32],
}

impl Sent<'_> {
    /// A transaction of one's own, none of whose logs has paid yet.
    #[must_use]
    pub const fn own(hash: TxHash) -> Self {
        Self { hash, is_own: true, taken: &[] }
    }
}

/// What a chain says of a transaction that was sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[allow(clippy::large_enum_variant, reason = "one at a time, on the stack")]
pub enum Outcome {
    /// It is in no block yet, or was forgotten.
    Unknown,
    /// It moved the money, by this log.
    Settled(Settled, PaidLog),
    /// It is in a block and moved nothing: the authorization may be unused still, or was used by
    /// somebody else's transaction, or was cancelled. See [`Chain::find`].
    Reverted,
    /// It is our own and used the authorization, and the token moved another value than was signed:
    /// this one, in atomic units.
    Short(PaidLog, Amount),
    /// It used the authorization, and whether that moved this payment's money cannot be told.
    Undecided,
}

/// What a chain says of an authorization.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[allow(clippy::large_enum_variant, reason = "one at a time, on the stack")]
pub enum Usage {
    /// Nobody has used it, and somebody still may.
    Unused,
    /// Nobody has used it, and nobody can any more: at a block that stays, and is younger than the
    /// authorization is valid, it was unused.
    Expired,
    /// It moved the money as signed, whoever sent the transaction.
    Settled(Settled, Settlement),
    /// It was cancelled, or it was used and moved something else: both is proved.
    Void,
    /// It was used in this transaction, and whether that moved this payment's money cannot be told.
    Undecided(TxHash),
}

/// Where a chain stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Head {
    /// The newest block.
    pub block: Block,
    /// Its time, in Unix seconds.
    pub time: u64,
    /// Up to which number blocks are final: the chain does not go back on them.
    pub is_final_to: u64,
}

/// An EVM chain, with an account that pays for the transactions.
///
/// Every call is bounded in time and in the size of the answer. No error holds the chain's URL.
pub trait Chain: Send + Sync + 'static {
    /// Which chain it is.
    fn chain_id(&self) -> ChainId;

    /// The account that sends the transactions.
    fn account(&self) -> Address;

    /// Whether there is code at an address: whether a payer is a contract.
    ///
    /// # Errors
    ///
    /// [`ChainError::Unavailable`].
    fn has_code(&self, address: Address) -> BoxFuture<'_, Result<bool, ChainError>>;

    /// Asks whether the payment would be taken now: one call, and only where the answer is no, others
    /// that look up why.
    ///
    /// # Errors
    ///
    /// [`ChainError::Refused`] with the reason, or [`ChainError::Unavailable`].
    fn simulate<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Result<(), ChainError>>;

    /// Asks which payments of a batch ([`Call::batch`]) would be taken now, in their order: one call.
    /// `None` where this chain has no batches, as here unless an implementation says otherwise.
    ///
    /// # Errors
    ///
    /// [`ChainError::Unavailable`].
    fn simulate_batch<'a>(
        &'a self,
        batch: &'a Call,
    ) -> BoxFuture<'a, Result<Option<Vec<bool>>, ChainError>> {
        let _ = batch;
        Box::pin(ready(Ok(None)))
    }

    /// Signs the transaction that settles the payment, has it journalled, and sends it.
    ///
    /// # Errors
    ///
    /// [`ChainError::Unavailable`] where nothing was journalled, [`ChainError::Journal`] where that
    /// failed: in both cases nothing was sent. [`ChainError::Unsent`] where the transaction was
    /// journalled and the node refused it; [`ChainError::Unknown`] where the node did not answer.
    fn broadcast<'a>(
        &'a self,
        call: &'a Call,
        journal: &'a dyn Journal,
    ) -> BoxFuture<'a, Result<TxHash, ChainError>>;

    /// As [`Self::broadcast`], of several payments, each by a transaction of its own and with a journal of
    /// its own, in their order.
    fn broadcast_each<'a>(
        &'a self,
        calls: &'a [(Call, &'a dyn Journal)],
    ) -> BoxFuture<'a, Vec<Result<TxHash, ChainError>>> {
        Box::pin(async move {
            let mut sent = Vec::with_capacity(calls.len());
            for (call, journal) in calls {
                sent.push(self.broadcast(call, *journal).await);
            }
            sent
        })
    }

    /// Sends a journalled transaction again. A node that knows it already has taken it. Where it
    /// offers less than is asked now, another of the same account nonce is journalled and sent, which
    /// offers more: one of the two can be mined, not both. Gives the one that was sent last.
    ///
    /// # Errors
    ///
    /// [`ChainError::Unsent`] where it can never be mined (its account nonce was used by another
    /// transaction, or it is none), [`ChainError::Unknown`] where it may be: the node did not answer,
    /// has another transaction of that nonce, or the account cannot pay at the moment;
    /// [`ChainError::Journal`].
    fn rebroadcast<'a>(
        &'a self,
        call: &'a Call,
        transaction: &'a Transaction,
        journal: &'a dyn Journal,
    ) -> BoxFuture<'a, Result<TxHash, ChainError>>;

    /// Looks for the receipt of a transaction and judges it.
    ///
    /// # Errors
    ///
    /// [`ChainError::Unavailable`].
    fn outcome<'a>(
        &'a self,
        payment: &'a Claimed,
        sent: Sent<'a>,
    ) -> BoxFuture<'a, Result<Outcome, ChainError>>;

    /// As [`Self::outcome`], of several payments that one transaction settles, in their order: no log
    /// pays for two of them.
    ///
    /// # Errors
    ///
    /// [`ChainError::Unavailable`].
    fn outcomes<'a>(
        &'a self,
        payments: &'a [Claimed],
        sent: Sent<'a>,
    ) -> BoxFuture<'a, Result<Vec<Outcome>, ChainError>> {
        Box::pin(async move {
            let mut outcomes = Vec::with_capacity(payments.len());
            let mut taken = sent.taken.to_vec();
            for payment in payments {
                let outcome = self.outcome(payment, Sent { taken: &taken, ..sent }).await?;
                if let Outcome::Settled(_, log) | Outcome::Short(log, _) = outcome {
                    taken.push(log.position);
                }
                outcomes.push(outcome);
            }
            Ok(outcomes)
        })
    }

    /// Looks for the use of the payment's authorization by any transaction, in blocks whose time is
    /// not earlier than `since` (Unix seconds). `taken` are logs that have paid for other payments.
    ///
    /// # Errors
    ///
    /// [`ChainError::Unavailable`].
    fn find<'a>(
        &'a self,
        payment: &'a Claimed,
        since: u64,
        taken: &'a [(TxHash, u32)],
    ) -> BoxFuture<'a, Result<Usage, ChainError>>;

    /// A log of a transaction that may have paid, for the operator, who knows more than the logs say: a
    /// transfer of exactly the amount from the payer to the payee that has not paid for another payment, by
    /// whomever the transaction was sent. `None` where there is none, or the transaction did not use the
    /// authorization; of a permit, whose use stands in no log, where nothing has used it. Here there is none.
    ///
    /// # Errors
    ///
    /// [`ChainError::Unavailable`].
    fn candidate<'a>(
        &'a self,
        payment: &'a Claimed,
        sent: Sent<'a>,
    ) -> BoxFuture<'a, Result<Option<PaidLog>, ChainError>> {
        let _ = (payment, sent);
        Box::pin(ready(Ok(None)))
    }

    /// Where the chain stands. Here it does not, and each of its blocks is final.
    ///
    /// # Errors
    ///
    /// [`ChainError::Unavailable`].
    fn head(&self) -> BoxFuture<'_, Result<Head, ChainError>> {
        let block = Block { number: 0, hash: [0; 32] };
        Box::pin(ready(Ok(Head { block, time: 0, is_final_to: u64::MAX })))
    }

    /// The block of a number, as the chain is now; `None` where it is not so long. Here there is none.
    ///
    /// # Errors
    ///
    /// [`ChainError::Unavailable`].
    fn block(&self, number: u64) -> BoxFuture<'_, Result<Option<Block>, ChainError>> {
        let _ = number;
        Box::pin(ready(Ok(None)))
    }

    /// Uses up nonces of our account that no transaction has, and that others of ours wait behind in the
    /// node's pool, where they were missing for so long that nobody sends them again, and those of
    /// transactions that offer too little for their gas, where nobody raises that. To be called now and
    /// then: it asks the node while something of ours is in no block, or where there is reason to think
    /// that nonces are missing.
    fn fill_gaps(&self) -> BoxFuture<'_, ()> {
        Box::pin(ready(()))
    }

    /// How much of a token an account has, in atomic units. Here it is not known, and said to be
    /// enough for everything.
    ///
    /// # Errors
    ///
    /// [`ChainError::Unavailable`].
    fn token_balance(
        &self,
        asset: Address,
        account: Address,
    ) -> BoxFuture<'_, Result<Amount, ChainError>> {
        let _ = (asset, account);
        Box::pin(ready(Ok(Amount::MAX)))
    }

    /// How long it takes from one block to the next, in seconds, as far as is known: 0 where it is not.
    fn block_seconds(&self) -> u64 {
        0
    }

    /// Whether a new payment can be settled, as far as that does not lie with its payer: asked before anything
    /// is recorded of it. `now` is the seller's time, in Unix seconds. Here it always can.
    ///
    /// # Errors
    ///
    /// [`ChainError::Unavailable`] with what is to be mended, which is in the log when it is news.
    fn ready<'a>(
        &'a self,
        payment: &'a Claimed,
        now: u64,
    ) -> BoxFuture<'a, Result<(), ChainError>> {
        let _ = (payment, now);
        Box::pin(ready(Ok(())))
    }

    /// Whether the chain's time and the seller's (`now`, in Unix seconds) agree, as far as is known: asked before
    /// a payer is told that an authorization has ended, or is not valid yet. Here they do.
    fn is_on_time(&self, now: u64) -> BoxFuture<'_, bool> {
        let _ = now;
        Box::pin(ready(true))
    }

    /// By how many seconds the chain's time was seen ahead of the seller's: 0 where it is not, or not known.
    fn ahead_seconds(&self) -> u64 {
        0
    }
}

/// Where a transaction is made safe before it is sent.
pub trait Journal: Send + Sync {
    /// Returns once the transaction is on disk.
    ///
    /// # Errors
    ///
    /// [`LedgerError`]; then the transaction must not be sent.
    fn record<'a>(&'a self, transaction: &'a Transaction)
    -> BoxFuture<'a, Result<(), LedgerError>>;
}

/// Why a chain did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChainError {
    /// The transaction could not be journalled and was not sent.
    #[error("the transaction could not be journalled: {0}")]
    Journal(#[source] LedgerError),
    /// The token would refuse the payment.
    #[error("the token refuses the payment: {0}")]
    Refused(Error),
    /// The node cannot be asked; nothing was sent.
    #[error("the chain cannot be reached: {0}")]
    Unavailable(String),
    /// The transaction was sent, and it is not known whether the node has it.
    #[error("it is not known whether the chain has the transaction: {0}")]
    Unknown(String),
    /// The node refused the transaction.
    #[error("the node refuses the transaction: {0}")]
    Unsent(String),
}
