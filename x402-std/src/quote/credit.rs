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
}

impl CreditToken {
    /// How long a token is, in bytes.
    pub const TOKEN_LEN: usize = seal::token_len(CreditAccount::LEN);

    /// The token, which [`Self::verify`] takes.
    #[must_use]
    pub fn sign(&self, keys: &TokenKeys) -> String {
        let mut out = Writer::new(Kind::Credit);
        out.bytes(&self.account.to_bytes());
        out.seal(keys)
    }

    /// Reads a token of a balance with this seller, in this asset. It does not end by itself.
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
        let bytes = seal::open(Kind::Credit, CreditAccount::LEN, token, keys)?;
        let account = Fields::new(&bytes).next().ok_or(TokenError::Malformed)?;
        let account = CreditAccount::from_bytes(&account);
        let is_expected =
            account == CreditAccount { payer: account.payer, chain_id, asset, seller };
        if is_expected { Ok(Self { account }) } else { Err(TokenError::OtherAccount) }
    }
}
