//! From the header of v2 to the verdict, offline, as x402-rs and r402 do it: what each decodes, compares
//! and recovers, without what it asks the chain.
//!
//! Prints the nanoseconds of each case, the least of many rounds, as JSON; with `--only CASE TIMES` it
//! runs the one case so many times, to be counted.

use std::hint::black_box;
use std::time::Instant;

use alloy_primitives::{Address, B256, Signature, U256};
use alloy_sol_types::{Eip712Domain, SolStruct as _, eip712_domain};
use secp256k1::Message;
use secp256k1::ecdsa::{RecoverableSignature, RecoveryId};
use x402_chain_eip155::chain::ChecksummedAddress;
use x402_chain_eip155::v1_eip155_exact::{
    ExactEvmPayment, StructuredSignature, TransferWithAuthorization, assert_enough_value,
    assert_time,
};
use x402_chain_eip155::v2_eip155_exact::eip3009::assert_requirements_match;
use x402_chain_eip155::v2_eip155_exact::{Eip3009PaymentPayload, Eip3009PaymentRequirements};
use x402_types::util::Base64Bytes;

const ROUNDS: usize = 61;
const PER_ROUND: u32 = 20;

struct Sale {
    header: String,
    /// The offered requirements, as JSON.
    accepts: String,
    signer: Address,
    /// v2-01 again: what libsecp256k1 is asked.
    digest: B256,
    signature: [u8; 65],
}

impl Sale {
    fn new() -> Self {
        let vectors = include_str!("../../../../tests/vectors/sdk.json");
        let vectors: serde_json::Value = serde_json::from_str(vectors).expect("JSON");
        let vectors = vectors["vectors"].as_array().expect("vectors");
        let vector = vectors.iter().find(|vector| vector["id"] == "v2-01").expect("the vector");
        let text = |value: &serde_json::Value| value.as_str().expect("a text").to_owned();
        let header = text(&vector["outputs"]["header"]["value"]);
        let signer = text(&vector["inputs"]["signer"]).parse().expect("an address");
        let accepts = vector["inputs"]["paymentRequired"]["accepts"][0].to_string();
        let json = Base64Bytes::from(header.as_bytes()).decode().expect("base64");
        let payload: Eip3009PaymentPayload = serde_json::from_slice(&json).expect("a payload");
        let signature = payload.payload.signature.to_vec().try_into().expect("65 bytes");
        let digest = message(&payload).eip712_signing_hash(&domain(&payload.accepted));
        Self { header, accepts, signer, digest, signature }
    }

    fn libsecp256k1(&self) {
        let id = RecoveryId::try_from(i32::from(self.signature[64]) - 27).expect("an id");
        let theirs =
            RecoverableSignature::from_compact(&self.signature[..64], id).expect("scalars");
        black_box(theirs.recover(Message::from_digest(self.digest.0)).expect("a key"));
    }
}

fn domain(accepted: &Eip3009PaymentRequirements) -> Eip712Domain {
    let asset: Address = accepted.asset.into();
    eip712_domain! {
        name: accepted.extra.name.clone(),
        version: accepted.extra.version.clone(),
        chain_id: 84_532,
        verifying_contract: asset,
    }
}

fn message(payload: &Eip3009PaymentPayload) -> TransferWithAuthorization {
    let signed = &payload.payload.authorization;
    TransferWithAuthorization {
        from: signed.from,
        to: signed.to,
        value: signed.value,
        validAfter: U256::from(signed.valid_after.as_secs()),
        validBefore: U256::from(signed.valid_before.as_secs()),
        nonce: signed.nonce,
    }
}

