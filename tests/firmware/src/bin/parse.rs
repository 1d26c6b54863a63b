//! Reads an offer and a payment, as the official SDK sends them, off the serial port, and hashes what was
//! signed: what there is without keys, connections and answers.
#![no_std]
#![no_main]

use embedded_io::Read as _;
use x402_core::wire::base64::decode;
use x402_core::wire::{PaymentPayload, PaymentRequired};
use x402_core::{Amount, Digest, Transfer};
use x402_firmware::{Uart, shop};

x402_firmware::main!(run);

include!(concat!(env!("OUT_DIR"), "/sdk.rs"));

fn run() -> bool {
    let (mut text, mut room) = ([0; 2048], [0; 1024]);
    let amount = offered(line(&mut text), &mut room);
    let digest = signed(line(&mut text), &mut room);
    amount == Some(Amount::from_units(5_000_000)) && digest == Some(Digest::new(DIGEST))
}

/// A line of the serial port, without its end.
fn line(text: &mut [u8; 2048]) -> &[u8] {
    let (mut uart, mut byte, mut length) = (Uart::new(), [0], 0);
    while let (Ok(1), [letter @ b' '..=b'~']) = (uart.read(&mut byte), byte) {
        let Some(slot) = text.get_mut(length) else { break };
        *slot = letter;
        length += 1;
    }
    text.get(..length).unwrap_or_default()
}

/// The price of the first way to pay that is in the shop's token, and to the payee.
fn offered(required: &[u8], room: &mut [u8]) -> Option<Amount> {
    let required = PaymentRequired::parse(decode(required, room).ok()?).ok()?;
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
fn signed(payment: &[u8], room: &mut [u8]) -> Option<Digest> {
    let payload = PaymentPayload::parse(decode(payment, room).ok()?).ok()?;
    let usdc = shop::usdc();
    match payload.authorization(usdc.address).ok()?.transfer {
        Transfer::Eip3009(terms) => Some(terms.digest(&usdc.domain().separator())),
        Transfer::Permit2(_) => None,
    }
}
