//! How a route is priced.

use std::sync::Arc;

use x402_core::Amount;
use x402_core::tariff::{Model, Multiplier, OnUnknown, Tariff, Usage};

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
    /// the answer have; or so many minutes. Where the request does not say in one way how many it lets it have,
    /// the rule decides ([`Tariff::on_unknown`]): by `highest` there is no limit, by `base` it is that of the
    /// route.
    ///
    /// # Errors
    ///
    /// [`BodyError`] where the request does not say it in one way, or says no number.
    pub fn ceiling(&self, body: &RequestBody<'_>, minutes: u64) -> Result<Usage, BodyError> {
        let Some(rules) = &self.tokens else { return Ok(Usage { minutes, ..Usage::default() }) };
        // It may take long to count, and is not for a request that is refused.
        let input = || body.count_input().tokens();
        match (output(rules, body), self.tariff.rule_of_unknown()) {
            (Ok(output), _) => Ok(Usage::tokens(input(), output)),
            (Err(error @ BodyError::Count(_)), _) | (Err(error), OnUnknown::Refuse) => Err(error),
            // Of what is not read the tokens are not known either.
            (Err(_), OnUnknown::Highest) => Ok(Usage::tokens(u64::MAX, u64::MAX)),
            (Err(_), OnUnknown::Base) => Ok(Usage::tokens(input(), rules.max_output_tokens)),
        }
    }
}

/// How many tokens a request lets its answer have.
fn output(rules: &TokenRules, body: &RequestBody<'_>) -> Result<u64, BodyError> {
    Ok(match body.max_output_tokens()? {
        Some(tokens) => tokens,
        None => rules.max_output_tokens.saturating_mul(body.choices()?),
    })
}
