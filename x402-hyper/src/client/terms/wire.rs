//! The terms of v1 and v2.

use bytes::Bytes;
use http::Response;
use x402_core::headers::HeaderError;
use x402_core::wire::base64;
use x402_core::wire::json::Text;
use x402_core::wire::{PaymentRequired, PaymentRequirements, Version};
use x402_core::{Asset, Reason};
use x402_std::config::OwnedAsset;

use super::{Dialect, Echo, Terms, find};
use crate::client::ClientError;

/// The field of v2's terms.
pub(super) const V2_TERMS: &str = "payment-required";

/// The terms in `PAYMENT-REQUIRED`, of which there may be one.
pub(super) fn read_v2(
    response: &Response<Bytes>,
    known: &[OwnedAsset],
) -> Result<Vec<Terms>, ClientError> {
    let mut values = response.headers().get_all(V2_TERMS).iter();
    let Some(value) = values.next() else { return Ok(Vec::new()) };
    if values.next().is_some() {
        return Err(ClientError::Terms(HeaderError::Mixed));
    }
    let mut json = vec![0; base64::decoded_room(value.len())];
    let json =
        base64::decode(value.as_bytes(), &mut json).map_err(|e| ClientError::Wire(e.into()))?;
    read(json, Version::V2, known)
}

/// The terms in the body; a body that is something else is none.
pub(super) fn read_v1(
    response: &Response<Bytes>,
    known: &[OwnedAsset],
) -> Result<Vec<Terms>, ClientError> {
    let is_v1 = |body: &[u8]| {
        let body: Option<serde_json::Value> = serde_json::from_slice(body).ok();
        body.is_some_and(|body| body.get("x402Version").is_some_and(|version| version == 1))
    };
    if !is_v1(response.body()) {
        return Ok(Vec::new());
    }
    read(response.body(), Version::V1, known)
}

fn read(json: &[u8], version: Version, known: &[OwnedAsset]) -> Result<Vec<Terms>, ClientError> {
    let required = PaymentRequired::parse(json).map_err(ClientError::Wire)?;
    if required.version != version {
        return Err(ClientError::Wire(x402_core::wire::WireError::Version));
    }
    // One that cannot be read, or not be taken, is no reason against the others.
    let offers = required.accepts().flatten();
    Ok(offers.filter_map(|terms| one(&terms, &required, known)).collect())
}

/// One way to pay, if it can be taken: on an EVM chain, by a known scheme and flow, in a known asset
/// whose domain is not told otherwise.
fn one(
    terms: &PaymentRequirements<'_>,
    required: &PaymentRequired<'_>,
    known: &[OwnedAsset],
) -> Option<Terms> {
    terms.flow()?;
    let (chain_id, address) = (terms.chain_id()?, terms.asset()?);
    let asset = find(chain_id, known, |asset| asset.address == address)?;
    if !is_domain(terms, &asset.as_asset()) {
        return None;
    }
    let raw = |object: Option<x402_core::wire::json::Object<'_>>| {
        object.map_or_else(String::new, |object| object.raw().to_owned())
    };
    let (dialect, echo) = match required.version {
        Version::V1 => (Dialect::V1, Echo::default()),
        Version::V2 => {
            let (resource, extensions) = (raw(required.resource), raw(required.extensions));
            let accepted = terms.raw.raw().to_owned();
            (Dialect::V2, Echo { accepted, resource, extensions, ..Echo::default() })
        }
    };
    Some(Terms {
        dialect,
        scheme: terms.scheme()?,
        amount: terms.amount()?,
        recipient: terms.pay_to()?,
        timeout_seconds: terms.max_timeout_seconds,
        error: required.error.and_then(|error| Reason::parse(error.plain()?)).map(Reason::code),
        asset,
        echo,
    })
}

/// Whether the token's domain, where it is told, is the one that is known.
fn is_domain(terms: &PaymentRequirements<'_>, asset: &Asset<'_>) -> bool {
    let is = |told: Option<Text<'_>>, known: &str| told.is_none_or(|told| told == *known);
    is(terms.extra_text("name"), asset.name) && is(terms.extra_text("version"), asset.version)
}
