//! The ways a payment is written in a message's head.

mod attached;
mod challenge;

use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue};
use x402_core::headers::Field;
use x402_core::proof;
use x402_core::wire::Version;
use x402_core::wire::base64::Base64;
use x402_core::{Amount, ChainId, Offer};
use x402_std::chain::TxHash;
use x402_std::facilitator::SettleAnswer;
use x402_std::ledger::SecretHash;
use x402_std::seller::{Receipt, Rejection};

use crate::idempotency;

pub(super) use attached::{Attached, Resolved};
pub(super) use challenge::{Terms, challenge};

/// The field of a payment in v1, and of its outcome.
const V1_PAYMENT: HeaderName = HeaderName::from_static("x-payment");
const V1_OUTCOME: HeaderName = HeaderName::from_static("x-payment-response");
/// The field of the terms in v2, of a payment, and of its outcome.
const V2_TERMS: HeaderName = HeaderName::from_static("payment-required");
const V2_PAYMENT: HeaderName = HeaderName::from_static("payment-signature");
const V2_OUTCOME: HeaderName = HeaderName::from_static("payment-response");

/// What a request says of minutes that it would buy.
pub(crate) const MINUTES: &str = "X-Payment-Minutes";
/// What a payer has of this seller already: a price that was said, a pass, and the name of a balance.
pub(super) const QUOTE: &str = "X-Payment-Quote";
pub(super) const PASS: &str = "X-Payment-Pass";
pub(super) const CREDIT: &str = "X-Payment-Credit";
/// When the pass ends, in Unix seconds; and what is left of the balance, in units of the asset.
pub(super) const PASS_EXPIRES: &str = "X-Payment-Pass-Expires";
/// When the name of the balance ends, in Unix seconds; and why it is not told.
pub(super) const CREDIT_EXPIRES: &str = "X-Payment-Credit-Expires";
pub(super) const CREDIT_WITHHELD: &str = "X-Payment-Credit-Withheld";
pub(super) const BALANCE: &str = "X-Payment-Balance";

/// The fields that a script on another origin is let read, as `Access-Control-Expose-Headers`: those of a
/// payment, and when to ask again.
pub(super) const EXPOSED: HeaderValue = HeaderValue::from_static(
    "X-Payment-Required, X-Payment-Amount, X-Payment-Asset, X-Payment-Network, \
     X-Payment-Recipient, X-Payment-Timeout, X-Payment-Error, X-Payment-Status, \
     X-Payment-Transaction, X-Payment-Payer, X-PAYMENT-RESPONSE, PAYMENT-REQUIRED, \
     PAYMENT-RESPONSE, X-Payment-Quote, X-Payment-Pass, X-Payment-Pass-Expires, X-Payment-Credit, \
     X-Payment-Credit-Expires, X-Payment-Credit-Withheld, X-Payment-Balance, Retry-After",
);

/// The fields that an answer depends on, as `Vary`.
pub(super) const VARY: HeaderValue = HeaderValue::from_static(
    "X-Payment-Signature, X-Payment-Amount, X-Payment-Asset, X-Payment-Nonce, X-Payment-Network, \
     X-Payment-From, X-Payment-Valid-After, X-Payment-Valid-Before, X-PAYMENT, PAYMENT-SIGNATURE, \
     X-Payment-Quote, X-Payment-Pass, X-Payment-Credit, X-Payment-Minutes, X-Payment-Proof",
);

/// The fields that a script on another origin sends with a payment, as `Access-Control-Allow-Headers`. The
/// official clients send one that is an answer's.
pub(super) const OF_PAYMENT: HeaderValue = HeaderValue::from_static(
    "X-Payment-Signature, X-Payment-Amount, X-Payment-Asset, X-Payment-Nonce, X-Payment-Network, \
     X-Payment-From, X-Payment-Valid-After, X-Payment-Valid-Before, X-PAYMENT, PAYMENT-SIGNATURE, \
     X-Payment-Quote, X-Payment-Pass, X-Payment-Credit, X-Payment-Minutes, X-Payment-Proof, \
     Access-Control-Expose-Headers, Idempotency-Key",
);

/// The fields that most scripts send.
pub(super) const USUAL: [HeaderName; 3] = [ACCEPT, AUTHORIZATION, CONTENT_TYPE];

/// The dialect that a payment came in: its answer is in the same.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Dialect {
    Headers,
    Wire(Version),
}

