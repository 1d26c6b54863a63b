//! Sells readings over the serial port, and hands out what is to be settled, in v2 alone.
#![no_std]
#![no_main]

use x402_core::device::V2Only;
use x402_firmware::roles;

x402_firmware::main!(roles::sell::<V2Only>);
