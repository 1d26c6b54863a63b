use x402_core::{Address, ChainId};

use super::seal::{self, Fields, Kind, Writer};
use super::{TokenError, TokenKey};

/// With whom a balance is, and in what.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Account {
    /// The chain of the asset.
    pub chain_id: ChainId,
    /// The token's contract.
    pub asset: Address,
    /// The seller's address that was paid.
    pub seller: Address,
}

/// Whose a balance is that is kept elsewhere: what is in it, the token does not say.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct CreditToken {
    /// Who has paid.
    pub payer: Address,
    /// With whom, and in what.
    pub account: Account,
    /// Which of the payer's balances it is. One that is made of the payment is the same when that is
    /// presented again.
    pub id: [u8; 16],
}

impl CreditToken {
    /// How long a token is, in bytes.
    pub const TOKEN_LEN: usize = seal::token_len(Self::LEN);
    const LEN: usize = 20 + 8 + 20 + 20 + 16;

    /// The token, which [`Self::verify`] takes.
    #[must_use]
    pub fn sign(&self, key: &TokenKey) -> String {
        let mut out = Writer::new(Kind::Credit);
        out.bytes(self.payer.as_bytes());
        out.bytes(&self.account.chain_id.get().to_be_bytes());
        out.bytes(self.account.asset.as_bytes());
        out.bytes(self.account.seller.as_bytes());
        out.bytes(&self.id);
        out.seal(key)
    }

    /// Reads a token of a balance with this seller, in this asset. It does not end by itself.
    ///
    /// # Errors
    ///
    /// [`TokenError::Malformed`], [`TokenError::Forged`] and [`TokenError::OtherAccount`], in this
    /// order.
    pub fn verify(token: &str, key: &TokenKey, account: &Account) -> Result<Self, TokenError> {
        let bytes = seal::open(Kind::Credit, Self::LEN, token, key)?;
        let credit = Self::read(&mut Fields::new(&bytes)).ok_or(TokenError::Malformed)?;
        if credit.account == *account { Ok(credit) } else { Err(TokenError::OtherAccount) }
    }

    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        Some(Self {
            payer: Address::new(fields.next()?),
            account: Account {
                chain_id: ChainId::new(fields.number()?),
                asset: Address::new(fields.next()?),
                seller: Address::new(fields.next()?),
            },
            id: fields.next()?,
        })
    }
}
