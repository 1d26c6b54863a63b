//! What is said of the payments that are settled later, in batches.

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
/// Whole units of the asset that one payer may owe, unless the file says.
const OWED: &str = "1";

pub(super) fn check_later(raw: Option<RawLater>) -> Result<LaterConfig, Problem> {
    let raw = raw.unwrap_or_default();
    let usual = Later::default();
    let number = |text: Option<&Text>, range, what, otherwise| {
        text.map_or(Ok(otherwise), |text| check_number(text, range, what))
    };
    let max_batch = number(raw.max_batch.as_ref(), BATCH, "a batch", usual.max_batch as u64)?;
    let max_delay = raw.max_delay.as_ref();
    let max_delay = number(max_delay, DELAY, "a delay in seconds", usual.max_delay.as_secs())?;
    let max_owed = match &raw.max_owed {
        Some(text) => check_price(text)?,
        None => Price::parse(OWED).map_err(|_| Problem::new(Origin::Whole, "no price", ""))?,
    };
    Ok(LaterConfig {
        // Below the limit of the range.
        max_batch: usize::try_from(max_batch).unwrap_or(1),
        max_delay: Duration::from_secs(max_delay),
        max_owed,
    })
}

fn check_number(text: &Text, range: RangeInclusive<u64>, what: &str) -> Result<u64, Problem> {
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
