//! JSON as serde_json reads it.

use std::collections::{BTreeMap, HashSet};

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value as Oracle;
use x402_core::wire::json::{self, Value};

/// What serde_json says of a document that we have read; nothing where it has a number that 64 bits do
/// not hold, which is a text here.
pub fn oracle(document: &[u8]) -> Option<Oracle> {
    match serde_json::from_slice(document) {
        Ok(oracle) => Some(oracle),
        Err(error) if error.to_string().contains("out of range") => None,
        Err(error) => panic!("it is JSON to us, and not to serde_json: {error}"),
    }
}

/// What our reader made of a document, by walking it. Numbers are the texts that they are.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Tree {
    Array(Vec<Self>),
    Bool(bool),
    Null,
    Number(String),
    Object(BTreeMap<String, Self>),
    Text(String),
}

impl Tree {
    pub fn of(value: Value<'_>) -> Self {
        if let Some(object) = value.as_object() {
            let members = object.iter().map(|(key, value)| (key.to_string(), Self::of(value)));
            return Self::Object(members.collect());
        }
        if let Some(array) = value.as_array() {
            return Self::Array(array.iter().map(Self::of).collect());
        }
        match (value.as_text(), value.as_number(), value.as_bool()) {
            (Some(text), ..) => Self::Text(text.to_string()),
            (_, Some(number), _) => Self::Number(number.to_owned()),
            (.., Some(truth)) => Self::Bool(truth),
            (None, None, None) => Self::Null,
        }
    }

    /// The same as serde_json has it, with the numbers as it reads them.
    pub fn into_oracle(self) -> Oracle {
        match self {
            Self::Array(values) => values.into_iter().map(Self::into_oracle).collect(),
            Self::Bool(truth) => truth.into(),
            Self::Null => Oracle::Null,
            Self::Number(text) => serde_json::from_str(&text).unwrap_or(Oracle::Null),
            Self::Object(members) => {
                members.into_iter().map(|(key, value)| (key, value.into_oracle())).collect()
            }
            Self::Text(text) => text.into(),
        }
    }

    /// Whether it has all that is expected of it, and nothing else where it is to be exact.
    pub fn fits(&self, expected: &Self, is_exact: bool) -> bool {
        match (self, expected) {
            (Self::Number(ours), Self::Number(theirs)) => is_same_number(ours, theirs),
            (Self::Object(ours), Self::Object(theirs)) => {
                let fits = |(key, theirs): (&String, &Self)| {
                    ours.get(key).is_some_and(|ours| ours.fits(theirs, is_exact))
                };
                (!is_exact || ours.len() == theirs.len()) && theirs.iter().all(fits)
            }
            (Self::Array(ours), Self::Array(theirs)) => {
                let fits = |(ours, theirs): (&Self, &Self)| ours.fits(theirs, true);
                ours.len() == theirs.len() && ours.iter().zip(theirs).all(fits)
            }
            (ours, theirs) => ours == theirs,
        }
    }
}

/// Integers are the same where they are written so, other numbers where 64 bits have them so.
fn is_same_number(ours: &str, theirs: &str) -> bool {
    let is_integer = |text: &str| !text.contains(['.', 'e', 'E']);
    let float = |text: &str| text.parse::<f64>().ok().filter(|number| number.is_finite());
    let is_close = || float(ours).is_some_and(|ours| Some(ours) == float(theirs));
    ours == theirs || (!(is_integer(ours) && is_integer(theirs)) && is_close())
}

/// Whether a document that is JSON is within our reader's bounds, counted on serde_json's walk.
/// Nothing where it is no JSON to serde_json.
pub fn is_bounded(document: &[u8]) -> Result<bool, serde_json::Error> {
    let mut shape = Shape { is_bounded: document.len() <= json::MAX_LEN };
    let mut reader = serde_json::Deserializer::from_slice(document);
    Walk { shape: &mut shape, depth: 0, open: 0 }.deserialize(&mut reader)?;
    reader.end()?;
    Ok(shape.is_bounded)
}

struct Shape {
    is_bounded: bool,
}

struct Walk<'s> {
    shape: &'s mut Shape,
    depth: usize,
    /// How many keys there are of the objects around.
    open: usize,
}

impl Walk<'_> {
    fn deeper(&mut self, open: usize) -> Walk<'_> {
        Walk { shape: &mut *self.shape, depth: self.depth + 1, open }
    }

    fn bound(&mut self, is_bounded: bool) {
        self.shape.is_bounded &= is_bounded;
    }
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_any(self)
    }
}

macro_rules! leaves {
    ($($name:ident: $type:ty,)*) => {$(
        fn $name<E: serde::de::Error>(self, _: $type) -> Result<(), E> {
            Ok(())
        }
    )*};
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    leaves! {
        visit_bool: bool,
        visit_f64: f64,
        visit_i64: i64,
        visit_str: &str,
        visit_u64: u64,
    }

    fn expecting(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut values: A) -> Result<(), A::Error> {
        self.bound(self.depth < json::MAX_DEPTH);
        let open = self.open;
        while values.next_element_seed(self.deeper(open))?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut members: A) -> Result<(), A::Error> {
        self.bound(self.depth < json::MAX_DEPTH);
        let mut keys = HashSet::<String>::new();
        let mut count = 0;
        while let Some(key) = members.next_key::<String>()? {
            count += 1;
            let is_new = keys.insert(key);
            let open = self.open + count;
            self.bound(is_new && count <= json::MAX_MEMBERS && open <= json::MAX_KEYS);
            members.next_value_seed(self.deeper(open))?;
        }
        Ok(())
    }
}
