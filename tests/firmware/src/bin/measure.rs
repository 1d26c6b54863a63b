//! What each step of a payment takes: instructions and stack, a line each.
#![no_std]
#![no_main]
#![allow(clippy::deref_addrof, clippy::mut_from_ref, reason = "statics, lent one after the other")]

use core::convert::Infallible;
use core::hint::black_box;

use x402_core::device::{BUYER_BUFFER_LEN, Buyer, Clock, Connection, FreshNonce, Next, Request};
use x402_core::device::{Received, SELLER_BUFFER_LEN, Seller};
use x402_core::secp256k1::{K256, K256Signer};
use x402_core::window::Limits;
use x402_core::{
    Amount, Moment, Nonce, Offer, Recover as _, Signer as _, Timestamp, Window, keccak256,
};
use x402_firmware::shop::{Key, Recovery};
use x402_firmware::{instructions, println, shop, stack};

x402_firmware::main!(run);

const NOW: u64 = 1_790_000_000;
const REQUEST: Request<'_> =
    Request { method: "GET", target: "/reading", host: "device", fields: &[], body: b"" };

/// Runs a step and says what it took.
macro_rules! step {
    ($name:literal, $step:expr) => {{
        // A frame of its own, so that nothing of the step is above the paint.
        #[inline(never)]
        fn apart<T>(step: impl FnOnce() -> T) -> T {
            step()
        }
        let top = stack::paint();
        let begin = instructions();
        let result = black_box(apart(|| $step));
        let end = instructions();
        let (taken, used) = (end.wrapping_sub(begin), stack::used(top));
        println!("measure {} {taken} {used}", $name);
        result
    }};
}

/// The wire in memory: what is written is kept, what is read was put there.
struct Memory {
    incoming: &'static [u8],
    outgoing: [u8; 4096],
    written: usize,
}

impl Memory {
    const fn new(incoming: &'static [u8]) -> Self {
        Self { incoming, outgoing: [0; 4096], written: 0 }
    }
}

impl embedded_io::ErrorType for Memory {
    type Error = Infallible;
}

impl embedded_io::Read for Memory {
    fn read(&mut self, out: &mut [u8]) -> Result<usize, Infallible> {
        let count = out.len().min(self.incoming.len());
        let (now, later) = self.incoming.split_at(count);
        out[..count].copy_from_slice(now);
        self.incoming = later;
        Ok(count)
    }
}

impl embedded_io::Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        let end = self.written + bytes.len();
        self.outgoing[self.written..end].copy_from_slice(bytes);
        self.written = end;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

// Statics, so that their size is not in the stack of what is measured.
static mut WIRE: Connection<Memory> = Connection::new(Memory::new(&[]));
static mut ANSWERS: [u8; 4096] = [0; 4096];
static mut BUYER_BUFFER: [u8; BUYER_BUFFER_LEN] = [0; BUYER_BUFFER_LEN];
static mut SELLER_BUFFER: [u8; SELLER_BUFFER_LEN] = [0; SELLER_BUFFER_LEN];

/// Puts bytes on the wire, and gives it.
fn wire(incoming: &'static [u8]) -> &'static mut Connection<Memory> {
    // SAFETY: the image has one thread, and each step is done with it before the next begins.
    let wire = unsafe { &mut *&raw mut WIRE };
    *wire = Connection::new(Memory::new(incoming));
    wire
}

/// What was written since, kept for the next step.
fn written() -> &'static [u8] {
    // SAFETY: as in `wire`.
    let (wire, answers) = unsafe { (&*&raw const WIRE, &mut *&raw mut ANSWERS) };
    let memory = wire.get_ref();
    *answers = memory.outgoing;
    &answers[..memory.written]
}

#[inline(never)]
fn receive<'b>(
    seller: &Seller<Recovery, 16>,
    wire: &mut Connection<Memory>,
    buffer: &'b mut [u8; SELLER_BUFFER_LEN],
) -> Option<Received<'b>> {
    seller.receive(wire, buffer).ok()?
}

