use core::fmt;
use std::sync::Arc;

use http::request::Parts;
use http::{HeaderValue, Method};
use x402_core::{Address, Asset, Offer};
use x402_std::config::{
    Config, DefaultRoute, IdentifierRule, OwnedAsset, PathPattern, Pricing as Price, Route,
};

use super::path::{Spelling, fold, spelling};
use crate::server::{Pricing, Quote, Sale};

/// The one that says what a request costs and whether it is passed on.
///
/// The first route whose path matches decides, with those that have the very same path for other
/// methods; a method that none of them lists is not allowed. `HEAD` is as `GET`. A path is matched
/// as it is written; one that a server might read as another (`//`, `/../`, `%2F`, `;` and the like)
/// matches nothing but a literal route of that very spelling, and what differs from a paid path only
/// in case, in escapes or in a slash at its end is not free.
pub struct Router {
    rules: Vec<Rule>,
    default: DefaultRoute,
}

struct Rule {
    path: PathPattern,
    /// The path as the most lenient of servers would compare it.
    folded: String,
    methods: Methods,
    /// `None` where it is free.
    sale: Option<Arc<Sale>>,
}

enum Methods {
    Any,
    Listed(Vec<String>),
}

impl Router {
    /// The routes of a configuration.
    #[must_use]
    pub fn from_config(config: &Config) -> Self {
        let mut router = Self::new(&config.asset, config.pay_to, &config.routes, config.default);
        if let Some(url) = &config.public_url {
            router.rules.iter_mut().for_each(|rule| rule.publish(url));
        }
        router
    }

    /// Routes that are paid for in `asset`, to `pay_to`.
    ///
    /// The asset's texts are never freed: a router is made once, when a program starts.
    #[must_use]
    pub fn new(
        asset: &OwnedAsset,
        pay_to: Address,
        routes: &[Route],
        default: DefaultRoute,
    ) -> Self {
        let asset = leak(asset);
        let rules = routes.iter().map(|route| Rule::new(route, asset, pay_to)).collect();
        Self { rules, default }
    }

    fn find(&self, path: &str, method: &Method) -> Quote {
        let spelling = spelling(path);
        let is_tidy = spelling != Spelling::Odd;
        let matching = self.rules.iter().position(|rule| rule.matches(path, is_tidy));
        let Some(first) = matching else {
            let is_free = self.default == DefaultRoute::Free && is_tidy;
            return if is_free {
                free_unless_near(&self.rules, path, spelling)
            } else {
                Quote::Absent
            };
        };
        let (before, rules) = self.rules.split_at(first);
        let Some(decisive) = rules.first() else { return Quote::Absent };
        let same = || rules.iter().filter(|rule| rule.path == decisive.path);
        match same().find(|rule| rule.methods.contain(method)) {
            Some(Rule { sale: Some(sale), .. }) => Quote::Paid(Arc::clone(sale)),
            Some(Rule { path: PathPattern::Exact(_), .. }) => Quote::Free,
            Some(_) => free_unless_near(before, path, spelling),
            None => Quote::MethodNotAllowed(allow(same())),
        }
    }
}

/// What the catch-alls of a seller's file are asked: free, but for what some server might take for
/// a path that was to be paid for.
fn free_unless_near(before: &[Rule], path: &str, spelling: Spelling) -> Quote {
    let mut paid = before.iter().filter(|rule| rule.sale.is_some()).peekable();
    if paid.peek().is_none() {
        return Quote::Free;
    }
    let folded = fold(path);
    if spelling == Spelling::Foreign || paid.any(|rule| rule.is_near(&folded)) {
        return Quote::Absent;
    }
    Quote::Free
}

fn allow<'a>(rules: impl Iterator<Item = &'a Rule>) -> HeaderValue {
    let mut methods = Vec::new();
    for rule in rules {
        let Methods::Listed(listed) = &rule.methods else { continue };
        for method in listed {
            let head = (method == "GET").then_some("HEAD");
            methods.extend([method.as_str()].into_iter().chain(head));
        }
    }
    methods.sort_unstable();
    methods.dedup();
    HeaderValue::try_from(methods.join(", ")).unwrap_or(HeaderValue::from_static(""))
}

impl Pricing for Router {
    fn quote(&self, request: &Parts) -> Quote {
        self.find(request.uri.path(), &request.method)
    }
}

impl fmt::Debug for Router {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Router").field("rules", &self.rules.len()).finish_non_exhaustive()
    }
}

impl Rule {
    fn new(route: &Route, asset: Asset<'static>, pay_to: Address) -> Self {
        let offer = || Offer::new(asset, pay_to, route.amount, route.max_timeout_seconds);
        let (PathPattern::Exact(path) | PathPattern::Prefix(path)) = &route.path;
        Self {
            folded: fold(path),
            path: route.path.clone(),
            methods: match &route.methods[..] {
                [] => Methods::Any,
                listed => Methods::Listed(listed.to_vec()),
            },
            sale: match route.pricing {
                Price::Free => None,
                Price::Paid(_) => Some(Arc::new(sale(route, offer(), pay_to))),
            },
        }
    }

    /// Says what the URLs begin with, where clients ask.
    fn publish(&mut self, url: &str) {
        if let Some(sale) = &mut self.sale {
            url.clone_into(&mut Arc::make_mut(sale).base_url);
        }
    }

    fn matches(&self, path: &str, is_tidy: bool) -> bool {
        match &self.path {
            PathPattern::Exact(_) => self.path.matches(path),
            PathPattern::Prefix(_) => is_tidy && self.path.matches(path),
        }
    }

    /// Whether a lenient server might take the folded path for one of this rule's.
    fn is_near(&self, folded: &str) -> bool {
        match &self.path {
            PathPattern::Exact(_) => folded == self.folded,
            PathPattern::Prefix(_) => {
                let rest = folded.strip_prefix(&self.folded);
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            }
        }
    }
}

impl Methods {
    fn contain(&self, method: &Method) -> bool {
        let name = if method == Method::HEAD { "GET" } else { method.as_str() };
        match self {
            Self::Any => true,
            Self::Listed(listed) => {
                listed.iter().any(|listed| listed == name || listed == method.as_str())
            }
        }
    }
}

/// What a route sells, and every way to pay for it.
fn sale(route: &Route, first: Offer<'static>, pay_to: Address) -> Sale {
    let offers = route.offers.iter().map(|other| {
        let seconds = route.max_timeout_seconds;
        let offer = Offer::new(leak(&other.asset), pay_to, other.amount, seconds);
        if other.permit2 { offer.by_permit2() } else { offer }
    });
    let mut sale = Sale {
        offers: [first].into_iter().chain(offers).collect(),
        description: route.description.clone().unwrap_or_default(),
        mime_type: route.mime_type.clone().unwrap_or_default(),
        settle: route.settle,
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

/// An offer is copied into every request that it prices, so its texts must live as long as the
/// program: a few bytes, once.
fn leak(asset: &OwnedAsset) -> Asset<'static> {
    let text = |text: &str| -> &'static str { Box::leak(text.to_owned().into_boxed_str()) };
    let Asset { chain_id, address, decimals, transfer_method, .. } = asset.as_asset();
    let (symbol, name) = (text(&asset.symbol), text(&asset.name));
    let version = text(&asset.version);
    Asset { chain_id, symbol, address, name, version, decimals, transfer_method }
}
