//! A condition's truth, given the facts.

use core::cmp::Ordering;

use super::error::{ConditionError, Fault, Span};
use super::lexer::Comparison;
use super::number::Number;
use super::parser::{Operand, Result, Sense, walk};
use super::text::Text;
use super::{Facts, Value};

pub(super) fn evaluate<F: Facts + ?Sized>(source: &str, facts: &F) -> Result<bool> {
    walk(source, Evaluation { facts })
}

struct Evaluation<'a, F: ?Sized> {
    facts: &'a F,
}

/// A value while a condition is evaluated.
#[derive(Clone, Copy, Debug)]
enum Term<'a> {
    Bool(bool),
    Missing,
    Number(Number<'a>),
    Other,
    Text(Text<'a>),
    Unknown,
    Untyped(&'a str),
}

impl<'a, F: Facts + ?Sized> Sense<'a> for Evaluation<'a, F> {
    type Value = Term<'a>;
    const SKIPS: bool = true;

    fn name(&mut self, name: &'a str, _: Span) -> Result<Term<'a>> {
        Ok(match self.facts.fact(name) {
            None => Term::Missing,
            Some(Value::Bool(truth)) => Term::Bool(truth),
            Some(Value::Number(number)) => Term::Number(number),
            Some(Value::Other) => Term::Other,
            Some(Value::Text(text)) => Term::Text(Text::Plain(text)),
            Some(Value::Unknown) => Term::Unknown,
            Some(Value::Untyped(text)) => Term::Untyped(text),
        })
    }

    fn compare(
        &mut self,
        comparison: Comparison,
        left: Operand<Term<'a>>,
        right: Operand<Term<'a>>,
    ) -> Result<bool> {
        if matches!(left.value, Term::Missing) || matches!(right.value, Term::Missing) {
            return Ok(false);
        }
        let held = match typed(left.value, right.value) {
            // Booleans have no order.
            (Term::Bool(a), Term::Bool(b)) => match comparison {
                Comparison::Equal => Some(a == b),
                Comparison::NotEqual => Some(a != b),
                _ => None,
            },
            (Term::Number(a), Term::Number(b)) => Some(comparison.holds(a.cmp(&b))),
            (Term::Text(a), Term::Text(b)) => Some(comparison.holds(a.cmp(b))),
            (Term::Unknown, _) => return Err(ConditionError::new(Fault::Unreadable, left.span)),
            (_, Term::Unknown) => return Err(ConditionError::new(Fault::Unreadable, right.span)),
            _ => None,
        };
        held.ok_or(ConditionError::new(Fault::Mismatch, left.span.to(right.span)))
    }

    fn truth(&mut self, operand: Operand<Term<'a>>) -> Result<bool> {
        match typed(operand.value, Term::Bool(true)) {
            (Term::Missing, _) => Ok(false),
            (Term::Bool(truth), _) => Ok(truth),
            (Term::Unknown, _) => Err(ConditionError::new(Fault::Unreadable, operand.span)),
            _ => Err(ConditionError::new(Fault::Mismatch, operand.span)),
        }
    }
}

/// Reads what is untyped as what it is compared with.
fn typed<'a>(left: Term<'a>, right: Term<'a>) -> (Term<'a>, Term<'a>) {
    match (left, right) {
        (Term::Untyped(text), other) => (read(text, other), other),
        (other, Term::Untyped(text)) => (other, read(text, other)),
        both => both,
    }
}

/// The text as a value of the kind of the other, or the text as it is.
fn read<'a>(text: &'a str, other: Term<'a>) -> Term<'a> {
    let read = match other {
        Term::Bool(_) => text.parse().ok().map(Term::Bool),
        Term::Number(_) => Number::parse(text).map(Term::Number),
        Term::Text(_) => Some(Term::Text(Text::Plain(text))),
        Term::Missing | Term::Other | Term::Unknown | Term::Untyped(_) => None,
    };
    read.unwrap_or(Term::Untyped(text))
}

impl Comparison {
    const fn holds(self, ordering: Ordering) -> bool {
        match self {
            Self::Equal => ordering.is_eq(),
            Self::Greater => ordering.is_gt(),
            Self::GreaterOrEqual => ordering.is_ge(),
            Self::Less => ordering.is_lt(),
            Self::LessOrEqual => ordering.is_le(),
            Self::NotEqual => ordering.is_ne(),
        }
    }
}

impl From<bool> for Term<'_> {
    fn from(truth: bool) -> Self {
        Self::Bool(truth)
    }
}

impl<'a> From<Number<'a>> for Term<'a> {
    fn from(number: Number<'a>) -> Self {
        Self::Number(number)
    }
}

impl<'a> From<Text<'a>> for Term<'a> {
    fn from(text: Text<'a>) -> Self {
        Self::Text(text)
    }
}
