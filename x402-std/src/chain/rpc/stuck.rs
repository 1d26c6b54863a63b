//! A transaction that offers too little for its gas, and that nobody raises: its payment is over, by
//! somebody else's transaction. All that are sent after it wait behind it.

use tokio::time::Instant;

use super::RpcChain;
use super::account::State;
use super::fees::{FeeError, Fees};
use super::node::{At, Node};

impl RpcChain {
    /// Looks whether the first transaction of ours that is in no block has been so for long and offers too
    /// little. Then one that does nothing takes its place. Whose payment is open raises it before that.
    pub(super) async fn free_first(&self, state: &mut State) -> Result<(), FeeError> {
        if state.mined_to >= state.taken_to {
            return Ok(());
        }
        let turn = self.nodes.turn();
        let first = turn.node().nonce_at(self.account.address(), At::Latest).await?;
        state.mined_to = first;
        if first >= state.taken_to {
            state.first = None;
            return Ok(());
        }
        let since = match state.first {
            Some((nonce, since)) if nonce == first => since,
            _ => {
                state.first = Some((first, Instant::now()));
                return Ok(());
            }
        };
        if since.elapsed() < self.account.hole_wait {
            return Ok(());
        }
        if let Some(fees) = self.fees_in_place(state, turn.node(), first).await? {
            state.first = None;
            let why = "a transaction of ours offered too little for its gas, and nobody raised it";
            self.use_up(state, first, fees, why).await;
        }
        Ok(())
    }

    /// What is to be offered in place of the transaction that waits; `None` where that offers enough, or
    /// where the node has none.
    async fn fees_in_place(
        &self,
        state: &mut State,
        node: &Node,
        nonce: u64,
    ) -> Result<Option<Fees>, FeeError> {
        // It is missing: that is a gap.
        if node.next_nonce(self.account.address()).await? <= nonce {
            return Ok(None);
        }
        let most = state.of_nonce(nonce).map(|taken| taken.fees).max_by_key(|fees| fees.max);
        if let Some(offered) = most {
            return self.account.raised(state, node, offered, self.options.fee_cap(false)).await;
        }
        // From before this process: those whose payments are open were sent again meanwhile.
        let fees = self.account.fees(state, node, self.options.fee_cap(false)).await?;
        Ok(Some(self.account.twice(fees)))
    }
}
