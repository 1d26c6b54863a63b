use core::cmp::Ordering;

/// A decimal number, exact and of any size: a literal of a condition, or a fact.
///
/// Read from a text it borrows the digits, so that nothing is rounded and nothing overflows.
#[derive(Clone, Copy, Debug)]
pub struct Number<'a> {
    /// Never set for zero.
    is_negative: bool,
    magnitude: Magnitude<'a>,
}

#[derive(Clone, Copy, Debug)]
enum Magnitude<'a> {
    /// As it is written, without a sign. Not zero.
    Decimal(&'a str),
    Integer(u64),
}

/// The parts of a decimal: `whole.fraction * 10^exponent`.
struct Parts<'a> {
    whole: &'a str,
    fraction: &'a str,
    exponent: i64,
}

/// Where an exponent ends that is written with more digits. No literal of a condition comes near.
const MAX_EXPONENT: i64 = 999_999_999;
/// So many digits always fit 64 bits.
const INTEGER_DIGITS: usize = 19;
/// The most digits that 64 bits have.
const MAX_INTEGER_DIGITS: usize = 20;

impl<'a> Number<'a> {
    /// Reads a number as JSON writes it: `-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?`.
    ///
    /// An exponent of more than nine digits counts as the largest of nine.
    #[must_use]
    pub fn parse(text: &'a str) -> Option<Self> {
        let (is_negative, text) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let magnitude = match parse_integer(text) {
            Some(integer) => Magnitude::Integer(integer),
            None if Parts::parse(text)?.is_zero() => Magnitude::Integer(0),
            None => Magnitude::Decimal(text),
        };
        Some(Self { is_negative: is_negative && !magnitude.is_zero(), magnitude })
    }
}

/// What nearly every number is, without a search for what else it may be.
fn parse_integer(text: &str) -> Option<u64> {
    let has_zeros = text.len() > 1 && text.starts_with('0');
    if text.is_empty() || text.len() > INTEGER_DIGITS || has_zeros {
        return None;
    }
    text.bytes().try_fold(0, |number: u64, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn parse_exponent(text: &str) -> Option<i64> {
    let (sign, digits) = match text.as_bytes().first()? {
        b'-' => (-1, text.get(1..)?),
        b'+' => (1, text.get(1..)?),
        _ => (1, text),
    };
    if !is_digits(digits) {
        return None;
    }
    let exponent = digits.bytes().fold(0_i64, |number, digit| {
        number.saturating_mul(10).saturating_add(i64::from(digit - b'0')).min(MAX_EXPONENT)
    });
    Some(sign * exponent)
}

impl<'a> Parts<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, parse_exponent(exponent)?),
            None => (text, 0),
        };
        let (whole, fraction) = match mantissa.split_once('.') {
            Some((whole, fraction)) if is_digits(fraction) => (whole, fraction),
            Some(_) => return None,
            None => (mantissa, ""),
        };
        let is_plain = is_digits(whole) && (whole == "0" || !whole.starts_with('0'));
        is_plain.then_some(Self { whole, fraction, exponent })
    }

    fn is_zero(&self) -> bool {
        self.whole.bytes().chain(self.fraction.bytes()).all(|digit| digit == b'0')
    }
}

