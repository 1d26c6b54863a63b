use core::convert::Infallible;
use core::hint::black_box;
use core::ptr;

/// The first serial port, without interrupts.
#[derive(Debug)]
pub struct Uart(());

#[cfg(target_arch = "arm")]
mod registers {
    // CMSDK APB UART of mps2-an386, and the core's SysTick.
    pub(super) const DATA: *mut u32 = 0x4000_4000 as *mut u32;
    pub(super) const STATE: *mut u32 = 0x4000_4004 as *mut u32;
    pub(super) const CONTROL: *mut u32 = 0x4000_4008 as *mut u32;
    pub(super) const DIVIDER: *mut u32 = 0x4000_4010 as *mut u32;
    pub(super) const CAN_READ: u32 = 2;
    pub(super) const CANNOT_WRITE: u32 = 1;
}

#[cfg(target_arch = "riscv32")]
mod registers {
    // 16550 of virt.
    pub(super) const DATA: *mut u8 = 0x1000_0000 as *mut u8;
    pub(super) const STATE: *mut u8 = 0x1000_0005 as *mut u8;
    pub(super) const CAN_READ: u8 = 1;
    pub(super) const CAN_WRITE: u8 = 0x20;
}

/// Turns the serial port and the counter on.
pub fn start() {
    #[cfg(target_arch = "arm")]
    // SAFETY: registers of the board, written once before anything else runs.
    unsafe {
        ptr::write_volatile(registers::DIVIDER, 16);
        ptr::write_volatile(registers::CONTROL, 3);
        let systick = &*cortex_m::peripheral::SYST::PTR;
        systick.rvr.write(0x00ff_ffff);
        systick.cvr.write(0);
        systick.csr.write(5);
    }
}

/// A count of instructions, of which differences mean something where QEMU runs with `-icount
/// shift=0`: in steps of 40 on ARM, whose tick is 40 ns, and exact on RISC-V.
#[must_use]
pub fn instructions() -> u32 {
    #[cfg(target_arch = "arm")]
    return (0x00ff_ffff - cortex_m::peripheral::SYST::get_current()) * 40;
    #[cfg(target_arch = "riscv32")]
    return riscv::register::minstret::read() as u32;
}

/// Where the emulator leaves 48 random bytes at its start, the first of them not zero, as these boards have
/// no generator: memory that the image does not use.
#[cfg(target_arch = "arm")]
const RANDOM: *const [u8; 48] = 0x2100_0000 as *const _;
#[cfg(target_arch = "riscv32")]
const RANDOM: *const [u8; 48] = 0x8700_0000 as *const _;

/// 48 random bytes; the same ones for the whole run. None where nobody left any: a nonce made of ticks is
/// no substitute, for the counter stands still where the host is busy, and two purchases had the same one.
#[must_use]
pub fn random() -> Option<&'static [u8; 48]> {
    // SAFETY: memory of the board, written before the image starts and by nobody after.
    let bytes = unsafe { &*black_box(RANDOM) };
    (bytes[0] != 0).then_some(bytes)
}

impl Uart {
    /// The port. It is the caller's to have one only.
    #[must_use]
    pub const fn new() -> Self {
        Self(())
    }

    #[cfg(target_arch = "arm")]
    fn read_byte(&self) -> Option<u8> {
        // SAFETY: registers of the board.
        unsafe {
            let can_read = ptr::read_volatile(registers::STATE) & registers::CAN_READ != 0;
            can_read.then(|| ptr::read_volatile(registers::DATA) as u8)
        }
    }

    #[cfg(target_arch = "riscv32")]
    fn read_byte(&self) -> Option<u8> {
        // SAFETY: registers of the board.
        unsafe {
            let can_read = ptr::read_volatile(registers::STATE) & registers::CAN_READ != 0;
            can_read.then(|| ptr::read_volatile(registers::DATA))
        }
    }

    #[cfg(target_arch = "arm")]
    fn write_byte(&self, byte: u8) {
        // SAFETY: registers of the board.
        unsafe {
            while ptr::read_volatile(registers::STATE) & registers::CANNOT_WRITE != 0 {}
            ptr::write_volatile(registers::DATA, byte.into());
        }
    }

    #[cfg(target_arch = "riscv32")]
    fn write_byte(&self, byte: u8) {
        // SAFETY: registers of the board.
        unsafe {
            while ptr::read_volatile(registers::STATE) & registers::CAN_WRITE == 0 {}
            ptr::write_volatile(registers::DATA, byte);
        }
    }
}

impl Default for Uart {
    fn default() -> Self {
        Self::new()
    }
}

impl embedded_io::ErrorType for Uart {
    type Error = Infallible;
}

impl embedded_io::Read for Uart {
    /// Waits for a byte.
    fn read(&mut self, out: &mut [u8]) -> Result<usize, Infallible> {
        let Some(slot) = out.first_mut() else { return Ok(0) };
        loop {
            if let Some(byte) = self.read_byte() {
                *slot = byte;
                return Ok(1);
            }
        }
    }
}

impl embedded_io::Write for Uart {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        for byte in bytes {
            self.write_byte(*byte);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}
