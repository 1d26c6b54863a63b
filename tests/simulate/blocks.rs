//! Blocks come; some go.

use std::collections::BTreeMap;

use crate::run::{PAY_TO, PRICE};
use crate::token::{State, Word};
use crate::world::World;

impl World {
    /// The next block, and whatever comes with it.
    pub(crate) fn next_block(&mut self) {
        let weather = self.weather;
        if self.chance(weather.fee_moves) {
            self.node.base_fee = 200 + self.random.below(4_000);
        }
        if self.chance(weather.dropped) && !self.node.pool.is_empty() {
            let waiting = self.node.pool.len() as u64;
            let at = self.random.below(waiting);
            self.node.pool.remove(at as usize);
        }
        self.node.has_no_gas = self.chance(weather.no_gas);
        self.bide();
        let is_full = self.chance(weather.block_full);
        self.mine(is_full);
        self.go_back();
        if self.chance(weather.restarted) && !self.has_restarted {
            self.restart();
        }
        self.node.drift(&mut self.random, weather.lagging);
        self.hide();
        if self.chance(weather.clock_steps) {
            self.skew = i64::try_from(self.random.below(8)).unwrap() - 4;
        }
    }

    /// What was mined is not told at once.
    fn hide(&mut self) {
        let weather = self.weather;
        self.node.hides_receipts = self.chance(weather.receipt_late);
        let now = self.milliseconds();
        if now >= self.hidden_until {
            self.node.told = None;
            if self.chance(weather.logs_late) {
                self.node.told = Some(self.node.head().number.saturating_sub(1));
                self.hidden_until = now + self.random.below(20_000);
            }
        }
    }

    fn mine(&mut self, is_full: bool) {
        let now = self.now();
        self.node.mine(now, is_full);
        if self.node.head().mined.is_empty() {
            return;
        }
        for index in 0..self.payments.len() {
            let moved = self.has_moved(index);
            let payment = &mut self.payments[index];
            if moved && !payment.was_moved {
                // Before the seller had to do with it: it need not know.
                payment.is_early = !payment.is_sent;
            }
            payment.was_moved = moved;
        }
    }

    fn go_back(&mut self) {
        let weather = self.weather;
        let shallow = self.confirmations - 1;
        let deepest = self.node.unfinal().saturating_sub(1);
        let depth = if self.chance(weather.deep_reorg) && deepest > shallow {
            self.counts.deep += 1;
            shallow + 1 + self.random.below(deepest - shallow)
        } else if shallow > 0 && self.chance(weather.reorg) {
            (1 + self.random.below(shallow)).min(deepest)
        } else {
            return;
        };
        if depth == 0 {
            return;
        }
        self.counts.reorgs += 1;
        let at = self.milliseconds();
        tracing::debug!(at, depth, "the chain goes back");
        let Self { node, random, .. } = self;
        node.go_back(depth, || random.chance(300));
        self.lose(depth > shallow);
        self.mine(false);
    }

    /// What had moved has not any more; where the chain went back so far that the seller could not wait
    /// for it, nobody is to blame that it was served.
    fn lose(&mut self, is_deep: bool) {
        for index in 0..self.payments.len() {
            let moved = self.has_moved(index);
            let payment = &mut self.payments[index];
            payment.was_lost |= is_deep && payment.was_moved && !moved;
            payment.was_moved = moved;
        }
    }

    /// The chain begins again with nothing in it, as that of a development node does. What was final
    /// before was paid, and nobody looks at it again.
    fn restart(&mut self) {
        self.has_restarted = true;
        self.counts.restarts += 1;
        let at = self.milliseconds();
        tracing::debug!(at, "the chain begins again");
        let block = &self.node.blocks[self.node.finalized as usize];
        let state = std::sync::Arc::clone(&block.state);
        self.moved_before = state.balance(PAY_TO.to_word());
        for payment in &mut self.payments {
            payment.forget_taken();
            let used = state.use_of(payment.terms.from(), payment.terms.nonce());
            payment.is_final = used == Some(crate::token::Use::As(payment.terms));
        }
        let (now, balances) = (self.now(), self.balances.clone());
        self.node.begin(now, balances);
        self.lose(true);
    }

    /// What each payer has in the beginning: what was signed for; some have less.
    pub(crate) fn fund(&mut self) {
        let mut balances: BTreeMap<Word, u128> = BTreeMap::new();
        for payment in &self.payments {
            *balances.entry(payment.terms.from()).or_default() += u128::from(PRICE);
        }
        let poor = self.weather.poor;
        for balance in balances.values_mut() {
            if self.chance(poor) {
                let most = u64::try_from(*balance).unwrap();
                *balance = self.random.below(most).into();
            }
        }
        self.balances = balances;
        let (now, balances) = (self.now(), self.balances.clone());
        self.node.begin(now, balances);
    }

    /// The state as the chain has it now.
    pub(crate) fn state(&self) -> &State {
        &self.node.head().state
    }
}
