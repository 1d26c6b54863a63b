//! The request, with the payment where one is kept.

use core::fmt;

use super::answer::Dialect;
use crate::headers::{SignatureForm, SignedPayment};
use crate::wire::base64::Base64;
use crate::wire::{Answers, SignedPayload};
use crate::{Asset, Signature, Transfer};

/// A request that may have to be paid.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The method: `GET`.
    pub method: &'a str,
    /// The path and query: `/api/analyze`.
    pub target: &'a str,
    /// The field `Host`.
    pub host: &'a str,
    /// Other fields, names and values. The length of the body is told without them.
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
    pub(super) dialect: Dialect,
}

/// The head of a request.
pub(super) struct Message<'m> {
    pub(super) request: &'m Request<'m>,
    pub(super) payment: Option<Payment<'m>>,
}

/// The payment that goes with it, and the offer that it answers.
pub(super) struct Payment<'m> {
    pub(super) prepared: &'m Prepared,
    pub(super) asset: &'m Asset<'m>,
    pub(super) offer: &'m [u8],
}

impl fmt::Display for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Request { method, target, host, fields, body } = *self.request;
        write!(f, "{method} {target} HTTP/1.1\r\nHost: {host}\r\n")?;
        for (name, value) in fields {
            write!(f, "{name}: {value}\r\n")?;
        }
        if !body.is_empty() {
            write!(f, "Content-Length: {}\r\n", body.len())?;
        }
        if let Some(payment) = &self.payment {
            payment.fmt(f)?;
        }
        f.write_str("\r\n")
    }
}

impl fmt::Display for Payment<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SignedPayment { authorization, signature } = self.prepared.payment;
        let Dialect::V2(length) = self.prepared.dialect else {
            return self.headers(f);
        };
        let accepted = self.offer.get(..length).and_then(|bytes| core::str::from_utf8(bytes).ok());
        let payload = SignedPayload {
            transfer: &Transfer::Eip3009(authorization),
            signature: &Signature::to_rsv(&signature),
            answers: Answers::V2 {
                accepted: accepted.ok_or(fmt::Error)?,
                resource: "",
                extensions: "",
            },
        };
        write!(f, "PAYMENT-SIGNATURE: {}\r\n", Base64(payload))
    }
}

impl Payment<'_> {
    fn headers(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut written = Ok(());
        self.prepared.payment.emit(self.asset, SignatureForm::Packed, |field, value| {
            if written.is_ok() {
                written = write!(f, "{field}: {value}\r\n");
            }
        });
        written
    }
}
