//! Signing with a comb of the generator, in constant time.

mod generator;
mod nonce;

use core::fmt;

use k256::Scalar;
use k256::elliptic_curve::PrimeField as _;
use k256::elliptic_curve::scalar::IsHigh as _;
use k256::elliptic_curve::subtle::ConditionallySelectable as _;
use k256::elliptic_curve::zeroize::Zeroizing;

use super::InvalidKey;
use super::scalar::{inverse, scalar, times};
#[cfg(target_pointer_width = "64")]
use super::stack;
use crate::{Address, Digest, Signature, Signer, keccak256};

/// A key in memory that signs as [`K256Signer`](super::K256Signer) does, to the same bytes, in two thirds
/// of the time and less than a third of the stack: for devices.
///
/// k256 makes a table of the generator's multiples for each signature; here it is a constant of a
/// kilobyte. What depends on the key takes the same time for every key: sums are those of complete
/// formulas, and of the table every row is read.
///
/// The key is wiped when it is dropped and is never shown. The stack is overwritten on hosts alone: on a device
/// what has calculated with a nonce is left there until something else is.
#[derive(Clone)]
pub struct CombSigner {
    key: Zeroizing<Scalar>,
    address: Address,
}

impl CombSigner {
    /// Loads a key of 32 bytes, big-endian.
    ///
    /// # Errors
    ///
    /// [`InvalidKey`] where the number is zero or not below the order of the curve.
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
        let key = Scalar::from_repr((*key).into()).into_option().map(Zeroizing::new);
        let key = key.ok_or(InvalidKey)?;
        // There is none of zero.
        let public = generator::multiple(&key).ok_or(InvalidKey)?;
        let address = Address::from_word_unchecked(&keccak256(&[public.as_flattened()]));
        Ok(Self { key, address })
    }

    // Below its caller, where that overwrites the stack; elsewhere a part of it.
    #[cfg_attr(target_pointer_width = "64", inline(never))]
    #[cfg_attr(not(target_pointer_width = "64"), inline(always))]
    fn sign_by_comb(&self, digest: &Digest) -> Signature {
        let bytes = Zeroizing::new(<[u8; 32]>::from(self.key.to_repr()));
        let hash = scalar(digest.as_bytes());
        let mut nonces = nonce::Nonces::new(&bytes, &hash.to_repr().into());
        loop {
            // The first one is good but for one in 2^127.
            let nonce = Zeroizing::new(nonces.candidate());
            if let Some(signature) = signature(&self.key, &hash, &nonce) {
                return signature;
            }
            nonces.reject();
        }
    }
}

impl Signer for CombSigner {
    type Error = core::convert::Infallible;

    fn address(&self) -> Address {
        self.address
    }

    #[inline(never)]
    fn sign(&self, digest: &Digest) -> Result<Signature, Self::Error> {
        let signature = self.sign_by_comb(digest);
        #[cfg(target_pointer_width = "64")]
        stack::wipe();
        Ok(signature)
    }
}

/// The signature with a nonce; `None` where r or s would be zero, or r not be the x of the point.
#[inline(never)]
fn signature(key: &Scalar, hash: &Scalar, nonce: &Scalar) -> Option<Signature> {
    let [x, y] = generator::multiple(nonce)?;
    let r = Scalar::from_repr(x.into()).into_option()?;
    let inverse = inverse(nonce)?;
    let s = times(&inverse, &(times(&r, key) + hash));
    // The token takes the low one of the two that are good; the parity goes with it.
    let is_high = s.is_high();
    let s = Scalar::conditional_select(&s, &-s, is_high);
    let is_odd = bool::from(is_high) ^ (y.last()? & 1 == 1);
    Signature::from_parts(x, s.to_repr().into(), is_odd).ok()
}

impl fmt::Debug for CombSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CombSigner").field("address", &self.address).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secp256k1::K256Signer;

    #[test]
    fn signs_as_k256_does() {
        let mut key = [1; 32];
        for round in 0..20_u8 {
            key = keccak256(&[&key, &[round]]);
            let (ours, theirs) = (CombSigner::from_bytes(&key), K256Signer::from_bytes(&key));
            let (ours, theirs) = (ours.unwrap(), theirs.unwrap());
            assert_eq!(ours.address(), theirs.address());
            let edges = [Digest::new([0; 32]), Digest::new([0xff; 32]), Digest::new(key)];
            for digest in edges {
                assert_eq!(ours.sign(&digest), theirs.sign(&digest));
            }
        }
    }

    #[test]
    fn refuses_numbers_that_are_no_key() {
        assert_eq!(CombSigner::from_bytes(&[0; 32]).unwrap_err(), InvalidKey);
        assert_eq!(CombSigner::from_bytes(&[0xff; 32]).unwrap_err(), InvalidKey);
    }

    #[test]
    fn debug_shows_no_key() {
        let signer = CombSigner::from_bytes(&[0x59; 32]).unwrap();
        assert!(!std::format!("{signer:?}").contains("5959"));
    }
}
