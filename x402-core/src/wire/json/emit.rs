use core::fmt::{self, Write as _};

use crate::hex;

/// A text as a JSON string, escaped as `JSON.stringify` does: `"`, `\` and control characters, and
/// nothing else.
#[derive(Clone, Copy, Debug)]
pub struct Quoted<'a>(pub &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        let mut rest = self.0;
        while let Some(at) = rest.bytes().position(|b| b < b' ' || matches!(b, b'"' | b'\\')) {
            // Never `None`, as what was found is ASCII; a search for characters and a slice that may
            // panic are kilobytes of code.
            let (plain, behind) = rest.split_at_checked(at).unwrap_or_default();
            f.write_str(plain)?;
            let mut chars = behind.chars();
            match chars.next().unwrap_or_default() {
                '\u{8}' => f.write_str("\\b")?,
                '\u{c}' => f.write_str("\\f")?,
                '\n' => f.write_str("\\n")?,
                '\r' => f.write_str("\\r")?,
                '\t' => f.write_str("\\t")?,
                c @ ('"' | '\\') => {
                    f.write_char('\\')?;
                    f.write_char(c)?;
                }
                c => {
                    f.write_str("\\u00")?;
                    hex::pair(c as u8, f)?;
                }
            }
            rest = chars.as_str();
        }
        f.write_str(rest)?;
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
    }

    let mut count = Count(0);
    // Counting does not fail, and what is shown here does not by itself.
    let _ = write!(count, "{value}");
    count.0
}
