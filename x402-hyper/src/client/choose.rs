//! Which of the ways to pay is taken.

use x402_core::buyer::PolicyError;
use x402_core::{Address, Scheme};

use super::{ClientError, Dialect, Limits, Terms};

/// The cheapest of the offers that the limits admit.
///
/// Prices are compared in the same asset only: between assets, the buyer's order decides
/// ([`Limits::assets`]), then the seller's. Among equals a ceiling goes before an exact price, for less of
/// it may be taken; then a token that moves the money itself before Permit2, and v2 before v1 before the
/// header dialect.
pub(super) fn choose<'t>(
    limits: &Limits,
    payer: Address,
    offers: &'t [Terms],
) -> Result<&'t Terms, ClientError> {
    let (mut admitted, mut refused) = (Vec::new(), None);
    for terms in offers.iter().filter(|terms| limits.dialect.is_none_or(|it| it == terms.dialect)) {
        match admit(limits, payer, terms) {
            Ok(()) => admitted.push(terms),
            Err(error) => refused = refused.or(Some((error, terms))),
        }
    }
    // The seller's order of assets: the first offer's asset goes first.
    let place = |terms: &Terms| {
        let named = limits.assets.iter().position(|name| terms.asset.as_asset().is_named(name));
        let first = offers.iter().position(|other| other.asset == terms.asset);
        (named, first)
    };
    let best = admitted.into_iter().min_by_key(|terms| {
        let dialect = match terms.dialect {
            Dialect::V2 => 0,
            Dialect::V1 => 1,
            Dialect::Headers => 2,
        };
        let is_exact = matches!(terms.scheme, Scheme::Exact(_));
        (place(terms), terms.amount, is_exact, !terms.is_by_token(), dialect)
    });
    best.ok_or_else(|| match refused {
        Some((error, terms)) => ClientError::Limit { error, terms: Box::new(terms.clone()) },
        None => ClientError::Dialect,
    })
}

fn admit(limits: &Limits, payer: Address, terms: &Terms) -> Result<(), PolicyError> {
    let asset = terms.asset.as_asset();
    if !limits.assets.is_empty() && !limits.assets.iter().any(|name| asset.is_named(name)) {
        return Err(PolicyError::Asset);
    }
    if !limits.permit2 && !terms.is_by_token() {
        return Err(PolicyError::TransferMethod);
    }
    if terms.recipient == payer {
        return Err(PolicyError::Payee);
    }
    limits.policy().admit(&terms.offer())
}
