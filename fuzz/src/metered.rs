//! Usage as serde_json has it, out of whole documents and streams.

use std::collections::BTreeMap;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use x402_std::metering::usage::Pointer;

/// What stands at a place.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum What {
    CacheRead,
    CacheWrite,
    Content,
    Input,
    Output,
    Total,
}

/// Places, and what stands there: names, of which nothing is each.
pub type Places = Vec<(What, Vec<Option<String>>)>;

/// What was found: the largest number of a kind, and how long the contents are together.
#[derive(Clone, Debug, Default)]
pub struct Found {
    numbers: BTreeMap<What, u64>,
    pub content: u64,
    /// Whether a name came twice in one object.
    pub has_twins: bool,
}

impl Found {
    /// In a document; nothing where it is no JSON.
    pub fn of(document: &[u8], places: &Places) -> Option<Self> {
        let mut found = Self::default();
        let mut reader = serde_json::Deserializer::from_slice(document);
        Walk { places, path: &mut vec![], found: &mut found }.deserialize(&mut reader).ok()?;
        reader.end().ok()?;
        Some(found)
    }

    pub fn add(&mut self, other: &Self) {
        self.content += other.content;
        other.numbers.iter().for_each(|(what, number)| self.raise(*what, *number));
    }

    pub fn input(&self) -> Option<u64> {
        let cache = |what| self.numbers.get(what).copied().unwrap_or_default();
        let input = self.numbers.get(&What::Input)?;
        Some(input.saturating_add(cache(&What::CacheRead)).saturating_add(cache(&What::CacheWrite)))
    }

    pub fn output(&self) -> Option<u64> {
        let rest = || self.numbers.get(&What::Total)?.checked_sub(*self.numbers.get(&What::Input)?);
        self.numbers.get(&What::Output).copied().or_else(rest)
    }

    fn raise(&mut self, what: What, number: u64) {
        let known = self.numbers.entry(what).or_default();
        *known = number.max(*known);
    }
}

/// The places of those who are known, as their references have them.
pub fn places(is_anthropic: bool, is_stream: bool) -> Places {
    use What::{CacheRead, CacheWrite, Content, Input, Output, Total};
    let anthropic: &[_] = &[
        (Input, "usage.input_tokens"),
        (Output, "usage.output_tokens"),
        (CacheRead, "usage.cache_read_input_tokens"),
        (CacheWrite, "usage.cache_creation_input_tokens"),
    ];
    let open_ai: &[_] = &[
        (Input, "usage.prompt_tokens"),
        (Output, "usage.completion_tokens"),
        (Total, "usage.total_tokens"),
        (Input, "usage.input_tokens"),
        (Output, "usage.output_tokens"),
        (Content, "choices.*.text"),
    ];
    let more: &[_] = match (is_anthropic, is_stream) {
        (true, true) => &[
            (Input, "message.usage.input_tokens"),
            (CacheRead, "message.usage.cache_read_input_tokens"),
            (CacheWrite, "message.usage.cache_creation_input_tokens"),
            (Content, "delta.text"),
            (Content, "delta.thinking"),
            (Content, "delta.partial_json"),
        ],
        (true, false) => &[(Content, "content.*.text"), (Content, "content.*.thinking")],
        (false, true) => &[
            (Input, "response.usage.input_tokens"),
            (Output, "response.usage.output_tokens"),
            (Total, "response.usage.total_tokens"),
            (Content, "choices.*.delta.content"),
            (Content, "choices.*.delta.reasoning_content"),
            (Content, "choices.*.delta.refusal"),
            (Content, "choices.*.delta.tool_calls.*.function.arguments"),
            (Content, "delta"),
        ],
        (false, false) => &[
            (Content, "choices.*.message.content"),
            (Content, "choices.*.message.reasoning_content"),
            (Content, "choices.*.message.refusal"),
            (Content, "choices.*.message.tool_calls.*.function.arguments"),
            (Content, "output.*.content.*.text"),
            (Content, "output.*.summary.*.text"),
            (Content, "output.*.arguments"),
        ],
    };
    let known = if is_anthropic { anthropic } else { open_ai };
    let name = |name: &str| (name != "*").then(|| name.to_owned());
    let names = |path: &str| path.split('.').map(name).collect();
    known.iter().chain(more).map(|(what, path)| (*what, names(path))).collect()
}

