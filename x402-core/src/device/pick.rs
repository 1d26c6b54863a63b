use super::base64::Decoder;
use super::structure::{Kind, Structure, Token};
use crate::wire::json::{self, JsonError};
use crate::wire::{PaymentRequirements, Version, WireError};

/// The names that are looked for are shorter.
const MAX_KEY_LEN: usize = 12;

/// Picks the first entry of `accepts` that may be paid out of the base64 of a `PAYMENT-REQUIRED`, or
/// out of the JSON of a body of v1, as it arrives.
///
/// The entries go through the buffer one after the other; one that does not fit is passed over.
pub(super) struct Picker<'b, T, const IS_V1: bool> {
    decoder: Option<Decoder>,
    document: Document<'b>,
    picked: Option<(T, usize)>,
}

impl<'b, T: Copy, const IS_V1: bool> Picker<'b, T, IS_V1> {
    const VERSION: Version = if IS_V1 { Version::V1 } else { Version::V2 };

    pub(super) fn new(buffer: &'b mut [u8]) -> Self {
        Self { decoder: Some(Decoder::default()), document: Document::new(buffer), picked: None }
    }

    /// Takes a character of the base64. `choose` says what is to be remembered of an entry that may
    /// be paid.
    pub(super) fn push(
        &mut self,
        digit: u8,
        choose: impl Fn(&PaymentRequirements<'_>) -> Option<T>,
    ) -> Result<(), WireError> {
        let decoder = self.decoder.as_mut().ok_or(WireError::Shape)?;
        decoder.push(digit)?.try_for_each(|byte| self.push_byte(byte, &choose))
    }

    /// Ends the text; a second one is an error.
    pub(super) fn finish(
        &mut self,
        choose: impl Fn(&PaymentRequirements<'_>) -> Option<T>,
    ) -> Result<(), WireError> {
        let decoder = self.decoder.take().ok_or(WireError::Shape)?;
        decoder.finish()?.try_for_each(|byte| self.push_byte(byte, &choose))?;
        self.finish_bytes()
    }

    /// Ends the JSON.
    pub(super) fn finish_bytes(&self) -> Result<(), WireError> {
        self.document.finish(Self::VERSION)
    }

    /// What was chosen, and the length of the entry, where the text had its end.
    pub(super) const fn picked(&self) -> Option<(T, usize)> {
        self.picked
    }

    /// Takes a byte of the JSON itself, and judges the entry that ends with it.
    pub(super) fn push_byte(
        &mut self,
        byte: u8,
        choose: &impl Fn(&PaymentRequirements<'_>) -> Option<T>,
    ) -> Result<(), WireError> {
        if let Some(entry) = self.document.push(byte, self.picked.is_none())? {
            let value = json::parse(entry).ok();
            let read = value.and_then(|value| PaymentRequirements::read(Self::VERSION, value).ok());
            let chosen = read.and_then(|entry| choose(&entry));
            self.picked = chosen.map(|chosen| (chosen, entry.len()));
        }
        Ok(())
    }
}

/// The JSON around the entries, whatever the version.
struct Document<'b> {
    structure: Structure,
    buffer: &'b mut [u8],
    /// How much of the entry is in the buffer; `None` outside of entries.
    entry: Option<usize>,
    /// The member of the outermost object that is being read.
    member: Member,
    key: [u8; MAX_KEY_LEN],
    key_len: usize,
    /// The digits of `x402Version`, and how often the member was there.
    version: (u8, usize),
    lists: usize,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Member {
    Accepts,
    Other,
    Version,
}

impl<'b> Document<'b> {
    const fn new(buffer: &'b mut [u8]) -> Self {
        Self {
            structure: Structure::new(),
            buffer,
            entry: None,
            member: Member::Other,
            key: [0; MAX_KEY_LEN],
            key_len: 0,
            version: (0, 0),
            lists: 0,
        }
    }

    fn finish(&self, version: Version) -> Result<(), WireError> {
        self.structure.finish()?;
        let (digit, count) = self.version;
        if count != 1 || self.lists != 1 {
            return Err(WireError::Shape);
        }
        if digit == b'0' + version.number() { Ok(()) } else { Err(WireError::Version) }
    }

    /// Takes a byte, and gives the entry that ends with it, where entries are wanted.
    #[cfg_attr(target_os = "none", inline(never))]
    fn push(&mut self, byte: u8, is_wanted: bool) -> Result<Option<&[u8]>, WireError> {
        let token = self.structure.push(byte)?;
        let depth = self.structure.depth();
        match (token, depth) {
            (Token::Key, 1) => self.key_len = 0,
            (Token::KeyByte(byte), 1) => self.key_byte(byte)?,
            (Token::KeyEnd, 1) => self.key_end(),
            (Token::Digit(digit), 1) if self.member == Member::Version => {
                // One digit and no other: 2, not 2.0 and not 22.
                let is_first = self.version.0 == 0;
                self.version.0 = if is_first { digit } else { b'?' };
            }
            (Token::Open(Kind::Object), 1) | (Token::Open(Kind::Array), 2) => {}
            // The document, or one of the members that count, is of another type.
            (Token::Open(_), 1) => return Err(WireError::Shape),
            (Token::Open(Kind::Object), 2) if self.member == Member::Accepts => {
                return Err(WireError::Shape);
            }
            (Token::Scalar | Token::Digit(_), 0) => return Err(WireError::Shape),
            (Token::Scalar | Token::Digit(_), 1) if self.member == Member::Accepts => {
                return Err(WireError::Shape);
            }
            _ => {}
        }
        Ok(if is_wanted { self.keep(token, depth, byte) } else { None })
    }

    /// Keeps the byte where it is of an entry, and gives the entry at its end.
    fn keep(&mut self, token: Token, depth: usize, byte: u8) -> Option<&[u8]> {
        let is_begin = token == Token::Open(Kind::Object) && depth == 3;
        if is_begin && self.member == Member::Accepts {
            self.entry = Some(0);
        }
        let length = self.entry?;
        if let Some(slot) = self.buffer.get_mut(length) {
            *slot = byte;
        }
        self.entry = Some(length.saturating_add(1));
        if token != Token::Close || depth != 2 {
            return None;
        }
        self.entry = None;
        self.buffer.get(..=length)
    }

    fn key_byte(&mut self, byte: u8) -> Result<(), WireError> {
        // A name with an escape could be any: nobody needs one.
        if byte == b'\\' {
            return Err(WireError::Json(JsonError::Syntax));
        }
        if let Some(slot) = self.key.get_mut(self.key_len) {
            *slot = byte;
        }
        self.key_len = self.key_len.saturating_add(1);
        Ok(())
    }

    fn key_end(&mut self) {
        self.member = match self.key.get(..self.key_len) {
            Some(b"accepts") => {
                self.lists += 1;
                Member::Accepts
            }
            Some(b"x402Version") => {
                self.version.1 += 1;
                Member::Version
            }
            _ => Member::Other,
        };
    }
}
