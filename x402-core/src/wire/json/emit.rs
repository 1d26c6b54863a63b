use core::fmt::{self, Write as _};

use super::scan;
use crate::{hex, plain};

/// A text as a JSON string, escaped as `JSON.stringify` does: `"`, `\` and control characters, and
/// nothing else.
#[derive(Clone, Copy, Debug)]
pub struct Quoted<'a>(pub &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        let mut rest = self.0;
        loop {
            // Never `None`, as what ends it is ASCII; a search for characters and a slice that may
            // panic are kilobytes of code.
            let (plain, behind) =
                rest.split_at_checked(scan::plain(rest.as_bytes())).unwrap_or_default();
            f.write_str(plain)?;
            let Some(byte) = behind.as_bytes().first() else { break };
            f.write_char('\\')?;
            match byte {
                0x08 => f.write_char('b')?,
                0x0c => f.write_char('f')?,
                b'\n' => f.write_char('n')?,
                b'\r' => f.write_char('r')?,
                b'\t' => f.write_char('t')?,
                b'"' | b'\\' => f.write_char(char::from(*byte))?,
                byte => {
                    f.write_str("u00")?;
                    hex::pair(*byte, f)?;
                }
            }
            rest = behind.get(1..).unwrap_or_default();
        }
        f.write_char('"')
    }
}

/// How many bytes are written for a value.
#[must_use]
pub fn emitted_len(value: &impl fmt::Display) -> usize {
    struct Count(usize);

    impl fmt::Write for Count {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            self.0 = self.0.saturating_add(text.len());
            Ok(())
        }

        fn write_char(&mut self, c: char) -> fmt::Result {
            plain::write_char(self, c)
        }
    }

    let mut count = Count(0);
    // Counting does not fail, and what is shown here does not by itself.
    let _ = write!(count, "{value}");
    count.0
}
