//! Prices against rust_decimal where it can hold them, and against digits on paper where not.

use alloy_primitives::{U256, U512};
use proptest::prelude::*;
use rust_decimal::Decimal;
use x402_core::{Amount, Price, PriceError};

use crate::arbitrary::{amount, cases};

/// A decimal as its digits: what stands before the point and behind it.
#[derive(Clone, Debug)]
struct Digits {
    whole: String,
    fraction: String,
}

impl Digits {
    fn text(&self) -> String {
        if self.fraction.is_empty() {
            return self.whole.clone();
        }
        format!("{}.{}", self.whole, self.fraction)
    }

    /// All digits as one number, if 256 bits hold it.
    fn mantissa(&self) -> Option<U256> {
        number(&format!("{}{}", self.whole, self.fraction))
    }

    fn shown(&self) -> String {
        let fraction = self.fraction.trim_end_matches('0').to_owned();
        Self { whole: self.whole.clone(), fraction }.text()
    }

    /// The digits of the amount, rounded down, and whether digits other than 0 were cut off.
    fn shifted(&self, decimals: usize) -> (String, bool) {
        let kept = self.fraction.len().min(decimals);
        let (kept, cut) = self.fraction.split_at(kept);
        let zeros = "0".repeat(decimals - kept.len());
        (format!("{}{kept}{zeros}", self.whole), cut.bytes().any(|digit| digit != b'0'))
    }
}

fn number(digits: &str) -> Option<U256> {
    let digits = digits.trim_start_matches('0');
    // A 78-digit number fits in part; more digits never do.
    if digits.len() > 78 {
        return None;
    }
    let wide = digits
        .bytes()
        .fold(U512::ZERO, |number, digit| number * U512::from(10) + U512::from(digit - b'0'));
    (wide <= U512::from(U256::MAX)).then(|| wide.to())
}

fn units(amount: Amount) -> U256 {
    U256::from_be_bytes(amount.to_be_bytes())
}

fn digits() -> impl Strategy<Value = Digits> {
    let whole = prop_oneof![Just("0".to_owned()), "[1-9][0-9]{0,6}", "[1-9][0-9]{0,77}"];
    let fraction = prop_oneof![
        Just(String::new()),
        "[0-9]{1,6}",
        "0{0,20}[0-9]{1,8}0{0,6}",
        "0{0,80}[0-9]{1,60}",
    ];
    (whole, fraction).prop_map(|(whole, fraction)| Digits { whole, fraction })
}

/// `0` or `[1-9][0-9]*`, and optionally a point and a digit or more.
fn is_plain(text: &str) -> bool {
    let is_digits = |digits: &str| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    is_digits(whole) && is_digits(fraction) && (whole == "0" || !whole.starts_with('0'))
}

