//! What the fuzz targets share: how an input is cut up, and other people's readings to compare with.
//!
//! A target is a format. It fails where our code panics, where what is read is not what is written
//! again, or where somebody else's code reads something else.
#![forbid(unsafe_code)]
#![allow(missing_docs, clippy::missing_panics_doc, reason = "a failed target is a panic")]

pub mod evm;
pub mod json;
pub mod metered;
pub mod paper;
pub mod served;
pub mod shop;
pub mod wire;

/// An input as members of fixed length, and what is left of it. Where it has ended there are zeros,
/// so that every input is a case.
#[derive(Clone, Copy, Debug)]
pub struct Cut<'a>(pub &'a [u8]);

impl<'a> Cut<'a> {
    pub fn array<const N: usize>(&mut self) -> [u8; N] {
        let (front, rest) = self.0.split_at(N.min(self.0.len()));
        self.0 = rest;
        let mut array = [0; N];
        array[..front.len()].copy_from_slice(front);
        array
    }

    pub fn byte(&mut self) -> u8 {
        u8::from_be_bytes(self.array())
    }

    pub fn number(&mut self) -> u64 {
        u64::from_be_bytes(self.array())
    }

    /// What is left, if it is a text.
    pub fn text(self) -> Option<&'a str> {
        core::str::from_utf8(self.0).ok()
    }
}

/// Header fields, one a line: `Name: value`.
pub fn fields(data: &[u8]) -> Vec<(&str, &[u8])> {
    let field = |line: &'_ [u8]| -> Option<usize> { line.iter().position(|byte| *byte == b':') };
    let lines = data.split(|byte| *byte == b'\n');
    lines
        .filter_map(|line| {
            let (name, value) = line.split_at(field(line)?);
            let value = value[1..].strip_prefix(b" ").unwrap_or(&value[1..]);
            Some((core::str::from_utf8(name).ok()?, value))
        })
        .collect()
}

/// An input in pieces of these lengths, again and again; a length of 0 is one of 1.
pub fn pieces<'a>(mut data: &'a [u8], lengths: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    let mut lengths = lengths.iter().cycle();
    core::iter::from_fn(move || {
        let length = usize::from(*lengths.next()?).clamp(1, data.len().max(1));
        let (piece, rest) = data.split_at_checked(length)?;
        data = rest;
        Some(piece)
    })
}
