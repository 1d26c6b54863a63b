//! Conditions as trees, which are written out, and evaluated as the rules say in so many words.

use std::cmp::Ordering;

use proptest::prelude::*;
use x402_core::condition::{Number, Value};

/// A condition, the facts for it, and how it is spelt.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    tree: Tree,
    pub(crate) facts: Vec<(&'static str, Fact)>,
    /// Whether all numbers are written without a point; else all of them are written with one.
    pub(crate) are_integers: bool,
    /// What decides on spellings, used over and over.
    choices: Vec<u8>,
}

#[derive(Clone, Debug)]
enum Tree {
    And(Box<Self>, Box<Self>),
    Compare(&'static str, Leaf, Leaf),
    Equal(&'static str, Box<Self>, Box<Self>),
    Flag(&'static str),
    Literal(bool),
    Not(Box<Self>),
    Or(Box<Self>, Box<Self>),
}

#[derive(Clone, Debug)]
enum Leaf {
    Fact(&'static str),
    /// In hundredths, where numbers have a point.
    Number(i16),
    Text(String),
}

/// The value of a fact.
#[derive(Clone, Debug)]
pub(crate) enum Fact {
    Bool(bool),
    /// The number, and how it is written.
    Number(i64, String),
    Other,
    Text(String),
    Untyped(String),
}

impl Fact {
    pub(crate) fn as_value(&self) -> Value<'_> {
        match self {
            Self::Bool(truth) => Value::Bool(*truth),
            Self::Number(_, digits) => Value::Number(Number::parse(digits).unwrap()),
            Self::Other => Value::Other,
            Self::Text(text) => Value::Text(text),
            Self::Untyped(text) => Value::Untyped(text),
        }
    }

    pub(crate) fn digits(&self) -> &str {
        match self {
            Self::Number(_, digits) => digits,
            other => panic!("{other:?} is no number"),
        }
    }
}

/// Which words a condition is written in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Spelling {
    Cel,
    Ours,
}

impl Case {
    /// Whether it holds, or nothing where a fact is of another kind than is needed.
    pub(crate) fn holds(&self) -> Option<bool> {
        self.truth(&self.tree)
    }

    fn fact(&self, name: &str) -> Option<&Fact> {
        self.facts.iter().find(|(known, _)| *known == name).map(|(_, fact)| fact)
    }

    fn truth(&self, tree: &Tree) -> Option<bool> {
        Some(match tree {
            Tree::And(a, b) => self.truth(a)? && self.truth(b)?,
            Tree::Or(a, b) => self.truth(a)? || self.truth(b)?,
            Tree::Not(inner) => !self.truth(inner)?,
            Tree::Literal(truth) => *truth,
            Tree::Flag(name) => match self.fact(name) {
                None => false,
                Some(Fact::Bool(truth)) => *truth,
                Some(Fact::Untyped(text)) => text.parse().ok()?,
                Some(_) => return None,
            },
            Tree::Compare(operator, a, b) => self.compare(operator, a, b)?,
            Tree::Equal(operator, a, b) => self.equal(operator, a, b)?,
        })
    }

    fn compare(&self, operator: &str, a: &Leaf, b: &Leaf) -> Option<bool> {
        self.compare_facts(operator, self.value(a), self.value(b))
    }

    /// Between booleans. What is a bare name is compared as it is, and not as true or false.
    fn equal(&self, operator: &str, a: &Tree, b: &Tree) -> Option<bool> {
        let fact = |tree: &Tree| match tree {
            Tree::Flag(name) => Some(self.fact(name).cloned()),
            _ => self.truth(tree).map(|truth| Some(Fact::Bool(truth))),
        };
        self.compare_facts(operator, fact(a)?, fact(b)?)
    }

    fn compare_facts(&self, operator: &str, a: Option<Fact>, b: Option<Fact>) -> Option<bool> {
        let (Some(a), Some(b)) = (a, b) else { return Some(false) };
        let (a, b) = (self.read_as(a.clone(), &b), self.read_as(b, &a));
        Some(match (a, b) {
            (Fact::Bool(a), Fact::Bool(b)) if operator == "==" => a == b,
            (Fact::Bool(a), Fact::Bool(b)) if operator == "!=" => a != b,
            (Fact::Number(a, _), Fact::Number(b, _)) => is(operator, a.cmp(&b)),
            (Fact::Text(a), Fact::Text(b)) => is(operator, a.chars().cmp(b.chars())),
            _ => return None,
        })
    }

    /// What is untyped as what the other is, if it can be read so.
    fn read_as(&self, fact: Fact, other: &Fact) -> Fact {
        let Fact::Untyped(text) = &fact else { return fact };
        match other {
            Fact::Bool(_) => text.parse().map_or(fact, Fact::Bool),
            Fact::Number(..) => {
                let number = text.parse::<i64>().map(|number| number * self.unit());
                number.map_or(fact, |number| Fact::Number(number, String::new()))
            }
            Fact::Text(_) => Fact::Text(text.clone()),
            Fact::Other | Fact::Untyped(_) => fact,
        }
    }

    const fn unit(&self) -> i64 {
        if self.are_integers { 1 } else { 100 }
    }

    fn value(&self, leaf: &Leaf) -> Option<Fact> {
        match leaf {
            Leaf::Fact(name) => self.fact(name).cloned(),
            Leaf::Number(number) => Some(Fact::Number((*number).into(), String::new())),
            Leaf::Text(text) => Some(Fact::Text(text.clone())),
        }
    }

    /// The condition as a text.
    pub(crate) fn written(&self, spelling: Spelling) -> String {
        let mut writer = Writer { case: self, spelling, used: 0 };
        writer.tree(&self.tree, Level::Or)
    }
}

fn is(operator: &str, ordering: Ordering) -> bool {
    match operator {
        "==" => ordering.is_eq(),
        "!=" => ordering.is_ne(),
        "<" => ordering.is_lt(),
        "<=" => ordering.is_le(),
        ">" => ordering.is_gt(),
        ">=" => ordering.is_ge(),
        other => panic!("{other}"),
    }
}

/// What binds tighter is greater.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Level {
    Or,
    And,
    Not,
    Compare,
    Bang,
    Primary,
}

struct Writer<'a> {
    case: &'a Case,
    spelling: Spelling,
    used: usize,
}

