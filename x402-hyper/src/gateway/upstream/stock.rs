use core::time::Duration;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::time::sleep;

use super::connection::Connection;

/// How many connections are held open for a next request, at most: used before, and unused.
const MAX_KEPT: usize = 128;
pub(super) const MAX_UNUSED: usize = 8;
/// How often those are dropped that are too old.
const SWEEP: Duration = Duration::from_millis(250);

/// Connections on which nothing is under way.
#[derive(Debug, Default)]
pub(super) struct Stock(Mutex<Shelf>);

#[derive(Debug, Default)]
struct Shelf {
    /// The latest last.
    connections: Vec<Connection>,
    is_swept: bool,
}

impl Stock {
    /// A connection, used before if there is such a one: the latest.
    pub(super) fn any(&self) -> Option<Connection> {
        let mut shelf = self.shelf();
        shelf.take(|connection| !connection.is_unused()).or_else(|| shelf.take(|_| true))
    }

    /// A connection that was opened a moment ago, and for nothing yet.
    pub(super) fn unused(&self) -> Option<Connection> {
        self.shelf().take(Connection::is_unused)
    }

    /// Whether there is a connection that was opened a moment ago, and for nothing yet.
    pub(super) fn has_unused(&self) -> bool {
        let shelf = self.shelf();
        let mut good = shelf.connections.iter().filter(|connection| connection.is_good());
        good.any(Connection::is_unused)
    }

    /// Whether no more connections are to be opened ahead.
    pub(super) fn has_enough(&self) -> bool {
        self.shelf().count(true) >= MAX_UNUSED
    }

    /// Closes all of them.
    pub(super) fn clear(&self) {
        self.shelf().connections.clear();
    }

    pub(super) fn put(self: &Arc<Self>, connection: Connection) {
        let mut shelf = self.shelf();
        let is_unused = connection.is_unused();
        let most = if is_unused { MAX_UNUSED } else { MAX_KEPT };
        if shelf.count(is_unused) >= most {
            return;
        }
        shelf.connections.push(connection);
        if !shelf.is_swept {
            shelf.is_swept = true;
            tokio::spawn(sweep(Arc::downgrade(self)));
        }
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        // Nothing that is done with it can panic half-way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shelf {
    fn take(&mut self, is_wanted: impl Fn(&Connection) -> bool) -> Option<Connection> {
        self.connections.retain(Connection::is_good);
        let index = self.connections.iter().rposition(is_wanted)?;
        Some(self.connections.remove(index))
    }

    fn count(&mut self, is_unused: bool) -> usize {
        self.connections.retain(Connection::is_good);
        let same = |connection: &&Connection| connection.is_unused() == is_unused;
        self.connections.iter().filter(same).count()
    }
}

/// Drops what is too old, for as long as there is anything.
async fn sweep(stock: Weak<Stock>) {
    loop {
        sleep(SWEEP).await;
        let Some(stock) = stock.upgrade() else { return };
        let mut shelf = stock.shelf();
        shelf.connections.retain(Connection::is_good);
        if shelf.connections.is_empty() {
            shelf.is_swept = false;
            return;
        }
    }
}