impl Dialect {
    /// Says in an answer's head what became of the payment, and how much of a ceiling was taken.
    pub(super) fn outcome(
        self,
        receipt: &Receipt,
        chain_id: ChainId,
        taken: Option<Amount>,
        headers: &mut HeaderMap,
    ) {
        let Receipt { payer, transaction } = *receipt;
        match self {
            Self::Headers => {
                insert(headers, Field::Status, transaction.map_or("accepted", |_| "settled"));
                if let Some(transaction) = transaction {
                    insert(headers, Field::Transaction, &transaction.to_string());
                }
                insert(headers, Field::Payer, &payer.to_string());
            }
            Self::Wire(version) => settlement(version, headers, |answer| SettleAnswer {
                transaction,
                chain_id: Some(chain_id),
                payer: Some(payer),
                amount: taken,
                ..answer
            }),
        }
    }

    /// Says in an answer's head that the money has not arrived, and as much as is known of why:
    /// `reason` is the specification's.
    pub(super) fn failure(
        self,
        rejection: &Rejection,
        reason: &str,
        chain_id: ChainId,
        headers: &mut HeaderMap,
    ) {
        match self {
            Self::Headers => {
                let Some(transaction) = rejection.transaction else { return };
                // One that is pending has said so.
                if !headers.contains_key(Field::Status.name()) {
                    insert(headers, Field::Status, "failed");
                }
                insert(headers, Field::Transaction, &transaction.to_string());
                if let Some(payer) = rejection.payer {
                    insert(headers, Field::Payer, &payer.to_string());
                }
            }
            Self::Wire(version) => settlement(version, headers, |answer| SettleAnswer {
                reason: Some(reason.to_owned()),
                message: rejection.refusal.to_string(),
                transaction: rejection.transaction,
                chain_id: Some(chain_id),
                payer: rejection.payer,
                ..answer
            }),
        }
    }
}

/// Puts the receipt of v1 or v2 into a head.
fn settlement(
    version: Version,
    headers: &mut HeaderMap,
    fill: impl FnOnce(SettleAnswer) -> SettleAnswer,
) {
    let answer = fill(SettleAnswer {
        version,
        reason: None,
        message: String::new(),
        transaction: None,
        chain_id: None,
        payer: None,
        amount: None,
    });
    let name = match version {
        Version::V1 => V1_OUTCOME,
        Version::V2 => V2_OUTCOME,
    };
    if let Ok(value) = HeaderValue::try_from(Base64(answer.to_json()).to_string()) {
        headers.insert(name, value);
    }
}

/// Takes the name of a balance out of a head that others could read on its way, and says how to have it.
pub(super) fn withhold(headers: &mut HeaderMap) {
    if headers.remove(CREDIT).is_some() {
        headers.remove(CREDIT_EXPIRES);
        let why = "insecure_transport: ask for it over HTTPS with X-Payment-Credit: new, \
                   X-Payment-From and X-Payment-Proof";
        tell(headers, CREDIT_WITHHELD, why);
    }
}

/// That nothing was charged.
pub(super) fn not_charged(headers: &mut HeaderMap) {
    insert(headers, Field::Status, "not-charged");
}

/// How far a payment has come that was sent to the chain, in the header dialect.
pub(super) fn pending(transaction: Option<TxHash>, headers: &mut HeaderMap) {
    insert(headers, Field::Status, "pending");
    if let Some(transaction) = transaction {
        insert(headers, Field::Transaction, &transaction.to_string());
    }
}

/// How much a payer has with the seller, in units of the asset.
pub(super) fn balance(balance: Amount, offer: &Offer<'_>, headers: &mut HeaderMap) {
    let price = balance.to_price(offer.asset().decimals);
    tell(headers, BALANCE, &price.to_string());
}

/// What the payer's fields of a request add up to, in bytes; `None` where there are none.
pub(super) fn size(headers: &HeaderMap) -> Option<usize> {
    let fields = headers.iter().filter(|(name, _)| is_of_request(name));
    fields.map(|(_, value)| value.len()).reduce(|sum, len| sum + len)
}

/// Whether a field of what a payer has already, or asks for, is there more than once: none of them is
/// taken in silence.
pub(super) fn is_twice(headers: &HeaderMap) -> bool {
    let names = [QUOTE, PASS, CREDIT, MINUTES, proof::FIELD, idempotency::NAME];
    names.iter().any(|name| headers.get_all(*name).iter().count() > 1)
}

