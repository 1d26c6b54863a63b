//! Where the ledger is, between the seller's lives: in memory that survives them, or in a file on a disk.
//!
//! I9: what the ledger has said is on the disk is there after a crash, whatever else is; and of a change that
//! the disk broke off, all or nothing is.

use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use tokio::time::sleep;
use x402_core::PaymentId;
use x402_core::state::State;
use x402_std::ledger::{Conclusion, Draw, DrawId, DrawState, Drawing, Entry, Ledger, MemoryLedger};
use x402_std::ledger::{RedbLedger, Step};

use crate::books::Change;
use crate::platter::Platter;
use crate::world::{Shared, index_of, lock};

/// The ledger, and what is known of it.
pub(crate) struct Store {
    world: Shared,
    now: Mutex<Arc<dyn Ledger>>,
    /// Where it is in a file.
    pub(crate) file: Option<Arc<File>>,
}

/// A ledger in a file, and what has to be in it.
pub(crate) struct File {
    pub(crate) platter: Platter,
    promised: Mutex<Promised>,
}

#[derive(Default)]
struct Promised {
    /// What each payment's entry is, as the ledger has said.
    entries: BTreeMap<PaymentId, Option<Entry>>,
    /// What it was when something was on the disk last: that, or what the ledger has said since, is there.
    on_disk: BTreeMap<PaymentId, Option<Entry>>,
    /// The change during which the disk broke.
    doubt: Option<Doubt>,
}

/// A change of which nobody was told whether it was made.
pub(crate) enum Doubt {
    Payment { id: PaymentId, before: Box<Option<Entry>>, change: Change, is_sent: bool },
    Draw(Draw),
    Conclusion(DrawId, Conclusion),
}

impl Promised {
    /// All of it is on the disk.
    fn write(&mut self) {
        self.on_disk.clone_from(&self.entries);
    }
}

impl File {
    /// A payment's entry is this now; with `is_soon` that need not be on the disk yet.
    pub(crate) fn promise(&self, id: PaymentId, entry: Option<Entry>, is_soon: bool) {
        let mut promised = self.promised.lock().unwrap();
        promised.entries.insert(id, entry);
        // What was changed before something that is on the disk is there with it.
        if !is_soon {
            promised.write();
        }
    }

    /// Something else is on the disk.
    pub(crate) fn promise_others(&self) {
        self.promised.lock().unwrap().write();
    }

    /// A change has failed: it is in doubt if the disk broke with it.
    pub(crate) fn doubt(&self, doubt: Doubt) {
        if self.platter.is_broken() {
            self.promised.lock().unwrap().doubt.get_or_insert(doubt);
        }
    }
}

impl Store {
    pub(crate) fn new(world: &Shared, never_syncs: bool) -> Self {
        let is_file = lock(world).weather.file > 0;
        let platter = Platter::new(never_syncs);
        let now: Arc<dyn Ledger> = match is_file {
            true => Arc::new(RedbLedger::over(platter.storage()).expect("a new disk")),
            false => Arc::new(MemoryLedger::new()),
        };
        let promised = Mutex::default();
        let file = is_file.then(|| Arc::new(File { platter, promised }));
        Self { world: Arc::clone(world), now: Mutex::new(now), file }
    }

    pub(crate) fn ledger(&self) -> Arc<dyn Ledger> {
        Arc::clone(&self.now.lock().unwrap())
    }

    /// Until the disk under the file fails: then the seller is started again, for the ledger does nothing more.
    pub(crate) async fn breaks(&self) {
        let Some(file) = &self.file else { return core::future::pending().await };
        while !file.platter.is_broken() {
            sleep(Duration::from_secs(1)).await;
        }
        lock(&self.world).counts.broken_disks += 1;
    }

