use std::borrow::Cow;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;
use x402_core::condition::{Number, Value};

/// The longest body that is read as JSON, in bytes.
pub const MAX_JSON_BYTES: usize = 1 << 20;

/// How many members of a body are read.
pub const MAX_MEMBERS: usize = 128;

/// The members that say how many tokens the answer may have at most.
const MAX_TOKENS: [&str; 3] = ["max_completion_tokens", "max_output_tokens", "max_tokens"];
/// The members that say how many answers are to be made of one request.
const CHOICES: [&str; 2] = ["best_of", "n"];

/// The body of a request, read once.
#[derive(Clone, Debug)]
pub struct RequestBody<'a> {
    bytes: &'a [u8],
    json: Result<Members<'a>, BodyError>,
}

/// The members of an object, in their order. Without one, there are none.
#[derive(Clone, Debug, Default)]
pub(super) struct Members<'a>(Vec<Member<'a>>);

#[derive(Clone, Debug)]
pub(super) struct Member<'a> {
    pub(super) name: String,
    /// As it stands in the body.
    pub(super) raw: &'a str,
    /// What it says, if it is a text that can be read.
    pub(super) text: Option<Cow<'a, str>>,
}

/// Why a body is not known that looks like JSON.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum BodyError {
    /// A number of tokens or of answers is no whole number of 64 bits.
    #[error("a number of tokens or answers in the body is not a whole number: {0}")]
    Count(&'static str),
    /// The object has a member twice.
    #[error("the JSON of the body has a member twice")]
    Duplicate,
    /// It is compressed.
    #[error("the body is compressed: send it as it is, without Content-Encoding")]
    Encoding,
    /// Longer than [`MAX_JSON_BYTES`].
    #[error("the JSON of the body is longer than {MAX_JSON_BYTES} bytes")]
    Length,
    /// More members than [`MAX_MEMBERS`].
    #[error("the JSON of the body has more than {MAX_MEMBERS} members")]
    Members,
    /// No JSON in UTF-8.
    #[error("the body is no JSON in UTF-8")]
    Syntax,
}