/// What goes with a payment and never to the chain: who shows it again is its payer. A key of another form is
/// the client's own business, and shows nothing.
pub(super) fn secret(headers: &HeaderMap) -> Option<SecretHash> {
    SecretHash::of_key(&idempotency::read(headers).ok()??)
}

/// Removes every field of a payment from a request's head, or its trailers.
pub(super) fn strip_request(headers: &mut HeaderMap) {
    // Most requests have none, and one look at what they have is less than one for each name.
    if headers.keys().any(is_of_request) {
        for name in of_request() {
            headers.remove(name);
        }
    }
}

/// Removes every field that only this layer may send from an answer's head, or its trailers.
pub(super) fn strip_answer(headers: &mut HeaderMap) {
    for name in of_answer() {
        headers.remove(name);
    }
}

/// Whether a field of a request belongs to a payment.
#[cfg(any(feature = "gateway", test))]
pub(crate) fn has_payment(headers: &HeaderMap) -> bool {
    headers.keys().any(is_of_request)
}

/// Whether a field belongs to a payment.
fn is_of_request(name: &HeaderName) -> bool {
    let name = name.as_str();
    let is_likely = name.starts_with("x-payment") || name.starts_with("payment");
    is_likely && of_request().any(|known| known.eq_ignore_ascii_case(name))
}

fn of_request() -> impl Iterator<Item = &'static str> {
    let others = ["X-PAYMENT", "PAYMENT-SIGNATURE", QUOTE, PASS, CREDIT, MINUTES, proof::FIELD];
    Field::OF_REQUEST.into_iter().map(Field::name).chain(others)
}

fn of_answer() -> impl Iterator<Item = &'static str> {
    let others = [
        "X-PAYMENT-RESPONSE",
        "PAYMENT-REQUIRED",
        "PAYMENT-RESPONSE",
        QUOTE,
        PASS,
        PASS_EXPIRES,
        CREDIT,
        CREDIT_EXPIRES,
        CREDIT_WITHHELD,
        BALANCE,
    ];
    Field::OF_ANSWER.into_iter().map(Field::name).chain(others)
}

/// Puts a field in place of what the head says under its name.
pub(super) fn insert(headers: &mut HeaderMap, field: Field, value: &str) {
    tell(headers, field.name(), value);
}

/// Puts a field of that name in place of what the head says under it.
pub(super) fn tell(headers: &mut HeaderMap, name: &str, value: &str) {
    // Our names and values are ASCII without control characters; what were not is left out.
    let name = HeaderName::from_bytes(name.as_bytes());
    if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(value)) {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use x402_core::Address;
    use x402_core::wire::base64;

    use super::*;

    #[test]
    fn lists_name_every_field() {
        let exposed = of_answer().collect::<Vec<_>>().join(", ");
        assert!(EXPOSED.to_str().unwrap().starts_with(&exposed));
        let read = of_request().collect::<Vec<_>>().join(", ");
        assert_eq!(VARY.to_str().unwrap(), read);
        assert!(OF_PAYMENT.to_str().unwrap().starts_with(&read));
    }

    #[test]
    fn of_a_ceiling_the_receipt_says_what_was_taken() {
        let (payer, transaction) = (Address::ZERO, Some(TxHash([1; 32])));
        let receipt = Receipt { payer, transaction };
        for (taken, member) in [(Some(Amount::from_units(2500)), r#""amount":"2500""#), (None, "")]
        {
            let mut headers = HeaderMap::new();
            let dialect = Dialect::Wire(Version::V2);
            dialect.outcome(&receipt, ChainId::BASE, taken, &mut headers);
            let text = headers["payment-response"].as_bytes();
            let mut json = vec![0; base64::decoded_room(text.len())];
            let json = core::str::from_utf8(base64::decode(text, &mut json).unwrap()).unwrap();
            assert!(json.contains(member), "{json}");
            assert_eq!(json.contains("amount"), taken.is_some());
        }
    }

    #[test]
    fn strips_every_spelling() {
        let mut headers = HeaderMap::new();
        for name in of_request() {
            let name = HeaderName::from_bytes(name.to_lowercase().as_bytes()).unwrap();
            headers.append(&name, HeaderValue::from_static("a"));
            headers.append(name, HeaderValue::from_static("b"));
        }
        assert_eq!(size(&headers), Some(2 * of_request().count()));
        strip_request(&mut headers);
        assert!(headers.is_empty() && !has_payment(&headers) && size(&headers).is_none());
    }
}
