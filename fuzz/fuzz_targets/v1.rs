//! Payloads of v1: `X-PAYMENT`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use x402_core::wire::Version;

fuzz_target!(|data: &[u8]| x402_fuzz::wire::check_payload(data, Version::V1));