impl Magnitude<'_> {
    const fn is_zero(&self) -> bool {
        matches!(self, Self::Integer(0))
    }

    /// The digits from the first that is not zero, and how many of them are before the point.
    fn digits<'d>(
        &'d self,
        buffer: &'d mut [u8; MAX_INTEGER_DIGITS],
    ) -> (i64, impl Iterator<Item = u8> + 'd) {
        let (whole, fraction, exponent) = match self {
            Self::Integer(integer) => (write_digits(*integer, buffer), [].as_slice(), 0),
            Self::Decimal(text) => match Parts::parse(text) {
                Some(parts) => (parts.whole.as_bytes(), parts.fraction.as_bytes(), parts.exponent),
                None => Default::default(),
            },
        };
        let digits = whole.iter().chain(fraction).copied();
        let zeros = digits.clone().take_while(|digit| *digit == b'0').count();
        let point = i64::try_from(whole.len()).unwrap_or(i64::MAX);
        let zeros_before = i64::try_from(zeros).unwrap_or(i64::MAX);
        (point.saturating_sub(zeros_before).saturating_add(exponent), digits.skip(zeros))
    }

    fn cmp(&self, other: &Self) -> Ordering {
        if let (Self::Integer(ours), Self::Integer(theirs)) = (self, other) {
            return ours.cmp(theirs);
        }
        if self.is_zero() || other.is_zero() {
            return other.is_zero().cmp(&self.is_zero());
        }
        let (mut our_buffer, mut their_buffer) = ([0; MAX_INTEGER_DIGITS], [0; MAX_INTEGER_DIGITS]);
        let (our_point, ours) = self.digits(&mut our_buffer);
        let (their_point, theirs) = other.digits(&mut their_buffer);
        our_point.cmp(&their_point).then_with(|| cmp_digits(ours, theirs))
    }
}

/// The decimal digits of a number, with zeros in front.
fn write_digits(mut number: u64, buffer: &mut [u8; MAX_INTEGER_DIGITS]) -> &[u8] {
    for slot in buffer.iter_mut().rev() {
        *slot = b'0' + u8::try_from(number % 10).unwrap_or_default();
        number /= 10;
    }
    buffer
}

/// Compares digits behind a point; zeros at the end say nothing.
fn cmp_digits(
    mut ours: impl Iterator<Item = u8>,
    mut theirs: impl Iterator<Item = u8>,
) -> Ordering {
    loop {
        let (our, their) = match (ours.next(), theirs.next()) {
            (None, None) => return Ordering::Equal,
            (our, their) => (our.unwrap_or(b'0'), their.unwrap_or(b'0')),
        };
        if our != their {
            return our.cmp(&their);
        }
    }
}

impl From<u64> for Number<'_> {
    fn from(integer: u64) -> Self {
        Self { is_negative: false, magnitude: Magnitude::Integer(integer) }
    }
}

impl Ord for Number<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self.is_negative, other.is_negative) {
            (false, false) => self.magnitude.cmp(&other.magnitude),
            (true, true) => other.magnitude.cmp(&self.magnitude),
            (ours, theirs) => theirs.cmp(&ours),
        }
    }
}

impl PartialOrd for Number<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Number<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Number<'_> {}

#[cfg(test)]
mod tests {
    use std::format;

    use super::*;

    fn number(text: &str) -> Number<'_> {
        Number::parse(text).unwrap()
    }

    #[test]
    fn stand_in_their_order() {
        let ordered = [
            "-1e99999999999999999999",
            "-1e21",
            "-12.5",
            "-12",
            "-0.001",
            "0",
            "1e-99999999999999999999",
            "0.0009999",
            "0.001",
            "0.9",
            "1",
            "9.99",
            "10",
            "18446744073709551615",
            "18446744073709551615.5",
            "18446744073709551616",
            "1e20",
            "1e99999999999999999999",
        ];
        for (i, a) in ordered.iter().enumerate() {
            for (j, b) in ordered.iter().enumerate() {
                assert_eq!(number(a).cmp(&number(b)), i.cmp(&j), "{a} {b}");
            }
        }
    }

    #[test]
    fn are_equal_however_they_are_written() {
        for (a, b) in [
            ("0", "-0"),
            ("0", "0.000e5"),
            ("1", "1.000"),
            ("1000", "1e3"),
            ("1000", "0.001E+6"),
            ("1.5", "15e-1"),
            ("18446744073709551616", "1844674407370955161.6e1"),
        ] {
            assert_eq!(number(a), number(b));
        }
        assert_eq!(Number::from(u64::MAX), number(&format!("{}.0", u64::MAX)));
    }

    #[test]
    fn refuse_what_json_refuses() {
        for text in
            ["", "-", "+1", ".5", "1.", "01", "-01", "1e", "1e+", "0x1", " 1", "1_0", "NaN", "--1"]
        {
            assert!(Number::parse(text).is_none(), "{text}");
        }
    }
}
