/*!
What is known of a request before it is served.

[`RequestBody`] reads the body once: how many tokens it has and asks for. [`RequestFacts`] are what
conditions are about:

| fact | is |
|---|---|
| `method` | the method: `POST` |
| `path` | the path, as it is sent, without the query |
| `body_length` | the length of the body, in bytes |
| `NAME` | the member of that name of a body that is a JSON object, or the parameter of a form or the query |
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
[`Value::Unknown`], and the rule of the price ([`OnUnknown`]) decides, where

* the body was not read ([`BodyError`] says why: it is no JSON object and no form, it has a member twice, and so
  on): then each `NAME` is;
* it is there twice, in the body, in the query, or in both; or once, in a spelling that a lenient server would take
  for it: other case (`Max_Tokens`), or what PHP makes of names (`name[]`);
* `NAME_length` is there itself, beside a `NAME` that is a text.

A member that is `null` is not there. Where `NAME` is no text, nor a number or a truth beside which `NAME_length` is
there itself, the latter is [`Value::Other`].
*/

mod body;
mod count;
mod members;
mod parameters;
mod spelling;

pub use body::{BodyError, MAX_JSON_BYTES, RequestBody};
pub use count::Counted;
pub use members::MAX_MEMBERS;
pub use parameters::MAX_PARAMETERS;
use parameters::Parameters;
use x402_core::condition::{Declared, Facts, Kind, Value};
use x402_core::tariff::OnUnknown;

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
    parameters: Parameters,
    body: &'a RequestBody<'a>,
    has_members: bool,
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
        let parameters = Parameters::read(query.unwrap_or_default());
        Self { method, path, parameters, body, has_members: true }
    }

    /// The same for prices of that rule: by [`OnUnknown::Base`] a body that was not read has no members.
    #[must_use]
    pub fn by_rule(self, on_unknown: OnUnknown) -> Self {
        let has_members = on_unknown != OnUnknown::Base || self.body.check().is_ok();
        Self { has_members, ..self }
    }

    /// The member or parameter of that name.
    fn named(&self, name: &str) -> Option<Value<'_>> {
        let member = self.body.fact(name).filter(|_| self.has_members);
        match (member, self.parameters.get(name)) {
            (Some(_), Some(_)) => Some(Value::Unknown),
            (member, parameter) => member.or(parameter),
        }
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
            (Some(Value::Unknown), _) | (_, Some(Value::Unknown)) => Some(Value::Unknown),
            (Some(Value::Text(text) | Value::Untyped(text)), None) => {
                Some(Value::Number((text.chars().count() as u64).into()))
            }
            (Some(Value::Text(_) | Value::Untyped(_)), Some(_)) => Some(Value::Unknown),
            (Some(Value::Bool(_) | Value::Number(_)), Some(itself)) => Some(itself),
            (Some(_), _) => Some(Value::Other),
        }
    }
}

#[cfg(test)]
mod tests {
    use x402_core::condition::{Condition, Fault};

    use super::*;

    fn evaluate(condition: &str, query: &str, body: &str) -> Result<bool, Fault> {
        let body = RequestBody::read(body.as_bytes(), |_| None);
        let facts = RequestFacts::new("POST", "/a", Some(query), &body);
        Condition::parse(condition).unwrap().holds(&facts).map_err(|error| error.fault)
    }

    /// Whether a condition holds of `POST /a?QUERY`; `None` where it cannot be said.
    fn holds(condition: &str, query: &str, body: &str) -> Option<bool> {
        evaluate(condition, query, body).ok()
    }

