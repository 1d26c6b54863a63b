//! [EIP-712](https://eips.ethereum.org/EIPS/eip-712): hashing of typed data that is to be signed.

use core::fmt;

use ruint::aliases::U256;

use crate::hex::{self, Hex};
use crate::{Address, ChainId, keccak256};

/// `keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)")`.
pub const DOMAIN_TYPE_HASH: [u8; 32] =
    hex::literal("0x8b73c3c69bb8fe3d512ecc4cf759cc79239f7b179b0ffacaa9a75d522b39400f");

/// The domain of a contract whose typed data is signed.
///
/// ```text
/// EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Domain<'a> {
    /// The name the contract gives itself, in UTF-8.
    pub name: &'a str,
    /// The version the contract gives itself.
    pub version: &'a str,
    /// The chain the contract is on.
    pub chain_id: ChainId,
    /// The contract.
    pub verifying_contract: Address,
}

impl Domain<'_> {
    /// The hash of the domain. Compute it once per token: it is half the work of a digest.
    #[must_use]
    pub fn separator(&self) -> DomainSeparator {
        DomainSeparator(keccak256(&[
            &DOMAIN_TYPE_HASH,
            &keccak256(&[self.name.as_bytes()]),
            &keccak256(&[self.version.as_bytes()]),
            &U256::from(self.chain_id.get()).to_be_bytes::<32>(),
            &self.verifying_contract.to_word(),
        ]))
    }
}

/// The hash of a [`Domain`]: what a token's `DOMAIN_SEPARATOR()` answers.
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
pub struct DomainSeparator([u8; 32]);

impl DomainSeparator {
    /// Wraps the 32 bytes that a contract answered.
    #[must_use]
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The digest of a struct in this domain: `keccak256(0x1901 || separator || struct_hash)`.
    #[must_use]
    pub fn digest(&self, struct_hash: &[u8; 32]) -> Digest {
        Digest(keccak256(&[&[0x19, 0x01], &self.0, struct_hash]))
    }
}

/// A hash to be signed.
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
pub struct Digest([u8; 32]);

impl Digest {
    /// Wraps 32 bytes that were hashed elsewhere.
    #[must_use]
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

macro_rules! show_as_hex {
    ($($type:ty),*) => {$(
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                Hex(&self.0).fmt(f)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                Hex(&self.0).fmt(f)
            }
        }
    )*};
}

show_as_hex!(Digest, DomainSeparator);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Asset;

    #[test]
    fn type_hash_is_the_hash_of_the_type() {
        let text =
            "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)";
        assert_eq!(DOMAIN_TYPE_HASH, keccak256(&[text.as_bytes()]));
    }

    #[test]
    fn usdc_on_ethereum() {
        let usdc = Asset::find(ChainId::ETHEREUM, "USDC").unwrap();
        let on_chain = "0x06c37168a7db5138defc7866392bb87a741f9b3d104deb5094588ce041cae335";
        assert_eq!(usdc.domain().separator(), DomainSeparator(hex::decode(on_chain).unwrap()));
    }
}
