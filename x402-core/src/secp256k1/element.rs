use core::fmt;

use k256::ecdsa::Signature as Ecdsa;
use k256::ecdsa::signature::hazmat::PrehashSigner;

use super::Vartime;
use crate::{Address, Digest, Recover as _, Signature, Signer};

/// A key in a secure element that signs digests and gives r and s alone.
///
/// s is made low, and v is found by recovering: it is the one with which the address is the key's.
#[derive(Clone, Copy)]
pub struct Element<S> {
    element: S,
    address: Address,
}

impl<S: PrehashSigner<Ecdsa>> Element<S> {
    /// The element, and the address of its key.
    pub const fn new(element: S, address: Address) -> Self {
        Self { element, address }
    }
}

impl<S: PrehashSigner<Ecdsa>> Signer for Element<S> {
    type Error = ElementError;

    fn address(&self) -> Address {
        self.address
    }

    fn sign(&self, digest: &Digest) -> Result<Signature, ElementError> {
        let ecdsa = self.element.sign_prehash(digest.as_bytes());
        let (r, s) = ecdsa.map_err(|_| ElementError::Refused)?.normalize_s().split_bytes();
        let with_parity = |is_odd| Signature::from_parts(r.into(), s.into(), is_odd).ok();
        let is_ours = |signature: &Signature| {
            Vartime.recover(digest, signature).is_ok_and(|signer| signer == self.address)
        };
        let mut candidates = [false, true].into_iter().filter_map(with_parity);
        candidates.find(is_ours).ok_or(ElementError::OtherKey)
    }
}

impl<S> fmt::Debug for Element<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Element").field("address", &self.address).finish_non_exhaustive()
    }
}

/// Why a secure element does not sign.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum ElementError {
    /// The signature is not of the key with the address.
    OtherKey,
    /// The element refused, or failed.
    Refused,
}

impl fmt::Display for ElementError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OtherKey => "the secure element signs with another key than that of the address",
            Self::Refused => "the secure element did not sign",
        })
    }
}

impl core::error::Error for ElementError {}

#[cfg(test)]
mod tests {
    use k256::ecdsa::SigningKey;
    use k256::ecdsa::signature::Error;

    use super::*;
    use crate::secp256k1::K256Signer;

    /// Gives the high s, as elements do that know nothing of low ones.
    struct High(SigningKey);

    impl PrehashSigner<Ecdsa> for High {
        fn sign_prehash(&self, prehash: &[u8]) -> Result<Ecdsa, Error> {
            let signature: Ecdsa = self.0.sign_prehash(prehash)?;
            let (r, s) = signature.split_scalars();
            Ecdsa::from_scalars(r, -s)
        }
    }

    #[test]
    fn signs_as_a_key_in_memory_does() {
        let signer = K256Signer::from_bytes(&[7; 32]).unwrap();
        let key = || SigningKey::from_slice(&[7; 32]).unwrap();
        let (low, high) =
            (Element::new(key(), signer.address()), Element::new(High(key()), signer.address()));
        for byte in 0..32 {
            let digest = Digest::new([byte; 32]);
            let Ok(expected) = signer.sign(&digest);
            assert_eq!(low.sign(&digest), Ok(expected));
            assert_eq!(high.sign(&digest), Ok(expected));
        }
        let other = Element::new(key(), Address::ZERO);
        assert_eq!(other.sign(&Digest::new([1; 32])), Err(ElementError::OtherKey));
    }
}