    /// Why it cannot be said.
    fn fault(condition: &str, query: &str, body: &str) -> Option<Fault> {
        evaluate(condition, query, body).err()
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
    fn what_could_be_read_in_two_ways_is_not_known() {
        let many: String = (0..=MAX_PARAMETERS).map(|i| format!("p{i}&")).collect();
        for (condition, query, body) in [
            ("n > 1", "n=1", r#"{"n": 5}"#),
            ("n > 1", "n=1&n=5", ""),
            ("n > 1", "n=1&%6e=5", ""),
            ("n == 'x'", "n=%ff", ""),
            ("n > 1", "%ff=1", ""),
            ("n > 1", "N=5", ""),
            ("n > 1", "n[]=5", ""),
            ("n > 1", "+n%00x=5", ""),
            ("n > 1", "a=b;n=5", ""),
            ("n > 1", "n=5;a=b", ""),
            ("n > 1", &many, ""),
            ("n > 1", "", r#"{"n": 5, "n": 1}"#),
            ("n > 1", "", r#"{"n": 5, "\u006e": 1}"#),
            ("n > 1", "", r#"{"n": 5, "N": 1}"#),
            ("n > 1", "", r#"{"n": 5, "N": null}"#),
            ("n > 1", "", r#"{"N": 5}"#),
            ("n > 1", "N=1", r#"{"n": 5}"#),
            ("n > 1", "", r#"{"a": 5, "a": 1}"#),
            ("n > 1", "", r#"{"n": 5, "m": }"#),
            ("n > 1", "", r#"[{"n": 5}]"#),
            ("n > 1", "", "n=5"),
            ("n > 1", "n=5", "GIF89a"),
            ("kind == 'x'", "", "{\"\u{212a}ind\": \"x\"}"),
            ("q_length > 1", "", r#"{"q": "long", "q_length": 1}"#),
            ("q_length > 1", "q_length=1", r#"{"q": "long"}"#),
            ("q_length > 1", "", r#"{"Q": "long"}"#),
            ("q_length > 1", "", r#"{"q": "long", "Q_Length": 1}"#),
        ] {
            assert_eq!(
                fault(condition, query, body),
                Some(Fault::Unreadable),
                "{condition} {query} {body}"
            );
        }
        assert_eq!(holds("n > 1", "", r#"{"n": 5, "m": 1, "mn": 2}"#), Some(true));
    }

    #[test]
    fn what_is_of_another_kind_cannot_be_used() {
        for (condition, body) in [
            ("n > 1", r#"{"n": "5"}"#),
            ("n > 1", r#"{"n": [5]}"#),
            ("q_length > 1", r#"{"q": ["long"]}"#),
            ("q_length > 1", r#"{"q": ["long"], "q_length": 1}"#),
            ("q_length > 1", r#"{"q": 5}"#),
            ("q == 'x'", r#"{"q": "\ud800"}"#),
        ] {
            assert_eq!(fault(condition, "", body), Some(Fault::Mismatch), "{condition} {body}");
        }
        assert_eq!(holds("q_length > 1", "", r#"{"q": 5, "q_length": 7}"#), Some(true));
    }

    #[test]
    fn a_body_that_is_not_read_may_be_passed_over() {
        let body = RequestBody::read(b"GIF89a", |_| None);
        let facts = RequestFacts::new("POST", "/a", Some("n=5&m=1&M=2"), &body);
        let facts = facts.by_rule(OnUnknown::Highest);
        assert_eq!(facts.fact("n"), Some(Value::Unknown));
        let facts = facts.by_rule(OnUnknown::Base);
        assert_eq!(facts.fact("n"), Some(Value::Untyped("5")));
        assert_eq!((facts.fact("m"), facts.fact("o")), (Some(Value::Unknown), None));
        let body = RequestBody::read(br#"{"n": 5}"#, |_| None);
        let facts = RequestFacts::new("POST", "/a", None, &body).by_rule(OnUnknown::Base);
        assert_eq!(facts.fact("n"), Some(Value::Number(5.into())));
    }

    #[test]
    fn a_form_has_facts_as_a_query_has() {
        let read = |condition: &str, body: &str| {
            let header = |name: &str| {
                (name == "content-type").then_some("application/x-www-form-urlencoded")
            };
            let body = RequestBody::read(body.as_bytes(), header);
            let facts = RequestFacts::new("POST", "/a", None, &body);
            Condition::parse(condition).unwrap().holds(&facts).map_err(|error| error.fault)
        };
        for condition in ["n == 5", "flag", "name == 'a b c'", "name_length == 5", "not missing"] {
            assert_eq!(read(condition, "n=5&flag=true&name=a+b%20c"), Ok(true), "{condition}");
        }
        for body in ["n=5&n=5", "N=5", "n[0]=5", "n=5&=;n=1"] {
            assert_eq!(read("n > 1", body), Err(Fault::Unreadable), "{body}");
        }
    }
}
