//! Buys a reading over the serial port and shows it.
#![no_std]
#![no_main]

use x402_core::device::AllDialects;
use x402_firmware::roles;

x402_firmware::main!(roles::buy::<AllDialects>);