impl Writer<'_> {
    fn choose<T: Copy>(&mut self, choices: &[T]) -> T {
        self.used += 1;
        let choice = self.case.choices[self.used % self.case.choices.len()];
        choices[usize::from(choice) % choices.len()]
    }

    fn word(&mut self, ours: &'static str, cels: &'static str) -> &'static str {
        if self.spelling == Spelling::Cel { cels } else { self.choose(&[ours, cels]) }
    }

    fn gap(&mut self) -> &'static str {
        self.choose(&[" ", " ", "  ", "\n", "\t"])
    }

    /// The tree, in parentheses where it binds more loosely than its place needs.
    fn tree(&mut self, tree: &Tree, place: Level) -> String {
        let (level, text) = match tree {
            Tree::Or(a, b) => {
                let (a, b) = (self.tree(a, Level::Or), self.tree(b, Level::And));
                let word = self.word("or", "||");
                (Level::Or, format!("{a}{}{word}{}{b}", self.gap(), self.gap()))
            }
            Tree::And(a, b) => {
                let (a, b) = (self.tree(a, Level::And), self.tree(b, Level::Not));
                let word = self.word("and", "&&");
                (Level::And, format!("{a}{}{word}{}{b}", self.gap(), self.gap()))
            }
            Tree::Not(inner) if self.word("not", "!") == "not" => {
                (Level::Not, format!("not{}{}", self.gap(), self.tree(inner, Level::Not)))
            }
            Tree::Not(inner) => (Level::Bang, format!("!{}", self.tree(inner, Level::Bang))),
            Tree::Compare(operator, a, b) => {
                let (a, b) = (self.leaf(a), self.leaf(b));
                (Level::Compare, format!("{a}{}{operator}{}{b}", self.gap(), self.gap()))
            }
            Tree::Equal(operator, a, b) => {
                let (a, b) = (self.tree(a, Level::Bang), self.tree(b, Level::Bang));
                (Level::Compare, format!("{a}{operator}{}{b}", self.gap()))
            }
            Tree::Flag(name) => (Level::Primary, (*name).to_owned()),
            Tree::Literal(truth) => (Level::Primary, truth.to_string()),
        };
        let is_bare = level >= place && self.choose(&[true, true, true, false]);
        if is_bare { text } else { format!("({text})") }
    }

    fn leaf(&mut self, leaf: &Leaf) -> String {
        match leaf {
            Leaf::Fact(name) => (*name).to_owned(),
            Leaf::Number(number) => digits((*number).into(), self.case.are_integers),
            Leaf::Text(text) => {
                let quote = self.choose(&['"', '\'']);
                let escaped = text.chars().map(|c| match c {
                    '\n' => r"\n".to_owned(),
                    '\r' => r"\r".to_owned(),
                    '\t' => r"\t".to_owned(),
                    '\\' => r"\\".to_owned(),
                    c if c == quote => format!("\\{c}"),
                    c => c.to_string(),
                });
                format!("{quote}{}{quote}", escaped.collect::<String>())
            }
        }
    }
}

