//! What the images do, in the dialects that they speak.

use embedded_io::Read as _;
use x402_core::device::{BUYER_BUFFER_LEN, Buyer, Clock, Dialects, SELLER_BUFFER_LEN, Seller};
use x402_core::device::{BodyLength, Connection, FreshNonce, Next, Request};
use x402_core::hex::Hex;
use x402_core::window::Limits;
use x402_core::{Amount, Moment, Nonce, Timestamp, Window};

use crate::{Uart, println, random, seconds, shop, show};

const REQUEST: Request<'_> =
    Request { method: "GET", target: "/reading", host: "device", fields: &[], body: b"" };
const READING: &[u8] = b"21.5 C\n";

/// Buys a reading over the serial port and shows it.
#[must_use]
pub fn buy<D: Dialects>() -> bool {
    let Ok(signer) = shop::signer() else { return false };
    let Some(fresh) = fresh(seconds()) else { return false };
    let mut buffer = [0; BUYER_BUFFER_LEN];
    let mut buyer = Buyer::<_, D>::speaking(shop::limits(), signer, &mut buffer);
    let mut connection = Connection::new(Uart::new());
    let answer = match buyer.pay(&mut connection, &REQUEST, &fresh) {
        Ok(Next::Answer(answer)) => answer,
        Ok(Next::Reconnect) | Err(_) => return false,
    };
    let digits = [answer.status / 100 % 10, answer.status / 10 % 10, answer.status % 10];
    show(b"status ");
    show(&digits.map(|digit| b'0' + digit as u8));
    show(b"\n");
    let BodyLength::Known(length) = answer.body else { return false };
    for _ in 0..length {
        let mut byte = [0];
        if connection.read(&mut byte) != Ok(1) {
            return false;
        }
        show(&byte);
    }
    answer.status == 200
}

/// Sells readings over the serial port: three, and then it hands out what is to be settled.
#[must_use]
pub fn sell<D: Dialects>() -> bool {
    let mut seller = Seller::<_, 16, D>::speaking(shop::Recovery, Window::new(limits()));
    let offer = shop::offer();
    let mut connection = Connection::new(Uart::new());
    let mut buffer = [0; SELLER_BUFFER_LEN];
    while seller.window().len() < 3 {
        let Ok(Some(request)) = seller.receive(&mut connection, &mut buffer) else { continue };
        let sale = seller.sell(&request, &offer, &Moment::at(seconds()));
        let Ok(()) = match sale {
            Ok(sale) => seller.answer(&mut connection, &sale, "text/plain", READING),
            Err(refusal) => seller.refuse(&mut connection, &offer, "/reading", refusal),
        };
    }
    for claimed in seller.window().unsettled() {
        println!("{}", Hex(&claimed.to_bytes()));
    }
    true
}

/// Buys what it sells on: everything is in the image.
#[must_use]
pub fn resell<D: Dialects>() -> bool {
    let Ok(signer) = shop::signer() else { return false };
    let mut lent = ([0; BUYER_BUFFER_LEN], [0; SELLER_BUFFER_LEN]);
    let mut buyer = Buyer::<_, D>::speaking(shop::limits(), signer, &mut lent.0);
    let mut seller = Seller::<_, 16, D>::speaking(shop::Recovery, Window::new(limits()));
    let offer = shop::offer();
    let mut connection = Connection::new(Uart::new());
    let Ok(Some(order)) = seller.receive(&mut connection, &mut lent.1) else { return false };
    let now = seconds();
    let Some(fresh) = fresh(now) else { return false };
    match seller.sell(&order, &offer, &Moment::at(now)) {
        Ok(sale) => {
            let bought = buyer.pay(&mut connection, &REQUEST, &fresh);
            seller.answer(&mut connection, &sale, "text/plain", READING).is_ok()
                && matches!(bought, Ok(Next::Answer(_)))
        }
        Err(refusal) => seller.refuse(&mut connection, &offer, "/reading", refusal).is_ok(),
    }
}

/// For the one purchase of a run. None where nothing is random: nothing is signed then.
fn fresh(now: u64) -> Option<FreshNonce> {
    let bytes = random()?;
    let (nonce, key) = (Nonce::new(*bytes.first_chunk()?), *bytes.last_chunk()?);
    Some(FreshNonce { nonce, key, clock: Clock::Now(Timestamp::from_secs(now)) })
}

fn limits() -> Limits {
    Limits { owed: Amount::from_units(1_000_000), horizon_seconds: 600 }
}
