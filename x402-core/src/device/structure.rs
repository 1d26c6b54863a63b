//! The structure of a JSON document, a byte at a time, in a few bytes of memory.

use crate::wire::json::{JsonError, MAX_DEPTH};

/// What a byte is in the document.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Token {
    /// The begin of a member's name.
    Key,
    /// A byte of a member's name, as written; an escape is a backslash and what follows.
    KeyByte(u8),
    /// The end of a member's name.
    KeyEnd,
    /// The begin of an object or an array, which is now the innermost one.
    Open(Kind),
    /// The end of the innermost object or array.
    Close,
    /// A byte of a number.
    Digit(u8),
    /// The begin of a text or of `true`, `false` or `null`.
    Scalar,
    /// Of no meaning by itself.
    Nothing,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    Array,
    Object,
}

/// What may come next, between values.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Expect {
    Value,
    /// Behind `[`.
    ValueOrEnd,
    Key,
    /// Behind `{`.
    KeyOrEnd,
    Colon,
    /// Behind a value.
    CommaOrEnd,
}

/// Within a text, a number or a word.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Inside {
    Nothing,
    Text {
        is_key: bool,
        escape: Escape,
    },
    Number(Number),
    /// What is left of `true`, `false` or `null`.
    Word(&'static [u8]),
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Escape {
    None,
    Begun,
    /// So many hexadecimal digits are due.
    Hex(u8),
}

/// How far a number is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Number {
    Minus,
    Zero,
    Whole,
    Point,
    Fraction,
    Exponent,
    ExponentSign,
    ExponentDigits,
}

/// Checks the structure of a document: [`MAX_DEPTH`] levels at most.
///
/// Refused is what the grammar refuses, but for texts that are no UTF-8 and for halves of surrogate
/// pairs: what is kept of the document is read again by [`json::parse`](crate::wire::json::parse).
#[derive(Debug)]
pub(super) struct Structure {
    expect: Expect,
    inside: Inside,
    depth: usize,
    /// A bit for each level, the innermost lowest: 1 for an object.
    objects: u32,
}

const _: () = assert!(MAX_DEPTH <= 32, "a level has a bit");

impl Structure {
    pub(super) const fn new() -> Self {
        Self { expect: Expect::Value, inside: Inside::Nothing, depth: 0, objects: 0 }
    }

    /// How many objects and arrays are open.
    pub(super) const fn depth(&self) -> usize {
        self.depth
    }

    pub(super) fn push(&mut self, byte: u8) -> Result<Token, JsonError> {
        match self.inside {
            Inside::Nothing => self.between(byte),
            Inside::Text { is_key, escape } => self.text(byte, is_key, escape),
            Inside::Number(number) => self.number(byte, number),
            Inside::Word(rest) => self.word(byte, rest),
        }
    }

    /// Whether the document is whole.
    pub(super) fn finish(&self) -> Result<(), JsonError> {
        let is_number = matches!(self.inside, Inside::Number(number) if number.may_end());
        let is_whole = self.inside == Inside::Nothing && self.expect == Expect::CommaOrEnd;
        if self.depth == 0 && (is_number || is_whole) { Ok(()) } else { Err(JsonError::Syntax) }
    }

