//! Nonces that no transaction has any more: the chain went back, and a node forgot what it had taken.
//!
//! Those behind a missing nonce wait until it is used, and with them their payers. The next transaction
//! takes the first one that is missing; the others are used up by transactions that do nothing, once
//! those to whom they belong had time to send again what they have journalled.

use super::RpcChain;
use super::account::State;
use super::fees::Fees;
use super::node::Node;
use crate::chain::TxHash;

/// How many nonces are looked at, at most.
const MOST: usize = 64;

impl RpcChain {
    /// Uses up the nonces behind `next` that the node lacks and that transactions of ours wait for. Where
    /// it cannot, the next transaction tries again.
    pub(super) async fn fill_gaps(&self, state: &mut State, node: &Node, next: u64, fees: Fees) {
        if !core::mem::take(&mut state.is_recounted) {
            return;
        }
        if next >= state.taken_to {
            state.short_since = None;
            return;
        }
        let since = *state.short_since.get_or_insert_with(tokio::time::Instant::now);
        if since.elapsed() < self.account.hole_wait {
            return;
        }
        for nonce in self.gaps(state, node, next).await {
            let nothing = self.account.sign_nothing(nonce, fees);
            match self.nodes.send(&nothing.raw).await {
                Ok(_) => {
                    tracing::warn!(
                        nonce,
                        transaction = %nothing.hash,
                        "a transaction of ours is gone, and others wait for its nonce: it is used up"
                    );
                    state.remember(nonce, nothing.hash);
                }
                Err(fault) => tracing::warn!(nonce, %fault, "a missing nonce is not used up"),
            }
        }
    }

    /// The nonces behind `next` that are missing before one that waits.
    async fn gaps(&self, state: &State, node: &Node, next: u64) -> Vec<u64> {
        let (mut gaps, mut missing) = (Vec::new(), Vec::new());
        for nonce in (next.saturating_add(1)..state.taken_to).take(MOST) {
            let mut waits = false;
            for hash in hashes(state, nonce) {
                match node.sending(hash).await {
                    Ok(found) => waits |= found.is_some(),
                    // Nothing is known of it: it is left alone, and what is behind it.
                    Err(_) => return gaps,
                }
            }
            match waits {
                true => gaps.append(&mut missing),
                false => missing.push(nonce),
            }
        }
        gaps
    }
}

/// The transactions of a nonce that a node has taken.
fn hashes(state: &State, nonce: u64) -> impl Iterator<Item = TxHash> {
    let of_nonce = state.taken.iter().filter(move |(taken, _)| *taken == nonce);
    of_nonce.map(|(_, hash)| *hash)
}
