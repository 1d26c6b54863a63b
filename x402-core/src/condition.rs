/*!
Conditions on the facts of a request: `query_length > 1000 and not cached`.

The language has comparisons (`== != < <= > >=`), `and`, `or` and `not` (also written `&&`, `||` and
`!`), parentheses, numbers, texts, `true`, `false`, and names of facts. A condition is evaluated out
of its source, in one pass, without an allocator; its length, its depth and the number of its names
are bounded.

# Kinds

Numbers are exact decimals of any size; texts stand in `"…"` or `'…'`, with the escapes
`\\ \" \' \n \r \t`. Only values of one kind are compared. Numbers and texts (by code points) have
an order, booleans have none. [`Condition::parse`] refuses what cannot be right, whatever the facts
are; [`Condition::check`], for when a configuration is loaded, also refuses a name that looks like
one that is known, misspelt. A name that is not known is some fact that the request may have, of the
kind as which it is used first.

# What is missing, and what does not fit

* A fact that is missing is false where a boolean is needed, and **every** comparison with it is
  false, `!=` too: `n != 5` is false where there is no `n`, and `not (n == 5)` is true.
* A fact that is there and of another kind is an error, [`Fault::Mismatch`]: the request cannot be
  priced. Were it false, a buyer could write `"2000"` for `2000` to pay less.
* A fact that may be there and is not known ([`Value::Unknown`]) is an error, [`Fault::Unreadable`].
* What cannot change the outcome any more is passed over: behind a condition that is false, `and`
  looks up no fact.

# Beside CEL

The language is a subset of the [Common Expression Language](https://cel.dev), apart from this:

* `and`, `or` and `not` are words of this language; `not` binds more loosely than comparisons, as in
  Python, and `!` more tightly than they do, as in CEL.
* CEL's numbers are 64-bit integers or floats. Here they are decimals: `0.1` is a tenth, and
  `n == 1` holds for `1.0`. Exponents, hexadecimal digits, suffixes and arithmetic are not there.
* In CEL a missing name is an error, unless the other side of `or` or `and` decides. Here the left
  side goes first, and a missing fact is as above.
* Comparisons do not follow one another (`a == b == c`), and booleans have no order.
* Texts have neither CEL's other escapes nor its prefixes and triple quotes.
*/

mod check;
mod error;
mod evaluate;
mod lexer;
mod nearest;
mod number;
mod parser;
mod text;

pub use error::{ConditionError, Fault, Underline};
use lexer::{Lexer, Token};
pub use nearest::Suggestion;
pub use number::Number;

/// A condition that was read without an error.
///
/// It keeps its source, borrowed or owned, and nothing else.
#[derive(Clone, Copy, Debug)]
pub struct Condition<S>(S);

impl<S: AsRef<str>> Condition<S> {
    /// How many parentheses may be in each other. Each takes about a kilobyte of stack on a processor
    /// of 32 bits.
    pub const MAX_DEPTH: usize = 16;
    /// The longest condition, in bytes.
    pub const MAX_LEN: usize = 512;
    /// How many names a condition may have that are not known.
    pub const MAX_NAMES: usize = 32;

    /// Reads a condition.
    ///
    /// # Errors
    ///
    /// [`ConditionError`], the first thing that is wrong.
    pub fn parse(source: S) -> Result<Self, ConditionError> {
        check::check_alone(source.as_ref())?;
        Ok(Self(source))
    }

