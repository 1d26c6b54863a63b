//! What was settled is watched until the chain cannot go back on it.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use x402_core::{ChainId, PaymentId};

use super::arrival::reverse;
use super::{Seller, Steps};
use crate::chain::{Block, Chain, ChainError};
use crate::ledger::LedgerError;

/// How many new blocks, and how many payments of a block, are looked at in one go.
const PAGE: usize = 256;
/// How many blocks are watched, the oldest first. Chains of short blocks take hundreds until one is final.
const MOST: usize = 4096;

/// The blocks that were seen to be of the chain, by chain.
#[derive(Debug, Default)]
pub(super) struct Watched(Mutex<HashMap<ChainId, Seen>>);

/// While the highest of them is of the chain, so are those below: its hash commits to them. So a look
/// costs a call for the highest and one for each new block, however many payments are in them.
#[derive(Clone, Debug, Default)]
struct Seen {
    highest: Option<Block>,
    all: HashSet<Block>,
}

impl Watched {
    fn chains(&self) -> MutexGuard<'_, HashMap<ChainId, Seen>> {
        // Every change is one insertion: whole, whatever panicked.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a chain was not looked at to the end.
#[derive(Debug, thiserror::Error)]
enum WatchError {
    #[error(transparent)]
    Chain(#[from] ChainError),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

impl Seller {
    /// Looks whether the blocks that hold what has been paid still are of their chains, and returns how
    /// many payments were reversed. What is final is not looked at again. To be called now and then, before
    /// [`Self::resolve_open`], which goes on with what was reversed: a transaction that is mined again
    /// settles again, one that is in no block is sent again until it is over, and what is lost is on the
    /// books as owed.
    ///
    /// # Errors
    ///
    /// [`LedgerError`] where the ledger cannot be read. A chain that cannot be reached is left for the
    /// next time.
    pub async fn watch(&self) -> Result<usize, LedgerError> {
        let mut reversed = 0;
        for (chain_id, rail) in &self.rails {
            let Some(chain) = rail.chain() else { continue };
            match self.watch_chain(*chain_id, chain).await {
                Ok(count) => reversed += count,
                Err(WatchError::Ledger(error)) => return Err(error),
                Err(WatchError::Chain(error)) => {
                    tracing::debug!(chain = %chain_id, %error, "what was settled is not watched");
                }
            }
        }
        Ok(reversed)
    }

    async fn watch_chain(&self, chain_id: ChainId, chain: &dyn Chain) -> Result<usize, WatchError> {
        let blocks = self.ledger.unfinal_blocks(chain_id, MOST).await?;
        if blocks.is_empty() {
            self.watched.chains().remove(&chain_id);
            return Ok(0);
        }
        let head = chain.head().await?;
        let known = self.watched.chains().get(&chain_id).cloned().unwrap_or_default();
        // Of the last look: if it stays, all that were seen then do.
        let stays = match known.highest {
            Some(block) => is_of(chain, block).await?,
            None => false,
        };
        // Such a chain has only blocks that are final, and says nothing of them.
        let is_still = head.is_final_to == u64::MAX;
        let (mut now, mut reversed, mut left) = (Seen::default(), 0, PAGE);
        // The newest first: if the chain went back, then on those.
        for block in blocks.into_iter().rev() {
            let is_known = is_still || stays && known.all.contains(&block);
            if !is_known {
                // The others' turn comes next time.
                let Some(fewer) = left.checked_sub(1) else { continue };
                left = fewer;
                if !is_of(chain, block).await? {
                    reversed += self.reverse_block(chain_id, block).await?;
                    continue;
                }
            }
            if block.number <= head.is_final_to {
                self.ledger.finalize(chain_id, block).await?;
            } else {
                now.all.insert(block);
                now.highest.get_or_insert(block);
            }
        }
        // The chain may have gone back meanwhile; then all are looked at again next time.
        let stays = match now.highest {
            Some(block) => is_of(chain, block).await?,
            None => false,
        };
        if stays {
            self.watched.chains().insert(chain_id, now);
        } else {
            self.watched.chains().remove(&chain_id);
        }
        Ok(reversed)
    }

    /// The chain went back on a block: what was settled in it is open again.
    async fn reverse_block(&self, chain_id: ChainId, block: Block) -> Result<usize, LedgerError> {
        let (mut count, mut after): (usize, Option<PaymentId>) = (0, None);
        loop {
            let page = self.ledger.paid_in(chain_id, block, after, PAGE).await?;
            for id in &page {
                reverse(&Steps::new(&*self.ledger, *id)).await?;
            }
            count += page.len();
            after = page.last().copied();
            if page.len() < PAGE {
                return Ok(count);
            }
        }
    }
}

/// Whether a block still is of the chain.
async fn is_of(chain: &dyn Chain, block: Block) -> Result<bool, ChainError> {
    Ok(chain.block(block.number).await? == Some(block))
}
