use core::cmp::Ordering;
use core::fmt;
use core::num::NonZero;

use ruint::aliases::U256;

/// Why a text is not a number of the wire.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum NumberError {
    /// A character that is no ASCII digit: a sign, a blank, an exponent, a point.
    Digit,
    /// No digits at all.
    Empty,
    /// A zero before other digits.
    LeadingZero,
    /// More than 2^256 - 1.
    Overflow,
}

impl fmt::Display for NumberError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Digit => "a number has decimal digits only: no sign, blank, point or exponent",
            Self::Empty => "a number has at least one digit",
            Self::LeadingZero => "a number has no leading zero",
            Self::Overflow => "the number is larger than 2^256 - 1",
        })
    }
}

impl core::error::Error for NumberError {}

/// The longest decimal number below 2^256 has 78 digits: what is longer is not read at all.
pub(crate) const MAX_DIGITS: usize = 78;

/// Reads `0` or `[1-9][0-9]*`, at most 2^256 - 1.
pub(crate) fn parse(text: &str) -> Result<U256, NumberError> {
    let digits = text.as_bytes();
    match digits {
        [] => return Err(NumberError::Empty),
        _ if digits.len() > MAX_DIGITS => return Err(NumberError::Overflow),
        [b'0', _, ..] => return Err(NumberError::LeadingZero),
        _ => {}
    }
    // As many as 64 bits hold, whatever they are; nearly every number has no more.
    let (narrow, rest) = digits.split_at(digits.len().min(19));
    let narrow = narrow.iter().try_fold(0_u64, |number, digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        Some(number * 10 + digit)
    });
    let narrow = U256::from(narrow.ok_or(NumberError::Digit)?);
    rest.iter().try_fold(narrow, |number, digit| push_digit(number, *digit))
}

/// `number * 10 + digit`.
pub(crate) fn push_digit(number: U256, digit: u8) -> Result<U256, NumberError> {
    if !digit.is_ascii_digit() {
        return Err(NumberError::Digit);
    }
    mul_add(number, 10, u32::from(digit - b'0')).ok_or(NumberError::Overflow)
}

/// `number * factor + term`, if it fits.
fn mul_add(number: U256, factor: u32, term: u32) -> Option<U256> {
    let mut carry = u64::from(term);
    let mut limbs = number.into_limbs();
    for limb in &mut limbs {
        let low = (*limb & 0xffff_ffff) * u64::from(factor) + carry;
        let high = (*limb >> 32) * u64::from(factor) + (low >> 32);
        *limb = (high << 32) | (low & 0xffff_ffff);
        carry = high >> 32;
    }
    (carry == 0).then_some(U256::from_limbs(limbs))
}

/// `number / 10^exponent`, rounded down, and whether nothing was cut off.
pub(crate) fn div_power_of_ten(mut number: U256, mut exponent: u8) -> (U256, bool) {
    let mut is_exact = true;
    while exponent > 0 && !number.is_zero() {
        let step = exponent.min(CHUNK);
        let divisor = NonZero::new(10_u32.pow(step.into())).unwrap_or(NonZero::<u32>::MIN);
        let (quotient, rest) = div_rem(number, divisor);
        (number, exponent) = (quotient, exponent - step);
        is_exact &= rest == 0;
    }
    (number, is_exact)
}

/// So many digits are divided off at once: a 16-bit number holds them.
const CHUNK: u8 = 4;
const CHUNK_SIZE: NonZero<u32> = NonZero::new(10_000).unwrap();

/// `number / divisor` and the rest, where the divisor has 16 bits. By hand, since a division by any
/// number of 256 bits is 11 KB of code, and one of 64 bits is another, more than a microcontroller has
/// to spare.
fn div_rem(number: U256, divisor: NonZero<u32>) -> (U256, u32) {
    let mut rest = 0;
    let mut limbs = number.into_limbs();
    for limb in limbs.iter_mut().rev() {
        let mut quotient = 0;
        for shift in [48, 32, 16, 0] {
            let piece = (rest << 16) | ((*limb >> shift) as u32 & 0xffff);
            quotient = (quotient << 16) | u64::from(piece / divisor);
            rest = piece % divisor;
        }
        *limb = quotient;
    }
    (U256::from_limbs(limbs), rest)
}

