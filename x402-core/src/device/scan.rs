//! The grammar of a message head ([RFC 9112](https://www.rfc-editor.org/rfc/rfc9112)), a byte at a
//! time. Lines end with CRLF; folded lines and blanks before the colon are refused.

use crate::head::HeadError;

/// The longest head that is read, in bytes: what is longer is refused.
pub const MAX_HEAD_LEN: u32 = 32 * 1024;

/// How long the body of a message is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum BodyLength {
    /// So many bytes.
    Known(u32),
    /// In chunks, each with its length before it.
    Chunked,
    /// Until the other side closes the connection.
    UntilClosed,
}

/// What a byte is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Part {
    /// A byte of the first line.
    Start(u8),
    /// The end of the first line.
    StartEnd,
    /// A byte of a field's name.
    Name(u8),
    /// The colon behind a name.
    NameEnd,
    /// A byte of a field's value; blanks at its end are among them.
    Value(u8),
    /// The end of a value.
    ValueEnd,
    /// The end of the head: the body begins behind it.
    End,
    /// Of no meaning.
    Nothing,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    Start,
    /// At the begin of a line, whose first byte decides.
    Line,
    Name,
    /// Blanks before a value.
    Before,
    Value,
    /// Behind a CR: the LF is due, and then this.
    Lf(After),
    Done,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum After {
    Start,
    Value,
    Head,
}

/// Reads a head.
#[derive(Debug)]
pub(super) struct Scanner {
    state: State,
    length: u32,
}

impl Scanner {
    pub(super) const fn new() -> Self {
        Self { state: State::Start, length: 0 }
    }

    /// Whether nothing was read.
    pub(super) const fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// How many of the next bytes are of a value that has begun: they are taken.
    fn value_run(&mut self, bytes: &[u8]) -> Result<usize, HeadError> {
        if self.state != State::Value {
            return Ok(0);
        }
        let count = bytes.iter().take_while(|byte| is_value(**byte)).count();
        self.count(count)?;
        Ok(count)
    }

    fn count(&mut self, bytes: usize) -> Result<(), HeadError> {
        let bytes = u32::try_from(bytes).map_err(|_| HeadError::TooLong)?;
        self.length = self.length.saturating_add(bytes);
        if self.length > MAX_HEAD_LEN { Err(HeadError::TooLong) } else { Ok(()) }
    }

    pub(super) fn push(&mut self, byte: u8) -> Result<Part, HeadError> {
        self.count(1)?;
        let (part, state) = match (self.state, byte) {
            (State::Start, b'\r') => (Part::Nothing, State::Lf(After::Start)),
            (State::Start, b' '..=b'~') => (Part::Start(byte), State::Start),
            (State::Line, b'\r') => (Part::Nothing, State::Lf(After::Head)),
            (State::Line | State::Name, _) if is_token(byte) => (Part::Name(byte), State::Name),
            (State::Name, b':') => (Part::NameEnd, State::Before),
            (State::Before, b' ' | b'\t') => (Part::Nothing, State::Before),
            (State::Before | State::Value, b'\r') => (Part::Nothing, State::Lf(After::Value)),
            (State::Before | State::Value, _) if is_value(byte) => {
                (Part::Value(byte), State::Value)
            }
            (State::Lf(After::Start), b'\n') => (Part::StartEnd, State::Line),
            (State::Lf(After::Value), b'\n') => (Part::ValueEnd, State::Line),
            (State::Lf(After::Head), b'\n') => (Part::End, State::Done),
            _ => return Err(HeadError::Malformed),
        };
        self.state = state;
        Ok(part)
    }
}

/// What reads a head.
pub(super) trait Intake {
    /// Why it is not read.
    type Error;

    fn scanner(&mut self) -> &mut Scanner;

    /// Takes a byte; `true` for the last one of the head.
    fn push(&mut self, byte: u8) -> Result<bool, Self::Error>;

    /// Takes bytes of a value, all at once.
    fn values(&mut self, bytes: &[u8]) -> Result<(), Self::Error>;

    /// What a fault of the head is among its errors.
    fn fault(error: HeadError) -> Self::Error;

    /// Takes bytes up to the end of the head: how many they are, and whether the last of the head is
    /// among them.
    fn push_all(&mut self, bytes: &[u8]) -> Result<(usize, bool), Self::Error> {
        let mut rest = bytes;
        while let Some((byte, behind)) = rest.split_first() {
            let run = self.scanner().value_run(rest).map_err(Self::fault)?;
            if let Some((values, behind)) = rest.split_at_checked(run).filter(|_| run > 0) {
                self.values(values)?;
                rest = behind;
                continue;
            }
            rest = behind;
            if self.push(*byte)? {
                return Ok((bytes.len() - rest.len(), true));
            }
        }
        Ok((bytes.len(), false))
    }
}

/// `field-vchar` of RFC 9110, section 5.5, and blanks.
const fn is_value(byte: u8) -> bool {
    matches!(byte, b'\t' | b' '..=b'~' | 0x80..)
}

/// `tchar` of RFC 9110, section 5.6.2.
const fn is_token(byte: u8) -> bool {
    matches!(
        byte,
        b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^'..=b'`' | b'|' | b'~'
    ) || byte.is_ascii_alphanumeric()
}

#[cfg(test)]
mod tests {
    use std::string::String;

    use super::*;

    /// The parts as a text: `|` where something ends.
    fn parts(bytes: &[u8]) -> Result<String, HeadError> {
        let mut scanner = Scanner::new();
        let mut text = String::new();
        for byte in bytes {
            match scanner.push(*byte)? {
                Part::Start(byte) | Part::Name(byte) | Part::Value(byte) => text.push(byte.into()),
                Part::StartEnd | Part::NameEnd | Part::ValueEnd => text.push('|'),
                Part::End => text.push('.'),
                Part::Nothing => {}
            }
        }
        Ok(text)
    }

    #[test]
    fn tells_what_every_byte_is() {
        let head = b"HTTP/1.1 402 No\r\nA:\r\nB: c d\r\nE:\tf\r\n\r\n";
        assert_eq!(parts(head).unwrap(), "HTTP/1.1 402 No|A||B|c d|E|f|.");
    }

    #[test]
    fn refuses_what_is_read_in_two_ways() {
        for head in [
            &b"GET / HTTP/1.1\n"[..],
            b"GET / HTTP/1.1\r\nA : b\r\n",
            b"GET / HTTP/1.1\r\nA: b\r\n folded\r\n",
            b"GET / HTTP/1.1\r\nA: b\rc\r\n",
            b"GET / HTTP/1.1\r\nA: b\0\r\n",
            b"GET / HTTP/1.1\r\n: b\r\n",
            b"GET / HTTP/1.1\r\n\r\n\r\n",
        ] {
            assert_eq!(parts(head), Err(HeadError::Malformed), "{head:?}");
        }
    }

    #[test]
    fn a_head_without_end_is_refused() {
        let mut scanner = Scanner::new();
        let mut endless = b"GET / HTTP/1.1\r\nA: ".iter().chain(core::iter::repeat(&b'a'));
        let error = endless.by_ref().find_map(|byte| scanner.push(*byte).err());
        assert_eq!(error, Some(HeadError::TooLong));
    }
}
