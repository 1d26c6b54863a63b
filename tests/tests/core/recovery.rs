//! Recovery and signing against libsecp256k1.

use alloy_primitives::U256;
use proptest::prelude::*;
use secp256k1::ecdsa::{RecoverableSignature, RecoveryId};
use secp256k1::{Message, SecretKey};
use x402_core::secp256k1::{K256, K256Signer};
use x402_core::{Address, Digest, Recover as _, Signature, SignatureError, Signer as _, keccak256};

use crate::arbitrary::{cases, key, word};

/// The order of the curve, as SEC 2 prints it.
const ORDER: &str = "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141";

pub(crate) fn order() -> U256 {
    U256::from_str_radix(ORDER, 16).unwrap()
}

/// What libsecp256k1 recovers from r || s || v; it takes high s and refuses scalars out of range.
pub(crate) fn theirs(digest: [u8; 32], rsv: &[u8; 65]) -> Option<Address> {
    let id = RecoveryId::try_from(i32::from(rsv[64].checked_sub(27)?)).ok()?;
    let signature = RecoverableSignature::from_compact(&rsv[..64], id).ok()?;
    let point = signature.recover_ecdsa(Message::from_digest(digest)).ok()?;
    let hash = keccak256(&[&point.serialize_uncompressed()[1..]]);
    Some(Address::new(*hash.last_chunk().unwrap()))
}

fn ours(digest: [u8; 32], rsv: &[u8; 65]) -> Result<Address, SignatureError> {
    K256.recover(&Digest::new(digest), &Signature::from_rsv(rsv)?)
}

fn signed(key: &[u8; 32], digest: [u8; 32]) -> (Address, [u8; 65]) {
    let signer = K256Signer::from_bytes(key).unwrap();
    let Ok(signature) = signer.sign(&Digest::new(digest));
    (signer.address(), signature.to_rsv())
}

/// The other signature of the same key over the same digest: n - s, and the other parity.
fn malleated(rsv: &[u8; 65]) -> [u8; 65] {
    let mut other = *rsv;
    let s = order() - U256::from_be_slice(&rsv[32..64]);
    other[32..64].copy_from_slice(&s.to_be_bytes::<32>());
    other[64] = if rsv[64] == 27 { 28 } else { 27 };
    other
}

proptest! {
    #![proptest_config(cases(128))]

    #[test]
    fn signatures_are_libsecp256k1s(key in key(), digest in word()) {
        let (address, rsv) = signed(&key, digest);
        let secret = SecretKey::from_secret_bytes(key).unwrap();
        let theirs = RecoverableSignature::sign_ecdsa_recoverable(
            Message::from_digest(digest),
            &secret,
        );
        let (id, rs) = theirs.serialize_compact();
        prop_assert_eq!(&rsv[..64], &rs);
        prop_assert_eq!(rsv[64], 27 + id.to_u8());

        let point = secret.public_key().serialize_uncompressed();
        prop_assert_eq!(&keccak256(&[&point[1..]])[12..], address.as_bytes());
        prop_assert_eq!(ours(digest, &rsv), Ok(address));
    }

    #[test]
    fn random_scalars_recover_as_in_libsecp256k1(
        digest in word(), r in word(), s in word(), v in 27_u8..=28,
    ) {
        // Half of all s are high, and then there is nothing to compare: make them low.
        let s: U256 = U256::from_be_bytes(s) >> 1;
        let mut rsv = [v; 65];
        rsv[..32].copy_from_slice(&r);
        rsv[32..64].copy_from_slice(&s.to_be_bytes::<32>());
        let is_low = s <= order() >> 1;
        prop_assert_eq!(ours(digest, &rsv).ok(), theirs(digest, &rsv).filter(|_| is_low));
    }

    #[test]
    fn one_flipped_bit_is_another_signer_or_none(
        key in key(), digest in word(), bit in 0_usize..97 * 8,
    ) {
        let (address, rsv) = signed(&key, digest);
        let mut flipped = [digest.as_slice(), &rsv].concat();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let (digest, rsv) = flipped.split_first_chunk::<32>().unwrap();
        let rsv = rsv.try_into().unwrap();
        let recovered = ours(*digest, &rsv);
        prop_assert_ne!(recovered, Ok(address));
        if let Ok(signer) = recovered {
            prop_assert_eq!(Some(signer), theirs(*digest, &rsv));
        }
    }

    #[test]
    fn a_high_s_cannot_be_held(key in key(), digest in word()) {
        let (address, rsv) = signed(&key, digest);
        let other = malleated(&rsv);
        // It is a signature of the same key, and recovers; the token reverts on it all the same.
        prop_assert_eq!(theirs(digest, &other), Some(address));
        prop_assert_eq!(Signature::from_rsv(&other), Err(SignatureError::HighS));
        prop_assert_eq!(malleated(&other), rsv);
    }
}

#[test]
fn the_edges_of_the_scalars_recover_as_in_libsecp256k1() {
    let (one, n) = (U256::ONE, order());
    let half: U256 = n >> 1;
    let edges = [U256::ZERO, one, U256::from(2), half, half + one, n - one, n, n + one, U256::MAX];
    let mut compared = 0;
    for (r, s) in edges.iter().flat_map(|r| edges.map(|s| (*r, s))) {
        for v in [27, 28] {
            let mut rsv = [v; 65];
            rsv[..32].copy_from_slice(&r.to_be_bytes::<32>());
            rsv[32..64].copy_from_slice(&s.to_be_bytes::<32>());
            let theirs = theirs([7; 32], &rsv).filter(|_| s <= half);
            assert_eq!(ours([7; 32], &rsv).ok(), theirs, "r {r:x} s {s:x} v {v}");
            compared += u32::from(theirs.is_some());
        }
    }
    assert!(compared > 4, "only {compared} of the edges recover: nothing was compared");
}
