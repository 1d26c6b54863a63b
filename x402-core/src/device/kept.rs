use crate::head::HeadError;
use crate::headers::is_name;

/// How many fields are kept of a head; a payment has fewer.
const MAX_FIELDS: usize = 14;

/// The fields of a head that are worth keeping, in a buffer of the caller.
#[derive(Debug)]
pub(super) struct Kept<'b> {
    buffer: &'b mut [u8],
    used: usize,
    fields: [Span; MAX_FIELDS],
    count: usize,
    /// The field that is being written.
    open: Span,
}

/// Where a field stands: its name, and its value behind it.
#[derive(Clone, Copy, Debug, Default)]
struct Span {
    start: usize,
    name_end: usize,
    end: usize,
}

impl<'b> Kept<'b> {
    pub(super) fn new(buffer: &'b mut [u8]) -> Self {
        let fields = [Span::default(); MAX_FIELDS];
        Self { buffer, used: 0, fields, count: 0, open: Span::default() }
    }

    /// Puts a byte to the field that is being written.
    pub(super) fn push(&mut self, byte: u8) -> Result<(), HeadError> {
        let slot = self.buffer.get_mut(self.used).ok_or(HeadError::TooLong)?;
        *slot = byte;
        self.used += 1;
        Ok(())
    }

    /// As [`Self::push`], many at once.
    pub(super) fn extend(&mut self, bytes: &[u8]) -> Result<(), HeadError> {
        let rest = self.buffer.get_mut(self.used..).unwrap_or_default();
        rest.get_mut(..bytes.len()).ok_or(HeadError::TooLong)?.copy_from_slice(bytes);
        self.used += bytes.len();
        Ok(())
    }

    /// What was written is the name.
    pub(super) fn name(&mut self) -> &str {
        self.open.name_end = self.used;
        text(self.buffer.get(self.open.start..self.used))
    }

    /// Forgets the field that is being written.
    pub(super) const fn discard(&mut self) {
        self.used = self.open.start;
    }

    /// Keeps the field that is being written, without the blanks at its end.
    pub(super) fn close(&mut self) -> Result<(), HeadError> {
        while self.used > self.open.name_end && self.is_blank_before(self.used) {
            self.used -= 1;
        }
        let slot = self.fields.get_mut(self.count).ok_or(HeadError::TooManyFields)?;
        *slot = Span { end: self.used, ..self.open };
        self.count += 1;
        self.open.start = self.used;
        Ok(())
    }

    fn is_blank_before(&self, at: usize) -> bool {
        let last = at.checked_sub(1).and_then(|at| self.buffer.get(at));
        matches!(last, Some(b' ' | b'\t'))
    }

    /// The fields that were kept, names and values, in their order.
    pub(super) fn fields(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.fields.iter().take(self.count).map(|span| {
            let name = text(self.buffer.get(span.start..span.name_end));
            (name, self.buffer.get(span.name_end..span.end).unwrap_or_default())
        })
    }

    /// The value of the only field of that name; whether there is none, or more than one.
    pub(super) fn only(&self, name: &str) -> Result<Option<&[u8]>, FieldsError> {
        let mut found = self.fields().filter(|(known, _)| is_name(known, name));
        let first = found.next().map(|(_, value)| value);
        if found.next().is_some() { Err(FieldsError::Duplicate) } else { Ok(first) }
    }
}

/// Names are ASCII: the grammar lets nothing else in.
fn text(bytes: Option<&[u8]>) -> &str {
    bytes.and_then(|bytes| core::str::from_utf8(bytes).ok()).unwrap_or_default()
}

/// Why the fields of a head cannot be trusted.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum FieldsError {
    /// A field appears twice that may appear once.
    Duplicate,
    /// The length of the body is no number, or is said in two ways.
    Length,
}

impl core::fmt::Display for FieldsError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Duplicate => "a header field appears twice that may appear once",
            Self::Length => "the length of the body is unclear",
        })
    }
}

impl core::error::Error for FieldsError {}
