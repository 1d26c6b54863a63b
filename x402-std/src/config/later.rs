//! What is said of the payments that are settled later, in batches; and for how long names of credit are good.

use core::ops::RangeInclusive;
use core::time::Duration;

use x402_core::{Amount, Price};

use super::error::{Origin, Problem};
use super::pricing::check_price;
use super::raw::{RawLater, Text};
use super::snippet::quote;
use super::{LaterConfig, OwnedAsset};
use crate::ledger::Settle;
use crate::seller::Later;

/// More of them may need more gas than a transaction may have.
const BATCH: RangeInclusive<u64> = 1..=100;
/// In seconds. What waits longer than a minute is likely to end meanwhile.
const DELAY: RangeInclusive<u64> = 0..=60;
/// In seconds: a minute is what a signature lasts, and ten years are for ever.
const NAME_LIFE: RangeInclusive<u64> = 60..=315_360_000;
/// Whole units of the asset that one payer may owe, unless the file says.
const OWED: &str = "1";

/// How many payments one transaction settles at most.
pub(super) fn check_batch(raw: Option<&Text>) -> Result<usize, Problem> {
    let usual = Later::default().max_batch;
    let number = raw.map(|text| check_number(text, BATCH, "a batch")).transpose()?;
    // Below the limit of the range.
    Ok(number.map_or(usual, |number| usize::try_from(number).unwrap_or(1)))
}

pub(super) fn check_later(raw: Option<RawLater>) -> Result<LaterConfig, Problem> {
    let raw = raw.unwrap_or_default();
    let usual = Later::default();
    let max_batch = check_batch(raw.max_batch.as_ref())?;
    let max_delay = raw.max_delay.as_ref();
    let max_delay = max_delay.map(|text| check_number(text, DELAY, "a delay in seconds"));
    let max_delay = max_delay.unwrap_or(Ok(usual.max_delay.as_secs()))?;
    let max_owed = match &raw.max_owed {
        Some(text) => check_price(text)?,
        None => Price::parse(OWED).map_err(|_| Problem::new(Origin::Whole, "no price", ""))?,
    };
    Ok(LaterConfig { max_batch, max_delay: Duration::from_secs(max_delay), max_owed })
}

pub(super) fn check_credit_expires(raw: Option<&Text>) -> Result<Option<Duration>, Problem> {
    let seconds = raw.map(|text| check_number(text, NAME_LIFE, "a time in seconds")).transpose()?;
    Ok(seconds.map(Duration::from_secs))
}

/// A whole number, written in digits alone.
pub(super) fn check_number(
    text: &Text,
    range: RangeInclusive<u64>,
    what: &str,
) -> Result<u64, Problem> {
    let is_plain = text.value.bytes().all(|b| b.is_ascii_digit());
    let number = text.value.parse().ok().filter(|number| is_plain && range.contains(number));
    number.ok_or_else(|| {
        let message = format!("{} is not {what}", quote(&text.value));
        let help = format!("write a whole number, from {} to {}", range.start(), range.end());
        Problem::new(Origin::of(text), message, help)
    })
}

pub(super) fn check_settle(text: &Text) -> Result<Settle, Problem> {
    match text.value.as_str() {
        "first" => Ok(Settle::First),
        "after" => Ok(Settle::After),
        "later" => Ok(Settle::Later),
        other => {
            let known = ["first", "after", "later"];
            Err(Problem::unknown(Origin::of(text), "time to settle", other, &known))
        }
    }
}

impl LaterConfig {
    /// As a seller takes it, who is paid in these tokens.
    #[must_use]
    pub fn of_assets(&self, assets: &[OwnedAsset]) -> Later {
        let most = |asset: &OwnedAsset| {
            let amount = self.max_owed.to_amount_floor(asset.decimals);
            (asset.chain_id, asset.address, amount.unwrap_or(Amount::ZERO))
        };
        Later {
            max_batch: self.max_batch,
            max_delay: self.max_delay,
            max_owed: assets.iter().map(most).collect(),
        }
    }
}
