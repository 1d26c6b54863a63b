//! A device that buys what it sells on: the image with everything in it.
#![no_std]
#![no_main]

use x402_core::device::{BUYER_BUFFER_LEN, Buyer, Clock, Connection, FreshNonce, Next, Request};
use x402_core::device::{SELLER_BUFFER_LEN, Seller};
use x402_core::secp256k1::Vartime;
use x402_core::window::Limits;
use x402_core::{Amount, Moment, Timestamp, Window};
use x402_firmware::{Uart, seconds, shop};

x402_firmware::main!(run);

fn run() -> bool {
    let Ok(signer) = shop::signer() else { return false };
    let mut lent = ([0; BUYER_BUFFER_LEN], [0; SELLER_BUFFER_LEN]);
    let mut buyer = Buyer::new(shop::limits(), signer, &mut lent.0);
    let limits = Limits { owed: Amount::from_units(1_000_000), horizon_seconds: 600 };
    let mut seller = Seller::new(Vartime, Window::<16>::new(limits));
    let offer = shop::offer();
    let mut connection = Connection::new(Uart::new());
    let Ok(Some(order)) = seller.receive(&mut connection, &mut lent.1) else { return false };
    let now = seconds();
    match seller.sell(&order, &offer, &Moment::at(now)) {
        Ok(sale) => {
            let request = Request {
                method: "GET",
                target: "/reading",
                host: "device",
                fields: &[],
                body: b"",
            };
            let clock = Clock::Now(Timestamp::from_secs(now));
            let fresh = FreshNonce { nonce: shop::nonce(now), clock };
            let bought = buyer.pay(&mut connection, &request, &fresh);
            seller.answer(&mut connection, &sale, "text/plain", b"21.5 C\n").is_ok()
                && matches!(bought, Ok(Next::Answer(_)))
        }
        Err(refusal) => seller.refuse(&mut connection, &offer, "/reading", refusal).is_ok(),
    }
}