proptest! {
    #![proptest_config(cases(1024))]

    #[test]
    fn is_taken_exactly_where_256_bits_hold_the_digits(digits in digits()) {
        let price = Price::parse(&digits.text());
        prop_assert_eq!(price.is_ok(), digits.mantissa().is_some(), "{}", digits.text());
        if let Ok(price) = price {
            prop_assert_eq!(price.to_string(), digits.shown());
            prop_assert_eq!(price.is_zero(), digits.mantissa() == Some(U256::ZERO));
        }
    }

    #[test]
    fn becomes_the_amount_that_its_digits_say(digits in digits(), decimals in 0_u8..=77) {
        let Ok(price) = Price::parse(&digits.text()) else { return Ok(()) };
        let (down, is_cut) = digits.shifted(decimals.into());
        let down = number(&down);
        let up = down.and_then(|down| down.checked_add(U256::from(u8::from(is_cut))));
        let exact = price.to_amount(decimals);
        prop_assert_eq!(price.to_amount_floor(decimals).ok().map(units), down);
        prop_assert_eq!(price.to_amount_ceil(decimals).ok().map(units), up);
        prop_assert_eq!(exact.ok().map(units), down.filter(|_| !is_cut));
        if is_cut {
            prop_assert_eq!(exact, Err(PriceError::Precision));
        } else if down.is_none() {
            prop_assert_eq!(exact, Err(PriceError::Overflow));
        }
    }

    #[test]
    fn is_refused_for_a_token_of_more_than_77_decimals(digits in digits(), decimals in 78_u8..) {
        let Ok(price) = Price::parse(&digits.text()) else { return Ok(()) };
        prop_assert_eq!(price.to_amount(decimals), Err(PriceError::Precision));
        prop_assert_eq!(price.to_amount_floor(decimals), Err(PriceError::Precision));
        prop_assert_eq!(price.to_amount_ceil(decimals), Err(PriceError::Precision));
    }

    #[test]
    fn shows_what_it_reads(digits in digits(), decimals in 0_u8..=77) {
        let Ok(price) = Price::parse(&digits.text()) else { return Ok(()) };
        let again = Price::parse(&price.to_string()).unwrap();
        prop_assert_eq!(again.to_string(), price.to_string());
        prop_assert_eq!(again.to_amount(decimals), price.to_amount(decimals));
        prop_assert_eq!(again.to_amount_ceil(decimals), price.to_amount_ceil(decimals));
    }

    #[test]
    fn amounts_come_back_from_prices(amount in amount(), decimals in 0_u8..=77) {
        let price = amount.to_price(decimals);
        prop_assert_eq!(price.to_amount(decimals), Ok(amount));
        prop_assert_eq!(Price::parse(&price.to_string()).unwrap().to_amount(decimals), Ok(amount));
    }

    #[test]
    fn amounts_of_any_decimals_are_shown_on_paper(amount in amount(), decimals in any::<u8>()) {
        let digits = amount.to_string();
        let zeros = "0".repeat((usize::from(decimals) + 1).saturating_sub(digits.len()));
        let all = format!("{zeros}{digits}");
        let (whole, fraction) = all.split_at(all.len() - usize::from(decimals));
        let paper = Digits { whole: whole.to_owned(), fraction: fraction.to_owned() };
        prop_assert_eq!(amount.to_price(decimals).to_string(), paper.shown());
    }

    #[test]
    fn products_are_exact_and_rounded_up_once(
        digits in digits(), quantity in any::<u64>(), decimals in 0_u8..=77,
    ) {
        let Some(mantissa) = digits.mantissa() else { return Ok(()) };
        let wide = U512::from(mantissa) * U512::from(quantity);
        let scale = digits.fraction.len();
        let product = Price::parse(&digits.text()).unwrap().times(quantity);
        let zeros = wide.to_string().bytes().rev().take_while(|digit| *digit == b'0').count();
        let shortest = wide / U512::from(10).pow(U512::from(zeros.min(scale)));
        prop_assert_eq!(product.is_ok(), shortest <= U512::from(U256::MAX));
        let Ok(product) = product else { return Ok(()) };

        let all = format!("{}{wide}", "0".repeat(scale + 1));
        let (whole, fraction) = all.split_at(all.len() - scale);
        let paper = Digits { whole: whole.to_owned(), fraction: fraction.to_owned() };
        let (down, is_cut) = paper.shifted(decimals.into());
        let up = number(&down).and_then(|down| down.checked_add(U256::from(u8::from(is_cut))));
        prop_assert_eq!(product.to_amount_ceil(decimals).ok().map(units), up);
    }

    #[test]
    fn agrees_with_rust_decimal(
        mantissa in any::<[u8; 12]>(), scale in 0_u32..=28, quantity in any::<u32>(),
        decimals in 0_u8..=18,
    ) {
        let mantissa = mantissa.iter().fold(0_i128, |number, byte| number << 8 | i128::from(*byte));
        let decimal = Decimal::from_i128_with_scale(mantissa, scale);
        let price = Price::parse(&decimal.to_string()).unwrap();
        prop_assert_eq!(price.to_string(), decimal.normalize().to_string());

        let unit = Decimal::from(10_u64.pow(decimals.into()));
        // rust_decimal rounds a product that does not fit its 96 bits: only exact ones can judge.
        let is_exact = |product: Decimal, a: Decimal, b: Decimal| {
            product.scale() == a.scale() + b.scale()
        };
        if let Some(shifted) = decimal.checked_mul(unit).filter(|p| is_exact(*p, decimal, unit)) {
            let text = |rounded: Decimal| rounded.normalize().to_string();
            let amount = |amount: Result<Amount, _>| amount.unwrap().to_string();
            prop_assert_eq!(amount(price.to_amount_floor(decimals)), text(shifted.floor()));
            prop_assert_eq!(amount(price.to_amount_ceil(decimals)), text(shifted.ceil()));
            prop_assert_eq!(price.to_amount(decimals).is_ok(), shifted.fract().is_zero());
        }
        let quantity = Decimal::from(quantity);
        if let Some(product) = decimal.checked_mul(quantity).filter(|p| is_exact(*p, decimal, quantity)) {
            let ours = price.times(u64::try_from(quantity).unwrap()).unwrap();
            prop_assert_eq!(ours.to_string(), product.normalize().to_string());
        }
    }

    #[test]
    fn nothing_but_a_plain_decimal_is_read(text in "[0-9.,+$eE_ -]{0,8}") {
        prop_assert_eq!(Price::parse(&text).is_ok(), is_plain(&text), "{:?}", text);
        let money = text.strip_prefix('$').unwrap_or(&text);
        prop_assert_eq!(Price::parse_money(&text).is_ok(), is_plain(money), "{:?}", text);
    }

    #[test]
    fn no_text_is_read_that_is_not_ascii_digits(text in any::<String>()) {
        prop_assert_eq!(Price::parse(&text).is_ok(), is_plain(&text), "{:?}", text);
        let is_number = is_plain(&text) && !text.contains('.');
        prop_assert_eq!(Amount::parse(&text).is_ok(), is_number, "{:?}", text);
    }
}

#[test]
fn more_than_255_decimals_are_refused() {
    let price = |zeros| Price::parse(&format!("0.{}1", "0".repeat(zeros)));
    assert!(price(254).is_ok());
    assert_eq!(price(255).unwrap_err(), PriceError::Precision);
    assert_eq!(price(100_000).unwrap_err(), PriceError::Precision);
}
