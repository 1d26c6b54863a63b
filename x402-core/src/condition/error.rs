use core::fmt::{self, Write as _};

use super::nearest::Suggestion;
use super::{Condition, Declared};

/// From a byte of the condition up to another.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Span {
    start: u16,
    end: u16,
}

impl Span {
    /// Of a condition that is no longer than it may be.
    pub(super) const fn new(start: usize, end: usize) -> Self {
        const { assert!(Condition::<&str>::MAX_LEN <= u16::MAX as usize) };
        Self { start: start as u16, end: end as u16 }
    }

    /// The part of the source.
    pub(super) fn of(self, source: &str) -> &str {
        source.get(self.start.into()..self.end.into()).unwrap_or_default()
    }

    /// From the start of this to the end of the other.
    pub(super) const fn to(self, other: Self) -> Self {
        Self { start: self.start, end: other.end }
    }
}

/// What is wrong with a condition, and where.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct ConditionError {
    /// What is wrong.
    pub fault: Fault,
    /// The first byte that is at fault.
    pub start: u16,
    /// The byte behind the last that is at fault; `start` where something is missing.
    pub end: u16,
}

/// What can be wrong with a condition.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Fault {
    /// `=`, where `==` is meant.
    Assignment,
    /// `a < b < c`.
    Chain,
    /// A character that the language does not have.
    Character,
    /// More parentheses in each other than [`Condition::MAX_DEPTH`].
    Depth,
    /// An escape that the language does not have.
    Escape,
    /// The two sides of a comparison are of different kinds.
    Kinds,
    /// Longer than [`Condition::MAX_LEN`].
    Length,
    /// The fact is of another kind than the condition needs: found when it is evaluated.
    Mismatch,
    /// More names that are not known than [`Condition::MAX_NAMES`].
    Names,
    /// A number or a text, where something true or false is needed.
    NotBoolean,
    /// Not a number as it is written here.
    Number,
    /// Something to compare is missing.
    Operand,
    /// Something follows that no operator joins.
    Operator,
    /// `<`, `<=`, `>` or `>=` between booleans.
    Order,
    /// A parenthesis is missing, or one is left over.
    Parenthesis,
    /// A word that CEL keeps for itself.
    Reserved,
    /// Two names are compared, and neither is declared.
    Undeclared,
    /// A name that looks like another, misspelt.
    Unknown,
    /// It is not known whether there is such a fact, or what it says: found when it is evaluated.
    Unreadable,
    /// A text without its closing quote.
    Unterminated,
}

impl ConditionError {
    pub(super) const fn new(fault: Fault, span: Span) -> Self {
        Self { fault, start: span.start, end: span.end }
    }

    /// The part of the source that is at fault.
    #[must_use]
    pub fn excerpt<'a>(&self, source: &'a str) -> &'a str {
        Span { start: self.start, end: self.end }.of(source)
    }

    /// The name that may have been meant, where the fault is [`Fault::Unknown`].
    ///
    /// `source` and `known` are those of the [`Condition::check`] that gave the error.
    #[must_use]
    pub fn suggestion<'a>(
        &self,
        source: &'a str,
        known: &[Declared<'a>],
    ) -> Option<Suggestion<'a>> {
        if self.fault != Fault::Unknown {
            return None;
        }
        Suggestion::find(self.excerpt(source), known)
    }

    /// Shows the line at fault, and carets under the part that is:
    ///
    /// ```text
    /// query_lenght > 1000
    /// ^^^^^^^^^^^^
    /// ```
    #[must_use]
    pub const fn underline<'a>(&self, source: &'a str) -> Underline<'a> {
        Underline { source, error: *self }
    }
}

impl fmt::Display for ConditionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.fault, f)
    }
}

impl core::error::Error for ConditionError {}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Assignment => "equality is written ==",
            Self::Chain => "comparisons do not follow one another: join them by and",
            Self::Character => "this character has no meaning in a condition",
            Self::Depth => "more than 16 parentheses are in each other",
            Self::Escape => "the escapes are \\\\, \\\", \\', \\n, \\r and \\t",
            Self::Kinds => "the two sides are of different kinds",
            Self::Length => "a condition has at most 512 bytes",
            Self::Mismatch => "the fact is of another kind than the condition needs",
            Self::Names => "a condition has at most 32 names that are not declared",
            Self::NotBoolean => "a condition is true or false, and this is neither",
            Self::Number => {
                "a number is written as 1000 or -0.5: no exponent, no unit, no leading zero"
            }
            Self::Operand => "a name, a number, a text, true or false is missing here",
            Self::Operator => "an operator is missing before this",
            Self::Order => "true and false have no order: compare them by == or !=",
            Self::Parenthesis => "a parenthesis has no partner",
            Self::Reserved => "this word is reserved, and cannot be a name",
            Self::Undeclared => "of two names that are compared, one is declared with its kind",
            Self::Unknown => "there is no fact of this name",
            Self::Unreadable => "the fact cannot be read, or can be read in two ways",
            Self::Unterminated => "the text has no closing quote",
        })
    }
}

/// The line of a condition in which something is wrong, and carets under it.
#[derive(Clone, Copy, Debug)]
pub struct Underline<'a> {
    source: &'a str,
    error: ConditionError,
}

impl fmt::Display for Underline<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let before = self.source.get(..self.error.start.into()).unwrap_or(self.source);
        let newline = before.bytes().rposition(|byte| byte == b'\n');
        let line_start = newline.map_or(0, |newline| newline + 1);
        writeln!(f, "{}", first_line(self.source.get(line_start..).unwrap_or_default()))?;
        // A tab is as wide below as above.
        let padding = before.get(line_start..).unwrap_or_default().chars();
        padding.map(|c| if c == '\t' { c } else { ' ' }).try_for_each(|c| f.write_char(c))?;
        let width = first_line(self.error.excerpt(self.source)).chars().count();
        (0..width.max(1)).try_for_each(|_| f.write_char('^'))
    }
}

fn first_line(text: &str) -> &str {
    text.split(['\n', '\r']).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    fn shown(source: &str) -> std::string::String {
        Condition::parse(source).unwrap_err().underline(source).to_string()
    }

    #[test]
    fn carets_are_under_what_is_wrong() {
        assert_eq!(shown("a == 'é' = 3"), "a == 'é' = 3\n         ^");
        assert_eq!(shown("a > 1e3 or b"), "a > 1e3 or b\n    ^^^");
        assert_eq!(shown("a and"), "a and\n     ^");
        assert_eq!(shown(""), "\n^");
        assert_eq!(shown("a or\n\tb c or\nd"), "\tb c or\n\t  ^");
        assert_eq!(shown("a == \"x\n"), "a == \"x\n     ^^");
        assert_eq!(shown("a ≥ 1"), "a ≥ 1\n  ^");
        // A character at the end of what there may be.
        let long = std::format!("{}é", "a".repeat(511));
        assert_eq!(shown(&long), std::format!("{long}\n{}^", " ".repeat(511)));
    }

    #[test]
    fn an_error_is_small() {
        assert!(size_of::<ConditionError>() <= 8);
    }

    #[test]
    fn the_sentences_name_the_limits_that_there_are() {
        assert_eq!(Condition::<&str>::MAX_DEPTH, 16);
        assert_eq!(Condition::<&str>::MAX_LEN, 512);
        assert_eq!(Condition::<&str>::MAX_NAMES, 32);
    }
}
