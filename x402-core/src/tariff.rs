/*!
What a request costs: by the request, the token or the minute, or by conditions.

A [`Tariff`] is a [`Model`] in an asset with so many decimals, and perhaps with bounds. It is asked
twice: [`Tariff::quote`] says what is asked for beforehand, which is the ceiling where the usage is
not known yet, and [`Tariff::charge`] what is due afterwards, which is never more. Both compute with
exact decimals, refuse what does not fit, and round **up** once, at the end. Neither is ever zero:
what costs nothing has no tariff.

```
use x402_core::Price;
use x402_core::condition::{Condition, Value};
use x402_core::tariff::{Factor, Model, Multiplier, Tariff, Usage};

# fn main() -> Result<(), Box<dyn core::error::Error>> {
let multipliers = [
    Multiplier { condition: Condition::parse("query_length > 1000")?, factor: Factor::parse("2.0")? },
    Multiplier { condition: Condition::parse("requires_browser")?, factor: Factor::parse("1.5")? },
];
let model = Model::Dynamic { base_price: Price::parse("0.01")?, multipliers: multipliers.as_slice() };
let tariff = Tariff::new(model, 6)?;

let facts = [("query_length", Value::Number(1500.into()))];
let amount = tariff.quote(&Usage::default(), facts.as_slice())?;
assert_eq!(amount.to_price(6).to_string(), "0.02");
# Ok(())
# }
```
*/

mod multiplier;
mod step;
mod usage;

use core::num::NonZeroU32;
use core::ops::Deref;

pub use multiplier::{Factor, Multiplier, OnUnknown, QuoteError};
pub use step::{Item, Step};
pub use usage::Usage;

use crate::condition::Facts;
use crate::{Amount, Price, PriceError};

/// How a price comes about.
///
/// `M` is a slice of [`Multiplier`]s, borrowed (`&[Multiplier<&str>]`) or owned
/// (`Arc<[Multiplier<String>]>`).
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Model<M = &'static [Multiplier<&'static str>]> {
    /// A base price, times a factor for each condition that holds, in the order in which they
    /// stand.
    Dynamic {
        /// The price before any multiplier.
        base_price: Price,
        /// The conditions with their factors.
        multipliers: M,
    },
    /// So much for each minute that was begun.
    PerMinute {
        /// The price of one minute.
        price: Price,
        /// The least number of minutes that is paid for.
        minimum_minutes: NonZeroU32,
    },
    /// The same for every request. It is never rounded.
    PerRequest {
        /// The price of one request.
        price: Price,
    },
    /// So much for each token. One of the two prices may be zero.
    PerToken {
        /// The price of one token of the request.
        input_price: Price,
        /// The price of one token of the answer.
        output_price: Price,
    },
}

/// How a route is priced, in an asset.
#[derive(Clone, Copy, Debug)]
pub struct Tariff<M = &'static [Multiplier<&'static str>]> {
    model: Model<M>,
    decimals: u8,
    minimum: Amount,
    maximum: Amount,
    on_unknown: OnUnknown,
}

impl<S: AsRef<str>, M: Deref<Target = [Multiplier<S>]>> Tariff<M> {
    /// A tariff without bounds, in an asset with so many decimals.
    ///
    /// # Errors
    ///
    /// [`PriceError::Zero`] for a model that never costs anything; [`PriceError::Precision`] for a
    /// price of one request that has digits below the atomic unit, or for more than 77 decimals;
    /// [`PriceError::Overflow`] where 256 bits do not hold the price.
    pub fn new(model: Model<M>, decimals: u8) -> Result<Self, PriceError> {
        let price = match &model {
            Model::Dynamic { base_price, .. } => *base_price,
            Model::PerMinute { price, .. } | Model::PerRequest { price } => *price,
            Model::PerToken { input_price, output_price } => input_price.plus(output_price)?,
        };
        if price.is_zero() {
            return Err(PriceError::Zero);
        }
        match model {
            Model::PerRequest { price } => price.to_amount(decimals)?,
            _ => price.to_amount_ceil(decimals)?,
        };
        let on_unknown = OnUnknown::Refuse;
        Ok(Self { model, decimals, minimum: Amount::ZERO, maximum: Amount::MAX, on_unknown })
    }

