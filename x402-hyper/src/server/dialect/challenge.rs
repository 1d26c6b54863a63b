use http::{HeaderMap, HeaderValue};
use x402_core::headers::{Field, emit_challenge};
use x402_core::wire::base64::Base64;
use x402_core::wire::{Challenge, PaymentFlow, Resource};
use x402_core::{Code, Offer, Scheme, TransferMethod};
use x402_std::ledger::Settle;

use super::{V2_TERMS, insert};
use crate::server::pricing::Sale;

/// The terms in every dialect at once: fields into the head, and the members of v1's body.
///
/// `code` and `reason` are of the payment that was refused, if there was one; `url` is what was
/// asked for.
pub(in crate::server) fn challenge(
    sale: &Sale,
    url: &str,
    code: Option<Code>,
    reason: Option<&str>,
    headers: &mut HeaderMap,
) -> String {
    if let Some(offer) = sale.offers.iter().find(|offer| is_for_headers(offer)) {
        emit_challenge(offer, code, |field, value| {
            // A symbol need not be ASCII (USD₮0), a field is: the token's address means the same.
            if field == Field::Asset && !value.is_ascii() {
                return insert(headers, field, &offer.asset().address.to_string());
            }
            insert(headers, field, value);
        });
    }
    let mut terms = terms(sale, url, reason.unwrap_or("Payment required"));
    if let Ok(value) = HeaderValue::try_from(Base64(terms.v2()).to_string()) {
        headers.insert(V2_TERMS, value);
    }
    // The words of the official servers, whose clients show them.
    terms.error = reason.unwrap_or("X-PAYMENT header is required");
    terms.v1_members().to_string()
}

/// The terms of a sale as v1 and v2 say them.
fn terms<'a>(sale: &'a Sale, url: &'a str, error: &'a str) -> Challenge<'a> {
    Challenge {
        error,
        resource: Resource { url, description: &sale.description, mime_type: &sale.mime_type },
        offers: &sale.offers,
        flow: match sale.settle {
            Settle::First => PaymentFlow::Upfront,
            Settle::After | Settle::Later => PaymentFlow::Authorization,
        },
        extensions: &sale.extensions,
        output_schema: &sale.output_schema,
    }
}

/// Whether the header dialect can say how to pay so.
pub(super) fn is_for_headers(offer: &Offer<'_>) -> bool {
    offer.requirements().scheme == Scheme::Exact(TransferMethod::Eip3009)
}
