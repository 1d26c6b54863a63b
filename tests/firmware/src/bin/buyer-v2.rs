//! Buys a reading over the serial port and shows it, in v2 alone.
#![no_std]
#![no_main]

use x402_core::device::V2Only;
use x402_firmware::roles;

x402_firmware::main!(roles::buy::<V2Only>);
