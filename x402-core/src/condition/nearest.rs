use core::fmt;

use super::Declared;

/// Longer names are not compared.
const MAX_NAME: usize = 64;
const LENGTH: &str = "length";

/// A name that may have been meant by one that is not known.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Suggestion<'a> {
    stem: &'a str,
    ending: &'static str,
}

impl<'a> Suggestion<'a> {
    /// The declared name that is nearest, or the name with its ending set right to `_length`.
    pub(super) fn find(name: &'a str, known: &[Declared<'a>]) -> Option<Self> {
        let near = |known: &Declared<'a>| Some((distance_of(name, known.name)?, known.name));
        match known.iter().filter_map(near).min_by_key(|(distance, _)| *distance) {
            Some((_, stem)) => Some(Self { stem, ending: "" }),
            None => Self::of_length(name),
        }
    }

    fn of_length(name: &'a str) -> Option<Self> {
        let underscore = name.bytes().rposition(|byte| byte == b'_');
        let tail = underscore.map_or(0, |underscore| underscore + 1);
        let (stem, tail) = name.split_at_checked(tail)?;
        let is_slip = tail != LENGTH && !stem.is_empty() && distance_of(tail, LENGTH).is_some();
        is_slip.then_some(Self { stem, ending: LENGTH })
    }
}

impl fmt::Display for Suggestion<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.stem)?;
        f.write_str(self.ending)
    }
}

/// How many slips of the pen are between two names, where they are few.
///
/// Of two names that both end with `_length`, what is before is compared: `key_length` is no slip of
/// `body_length`.
fn distance_of(name: &str, known: &str) -> Option<usize> {
    let stem = |name| str::strip_suffix(name, "_length");
    let (name, known) = stem(name).zip(stem(known)).unwrap_or((name, known));
    let limit = match name.len() {
        0..3 => return None,
        3..6 => 1,
        _ => 2,
    };
    distance(name.as_bytes(), known.as_bytes()).filter(|distance| *distance <= limit)
}

/// One row of the table of distances between the beginnings of two names.
type Row = [usize; MAX_NAME + 1];

fn at(row: &Row, column: usize) -> usize {
    row.get(column).copied().unwrap_or(MAX_NAME)
}

/// The optimal string alignment distance: letters left out, put in, changed, and neighbours that
/// changed places. Capitals do not count.
fn distance(a: &[u8], b: &[u8]) -> Option<usize> {
    if a.len().max(b.len()) > MAX_NAME {
        return None;
    }
    let mut previous: Row = core::array::from_fn(|column| column);
    let (mut older, mut letter_before) = (previous, None);
    for (line, letter) in a.iter().enumerate() {
        let row = next_row(line + 1, (letter_before, *letter), b, (&older, &previous));
        (older, previous) = (previous, row);
        letter_before = Some(*letter);
    }
    Some(at(&previous, b.len()))
}

/// The row of a letter, and of the one before it, from the two rows before.
fn next_row(
    line: usize,
    (before, letter): (Option<u8>, u8),
    b: &[u8],
    (older, previous): (&Row, &Row),
) -> Row {
    let is_same = |a: u8, b: u8| a.eq_ignore_ascii_case(&b);
    let (mut row, mut left, mut other_before) = ([line; MAX_NAME + 1], line, None);
    for ((column, other), slot) in b.iter().enumerate().zip(row.iter_mut().skip(1)) {
        let changed = at(previous, column) + usize::from(!is_same(letter, *other));
        left = changed.min(at(previous, column + 1) + 1).min(left + 1);
        let is_swap = other_before.is_some_and(|other_before| {
            is_same(letter, other_before) && before.is_some_and(|before| is_same(before, *other))
        });
        if is_swap {
            left = left.min(at(older, column.saturating_sub(1)) + 1);
        }
        *slot = left;
        other_before = Some(*other);
    }
    row
}

#[cfg(test)]
mod tests {
    use std::string::{String, ToString};

    use super::super::Kind;
    use super::*;

    const KNOWN: [Declared<'_>; 4] = [
        Declared { name: "body_length", kind: Kind::Number },
        Declared { name: "method", kind: Kind::Text },
        Declared { name: "path", kind: Kind::Text },
        Declared { name: "requires_browser", kind: Kind::Bool },
    ];

    fn suggested(name: &str) -> Option<String> {
        Suggestion::find(name, &KNOWN).map(|suggestion| suggestion.to_string())
    }

    #[test]
    fn slips_of_the_pen_are_set_right() {
        for (name, meant) in [
            ("METHOD", "method"),
            ("body_lenght", "body_length"),
            ("bodylength", "body_length"),
            ("meht0d", "method"),
            ("pth", "path"),
            ("query_legnth", "query_length"),
            ("query_lenght", "query_length"),
            ("require_browser", "requires_browser"),
        ] {
            assert_eq!(suggested(name).as_deref(), Some(meant), "{name}");
        }
    }

    #[test]
    fn other_names_are_let_be() {
        let long = "x".repeat(65);
        for name in [
            "query_length",
            "key_length",
            "code_length",
            "length",
            "max_tokens",
            "depth",
            "browser",
            "p",
            "pa",
            "with_width",
            &long,
        ] {
            assert_eq!(suggested(name), None, "{name}");
        }
    }

    #[test]
    fn distances_are_counted_in_slips() {
        for (a, b, slips) in [
            ("", "", 0),
            ("", "abc", 3),
            ("abc", "", 3),
            ("kitten", "sitting", 3),
            ("ca", "ac", 1),
            ("ca", "abc", 3),
            ("lenght", "length", 1),
        ] {
            assert_eq!(distance(a.as_bytes(), b.as_bytes()), Some(slips), "{a} {b}");
        }
    }
}
