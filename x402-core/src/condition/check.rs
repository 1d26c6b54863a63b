//! A condition's kinds, before there are any facts.

use super::error::{ConditionError, Fault, Span};
use super::lexer::Comparison;
use super::nearest::Suggestion;
use super::number::Number;
use super::parser::{Operand, Result, Sense, walk};
use super::text::Text;
use super::{Condition, Declared, Kind};

/// Checks the grammar, and that the kinds agree that can be told from the condition alone.
pub(super) fn check_alone(source: &str) -> Result<()> {
    check(source, None)
}

/// Checks also what the names are.
pub(super) fn check_names(source: &str, known: &[Declared<'_>]) -> Result<()> {
    check(source, Some(known))
}

fn check(source: &str, known: Option<&[Declared<'_>]>) -> Result<()> {
    walk(source, Kinds { known, used: heapless::Vec::new() }).map(|_| ())
}

struct Kinds<'a, 'k> {
    known: Option<&'k [Declared<'k>]>,
    /// The names that are not known, as what they were used.
    used: heapless::Vec<(&'a str, Kind), { Condition::<&str>::MAX_NAMES }>,
}

/// What is known of a part of a condition.
#[derive(Clone, Copy, Debug)]
struct Guess<'a> {
    kind: Option<Kind>,
    /// The name, where it is one that is not declared.
    undeclared: Option<&'a str>,
}

impl<'a> Kinds<'a, '_> {
    fn declared(&self, name: &str) -> Option<Kind> {
        let mut known = self.known.unwrap_or_default().iter();
        known.find(|known| known.name == name).map(|known| known.kind)
    }

    /// Notes as what a name is used, if it is a name.
    fn learn(&mut self, operand: Operand<Guess<'a>>, kind: Kind) -> Result<()> {
        let Some(name) = operand.value.undeclared else { return Ok(()) };
        let noted = self.used.push((name, kind));
        noted.map_err(|_| ConditionError::new(Fault::Names, operand.span))
    }
}

impl<'a> Sense<'a> for Kinds<'a, '_> {
    type Value = Guess<'a>;
    const SKIPS: bool = false;

    fn name(&mut self, name: &'a str, span: Span) -> Result<Guess<'a>> {
        if let Some(kind) = self.declared(name) {
            return Ok(kind.into());
        }
        if self.known.is_some_and(|known| Suggestion::find(name, known).is_some()) {
            return Err(ConditionError::new(Fault::Unknown, span));
        }
        let used = self.used.iter().find(|(used, _)| *used == name);
        Ok(Guess { kind: used.map(|(_, kind)| *kind), undeclared: Some(name) })
    }

    fn compare(
        &mut self,
        comparison: Comparison,
        left: Operand<Guess<'a>>,
        right: Operand<Guess<'a>>,
    ) -> Result<bool> {
        let error = |fault| Err(ConditionError::new(fault, left.span.to(right.span)));
        let is_undeclared = |operand: Operand<Guess<'_>>| operand.value.undeclared.is_some();
        if self.known.is_some() && is_undeclared(left) && is_undeclared(right) {
            return error(Fault::Undeclared);
        }
        let kind = match (left.value.kind, right.value.kind) {
            (Some(ours), Some(theirs)) if ours != theirs => return error(Fault::Kinds),
            (Some(kind), Some(_)) => kind,
            (Some(kind), None) => {
                self.learn(right, kind)?;
                kind
            }
            (None, Some(kind)) => {
                self.learn(left, kind)?;
                kind
            }
            (None, None) => return Ok(false),
        };
        let is_order = !matches!(comparison, Comparison::Equal | Comparison::NotEqual);
        if kind == Kind::Bool && is_order {
            return error(Fault::Order);
        }
        Ok(false)
    }

    fn truth(&mut self, operand: Operand<Guess<'a>>) -> Result<bool> {
        match operand.value.kind {
            Some(Kind::Bool) => {}
            Some(Kind::Number | Kind::Text) => {
                return Err(ConditionError::new(Fault::NotBoolean, operand.span));
            }
            None => self.learn(operand, Kind::Bool)?,
        }
        Ok(false)
    }
}

impl From<Kind> for Guess<'_> {
    fn from(kind: Kind) -> Self {
        Self { kind: Some(kind), undeclared: None }
    }
}

impl From<bool> for Guess<'_> {
    fn from(_: bool) -> Self {
        Kind::Bool.into()
    }
}

impl From<Number<'_>> for Guess<'_> {
    fn from(_: Number<'_>) -> Self {
        Kind::Number.into()
    }
}

impl From<Text<'_>> for Guess<'_> {
    fn from(_: Text<'_>) -> Self {
        Kind::Text.into()
    }
}