/// The places that two pointers lead to.
pub fn told(input: &Pointer, output: &Pointer) -> Places {
    let names = |pointer: &Pointer| {
        let text = pointer.to_string();
        let unescaped = |name: &str| Some(name.replace("~1", "/").replace("~0", "~"));
        text.split('/').skip(1).map(unescaped).collect()
    };
    vec![(What::Input, names(input)), (What::Output, names(output))]
}

struct Walk<'w> {
    places: &'w Places,
    path: &'w mut Vec<String>,
    found: &'w mut Found,
}

impl Walk<'_> {
    fn at(&mut self, name: String) -> Walk<'_> {
        self.path.push(name);
        Walk { places: self.places, path: self.path, found: self.found }
    }

    fn whats(&self) -> impl Iterator<Item = What> {
        let is_here = |names: &[Option<String>]| {
            let is_same = |(name, here): (&Option<String>, &String)| {
                name.as_ref().is_none_or(|name| name == here)
            };
            names.len() == self.path.len() && names.iter().zip(&*self.path).all(is_same)
        };
        self.places.iter().filter(move |(_, names)| is_here(names)).map(|(what, _)| *what)
    }
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, number: u64) -> Result<(), E> {
        let whats: Vec<_> = self.whats().filter(|what| *what != What::Content).collect();
        whats.into_iter().for_each(|what| self.found.raise(what, number));
        Ok(())
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        if self.whats().any(|what| what == What::Content) {
            self.found.content += text.len() as u64;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut values: A) -> Result<(), A::Error> {
        let mut index: usize = 0;
        while values.next_element_seed(self.at(index.to_string()))?.is_some() {
            self.path.pop();
            index += 1;
        }
        self.path.pop();
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut members: A) -> Result<(), A::Error> {
        let mut names = std::collections::HashSet::new();
        while let Some(name) = members.next_key::<String>()? {
            self.found.has_twins |= !names.insert(name.clone());
            members.next_value_seed(self.at(name))?;
            self.path.pop();
        }
        Ok(())
    }
}

/// The data of each event, and whether the event has ended; events without data are none.
///
/// A stream that breaks off ends its last line, and its last event.
pub fn events(stream: &[u8]) -> Vec<(Vec<u8>, bool)> {
    let stream = stream.strip_prefix("\u{feff}".as_bytes()).unwrap_or(stream);
    let mut events = vec![];
    let mut data: Option<Vec<u8>> = None;
    for line in lines(stream) {
        if line.is_empty() {
            events.extend(data.take().map(|data| (data, true)));
            continue;
        }
        let colon = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
        let (name, value) = line.split_at(colon);
        if name == b"data" {
            let value = value.strip_prefix(b":").unwrap_or(value);
            let value = value.strip_prefix(b" ").unwrap_or(value);
            data = Some(match data {
                Some(before) => [&before, &b"\n"[..], value].concat(),
                None => value.to_vec(),
            });
        }
    }
    events.extend(data.map(|data| (data, false)));
    events
}

/// Ended by a line feed, a carriage return, or one behind the other; behind the last end, what is
/// there is one too, if it is anything.
fn lines(stream: &[u8]) -> Vec<&[u8]> {
    let mut lines = vec![];
    let mut rest = stream;
    while let Some(at) = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
        lines.push(&rest[..at]);
        rest = &rest[at..];
        rest = rest.strip_prefix(b"\r\n").unwrap_or(&rest[1..]);
    }
    lines.extend(Some(rest).filter(|rest| !rest.is_empty()));
    lines
}
