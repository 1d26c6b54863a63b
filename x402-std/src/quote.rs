/*!
What a seller has signed and takes back: quotes, passes, and the names of balances.

Each is a short text in base64url that says everything, and that nobody else can have made: it ends with
an HMAC-SHA256 under the seller's [`TokenKey`]. So a price once quoted is kept, though the configuration
has changed since, and a quote for a small request does not pay for a larger one; and all of it without
a store, for any number of gateways that share the key.

| token | says |
|---|---|
| [`Quote`] | this request costs so much, until then |
| [`Pass`] | this payer has paid for this route, until then |
| [`CreditToken`] | this payer has a balance with this seller, in this asset |

They are no secrets between buyer and seller, and whoever holds a pass or a credit's token is taken for
its payer: they go over TLS, and into no log.

```
use x402_core::{Address, Amount, ChainId};
use x402_std::quote::{Quote, RequestHash, TokenError, TokenKey};

let key = TokenKey::random()?;
let quote = Quote {
    amount: Amount::from_units(10_000),
    chain_id: ChainId::new(8453),
    asset: Address::new([1; 20]),
    pay_to: Address::new([2; 20]),
    request: RequestHash::of_request("POST", "/api/analyze", b"{}"),
    expires_at: 1_700_000_060,
};
let token = quote.sign(&key);
assert_eq!(Quote::verify(&token, &key, &quote.request, 1_700_000_000)?, quote);

let larger = RequestHash::of_request("POST", "/api/analyze", b"{\"more\": 1}");
let refused = Quote::verify(&token, &key, &larger, 1_700_000_000);
assert_eq!(refused, Err(TokenError::OtherRequest));
# Ok::<(), Box<dyn std::error::Error>>(())
```

# Format

```text
kind (1: 1 quote, 2 pass, 3 credit) || what it says || HMAC-SHA256 of all that (32)
quote:  amount (32) || chain id (8) || asset (20) || pay to (20) || request (32) || expires at (8)
pass:   payer (20) || route (32) || until (8)
credit: payer (20) || chain id (8) || asset (20) || seller (20)
```

Numbers are big-endian, times in seconds since 1970.
*/

mod credit;
mod hash;
mod key;
mod pass;
mod seal;

pub use credit::CreditToken;
pub use hash::{RequestHash, RouteHash};
pub use key::{TokenKey, TokenKeyError};
pub use pass::Pass;
use seal::{Fields, Kind, Writer};
use x402_core::{Address, Amount, ChainId};

/// Why a token is not taken.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// It was good until now.
    #[error("it has expired")]
    Expired,
    /// It was not signed with this key, or was changed since.
    #[error("it was not made by this seller, or was changed since")]
    Forged,
    /// It is no token of this kind.
    #[error("it cannot be read")]
    Malformed,
    /// It is for a balance with another seller, or in another asset.
    #[error("it is for another seller or asset")]
    OtherAccount,
    /// It is for another request.
    #[error("it is for another request")]
    OtherRequest,
    /// It is for another route.
    #[error("it is for another route")]
    OtherRoute,
}

/// What a request costs, as the seller has said it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Quote {
    /// The price, in atomic units, or the ceiling.
    pub amount: Amount,
    /// The chain of the asset.
    pub chain_id: ChainId,
    /// The token's contract.
    pub asset: Address,
    /// Whom it is paid to.
    pub pay_to: Address,
    /// The request that it is for.
    pub request: RequestHash,
    /// When it is not good any more, in seconds since 1970.
    pub expires_at: u64,
}

impl Quote {
    /// How long a token is, in bytes.
    pub const TOKEN_LEN: usize = seal::token_len(Self::LEN);
    const LEN: usize = 32 + 8 + 20 + 20 + 32 + 8;

    /// The token, which [`Self::verify`] takes.
    #[must_use]
    pub fn sign(&self, key: &TokenKey) -> String {
        let mut out = Writer::new(Kind::Quote);
        out.bytes(&self.amount.to_be_bytes());
        out.bytes(&self.chain_id.get().to_be_bytes());
        out.bytes(self.asset.as_bytes());
        out.bytes(self.pay_to.as_bytes());
        out.bytes(self.request.as_bytes());
        out.bytes(&self.expires_at.to_be_bytes());
        out.seal(key)
    }

    /// Reads a token that is good for this request at `now`, in seconds since 1970.
    ///
    /// # Errors
    ///
    /// [`TokenError::Malformed`], [`TokenError::Forged`], [`TokenError::Expired`] from `expires_at`
    /// on, and [`TokenError::OtherRequest`], in this order.
    pub fn verify(
        token: &str,
        key: &TokenKey,
        request: &RequestHash,
        now: u64,
    ) -> Result<Self, TokenError> {
        let bytes = seal::open(Kind::Quote, Self::LEN, token, key)?;
        let quote = Self::read(&mut Fields::new(&bytes)).ok_or(TokenError::Malformed)?;
        match quote {
            _ if now >= quote.expires_at => Err(TokenError::Expired),
            _ if quote.request != *request => Err(TokenError::OtherRequest),
            _ => Ok(quote),
        }
    }

    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        Some(Self {
            amount: Amount::from_be_bytes(fields.next()?),
            chain_id: ChainId::new(fields.number()?),
            asset: Address::new(fields.next()?),
            pay_to: Address::new(fields.next()?),
            request: RequestHash::from_bytes(fields.next()?),
            expires_at: fields.number()?,
        })
    }
}

#[cfg(test)]
mod tests;
