//! Reads an offer and a payment, as the official SDK sends them, and hashes what was signed: what there
//! is without keys, connections and answers.
#![no_std]
#![no_main]

use core::hint::black_box;

use x402_core::wire::base64::decode;
use x402_core::wire::{PaymentPayload, PaymentRequired};
use x402_core::{Amount, Digest, Transfer};
use x402_firmware::{println, shop};

x402_firmware::main!(run);

include!(concat!(env!("OUT_DIR"), "/sdk.rs"));

fn run() -> bool {
    let mut room = [0; 1024];
    let amount = offered(black_box(REQUIRED), &mut room);
    let digest = signed(black_box(PAYMENT), &mut room);
    println!("parse {}", PAYMENT.len());
    amount == Some(Amount::from_units(5_000_000)) && digest == Some(Digest::new(DIGEST))
}

/// The price of the first way to pay that is in the shop's token, and to the payee.
fn offered(required: &str, room: &mut [u8]) -> Option<Amount> {
    let required = PaymentRequired::parse(decode(required.as_bytes(), room).ok()?).ok()?;
    let mut accepts = required.accepts().filter_map(Result::ok);
    let usdc = shop::usdc();
    let entry = accepts.find(|entry| {
        entry.chain_id() == Some(usdc.chain_id)
            && entry.asset() == Some(usdc.address)
            && entry.pay_to() == Some(shop::payee())
    });
    entry?.amount()
}

/// What the payer signed.
fn signed(payment: &str, room: &mut [u8]) -> Option<Digest> {
    let payload = PaymentPayload::parse(decode(payment.as_bytes(), room).ok()?).ok()?;
    let usdc = shop::usdc();
    match payload.authorization(usdc.address).ok()?.transfer {
        Transfer::Eip3009(terms) => Some(terms.digest(&usdc.domain().separator())),
        Transfer::Permit2(_) => None,
    }
}
