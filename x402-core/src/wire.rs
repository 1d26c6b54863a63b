/*!
The formats of x402 v1 and v2, as every other implementation sends them.

| | v1 | v2 |
|---|---|---|
| terms | the JSON body of the 402 | `PAYMENT-REQUIRED` |
| payment | `X-PAYMENT` | `PAYMENT-SIGNATURE` |
| outcome | `X-PAYMENT-RESPONSE` | `PAYMENT-RESPONSE` |
| networks | names: `base-sepolia` | CAIP-2: `eip155:84532` |

Header fields carry [`base64`] of JSON ([`json`]). What is read is borrowed from the caller's
bytes: a `PaymentX<'a>` is a thing *as sent*, whose members are of the right type and not yet judged.
Members that are not known are kept and ignored. What is written is a [`core::fmt::Display`], whose
length [`json::emitted_len`] tells beforehand.

The formats are those of the x402 core specification v2 (sections 5 to 7), of its transport for HTTP,
and of the schemes `exact` and `upto` for EVM; and where these leave a choice, of the official
TypeScript SDK.
*/

pub mod base64;
mod challenge;
pub mod json;
mod payload;
mod request;
mod required;
mod requirements;
mod response;
mod signed;

use core::fmt;

use base64::Base64Error;
use json::{JsonError, Text, Value};

pub use challenge::{Challenge, Network, Requirements, Resource};
pub use payload::{MAX_SIGNATURE_LEN, PaymentPayload};
pub use request::FacilitatorRequest;
pub use required::PaymentRequired;
pub use requirements::{PaymentFlow, PaymentRequirements};
pub use response::{SettleResponse, Settlement, Verified, VerifyResponse};
pub use signed::{Answers, SignedPayload};
#[cfg(feature = "embedded-io")]
pub(crate) use signed::{AuthorizationV1, AuthorizationV2};

/// A version of the protocol.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Version {
    /// The first: networks by name.
    V1,
    /// The second: networks by CAIP-2 id.
    V2,
}

impl Version {
    /// The number on the wire.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::V1 => 1,
            Self::V2 => 2,
        }
    }

    /// Reads the member `x402Version`.
    fn read(member: Option<Value<'_>>) -> Result<Self, WireError> {
        match member.and_then(Value::as_number) {
            Some("1") => Ok(Self::V1),
            Some("2") => Ok(Self::V2),
            Some(_) => Err(WireError::Version),
            None => Err(WireError::Shape),
        }
    }
}

/// Why what a peer sent cannot be read.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum WireError {
    /// It is no base64.
    Base64(Base64Error),
    /// It is no JSON within the reader's bounds.
    Json(JsonError),
    /// A member is missing or of another type.
    Shape,
    /// The protocol version is neither 1 nor 2.
    Version,
}

impl From<Base64Error> for WireError {
    fn from(error: Base64Error) -> Self {
        Self::Base64(error)
    }
}

impl From<JsonError> for WireError {
    fn from(error: JsonError) -> Self {
        Self::Json(error)
    }
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Base64(error) => error.fmt(f),
            Self::Json(error) => error.fmt(f),
            Self::Shape => f.write_str("a member is missing, or of another type than it should be"),
            Self::Version => f.write_str("the x402Version is neither 1 nor 2"),
        }
    }
}

impl core::error::Error for WireError {}

/// Reads a text that is right only without an escape: there is no backslash in a number, an address,
/// the name of a network or a signature, so nothing with one is read.
fn short<T>(text: Text<'_>, read: impl FnOnce(&str) -> Option<T>) -> Option<T> {
    read(text.raw())
}
