//! Several nodes of one chain: which one is asked, and how far the chain was seen.

use core::fmt::Display;
use core::time::Duration;
use std::sync::{Mutex, PoisonError};
use std::vec;

use tokio::time::Instant;

use super::fault::Fault;
use super::node::Node;
use crate::chain::TxHash;

/// For how long a node that gave no answer is asked last.
const PASSED_OVER: Duration = Duration::from_secs(30);
/// For how long a head below one that was seen is that of a node which lags. After that the chain
/// itself has gone back: a development node was started again, or blocks were thrown away.
const LONGEST_LAG: Duration = Duration::from_secs(60);

/// The nodes of a chain, in the order in which they are asked.
pub(super) struct Nodes {
    first: Entry,
    others: Vec<Entry>,
}

struct Entry {
    node: Node,
    failed_at: Mutex<Option<Instant>>,
}

/// The nodes for one question: all that is asked for it is asked of one of them, or anew of the next.
pub(super) struct Turn<'a> {
    now: &'a Entry,
    rest: vec::IntoIter<&'a Entry>,
}

/// The newest block that was seen, of any node.
#[derive(Default)]
pub(super) struct Heads(Mutex<Seen>);

#[derive(Default)]
struct Seen {
    highest: u64,
    lower_since: Option<Instant>,
}

impl Nodes {
    pub(super) fn new(first: Node, others: Vec<Node>) -> Self {
        let others = others.into_iter().map(Entry::new).collect();
        Self { first: Entry::new(first), others }
    }

    /// The nodes, those that have failed just now behind the others.
    pub(super) fn turn(&self) -> Turn<'_> {
        if self.others.is_empty() {
            return Turn { now: &self.first, rest: Vec::new().into_iter() };
        }
        let all = || core::iter::once(&self.first).chain(&self.others);
        let mut order: Vec<_> = all().filter(|entry| !entry.has_failed()).collect();
        order.extend(all().filter(|entry| entry.has_failed()));
        let mut rest = order.into_iter();
        Turn { now: rest.next().unwrap_or(&self.first), rest }
    }

    /// Sends a signed transaction to the first that can be connected to.
    pub(super) async fn send(&self, raw: &[u8]) -> Result<TxHash, Fault> {
        let mut turn = self.turn();
        loop {
            match turn.node().send(raw).await {
                // It was sent nothing.
                Err(fault @ Fault::Connect(_)) if turn.passes(&fault) => {}
                answer => return answer,
            }
        }
    }
}

impl Entry {
    fn new(node: Node) -> Self {
        Self { node, failed_at: Mutex::default() }
    }

    fn has_failed(&self) -> bool {
        let failed_at = *self.failed_at.lock().unwrap_or_else(PoisonError::into_inner);
        failed_at.is_some_and(|at| at.elapsed() < PASSED_OVER)
    }
}

impl<'a> Turn<'a> {
    pub(super) fn node(&self) -> &'a Node {
        &self.now.node
    }

    /// Goes on to the next node; `false` where there is none.
    pub(super) fn passes(&mut self, why: &dyn Display) -> bool {
        let Some(next) = self.rest.next() else { return false };
        let failed_at = Some(Instant::now());
        *self.now.failed_at.lock().unwrap_or_else(PoisonError::into_inner) = failed_at;
        tracing::warn!(%why, "another node of the list is asked");
        self.now = next;
        true
    }
}

impl Heads {
    /// Takes note of a node's newest block.
    pub(super) fn note(&self, number: u64) -> Result<(), Fault> {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let highest = seen.highest;
        if number < highest {
            let lower_since = *seen.lower_since.get_or_insert_with(Instant::now);
            if lower_since.elapsed() < LONGEST_LAG {
                return Err(Fault::Lags { number, highest });
            }
            tracing::warn!(
                number,
                highest,
                "the chain has gone back, or its node was started again: what it said of the \
                 blocks above is forgotten"
            );
        }
        *seen = Seen { highest: number, lower_since: None };
        Ok(())
    }

    /// Whether a block of this number was seen to be there.
    pub(super) fn reach(&self, number: u64) -> bool {
        number <= self.0.lock().unwrap_or_else(PoisonError::into_inner).highest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_lower_head_lags_until_it_has_been_so_for_long() {
        let heads = Heads::default();
        heads.note(10).unwrap();
        assert!(heads.reach(10) && !heads.reach(11));
        for number in [9, 0] {
            let lags = heads.note(number).unwrap_err();
            assert!(matches!(lags, Fault::Lags { highest: 10, .. }), "{lags}");
        }
        tokio::time::advance(LONGEST_LAG - Duration::from_secs(1)).await;
        heads.note(9).unwrap_err();
        // One that is as far as before, of another back end: the lower one lags still.
        heads.note(10).unwrap();
        tokio::time::advance(Duration::from_secs(2)).await;
        heads.note(9).unwrap_err();
        tokio::time::advance(LONGEST_LAG).await;
        heads.note(9).unwrap();
        assert!(heads.reach(9) && !heads.reach(10));
    }
}
