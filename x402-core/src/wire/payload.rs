use super::json::{self, Object, Text, Value};
use super::requirements::{self, optional_object};
use super::{PaymentRequirements, Version, WireError, short};
use crate::permit2::{EXACT_PROXY, Kind, Permit, UPTO_PROXY};
use crate::{Address, Amount, Authorization, ChainId, Error, Nonce, Payment, Signature};
use crate::{SignatureError, Timestamp, Transfer, hex};

/// A payment payload as sent: what `X-PAYMENT` (v1) and `PAYMENT-SIGNATURE` (v2) carry.
///
/// v1: `{x402Version, scheme, network, payload}`. v2: `{x402Version, accepted, payload, resource?,
/// extensions?}`.
#[derive(Clone, Copy, Debug)]
pub struct PaymentPayload<'a> {
    /// The protocol version.
    pub version: Version,
    /// The whole object.
    pub raw: Value<'a>,
    /// The scheme's name.
    pub scheme: Text<'a>,
    /// The network.
    pub network: Text<'a>,
    /// v2: the entry of `accepts` that it answers.
    pub accepted: Option<PaymentRequirements<'a>>,
    /// v2: what was paid for, as the server said it.
    pub resource: Option<Object<'a>>,
    /// v2: what the client echoes and adds.
    pub extensions: Option<Object<'a>>,
    /// What the scheme needs.
    pub payload: Object<'a>,
}

/// The longest signature that is read, in bytes: those of contract wallets.
pub const MAX_SIGNATURE_LEN: usize = 4096;

impl<'a> PaymentPayload<'a> {
    /// Reads the JSON of a payload.
    ///
    /// # Errors
    ///
    /// [`WireError::Json`] for what is no JSON within the reader's bounds, [`WireError::Version`]
    /// for a version that is neither 1 nor 2, [`WireError::Shape`] for a member that is missing or of
    /// another type.
    pub fn parse(json: &'a [u8]) -> Result<Self, WireError> {
        Self::read(json::parse(json)?)
    }

    /// As [`Self::parse`], of v2 alone: of v1, nothing is in the program.
    ///
    /// # Errors
    ///
    /// As [`Self::parse`]; [`WireError::Version`] for a version that is not 2.
    pub fn parse_v2(json: &'a [u8]) -> Result<Self, WireError> {
        let payload = Self::parse(json)?;
        match payload.version {
            Version::V1 => Err(WireError::Version),
            Version::V2 => Ok(Self { version: Version::V2, ..payload }),
        }
    }

    /// As [`Self::parse`], for a value that was read.
    ///
    /// # Errors
    ///
    /// As [`Self::parse`].
    pub fn read(raw: Value<'a>) -> Result<Self, WireError> {
        let object = raw.as_object().ok_or(WireError::Shape)?;
        let version = Version::read(object)?;
        let accepted = match version {
            Version::V1 => None,
            Version::V2 => {
                let accepted = object.get("accepted").ok_or(WireError::Shape)?;
                Some(PaymentRequirements::read(version, accepted)?)
            }
        };
        let text = |key| object.get(key).and_then(Value::as_text).ok_or(WireError::Shape);
        let (scheme, network) = match accepted {
            Some(accepted) => (accepted.scheme, accepted.network),
            None => (text("scheme")?, text("network")?),
        };
        let payload = object.get("payload").and_then(Value::as_object).ok_or(WireError::Shape)?;
        Ok(Self {
            version,
            raw,
            scheme,
            network,
            accepted,
            resource: optional_object(object, "resource")?,
            extensions: optional_object(object, "extensions")?,
            payload,
        })
    }

    /// The EVM chain, if the network is one.
    #[must_use]
    pub fn chain_id(&self) -> Option<ChainId> {
        requirements::chain_id(self.version, self.network)
    }

    /// The token that it says it moves: v1 does not say, and a permit says it itself.
    fn asset(&self, transfer: &Transfer) -> Option<Address> {
        match transfer {
            Transfer::Permit2(permit) => Some(permit.token),
            Transfer::Eip3009(_) => self.accepted?.asset(),
        }
    }

    /// The payment as meant. `asset` stands in where the payload does not say which token it is
    /// (v1): the seller's own.
    ///
    /// Numbers are `0` or `[1-9][0-9]*` below 2^256; the nonce of an EIP-3009 authorization is `0x`
    /// and 64 digits, of a permit a decimal, or `0x` and digits. A `v` of 0 or 1 is taken for 27 or
    /// 28.
    ///
    /// # Errors
    ///
    /// [`Error::Network`] for a network that is no EVM chain, [`Error::Spender`] for a permit for another
    /// contract than a scheme's, [`Error::Payload`] for anything that cannot be read.
    pub fn payment(&self, asset: Address) -> Result<Payment, Error> {
        self.payment_with(asset, permit_of)
    }

    /// As [`Self::payment`], by EIP-3009 alone: of permits, nothing is in the program.
    ///
    /// # Errors
    ///
    /// As [`Self::payment`]; [`Error::Scheme`] for a permit.
    pub fn authorization(&self, asset: Address) -> Result<Payment, Error> {
        self.payment_with(asset, |_| Err(Error::Scheme))
    }

