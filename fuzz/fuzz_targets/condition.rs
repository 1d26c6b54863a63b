//! Conditions: what is read is read by an interpreter of CEL too, and holds where it says so.
#![no_main]

use std::sync::LazyLock;

use cel::{Context, Program, Value as Cel};
use libfuzzer_sys::fuzz_target;
use x402_core::condition::{Condition, ConditionError, Declared, Fault, Kind, Number, Value};
use x402_fuzz::Cut;

const TEXTS: [&str; 8] = ["", "a", "b", "ab", "a'b", "\"", "é𝄞", "x\ny\\"];

const KNOWN: [Declared<'_>; 4] = [
    Declared { name: "query_length", kind: Kind::Number },
    Declared { name: "n0", kind: Kind::Number },
    Declared { name: "t0", kind: Kind::Text },
    Declared { name: "f0", kind: Kind::Bool },
];

static BUILT_IN: LazyLock<Context<'static, 'static>> = LazyLock::new(Context::default);

/// The facts: numbers, of hundredths where they have a point, texts and flags.
struct Given {
    numbers: [(i16, String); 3],
    texts: [&'static str; 3],
    flags: [bool; 3],
}

fuzz_target!(|data: &[u8]| {
    let mut cut = Cut(data);
    let (has_points, choice) = (cut.byte() % 2 == 1, cut.byte());
    let number = |number: i16| (number, digits(number, has_points));
    let given = Given {
        numbers: [cut.array(), cut.array(), cut.array()].map(i16::from_be_bytes).map(number),
        texts: [choice, choice >> 3, choice >> 5].map(|text| TEXTS[usize::from(text % 8)]),
        flags: [1, 2, 4].map(|bit| choice & bit != 0),
    };
    let Some(source) = cut.text() else { return };
    let condition = match Condition::parse(source) {
        Ok(condition) => condition,
        Err(error) => return check_fault(source, &error),
    };
    assert_eq!(condition.source(), source);
    if let Err(error) = condition.check(&KNOWN) {
        check_fault(source, &error);
        let _ = error.suggestion(source, &KNOWN).map(|suggestion| suggestion.to_string());
    }
    let held = condition.holds(given.facts().as_slice());
    if let Err(error) = &held {
        assert_eq!(error.fault, Fault::Mismatch);
        check_fault(source, error);
    }
    // Nothing is known: then nothing can be of another kind.
    let _ = condition.holds(&()).expect("a mismatch of nothing");
    check_names(&condition, &given);
    // What 64 bits cannot hold or tell apart is no number, or another, in CEL.
    if numbers(source).any(|number| number.len() > 15) {
        return;
    }
    let Some(program) = in_cel(source) else { return };
    // Some names are of its own: `int` is a type.
    let is_given = |name| given.facts().iter().any(|(given, _)| *given == name);
    if !condition.names().all(is_given) {
        return;
    }
    // It has two kinds of numbers: integers and floats.
    let are_alike = numbers(source).all(|number| number.contains('.') == has_points);
    if let (Ok(ours), Ok(theirs), true) = (held, evaluate(&program, &given), are_alike) {
        assert_eq!(ours, theirs, "{source}");
    }
});

impl Given {
    fn facts(&self) -> [(&'static str, Value<'_>); 9] {
        let number = |index: usize| Value::Number(Number::parse(&self.numbers[index].1).unwrap());
        let text = |index: usize| Value::Text(self.texts[index]);
        let flag = |index: usize| Value::Bool(self.flags[index]);
        [
            ("n0", number(0)),
            ("n1", number(1)),
            ("n2", number(2)),
            ("t0", text(0)),
            ("t1", text(1)),
            ("t2", text(2)),
            ("f0", flag(0)),
            ("f1", flag(1)),
            ("f2", flag(2)),
        ]
    }
}

fn digits(number: i16, has_point: bool) -> String {
    if !has_point {
        return number.to_string();
    }
    let (sign, number) = (if number < 0 { "-" } else { "" }, number.unsigned_abs());
    format!("{sign}{}.{:02}", number / 100, number % 100)
}

/// A fault points into the source, at whole characters, and can be shown.
fn check_fault(source: &str, error: &ConditionError) {
    let (start, end) = (usize::from(error.start), usize::from(error.end));
    assert!(start <= end && source.get(start..end).is_some(), "{error:?}");
    assert!(error.underline(source).to_string().ends_with('^'));
    assert!(!error.to_string().is_empty());
}

/// Facts that no name asks for do not count.
fn check_names(condition: &Condition<&str>, given: &Given) {
    let names: Vec<_> = condition.names().collect();
    let facts: Vec<_> =
        given.facts().into_iter().filter(|(name, _)| names.contains(name)).collect();
    let (some, all) =
        (condition.holds(facts.as_slice()), condition.holds(given.facts().as_slice()));
    assert_eq!(some, all);
    // As a query has them: each value by itself is read as what it is compared with.
    let texts = given.texts;
    let untyped: Vec<_> = texts.iter().zip(["t0", "t1", "t2"]).collect();
    let untyped: Vec<_> =
        untyped.into_iter().map(|(text, name)| (name, Value::Untyped(text))).collect();
    let _ = condition.holds(untyped.as_slice());
}

/// The condition in CEL's words, where that takes no more than to replace ours; `not` binds otherwise.
fn in_cel(source: &str) -> Option<Program> {
    let mut words = String::new();
    let mut quote = None;
    let mut word = String::new();
    let mut is_escaped = false;
    for c in source.chars().chain(['\n']) {
        if quote.is_none() && (c.is_ascii_alphanumeric() || c == '_') {
            word.push(c);
            continue;
        }
        match word.as_str() {
            "and" => words.push_str("&&"),
            "or" => words.push_str("||"),
            "not" => return None,
            other => words.push_str(other),
        }
        word.clear();
        words.push(c);
        match quote {
            Some(_) if is_escaped => is_escaped = false,
            Some(_) if c == '\\' => is_escaped = true,
            Some(open) if c == open => quote = None,
            None if matches!(c, '"' | '\'') => quote = Some(c),
            _ => {}
        }
    }
    Some(Program::compile(&words).unwrap_or_else(|error| panic!("no CEL: {words}: {error}")))
}

fn evaluate(program: &Program, given: &Given) -> Result<bool, String> {
    let mut context = BUILT_IN.new_inner_scope();
    for (name, value) in given.facts() {
        let value = match value {
            Value::Bool(truth) => Cel::Bool(truth),
            Value::Text(text) => text.into(),
            _ => {
                let index = usize::from(name.as_bytes()[1] - b'0');
                let digits = &given.numbers[index].1;
                match digits.parse() {
                    Ok(integer) => Cel::Int(integer),
                    Err(_) => Cel::Float(digits.parse().unwrap()),
                }
            }
        };
        context.add_variable_from_value(name, value);
    }
    match program.execute(&context) {
        Ok(Cel::Bool(truth)) => Ok(truth),
        other => Err(format!("{other:?}")),
    }
}

/// The numbers of a condition, and what looks like one in its texts.
fn numbers(source: &str) -> impl Iterator<Item = &str> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.');
    let runs = source.split(move |c: char| !is_part(c));
    runs.filter(|run| run.starts_with(|c: char| c.is_ascii_digit()))
}
