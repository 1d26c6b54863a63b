use core::time::Duration;

use serde_saphyr::Spanned;
use x402_core::ChainId;
use x402_core::tariff::Model;

use super::asset::check_asset;
use super::check::{check_bool, check_network};
use super::error::{Origin, Problem};
use super::later::check_settle;
use super::limits::check_request_limits;
use super::pricing::{check_amount, check_pricing};
use super::raw::{RawOffer, RawRoute, Text};
use super::snippet::quote;
use super::tariff::Declarations;
use super::validity::check_validity;
use super::{IdentifierRule, OwnedAsset, PathPattern, Pricing, RequestLimits, Route, RouteOffer};
use crate::ledger::Settle;
use crate::seller::Replay;

const METHODS: [&str; 7] = ["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"];

type RawRoutes = Spanned<Vec<Spanned<RawRoute>>>;

/// What all routes have in common.
pub(super) struct Common<'a> {
    pub(super) asset: &'a OwnedAsset,
    /// Whether there is a chain to be paid on.
    pub(super) has_chain: &'a dyn Fn(ChainId) -> bool,
    /// What holds for requests whose route says nothing else.
    pub(super) request: RequestLimits,
    /// How long a payment waits for others, where it is settled later.
    pub(super) max_delay: Duration,
}

pub(super) fn check_routes(
    raw: Option<RawRoutes>,
    common: &Common<'_>,
) -> Result<Vec<Route>, Problem> {
    const HELP: &str = "add one: `- {path: /api/analyze, pricing: free}`";
    let Some(raw) = raw else {
        return Err(Problem::new(Origin::Whole, "`routes` is missing or empty", HELP));
    };
    if raw.value.is_empty() {
        return Err(Problem::new(Origin::of(&raw), "`routes` is missing or empty", HELP));
    }
    let mut routes: Vec<(Route, Origin)> = Vec::with_capacity(raw.value.len());
    for raw in &raw.value {
        let origin = Origin::of(&raw.value.path);
        let route = check_route(&raw.value, common)?;
        for (earlier, at) in &routes {
            check_overlap(earlier, *at, &route, origin)?;
        }
        routes.push((route, origin));
    }
    Ok(routes.into_iter().map(|(route, _)| route).collect())
}

fn check_route(raw: &RawRoute, common: &Common<'_>) -> Result<Route, Problem> {
    let Common { asset, has_chain, request, max_delay } = *common;
    let path = check_path(&raw.path)?;
    let methods = raw.methods.as_ref().map_or(Ok(Vec::new()), check_methods)?;
    let declared = Declarations::check(raw.facts.as_ref())?;
    let pricing = check_pricing(&raw.pricing, asset, &declared)?;
    let offers = raw.offers.iter().flatten().map(|offer| check_offer(offer, asset, has_chain));
    let offers: Vec<_> = offers.collect::<Result<_, _>>()?;
    check_distinct(asset, &offers, raw)?;
    if let Some(offer) = raw.offers.iter().flatten().next()
        && pricing.fixed().is_none()
    {
        let (message, help) = match pricing {
            Pricing::Free => (
                "what is free has no offers",
                "give it a price in `pricing`, or leave the offers out",
            ),
            // Whatever the request costs, it would be had for that amount.
            Pricing::Paid(_) => (
                "an offer has one price for all requests, and this route has not",
                "leave the offers out, or use the model per_request",
            ),
        };
        return Err(Problem::new(Origin::of(offer), message, help));
    }
    let text = |text: &Option<Text>| text.as_ref().map(|text| text.value.clone());
    let settle = raw.settle.as_ref().map_or(Ok(Settle::First), check_settle)?;
    if let (Some(text), Settle::After, Some(Model::PerMinute { .. })) =
        (&raw.settle, settle, pricing.model())
    {
        let message = "an answer that is sold by the minute is not held until it is over";
        return Err(Problem::new(Origin::of(text), message, "write `settle: first` or `later`"));
    }
    let limits = check_request_limits(raw)?;
    let answer_timeout = limits.or(request).answer_timeout;
    let answer_timeout = answer_timeout.unwrap_or(RequestLimits::ANSWER_TIMEOUT);
    let max_timeout_seconds =
        check_validity(raw.timeout.as_ref(), settle, &pricing, answer_timeout, max_delay)?;
    Ok(Route {
        path,
        methods,
        settle,
        replay: check_replay(raw, &pricing)?,
        pricing,
        max_timeout_seconds,
        limits,
        offers,
        description: text(&raw.description),
        mime_type: text(&raw.mime_type),
        discoverable: raw.discoverable.as_ref().map_or(Ok(false), check_bool)?,
        payment_identifier: raw.payment_identifier.as_ref().map(check_identifier).transpose()?,
        is_idempotent: raw.idempotent.as_ref().map_or(Ok(false), check_bool)?,
    })
}

