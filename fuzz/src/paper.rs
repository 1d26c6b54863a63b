//! Decimals on paper: integers of any size.

use num_bigint::BigUint;
use x402_core::{Amount, Timestamp};

/// `mantissa / 10^scale`, of any size.
#[derive(Clone, Debug)]
pub struct Paper {
    pub mantissa: BigUint,
    pub scale: u32,
}

impl Paper {
    /// A plain decimal, or nothing.
    pub fn parse(text: &str) -> Option<Self> {
        if !is_plain(text) {
            return None;
        }
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let mantissa = format!("{whole}{fraction}").parse().ok()?;
        Some(Self { mantissa, scale: fraction.len().try_into().ok()? })
    }

    pub fn whole(number: u64) -> Self {
        Self { mantissa: number.into(), scale: 0 }
    }

    #[must_use]
    pub fn times(&self, other: &Self) -> Self {
        Self { mantissa: &self.mantissa * &other.mantissa, scale: self.scale + other.scale }
    }

    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        let scale = self.scale.max(other.scale);
        let at_scale = |paper: &Self| &paper.mantissa * power_of_ten(scale - paper.scale);
        Self { mantissa: at_scale(self) + at_scale(other), scale }
    }

    pub fn is_zero(&self) -> bool {
        self.mantissa == BigUint::ZERO
    }

    pub fn equals(&self, other: &Self) -> bool {
        let scale = self.scale.max(other.scale);
        let at_scale = |paper: &Self| &paper.mantissa * power_of_ten(scale - paper.scale);
        at_scale(self) == at_scale(other)
    }

    /// Whether its shortest form has 256 bits and 255 decimals.
    pub fn fits(&self) -> bool {
        let (mut mantissa, mut scale) = (self.mantissa.clone(), self.scale);
        while scale > 0 && &mantissa % 10_u8 == BigUint::ZERO {
            (mantissa, scale) = (mantissa / 10_u8, scale - 1);
        }
        mantissa.bits() <= 256 && scale <= 255
    }

    /// In atomic units, rounded down, and whether there was anything to round.
    pub fn floor(&self, decimals: u8) -> (BigUint, bool) {
        let one = power_of_ten(self.scale);
        let units = &self.mantissa * power_of_ten(decimals.into());
        let (whole, rest) = (&units / &one, &units % &one);
        (whole, rest != BigUint::ZERO)
    }

    /// In atomic units, rounded up.
    pub fn ceil(&self, decimals: u8) -> BigUint {
        let (whole, is_cut) = self.floor(decimals);
        whole + u8::from(is_cut)
    }
}

/// `0` or `[1-9][0-9]*`, and optionally a point and a digit or more.
pub fn is_plain(text: &str) -> bool {
    let is_digits = |digits: &str| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    is_digits(whole) && is_digits(fraction) && (whole == "0" || !whole.starts_with('0'))
}

pub fn power_of_ten(exponent: u32) -> BigUint {
    BigUint::from(10_u8).pow(exponent)
}

pub fn units(amount: Amount) -> BigUint {
    BigUint::from_bytes_be(&amount.to_be_bytes())
}

/// The amount, if 256 bits hold it.
pub fn held(units: BigUint) -> Option<BigUint> {
    (units.bits() <= 256).then_some(units)
}

pub fn seconds(time: Timestamp) -> BigUint {
    BigUint::from_bytes_be(&time.to_be_bytes())
}
