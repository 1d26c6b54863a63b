/*!
The two boards of QEMU that the images run on, and what a device has anyway: a serial port, a clock, a
count of instructions, a stack.

`unsafe` is here, and only here: registers are addresses.
*/
#![no_std]
#![deny(missing_docs)]

mod board;
#[cfg(feature = "libsecp256k1")]
mod libsecp;
pub mod roles;
pub mod shop;
pub mod stack;

use core::panic::PanicInfo;

pub use board::{Uart, instructions, random, start};
use semihosting::io::Write as _;
pub use semihosting::{print, println};

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    // Without the place and the words: they are a third of the image.
    println!("PANIC");
    exit(101)
}

/// Ends the run; 0 is success.
pub fn exit(code: i32) -> ! {
    semihosting::process::exit(code)
}

/// Shows bytes as they are.
pub fn show(bytes: &[u8]) {
    let _ = semihosting::io::stdout().and_then(|mut out| out.write_all(bytes));
}

/// The seconds since 1970: the host's clock, which a device has from its network.
#[must_use]
pub fn seconds() -> u64 {
    semihosting::sys::arm_compat::sys_time().map_or(0, |seconds| seconds as u64)
}

/// The entry of an image: `main!(run)`, where `run` returns whether it went well.
#[macro_export]
macro_rules! main {
    ($run:path) => {
        #[cfg_attr(target_arch = "arm", cortex_m_rt::entry)]
        #[cfg_attr(target_arch = "riscv32", riscv_rt::entry)]
        fn main() -> ! {
            $crate::start();
            $crate::exit(if $run() { 0 } else { 1 })
        }
    };
}
