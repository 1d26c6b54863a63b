//! Base64 ([RFC 4648, section 4](https://www.rfc-editor.org/rfc/rfc4648#section-4)), as header fields
//! carry it: padded; read also where the padding is missing, and strict in everything else.

use core::fmt::{self, Write as _};

use crate::plain;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Why a text is no base64.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Base64Error {
    /// A character that is not of the alphabet: a blank, `-`, `_`, or `=` before the end.
    Digit,
    /// A length that no bytes have, or another padding than there should be.
    Length,
    /// There is no room for the bytes.
    Room,
    /// Bits behind the last byte that are not zero: another spelling of the same bytes.
    Trailing,
}

impl fmt::Display for Base64Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Digit => "a character is not of the base64 alphabet",
            Self::Length => "the base64 is cut off, or its padding is wrong",
            Self::Room => "the base64 is too long",
            Self::Trailing => "the base64 has bits behind its last byte",
        })
    }
}

impl core::error::Error for Base64Error {}

/// The length of the text for so many bytes.
#[must_use]
pub const fn encoded_len(bytes: usize) -> usize {
    bytes.div_ceil(3).saturating_mul(4)
}

/// Room for the bytes of a text of that length.
#[must_use]
pub const fn decoded_room(text: usize) -> usize {
    text.div_ceil(4).saturating_mul(3)
}

/// Decodes to the front of `out`, and returns that part of it.
///
/// # Errors
///
/// [`Base64Error`]; with room for [`decoded_room`] bytes it is never [`Base64Error::Room`].
pub fn decode<'o>(text: &[u8], out: &'o mut [u8]) -> Result<&'o [u8], Base64Error> {
    let digits = unpadded(text)?;
    let length = digits.len() / 4 * 3 + (digits.len() % 4).saturating_sub(1);
    let out = out.get_mut(..length).ok_or(Base64Error::Room)?;
    let (pairs, last) = digits.as_chunks::<8>();
    let (whole, rest) = out.split_at_mut_checked(pairs.len() * 6).unwrap_or_default();
    let (mut all, mut is_exact) = (0, true);
    for ([first @ .., a, b, c, d], bytes) in pairs.iter().zip(whole.as_chunks_mut().0) {
        let (first, second) = (group(first), group(&[*a, *b, *c, *d]));
        all |= first | second;
        let [_, _, decoded @ ..] = ((u64::from(first) << 24) | u64::from(second)).to_be_bytes();
        *bytes = decoded;
    }
    for (digits, bytes) in last.chunks(4).zip(rest.chunks_mut(3)) {
        let mut padded = [b'A'; 4];
        for (slot, digit) in padded.iter_mut().zip(digits) {
            *slot = *digit;
        }
        let group = group(&padded);
        all |= group;
        let [_, decoded @ ..] = group.to_be_bytes();
        let (kept, behind) = decoded.split_at(bytes.len().min(decoded.len()));
        bytes.copy_from_slice(kept);
        is_exact &= behind.iter().all(|byte| *byte == 0);
    }
    match all & NONE {
        0 if is_exact => Ok(out),
        0 => Err(Base64Error::Trailing),
        _ => Err(Base64Error::Digit),
    }
}

/// What four digits stand for, or more than 24 bits.
#[cfg(not(target_pointer_width = "64"))]
fn group(digits: &[u8; 4]) -> u32 {
    small_group(digits)
}

/// As [`group`], without its tables: four kilobytes are much for a device.
#[cfg(any(test, not(target_pointer_width = "64")))]
fn small_group(digits: &[u8; 4]) -> u32 {
    let (mut bits, mut none) = (0, 0);
    for digit in digits {
        match value(*digit) {
            Some(six) => bits = (bits << 6) | u32::from(six),
            None => none = NONE,
        }
    }
    bits | none
}

/// What four digits stand for, or more than 24 bits.
#[cfg(target_pointer_width = "64")]
fn group([first, second, third, fourth]: &[u8; 4]) -> u32 {
    let [one, two, three, four] = &PLACES;
    at(one, *first) | at(two, *second) | at(three, *third) | at(four, *fourth)
}

/// A bit above the 24 of a group: a character was no digit.
const NONE: u32 = 1 << 24;

