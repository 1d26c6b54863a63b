use x402_core::{Address, ChainId};

use super::seal::{self, Fields, Kind, Writer};
use super::{TokenError, TokenKeys};
use crate::ledger::CreditAccount;

/// Whose a balance is that the seller's [ledger](crate::Ledger) keeps: what is in it, the token does not
/// say.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct CreditToken {
    /// Which balance it is.
    pub account: CreditAccount,
    /// How often its names had been replaced when this one was made
    /// ([`CreditNames::generation`](crate::ledger::CreditNames::generation)).
    pub generation: u64,
    /// When it was made, in seconds since 1970.
    pub made_at: u64,
}

impl CreditToken {
    /// How long a token is, in bytes.
    pub const TOKEN_LEN: usize = seal::token_len(Self::LEN);
    const LEN: usize = CreditAccount::LEN + 8 + 8;

    /// The token, which [`Self::verify`] takes.
    #[must_use]
    pub fn sign(&self, keys: &TokenKeys) -> String {
        let mut out = Writer::new(Kind::Credit);
        out.bytes(&self.account.to_bytes());
        out.bytes(&self.generation.to_be_bytes());
        out.bytes(&self.made_at.to_be_bytes());
        out.seal(keys)
    }

    /// Reads a token of a balance with this seller, in this asset. Whether it was replaced meanwhile, the
    /// ledger knows; for how long it is good, the seller ([`Self::is_older_than`]).
    ///
    /// # Errors
    ///
    /// [`TokenError::Malformed`], [`TokenError::Forged`] and [`TokenError::OtherAccount`], in this
    /// order.
    pub fn verify(
        token: &str,
        keys: &TokenKeys,
        chain_id: ChainId,
        asset: Address,
        seller: Address,
    ) -> Result<Self, TokenError> {
        let bytes = seal::open(Kind::Credit, Self::LEN, token, keys)?;
        let token = Self::read(&mut Fields::new(&bytes)).ok_or(TokenError::Malformed)?;
        let account = token.account;
        let is_expected =
            account == CreditAccount { payer: account.payer, chain_id, asset, seller };
        if is_expected { Ok(token) } else { Err(TokenError::OtherAccount) }
    }

    /// Whether it was made more than `seconds` before `now`, in seconds since 1970.
    #[must_use]
    pub const fn is_older_than(&self, seconds: u64, now: u64) -> bool {
        now.saturating_sub(self.made_at) > seconds
    }

    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let account = CreditAccount::from_bytes(&fields.next()?);
        Some(Self { account, generation: fields.number()?, made_at: fields.number()? })
    }
}
