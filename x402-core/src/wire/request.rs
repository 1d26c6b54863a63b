use super::json::{self, Value};
use super::{PaymentPayload, PaymentRequirements, Version, WireError};

/// What a facilitator is asked with, at `/verify` and `/settle`, as sent.
#[derive(Clone, Copy, Debug)]
pub struct FacilitatorRequest<'a> {
    /// What the buyer sent.
    pub payload: PaymentPayload<'a>,
    /// The seller's terms: what the payload is judged by.
    pub requirements: PaymentRequirements<'a>,
}

impl<'a> FacilitatorRequest<'a> {
    /// Reads the JSON of a request: `{x402Version?, paymentPayload, paymentRequirements}`.
    ///
    /// The version is the payload's; where the request names one beside it, it must be the same.
    ///
    /// # Errors
    ///
    /// [`WireError`], as [`PaymentPayload::parse`]; [`WireError::Version`] also where the versions
    /// differ.
    pub fn parse(json: &'a [u8]) -> Result<Self, WireError> {
        let object = json::parse(json)?.as_object().ok_or(WireError::Shape)?;
        let member = |key| object.get(key).ok_or(WireError::Shape);
        let payload = PaymentPayload::read(member("paymentPayload")?)?;
        let version = payload.version;
        if object.get("x402Version").is_some_and(|value| !is(value, version)) {
            return Err(WireError::Version);
        }
        let requirements = PaymentRequirements::read(version, member("paymentRequirements")?)?;
        Ok(Self { payload, requirements })
    }
}

fn is(value: Value<'_>, version: Version) -> bool {
    value.as_number() == Some(if version == Version::V1 { "1" } else { "2" })
}
