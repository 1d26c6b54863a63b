//! What a route costs: the same for every request, or by its facts.

use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use x402_core::condition::ConditionError;
use x402_core::tariff::{Model, QuoteError, Usage};
use x402_core::{Amount, Offer};
use x402_std::config::{OwnedTariff, Sold};
use x402_std::metering::request::{MAX_JSON_BYTES, RequestBody, RequestFacts};

use crate::server::{Quote, Sale};

/// The price of a rule of the router.
pub(super) enum RulePrice {
    /// The same for every request.
    Fixed(Arc<Sale>),
    /// By the facts of the request.
    Varying(Box<Varying>),
}

/// A price that depends on the request.
pub(super) struct Varying {
    tariff: OwnedTariff,
    /// With an offer of nothing.
    sale: Sale,
    needs_body: bool,
}

impl RulePrice {
    /// The price of what is sold; the first offer of the sale is for nothing yet.
    pub(super) fn new(mut sale: Sale, sold: &Sold) -> Self {
        if let Some(amount) = sold.fixed {
            set_amount(&mut sale, amount);
            return Self::Fixed(Arc::new(sale));
        }
        let tariff = sold.tariff.clone();
        let needs_body = match tariff.model() {
            Model::Dynamic { multipliers, .. } => {
                let mut names = multipliers.iter().flat_map(|one| one.condition.names());
                names.any(|name| !matches!(name, "method" | "path"))
            }
            _ => false,
        };
        Self::Varying(Box::new(Varying { tariff, sale, needs_body }))
    }

    /// Says what the URLs begin with, where clients ask.
    pub(super) fn publish(&mut self, url: &str) {
        let sale = match self {
            Self::Fixed(sale) => Arc::make_mut(sale),
            Self::Varying(varying) => &mut varying.sale,
        };
        url.clone_into(&mut sale.base_url);
    }

    pub(super) fn quote(&self, request: &Parts) -> Quote {
        match self {
            Self::Fixed(sale) => Quote::Paid(Arc::clone(sale)),
            Self::Varying(varying) if varying.needs_body => Quote::ByBody(MAX_JSON_BYTES),
            Self::Varying(varying) => varying.quote(request, &Bytes::new()),
        }
    }

    pub(super) fn quote_body(&self, request: &Parts, body: &Bytes) -> Quote {
        match self {
            Self::Fixed(sale) => Quote::Paid(Arc::clone(sale)),
            Self::Varying(varying) => varying.quote(request, body),
        }
    }
}

impl Varying {
    fn quote(&self, request: &Parts, body: &[u8]) -> Quote {
        let header = |name: &str| request.headers.get(name)?.to_str().ok();
        let body = RequestBody::read(body, header);
        let (method, uri) = (request.method.as_str(), &request.uri);
        let facts = RequestFacts::new(method, uri.path(), uri.query(), &body);
        match self.tariff.quote(&Usage::default(), &facts) {
            Ok(amount) => {
                let mut sale = self.sale.clone();
                set_amount(&mut sale, amount);
                Quote::Paid(Arc::new(sale))
            }
            Err(error) => Quote::Unpriced(self.explain(&error)),
        }
    }

    /// In words for whoever sent the request.
    fn explain(&self, error: &QuoteError) -> String {
        let QuoteError::Condition { multiplier, error: fault } = error else {
            return error.to_string();
        };
        let name = self.excerpt(*multiplier, fault);
        format!("`{name}` is of another kind than the price depends on, or can be read in two ways")
    }

    fn excerpt(&self, multiplier: usize, error: &ConditionError) -> String {
        let Model::Dynamic { multipliers, .. } = self.tariff.model() else { return String::new() };
        let multiplier = multipliers.get(multiplier);
        let name = multiplier.map(|one| error.excerpt(one.condition.source()));
        name.unwrap_or_default().to_owned()
    }
}

fn set_amount(sale: &mut Sale, amount: Amount) {
    if let Some(first) = sale.offers.first_mut() {
        *first = Offer::with_amount(*first, amount);
    }
}
