//! A device that buys what it sells on: the image with everything in it, in v2 alone.
#![no_std]
#![no_main]

use x402_core::device::V2Only;
use x402_firmware::roles;

x402_firmware::main!(roles::resell::<V2Only>);
