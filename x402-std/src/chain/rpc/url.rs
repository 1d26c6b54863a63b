//! Where a node is: a secret, as providers put their keys into it.

use core::fmt;
use core::net::Ipv4Addr;
use core::str::FromStr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::uri::{Authority, Scheme};
use http::{HeaderValue, Uri};

use crate::{percent, port};

/// Parts of a URL shorter than this are words such as `v3`, not keys.
const SHORTEST_SECRET: usize = 4;
/// What is shown in place of a word that gives a part of the URL away.
const REDACTED: &str = "<redacted>";
/// The longest text of a node that is repeated, in characters.
const LONGEST_MESSAGE: usize = 200;

/// The URL of a node, `http` or `https`, which never shows itself.
///
/// A user and a password in it (`https://user:password@host/`) are sent as Basic authentication;
/// they may be percent-encoded.
#[derive(Clone)]
pub struct RpcUrl {
    uri: Uri,
    authorization: Option<HeaderValue>,
    /// What no text that leaves the process may hold, in lower case.
    secrets: Arc<[String]>,
}

/// Why a text is not the URL of a node. It does not hold the text.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum UrlError {
    /// The user or the password is not percent-encoded UTF-8.
    #[error("the user or the password in the node's URL cannot be read")]
    Credentials,
    /// Not a URL with a host.
    #[error("the node's URL is malformed: https://host/path is expected")]
    Malformed,
    /// A port that is none.
    #[error(
        "the port in the node's URL is none: a number from 1 to 65535 is expected behind the colon"
    )]
    Port,
    /// Another scheme.
    #[error("the node's URL must begin with https:// (or http:// for a node on this machine)")]
    Scheme,
}

impl RpcUrl {
    /// Reads a URL.
    ///
    /// # Errors
    ///
    /// [`UrlError::Scheme`] for another scheme than `http` and `https`, [`UrlError::Credentials`]
    /// for a user or password that cannot be decoded, [`UrlError::Port`] for a port that is none,
    /// [`UrlError::Malformed`] for the rest.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        let uri: Uri = text.trim().parse().map_err(|_| UrlError::Malformed)?;
        let scheme = uri.scheme().ok_or(UrlError::Scheme)?;
        if *scheme != Scheme::HTTP && *scheme != Scheme::HTTPS {
            return Err(UrlError::Scheme);
        }
        let authority = uri.authority().ok_or(UrlError::Malformed)?;
        let (userinfo, host) = split_userinfo(authority);
        let host: Authority = host.parse().map_err(|_| UrlError::Malformed)?;
        if host.host().is_empty() {
            return Err(UrlError::Malformed);
        }
        if !port::is_sound(host.as_str()) {
            return Err(UrlError::Port);
        }
        let (user, password) = credentials(userinfo)?;
        let mut secrets = secrets_of(&uri);
        secrets.extend(userinfo.split(':').chain([user.as_str(), &password]).map(str::to_owned));
        secrets.retain(|secret| secret.len() >= SHORTEST_SECRET);
        secrets.push(host.host().to_owned());
        let authorization = (!userinfo.is_empty()).then(|| basic(&user, &password)).transpose()?;
        let mut parts = uri.into_parts();
        parts.authority = Some(host);
        let uri = Uri::from_parts(parts).map_err(|_| UrlError::Malformed)?;
        let secrets = secrets.iter().map(|secret| secret.to_lowercase()).collect();
        Ok(Self { uri, authorization, secrets })
    }

    /// Whether what is sent there can be read on the way: no TLS, and not this machine either.
    #[must_use]
    pub fn is_exposed(&self) -> bool {
        self.uri.scheme() != Some(&Scheme::HTTPS) && !self.is_loopback()
    }

    /// Whether the node is on this machine: 127.0.0.0/8, `::1`, or `localhost`.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        let host = self.uri.host().unwrap_or_default();
        host.eq_ignore_ascii_case("localhost")
            || host == "[::1]"
            || host.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback())
    }

    pub(super) const fn uri(&self) -> &Uri {
        &self.uri
    }

    pub(super) const fn authorization(&self) -> Option<&HeaderValue> {
        self.authorization.as_ref()
    }

    /// A text of the node as it may be shown: printable, short, and without the words that hold a
    /// part of this URL, or any URL.
    pub(super) fn redact(&self, text: &str) -> String {
        let mut shown = String::new();
        for word in text.split_whitespace() {
            let word: String = word.chars().filter(|letter| is_printable(*letter)).collect();
            if word.is_empty() {
                continue;
            }
            if !shown.is_empty() {
                shown.push(' ');
            }
            shown.push_str(if self.gives_away(&word) { REDACTED } else { &word });
        }
        match shown.char_indices().nth(LONGEST_MESSAGE) {
            Some((end, _)) => format!("{}…", shown.get(..end).unwrap_or_default()),
            None => shown,
        }
    }

    fn gives_away(&self, word: &str) -> bool {
        let word = word.to_lowercase();
        word.contains("://") || self.secrets.iter().any(|secret| word.contains(secret.as_str()))
    }
}