fn check_replay(raw: &RawRoute, pricing: &Pricing) -> Result<Replay, Problem> {
    let Some(text) = &raw.replay else { return Ok(Replay::Payer) };
    match (text.value.as_str(), pricing.model()) {
        ("payer", _) => Ok(Replay::Payer),
        // Who reads the chain would have it.
        ("open", Some(Model::PerMinute { .. } | Model::PerToken { .. })) => {
            let message =
                "what is sold here is more than an answer: the payer's pass, or his credit";
            Err(Problem::new(Origin::of(text), message, "leave `replay` out"))
        }
        ("open", _) => Ok(Replay::Anyone),
        (other, _) => Err(Problem::unknown(Origin::of(text), "replay", other, &["payer", "open"])),
    }
}

/// Each way to pay once: of two prices for the same, buyers would take the lower.
fn check_distinct(main: &OwnedAsset, offers: &[RouteOffer], raw: &RawRoute) -> Result<(), Problem> {
    let mut ways = vec![(main.chain_id, main.address, false)];
    for (offer, raw) in offers.iter().zip(raw.offers.iter().flatten()) {
        let way = (offer.asset.chain_id, offer.asset.address, offer.permit2);
        if ways.contains(&way) {
            let message = "there is a price for this asset, network and transfer already";
            return Err(Problem::new(Origin::of(raw), message, "keep one of them"));
        }
        ways.push(way);
    }
    Ok(())
}

/// Another way to pay: nothing is converted, the amount is in units of the offer's own asset.
fn check_offer(
    raw: &Spanned<RawOffer>,
    main: &OwnedAsset,
    has_chain: &dyn Fn(ChainId) -> bool,
) -> Result<RouteOffer, Problem> {
    let network = raw.value.network.clone().map(|network| check_network(&network.into()));
    let chain_id = network.transpose()?.unwrap_or(main.chain_id);
    if !has_chain(chain_id) {
        let message = format!("there is no chain for the offer's network, {chain_id}");
        let help = "add it to `chains`: {network: …, rpc: …, key_file: …}";
        return Err(Problem::new(Origin::of(raw), message, help));
    }
    let permit2 = match raw.value.transfer.as_ref().map(|text| (text, text.value.as_str())) {
        None | Some((_, "eip3009")) => false,
        Some((_, "permit2")) => true,
        Some((text, other)) => {
            let known = ["eip3009", "permit2"];
            return Err(Problem::unknown(Origin::of(text), "transfer", other, &known));
        }
    };
    let asset = match &raw.value.asset {
        Some(asset) => check_asset(chain_id, &asset.value, Origin::of(asset))?,
        None if chain_id == main.chain_id => main.clone(),
        None => {
            let help = "add `asset: USDC`, or which it is on that network";
            return Err(Problem::new(Origin::of(raw), "the offer names no asset", help));
        }
    };
    let amount = check_amount(&raw.value.amount, &asset)?;
    Ok(RouteOffer { asset, amount, permit2 })
}

