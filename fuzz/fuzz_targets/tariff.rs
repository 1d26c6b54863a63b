//! Tariffs: each model's price is what it is on paper, rounded up once, within its bounds.
#![no_main]

use core::num::NonZeroU32;

use libfuzzer_sys::fuzz_target;
use num_bigint::BigUint;
use x402_core::condition::{Condition, Facts, Value};
use x402_core::tariff::{Factor, Model, Multiplier, QuoteError, Step, Tariff, Usage};
use x402_core::{Amount, Price, PriceError};
use x402_fuzz::Cut;
use x402_fuzz::paper::{Paper, held, units};

/// `c0` holds if the lowest bit is set, and so on.
struct Flags(u8);

impl Flags {
    fn get(&self, index: u32) -> bool {
        self.0.checked_shr(index).is_some_and(|flags| flags % 2 == 1)
    }
}

impl Facts for Flags {
    fn fact(&self, name: &str) -> Option<Value<'_>> {
        Some(Value::Bool(self.get(name.strip_prefix('c')?.parse().ok()?)))
    }
}

/// A case: the prices are lines, two for bounds, and then the factors.
struct Case<'a> {
    model: u8,
    decimals: u8,
    flags: Flags,
    usage: Usage,
    prices: [Paper; 2],
    bounds: [Option<&'a str>; 2],
    factors: Vec<(&'a str, Paper)>,
}

fuzz_target!(|data: &[u8]| {
    if let Some(case) = read(data) {
        check(&case);
    }
});

fn read(data: &[u8]) -> Option<Case<'_>> {
    let mut cut = Cut(data);
    let (model, decimals, flags) = (cut.byte(), cut.byte(), Flags(cut.byte()));
    let usage =
        Usage { input_tokens: cut.number(), output_tokens: cut.number(), minutes: cut.number() };
    let mut lines = cut.text()?.lines();
    let price = |text: &str| Price::parse(text).is_ok().then(|| Paper::parse(text)).flatten();
    let prices = [price(lines.next()?)?, price(lines.next()?)?];
    let mut bound = || lines.next().filter(|text| price(text).is_some());
    let bounds = [bound(), bound()];
    let factors = lines.take(8).filter(|text| Factor::parse(text).is_ok());
    let factors = factors.map(|text| Some((text, Paper::parse(text)?))).collect::<Option<_>>()?;
    Some(Case { model, decimals, flags, usage, prices, bounds, factors })
}

fn check(case: &Case<'_>) {
    let multiplier = |(index, (factor, _)): (usize, &(&str, Paper))| Multiplier {
        condition: Condition::parse(format!("c{index}")).unwrap(),
        factor: Factor::parse(factor).unwrap(),
    };
    let multipliers: Vec<_> = case.factors.iter().enumerate().map(multiplier).collect();
    let [first, second] = case.prices.clone().map(|paper| price(&paper));
    let minimum_minutes = NonZeroU32::new((case.usage.minutes >> 32) as u32 | 1).unwrap();
    let model = match case.model % 4 {
        0 => Model::Dynamic { base_price: first, multipliers: multipliers.as_slice() },
        1 => Model::PerMinute { price: first, minimum_minutes },
        2 => Model::PerRequest { price: first },
        _ => Model::PerToken { input_price: first, output_price: second },
    };
    let Ok(tariff) = Tariff::new(model, case.decimals) else { return };
    let paper = on_paper(case, minimum_minutes);
    let mut last = None;
    let quote = tariff.explain(&case.usage, &case.flags, |step| match step {
        Step::Added { total, .. } | Step::Multiplied { total, .. } => last = Some(total),
        Step::Rounded { .. } | Step::Raised { .. } | Step::Lowered { .. } => {}
        other => panic!("{other:?}"),
    });
    let due = paper.as_ref().map(|paper| paper.ceil(case.decimals)).and_then(held);
    match (quote, &due) {
        (Ok(amount), Some(due)) => {
            assert_eq!(&units(amount), due);
            let last = Paper::parse(&last.expect("a step").to_string()).unwrap();
            assert!(last.equals(paper.as_ref().expect("a price")));
        }
        (Err(QuoteError::Price(PriceError::Zero)), Some(due)) => assert_eq!(*due, BigUint::ZERO),
        (Err(QuoteError::Price(PriceError::Overflow | PriceError::Precision)), None) => {}
        other => panic!("{other:?}"),
    }
    check_bounds(case, &tariff, quote);
}

fn price(paper: &Paper) -> Price {
    let digits = paper.mantissa.to_string();
    let scale = paper.scale as usize;
    let digits = format!("{}{digits}", "0".repeat((scale + 1).saturating_sub(digits.len())));
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    let text = if scale == 0 { whole.to_owned() } else { format!("{whole}.{fraction}") };
    Price::parse(&text).expect("it was one")
}

/// The exact price; nothing where it, or one on the way to it, does not fit.
fn on_paper(case: &Case<'_>, minimum_minutes: NonZeroU32) -> Option<Paper> {
    let [first, second] = &case.prices;
    let fits = |paper: &Paper| paper.fits();
    match case.model % 4 {
        0 => {
            let mut total = first.clone();
            for (index, (_, factor)) in (0..).zip(&case.factors) {
                if case.flags.get(index) {
                    total = Some(total.times(factor)).filter(fits)?;
                }
            }
            Some(total)
        }
        1 => {
            let minutes = case.usage.minutes.max(minimum_minutes.get().into());
            Some(first.times(&Paper::whole(minutes))).filter(fits)
        }
        2 => Some(first.clone()),
        _ => {
            let input = Some(first.times(&Paper::whole(case.usage.input_tokens))).filter(fits)?;
            let output = Some(second.times(&Paper::whole(case.usage.output_tokens)));
            Some(input.plus(&output.filter(fits)?)).filter(fits)
        }
    }
}

/// With bounds the same price is asked for, or the bound; and never is more due than was asked for.
fn check_bounds(
    case: &Case<'_>,
    tariff: &Tariff<&[Multiplier<String>]>,
    quote: Result<Amount, QuoteError>,
) {
    let [min, max] = case.bounds.map(|bound| bound.map(|text| Price::parse(text).unwrap()));
    let amount = |price: Price| price.to_amount(case.decimals).ok();
    let Ok(bounded) = tariff.bounded(min, max) else { return };
    let (min, max) = (min.map(amount), max.map(amount));
    let (min, max) = (min.map(Option::unwrap), max.map(Option::unwrap));
    assert!(max != Some(Amount::ZERO) && min.zip(max).is_none_or(|(min, max)| min <= max));
    let asked = bounded.quote(&case.usage, &case.flags);
    let unbounded = match quote {
        Err(QuoteError::Price(PriceError::Zero)) => Some(Amount::ZERO),
        other => other.ok(),
    };
    let expected = unbounded.map(|amount| amount.max(min.unwrap_or(Amount::ZERO)));
    let expected = expected.map(|amount| amount.min(max.unwrap_or(Amount::MAX)));
    assert_eq!(asked.ok(), expected.filter(|amount| *amount != Amount::ZERO));
    let ceiling = Amount::from_units(case.usage.input_tokens.into());
    match (bounded.charge(&case.usage, &case.flags, ceiling), asked) {
        (Ok(due), Ok(asked)) => assert_eq!(due, asked.min(ceiling)),
        (Ok(due), Err(_)) => assert_eq!(due, ceiling),
        (Err(error), asked) => assert_eq!(Err(error), asked),
    }
}
