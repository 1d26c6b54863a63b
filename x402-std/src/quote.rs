/*!
What a seller has signed and takes back: quotes, passes, and the names of balances.

Each is a short text in base64url that says everything, and that nobody else can have made: it ends with
an HMAC-SHA256 under one of its [`TokenKeys`]. So a price once quoted is kept, though the configuration
has changed since, and a quote for a small request does not pay for a larger one; and all of it without
a store.

The keys are those of one gateway: made of the seller's [`TokenKey`] and of the gateway's name. What one
gateway has signed is good at those that have the same key and the same name, and nowhere else: not at
another one of the same seller, with other prices, another ledger or another network.

| token | says |
|---|---|
| [`Quote`] | this request to this route costs so much, in this asset, paid to that account, until then |
| [`Pass`] | this payer has paid for this route, at so much a minute, in this asset, to that account, until then |
| [`CreditToken`] | this payer has a balance with this seller, in this asset; and when it was made |

They are no secrets between buyer and seller, and whoever holds a pass or a credit's token is taken for
its payer, unless the payer has asked that draws be signed: they go over TLS, and into no log. The name of
a balance is good until it is replaced ([`CreditNames`](crate::ledger::CreditNames)), or too old for its
seller.

```
use x402_core::{Address, Amount, ChainId};
use x402_std::quote::{Quote, RequestHash, RouteHash, TokenError, TokenKey, TokenKeys};

let key = TokenKey::random()?;
let keys = TokenKeys::new("https://api.example.com", &key, None);
let quote = Quote {
    amount: Amount::from_units(10_000),
    chain_id: ChainId::new(8453),
    asset: Address::new([1; 20]),
    pay_to: Address::new([2; 20]),
    route: RouteHash::of("POST /api/analyze"),
    request: RequestHash::of_request("POST", "/api/analyze", b"{}"),
    expires_at: 1_700_000_060,
};
let token = quote.sign(&keys);
let verify = |request, keys| Quote::verify(&token, keys, &quote.route, request, 1_700_000_000);
assert_eq!(verify(&quote.request, &keys)?, quote);

let larger = RequestHash::of_request("POST", "/api/analyze", b"{\"more\": 1}");
assert_eq!(verify(&larger, &keys), Err(TokenError::OtherRequest));

let test_network = TokenKeys::new("https://test.example.com", &key, None);
assert_eq!(verify(&quote.request, &test_network), Err(TokenError::Forged));
# Ok::<(), Box<dyn std::error::Error>>(())
```

# Format

```text
kind (1: 4 quote, 5 pass, 7 credit) || what it says || HMAC-SHA256 of all that (32)
quote:  chain id (8) || asset (20) || pay to (20) || route (32) || amount (32) || request (32) || expires at (8)
pass:   chain id (8) || asset (20) || pay to (20) || route (32) || amount (32) || unit (1: 1 a minute)
        || payer (20) || until (8)
credit: payer (20) || chain id (8) || asset (20) || seller (20) || generation (8) || made at (8)
```

Numbers are big-endian, times in seconds since 1970. The kinds 1, 2 and 3 are those of earlier versions,
which did not say for which gateway they are, and 6 is that of names that could not be replaced: they are
not read.

The HMAC's key is an HMAC-SHA256 of `x402 gateway, 1: ` and the gateway's name, in UTF-8, under the
seller's key.
*/

mod credit;
mod hash;
mod key;
mod pass;
mod seal;

pub use credit::CreditToken;
pub use hash::{RequestHash, RouteHash};
pub use key::{TokenKey, TokenKeyError, TokenKeys};
pub use pass::Pass;
use seal::{Fields, Kind, Writer};
use x402_core::{Address, Amount, ChainId, Offer};

/// Why a token is not taken.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// It was good until now.
    #[error("it has expired")]
    Expired,
    /// It was not signed by a gateway of this key and name, or was changed since.
    #[error("it was not made by this gateway, or was changed since")]
    Forged,
    /// It is no token of this kind.
    #[error("it cannot be read")]
    Malformed,
    /// It is of what was paid, or is to be paid, to another account, or in another asset.
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
    /// The chain of the asset.
    pub chain_id: ChainId,
    /// The token's contract.
    pub asset: Address,
    /// Whom it is paid to.
    pub pay_to: Address,
    /// The route that it is for.
    pub route: RouteHash,
    /// The price, in atomic units, or the ceiling.
    pub amount: Amount,
    /// The request that it is for.
    pub request: RequestHash,
    /// When it is not good any more, in seconds since 1970.
    pub expires_at: u64,
}

impl Quote {
    /// How long a token is, in bytes.
    pub const TOKEN_LEN: usize = seal::token_len(Self::LEN);
    const LEN: usize = 8 + 20 + 20 + 32 + 32 + 32 + 8;

    /// The token, which [`Self::verify`] takes.
    #[must_use]
    pub fn sign(&self, keys: &TokenKeys) -> String {
        let mut out = Writer::new(Kind::Quote);
        out.bytes(&self.chain_id.get().to_be_bytes());
        out.bytes(self.asset.as_bytes());
        out.bytes(self.pay_to.as_bytes());
        out.bytes(self.route.as_bytes());
        out.bytes(&self.amount.to_be_bytes());
        out.bytes(self.request.as_bytes());
        out.bytes(&self.expires_at.to_be_bytes());
        out.seal(keys)
    }

    /// Reads a token that is good for this request to this route at `now`, in seconds since 1970. For
    /// which offers it is, [`Self::is_for`] says.
    ///
    /// # Errors
    ///
    /// [`TokenError::Malformed`], [`TokenError::Forged`], [`TokenError::Expired`] from `expires_at`
    /// on, [`TokenError::OtherRoute`] and [`TokenError::OtherRequest`], in this order.
    pub fn verify(
        token: &str,
        keys: &TokenKeys,
        route: &RouteHash,
        request: &RequestHash,
        now: u64,
    ) -> Result<Self, TokenError> {
        let bytes = seal::open(Kind::Quote, Self::LEN, token, keys)?;
        let quote = Self::read(&mut Fields::new(&bytes)).ok_or(TokenError::Malformed)?;
        match quote {
            _ if now >= quote.expires_at => Err(TokenError::Expired),
            _ if quote.route != *route => Err(TokenError::OtherRoute),
            _ if quote.request != *request => Err(TokenError::OtherRequest),
            _ => Ok(quote),
        }
    }

    /// Whether an offer is to be paid in the same asset, to the same account.
    #[must_use]
    pub fn is_for(&self, offer: &Offer<'_>) -> bool {
        let terms = offer.requirements();
        (self.chain_id, self.asset, self.pay_to) == (terms.chain_id, terms.asset, terms.pay_to)
    }

    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        Some(Self {
            chain_id: ChainId::new(fields.number()?),
            asset: Address::new(fields.next()?),
            pay_to: Address::new(fields.next()?),
            route: RouteHash::from_bytes(fields.next()?),
            amount: Amount::from_be_bytes(fields.next()?),
            request: RequestHash::from_bytes(fields.next()?),
            expires_at: fields.number()?,
        })
    }
}

#[cfg(test)]
mod tests;