    /// The same tariff with bounds: a price that is less than `min_price` is raised to it, one that
    /// is more than `max_price` is lowered to it, whatever the usage and the facts.
    ///
    /// # Errors
    ///
    /// [`PriceError::Range`] for a `min_price` of more than `max_price`; [`PriceError::Zero`] for a
    /// `max_price` of zero; [`PriceError::Precision`] and [`PriceError::Overflow`] as
    /// [`Price::to_amount`]: a bound that had to be rounded would not be kept.
    pub fn bounded(
        self,
        min_price: Option<Price>,
        max_price: Option<Price>,
    ) -> Result<Self, PriceError> {
        let amount = |price: Price| price.to_amount(self.decimals);
        let minimum = min_price.map(amount).transpose()?.unwrap_or(Amount::ZERO);
        let maximum = max_price.map(amount).transpose()?.unwrap_or(Amount::MAX);
        match maximum {
            zero if zero == Amount::ZERO => Err(PriceError::Zero),
            _ if minimum > maximum => Err(PriceError::Range),
            _ => Ok(Self { minimum, maximum, ..self }),
        }
    }

    /// What is asked for a usage that is known, or the ceiling for one that is known to be no more.
    ///
    /// In atomic units. It never falls where the usage rises.
    ///
    /// # Errors
    ///
    /// [`QuoteError::Price`] with [`PriceError::Zero`] where nothing is used and there is no
    /// minimum, and with [`PriceError::Overflow`] or [`PriceError::Precision`] where an exact price
    /// on the way does not fit 256 bits and 255 decimals; [`QuoteError::Condition`] where a fact is
    /// of another kind than a condition needs, or is not known and [`OnUnknown::Refuse`] is the rule.
    pub fn quote<F: Facts + ?Sized>(&self, usage: &Usage, facts: &F) -> Result<Amount, QuoteError> {
        self.explain(usage, facts, |_| ())
    }

    /// What is due for what was used: at most `ceiling`, which is what was quoted.
    ///
    /// In atomic units.
    ///
    /// # Errors
    ///
    /// As [`Self::quote`], save that the ceiling is due for what does not fit 256 bits.
    pub fn charge<F: Facts + ?Sized>(
        &self,
        usage: &Usage,
        facts: &F,
        ceiling: Amount,
    ) -> Result<Amount, QuoteError> {
        match self.quote(usage, facts) {
            Ok(amount) => Ok(amount.min(ceiling)),
            Err(QuoteError::Price(PriceError::Overflow)) => Ok(ceiling),
            Err(error) => Err(error),
        }
    }

