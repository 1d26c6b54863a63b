//! Sells readings over the serial port: three, and then it hands out what is to be settled.
#![no_std]
#![no_main]

use x402_core::device::{Connection, SELLER_BUFFER_LEN, Seller};
use x402_core::hex::Hex;
use x402_core::secp256k1::Vartime;
use x402_core::window::Limits;
use x402_core::{Amount, Moment, Window};
use x402_firmware::{Uart, println, seconds, shop};

x402_firmware::main!(run);

fn run() -> bool {
    let limits = Limits { owed: Amount::from_units(1_000_000), horizon_seconds: 600 };
    let mut seller = Seller::new(Vartime, Window::<16>::new(limits));
    let offer = shop::offer();
    let mut connection = Connection::new(Uart::new());
    let mut buffer = [0; SELLER_BUFFER_LEN];
    while seller.window().len() < 3 {
        let Ok(Some(request)) = seller.receive(&mut connection, &mut buffer) else { continue };
        let sale = seller.sell(&request, &offer, &Moment::at(seconds()));
        let Ok(()) = match sale {
            Ok(sale) => seller.answer(&mut connection, &sale, "text/plain", b"21.5 C\n"),
            Err(refusal) => seller.refuse(&mut connection, &offer, "/reading", refusal),
        };
    }
    for claimed in seller.window().unsettled() {
        println!("{}", Hex(&claimed.to_bytes()));
    }
    true
}
