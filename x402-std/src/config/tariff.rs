//! The models whose price is known with the request, or after it.

use core::num::NonZeroU32;
use std::collections::BTreeMap;

use x402_core::PriceError;
use x402_core::condition::{Condition, Declared, Kind};
use x402_core::tariff::{Factor, Model, Multiplier, OnUnknown};

use super::error::{Origin, Problem};
use super::pricing::{check_price, misfit, required};
use super::raw::{RawMultiplier, RawTariff, Text};
use super::snippet::quote;
use super::usage::{check_tokens, check_upto};
use super::{OwnedAsset, OwnedTariff, Sold, Upto};
use crate::metering::request::well_known;

/// The facts of a route that its file declares.
pub(super) struct Declarations(Vec<(String, Kind)>);

impl Declarations {
    pub(super) fn check(raw: Option<&BTreeMap<String, Text>>) -> Result<Self, Problem> {
        let kind = |(name, text): (&String, &Text)| {
            let kind = match text.value.as_str() {
                "bool" => Kind::Bool,
                "number" => Kind::Number,
                "text" => Kind::Text,
                other => {
                    let known = ["bool", "number", "text"];
                    return Err(Problem::unknown(Origin::of(text), "kind of fact", other, &known));
                }
            };
            Ok((name.clone(), kind))
        };
        raw.into_iter().flatten().map(kind).collect::<Result<_, _>>().map(Self)
    }

    fn all(&self) -> Vec<Declared<'_>> {
        let own = self.0.iter().map(|(name, kind)| Declared { name, kind: *kind });
        well_known().iter().copied().chain(own).collect()
    }
}

pub(super) fn check_per_token(raw: &RawTariff, asset: &OwnedAsset) -> Result<Sold, Problem> {
    let input = required(raw.input_price.as_ref(), raw)?;
    let output = required(raw.output_price.as_ref(), raw)?;
    let model =
        Model::PerToken { input_price: check_price(input)?, output_price: check_price(output)? };
    let tariff = bounded(OwnedTariff::new(model, asset.decimals), output, raw, asset)?;
    let tariff = tariff.on_unknown(check_unknown(raw)?);
    if let (Some(text), None, OnUnknown::Highest) =
        (&raw.on_unknown, &raw.max_price, tariff.rule_of_unknown())
    {
        let message = "without `max_price` there is no highest price";
        let help = "add `max_price`, or write `on_unknown: refuse` or `base`";
        return Err(Problem::new(Origin::of(text), message, help));
    }
    let (tokens, upto) = (Some(check_tokens(raw)?), check_upto(raw)?);
    Ok(Sold { tariff, fixed: None, tokens, upto })
}

pub(super) fn check_per_minute(raw: &RawTariff, asset: &OwnedAsset) -> Result<Sold, Problem> {
    let amount = required(raw.amount.as_ref(), raw)?;
    let minimum = raw.minimum_minutes.as_ref();
    let minimum = minimum.map_or(Ok(NonZeroU32::MIN), |text| {
        let minutes = u32::try_from(whole(text, "a number of minutes")?).ok();
        minutes.and_then(NonZeroU32::new).ok_or_else(|| {
            let message = format!("{} is not a number of minutes", quote(&text.value));
            Problem::new(Origin::of(text), message, "write how many minutes are paid at least: 1")
        })
    })?;
    let model = Model::PerMinute { price: check_price(amount)?, minimum_minutes: minimum };
    let tariff = bounded(OwnedTariff::new(model, asset.decimals), amount, raw, asset)?;
    Ok(Sold { tariff, fixed: None, tokens: None, upto: check_upto(raw)? })
}

pub(super) fn check_dynamic(
    raw: &RawTariff,
    asset: &OwnedAsset,
    declared: &Declarations,
) -> Result<Sold, Problem> {
    let base = required(raw.base_price.as_ref(), raw)?;
    let known = declared.all();
    let multipliers = raw.multipliers.iter().flat_map(|list| &list.value);
    let multipliers = multipliers.map(|multiplier| check_multiplier(multiplier, &known));
    let multipliers: Vec<_> = multipliers.collect::<Result<_, _>>()?;
    let model = Model::Dynamic { base_price: check_price(base)?, multipliers: multipliers.into() };
    let tariff = bounded(OwnedTariff::new(model, asset.decimals), base, raw, asset)?;
    let tariff = tariff.on_unknown(check_unknown(raw)?);
    Ok(Sold { tariff, fixed: None, tokens: None, upto: Upto::No })
}

fn check_unknown(raw: &RawTariff) -> Result<OnUnknown, Problem> {
    let Some(text) = &raw.on_unknown else { return Ok(OnUnknown::Refuse) };
    match text.value.as_str() {
        "refuse" => Ok(OnUnknown::Refuse),
        "highest" => Ok(OnUnknown::Highest),
        "base" => Ok(OnUnknown::Base),
        other => {
            let known = ["refuse", "highest", "base"];
            Err(Problem::unknown(Origin::of(text), "rule of on_unknown", other, &known))
        }
    }
}

fn bounded(
    tariff: Result<OwnedTariff, PriceError>,
    price: &Text,
    raw: &RawTariff,
    asset: &OwnedAsset,
) -> Result<OwnedTariff, Problem> {
    let tariff = tariff.map_err(|error| misfit(price, asset, error))?;
    let bounds = [raw.min_price.as_ref(), raw.max_price.as_ref()];
    let [least, most] = bounds.map(|text| text.map(check_price).transpose());
    let bounded = tariff.bounded(least?, most?);
    let at = bounds.into_iter().flatten().last().unwrap_or(price);
    bounded.map_err(|error| misfit(at, asset, error))
}

fn check_multiplier(
    raw: &RawMultiplier,
    known: &[Declared<'_>],
) -> Result<Multiplier<String>, Problem> {
    let text = &raw.multiplier;
    let factor = Factor::parse(&text.value).map_err(|error| {
        let message = format!("{} is no multiplier: {error}", quote(&text.value));
        Problem::new(Origin::of(text), message, "write a plain decimal above zero: 1.5")
    })?;
    Ok(Multiplier { condition: check_condition(&raw.condition, known)?, factor })
}

fn check_condition(text: &Text, known: &[Declared<'_>]) -> Result<Condition<String>, Problem> {
    let source = text.value.as_str();
    let condition = Condition::parse(text.value.clone());
    let checked = condition.and_then(|condition| condition.check(known).map(|()| condition));
    checked.map_err(|error| {
        let message = format!("{} in the condition: {error}", quote(error.excerpt(source)));
        let help = error.suggestion(source, known).map_or_else(
            || "names are members of the JSON body, of the query, or declared in `facts`".into(),
            |suggestion| format!("did you mean `{suggestion}`? Or declare it in the route: `facts: {{name: kind}}`"),
        );
        Problem::new(Origin::of(text).shifted(u64::from(error.start)), message, help)
    })
}

pub(super) fn whole(text: &Text, what: &str) -> Result<u64, Problem> {
    let is_plain = text.value.bytes().all(|b| b.is_ascii_digit());
    text.value.parse().ok().filter(|_| is_plain).ok_or_else(|| {
        let message = format!("{} is not {what}", quote(&text.value));
        Problem::new(Origin::of(text), message, "write a whole number: 1")
    })
}