    /// As [`Self::quote`], and shows every step of the computation to `visit`.
    ///
    /// # Errors
    ///
    /// As [`Self::quote`]; the steps before the error have been shown.
    pub fn explain<F: Facts + ?Sized>(
        &self,
        usage: &Usage,
        facts: &F,
        mut visit: impl FnMut(Step<'_>),
    ) -> Result<Amount, QuoteError> {
        let exact = self.exact(usage, facts, &mut visit)?;
        let amount = exact.to_amount_ceil(self.decimals)?;
        visit(Step::Rounded { exact, amount });
        if amount < self.minimum {
            visit(Step::Raised { amount: self.minimum });
        } else if amount > self.maximum {
            visit(Step::Lowered { amount: self.maximum });
        }
        match amount.max(self.minimum).min(self.maximum) {
            zero if zero == Amount::ZERO => Err(PriceError::Zero.into()),
            amount => Ok(amount),
        }
    }

    /// The price before it is rounded and bounded.
    fn exact<F: Facts + ?Sized>(
        &self,
        usage: &Usage,
        facts: &F,
        visit: &mut impl FnMut(Step<'_>),
    ) -> Result<Price, QuoteError> {
        let mut add = |total: Price, item, price: &Price, quantity| {
            let total = total.plus(&price.times(quantity)?)?;
            visit(Step::Added { item, price: *price, quantity, total });
            Ok::<_, PriceError>(total)
        };
        let zero = Price::ZERO;
        match &self.model {
            Model::Dynamic { base_price, multipliers } => {
                let base = add(zero, Item::Base, base_price, 1)?;
                multiplier::apply(base, multipliers, facts, self.on_unknown, visit)
            }
            Model::PerMinute { price, minimum_minutes } => {
                let minutes = usage.minutes.max(minimum_minutes.get().into());
                Ok(add(zero, Item::Minute, price, minutes)?)
            }
            Model::PerRequest { price } => Ok(add(zero, Item::Request, price, 1)?),
            Model::PerToken { input_price, output_price } => {
                let input = add(zero, Item::InputToken, input_price, usage.input_tokens)?;
                Ok(add(input, Item::OutputToken, output_price, usage.output_tokens)?)
            }
        }
    }
}

impl<M> Tariff<M> {
    /// How the price comes about.
    #[must_use]
    pub const fn model(&self) -> &Model<M> {
        &self.model
    }

    /// The same tariff with that rule for facts that are not known; without it, [`OnUnknown::Refuse`].
    #[must_use]
    pub fn on_unknown(self, on_unknown: OnUnknown) -> Self {
        Self { on_unknown, ..self }
    }

    /// What a price is that depends on a fact that is not known.
    #[must_use]
    pub const fn rule_of_unknown(&self) -> OnUnknown {
        self.on_unknown
    }

    /// The decimals of the asset.
    #[must_use]
    pub const fn decimals(&self) -> u8 {
        self.decimals
    }

    /// The minutes that are paid for so much time: rounded up, and at least one, or as many as the
    /// model says.
    #[must_use]
    pub fn minutes(&self, milliseconds: u64) -> u64 {
        let minimum = match &self.model {
            Model::PerMinute { minimum_minutes, .. } => minimum_minutes.get(),
            Model::Dynamic { .. } | Model::PerRequest { .. } | Model::PerToken { .. } => 1,
        };
        Usage::duration(milliseconds).minutes.max(minimum.into())
    }
}

#[cfg(test)]
mod tests {
    use std::string::{String, ToString};
    use std::vec::Vec;

    use super::*;
    use crate::condition::{Condition, Fault, Value};

    fn price(text: &str) -> Price {
        Price::parse(text).unwrap()
    }

    fn units(units: u128) -> Result<Amount, QuoteError> {
        Ok(Amount::from_units(units))
    }

    fn usdc(model: Model) -> Tariff {
        Tariff::new(model, 6).unwrap()
    }

    fn per_token(input_price: &str, output_price: &str) -> Tariff {
        let (input_price, output_price) = (price(input_price), price(output_price));
        usdc(Model::PerToken { input_price, output_price })
    }

    fn per_minute(minimum: u32) -> Tariff {
        let minimum_minutes = NonZeroU32::new(minimum).unwrap();
        usdc(Model::PerMinute { price: price("0.10"), minimum_minutes })
    }

    fn multiplier(condition: &'static str, factor: &str) -> Multiplier<&'static str> {
        let condition = Condition::parse(condition).unwrap();
        Multiplier { condition, factor: Factor::parse(factor).unwrap() }
    }

    fn dynamic<'a>(
        base_price: &str,
        multipliers: &'a [Multiplier<&'static str>],
    ) -> Tariff<&'a [Multiplier<&'static str>]> {
        Tariff::new(Model::Dynamic { base_price: price(base_price), multipliers }, 6).unwrap()
    }

    #[test]
    fn a_request_costs_its_price() {
        let tariff = usdc(Model::PerRequest { price: price("0.01") });
        assert_eq!(tariff.quote(&Usage::default(), &()), units(10_000));
    }

    #[test]
    fn tokens_cost_the_sum_of_both_prices_rounded_up() {
        let tariff = per_token("0.00001", "0.00003");
        assert_eq!(tariff.quote(&Usage::tokens(1000, 500), &()), units(25_000));
        let tariff = per_token("0.0000001", "0.0000002");
        for (input, output, amount) in [(1, 0, 1), (10, 0, 1), (11, 0, 2), (1, 5, 2), (8, 1, 1)] {
            assert_eq!(tariff.quote(&Usage::tokens(input, output), &()), units(amount));
        }
    }

