/*!
A reader of JSON that is handed its documents piece by piece and keeps nothing of them but the numbers
that it is after.

It takes a document to be JSON, which the seller's own upstream has written, and checks no more than it
has to: what is no JSON yields nothing, and never stops what passes through.
*/

use super::Pointer;
use super::places::{Meaning, Places};

/// How deep a document may be.
const MAX_DEPTH: usize = 128;
/// The longest number that fits 64 bits, in digits.
const MAX_DIGITS: usize = 20;

/// Reads documents, one after the other.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Scan {
    places: Places,
    state: State,
    /// What the text is that is being read.
    role: Role,
    /// Whether a text that begins here is the name of a member.
    is_name_next: bool,
    /// How many arrays and objects are open.
    depth: usize,
    /// Which of them are objects, a bit for each, the outermost lowest.
    objects: u128,
    /// The outermost of them.
    levels: [Level; Pointer::MAX_STEPS],
    /// The places that lead to the value that comes next.
    here: u32,
    /// The name or number that is being read.
    word: Word,
    /// What was found in this document.
    found: Counts,
    /// What was found in documents that were whole.
    counts: Counts,
    /// How long the texts are that were made for the buyer, in bytes of UTF-8.
    content: u64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    /// It is no JSON, or too deep.
    Broken,
    /// Between the parts of a document, or before it.
    Between,
    /// Behind the value of the document.
    Behind,
    /// Behind the backslash of a text.
    Escape,
    /// In a number, or one of the words `true`, `false` and `null`.
    Scalar,
    /// In a text.
    Text,
    /// In an escape of four hexadecimal digits: how many there were, and their value.
    Unit(u8, u16),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Role {
    Content,
    Name,
    Other,
}

/// An array or object that is open.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Level {
    /// The places that lead to it.
    places: u32,
    /// The index of the element of the array.
    index: u32,
}

/// Numbers of tokens, of which no later one is smaller.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Counts {
    pub(super) cache_read: Option<u64>,
    pub(super) cache_write: Option<u64>,
    pub(super) input: Option<u64>,
    pub(super) output: Option<u64>,
    pub(super) total: Option<u64>,
}

impl Scan {
    pub(super) fn new(places: Places) -> Self {
        let here = places.all();
        Self {
            places,
            state: State::Between,
            role: Role::Other,
            is_name_next: false,
            depth: 0,
            objects: 0,
            levels: [Level::default(); Pointer::MAX_STEPS],
            here,
            word: Word::default(),
            found: Counts::default(),
            counts: Counts::default(),
            content: 0,
        }
    }

    /// What was found in the documents that have ended.
    pub(super) const fn counts(&self) -> &Counts {
        &self.counts
    }

    /// How long the texts are that were made for the buyer, in bytes of UTF-8.
    pub(super) const fn content(&self) -> u64 {
        self.content
    }

    /// The bytes that are held beside the scan itself.
    #[cfg(test)]
    pub(super) fn memory(&self) -> usize {
        let pointers = match &self.places {
            Places::Known(_) => 0,
            Places::Told { input, output } => {
                let steps = input.steps().iter().chain(output.steps());
                steps.map(|step| size_of_val(step) + step.len()).sum()
            }
        };
        self.word.bytes.capacity() + pointers
    }

    /// Reads on.
    pub(super) fn feed(&mut self, mut bytes: &[u8]) {
        while let Some((byte, rest)) = bytes.split_first() {
            bytes = match self.state {
                State::Broken => return,
                State::Text => self.text(bytes),
                State::Between | State::Behind => {
                    self.between(*byte);
                    rest
                }
                State::Escape => {
                    self.escape(*byte);
                    rest
                }
                State::Unit(count, value) => {
                    self.unit(*byte, count, value);
                    rest
                }
                State::Scalar => {
                    self.scalar(*byte);
                    rest
                }
            };
        }
    }

    /// Ends a document. What was found counts if it was whole.
    pub(super) fn end(&mut self) {
        if self.state == State::Scalar {
            self.end_scalar();
        }
        if self.state == State::Behind {
            self.counts.raise(&self.found);
        }
        self.found = Counts::default();
        self.state = State::Between;
        (self.depth, self.objects) = (0, 0);
        self.is_name_next = false;
        self.here = self.places.all();
    }

    fn between(&mut self, byte: u8) {
        match byte {
            b' ' | b'\t' | b'\n' | b'\r' => {}
            _ if self.state == State::Behind => self.state = State::Broken,
            b'{' => self.open(true),
            b'[' => self.open(false),
            b'}' => self.close(true),
            b']' => self.close(false),
            b',' => self.next(),
            b':' => self.is_name_next = false,
            b'"' => self.begin_text(),
            _ => {
                self.word.clear();
                self.state = State::Scalar;
                self.scalar(byte);
            }
        }
    }

