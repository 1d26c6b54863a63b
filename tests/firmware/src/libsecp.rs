//! libsecp256k1 in the place of the core's own arithmetic, where a C compiler for the target exists.

use secp256k1::ecdsa::{RecoverableSignature, RecoveryId};
use secp256k1::{Message, PublicKey, SecretKey};
use x402_core::secp256k1::InvalidKey;
use x402_core::{Address, Digest, Recover, Signature, SignatureError, Signer, keccak256};

/// Recovers with libsecp256k1.
#[derive(Clone, Copy, Debug)]
pub struct Recovery;

impl Recover for Recovery {
    fn recover(&self, digest: &Digest, signature: &Signature) -> Result<Address, SignatureError> {
        let unrecoverable = |_| SignatureError::Unrecoverable;
        let id = if signature.is_y_odd() { RecoveryId::One } else { RecoveryId::Zero };
        let rsv = signature.to_rsv();
        let signature =
            RecoverableSignature::from_compact(&rsv[..64], id).map_err(unrecoverable)?;
        let message = Message::from_digest(*digest.as_bytes());
        signature.recover_ecdsa(message).map(|key| address_of(&key)).map_err(unrecoverable)
    }
}

/// A key in memory that signs with libsecp256k1.
pub struct Key {
    key: SecretKey,
    address: Address,
}

impl Key {
    /// Loads a key of 32 bytes, big-endian.
    ///
    /// # Errors
    ///
    /// [`InvalidKey`] where the number is zero or not below the order of the curve.
    pub fn from_bytes(key: &[u8; 32]) -> Result<Self, InvalidKey> {
        let key = SecretKey::from_secret_bytes(*key).map_err(|_| InvalidKey)?;
        let address = address_of(&PublicKey::from_secret_key(&key));
        Ok(Self { key, address })
    }
}

impl Signer for Key {
    type Error = SignatureError;

    fn address(&self) -> Address {
        self.address
    }

    fn sign(&self, digest: &Digest) -> Result<Signature, SignatureError> {
        let message = Message::from_digest(*digest.as_bytes());
        let signature = RecoverableSignature::sign_ecdsa_recoverable(message, &self.key);
        let (id, rs) = signature.serialize_compact();
        let mut rsv = [27 + id.to_u8(); Signature::LEN];
        rsv[..64].copy_from_slice(&rs);
        Signature::from_rsv(&rsv)
    }
}

fn address_of(key: &PublicKey) -> Address {
    let hash = keccak256(&[&key.serialize_uncompressed()[1..]]);
    Address::new(hash.last_chunk().copied().unwrap_or_default())
}
