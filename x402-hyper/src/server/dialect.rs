//! The ways a payment is written in a message's head: the one place that another is added.

use http::{HeaderMap, HeaderName, HeaderValue};
use x402_core::headers::{Field, HeaderError, PaymentHeaders, emit_challenge};
use x402_core::{Code, Error, Offer, Payment};
use x402_std::chain::TxHash;
use x402_std::seller::Receipt;

/// The fields of a request that carry a payment in another dialect: v1 and v2 of x402. They are not
/// read yet: who sends them is told the price as everybody is. They never get past the layer.
const OTHERS_OF_REQUEST: [&str; 2] = ["X-PAYMENT", "PAYMENT-SIGNATURE"];

/// The fields of an answer that speak of a payment in another dialect.
const OTHERS_OF_ANSWER: [&str; 3] = ["X-PAYMENT-RESPONSE", "PAYMENT-REQUIRED", "PAYMENT-RESPONSE"];

/// The fields that a script on another origin is let read, as `Access-Control-Expose-Headers`.
pub(super) const EXPOSED: HeaderValue = HeaderValue::from_static(
    "X-Payment-Required, X-Payment-Amount, X-Payment-Asset, X-Payment-Network, \
     X-Payment-Recipient, X-Payment-Timeout, X-Payment-Error, X-Payment-Status, \
     X-Payment-Transaction, X-Payment-Payer",
);

/// The fields that an answer depends on, as `Vary`.
pub(super) const VARY: HeaderValue = HeaderValue::from_static(
    "X-Payment-Signature, X-Payment-Amount, X-Payment-Asset, X-Payment-Nonce, X-Payment-Network, \
     X-Payment-From, X-Payment-Valid-After, X-Payment-Valid-Before, X-PAYMENT, PAYMENT-SIGNATURE",
);

/// The fields that a script on another origin may send, as `Access-Control-Allow-Headers`: those of
/// a payment, and those that a request with a body needs.
pub(super) const ALLOWED: HeaderValue = HeaderValue::from_static(
    "X-Payment-Signature, X-Payment-Amount, X-Payment-Asset, X-Payment-Nonce, X-Payment-Network, \
     X-Payment-From, X-Payment-Valid-After, X-Payment-Valid-Before, X-PAYMENT, PAYMENT-SIGNATURE, \
     Accept, Authorization, Content-Type",
);

/// What an answer says of a payment that was sent.
#[derive(Clone, Copy)]
pub(super) enum Status {
    Pending,
    Settled,
}

/// A payment as it is attached to a request, in its dialect.
pub(super) enum Attached<'h> {
    Headers(PaymentHeaders<'h>),
}

/// The dialect that a payment came in: its answer is in the same.
#[derive(Clone, Copy, Debug)]
pub(super) enum Dialect {
    Headers,
}

impl<'h> Attached<'h> {
    /// Reads the payment out of a request's head, if there is one.
    pub(super) fn read(headers: &'h HeaderMap) -> Result<Option<Self>, HeaderError> {
        let fields = headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
        Ok(PaymentHeaders::collect(fields)?.map(Self::Headers))
    }

    /// Reads it by the seller's terms.
    pub(super) fn resolve(&self, offer: &Offer<'_>) -> Result<Payment, Error> {
        match self {
            Self::Headers(payment) => payment.resolve(offer),
        }
    }

    pub(super) const fn dialect(&self) -> Dialect {
        match self {
            Self::Headers(_) => Dialect::Headers,
        }
    }
}

impl Dialect {
    /// Says in an answer's head what became of the payment.
    pub(super) fn outcome(self, receipt: &Receipt, headers: &mut HeaderMap) {
        match self {
            Self::Headers => {
                status(Status::Settled, Some(receipt.transaction), headers);
                insert(headers, Field::Payer, &receipt.payer.to_string());
            }
        }
    }
}

/// The terms, in every dialect at once, and the code of the payment that was refused.
pub(super) fn challenge(offer: &Offer<'_>, error: Option<Code>, headers: &mut HeaderMap) {
    emit_challenge(offer, error, |field, value| {
        // A symbol need not be ASCII (USD₮0), a field is: the token's address means the same.
        if field == Field::Asset && !value.is_ascii() {
            return insert(headers, field, &offer.asset().address.to_string());
        }
        insert(headers, field, value);
    });
}

/// How far a payment has come, and the transaction that moves its money.
pub(super) fn status(status: Status, transaction: Option<TxHash>, headers: &mut HeaderMap) {
    let text = match status {
        Status::Pending => "pending",
        Status::Settled => "settled",
    };
    insert(headers, Field::Status, text);
    if let Some(transaction) = transaction {
        insert(headers, Field::Transaction, &transaction.to_string());
    }
}

/// What the payer's fields of a request add up to, in bytes.
pub(super) fn size(headers: &HeaderMap) -> usize {
    let values = of_request().flat_map(|name| headers.get_all(name));
    values.map(HeaderValue::len).sum()
}

/// Removes every field of a payment from a request's head, or its trailers.
pub(super) fn strip_request(headers: &mut HeaderMap) {
    for name in of_request() {
        headers.remove(name);
    }
}

/// Removes every field that only this layer may send from an answer's head, or its trailers.
pub(super) fn strip_answer(headers: &mut HeaderMap) {
    for name in Field::OF_ANSWER.into_iter().map(Field::name).chain(OTHERS_OF_ANSWER) {
        headers.remove(name);
    }
}

/// Whether a field of a request belongs to a payment.
#[cfg(any(feature = "gateway", test))]
pub(crate) fn has_payment(headers: &HeaderMap) -> bool {
    of_request().any(|name| headers.contains_key(name))
}

fn of_request() -> impl Iterator<Item = &'static str> {
    Field::OF_REQUEST.into_iter().map(Field::name).chain(OTHERS_OF_REQUEST)
}

/// Puts a field in place of what the head says under its name.
pub(super) fn insert(headers: &mut HeaderMap, field: Field, value: &str) {
    // The core's names and values are ASCII without control characters; what were not is left out.
    let name = HeaderName::from_bytes(field.name().as_bytes());
    if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(value)) {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_name_every_field() {
        let exposed = Field::OF_ANSWER.map(Field::name).join(", ");
        assert_eq!(EXPOSED.to_str().unwrap(), exposed);
        let read = of_request().collect::<Vec<_>>().join(", ");
        assert_eq!(VARY.to_str().unwrap(), read);
        assert!(ALLOWED.to_str().unwrap().starts_with(&read));
    }

    #[test]
    fn strips_every_spelling() {
        let mut headers = HeaderMap::new();
        for name in of_request() {
            let name = HeaderName::from_bytes(name.to_lowercase().as_bytes()).unwrap();
            headers.append(&name, HeaderValue::from_static("a"));
            headers.append(name, HeaderValue::from_static("b"));
        }
        assert_eq!(size(&headers), 20);
        strip_request(&mut headers);
        assert!(headers.is_empty() && !has_payment(&headers));
    }
}
