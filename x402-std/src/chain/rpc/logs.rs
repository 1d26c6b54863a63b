//! The logs that are asked for: of the use of an authorization, or of what may be one.

use core::sync::atomic::Ordering;

use alloy_primitives::{Address, B256, Bytes, U64, U256};
use alloy_sol_types::SolEvent as _;
use serde::Deserialize;
use serde_json::{Value, json};
use x402_core::settlement::{
    AUTHORIZATION_CANCELED_TOPIC, AUTHORIZATION_USED_TOPIC, TRANSFER_TOPIC,
};
use x402_core::{Amount, Claimed, Transfer, permit2};

use super::fault::Fault;
use super::node::{Node, Permit2};
use crate::chain::{Block, TxHash};

/// A log that was found: of the use of an authorization, or of what may be one.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Use {
    pub(super) address: Address,
    pub(super) topics: Vec<B256>,
    #[serde(default)]
    data: Bytes,
    block_number: U64,
    block_hash: B256,
    transaction_hash: B256,
    #[serde(default)]
    removed: bool,
}

impl Node {
    /// Logs of the use or the cancellation of an authorization, newest blocks first: of as many blocks up
    /// to `last` as the node searches in one call; and the first of these. For a permit, of which nobody
    /// says so, where the token was moved from its payer to its payee.
    pub(super) async fn uses_up_to(
        &self,
        payment: &Claimed,
        last: u64,
    ) -> Result<(Vec<Use>, u64), Fault> {
        let mut range = self.log_range.load(Ordering::Relaxed);
        loop {
            let first = last.saturating_sub(range.saturating_sub(1));
            let mut filter = token_filter(payment);
            filter["fromBlock"] = json!(U64::from(first));
            filter["toBlock"] = json!(U64::from(last));
            match self.logs(filter).await {
                Ok(uses) => {
                    let within = |used: &Use| (first..=last).contains(&used.block().number);
                    self.log_range.fetch_min(range, Ordering::Relaxed);
                    return Ok((uses.into_iter().filter(within).collect(), first));
                }
                Err(fault) if range > 1 && fault.is_of_range() => {
                    range /= 2;
                    tracing::debug!(range, %fault, "fewer blocks are searched in one call");
                }
                Err(fault) => return Err(fault),
            }
        }
    }

    /// How many blocks are searched in one call.
    pub(super) fn log_range(&self) -> u64 {
        self.log_range.load(Ordering::Relaxed)
    }

    /// What a block has of the use of an authorization; for a permit, all that its payer's tokens and
    /// nonces were used for.
    pub(super) async fn uses_in(&self, payment: &Claimed, block: Block) -> Result<Vec<Use>, Fault> {
        let filter = match payment.transfer() {
            Transfer::Eip3009(_) => token_filter(payment),
            Transfer::Permit2(permit) => {
                let burnt = Permit2::UnorderedNonceInvalidation::SIGNATURE_HASH;
                json!({ "topics": [
                    [B256::from(TRANSFER_TOPIC), burnt],
                    [B256::from(permit.from.to_word())],
                ] })
            }
        };
        let mut by_hash = filter.clone();
        by_hash["blockHash"] = json!(B256::from(block.hash));
        let uses = match self.logs(by_hash).await {
            Err(fault) if fault.refuses_parameter() => {
                let mut by_number = filter;
                by_number["fromBlock"] = json!(U64::from(block.number));
                by_number["toBlock"] = by_number["fromBlock"].clone();
                self.logs(by_number).await?
            }
            uses => uses?,
        };
        match uses.iter().all(|used| used.block() == block) {
            true => Ok(uses),
            false => Err(Fault::Malformed("the log of another block")),
        }
    }

    async fn logs(&self, filter: Value) -> Result<Vec<Use>, Fault> {
        let mut uses: Vec<Use> = self.ask("eth_getLogs", json!([filter])).await?;
        uses.retain(|used| !used.removed);
        Ok(uses)
    }
}

/// What a payment's token writes of its use.
fn token_filter(payment: &Claimed) -> Value {
    let signed = payment.transfer();
    let words = |events: &[[u8; 32]]| -> Vec<B256> { events.iter().map(B256::from).collect() };
    let (events, second) = match signed {
        Transfer::Eip3009(_) => (
            words(&[AUTHORIZATION_USED_TOPIC, AUTHORIZATION_CANCELED_TOPIC]),
            *signed.nonce().as_bytes(),
        ),
        Transfer::Permit2(_) => (words(&[TRANSFER_TOPIC]), signed.to().to_word()),
    };
    json!({
        "address": Address::from(*payment.asset().as_bytes()),
        "topics": [events, words(&[signed.from().to_word()]), words(&[second])],
    })
}

impl Use {
    pub(super) fn block(&self) -> Block {
        Block { number: self.block_number.to(), hash: self.block_hash.0 }
    }

    pub(super) fn transaction(&self) -> TxHash {
        TxHash(self.transaction_hash.0)
    }

    /// Whether its data are this amount.
    pub(super) fn is_of(&self, amount: Amount) -> bool {
        self.data[..] == amount.to_be_bytes()
    }

    pub(super) fn is_cancellation(&self) -> bool {
        self.topics.first().is_some_and(|event| *event == AUTHORIZATION_CANCELED_TOPIC)
    }

    /// Whether Permit2 says that the payer has burnt the payment's nonce.
    pub(super) fn burns(&self, payment: &Claimed) -> bool {
        let burnt = Permit2::UnorderedNonceInvalidation::SIGNATURE_HASH;
        let words = self.data.as_chunks::<32>().0;
        let (Transfer::Permit2(permit), [word, mask]) = (payment.transfer(), words) else {
            return false;
        };
        let nonce = U256::from_be_bytes(*permit.nonce.as_bytes());
        self.address == *permit2::PERMIT2.as_bytes()
            && self.topics == [burnt, B256::from(permit.from.to_word())]
            && U256::from_be_bytes(*word) == nonce >> 8
            && U256::from_be_bytes(*mask).bit(usize::from(nonce.byte(0)))
    }
}