impl<'a> RequestBody<'a> {
    /// Reads the body of a request of which `header` gives the fields: the value of a name in lower
    /// case, as a text.
    ///
    /// A body that does not look like JSON, and is not said to be, has no members. What is wrong
    /// with one that does is told by whatever needs to know more.
    #[must_use]
    pub fn read<'h>(bytes: &'a [u8], header: impl Fn(&str) -> Option<&'h str>) -> Self {
        let coding = header("content-encoding").map(str::trim);
        let json = if bytes.is_empty() {
            Ok(Members::default())
        } else if coding.is_some_and(|coding| !coding.eq_ignore_ascii_case("identity")) {
            Err(BodyError::Encoding)
        } else {
            let content_type = header("content-type").unwrap_or_default();
            read_members(bytes, content_type.to_ascii_lowercase().contains("json"))
        };
        Self { bytes, json }
    }

    /// Its length, in bytes.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Whether it is known what it says.
    ///
    /// # Errors
    ///
    /// Why it is not.
    pub fn check(&self) -> Result<(), BodyError> {
        self.members().map(|_| ())
    }

    /// Whether it asks for the answer as a stream: its `stream` is `true`.
    #[must_use]
    pub fn is_stream(&self) -> bool {
        self.members().is_ok_and(|members| members.raw("stream") == Some("true"))
    }

    /// How many tokens the answer may have at most: `max_tokens`, `max_completion_tokens` or
    /// `max_output_tokens`, the largest if there are several, for each of the
    /// [answers](Self::choices). `None` where it does not say.
    ///
    /// # Errors
    ///
    /// [`BodyError`] where it cannot be known.
    pub fn max_output_tokens(&self) -> Result<Option<u64>, BodyError> {
        let choices = self.choices()?;
        Ok(self.largest(&MAX_TOKENS)?.map(|tokens| tokens.saturating_mul(choices)))
    }

    /// How many answers are to be made of it, at least 1: its `n` or `best_of`. A limit for one
    /// answer is one for each of them.
    ///
    /// # Errors
    ///
    /// [`BodyError`] where it cannot be known.
    pub fn choices(&self) -> Result<u64, BodyError> {
        Ok(self.largest(&CHOICES)?.unwrap_or(1).max(1))
    }

    /// The same body with `stream_options.include_usage`, where it asks OpenAI's API of chat
    /// completions, or of completions, for a stream and does not say so itself; `None` where it can
    /// stay as it is. Everything else stays, byte for byte, but for blanks between members.
    ///
    /// Without it the stream does not end with the tokens that were used. Only for an upstream that
    /// is known to take it: Anthropic's does not.
    #[must_use]
    pub fn with_usage_included(&self) -> Option<Vec<u8>> {
        let members = self.members().ok()?;
        let is_completion = members.get("messages").or_else(|| members.get("prompt")).is_some();
        if !self.is_stream() || !is_completion {
            return None;
        }
        let options = members.raw("stream_options").unwrap_or("{}");
        let options = serde_json::from_str::<Members<'_>>(options).ok()?;
        // Said twice, it could be read either way.
        if options.raw("include_usage") == Some("true") && !options.has_duplicates() {
            return None;
        }
        let options = options.write_with("include_usage", "true");
        Some(members.write_with("stream_options", &options).into_bytes())
    }

    /// The fact of that name, among the members.
    pub(super) fn fact(&self, name: &str) -> Option<Value<'_>> {
        match self.members() {
            Ok(members) => members.get(name).map(Member::value),
            Err(_) => Some(Value::Other),
        }
    }

    pub(super) fn members(&self) -> Result<&Members<'a>, BodyError> {
        self.json.as_ref().map_err(|error| *error)
    }

    /// The largest number of those members that are there.
    fn largest(&self, names: &[&'static str]) -> Result<Option<u64>, BodyError> {
        let members = self.members()?;
        names.iter().try_fold(None, |largest: Option<u64>, name| {
            let number = members.raw(name).map(|raw| raw.parse::<u64>()).transpose();
            Ok(largest.max(number.map_err(|_| BodyError::Count(name))?))
        })
    }
}

/// Reads the members of a body, where it looks like JSON or is said to be.
fn read_members(bytes: &[u8], is_json: bool) -> Result<Members<'_>, BodyError> {
    let start = bytes.trim_ascii_start();
    // Some upstreams read JSON in UTF-16 or behind a byte-order mark, whatever it is said to be.
    let is_marked = [b"\xef\xbb\xbf".as_slice(), b"\xfe\xff", b"\xff\xfe", b"\0"];
    let is_object = start.starts_with(b"{");
    if !is_object && !is_json && !is_marked.iter().any(|mark| start.starts_with(mark)) {
        return Ok(Members::default());
    }
    if bytes.len() > MAX_JSON_BYTES {
        return Err(BodyError::Length);
    }
    if !is_object {
        let other = serde_json::from_slice::<serde::de::IgnoredAny>(bytes);
        return other.map(|_| Members::default()).map_err(|_| BodyError::Syntax);
    }
    let members: Members<'_> = serde_json::from_slice(bytes)
        .map_err(|error| if error.is_data() { BodyError::Members } else { BodyError::Syntax })?;
    if members.has_duplicates() { Err(BodyError::Duplicate) } else { Ok(members) }
}

