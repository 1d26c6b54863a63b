//! How a route is priced.

use std::sync::Arc;

use x402_core::Amount;
use x402_core::tariff::{Model, Multiplier, Tariff, Usage};

use crate::metering::request::{BodyError, RequestBody};
use crate::metering::usage::UsageSource;

/// How a route is priced.
#[derive(Clone, Debug)]
pub enum Pricing {
    /// It costs nothing.
    Free,
    /// It is sold.
    Paid(Box<Sold>),
}

/// A tariff that owns its conditions.
pub type OwnedTariff = Tariff<Arc<[Multiplier<String>]>>;

/// What a route costs.
#[derive(Clone, Debug)]
pub struct Sold {
    /// The tariff.
    pub tariff: OwnedTariff,
    /// The price in atomic units, where it is the same for every request.
    pub fixed: Option<Amount>,
    /// How tokens are counted, where it is sold by the token.
    pub tokens: Option<TokenRules>,
    /// Whether a buyer may sign the ceiling, where the price is known in the end only.
    pub upto: Upto,
}

/// Whether a buyer may sign a ceiling, and is charged for what was used (the scheme `upto`).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Upto {
    /// It may.
    Beside,
    /// It may not: the ceiling is paid.
    #[default]
    No,
    /// It has to.
    Only,
}

/// How tokens are counted.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TokenRules {
    /// How many tokens an answer may have that is asked for without a limit of its own.
    pub max_output_tokens: u64,
    /// Where the upstream says what was used.
    pub usage: UsageSource,
    /// Whether a request for a stream is made to ask for the usage.
    pub include_usage: bool,
}

impl Pricing {
    /// The price in atomic units where it is the same for every request; `None` where it is not, and
    /// where it is free.
    #[must_use]
    pub const fn fixed(&self) -> Option<Amount> {
        match self {
            Self::Free => None,
            Self::Paid(sold) => sold.fixed,
        }
    }

    /// How the price comes about, if there is one.
    #[must_use]
    pub const fn model(&self) -> Option<&Model<Arc<[Multiplier<String>]>>> {
        match self {
            Self::Free => None,
            Self::Paid(sold) => Some(sold.tariff.model()),
        }
    }
}

impl Sold {
    /// What a request uses at most, as far as that is known before: its tokens, and those that it lets
    /// the answer have; or so many minutes.
    ///
    /// # Errors
    ///
    /// [`BodyError`] where the request does not say it in one way.
    pub fn ceiling(&self, body: &RequestBody<'_>, minutes: u64) -> Result<Usage, BodyError> {
        let Some(rules) = &self.tokens else { return Ok(Usage { minutes, ..Usage::default() }) };
        let output = match body.max_output_tokens()? {
            Some(tokens) => tokens,
            None => rules.max_output_tokens.saturating_mul(body.choices()?),
        };
        Ok(Usage::tokens(body.count_input().tokens(), output))
    }
}
