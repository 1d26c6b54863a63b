//! What is forgotten of payments, and when.

use redb::ReadableTable as _;
use x402_core::PaymentId;

use super::{Key, SWEEP_AGAIN_SECONDS, SWEEP_ROWS, Tables, storage};
use crate::ledger::LedgerError;

impl Tables<'_> {
    /// Forgets a few of the payments whose time is over.
    pub(super) fn sweep(&mut self, now: u64) -> Result<(), LedgerError> {
        const FIRST: Key = &[0; PaymentId::LEN];
        let mut due = Vec::new();
        for row in self.due.range(..(now, FIRST)).map_err(storage)?.take(SWEEP_ROWS) {
            let (row, ()) = row.map(|(row, value)| (row, value.value())).map_err(storage)?;
            let (time, key) = row.value();
            due.push((time, *key));
        }
        due.into_iter().try_for_each(|(time, key)| self.forget_if_over(time, &key, now))
    }

    fn forget_if_over(
        &mut self,
        time: u64,
        key: &[u8; PaymentId::LEN],
        now: u64,
    ) -> Result<(), LedgerError> {
        self.due.remove((time, key)).map_err(storage)?;
        let again = match self.entry(key) {
            // Released, and the row was left over.
            Ok(None) => return Ok(()),
            Ok(Some(entry)) if entry.is_over(now) => return self.remove(key, time, &entry),
            Ok(Some(entry)) if entry.keep_until() >= now => entry.keep_until(),
            // It is open, or paid and not served.
            Ok(Some(_)) => now.saturating_add(SWEEP_AGAIN_SECONDS),
            // One damaged entry must not stop all other payments.
            Err(LedgerError::Corrupt) => now.saturating_add(SWEEP_AGAIN_SECONDS),
            Err(error) => return Err(error),
        };
        self.due.insert((again, key), ()).map_err(storage)?;
        Ok(())
    }
}
