//! Texts and numbers as they are: without width and fill, which are kilobytes of code on a device.

use core::fmt;

use ruint::aliases::U256;

use crate::uint::{MAX_DIGITS, digits};

/// A text.
pub(crate) struct Plain<'a>(pub(crate) &'a str);

impl fmt::Display for Plain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// Writes a character: what [`fmt::Write`] does by itself, once for all that write.
#[cfg_attr(target_os = "none", inline(never))]
pub(crate) fn write_char(out: &mut dyn fmt::Write, c: char) -> fmt::Result {
    out.write_str(c.encode_utf8(&mut [0; 4]))
}

/// A number, in decimal.
pub(crate) struct Decimal(pub(crate) u64);

impl Decimal {
    /// Of a length.
    #[cfg(feature = "embedded-io")]
    pub(crate) const fn of(length: usize) -> Self {
        Self(length as u64)
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(digits(U256::from(self.0), &mut [0; MAX_DIGITS]))
    }
}
