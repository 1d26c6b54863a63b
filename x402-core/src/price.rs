mod exact;

use core::fmt;

use ruint::aliases::U256;

use crate::uint::{
    MAX_DIGITS, digits as digits_of, div_power_of_ten, push_digit, times_power_of_ten,
};
use crate::{Amount, NumberError};

/// A price in units of an asset: an exact decimal, never a float.
///
/// `mantissa / 10^scale`, where the mantissa has 256 bits. `0.01` USDC is 10,000 atomic units.
#[derive(Clone, Copy, Debug)]
pub struct Price {
    mantissa: U256,
    scale: u8,
}

impl Price {
    /// Nothing.
    pub const ZERO: Self = Self { mantissa: U256::ZERO, scale: 0 };

    /// Reads `0` or `[1-9][0-9]*`, optionally a point and at least one digit.
    ///
    /// # Errors
    ///
    /// [`PriceError::Number`] for a sign, an exponent, a comma, a currency sign, a blank, a missing
    /// digit on either side of the point, a leading zero, or more digits than 256 bits hold.
    pub fn parse(text: &str) -> Result<Self, PriceError> {
        let (whole, fraction) = match text.split_once('.') {
            Some((_, "")) => return Err(PriceError::Number(NumberError::Empty)),
            Some(parts) => parts,
            None => (text, ""),
        };
        let mut mantissa = crate::uint::parse(whole).map_err(PriceError::Number)?;
        for digit in fraction.bytes() {
            mantissa = push_digit(mantissa, digit).map_err(PriceError::Number)?;
        }
        let scale = u8::try_from(fraction.len()).map_err(|_| PriceError::Precision)?;
        Ok(Self { mantissa, scale })
    }

    /// Reads a price as the official SDKs write money: as [`Self::parse`], after an optional `$`.
    ///
    /// # Errors
    ///
    /// As [`Self::parse`].
    pub fn parse_money(text: &str) -> Result<Self, PriceError> {
        Self::parse(text.strip_prefix('$').unwrap_or(text))
    }

    pub(crate) const fn from_parts(mantissa: U256, scale: u8) -> Self {
        Self { mantissa, scale }
    }

    /// Whether the price is zero.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        self.mantissa.is_zero()
    }

    /// The price of so many units at this price each, exact.
    ///
    /// # Errors
    ///
    /// [`PriceError::Overflow`] where its shortest form does not fit 256 bits.
    pub fn times(&self, quantity: u64) -> Result<Self, PriceError> {
        self.product(&Self::from_parts(U256::from(quantity), 0))
    }

    /// The price in atomic units of an asset with so many decimals, exactly.
    ///
    /// # Errors
    ///
    /// [`PriceError::Precision`] where the price has digits below the atomic unit, or `decimals` is
    /// more than 77; [`PriceError::Overflow`] where 256 bits do not hold the amount.
    pub fn to_amount(&self, decimals: u8) -> Result<Amount, PriceError> {
        match self.divide(decimals)? {
            (amount, true) => Ok(amount),
            (_, false) => Err(PriceError::Precision),
        }
    }

    /// The price in atomic units, rounded down: for limits, which are never exceeded.
    ///
    /// # Errors
    ///
    /// As [`Self::to_amount`], save that digits below the atomic unit are no error.
    pub fn to_amount_floor(&self, decimals: u8) -> Result<Amount, PriceError> {
        self.divide(decimals).map(|(amount, _)| amount)
    }

    /// The price in atomic units, rounded up: for computed prices, once, at the end.
    ///
    /// # Errors
    ///
    /// As [`Self::to_amount`], save that digits below the atomic unit are no error.
    pub fn to_amount_ceil(&self, decimals: u8) -> Result<Amount, PriceError> {
        match self.divide(decimals)? {
            (amount, true) => Ok(amount),
            (amount, false) => {
                amount.checked_add(Amount::from_units(1)).ok_or(PriceError::Overflow)
            }
        }
    }

    /// The amount rounded down, and whether nothing was cut off.
    fn divide(&self, decimals: u8) -> Result<(Amount, bool), PriceError> {
        const MAX_DECIMALS: u8 = 77;
        if decimals > MAX_DECIMALS {
            return Err(PriceError::Precision);
        }
        if self.is_zero() {
            return Ok((Amount::ZERO, true));
        }
        if decimals >= self.scale {
            let units = times_power_of_ten(self.mantissa, decimals - self.scale);
            let units = units.ok_or(PriceError::Overflow)?;
            return Ok((Amount::from_uint(units), true));
        }
        let (units, is_exact) = div_power_of_ten(self.mantissa, self.scale - decimals);
        Ok((Amount::from_uint(units), is_exact))
    }
}

