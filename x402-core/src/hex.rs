//! `0x`-prefixed hexadecimal, as Ethereum writes bytes.
//!
//! The prefix is demanded and is lower case; digits may be of either case; there is exactly one
//! spelling length for a number of bytes. Anything else is refused.

use core::fmt;

/// Why a text is not `0x`-hex of the wanted length.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum HexError {
    /// A character that is no hexadecimal digit.
    Digit,
    /// Another number of digits than wanted, or an odd one.
    Length,
    /// The text does not begin with `0x`.
    Prefix,
}

impl fmt::Display for HexError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Digit => "a character is not a hexadecimal digit",
            Self::Length => "not the right number of hexadecimal digits",
            Self::Prefix => "hexadecimal must begin with 0x",
        })
    }
}

impl core::error::Error for HexError {}

/// Decodes `0x` and exactly `2 * N` digits.
///
/// # Errors
///
/// [`HexError`] for a missing prefix, another length, or a character that is no digit.
pub fn decode<const N: usize>(text: &str) -> Result<[u8; N], HexError> {
    let mut bytes = [0; N];
    let decoded = decode_into(text, &mut bytes)?;
    if decoded.len() == N { Ok(bytes) } else { Err(HexError::Length) }
}

/// Decodes `0x` and an even number of digits to the front of `out`, and returns that part of it.
///
/// # Errors
///
/// [`HexError`]; `Length` also where `out` is too short.
pub fn decode_into<'o>(text: &str, out: &'o mut [u8]) -> Result<&'o [u8], HexError> {
    let digits = text.strip_prefix("0x").ok_or(HexError::Prefix)?.as_bytes();
    let (pairs, rest) = digits.as_chunks::<2>();
    let out = out.get_mut(..pairs.len()).ok_or(HexError::Length)?;
    if !rest.is_empty() {
        return Err(HexError::Length);
    }
    // What is wrong is found at the end: until then there is no branch.
    let mut all = 0;
    for (byte, [high, low]) in out.iter_mut().zip(pairs) {
        let (high, low) = (half(*high), half(*low));
        (*byte, all) = ((high << 4) | low, all | high | low);
    }
    if all < 16 { Ok(out) } else { Err(HexError::Digit) }
}

/// Shows bytes as `0x` and lower-case digits.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Hex<'a>(pub &'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("0x")?;
        self.0.iter().try_for_each(|byte| pair(*byte, f))
    }
}

/// Shows the two digits of a byte.
pub(crate) fn pair(byte: u8, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let digits = [byte >> 4, byte & 15].map(digit);
    f.write_str(core::str::from_utf8(&digits).unwrap_or_default())
}

/// The lower-case digit of four bits.
pub(crate) const fn digit(nibble: u8) -> u8 {
    if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 }
}

/// The four bits of a digit, or more than four; without a branch.
fn half(digit: u8) -> u8 {
    let (number, letter) = (digit.wrapping_sub(b'0'), (digit | 0x20).wrapping_sub(b'a'));
    let letter = if letter < 6 { letter + 10 } else { u8::MAX };
    if number < 10 { number } else { letter }
}

const fn nibble(digit: u8) -> Result<u8, HexError> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        b'A'..=b'F' => Ok(digit - b'A' + 10),
        _ => Err(HexError::Digit),
    }
}

/// Decodes a literal of this crate's own tables.
///
/// A wrong one stops the build: it is only called in constants.
#[allow(clippy::indexing_slicing, reason = "evaluated at compile time only")]
pub(crate) const fn literal<const N: usize>(text: &str) -> [u8; N] {
    let digits = text.as_bytes();
    assert!(digits.len() == 2 + 2 * N && digits[0] == b'0' && digits[1] == b'x');
    let mut bytes = [0; N];
    let mut at = 0;
    while at < N {
        bytes[at] = match (nibble(digits[2 + 2 * at]), nibble(digits[3 + 2 * at])) {
            (Ok(high), Ok(low)) => (high << 4) | low,
            _ => panic!("not a hexadecimal digit"),
        };
        at += 1;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    #[test]
    fn decodes_either_case() {
        assert_eq!(decode::<2>("0xAbcD"), Ok([0xab, 0xcd]));
        assert_eq!(decode::<0>("0x"), Ok([]));
    }

    #[test]
    fn refuses_what_is_not_exact() {
        assert_eq!(decode::<1>("ab"), Err(HexError::Prefix));
        assert_eq!(decode::<1>("0Xab"), Err(HexError::Prefix));
        assert_eq!(decode::<1>("0xa"), Err(HexError::Length));
        assert_eq!(decode::<2>("0xab"), Err(HexError::Length));
        assert_eq!(decode::<1>("0xabcd"), Err(HexError::Length));
        assert_eq!(decode::<1>("0xg0"), Err(HexError::Digit));
        assert_eq!(decode::<1>("0x+1"), Err(HexError::Digit));
        assert_eq!(decode::<2>("0xa\u{e9}b"), Err(HexError::Digit));
    }

    #[test]
    fn shows_lower_case() {
        assert_eq!(Hex(&[0, 0xff]).to_string(), "0x00ff");
    }
}
