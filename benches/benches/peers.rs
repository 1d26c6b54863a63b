//! The same work as others' libraries do it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secp256k1::ecdsa::{RecoverableSignature, RecoveryId};
use secp256k1::{Message, PublicKey, ecdsa};
use serde::Deserialize;
use x402_core::{Digest, Signature};

/// What libsecp256k1 recovers, as a key: the measure of all the others.
pub(crate) fn libsecp256k1(digest: &Digest, signature: &Signature) -> PublicKey {
    let id = if signature.is_y_odd() { RecoveryId::One } else { RecoveryId::Zero };
    let rs = [*signature.r(), *signature.s()];
    let signature = RecoverableSignature::from_compact(rs.as_flattened(), id).expect("scalars");
    signature.recover(Message::from_digest(*digest.as_bytes())).expect("a key")
}

/// Whether the key, which is known, made the signature: what a payer costs who was seen before, but for
/// the parity of R, which libsecp256k1 does not look at.
pub(crate) fn verifies(digest: &Digest, signature: &Signature, key: &PublicKey) -> bool {
    let rs = [*signature.r(), *signature.s()];
    let signature = ecdsa::Signature::from_compact(rs.as_flattened()).expect("scalars");
    ecdsa::verify(&signature, Message::from_digest(*digest.as_bytes()), key).is_ok()
}

/// A payload of v2 with the members that a seller reads, as structs of serde.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Payload {
    pub(crate) x402_version: u8,
    pub(crate) payload: Signed,
    pub(crate) resource: Option<Resource>,
    pub(crate) accepted: Accepted,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Signed {
    pub(crate) authorization: Authorization,
    pub(crate) signature: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Authorization {
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) value: String,
    pub(crate) valid_after: String,
    pub(crate) valid_before: String,
    pub(crate) nonce: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Resource {
    pub(crate) url: String,
    pub(crate) description: String,
    pub(crate) mime_type: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Accepted {
    pub(crate) scheme: String,
    pub(crate) network: String,
    pub(crate) amount: String,
    pub(crate) asset: String,
    pub(crate) pay_to: String,
    pub(crate) max_timeout_seconds: u32,
    pub(crate) extra: Option<Extra>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Extra {
    pub(crate) name: String,
    pub(crate) version: String,
}

/// The header of v2 by the crates base64 and serde_json.
pub(crate) fn serde(header: &str) -> Payload {
    let json = STANDARD.decode(header).expect("base64");
    serde_json::from_slice(&json).expect("a payload")
}

/// A request's head by httparse, which looks no further than at its lines.
pub(crate) fn httparse(head: &[u8]) -> usize {
    let mut slots = [httparse::EMPTY_HEADER; 16];
    let mut request = httparse::Request::new(&mut slots);
    let status = request.parse(head).expect("a head");
    assert!(status.is_complete());
    request.headers.len()
}