    fn payment_with(
        &self,
        asset: Address,
        permit: impl Fn(Object<'a>) -> Result<Permit, Error>,
    ) -> Result<Payment, Error> {
        let chain_id = self.chain_id().ok_or(Error::Network)?;
        let transfer = self.transfer(permit)?;
        let stated = match (self.accepted, transfer) {
            (None, Transfer::Eip3009(_)) => asset,
            _ => self.asset(&transfer).ok_or(SHAPE)?,
        };
        let signature = self.signature_text().ok_or(SHAPE)?;
        let signature = short(signature, signature_of).ok_or(SHAPE)?;
        Ok(Payment { chain_id, asset: stated, transfer, signature })
    }

    /// The signature's bytes, of whatever length: what a contract wallet is asked about.
    ///
    /// `None` where it is no hex or does not fit `out`, for which [`MAX_SIGNATURE_LEN`] is enough.
    pub fn signature<'o>(&self, out: &'o mut [u8]) -> Option<&'o [u8]> {
        let text = self.signature_text()?.plain()?;
        hex::decode_into(text, out).ok()
    }

    fn signature_text(&self) -> Option<Text<'a>> {
        self.payload.get("signature")?.as_text()
    }

    /// What was signed: the shape of the payload says by which method.
    fn transfer(
        &self,
        permit_of: impl Fn(Object<'a>) -> Result<Permit, Error>,
    ) -> Result<Transfer, Error> {
        let member = |key| self.payload.get(key).map(|value| value.as_object().ok_or(SHAPE));
        match (member("authorization"), member("permit2Authorization")) {
            (Some(authorization), None) => {
                authorization_of(authorization?).map(Transfer::Eip3009).ok_or(SHAPE)
            }
            (None, Some(permit)) => permit_of(permit?).map(Transfer::Permit2),
            _ => Err(SHAPE),
        }
    }
}

const SHAPE: Error = Error::Payload(WireError::Shape);

fn authorization_of(object: Object<'_>) -> Option<Authorization> {
    Some(Authorization {
        from: address(object, "from")?,
        to: address(object, "to")?,
        value: amount(object, "value")?,
        valid_after: time(object, "validAfter")?,
        valid_before: time(object, "validBefore")?,
        nonce: member(object, "nonce", |text| hex::decode(text).ok().map(Nonce::new))?,
    })
}

fn permit_of(object: Object<'_>) -> Result<Permit, Error> {
    let witness = object.get("witness").and_then(Value::as_object).ok_or(SHAPE)?;
    let kind = match address(object, "spender").ok_or(SHAPE)? {
        EXACT_PROXY => Kind::Exact,
        UPTO_PROXY => Kind::Upto { facilitator: address(witness, "facilitator").ok_or(SHAPE)? },
        _ => return Err(Error::Spender),
    };
    permit_members(object, witness, kind).ok_or(SHAPE)
}

fn permit_members(object: Object<'_>, witness: Object<'_>, kind: Kind) -> Option<Permit> {
    let permitted = object.get("permitted")?.as_object()?;
    Some(Permit {
        from: address(object, "from")?,
        token: address(permitted, "token")?,
        amount: amount(permitted, "amount")?,
        nonce: member(object, "nonce", |text| Nonce::parse(text).ok())?,
        deadline: time(object, "deadline")?,
        to: address(witness, "to")?,
        valid_after: time(witness, "validAfter")?,
        kind,
    })
}

fn member<T>(object: Object<'_>, key: &str, read: impl Fn(&str) -> Option<T>) -> Option<T> {
    short(object.get(key)?.as_text()?, read)
}

fn address(object: Object<'_>, key: &str) -> Option<Address> {
    member(object, key, |text| Address::parse(text).ok())
}

fn amount(object: Object<'_>, key: &str) -> Option<Amount> {
    member(object, key, |text| Amount::parse(text).ok())
}

fn time(object: Object<'_>, key: &str) -> Option<Timestamp> {
    member(object, key, |text| Timestamp::parse(text).ok())
}

/// The signature of an account with a key, or why it is none; `None` where the text is no hex.
fn signature_of(text: &str) -> Option<Result<Signature, SignatureError>> {
    let digits = text.strip_prefix("0x")?;
    if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) || !digits.len().is_multiple_of(2) {
        return None;
    }
    let mut bytes = [0; Signature::LEN];
    let Ok(bytes) = hex::decode_into(text, &mut bytes) else {
        return Some(Err(SignatureError::Length));
    };
    let Ok(mut rsv) = <[u8; Signature::LEN]>::try_from(bytes) else {
        return Some(Signature::from_slice(bytes));
    };
    // Signers that count from 0 are taken for what they mean; the token is told 27 or 28.
    if let [.., v @ (0 | 1)] = &mut rsv {
        *v += 27;
    }
    Some(Signature::from_rsv(&rsv))
}
