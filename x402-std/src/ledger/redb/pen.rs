//! One writes, for all: changes that are asked for at the same time share a transaction, and so the wait
//! for the disk.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use redb::Database;
use tokio::sync::oneshot;

use super::{Tables, begin, storage};
use crate::ledger::LedgerError;

/// How many changes share a transaction at most: none of them is known to be safe before all are.
const MOST: usize = 256;

/// Makes a change to the tables; then tells whoever asked for it, once it is known whether it is safe.
type Change = Box<dyn FnOnce(&mut Tables<'_>) -> Made + Send>;
type Tell = Box<dyn FnOnce(Result<(), &LedgerError>) + Send>;

/// A change that was made, and is not safe yet.
struct Made {
    tell: Tell,
    /// Part of it may be in the tables, and not all.
    is_torn: bool,
}

/// The one who writes, in a thread of its own.
pub(super) struct Pen {
    /// Taken by [`Drop`].
    changes: Option<Sender<Change>>,
    thread: Option<JoinHandle<()>>,
}

impl Pen {
    pub(super) fn new(database: Arc<Database>) -> Result<Self, LedgerError> {
        let (changes, wanted) = channel();
        let thread = std::thread::Builder::new().name("x402-ledger".into());
        let thread = thread.spawn(move || write_all(&database, &wanted));
        let thread = thread.map_err(|error| LedgerError::Storage(error.to_string()))?;
        Ok(Self { changes: Some(changes), thread: Some(thread) })
    }

    /// Makes a change, safe on disk when this returns. Where it fails by any other error than
    /// [`LedgerError::Storage`], it must have written nothing: others are in the same transaction.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut Tables<'_>) -> Result<T, LedgerError> + Send + 'static,
    ) -> Result<T, LedgerError> {
        let (tell, told) = oneshot::channel();
        let change: Change = Box::new(move |tables| {
            let result = change(tables);
            let is_torn = matches!(result, Err(LedgerError::Storage(_)));
            let tell = Box::new(move |safe: Result<(), &LedgerError>| {
                let failed = |error: &LedgerError| LedgerError::Storage(error.to_string());
                // Whoever asked may be gone: the change stands all the same.
                drop(tell.send(safe.map_err(failed).and(result)));
            });
            Made { tell, is_torn }
        });
        let gone = || LedgerError::Storage("the ledger's writer is gone".into());
        let changes = self.changes.as_ref().ok_or_else(gone)?;
        changes.send(change).map_err(|_| gone())?;
        told.await.map_err(|_| gone())?
    }
}

impl Drop for Pen {
    fn drop(&mut self) {
        drop(self.changes.take());
        if let Some(thread) = self.thread.take() {
            // When this returns the file is nobody's. A panic was told to those whom it concerned.
            drop(thread.join());
        }
    }
}

fn write_all(database: &Database, wanted: &Receiver<Change>) {
    while let Ok(first) = wanted.recv() {
        let changes: Vec<_> = core::iter::once(first).chain(wanted.try_iter()).take(MOST).collect();
        // A page that is damaged makes the library panic; those who wait are told by its end.
        let written = catch_unwind(AssertUnwindSafe(|| write(database, changes)));
        if written.is_err() {
            tracing::error!("the ledger is damaged");
        }
    }
}

/// Makes all of these changes, or none of them.
fn write(database: &Database, changes: Vec<Change>) {
    let mut made = Vec::with_capacity(changes.len());
    let safe = try_write(database, changes, &mut made);
    for tell in made {
        tell(safe.as_ref().copied());
    }
}

fn try_write(
    database: &Database,
    changes: Vec<Change>,
    made: &mut Vec<Tell>,
) -> Result<(), LedgerError> {
    let writing = begin(database)?;
    let mut tables = Tables::open(&writing)?;
    let mut is_torn = false;
    for change in changes {
        let Made { tell, is_torn: torn } = change(&mut tables);
        made.push(tell);
        is_torn |= torn;
    }
    drop(tables);
    if is_torn {
        // Dropped without a commit, a transaction leaves nothing behind.
        return Err(LedgerError::Storage("a change of the same transaction failed".into()));
    }
    writing.commit().map_err(storage)
}