impl fmt::Display for Price {
    /// The shortest form: no zeros at the end, no point without digits behind it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_zero() {
            return f.write_str("0");
        }
        let mut digits = [0; MAX_DIGITS];
        let digits = digits_of(self.mantissa, &mut digits);
        let shortest = digits.trim_end_matches('0');
        let zeros = (digits.len() - shortest.len()).min(self.scale.into());
        let scale = usize::from(self.scale) - zeros;
        let digits = digits.get(..digits.len() - zeros).unwrap_or_default();
        let point = digits.len().saturating_sub(scale);
        let (whole, fraction) = digits.split_at_checked(point).unwrap_or_default();
        f.write_str(if whole.is_empty() { "0" } else { whole })?;
        if scale == 0 {
            return Ok(());
        }
        f.write_str(".")?;
        (fraction.len()..scale).try_for_each(|_| f.write_str("0"))?;
        f.write_str(fraction)
    }
}

/// Why a text is no price, or a price no amount.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum PriceError {
    /// Not a plain decimal.
    Number(NumberError),
    /// More than 2^256 - 1 atomic units.
    Overflow,
    /// Digits below the asset's atomic unit.
    Precision,
    /// Less is asked for at most than at least.
    Range,
    /// Nothing is asked for: what costs nothing is said to be free, and has no tariff.
    Zero,
}

impl fmt::Display for PriceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(error) => write!(f, "a price is a plain decimal such as 0.01: {error}"),
            Self::Overflow => f.write_str("the price does not fit 256 bits"),
            Self::Precision => f.write_str("the price has more decimals than the asset"),
            Self::Range => f.write_str("the smallest price is more than the largest"),
            Self::Zero => f.write_str("the price is zero"),
        }
    }
}

impl core::error::Error for PriceError {}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    #[test]
    fn a_cent_of_usdc() {
        let price = Price::parse("0.01").unwrap();
        assert_eq!(price.to_amount(6), Ok(Amount::from_units(10_000)));
    }

    #[test]
    fn shows_the_shortest_form() {
        for (text, shown) in [
            ("0.01", "0.01"),
            ("1.10", "1.1"),
            ("100", "100"),
            ("0.000001", "0.000001"),
            ("10.00", "10"),
            ("0.0", "0"),
            ("1.005", "1.005"),
        ] {
            assert_eq!(Price::parse(text).unwrap().to_string(), shown);
        }
        assert_eq!(Amount::from_units(10_000).to_price(6).to_string(), "0.01");
        assert_eq!(Amount::MAX.to_price(0).to_string(), Amount::MAX.to_string());
    }

    #[test]
    fn never_rounds_a_price_of_the_config() {
        assert_eq!(Price::parse("0.0000001").unwrap().to_amount(6), Err(PriceError::Precision));
        assert_eq!(Price::parse("1.5").unwrap().to_amount(0), Err(PriceError::Precision));
        assert_eq!(Price::parse("1").unwrap().to_amount(78), Err(PriceError::Precision));
        let digits = std::format!("0.{}1", "0".repeat(100));
        let tiny = Price::parse(&digits).unwrap();
        assert_eq!(tiny.to_amount(6), Err(PriceError::Precision));
        assert_eq!(tiny.to_amount_ceil(6), Ok(Amount::from_units(1)));
        assert_eq!(tiny.to_string(), digits);
    }

    #[test]
    fn rounds_a_product_up_once() {
        let price = Price::parse("0.0000001").unwrap();
        let amount = |n| price.times(n).unwrap().to_amount_ceil(6).unwrap();
        assert_eq!(amount(0), Amount::ZERO);
        assert_eq!(amount(1), Amount::from_units(1));
        assert_eq!(amount(10), Amount::from_units(1));
        assert_eq!(amount(11), Amount::from_units(2));
    }

    #[test]
    fn refuses_what_is_no_plain_decimal() {
        for text in [
            "", ".", ".5", "5.", "-1", "+1", "1e3", "1,00", "1_000", " 1", "1 ", "$1", "€1", "007",
            "1.2.3", "inf",
        ] {
            assert!(matches!(Price::parse(text), Err(PriceError::Number(_))), "{text}");
        }
        assert!(Price::parse_money("$0.01").is_ok());
        assert!(Price::parse_money("$$1").is_err());
        assert!(Price::parse_money("$-1").is_err());
    }
}
