use core::fmt;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use zeroize::Zeroizing;

/// What is hashed to make a key of a secret: the same secret makes other keys elsewhere.
const PURPOSE: &[u8] = b"x402 quotes, passes and credits, 1";

/// What is hashed, before a gateway's name, to make the gateway's key of the seller's.
const GATEWAY: &[u8] = b"x402 gateway, 1: ";

/// The key that a seller's [`TokenKeys`] are made of: 32 bytes, wiped when dropped. Nothing shows it.
pub struct TokenKey(Zeroizing<[u8; 32]>);

impl TokenKey {
    /// The shortest secret that a key is made of, in bytes.
    pub const MIN_SECRET_LEN: usize = 16;

    /// A key that nobody has: what is signed by it is good in this process alone, until it ends.
    ///
    /// # Errors
    ///
    /// [`TokenKeyError::Randomness`] where the system gives none.
    pub fn random() -> Result<Self, TokenKeyError> {
        let mut key = Self(Zeroizing::new([0; 32]));
        getrandom::fill(key.0.as_mut_slice()).map_err(|_| TokenKeyError::Randomness)?;
        Ok(key)
    }

    /// A key made of a secret that all gateways of a seller have, and that stays: an HMAC-SHA256
    /// under it. It is no password: what can be guessed here, is guessed from one token.
    ///
    /// # Errors
    ///
    /// [`TokenKeyError::Short`] for one of less than [`Self::MIN_SECRET_LEN`] bytes.
    pub fn derive(secret: &[u8]) -> Result<Self, TokenKeyError> {
        if secret.len() < Self::MIN_SECRET_LEN {
            return Err(TokenKeyError::Short);
        }
        // A key of any length is one for HMAC.
        let mut mac = Hmac::<Sha256>::new_from_slice(secret).map_err(|_| TokenKeyError::Short)?;
        mac.update(PURPOSE);
        Ok(Self(Zeroizing::new(mac.finalize().into_bytes().into())))
    }

    /// Wraps 32 bytes, which have to be random.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The key of the gateway with that name.
    fn of_gateway(&self, name: &str) -> Self {
        let mac = self.mac().chain_update(GATEWAY).chain_update(name);
        Self(Zeroizing::new(mac.finalize().into_bytes().into()))
    }

    fn mac(&self) -> Hmac<Sha256> {
        // HMAC puts zeros behind a key that is shorter than a block of the hash.
        let mut block = Zeroizing::new([0; 64]);
        for (slot, byte) in block.iter_mut().zip(self.0.iter()) {
            *slot = *byte;
        }
        Hmac::new((&*block).into())
    }
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenKey(..)")
    }
}

/// The keys of one gateway, by its name: the one that signs its tokens, and the one before it, whose tokens
/// are taken still. Nothing shows them.
pub struct TokenKeys {
    signing: TokenKey,
    previous: Option<TokenKey>,
}

impl TokenKeys {
    /// Of the gateway with that name, which those have that sell the same, at the same prices, out of the
    /// same ledger, and nobody else who has the key. `previous` is the key that has signed before, as long as
    /// tokens of it are to be taken.
    #[must_use]
    pub fn new(name: &str, key: &TokenKey, previous: Option<&TokenKey>) -> Self {
        let previous = previous.map(|previous| previous.of_gateway(name));
        Self { signing: key.of_gateway(name), previous }
    }

    /// What signs.
    pub(super) fn signing(&self) -> Hmac<Sha256> {
        self.signing.mac()
    }

    /// What may have signed a token.
    pub(super) fn all(&self) -> impl Iterator<Item = Hmac<Sha256>> {
        core::iter::once(&self.signing).chain(&self.previous).map(TokenKey::mac)
    }
}

impl fmt::Debug for TokenKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenKeys(..)")
    }
}

/// Why there is no key.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenKeyError {
    /// The system gives no random bytes.
    #[error("the system gives no random bytes for a key")]
    Randomness,
    /// The secret is too short.
    #[error("the secret is shorter than {} bytes", TokenKey::MIN_SECRET_LEN)]
    Short,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_another_for_every_secret_and_the_same_for_one() {
        let keys = [
            TokenKey::random().unwrap(),
            TokenKey::random().unwrap(),
            TokenKey::derive(&[0; 16]).unwrap(),
            TokenKey::derive(&[1; 16]).unwrap(),
            TokenKey::derive(&[1; 100]).unwrap(),
            TokenKey::from_bytes([1; 32]),
        ];
        for (i, one) in keys.iter().enumerate() {
            assert!(keys.iter().skip(i + 1).all(|other| other.0 != one.0), "{i}");
        }
        assert_eq!(TokenKey::derive(&[1; 16]).unwrap().0, keys[3].0);
        let gateways = ["", "a", "b", "a "].map(|name| keys[3].of_gateway(name));
        for (i, one) in gateways.iter().enumerate() {
            assert!(gateways.iter().skip(i + 1).all(|other| other.0 != one.0), "{i}");
            assert!(keys.iter().all(|key| key.0 != one.0), "{i}");
        }
        assert_eq!(TokenKey::derive(&[1; 15]).err(), Some(TokenKeyError::Short));
    }

    #[test]
    fn shows_nothing() {
        let key = TokenKey::from_bytes([1; 32]);
        assert_eq!(format!("{key:?}"), "TokenKey(..)");
        assert_eq!(format!("{:?}", TokenKeys::new("a", &key, Some(&key))), "TokenKeys(..)");
    }
}