/// The decimal digits of a number, at the end of `out`.
pub(crate) fn digits(mut number: U256, out: &mut [u8; MAX_DIGITS]) -> &str {
    let mut count = 0;
    for places in out.rchunks_mut(CHUNK.into()) {
        let (quotient, mut rest) = div_rem(number, CHUNK_SIZE);
        for place in places.iter_mut().rev() {
            *place = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        number = quotient;
        count += places.len();
        if number.is_zero() {
            break;
        }
    }
    let digits = out.get(MAX_DIGITS - count..).unwrap_or_default();
    // A zero is a digit, too.
    let zeros = digits.iter().take(count - 1).take_while(|digit| **digit == b'0').count();
    core::str::from_utf8(digits.get(zeros..).unwrap_or_default()).unwrap_or_default()
}

/// `number * 10^exponent`, if it fits.
pub(crate) fn times_power_of_ten(mut number: U256, mut exponent: u8) -> Option<U256> {
    /// A 32-bit number holds so many digits.
    const STEP: u8 = 9;
    while exponent > 0 {
        let step = exponent.min(STEP);
        number = mul_add(number, 10_u32.pow(step.into()), 0)?;
        exponent -= step;
    }
    Some(number)
}

/// The sum, if it fits.
#[cfg_attr(target_os = "none", inline(never))]
fn sum(a: U256, b: U256) -> Option<U256> {
    a.checked_add(b)
}

/// 10 to the power of `exponent`, or `None` from 10^78 on, which does not fit.
pub(crate) fn power_of_ten(exponent: u8) -> Option<U256> {
    times_power_of_ten(U256::ONE, exponent)
}

/// A quantity of a token in atomic units: 10,000 is 0.01 USDC.
///
/// 256 bits, as the token counts; written as `0` or `[1-9][0-9]*`.
#[derive(Clone, Copy, Default, Eq, Hash, PartialEq)]
pub struct Amount(U256);

impl Amount {
    /// The largest amount, 2^256 - 1.
    pub const MAX: Self = Self(U256::MAX);
    /// Nothing.
    pub const ZERO: Self = Self(U256::ZERO);

    /// From atomic units.
    #[must_use]
    pub fn from_units(units: u128) -> Self {
        Self(U256::from(units))
    }

    /// From 32 bytes, big-endian.
    #[cfg_attr(target_os = "none", inline(never))]
    #[must_use]
    pub const fn from_be_bytes(bytes: [u8; 32]) -> Self {
        Self(U256::from_be_bytes(bytes))
    }

    /// Reads the wire's form, `0` or `[1-9][0-9]*`.
    ///
    /// # Errors
    ///
    /// [`NumberError`] for everything else, and from 2^256 on.
    pub fn parse(text: &str) -> Result<Self, NumberError> {
        parse(text).map(Self)
    }

    /// 32 bytes, big-endian: the ABI word.
    #[cfg_attr(target_os = "none", inline(never))]
    #[must_use]
    pub const fn to_be_bytes(self) -> [u8; 32] {
        self.0.to_be_bytes()
    }

    /// The sum, if it fits.
    #[must_use]
    pub fn checked_add(self, other: Self) -> Option<Self> {
        sum(self.0, other.0).map(Self)
    }

    /// The difference, if it is not negative.
    #[must_use]
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        self.0.checked_sub(other.0).map(Self)
    }

    /// The amount as a decimal of a token with so many `decimals`.
    #[must_use]
    pub const fn to_price(self, decimals: u8) -> crate::Price {
        crate::Price::from_parts(self.0, decimals)
    }

    pub(crate) const fn from_uint(units: U256) -> Self {
        Self(units)
    }
}

impl Ord for Amount {
    // Not inlined: derived, it is in the program wherever two are compared.
    #[cfg_attr(target_os = "none", inline(never))]
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.cmp(&other.0)
    }
}