    /// Checks the names against those that are known.
    ///
    /// # Errors
    ///
    /// [`Fault::Unknown`] for a name that is not among them and looks like one of them, or like an
    /// ending `_length`, misspelt; [`Fault::Undeclared`] where two names are compared of which
    /// neither is known; [`Fault::Kinds`], [`Fault::NotBoolean`] or [`Fault::Order`] where a known
    /// name is used as another kind than its own.
    pub fn check(&self, known: &[Declared<'_>]) -> Result<(), ConditionError> {
        check::check_names(self.source(), known)
    }

    /// Whether the condition holds.
    ///
    /// # Errors
    ///
    /// [`Fault::Mismatch`] where a fact is there and of another kind than the condition needs;
    /// [`Fault::Unreadable`] where it is not known whether it is there, or what it says.
    pub fn holds<F: Facts + ?Sized>(&self, facts: &F) -> Result<bool, ConditionError> {
        evaluate::evaluate(self.source(), facts)
    }

    /// The names of the facts that it depends on, in the order in which they stand, each as often.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let mut lexer = Lexer::new(self.source());
        core::iter::from_fn(move || lexer.token().ok().filter(|(token, _)| *token != Token::End))
            .filter(|(token, _)| *token == Token::Name)
            .map(move |(_, span)| lexer.text(span))
    }

    /// As it is written.
    #[must_use]
    pub fn source(&self) -> &str {
        self.0.as_ref()
    }
}

/// Something that can be found out about a request, by its name.
pub trait Facts {
    /// The value of a fact, or `None` where the request has no such fact.
    fn fact(&self, name: &str) -> Option<Value<'_>>;
}

/// No facts.
impl Facts for () {
    fn fact(&self, _: &str) -> Option<Value<'_>> {
        None
    }
}

/// A table of names and values, of which the first counts.
impl Facts for [(&str, Value<'_>)] {
    fn fact(&self, name: &str) -> Option<Value<'_>> {
        self.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
    }
}

/// The value of a fact.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Value<'a> {
    /// True or false.
    Bool(bool),
    /// A number.
    Number(Number<'a>),
    /// Something that no condition can use, such as an array. To use it is an error.
    Other,
    /// A text.
    Text(&'a str),
    /// Something that may be there or not, and may say anything: whoever reads the request could read it in
    /// two ways, or it cannot be read here. To use it is an error.
    Unknown,
    /// A text that does not say its kind, such as a parameter of a query: it is read as the kind
    /// that it is compared with. Booleans are `true` and `false`, numbers are those of JSON.
    Untyped(&'a str),
}

/// What kind of value a fact has.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Kind {
    /// True or false.
    Bool,
    /// A number.
    Number,
    /// A text.
    Text,
}

/// A fact that is known before there is a request.
#[derive(Clone, Copy, Debug)]
pub struct Declared<'a> {
    /// Its name.
    pub name: &'a str,
    /// The kind of its value.
    pub kind: Kind,
}

#[cfg(test)]
mod tests {
    use std::string::String;
    use std::vec::Vec;
    use std::{format, vec};

    use super::*;

    const KNOWN: [Declared<'_>; 4] = [
        Declared { name: "body_length", kind: Kind::Number },
        Declared { name: "method", kind: Kind::Text },
        Declared { name: "path", kind: Kind::Text },
        Declared { name: "premium", kind: Kind::Bool },
    ];

    fn facts() -> [(&'static str, Value<'static>); 8] {
        [
            ("cached", Value::Bool(false)),
            ("limit", Value::Untyped("50")),
            ("messages", Value::Other),
            ("method", Value::Text("POST")),
            ("n", Value::Number(5.into())),
            ("query_length", Value::Number(1500.into())),
            ("requires_browser", Value::Bool(true)),
            ("verbose", Value::Untyped("true")),
        ]
    }

    fn holds(source: &str) -> Result<bool, Fault> {
        let condition = Condition::parse(source).map_err(|error| error.fault)?;
        condition.holds(facts().as_slice()).map_err(|error| error.fault)
    }

    fn fault(source: &str) -> Option<Fault> {
        Condition::parse(source).err().map(|error| error.fault)
    }

    fn fault_of_names(source: &str) -> Option<Fault> {
        Condition::parse(source).unwrap().check(&KNOWN).err().map(|error| error.fault)
    }

