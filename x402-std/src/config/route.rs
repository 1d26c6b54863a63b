//! What is sold, and where.

use x402_core::Amount;

use super::{OwnedAsset, Pricing, RequestLimits};
use crate::ledger::Settle;
use crate::seller::Replay;

/// One row of what is sold.
#[derive(Clone, Debug)]
pub struct Route {
    /// The paths it is for.
    pub path: PathPattern,
    /// The methods it is for; empty for all of them.
    pub methods: Vec<String>,
    /// When the money moves.
    pub settle: Settle,
    /// Who has an answer again.
    pub replay: Replay,
    /// How it is priced.
    pub pricing: Pricing,
    /// For how long, in seconds, a buyer is asked to let the authorization be valid.
    pub max_timeout_seconds: u32,
    /// What of its requests is put up with, where it says so.
    pub limits: RequestLimits,
    /// Other ways to pay for it.
    pub offers: Vec<RouteOffer>,
    /// What is sold, in the seller's words.
    pub description: Option<String>,
    /// The media type of the answer.
    pub mime_type: Option<String>,
    /// Whether marketplaces may list it.
    pub discoverable: bool,
    /// Whether payers may, or must, name their purchases (the extension `payment-identifier`).
    pub payment_identifier: Option<IdentifierRule>,
    /// Whether the upstream heeds `Idempotency-Key`: what has one may go out twice.
    pub is_idempotent: bool,
}

/// What is asked of payers' own names for their purchases.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum IdentifierRule {
    /// One is taken where it is given.
    Optional,
    /// A payment of v2 without one is refused. The other dialects have no place for it.
    Required,
}

/// A way to pay for a route beside its pricing.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RouteOffer {
    /// With what, and on which chain.
    pub asset: OwnedAsset,
    /// How much, in atomic units.
    pub amount: Amount,
    /// Whether by Permit2, and not by the token itself.
    pub permit2: bool,
}

/// The paths a route is for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum PathPattern {
    /// This path and no other.
    Exact(String),
    /// Every path that begins so. It ends with a slash: `/api/*` is `/api/` here.
    Prefix(String),
}

impl PathPattern {
    /// Whether the pattern names the path (without query).
    #[must_use]
    pub fn matches(&self, path: &str) -> bool {
        match self {
            Self::Exact(exact) => path == exact,
            Self::Prefix(prefix) => path.starts_with(prefix.as_str()),
        }
    }
}

/// Whether a route that lists these methods is for this one. `HEAD` is as `GET`, and an empty list has
/// all of them.
#[must_use]
pub fn is_listed(methods: &[String], method: &str) -> bool {
    let name = if method == "HEAD" { "GET" } else { method };
    methods.is_empty() || methods.iter().any(|listed| listed == name || listed == method)
}
