//! What a route costs: the same for every request, or by its facts.

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use http::request::Parts;
use x402_core::condition::{ConditionError, Fault};
use x402_core::tariff::{Model, QuoteError, Usage};
use x402_core::{Amount, Offer};
use x402_std::config::{OwnedTariff, Sold};
use x402_std::metering::request::{MAX_JSON_BYTES, RequestBody, RequestFacts};

use super::minutes::Minutes;
use super::tokens::Tokens;
use crate::server::{Quote, Sale};

/// The price of a rule of the router.
pub(super) enum RulePrice {
    /// The same for every request.
    Fixed(Arc<Sale>),
    /// By the minute.
    Minutes(Box<Minutes>),
    /// By the token.
    Tokens(Box<Tokens>),
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
        if let Some(rules) = &sold.tokens {
            return Self::Tokens(Box::new(Tokens::new(sale, sold, rules)));
        }
        let tariff = sold.tariff.clone();
        let needs_body = match sold.tariff.model() {
            Model::PerMinute { price, .. } => {
                let price = *price;
                return Self::Minutes(Box::new(Minutes::new(sale, tariff, price)));
            }
            Model::Dynamic { multipliers, .. } => {
                let mut names = multipliers.iter().flat_map(|one| one.condition.names());
                names.any(|name| !matches!(name, "method" | "path"))
            }
            _ => false,
        };
        Self::Varying(Box::new(Varying { tariff, sale, needs_body }))
    }

    /// What is sold, if that is the same for every request in all but the price.
    pub(super) fn sale_mut(&mut self) -> &mut Sale {
        match self {
            Self::Fixed(sale) => Arc::make_mut(sale),
            Self::Minutes(minutes) => &mut minutes.sale,
            Self::Tokens(tokens) => &mut tokens.sale,
            Self::Varying(varying) => &mut varying.sale,
        }
    }

    /// Whether it is time that is sold.
    pub(super) const fn is_of_time(&self) -> bool {
        matches!(self, Self::Minutes(_))
    }

    pub(super) fn quote(&self, request: &Parts) -> Quote {
        match self {
            Self::Fixed(sale) => Quote::Paid(Arc::clone(sale)),
            Self::Minutes(minutes) => minutes.quote(request),
            Self::Tokens(_) => Quote::ByBody(MAX_JSON_BYTES),
            Self::Varying(varying) if varying.needs_body => Quote::ByBody(MAX_JSON_BYTES),
            Self::Varying(varying) => varying.quote(request, &Bytes::new()),
        }
    }

    pub(super) fn quote_body(&self, request: &Parts, body: &Bytes) -> Quote {
        match self {
            Self::Fixed(sale) => Quote::Paid(Arc::clone(sale)),
            Self::Minutes(minutes) => minutes.quote(request),
            Self::Tokens(tokens) => tokens.quote(request, body),
            Self::Varying(varying) => varying.quote(request, body),
        }
    }
}

impl Varying {
    fn quote(&self, request: &Parts, body: &[u8]) -> Quote {
        let body = RequestBody::read(body, |name| only_field(&request.headers, name));
        let (method, uri) = (request.method.as_str(), &request.uri);
        let facts = RequestFacts::new(method, uri.path(), uri.query(), &body);
        let facts = facts.by_rule(self.tariff.rule_of_unknown());
        match self.tariff.quote(&Usage::default(), &facts) {
            Ok(amount) => {
                let mut sale = self.sale.clone();
                set_amount(&mut sale, amount);
                Quote::Paid(Arc::new(sale))
            }
            Err(error) => Quote::Unpriced(self.explain(&error, &body)),
        }
    }

    /// In words for whoever sent the request.
    fn explain(&self, error: &QuoteError, body: &RequestBody<'_>) -> String {
        let QuoteError::Condition { multiplier, error: fault } = error else {
            return error.to_string();
        };
        let name = self.excerpt(*multiplier, fault);
        match (fault.fault, body.check()) {
            (Fault::Unreadable, Err(why)) => format!("`{name}` is not known: {why}"),
            (Fault::Unreadable, Ok(())) => format!(
                "`{name}` can be read in two ways: send it once, spelled like this, in the body or in the query"
            ),
            _ => format!("`{name}` is of another kind than the price depends on"),
        }
    }

    fn excerpt(&self, multiplier: usize, error: &ConditionError) -> String {
        let Model::Dynamic { multipliers, .. } = self.tariff.model() else { return String::new() };
        let multiplier = multipliers.get(multiplier);
        let name = multiplier.map(|one| error.excerpt(one.condition.source()));
        name.unwrap_or_default().to_owned()
    }
}

/// Has the first offer, and the one of a ceiling in the same asset, ask for so much.
pub(super) fn set_amount(sale: &mut Sale, amount: Amount) {
    let mut offers = sale.offers.iter_mut();
    let first = offers.next();
    let ceilings = offers.filter(|offer| offer.requirements().scheme.name() == "upto");
    for offer in first.into_iter().chain(ceilings) {
        *offer = Offer::with_amount(*offer, amount);
    }
}

/// A field of a request's head, as a text; where it is there more than once, or is no text, one that says nothing.
pub(super) fn only_field<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    Some(if values.next().is_some() { "" } else { value.to_str().unwrap_or_default() })
}

/// A field of a head, as a text.
pub(super) fn field<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}
