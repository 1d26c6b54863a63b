//! One writes, for all: changes that are asked for at the same time share a transaction, and so the wait
//! for the disk. Or each is written where it is asked for.

use core::time::Duration;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;

use redb::{Database, Durability};
use tokio::sync::oneshot;

use super::{Tables, begin, storage};
use crate::ledger::LedgerError;

/// How many changes share a transaction at most: none of them is known to be safe before all are.
const MOST: usize = 256;

/// After how long what is to be on disk some time is there, where nothing else is written.
const SOON: Duration = Duration::from_millis(50);

/// When a change is on disk.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum OnDisk {
    /// When its call returns.
    Now,
    /// With the next change that is on disk, and soon at the latest: for what can be done again, or
    /// asked for again, should it be lost. Whoever reads sees it at once.
    Soon,
}

/// Makes a change to the tables; then tells whoever asked for it, once it is known whether it is safe.
type Make = Box<dyn FnOnce(&mut Tables<'_>) -> Made + Send>;
type Tell = Box<dyn FnOnce(Result<(), &LedgerError>) + Send>;

/// A change that is asked for.
struct Change {
    make: Make,
    on_disk: OnDisk,
}

/// A change that was made, and is not safe yet.
struct Made {
    tell: Tell,
    /// Part of it may be in the tables, and not all.
    is_torn: bool,
}

/// Who writes.
pub(super) enum Pen {
    Thread(Writer),
    /// Whoever asks, in its own thread.
    Caller(Arc<Database>),
}

/// One who writes in a thread of its own.
pub(super) struct Writer {
    /// Taken by [`Drop`].
    changes: Option<Sender<Change>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    fn new(database: Arc<Database>) -> Result<Self, LedgerError> {
        let (changes, wanted) = channel();
        let thread = std::thread::Builder::new().name("x402-ledger".into());
        let thread = thread.spawn(move || write_all(&database, &wanted));
        let thread = thread.map_err(|error| LedgerError::Storage(error.to_string()))?;
        Ok(Self { changes: Some(changes), thread: Some(thread) })
    }
}

impl Pen {
    pub(super) fn in_a_thread(database: Arc<Database>) -> Result<Self, LedgerError> {
        Writer::new(database).map(Self::Thread)
    }

    /// Makes a change, and returns when it is as safe as it is to be. Where it fails by any other error than
    /// [`LedgerError::Storage`], what it has written stays: others are in the same transaction.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        on_disk: OnDisk,
        change: impl FnOnce(&mut Tables<'_>) -> Result<T, LedgerError> + Send + 'static,
    ) -> Result<T, LedgerError> {
        let (tell, told) = oneshot::channel();
        let make: Make = Box::new(move |tables| {
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
        let change = Change { make, on_disk };
        match self {
            Self::Thread(writer) => {
                let changes = writer.changes.as_ref().ok_or_else(gone)?;
                changes.send(change).map_err(|_| gone())?;
            }
            Self::Caller(database) => write(database, vec![change], on_disk),
        }
        told.await.map_err(|_| gone())?
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.changes.take());
        if let Some(thread) = self.thread.take() {
            // When this returns the file is nobody's. A panic was told to those whom it concerned.
            drop(thread.join());
        }
    }
}

fn write_all(database: &Database, wanted: &Receiver<Change>) {
    let mut is_on_disk = true;
    loop {
        let first = match is_on_disk {
            true => wanted.recv().map_err(|_| RecvTimeoutError::Disconnected),
            false => wanted.recv_timeout(SOON),
        };
        let is_idle = first.is_err();
        let is_over = matches!(first, Err(RecvTimeoutError::Disconnected));
        let changes: Vec<_> = first.into_iter().chain(wanted.try_iter()).take(MOST).collect();
        // Of one payment's there is one at a time: those that wait for no disk come first.
        let is_soon = |change: &Change| change.on_disk == OnDisk::Soon;
        let (soon, now): (Vec<_>, Vec<_>) = changes.into_iter().partition(is_soon);
        if !soon.is_empty() {
            write(database, soon, OnDisk::Soon);
            is_on_disk = false;
        }
        // One without changes takes what came before it to the disk.
        if !now.is_empty() || (is_idle && !is_on_disk) {
            write(database, now, OnDisk::Now);
            is_on_disk = true;
        }
        if is_over {
            return;
        }
    }
}

/// Makes all of these changes, or none of them.
fn write(database: &Database, changes: Vec<Change>, on_disk: OnDisk) {
    // A page that is damaged makes the library panic; those who wait are told by its end.
    let written = catch_unwind(AssertUnwindSafe(|| {
        let mut made = Vec::with_capacity(changes.len());
        let safe = try_write(database, changes, on_disk, &mut made);
        if let Err(error) = &safe {
            // What was there before may not be on disk yet, and whoever asked for that is not told here.
            tracing::error!(%error, "the ledger is not written");
        }
        for tell in made {
            tell(safe.as_ref().copied());
        }
    }));
    if written.is_err() {
        tracing::error!("the ledger is damaged");
    }
}

fn try_write(
    database: &Database,
    changes: Vec<Change>,
    on_disk: OnDisk,
    made: &mut Vec<Tell>,
) -> Result<(), LedgerError> {
    let mut writing = begin(database)?;
    if on_disk == OnDisk::Soon {
        writing.set_durability(Durability::None).map_err(storage)?;
    }
    let mut tables = Tables::open(&writing)?;
    let mut is_torn = false;
    for Change { make, .. } in changes {
        let Made { tell, is_torn: torn } = make(&mut tables);
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
