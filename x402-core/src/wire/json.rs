/*!
A strict, bounded reader of JSON ([RFC 8259](https://www.rfc-editor.org/rfc/rfc8259)) over the
caller's bytes.

[`parse`] checks the whole document once; what it gives are spans of the document, walked when they
are asked for. It allocates nothing, and takes no more stack for a deep document than for a shallow
one may have.

Refused, beside what is no JSON: a member that an object has twice (readers differ in which of them
they take), half a surrogate pair, a byte-order mark, bytes behind the value, and whatever exceeds
[`MAX_LEN`], [`MAX_DEPTH`], [`MAX_MEMBERS`] or [`MAX_KEYS`].
*/

mod check;
mod emit;
mod scan;
mod text;
mod value;

use core::fmt;

pub use emit::{Quoted, emitted_len};
pub use text::Text;
pub use value::{Array, Object, Value};

/// The longest document, in bytes.
pub const MAX_LEN: usize = u16::MAX as usize;
/// How deep arrays and objects may be in each other.
pub const MAX_DEPTH: usize = 16;
/// How many members an object may have.
pub const MAX_MEMBERS: usize = 128;
/// How many members the objects that are in each other may have, all together.
pub const MAX_KEYS: usize = 256;

/// Checks a document and gives its value.
///
/// # Errors
///
/// [`JsonError`], the first thing that is wrong.
pub fn parse(document: &[u8]) -> Result<Value<'_>, JsonError> {
    check::document(document, &[], &mut [])
}

/// As [`parse`]; finds members in the same pass, each in the place that it is wanted at.
///
/// What is wanted is looked for in objects that are in each other, not in arrays.
///
/// # Errors
///
/// As [`parse`].
pub fn parse_for<'a, const N: usize>(
    document: &'a [u8],
    wanted: &[Wanted],
) -> Result<(Value<'a>, [Option<Value<'a>>; N]), JsonError> {
    let mut found = [None; N];
    let value = check::document(document, wanted, &mut found)?;
    Ok((value, found))
}

/// A member that is wanted of an object.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    /// Its name.
    pub name: &'static str,
    /// Where its value is put.
    pub place: usize,
    /// Where it is an object: what is wanted of it.
    pub members: &'static [Self],
}

impl Wanted {
    /// A member of which nothing more is wanted.
    #[must_use]
    pub const fn new(name: &'static str, place: usize) -> Self {
        Self { name, place, members: &[] }
    }

    /// An object, of which members are wanted.
    #[must_use]
    pub const fn object(name: &'static str, place: usize, members: &'static [Self]) -> Self {
        Self { name, place, members }
    }
}

/// Why a document is not read.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum JsonError {
    /// Deeper than [`MAX_DEPTH`].
    Depth,
    /// An object has a member twice.
    Duplicate,
    /// The bytes are no UTF-8.
    Encoding,
    /// Longer than [`MAX_LEN`].
    Length,
    /// More members than [`MAX_MEMBERS`] or [`MAX_KEYS`].
    Members,
    /// Half a surrogate pair.
    Surrogate,
    /// No JSON.
    Syntax,
    /// Something follows the value.
    Trailing,
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Depth => "the JSON is too deep",
            Self::Duplicate => "an object of the JSON has a member twice",
            Self::Encoding => "the JSON is not in UTF-8",
            Self::Length => "the JSON is too long",
            Self::Members => "an object of the JSON has too many members",
            Self::Surrogate => "a text of the JSON has half a surrogate pair",
            Self::Syntax => "it is no JSON",
            Self::Trailing => "something follows the JSON",
        })
    }
}

impl core::error::Error for JsonError {}

#[cfg(test)]
mod tests {
    use super::*;

    const WANTED: &[Wanted] = &[
        Wanted::new("a", 0),
        Wanted::object("b", 1, &[Wanted::new("a", 2), Wanted::object("c", 3, &[])]),
    ];

    fn found(document: &str) -> [Option<&str>; 4] {
        let (whole, found) = parse_for(document.as_bytes(), WANTED).unwrap();
        assert_eq!(whole.raw(), document.trim());
        found.map(|value| value.map(Value::raw))
    }

    #[test]
    fn what_is_wanted_is_found_in_its_own_object_only() {
        assert_eq!(
            found(r#" {"a": 1 , "b": {"a":"2", "c":[3]} } "#),
            [Some("1"), Some(r#"{"a":"2", "c":[3]}"#), Some(r#""2""#), Some("[3]"),]
        );
        // In another object, in an array, or deeper than it is wanted.
        for document in [
            r#"{"c":{"a":1},"x":[{"a":2,"b":{"a":3}}]}"#,
            r#"[{"a":1,"b":{"a":2}}]"#,
            r#"{"B":{"a":1},"":{"a":{"a":2}},"aa":1}"#,
        ] {
            assert_eq!(found(document), [None; 4], "{document}");
        }
        assert_eq!(found(r#"{"b":[{"a":1,"c":2}]}"#)[2..], [None; 2]);
        assert_eq!(found(r#"{"b":{"c":{"a":1,"c":2},"d":{"a":3}}}"#)[2], None);
    }

    #[test]
    fn names_are_what_they_mean() {
        assert_eq!(found(r#"{"\u0061":1,"b":{"\u0063":2,"a":3}}"#)[0], Some("1"));
        assert_eq!(found(r#"{"\u0061":1,"b":{"\u0063":2,"a":3}}"#)[2..], [Some("3"), Some("2")]);
        for document in [r#"{"a":1,"\u0061":1}"#, r#"{"\u0061":1,"a":1}"#] {
            assert_eq!(parse(document.as_bytes()).unwrap_err(), JsonError::Duplicate);
        }
    }

    #[test]
    fn one_walk_picks_what_each_would() {
        let value = parse(br#"{"x":[1,{"b":0}],"\u0062": "\\\"," ,"a":{"a":2},"c":null}"#).unwrap();
        let object = value.as_object().unwrap();
        let picked = object.pick(["a", "b", "c", "d", "x"]).map(|value| value.map(Value::raw));
        let one = ["a", "b", "c", "d", "x"].map(|name| object.get(name).map(Value::raw));
        assert_eq!(picked, one);
        assert_eq!(
            picked,
            [Some(r#"{"a":2}"#), Some(r#""\\\",""#), Some("null"), None, Some(r#"[1,{"b":0}]"#),]
        );
    }
}