/// The seller's half (decode, `accepted` against the offer) and the facilitator's offline half.
#[inline(never)]
fn x402_rs(sale: &Sale, offered: &Eip3009PaymentRequirements) {
    let json = Base64Bytes::from(sale.header.as_bytes()).decode().expect("base64");
    let payload: Eip3009PaymentPayload = serde_json::from_slice(&json).expect("a payload");
    assert_requirements_match(&payload.accepted, offered).expect("what was offered");
    let signed = &payload.payload.authorization;
    let pay_to: Address = offered.pay_to.into();
    assert_eq!(signed.to, ChecksummedAddress::from(pay_to));
    // The payment's time is long over; finding that out takes as long.
    let _ = black_box(assert_time(signed.valid_after, signed.valid_before));
    assert_enough_value(&signed.value, &offered.amount).expect("enough");
    let payment = ExactEvmPayment {
        from: signed.from,
        to: signed.to,
        value: signed.value,
        valid_after: signed.valid_after,
        valid_before: signed.valid_before,
        nonce: signed.nonce,
        signature: payload.payload.signature.clone(),
    };
    let hash = message(&payload).eip712_signing_hash(&domain(&payload.accepted));
    let signature = StructuredSignature::try_from_bytes(payment.signature, payment.from, &hash);
    assert!(matches!(black_box(signature), Ok(StructuredSignature::EOA(_))));
}

/// r402's types, and what its verification does with alloy: its parts are not public.
#[inline(never)]
fn r402(sale: &Sale, offered: &r402_evm::exact::v2::PaymentRequirements) {
    let json =
        r402_protocol::payment::Base64Bytes::from(sale.header.as_bytes()).decode().expect("base64");
    let payload: r402_evm::exact::v2::PaymentPayload =
        serde_json::from_slice(&json).expect("a payload");
    assert!(offered.matches_payload_accepted(&payload.accepted));
    let r402_evm::exact::ExactPayload::Eip3009(signed) = &payload.payload else {
        panic!("another kind of payload");
    };
    let terms = &signed.authorization;
    let pay_to: Address = offered.pay_to.into();
    assert_eq!(terms.to, pay_to);
    let (value, asset): (U256, Address) = (terms.value.into(), payload.accepted.asset.into());
    let due: U256 = offered.amount.into();
    assert_eq!(value, due);
    let extra = payload.accepted.extra.as_ref().expect("a domain");
    let domain = eip712_domain! {
        name: extra.name.clone(),
        version: extra.version.clone(),
        chain_id: 84_532,
        verifying_contract: asset,
    };
    let message = TransferWithAuthorization {
        from: terms.from,
        to: terms.to,
        value,
        validAfter: U256::from(terms.valid_after.as_secs()),
        validBefore: U256::from(terms.valid_before.as_secs()),
        nonce: terms.nonce,
    };
    let hash = message.eip712_signing_hash(&domain);
    let signature = Signature::from_raw(&signed.signature).expect("a signature").normalized_s();
    let signer = signature.recover_address_from_prehash(&hash).expect("a signer");
    assert_eq!(signer, sale.signer);
}

fn main() {
    let sale = Sale::new();
    let theirs = serde_json::from_str(&sale.accepts).expect("requirements");
    let others = serde_json::from_str(&sale.accepts).expect("requirements");
    let cases: [(&str, &dyn Fn()); 3] = [
        ("libsecp256k1", &|| sale.libsecp256k1()),
        ("x402-rs", &|| x402_rs(&sale, &theirs)),
        ("r402", &|| r402(&sale, &others)),
    ];
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() == Some("--only") {
        let case = arguments.next();
        let case = cases.iter().find(|(name, _)| Some(*name) == case.as_deref()).expect("a case");
        let times = arguments.next().and_then(|times| times.parse().ok()).expect("a number");
        return (0_u32..times).for_each(|_| case.1());
    }
    let mut least = [u128::MAX; 3];
    for _ in 0..ROUNDS {
        for (least, (_, case)) in least.iter_mut().zip(&cases) {
            let start = Instant::now();
            (0..PER_ROUND).for_each(|_| case());
            *least = (*least).min(start.elapsed().as_nanos() / u128::from(PER_ROUND));
        }
    }
    let named = cases.iter().zip(least).map(|((name, _), ns)| format!("\"{name}\":{ns}"));
    println!("{{{}}}", named.collect::<Vec<_>>().join(","));
}