/// A number of units or of hundredths.
fn digits(number: i64, is_integer: bool) -> String {
    if is_integer {
        return number.to_string();
    }
    let sign = if number < 0 { "-" } else { "" };
    format!("{sign}{}.{:02}", number.abs() / 100, number.abs() % 100)
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[ab]{0,2}", "[a'\"\\\\\n\r\té𝄞]{0,4}"]
}

fn tree() -> impl Strategy<Value = Tree> {
    let name = |names: &'static [&'static str]| proptest::sample::select(names);
    let operator = || proptest::sample::select(&["==", "!=", "<", "<=", ">", ">="][..]);
    let number =
        prop_oneof![(-20_i16..20).prop_map(Leaf::Number), any::<i16>().prop_map(Leaf::Number)];
    let text = text().prop_map(Leaf::Text);
    let number_fact = name(&["n0", "n1", "n2"]).prop_map(Leaf::Fact);
    let text_fact = name(&["t0", "t1", "t2"]).prop_map(Leaf::Fact);
    let numbers = prop_oneof![number, number_fact.clone(), number_fact].boxed();
    let texts = prop_oneof![text, text_fact.clone(), text_fact].boxed();
    let compare = |(operator, a, b)| Tree::Compare(operator, a, b);
    let leaf = prop_oneof![
        1 => any::<bool>().prop_map(Tree::Literal),
        3 => name(&["f0", "f1", "f2"]).prop_map(Tree::Flag),
        3 => (operator(), numbers.clone(), numbers).prop_map(compare),
        3 => (operator(), texts.clone(), texts).prop_map(compare),
    ];
    leaf.prop_recursive(4, 12, 2, |inner| {
        let pair = (inner.clone().prop_map(Box::new), inner.clone().prop_map(Box::new));
        let equal = proptest::sample::select(&["==", "!="][..]);
        prop_oneof![
            pair.clone().prop_map(|(a, b)| Tree::And(a, b)),
            pair.clone().prop_map(|(a, b)| Tree::Or(a, b)),
            inner.prop_map(|inner| Tree::Not(Box::new(inner))),
            (equal, pair).prop_map(|(operator, (a, b))| Tree::Equal(operator, a, b)),
        ]
    })
}

fn number_fact(are_integers: bool) -> impl Strategy<Value = Fact> {
    let number = prop_oneof![-20_i64..20, any::<i16>().prop_map(i64::from)];
    number.prop_map(move |number| Fact::Number(number, digits(number, are_integers)))
}

/// With all facts there, and of the right kinds.
pub(crate) fn case() -> impl Strategy<Value = Case> {
    let choices = proptest::collection::vec(any::<u8>(), 17);
    (tree(), any::<bool>(), choices).prop_flat_map(|(tree, are_integers, choices)| {
        let number = || number_fact(are_integers);
        let text = || text().prop_map(Fact::Text);
        let flag = || any::<bool>().prop_map(Fact::Bool);
        let facts =
            ((number(), number(), number()), (text(), text(), text()), (flag(), flag(), flag()));
        facts.prop_map(move |((n0, n1, n2), (t0, t1, t2), (f0, f1, f2))| Case {
            tree: tree.clone(),
            facts: vec![
                ("n0", n0),
                ("n1", n1),
                ("n2", n2),
                ("t0", t0),
                ("t1", t1),
                ("t2", t2),
                ("f0", f0),
                ("f1", f1),
                ("f2", f2),
            ],
            are_integers,
            choices: choices.clone(),
        })
    })
}

/// With facts that are missing, untyped, or of a wrong kind.
pub(crate) fn case_with_gaps() -> impl Strategy<Value = Case> {
    let change = prop_oneof![
        6 => Just(None),
        3 => Just(Some(None)),
        2 => (-20_i64..20).prop_map(|number| Some(Some(Fact::Untyped(number.to_string())))),
        2 => any::<bool>().prop_map(|truth| Some(Some(Fact::Untyped(truth.to_string())))),
        1 => text().prop_map(|text| Some(Some(Fact::Untyped(text)))),
        1 => text().prop_map(|text| Some(Some(Fact::Text(text)))),
        1 => any::<bool>().prop_map(|truth| Some(Some(Fact::Bool(truth)))),
        1 => Just(Some(Some(Fact::Other))),
    ];
    (case(), proptest::collection::vec(change, 9)).prop_map(|(mut case, changes)| {
        let facts = case.facts.drain(..).zip(changes);
        let changed = facts.filter_map(|((name, fact), change)| match change {
            None => Some((name, fact)),
            Some(change) => change.map(|fact| (name, fact)),
        });
        case.facts = changed.collect();
        case
    })
}
