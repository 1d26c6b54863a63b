use core::fmt;

use super::Factor;
use crate::{Amount, Price};

/// A step of the computation of a price, in the order in which they are taken.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Step<'a> {
    /// So many of something were added, at a price each.
    Added {
        /// Of what.
        item: Item,
        /// The price of one.
        price: Price,
        /// How many.
        quantity: u64,
        /// The exact price so far.
        total: Price,
    },
    /// A condition was evaluated, and the price was multiplied if it holds.
    Multiplied {
        /// The condition, as it is written.
        condition: &'a str,
        /// Whether it holds, or counts as if it did.
        holds: bool,
        /// Whether that is known, or by [`OnUnknown`](super::OnUnknown).
        is_known: bool,
        /// What is multiplied by, if it holds.
        factor: Factor,
        /// The exact price so far.
        total: Price,
    },
    /// The exact price was rounded up to atomic units, if it was not whole.
    Rounded {
        /// Before.
        exact: Price,
        /// After.
        amount: Amount,
    },
    /// The price was less than `min_price`, and is that.
    Raised {
        /// The price.
        amount: Amount,
    },
    /// The price was more than `max_price`, and is that.
    Lowered {
        /// The price.
        amount: Amount,
    },
}

/// What is paid for.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Item {
    /// The base of a dynamic price.
    Base,
    /// A token of the request.
    InputToken,
    /// A minute that was begun.
    Minute,
    /// A request.
    Request,
    /// A token of the answer.
    OutputToken,
}

impl fmt::Display for Step<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Added { item: item @ (Item::Base | Item::Request), price, .. } => {
                write!(f, "{item}: {price}")
            }
            Self::Added { item, price, quantity, total } => {
                write!(f, "{item}: {quantity} at {price}, together {total}")
            }
            Self::Multiplied { condition, holds: true, is_known, factor, total } => {
                let answer = if *is_known { "yes" } else { "not known" };
                write!(f, "{condition}: {answer}, times {factor} is {total}")
            }
            Self::Multiplied { condition, holds: false, is_known, total, .. } => {
                let answer = if *is_known { "no" } else { "not known" };
                write!(f, "{condition}: {answer}, stays {total}")
            }
            Self::Rounded { amount, .. } => write!(f, "in atomic units, rounded up: {amount}"),
            Self::Raised { amount } => write!(f, "raised to min_price: {amount}"),
            Self::Lowered { amount } => write!(f, "lowered to max_price: {amount}"),
        }
    }
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Base => "base price",
            Self::InputToken => "input tokens",
            Self::Minute => "minutes",
            Self::Request => "request",
            Self::OutputToken => "output tokens",
        })
    }
}
