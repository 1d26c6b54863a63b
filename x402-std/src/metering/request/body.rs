use x402_core::condition::Value;

use super::members::{MAX_MEMBERS, Members};
use super::parameters::{MAX_PARAMETERS, Parameters};
use super::spelling::Found;

/// The longest body that is read, in bytes.
pub const MAX_JSON_BYTES: usize = 1 << 20;

/// The members that say how many tokens the answer may have at most.
const MAX_TOKENS: [&str; 3] = ["max_completion_tokens", "max_output_tokens", "max_tokens"];
/// The members that say how many answers are to be made of one request.
const CHOICES: [&str; 2] = ["best_of", "n"];

/// The body of a request, read once.
#[derive(Clone, Debug)]
pub struct RequestBody<'a> {
    bytes: &'a [u8],
    content: Result<Content<'a>, BodyError>,
}

/// What a body says. One that is empty is an object without members.
#[derive(Clone, Debug)]
enum Content<'a> {
    Object(Members<'a>),
    Form(Parameters),
}

/// Why it is not known what a body says.
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
    /// Neither JSON nor a form, or said to be a form and looks like JSON, or in another encoding than UTF-8.
    #[error(
        "the body is of a kind that is not read: send JSON as application/json, or a form, urlencoded, in UTF-8"
    )]
    Kind,
    /// Longer than [`MAX_JSON_BYTES`].
    #[error("the body is longer than {MAX_JSON_BYTES} bytes")]
    Length,
    /// More members than [`MAX_MEMBERS`].
    #[error("the JSON of the body has more than {MAX_MEMBERS} members")]
    Members,
    /// JSON that is no object.
    #[error("the JSON of the body is no object")]
    NoObject,
    /// A form of more parameters than [`MAX_PARAMETERS`], or with a name that is not encoded UTF-8.
    #[error(
        "the form has more than {MAX_PARAMETERS} parameters, or one whose name is not encoded UTF-8"
    )]
    Parameters,
    /// A number of tokens or of answers is there twice, or spelled in another way.
    #[error("a number of tokens or answers is in the body twice, or spelled in another way: {0}")]
    Spelling(&'static str),
    /// No JSON in UTF-8.
    #[error("the body is no JSON in UTF-8")]
    Syntax,
}

impl<'a> RequestBody<'a> {
    /// Reads the body of a request of which `header` gives the fields: the value of a name in lower
    /// case, as a text. What is there more than once is neither of its values.
    ///
    /// `Content-Type` decides how it is read: as JSON, or as an urlencoded form. Without one it is read as JSON.
    /// Of other kinds nothing is known. What is wrong with it is told by whatever needs to know more.
    #[must_use]
    pub fn read<'h>(bytes: &'a [u8], header: impl Fn(&str) -> Option<&'h str>) -> Self {
        let coding = header("content-encoding").map(str::trim);
        let content = if bytes.is_empty() {
            Ok(Content::Object(Members::default()))
        } else if coding.is_some_and(|coding| !coding.eq_ignore_ascii_case("identity")) {
            Err(BodyError::Encoding)
        } else if bytes.len() > MAX_JSON_BYTES {
            Err(BodyError::Length)
        } else {
            Content::read(bytes, header("content-type"))
        };
        Self { bytes, content }
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
        self.content.as_ref().map(|_| ()).map_err(|error| *error)
    }

    /// Whether it asks for the answer as a stream: its `stream` is `true`.
    #[must_use]
    pub fn is_stream(&self) -> bool {
        self.members().is_some_and(|members| members.raw("stream") == Some("true"))
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
        let members = self.members()?;
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

    /// The fact of that name, among the members or the parameters.
    pub(super) fn fact(&self, name: &str) -> Option<Value<'_>> {
        match &self.content {
            Ok(Content::Object(members)) => match members.find(name) {
                Found::Absent => None,
                Found::One(member) => Some(member.value()),
                Found::Unclear => Some(Value::Unknown),
            },
            Ok(Content::Form(parameters)) => parameters.get(name),
            Err(_) => Some(Value::Unknown),
        }
    }

    /// The members of an object.
    pub(super) const fn members(&self) -> Option<&Members<'a>> {
        match &self.content {
            Ok(Content::Object(members)) => Some(members),
            Ok(Content::Form(_)) | Err(_) => None,
        }
    }

    /// The largest number of those members that are there.
    fn largest(&self, names: &[&'static str]) -> Result<Option<u64>, BodyError> {
        names
            .iter()
            .try_fold(None, |largest: Option<u64>, name| Ok(largest.max(self.number(name)?)))
    }

    /// The whole number that a member says, or a parameter; one that is empty says none.
    fn number(&self, name: &'static str) -> Result<Option<u64>, BodyError> {
        let text = match self.content.as_ref().map_err(|error| *error)? {
            Content::Object(members) => match members.find(name) {
                Found::Absent => None,
                Found::One(member) => Some(member.raw),
                Found::Unclear => return Err(BodyError::Spelling(name)),
            },
            Content::Form(parameters) => match parameters.get(name) {
                None | Some(Value::Untyped("")) => None,
                Some(Value::Untyped(text)) => Some(text),
                Some(_) => return Err(BodyError::Spelling(name)),
            },
        };
        // No sign: `+5` is no number of JSON's.
        let is_plain = |text: &&str| text.bytes().all(|byte| byte.is_ascii_digit());
        let number = |text: &str| Some(text).filter(is_plain)?.parse().ok();
        text.map(|text| number(text).ok_or(BodyError::Count(name))).transpose()
    }
}

