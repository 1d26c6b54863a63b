//! What was served and is not settled yet, in this process: collected for a while, then settled together.

use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::join_all;
use tokio::sync::{Notify, watch};

use super::Seller;
use super::resolve::Held;

/// What is owed and waits to be settled.
#[derive(Debug, Default)]
pub(super) struct Tab {
    waiting: Mutex<Vec<Held>>,
    /// There is a batch together, or it is time to close.
    full: Notify,
    /// How many batches are under way.
    busy: watch::Sender<usize>,
}

impl core::fmt::Debug for Held {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_tuple("Held").field(&self.entry.id()).finish()
    }
}

impl Tab {
    fn waiting(&self) -> std::sync::MutexGuard<'_, Vec<Held>> {
        // Every change is one call of the vector's: it is whole whatever panicked.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts a batch that is being collected or settled.
struct Busy(Arc<Seller>);

impl Busy {
    fn new(seller: &Arc<Seller>) -> Self {
        seller.tab.busy.send_modify(|count| *count += 1);
        Self(Arc::clone(seller))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.tab.busy.send_modify(|count| *count -= 1);
    }
}

impl Seller {
    /// Puts a payment on the tab; the first of a batch has it settled after a while.
    pub(super) fn put_on_tab(self: &Arc<Self>, held: Held) {
        let count = {
            let mut waiting = self.tab.waiting();
            waiting.push(held);
            waiting.len()
        };
        if count == 1 {
            // Counted from now on, and not from when the task begins.
            let busy = Busy::new(self);
            tokio::spawn(async move { busy.0.collect().await });
        }
        if count >= self.options.later.max_batch {
            self.tab.full.notify_one();
        }
    }

    async fn collect(&self) {
        let full = self.tab.full.notified();
        // Whichever comes first.
        let _ = tokio::time::timeout(self.options.later.max_delay, full).await;
        let mut waiting = core::mem::take(&mut *self.tab.waiting());
        let most = self.options.later.max_batch.max(1);
        let mut batches = Vec::new();
        while !waiting.is_empty() {
            let rest = waiting.split_off(waiting.len().min(most));
            batches.push(self.settle_held(waiting));
            waiting = rest;
        }
        // At the same time: each waits for its block, and by then the authorizations of the next may have ended.
        join_all(batches).await;
    }

    /// Settles what is on the tab, without waiting for more, and returns when nothing is under way: for
    /// those who are about to end. What is not settled then is on the ledger's books, and is settled by
    /// [`Self::resolve_open`].
    pub async fn close_tab(&self) {
        let mut busy = self.tab.busy.subscribe();
        // Also for one that has yet to begin to wait.
        self.tab.full.notify_one();
        // The sender is ours, so the wait cannot fail.
        drop(busy.wait_for(|count| *count == 0).await);
    }
}