/// What each character adds to its group, by its place in it: whatever is wrong is found without a
/// branch.
#[cfg(target_pointer_width = "64")]
#[allow(clippy::indexing_slicing, reason = "evaluated at compile time only")]
static PLACES: [[u32; 256]; 4] = {
    let mut places = [[NONE; 256]; 4];
    let mut digit = 0;
    while digit < 64 {
        let character = ALPHABET[digit] as usize;
        let mut place = 0;
        while place < 4 {
            places[place][character] = (digit as u32) << (18 - 6 * place);
            place += 1;
        }
        digit += 1;
    }
    places
};

#[cfg(target_pointer_width = "64")]
fn at(place: &[u32; 256], character: u8) -> u32 {
    place.get(usize::from(character)).copied().unwrap_or(NONE)
}

/// The digits, where the padding is as it should be, or missing.
fn unpadded(text: &[u8]) -> Result<&[u8], Base64Error> {
    let digits = match text {
        [digits @ .., b'=', b'='] | [digits @ .., b'='] => digits,
        digits => digits,
    };
    let is_padded = digits.len() < text.len();
    match digits.len() % 4 {
        1 => Err(Base64Error::Length),
        _ if is_padded && !text.len().is_multiple_of(4) => Err(Base64Error::Length),
        0 if is_padded => Err(Base64Error::Length),
        _ => Ok(digits),
    }
}

/// The six bits of a digit.
#[cfg(any(feature = "embedded-io", test, not(target_pointer_width = "64")))]
pub(crate) const fn value(digit: u8) -> Option<u8> {
    Some(match digit {
        b'A'..=b'Z' => digit - b'A',
        b'a'..=b'z' => digit - b'a' + 26,
        b'0'..=b'9' => digit - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    })
}

/// Shows what a value writes, as base64: `Base64(&payload)` is the content of a header field.
#[derive(Clone, Copy, Debug)]
pub struct Base64<T>(pub T);

impl<T: fmt::Display> fmt::Display for Base64<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut encoder = Encoder { out: f, group: [0; 3], filled: 0 };
        write!(encoder, "{}", self.0)?;
        encoder.finish()
    }
}

/// Encodes what is written to it.
struct Encoder<'f, 'b> {
    out: &'f mut fmt::Formatter<'b>,
    group: [u8; 3],
    filled: usize,
}

impl fmt::Write for Encoder<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            if let Some(slot) = self.group.get_mut(self.filled) {
                *slot = byte;
                self.filled += 1;
            }
            if self.filled == self.group.len() {
                self.flush()?;
            }
        }
        Ok(())
    }

    fn write_char(&mut self, c: char) -> fmt::Result {
        plain::write_char(self, c)
    }
}

impl Encoder<'_, '_> {
    /// Writes the group: four digits, of which those that stand for no byte are `=`.
    fn flush(&mut self) -> fmt::Result {
        let [first, second, third] = self.group;
        let group = u32::from_be_bytes([0, first, second, third]);
        let mut digits = [b'='; 4];
        for (index, slot) in digits.iter_mut().enumerate().take(self.filled + 1) {
            let digit = (group >> (18 - 6 * index)) & 63;
            *slot = ALPHABET.get(digit as usize).copied().unwrap_or_default();
        }
        (self.group, self.filled) = ([0; 3], 0);
        self.out.write_str(core::str::from_utf8(&digits).unwrap_or_default())
    }

    fn finish(mut self) -> fmt::Result {
        if self.filled == 0 { Ok(()) } else { self.flush() }
    }
}

#[cfg(all(test, target_pointer_width = "64"))]
mod tests {
    use super::*;

    #[test]
    fn groups_are_the_same_with_tables_and_without() {
        for first in 0..=u8::MAX {
            for second in [b'A', b'z', b'/', b'=', b'-', 0, 0x80, first] {
                for digits in [[first, second, b'Q', b'9'], [b'+', b'0', second, first]] {
                    let (group, small) = (group(&digits), small_group(&digits));
                    assert_eq!(group & NONE, small & NONE, "{digits:?}");
                    assert!(group & NONE != 0 || group == small, "{digits:?}");
                }
            }
        }
    }
}
