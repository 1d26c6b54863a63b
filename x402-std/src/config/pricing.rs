use serde_saphyr::Spanned;
use x402_core::tariff::{self, Tariff};
use x402_core::{Amount, Price, PriceError};

use super::error::{Origin, Problem};
use super::raw::{RawPricing, RawTariff, Text};
use super::snippet::quote;
use super::{OwnedAsset, Pricing};

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
        optional: &[],
    },
    Model { name: "per_minute", required: &["amount", "currency"], optional: &["minimum_minutes"] },
    Model { name: "dynamic", required: &["base_price", "multipliers"], optional: &["currency"] },
];

/// The pricing of a route, and what a request costs in atomic units of the asset.
pub(super) fn check_pricing(
    pricing: &Spanned<RawPricing>,
    asset: &OwnedAsset,
) -> Result<(Pricing, Amount), Problem> {
    match &pricing.value {
        RawPricing::Word(word) if word == "free" => Ok((Pricing::Free, Amount::ZERO)),
        RawPricing::Word(word) => {
            let known = ["free", "{model: per_request, amount: \"0.01\", currency: USDC}"];
            Err(Problem::unknown(Origin::of(pricing), "pricing", word, &known))
        }
        RawPricing::Tariff(tariff) => check_tariff(tariff, asset),
    }
}

fn check_tariff(tariff: &RawTariff, asset: &OwnedAsset) -> Result<(Pricing, Amount), Problem> {
    let name = tariff.model.value.as_str();
    let origin = Origin::of(&tariff.model);
    let Some(model) = MODELS.iter().find(|model| model.name == name) else {
        let known = MODELS.map(|model| model.name);
        return Err(Problem::unknown(origin, "pricing model", name, &known));
    };
    check_members(model, tariff)?;
    let (Some(amount), Some(currency), "per_request") = (&tariff.amount, &tariff.currency, name)
    else {
        let message = format!("pricing model {name} is not available yet");
        return Err(Problem::new(origin, message, "use per_request, or `pricing: free`"));
    };
    check_currency(currency, asset)?;
    let units = check_amount(amount, asset)?;
    let model = tariff::Model::PerRequest { price: check_price(amount)? };
    let tariff =
        Tariff::new(model, asset.decimals).map_err(|error| misfit(amount, asset, error))?;
    Ok((Pricing::Paid(tariff), units))
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
        ("base_price", place(&tariff.base_price)),
        ("multipliers", tariff.multipliers.as_ref().map(Origin::of)),
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

fn misfit(amount: &Text, asset: &OwnedAsset, error: PriceError) -> Problem {
    let OwnedAsset { symbol, decimals, .. } = asset;
    let message = format!("{} {symbol} cannot be paid: {error}", quote(&amount.value));
    Problem::new(Origin::of(amount), message, format!("{symbol} has {decimals} decimals"))
}
