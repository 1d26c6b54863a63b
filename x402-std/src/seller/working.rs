use core::time::Duration;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, sleep};
use x402_core::PaymentId;

use crate::ledger::{Ledger, LedgerError, Owner};

/// How long, in seconds, a lease runs that nobody renews: for so long the payments wait that a
/// process was busy with when it crashed.
const LEASE_SECONDS: u32 = 30;
/// Two renewals may fail before the lease runs out.
const RENEW_EVERY: Duration = Duration::from_secs(LEASE_SECONDS as u64 / 3);
/// For how long those are waited for who are busy with a payment.
const LONGEST_TURN: Duration = Duration::from_secs(5);
/// How soon it is looked whether they have ended; the pause doubles, for another process's lease is looked for
/// in the ledger.
const FIRST_LOOK: Duration = Duration::from_millis(10);

/// The payments that somebody is busy with: one task each, of all processes that share the ledger.
///
/// In this process a table says so; against the others there is a lease, which is this seller's and
/// not the task's. So a payment stays in the table until its lease is given back: whoever takes it up
/// next waits for that, and is not robbed of the lease by the predecessor.
#[derive(Debug, Default)]
pub(super) struct Working {
    table: Table,
    owner: OnceLock<Owner>,
}

#[derive(Clone, Debug, Default)]
struct Table(Arc<Mutex<Places>>);

#[derive(Debug, Default)]
struct Places {
    held: HashMap<PaymentId, Held>,
    /// Who waits for their turn with these comes before whoever asks.
    wanted: HashSet<PaymentId>,
}

#[derive(Debug)]
enum Held {
    /// Somebody works on it.
    Busy,
    /// Nobody does any more, and its lease is being given back: until the channel closes.
    Leaving(watch::Receiver<()>),
}

impl Working {
    /// Takes a payment up; `None` where somebody has, here or in another process.
    pub(super) async fn enter(
        &self,
        ledger: &Arc<dyn Ledger>,
        id: PaymentId,
    ) -> Result<Option<Guard>, LedgerError> {
        if self.table.lock().wanted.contains(&id) {
            return Ok(None);
        }
        self.enter_in_turn(ledger, id).await
    }

    /// As [`Self::enter`], before whoever else would from now on: waits for those that are busy with it,
    /// for a while at most. Who asks this process for a payment again and again cannot keep it busy.
    pub(super) async fn enter_next(
        &self,
        ledger: &Arc<dyn Ledger>,
        id: PaymentId,
    ) -> Result<Option<Guard>, LedgerError> {
        let _wanted = self.table.want(id);
        let (deadline, mut pause) = (Instant::now() + LONGEST_TURN, FIRST_LOOK);
        loop {
            let entered = self.enter_in_turn(ledger, id).await?;
            if entered.is_some() || Instant::now() >= deadline {
                return Ok(entered);
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_TURN / 16);
        }
    }

    async fn enter_in_turn(
        &self,
        ledger: &Arc<dyn Ledger>,
        id: PaymentId,
    ) -> Result<Option<Guard>, LedgerError> {
        let Some(place) = self.table.enter(id).await else { return Ok(None) };
        let owner = self.owner()?;
        let is_leased = ledger.lease(id, owner, LEASE_SECONDS).await?;
        Ok(is_leased.then(|| Guard::new(place, Arc::clone(ledger), owner)))
    }

    /// Whether somebody in this process works on a payment.
    pub(super) fn is_busy(&self, id: PaymentId) -> bool {
        self.table.lock().held.contains_key(&id)
    }

    /// Drawn when it is needed: making a seller does not fail.
    fn owner(&self) -> Result<Owner, LedgerError> {
        if let Some(owner) = self.owner.get() {
            return Ok(*owner);
        }
        let drawn = Owner::random()?;
        Ok(*self.owner.get_or_init(|| drawn))
    }
}

impl Table {
    async fn enter(&self, id: PaymentId) -> Option<Place> {
        loop {
            let mut left = {
                let held = &mut self.lock().held;
                match held.get(&id) {
                    None => {
                        held.insert(id, Held::Busy);
                        let (left, _) = watch::channel(());
                        return Some(Place { table: self.clone(), id, left });
                    }
                    Some(Held::Busy) => return None,
                    Some(Held::Leaving(left)) => left.clone(),
                }
            };
            // Nothing is ever sent: it ends when the place is given up.
            let _ = left.changed().await;
        }
    }

    /// Nobody else enters from now on until this is dropped; `None` where somebody waits already.
    fn want(&self, id: PaymentId) -> Option<Wanted> {
        self.lock().wanted.insert(id).then(|| Wanted { table: self.clone(), id })
    }

    fn lock(&self) -> MutexGuard<'_, Places> {
        // Every change is one insertion or removal: the table is whole whatever panicked.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Somebody waits for a payment.
struct Wanted {
    table: Table,
    id: PaymentId,
}

impl Drop for Wanted {
    fn drop(&mut self) {
        self.table.lock().wanted.remove(&self.id);
    }
}

/// A payment's place in the table, given up when dropped.
#[derive(Debug)]
struct Place {
    table: Table,
    id: PaymentId,
    /// Closes once the place is given up: fields are dropped after [`Drop::drop`].
    left: watch::Sender<()>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.table.lock().held.remove(&self.id);
    }
}

/// Lets go of a payment when dropped.
#[derive(Debug)]
pub(super) struct Guard {
    table: Table,
    id: PaymentId,
    left: watch::Receiver<()>,
    /// Tells the keeper by being dropped.
    _stop: oneshot::Sender<()>,
}

impl Guard {
    /// Has the lease kept until the guard is dropped.
    fn new(place: Place, ledger: Arc<dyn Ledger>, owner: Owner) -> Self {
        let (stop, stopped) = oneshot::channel();
        let (table, id, left) = (place.table.clone(), place.id, place.left.subscribe());
        tokio::spawn(keep(place, ledger, owner, stopped));
        Self { table, id, left, _stop: stop }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let mut table = self.table.lock();
        // With a keeper that was stopped before its time, the place is gone, or another's.
        if self.left.has_changed().is_ok()
            && let Some(held) = table.held.get_mut(&self.id)
        {
            *held = Held::Leaving(self.left.clone());
        }
    }
}

/// Renews the lease until told to stop, gives it back, and then gives up the place.
async fn keep(
    place: Place,
    ledger: Arc<dyn Ledger>,
    owner: Owner,
    mut stopped: oneshot::Receiver<()>,
) {
    let id = place.id;
    while tokio::time::timeout(RENEW_EVERY, &mut stopped).await.is_err() {
        match ledger.lease(id, owner, LEASE_SECONDS).await {
            Ok(true) => {}
            Ok(false) => {
                tracing::error!(payment = %id, "the lease ran out, and another process has it");
            }
            Err(error) => tracing::warn!(payment = %id, %error, "the lease is not renewed"),
        }
    }
    if let Err(error) = ledger.release_lease(id, owner).await {
        tracing::warn!(payment = %id, %error, "the lease is not given back: it has to run out");
    }
}
