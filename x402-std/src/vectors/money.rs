use core::fmt;

use serde_json::Value;
use x402_core::{Amount, Price};

use super::{Mismatch, Verdict, member, same, text};

/// A JSON text where a number of the wire is due: a JSON string of `0` or `[1-9][0-9]*`.
pub(super) fn number(entry: &Value) -> Verdict {
    let got = match serde_json::from_str::<Value>(text(entry, "json")?) {
        Ok(Value::String(digits)) => Amount::parse(&digits).map_err(|error| error.to_string()),
        Ok(_) => Err("not a JSON string".to_owned()),
        Err(error) => Err(error.to_string()),
    };
    judge(entry, "value", got)
}

/// A price as people write it, in the atomic units of a token.
pub(super) fn price(entry: &Value) -> Verdict {
    let decimals = member(entry, "decimals", Value::as_u64)?;
    let got = match u8::try_from(decimals) {
        Ok(decimals) => Price::parse_money(text(entry, "price")?)
            .and_then(|price| price.to_amount(decimals))
            .map_err(|error| error.to_string()),
        Err(_) => Err("more decimals than a token can have".to_owned()),
    };
    judge(entry, "atomic", got)
}

/// Accepted with the right value, refused, or free to be either: then still never another value.
fn judge(entry: &Value, key: &str, got: Result<Amount, String>) -> Verdict {
    let due = || member(entry, key, |value| Amount::parse(value.as_str()?).ok());
    match (text(entry, "expect")?, got) {
        ("accept" | "either", Ok(amount)) => same("the amount", &due()?, &amount),
        ("accept", Err(error)) => Mismatch::new(format_args!("the amount {}", due()?), error),
        ("reject", Ok(amount)) => Mismatch::new("a refusal", amount),
        ("either" | "reject", Err(_)) => Ok(()),
        (other, _) => unknown(other),
    }
}

fn unknown(expect: impl fmt::Display) -> Verdict {
    Mismatch::new("accept, reject or either", expect)
}

/// A unit price times a count, rounded up once at the end.
pub(super) fn product(entry: &Value) -> Verdict {
    let unit = member(entry, "unit_price", |value| Price::parse(value.as_str()?).ok())?;
    let quantity = member(entry, "quantity", |value| value.as_str()?.parse::<u64>().ok())?;
    let decimals = member(entry, "decimals", |value| u8::try_from(value.as_u64()?).ok())?;
    let due = member(entry, "atomic_round_up", |value| Amount::parse(value.as_str()?).ok())?;
    match unit.times(quantity).and_then(|price| price.to_amount_ceil(decimals)) {
        Ok(amount) => same("the amount", &due, &amount),
        Err(error) => Mismatch::new(format_args!("the amount {due}"), error),
    }
}
