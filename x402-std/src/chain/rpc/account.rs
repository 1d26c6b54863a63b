//! The account that pays for the gas: one allocator of its nonces and fees, for all payments.

use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::collections::VecDeque;
use std::sync::PoisonError;

use alloy_consensus::{SignableTransaction, Signed, Transaction as _};
use alloy_consensus::{TxEip1559, TxEnvelope, TxLegacy};
use alloy_eips::{Decodable2718 as _, Encodable2718 as _};
use alloy_primitives::{Address, Bytes, Signature, TxKind, U128, U256};
use serde_json::{Value, json};
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::Instant;
use x402_core::secp256k1::K256Signer;
use x402_core::{ChainId, Digest, Signer as _};

use super::RpcOptions;
use super::fault::Fault;
use super::fees::{FeeCache, FeeError, Fees};
use super::node::Node;
use crate::chain::{Call, Transaction, TxHash};

/// How long a payment waits for those before it to be sent.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// For how long a nonce that is missing may still be sent again by whom it belongs to.
const HOLE_WAIT: Duration = Duration::from_secs(60);
/// How many of the transactions that were sent are remembered.
const REMEMBERED: usize = 256;

/// The account of a key on a chain.
pub(super) struct Account {
    signer: K256Signer,
    chain_id: ChainId,
    options: RpcOptions,
    state: Mutex<State>,
    /// What the last transaction offered: read without a turn.
    offered: std::sync::Mutex<Option<Fees>>,
    /// Whether the chain has no base fee (EIP-1559), so that a transaction has one price.
    pub(super) is_legacy: bool,
    /// After how long a missing nonce is used up.
    pub(super) hole_wait: Duration,
    /// Whether the node may count otherwise than we do.
    is_miscounted: AtomicBool,
    /// Whether the node said that the account cannot pay: it is logged once, not for each payment.
    is_out_of_funds: AtomicBool,
}

/// What is known of the account without asking.
#[derive(Default)]
pub(super) struct State {
    /// The nonce of the next transaction; `None` where only the node can tell.
    pub(super) next_nonce: Option<u64>,
    pub(super) fees: FeeCache,
    /// The nonce behind the highest that a node has taken.
    pub(super) taken_to: u64,
    /// What nodes have taken.
    pub(super) taken: VecDeque<Taken>,
    /// How many of the account's nonces were seen to be used up.
    pub(super) mined_to: u64,
    /// The first nonce that is not used up, and since when it is that one.
    pub(super) first: Option<(u64, Instant)>,
    /// Since when the node counts less than it has taken.
    pub(super) short_since: Option<Instant>,
    /// Whether the nonce was read from the node just now.
    pub(super) is_recounted: bool,
}

/// A transaction that a node has taken, or may have.
#[derive(Clone, Copy)]
pub(super) struct Taken {
    pub(super) nonce: u64,
    pub(super) hash: TxHash,
    pub(super) fees: Fees,
}

impl State {
    /// The node has taken a transaction of this nonce.
    pub(super) fn note_taken(&mut self, nonce: u64, transaction: &Transaction) {
        self.waits_again(nonce);
        let next = nonce.saturating_add(1);
        self.taken_to = self.taken_to.max(next);
        // It may have filled a gap: then the next one may be taken already, and only the node knows.
        self.next_nonce = (next == self.taken_to).then_some(next);
        self.remember(nonce, transaction);
    }

    /// A node has a transaction that was sent again, or may have one: perhaps behind others that it lacks.
    pub(super) fn note_waiting(&mut self, nonce: u64, transaction: &Transaction) {
        self.waits_again(nonce);
        self.taken_to = self.taken_to.max(nonce.saturating_add(1));
        if !self.taken.iter().any(|taken| taken.hash == transaction.hash) {
            self.remember(nonce, transaction);
        }
    }

    /// A nonce is not used up: where it was, the chain has gone back.
    fn waits_again(&mut self, nonce: u64) {
        self.mined_to = self.mined_to.min(nonce);
    }

