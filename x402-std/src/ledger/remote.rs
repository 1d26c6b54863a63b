//! What ledgers on a server have in common: how long is waited for it, whom it is taken for, and what
//! may be shown of its URL.

use core::fmt;
use core::net::IpAddr;
use core::time::Duration;
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use zeroize::Zeroizing;

use super::LedgerError;
use crate::percent;

/// How long one call may take, whatever it needs: a connection, a turn, an answer. Well below the time
/// of a lease, so that a renewal that fails can be tried again.
pub(super) const CALL_TIMEOUT: Duration = Duration::from_secs(5);

/// Parts of a URL shorter than this are found in every text.
const SHORTEST_SECRET: usize = 4;
/// The longest text of a server that is repeated, in characters.
const LONGEST_MESSAGE: usize = 300;

/// What is in a URL and in no text that leaves the process.
#[derive(Clone)]
pub(super) struct Secrets(Vec<Zeroizing<String>>);

impl Secrets {
    /// Those of this URL, as written and decoded.
    pub(super) fn of(url: &str) -> Self {
        let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
        // An `@` that should have been encoded must not cut the password in two.
        let user = rest.rsplit_once('@').map_or("", |(user, _)| user);
        let password = user.split_once(':').map_or("", |(_, password)| password);
        let member = take_member(url, "password").1.unwrap_or_default();
        let decoded = percent::decoded(password).unwrap_or_default();
        let all = [user.to_owned(), password.to_owned(), decoded, member];
        let long = all.into_iter().filter(|secret| secret.len() >= SHORTEST_SECRET);
        Self(long.map(Zeroizing::new).collect())
    }

    /// A result as it may leave the ledger.
    pub(super) fn hide<T>(&self, result: Result<T, LedgerError>) -> Result<T, LedgerError> {
        result.map_err(|error| match error {
            LedgerError::Storage(text) => LedgerError::Storage(self.redact(&text)),
            error => error,
        })
    }

    /// A text of the server or the library as it may be shown.
    fn redact(&self, text: &str) -> String {
        let is_secret = |word: &str| {
            word.contains("://") || self.0.iter().any(|secret| word.contains(secret.as_str()))
        };
        let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let words = text.split_whitespace();
        let words = words.map(|word| if is_secret(word) { "<redacted>" } else { word });
        let shown = words.collect::<Vec<_>>().join(" ");
        // A password may have a blank in it.
        let shown =
            self.0.iter().fold(shown, |shown, secret| shown.replace(&**secret, "<redacted>"));
        shown.chars().take(LONGEST_MESSAGE).collect()
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secrets(..)")
    }
}

/// The error of a call that took longer than [`CALL_TIMEOUT`].
pub(super) fn no_answer() -> LedgerError {
    failed(format_args!("the server did not answer within {} s", CALL_TIMEOUT.as_secs()))
}

pub(super) fn failed(text: impl fmt::Display) -> LedgerError {
    LedgerError::Storage(text.to_string())
}

/// Takes a member out of a URL's query; its value is decoded.
pub(super) fn take_member(url: &str, name: &str) -> (Zeroizing<String>, Option<String>) {
    let Some((front, query)) = url.split_once('?') else { return (url.to_owned().into(), None) };
    let mut value = None;
    let mut rest = Zeroizing::new(front.to_owned());
    for member in query.split('&') {
        match member.split_once('=') {
            Some((key, found)) if key == name => value = percent::decoded(found),
            _ => {
                let separator = if rest.len() == front.len() { '?' } else { '&' };
                rest.push(separator);
                rest.push_str(member);
            }
        }
    }
    (rest, value)
}

/// Whether a host is this machine: `localhost`, 127.0.0.0/8 or `::1`.
pub(super) fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

/// TLS as it is spoken with every server that is not on this machine: the certificate is checked, by
/// the authorities in the file or, without one, by those of the web, and so is the name in it.
pub(super) fn tls(roots: Option<&str>) -> Result<Arc<ClientConfig>, LedgerError> {
    let mut store = RootCertStore::empty();
    match roots {
        None => store.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        Some(path) => read_roots(&mut store, Path::new(path))?,
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().map_err(failed)?;
    Ok(Arc::new(builder.with_root_certificates(store).with_no_client_auth()))
}

fn read_roots(store: &mut RootCertStore, path: &Path) -> Result<(), LedgerError> {
    let unreadable = |error: &dyn fmt::Display| {
        failed(format_args!("no certificates in {} (sslrootcert): {error}", path.display()))
    };
    let certificates = CertificateDer::pem_file_iter(path).map_err(|error| unreadable(&error))?;
    for certificate in certificates {
        let certificate = certificate.map_err(|error| unreadable(&error))?;
        store.add(certificate).map_err(|error| unreadable(&error))?;
    }
    if store.is_empty() {
        return Err(unreadable(&"it has none"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_shown_nowhere() {
        let url = "postgres://app:pa%73s%20w@rd@db.example/x?password=m3mber";
        let secrets = Secrets::of(url);
        for text in [url, "app:pa%73s%20w@rd", "pa%73s%20w@rd", "is 'pass w@rd'", "m3mber"] {
            let shown = secrets.redact(text);
            assert!(shown.contains("<redacted>"), "{shown}");
            assert!(!shown.contains("w@rd") && !shown.contains("m3mber"), "{shown}");
        }
        assert_eq!(secrets.redact("role \"app\"\n does not exist"), "role \"app\" does not exist");
        assert_eq!(format!("{secrets:?}"), "Secrets(..)");
        assert_eq!(Secrets::of("redis://host").redact("the host"), "the host");
        assert_eq!(secrets.redact(&"é ".repeat(900)).chars().count(), LONGEST_MESSAGE);
    }

    #[test]
    fn members_are_taken_out_of_the_query() {
        let take = |url, name| {
            let (url, value) = take_member(url, name);
            (url.to_string(), value)
        };
        assert_eq!(take("a://b", "x"), ("a://b".into(), None));
        assert_eq!(take("a://b?x=%2Fc", "x"), ("a://b".into(), Some("/c".into())));
        assert_eq!(take("a://b?w=1&x=2&y=3", "x"), ("a://b?w=1&y=3".into(), Some("2".into())));
    }

    #[test]
    fn this_machine_is_no_name_that_begins_like_it() {
        for host in ["localhost", "LocalHost", "127.0.0.1", "127.8.9.1", "::1"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["127.0.0.1.example", "localhost.example", "10.0.0.1", "", "::2", "db"] {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
