//! What is sold by the minute.

use core::time::Duration;
use std::sync::Arc;

use bytes::Bytes;
use http::header::ACCEPT_ENCODING;
use http::{request, response};
use x402_core::tariff::Usage;
use x402_core::{Amount, Price};
use x402_std::config::OwnedTariff;
use x402_std::ledger::Settle;

use super::price::{field, set_amount};
use super::tokens::charge;
use crate::server::{MINUTES, Meter, Metering, Passage, Period, Quote, Sale};

/// How many minutes may be bought at once: a day.
const MAX_MINUTES: u64 = 24 * 60;
/// The one header field that a price of the gateway's depends on.
pub(super) const FIELDS: &[&str] = &[MINUTES];
/// The parameter of a query by which minutes are asked for, where a header field cannot be.
const PARAMETER: &str = "payment_minutes";

/// A price by the minute.
pub(super) struct Minutes {
    tariff: OwnedTariff,
    /// What one costs, in atomic units.
    price: Amount,
    /// With an offer of nothing.
    pub(super) sale: Sale,
}

impl Minutes {
    /// At that price each.
    pub(super) fn new(sale: Sale, tariff: OwnedTariff, price: Price) -> Self {
        // There is no tariff of which an amount does not hold the price.
        let price = price.to_amount_ceil(tariff.decimals()).unwrap_or(Amount::MAX);
        Self { tariff, price, sale }
    }

    /// The price of the minutes that are asked for, or of the fewest that there are.
    pub(super) fn quote(&self, request: &request::Parts) -> Quote {
        let asked = match asked(request) {
            Ok(asked) => asked.unwrap_or(0),
            Err(words) => return Quote::Unpriced(words),
        };
        // At least as many as are paid for.
        let minutes = self.tariff.minutes(asked.saturating_mul(60_000));
        let amount = match self.tariff.quote(&Usage { minutes, ..Usage::default() }, &()) {
            Ok(amount) => amount,
            Err(error) => return Quote::Unpriced(error.to_string()),
        };
        let mut sale = self.sale.clone();
        set_amount(&mut sale, amount);
        outlast(&mut sale, minutes.saturating_mul(60));
        sale.metering = Some(Arc::new(MinuteMetering {
            tariff: self.tariff.clone(),
            period: Period {
                duration: Duration::from_secs(minutes.saturating_mul(60)),
                price: self.price,
            },
        }));
        Quote::Paid(Arc::new(sale))
    }
}

/// Asks for authorizations that are valid when the time is over, where the money moves after it: else who
/// stayed to the end could not be charged.
fn outlast(sale: &mut Sale, seconds: u64) {
    let seconds = u32::try_from(seconds).unwrap_or(u32::MAX);
    let is_later = sale.settle == Settle::Later;
    for offer in &mut sale.offers {
        let terms = offer.requirements();
        if is_later || terms.scheme.name() == "upto" {
            let timeout = terms.max_timeout_seconds.saturating_add(seconds);
            *offer = offer.repriced(terms.amount, timeout);
        }
    }
}

/// How many minutes a request asks for.
fn asked(request: &request::Parts) -> Result<Option<u64>, String> {
    let in_field = match request.headers.contains_key(MINUTES) {
        true => Some(field(&request.headers, MINUTES).unwrap_or_default()),
        false => None,
    };
    let query = request.uri.query().unwrap_or_default();
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let in_query = pairs.filter(|(name, _)| *name == PARAMETER).map(|(_, value)| value);
    let mut all = in_field.into_iter().chain(in_query).map(minutes);
    let Some(first) = all.next().transpose()? else { return Ok(None) };
    if all.any(|other| other != Ok(first)) {
        return Err(format!("{MINUTES} and {PARAMETER} do not agree"));
    }
    Ok(Some(first))
}