    /// Keeps what a node has taken, among the last ones.
    fn remember(&mut self, nonce: u64, transaction: &Transaction) {
        let Some((_, fees)) = Account::terms_of(transaction) else { return };
        if self.taken.len() >= REMEMBERED {
            self.taken.pop_front();
        }
        self.taken.push_back(Taken { nonce, hash: transaction.hash, fees });
    }

    /// What nodes have taken of a nonce.
    pub(super) fn of_nonce(&self, nonce: u64) -> impl Iterator<Item = &Taken> {
        self.taken.iter().filter(move |taken| taken.nonce == nonce)
    }
}

impl Account {
    pub(super) fn new(signer: K256Signer, options: &RpcOptions, is_legacy: bool) -> Self {
        let fees = FeeCache::new(is_legacy);
        Self {
            signer,
            chain_id: options.chain_id,
            options: options.clone(),
            state: Mutex::new(State { fees, ..State::default() }),
            offered: std::sync::Mutex::default(),
            is_legacy,
            hole_wait: HOLE_WAIT,
            is_miscounted: AtomicBool::new(false),
            is_out_of_funds: AtomicBool::new(false),
        }
    }

    pub(super) fn address(&self) -> Address {
        Address::from(*self.signer.address().as_bytes())
    }

    /// The right to send the next transaction. `None` where others have held it for too long.
    ///
    /// It is held from the choice of a nonce until the node has taken the transaction: two
    /// transactions that overtake each other, or one that fails in between, would leave a gap that
    /// stops all that come after.
    pub(super) async fn turn(&self) -> Option<MutexGuard<'_, State>> {
        tokio::time::timeout(LONGEST_WAIT, self.state.lock()).await.ok()
    }

    /// As [`Self::turn`], where nobody has it.
    pub(super) fn free_turn(&self) -> Option<MutexGuard<'_, State>> {
        self.state.try_lock().ok()
    }

    /// Whether a nonce may be missing below one that a node has taken.
    pub(super) fn may_have_gaps(&self, state: &State) -> bool {
        let is_doubtful = self.is_miscounted.load(Ordering::Relaxed) || state.short_since.is_some();
        is_doubtful && state.taken_to > 0
    }

    /// The fees for a transaction that is to take the place of one that offers nobody knows what: replacing
    /// takes a tenth more, and who was left behind by the price offered far less than it is now.
    pub(super) fn twice(&self, fees: Fees) -> Fees {
        let max = fees.max.saturating_mul(2).min(self.options.fee_cap(false));
        Fees { max, tip: fees.tip.saturating_mul(2).min(max) }
    }

    /// Has the nonce read from the node before the next transaction. Waits for nobody's turn.
    pub(super) fn recount(&self) {
        self.is_miscounted.store(true, Ordering::Relaxed);
    }

    fn note_offer(&self, fees: Fees) {
        // It is one assignment: whole, whatever panicked.
        *self.offered.lock().unwrap_or_else(PoisonError::into_inner) = Some(fees);
    }

    /// What the last transaction offered for its gas, as a call names it: a contract may tell by that a
    /// simulation from a transaction. Nothing before the first.
    pub(super) fn offer(&self) -> Option<Value> {
        let fees = (*self.offered.lock().unwrap_or_else(PoisonError::into_inner))?;
        let [max, tip] = [fees.max, fees.tip].map(U128::from);
        Some(match self.is_legacy {
            true => json!({ "gasPrice": max }),
            false => json!({ "maxFeePerGas": max, "maxPriorityFeePerGas": tip }),
        })
    }

    /// The nonce and the fees of the next transaction; the nonce is `at_least` that, and gas costs at most
    /// `cap`.
    pub(super) async fn terms(
        &self,
        state: &mut State,
        node: &Node,
        at_least: u64,
        cap: u128,
    ) -> Result<(u64, Fees), FeeError> {
        let fees = self.fees(state, node, cap).await?;
        if self.is_miscounted.swap(false, Ordering::Relaxed) {
            state.next_nonce = None;
        }
        self.note_offer(fees);
        state.is_recounted = state.next_nonce.is_none();
        let nonce = match state.next_nonce {
            Some(nonce) => nonce,
            None => node.next_nonce(self.address()).await?.max(at_least),
        };
        state.next_nonce = Some(nonce);
        Ok((nonce, fees))
    }

    /// The fees of the next transaction.
    pub(super) async fn fees(
        &self,
        state: &mut State,
        node: &Node,
        cap: u128,
    ) -> Result<Fees, FeeError> {
        state.fees.fees(node, self.options.fee_cache, cap).await
    }

    /// The nonce and the fees of a transaction of ours.
    pub(super) fn terms_of(transaction: &Transaction) -> Option<(u64, Fees)> {
        let decoded = TxEnvelope::decode_2718_exact(&transaction.raw).ok()?;
        let max = decoded.max_fee_per_gas();
        let tip = decoded.max_priority_fee_per_gas().unwrap_or(max);
        Some((decoded.nonce(), Fees { max, tip }))
    }

    /// The fees of a transaction that is to take the place of one with these; `None` where those are
    /// still enough.
    pub(super) async fn raised(
        &self,
        state: &mut State,
        node: &Node,
        offered: Fees,
        cap: u128,
    ) -> Result<Option<Fees>, FeeError> {
        state.fees.raised(node, self.options.fee_cache, cap, offered).await
    }

    /// Signs the transaction that settles a payment.
    pub(super) fn sign(&self, call: &Call, nonce: u64, fees: Fees) -> Transaction {
        let to = Address::from(*call.target.as_bytes());
        let gas_limit = self.options.gas_for(call);
        self.sign_terms((nonce, fees), gas_limit, to, call.data.clone().into())
    }

    /// Signs a transaction that does nothing but use up its nonce.
    pub(super) fn sign_nothing(&self, nonce: u64, fees: Fees) -> Transaction {
        self.sign_terms((nonce, fees), self.options.gas_limit, self.address(), Bytes::new())
    }

    fn sign_terms(
        &self,
        (nonce, fees): (u64, Fees),
        gas_limit: u64,
        to: Address,
        input: Bytes,
    ) -> Transaction {
        let (chain_id, to) = (self.chain_id.get(), TxKind::Call(to));
        if self.is_legacy {
            return self.seal(TxLegacy {
                chain_id: Some(chain_id),
                nonce,
                gas_price: fees.max,
                gas_limit,
                to,
                value: U256::ZERO,
                input,
            });
        }
        self.seal(TxEip1559 {
            chain_id,
            nonce,
            gas_limit,
            max_fee_per_gas: fees.max,
            max_priority_fee_per_gas: fees.tip,
            to,
            input,
            ..TxEip1559::default()
        })
    }

    fn seal<T: SignableTransaction<Signature>>(&self, transaction: T) -> Transaction
    where
        TxEnvelope: From<Signed<T>>,
    {
        let Ok(signature) = self.signer.sign(&Digest::new(transaction.signature_hash().0));
        let [r, s] = [signature.r(), signature.s()].map(|word| U256::from_be_bytes(*word));
        let signature = Signature::new(r, s, signature.is_y_odd());
        let signed = TxEnvelope::from(transaction.into_signed(signature));
        Transaction { hash: TxHash(signed.tx_hash().0), raw: signed.encoded_2718() }
    }

    /// Says that the account cannot pay, if that is news.
    pub(super) fn report_no_funds(&self, fault: &Fault) {
        if !self.is_out_of_funds.swap(true, Ordering::Relaxed) {
            let account = self.address();
            tracing::error!(%account, %fault, "the settling account cannot pay for gas");
        }
    }

    /// Takes note that the account can pay.
    pub(super) fn note_funds(&self) {
        self.is_out_of_funds.store(false, Ordering::Relaxed);
    }
}
