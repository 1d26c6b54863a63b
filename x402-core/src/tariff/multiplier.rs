use core::fmt;

use super::Step;
use crate::condition::{Condition, ConditionError, Facts};
use crate::{Price, PriceError};

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
    visit: &mut impl FnMut(Step<'_>),
) -> Result<Price, QuoteError> {
    let mut total = price;
    for (multiplier, Multiplier { condition, factor }) in multipliers.iter().enumerate() {
        let holds = condition.holds(facts);
        let holds = holds.map_err(|error| QuoteError::Condition { multiplier, error })?;
        if holds {
            total = total.product(&factor.0)?;
        }
        visit(Step::Multiplied { condition: condition.source(), holds, factor: *factor, total });
    }
    Ok(total)
}

/// Why a request has no price.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum QuoteError {
    /// A condition cannot be evaluated: a fact is of another kind than it needs.
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