    /// The seller has crashed, or was stopped.
    pub(crate) fn crash(&self) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        match &self.file {
            Some(file) => {
                self.open_again(file);
                runtime.block_on(self.look(file));
            }
            None => runtime.block_on(self.lose_claims()),
        }
    }

    fn open_again(&self, file: &File) {
        file.platter.cut(&mut lock(&self.world).random);
        lock(&self.world).counts.cuts += 1;
        match RedbLedger::over(file.platter.storage()) {
            Ok(ledger) => *self.now.lock().unwrap() = Arc::new(ledger),
            Err(error) => {
                lock(&self.world).violated(format!("I9: the ledger is not opened again: {error}"));
                *self.now.lock().unwrap() = Arc::new(MemoryLedger::new());
            }
        }
    }

    /// What was only claimed need not be on the disk when the seller crashes.
    async fn lose_claims(&self) {
        let ledger = self.ledger();
        let mut open = ledger.open_entries().await.unwrap();
        // The ledger has no order of its own.
        open.sort_by_key(|entry| index_of(*entry.id().nonce.as_bytes()));
        for entry in open.iter().filter(|entry| entry.state == State::Claimed) {
            if lock(&self.world).chance(500) {
                ledger.apply(entry.id(), Step::Refused).await.unwrap();
            }
        }
    }

    /// Whether everything is there, and what of that which was in doubt.
    async fn look(&self, file: &File) {
        let Promised { entries, on_disk, doubt } =
            std::mem::take(&mut *file.promised.lock().unwrap());
        let doubted = match &doubt {
            Some(Doubt::Payment { id, .. }) => Some(*id),
            _ => None,
        };
        let ledger = self.ledger();
        if let Some(doubt) = doubt {
            self.resolve(&*ledger, doubt, &on_disk).await;
        }
        for (id, promised) in entries {
            let found = ledger.find(id).await;
            let index = index_of(*id.nonce.as_bytes());
            let Ok(found) = found else {
                lock(&self.world).violated(format!("I9: payment {index} cannot be read"));
                continue;
            };
            let written = on_disk.get(&id).and_then(Option::as_ref);
            let is_right = [promised.as_ref(), written]
                .into_iter()
                .any(|right| text(found.as_ref()) == text(right));
            if !is_right && doubted != Some(id) {
                let what = format!("I9: payment {index} was {promised:?}, and is {found:?}");
                lock(&self.world).violated(what);
            }
            if found.as_ref().is_none_or(|entry| entry.settlement.is_none()) {
                lock(&self.world).books.payments[index].received = None;
            }
            file.promised.lock().unwrap().entries.insert(id, found);
        }
        file.promised.lock().unwrap().write();
        let draws: Vec<_> = lock(&self.world).books.draws().cloned().collect();
        for draw in draws {
            let found = ledger.find_draw(draw.id).await;
            if found.as_ref().ok() != Some(&Some(draw.clone())) {
                lock(&self.world).violated(format!("I9: the draw {draw:?} is {found:?}"));
            }
        }
    }

    /// Finds out what became of a change that the disk broke off, and tells the books.
    async fn resolve(
        &self,
        ledger: &dyn Ledger,
        doubt: Doubt,
        on_disk: &BTreeMap<PaymentId, Option<Entry>>,
    ) {
        match doubt {
            Doubt::Payment { id, before, change, is_sent } => {
                let now = text(ledger.find(id).await.ok().flatten().as_ref());
                // What came before it may be gone, too, where that need not have been on the disk.
                let written = on_disk.get(&id).and_then(Option::as_ref);
                tracing::debug!(
                    now,
                    before = text((*before).as_ref()),
                    written = text(written),
                    "in doubt"
                );
                if now != text((*before).as_ref()) && now != text(written) {
                    lock(&self.world).stepped(index_of(*id.nonce.as_bytes()), &change, is_sent);
                }
            }
            // What was there before is no doubt's.
            Doubt::Draw(draw) => {
                let is_new = lock(&self.world).books.draw(draw.id).is_none();
                if is_new && matches!(ledger.find_draw(draw.id).await, Ok(Some(_))) {
                    lock(&self.world).drawn(draw, &Drawing::New);
                }
            }
            Doubt::Conclusion(id, conclusion) => {
                let found = ledger.find_draw(id).await.ok().flatten();
                let is_held = |draw: &Draw| draw.state == DrawState::Held;
                let was_held = lock(&self.world).books.draw(id).is_some_and(is_held);
                if was_held && !found.is_some_and(|draw| is_held(&draw)) {
                    lock(&self.world).books.concluded(id, conclusion);
                }
            }
        }
    }
}

/// All of an entry, to be compared.
fn text(entry: Option<&Entry>) -> String {
    let raw = entry.and_then(|entry| entry.transaction.as_ref()).map(|sent| &sent.raw);
    format!("{entry:?} {raw:?}")
}
