use super::json::{self, Array, Object, Text, Value};
use super::requirements::{optional_object, text};
use super::{PaymentRequirements, Version, WireError};

/// A 402 as sent: the body of v1, or the content of `PAYMENT-REQUIRED` of v2.
#[derive(Clone, Copy, Debug)]
pub struct PaymentRequired<'a> {
    /// The protocol version.
    pub version: Version,
    /// Why it is a 402.
    pub error: Option<Text<'a>>,
    /// v2: what is sold.
    pub resource: Option<Object<'a>>,
    /// v2: what the server asks and tells besides.
    pub extensions: Option<Object<'a>>,
    accepts: Array<'a>,
}

impl<'a> PaymentRequired<'a> {
    /// Reads the JSON of a 402.
    ///
    /// # Errors
    ///
    /// [`WireError`], as [`PaymentPayload::parse`](super::PaymentPayload::parse).
    pub fn parse(json: &'a [u8]) -> Result<Self, WireError> {
        let object = json::parse(json)?.as_object().ok_or(WireError::Shape)?;
        let [version, error, resource, extensions, accepts] =
            object.pick(["x402Version", "error", "resource", "extensions", "accepts"]);
        let version = Version::read(version)?;
        let error = error.filter(|value| !value.is_null()).map(|value| text(Some(value)));
        Ok(Self {
            version,
            error: error.transpose()?,
            resource: optional_object(resource)?,
            extensions: optional_object(extensions)?,
            accepts: accepts.and_then(Value::as_array).ok_or(WireError::Shape)?,
        })
    }

    /// The ways to pay, in the seller's order. One that cannot be read is an error of its own: the
    /// others may do.
    pub fn accepts(
        &self,
    ) -> impl Iterator<Item = Result<PaymentRequirements<'a>, WireError>> + use<'a> {
        let version = self.version;
        self.accepts.iter().map(move |value| PaymentRequirements::read(version, value))
    }
}
