//! Which names of a balance are good, and what more a draw needs.

use super::{CreditAccount, LedgerError};
use crate::BoxFuture;

/// What a draw needs beside the name of the balance.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum DrawRule {
    /// Nothing: whoever has the name draws.
    #[default]
    Name,
    /// A signature of the payer's, for each draw.
    Signature,
}

/// What holds for the names of a balance.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct CreditNames {
    /// How often they were replaced: a name says when it was made, in this count, and is good as long as it
    /// is the same.
    pub generation: u64,
    /// What a draw needs.
    pub rule: DrawRule,
    /// The time of the last proof of the payer's by which they were replaced, in Unix seconds: a proof is
    /// good once.
    pub proved_at: u64,
}

/// That the names of a balance are replaced.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct Renewal {
    /// What draws need from now on; `None` for what they need already.
    pub rule: Option<DrawRule>,
    /// The time of the payer's proof, in Unix seconds; `None` where it is the operator who replaces them.
    pub proved_at: Option<u64>,
}

/// The part of a [`Ledger`](super::Ledger) that knows which names of balances are good. It is kept beside
/// the balances, and for longer: a balance that is used up and grows again has the same names.
pub trait NameLedger: Send + Sync + 'static {
    /// What holds for the names of a balance.
    ///
    /// # Errors
    ///
    /// The storage's own failure.
    fn credit_names(
        &self,
        account: CreditAccount,
    ) -> BoxFuture<'_, Result<CreditNames, LedgerError>>;

    /// Replaces the names of a balance: those that were made before are good no more. Nothing else changes:
    /// neither the balance nor what is held of it. Returns once the change is safe. Of several at once each
    /// is given another generation.
    ///
    /// # Errors
    ///
    /// [`LedgerError::Outdated`] for a proof that is not later than the last, [`LedgerError::Overflow`], or
    /// the storage's own failure; in each case nothing has changed, unless the storage does not know.
    fn renew_names(
        &self,
        account: CreditAccount,
        renewal: Renewal,
    ) -> BoxFuture<'_, Result<CreditNames, LedgerError>>;
}

impl CreditNames {
    /// What holds after them.
    ///
    /// # Errors
    ///
    /// [`LedgerError::Outdated`] and [`LedgerError::Overflow`].
    pub fn after(self, renewal: Renewal) -> Result<Self, LedgerError> {
        let Renewal { rule, proved_at } = renewal;
        if proved_at.is_some_and(|time| time <= self.proved_at) {
            return Err(LedgerError::Outdated);
        }
        Ok(Self {
            generation: self.generation.checked_add(1).ok_or(LedgerError::Overflow)?,
            rule: rule.unwrap_or(self.rule),
            proved_at: proved_at.unwrap_or(self.proved_at),
        })
    }
}

#[cfg(any(feature = "postgres", feature = "redb", feature = "redis"))]
impl CreditNames {
    /// How long it is as bytes.
    pub(super) const LEN: usize = 8 + 8 + 1;

    /// generation (8, big-endian) || proved at (8, big-endian) || rule (1: 0 name, 1 signature)
    pub(super) fn to_bytes(self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        let rule = match self.rule {
            DrawRule::Name => 0,
            DrawRule::Signature => 1,
        };
        let numbers = [self.generation, self.proved_at].map(u64::to_be_bytes);
        let fields = numbers.iter().flatten().chain([&rule]);
        bytes.iter_mut().zip(fields).for_each(|(slot, byte)| *slot = *byte);
        bytes
    }

    /// Reads [`Self::to_bytes`].
    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Self, LedgerError> {
        let corrupt = || LedgerError::Corrupt;
        let (generation, rest) = bytes.split_first_chunk().ok_or_else(corrupt)?;
        let (proved_at, rest) = rest.split_first_chunk().ok_or_else(corrupt)?;
        let rule = match rest {
            [0] => DrawRule::Name,
            [1] => DrawRule::Signature,
            _ => return Err(corrupt()),
        };
        let [generation, proved_at] = [generation, proved_at].map(|n| u64::from_be_bytes(*n));
        Ok(Self { generation, rule, proved_at })
    }
}

#[cfg(all(test, any(feature = "postgres", feature = "redb", feature = "redis")))]
mod tests {
    use super::*;

    #[test]
    fn what_holds_is_the_same_in_bytes() {
        for (rule, byte) in [(DrawRule::Name, 0), (DrawRule::Signature, 1)] {
            let names = CreditNames { generation: 0x0102, rule, proved_at: u64::MAX };
            let bytes = names.to_bytes();
            assert_eq!(bytes[..8], [0, 0, 0, 0, 0, 0, 1, 2]);
            assert_eq!((&bytes[8..16], bytes[16]), (&[0xff; 8][..], byte));
            assert_eq!(CreditNames::from_bytes(&bytes).unwrap(), names);
            for wrong in [&bytes[..16], &[&bytes[..16], &[2][..]].concat(), &[]] {
                let read = CreditNames::from_bytes(wrong);
                assert!(matches!(read, Err(LedgerError::Corrupt)), "{wrong:?}");
            }
        }
    }
}