    fn open(&mut self, is_object: bool) {
        if self.depth >= MAX_DEPTH {
            self.state = State::Broken;
            return;
        }
        if let Some(level) = self.levels.get_mut(self.depth) {
            *level = Level { places: self.here, index: 0 };
        }
        let bit = 1 << self.depth;
        self.objects = if is_object { self.objects | bit } else { self.objects & !bit };
        self.depth += 1;
        self.is_name_next = is_object;
        self.here = if is_object { 0 } else { self.follow("0") };
    }

    fn close(&mut self, is_object: bool) {
        if self.depth == 0 || self.is_in_object() != is_object {
            self.state = State::Broken;
            return;
        }
        self.depth -= 1;
        self.end_value();
    }

    /// Behind a comma: the next element, or the name of the next member.
    fn next(&mut self) {
        self.is_name_next = self.is_in_object();
        self.here = 0;
        let outer = self.depth.wrapping_sub(1);
        let Some(level) = self.levels.get_mut(outer).filter(|level| level.places != 0) else {
            return;
        };
        if !self.is_name_next {
            level.index = level.index.saturating_add(1);
            let index = level.index.to_string();
            self.here = self.follow(&index);
        }
    }

    fn is_in_object(&self) -> bool {
        self.depth.checked_sub(1).is_some_and(|outer| self.objects & (1 << outer) != 0)
    }

    /// The places that go on with that name or index in the innermost array or object.
    fn follow(&self, name: &str) -> u32 {
        let outer = self.depth.wrapping_sub(1);
        let places = self.levels.get(outer).map_or(0, |level| level.places);
        if places == 0 { 0 } else { self.places.follow(places, outer, name) }
    }

    fn end_value(&mut self) {
        self.here = 0;
        self.state = if self.depth == 0 { State::Behind } else { State::Between };
    }

    fn begin_text(&mut self) {
        let mut meanings = self.places.meanings(self.here, self.depth);
        self.role = if self.is_name_next {
            Role::Name
        } else if meanings.any(|meaning| meaning == Meaning::Content) {
            Role::Content
        } else {
            Role::Other
        };
        self.word.clear();
        self.state = State::Text;
    }

    /// Reads a text on to its end or to a backslash, and gives what is behind.
    fn text<'b>(&mut self, bytes: &'b [u8]) -> &'b [u8] {
        let is_special = |byte: &u8| matches!(byte, b'"' | b'\\');
        let length = bytes.iter().position(is_special).unwrap_or(bytes.len());
        let (plain, rest) = bytes.split_at_checked(length).unwrap_or((bytes, &[]));
        self.take(plain, plain.len());
        let Some((special, rest)) = rest.split_first() else { return rest };
        if *special == b'"' {
            self.end_text();
        } else {
            self.take(b"\\", 0);
            self.state = State::Escape;
        }
        rest
    }

    /// Takes a part of a text, which stands for so many bytes.
    fn take(&mut self, part: &[u8], length: usize) {
        match self.role {
            Role::Content => self.content = self.content.saturating_add(length as u64),
            Role::Name => self.word.extend(part, Pointer::MAX_STEP_LEN),
            Role::Other => {}
        }
    }

    fn escape(&mut self, byte: u8) {
        let is_unit = byte == b'u';
        self.take(&[byte], usize::from(!is_unit));
        self.state = if is_unit { State::Unit(0, 0) } else { State::Text };
    }

    fn unit(&mut self, byte: u8, count: u8, value: u16) {
        let Some(digit) = char::from(byte).to_digit(16).and_then(|digit| u16::try_from(digit).ok())
        else {
            self.state = State::Broken;
            return;
        };
        let (count, value) = (count + 1, (value << 4) | digit);
        let is_last = count == 4;
        self.take(&[byte], if is_last { encoded_len(value) } else { 0 });
        self.state = if is_last { State::Text } else { State::Unit(count, value) };
    }

    fn end_text(&mut self) {
        if self.role == Role::Name {
            self.state = State::Between;
            self.is_name_next = false;
            self.here = self.word.name().map_or(0, |name| self.follow(&name));
        } else {
            self.end_value();
        }
    }

    fn scalar(&mut self, byte: u8) {
        match byte {
            b' ' | b'\t' | b'\n' | b'\r' | b',' | b':' | b'{' | b'}' | b'[' | b']' | b'"' => {
                self.end_scalar();
                self.between(byte);
            }
            _ => self.word.extend(&[byte], MAX_DIGITS),
        }
    }

    fn end_scalar(&mut self) {
        if self.here != 0
            && let Some(number) = self.word.number()
        {
            let meanings = self.places.meanings(self.here, self.depth);
            meanings.for_each(|meaning| self.found.raise_one(meaning, number));
        }
        self.end_value();
    }
}

