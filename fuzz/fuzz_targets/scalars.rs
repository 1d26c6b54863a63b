//! The small texts: addresses, numbers, nonces, networks and hexadecimal digits.
#![no_main]

use alloy_primitives::Address as AlloyAddress;
use libfuzzer_sys::fuzz_target;
use num_bigint::BigUint;
use x402_core::{Address, Amount, ChainId, Nonce, Timestamp, hex};
use x402_fuzz::paper::{held, is_plain, seconds, units};

fuzz_target!(|data: &[u8]| {
    let Ok(text) = core::str::from_utf8(data) else { return };
    check_address(text);
    check_number(text);
    check_hex(text);
    if let Ok(id) = ChainId::parse(text) {
        let is_caip2 = id.to_string() == text;
        assert!(is_caip2 || id.name() == Some(text));
        assert_eq!(ChainId::parse(&id.to_string()), Ok(id));
    }
});

fn check_address(text: &str) {
    let digits = text.strip_prefix("0x").filter(|digits| digits.len() == 40).unwrap_or("");
    let has = |is: fn(&u8) -> bool| digits.bytes().any(|byte| is(&byte));
    let is_mixed = has(u8::is_ascii_uppercase) && has(u8::is_ascii_lowercase);
    let theirs = if digits.is_empty() {
        None
    } else if is_mixed {
        AlloyAddress::parse_checksummed(text, None).ok()
    } else {
        text.parse().ok()
    };
    let ours = Address::parse(text).ok();
    assert_eq!(ours.map(|address| *address.as_bytes()), theirs.map(AlloyAddress::into_array));
    let Some((ours, theirs)) = ours.zip(theirs) else { return };
    assert_eq!(ours.to_string(), theirs.to_checksum(None));
    assert_eq!(Address::parse(&ours.to_string()), Ok(ours));
}

fn check_number(text: &str) {
    let is_number = is_plain(text) && !text.contains('.');
    let theirs = text.parse::<BigUint>().ok().filter(|_| is_number).and_then(held);
    let amount = Amount::parse(text);
    assert_eq!(amount.ok().map(units), theirs);
    assert_eq!(Timestamp::parse(text).ok().map(seconds), theirs);
    if let Ok(amount) = amount {
        assert_eq!(amount.to_string(), text);
    }
    let nonce = Nonce::parse(text).ok();
    if !text.starts_with("0x") {
        assert_eq!(nonce.map(|nonce| BigUint::from_bytes_be(nonce.as_bytes())), theirs);
    }
    if let Some(nonce) = nonce {
        assert_eq!(Nonce::parse(&nonce.to_string()), Ok(nonce));
    }
}

fn check_hex(text: &str) {
    let theirs =
        text.strip_prefix("0x").and_then(|digits| alloy_primitives::hex::decode(digits).ok());
    // A second prefix is none here.
    let theirs = theirs.filter(|_| !text.starts_with("0x0x") && !text.starts_with("0x0X"));
    let mut room = vec![0; text.len()];
    assert_eq!(hex::decode_into(text, &mut room).ok(), theirs.as_deref());
    if let Some(bytes) = theirs {
        assert_eq!(hex::Hex(&bytes).to_string(), text.to_ascii_lowercase());
    }
}
