use core::fmt;

use x402_core::hex::Hex;

use super::LedgerError;

/// Which ledger it is: a number that no other has, made by chance when it is asked for first, and kept in
/// it.
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
pub struct LedgerIdentity(pub [u8; 16]);

impl LedgerIdentity {
    /// A new one, by chance.
    ///
    /// # Errors
    ///
    /// [`LedgerError::Storage`] where the system has no random numbers.
    pub fn random() -> Result<Self, LedgerError> {
        let mut bytes = [0; 16];
        let filled = getrandom::fill(&mut bytes);
        filled.map_err(|error| LedgerError::Storage(format!("no random numbers: {error}")))?;
        Ok(Self(bytes))
    }

    /// Of what a ledger holds.
    #[cfg(any(feature = "postgres", feature = "redis"))]
    pub(super) fn read(bytes: &[u8]) -> Result<Self, LedgerError> {
        bytes.try_into().map(Self).map_err(|_| LedgerError::Corrupt)
    }
}

impl fmt::Display for LedgerIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Hex(&self.0).fmt(f)
    }
}

impl fmt::Debug for LedgerIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
