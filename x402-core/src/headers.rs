/*!
The header dialect: a payment in plain header fields, for devices, `curl` and people.

| answer of 402 | |
|---|---|
| `X-Payment-Required` | `true` |
| `X-Payment-Amount` | the price, a decimal in units of the asset: `0.01` |
| `X-Payment-Asset` | the asset's symbol: `USDC` |
| `X-Payment-Network` | the network's x402 v1 name, or its CAIP-2 id where it has none |
| `X-Payment-Recipient` | who is to be paid, in EIP-55 form |
| `X-Payment-Timeout` | for how long, in seconds, to let the authorization be valid |
| `X-Payment-Error` | after a refused payment, its [`Code`](crate::Code): `402.2` |

| paid request | |
|---|---|
| `X-Payment-Signature` | `0x` and 101 bytes in hex: from (20) ‖ validAfter (8) ‖ validBefore (8) ‖ r (32) ‖ s (32) ‖ v (1); or 65 bytes, r ‖ s ‖ v |
| `X-Payment-Amount` | as in the answer |
| `X-Payment-Asset` | the symbol, or the token's address |
| `X-Payment-Nonce` | a decimal below 2^256, or `0x` and 64 digits |
| `X-Payment-Network` | optional; name or CAIP-2 id |
| `X-Payment-From` | the payer, with the 65-byte signature |
| `X-Payment-Valid-Before` | Unix seconds, decimal, with the 65-byte signature |
| `X-Payment-Valid-After` | Unix seconds, decimal, with the 65-byte signature; 0 where it is absent |

Integers in the signature are big-endian. What is signed is the EIP-3009 digest in the asset's own
EIP-712 domain, with the offer's recipient as `to`: any x402 facilitator could settle it.

| outcome | |
|---|---|
| `X-Payment-Status` | `settled`; `accepted` where the seller settles later; `pending` while the chain has not said; `failed` where a transaction was sent and did not move the money; `not-charged` where nothing was taken, nor will be, for this answer |
| `X-Payment-Transaction` | the hash of the settling transaction |
| `X-Payment-Payer` | who paid, in EIP-55 form |

| of sellers who sign and measure | |
|---|---|
| `X-Payment-Quote` | of a 402: the price of this request, signed; sent back with the payment, it is kept |
| `X-Payment-Minutes` | of a request for what is sold by the minute: how many, a decimal |
| `X-Payment-Pass` | of an answer: time that was bought; sent with other requests for the same until `X-Payment-Pass-Expires` (Unix seconds) |
| `X-Payment-Credit` | of an answer: the name of a balance; sent with `X-Payment-Nonce`, it pays for a request. `new`, `signed` or `bearer` in its place, with `X-Payment-From` and `X-Payment-Proof`, ask for another name |
| `X-Payment-Credit-Expires` | when that name ends, in Unix seconds, where it does by itself |
| `X-Payment-Credit-Withheld` | why an answer does not tell it, and how to have it |
| `X-Payment-Proof` | of a request: that its payer sends it, see [`proof`](crate::proof); needed where somebody else has settled the payment before, for a new name, and for draws that must be signed |
| `X-Payment-Balance` | what is left of it, a decimal in units of the asset |

Quotes, passes and credit are texts to whoever gets them, of letters, digits, `-` and `_`.

A field may appear once; names are case-insensitive; values are ASCII.
*/

mod challenge;
mod payment;
mod request;

use core::fmt;

#[cfg(feature = "embedded-io")]
use crate::plain::Plain;

pub use challenge::{ChallengeHeaders, emit_challenge};
pub use payment::{SignatureForm, SignedPayment};
pub use request::PaymentHeaders;

