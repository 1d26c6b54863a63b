use core::fmt::{self, Write as _};

/// A text of a document, as it stands between the quotes: compared and written as what it means.
#[derive(Clone, Copy)]
pub struct Text<'a>(&'a str);

impl<'a> Text<'a> {
    /// The content of a string that was checked.
    pub(super) const fn checked(raw: &'a str) -> Self {
        Self(raw)
    }

    /// As it stands in the document, escapes included.
    #[must_use]
    pub const fn raw(self) -> &'a str {
        self.0
    }

    /// The text, where it has no escapes.
    #[must_use]
    pub fn plain(self) -> Option<&'a str> {
        (!self.0.as_bytes().contains(&b'\\')).then_some(self.0)
    }

    /// Its characters, escapes resolved.
    #[must_use]
    pub const fn chars(self) -> Chars<'a> {
        Chars(self.0)
    }
}

impl PartialEq for Text<'_> {
    fn eq(&self, other: &Self) -> bool {
        match (self.plain(), other.plain()) {
            (Some(ours), Some(theirs)) => ours == theirs,
            _ => self.chars().eq(other.chars()),
        }
    }
}

impl PartialEq<str> for Text<'_> {
    fn eq(&self, other: &str) -> bool {
        // An escape is longer than what it stands for.
        if self.0.len() < other.len() {
            return false;
        }
        match self.plain() {
            Some(ours) => ours == other,
            None => self.chars().eq(other.chars()),
        }
    }
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.chars().try_for_each(|c| f.write_char(c))
    }
}

impl fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0)
    }
}

/// The characters of a [`Text`].
#[derive(Clone, Debug)]
pub struct Chars<'a>(&'a str);

impl Iterator for Chars<'_> {
    type Item = char;

    fn next(&mut self) -> Option<char> {
        let mut chars = self.0.chars();
        let first = chars.next()?;
        self.0 = chars.as_str();
        if first != '\\' {
            return Some(first);
        }
        let kind = chars.next()?;
        self.0 = chars.as_str();
        Some(match kind {
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => return self.unicode(),
            other => other,
        })
    }
}

impl Chars<'_> {
    fn unicode(&mut self) -> Option<char> {
        let high = self.unit()?;
        let 0xD800..=0xDBFF = high else { return char::from_u32(high) };
        self.0 = self.0.strip_prefix("\\u")?;
        let low = self.unit()?;
        let code = (high.checked_sub(0xD800)? << 10) | low.checked_sub(0xDC00)?;
        char::from_u32(code.checked_add(0x1_0000)?)
    }

    fn unit(&mut self) -> Option<u32> {
        let (digits, rest) = self.0.split_at_checked(4)?;
        self.0 = rest;
        hex4(digits.as_bytes())
    }
}

/// Four hexadecimal digits as a number.
pub(super) fn hex4(digits: &[u8]) -> Option<u32> {
    digits
        .iter()
        .try_fold(0, |number: u32, digit| Some((number << 4) | char::from(*digit).to_digit(16)?))
}
