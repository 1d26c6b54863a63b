use core::fmt;

use super::Step;
use crate::condition::{Condition, ConditionError, Facts, Fault};
use crate::{Amount, Price, PriceError};

/// What a price is multiplied by where a condition holds.
#[derive(Clone, Copy, Debug)]
pub struct Multiplier<S> {
    /// The condition.
    pub condition: Condition<S>,
    /// The factor.
    pub factor: Factor,
}

/// An exact decimal above zero. Below one it is a discount.
#[derive(Clone, Copy, Debug)]
pub struct Factor(Price);

impl Factor {
    /// Reads a plain decimal, as [`Price::parse`].
    ///
    /// # Errors
    ///
    /// As [`Price::parse`], and [`PriceError::Zero`]: what costs nothing is said to be free.
    pub fn parse(text: &str) -> Result<Self, PriceError> {
        match Price::parse(text)? {
            zero if zero.is_zero() => Err(PriceError::Zero),
            factor => Ok(Self(factor)),
        }
    }

    /// Whether it is more than one.
    fn raises(self) -> bool {
        // What does not fit is more.
        self.0.to_amount_ceil(0).map_or(true, |whole| whole > Amount::from_units(1))
    }
}

/// What a price is where it depends on a fact that is not known ([`Value::Unknown`](crate::condition::Value)).
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum OnUnknown {
    /// There is none.
    #[default]
    Refuse,
    /// As if whatever makes it dearer held, and nothing that makes it cheaper.
    Highest,
    /// As if nothing that depends on the fact held.
    Base,
}

impl OnUnknown {
    /// Whether the price is multiplied by a factor whose condition is not known to hold; `None` where there
    /// is no price.
    fn applies(self, factor: Factor) -> Option<bool> {
        match self {
            Self::Refuse => None,
            Self::Highest => Some(factor.raises()),
            Self::Base => Some(false),
        }
    }
}

impl fmt::Display for Factor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// The price times the factors whose conditions hold, in the order in which they stand.
pub(super) fn apply<S: AsRef<str>, F: Facts + ?Sized>(
    price: Price,
    multipliers: &[Multiplier<S>],
    facts: &F,
    on_unknown: OnUnknown,
    visit: &mut impl FnMut(Step<'_>),
) -> Result<Price, QuoteError> {
    let mut total = price;
    for (multiplier, Multiplier { condition, factor }) in multipliers.iter().enumerate() {
        let (holds, is_known) = match condition.holds(facts) {
            Ok(holds) => (holds, true),
            Err(error) => {
                let unknown = (error.fault == Fault::Unreadable).then_some(on_unknown);
                let applies = unknown.and_then(|rule| rule.applies(*factor));
                (applies.ok_or(QuoteError::Condition { multiplier, error })?, false)
            }
        };
        if holds {
            total = total.product(&factor.0)?;
        }
        let condition = condition.source();
        visit(Step::Multiplied { condition, holds, is_known, factor: *factor, total });
    }
    Ok(total)
}

/// Why a request has no price.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum QuoteError {
    /// A condition cannot be evaluated: a fact is of another kind than it needs, or not known.
    Condition {
        /// Which of the multipliers has the condition, from 0.
        multiplier: usize,
        /// What is wrong, and where.
        error: ConditionError,
    },
    /// The price is zero, or does not fit.
    Price(PriceError),
}

impl fmt::Display for QuoteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Condition { error, .. } => write!(f, "a condition has no answer: {error}"),
            Self::Price(error) => fmt::Display::fmt(error, f),
        }
    }
}

impl core::error::Error for QuoteError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Condition { error, .. } => Some(error),
            Self::Price(error) => Some(error),
        }
    }
}

impl From<PriceError> for QuoteError {
    fn from(error: PriceError) -> Self {
        Self::Price(error)
    }
}
