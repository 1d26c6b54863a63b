//! What a route sells, as the layer tells it.

use x402_core::{Address, Offer};
use x402_std::config::{IdentifierRule, PathPattern, Route};
use x402_std::quote::RouteHash;

use super::router::leak;
use crate::server::Sale;

/// What a route sells, and every way to pay for it.
pub(super) fn sale(route: &Route, first: Offer<'static>, pay_to: Address) -> Sale {
    let offers = route.offers.iter().map(|other| {
        let seconds = route.max_timeout_seconds;
        let offer = Offer::new(leak(&other.asset), pay_to, other.amount, seconds);
        if other.permit2 { offer.by_permit2() } else { offer }
    });
    let mut sale = Sale {
        route: route_hash(route),
        offers: [first].into_iter().chain(offers).collect(),
        description: route.description.clone().unwrap_or_default(),
        mime_type: route.mime_type.clone().unwrap_or_default(),
        settle: route.settle,
        replay: route.replay,
        ..Sale::default()
    };
    let mut extensions = Vec::new();
    if let Some(rule) = route.payment_identifier {
        let required = rule == IdentifierRule::Required;
        let info = format!(r#"{{"required":{required}}}"#);
        extensions.push(declaration("payment-identifier", &info, IDENTIFIER_SCHEMA));
    }
    if route.discoverable {
        // What marketplaces list (the extension `bazaar`); in v1 it is `outputSchema`.
        let method = route.methods.first().map_or("GET", String::as_str);
        let is_query = matches!(method, "GET" | "HEAD" | "DELETE");
        let body = if is_query { "" } else { r#","bodyType":"json","body":{}"# };
        let input = format!(r#""type":"http","method":"{method}"{body}"#);
        let info = format!(r#"{{"input":{{{input}}}}}"#);
        extensions.push(declaration("bazaar", &info, BAZAAR_SCHEMA));
        sale.output_schema = format!(r#"{{"input":{{{input},"discoverable":true}}}}"#);
    }
    if !extensions.is_empty() {
        sale.extensions = format!("{{{}}}", extensions.join(","));
    }
    sale
}

/// The route's methods and its path: exactly this one, or all below it. No path has a blank.
pub(super) fn route_hash(route: &Route) -> RouteHash {
    let (path, reach) = match &route.path {
        PathPattern::Exact(path) => (path, ""),
        PathPattern::Prefix(path) => (path, " *"),
    };
    RouteHash::of(&format!("{} {path}{reach}", route.methods.join(",")))
}

/// A member of `extensions`; `info` and `schema` are JSON.
fn declaration(name: &str, info: &str, schema: &str) -> String {
    format!(r#""{name}":{{"info":{info},"schema":{schema}}}"#)
}

/// What a payer's name for a purchase is.
const IDENTIFIER_SCHEMA: &str = concat!(
    r#"{"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object","#,
    r#""properties":{"required":{"type":"boolean"},"id":{"type":"string","minLength":16,"#,
    r#""maxLength":128,"pattern":"^[a-zA-Z0-9_-]+$"}},"required":["required"]}"#
);

/// What the declarations are made by: JSON Schema 2020-12.
const BAZAAR_SCHEMA: &str = concat!(
    r#"{"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object","#,
    r#""properties":{"input":{"type":"object","properties":{"type":{"const":"http"},"#,
    r#""method":{"type":"string"}},"required":["type","method"]}},"required":["input"]}"#
);