    fn between(&mut self, byte: u8) -> Result<Token, JsonError> {
        if matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
            return Ok(Token::Nothing);
        }
        let is_object = self.depth > 0 && self.objects & 1 == 1;
        match (self.expect, byte) {
            (Expect::Value | Expect::ValueOrEnd, b'{') => self.open(Kind::Object),
            (Expect::Value | Expect::ValueOrEnd, b'[') => self.open(Kind::Array),
            (Expect::ValueOrEnd, b']') | (Expect::KeyOrEnd, b'}') => Ok(self.close()),
            (Expect::Value | Expect::ValueOrEnd, _) => self.scalar(byte),
            (Expect::Key | Expect::KeyOrEnd, b'"') => {
                self.inside = Inside::Text { is_key: true, escape: Escape::None };
                Ok(Token::Key)
            }
            (Expect::Colon, b':') => Ok(self.expecting(Expect::Value)),
            (Expect::CommaOrEnd, b',') if is_object => Ok(self.expecting(Expect::Key)),
            (Expect::CommaOrEnd, b',') if self.depth > 0 => Ok(self.expecting(Expect::Value)),
            (Expect::CommaOrEnd, b'}') if is_object => Ok(self.close()),
            (Expect::CommaOrEnd, b']') if self.depth > 0 && !is_object => Ok(self.close()),
            (Expect::CommaOrEnd, _) if self.depth == 0 => Err(JsonError::Trailing),
            _ => Err(JsonError::Syntax),
        }
    }

    const fn expecting(&mut self, expect: Expect) -> Token {
        self.expect = expect;
        Token::Nothing
    }

    fn open(&mut self, kind: Kind) -> Result<Token, JsonError> {
        if self.depth == MAX_DEPTH {
            return Err(JsonError::Depth);
        }
        self.depth += 1;
        self.objects = (self.objects << 1) | u32::from(kind == Kind::Object);
        self.expect = if kind == Kind::Object { Expect::KeyOrEnd } else { Expect::ValueOrEnd };
        Ok(Token::Open(kind))
    }

    const fn close(&mut self) -> Token {
        self.depth = self.depth.saturating_sub(1);
        self.objects >>= 1;
        self.expect = Expect::CommaOrEnd;
        Token::Close
    }

    fn scalar(&mut self, byte: u8) -> Result<Token, JsonError> {
        self.expect = Expect::CommaOrEnd;
        self.inside = match byte {
            b'"' => Inside::Text { is_key: false, escape: Escape::None },
            b't' => Inside::Word(b"rue"),
            b'f' => Inside::Word(b"alse"),
            b'n' => Inside::Word(b"ull"),
            _ => {
                self.inside = Inside::Number(Number::begin(byte).ok_or(JsonError::Syntax)?);
                return Ok(Token::Digit(byte));
            }
        };
        Ok(Token::Scalar)
    }

    fn text(&mut self, byte: u8, is_key: bool, escape: Escape) -> Result<Token, JsonError> {
        let escape = match (escape, byte) {
            (Escape::None, b'"') => {
                self.inside = Inside::Nothing;
                if is_key {
                    self.expect = Expect::Colon;
                    return Ok(Token::KeyEnd);
                }
                return Ok(Token::Nothing);
            }
            (Escape::None, b'\\') => Escape::Begun,
            (Escape::None, b' '..) => Escape::None,
            (Escape::Begun, b'u') => Escape::Hex(4),
            (Escape::Begun, b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't')
            | (Escape::Hex(1), b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => Escape::None,
            (Escape::Hex(due), b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => Escape::Hex(due - 1),
            _ => return Err(JsonError::Syntax),
        };
        self.inside = Inside::Text { is_key, escape };
        Ok(if is_key { Token::KeyByte(byte) } else { Token::Nothing })
    }

    fn number(&mut self, byte: u8, number: Number) -> Result<Token, JsonError> {
        if let Some(next) = number.next(byte) {
            self.inside = Inside::Number(next);
            return Ok(Token::Digit(byte));
        }
        if !number.may_end() {
            return Err(JsonError::Syntax);
        }
        self.inside = Inside::Nothing;
        self.between(byte)
    }

    fn word(&mut self, byte: u8, rest: &'static [u8]) -> Result<Token, JsonError> {
        match rest.split_first() {
            Some((due, rest)) if *due == byte => {
                let is_over = rest.is_empty();
                self.inside = if is_over { Inside::Nothing } else { Inside::Word(rest) };
                Ok(Token::Nothing)
            }
            _ => Err(JsonError::Syntax),
        }
    }
}

impl Number {
    const fn begin(byte: u8) -> Option<Self> {
        match byte {
            b'-' => Some(Self::Minus),
            b'0' => Some(Self::Zero),
            b'1'..=b'9' => Some(Self::Whole),
            _ => None,
        }
    }

    /// How far it is with one byte more; `None` where that is none of it.
    const fn next(self, byte: u8) -> Option<Self> {
        Some(match (self, byte) {
            (Self::Minus, b'0') => Self::Zero,
            (Self::Minus, b'1'..=b'9') | (Self::Whole, b'0'..=b'9') => Self::Whole,
            (Self::Zero | Self::Whole, b'.') => Self::Point,
            (Self::Point | Self::Fraction, b'0'..=b'9') => Self::Fraction,
            (Self::Zero | Self::Whole | Self::Fraction, b'e' | b'E') => Self::Exponent,
            (Self::Exponent, b'+' | b'-') => Self::ExponentSign,
            (Self::Exponent | Self::ExponentSign | Self::ExponentDigits, b'0'..=b'9') => {
                Self::ExponentDigits
            }
            _ => return None,
        })
    }

    const fn may_end(self) -> bool {
        matches!(self, Self::Zero | Self::Whole | Self::Fraction | Self::ExponentDigits)
    }
}
