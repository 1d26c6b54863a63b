//! The grammar, walked once from the left to the right.
//!
//! ```text
//! or         = and (("or" | "||") and)*
//! and        = not (("and" | "&&") not)*
//! not        = "not"* comparison
//! comparison = unary (operator unary)?
//! unary      = "!"* primary
//! primary    = number | text | "true" | "false" | name | "(" or ")"
//! ```

use super::Condition;
use super::error::{ConditionError, Fault, Span};
use super::lexer::{Comparison, Lexer, Token};
use super::number::Number;
use super::text::Text;

pub(super) type Result<T> = core::result::Result<T, ConditionError>;

/// What a walk makes of the parts of a condition: their kinds, or their values.
pub(super) trait Sense<'a> {
    type Value: Copy + From<bool> + From<Number<'a>> + From<Text<'a>>;
    /// Whether what cannot change the outcome any more is passed over.
    const SKIPS: bool;

    fn name(&mut self, name: &'a str, span: Span) -> Result<Self::Value>;

    fn compare(
        &mut self,
        comparison: Comparison,
        left: Operand<Self::Value>,
        right: Operand<Self::Value>,
    ) -> Result<bool>;

    fn truth(&mut self, operand: Operand<Self::Value>) -> Result<bool>;
}

/// A part of a condition.
#[derive(Clone, Copy, Debug)]
pub(super) struct Operand<V> {
    pub(super) value: V,
    pub(super) span: Span,
}

/// Walks a condition to its end.
pub(super) fn walk<'a, S: Sense<'a>>(source: &'a str, sense: S) -> Result<bool> {
    const MAX_LEN: usize = Condition::<&str>::MAX_LEN;
    if source.len() > MAX_LEN {
        let end = source.floor_char_boundary(MAX_LEN);
        return Err(ConditionError::new(Fault::Length, Span::new(end, end)));
    }
    let mut lexer = Lexer::new(source);
    let (token, span) = lexer.token()?;
    let mut parser = Parser { lexer, token, span, depth: 0, is_skipping: false, sense };
    let whole = parser.or()?;
    match parser.token {
        Token::End => parser.truth(whole),
        Token::Close => Err(parser.error(Fault::Parenthesis)),
        _ => Err(parser.error(Fault::Operator)),
    }
}

struct Parser<'a, S> {
    lexer: Lexer<'a>,
    /// The token that comes next.
    token: Token,
    span: Span,
    /// How many parentheses are open. It bounds the recursion.
    depth: usize,
    is_skipping: bool,
    sense: S,
}

impl<'a, S: Sense<'a>> Parser<'a, S> {
    fn or(&mut self) -> Result<Operand<S::Value>> {
        let mut left = self.and()?;
        while self.eat(Token::Or)? {
            left = self.join(left, true, Self::and)?;
        }
        Ok(left)
    }

    fn and(&mut self) -> Result<Operand<S::Value>> {
        let mut left = self.not()?;
        while self.eat(Token::And)? {
            left = self.join(left, false, Self::not)?;
        }
        Ok(left)
    }

    /// What is so far, and the next. Where the truth so far `decides`, the next does not.
    fn join(
        &mut self,
        left: Operand<S::Value>,
        decides: bool,
        next: fn(&mut Self) -> Result<Operand<S::Value>>,
    ) -> Result<Operand<S::Value>> {
        let is_decided = self.truth(left)? == decides;
        let was_skipping = self.is_skipping;
        self.is_skipping |= is_decided && S::SKIPS;
        let right = next(self)?;
        let truth = self.truth(right)?;
        self.is_skipping = was_skipping;
        let value = S::Value::from(if is_decided { decides } else { truth });
        Ok(Operand { value, span: left.span.to(right.span) })
    }

    fn not(&mut self) -> Result<Operand<S::Value>> {
        self.negated(Token::Not, Self::comparison)
    }

    fn unary(&mut self) -> Result<Operand<S::Value>> {
        self.negated(Token::Bang, Self::primary)
    }

    fn negated(
        &mut self,
        negation: Token,
        inner: fn(&mut Self) -> Result<Operand<S::Value>>,
    ) -> Result<Operand<S::Value>> {
        let first = self.span;
        let mut negations = 0_usize;
        while self.eat(negation)? {
            negations += 1;
        }
        let operand = inner(self)?;
        if negations == 0 {
            return Ok(operand);
        }
        let truth = self.truth(operand)? ^ (negations % 2 == 1);
        Ok(Operand { value: truth.into(), span: first.to(operand.span) })
    }

    fn comparison(&mut self) -> Result<Operand<S::Value>> {
        let left = self.unary()?;
        let Token::Comparison(comparison) = self.token else { return Ok(left) };
        self.advance()?;
        let right = self.unary()?;
        if matches!(self.token, Token::Comparison(_)) {
            return Err(self.error(Fault::Chain));
        }
        let truth = !self.is_skipping && self.sense.compare(comparison, left, right)?;
        Ok(Operand { value: truth.into(), span: left.span.to(right.span) })
    }

    fn primary(&mut self) -> Result<Operand<S::Value>> {
        let span = self.span;
        let value = match self.token {
            Token::Open => return self.parenthesis(),
            Token::Bool(truth) => truth.into(),
            Token::Name if self.is_skipping => false.into(),
            Token::Name => self.sense.name(self.lexer.text(span), span)?,
            Token::Number => {
                let number = Number::parse(self.lexer.text(span));
                number.ok_or_else(|| self.error(Fault::Number))?.into()
            }
            Token::Text => {
                let quoted = self.lexer.text(span);
                let inside = quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default();
                Text::literal(inside).into()
            }
            _ => return Err(self.error(Fault::Operand)),
        };
        self.advance()?;
        Ok(Operand { value, span })
    }

    fn parenthesis(&mut self) -> Result<Operand<S::Value>> {
        let open = self.span;
        if self.depth >= Condition::<&str>::MAX_DEPTH {
            return Err(self.error(Fault::Depth));
        }
        self.depth += 1;
        self.advance()?;
        let inside = self.or()?;
        self.depth -= 1;
        let close = self.span;
        match self.token {
            Token::Close => self.advance()?,
            Token::End => return Err(ConditionError::new(Fault::Parenthesis, open)),
            _ => return Err(self.error(Fault::Operator)),
        }
        Ok(Operand { value: inside.value, span: open.to(close) })
    }

    fn truth(&mut self, operand: Operand<S::Value>) -> Result<bool> {
        if self.is_skipping { Ok(false) } else { self.sense.truth(operand) }
    }

    fn eat(&mut self, token: Token) -> Result<bool> {
        let is_next = self.token == token;
        if is_next {
            self.advance()?;
        }
        Ok(is_next)
    }

    fn advance(&mut self) -> Result<()> {
        (self.token, self.span) = self.lexer.token()?;
        Ok(())
    }

    const fn error(&self, fault: Fault) -> ConditionError {
        ConditionError::new(fault, self.span)
    }
}
