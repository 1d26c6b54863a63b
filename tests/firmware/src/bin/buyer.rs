//! Buys a reading over the serial port and shows it.
#![no_std]
#![no_main]

use embedded_io::Read as _;
use x402_core::Timestamp;
use x402_core::device::{BUYER_BUFFER_LEN, Buyer, Clock};
use x402_core::device::{BodyLength, Connection, FreshNonce, Next, Request};
use x402_firmware::{Uart, print, println, seconds, shop};

x402_firmware::main!(run);

fn run() -> bool {
    let Ok(signer) = shop::signer() else { return false };
    let mut buffer = [0; BUYER_BUFFER_LEN];
    let mut buyer = Buyer::new(shop::limits(), signer, &mut buffer);
    let mut connection = Connection::new(Uart::new());
    let request =
        Request { method: "GET", target: "/reading", host: "device", fields: &[], body: b"" };
    let now = seconds();
    let clock = Clock::Now(Timestamp::from_secs(now));
    let fresh = FreshNonce { nonce: shop::nonce(now), clock };
    let answer = match buyer.pay(&mut connection, &request, &fresh) {
        Ok(Next::Answer(answer)) => answer,
        Ok(Next::Reconnect) | Err(_) => return false,
    };
    println!("status {}", answer.status);
    let BodyLength::Known(length) = answer.body else { return false };
    for _ in 0..length {
        let mut byte = [0];
        if connection.read(&mut byte) != Ok(1) {
            return false;
        }
        print!("{}", char::from(byte[0]));
    }
    answer.status == 200
}