macro_rules! fields {
    ($($variant:ident = $name:literal,)*) => {
        /// A header field of the dialect.
        #[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
        #[cfg_attr(feature = "defmt", derive(defmt::Format))]
        #[non_exhaustive]
        pub enum Field {
            $(#[doc = concat!("`", $name, "`")] $variant,)*
        }

        impl Field {
            /// The field's name, as it is written here; names are case-insensitive.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

fields! {
    Amount = "X-Payment-Amount",
    Asset = "X-Payment-Asset",
    Error = "X-Payment-Error",
    From = "X-Payment-From",
    Network = "X-Payment-Network",
    Nonce = "X-Payment-Nonce",
    Payer = "X-Payment-Payer",
    Recipient = "X-Payment-Recipient",
    Required = "X-Payment-Required",
    Signature = "X-Payment-Signature",
    Status = "X-Payment-Status",
    Timeout = "X-Payment-Timeout",
    Transaction = "X-Payment-Transaction",
    ValidAfter = "X-Payment-Valid-After",
    ValidBefore = "X-Payment-Valid-Before",
}

impl Field {
    /// The fields of a request that belong to the payment, and to nobody behind the seller's gate.
    pub const OF_REQUEST: [Self; 8] = [
        Self::Signature,
        Self::Amount,
        Self::Asset,
        Self::Nonce,
        Self::Network,
        Self::From,
        Self::ValidAfter,
        Self::ValidBefore,
    ];

    /// The fields of an answer that tell of the payment.
    pub const OF_ANSWER: [Self; 10] = [
        Self::Required,
        Self::Amount,
        Self::Asset,
        Self::Network,
        Self::Recipient,
        Self::Timeout,
        Self::Error,
        Self::Status,
        Self::Transaction,
        Self::Payer,
    ];
}

#[cfg(feature = "embedded-io")]
impl Field {
    /// Writes its line of a head.
    // Not inlined, in as many places as there are fields.
    #[cfg_attr(target_os = "none", inline(never))]
    pub(crate) fn write(self, f: &mut fmt::Formatter<'_>, value: &str) -> fmt::Result {
        write!(f, "{self}: {}\r\n", Plain(value))
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Puts the values of known fields into their slots: each at most once, in ASCII.
fn collect<'a, N: AsRef<str>, const K: usize>(
    headers: impl IntoIterator<Item = (N, &'a [u8])>,
    known: &'static [Field; K],
) -> Result<[Option<&'a str>; K], HeaderError> {
    let mut values = [None; K];
    for (name, value) in headers {
        put(name.as_ref(), value, known, &mut values)?;
    }
    Ok(values)
}

/// Puts a value into the slot of its field, if it is known.
fn put<'a>(
    name: &str,
    value: &'a [u8],
    known: &[Field],
    values: &mut [Option<&'a str>],
) -> Result<(), HeaderError> {
    let mut slots = values.iter_mut().zip(known);
    let Some((slot, field)) = slots.find(|(_, field)| is_name(name, field.name())) else {
        return Ok(());
    };
    let is_printable = value.iter().all(|byte| matches!(byte, b' '..=b'~'));
    let value = core::str::from_utf8(value).ok().filter(|_| is_printable);
    let value = value.ok_or(HeaderError::Invalid(*field))?;
    if slot.replace(value).is_some() {
        return Err(HeaderError::Duplicate(*field));
    }
    Ok(())
}

/// Whether a field has that name, in whatever case.
#[cfg_attr(target_os = "none", inline(never))]
pub(crate) fn is_name(name: &str, known: &str) -> bool {
    name.eq_ignore_ascii_case(known)
}

/// Why header fields cannot be read as a payment or a 402.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum HeaderError {
    /// The field appears more than once.
    Duplicate(Field),
    /// The field's value is not of its form.
    Invalid(Field),
    /// The field is missing beside the others.
    Missing(Field),
    /// There is more than one payment, or one in more than one dialect.
    Mixed,
}

impl fmt::Display for HeaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Duplicate(name) => write!(f, "the header {name} appears more than once"),
            Self::Invalid(name) => write!(f, "the header {name} is malformed"),
            Self::Missing(name) => write!(f, "the header {name} is missing"),
            Self::Mixed => f.write_str("the request has more than one payment"),
        }
    }
}

impl core::error::Error for HeaderError {}
