use http::{HeaderMap, HeaderName};
use x402_core::headers::{HeaderError, PaymentHeaders};
use x402_core::secp256k1::K256;
use x402_core::wire::base64::{self, Base64Error};
use x402_core::wire::json;
use x402_core::wire::{MAX_SIGNATURE_LEN, PaymentPayload, Version, WireError};
use x402_core::{Error, Offer};
use x402_std::ledger::Identifier;
use x402_std::seller::Presented;

use super::challenge::is_for_headers;
use super::{Dialect, QUOTE, V1_PAYMENT, V2_PAYMENT};
use crate::server::pricing::Sale;

/// A payment as it is attached to a request, in its dialect.
#[allow(clippy::large_enum_variant, reason = "one at a time, on the stack")]
pub(in crate::server) enum Attached<'h> {
    Headers(PaymentHeaders<'h>),
    /// The JSON of a payload, by the field of this version.
    Wire(Version, Vec<u8>),
}

/// A payment, and the offer that it answers.
pub(in crate::server) struct Resolved {
    pub(in crate::server) presented: Presented,
    pub(in crate::server) offer: Offer<'static>,
}

impl<'h> Attached<'h> {
    /// Reads the payment out of a request's head, if there is one: one, in one dialect.
    pub(in crate::server) fn read(headers: &'h HeaderMap) -> Result<Option<Self>, Error> {
        let fields = headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
        let plain = PaymentHeaders::collect(fields).map_err(Error::Malformed)?;
        let v1 = single(headers, &V1_PAYMENT)?;
        let v2 = single(headers, &V2_PAYMENT)?;
        match (plain, v1, v2) {
            (None, None, None) => Ok(None),
            (Some(plain), None, None) => Ok(Some(Self::Headers(plain))),
            (None, Some(text), None) => decode(Version::V1, text).map(Some),
            (None, None, Some(text)) => decode(Version::V2, text).map(Some),
            _ => Err(Error::Malformed(HeaderError::Mixed)),
        }
    }

    /// Reads it by the seller's terms.
    pub(in crate::server) fn resolve(&self, sale: &Sale) -> Result<Resolved, Error> {
        match self {
            Self::Headers(payment) => {
                let offers = sale.offers.iter().filter(|offer| is_for_headers(offer));
                nearest(offers.map(|offer| {
                    let payment = payment.resolve(offer)?;
                    Ok(Resolved { presented: payment.into(), offer: *offer })
                }))
            }
            Self::Wire(version, json) => {
                let payload = PaymentPayload::parse(json).map_err(Error::Payload)?;
                if payload.version != *version {
                    return Err(Error::Payload(WireError::Version));
                }
                let resolved = sale.offers.iter().map(|offer| resolve(&payload, offer));
                match version {
                    Version::V1 => signed_for(resolved),
                    Version::V2 => {
                        let told = told(sale);
                        check_echo(&payload, told)?;
                        let id = identifier(&payload, told)?;
                        nearest(resolved).and_then(|resolved| resolved.identified(id))
                    }
                }
            }
        }
    }

    /// What the seller has signed of the price, as it is echoed.
    pub(in crate::server) fn quote(&self, headers: &HeaderMap) -> Option<String> {
        match self {
            Self::Headers(_) => Some(headers.get(QUOTE)?.to_str().ok()?.to_owned()),
            Self::Wire(_, json) => {
                let payload = PaymentPayload::parse(json).ok()?;
                payload.accepted?.extra_text("quote")?.plain().map(str::to_owned)
            }
        }
    }

    pub(in crate::server) const fn dialect(&self) -> Dialect {
        match self {
            Self::Headers(_) => Dialect::Headers,
            Self::Wire(version, _) => Dialect::Wire(*version),
        }
    }
}

impl Resolved {
    /// With the payer's own name for the purchase.
    fn identified(mut self, id: Option<&str>) -> Result<Self, Error> {
        let payer = self.presented.payment.transfer.from();
        if let Some(id) = id {
            let identifier = Identifier::new(payer, id).ok_or(Error::Identifier)?;
            self.presented.identifier = Some(identifier);
        }
        Ok(self)
    }
}

fn single<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<Option<&'h [u8]>, Error> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (value, None) => Ok(value.map(http::HeaderValue::as_bytes)),
        _ => Err(Error::Malformed(HeaderError::Mixed)),
    }
}

