/*!
What is known of a request before it is served.

[`RequestBody`] reads the body once: how many tokens it has and asks for. [`RequestFacts`] are what
conditions are about:

| fact | is |
|---|---|
| `method` | the method: `POST` |
| `path` | the path, as it is sent, without the query |
| `body_length` | the length of the body, in bytes |
| `NAME` | the member of that name of a body that is a JSON object, or the parameter of the query |
| `NAME_length` | its length, if it is a text, in characters |

```
use x402_core::condition::Condition;
use x402_std::metering::request::{RequestBody, RequestFacts};

let body = RequestBody::read(br#"{"query": "What is HTTP?", "requires_browser": true}"#, |_| None);
let facts = RequestFacts::new("POST", "/api/analyze", Some("depth=3"), &body);
let condition = Condition::parse("requires_browser and depth > 2 and query_length == 13")?;
assert!(condition.holds(&facts)?);
# Ok::<(), Box<dyn std::error::Error>>(())
```

# What could be read in two ways

The upstream reads the request too, and a buyer must not be priced for another one. A fact is
[`Value::Other`], which no condition can use, where

* the body looks like JSON and was not read ([`BodyError`] says why): then each `NAME` is;
* the body and the query both have it, or the query has it twice;
* `NAME_length` is there itself, beside a `NAME` that is a text, or `NAME` is no text.

A member that is `null` is not there.
*/

mod body;
mod count;

pub use body::{BodyError, MAX_JSON_BYTES, MAX_MEMBERS, RequestBody};
pub use count::Counted;
use x402_core::condition::{Declared, Facts, Kind, Value};

use crate::percent;

/// How many parameters of a query are read.
pub const MAX_PARAMETERS: usize = 128;

const LENGTH: &str = "_length";

/// The facts that every request has, for [`Condition::check`](x402_core::condition::Condition::check).
#[must_use]
pub const fn well_known() -> &'static [Declared<'static>] {
    &[
        Declared { name: "body_length", kind: Kind::Number },
        Declared { name: "method", kind: Kind::Text },
        Declared { name: "path", kind: Kind::Text },
    ]
}

/// The facts of a request.
#[derive(Clone, Debug)]
pub struct RequestFacts<'a> {
    method: &'a str,
    path: &'a str,
    /// `None` where there are too many to be read.
    parameters: Option<Vec<Parameter>>,
    body: &'a RequestBody<'a>,
}

#[derive(Clone, Debug)]
struct Parameter {
    /// The name, or as much of it as is written where it is not encoded UTF-8.
    name: String,
    /// `None` where it is not encoded UTF-8, or there twice.
    value: Option<String>,
}

impl<'a> RequestFacts<'a> {
    /// Of a request with that path and query, which is without its question mark.
    #[must_use]
    pub fn new(
        method: &'a str,
        path: &'a str,
        query: Option<&str>,
        body: &'a RequestBody<'a>,
    ) -> Self {
        Self { method, path, parameters: read_query(query.unwrap_or_default()), body }
    }

    /// The member or parameter of that name.
    fn named(&self, name: &str) -> Option<Value<'_>> {
        match (self.body.fact(name), self.parameter(name)) {
            (Some(_), Some(_)) => Some(Value::Other),
            (member, parameter) => member.or(parameter),
        }
    }

    fn parameter(&self, name: &str) -> Option<Value<'_>> {
        let Some(parameters) = &self.parameters else { return Some(Value::Other) };
        let parameter = parameters.iter().find(|parameter| parameter.name == name)?;
        Some(parameter.value.as_deref().map_or(Value::Other, Value::Untyped))
    }
}

impl Facts for RequestFacts<'_> {
    fn fact(&self, name: &str) -> Option<Value<'_>> {
        match name {
            "body_length" => return Some(Value::Number((self.body.len() as u64).into())),
            "method" => return Some(Value::Text(self.method)),
            "path" => return Some(Value::Text(self.path)),
            _ => {}
        }
        let itself = self.named(name);
        let base = name.strip_suffix(LENGTH).and_then(|base| self.named(base));
        match (base, itself) {
            (None, itself) => itself,
            (Some(Value::Text(text) | Value::Untyped(text)), None) => {
                Some(Value::Number((text.chars().count() as u64).into()))
            }
            (Some(Value::Bool(_) | Value::Number(_)), Some(itself)) => Some(itself),
            (Some(_), _) => Some(Value::Other),
        }
    }
}