impl<'a> Members<'a> {
    /// The member of that name that is not `null`.
    pub(super) fn get(&self, name: &str) -> Option<&Member<'a>> {
        self.0.iter().find(|member| member.name == name && member.raw != "null")
    }

    fn raw(&self, name: &str) -> Option<&'a str> {
        self.get(name).map(|member| member.raw)
    }

    fn has_duplicates(&self) -> bool {
        let mut names: Vec<_> = self.0.iter().map(|member| &member.name).collect();
        names.sort_unstable();
        names.windows(2).any(|pair| matches!(pair, [one, other] if one == other))
    }

    /// The object as JSON, in which that member has that value.
    fn write_with(&self, name: &str, raw: &str) -> String {
        let others = self.0.iter().filter(|member| member.name != name);
        let others = others.map(|member| (member.name.as_str(), member.raw));
        let mut out = String::from("{");
        for (name, raw) in others.chain([(name, raw)]) {
            let comma = if out.len() > 1 { "," } else { "" };
            out.push_str(comma);
            out.push_str(&x402_core::wire::json::Quoted(name).to_string());
            out.push(':');
            out.push_str(raw);
        }
        out.push('}');
        out
    }
}

impl<'a> Member<'a> {
    fn new(name: String, raw: &'a str) -> Self {
        let content = raw.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        let text = content.and_then(|content| match content.contains('\\') {
            true => serde_json::from_str::<String>(raw).ok().map(Cow::Owned),
            false => Some(Cow::Borrowed(content)),
        });
        Self { name, raw, text }
    }

