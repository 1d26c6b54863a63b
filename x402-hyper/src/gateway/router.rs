use core::fmt;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, Method};
use x402_core::{Address, Amount, Asset, Offer};
use x402_std::config::{
    Config, DefaultRoute, OwnedAsset, PathPattern, Pricing as Price, RequestLimits, Route, Upto,
    is_listed,
};

use super::minutes::FIELDS;
use super::path::{Spelling, fold, spelling};
use super::price::RulePrice;
use super::sale::sale;
use crate::server::{Pricing, Quote};

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
    /// Empty for all of them.
    methods: Vec<String>,
    /// `None` where it is free.
    price: Option<RulePrice>,
    /// Whether buyers may sign a ceiling.
    upto: Upto,
    limits: RequestLimits,
    /// Whether the upstream heeds `Idempotency-Key`.
    heeds_keys: bool,
}

/// What is found for a request.
enum Found<'r> {
    Quote(Quote),
    Sold(&'r RulePrice),
}

/// How a request is handled, beside its price.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Handling {
    /// What is put up with, where its route says so.
    pub(super) limits: RequestLimits,
    /// Whether the upstream heeds `Idempotency-Key`.
    pub(super) heeds_keys: bool,
    /// Whether what it is for is sold by the time.
    pub(super) sells_time: bool,
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
    /// The asset's texts are never freed.
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

    /// Whether buyers may sign a ceiling somewhere: then the router has to know who settles.
    #[must_use]
    pub fn needs_settler(&self) -> bool {
        self.rules.iter().any(|rule| rule.upto != Upto::No)
    }

    /// Lets buyers sign a ceiling for `settler`, who charges for what was used, where the routes have it so.
    #[must_use]
    pub fn settled_by(mut self, settler: Address) -> Self {
        for rule in self.rules.iter_mut().filter(|rule| rule.upto != Upto::No) {
            let Some(sale) = rule.price.as_mut().map(RulePrice::sale_mut) else { continue };
            let ceiling = sale.offers.first().map(|first| Offer::up_to(*first, settler));
            if rule.upto == Upto::Only {
                sale.offers.clear();
            }
            sale.offers.extend(ceiling);
        }
        self
    }

    /// How a request is handled, beside its price: by the rule that prices it.
    pub(super) fn handling(&self, path: &str, method: &Method) -> Handling {
        let is_tidy = spelling(path) != Spelling::Odd;
        let Some(decisive) = self.rules.iter().find(|rule| rule.matches(path, is_tidy)) else {
            return Handling::default();
        };
        let mut same = self.rules.iter().filter(|rule| rule.path == decisive.path);
        let rule = same.find(|rule| is_listed(&rule.methods, method.as_str()));
        rule.map(Rule::handling).unwrap_or_default()
    }

    fn find(&self, path: &str, method: &Method) -> Found<'_> {
        let spelling = spelling(path);
        let is_tidy = spelling != Spelling::Odd;
        let matching = self.rules.iter().position(|rule| rule.matches(path, is_tidy));
        let Some(first) = matching else {
            let is_free = self.default == DefaultRoute::Free && is_tidy;
            return Found::Quote(if is_free {
                free_unless_near(&self.rules, path, spelling)
            } else {
                Quote::Absent
            });
        };
        let (before, rules) = self.rules.split_at(first);
        let Some(decisive) = rules.first() else { return Found::Quote(Quote::Absent) };
        let same = || rules.iter().filter(|rule| rule.path == decisive.path);
        match same().find(|rule| is_listed(&rule.methods, method.as_str())) {
            Some(Rule { price: Some(price), .. }) => Found::Sold(price),
            Some(Rule { path: PathPattern::Exact(_), .. }) => Found::Quote(Quote::Free),
            Some(_) => Found::Quote(free_unless_near(before, path, spelling)),
            None => Found::Quote(Quote::MethodNotAllowed(allow(same()))),
        }
    }
}

/// What the catch-alls of a seller's file are asked: free, but for what some server might take for
/// a path that was to be paid for.
fn free_unless_near(before: &[Rule], path: &str, spelling: Spelling) -> Quote {
    let mut paid = before.iter().filter(|rule| rule.price.is_some()).peekable();
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
        for method in &rule.methods {
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
        match self.find(request.uri.path(), &request.method) {
            Found::Quote(quote) => quote,
            Found::Sold(price) => price.quote(request),
        }
    }

    fn quote_body(&self, request: &Parts, body: &Bytes) -> Quote {
        match self.find(request.uri.path(), &request.method) {
            Found::Quote(quote) => quote,
            Found::Sold(price) => price.quote_body(request, body),
        }
    }

    fn fields(&self) -> Option<&'static [&'static str]> {
        Some(FIELDS)
    }
}

impl fmt::Debug for Router {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Router").field("rules", &self.rules.len()).finish_non_exhaustive()
    }
}

impl Rule {
    fn new(route: &Route, asset: Asset<'static>, pay_to: Address) -> Self {
        let (PathPattern::Exact(path) | PathPattern::Prefix(path)) = &route.path;
        Self {
            folded: fold(path),
            path: route.path.clone(),
            methods: route.methods.clone(),
            limits: route.limits,
            heeds_keys: route.is_idempotent,
            upto: match &route.pricing {
                Price::Free => Upto::No,
                Price::Paid(sold) => sold.upto,
            },
            price: match &route.pricing {
                Price::Free => None,
                Price::Paid(sold) => {
                    let offer = Offer::new(asset, pay_to, Amount::ZERO, route.max_timeout_seconds);
                    Some(RulePrice::new(sale(route, offer, pay_to), sold))
                }
            },
        }
    }

    fn handling(&self) -> Handling {
        let Self { limits, heeds_keys, .. } = *self;
        let sells_time = self.price.as_ref().is_some_and(RulePrice::is_of_time);
        Handling { limits, heeds_keys, sells_time }
    }

    /// Says what the URLs begin with, where clients ask.
    fn publish(&mut self, url: &str) {
        if let Some(price) = &mut self.price {
            url.clone_into(&mut price.sale_mut().base_url);
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

/// An offer is copied into every request that it prices, so its texts must live as long as the
/// program: a few bytes, once for each asset.
pub(super) fn leak(asset: &OwnedAsset) -> Asset<'static> {
    static LEAKED: Mutex<Vec<Asset<'static>>> = Mutex::new(Vec::new());
    let mut leaked = LEAKED.lock().unwrap_or_else(PoisonError::into_inner);
    let asset = asset.as_asset();
    if let Some(known) = leaked.iter().find(|known| **known == asset) {
        return *known;
    }
    let text = |text: &str| -> &'static str { Box::leak(text.to_owned().into_boxed_str()) };
    let Asset { chain_id, address, decimals, transfer_method, log_order, .. } = asset;
    let (symbol, name) = (text(asset.symbol), text(asset.name));
    let version = text(asset.version);
    let asset =
        Asset { chain_id, symbol, address, name, version, decimals, transfer_method, log_order };
    leaked.push(asset);
    asset
}
