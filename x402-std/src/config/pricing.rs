use serde_saphyr::Spanned;
use x402_core::{Amount, Price, PriceError};

use super::error::{Origin, Problem};
use super::raw::{RawPricing, RawTariff, Text};
use super::snippet::quote;
use super::tariff::{Declarations, check_dynamic, check_per_minute, check_per_token};
use super::{OwnedAsset, OwnedTariff, Pricing, Sold, Upto};

/// A model of pricing: which members it must have, and which it may have.
struct Model {
    name: &'static str,
    required: &'static [&'static str],
    optional: &'static [&'static str],
}

const MODELS: [Model; 4] = [
    Model { name: "per_request", required: &["amount", "currency"], optional: &[] },
    Model {
        name: "per_token",
        required: &["input_price", "output_price", "currency"],
        optional: &[
            "max_output_tokens",
            "usage",
            "include_usage",
            "upto",
            "min_price",
            "max_price",
            "on_unknown",
        ],
    },
    Model {
        name: "per_minute",
        required: &["amount", "currency"],
        optional: &["minimum_minutes", "upto", "max_price"],
    },
    Model {
        name: "dynamic",
        required: &["base_price", "multipliers"],
        optional: &["currency", "min_price", "max_price", "on_unknown"],
    },
];

/// The pricing of a route.
pub(super) fn check_pricing(
    pricing: &Spanned<RawPricing>,
    asset: &OwnedAsset,
    declared: &Declarations,
) -> Result<Pricing, Problem> {
    match &pricing.value {
        RawPricing::Word(word) if word == "free" => Ok(Pricing::Free),
        RawPricing::Word(word) => {
            let known = ["free", "{model: per_request, amount: \"0.01\", currency: USDC}"];
            Err(Problem::unknown(Origin::of(pricing), "pricing", word, &known))
        }
        RawPricing::Tariff(tariff) => check_tariff(tariff, asset, declared),
    }
}

fn check_tariff(
    raw: &RawTariff,
    asset: &OwnedAsset,
    declared: &Declarations,
) -> Result<Pricing, Problem> {
    let name = raw.model.value.as_str();
    let Some(model) = MODELS.iter().find(|model| model.name == name) else {
        let known = MODELS.map(|model| model.name);
        return Err(Problem::unknown(Origin::of(&raw.model), "pricing model", name, &known));
    };
    check_members(model, raw)?;
    if let Some(currency) = &raw.currency {
        check_currency(currency, asset)?;
    }
    let sold = match name {
        "per_token" => check_per_token(raw, asset)?,
        "per_minute" => check_per_minute(raw, asset)?,
        "dynamic" => check_dynamic(raw, asset, declared)?,
        _ => check_per_request(raw, asset)?,
    };
    Ok(Pricing::Paid(Box::new(sold)))
}

fn check_per_request(raw: &RawTariff, asset: &OwnedAsset) -> Result<Sold, Problem> {
    let amount = required(raw.amount.as_ref(), raw)?;
    let units = check_amount(amount, asset)?;
    let model = x402_core::tariff::Model::PerRequest { price: check_price(amount)? };
    let tariff = OwnedTariff::new(model, asset.decimals);
    let tariff = tariff.map_err(|error| misfit(amount, asset, error))?;
    Ok(Sold { tariff, fixed: Some(units), tokens: None, upto: Upto::No })
}

/// A member that [`check_members`] has seen.
pub(super) fn required<'t>(text: Option<&'t Text>, raw: &RawTariff) -> Result<&'t Text, Problem> {
    let missing = || Problem::new(Origin::of(&raw.model), "a member is missing", "see the manual");
    text.ok_or_else(missing)
}

/// A price of one request, in atomic units of the asset.
pub(super) fn check_amount(amount: &Text, asset: &OwnedAsset) -> Result<Amount, Problem> {
    let price = check_price(amount)?;
    let units = price.to_amount(asset.decimals).map_err(|error| misfit(amount, asset, error))?;
    if units == Amount::ZERO {
        let help = "write `pricing: free` for what costs nothing";
        return Err(Problem::new(Origin::of(amount), "the price is zero", help));
    }
    Ok(units)
}

/// Whether the members are those of the model.
fn check_members(model: &Model, tariff: &RawTariff) -> Result<(), Problem> {
    let place = |text: &Option<Text>| text.as_ref().map(Origin::of);
    let members = [
        ("amount", place(&tariff.amount)),
        ("currency", place(&tariff.currency)),
        ("input_price", place(&tariff.input_price)),
        ("output_price", place(&tariff.output_price)),
        ("minimum_minutes", place(&tariff.minimum_minutes)),
        ("max_output_tokens", place(&tariff.max_output_tokens)),
        ("usage", tariff.usage.as_ref().map(Origin::of)),
        ("include_usage", place(&tariff.include_usage)),
        ("upto", place(&tariff.upto)),
        ("base_price", place(&tariff.base_price)),
        ("multipliers", tariff.multipliers.as_ref().map(Origin::of)),
        ("min_price", place(&tariff.min_price)),
        ("max_price", place(&tariff.max_price)),
        ("on_unknown", place(&tariff.on_unknown)),
    ];
    let list = [model.required, model.optional].concat().join(", ");
    let help = format!("{} has: {list}", model.name);
    for (name, origin) in members {
        let is_required = model.required.contains(&name);
        match origin {
            Some(origin) if !is_required && !model.optional.contains(&name) => {
                let message = format!("`{name}` is no member of the pricing model {}", model.name);
                return Err(Problem::new(origin, message, help));
            }
            None if is_required => {
                let message = format!("`{name}` is missing in the pricing model {}", model.name);
                return Err(Problem::new(Origin::of(&tariff.model), message, help));
            }
            _ => {}
        }
    }
    Ok(())
}

fn check_currency(currency: &Text, asset: &OwnedAsset) -> Result<(), Problem> {
    if currency.value == asset.symbol {
        return Ok(());
    }
    let message =
        format!("the currency {} is not the asset, {}", quote(&currency.value), asset.symbol);
    let help = format!("write `currency: {}`, or change `asset`", asset.symbol);
    Err(Problem::new(Origin::of(currency), message, help))
}

pub(super) fn check_price(text: &Text) -> Result<Price, Problem> {
    Price::parse(&text.value).map_err(|error| {
        let help = if text.value.starts_with(['$', '€', '£', '¢']) {
            "write the plain decimal, without the sign: 0.01"
        } else {
            "write a plain decimal: 0.01"
        };
        Problem::new(Origin::of(text), format!("{} is no price: {error}", quote(&text.value)), help)
    })
}

pub(super) fn misfit(amount: &Text, asset: &OwnedAsset, error: PriceError) -> Problem {
    let OwnedAsset { symbol, decimals, .. } = asset;
    let message = format!("{} {symbol} cannot be paid: {error}", quote(&amount.value));
    Problem::new(Origin::of(amount), message, format!("{symbol} has {decimals} decimals"))
}