    fn value(&self) -> Value<'_> {
        match (self.raw, &self.text) {
            (_, Some(text)) => Value::Text(text),
            ("true", None) => Value::Bool(true),
            ("false", None) => Value::Bool(false),
            (raw, None) => Number::parse(raw).map_or(Value::Other, Value::Number),
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
        let mut members = Vec::new();
        while let Some((name, raw)) = map.next_entry::<String, &'de RawValue>()? {
            if members.len() >= MAX_MEMBERS {
                return Err(A::Error::custom("too many members"));
            }
            members.push(Member::new(name, raw.get()));
        }
        Ok(Members(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> RequestBody<'_> {
        RequestBody::read(body.as_bytes(), |_| None)
    }

    fn max_tokens(body: &str) -> Result<Option<u64>, BodyError> {
        read(body).max_output_tokens()
    }

    fn included(body: &str) -> Option<String> {
        read(body).with_usage_included().map(|bytes| String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn says_how_many_tokens_the_answer_may_have() {
        for (body, expected) in [
            (r#"{"max_tokens": 100}"#, Ok(Some(100))),
            (
                r#"{"max_output_tokens": 7, "max_tokens": 100, "max_completion_tokens": 50}"#,
                Ok(Some(100)),
            ),
            (r#"{"max_tokens": 100, "n": 5}"#, Ok(Some(500))),
            (r#"{"max_tokens": 100, "n": 2, "best_of": 3}"#, Ok(Some(300))),
            (r#"{"max_tokens": 18446744073709551615, "n": 2}"#, Ok(Some(u64::MAX))),
            (r#"{"max_tokens": null, "n": null}"#, Ok(None)),
            (r#"{"max_tokens": 0, "n": 0}"#, Ok(Some(0))),
            ("{}", Ok(None)),
            ("", Ok(None)),
            (r#"{"max_tokens": -1}"#, Err(BodyError::Count("max_tokens"))),
            (r#"{"max_tokens": "100"}"#, Err(BodyError::Count("max_tokens"))),
            (r#"{"max_tokens": 1e9}"#, Err(BodyError::Count("max_tokens"))),
            (r#"{"max_tokens": 1, "n": [5]}"#, Err(BodyError::Count("n"))),
            (r#"{"max_tokens": 5, "max_tokens": 5}"#, Err(BodyError::Duplicate)),
        ] {
            assert_eq!(max_tokens(body), expected, "{body}");
        }
    }

    #[test]
    fn refuses_what_looks_like_json_and_cannot_be_read() {
        let members = |count| {
            let members: Vec<_> = (0..count).map(|i| format!("\"m{i}\":{i}")).collect();
            format!("{{{}}}", members.join(","))
        };
        let long = |length: usize| format!("{{\"a\":\"{}\"}}", "x".repeat(length - 8));
        for (body, expected) in [
            (members(MAX_MEMBERS).as_str(), Ok(())),
            (&members(MAX_MEMBERS + 1), Err(BodyError::Members)),
            (&long(MAX_JSON_BYTES), Ok(())),
            (&long(MAX_JSON_BYTES + 1), Err(BodyError::Length)),
            (&format!("{{\"a\":{}1{}}}", "[".repeat(9_999), "]".repeat(9_999)), Ok(())),
            (r#"{"a":1,"a":1}"#, Err(BodyError::Duplicate)),
            (r#"{"a":1,"\u0061":1}"#, Err(BodyError::Duplicate)),
            (r#" {"a":1,}"#, Err(BodyError::Syntax)),
            (r#"{"a":1}}"#, Err(BodyError::Syntax)),
            (r#"{"a":NaN}"#, Err(BodyError::Syntax)),
            (r#"{a:1}"#, Err(BodyError::Syntax)),
            ("{\"a\0", Err(BodyError::Syntax)),
            ("\u{feff}{\"a\":1}", Err(BodyError::Syntax)),
            ("\0{\0\"\0a", Err(BodyError::Syntax)),
            ("{", Err(BodyError::Syntax)),
        ] {
            assert_eq!(read(body).check(), expected, "{}", &body[..body.len().min(40)]);
        }
    }

    #[test]
    fn what_is_said_to_be_json_has_to_be() {
        let check = |body: &str, name: &'static str, value: &'static str| {
            let header = move |asked: &str| (asked == name).then_some(value);
            RequestBody::read(body.as_bytes(), header).check()
        };
        assert_eq!(check("n=5", "content-type", "application/json"), Err(BodyError::Syntax));
        assert_eq!(check("n=5", "content-type", "application/x+JSON"), Err(BodyError::Syntax));
        assert_eq!(check("[1]", "content-type", "application/json"), Ok(()));
        assert_eq!(check("", "content-type", "application/json"), Ok(()));
        assert_eq!(check("n=5", "content-type", "text/plain"), Ok(()));
        assert_eq!(check("\x1f", "content-encoding", "gzip"), Err(BodyError::Encoding));
        assert_eq!(check("{}", "content-encoding", "identity"), Ok(()));
    }

    #[test]
    fn asks_for_the_usage_of_a_stream() {
        for (body, expected) in [
            (
                r#"{"model": "m", "messages": [ {"a": 1.0} ],  "stream": true}"#,
                r#"{"model":"m","messages":[ {"a": 1.0} ],"stream":true,"stream_options":{"include_usage":true}}"#,
            ),
            (
                r#"{"prompt":"\u0041","stream":true,"stream_options":null,"x\"":1}"#,
                r#"{"prompt":"\u0041","stream":true,"x\"":1,"stream_options":{"include_usage":true}}"#,
            ),
            (
                r#"{"messages":[],"stream":true,"stream_options":{"include_usage":false,"y":[2]}}"#,
                r#"{"messages":[],"stream":true,"stream_options":{"y":[2],"include_usage":true}}"#,
            ),
            (
                r#"{"prompt":"","stream":true,"stream_options":{"include_usage":true,"include_usage":false}}"#,
                r#"{"prompt":"","stream":true,"stream_options":{"include_usage":true}}"#,
            ),
        ] {
            assert_eq!(included(body).as_deref(), Some(expected), "{body}");
            assert_eq!(included(expected), None);
        }
    }

    #[test]
    fn leaves_other_bodies_alone() {
        for body in [
            "",
            "not json",
            r#"{"messages":[]}"#,
            r#"{"messages":[],"stream":false}"#,
            r#"{"messages":[],"stream":"true"}"#,
            r#"{"input":"x","stream":true}"#,
            r#"{"messages":[],"stream":true,"stream":true}"#,
            r#"{"messages":[],"stream":true,"stream_options":5}"#,
            r#"{"messages":[],"stream":true,"stream_options":{"include_usage":true}}"#,
        ] {
            assert_eq!(included(body), None, "{body}");
        }
    }
}
