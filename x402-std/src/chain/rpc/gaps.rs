//! Nonces that no transaction has: the chain went back, a node forgot what it had taken, or of several
//! that were journalled together one was not, and nothing was sent.
//!
//! Those behind a missing nonce wait until it is used, and with them their payers. The next transaction
//! takes the first one that is missing; the others are used up by transactions that do nothing, once
//! those to whom they belong had time to send again what they have journalled. Where no next transaction
//! comes, the first is used up as well. What a process that has ended has sent for payments that are over
//! is not known any more: it waits for the next payments, and nobody for it.

use super::RpcChain;
use super::account::State;
use super::fees::Fees;
use super::node::Node;

/// How many nonces are looked at, at most.
const MOST: usize = 64;

impl RpcChain {
    /// As [`Chain::fill_gaps`](crate::chain::Chain::fill_gaps).
    pub(super) async fn fill_left_gaps(&self) {
        // Who has the turn looks himself.
        let Some(mut state) = self.account.free_turn() else { return };
        if let Err(error) = self.free_first(&mut state).await {
            tracing::debug!(%error, "whether a transaction of ours is stuck is not known");
        }
        if !self.account.may_have_gaps(&state) {
            return;
        }
        // Only the node knows.
        state.next_nonce = None;
        let filled = self.terms_and_gaps(&mut state, 0, 0, self.options.fee_cap(false)).await;
        state.next_nonce = None;
        if let Err(error) = filled {
            tracing::debug!(%error, "whether nonces are missing is not known");
        }
    }

    /// Uses up the nonces from `first` on that the node lacks and that transactions of ours wait for.
    /// Where it cannot, the next transaction tries again.
    pub(super) async fn fill_gaps_from(
        &self,
        state: &mut State,
        node: &Node,
        first: u64,
        fees: Fees,
    ) {
        if !core::mem::take(&mut state.is_recounted) {
            return;
        }
        if first >= state.taken_to {
            state.short_since = None;
            return;
        }
        let since = *state.short_since.get_or_insert_with(tokio::time::Instant::now);
        if since.elapsed() < self.account.hole_wait {
            return;
        }
        let Some(gaps) = self.gaps(state, node, first).await else { return };
        if gaps.is_empty() {
            // Nothing that is known waits: it was mined, or is gone.
            state.taken_to = first;
            state.short_since = None;
        }
        for nonce in gaps {
            self.use_up(state, nonce, fees, "a transaction of ours is gone, and others wait").await;
        }
    }

    /// Uses a nonce up by a transaction that does nothing. Where it cannot, it may be another's, or the next
    /// payment has it.
    pub(super) async fn use_up(&self, state: &mut State, nonce: u64, fees: Fees, why: &str) {
        let nothing = self.account.sign_nothing(nonce, fees);
        match self.nodes.send(&nothing.raw).await {
            Ok(_) => {
                tracing::warn!(nonce, transaction = %nothing.hash, why, "a nonce is used up");
                state.note_waiting(nonce, &nothing);
            }
            Err(fault) => tracing::warn!(nonce, %fault, why, "a nonce is not used up"),
        }
    }

    /// The nonces from `first` on that are missing before one that waits; `None` where nothing was found,
    /// and not all was looked at.
    async fn gaps(&self, state: &State, node: &Node, first: u64) -> Option<Vec<u64>> {
        let (mut gaps, mut missing) = (Vec::new(), Vec::new());
        for nonce in (first..state.taken_to).take(MOST) {
            let mut waits = false;
            for taken in state.of_nonce(nonce) {
                match node.sending(taken.hash).await {
                    Ok(found) => waits |= found.is_some(),
                    // Nothing is known of it: it is left alone, and what is behind it.
                    Err(_) => return Some(gaps).filter(|gaps| !gaps.is_empty()),
                }
            }
            match waits {
                true => gaps.append(&mut missing),
                false => missing.push(nonce),
            }
        }
        let is_all =
            usize::try_from(state.taken_to.saturating_sub(first)).is_ok_and(|all| all <= MOST);
        Some(gaps).filter(|gaps| is_all || !gaps.is_empty())
    }
}
