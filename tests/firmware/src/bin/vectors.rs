//! The known answers of `tests/vectors/recover_eth.json` on the device's own arithmetic.
#![no_std]
#![no_main]

use x402_core::secp256k1::{K256, Vartime};
use x402_core::{Address, Digest, Recover as _, Signature};
use x402_firmware::println;

x402_firmware::main!(run);

const VECTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/recover.bin"));
const RECORD_LEN: usize = 32 + 65 + 1 + 20;

fn run() -> bool {
    let (records, rest) = VECTORS.as_chunks::<RECORD_LEN>();
    let right = records.iter().filter(|record| is_right(record)).count();
    println!("vectors {right} of {}", records.len());
    right == records.len() && right > 400 && rest.is_empty()
}

fn is_right(record: &[u8; RECORD_LEN]) -> bool {
    let Some((digest, rest)) = record.split_first_chunk() else { return false };
    let Some((rsv, [is_some, signer @ ..])) = rest.split_first_chunk() else { return false };
    let digest = Digest::new(*digest);
    let expected = signer.try_into().ok().map(Address::new).filter(|_| *is_some == 1);
    let Ok(signature) = Signature::from_rsv(rsv) else { return expected.is_none() };
    let recovered = Vartime.recover(&digest, &signature);
    recovered.ok() == expected && K256.recover(&digest, &signature) == recovered
}
