use super::json::{Object, Text, Value};
use super::{Version, WireError, short};
use crate::{Address, Amount, ChainId, Error, Scheme, TransferMethod, hex};

/// Payment requirements as sent: an entry of `accepts`, the `accepted` of a payload, or the
/// `paymentRequirements` that a facilitator is asked with.
///
/// | v1 | v2 | |
/// |---|---|---|
/// | `scheme` | `scheme` | text |
/// | `network` | `network` | text; a name, or a CAIP-2 id |
/// | `maxAmountRequired` | `amount` | decimal text, atomic units |
/// | `asset` | `asset` | text; on EVM an address |
/// | `payTo` | `payTo` | text; on EVM an address |
/// | `maxTimeoutSeconds` | `maxTimeoutSeconds` | number above zero |
/// | `extra` | `extra` | optional object |
///
/// Members that are not listed are kept in [`Self::raw`] and never looked at.
#[derive(Clone, Copy, Debug)]
pub struct PaymentRequirements<'a> {
    /// Which version's names the members have.
    pub version: Version,
    /// The whole object: what a buyer echoes, byte for byte.
    pub raw: Value<'a>,
    /// The scheme's name.
    pub scheme: Text<'a>,
    /// The network.
    pub network: Text<'a>,
    /// The price, in atomic units.
    pub amount: Text<'a>,
    /// The token.
    pub asset: Text<'a>,
    /// Who is to be paid.
    pub pay_to: Text<'a>,
    /// For how long, in seconds, the authorization is asked to be valid; what is longer than `u32`
    /// can say is cut to it.
    pub max_timeout_seconds: u32,
    /// What the scheme adds.
    pub extra: Option<Object<'a>>,
}

/// When the money moves, relative to the work: `extra.paymentFlow`.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum PaymentFlow {
    /// Verify, work, settle. The default.
    Authorization,
    /// Settle, then work.
    Upfront,
}

impl<'a> PaymentRequirements<'a> {
    /// Reads the members, each of its type; an optional one may be `null`.
    ///
    /// # Errors
    ///
    /// [`WireError::Shape`] for a member that is missing or of another type.
    pub fn read(version: Version, raw: Value<'a>) -> Result<Self, WireError> {
        let object = raw.as_object().ok_or(WireError::Shape)?;
        let price = match version {
            Version::V1 => "maxAmountRequired",
            Version::V2 => "amount",
        };
        let members = object.pick([
            "scheme",
            "network",
            price,
            "asset",
            "payTo",
            "maxTimeoutSeconds",
            "extra",
        ]);
        Self::found(version, raw, members)
    }

    /// As [`Self::read`], for members that were found.
    pub(super) fn found(
        version: Version,
        raw: Value<'a>,
        members: [Option<Value<'a>>; 7],
    ) -> Result<Self, WireError> {
        let [scheme, network, amount, asset, pay_to, timeout, extra] = members;
        raw.as_object().ok_or(WireError::Shape)?;
        let timeout = timeout.and_then(Value::as_number);
        Ok(Self {
            version,
            raw,
            scheme: text(scheme)?,
            network: text(network)?,
            amount: text(amount)?,
            asset: text(asset)?,
            pay_to: text(pay_to)?,
            max_timeout_seconds: timeout.and_then(seconds).ok_or(WireError::Shape)?,
            extra: optional_object(extra)?,
        })
    }

    /// The EVM chain, if the network is one.
    #[must_use]
    pub fn chain_id(&self) -> Option<ChainId> {
        self.chain_id_of(self.version)
    }

    /// As [`Self::chain_id`], where the version is known: of another, nothing is in the program.
    pub(crate) fn chain_id_of(&self, version: Version) -> Option<ChainId> {
        chain_id(version, self.network)
    }

    /// The price in atomic units, if it is a number of the wire.
    #[must_use]
    pub fn amount(&self) -> Option<Amount> {
        short(self.amount, |text| Amount::parse(text).ok())
    }

    /// The token's contract, if the asset is an EVM address.
    #[must_use]
    pub fn asset(&self) -> Option<Address> {
        short(self.asset, |text| Address::parse(text).ok())
    }

    /// Who is to be paid, if that is an EVM address.
    #[must_use]
    pub fn pay_to(&self) -> Option<Address> {
        short(self.pay_to, |text| Address::parse(text).ok())
    }

    /// Whether the asset is that contract, in whatever case it is written.
    #[must_use]
    pub fn is_in(&self, asset: Address) -> bool {
        is_address(self.asset, asset)
    }

    /// Whether that is who is to be paid, in whatever case it is written.
    #[must_use]
    pub fn pays(&self, recipient: Address) -> bool {
        is_address(self.pay_to, recipient)
    }

    /// Whether they are those of the seller, in all that a payment is judged by. The amount may be that of
    /// an earlier price: what was signed for that is refused later, unless it was taken then.
    pub(super) fn check(&self, terms: &crate::Requirements, signed: Amount) -> Result<(), Error> {
        if !self.is_in(terms.asset) {
            return Err(Error::Asset);
        }
        if self.scheme() != Some(terms.scheme) {
            return Err(Error::Scheme);
        }
        if !self.pays(terms.pay_to) {
            return Err(Error::Recipient);
        }
        let amount = self.amount();
        let is_known = amount == Some(terms.amount) || amount == Some(signed);
        is_known.then_some(()).ok_or(Error::Amount)
    }

    /// A text of `extra`.
    #[must_use]
    pub fn extra_text(&self, key: &str) -> Option<Text<'a>> {
        self.extra?.get(key)?.as_text()
    }

