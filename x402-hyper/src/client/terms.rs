use core::fmt;

use bytes::Bytes;
use http::{HeaderMap, Response};
use x402_core::headers::{ChallengeHeaders, Field};
use x402_core::{Address, Amount, Asset, Code, Offer, Price, TransferMethod};
use x402_std::config::OwnedAsset;

use super::{ClientError, Foreign};

/// What a seller asks for.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Terms {
    /// What is to be paid, in atomic units of the asset.
    pub amount: Amount,
    /// With what, and on which chain.
    pub asset: OwnedAsset,
    /// To whom.
    pub recipient: Address,
    /// For how long, in seconds, the authorization is asked to be valid.
    pub timeout_seconds: u32,
    /// What the seller says is wrong already, though nothing was paid.
    pub error: Option<Code>,
}

impl Terms {
    /// Reads the header fields of a 402, and finds the asset that they name.
    pub(super) fn read(
        response: &Response<Bytes>,
        known: &[OwnedAsset],
    ) -> Result<Self, ClientError> {
        let Some(challenge) = ChallengeHeaders::collect(fields(response.headers()))? else {
            return Err(ClientError::Foreign(foreign(response)));
        };
        let asset = find(&challenge, known).ok_or_else(|| ClientError::UnknownAsset {
            asset: super::judge::printable(challenge.asset),
            network: challenge.chain_id,
        })?;
        let offer = challenge.offer(&asset.as_asset()).ok_or(ClientError::Price)?;
        Ok(Self {
            amount: offer.requirements().amount,
            recipient: challenge.recipient,
            timeout_seconds: challenge.timeout_seconds,
            error: challenge.error,
            asset,
        })
    }

    /// What is to be paid, in units of the asset.
    #[must_use]
    pub fn price(&self) -> Price {
        self.amount.to_price(self.asset.decimals)
    }

    pub(super) fn offer(&self) -> Offer<'_> {
        Offer::new(self.asset.as_asset(), self.recipient, self.amount, self.timeout_seconds)
    }
}

impl fmt::Display for Terms {
    /// `0.01 USDC on ethereum to 0x…`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} on ", self.price(), self.asset.symbol)?;
        match self.asset.chain_id.name() {
            Some(name) => f.write_str(name)?,
            None => write!(f, "{}", self.asset.chain_id)?,
        }
        write!(f, " to {}", self.recipient)
    }
}

/// The table goes first: nobody replaces what it says of a token. A token that cannot be moved by
/// an EIP-3009 authorization is as good as unknown.
fn find(challenge: &ChallengeHeaders<'_>, known: &[OwnedAsset]) -> Option<OwnedAsset> {
    let is_meant = |asset: &Asset<'_>| {
        asset.chain_id == challenge.chain_id
            && asset.is_named(challenge.asset)
            && asset.transfer_method == TransferMethod::Eip3009
    };
    let of_table = Asset::all().find(|asset| is_meant(asset)).map(OwnedAsset::from);
    of_table.or_else(|| known.iter().find(|asset| is_meant(&asset.as_asset())).cloned())
}

pub(super) fn fields(headers: &HeaderMap) -> impl Iterator<Item = (&str, &[u8])> {
    headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()))
}

/// What a 402 speaks that the header dialect's reader knows nothing of.
fn foreign(response: &Response<Bytes>) -> Foreign {
    let headers = response.headers();
    if headers.contains_key("payment-required") {
        return Foreign::V2;
    }
    if headers.contains_key(Field::Required.name()) {
        return Foreign::EncodedTerms;
    }
    let body: Option<serde_json::Value> = serde_json::from_slice(response.body()).ok();
    if body.is_some_and(|body| body.get("accepts").is_some()) {
        return Foreign::V1;
    }
    Foreign::Unknown
}
