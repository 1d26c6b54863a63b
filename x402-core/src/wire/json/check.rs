//! The one pass over a document that finds everything that is wrong with it, and what is wanted of it.

use super::scan;
use super::text::{Text, hex4};
use super::value::Value;
use super::{JsonError, MAX_DEPTH, MAX_KEYS, MAX_LEN, MAX_MEMBERS, Wanted};

type Result<T> = core::result::Result<T, JsonError>;

pub(super) fn document<'a>(
    document: &'a [u8],
    wanted: &[Wanted],
    found: &mut [Option<Value<'a>>],
) -> Result<Value<'a>> {
    if document.len() > MAX_LEN {
        return Err(JsonError::Length);
    }
    let text = core::str::from_utf8(document).map_err(|_| JsonError::Encoding)?;
    let keys = heapless::Vec::new();
    let mut checker = Checker { text, at: 0, keys, is_escaped: false, found };
    checker.blanks();
    let start = checker.at;
    checker.value(0, wanted)?;
    let raw = text.get(start..checker.at).ok_or(JsonError::Syntax)?;
    checker.blanks();
    if checker.at < text.len() {
        return Err(JsonError::Trailing);
    }
    Ok(Value::checked(raw))
}

struct Checker<'a, 'f> {
    text: &'a str,
    at: usize,
    /// Where the keys are of the objects that are open, the outermost first.
    keys: heapless::Vec<Span, MAX_KEYS>,
    /// Whether anything was escaped so far: if not, keys mean the same only where they are the same.
    is_escaped: bool,
    found: &'f mut [Option<Value<'a>>],
}

/// Where the content of a string begins and ends.
#[derive(Clone, Copy)]
struct Span {
    start: u16,
    end: u16,
}

impl Span {
    fn new(start: usize, end: usize) -> Result<Self> {
        let offset = |at: usize| u16::try_from(at).map_err(|_| JsonError::Length);
        Ok(Self { start: offset(start)?, end: offset(end)? })
    }

    const fn len(self) -> u16 {
        self.end.saturating_sub(self.start)
    }
}

// Not inlined where a call is shorter.
impl<'a> Checker<'a, '_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    #[cfg_attr(target_os = "none", inline(never))]
    fn eat(&mut self, byte: u8) -> bool {
        let is_next = self.peek() == Some(byte);
        self.at += usize::from(is_next);
        is_next
    }

    fn expect(&mut self, byte: u8) -> Result<()> {
        if self.eat(byte) { Ok(()) } else { Err(JsonError::Syntax) }
    }

    #[cfg_attr(target_os = "none", inline(never))]
    fn blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn value(&mut self, depth: usize, wanted: &[Wanted]) -> Result<()> {
        match self.peek() {
            Some(b'"') => self.string(),
            Some(b'{') => self.object(depth, wanted),
            Some(b'[') => self.array(depth),
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

    /// Nothing is wanted of an array.
    fn array(&mut self, depth: usize) -> Result<()> {
        let depth = deeper(depth)?;
        self.at += 1;
        self.blanks();
        if self.eat(b']') {
            return Ok(());
        }
        loop {
            self.blanks();
            self.value(depth, &[])?;
            self.blanks();
            if !self.eat(b',') {
                return self.expect(b']');
            }
        }
    }

    fn object(&mut self, depth: usize, wanted: &[Wanted]) -> Result<()> {
        let depth = deeper(depth)?;
        self.at += 1;
        let outer = self.keys.len();
        self.blanks();
        if self.eat(b'}') {
            return Ok(());
        }
        loop {
            self.blanks();
            let start = self.at.saturating_add(1);
            self.string()?;
            let key = Span::new(start, self.at.saturating_sub(1))?;
            self.remember(key, outer)?;
            self.blanks();
            self.expect(b':')?;
            self.blanks();
            self.member(key, depth, wanted)?;
            self.blanks();
            if !self.eat(b',') {
                self.keys.truncate(outer);
                return self.expect(b'}');
            }
        }
    }

    /// The value of a member, which may be wanted.
    fn member(&mut self, key: Span, depth: usize, wanted: &[Wanted]) -> Result<()> {
        if wanted.is_empty() {
            return self.value(depth, &[]);
        }
        let raw = self.raw(key);
        let is_named = |wanted: &&Wanted| match self.is_escaped {
            true => self.key(key) == *wanted.name,
            false => raw == wanted.name.as_bytes(),
        };
        let Some(wanted) = wanted.iter().find(is_named) else {
            return self.value(depth, &[]);
        };
        let start = self.at;
        self.value(depth, wanted.members)?;
        if let Some(place) = self.found.get_mut(wanted.place) {
            *place = self.text.get(start..self.at).map(Value::checked);
        }
        Ok(())
    }

    /// Makes sure that the object whose keys begin at `outer` does not have this one yet.
    fn remember(&mut self, key: Span, outer: usize) -> Result<()> {
        let siblings = self.keys.get(outer..).unwrap_or_default();
        if siblings.len() >= MAX_MEMBERS {
            return Err(JsonError::Members);
        }
        let raw = self.raw(key);
        let is_same = |other: &Span| match self.is_escaped {
            true => self.key(*other) == self.key(key),
            false => usize::from(other.len()) == raw.len() && self.raw(*other) == raw,
        };
        if siblings.iter().any(is_same) {
            return Err(JsonError::Duplicate);
        }
        self.keys.push(key).map_err(|_| JsonError::Members)
    }

    fn key(&self, span: Span) -> Text<'a> {
        let (start, end) = (usize::from(span.start), usize::from(span.end));
        Text::checked(self.text.get(start..end).unwrap_or_default())
    }

    fn raw(&self, span: Span) -> &'a [u8] {
        let (start, end) = (usize::from(span.start), usize::from(span.end));
        self.text.as_bytes().get(start..end).unwrap_or_default()
    }

    fn string(&mut self) -> Result<()> {
        self.expect(b'"')?;
        loop {
            let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
            self.at = self.at.saturating_add(scan::plain(rest));
            match self.next() {
                Some(b'"') => return Ok(()),
                Some(b'\\') => self.escape()?,
                _ => return Err(JsonError::Syntax),
            }
        }
    }

    fn escape(&mut self) -> Result<()> {
        self.is_escaped = true;
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
