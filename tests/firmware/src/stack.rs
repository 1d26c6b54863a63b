//! How deep the stack gets, found by painting it.

use core::ptr;

const PAINT: u32 = 0x5aa5_c33c;
const SPAN: usize = 64 * 1024;

#[inline(always)]
fn pointer() -> usize {
    let pointer: usize;
    // SAFETY: reads a register.
    #[cfg(target_arch = "arm")]
    unsafe {
        core::arch::asm!("mov {}, sp", out(reg) pointer);
    }
    // SAFETY: reads a register.
    #[cfg(target_arch = "riscv32")]
    unsafe {
        core::arch::asm!("mv {}, sp", out(reg) pointer);
    }
    pointer
}

/// Paints the stack that is free, and says where it begins.
#[inline(never)]
#[must_use]
pub fn paint() -> usize {
    let top = pointer() & !7;
    let mut at = top - SPAN;
    while at < top - 64 {
        // SAFETY: below the stack pointer, and above the end of the statics.
        unsafe { ptr::write_volatile(at as *mut u32, PAINT) }
        at += 4;
    }
    top
}

/// The bytes that were used since.
#[inline(never)]
#[must_use]
pub fn used(top: usize) -> usize {
    let mut at = top - SPAN;
    // SAFETY: as in `paint`.
    while at < top && unsafe { ptr::read_volatile(at as *const u32) } == PAINT {
        at += 4;
    }
    top - at
}
