//! What the core's types say of themselves in logs; of keys and signatures, nothing.
#![no_std]
#![no_main]

use core::convert::Infallible;

use defmt::{error, info, warn};
use defmt_semihosting as _;
use x402_core::device::{BUYER_BUFFER_LEN, Buyer, Clock, Connection, DeviceError, FreshNonce};
use x402_core::device::{Request, SELLER_BUFFER_LEN, Seller};
use x402_core::secp256k1::{CombSigner, Vartime};
use x402_core::window::Limits;
use x402_core::{Address, Amount, Digest, Moment, Nonce, Signer as _, Timestamp, Window};
use x402_firmware::shop;

x402_firmware::main!(run);

const NOW: u64 = 1_790_000_000;

/// A stream that gives these bytes and takes any.
struct Wire(&'static [u8]);

impl embedded_io::ErrorType for Wire {
    type Error = Infallible;
}

impl embedded_io::Read for Wire {
    fn read(&mut self, out: &mut [u8]) -> Result<usize, Infallible> {
        self.0.read(out)
    }
}

impl embedded_io::Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

fn run() -> bool {
    sell().is_some() && buy().is_some()
}

/// Refuses a request without a payment.
fn sell() -> Option<()> {
    let limits = Limits { owed: Amount::from_units(1_000_000), horizon_seconds: 600 };
    let mut seller = Seller::new(Vartime, Window::<4>::new(limits));
    let (offer, mut buffer) = (shop::offer(), [0; SELLER_BUFFER_LEN]);
    info!("offers {}", offer);
    let mut connection = Connection::new(Wire(b"GET /reading HTTP/1.1\r\n\r\n"));
    let request = seller.receive(&mut connection, &mut buffer).ok()??;
    let refusal = seller.sell(&request, &offer, &Moment::at(NOW)).err()?;
    warn!("refuses: {}", refusal);
    Some(())
}

/// Does not pay somebody else.
fn buy() -> Option<()> {
    let signer = CombSigner::from_bytes(&shop::KEY_BYTES).ok()?;
    info!("{} signs for {}", signer, signer.address());
    let Ok(signature) = signer.sign(&Digest::new([7; 32]));
    info!("signed: {}", signature);
    let mut buffer = [0; BUYER_BUFFER_LEN];
    let other = Address::new([0xaa; 20]);
    let limits = x402_core::device::Limits { recipient: other, ..shop::limits() };
    let mut buyer = Buyer::new(limits, signer, &mut buffer);
    let request = Request { method: "GET", target: "/", host: "device", fields: &[], body: b"" };
    let clock = Clock::Now(Timestamp::from_secs(NOW));
    let fresh = FreshNonce { nonce: Nonce::new([7; 32]), key: [7; 16], clock };
    let mut connection = Connection::new(Wire(
        b"HTTP/1.1 402 No\r\nX-Payment-Required: true\r\nX-Payment-Amount: 0.01\r\n\
          X-Payment-Asset: USDC\r\nX-Payment-Network: ethereum\r\n\
          X-Payment-Recipient: 0x209693Bc6afc0C5328bA36FaF03C514EF312287C\r\n\
          Content-Length: 0\r\n\r\n",
    ));
    match buyer.pay(&mut connection, &request, &fresh) {
        Err(DeviceError::Protocol(reason)) => error!("does not pay: {}", reason),
        Ok(_) | Err(_) => return None,
    }
    Some(())
}
