//! Sums and products of prices: exact, or refused.

use ruint::aliases::{U256, U512};

use super::{Price, PriceError};
use crate::uint::power_of_ten;

impl Price {
    /// The sum, exact.
    ///
    /// # Errors
    ///
    /// [`PriceError::Overflow`] where its shortest form does not fit 256 bits.
    pub fn plus(&self, other: &Self) -> Result<Self, PriceError> {
        let (coarse, fine) = by_scale(*self, *other);
        match aligned(coarse, fine) {
            Some(mantissa) => Ok(Self { mantissa, scale: fine.scale }),
            None => wide_sum(coarse, fine),
        }
    }

    /// The product, exact.
    pub(crate) fn product(&self, other: &Self) -> Result<Self, PriceError> {
        let mantissa = self.mantissa.checked_mul(other.mantissa);
        match (mantissa, self.scale.checked_add(other.scale)) {
            (Some(mantissa), Some(scale)) => Ok(Self { mantissa, scale }),
            _ => shortest(
                self.mantissa.widening_mul(other.mantissa),
                u16::from(self.scale) + u16::from(other.scale),
            ),
        }
    }

    fn shortest(self) -> Result<Self, PriceError> {
        shortest(U512::from(self.mantissa), self.scale.into())
    }
}

/// The one with fewer decimals first.
const fn by_scale(a: Price, b: Price) -> (Price, Price) {
    if a.scale <= b.scale { (a, b) } else { (b, a) }
}

/// The sum's mantissa at the scale of the finer one, if 256 bits hold it.
fn aligned(coarse: Price, fine: Price) -> Option<U256> {
    if coarse.scale == fine.scale {
        return coarse.mantissa.checked_add(fine.mantissa);
    }
    let unit = power_of_ten(fine.scale - coarse.scale)?;
    coarse.mantissa.checked_mul(unit)?.checked_add(fine.mantissa)
}

/// The sum of what does not fit as it is written, but may without the zeros at its end.
fn wide_sum(a: Price, b: Price) -> Result<Price, PriceError> {
    let (coarse, fine) = by_scale(a.shortest()?, b.shortest()?);
    if coarse.is_zero() {
        return Ok(fine);
    }
    // From 10^78 on, 256 bits hold neither the unit nor a sum that has a digit at its scale.
    let unit = power_of_ten(fine.scale - coarse.scale).ok_or(PriceError::Overflow)?;
    let wide: U512 = coarse.mantissa.widening_mul(unit);
    let sum = wide.checked_add(U512::from(fine.mantissa)).ok_or(PriceError::Overflow)?;
    shortest(sum, fine.scale.into())
}

/// The same number without zeros at the end of its decimals.
fn shortest(mut mantissa: U512, mut scale: u16) -> Result<Price, PriceError> {
    let ten = U512::from(10);
    while scale > 0 {
        let (quotient, rest) = mantissa.div_rem(ten);
        if !rest.is_zero() {
            break;
        }
        (mantissa, scale) = (quotient, scale - 1);
    }
    let mantissa =
        U256::checked_from_limbs_slice(mantissa.as_limbs()).ok_or(PriceError::Overflow)?;
    let scale = u8::try_from(scale).map_err(|_| PriceError::Precision)?;
    Ok(Price { mantissa, scale })
}

#[cfg(test)]
mod tests {
    use std::string::{String, ToString};
    use std::{format, vec::Vec};

    use super::*;

    fn price(text: &str) -> Price {
        Price::parse(text).unwrap()
    }

    fn shown(price: Result<Price, PriceError>) -> String {
        price.unwrap().to_string()
    }

    #[test]
    fn sums_and_products_on_paper() {
        assert_eq!(shown(price("0.1").plus(&price("0.2"))), "0.3");
        assert_eq!(shown(price("5").plus(&price("0.000001"))), "5.000001");
        assert_eq!(shown(price("0.01").product(&price("2.0"))), "0.02");
        assert_eq!(shown(price("1.5").product(&price("0"))), "0");
    }

    #[test]
    fn zeros_at_the_end_do_not_overflow() {
        let long = |digits: &str| price(&format!("{digits}{}", "0".repeat(70)));
        assert_eq!(shown(long("2.").product(&long("3."))), "6");
        assert_eq!(shown(long("9000000.").plus(&long("9000000."))), "18000000");
        assert_eq!(
            shown(long("9000000.").plus(&long("9000000.").product(&price("3")).unwrap())),
            "36000000"
        );
        // 0.2 times 0.5, with as many digits as there may be: the zeros come from the product.
        let twos = U256::from(2).pow(U256::from(200));
        let fives = U256::from(5).pow(U256::from(100));
        let product = Price::from_parts(twos, 100).product(&Price::from_parts(fives, 100));
        let exact = Price::from_parts(U256::from(2).pow(U256::from(100)), 100);
        assert_eq!(shown(product), exact.to_string());
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let (large, tiny) = (Price::from_parts(U256::MAX, 0), Price::from_parts(U256::ONE, 255));
        assert_eq!(large.product(&price("1.1")).unwrap_err(), PriceError::Overflow);
        assert_eq!(large.plus(&price("1")).unwrap_err(), PriceError::Overflow);
        assert_eq!(large.plus(&tiny).unwrap_err(), PriceError::Overflow);
        assert_eq!(price("1").plus(&tiny).unwrap_err(), PriceError::Overflow);
        assert_eq!(tiny.product(&price("0.1")).unwrap_err(), PriceError::Precision);
        let sums: Vec<_> =
            [price("0"), price("0.000")].iter().map(|zero| shown(tiny.plus(zero))).collect();
        assert_eq!(sums, [tiny.to_string(), tiny.to_string()]);
    }
}
