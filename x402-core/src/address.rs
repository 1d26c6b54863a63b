use core::fmt;

use crate::hex::{self, HexError, digit};
use crate::keccak256;

/// An Ethereum address: 20 bytes, the low ones of the Keccak-256 of a public key.
///
/// Compared as bytes; shown in the mixed-case form of [EIP-55].
///
/// [EIP-55]: https://eips.ethereum.org/EIPS/eip-55
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Address([u8; 20]);

impl Address {
    /// The zero address, which nobody can pay from.
    pub const ZERO: Self = Self([0; 20]);

    /// Wraps 20 bytes.
    #[must_use]
    pub const fn new(bytes: [u8; 20]) -> Self {
        Self(bytes)
    }

    /// Reads `0x` and 40 digits.
    ///
    /// All lower or all upper case is taken as it is; mixed case must be the EIP-55 form, since a
    /// wrong checksum is the mark of a mistyped address.
    ///
    /// # Errors
    ///
    /// [`AddressError::Hex`] or [`AddressError::Checksum`].
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let address = Self(hex::decode(text).map_err(AddressError::Hex)?);
        let digits = text.as_bytes().iter().skip(2);
        let has_lower = digits.clone().any(u8::is_ascii_lowercase);
        let has_upper = digits.clone().any(u8::is_ascii_uppercase);
        if has_lower && has_upper && !digits.eq(address.checksummed().iter().skip(2)) {
            return Err(AddressError::Checksum);
        }
        Ok(address)
    }

    /// The 20 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 20] {
        &self.0
    }

    /// The EIP-55 form: `0x` and 40 digits, in ASCII.
    #[must_use]
    pub fn checksummed(&self) -> [u8; 42] {
        let mut text = [b'0'; 42];
        let [_, x, digits @ ..] = &mut text;
        *x = b'x';
        let (pairs, _) = digits.as_chunks_mut::<2>();
        for ([high, low], byte) in pairs.iter_mut().zip(self.0) {
            (*high, *low) = (digit(byte >> 4), digit(byte & 0xf));
        }
        let hash = keccak256(&[digits]);
        for (at, digit) in digits.iter_mut().enumerate() {
            let byte = hash.get(at / 2).copied().unwrap_or_default();
            let nibble = if at % 2 == 0 { byte >> 4 } else { byte & 0xf };
            if nibble >= 8 {
                digit.make_ascii_uppercase();
            }
        }
        text
    }

    /// The address as an ABI word: 12 zero bytes and the 20.
    #[must_use]
    pub fn to_word(self) -> [u8; 32] {
        let mut word = [0; 32];
        if let Some(low) = word.last_chunk_mut() {
            *low = self.0;
        }
        word
    }

    /// The address in an ABI word, if its 12 high bytes are zero.
    #[must_use]
    pub fn from_word(word: &[u8; 32]) -> Option<Self> {
        let (high, low) = (word.first_chunk::<12>()?, word.last_chunk::<20>()?);
        (*high == [0; 12]).then_some(Self(*low))
    }

    /// The low 20 bytes of a hash, whatever the others are.
    #[cfg(feature = "k256")]
    pub(crate) fn from_word_unchecked(word: &[u8; 32]) -> Self {
        Self(word.last_chunk().copied().unwrap_or_default())
    }

    pub(crate) const fn literal(text: &str) -> Self {
        Self(hex::literal(text))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(core::str::from_utf8(&self.checksummed()).unwrap_or_default())
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a text is not an address.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum AddressError {
    /// The case of the letters is not the EIP-55 checksum.
    Checksum,
    /// Not `0x` and 40 digits.
    Hex(HexError),
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Checksum => f.write_str(
                "the address has mixed case that is not its EIP-55 checksum: a digit may be mistyped",
            ),
            Self::Hex(error) => write!(f, "an address is 0x and 40 digits: {error}"),
        }
    }
}

impl core::error::Error for AddressError {}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    // The examples of EIP-55.
    const CHECKSUMMED: [&str; 4] = [
        "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
        "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
        "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
        "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
    ];

    #[test]
    fn shows_and_reads_the_checksum() {
        for text in CHECKSUMMED {
            let address = Address::parse(text).unwrap();
            assert_eq!(address.to_string(), text);
            assert_eq!(Address::parse(&text.to_lowercase()), Ok(address));
            let upper = std::format!("0x{}", text[2..].to_uppercase());
            assert_eq!(Address::parse(&upper), Ok(address));
        }
    }

    #[test]
    fn refuses_a_wrong_checksum() {
        let text = "0x5aAeb6053f3E94C9b9A09f33669435E7Ef1BeAed";
        assert_eq!(Address::parse(text), Err(AddressError::Checksum));
    }

    #[test]
    fn words_round_trip() {
        let address = Address::parse(CHECKSUMMED[0]).unwrap();
        assert_eq!(Address::from_word(&address.to_word()), Some(address));
        assert_eq!(Address::from_word(&[1; 32]), None);
    }
}