#[inline(never)]
fn sell(
    seller: &mut Seller<Recovery, 16>,
    offer: &Offer<'_>,
    wire: &mut Connection<Memory>,
    buffer: &mut [u8; SELLER_BUFFER_LEN],
) -> bool {
    let request = receive(seller, wire, buffer);
    let Some(request) = &request else { return false };
    match &seller.sell(request, offer, &Moment::at(NOW)) {
        Ok(sale) => seller.answer(wire, sale, "text/plain", b"21.5 C\n").is_ok(),
        Err(_) => false,
    }
}

#[inline(never)]
fn buy(buyer: &mut Buyer<'_, Key>, wire: &mut Connection<Memory>, nonce: u8) -> bool {
    let clock = Clock::Now(Timestamp::from_secs(NOW));
    let fresh = FreshNonce { nonce: Nonce::new([nonce; 32]), key: [nonce; 16], clock };
    matches!(buyer.pay(wire, &REQUEST, &fresh), Ok(Next::Answer(_)))
}

/// A whole sale in a dialect: the 402, the buyer's part, the seller's part.
fn trade(
    offer: &Offer<'_>,
    buyer: &mut Buyer<'_, Key>,
    nonce: u8,
    other: Option<(&[u8], u8)>,
) -> Option<()> {
    // SAFETY: as in `wire`.
    let buffer = unsafe { &mut *&raw mut SELLER_BUFFER };
    let limits = Limits { owed: Amount::from_units(1_000_000), horizon_seconds: 600 };
    let mut seller = Seller::new(Recovery, Window::<16>::new(limits));
    let wire_ = wire(b"GET /reading HTTP/1.1\r\n\r\n");
    let request = receive(&seller, wire_, buffer)?;
    let refusal = seller.sell(&request, offer, &Moment::at(NOW)).err()?;
    seller.refuse(wire_, offer, "/reading", refusal).ok()?;
    let mut required = written();
    if let Some((name, letter)) = other {
        required = renamed(required, name, letter);
    }
    let ok = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    let both = followed(required, ok);
    let wire_ = wire(both);
    if !(step!("buyer", buy(buyer, wire_, nonce))) {
        return None;
    }
    let sent = written();
    // The first request goes before the paid one.
    let at = sent.windows(4).position(|end| end == b"\r\n\r\n")? + 4;
    let paid = &sent[at..];
    println!("measure paid-request-bytes {} 0", paid.len());
    let wire_ = wire(paid);
    step!("parse", receive(&seller, wire_, buffer).is_some());
    let wire_ = wire(paid);
    step!("seller", sell(&mut seller, offer, wire_, buffer)).then_some(())
}

static mut SCRATCH: [u8; 8192] = [0; 8192];

/// The bytes with the first letter of a field changed, so that nobody knows it.
fn renamed(bytes: &'static [u8], name: &[u8], letter: u8) -> &'static [u8] {
    // SAFETY: as in `wire`.
    let scratch = unsafe { &mut *&raw mut SCRATCH };
    scratch[..bytes.len()].copy_from_slice(bytes);
    let at = scratch.windows(name.len()).position(|window| window == name).unwrap_or(0);
    scratch[at] = letter;
    &scratch[..bytes.len()]
}

static mut FOLLOWED: [u8; 8192] = [0; 8192];

fn followed(first: &[u8], second: &[u8]) -> &'static [u8] {
    // SAFETY: as in `wire`.
    let scratch = unsafe { &mut *&raw mut FOLLOWED };
    let length = first.len() + second.len();
    scratch[..first.len()].copy_from_slice(first);
    scratch[first.len()..length].copy_from_slice(second);
    &scratch[..length]
}

/// A seller, or a buyer, that never ends: a begin, and then the same bytes for ever.
struct Endless {
    begin: &'static [u8],
    pattern: &'static [u8],
    at: usize,
}

