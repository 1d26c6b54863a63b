use core::fmt;

use crate::hex::{self, Hex};
use crate::uint;

/// The 32 bytes that make an authorization of a payer unlike any other.
///
/// EIP-3009 nonces are not counted: any value that the payer has not used with the token will do,
/// random ones being usual.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Nonce([u8; 32]);

impl Nonce {
    /// Wraps 32 bytes.
    #[must_use]
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Reads `0x` and 64 digits, or a decimal below 2^256, meaning that number as 32 big-endian
    /// bytes.
    ///
    /// # Errors
    ///
    /// [`InvalidNonce`] for everything else.
    pub fn parse(text: &str) -> Result<Self, InvalidNonce> {
        if text.starts_with("0x") {
            return hex::decode(text).map(Self).map_err(|_| InvalidNonce);
        }
        uint::parse(text).map(|number| Self(number.to_be_bytes())).map_err(|_| InvalidNonce)
    }

    /// The 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Hex(&self.0).fmt(f)
    }
}

impl fmt::Debug for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Hex(&self.0).fmt(f)
    }
}

/// The text is neither `0x` and 64 digits nor a decimal number below 2^256.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct InvalidNonce;

impl fmt::Display for InvalidNonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a nonce is a decimal number below 2^256, or 0x and 64 digits")
    }
}

impl core::error::Error for InvalidNonce {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimal_is_the_same_number_in_bytes() {
        let hex = "0x0000000000000000000000000000000000000000000000000000000000003039";
        assert_eq!(Nonce::parse("12345"), Nonce::parse(hex));
        assert_eq!(Nonce::parse("12345").unwrap().as_bytes()[30..], [0x30, 0x39]);
    }

    #[test]
    fn refuses_other_spellings() {
        for text in ["", "0x", "0x3039", "-1", "+1", "012345", "1e5", "abc"] {
            assert_eq!(Nonce::parse(text), Err(InvalidNonce), "{text}");
        }
    }
}
