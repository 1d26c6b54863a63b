//! The body of a 402, which has the terms of v1.

use super::super::pick::Picker;
use super::answer::{Bounds, Choice, Dialect};
use crate::Amount;
use crate::wire::Version;

/// Reads the JSON of a body, a byte at a time, for what may be paid of it.
pub(in crate::device) struct BodyReader<'b> {
    bounds: Bounds<'b>,
    picker: Picker<'b, (Amount, u32), true>,
    is_json: bool,
}

impl<'b> BodyReader<'b> {
    /// `entry` is where an entry of `accepts` is kept while it is judged.
    pub(super) fn new(bounds: Bounds<'b>, entry: &'b mut [u8]) -> Self {
        Self { bounds, picker: Picker::new(entry), is_json: true }
    }

    /// Takes a byte. Behind one that is no JSON, the rest is passed over.
    pub(in crate::device) fn push(&mut self, byte: u8) {
        if self.is_json {
            let bounds = self.bounds;
            self.is_json =
                self.picker.push_byte(byte, &|entry| bounds.choose(Version::V1, entry)).is_ok();
        }
    }

    /// What may be paid, after the last byte.
    pub(super) fn finish(self) -> Option<Choice> {
        self.picker.finish_bytes().ok().filter(|()| self.is_json)?;
        let ((amount, timeout_seconds), _) = self.picker.picked()?;
        Some(Choice { amount, timeout_seconds, dialect: Dialect::V1 })
    }
}
