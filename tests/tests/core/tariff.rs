//! Tariffs against arithmetic on integers of any size.

use num_bigint::BigUint;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use x402_core::condition::{Condition, Facts, Value};
use x402_core::tariff::{Factor, Model, Multiplier, QuoteError, Step, Tariff, Usage};
use x402_core::{Amount, Price, PriceError};

use crate::arbitrary::cases;

/// `mantissa / 10^scale`, of any size.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Paper {
    mantissa: BigUint,
    scale: u32,
}

impl Paper {
    fn new(decimal: &str) -> Self {
        let (whole, fraction) = decimal.split_once('.').unwrap_or((decimal, ""));
        let mantissa = format!("{whole}{fraction}").parse().unwrap();
        Self { mantissa, scale: fraction.len().try_into().unwrap() }
    }

    fn times(&self, other: &Self) -> Self {
        Self { mantissa: &self.mantissa * &other.mantissa, scale: self.scale + other.scale }
    }

    fn plus(&self, other: &Self) -> Self {
        let scale = self.scale.max(other.scale);
        let at_scale = |paper: &Self| &paper.mantissa * power_of_ten(scale - paper.scale);
        Self { mantissa: at_scale(self) + at_scale(other), scale }
    }

    /// Whether its shortest form has 256 bits and 255 decimals.
    fn fits(&self) -> bool {
        let (mut mantissa, mut scale) = (self.mantissa.clone(), self.scale);
        while scale > 0 && &mantissa % 10_u8 == BigUint::ZERO {
            (mantissa, scale) = (mantissa / 10_u8, scale - 1);
        }
        mantissa.bits() <= 256 && scale <= 255
    }

    /// In atomic units, rounded up, if 256 bits hold it.
    fn ceil(&self, decimals: u8) -> Option<BigUint> {
        let one = power_of_ten(self.scale);
        let units = &self.mantissa * power_of_ten(decimals.into());
        let units = (units + &one - 1_u8) / one;
        (units.bits() <= 256).then_some(units)
    }
}

fn power_of_ten(exponent: u32) -> BigUint {
    BigUint::from(10_u8).pow(exponent)
}

fn units(amount: Amount) -> BigUint {
    BigUint::from_bytes_be(&amount.to_be_bytes())
}

/// A decimal above zero as people write prices, or at the edge of what fits.
fn decimal() -> impl Strategy<Value = String> {
    let everyday = (0_u32..2000, 0_usize..8).prop_map(|(number, zeros)| {
        format!("{}.{}{:03}", number / 100, "0".repeat(zeros), number % 100 + 1)
    });
    let factor = (1_u16..400).prop_map(|tenths| format!("{}.{}", tenths / 10, tenths % 10));
    let long = "[1-9][0-9]{0,30}\\.[0-9]{0,30}[1-9]0{0,9}";
    prop_oneof![6 => everyday, 6 => factor, 1 => "[1-9][0-9]{0,12}", 1 => long]
}

/// A base price, and factors with whether their conditions hold.
fn dynamic() -> impl Strategy<Value = (String, Vec<(String, bool)>, u8)> {
    let factors = proptest::collection::vec((decimal(), proptest::bool::weighted(0.7)), 0..8);
    (decimal(), factors, prop_oneof![Just(6_u8), Just(18), 0_u8..=77])
}

/// `c0` holds if the first of them does, and so on.
struct Flags<'a>(&'a [(String, bool)]);

impl Facts for Flags<'_> {
    fn fact(&self, name: &str) -> Option<Value<'_>> {
        let index: usize = name.strip_prefix('c')?.parse().ok()?;
        self.0.get(index).map(|(_, holds)| Value::Bool(*holds))
    }
}

fn multipliers(factors: &[(String, bool)]) -> Vec<Multiplier<String>> {
    let multiplier = |(index, (factor, _)): (usize, &(String, bool))| Multiplier {
        condition: Condition::parse(format!("c{index}")).unwrap(),
        factor: Factor::parse(factor).unwrap(),
    };
    factors.iter().enumerate().map(multiplier).collect()
}

/// The exact prices on the way, and the amount at its end; nothing where one of them does not fit.
fn on_paper(base: &str, factors: &[(String, bool)], decimals: u8) -> Option<(Vec<Paper>, BigUint)> {
    let mut totals = vec![Paper::new(base)];
    for (factor, holds) in factors {
        let last = totals.last()?;
        let next = if *holds { last.times(&Paper::new(factor)) } else { last.clone() };
        totals.push(Some(next).filter(Paper::fits)?);
    }
    let amount = totals.last()?.ceil(decimals)?;
    Some((totals, amount))
}

