//! Signing by the comb against k256 and libsecp256k1.
//!
//! `X402_LONG=1` signs a hundred thousand times with each kind of key; do that in release mode.

use alloy_primitives::U256;
use secp256k1::ecdsa::RecoverableSignature;
use secp256k1::{Message, SecretKey};
use x402_core::secp256k1::{CombSigner, K256Signer};
use x402_core::{Digest, Signer as _, keccak256};

use crate::recovery::order;

/// Signs by all three, which must agree.
fn agreed(key: U256, digest: [u8; 32]) {
    let key = key.to_be_bytes();
    let (ours, k256) = (CombSigner::from_bytes(&key), K256Signer::from_bytes(&key));
    let (ours, k256) = (ours.unwrap(), k256.unwrap());
    assert_eq!(ours.address(), k256.address(), "{key:02x?}");
    let Ok(signature) = ours.sign(&Digest::new(digest));
    let Ok(by_k256) = k256.sign(&Digest::new(digest));
    assert_eq!(signature, by_k256, "{key:02x?} {digest:02x?}");
    let secret = SecretKey::from_secret_bytes(key).unwrap();
    let message = Message::from_digest(digest);
    let (id, rs) =
        RecoverableSignature::sign_ecdsa_recoverable(message, &secret).serialize_compact();
    let rsv = signature.to_rsv();
    assert_eq!((&rsv[..64], rsv[64]), (&rs[..], 27 + id.to_u8()), "{key:02x?} {digest:02x?}");
}

fn count() -> u64 {
    if std::env::var_os("X402_LONG").is_some_and(|value| value == "1") { 100_000 } else { 1_000 }
}

fn word(kind: &str, seed: u64) -> [u8; 32] {
    keccak256(&[kind.as_bytes(), &seed.to_be_bytes()])
}

#[test]
fn keys_by_chance_sign_as_others_do() {
    for seed in 0..count() {
        let key = U256::from_be_bytes::<32>(word("key", seed)).reduce_mod(order());
        agreed(key, word("digest", seed));
    }
}

/// Keys with few bits, and near to the order; digests at and beyond it.
#[test]
fn keys_and_digests_at_the_edges_sign_as_others_do() {
    let n = order();
    for seed in 0..count() {
        let small = U256::from(seed / 512 + 1);
        let power = U256::from(1) << (seed % 256) as usize;
        let key = [small, n - small, power, power.wrapping_sub(small)][(seed % 4) as usize];
        let key = key.reduce_mod(n);
        let digest = [n, U256::ZERO, U256::MAX, n - small, n.wrapping_add(small), power];
        let digest = digest[(seed % 6) as usize].to_be_bytes();
        if key != U256::ZERO {
            agreed(key, digest);
        }
    }
}