/// How many bytes of UTF-8 a unit of UTF-16 stands for; half a surrogate pair, for half of them.
const fn encoded_len(unit: u16) -> usize {
    match unit {
        0..=0x7f => 1,
        0x80..=0x7ff | 0xd800..=0xdfff => 2,
        _ => 3,
    }
}

impl Counts {
    fn slot(&mut self, meaning: Meaning) -> Option<&mut Option<u64>> {
        match meaning {
            Meaning::CacheRead => Some(&mut self.cache_read),
            Meaning::CacheWrite => Some(&mut self.cache_write),
            Meaning::Content => None,
            Meaning::Input => Some(&mut self.input),
            Meaning::Output => Some(&mut self.output),
            Meaning::Total => Some(&mut self.total),
        }
    }

    fn raise_one(&mut self, meaning: Meaning, number: u64) {
        if let Some(slot) = self.slot(meaning) {
            *slot = (*slot).max(Some(number));
        }
    }

    fn raise(&mut self, other: &Self) {
        self.cache_read = self.cache_read.max(other.cache_read);
        self.cache_write = self.cache_write.max(other.cache_write);
        self.input = self.input.max(other.input);
        self.output = self.output.max(other.output);
        self.total = self.total.max(other.total);
    }
}

/// A name or number of a bounded length.
#[derive(Clone, Debug, Default, PartialEq)]
struct Word {
    bytes: Vec<u8>,
    is_too_long: bool,
}

impl Word {
    fn clear(&mut self) {
        self.bytes.clear();
        self.is_too_long = false;
    }

    fn extend(&mut self, bytes: &[u8], most: usize) {
        if self.bytes.len().saturating_add(bytes.len()) > most {
            self.is_too_long = true;
        } else {
            self.bytes.extend_from_slice(bytes);
        }
    }