impl FromStr for RpcUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl fmt::Display for RpcUrl {
    /// Shows nothing: even the host can be a customer's own.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("<rpc url>")
    }
}

impl fmt::Debug for RpcUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn split_userinfo(authority: &Authority) -> (&str, &str) {
    authority.as_str().rsplit_once('@').unwrap_or(("", authority.as_str()))
}

fn credentials(userinfo: &str) -> Result<(String, String), UrlError> {
    let (user, password) = userinfo.split_once(':').unwrap_or((userinfo, ""));
    let decode = |text| percent::decoded(text).ok_or(UrlError::Credentials);
    Ok((decode(user)?, decode(password)?))
}

fn basic(user: &str, password: &str) -> Result<HeaderValue, UrlError> {
    let value = format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
    let mut value = HeaderValue::try_from(value).map_err(|_| UrlError::Credentials)?;
    value.set_sensitive(true);
    Ok(value)
}

/// Segments of the path and members of the query, each as written and decoded.
fn secrets_of(uri: &Uri) -> Vec<String> {
    let members = uri.query().unwrap_or_default().split('&');
    let values = members.map(|member| member.split_once('=').map_or(member, |(_, value)| value));
    let written: Vec<&str> = uri.path().split('/').chain(values).collect();
    let decoded = written.iter().filter_map(|text| percent::decoded(text));
    decoded.chain(written.iter().map(|text| (*text).to_owned())).collect()
}

/// Neither a control character nor one that is invisible or turns the direction of writing: what a
/// node says is shown on terminals.
fn is_printable(letter: char) -> bool {
    !letter.is_control()
        && !matches!(letter,
            '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_nothing() {
        let url = RpcUrl::parse("https://user:CANARY@host.example/CANARY?key=CANARY").unwrap();
        assert_eq!(format!("{url} {url:?} {url:#?}"), "<rpc url> <rpc url> <rpc url>");
    }

    #[test]
    fn refuses_what_is_no_url_of_a_node() {
        for (text, error) in [
            ("", UrlError::Malformed),
            ("host.example", UrlError::Scheme),
            ("/path", UrlError::Scheme),
            ("ws://host.example", UrlError::Scheme),
            ("https://", UrlError::Malformed),
            ("https:///path", UrlError::Malformed),
            ("https://user@", UrlError::Malformed),
            ("https://a b", UrlError::Malformed),
            ("https://host.example:", UrlError::Port),
            ("https://host.example:65536", UrlError::Port),
            ("https://user:pass@host.example:+80/key", UrlError::Port),
            ("http://127.0.0.1:0", UrlError::Port),
            ("http://[::1]:0x50", UrlError::Port),
            ("https://us%zzer@host.example", UrlError::Credentials),
            ("https://us%ffer@host.example", UrlError::Credentials),
        ] {
            assert_eq!(RpcUrl::parse(text).err(), Some(error), "{text}");
        }
    }

    #[test]
    fn credentials_become_a_header() {
        let url = RpcUrl::parse("https://Aladdin:open%20sesame@host.example:8545/rpc").unwrap();
        // The example of RFC 7617.
        let header = url.authorization().unwrap();
        assert_eq!(header, "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        assert!(header.is_sensitive());
        assert_eq!(url.uri(), "https://host.example:8545/rpc");
        assert!(RpcUrl::parse("https://host.example").unwrap().authorization().is_none());
    }

    #[test]
    fn plain_http_is_for_this_machine() {
        for text in
            ["http://127.0.0.1:8545", "http://127.9.9.9", "http://[::1]:1", "http://Localhost"]
        {
            assert!(!RpcUrl::parse(text).unwrap().is_exposed(), "{text}");
        }
        for text in ["http://10.0.0.1", "http://127.0.0.1.example", "http://localhost.example"] {
            assert!(RpcUrl::parse(text).unwrap().is_exposed(), "{text}");
        }
        assert!(!RpcUrl::parse("https://host.example").unwrap().is_exposed());
    }

    #[test]
    fn texts_lose_what_gives_the_url_away() {
        let url = RpcUrl::parse("https://u5er:pa%73s@Host.example/v3/abcd1234?key=CANARY").unwrap();
        for secret in ["CANARY", "canary", "u5er", "pa%73s", "pass", "abcd1234", "host.EXAMPLE"] {
            let text = url.redact(&format!("project <{secret}> is over its limit"));
            assert_eq!(text, "project <redacted> is over its limit", "{secret}");
        }
        assert_eq!(url.redact("see https://other.example/k"), "see <redacted>");
        assert_eq!(url.redact("a\u{1b}[2Jb CAN\u{0}ARY \u{202e}v3\n\nx"), "a[2Jb <redacted> v3 x");
        assert_eq!(url.redact(&"é".repeat(300)).chars().count(), LONGEST_MESSAGE + 1);
    }
}
