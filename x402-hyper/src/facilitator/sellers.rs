//! Who is let in, and as whom.

use core::fmt;

use http::HeaderMap;
use http::header::AUTHORIZATION;
use x402_core::keccak256;
use x402_std::facilitator::Caller;

use crate::idempotency;

/// How short a token may be, and the key of somebody who has none.
const SHORTEST: usize = 16;
const LONGEST_NAME: usize = 64;

/// The sellers that a facilitator works for, by their bearer tokens. Without any, everybody is let in, and
/// nobody can be told from others.
#[derive(Clone, Default)]
pub struct Sellers(Vec<Seller>);

#[derive(Clone)]
struct Seller {
    /// The hash of the token: hashes take as long to compare however they differ.
    token: [u8; 32],
    caller: Caller,
}

/// What is wrong with a file of tokens, and in which line, counted from one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct InvalidTokens {
    /// The line; zero for the whole.
    pub line: usize,
    /// What is wrong.
    pub why: &'static str,
}

impl fmt::Display for InvalidTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => f.write_str(self.why),
            line => write!(f, "line {line}: {}", self.why),
        }
    }
}

impl core::error::Error for InvalidTokens {}

impl fmt::Debug for Sellers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sellers").field("tokens", &self.0.len()).finish_non_exhaustive()
    }
}

impl Sellers {
    /// One seller, with this token.
    #[must_use]
    pub fn one(token: &str) -> Self {
        Self(vec![Seller { token: keccak256(&[token.as_bytes()]), caller: Caller::default() }])
    }

    /// Reads a file of tokens: one token, or in each line the name of a seller and a token of its own. A
    /// seller that is named twice has two tokens, as while one is replaced.
    ///
    /// # Errors
    ///
    /// [`InvalidTokens`], where there is none; for a token that is shorter than 16 characters, that others
    /// have too, or with other characters than the visible ones of ASCII; for a name that is longer than 64
    /// or missing.
    pub fn parse(text: &str) -> Result<Self, InvalidTokens> {
        let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line.trim()));
        let lines: Vec<_> = lines.filter(|(_, line)| !line.is_empty()).collect();
        let mut sellers: Vec<Seller> = Vec::new();
        for &(line, text) in &lines {
            let wrong = |why| InvalidTokens { line, why };
            let words: Vec<_> = text.split_whitespace().collect();
            let (caller, token) = match *words {
                [token] if lines.len() == 1 => (Caller::default(), token),
                [name, token] => (named(name).map_err(wrong)?, token),
                _ => return Err(wrong("write NAME TOKEN, or one token and nothing else")),
            };
            if token.len() < SHORTEST || !is_visible(token) {
                let why = "the token is shorter than 16 letters, or has others than those of ASCII";
                return Err(wrong(why));
            }
            let token = keccak256(&[token.as_bytes()]);
            if sellers.iter().any(|known| known.token == token && known.caller != caller) {
                return Err(wrong("another seller has this token"));
            }
            sellers.push(Seller { token, caller });
        }
        match sellers.is_empty() {
            true => Err(InvalidTokens { line: 0, why: "there is no token" }),
            false => Ok(Self(sellers)),
        }
    }

    /// Who has sent a request; `None` for somebody who is not let in.
    pub(super) fn find(&self, headers: &HeaderMap) -> Option<Caller> {
        if self.0.is_empty() {
            return Some(Caller::default());
        }
        let sent = headers.get(AUTHORIZATION)?.to_str().ok()?;
        let (scheme, sent) = sent.split_once(' ')?;
        let sent = keccak256(&[sent.trim().as_bytes()]);
        let known = self.0.iter().find(|known| known.token == sent)?;
        scheme.eq_ignore_ascii_case("bearer").then_some(known.caller)
    }

    /// The caller with the key of the request's `Idempotency-Key`, if it has one. Of callers who cannot be
    /// told from each other, a key that is short enough to be guessed says nothing.
    ///
    /// # Errors
    ///
    /// What is wrong with the field.
    pub(super) fn with_key(
        &self,
        caller: Caller,
        headers: &HeaderMap,
    ) -> Result<Caller, &'static str> {
        let Some(key) = idempotency::read(headers)? else { return Ok(caller) };
        let is_guessable = self.0.is_empty() && key.len() < SHORTEST;
        Ok(if is_guessable { caller } else { caller.with_key(key.as_bytes()) })
    }
}

