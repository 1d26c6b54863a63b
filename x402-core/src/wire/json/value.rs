use core::fmt;

use super::scan;
use super::text::Text;

/// A value of a document: its text, as it stands there, without blanks around it.
#[derive(Clone, Copy)]
pub struct Value<'a>(&'a str);

/// The members of an object, in the order of the document.
#[derive(Clone, Copy, Debug)]
pub struct Object<'a> {
    whole: &'a str,
    members: &'a str,
}

/// The values of an array.
#[derive(Clone, Copy, Debug)]
pub struct Array<'a>(&'a str);

impl<'a> Value<'a> {
    /// A value that was checked.
    pub(super) const fn checked(raw: &'a str) -> Self {
        Self(raw)
    }

    /// As it stands in the document: what is echoed byte for byte.
    #[must_use]
    pub const fn raw(self) -> &'a str {
        self.0
    }

    /// The object, if it is one.
    #[must_use]
    pub fn as_object(self) -> Option<Object<'a>> {
        let members = self.0.strip_prefix('{')?.strip_suffix('}')?;
        Some(Object { whole: self.0, members })
    }

    /// The array, if it is one.
    #[must_use]
    pub fn as_array(self) -> Option<Array<'a>> {
        self.0.strip_prefix('[')?.strip_suffix(']').map(Array)
    }

    /// The text, if it is one.
    #[must_use]
    pub fn as_text(self) -> Option<Text<'a>> {
        self.0.strip_prefix('"')?.strip_suffix('"').map(Text::checked)
    }

    /// The text of the number, if it is one.
    #[must_use]
    pub fn as_number(self) -> Option<&'a str> {
        matches!(self.0.as_bytes(), [b'-' | b'0'..=b'9', ..]).then_some(self.0)
    }

    /// The boolean, if it is one.
    #[must_use]
    pub fn as_bool(self) -> Option<bool> {
        self.0.parse().ok()
    }

    /// Whether it is `null`.
    #[must_use]
    pub fn is_null(self) -> bool {
        self.0 == "null"
    }

    /// Whether it means the same: the order of members and the spelling of texts and numbers do not
    /// count.
    #[must_use]
    pub fn equals(self, other: Value<'_>) -> bool {
        self.compares(other, |ours, theirs| ours.iter().count() == theirs.iter().count())
    }

    /// Whether it has everything that is expected: of an object, the members that the expected one
    /// has, each including what is expected of it; anything else equal.
    #[must_use]
    pub fn includes(self, expected: Value<'_>) -> bool {
        self.compares(expected, |_, _| true)
    }

    /// Compares values; objects have to have the members of the expected one, and to fit.
    fn compares(self, expected: Value<'_>, fits: fn(Object<'_>, Object<'_>) -> bool) -> bool {
        if let (Some(ours), Some(theirs)) = (self.as_object(), expected.as_object()) {
            let has = |(key, theirs): (Text<'_>, Value<'_>)| {
                ours.find(|name| *name == key).is_some_and(|ours| ours.compares(theirs, fits))
            };
            return fits(ours, theirs) && theirs.iter().all(has);
        }
        if let (Some(ours), Some(theirs)) = (self.as_array(), expected.as_array()) {
            let (mut ours, mut theirs) = (ours.iter(), theirs.iter());
            loop {
                match (ours.next(), theirs.next()) {
                    (None, None) => return true,
                    (Some(ours), Some(theirs)) if ours.equals(theirs) => {}
                    _ => return false,
                }
            }
        }
        if let (Some(ours), Some(theirs)) = (self.as_text(), expected.as_text()) {
            return ours == theirs;
        }
        if let (Some(ours), Some(theirs)) = (self.as_number(), expected.as_number()) {
            return ours == theirs || is_same_number(ours, theirs);
        }
        self.0 == expected.0
    }
}

