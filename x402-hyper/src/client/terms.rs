mod headers;
mod wire;

use core::fmt;

use bytes::Bytes;
use http::{HeaderMap, Response};
use x402_core::{Address, Amount, Asset, ChainId, Code, Offer, Price, Scheme, TransferMethod};
use x402_std::config::OwnedAsset;

use super::{ClientError, Foreign};

/// How a seller writes its terms, and wants to be paid.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Dialect {
    /// Plain header fields, `X-Payment-…`.
    Headers,
    /// x402 v1: a JSON body, and `X-PAYMENT`.
    V1,
    /// x402 v2: `PAYMENT-REQUIRED`, and `PAYMENT-SIGNATURE`.
    V2,
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Headers => "headers",
            Self::V1 => "v1",
            Self::V2 => "v2",
        })
    }
}

/// One way to pay that a seller offers.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Terms {
    /// How it is written.
    pub dialect: Dialect,
    /// How much of what is signed is taken, and by which method.
    pub scheme: Scheme,
    /// What is to be paid, in atomic units of the asset; at most so much where the scheme is `upto`.
    pub amount: Amount,
    /// With what, and on which chain.
    pub asset: OwnedAsset,
    /// To whom.
    pub recipient: Address,
    /// For how long, in seconds, the authorization is asked to be valid.
    pub timeout_seconds: u32,
    /// What the seller says is wrong already, though nothing was paid.
    pub error: Option<Code>,
    /// What is echoed, byte for byte.
    pub(super) echo: Echo,
}

/// What a client sends back of the terms; empty where there is nothing.
#[derive(Clone, Debug, Default)]
pub(super) struct Echo {
    /// The header dialect: what the seller has signed of its price.
    pub(super) quote: String,
    pub(super) accepted: String,
    pub(super) resource: String,
    pub(super) extensions: String,
}

type Read = fn(&Response<Bytes>, &[OwnedAsset]) -> Result<Vec<Terms>, ClientError>;

impl Terms {
    /// Reads every way to pay that a 402 offers and that can be taken: of a known scheme, in a known
    /// asset. v2 comes first, then v1, then the header dialect; in each, the seller's order.
    ///
    /// Where v2's field is there, it is what the seller says: of the body, which others may have written,
    /// v1's terms are taken only where the field has the same.
    pub(super) fn read(
        response: &Response<Bytes>,
        known: &[OwnedAsset],
    ) -> Result<Vec<Self>, ClientError> {
        let (mut offers, mut error) = (Vec::new(), None);
        for (read, is_of_body) in
            [(wire::read_v2 as Read, false), (wire::read_v1, true), (headers::read, false)]
        {
            match read(response, known) {
                Ok(mut more) => {
                    if is_of_body && response.headers().contains_key(wire::V2_TERMS) {
                        more.retain(|terms: &Self| offers.iter().any(|other| terms.is_as(other)));
                    }
                    offers.extend(more);
                }
                // Worth telling only where nothing can be read.
                Err(why) => error = error.or(Some(why)),
            }
        }
        match (offers.is_empty(), error) {
            (false, _) => Ok(offers),
            (true, Some(error)) => Err(error),
            (true, None) => Err(ClientError::Foreign(foreign(response))),
        }
    }

    /// What is to be paid, in units of the asset.
    #[must_use]
    pub fn price(&self) -> Price {
        self.amount.to_price(self.asset.decimals)
    }

    pub(super) fn offer(&self) -> Offer<'_> {
        let asset = self.asset.as_asset();
        let offer = Offer::new(asset, self.recipient, self.amount, self.timeout_seconds);
        match self.scheme {
            Scheme::Exact(TransferMethod::Permit2) => offer.by_permit2(),
            Scheme::Upto { facilitator } => offer.up_to(facilitator),
            Scheme::Exact(_) => offer,
        }
    }

    /// Whether the same would be paid, whatever the dialect.
    fn is_as(&self, other: &Self) -> bool {
        let paid = |terms: &Self| (terms.scheme, terms.amount, terms.recipient);
        paid(self) == paid(other) && self.asset == other.asset
    }

    /// Whether the token alone moves the money; else the payer has to have approved Permit2.
    pub(super) fn is_by_token(&self) -> bool {
        self.scheme == Scheme::Exact(TransferMethod::Eip3009)
    }
}

impl fmt::Display for Terms {
    /// `0.01 USDC on ethereum to 0x…`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let most = if matches!(self.scheme, Scheme::Upto { .. }) { "at most " } else { "" };
        write!(f, "{most}{} {} on ", self.price(), self.asset.symbol)?;
        match self.asset.chain_id.name() {
            Some(name) => f.write_str(name)?,
            None => write!(f, "{}", self.asset.chain_id)?,
        }
        write!(f, " to {}", self.recipient)
    }
}

/// The asset on a chain that is meant. The table goes first: nobody replaces what it says of a token.
fn find(
    chain_id: ChainId,
    known: &[OwnedAsset],
    is_meant: impl Fn(&Asset<'_>) -> bool,
) -> Option<OwnedAsset> {
    let is_meant = |asset: &Asset<'_>| asset.chain_id == chain_id && is_meant(asset);
    let of_table = Asset::all().find(|asset| is_meant(asset)).map(OwnedAsset::from);
    of_table.or_else(|| known.iter().find(|asset| is_meant(&asset.as_asset())).cloned())
}

pub(super) fn fields(headers: &HeaderMap) -> impl Iterator<Item = (&str, &[u8])> {
    headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()))
}

/// What a 402 speaks that has no terms that can be taken.
fn foreign(response: &Response<Bytes>) -> Foreign {
    let headers = response.headers();
    if headers.contains_key(wire::V2_TERMS) {
        return Foreign::V2;
    }
    if headers.contains_key(x402_core::headers::Field::Required.name()) {
        return Foreign::EncodedTerms;
    }
    let body: Option<serde_json::Value> = serde_json::from_slice(response.body()).ok();
    if body.is_some_and(|body| body.get("accepts").is_some()) {
        return Foreign::V1;
    }
    Foreign::Unknown
}