    #[test]
    fn compares_numbers_texts_and_booleans() {
        for source in [
            "query_length > 1000",
            "query_length >= 1500.00",
            "query_length<1500.01",
            "-1 < 0",
            "requires_browser",
            "requires_browser != cached",
            "method == 'POST'",
            r#"method == "POST""#,
            "method < 'PUT'",
            "(n) == (5)",
            "true",
        ] {
            assert_eq!(holds(source), Ok(true), "{source}");
        }
        for source in ["n > 5", "n != 5.0", "method == 'post'", "cached", "1 > 2", "!true"] {
            assert_eq!(holds(source), Ok(false), "{source}");
        }
    }

    #[test]
    fn operators_bind_as_in_cel_and_not_as_in_python() {
        for (source, expected) in [
            ("true or true and false", true),
            ("(true or true) and false", false),
            ("true || true && false", true),
            ("not false and false", false),
            ("not (false and false)", true),
            ("not n == 6", true),
            ("not not true", true),
            ("!!!false", true),
            ("!cached == true", true),
            ("not !cached", false),
            ("(n > 4) == (n < 6)", true),
        ] {
            assert_eq!(holds(source), Ok(expected), "{source}");
        }
        assert_eq!(fault("!n == 6"), Some(Fault::Kinds));
    }

    #[test]
    fn what_is_missing_is_false_and_compares_as_false() {
        for (source, expected) in [
            ("nothing", false),
            ("not nothing", true),
            ("nothing == 5", false),
            ("nothing != 5", false),
            ("not (nothing == 5)", true),
            ("nothing == 'x' or n == 5", true),
            ("nothing != missing", false),
        ] {
            assert_eq!(holds(source), Ok(expected), "{source}");
        }
    }

    #[test]
    fn a_fact_of_another_kind_is_an_error() {
        for source in [
            "method",
            "method > 5",
            "n == 'five'",
            "n",
            "messages == 'x'",
            "messages",
            "limit == true",
            "verbose > 1",
            "limit == verbose",
            "cached == 0",
            "n == 5 and method > 1",
        ] {
            assert_eq!(holds(source), Err(Fault::Mismatch), "{source}");
        }
    }

    #[test]
    fn what_is_untyped_is_read_as_what_it_is_compared_with() {
        for source in ["limit == 50", "limit == '50'", "'5' < limit", "verbose", "verbose == true"]
        {
            assert_eq!(holds(source), Ok(true), "{source}");
        }
    }

    #[test]
    fn what_cannot_change_the_outcome_is_not_looked_up() {
        for source in [
            "cached and method",
            "cached and (n or method and not messages)",
            "requires_browser or n",
        ] {
            assert_eq!(holds(source), Ok(source.starts_with('r')), "{source}");
        }
        // Behind it, evaluation goes on.
        assert_eq!(holds("cached and method or n == 5"), Ok(true));
        assert_eq!(holds("(requires_browser or messages) and n == 6"), Ok(false));
    }

    #[test]
    fn refuses_what_is_not_of_the_language() {
        for (source, expected) in [
            ("", Fault::Operand),
            ("  ", Fault::Operand),
            ("n >", Fault::Operand),
            ("and n", Fault::Operand),
            ("n and", Fault::Operand),
            ("!not n", Fault::Operand),
            ("n == not m", Fault::Operand),
            ("()", Fault::Operand),
            ("n = 5", Fault::Assignment),
            ("a < b < c", Fault::Chain),
            ("a & b", Fault::Character),
            ("a | b", Fault::Character),
            ("a + 1 > 2", Fault::Character),
            ("a.b", Fault::Character),
            ("ä", Fault::Character),
            ("a - 1", Fault::Character),
            ("a -1", Fault::Operator),
            ("a b", Fault::Operator),
            ("(a b)", Fault::Operator),
            ("a 'x'", Fault::Operator),
            ("a == r'x'", Fault::Operator),
            ("a == '''x'''", Fault::Operator),
            ("(a", Fault::Parenthesis),
            ("a)", Fault::Parenthesis),
            ("a == 'x", Fault::Unterminated),
            ("a == 'x\n'", Fault::Unterminated),
            (r"a == 'x\'", Fault::Unterminated),
            (r"a == '\x41'", Fault::Escape),
            (r"a == '\é'", Fault::Escape),
            ("a == null", Fault::Reserved),
            ("a in b", Fault::Reserved),
            ("while", Fault::Reserved),
            ("a > 1e3", Fault::Number),
            ("a > 0x10", Fault::Number),
            ("a > 10k", Fault::Number),
            ("a > 1.", Fault::Number),
            ("a > 007", Fault::Number),
            ("a > 1_000", Fault::Number),
            ("5", Fault::NotBoolean),
            ("'x' and true", Fault::NotBoolean),
            ("not 1", Fault::NotBoolean),
            ("1 == 'x'", Fault::Kinds),
            ("a > 1 and a == 'x'", Fault::Kinds),
            ("a and a > 1", Fault::Kinds),
            ("a > 1 or a", Fault::NotBoolean),
            ("a < true", Fault::Order),
        ] {
            assert_eq!(fault(source), Some(expected), "{source}");
        }
    }