fn minutes(text: &str) -> Result<u64, String> {
    let is_plain = text.bytes().all(|b| b.is_ascii_digit());
    let minutes = text.parse().ok().filter(|n| is_plain && (1..=MAX_MINUTES).contains(n));
    minutes.ok_or_else(|| format!("{MINUTES} is not a whole number from 1 to {MAX_MINUTES}"))
}

/// Measures the time of an answer.
#[derive(Debug)]
struct MinuteMetering {
    tariff: OwnedTariff,
    period: Period,
}

impl Metering for MinuteMetering {
    fn prepare(&self, head: &mut request::Parts, _: Option<&Bytes>) -> Option<Bytes> {
        // What is said at the end is not compressed.
        head.headers.remove(ACCEPT_ENCODING);
        None
    }

    fn meter(&self, _: &response::Parts) -> Box<dyn Meter> {
        Box::new(MinuteMeter { tariff: self.tariff.clone() })
    }

    fn period(&self) -> Option<Period> {
        Some(self.period)
    }
}

struct MinuteMeter {
    tariff: OwnedTariff,
}

impl Meter for MinuteMeter {
    fn cost(self: Box<Self>, passage: &Passage) -> Amount {
        let milliseconds = u64::try_from(passage.elapsed.as_millis()).unwrap_or(u64::MAX);
        charge(&self.tariff, Usage::duration(milliseconds), passage.ceiling)
    }
}

#[cfg(test)]
mod tests {
    use core::num::NonZeroU32;

    use http::Request;
    use x402_core::tariff::Model;
    use x402_core::{Address, Asset, ChainId, Offer};

    use super::*;

    #[test]
    fn where_the_money_moves_later_the_validity_covers_the_time() {
        let usdc = *Asset::find(ChainId::ETHEREUM, "USDC").unwrap();
        let offer = Offer::new(usdc, Address::new([1; 20]), Amount::ZERO, 60);
        let offers = vec![offer, offer.up_to(Address::new([2; 20]))];
        let price = Price::parse("0.1").unwrap();
        let model = Model::PerMinute { price, minimum_minutes: NonZeroU32::MIN };
        let tariff = OwnedTariff::new(model, 6).unwrap();
        for (settle, expected) in [(Settle::First, [60, 240]), (Settle::Later, [240, 240])] {
            let sale = Sale { settle, offers: offers.clone(), ..Sale::default() };
            let minutes = Minutes::new(sale, tariff.clone(), price);
            let request = Request::get("/a").header(MINUTES, "3").body(()).unwrap();
            let Quote::Paid(sale) = minutes.quote(&request.into_parts().0) else { panic!() };
            let terms = sale.offers.iter().map(|offer| offer.requirements());
            assert!(terms.clone().all(|terms| terms.amount == Amount::from_units(300_000)));
            assert!(terms.map(|terms| terms.max_timeout_seconds).eq(expected), "{settle:?}");
        }
    }

    #[test]
    fn minutes_are_asked_for_in_a_field_or_the_query() {
        for (field, query, expected) in [
            (None, "", Ok(None)),
            (Some("5"), "", Ok(Some(5))),
            (None, "?a=1&payment_minutes=7", Ok(Some(7))),
            (Some("7"), "?payment_minutes=7", Ok(Some(7))),
            (Some("1440"), "", Ok(Some(1440))),
            (Some("5"), "?payment_minutes=7", Err(())),
            (None, "?payment_minutes=7&payment_minutes=8", Err(())),
            (Some("0"), "", Err(())),
            (Some("1441"), "", Err(())),
            (Some("+5"), "", Err(())),
            (Some(""), "", Err(())),
            (Some("1.5"), "", Err(())),
        ] {
            let request = Request::get(format!("/a{query}"));
            let request = match field {
                Some(field) => request.header(MINUTES, field),
                None => request,
            };
            let (head, ()) = request.body(()).unwrap().into_parts();
            assert_eq!(asked(&head).map_err(|_| ()), expected, "{field:?} {query}");
        }
    }
}
