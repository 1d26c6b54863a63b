//! Recovery and signing: k256 and libsecp256k1 agree, where the signature is one that a token takes.
#![no_main]

use alloy_primitives::U256;
use libfuzzer_sys::fuzz_target;
use secp256k1::ecdsa::{RecoverableSignature, RecoveryId};
use secp256k1::{Message, SecretKey};
use x402_core::secp256k1::{K256, K256Signer};
use x402_core::{Address, Digest, Recover as _, Signature, SignatureError, Signer as _, keccak256};
use x402_fuzz::Cut;

/// The order of the curve, as SEC 2 prints it.
const ORDER: U256 = U256::from_be_bytes(alloy_primitives::hex!(
    "0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141"
));

fuzz_target!(|data: &[u8]| {
    let mut cut = Cut(data);
    let (digest, rsv): ([u8; 32], [u8; 65]) = (cut.array(), cut.array());
    let ours = Signature::from_rsv(&rsv);
    assert_eq!(ours.is_ok(), is_strict(&rsv));
    if let Ok(signature) = ours {
        assert_eq!(signature.to_rsv(), rsv);
        let recovered = K256.recover(&Digest::new(digest), &signature);
        assert_eq!(recovered, theirs(digest, &rsv).ok_or(SignatureError::Unrecoverable));
    }
    // Only where there is more: signing is slow.
    if !cut.0.is_empty() {
        check_signer(cut.array(), digest);
    }
});

/// As Circle's `ECRecover` has it: r and s in their range, s low, v of 27 or 28.
fn is_strict(rsv: &[u8; 65]) -> bool {
    let (r, s) = (U256::from_be_slice(&rsv[..32]), U256::from_be_slice(&rsv[32..64]));
    let is_scalar = |scalar: U256| !scalar.is_zero() && scalar < ORDER;
    is_scalar(r) && is_scalar(s) && s <= ORDER >> 1 && matches!(rsv[64], 27 | 28)
}

fn theirs(digest: [u8; 32], rsv: &[u8; 65]) -> Option<Address> {
    let id = RecoveryId::try_from(i32::from(rsv[64].checked_sub(27)?)).ok()?;
    let signature = RecoverableSignature::from_compact(&rsv[..64], id).ok()?;
    let point = signature.recover_ecdsa(Message::from_digest(digest)).ok()?;
    let hash = keccak256(&[&point.serialize_uncompressed()[1..]]);
    hash.last_chunk().copied().map(Address::new)
}

fn check_signer(key: [u8; 32], digest: [u8; 32]) {
    let secret = SecretKey::from_secret_bytes(key);
    let signer = K256Signer::from_bytes(&key);
    assert_eq!(signer.is_ok(), secret.is_ok());
    let (Ok(signer), Ok(secret)) = (signer, secret) else { return };
    let Ok(signature) = signer.sign(&Digest::new(digest));
    let theirs =
        RecoverableSignature::sign_ecdsa_recoverable(Message::from_digest(digest), &secret);
    let (id, rs) = theirs.serialize_compact();
    assert_eq!(signature.to_rsv()[..64], rs);
    assert_eq!(signature.v(), 27 + id.to_u8());
    assert_eq!(K256.recover(&Digest::new(digest), &signature), Ok(signer.address()));
}
