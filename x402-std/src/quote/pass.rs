use x402_core::{Address, Amount, ChainId, Offer};

use super::seal::{self, Fields, Kind, Writer};
use super::{RouteHash, TokenError, TokenKeys};

/// The unit that a pass has the price of: a minute. There is no other yet.
const MINUTE: u8 = 1;

/// That a payer has paid for a route for some time.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Pass {
    /// The chain of the asset.
    pub chain_id: ChainId,
    /// The contract of the token that was paid with.
    pub asset: Address,
    /// Whom it was paid to.
    pub pay_to: Address,
    /// For which route.
    pub route: RouteHash,
    /// What a minute cost, in atomic units. The time is paid for, whatever it costs by now.
    pub price: Amount,
    /// Who has paid.
    pub payer: Address,
    /// When it ends, in seconds since 1970.
    pub until: u64,
}

impl Pass {
    /// How long a token is, in bytes.
    pub const TOKEN_LEN: usize = seal::token_len(Self::LEN);
    const LEN: usize = 8 + 20 + 20 + 32 + 32 + 1 + 20 + 8;

    /// The token, which [`Self::verify`] takes.
    #[must_use]
    pub fn sign(&self, keys: &TokenKeys) -> String {
        let mut out = Writer::new(Kind::Pass);
        out.bytes(&self.chain_id.get().to_be_bytes());
        out.bytes(self.asset.as_bytes());
        out.bytes(self.pay_to.as_bytes());
        out.bytes(self.route.as_bytes());
        out.bytes(&self.price.to_be_bytes());
        out.bytes(&[MINUTE]);
        out.bytes(self.payer.as_bytes());
        out.bytes(&self.until.to_be_bytes());
        out.seal(keys)
    }

    /// Reads a token that is good for this route at `now`, in seconds since 1970. It serves its
    /// payer as often as it is shown; that payer is who the request comes from. For which offers it is,
    /// [`Self::is_for`] says.
    ///
    /// # Errors
    ///
    /// [`TokenError::Malformed`], [`TokenError::Forged`], [`TokenError::Expired`] from `until` on,
    /// and [`TokenError::OtherRoute`], in this order.
    pub fn verify(
        token: &str,
        keys: &TokenKeys,
        route: &RouteHash,
        now: u64,
    ) -> Result<Self, TokenError> {
        let bytes = seal::open(Kind::Pass, Self::LEN, token, keys)?;
        let pass = Self::read(&mut Fields::new(&bytes)).ok_or(TokenError::Malformed)?;
        match pass {
            _ if now >= pass.until => Err(TokenError::Expired),
            _ if pass.route != *route => Err(TokenError::OtherRoute),
            _ => Ok(pass),
        }
    }

    /// Whether an offer is to be paid in the same asset, to the same account, as the pass was.
    #[must_use]
    pub fn is_for(&self, offer: &Offer<'_>) -> bool {
        let terms = offer.requirements();
        (self.chain_id, self.asset, self.pay_to) == (terms.chain_id, terms.asset, terms.pay_to)
    }

    /// How long it is still good, in seconds.
    #[must_use]
    pub const fn remaining(&self, now: u64) -> u64 {
        self.until.saturating_sub(now)
    }

    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let chain_id = ChainId::new(fields.number()?);
        let (asset, pay_to) = (Address::new(fields.next()?), Address::new(fields.next()?));
        let route = RouteHash::from_bytes(fields.next()?);
        let price = Amount::from_be_bytes(fields.next()?);
        let [MINUTE] = fields.next()? else { return None };
        let (payer, until) = (Address::new(fields.next()?), fields.number()?);
        Some(Self { chain_id, asset, pay_to, route, price, payer, until })
    }
}
