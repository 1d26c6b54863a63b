//! How a path is spelt: one spelling for each is passed on, so that what is priced is what is
//! reached, whatever the server behind makes of the others.

/// What is to be thought of a path.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Spelling {
    /// Segments of letters that need no escape, or of those that cannot be written without.
    Plain,
    /// Such, with letters beyond ASCII, in escapes: some servers take some of them for others.
    Foreign,
    /// One that a server may read as another path.
    Odd,
}

/// Judges a path's spelling.
///
/// Odd is: what does not begin with a slash; an empty segment but the last; a segment that is, or
/// ends with, a dot, or ends with a blank; letters that must be escaped and are not; escapes of
/// letters that need none, of slashes, backslashes, per cent signs, semicolons, question and number
/// signs and control characters; escapes in lower case; escapes that are no UTF-8.
pub(super) fn spelling(path: &str) -> Spelling {
    let Some(path) = path.strip_prefix('/') else { return Spelling::Odd };
    let mut segments = path.split('/').peekable();
    let mut spelling = Spelling::Plain;
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        match unescape(segment) {
            Some(text) if text.is_empty() && is_last => {}
            Some(text) if text.is_empty() || text.ends_with(['.', ' ']) => return Spelling::Odd,
            Some(text) if text.is_ascii() => {}
            Some(_) => spelling = Spelling::Foreign,
            None => return Spelling::Odd,
        }
    }
    spelling
}

/// A path as the most lenient of servers would compare it: without escapes, in lower case, and
/// without a slash at its end.
pub(super) fn fold(path: &str) -> String {
    let segments: Vec<_> = path
        .split('/')
        .map(|segment| unescape(segment).unwrap_or_else(|| segment.to_owned()).to_lowercase())
        .collect();
    let path = segments.join("/");
    path.strip_suffix('/').unwrap_or(&path).to_owned()
}

/// A segment without its escapes; `None` where one is odd.
fn unescape(segment: &str) -> Option<String> {
    let mut bytes = segment.bytes();
    let mut text = Vec::with_capacity(segment.len());
    while let Some(byte) = bytes.next() {
        text.push(match byte {
            b'%' => escaped(bytes.next()?, bytes.next()?)?,
            byte if is_plain(byte) => byte,
            _ => return None,
        });
    }
    String::from_utf8(text).ok()
}

/// What an escape stands for, if it may.
fn escaped(high: u8, low: u8) -> Option<u8> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    };
    let byte = digit(high)? << 4 | digit(low)?;
    let is_odd = is_unreserved(byte) || byte.is_ascii_control() || b"/\\%;?#".contains(&byte);
    (!is_odd).then_some(byte)
}

const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// What may stand in a segment as it is: RFC 3986's `pchar`, without the semicolon, which some
/// servers end a segment at.
fn is_plain(byte: u8) -> bool {
    is_unreserved(byte) || b"!$&'()*+,=:@".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_odd_spellings() {
        for path in [
            "/",
            "/a",
            "/a/",
            "/a/b.c",
            "/a.b/..c",
            "/a%20b",
            "/a:b@c",
            "/~a/-_",
            "/a%26b",
            "/*",
            "/%5Ba%5D",
            "/a!$&'()*+,=",
        ] {
            assert_eq!(spelling(path), Spelling::Plain, "{path}");
        }
        for path in ["/%C3%A9", "/a/%E4%BD%A0.txt", "/%EF%BC%8Fa", "/a%C2%A0"] {
            assert_eq!(spelling(path), Spelling::Foreign, "{path}");
        }
        for path in [
            "",
            "*",
            "a",
            "//",
            "//a",
            "/a//b",
            "/a//",
            "/.",
            "/..",
            "/a/./b",
            "/a/../b",
            "/a/..",
            "/a.",
            "/a./b",
            "/a%20",
            "/a%20/b",
            "/...",
            "/%2e",
            "/%2E%2E/a",
            "/a%2Fb",
            "/a%2fb",
            "/a%5Cb",
            "/a%5c",
            "/a\\b",
            "/a;b",
            "/a;",
            "/a%3Bb",
            "/a%25b",
            "/a%252Fb",
            "/a%00",
            "/a%0A",
            "/a%7F",
            "/%61",
            "/a%3Fb",
            "/a%23",
            "/%c3%a9",
            "/%C0%AF",
            "/%C3",
            "/a%",
            "/a%4",
            "/a%GG",
            "/\u{e9}",
            "/a b",
            "/a\"",
            "/a|b",
            "/a^b",
            "/a`",
            "/a{b}",
            "/a[b]",
            "/a\0",
            "/%u0061",
            "/a%20%20",
        ] {
            assert_eq!(spelling(path), Spelling::Odd, "{path}");
        }
    }

    #[test]
    fn folds_what_a_server_might() {
        for path in ["/Api/X", "/api/x/", "/API/x"] {
            assert_eq!(fold(path), "/api/x");
        }
        assert_eq!(fold("/a%21b"), fold("/a!b"));
        assert_eq!(fold("/"), "");
    }
}
