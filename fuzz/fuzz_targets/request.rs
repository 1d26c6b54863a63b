//! What is known of a request before it is served: its members are serde_json's, its parameters those of
//! the URL Standard, and what could be read in two ways is not read.
#![no_main]

use std::collections::HashSet;

use libfuzzer_sys::fuzz_target;
use serde::de::{Deserializer as _, IgnoredAny, MapAccess, Visitor};
use serde_json::{Map, Value as Json, json};
use x402_core::condition::{Facts as _, Number, Value};
use x402_fuzz::Cut;
use x402_std::metering::request::{BodyError, MAX_MEMBERS, MAX_PARAMETERS};
use x402_std::metering::request::{RequestBody, RequestFacts};

const FIELDS: [(&str, &str); 4] = [
    ("content-type", "application/json"),
    ("content-encoding", "gzip"),
    ("content-type", "application/x-www-form-urlencoded"),
    ("content-length", "5"),
];

/// A name and what it says.
type Pairs = Vec<(String, String)>;

/// What a body says: the members of its object, or the parameters of its form.
#[derive(Default)]
struct Said {
    members: Map<String, Json>,
    form: Pairs,
}

// A query, a line end, and a body.
fuzz_target!(|data: &[u8]| {
    let mut cut = Cut(data);
    let (name, value) = FIELDS[usize::from(cut.byte() % 4)];
    let end = cut.0.iter().position(|byte| *byte == b'\n').unwrap_or(cut.0.len());
    let (query, bytes) = cut.0.split_at(end);
    let bytes = bytes.get(1..).unwrap_or_default();
    let Ok(query) = core::str::from_utf8(query) else { return };
    let body = RequestBody::read(bytes, |asked| (asked == name).then_some(value));
    assert_eq!(body.len(), bytes.len());
    let is_form = value.ends_with("urlencoded") && !bytes.is_empty();
    let said = if is_form { check_form(&body, bytes) } else { check_body(&body, bytes, value) };
    let Some(said) = said else { return };
    if body.check().is_ok() && !is_form {
        check_counts(&body, &said.members);
        check_usage(&body, &said.members);
    }
    check_facts(query, &body, &said);
});

/// The parameters, none where the body is not read; nothing where something is not encoded UTF-8, or parted in
/// two ways.
fn check_form(body: &RequestBody<'_>, bytes: &[u8]) -> Option<Said> {
    let read = body.check();
    if bytes.iter().any(|byte| b"{\"".contains(byte)) {
        assert_eq!(read, Err(BodyError::Kind));
        return Some(Said::default());
    }
    let form = parameters(core::str::from_utf8(bytes).ok()?)?;
    let is_overfull = form.len() > MAX_PARAMETERS;
    assert_eq!(read, if is_overfull { Err(BodyError::Parameters) } else { Ok(()) });
    Some(Said { form, ..Said::default() })
}

/// The members, none where the body is not read or has none; nothing where serde_json makes nothing of
/// what is JSON, such as half of a surrogate pair.
fn check_body(body: &RequestBody<'_>, bytes: &[u8], field: &str) -> Option<Said> {
    let read = body.check();
    if bytes.is_empty() {
        assert_eq!(read, Ok(()));
        return Some(Said::default());
    }
    assert_eq!(field == "gzip", read == Err(BodyError::Encoding));
    if field == "gzip" {
        return Some(Said::default());
    }
    if read.is_ok() {
        serde_json::from_slice::<IgnoredAny>(bytes).expect("it is JSON to us");
    }
    match (serde_json::from_slice(bytes), read) {
        (Ok(Json::Object(members)), _) => {
            let expected = match count(bytes) {
                count if count > MAX_MEMBERS => Err(BodyError::Members),
                count if count > members.len() => Err(BodyError::Duplicate),
                _ => Ok(()),
            };
            assert_eq!(read, expected);
            Some(Said { members, ..Said::default() })
        }
        (Ok(_), read) => {
            assert_eq!(read, Err(BodyError::NoObject));
            Some(Said::default())
        }
        (Err(_), Ok(())) => None,
        (Err(_), Err(_)) => Some(Said::default()),
    }
}

/// Whether a lenient reader might take one name for the other.
fn is_near(one: &str, other: &str) -> bool {
    let plain = |name: &str| {
        let end = name.trim_start().find(['[', '\0']).unwrap_or(name.trim_start().len());
        let name = name.trim_start()[..end].replace([' ', '.'], "_");
        // One by one: a letter at the end of a word may have another form.
        let upper = name.chars().map(|c| c.to_uppercase().to_string()).collect::<String>();
        upper.chars().map(|c| c.to_lowercase().to_string()).collect::<String>()
    };
    plain(one) == plain(other)
}

/// How many members an object has, those of one name one by one.
fn count(object: &[u8]) -> usize {
    let mut reader = serde_json::Deserializer::from_slice(object);
    reader.deserialize_map(Count).expect("an object")
}

struct Count;

impl<'de> Visitor<'de> for Count {
    type Value = usize;

