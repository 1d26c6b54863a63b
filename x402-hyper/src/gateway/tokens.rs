//! What is sold by the token.

use std::sync::Arc;

use bytes::Bytes;
use http::header::ACCEPT_ENCODING;
use http::{request, response};
use x402_core::Amount;
use x402_core::PriceError;
use x402_core::tariff::QuoteError;
use x402_std::config::{OwnedTariff, Sold, TokenRules};
use x402_std::metering::request::RequestBody;
use x402_std::metering::usage::{TokenUsage, UsageMeter, UsageSource};

use super::price::{field, only_field, set_amount};
use crate::server::{Meter, Metering, Passage, Quote, Sale};

/// A price by the token.
pub(super) struct Tokens {
    sold: Sold,
    rules: Arc<TokenRules>,
    /// With an offer of nothing.
    pub(super) sale: Sale,
}

impl Tokens {
    pub(super) fn new(sale: Sale, sold: &Sold, rules: &TokenRules) -> Self {
        Self { sold: sold.clone(), rules: Arc::new(rules.clone()), sale }
    }

    /// The ceiling of a request.
    pub(super) fn quote(&self, request: &request::Parts, body: &[u8]) -> Quote {
        let body = RequestBody::read(body, |name| only_field(&request.headers, name));
        let usage = match self.sold.ceiling(&body, 0) {
            Ok(usage) => usage,
            Err(error) => return Quote::Unpriced(error.to_string()),
        };
        let amount = match self.sold.tariff.quote(&usage, &()) {
            Ok(amount) => amount,
            Err(error) => return Quote::Unpriced(error.to_string()),
        };
        let mut sale = self.sale.clone();
        set_amount(&mut sale, amount);
        sale.metering = Some(Arc::new(TokenMetering {
            tariff: self.sold.tariff.clone(),
            rules: Arc::clone(&self.rules),
            counted: body.count_input().tokens(),
        }));
        Quote::Paid(Arc::new(sale))
    }
}

/// Measures the answer to a request of so many tokens.
#[derive(Debug)]
struct TokenMetering {
    tariff: OwnedTariff,
    rules: Arc<TokenRules>,
    counted: u64,
}

impl Metering for TokenMetering {
    fn prepare(&self, head: &mut request::Parts, body: Option<&Bytes>) -> Option<Bytes> {
        // The usage is read as it passes, and what is compressed cannot be.
        head.headers.remove(ACCEPT_ENCODING);
        if !self.rules.include_usage || self.rules.usage != UsageSource::OpenAi {
            return None;
        }
        let body = RequestBody::read(body?, |name| field(&head.headers, name));
        body.with_usage_included().map(Bytes::from)
    }

    fn meter(&self, answer: &response::Parts) -> Box<dyn Meter> {
        let meter = UsageMeter::new(&self.rules.usage, |name| field(&answer.headers, name));
        Box::new(TokenMeter { meter, tariff: self.tariff.clone(), counted: self.counted })
    }
}

struct TokenMeter {
    meter: UsageMeter,
    tariff: OwnedTariff,
    counted: u64,
}

impl Meter for TokenMeter {
    fn feed(&mut self, data: &[u8]) {
        self.meter.feed(data);
    }

    fn cost(self: Box<Self>, passage: &Passage) -> Amount {
        let estimate = self.meter.passed().estimate(self.counted);
        let usage = match self.meter.finish() {
            Some(usage) if passage.is_whole => usage,
            // What was said at the beginning is of the beginning.
            Some(said) => TokenUsage { output: said.output.max(estimate.output), ..said },
            None => {
                if passage.is_whole {
                    tracing::warn!("the upstream does not say how many tokens it used: estimated");
                }
                estimate
            }
        };
        charge(&self.tariff, usage, passage.ceiling)
    }
}

/// What is due for a usage: never nothing, and never more than the ceiling.
pub(super) fn charge(
    tariff: &OwnedTariff,
    usage: impl Into<x402_core::tariff::Usage>,
    ceiling: Amount,
) -> Amount {
    match tariff.charge(&usage.into(), &(), ceiling) {
        Ok(amount) => amount,
        Err(QuoteError::Price(PriceError::Zero)) => Amount::from_units(1),
        Err(_) => ceiling,
    }
}
