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
    check::document(document)
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
