//! A device that buys what it sells on: the image with everything in it.
#![no_std]
#![no_main]

use x402_core::device::AllDialects;
use x402_firmware::roles;

x402_firmware::main!(roles::resell::<AllDialects>);
