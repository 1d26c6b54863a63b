//! The machines behind the node's one address, which are not of one mind.

use std::sync::Arc;

use crate::node::{Block, Node};
use crate::random::Random;

/// One of them.
#[derive(Default)]
pub(crate) struct Backend {
    /// By how many blocks it is late.
    lag: u64,
    /// The blocks that it still holds to be the chain, after the others have gone back.
    branch: Option<Vec<Arc<Block>>>,
}

impl Backend {
    /// The chain is about to go back; those that are late do not notice at once.
    pub(crate) fn branch(&mut self, blocks: &[Arc<Block>]) {
        if self.lag > 0 && self.branch.is_none() {
            let length = blocks.len() - (self.lag as usize).min(blocks.len() - 1);
            self.branch = Some(blocks[..length].to_vec());
        }
    }
}

impl Node {
    /// The chain, as one of them has it.
    pub(crate) fn view(&self, backend: usize) -> &[Arc<Block>] {
        let Backend { lag, branch } = &self.backends[backend];
        match branch {
            Some(blocks) => blocks,
            None => &self.blocks[..self.blocks.len() - (*lag as usize).min(self.blocks.len() - 1)],
        }
    }

    /// So many machines, the first of which is never late.
    pub(crate) fn spread(&mut self, count: usize) {
        self.backends = std::iter::repeat_with(Backend::default).take(count).collect();
    }

    /// Some fall behind by a block more, at most three, and some catch up.
    pub(crate) fn drift(&mut self, random: &mut Random, permille: u64) {
        for backend in self.backends.iter_mut().skip(1) {
            if random.chance(500) {
                backend.branch = None;
            }
            backend.lag = match random.chance(permille) {
                true => (backend.lag + 1).min(3),
                false => backend.lag.saturating_sub(random.below(4)),
            };
        }
    }

    /// All have caught up.
    pub(crate) fn agree(&mut self) {
        for backend in &mut self.backends {
            *backend = Backend::default();
        }
    }
}
