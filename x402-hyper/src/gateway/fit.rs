//! Whether an answer can be one to what was asked.

use http::header::{
    CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, IF_MODIFIED_SINCE, IF_NONE_MATCH, RANGE,
    TRANSFER_ENCODING,
};
use http::request;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};

/// What an answer may be without a whole body.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    /// Nothing, where the client has it already.
    nothing: bool,
    /// A part.
    part: bool,
}

impl Wanted {
    pub(super) fn of(head: &request::Parts) -> Self {
        let has = |name| head.headers.contains_key(name);
        let is_read = matches!(head.method, Method::GET | Method::HEAD);
        let nothing = is_read && (has(IF_NONE_MATCH) || has(IF_MODIFIED_SINCE));
        Self { nothing, part: is_read && has(RANGE) }
    }

    /// Whether nobody is served less than was asked for
    /// ([RFC 9110, 15.3.7 and 15.4.5](https://www.rfc-editor.org/rfc/rfc9110#section-15.3.7)).
    pub(super) fn is_fit<B>(self, answer: &Response<B>) -> bool {
        match answer.status() {
            StatusCode::NOT_MODIFIED => self.nothing,
            StatusCode::PARTIAL_CONTENT => self.part || !is_part(answer.headers()),
            _ => true,
        }
    }
}

/// Whether an answer is so many bytes of a whole. Some servers mean other units by a 206, or nothing by it.
fn is_part(headers: &HeaderMap) -> bool {
    let starts = |name, text: &[u8]| {
        let value = headers.get(name).map(|value: &HeaderValue| value.as_bytes());
        let start = value.and_then(|value| value.get(..text.len()));
        start.is_some_and(|start| start.eq_ignore_ascii_case(text))
    };
    starts(CONTENT_RANGE, b"bytes") || starts(CONTENT_TYPE, b"multipart/byteranges")
}

/// Whether the length of an answer can be told in one way only
/// ([RFC 9112, 6.3](https://www.rfc-editor.org/rfc/rfc9112#section-6.3)), and its body is what it says.
pub(super) fn is_framed(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => true,
        (Some(coding), None) => {
            coding.as_bytes().eq_ignore_ascii_case(b"chunked")
                && !headers.contains_key(CONTENT_LENGTH)
        }
        (Some(_), Some(_)) => false,
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    #[test]
    fn a_part_and_nothing_are_for_who_asked_for_them() {
        for (method, field, status, is_fit) in [
            ("GET", "", 200, true),
            ("GET", "", 204, true),
            ("GET", "", 304, false),
            ("GET", "if-match", 304, false),
            ("GET", "if-none-match", 304, true),
            ("HEAD", "if-modified-since", 304, true),
            ("POST", "if-none-match", 304, false),
            ("GET", "if-none-match", 206, false),
            ("GET", "", 206, false),
            ("GET", "range", 206, true),
            ("POST", "range", 206, false),
            ("GET", "range", 200, true),
        ] {
            let request = Request::builder().method(method);
            let request = if field.is_empty() { request } else { request.header(field, "a") };
            let (head, ()) = request.body(()).unwrap().into_parts();
            let fields = [("content-range", "bytes 0-1/9"), ("content-range", "0-1/9")];
            for ((name, value), is_part) in fields.into_iter().zip([true, false]) {
                let answer = Response::builder().status(status).header(name, value);
                let expected = is_fit || status == 206 && !is_part;
                let is_fit = Wanted::of(&head).is_fit(&answer.body(()).unwrap());
                assert_eq!(is_fit, expected, "{method} {field} {status} {value}");
            }
        }
    }

    #[test]
    fn an_answer_has_one_length() {
        for (fields, expected) in [
            (&[][..], true),
            (&[("content-length", "1")], true),
            (&[("transfer-encoding", "Chunked")], true),
            (&[("transfer-encoding", "gzip, chunked")], false),
            (&[("transfer-encoding", "gzip")], false),
            (&[("transfer-encoding", "chunked"), ("content-length", "1")], false),
            (&[("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")], false),
        ] {
            let mut headers = HeaderMap::new();
            for (name, value) in fields {
                headers.append(*name, value.parse().unwrap());
            }
            assert_eq!(is_framed(&headers), expected, "{fields:?}");
        }
    }
}
