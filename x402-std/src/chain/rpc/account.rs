//! The account that pays for the gas: one allocator of its nonces and fees, for all payments.

use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;

use alloy_consensus::{SignableTransaction as _, Transaction as _, TxEip1559, TxEnvelope};
use alloy_eips::{Decodable2718 as _, Encodable2718 as _};
use alloy_primitives::{Address, Signature, TxKind, U256};
use tokio::sync::{Mutex, MutexGuard};
use x402_core::secp256k1::K256Signer;
use x402_core::{ChainId, Digest, Signer as _};

use super::RpcOptions;
use super::fault::Fault;
use super::fees::{FeeCache, FeeError, Fees};
use super::node::Node;
use crate::chain::{Call, Transaction, TxHash};

/// How long a payment waits for those before it to be sent.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// The account of a key on a chain.
pub(super) struct Account {
    signer: K256Signer,
    chain_id: ChainId,
    options: RpcOptions,
    state: Mutex<State>,
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
}

impl Account {
    pub(super) fn new(signer: K256Signer, options: &RpcOptions) -> Self {
        Self {
            signer,
            chain_id: options.chain_id,
            options: options.clone(),
            state: Mutex::default(),
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

    /// Has the nonce read from the node before the next transaction. Waits for nobody's turn.
    pub(super) fn recount(&self) {
        self.is_miscounted.store(true, Ordering::Relaxed);
    }

    /// The nonce and the fees of the next transaction; the nonce is `at_least` that.
    pub(super) async fn terms(
        &self,
        state: &mut State,
        node: &Node,
        at_least: u64,
    ) -> Result<(u64, Fees), FeeError> {
        let (lifetime, cap) = (self.options.fee_cache, self.options.max_fee_per_gas);
        let fees = state.fees.fees(node, lifetime, cap).await?;
        if self.is_miscounted.swap(false, Ordering::Relaxed) {
            state.next_nonce = None;
        }
        let nonce = match state.next_nonce {
            Some(nonce) => nonce,
            None => node.next_nonce(self.address()).await?.max(at_least),
        };
        state.next_nonce = Some(nonce);
        Ok((nonce, fees))
    }

    /// The nonce and the fees of a transaction of ours.
    pub(super) fn terms_of(transaction: &Transaction) -> Option<(u64, Fees)> {
        let decoded = TxEnvelope::decode_2718_exact(&transaction.raw).ok()?;
        let tip = decoded.max_priority_fee_per_gas()?;
        Some((decoded.nonce(), Fees { max: decoded.max_fee_per_gas(), tip }))
    }

    /// The fees of a transaction that is to take the place of one with these; `None` where those are
    /// still enough.
    pub(super) async fn raised(
        &self,
        state: &mut State,
        node: &Node,
        offered: Fees,
    ) -> Result<Option<Fees>, FeeError> {
        let (lifetime, cap) = (self.options.fee_cache, self.options.max_fee_per_gas);
        state.fees.raised(node, lifetime, cap, offered).await
    }

    /// Signs the transaction that settles a payment.
    pub(super) fn sign(&self, call: &Call, nonce: u64, fees: Fees) -> Transaction {
        self.sign_terms(
            nonce,
            fees,
            TxEip1559 {
                gas_limit: self.options.gas_for(call),
                to: TxKind::Call(Address::from(*call.target.as_bytes())),
                input: call.data.clone().into(),
                ..TxEip1559::default()
            },
        )
    }

    /// Signs a transaction that does nothing but use up its nonce.
    pub(super) fn sign_nothing(&self, nonce: u64, fees: Fees) -> Transaction {
        self.sign_terms(
            nonce,
            fees,
            TxEip1559 {
                gas_limit: self.options.gas_limit,
                to: TxKind::Call(self.address()),
                ..TxEip1559::default()
            },
        )
    }

    fn sign_terms(&self, nonce: u64, fees: Fees, transaction: TxEip1559) -> Transaction {
        let transaction = TxEip1559 {
            chain_id: self.chain_id.get(),
            nonce,
            max_fee_per_gas: fees.max,
            max_priority_fee_per_gas: fees.tip,
            ..transaction
        };
        let Ok(signature) = self.signer.sign(&Digest::new(transaction.signature_hash().0));
        let [r, s] = [signature.r(), signature.s()].map(|word| U256::from_be_bytes(*word));
        let signed = transaction.into_signed(Signature::new(r, s, signature.is_y_odd()));
        Transaction { hash: TxHash(signed.hash().0), raw: signed.encoded_2718() }
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
