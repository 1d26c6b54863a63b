//! The one pass over a document that finds everything that is wrong with it.

use super::text::{Text, hex4};
use super::value::Value;
use super::{JsonError, MAX_DEPTH, MAX_KEYS, MAX_LEN, MAX_MEMBERS};

type Result<T> = core::result::Result<T, JsonError>;

pub(super) fn document(document: &[u8]) -> Result<Value<'_>> {
    if document.len() > MAX_LEN {
        return Err(JsonError::Length);
    }
    let text = core::str::from_utf8(document).map_err(|_| JsonError::Encoding)?;
    let mut checker = Checker { text, at: 0, keys: heapless::Vec::new() };
    checker.blanks();
    let start = checker.at;
    checker.value(0)?;
    let raw = text.get(start..checker.at).ok_or(JsonError::Syntax)?;
    checker.blanks();
    if checker.at < text.len() {
        return Err(JsonError::Trailing);
    }
    Ok(Value::checked(raw))
}

struct Checker<'a> {
    text: &'a str,
    at: usize,
    /// Where the keys are of the objects that are open, the outermost first.
    keys: heapless::Vec<(u16, u16), MAX_KEYS>,
}

impl<'a> Checker<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    fn eat(&mut self, byte: u8) -> bool {
        let is_next = self.peek() == Some(byte);
        self.at += usize::from(is_next);
        is_next
    }

    fn expect(&mut self, byte: u8) -> Result<()> {
        if self.eat(byte) { Ok(()) } else { Err(JsonError::Syntax) }
    }

    fn blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn value(&mut self, depth: usize) -> Result<()> {
        match self.peek() {
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(b'"') => self.string().map(|_| ()),
            Some(b't') => self.word("true"),
            Some(b'f') => self.word("false"),
            Some(b'n') => self.word("null"),
            _ => self.number(),
        }
    }

    fn word(&mut self, word: &str) -> Result<()> {
        word.bytes().try_for_each(|byte| self.expect(byte))
    }

    fn number(&mut self) -> Result<()> {
        self.eat(b'-');
        if !self.eat(b'0') {
            self.digits()?;
        }
        if self.eat(b'.') {
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<()> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at > start { Ok(()) } else { Err(JsonError::Syntax) }
    }

    fn array(&mut self, depth: usize) -> Result<()> {
        let depth = deeper(depth)?;
        self.at += 1;
        self.blanks();
        if self.eat(b']') {
            return Ok(());
        }
        loop {
            self.blanks();
            self.value(depth)?;
            self.blanks();
            if !self.eat(b',') {
                return self.expect(b']');
            }
        }
    }

    fn object(&mut self, depth: usize) -> Result<()> {
        let depth = deeper(depth)?;
        self.at += 1;
        let outer = self.keys.len();
        self.blanks();
        if self.eat(b'}') {
            return Ok(());
        }
        loop {
            self.blanks();
            let key = self.string()?;
            self.remember(key, outer)?;
            self.blanks();
            self.expect(b':')?;
            self.blanks();
            self.value(depth)?;
            self.blanks();
            if !self.eat(b',') {
                self.keys.truncate(outer);
                return self.expect(b'}');
            }
        }
    }

    /// Makes sure that the object whose keys begin at `outer` does not have this one yet.
    fn remember(&mut self, span: (u16, u16), outer: usize) -> Result<()> {
        let key = self.key(span);
        let siblings = self.keys.get(outer..).unwrap_or_default();
        if siblings.len() >= MAX_MEMBERS {
            return Err(JsonError::Members);
        }
        if siblings.iter().any(|span| self.key(*span) == key) {
            return Err(JsonError::Duplicate);
        }
        self.keys.push(span).map_err(|_| JsonError::Members)
    }

    fn key(&self, (start, end): (u16, u16)) -> Text<'a> {
        Text::checked(self.text.get(start.into()..end.into()).unwrap_or_default())
    }

    /// A string; where its content begins and ends.
    fn string(&mut self) -> Result<(u16, u16)> {
        self.expect(b'"')?;
        let start = self.at;
        loop {
            match self.next().ok_or(JsonError::Syntax)? {
                b'"' => break,
                b'\\' => self.escape()?,
                ..0x20 => return Err(JsonError::Syntax),
                _ => {}
            }
        }
        let offset = |at: usize| u16::try_from(at).map_err(|_| JsonError::Length);
        Ok((offset(start)?, offset(self.at.saturating_sub(1))?))
    }

    fn escape(&mut self) -> Result<()> {
        match self.next().ok_or(JsonError::Syntax)? {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Ok(()),
            b'u' => match self.unit()? {
                0xD800..=0xDBFF => {
                    let is_escape = self.eat(b'\\') && self.eat(b'u');
                    match is_escape.then(|| self.unit()).transpose()? {
                        Some(0xDC00..=0xDFFF) => Ok(()),
                        _ => Err(JsonError::Surrogate),
                    }
                }
                0xDC00..=0xDFFF => Err(JsonError::Surrogate),
                _ => Ok(()),
            },
            _ => Err(JsonError::Syntax),
        }
    }

    /// The four digits of an escape.
    fn unit(&mut self) -> Result<u32> {
        let digits = self.text.as_bytes().get(self.at..self.at.saturating_add(4));
        self.at = self.at.saturating_add(4);
        digits.and_then(hex4).ok_or(JsonError::Syntax)
    }
}

const fn deeper(depth: usize) -> Result<usize> {
    if depth < MAX_DEPTH { Ok(depth + 1) } else { Err(JsonError::Depth) }
}