    #[test]
    fn length_depth_and_names_are_bounded() {
        const MAX_DEPTH: usize = Condition::<&str>::MAX_DEPTH;
        let nested = |depth| format!("{}true{}", "(".repeat(depth), ")".repeat(depth));
        assert_eq!(holds(&nested(MAX_DEPTH)), Ok(true));
        assert_eq!(fault(&nested(MAX_DEPTH + 1)), Some(Fault::Depth));
        assert_eq!(fault(&"(".repeat(400)), Some(Fault::Depth));

        let negated = format!("{}false", "!".repeat(Condition::<&str>::MAX_LEN - 5));
        assert_eq!(holds(&negated), Ok(true));
        assert_eq!(fault(&format!(" {negated}")), Some(Fault::Length));

        let names = |count| (0..count).map(|i| format!("n{i}")).collect::<Vec<_>>().join(" or ");
        const MAX_NAMES: usize = Condition::<&str>::MAX_NAMES;
        assert_eq!(fault(&names(MAX_NAMES)), None);
        assert_eq!(fault(&names(MAX_NAMES + 1)), Some(Fault::Names));
        assert_eq!(fault(&vec!["n"; MAX_NAMES + 1].join(" or ")), None);
    }

    #[test]
    fn names_that_are_known_are_checked_and_others_are_facts_of_the_request() {
        for source in [
            "query_length > 1000",
            "requires_browser",
            "body_length > 5 and premium",
            "limit == body_length",
            "method == 'GET' or max_tokens > 100 and not cached",
        ] {
            assert_eq!(fault_of_names(source), None, "{source}");
        }
        for (source, expected) in [
            ("query_lenght > 1000", Fault::Unknown),
            ("meth0d == 'GET'", Fault::Unknown),
            ("premum", Fault::Unknown),
            ("limit == top", Fault::Undeclared),
            ("method > 5", Fault::Kinds),
            ("premium > premium", Fault::Order),
            ("method", Fault::NotBoolean),
        ] {
            assert_eq!(fault_of_names(source), Some(expected), "{source}");
        }
    }

    #[test]
    fn a_misspelt_name_is_shown_with_the_one_that_was_meant() {
        let source = "premium and query_lenght > 1000";
        let error = Condition::parse(source).unwrap().check(&KNOWN).unwrap_err();
        assert_eq!(error.excerpt(source), "query_lenght");
        let suggestion = error.suggestion(source, &KNOWN).unwrap();
        assert_eq!(format!("{suggestion}"), "query_length");
        let carets = format!("{source}\n            ^^^^^^^^^^^^");
        assert_eq!(format!("{}", error.underline(source)), carets);
    }

    #[test]
    fn its_names_are_those_of_facts() {
        let source = String::from("a == 'b' and not (c > 1) or a != 'c'");
        let condition = Condition::parse(source).unwrap();
        assert_eq!(condition.names().collect::<Vec<_>>(), ["a", "c", "a"]);
    }
}