fn is_as_on_paper(base: &str, factors: &[(String, bool)], decimals: u8) -> bool {
    let base_price = Price::parse(base).unwrap();
    let multipliers = multipliers(factors);
    let model = Model::Dynamic { base_price, multipliers: multipliers.as_slice() };
    let Ok(tariff) = Tariff::new(model, decimals) else {
        return Paper::new(base).ceil(decimals).is_none();
    };
    let mut totals = Vec::new();
    let amount = tariff.explain(&Usage::default(), &Flags(factors), |step| match step {
        Step::Added { total, .. } | Step::Multiplied { total, .. } => {
            totals.push(total.to_string())
        }
        _ => {}
    });
    match (amount, on_paper(base, factors, decimals)) {
        (Ok(amount), Some((paper, expected))) => {
            let is_exact = |(ours, paper): (&String, &Paper)| {
                Paper::new(ours).plus(paper) == paper.plus(paper)
            };
            units(amount) == expected
                && totals.len() == paper.len()
                && totals.iter().zip(&paper).all(is_exact)
        }
        (Err(QuoteError::Price(PriceError::Overflow | PriceError::Precision)), None) => true,
        _ => false,
    }
}

/// A million cases with `X402_LONG`, a hundred thousand without.
#[test]
fn products_are_exact_in_their_order_and_rounded_up_once() {
    let count = if std::env::var_os("X402_LONG").is_some() { 1_000_000 } else { 100_000 };
    let mut runner = TestRunner::new(cases(count));
    let result = runner.run(&dynamic(), |(base, factors, decimals)| {
        prop_assert!(is_as_on_paper(&base, &factors, decimals));
        Ok(())
    });
    result.unwrap();
}

fn price() -> impl Strategy<Value = Price> {
    decimal().prop_map(|decimal| Price::parse(&decimal).unwrap())
}

fn quantity() -> impl Strategy<Value = u64> {
    prop_oneof![0_u64..5000, any::<u64>()]
}

/// An optional minimum and maximum, in atomic units of six decimals.
fn bounds() -> impl Strategy<Value = (Option<Price>, Option<Price>)> {
    let bound = || proptest::option::of(1_u64..1_000_000_000);
    (bound(), bound()).prop_map(|(a, b)| {
        let price = |units: u64| Amount::from_units(units.into()).to_price(6);
        match (a, b) {
            (Some(a), Some(b)) => (Some(price(a.min(b))), Some(price(a.max(b)))),
            (a, b) => (a.map(price), b.map(price)),
        }
    })
}

fn metered() -> impl Strategy<Value = Tariff> {
    let per_token = (price(), price())
        .prop_map(|(input_price, output_price)| Model::PerToken { input_price, output_price });
    let per_minute = (price(), 1_u32..10).prop_map(|(price, minutes)| Model::PerMinute {
        price,
        minimum_minutes: minutes.try_into().unwrap(),
    });
    let tariff = |model: Model| Tariff::new(model, 6).ok();
    (prop_oneof![per_token, per_minute].prop_filter_map("too dear", tariff), bounds())
        .prop_map(|(tariff, (min, max))| tariff.bounded(min, max).unwrap())
}