    #[test]
    fn minutes_are_rounded_up_and_at_least_the_minimum() {
        let tariff = per_minute(2);
        for (milliseconds, minutes) in
            [(0, 2), (1, 2), (120_000, 2), (120_001, 3), (u64::MAX, 307_445_734_561_826)]
        {
            assert_eq!(tariff.minutes(milliseconds), minutes);
        }
        assert_eq!(per_minute(1).minutes(0), 1);
        let amount = |milliseconds| tariff.quote(&Usage::duration(milliseconds), &());
        assert_eq!((amount(0), amount(120_001)), (units(200_000), units(300_000)));
    }

    #[test]
    fn conditions_that_hold_multiply() {
        let multipliers = [multiplier("query_length > 1000", "2.0"), multiplier("browser", "1.5")];
        let tariff = dynamic("0.01", &multipliers);
        let quote = |facts: &[(&str, Value<'_>)]| tariff.quote(&Usage::default(), facts);
        let (long, browser) =
            (("query_length", Value::Number(1001.into())), ("browser", Value::Bool(true)));
        assert_eq!(quote(&[]), units(10_000));
        assert_eq!(quote(&[long]), units(20_000));
        assert_eq!(quote(&[browser]), units(15_000));
        assert_eq!(quote(&[long, browser]), units(30_000));
        let Err(QuoteError::Condition { multiplier: 1, error }) =
            quote(&[long, ("browser", Value::Text("yes"))])
        else {
            panic!("a text is not true")
        };
        assert_eq!((error.fault, error.start, error.end), (Fault::Mismatch, 0, 7));
    }

    #[test]
    fn where_a_fact_is_not_known_the_rule_decides() {
        let multipliers =
            [multiplier("a > 1", "2"), multiplier("not b", "0.5"), multiplier("c or a == 1", "1")];
        let tariff = dynamic("0.01", &multipliers);
        let known = [("b", Value::Bool(true)), ("c", Value::Bool(true))];
        let quote = |rule, facts: &[(&str, Value<'_>)]| {
            tariff.on_unknown(rule).quote(&Usage::default(), facts)
        };
        let a = [("a", Value::Unknown), known[0], known[1]];
        let all = ["a", "b", "c"].map(|name| (name, Value::Unknown));
        for rule in [OnUnknown::Refuse, OnUnknown::Highest, OnUnknown::Base] {
            assert_eq!(quote(rule, &known), units(10_000));
            // What is known to be of another kind is not unknown.
            let text = [("a", Value::Text("2")), known[0], known[1]];
            let Err(QuoteError::Condition { multiplier: 0, error }) = quote(rule, &text) else {
                panic!("a text is no number")
            };
            assert_eq!(error.fault, Fault::Mismatch);
        }
        for facts in [&a, &all] {
            let Err(QuoteError::Condition { multiplier: 0, error }) =
                quote(OnUnknown::Refuse, facts)
            else {
                panic!("it is not known")
            };
            assert_eq!((error.fault, error.start, error.end), (Fault::Unreadable, 0, 1));
            assert_eq!(quote(OnUnknown::Highest, facts), units(20_000));
            assert_eq!(quote(OnUnknown::Base, facts), units(10_000));
        }
        // Whatever they are, it is no dearer.
        for (a, b, c) in [(0, false, false), (2, true, false), (1, false, true), (2, false, true)] {
            let (b, c) = (("b", Value::Bool(b)), ("c", Value::Bool(c)));
            let facts = [("a", Value::Number(a.into())), b, c];
            assert!(quote(OnUnknown::Refuse, &facts).unwrap() <= Amount::from_units(20_000));
        }
    }

    #[test]
    fn every_step_can_be_seen() {
        let multipliers = [multiplier("long", "2.0"), multiplier("browser", "1.25")];
        let tariff = dynamic("0.0000005", &multipliers);
        let tariff = tariff.bounded(Some(price("0.000002")), None).unwrap();
        let mut steps = Vec::<String>::new();
        let facts = [("browser", Value::Bool(true))];
        let explained = tariff
            .explain(&Usage::default(), facts.as_slice(), |step| steps.push(step.to_string()));
        assert_eq!(explained, units(2));
        let expected = [
            "base price: 0.0000005",
            "long: no, stays 0.0000005",
            "browser: yes, times 1.25 is 0.000000625",
            "in atomic units, rounded up: 1",
            "raised to min_price: 2",
        ];
        assert_eq!(steps, expected);
    }

    #[test]
    fn bounds_are_kept_whatever_is_used() {
        let tariff = per_token("0.00001", "0.00003");
        let tariff = tariff.bounded(Some(price("0.001")), Some(price("0.02"))).unwrap();
        let quote = |input, output| tariff.quote(&Usage::tokens(input, output), &());
        assert_eq!(quote(0, 0), units(1_000));
        assert_eq!(quote(100, 0), units(1_000));
        assert_eq!(quote(101, 0), units(1_010));
        assert_eq!(quote(u64::MAX, u64::MAX), units(20_000));
    }

    #[test]
    fn bounds_that_cannot_be_kept_are_refused() {
        let tariff = per_token("0.00001", "0.00003");
        let bounded = |min: Option<&str>, max: Option<&str>| {
            tariff.bounded(min.map(price), max.map(price)).map(|_| ())
        };
        assert_eq!(bounded(Some("0.2"), Some("0.1")), Err(PriceError::Range));
        assert_eq!(bounded(None, Some("0")), Err(PriceError::Zero));
        assert_eq!(bounded(None, Some("0.0000015")), Err(PriceError::Precision));
        assert_eq!(bounded(Some("0.0000015"), None), Err(PriceError::Precision));
        assert_eq!(bounded(Some("0.1"), Some("0.1")), Ok(()));
    }

    #[test]
    fn the_charge_is_never_more_than_the_ceiling() {
        let tariff = per_token("0.00001", "0.00003");
        let ceiling = tariff.quote(&Usage::tokens(10, 100), &()).unwrap();
        let charge = |input, output| tariff.charge(&Usage::tokens(input, output), &(), ceiling);
        assert_eq!(charge(10, 1), units(130));
        assert_eq!(charge(10, 100), Ok(ceiling));
        assert_eq!(charge(10, 101), Ok(ceiling));
        assert_eq!(charge(0, 0), Err(QuoteError::Price(PriceError::Zero)));
        let dear = per_token("0", &"9".repeat(70));
        let usage = Usage::tokens(0, u64::MAX);
        assert_eq!(dear.quote(&usage, &()), Err(QuoteError::Price(PriceError::Overflow)));
        assert_eq!(dear.charge(&usage, &(), ceiling), Ok(ceiling));
    }

    #[test]
    fn nothing_is_ever_free() {
        let zero = Price::ZERO;
        let minimum_minutes = NonZeroU32::MIN;
        let models: [Model; 4] = [
            Model::Dynamic { base_price: zero, multipliers: &[] },
            Model::PerMinute { price: zero, minimum_minutes },
            Model::PerRequest { price: zero },
            Model::PerToken { input_price: zero, output_price: price("0.00") },
        ];
        for model in models {
            assert_eq!(Tariff::new(model, 6).unwrap_err(), PriceError::Zero);
        }
        assert_eq!(Factor::parse("0.0").unwrap_err(), PriceError::Zero);
        let nothing = per_token("0.1", "0").quote(&Usage::tokens(0, 5), &());
        assert_eq!(nothing, Err(QuoteError::Price(PriceError::Zero)));
    }

    #[test]
    fn a_price_of_one_request_is_never_rounded() {
        let quote = |text: &str, decimals| {
            let model: Model = Model::PerRequest { price: price(text) };
            Tariff::new(model, decimals).map(|tariff| tariff.quote(&Usage::default(), &()))
        };
        assert_eq!(quote("0.0000001", 6), Err(PriceError::Precision));
        assert_eq!(quote("1", 78), Err(PriceError::Precision));
        assert_eq!(quote(&"9".repeat(77), 6), Err(PriceError::Overflow));
        assert_eq!(quote("1.000", 0), Ok(units(1)));
    }
}
