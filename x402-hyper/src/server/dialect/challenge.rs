use http::{HeaderMap, HeaderValue};
use x402_core::headers::{Field, emit_challenge};
use x402_core::wire::base64::Base64;
use x402_core::wire::{Challenge, PaymentFlow, Resource};
use x402_core::{Code, Offer, Scheme, TransferMethod};
use x402_std::ledger::Settle;

use super::{QUOTE, V2_TERMS, insert, tell};
use crate::server::pricing::Sale;

/// What is to be said of a price.
#[derive(Clone, Copy)]
pub(in crate::server) struct Terms<'a> {
    pub(in crate::server) sale: &'a Sale,
    /// What was asked for.
    pub(in crate::server) url: &'a str,
    /// What is signed of each offer, if anything.
    pub(in crate::server) quotes: &'a [&'a str],
}

/// The terms in every dialect at once: fields into the head, and the members of v1's body.
///
/// `code` and `reason` are of the payment that was refused, if there was one.
pub(in crate::server) fn challenge(
    terms: &Terms<'_>,
    code: Option<Code>,
    reason: Option<&str>,
    headers: &mut HeaderMap,
) -> String {
    let mut offers = terms.sale.offers.iter().enumerate();
    if let Some((index, offer)) = offers.find(|(_, offer)| is_for_headers(offer)) {
        if let Some(quote) = terms.quotes.get(index) {
            tell(headers, QUOTE, quote);
        }
        emit_challenge(offer, code, |field, value| {
            // A symbol need not be ASCII (USD₮0), a field is: the token's address means the same.
            if field == Field::Asset && !value.is_ascii() {
                return insert(headers, field, &offer.asset().address.to_string());
            }
            insert(headers, field, value);
        });
    }
    let mut terms = terms.challenge(reason.unwrap_or("Payment required"));
    if let Ok(value) = HeaderValue::try_from(Base64(terms.v2()).to_string()) {
        headers.insert(V2_TERMS, value);
    }
    // The words of the official servers, whose clients show them.
    terms.error = reason.unwrap_or("X-PAYMENT header is required");
    terms.v1_members().to_string()
}

impl<'a> Terms<'a> {
    /// The terms as v1 and v2 say them.
    fn challenge(&self, error: &'a str) -> Challenge<'a> {
        let Self { sale, url, quotes } = *self;
        Challenge {
            error,
            resource: Resource { url, description: &sale.description, mime_type: &sale.mime_type },
            offers: &sale.offers,
            quotes,
            flow: match sale.settle {
                Settle::First => PaymentFlow::Upfront,
                Settle::After | Settle::Later => PaymentFlow::Authorization,
            },
            extensions: &sale.extensions,
            output_schema: &sale.output_schema,
        }
    }
}

/// Whether the header dialect can say how to pay so.
pub(super) fn is_for_headers(offer: &Offer<'_>) -> bool {
    offer.requirements().scheme == Scheme::Exact(TransferMethod::Eip3009)
}
