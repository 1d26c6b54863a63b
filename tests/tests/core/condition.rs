//! Conditions against CEL's own grammar and an interpreter of it, and against the tree that they were
//! written from.

mod tree;

use num_bigint::BigInt;
use proptest::prelude::*;
use x402_core::condition::{Condition, Fault, Number, Value};

use crate::arbitrary::cases;
use tree::{Case, Spelling, case, case_with_gaps};

/// What an interpreter of CEL makes of a condition; `None` where it is no CEL.
fn cel(source: &str, case: &Case) -> Option<Result<bool, String>> {
    let program = cel::Program::compile(source).ok()?;
    let mut context = cel::Context::default();
    for (name, value) in &case.facts {
        let value = match value.as_value() {
            Value::Bool(truth) => cel::Value::Bool(truth),
            Value::Text(text) => text.into(),
            _ if case.are_integers => cel::Value::Int(value.digits().parse().unwrap()),
            _ => cel::Value::Float(value.digits().parse().unwrap()),
        };
        context.add_variable_from_value(*name, value);
    }
    Some(match program.execute(&context) {
        Ok(cel::Value::Bool(truth)) => Ok(truth),
        Ok(other) => Err(format!("{other:?}")),
        Err(error) => Err(error.to_string()),
    })
}

fn ours(source: &str, case: &Case) -> Result<bool, Fault> {
    let facts: Vec<_> = case.facts.iter().map(|(name, fact)| (*name, fact.as_value())).collect();
    let condition = Condition::parse(source).map_err(|error| error.fault)?;
    condition.holds(facts.as_slice()).map_err(|error| error.fault)
}

/// A number as JSON writes it, and the number times 10^100.
fn number() -> impl Strategy<Value = (String, BigInt)> {
    let whole = prop_oneof![Just("0".to_owned()), "[1-9][0-9]{0,2}", "[1-9][0-9]{15,25}"];
    let fraction = prop_oneof![Just(String::new()), "[0-9]{1,3}", "0{0,20}[0-9]{1,10}"];
    let exponent = prop_oneof![Just(None), (-30_i32..30).prop_map(Some)];
    (any::<bool>(), whole, fraction, exponent).prop_map(
        |(is_negative, whole, fraction, exponent)| {
            let sign = if is_negative { "-" } else { "" };
            let point = if fraction.is_empty() { "" } else { "." };
            let suffix = exponent.map_or(String::new(), |exponent| format!("e{exponent:+}"));
            let digits: BigInt = format!("{sign}{whole}{fraction}").parse().unwrap();
            let shift = 100 + exponent.unwrap_or(0) - i32::try_from(fraction.len()).unwrap();
            let paper = digits * BigInt::from(10).pow(shift.try_into().unwrap());
            (format!("{sign}{whole}{point}{fraction}{suffix}"), paper)
        },
    )
}

/// Pieces of conditions, some of them of the language.
fn soup() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => proptest::sample::select(vec!["n0", "n1", "t0", "t1", "f0", "f1", "true", "false"]),
        4 => proptest::sample::select(vec!["&&", "||", "!", "==", "!=", "<", "<=", ">", ">="]),
        2 => proptest::sample::select(vec!["(", ")", "0", "12", "-3", "'x'", "\"\"", r"'\n'"]),
        1 => proptest::sample::select(vec!["and", "or", "not", "-", ".", "=", "'", "1.5", "in", "é"]),
    ];
    let gap = proptest::sample::select(vec!["", " ", " ", " ", "\n\t"]);
    proptest::collection::vec((piece, gap), 1..12)
        .prop_map(|pieces| pieces.iter().map(|(piece, gap)| format!("{piece}{gap}")).collect())
}

proptest! {
    #![proptest_config(cases(2048))]

    #[test]
    fn holds_where_cel_says_so(case in case()) {
        let (source, in_cel) = (case.written(Spelling::Ours), case.written(Spelling::Cel));
        let expected = cel(&in_cel, &case);
        prop_assert_eq!(Some(Ok(case.holds().unwrap())), expected.clone(), "{}", in_cel);
        for source in [source, in_cel] {
            let held = ours(&source, &case).map_err(|fault| fault.to_string());
            prop_assert_eq!(Some(held), expected.clone(), "{} {:?}", source, case.facts);
        }
    }

    #[test]
    fn facts_that_are_missing_or_do_not_fit_do_what_the_rules_say(case in case_with_gaps()) {
        let source = case.written(Spelling::Ours);
        let expected = case.holds().ok_or(Fault::Mismatch);
        prop_assert_eq!(ours(&source, &case), expected, "{} {:?}", source, case.facts);
    }
}

proptest! {
    #![proptest_config(cases(20_000))]

    /// Save for its own three words.
    #[test]
    fn nothing_is_read_that_is_no_cel(source in soup(), case in case()) {
        let is_own = ["and", "or", "not"].iter().any(|word| source.contains(word));
        let held = ours(&source, &case);
        if is_own || held.is_err_and(|fault| fault != Fault::Mismatch) {
            return Ok(());
        }
        let Some(theirs) = cel(&source, &case) else {
            return Err(TestCaseError::fail(format!("no CEL: {source}")));
        };
        if let (Ok(ours), Ok(theirs)) = (held, theirs) {
            prop_assert_eq!(ours, theirs, "{} {:?}", source, case.facts);
        }
    }

    #[test]
    fn numbers_have_the_order_of_what_they_say(a in number(), b in number(), c in any::<u64>()) {
        let ours = |text| Number::parse(text).unwrap();
        prop_assert_eq!(ours(&a.0).cmp(&ours(&b.0)), a.1.cmp(&b.1), "{} {}", a.0, b.0);
        let paper = BigInt::from(c) * BigInt::from(10).pow(100);
        prop_assert_eq!(ours(&a.0).cmp(&Number::from(c)), a.1.cmp(&paper), "{} {}", a.0, c);
    }

    #[test]
    fn faults_point_into_the_source(source in soup()) {
        let Err(error) = Condition::parse(&source) else { return Ok(()) };
        prop_assert!(error.start <= error.end && usize::from(error.end) <= source.len());
        prop_assert!(source.is_char_boundary(error.start.into()));
        prop_assert!(source.is_char_boundary(error.end.into()));
        prop_assert!(error.underline(&source).to_string().ends_with('^'));
    }
}

proptest! {
    #![proptest_config(cases(1024))]

    #[test]
    fn no_text_does_harm(source in any::<String>(), case in case()) {
        if let Err(error) = Condition::parse(&source) {
            prop_assert!(error.underline(&source).to_string().ends_with('^'));
        }
        let _ = ours(&source, &case);
    }
}