impl PartialOrd for Amount {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(digits(self.0, &mut [0; MAX_DIGITS]))
    }
}

impl fmt::Debug for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(digits(self.0, &mut [0; MAX_DIGITS]))
    }
}

/// A moment in seconds since 1970-01-01 UTC.
///
/// 256 bits, since `validAfter` and `validBefore` are `uint256` on the wire and in the digest, and
/// 2^256 - 1 is what people write who mean "always".
#[derive(Clone, Copy, Default, Eq, Hash, PartialEq)]
pub struct Timestamp(U256);

impl Timestamp {
    /// The last moment, 2^256 - 1.
    pub const MAX: Self = Self(U256::MAX);
    /// 1970-01-01 00:00:00 UTC.
    pub const ZERO: Self = Self(U256::ZERO);

    /// From seconds.
    #[must_use]
    pub fn from_secs(seconds: u64) -> Self {
        Self(U256::from(seconds))
    }

    /// From 32 bytes, big-endian.
    #[cfg_attr(target_os = "none", inline(never))]
    #[must_use]
    pub const fn from_be_bytes(bytes: [u8; 32]) -> Self {
        Self(U256::from_be_bytes(bytes))
    }

    /// Reads the wire's form, `0` or `[1-9][0-9]*`.
    ///
    /// # Errors
    ///
    /// [`NumberError`] for everything else, and from 2^256 on.
    pub fn parse(text: &str) -> Result<Self, NumberError> {
        parse(text).map(Self)
    }

    /// 32 bytes, big-endian: the ABI word.
    #[cfg_attr(target_os = "none", inline(never))]
    #[must_use]
    pub const fn to_be_bytes(self) -> [u8; 32] {
        self.0.to_be_bytes()
    }

    /// The seconds, if they fit 64 bits.
    #[cfg_attr(target_os = "none", inline(never))]
    #[must_use]
    pub fn to_secs(self) -> Option<u64> {
        u64::try_from(self.0).ok()
    }

    /// The moment so many seconds later, at most [`Self::MAX`].
    #[must_use]
    pub fn saturating_add(self, seconds: u64) -> Self {
        sum(self.0, U256::from(seconds)).map_or(Self::MAX, Self)
    }
}

impl Ord for Timestamp {
    // As that of an amount.
    #[cfg_attr(target_os = "none", inline(never))]
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.cmp(&other.0)
    }
}

impl PartialOrd for Timestamp {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(digits(self.0, &mut [0; MAX_DIGITS]))
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(digits(self.0, &mut [0; MAX_DIGITS]))
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    #[test]
    fn reads_what_it_shows() {
        let largest =
            "115792089237316195423570985008687907853269984665640564039457584007913129639935";
        for text in ["0", "1", "10000", "18446744073709561616", largest] {
            assert_eq!(Amount::parse(text).unwrap().to_string(), text);
            assert_eq!(Timestamp::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Amount::parse(largest), Ok(Amount::MAX));
    }

    #[test]
    fn powers_of_ten_end_where_256_bits_do() {
        let mut power = Some(U256::ONE);
        for exponent in 0..=u8::MAX {
            assert_eq!(power_of_ten(exponent), power, "{exponent}");
            power = power.and_then(|power| power.checked_mul(U256::from(10)));
        }
        assert!(power_of_ten(77).is_some() && power_of_ten(78).is_none());
    }

    #[test]
    fn refuses_other_spellings() {
        use NumberError::{Digit, Empty, LeadingZero, Overflow};
        let over = "115792089237316195423570985008687907853269984665640564039457584007913129639936";
        for (text, error) in [
            ("", Empty),
            ("+5", Digit),
            ("-1", Digit),
            (" 1", Digit),
            ("1 ", Digit),
            ("1e4", Digit),
            ("1.0", Digit),
            ("0x10", LeadingZero),
            ("00", LeadingZero),
            ("\u{661}", Digit),
            (over, Overflow),
        ] {
            assert_eq!(Amount::parse(text), Err(error), "{text}");
        }
        assert_eq!(Amount::parse(&"9".repeat(100_000)), Err(Overflow));
    }
}