/// The parameters of a query; `None` where there are more than [`MAX_PARAMETERS`].
fn read_query(query: &str) -> Option<Vec<Parameter>> {
    let mut parameters: Vec<Parameter> = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let decode = |text: &str| percent::decoded(&text.replace('+', " "));
        let name = decode(name).unwrap_or_else(|| name.to_owned());
        if let Some(twice) = parameters.iter_mut().find(|parameter| parameter.name == name) {
            twice.value = None;
        } else if parameters.len() >= MAX_PARAMETERS {
            return None;
        } else {
            parameters.push(Parameter { name, value: decode(value) });
        }
    }
    Some(parameters)
}

#[cfg(test)]
mod tests {
    use x402_core::condition::Condition;

    use super::*;

    /// Whether a condition holds of `POST /a?QUERY`; `None` where it cannot be said.
    fn holds(condition: &str, query: &str, body: &str) -> Option<bool> {
        let body = RequestBody::read(body.as_bytes(), |_| None);
        let facts = RequestFacts::new("POST", "/a", Some(query), &body);
        Condition::parse(condition).unwrap().holds(&facts).ok()
    }

    #[test]
    fn are_of_the_request_its_body_and_its_query() {
        let body = r#"{"query": "h\u00e9 \ud83d\ude00", "n": 12345678901234567890123, "m": 1.50e1,
            "requires_browser": true, "cached": false, "none": null, "a\u0062": "x"}"#;
        let query = "limit=50&flag=true&name=a%20b+c&empty&&x=%2B";
        for condition in [
            "method == 'POST' and path == '/a'",
            &format!("body_length == {}", body.len()),
            "query == 'hé 😀' and query_length == 4",
            "n > 12345678901234567890122 and n < 12345678901234567890124",
            "m == 15",
            "requires_browser and not cached",
            "ab == 'x' and ab_length == 1",
            "limit == 50 and limit_length == 2",
            "limit == '50'",
            "flag",
            "name == 'a b c' and name_length == 5",
            "empty == '' and empty_length == 0",
            "x == '+'",
        ] {
            assert_eq!(holds(condition, query, body), Some(true), "{condition}");
        }
        for condition in ["none", "none == ''", "none_length == 0", "missing_length >= 0"] {
            assert_eq!(holds(condition, query, body), Some(false), "{condition}");
        }
    }

    #[test]
    fn well_known_names_are_not_the_buyers_to_give() {
        let body = r#"{"method": "GET", "path": "/b", "body_length": 1}"#;
        let condition = "method == 'POST' and path == '/a' and body_length == 49";
        assert_eq!(holds(condition, "method=GET&path=/b&body_length=1", body), Some(true));
        for declared in well_known() {
            let facts = RequestBody::read(b"", |_| None);
            let facts = RequestFacts::new("GET", "/", None, &facts);
            let kind = match facts.fact(declared.name) {
                Some(Value::Number(_)) => Kind::Number,
                Some(Value::Text(_)) => Kind::Text,
                other => panic!("{other:?}"),
            };
            assert_eq!(kind, declared.kind);
        }
    }

    #[test]
    fn what_could_be_read_in_two_ways_cannot_be_used() {
        let many: String = (0..=MAX_PARAMETERS).map(|i| format!("p{i}&")).collect();
        for (condition, query, body) in [
            ("n > 1", "n=1", r#"{"n": 5}"#),
            ("n > 1", "n=1&n=5", ""),
            ("n > 1", "n=1&%6e=5", ""),
            ("n == 'x'", "n=%ff", ""),
            ("n > 1", &many, ""),
            ("n > 1", "", r#"{"n": 5, "n": 1}"#),
            ("n > 1", "", r#"{"n": 5, "\u006e": 1}"#),
            ("n > 1", "", r#"{"n": 5, "m": }"#),
            ("q_length > 1", "", r#"{"q": "long", "q_length": 1}"#),
            ("q_length > 1", "q_length=1", r#"{"q": "long"}"#),
            ("q_length > 1", "", r#"{"q": ["long"]}"#),
            ("q_length > 1", "", r#"{"q": ["long"], "q_length": 1}"#),
            ("q_length > 1", "", r#"{"q": 5}"#),
            ("q == 'x'", "", r#"{"q": "\ud800"}"#),
        ] {
            assert_eq!(holds(condition, query, body), None, "{condition} {query} {body}");
        }
        assert_eq!(holds("q_length > 1", "", r#"{"q": 5, "q_length": 7}"#), Some(true));
    }

    #[test]
    fn what_is_no_json_has_no_members() {
        for body in ["", "name=x&n=5", "[{\"n\": 5}]", "\"n\"", "GIF89a", "5"] {
            assert_eq!(holds("n == 5", "", body), Some(false), "{body}");
        }
    }
}
