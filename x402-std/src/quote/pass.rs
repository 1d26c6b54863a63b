use x402_core::Address;

use super::seal::{self, Fields, Kind, Writer};
use super::{RouteHash, TokenError, TokenKey};

/// That a payer has paid for a route for some time.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Pass {
    /// Who has paid.
    pub payer: Address,
    /// For which route.
    pub route: RouteHash,
    /// When it ends, in seconds since 1970.
    pub until: u64,
}

impl Pass {
    /// How long a token is, in bytes.
    pub const TOKEN_LEN: usize = seal::token_len(Self::LEN);
    const LEN: usize = 20 + 32 + 8;

    /// The token, which [`Self::verify`] takes.
    #[must_use]
    pub fn sign(&self, key: &TokenKey) -> String {
        let mut out = Writer::new(Kind::Pass);
        out.bytes(self.payer.as_bytes());
        out.bytes(self.route.as_bytes());
        out.bytes(&self.until.to_be_bytes());
        out.seal(key)
    }

    /// Reads a token that is good for this route at `now`, in seconds since 1970. It serves its
    /// payer as often as it is shown; that payer is who the request comes from.
    ///
    /// # Errors
    ///
    /// [`TokenError::Malformed`], [`TokenError::Forged`], [`TokenError::Expired`] from `until` on,
    /// and [`TokenError::OtherRoute`], in this order.
    pub fn verify(
        token: &str,
        key: &TokenKey,
        route: &RouteHash,
        now: u64,
    ) -> Result<Self, TokenError> {
        let bytes = seal::open(Kind::Pass, Self::LEN, token, key)?;
        let pass = Self::read(&mut Fields::new(&bytes)).ok_or(TokenError::Malformed)?;
        match pass {
            _ if now >= pass.until => Err(TokenError::Expired),
            _ if pass.route != *route => Err(TokenError::OtherRoute),
            _ => Ok(pass),
        }
    }

    /// How long it is still good, in seconds.
    #[must_use]
    pub const fn remaining(&self, now: u64) -> u64 {
        self.until.saturating_sub(now)
    }

    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        Some(Self {
            payer: Address::new(fields.next()?),
            route: RouteHash::from_bytes(fields.next()?),
            until: fields.number()?,
        })
    }
}