fn check_path(text: &Text) -> Result<PathPattern, Problem> {
    let path = text.value.as_str();
    let problem = |message: &str, help: &str| {
        Err(Problem::new(Origin::of(text), format!("{} {message}", quote(path)), help))
    };
    if !path.starts_with('/') {
        return problem("is no path: a path begins with a slash", "write `path: /…`");
    }
    let literal = path.strip_suffix("/*").map_or(path, |prefix| &path[..=prefix.len()]);
    if literal.contains('*') {
        let help = "write /api/* for all paths below /api/";
        return problem("has a `*` that is not the whole last part of the path", help);
    }
    if let Some(c) = literal.chars().find(|c| !c.is_ascii_graphic() || "?#\"<>\\^`{|}".contains(*c))
    {
        let message = format!("has `{}` in it, which no path has", c.escape_default());
        return problem(&message, "leave out the query; write other letters as %XX");
    }
    let inner = literal.strip_suffix('/').unwrap_or(literal);
    if inner.split('/').skip(1).any(|part| matches!(part, "" | "." | "..")) {
        let message = "has an empty part, `.` or `..`, so that no request would match it";
        return problem(message, "write the path as the upstream sees it");
    }
    let literal = literal.to_owned();
    Ok(if path.ends_with("/*") {
        PathPattern::Prefix(literal)
    } else {
        PathPattern::Exact(literal)
    })
}

fn check_methods(list: &Spanned<Vec<Text>>) -> Result<Vec<String>, Problem> {
    if list.value.is_empty() {
        let help = "name some, or leave `methods` out for all of them";
        return Err(Problem::new(Origin::of(list), "the list of methods is empty", help));
    }
    let mut methods: Vec<String> = Vec::with_capacity(list.value.len());
    for text in &list.value {
        let method = &text.value;
        if !METHODS.contains(&method.as_str()) {
            return Err(Problem::unknown(Origin::of(text), "method", method, &METHODS));
        }
        if methods.contains(method) {
            let message = format!("{} is named twice", quote(method));
            return Err(Problem::new(Origin::of(text), message, "keep one of them"));
        }
        methods.push(method.clone());
    }
    Ok(methods)
}

fn check_identifier(text: &Text) -> Result<IdentifierRule, Problem> {
    match text.value.as_str() {
        "optional" => Ok(IdentifierRule::Optional),
        "required" => Ok(IdentifierRule::Required),
        other => {
            let known = ["optional", "required"];
            Err(Problem::unknown(Origin::of(text), "payment_identifier", other, &known))
        }
    }
}

/// The first route that matches wins, so one of whose requests an earlier route has taken some
/// does not do what it says.
fn check_overlap(
    earlier: &Route,
    at: Origin,
    route: &Route,
    origin: Origin,
) -> Result<(), Problem> {
    if !covers(&earlier.path, &route.path) {
        return Ok(());
    }
    let Some(method) = shared_method(&earlier.methods, &route.methods) else { return Ok(()) };
    let Origin::File { line, .. } = at else { return Ok(()) };
    let message = if earlier.path == route.path {
        format!("{method} of this path is priced already, in line {line}")
    } else {
        format!("{method} of this path is taken by the wider path in line {line}")
    };
    let help = "the first route that matches wins: remove one, or put the narrower path first";
    Err(Problem::new(origin, message, help))
}

fn covers(wide: &PathPattern, narrow: &PathPattern) -> bool {
    match (wide, narrow) {
        (PathPattern::Exact(wide), PathPattern::Exact(narrow)) => wide == narrow,
        (PathPattern::Exact(_), PathPattern::Prefix(_)) => false,
        (PathPattern::Prefix(wide), PathPattern::Exact(narrow) | PathPattern::Prefix(narrow)) => {
            narrow.starts_with(wide.as_str())
        }
    }
}

/// A method that both lists have; HEAD counts as GET, and an empty list has all.
fn shared_method<'m>(a: &'m [String], b: &'m [String]) -> Option<&'m str> {
    let same = |a: &str, b: &str| a == b || (is_get(a) && is_get(b));
    match (a, b) {
        ([], []) => Some("each method"),
        ([], [method, ..]) | ([method, ..], []) => Some(method),
        _ => a.iter().find(|a| b.iter().any(|b| same(a, b))).map(String::as_str),
    }
}

fn is_get(method: &str) -> bool {
    matches!(method, "GET" | "HEAD")
}