impl<'a> Content<'a> {
    /// Reads a body that is not empty.
    fn read(bytes: &'a [u8], content_type: Option<&str>) -> Result<Self, BodyError> {
        let said = content_type.unwrap_or_default().to_ascii_lowercase();
        let mut parts = said.split(';').map(str::trim);
        let kind = parts.next().unwrap_or_default();
        if !parts.all(is_in_utf8) {
            return Err(BodyError::Kind);
        }
        if content_type.is_none() || kind.contains("json") && !kind.contains(',') {
            return read_members(bytes, content_type.is_some()).map(Self::Object);
        }
        // Many a server reads as JSON what looks so. Whoever encodes a form writes neither of these.
        let may_be_json = bytes.iter().any(|byte| matches!(byte, b'{' | b'"'));
        if kind != "application/x-www-form-urlencoded" || may_be_json {
            return Err(BodyError::Kind);
        }
        let text = core::str::from_utf8(bytes).map_err(|_| BodyError::Parameters)?;
        let parameters = Parameters::read(text);
        if parameters.is_read() { Ok(Self::Form(parameters)) } else { Err(BodyError::Parameters) }
    }
}

/// Whether a parameter of a media type, in lower case, leaves the text in UTF-8. In another encoding names may be
/// hidden in ASCII: `+AG4-` is `n` in UTF-7, which some servers decode.
fn is_in_utf8(parameter: &str) -> bool {
    let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
    let value = value.trim().trim_matches('"');
    !name.starts_with("charset") || matches!(value, "utf-8" | "utf8" | "us-ascii")
}

