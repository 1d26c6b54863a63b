//! For how long a buyer is asked to let an authorization be valid.

use core::ops::RangeInclusive;
use core::time::Duration;

use super::error::{Origin, Problem};
use super::raw::Text;
use super::snippet::quote;
use super::{Pricing, Upto};
use crate::ledger::Settle;

/// Unless the route says.
const DEFAULT_SECONDS: u32 = 60;
/// The same, where an answer is measured and the money moves after it: it has to be over by then.
const MEASURED_SECONDS: u32 = 600;
/// Shorter, it would be over before the money can have moved; longer, the buyer's money is bound
/// for nothing.
const SECONDS: RangeInclusive<u32> = 10..=86_400;
/// How long a transaction may take to be in a block.
const SETTLE_SECONDS: u32 = 30;
/// As many batches as a payment may have to wait for that is settled later: one may fail.
const BATCHES: u32 = 3;

/// How long that is, in seconds: what the route says, or else what suits it. Where the money moves after the
/// work it is the time that the work may take, `answer_timeout`, and the time to settle, at least.
pub(super) fn check_validity(
    text: Option<&Text>,
    settle: Settle,
    pricing: &Pricing,
    answer_timeout: Duration,
    max_delay: Duration,
) -> Result<u32, Problem> {
    let settling = time_to_settle(settle, pricing, max_delay);
    let answer = u32::try_from(answer_timeout.as_secs()).unwrap_or(u32::MAX);
    let least = settling.map_or(0, |settling| answer.saturating_add(settling));
    let Some(text) = text else { return Ok(default_seconds(settle, pricing).max(least)) };
    let seconds = check_seconds(text)?;
    if seconds < least {
        let message = format!(
            "the authorization would end after {seconds} seconds, and the answer may begin after {answer}, \
             before the money moves"
        );
        let shorter = settling.and_then(|settling| seconds.checked_sub(settling));
        let help = match shorter.filter(|seconds| *seconds > 0) {
            Some(shorter) => format!(
                "write `timeout: {least}` or more, or give the route an `answer_timeout: {shorter}` or less"
            ),
            None => format!("write `timeout: {least}` or more"),
        };
        return Err(Problem::new(Origin::of(text), message, help));
    }
    Ok(seconds)
}

/// How long settling may take, in seconds, where it comes after the work; `None` where it comes before.
fn time_to_settle(settle: Settle, pricing: &Pricing, max_delay: Duration) -> Option<u32> {
    let Pricing::Paid(sold) = pricing else { return None };
    let batches = || {
        let delay = u32::try_from(max_delay.as_secs()).unwrap_or(u32::MAX);
        delay.saturating_add(1).saturating_mul(BATCHES).saturating_add(SETTLE_SECONDS)
    };
    match (settle, sold.upto) {
        (Settle::Later, _) => Some(batches()),
        (Settle::After, _) => Some(SETTLE_SECONDS),
        (Settle::First, Upto::No) => None,
        // How much of a ceiling is due is known afterwards.
        (Settle::First, _) => Some(batches()),
    }
}

fn default_seconds(settle: Settle, pricing: &Pricing) -> u32 {
    match pricing {
        Pricing::Paid(sold) if sold.tokens.is_some() => match (settle, sold.upto) {
            (Settle::First | Settle::After, Upto::No) => DEFAULT_SECONDS,
            _ => MEASURED_SECONDS,
        },
        Pricing::Paid(_) | Pricing::Free => DEFAULT_SECONDS,
    }
}

fn check_seconds(text: &Text) -> Result<u32, Problem> {
    let is_plain = text.value.bytes().all(|b| b.is_ascii_digit());
    let seconds = text.value.parse().ok().filter(|seconds| is_plain && SECONDS.contains(seconds));
    seconds.ok_or_else(|| {
        let message = format!("{} is not a timeout", quote(&text.value));
        let (least, most) = (SECONDS.start(), SECONDS.end());
        let help = format!("write a whole number of seconds, from {least} to {most}");
        Problem::new(Origin::of(text), message, help)
    })
}
