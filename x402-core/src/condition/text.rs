use core::cmp::Ordering;

/// A text as a condition compares it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Text<'a> {
    /// What stands between quotes, escapes intact.
    Escaped(&'a str),
    /// As it is.
    Plain(&'a str),
}

impl<'a> Text<'a> {
    /// Of what stands between quotes.
    pub(super) fn literal(raw: &'a str) -> Self {
        if raw.contains('\\') { Self::Escaped(raw) } else { Self::Plain(raw) }
    }

    /// By code points, as UTF-8 is ordered too.
    pub(super) fn cmp(self, other: Self) -> Ordering {
        match (self, other) {
            (Self::Plain(ours), Self::Plain(theirs)) => ours.cmp(theirs),
            _ => self.chars().cmp(other.chars()),
        }
    }

    fn chars(self) -> Chars<'a> {
        match self {
            Self::Escaped(raw) => Chars { rest: raw.chars(), has_escapes: true },
            Self::Plain(text) => Chars { rest: text.chars(), has_escapes: false },
        }
    }
}

/// What an escape means: the letter behind the backslash.
pub(super) const fn unescape(letter: u8) -> Option<char> {
    match letter {
        b'"' | b'\'' | b'\\' => Some(letter as char),
        b'n' => Some('\n'),
        b'r' => Some('\r'),
        b't' => Some('\t'),
        _ => None,
    }
}

struct Chars<'a> {
    rest: core::str::Chars<'a>,
    has_escapes: bool,
}

impl Iterator for Chars<'_> {
    type Item = char;

    fn next(&mut self) -> Option<char> {
        match self.rest.next()? {
            '\\' if self.has_escapes => unescape(u8::try_from(self.rest.next()?).ok()?),
            plain => Some(plain),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_mean_characters_in_literals_alone() {
        let literal = Text::literal(r"a\n\'\\é");
        assert!(literal.cmp(Text::Plain("a\n'\\é")).is_eq());
        assert!(literal.cmp(Text::Plain(r"a\n\'\\é")).is_ne());
        assert!(Text::literal("a").cmp(Text::Plain("a\0")).is_lt());
    }
}
