//! What a request says of the host that it is for.

use core::net::Ipv6Addr;

use http::header::HOST;
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderValue, Version};

/// Whether a request names one host, in a form that a URL may have it in
/// ([RFC 9112, 3.2](https://www.rfc-editor.org/rfc/rfc9112#section-3.2)): the price tells that URL, and what is
/// signed is signed for it.
pub(super) fn has_one_host(head: &Parts) -> bool {
    let mut named = head.headers.get_all(HOST).iter().map(HeaderValue::as_bytes);
    let is_named = match (named.next(), named.next()) {
        (Some(host), None) => is_host(host),
        (None, _) => head.version == Version::HTTP_10,
        (Some(_), Some(_)) => false,
    };
    let target = head.uri.authority().map(Authority::as_str);
    is_named && target.is_none_or(|host| is_host(host.as_bytes()))
}

/// `uri-host [ ":" port ]`, without a user
/// ([RFC 3986, 3.2.2](https://www.rfc-editor.org/rfc/rfc3986#section-3.2.2)).
fn is_host(text: &[u8]) -> bool {
    let Ok(text) = core::str::from_utf8(text) else { return false };
    let (is_name, port) = match text.strip_prefix('[').and_then(|text| text.split_once(']')) {
        Some((literal, port)) => (literal.parse::<Ipv6Addr>().is_ok(), port),
        None => {
            let (name, port) = text.split_at(text.find(':').unwrap_or(text.len()));
            (is_name(name), port)
        }
    };
    let port = port.strip_prefix(':').or(port.is_empty().then_some(port));
    is_name
        && port.is_some_and(|port| {
            port.is_empty() || port.parse::<u16>().is_ok_and(|_| is_digits(port))
        })
}

fn is_name(name: &str) -> bool {
    let bytes = name.as_bytes();
    let is_escape = |at: usize| {
        let digits = bytes.get(at + 1..at + 3).unwrap_or_default();
        digits.len() == 2 && digits.iter().all(u8::is_ascii_hexdigit)
    };
    let mut all = bytes.iter().enumerate();
    !name.is_empty()
        && all.all(|(at, byte)| match byte {
            b'%' => is_escape(at),
            byte => byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=".contains(byte),
        })
}

fn is_digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_one_that_a_url_may_have() {
        for host in
            ["a", "shop.example", "a:1", "a:", "[::1]", "[::1]:80", "127.0.0.1:4021", "a_b%2E~"]
        {
            assert!(is_host(host.as_bytes()), "{host}");
        }
        for host in [
            "", " ", ":80", "a b", "a\tb", "a/b", "a?b", "a#b", "a\\b", "\"a\"", "a\"", "<a>",
            "a@b", "a:b", "a:+1", "a:65536", "a:1:2", "[::1", "::1", "[a]", "[::1]a", "a%2",
            "a%zz", "ä", "a|b", "{a}",
        ] {
            assert!(!is_host(host.as_bytes()), "{host}");
        }
        assert!(!is_host(b"a\xff"));
    }
}