fn decode<'h>(version: Version, text: &[u8]) -> Result<Attached<'h>, Error> {
    let invalid = |error: Base64Error| Error::Payload(WireError::Base64(error));
    let mut json = vec![0; base64::decoded_room(text.len())];
    let length = base64::decode(text, &mut json).map_err(invalid)?.len();
    json.truncate(length);
    Ok(Attached::Wire(version, json))
}

/// The payment, if this is the offer that it answers.
fn resolve(payload: &PaymentPayload<'_>, offer: &Offer<'static>) -> Result<Resolved, Error> {
    let payment = payload.resolve(offer)?;
    let mut buffer = [0; MAX_SIGNATURE_LEN];
    let signature = payload.signature(&mut buffer).unwrap_or_default().to_vec();
    let presented = Presented { signature, ..Presented::from(payment) };
    Ok(Resolved { presented, offer: *offer })
}

/// What a client echoes of the extensions must have all that it was told of them.
fn check_echo(payload: &PaymentPayload<'_>, told: Option<json::Object<'_>>) -> Result<(), Error> {
    let Some(echoed) = payload.extensions else { return Ok(()) };
    for (name, told) in told.into_iter().flat_map(json::Object::iter) {
        let Some(echo) = echoed.iter().find(|(key, _)| *key == name).map(|(_, value)| value) else {
            continue;
        };
        let is_kept = match info(told) {
            Some(told) => info(echo).is_some_and(|echo| echo.includes(told)),
            None => echo.includes(told),
        };
        if !is_kept {
            return Err(Error::Extension);
        }
    }
    Ok(())
}

/// What the seller declares of extensions. It is ours: what cannot be read was never told.
fn told(sale: &Sale) -> Option<json::Object<'_>> {
    json::parse(sale.extensions.as_bytes()).ok().and_then(json::Value::as_object)
}

/// The payer's own name for the purchase, where the seller wants to know it (the extension
/// `payment-identifier`).
fn identifier<'a>(
    payload: &PaymentPayload<'a>,
    told: Option<json::Object<'_>>,
) -> Result<Option<&'a str>, Error> {
    const NAME: &str = "payment-identifier";
    let Some(told) = told.and_then(|told| told.get(NAME)) else { return Ok(None) };
    let required = info(told).and_then(|info| info.as_object()?.get("required")?.as_bool());
    let given = payload.extensions.and_then(|extensions| extensions.get(NAME)).and_then(info);
    match given.and_then(|info| info.as_object()?.get("id")) {
        Some(id) => {
            let id = id.as_text().and_then(json::Text::plain);
            id.map(Some).ok_or(Error::Identifier)
        }
        None if required == Some(true) => Err(Error::Identifier),
        None => Ok(None),
    }
}

fn info(value: json::Value<'_>) -> Option<json::Value<'_>> {
    value.as_object()?.get("info")
}

/// The first that fits; else what is wrong with the one that is nearest to fit.
fn nearest(resolved: impl Iterator<Item = Result<Resolved, Error>>) -> Result<Resolved, Error> {
    let mut nearest = Error::Network;
    for resolved in resolved {
        match resolved {
            Ok(resolved) => return Ok(resolved),
            Err(error) if distance(&error) < distance(&nearest) => nearest = error,
            Err(_) => {}
        }
    }
    Err(nearest)
}

const fn distance(error: &Error) -> u8 {
    match error {
        Error::Network => 4,
        Error::Asset => 3,
        Error::Scheme => 2,
        Error::Recipient => 1,
        _ => 0,
    }
}

/// v1 does not say which token a payment is in: of several offers on its network, it is for the one
/// whose terms it was signed over.
fn signed_for(resolved: impl Iterator<Item = Result<Resolved, Error>>) -> Result<Resolved, Error> {
    let mut fitting = Vec::new();
    let mut nearest = Error::Network;
    for resolved in resolved {
        match resolved {
            Ok(resolved) => fitting.push(resolved),
            Err(error) if distance(&error) < distance(&nearest) => nearest = error,
            Err(_) => {}
        }
    }
    if fitting.len() > 1 {
        let is_signed = |resolved: &Resolved| {
            let terms = resolved.offer.requirements();
            terms.identify(&resolved.presented.payment, &K256).is_ok()
        };
        if let Some(index) = fitting.iter().position(is_signed) {
            return Ok(fitting.swap_remove(index));
        }
    }
    fitting.into_iter().next().ok_or(nearest)
}