    /// The name, escapes resolved.
    fn name(&self) -> Option<std::borrow::Cow<'_, str>> {
        let raw = core::str::from_utf8(&self.bytes).ok().filter(|_| !self.is_too_long)?;
        if raw.contains('\\') {
            serde_json::from_str(&format!("\"{raw}\"")).ok().map(String::into)
        } else {
            Some(raw.into())
        }
    }

    /// The number, if it is a whole one of 64 bits.
    fn number(&self) -> Option<u64> {
        let is_whole = !self.is_too_long && self.bytes.iter().all(u8::is_ascii_digit);
        core::str::from_utf8(&self.bytes).ok().filter(|_| is_whole)?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metering::usage::places;

    fn told(input: &str, output: &str) -> Scan {
        let [input, output] = [input, output].map(|text| Pointer::parse(text).unwrap());
        Scan::new(Places::Told { input, output })
    }

    fn found(mut scan: Scan, document: &str) -> (Option<u64>, Option<u64>) {
        scan.feed(document.as_bytes());
        scan.end();
        (scan.counts.input, scan.counts.output)
    }

    #[test]
    fn finds_what_pointers_lead_to() {
        let document = r#" {"a": {"b": [1, {"c": 7, "d": [[], {"e": 9}]}], "b~": 3}, "f/": 5 } "#;
        for (pointer, expected) in [
            ("/a/b/0", Some(1)),
            ("/a/b/1/c", Some(7)),
            ("/a/b/1/d/1/e", Some(9)),
            ("/a/b~0", Some(3)),
            ("/f~1", Some(5)),
            ("/a/b", None),
            ("/a/b/2", None),
            ("/a/b/00", None),
            ("/b", None),
            ("/c", None),
            ("", None),
        ] {
            assert_eq!(found(told(pointer, "/f~1"), document), (expected, Some(5)), "{pointer}");
        }
        assert_eq!(found(told("", "/x"), "42"), (Some(42), None));
    }

    #[test]
    fn takes_nothing_from_texts_and_other_values() {
        for document in [
            r#"{"t": "\"usage\": {\"n\": 5}"}"#,
            r#"{"n": "5"}"#,
            r#"{"n": -5}"#,
            r#"{"n": 5.5}"#,
            r#"{"n": 5e3}"#,
            r#"{"n": null}"#,
            r#"{"n": [5]}"#,
            r#"{"n": 18446744073709551616}"#,
            r#"{"n": 000000000000000000000000000005}"#,
            r#"["n", 5]"#,
            r#"{"x": "n", "y": 5}"#,
        ] {
            assert_eq!(found(told("/n", "/usage/n"), document), (None, None), "{document}");
        }
        let most = r#"{"n": 18446744073709551615}"#;
        assert_eq!(found(told("/n", "/x"), most).0, Some(u64::MAX));
    }

    #[test]
    fn takes_nothing_from_what_is_no_whole_document() {
        for document in [
            r#"{"n": 5"#,
            r#"{"n": 5]"#,
            r#"{"n": 5}}"#,
            r#"{"n": 5} 6"#,
            r#"{"n": 5, "t": "\uZZZZ"}"#,
            r#"{"n": 5, "t": "}"#,
            "[DONE]",
            "",
            "]",
            "}",
            ",",
        ] {
            assert_eq!(found(told("/n", "/x"), document), (None, None), "{document}");
        }
        let nested = |depth| format!("{}{}, 7]", "[".repeat(depth), "]".repeat(depth - 1));
        assert_eq!(found(told("/1", "/x"), &nested(MAX_DEPTH)).0, Some(7));
        assert_eq!(found(told("/1", "/x"), &nested(MAX_DEPTH + 1)).0, None);
    }

    #[test]
    fn resolves_the_escapes_of_names() {
        assert_eq!(found(told("/n é", "/x"), r#"{"\u006e \u00e9": 5}"#).0, Some(5));
        let long = "x".repeat(Pointer::MAX_STEP_LEN);
        assert_eq!(
            found(told(&format!("/{long}"), "/x"), &format!("{{\"{long}\": 5}}")).0,
            Some(5)
        );
        assert_eq!(found(told(&format!("/{long}"), "/x"), &format!("{{\"{long}y\": 5}}")).0, None);
    }

    #[test]
    fn counts_the_bytes_that_a_text_stands_for() {
        for text in ["", "hello", "日本語", "\u{1F600}x", "a\n\"\\\u{7f}é"] {
            for spelling in [serde_json::to_string(text).unwrap(), in_ascii(text)] {
                let mut scan = Scan::new(Places::Known(places::ANTHROPIC_EVENTS));
                scan.feed(
                    format!(r#"{{"text": "no", "delta": {{"text": {spelling}}}}}"#).as_bytes(),
                );
                assert_eq!(scan.content(), text.len() as u64, "{spelling}");
            }
        }
    }

    /// What serde_json finds in documents that look random, it finds too, cut anywhere.
    #[test]
    fn finds_what_another_reader_finds() {
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        let mut next = move |below: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % below
        };
        let mut hits = 0;
        for _ in 0..20_000 {
            let document = random_value(&mut next, 0);
            let steps = next(4);
            let pointer: String =
                (0..steps).map(|_| format!("/{}", random_name(&mut next))).collect();
            let expected = document.pointer(&pointer).and_then(serde_json::Value::as_u64);
            let text = match next(2) {
                0 => document.to_string(),
                _ => serde_json::to_string_pretty(&document).unwrap(),
            };
            let (one, other) = text.as_bytes().split_at(next(text.len() as u64 + 1) as usize);
            let mut scan = told(&pointer, "/none");
            scan.feed(one);
            scan.feed(other);
            scan.end();
            assert_eq!(scan.counts.input, expected, "{pointer} {text}");
            hits += usize::from(expected.is_some());
        }
        assert!(hits > 500, "{hits}");
    }

    fn random_name(next: &mut impl FnMut(u64) -> u64) -> &'static str {
        ["a", "b", "0", "1", "é\"", ""][next(6) as usize]
    }

    fn random_value(next: &mut impl FnMut(u64) -> u64, depth: u32) -> serde_json::Value {
        let length = next(4);
        match next(if depth < 5 { 8 } else { 5 }) {
            0 => serde_json::Value::Null,
            1 => (next(2) == 0).into(),
            2 => ["", "{", "\"a\":1,", "\\", "]é"][next(5) as usize].into(),
            3 => (next(100) as f64 / 3.0 - 9.0).into(),
            4 => (u64::MAX >> next(64)).into(),
            5 => (0..length).map(|_| random_value(next, depth + 1)).collect(),
            _ => {
                let members =
                    (0..length).map(|_| (random_name(next), random_value(next, depth + 1)));
                members.map(|(name, value)| (name.to_owned(), value)).collect()
            }
        }
    }

    /// As Python writes it.
    fn in_ascii(text: &str) -> String {
        let mut units = [0; 2];
        let escaped = text.chars().map(|c| match c {
            ' '..='~' if !matches!(c, '"' | '\\') => c.to_string(),
            c => c.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")).collect(),
        });
        format!("\"{}\"", escaped.collect::<String>())
    }
}
