//! The request, with the payment where one is kept.

use core::fmt;
use core::marker::PhantomData;

use super::super::dialects::Dialects;
use super::answer::Dialect;
use crate::Asset;
use crate::headers::{SignatureForm, SignedPayment};
use crate::hex::Hex;
use crate::plain::{Decimal, Plain};
use crate::wire::base64::Base64;
use crate::wire::{AuthorizationV1, AuthorizationV2};

/// A request that may have to be paid.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The method: `GET`.
    pub method: &'a str,
    /// The path and query: `/api/analyze`.
    pub target: &'a str,
    /// The field `Host`.
    pub host: &'a str,
    /// Other fields, names and values. The length of the body is told without them, and a payment has an
    /// `Idempotency-Key` of its own.
    pub fields: &'a [(&'a str, &'a str)],
    /// The body; may be empty.
    pub body: &'a [u8],
}

impl Request<'_> {
    /// Whether nothing in it ends a line, or a word where words count.
    pub(super) fn is_valid(&self) -> bool {
        let is_word = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic());
        let is_line = |text: &str| text.bytes().all(|b| b == b' ' || b.is_ascii_graphic());
        let is_field =
            |(name, value): &(&str, &str)| is_word(name) && !name.contains(':') && is_line(value);
        let words = [self.method, self.target, self.host];
        words.into_iter().all(is_word) && self.fields.iter().all(is_field)
    }
}

/// Signed, and to be sent until it is answered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Prepared {
    pub(super) payment: SignedPayment,
    pub(super) key: [u8; 16],
    pub(super) dialect: Dialect,
}

/// The head of a request.
pub(super) struct Message<'m, D> {
    pub(super) request: &'m Request<'m>,
    pub(super) payment: Option<Payment<'m>>,
    pub(super) dialects: PhantomData<D>,
}

/// The payment that goes with it, and the offer that it answers.
pub(super) struct Payment<'m> {
    pub(super) prepared: &'m Prepared,
    pub(super) asset: &'m Asset<'m>,
    pub(super) offer: &'m [u8],
}

impl<D: Dialects> fmt::Display for Message<'_, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Request { method, target, host, fields, body } = *self.request;
        let [method, target, host] = [method, target, host].map(Plain);
        write!(f, "{method} {target} HTTP/1.1\r\nHost: {host}\r\n")?;
        for (name, value) in fields {
            write!(f, "{}: {}\r\n", Plain(name), Plain(value))?;
        }
        if !body.is_empty() {
            write!(f, "Content-Length: {}\r\n", Decimal::of(body.len()))?;
        }
        if let Some(payment) = &self.payment {
            payment.write::<D>(f)?;
            write!(f, "Idempotency-Key: \"{}\"\r\n", Hex(&payment.prepared.key))?;
        }
        f.write_str("\r\n")
    }
}

impl Payment<'_> {
    fn write<D: Dialects>(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let signed = &self.prepared.payment;
        match self.prepared.dialect {
            Dialect::Headers if D::HEADERS => self.headers(f),
            Dialect::V1 if D::V1 => {
                let payload = AuthorizationV1 { signed, chain_id: self.asset.chain_id };
                write!(f, "X-PAYMENT: {}\r\n", Base64(payload))
            }
            Dialect::V2(length) if D::V2 => {
                let accepted = self.offer.get(..length);
                let accepted = accepted.and_then(|bytes| core::str::from_utf8(bytes).ok());
                let payload = AuthorizationV2 { signed, accepted: accepted.ok_or(fmt::Error)? };
                write!(f, "PAYMENT-SIGNATURE: {}\r\n", Base64(payload))
            }
            // No offer was chosen in a dialect that is not spoken.
            Dialect::Headers | Dialect::V1 | Dialect::V2(_) => Err(fmt::Error),
        }
    }

    fn headers(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut written = Ok(());
        self.prepared.payment.emit(self.asset, SignatureForm::Packed, |field, value| {
            if written.is_ok() {
                written = field.write(f, value);
            }
        });
        written
    }
}
