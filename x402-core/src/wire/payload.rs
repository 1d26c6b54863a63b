use super::json::{self, Object, Text, Value, Wanted};
use super::requirements::{self, optional_object, text};
use super::{PaymentRequirements, Version, WireError, short};
use crate::permit2::{EXACT_PROXY, Kind, Permit, UPTO_PROXY};
use crate::{Address, Amount, Authorization, ChainId, Error, Nonce, Offer, Payment, Signature};
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
    /// Of the payload: `authorization`, `permit2Authorization` and `signature`.
    of_payload: [Option<Value<'a>>; 3],
    /// The members of the authorization, in the order in which they are signed.
    of_authorization: [Option<Value<'a>>; 6],
}

/// How many members are found while a payload is checked.
const PLACES: usize = 23;

const WANTED: &[Wanted] = &[
    Wanted::new("x402Version", 0),
    Wanted::object(
        "payload",
        3,
        &[
            Wanted::object(
                "authorization",
                7,
                &[
                    Wanted::new("from", 17),
                    Wanted::new("to", 18),
                    Wanted::new("value", 19),
                    Wanted::new("validAfter", 20),
                    Wanted::new("validBefore", 21),
                    Wanted::new("nonce", 22),
                ],
            ),
            Wanted::new("permit2Authorization", 8),
            Wanted::new("signature", 9),
        ],
    ),
    Wanted::new("resource", 4),
    Wanted::new("extensions", 5),
    Wanted::object(
        "accepted",
        6,
        &[
            Wanted::new("scheme", 10),
            Wanted::new("network", 11),
            Wanted::new("amount", 12),
            Wanted::new("asset", 13),
            Wanted::new("payTo", 14),
            Wanted::new("maxTimeoutSeconds", 15),
            Wanted::new("extra", 16),
        ],
    ),
    Wanted::new("scheme", 1),
    Wanted::new("network", 2),
];

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
        Self::found(json::parse_for(json, WANTED)?)
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
        Self::parse(raw.raw().as_bytes())
    }

    fn found((raw, members): (Value<'a>, [Option<Value<'a>>; PLACES])) -> Result<Self, WireError> {
        let (outer, members) = members.split_first_chunk::<7>().ok_or(WireError::Shape)?;
        let (of_payload, members) = members.split_first_chunk().ok_or(WireError::Shape)?;
        let (of_accepted, of_authorization) =
            members.split_first_chunk().ok_or(WireError::Shape)?;
        let [version, scheme, network, payload, resource, extensions, accepted] = *outer;
        let version = Version::read(version)?;
        let accepted = match version {
            Version::V1 => None,
            Version::V2 => {
                let raw = accepted.ok_or(WireError::Shape)?;
                Some(PaymentRequirements::found(version, raw, *of_accepted)?)
            }
        };
        let (scheme, network) = match accepted {
            Some(accepted) => (accepted.scheme, accepted.network),
            None => (text(scheme)?, text(network)?),
        };
        Ok(Self {
            version,
            raw,
            scheme,
            network,
            accepted,
            resource: optional_object(resource)?,
            extensions: optional_object(extensions)?,
            payload: payload.and_then(Value::as_object).ok_or(WireError::Shape)?,
            of_payload: *of_payload,
            of_authorization: of_authorization.try_into().map_err(|_| WireError::Shape)?,
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
    /// and 64 digits, of a permit a decimal, or `0x` and digits. A `v` other than 27 and
    /// 28 is no signature: the token takes no other.
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
            (Some(accepted), Transfer::Eip3009(_)) if accepted.is_in(asset) => asset,
            _ => self.asset(&transfer).ok_or(SHAPE)?,
        };
        self.signed(chain_id, stated, transfer)
    }

    fn signed(
        &self,
        chain_id: ChainId,
        asset: Address,
        transfer: Transfer,
    ) -> Result<Payment, Error> {
        let signature = self.signature_text().ok_or(SHAPE)?;
        let signature = short(signature, signature_of).ok_or(SHAPE)?;
        Ok(Payment { chain_id, asset, transfer, signature })
    }

    /// The payment, where it is for this offer: what it says it accepted must be the offer in all that
    /// it is judged by.
    ///
    /// # Errors
    ///
    /// [`Error::Network`], [`Error::Scheme`], [`Error::Asset`], [`Error::Recipient`] or
    /// [`Error::Amount`] where it is for another, and as [`Self::payment`].
    pub fn resolve(&self, offer: &Offer<'_>) -> Result<Payment, Error> {
        let terms = offer.requirements();
        if self.chain_id() != Some(terms.chain_id) {
            return Err(Error::Network);
        }
        if self.scheme != *terms.scheme.name() {
            return Err(Error::Scheme);
        }
        let transfer = self.transfer(permit_of)?;
        if let Some(accepted) = &self.accepted {
            accepted.check(terms, transfer.value())?;
        }
        let asset = match transfer {
            Transfer::Permit2(permit) => permit.token,
            Transfer::Eip3009(_) => terms.asset,
        };
        self.signed(terms.chain_id, asset, transfer)
    }

    /// The signature's bytes, of whatever length: what a contract wallet is asked about.
    ///
    /// `None` where it is no hex or does not fit `out`, for which [`MAX_SIGNATURE_LEN`] is enough.
    pub fn signature<'o>(&self, out: &'o mut [u8]) -> Option<&'o [u8]> {
        let text = self.signature_text()?.plain()?;
        hex::decode_into(text, out).ok()
    }

    fn signature_text(&self) -> Option<Text<'a>> {
        let [.., signature] = self.of_payload;
        signature?.as_text()
    }

    /// What was signed: the shape of the payload says by which method.
    fn transfer(
        &self,
        permit_of: impl Fn(Object<'a>) -> Result<Permit, Error>,
    ) -> Result<Transfer, Error> {
        match self.of_payload {
            [Some(authorization), None, _] => {
                authorization.as_object().ok_or(SHAPE)?;
                authorization_of(self.of_authorization).map(Transfer::Eip3009).ok_or(SHAPE)
            }
            [None, Some(permit), _] => {
                permit_of(permit.as_object().ok_or(SHAPE)?).map(Transfer::Permit2)
            }
            _ => Err(SHAPE),
        }
    }
}

