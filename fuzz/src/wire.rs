//! Payloads and terms as serde_json and alloy read them.

use alloy_primitives::{Address as AlloyAddress, U256};
use serde_json::Value;
use x402_core::permit2::{EXACT_PROXY, Kind, Permit, UPTO_PROXY};
use x402_core::wire::base64::{self, Base64};
use x402_core::wire::{Answers, PaymentPayload, SignedPayload, Version};
use x402_core::{Address, Amount, Authorization, ChainId, Nonce, Payment, Timestamp, Transfer};

/// A payload of a version: what it means is what serde_json and alloy say, and written again it
/// means the same.
pub fn check_payload(json: &[u8], expected: Version) {
    /// v1 does not say which token it is.
    const TOKEN: Address = Address::new([7; 20]);
    let Ok(payload) = PaymentPayload::parse(json) else { return };
    let Some(theirs) = crate::json::oracle(json) else { return };
    assert_eq!(theirs["x402Version"], payload.version.number());
    assert_eq!(payload.scheme.to_string(), text(scheme_of(&theirs, payload.version), "scheme"));
    let Ok(payment) = payload.payment(TOKEN) else { return };
    assert_eq!(payment.chain_id.get(), chain_of(&theirs, payload.version));
    assert_eq!(payment.transfer, transfer_of(&theirs["payload"]));
    if let Transfer::Permit2(permit) = payment.transfer {
        assert_eq!(payment.asset, permit.token);
    } else if payload.version == Version::V2 {
        assert_eq!(payment.asset, address(&theirs["accepted"], "asset"));
    } else {
        assert_eq!(payment.asset, TOKEN);
    }
    check_signature(&payload, &payment, text(&theirs["payload"], "signature"));
    if payload.version == expected {
        check_written(&payload, &payment);
    }
}

/// The signature is the bytes that its digits say, save for a v that counts from 0.
fn check_signature(payload: &PaymentPayload<'_>, payment: &Payment, digits: &str) {
    let bytes = alloy_primitives::hex::decode(digits).expect("hex to us");
    let mut room = [0; x402_core::wire::MAX_SIGNATURE_LEN];
    match payload.signature(&mut room) {
        Some(ours) => assert_eq!(ours, bytes),
        None => assert!(bytes.len() > room.len()),
    }
    let Ok(signature) = payment.signature else { return };
    let (rs, v) = bytes.split_at(64);
    assert_eq!(signature.to_rsv()[..64], *rs);
    assert_eq!(signature.v() % 27, v[0] % 27);
}

/// What is written is read as what it is, and written again is the same bytes; so is its base64.
fn check_written(payload: &PaymentPayload<'_>, payment: &Payment) {
    let Ok(signature) = payment.signature else { return };
    let rsv = signature.to_rsv();
    let write = |payload: &PaymentPayload<'_>, payment: &Payment| {
        let member = |key: &str| {
            let object = payload.raw.as_object().and_then(|object| object.get(key));
            object.filter(|value| !value.is_null()).map_or("", |value| value.raw())
        };
        let answers = match payload.accepted {
            None => Answers::V1(payment.chain_id),
            Some(accepted) => Answers::V2 {
                accepted: accepted.raw.raw(),
                resource: member("resource"),
                extensions: member("extensions"),
            },
        };
        SignedPayload { transfer: &payment.transfer, signature: &rsv, answers }.to_string()
    };
    // v1 writes one scheme, and by name a network.
    if payload.version == Version::V1 && payload.scheme != *"exact" {
        return;
    }
    let written = write(payload, payment);
    let again = PaymentPayload::parse(written.as_bytes()).expect("we wrote it");
    let read = again.payment(payment.asset).expect("we wrote it");
    assert_eq!((read.transfer, read.signature), (payment.transfer, payment.signature));
    assert_eq!((read.chain_id, read.asset), (payment.chain_id, payment.asset));
    assert_eq!(write(&again, &read), written);

    let header = Base64(&written).to_string();
    let mut room = vec![0; base64::decoded_room(header.len())];
    assert_eq!(base64::decode(header.as_bytes(), &mut room), Ok(written.as_bytes()));
}

fn scheme_of(payload: &Value, version: Version) -> &Value {
    if version == Version::V1 { payload } else { &payload["accepted"] }
}

fn chain_of(payload: &Value, version: Version) -> u64 {
    let network = text(scheme_of(payload, version), "network");
    match version {
        Version::V1 => {
            let (_, id) = ChainId::names().find(|(name, _)| *name == network).expect("a name");
            id.get()
        }
        Version::V2 => network.strip_prefix("eip155:").and_then(|id| id.parse().ok()).expect("id"),
    }
}

fn transfer_of(payload: &Value) -> Transfer {
    if let Value::Object(_) = payload["authorization"] {
        return Transfer::Eip3009(authorization_of(&payload["authorization"]));
    }
    let permit = &payload["permit2Authorization"];
    let (permitted, witness) = (&permit["permitted"], &permit["witness"]);
    let kind = match any_case(permit, "spender") {
        EXACT_PROXY => Kind::Exact,
        UPTO_PROXY => Kind::Upto { facilitator: any_case(witness, "facilitator") },
        other => panic!("the spender {other}"),
    };
    let nonce = text(permit, "nonce");
    let nonce = match nonce.strip_prefix("0x") {
        Some(digits) => U256::from_str_radix(digits, 16).expect("hex"),
        None => number(permit, "nonce"),
    };
    Transfer::Permit2(Permit {
        from: any_case(permit, "from"),
        token: any_case(permitted, "token"),
        amount: Amount::from_be_bytes(number(permitted, "amount").to_be_bytes()),
        nonce: Nonce::new(nonce.to_be_bytes()),
        deadline: time(permit, "deadline"),
        to: any_case(witness, "to"),
        valid_after: time(witness, "validAfter"),
        kind,
    })
}

fn authorization_of(authorization: &Value) -> Authorization {
    let nonce = alloy_primitives::hex::decode_to_array(text(authorization, "nonce"));
    Authorization {
        from: any_case(authorization, "from"),
        to: any_case(authorization, "to"),
        value: Amount::from_be_bytes(number(authorization, "value").to_be_bytes()),
        valid_after: time(authorization, "validAfter"),
        valid_before: time(authorization, "validBefore"),
        nonce: Nonce::new(nonce.expect("32 bytes")),
    }
}

pub fn text<'v>(object: &'v Value, key: &str) -> &'v str {
    object[key].as_str().unwrap_or_else(|| panic!("{key} of {object}"))
}

/// In whatever case: what was signed is not mistyped.
fn any_case(object: &Value, key: &str) -> Address {
    let address: AlloyAddress = text(object, key).parse().expect("an address");
    Address::new(address.into_array())
}

/// In one case, or with the checksum.
pub fn address(object: &Value, key: &str) -> Address {
    let text = text(object, key);
    let has = |is: fn(&char) -> bool| text.chars().skip(2).any(|c| is(&c));
    let is_mixed = has(char::is_ascii_uppercase) && has(char::is_ascii_lowercase);
    let address = match is_mixed {
        true => AlloyAddress::parse_checksummed(text, None).expect("the checksum"),
        false => text.parse().expect("an address"),
    };
    Address::new(address.into_array())
}

/// In the only spelling there is.
pub fn number(object: &Value, key: &str) -> U256 {
    let text = text(object, key);
    let number = U256::from_str_radix(text, 10).expect("a number");
    assert_eq!(number.to_string(), text);
    number
}

fn time(object: &Value, key: &str) -> Timestamp {
    Timestamp::from_be_bytes(number(object, key).to_be_bytes())
}
