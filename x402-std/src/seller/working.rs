use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use x402_core::PaymentId;

/// The payments that somebody in this process is busy with: one task each.
#[derive(Clone, Debug, Default)]
pub(super) struct Working(Arc<Mutex<HashSet<PaymentId>>>);

impl Working {
    /// Takes a payment up; `None` where somebody has.
    pub(super) fn enter(&self, id: PaymentId) -> Option<Guard> {
        self.lock().insert(id).then(|| Guard { working: self.clone(), id })
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<PaymentId>> {
        // A set is whole whatever panicked while it was locked.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lets go of a payment when dropped.
#[derive(Debug)]
pub(super) struct Guard {
    working: Working,
    id: PaymentId,
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.working.lock().remove(&self.id);
    }
}