impl embedded_io::ErrorType for Endless {
    type Error = Infallible;
}

impl embedded_io::Read for Endless {
    fn read(&mut self, out: &mut [u8]) -> Result<usize, Infallible> {
        for slot in &mut *out {
            let behind = self.at.checked_sub(self.begin.len());
            let next = match behind {
                None => self.begin.get(self.at),
                Some(behind) => self.pattern.get(behind % self.pattern.len()),
            };
            *slot = next.copied().unwrap_or_default();
            self.at += 1;
        }
        Ok(out.len())
    }
}

impl embedded_io::Write for Endless {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

/// Begins, each with what goes on for ever: a name, a value, fields, and `[[[` in base64.
const ENDLESS: [(&[u8], &[u8]); 5] = [
    (b"HTTP/1.1 402 No\r\nX", b"y"),
    (b"HTTP/1.1 402 No\r\nX: ", b"y"),
    (b"HTTP/1.1 402 No\r\n", b"X-Payment-Amount: 1\r\n"),
    (b"HTTP/1.1 402 No\r\nPAYMENT-REQUIRED: ", b"W1tb"),
    (b"GET / HTTP/1.1\r\nPAYMENT-SIGNATURE: ", b"W1tb"),
];

#[inline(never)]
fn all_refused(buyer: &mut Buyer<'_, Key>) -> bool {
    // SAFETY: as in `wire`.
    let buffer = unsafe { &mut *&raw mut SELLER_BUFFER };
    let limits = Limits { owed: Amount::ZERO, horizon_seconds: 0 };
    let seller = Seller::new(Recovery, Window::<1>::new(limits));
    let clock = Clock::Now(Timestamp::from_secs(NOW));
    let fresh = FreshNonce { nonce: Nonce::new([9; 32]), key: [9; 16], clock };
    ENDLESS.iter().all(|(begin, pattern)| {
        let endless = || Connection::new(Endless { begin, pattern, at: 0 });
        buyer.pay(&mut endless(), &REQUEST, &fresh).is_err()
            && seller.receive(&mut endless(), buffer).is_err()
    })
}

fn run() -> bool {
    step!("nothing", ());
    step!("keccak", keccak256(&[black_box(&[7; 32])]));
    let offer = step!("separator", shop::offer());
    let Ok(signer) = step!("key", shop::signer()) else { return false };
    let digest = x402_core::Digest::new([7; 32]);
    let signature = step!("sign", signer.sign(black_box(&digest)));
    let Some(signature) = signature.ok() else { return false };
    let Ok(k256) = K256Signer::from_bytes(&shop::KEY_BYTES) else { return false };
    let by_k256 = step!("sign-k256", k256.sign(black_box(&digest)));
    let recovered = step!("recover", Recovery.recover(black_box(&digest), &signature));
    let other = step!("recover-k256", K256.recover(black_box(&digest), &signature));
    if recovered != Ok(k256.address()) || other != recovered || by_k256 != Ok(signature) {
        return false;
    }
    let transfer = x402_core::Authorization {
        from: signer.address(),
        to: shop::payee(),
        value: Amount::from_units(10_000),
        valid_after: Timestamp::ZERO,
        valid_before: Timestamp::from_secs(NOW),
        nonce: Nonce::new([7; 32]),
    };
    step!("digest", black_box(&transfer).digest(&offer.requirements().domain));
    // SAFETY: as in `wire`.
    let buffer = unsafe { &mut *&raw mut BUYER_BUFFER };
    let mut buyer = Buyer::new(shop::limits(), signer, buffer);
    let is_refused = step!("malicious", all_refused(&mut buyer));
    println!("dialect headers");
    let headers = trade(&offer, &mut buyer, 1, None);
    println!("dialect v2");
    let v2 = trade(&offer, &mut buyer, 2, Some((b"X-Payment-Required", b'Y')));
    is_refused && headers.is_some() && v2.is_some()
}
