//! Every document of JSONTestSuite on the device: through the reader of whole documents, and as a member
//! of a 402 through the reader that keeps nothing; and nesting without end. The stack is bounded.
#![no_std]
#![no_main]

use core::convert::Infallible;

use x402_core::device::{BUYER_BUFFER_LEN, Buyer, BuyerError, Clock, Connection, DeviceError};
use x402_core::device::{FreshNonce, Next, Request};
use x402_core::wire::json;
use x402_core::{Nonce, Timestamp};
use x402_firmware::{println, shop, stack};

x402_firmware::main!(run);

/// A document of the suite.
struct Document {
    name: &'static str,
    bytes: &'static [u8],
    /// Whether it is JSON to the reader of whole documents.
    is_read: bool,
    /// Whether it is JSON to the reader of a 402, which looks at nothing that it does not keep.
    is_passed: bool,
    /// The base64 of a 402 with the document in it, and with nothing to pay.
    required: &'static str,
}

include!(concat!(env!("OUT_DIR"), "/suite.rs"));

const REQUEST: Request<'_> =
    Request { method: "GET", target: "/", host: "device", fields: &[], body: b"" };

/// A 402 whose `PAYMENT-REQUIRED` is this, and then so often that, and its end.
struct Required<'t> {
    parts: [&'t [u8]; 3],
    pattern: &'static [u8],
    repetitions: usize,
}

impl Required<'static> {
    const HEAD: &'static [u8] = b"HTTP/1.1 402 No\r\nPAYMENT-REQUIRED: ";
    const END: &'static [u8] = b"\r\nContent-Length: 0\r\n\r\n";

    const fn new(text: &'static str) -> Self {
        Self { parts: [Self::HEAD, text.as_bytes(), Self::END], pattern: b"", repetitions: 0 }
    }

    const fn nested(pattern: &'static str, repetitions: usize) -> Self {
        let parts = [Self::HEAD, b"", Self::END];
        Self { parts, pattern: pattern.as_bytes(), repetitions }
    }
}

impl embedded_io::ErrorType for Required<'_> {
    type Error = Infallible;
}

impl embedded_io::Read for Required<'_> {
    fn read(&mut self, out: &mut [u8]) -> Result<usize, Infallible> {
        let [head, text, end] = &mut self.parts;
        if head.is_empty() && text.is_empty() && self.repetitions > 0 {
            self.repetitions -= 1;
            *text = self.pattern;
        }
        let part = [head, text, end].into_iter().find(|part| !part.is_empty());
        let Some(part) = part else { return Ok(0) };
        let (now, later) = part.split_at(out.len().min(part.len()));
        out[..now.len()].copy_from_slice(now);
        *part = later;
        Ok(now.len())
    }
}

impl embedded_io::Write for Required<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

/// What a buyer makes of it: `None` where it was read, and there is nothing to pay.
#[inline(never)]
fn refusal(buyer: &mut Buyer<'_, shop::Key>, required: Required<'static>) -> Option<BuyerError> {
    let clock = Clock::Now(Timestamp::ZERO);
    let fresh = FreshNonce { nonce: Nonce::new([1; 32]), key: [2; 16], clock };
    match buyer.pay(&mut Connection::new(required), &REQUEST, &fresh) {
        Err(DeviceError::Protocol(BuyerError::NoOffer)) => None,
        Err(DeviceError::Protocol(error)) => Some(error),
        Ok(Next::Answer(_) | Next::Reconnect) | Err(_) => Some(BuyerError::Signer),
    }
}

fn is_refused(refusal: Option<BuyerError>) -> bool {
    matches!(refusal, Some(BuyerError::Required(_) | BuyerError::Head(_)))
}

#[inline(never)]
fn is_right(buyer: &mut Buyer<'_, shop::Key>, document: &Document) -> bool {
    let is_read = json::parse(document.bytes).is_ok();
    let refusal = refusal(buyer, Required::new(document.required));
    let is_right = is_read == document.is_read
        && if document.is_passed { refusal.is_none() } else { is_refused(refusal) };
    if !is_right {
        println!("{} is read: {is_read}", document.name);
    }
    is_right
}

/// `[` and `[{"":`, in base64, as often as in the two large files of the suite.
fn are_refused(buyer: &mut Buyer<'_, shop::Key>) -> bool {
    let mut nested =
        |pattern, repetitions| is_refused(refusal(buyer, Required::nested(pattern, repetitions)));
    nested("W1tb", 33_333) && nested("W3siIjpbeyIiOlt7IiI6", 16_666)
}

fn run() -> bool {
    let Ok(signer) = shop::signer() else { return false };
    let mut buffer = [0; BUYER_BUFFER_LEN];
    let mut buyer = Buyer::new(shop::limits(), signer, &mut buffer);
    let top = stack::paint();
    let right = SUITE.iter().filter(|document| is_right(&mut buyer, document)).count();
    let are_refused = are_refused(&mut buyer);
    println!("suite {right} of {} stack {}", SUITE.len(), stack::used(top));
    right == SUITE.len() && right == 316 && are_refused
}
