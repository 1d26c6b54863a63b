use core::fmt;

use ruint::aliases::U256;

use crate::uint::{self, MAX_DIGITS, digits};

/// The id of an EVM chain ([EIP-155]): 1 is Ethereum.
///
/// Networks have two names on the wire: x402 v2 writes CAIP-2 (`eip155:1`), v1 and the header
/// dialect write a word (`ethereum`). Both are read; [`Display`](fmt::Display) shows CAIP-2.
///
/// [EIP-155]: https://eips.ethereum.org/EIPS/eip-155
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ChainId(u64);

impl ChainId {
    /// Base.
    pub const BASE: Self = Self(8_453);
    /// Base's test network.
    pub const BASE_SEPOLIA: Self = Self(84_532);
    /// Ethereum.
    pub const ETHEREUM: Self = Self(1);
    /// Ethereum's test network.
    pub const SEPOLIA: Self = Self(11_155_111);

    /// Wraps a chain id.
    #[must_use]
    pub const fn new(id: u64) -> Self {
        Self(id)
    }

    /// Reads a v1 name (`base-sepolia`) or a CAIP-2 id of the `eip155` namespace (`eip155:84532`).
    ///
    /// # Errors
    ///
    /// [`NetworkError`] where the text is neither.
    pub fn parse(text: &str) -> Result<Self, NetworkError> {
        match text.split_once(':') {
            Some(_) => Self::parse_caip2(text),
            None => Self::parse_name(text),
        }
    }

    /// Reads a CAIP-2 id of the `eip155` namespace.
    ///
    /// # Errors
    ///
    /// [`NetworkError::Namespace`] for another namespace; [`NetworkError::ChainId`] where the
    /// reference is no decimal number below 2^64 without a leading zero.
    pub fn parse_caip2(text: &str) -> Result<Self, NetworkError> {
        let id = text.strip_prefix("eip155:").ok_or(NetworkError::Namespace)?;
        let id = uint::parse(id).map_err(|_| NetworkError::ChainId)?;
        u64::try_from(id).map(Self).map_err(|_| NetworkError::ChainId)
    }

    /// Reads a v1 name.
    ///
    /// # Errors
    ///
    /// [`NetworkError::Name`] for a name that x402 v1 does not have.
    pub fn parse_name(text: &str) -> Result<Self, NetworkError> {
        let mut rows = NAMES.iter();
        rows.find(|(name, _)| *name == text).map(|(_, id)| *id).ok_or(NetworkError::Name)
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The v1 name, if the network has one.
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        NAMES.iter().find(|(_, id)| *id == self).map(|(name, _)| *name)
    }

    /// All names of v1 with their chains, in alphabetical order.
    pub fn names() -> impl Iterator<Item = (&'static str, Self)> {
        NAMES.iter().copied()
    }
}

impl fmt::Display for ChainId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("eip155:")?;
        f.write_str(digits(U256::from(self.0), &mut [0; MAX_DIGITS]))
    }
}

/// Why a text names no EVM network.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum NetworkError {
    /// The reference of `eip155:…` is not a chain id.
    ChainId,
    /// Not one of the names of x402 v1.
    Name,
    /// A CAIP-2 namespace other than `eip155`.
    Namespace,
}

impl fmt::Display for NetworkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ChainId => "the number after eip155: is not a chain id",
            Self::Name => "not a network name of x402 v1; any EVM chain can be written eip155:<id>",
            Self::Namespace => "only networks of the namespace eip155 are known",
        })
    }
}

impl core::error::Error for NetworkError {}

// The v1 names of the official SDK (@x402/core 2.27.0), in alphabetical order.
const NAMES: [(&str, ChainId); 23] = [
    ("abstract", ChainId(2_741)),
    ("abstract-testnet", ChainId(11_124)),
    ("avalanche", ChainId(43_114)),
    ("avalanche-fuji", ChainId(43_113)),
    ("base", ChainId(8_453)),
    ("base-sepolia", ChainId(84_532)),
    ("celo", ChainId(42_220)),
    ("educhain", ChainId(41_923)),
    ("ethereum", ChainId(1)),
    ("flare", ChainId(14)),
    ("iotex", ChainId(4_689)),
    ("megaeth", ChainId(4_326)),
    ("monad", ChainId(143)),
    ("peaq", ChainId(3_338)),
    ("polygon", ChainId(137)),
    ("polygon-amoy", ChainId(80_002)),
    ("sei", ChainId(1_329)),
    ("sei-testnet", ChainId(1_328)),
    ("sepolia", ChainId(11_155_111)),
    ("skale-base-sepolia", ChainId(324_705_682)),
    ("stable", ChainId(988)),
    ("stable-testnet", ChainId(2_201)),
    ("story", ChainId(1_514)),
];

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    #[test]
    fn names_and_ids_go_both_ways() {
        for (name, id) in ChainId::names() {
            assert_eq!(ChainId::parse(name), Ok(id));
            assert_eq!(ChainId::parse(&id.to_string()), Ok(id));
            assert_eq!(id.name(), Some(name));
        }
        assert!(NAMES.is_sorted());
    }

    #[test]
    fn refuses_slack() {
        for text in ["", "Ethereum", "ethereum ", "mainnet", "1"] {
            assert_eq!(ChainId::parse(text), Err(NetworkError::Name), "{text}");
        }
        for text in ["eip155:", "eip155:01", "eip155:+1", "eip155:1abc", "eip155:*", "eip155:0x1"] {
            assert_eq!(ChainId::parse(text), Err(NetworkError::ChainId), "{text}");
        }
        assert_eq!(ChainId::parse("eip155:18446744073709551616"), Err(NetworkError::ChainId));
        assert_eq!(ChainId::parse("solana:devnet"), Err(NetworkError::Namespace));
    }
}
