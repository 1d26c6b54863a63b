//! What is paid with.

use x402_core::{Asset, ChainId, LogOrder, TransferMethod};

use super::OwnedAsset;
use super::check::parse_address;
use super::error::{Origin, Problem};
use super::raw::{RawAsset, RawToken, Text};
use super::snippet::quote;

pub(super) fn check_asset(
    chain_id: ChainId,
    asset: &RawAsset,
    origin: Origin,
) -> Result<OwnedAsset, Problem> {
    match asset {
        RawAsset::Symbol(symbol) => find_asset(chain_id, symbol, origin),
        RawAsset::Token(token) => check_token(chain_id, token),
    }
}

pub(super) fn find_asset(
    chain_id: ChainId,
    symbol: &str,
    origin: Origin,
) -> Result<OwnedAsset, Problem> {
    const BY_HAND: &str = "any other token: {address, decimals, name, version}";
    let usable = |asset: &&Asset<'_>| asset.transfer_method == TransferMethod::Eip3009;
    if let Some(asset) = Asset::find(chain_id, symbol) {
        let message = format!("{symbol} on {chain_id} has no transferWithAuthorization (EIP-3009)");
        let refusal = || Problem::new(origin, message, "choose another asset");
        return Some(asset).filter(usable).map(OwnedAsset::from).ok_or_else(refusal);
    }
    let there = Asset::all().filter(|asset| asset.chain_id == chain_id).filter(usable);
    let known: Vec<_> = there.map(|asset| asset.symbol).chain([BY_HAND]).collect();
    Err(Problem::unknown(origin, &format!("asset on {chain_id}:"), symbol, &known))
}

fn check_token(chain_id: ChainId, token: &RawToken) -> Result<OwnedAsset, Problem> {
    let address = parse_address(&token.address.value, Origin::of(&token.address))?;
    let listed = Asset::find_by_address(chain_id, address);
    let symbol = match (&token.symbol, listed) {
        (Some(symbol), _) => symbol,
        // The name stands in, if it can stand in a header.
        (None, None) => &token.name,
        (None, Some(listed)) => {
            &Text::new(listed.symbol.to_owned(), token.address.referenced, token.address.defined)
        }
    };
    if symbol.value.is_empty() || !symbol.value.chars().all(|c| c.is_ascii_graphic() && c != ',') {
        let message = format!(
            "{} cannot be a symbol: it has blanks, commas or letters that are not ASCII",
            quote(&symbol.value)
        );
        return Err(Problem::new(Origin::of(symbol), message, "add one: `symbol: EURC`"));
    }
    let asset = OwnedAsset {
        chain_id,
        symbol: symbol.value.clone(),
        address,
        name: token.name.value.clone(),
        version: token.version.value.clone(),
        decimals: check_decimals(&token.decimals)?,
        log_order: match &token.log_order {
            Some(text) => check_log_order(text)?,
            None => listed.map_or(LogOrder::Unknown, |listed| listed.log_order),
        },
    };
    match listed {
        Some(listed) => check_listed(listed, asset, token),
        None => Ok(asset),
    }
}

/// A token that is in the table must be described as there: a domain or a number of decimals that
/// differs makes every price and every signature wrong, and another order of its logs would not be heeded.
fn check_listed(
    listed: &Asset<'_>,
    asset: OwnedAsset,
    token: &RawToken,
) -> Result<OwnedAsset, Problem> {
    let known = OwnedAsset::from(listed);
    let differs = |at: &Text, ours: String| {
        let message =
            format!("{} is not what the token at {} has", quote(&at.value), known.address);
        Err(Problem::new(
            Origin::of(at),
            message,
            format!("it is {ours}; or write `asset: {}`", known.symbol),
        ))
    };
    match &asset {
        asset if asset.decimals != known.decimals => {
            differs(&token.decimals, known.decimals.to_string())
        }
        asset if asset.name != known.name => differs(&token.name, known.name.clone()),
        asset if asset.version != known.version => differs(&token.version, known.version.clone()),
        asset if asset.log_order != known.log_order => {
            let at = token.log_order.as_ref().unwrap_or(&token.address);
            differs(at, log_order_name(known.log_order).to_owned())
        }
        _ => Ok(asset),
    }
}

fn check_log_order(text: &Text) -> Result<LogOrder, Problem> {
    let orders = [LogOrder::TransferNext, LogOrder::Unknown];
    let found = orders.into_iter().find(|order| log_order_name(*order) == text.value);
    found.ok_or_else(|| {
        let names = orders.map(log_order_name);
        Problem::unknown(Origin::of(text), "order of a token's logs:", &text.value, &names)
    })
}

const fn log_order_name(order: LogOrder) -> &'static str {
    match order {
        LogOrder::TransferNext => "transfer_next",
        LogOrder::Unknown => "unknown",
    }
}

fn check_decimals(text: &Text) -> Result<u8, Problem> {
    let is_plain = text.value.bytes().all(|b| b.is_ascii_digit());
    let decimals = text.value.parse().ok().filter(|decimals| is_plain && *decimals <= 77);
    decimals.ok_or_else(|| {
        let message = format!("{} is not a number of decimals", quote(&text.value));
        Problem::new(Origin::of(text), message, "write what the token's decimals() says: 0 to 77")
    })
}