    fn expecting(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<usize, A::Error> {
        let next = || members.next_entry::<IgnoredAny, IgnoredAny>().transpose();
        core::iter::from_fn(next).try_fold(0, |count, member| member.map(|_| count + 1))
    }
}

/// The largest of the limits, for each of the answers.
fn check_counts(body: &RequestBody<'_>, members: &Map<String, Json>) {
    let largest = |names: &[&str]| -> Result<Option<u64>, ()> {
        names.iter().try_fold(None, |most: Option<u64>, name| {
            let near: Vec<_> = members.iter().filter(|(other, _)| is_near(other, name)).collect();
            let number = match near.as_slice() {
                [] => None,
                [(other, value)] if other == name => match value {
                    Json::Null => None,
                    value => Some(value.as_u64().ok_or(())?),
                },
                _ => return Err(()),
            };
            Ok(most.max(number))
        })
    };
    let choices = largest(&["best_of", "n"]).map(|choices| choices.unwrap_or(1).max(1));
    let limit = largest(&["max_tokens", "max_completion_tokens", "max_output_tokens"]);
    assert_eq!(body.choices().ok(), choices.ok());
    let total = choices.and_then(|choices| Ok(limit?.map(|limit| limit.saturating_mul(choices))));
    assert_eq!(body.max_output_tokens().ok(), total.ok());
}

/// A stream of completions is asked to say what it has used, and nothing else of the body changes.
fn check_usage(body: &RequestBody<'_>, members: &Map<String, Json>) {
    let has = |name: &str| members.get(name).is_some_and(|value| !value.is_null());
    let is_stream = members.get("stream") == Some(&json!(true));
    assert_eq!(body.is_stream(), is_stream);
    let mut expected = Json::Object(members.clone());
    let options = &mut expected["stream_options"];
    let is_object = options.is_object() || options.is_null();
    let is_asked = options["include_usage"] == true;
    let is_completion = has("messages") || has("prompt");
    let written = body.with_usage_included();
    if !is_stream || !is_completion || !is_object {
        assert_eq!(written, None);
    } else if let Some(written) = written {
        options["include_usage"] = true.into();
        assert_eq!(serde_json::from_slice::<Json>(&written).expect("JSON"), expected);
    } else {
        assert!(is_asked, "it is not asked for the usage");
    }
}

/// Facts are the members and parameters, where there is one of a name, in one spelling.
fn check_facts(query: &str, body: &RequestBody<'_>, said: &Said) {
    let facts = RequestFacts::new("POST", "/a", Some(query), body);
    let length = Number::from(body.len() as u64);
    assert_eq!(facts.fact("body_length"), Some(Value::Number(length)));
    let Some(parameters) = parameters(query) else { return };
    let is_unread = body.check().is_err() || parameters.len() > MAX_PARAMETERS;
    let names =
        parameters.iter().chain(&said.form).map(|(name, _)| name).chain(said.members.keys());
    for name in names.collect::<HashSet<_>>() {
        if matches!(name.as_str(), "method" | "path") || name.ends_with("_length") {
            continue;
        }
        let of = |pairs: &Pairs| pairs.iter().filter(|(other, _)| is_near(other, name)).count();
        let members = said.members.keys().filter(|other| is_near(other, name)).count();
        let (asked, sent) = (of(&parameters), of(&said.form) + members);
        let text = |pairs: &Pairs| {
            pairs.iter().find(|(other, _)| other == name).map(|(_, text)| text.clone())
        };
        let fact = facts.fact(name);
        match (asked, sent, said.members.get(name)) {
            _ if is_unread => assert_eq!(fact, Some(Value::Unknown)),
            (0, 1, Some(Json::Null)) => assert_eq!(fact, None),
            (1, 1, Some(Json::Null)) if text(&parameters).is_none() => {
                assert_eq!(fact, Some(Value::Unknown));
            }
            (0, 1, Some(member)) => check_member(fact, member),
            (0, 1, None) => match text(&said.form) {
                Some(text) => assert_eq!(fact, Some(Value::Untyped(&text))),
                None => assert_eq!(fact, Some(Value::Unknown)),
            },
            (1, 0, _) | (1, 1, Some(Json::Null)) => match text(&parameters) {
                Some(text) => assert_eq!(fact, Some(Value::Untyped(&text))),
                None => assert_eq!(fact, Some(Value::Unknown)),
            },
            _ => assert_eq!(fact, Some(Value::Unknown)),
        }
        check_length(&facts, name, fact);
    }
}

/// A member as a fact; numbers where 64 bits have them.
fn check_member(fact: Option<Value<'_>>, member: &Json) {
    let expected = match member {
        Json::Bool(truth) => Value::Bool(*truth),
        Json::String(text) => Value::Text(text),
        Json::Number(number) => {
            let Some(number) = number.as_u64() else {
                return assert!(matches!(fact, Some(Value::Number(_) | Value::Other)));
            };
            Value::Number(number.into())
        }
        _ => Value::Other,
    };
    assert_eq!(fact, Some(expected));
}

/// The length of a text is a fact, unless the request says it.
fn check_length(facts: &RequestFacts<'_>, name: &str, fact: Option<Value<'_>>) {
    let of_length = facts.fact(&format!("{name}_length"));
    match fact {
        Some(Value::Text(text) | Value::Untyped(text)) => {
            let length = Value::Number((text.chars().count() as u64).into());
            assert!(of_length == Some(length) || of_length == Some(Value::Unknown));
        }
        Some(Value::Other) => {
            assert!(matches!(of_length, Some(Value::Other | Value::Unknown)));
        }
        Some(Value::Unknown) => assert_eq!(of_length, Some(Value::Unknown)),
        _ => {}
    }
}

/// As the URL Standard reads them; nothing where something is not encoded UTF-8, or some would part them by `;`.
fn parameters(query: &str) -> Option<Pairs> {
    if query.contains(';') {
        return None;
    }
    let is_hex = |digits: &str| {
        digits.len() >= 2 && digits.bytes().take(2).all(|byte| byte.is_ascii_hexdigit())
    };
    let is_encoded = query.split('%').skip(1).all(is_hex);
    let pairs: Vec<_> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let is_whole = |text: &String| !text.contains('\u{fffd}');
    let is_utf8 = pairs.iter().all(|(name, value)| is_whole(name) && is_whole(value));
    (is_encoded && is_utf8).then_some(pairs)
}
