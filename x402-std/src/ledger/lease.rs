use core::fmt;

use x402_core::hex::Hex;

use super::LedgerError;

/// Who holds a lease: a seller, by a number that no other has.
#[derive(Clone, Copy, Eq, PartialEq)]
pub struct Owner(pub [u8; 16]);

impl Owner {
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
}

impl fmt::Debug for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Hex(&self.0).fmt(f)
    }
}
