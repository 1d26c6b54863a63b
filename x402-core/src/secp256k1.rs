//! Recovery and signing by RustCrypto's [`k256`], in pure Rust.

mod comb;
mod element;
mod field;
mod scalar;
#[cfg(target_pointer_width = "64")]
mod stack;
mod vartime;
mod words;

use core::fmt;

use k256::ecdsa::{RecoveryId, Signature as Ecdsa, SigningKey, VerifyingKey};
use k256::elliptic_curve::point::AffineCoordinates as _;

use crate::{Address, Digest, Recover, Signature, SignatureError, Signer, keccak256};

pub use comb::CombSigner;
pub use element::{Element, ElementError};
pub use vartime::Vartime;

/// Recovers with k256.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct K256;

impl Recover for K256 {
    fn recover(&self, digest: &Digest, signature: &Signature) -> Result<Address, SignatureError> {
        let unrecoverable = |_| SignatureError::Unrecoverable;
        let ecdsa = Ecdsa::from_scalars(*signature.r(), *signature.s()).map_err(unrecoverable)?;
        // r is never reduced: v of 27 and 28 cannot say that it was.
        let id = RecoveryId::new(signature.is_y_odd(), false);
        VerifyingKey::recover_from_prehash(digest.as_bytes(), &ecdsa, id)
            .map(|key| address_of(&key))
            .map_err(unrecoverable)
    }
}

/// A key in memory that signs with k256: deterministic (RFC 6979), low s.
///
/// The key is wiped when it is dropped and is never shown. On a host (of 64 bits) the stack is overwritten on
/// which k256 has calculated with it and with a nonce.
#[derive(Clone)]
pub struct K256Signer {
    key: SigningKey,
    address: Address,
}

impl K256Signer {
    /// Loads a key of 32 bytes, big-endian.
    ///
    /// # Errors
    ///
    /// [`InvalidKey`] where the number is zero or not below the order of the curve.
    // Not inlined, as `sign`: neither is k256's part of the panics that its callers are free of.
    #[inline(never)]
    pub fn from_bytes(key: &[u8; 32]) -> Result<Self, InvalidKey> {
        let signer = Self::load(key);
        #[cfg(target_pointer_width = "64")]
        stack::wipe();
        signer
    }

    // Below its caller, where that overwrites the stack; elsewhere a part of it.
    #[cfg_attr(target_pointer_width = "64", inline(never))]
    #[cfg_attr(not(target_pointer_width = "64"), inline(always))]
    fn load(key: &[u8; 32]) -> Result<Self, InvalidKey> {
        let key = SigningKey::from_slice(key).map_err(|_| InvalidKey)?;
        let address = address_of(key.verifying_key());
        Ok(Self { key, address })
    }

    // Below its caller, where that overwrites the stack; elsewhere a part of it.
    #[cfg_attr(target_pointer_width = "64", inline(never))]
    #[cfg_attr(not(target_pointer_width = "64"), inline(always))]
    fn sign_with_k256(&self, digest: &Digest) -> Signature {
        let (ecdsa, id) = self.key.sign_prehash_recoverable(digest.as_bytes());
        let (r, s) = ecdsa.split_bytes();
        // Low s is k256's promise, and an r at or above the order would have to be found first:
        // both hold for every signature, so there is nothing to answer but the signature.
        match Signature::from_parts(r.into(), s.into(), id.is_y_odd()) {
            Ok(signature) => signature,
            Err(_) => unreachable!("k256 made a signature with a high or zero scalar"),
        }
    }
}

impl Signer for K256Signer {
    type Error = core::convert::Infallible;

    fn address(&self) -> Address {
        self.address
    }

    #[inline(never)]
    fn sign(&self, digest: &Digest) -> Result<Signature, Self::Error> {
        let signature = self.sign_with_k256(digest);
        #[cfg(target_pointer_width = "64")]
        stack::wipe();
        Ok(signature)
    }
}

impl fmt::Debug for K256Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("K256Signer").field("address", &self.address).finish_non_exhaustive()
    }
}

/// The number is no private key: zero, or not below the order of the curve.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct InvalidKey;

impl fmt::Display for InvalidKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a private key of secp256k1")
    }
}

impl core::error::Error for InvalidKey {}

/// The low 20 bytes of the Keccak-256 of x || y.
fn address_of(key: &VerifyingKey) -> Address {
    let point = key.as_affine();
    Address::from_word_unchecked(&keccak256(&[&point.x(), &point.y()]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hex;

    // The second account of the development mnemonic, known to every Ethereum tool.
    const KEY: &str = "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d";

    #[test]
    fn recovers_what_it_signed() {
        let signer = K256Signer::from_bytes(&hex::decode(KEY).unwrap()).unwrap();
        let address = Address::parse("0x70997970C51812dc3A010C7d01b50e0d17dc79C8").unwrap();
        assert_eq!(signer.address(), address);
        for byte in 0..=255 {
            let digest = Digest::new([byte; 32]);
            let Ok(signature) = signer.sign(&digest);
            assert_eq!(K256.recover(&digest, &signature), Ok(address));
        }
    }

    #[test]
    fn refuses_numbers_that_are_no_key() {
        assert_eq!(K256Signer::from_bytes(&[0; 32]).unwrap_err(), InvalidKey);
        assert_eq!(K256Signer::from_bytes(&[0xff; 32]).unwrap_err(), InvalidKey);
    }

    #[test]
    fn debug_shows_no_key() {
        let signer = K256Signer::from_bytes(&hex::decode(KEY).unwrap()).unwrap();
        assert!(!std::format!("{signer:?}").contains("59c6"));
    }
}