    /// The scheme, with what it needs of `extra`: `exact` by EIP-3009 or Permit2, or `upto`.
    ///
    /// `None` where it is another, or `extra` lacks what it needs. Without `assetTransferMethod`,
    /// `exact` is by EIP-3009.
    #[must_use]
    pub fn scheme(&self) -> Option<Scheme> {
        let method = self.extra.and_then(|extra| extra.get("assetTransferMethod"));
        let method = match method.filter(|value| !value.is_null()) {
            None => None,
            Some(value) => Some(value.as_text()?),
        };
        if self.scheme == *"exact" {
            let method = match method {
                None => TransferMethod::Eip3009,
                Some(name) if name == *"eip3009" => TransferMethod::Eip3009,
                Some(name) if name == *"permit2" => TransferMethod::Permit2,
                Some(_) => return None,
            };
            return Some(Scheme::Exact(method));
        }
        if self.scheme != *"upto" || method.is_some_and(|name| name != *"permit2") {
            return None;
        }
        let facilitator = self.extra_text("facilitatorAddress")?;
        let facilitator = short(facilitator, |text| Address::parse(text).ok())?;
        Some(Scheme::Upto { facilitator })
    }

    /// When the money moves; `None` for a flow that is not known, which nobody should pay.
    #[must_use]
    pub fn flow(&self) -> Option<PaymentFlow> {
        let flow = self.extra.and_then(|extra| extra.get("paymentFlow"));
        let Some(flow) = flow.filter(|value| !value.is_null()) else {
            return Some(PaymentFlow::Authorization);
        };
        let flow = flow.as_text()?;
        if flow == *"authorization" {
            Some(PaymentFlow::Authorization)
        } else if flow == *"upfront" {
            Some(PaymentFlow::Upfront)
        } else {
            None
        }
    }
}

/// The EVM chain that a network of that version's spelling names: v2 has CAIP-2 ids only, v1 names
/// only.
pub(super) fn chain_id(version: Version, network: Text<'_>) -> Option<ChainId> {
    let parse = match version {
        Version::V1 => ChainId::parse_name,
        Version::V2 => ChainId::parse_caip2,
    };
    short(network, |text| parse(text).ok())
}

/// Whether a text is a known address. A checksum is no matter: what is known is not mistyped.
fn is_address(text: Text<'_>, known: Address) -> bool {
    short(text, |text| hex::decode(text).ok()) == Some(*known.as_bytes())
}

/// A member that is a text.
pub(super) fn text(member: Option<Value<'_>>) -> Result<Text<'_>, WireError> {
    member.and_then(Value::as_text).ok_or(WireError::Shape)
}

/// A member that is an object, or absent, or `null`.
pub(super) fn optional_object(member: Option<Value<'_>>) -> Result<Option<Object<'_>>, WireError> {
    match member.filter(|value| !value.is_null()) {
        None => Ok(None),
        Some(value) => value.as_object().map(Some).ok_or(WireError::Shape),
    }
}

/// A number of seconds above zero, rounded down; what is too large is the largest there is.
///
/// The number is JSON's. Without floats, whose tables are larger than the rest of a device's parser.
fn seconds(number: &str) -> Option<u32> {
    let place_of = |text: &[u8], letters: [u8; 2]| {
        text.iter().position(|byte| letters.contains(byte)).unwrap_or(text.len())
    };
    let number = number.as_bytes();
    let (mantissa, exponent) = number.split_at_checked(place_of(number, *b"eE"))?;
    let point = place_of(mantissa, *b"..");
    // An exponent beyond 32 bits is as good as without end.
    let size = |digits: &[u8]| digits.iter().copied().fold(0, push_decimal) as usize;
    let places = match exponent {
        [_, b'-', digits @ ..] => point.saturating_sub(size(digits)),
        [_, b'+', digits @ ..] | [_, digits @ ..] => point.saturating_add(size(digits)),
        [] => point,
    };
    let mut seconds = 0;
    // Behind so many zeros there is nothing but zeros, or the largest number.
    for place in 0..places.min(u16::MAX.into()) {
        let digit = mantissa.get(place + usize::from(place >= point)).copied().unwrap_or(b'0');
        if !digit.is_ascii_digit() {
            return None;
        }
        seconds = push_decimal(seconds, digit);
    }
    (seconds > 0).then_some(seconds)
}

/// `number * 10 + digit`, at most the largest number.
fn push_decimal(number: u32, digit: u8) -> u32 {
    number.saturating_mul(10).saturating_add(u32::from(digit.wrapping_sub(b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_whole_and_above_zero() {
        for (number, expected) in [
            ("60", Some(60)),
            ("60.9", Some(60)),
            ("6e1", Some(60)),
            ("0.006E+4", Some(60)),
            ("600e-1", Some(60)),
            ("0.9", None),
            ("0", None),
            ("-60", None),
            ("-0.6e3", None),
            ("1e-99999999999999999999", None),
            ("0e99999999999999999999", None),
            ("1e99999999999999999999", Some(u32::MAX)),
            ("4294967296", Some(u32::MAX)),
            ("99999999999999999999999999", Some(u32::MAX)),
        ] {
            assert_eq!(seconds(number), expected, "{number}");
        }
    }
}
