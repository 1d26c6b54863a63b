//! Recovery by [libsecp256k1](https://github.com/bitcoin-core/secp256k1), in C.

use secp256k1::Message;
use secp256k1::ecdsa::{RecoverableSignature, RecoveryId};
use x402_core::{Address, Digest, Recover, Signature, SignatureError, keccak256};

/// Recovers with libsecp256k1, whose context each thread makes once.
///
/// It equals [`K256`](x402_core::secp256k1::K256) and [`Vartime`](x402_core::secp256k1::Vartime) in
/// every answer: what is stricter than the library, a low s and a v of 27 or 28, is in what a
/// [`Signature`] can hold.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Libsecp256k1;

impl Recover for Libsecp256k1 {
    fn recover(&self, digest: &Digest, signature: &Signature) -> Result<Address, SignatureError> {
        let unrecoverable = |_| SignatureError::Unrecoverable;
        let id = if signature.is_y_odd() { RecoveryId::One } else { RecoveryId::Zero };
        let rs = [*signature.r(), *signature.s()];
        let theirs = RecoverableSignature::from_compact(rs.as_flattened(), id);
        let message = Message::from_digest(*digest.as_bytes());
        let key = theirs.and_then(|theirs| theirs.recover(message)).map_err(unrecoverable)?;
        let [_, xy @ ..] = key.serialize_uncompressed();
        // An address is the low 20 bytes of the hash.
        keccak256(&[&xy])
            .last_chunk()
            .copied()
            .map(Address::new)
            .ok_or(SignatureError::Unrecoverable)
    }
}