/// Reads the members of a body that is JSON, or may be.
fn read_members(bytes: &[u8], is_said: bool) -> Result<Members<'_>, BodyError> {
    if !bytes.trim_ascii_start().starts_with(b"{") {
        let other = serde_json::from_slice::<serde::de::IgnoredAny>(bytes);
        return Err(match (other, is_said) {
            (Ok(_), _) => BodyError::NoObject,
            (Err(_), true) => BodyError::Syntax,
            (Err(_), false) => BodyError::Kind,
        });
    }
    let members: Members<'_> = serde_json::from_slice(bytes)
        .map_err(|error| if error.is_data() { BodyError::Members } else { BodyError::Syntax })?;
    if members.has_duplicates() { Err(BodyError::Duplicate) } else { Ok(members) }
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
            (r#"{"max_tokens": 5, "Max_Tokens": 9}"#, Err(BodyError::Spelling("max_tokens"))),
            (r#"{"max_toKens": 9}"#, Err(BodyError::Spelling("max_tokens"))),
            (r#"{"max_tokens": 5, "N": 9}"#, Err(BodyError::Spelling("n"))),
            (r#"[{"max_tokens": 9}]"#, Err(BodyError::NoObject)),
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
            ("\u{feff}{\"a\":1}", Err(BodyError::Kind)),
            ("\0{\0\"\0a", Err(BodyError::Kind)),
            ("a=1", Err(BodyError::Kind)),
            ("GIF89a", Err(BodyError::Kind)),
            ("[{\"a\":1}]", Err(BodyError::NoObject)),
            ("\"a\"", Err(BodyError::NoObject)),
            ("null", Err(BodyError::NoObject)),
            ("", Ok(())),
            ("{", Err(BodyError::Syntax)),
        ] {
            assert_eq!(read(body).check(), expected, "{}", &body[..body.len().min(40)]);
        }
    }

    #[test]
    fn the_content_type_decides_how_a_body_is_read() {
        const FORM: &str = "application/x-www-form-urlencoded";
        let many = "a=1&".repeat(MAX_PARAMETERS + 1);
        for (kind, body, expected) in [
            ("application/json", "n=5", Err(BodyError::Syntax)),
            ("application/x+JSON; charset=utf-8", "n=5", Err(BodyError::Syntax)),
            ("application/json", "[1]", Err(BodyError::NoObject)),
            ("application/json", "{\"a\":1}", Ok(())),
            ("application/json; Charset = \"UTF-8\"; a=b", "{}", Ok(())),
            ("application/json; charset=utf-7", "{\"+AG4-\":1}", Err(BodyError::Kind)),
            ("application/json; charset=utf-8; charset=utf-7", "{}", Err(BodyError::Kind)),
            (
                "application/x-www-form-urlencoded;charset*=utf-8''utf-7",
                "a=1",
                Err(BodyError::Kind),
            ),
            ("application/json, text/plain", "{}", Err(BodyError::Kind)),
            ("text/plain", "{\"a\":1}", Err(BodyError::Kind)),
            ("multipart/form-data; boundary=a", "--a--", Err(BodyError::Kind)),
            ("", "{}", Err(BodyError::Kind)),
            (FORM, "n=5", Ok(())),
            ("Application/X-WWW-Form-urlencoded ;charset=utf-8", "n=5&a[]=%22", Ok(())),
            (FORM, "{\"n\":5}", Err(BodyError::Kind)),
            (FORM, "\u{feff}{n:5}", Err(BodyError::Kind)),
            (FORM, "[\"n\"]", Err(BodyError::Kind)),
            (FORM, "%ff=5", Err(BodyError::Parameters)),
            (FORM, &many, Err(BodyError::Parameters)),
            ("image/png", "", Ok(())),
        ] {
            let header = |asked: &str| (asked == "content-type").then_some(kind);
            assert_eq!(
                RequestBody::read(body.as_bytes(), header).check(),
                expected,
                "{kind} {body}"
            );
        }
        for (coding, body, expected) in
            [("gzip", "\x1f", Err(BodyError::Encoding)), ("identity", "{}", Ok(()))]
        {
            let header = |asked: &str| (asked == "content-encoding").then_some(coding);
            assert_eq!(RequestBody::read(body.as_bytes(), header).check(), expected);
        }
    }

    #[test]
    fn a_form_says_how_many_tokens_the_answer_may_have() {
        for (body, expected) in [
            ("max_tokens=100&n=2", Ok(Some(200))),
            ("max_tokens=&n=", Ok(None)),
            ("a=b", Ok(None)),
            ("max_tokens=1e3", Err(BodyError::Count("max_tokens"))),
            ("max_tokens=%2B5", Err(BodyError::Count("max_tokens"))),
            ("max_tokens=1&Max_Tokens=9", Err(BodyError::Spelling("max_tokens"))),
            ("a=b;max_tokens=9", Err(BodyError::Spelling("max_tokens"))),
            ("max_tokens[]=9", Err(BodyError::Spelling("max_tokens"))),
        ] {
            let header = |asked: &str| {
                (asked == "content-type").then_some("application/x-www-form-urlencoded")
            };
            let body = RequestBody::read(body.as_bytes(), header);
            assert_eq!(body.max_output_tokens(), expected, "{body:?}");
        }
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
