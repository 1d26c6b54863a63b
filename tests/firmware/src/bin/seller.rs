//! Sells readings over the serial port, and hands out what is to be settled.
#![no_std]
#![no_main]

use x402_core::device::AllDialects;
use x402_firmware::roles;

x402_firmware::main!(roles::sell::<AllDialects>);