impl fmt::Display for Value<'_> {
    /// As it stands in the document.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl fmt::Debug for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// As every reader does that has numbers of 64 bits only; integers are compared as they are written.
fn is_same_number(ours: &str, theirs: &str) -> bool {
    let is_integer = |text: &str| !text.contains(['.', 'e', 'E']);
    !(is_integer(ours) && is_integer(theirs))
        && matches!((ours.parse::<f64>(), theirs.parse::<f64>()), (Ok(ours), Ok(theirs)) if ours == theirs && ours.is_finite())
}

impl<'a> Object<'a> {
    /// As it stands in the document, braces included: what is echoed byte for byte.
    #[must_use]
    pub const fn raw(self) -> &'a str {
        self.whole
    }

    /// The member of that name.
    #[must_use]
    pub fn get(self, key: &str) -> Option<Value<'a>> {
        self.find(|name| *name == *key)
    }

    /// The members of these names, each where its name is: one walk, however many they are.
    #[must_use]
    pub fn pick<const N: usize>(self, names: [&str; N]) -> [Option<Value<'a>>; N] {
        let mut picked = [None; N];
        self.pick_into(&names, &mut picked);
        picked
    }

    fn pick_into(self, names: &[&str], picked: &mut [Option<Value<'a>>]) {
        for (name, value) in self.iter() {
            let plain = name.plain();
            let is_meant = |known: &str| plain.map_or_else(|| name == *known, |name| name == known);
            if let Some(at) = names.iter().position(|known| is_meant(known))
                && let Some(slot) = picked.get_mut(at)
            {
                *slot = Some(value);
            }
        }
    }

    fn find(self, is_meant: impl Fn(&Text<'_>) -> bool) -> Option<Value<'a>> {
        self.iter().find(|(name, _)| is_meant(name)).map(|(_, value)| value)
    }

    /// Its members, in the order of the document.
    pub fn iter(self) -> impl Iterator<Item = (Text<'a>, Value<'a>)> {
        let mut rest = self.members;
        core::iter::from_fn(move || {
            let key = next(&mut rest)?.as_text()?;
            Some((key, next(&mut rest)?))
        })
    }
}

impl<'a> Array<'a> {
    /// Its values.
    pub fn iter(self) -> impl Iterator<Item = Value<'a>> {
        let mut rest = self.0;
        core::iter::from_fn(move || next(&mut rest))
    }
}

/// Takes the next value off the front, and what is between it and the one before.
fn next<'a>(rest: &mut &'a str) -> Option<Value<'a>> {
    let is_between = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | b',' | b':');
    let start = rest.bytes().take_while(is_between).count();
    let text = rest.get(start..)?;
    let (value, behind) = text.split_at_checked(length(text.as_bytes()))?;
    *rest = behind;
    (!value.is_empty()).then_some(Value(value))
}

/// How long the value is that a checked text begins with.
fn length(text: &[u8]) -> usize {
    let (mut at, mut depth) = (0_usize, 0_usize);
    while let Some(byte) = text.get(at) {
        match byte {
            b'"' => {
                at = string_end(text, at);
                if depth == 0 {
                    return at;
                }
                continue;
            }
            b'{' | b'[' => depth = depth.saturating_add(1),
            b'}' | b']' if depth <= 1 => return at.saturating_add(depth),
            b'}' | b']' => depth -= 1,
            b',' | b' ' | b'\t' | b'\n' | b'\r' if depth == 0 => return at,
            _ => {}
        }
        at = at.saturating_add(1);
    }
    text.len()
}

/// Where the string ends whose quote is at `at`.
fn string_end(text: &[u8], mut at: usize) -> usize {
    loop {
        at = at.saturating_add(1);
        at = at.saturating_add(scan::plain(text.get(at..).unwrap_or_default()));
        match text.get(at) {
            Some(b'\\') => at = at.saturating_add(1),
            _ => return at.saturating_add(1).min(text.len()),
        }
    }
}