const SHAPE: Error = Error::Payload(WireError::Shape);

fn authorization_of(members: [Option<Value<'_>>; 6]) -> Option<Authorization> {
    let [from, to, value, valid_after, valid_before, nonce] = members;
    Some(Authorization {
        from: address(from)?,
        to: address(to)?,
        value: amount(value)?,
        valid_after: time(valid_after)?,
        valid_before: time(valid_before)?,
        nonce: member(nonce, |text| hex::decode(text).ok().map(Nonce::new))?,
    })
}

fn permit_of(object: Object<'_>) -> Result<Permit, Error> {
    let witness = object.get("witness").and_then(Value::as_object).ok_or(SHAPE)?;
    let kind = match address(object.get("spender")).ok_or(SHAPE)? {
        EXACT_PROXY => Kind::Exact,
        UPTO_PROXY => Kind::Upto { facilitator: address(witness.get("facilitator")).ok_or(SHAPE)? },
        _ => return Err(Error::Spender),
    };
    permit_members(object, witness, kind).ok_or(SHAPE)
}

fn permit_members(object: Object<'_>, witness: Object<'_>, kind: Kind) -> Option<Permit> {
    let permitted = object.get("permitted")?.as_object()?;
    Some(Permit {
        from: address(object.get("from"))?,
        token: address(permitted.get("token"))?,
        amount: amount(permitted.get("amount"))?,
        nonce: member(object.get("nonce"), |text| Nonce::parse(text).ok())?,
        deadline: time(object.get("deadline"))?,
        to: address(witness.get("to"))?,
        valid_after: time(witness.get("validAfter"))?,
        kind,
    })
}

fn member<T>(value: Option<Value<'_>>, read: impl Fn(&str) -> Option<T>) -> Option<T> {
    short(value?.as_text()?, read)
}

/// An address in whatever case: one that is mistyped is not what was signed, or not who is to be paid.
fn address(value: Option<Value<'_>>) -> Option<Address> {
    member(value, |text| hex::decode(text).ok().map(Address::new))
}

fn amount(value: Option<Value<'_>>) -> Option<Amount> {
    member(value, |text| Amount::parse(text).ok())
}

fn time(value: Option<Value<'_>>) -> Option<Timestamp> {
    member(value, |text| Timestamp::parse(text).ok())
}

/// The signature of an account with a key, or why it is none; `None` where the text is no hex.
fn signature_of(text: &str) -> Option<Result<Signature, SignatureError>> {
    let mut bytes = [0; Signature::LEN];
    let Ok(bytes) = hex::decode_into(text, &mut bytes) else {
        let digits = text.strip_prefix("0x")?.as_bytes();
        let is_hex = digits.iter().all(u8::is_ascii_hexdigit) && digits.len().is_multiple_of(2);
        return is_hex.then_some(Err(SignatureError::Length));
    };
    Some(Signature::from_slice(bytes))
}

#[cfg(test)]
mod tests {
    use std::string::String;

    use super::*;
    use crate::Asset;

    const FROM: &str = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";
    const PAY_TO: &str = "0x209693Bc6afc0C5328bA36FaF03C514EF312287C";
    const USDC: &str = "0x036CbD53842c5426634e7929541eC2318f3dCF7e";

    fn offer() -> Offer<'static> {
        let asset = *Asset::find(ChainId::BASE_SEPOLIA, "USDC").unwrap();
        Offer::new(asset, Address::parse(PAY_TO).unwrap(), Amount::from_units(10_000), 60)
    }

    /// A payment that is for the offer.
    fn payload() -> String {
        std::format!(
            r#"{{"x402Version":2,"payload":{{"authorization":{{"from":"{FROM}","to":"{PAY_TO}",
            "value":"10000","validAfter":"0","validBefore":"1790000060","nonce":"0x{0}{0}"}},
            "signature":"0x{0}{0}{0}{0}1b"}},"accepted":{{"scheme":"exact",
            "network":"eip155:84532","amount":"10000","asset":"{USDC}","payTo":"{PAY_TO}",
            "maxTimeoutSeconds":60,"extra":{{"name":"USDC","version":"2"}}}}}}"#,
            "07".repeat(16)
        )
    }

    fn resolved(json: &str) -> Result<Payment, Error> {
        PaymentPayload::parse(json.as_bytes()).unwrap().resolve(&offer())
    }

    #[test]
    fn a_payment_for_the_offer_is_resolved_in_whatever_case_its_addresses_are() {
        let payment = resolved(&payload()).unwrap();
        assert_eq!(payment.asset, offer().requirements().asset);
        assert_eq!(payment.transfer.from(), Address::parse(FROM).unwrap());
        for address in [FROM, PAY_TO, USDC] {
            let upper = address.to_uppercase().replacen('X', "x", 1);
            for other in [address.to_lowercase(), upper, address.replace('C', "c")] {
                let other = resolved(&payload().replace(address, &other)).unwrap();
                assert_eq!(other.transfer, payment.transfer);
                assert_eq!(other.asset, payment.asset);
            }
        }
    }

    #[test]
    fn a_payment_for_another_offer_is_not() {
        for (of, other, error) in [
            ("eip155:84532", "eip155:8453", Error::Network),
            (r#"scheme":"exact"#, r#"scheme":"upto"#, Error::Scheme),
            (USDC, FROM, Error::Asset),
            (r#"name":"USDC"#, r#"assetTransferMethod":"permit2"#, Error::Scheme),
            (r#"payTo":"0x2"#, r#"payTo":"0x3"#, Error::Recipient),
            (r#"amount":"10000"#, r#"amount":"9999"#, Error::Amount),
            (r#"from":"0x"#, r#"from":"0"#, SHAPE),
            (r#""signature":"#, r#""signed":"#, SHAPE),
        ] {
            assert_eq!(resolved(&payload().replace(of, other)).unwrap_err(), error, "{other}");
        }
    }

    /// The token says `invalid signature` to them, whoever counts from 0.
    #[test]
    fn a_v_of_0_or_1_is_no_signature() {
        assert!(resolved(&payload()).unwrap().signature.is_ok());
        for v in ["00", "01", "02", "1a", "1d", "ff"] {
            let payment = resolved(&payload().replace("071b\"", &std::format!("07{v}\""))).unwrap();
            assert_eq!(payment.signature, Err(SignatureError::V), "{v}");
        }
    }
}