proptest! {
    #![proptest_config(cases(4096))]

    #[test]
    fn tokens_and_minutes_cost_what_they_cost_on_paper(
        prices in (decimal(), decimal()), input in quantity(), output in quantity(),
        minimum in 1_u32..10, decimals in 0_u8..=77,
    ) {
        let (input_price, output_price) =
            (Price::parse(&prices.0).unwrap(), Price::parse(&prices.1).unwrap());
        let count = |quantity: u64| Paper { mantissa: quantity.into(), scale: 0 };
        let (input_paper, output_paper) =
            (Paper::new(&prices.0).times(&count(input)), Paper::new(&prices.1).times(&count(output)));
        let tokens = input_paper.plus(&output_paper);
        let minutes = Paper::new(&prices.0).times(&count(input.max(minimum.into())));
        let minimum_minutes = minimum.try_into().unwrap();
        let per_minute = Model::PerMinute { price: input_price, minimum_minutes };
        for (model, paper, parts) in [
            (Model::PerToken { input_price, output_price }, tokens, vec![input_paper, output_paper]),
            (per_minute, minutes, vec![]),
        ] {
            let Ok(tariff) = Tariff::new(model, decimals) else { continue };
            let tariff: Tariff = tariff;
            let usage = Usage { input_tokens: input, output_tokens: output, minutes: input };
            let fits = parts.iter().all(Paper::fits) && paper.fits();
            let expected = paper.ceil(decimals).filter(|_| fits);
            match tariff.quote(&usage, &()) {
                Ok(amount) => prop_assert_eq!(Some(units(amount)), expected),
                Err(QuoteError::Price(PriceError::Zero)) => {
                    prop_assert_eq!(expected, Some(BigUint::ZERO));
                }
                Err(error) => prop_assert!(expected.is_none(), "{}", error),
            }
        }
    }

    #[test]
    fn the_price_never_falls_where_the_usage_rises(
        tariff in metered(), low in (quantity(), quantity()), more in (quantity(), quantity()),
    ) {
        let usage = |input: u64, output: u64| {
            Usage { input_tokens: input, output_tokens: output, minutes: input }
        };
        let low_usage = usage(low.0, low.1);
        let high_usage = usage(low.0.saturating_add(more.0), low.1.saturating_add(more.1));
        if let (Ok(low), Ok(high)) = (tariff.quote(&low_usage, &()), tariff.quote(&high_usage, &())) {
            prop_assert!(low <= high, "{} {}", low, high);
        }
    }

    #[test]
    fn the_charge_is_never_more_than_the_ceiling_and_never_zero(
        tariff in metered(), bound in (quantity(), quantity()), used in (quantity(), quantity()),
    ) {
        let usage = |(input, output): (u64, u64)| {
            Usage { input_tokens: input, output_tokens: output, minutes: input }
        };
        let Ok(ceiling) = tariff.quote(&usage(bound), &()) else { return Ok(()) };
        prop_assert!(ceiling > Amount::ZERO);
        match tariff.charge(&usage(used), &(), ceiling) {
            Ok(charge) => prop_assert!(charge > Amount::ZERO && charge <= ceiling),
            Err(error) => prop_assert_eq!(error, QuoteError::Price(PriceError::Zero)),
        }
    }

    #[test]
    fn bounds_are_kept(base in decimal(), factors in proptest::collection::vec((decimal(), any::<bool>()), 0..4), bounds in bounds()) {
        let multipliers = multipliers(&factors);
        let base_price = Price::parse(&base).unwrap();
        let model = Model::Dynamic { base_price, multipliers: multipliers.as_slice() };
        let Ok(tariff) = Tariff::new(model, 6) else { return Ok(()) };
        let free = tariff.quote(&Usage::default(), &Flags(&factors));
        let tariff = tariff.bounded(bounds.0, bounds.1).unwrap();
        let Ok(free) = free else { return Ok(()) };
        let kept = tariff.quote(&Usage::default(), &Flags(&factors)).unwrap();
        let amount = |price: Price| price.to_amount(6).unwrap();
        let expected = free
            .max(bounds.0.map_or(Amount::ZERO, amount))
            .min(bounds.1.map_or(Amount::MAX, amount));
        prop_assert_eq!(kept, expected);
    }
}

/// The known products, as tokens and as a base price with a factor.
#[test]
fn products_of_the_vectors() {
    let file: serde_json::Value =
        serde_json::from_str(include_str!("../../vectors/price_products.json")).unwrap();
    for vector in file["vectors"].as_array().unwrap() {
        let text = |name: &str| vector[name].as_str().unwrap();
        let decimals = u8::try_from(vector["decimals"].as_u64().unwrap()).unwrap();
        let price = Price::parse(text("unit_price")).unwrap();
        let due = Amount::parse(text("atomic_round_up")).unwrap();

        let model = Model::PerToken { input_price: Price::ZERO, output_price: price };
        let per_token: Tariff = Tariff::new(model, decimals).unwrap();
        let usage = Usage::tokens(7, text("quantity").parse().unwrap());
        let zero = Err(QuoteError::Price(PriceError::Zero));
        let expected = if due == Amount::ZERO { zero } else { Ok(due) };
        assert_eq!(per_token.quote(&usage, &()), expected, "{vector}");

        let Ok(factor) = Factor::parse(text("quantity")) else { continue };
        let multipliers = [Multiplier { condition: Condition::parse("true").unwrap(), factor }];
        let model = Model::Dynamic { base_price: price, multipliers: multipliers.as_slice() };
        let dynamic = Tariff::new(model, decimals).unwrap();
        assert_eq!(dynamic.quote(&Usage::default(), &()), Ok(due), "{vector}");
    }
}