fn named(name: &str) -> Result<Caller, &'static str> {
    match name.len() <= LONGEST_NAME && is_visible(name) {
        true => Ok(Caller::named(name)),
        false => Err("the name is longer than 64 letters, or has others than those of ASCII"),
    }
}

fn is_visible(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const A: &str = "0123456789abcdef-a";
    const B: &str = "0123456789abcdef-b";
    const C: &str = "0123456789abcdef-c";

    fn bearer(token: &str) -> HeaderMap {
        let value = HeaderValue::try_from(format!("Bearer {token}")).unwrap();
        HeaderMap::from_iter([(AUTHORIZATION, value)])
    }

    #[test]
    fn a_file_of_one_token_is_of_one_seller() {
        let sellers = Sellers::parse(&format!("\n  {A}\n")).unwrap();
        assert_eq!(sellers.find(&bearer(A)), Some(Caller::default()));
        assert_eq!(sellers.find(&bearer(B)), None);
        assert_eq!(sellers.find(&HeaderMap::new()), None);
    }

    #[test]
    fn each_line_is_of_one_seller_and_two_of_a_name_are_of_the_same() {
        let sellers = Sellers::parse(&format!("shop {A}\r\nkiosk\t{B}\n\nshop {C}\n")).unwrap();
        let [a, b, c] = [A, B, C].map(|token| sellers.find(&bearer(token)).unwrap());
        assert_eq!((a, b), (Caller::named("shop"), Caller::named("kiosk")));
        assert_eq!(a, c);
        assert_eq!(sellers.find(&bearer("shop")), None);
    }

    #[test]
    fn a_file_that_is_not_understood_is_refused_by_its_line() {
        for (text, line) in [
            (String::new(), 0),
            (" \n\n".to_owned(), 0),
            ("short".to_owned(), 1),
            (format!("{A}\n{B}\n"), 1),
            (format!("shop {A}\n{B}\n"), 2),
            (format!("shop {A} {B}\n"), 1),
            (format!("shop {A}\nkiosk short\n"), 2),
            (format!("shop {A}\nkiosk {A}\n"), 2),
            (format!("shöp {A}\n"), 1),
            (format!("{} {A}\n", "n".repeat(65)), 1),
            (format!("shop {A}é\n"), 1),
        ] {
            let error = Sellers::parse(&text).unwrap_err();
            assert_eq!(error.line, line, "{text}: {error}");
            assert!(!error.to_string().contains(A));
        }
    }

    #[test]
    fn a_call_is_named_by_its_key_quoted_or_bare() {
        let with = |value: &'static str| {
            let name = http::HeaderName::from_static("idempotency-key");
            let headers = HeaderMap::from_iter([(name, HeaderValue::from_static(value))]);
            Sellers::one(A).with_key(Caller::default(), &headers)
        };
        let of = |key: &str| Ok(Caller::default().with_key(key.as_bytes()));
        assert_eq!((with("a"), with("\"a\"")), (of("a"), of("a")));
        assert!(with("\"a").is_err());
        assert_eq!(
            Sellers::one(A).with_key(Caller::default(), &HeaderMap::new()),
            Ok(Caller::default())
        );
    }

    #[test]
    fn the_key_of_somebody_without_a_token_is_no_short_one() {
        let sent = |key: &'static str| {
            let name = http::HeaderName::from_static("idempotency-key");
            let headers = HeaderMap::from_iter([(name, HeaderValue::from_static(key))]);
            Sellers::default().with_key(Caller::default(), &headers).unwrap().call()
        };
        assert_eq!(sent("123456789012345"), None);
        assert!(sent("1234567890123456").is_some());
    }
}
