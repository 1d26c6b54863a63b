use core::fmt;

use sha2::{Digest as _, Sha256};
use x402_core::hex::Hex;
use x402_core::{Scheme, TransferMethod};

/// Which request a [`Quote`](super::Quote) is for: a SHA-256 of what its price depends on.
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
pub struct RequestHash([u8; 32]);

impl RequestHash {
    /// Of a request to that target (path and query, as it is sent) with that body.
    #[must_use]
    pub fn of_request(method: &str, target: &str, body: &[u8]) -> Self {
        Self::of_request_hashed(method, target, &Sha256::digest(body).into())
    }

    /// Of a request of whose body there is a hash; always the same kind of hash.
    #[must_use]
    pub fn of_request_hashed(method: &str, target: &str, body: &[u8; 32]) -> Self {
        Self(hash("request", [method.as_bytes(), target.as_bytes(), body]))
    }

    /// Of any request of which these facts are the same, in this order: a name and the value as a
    /// text.
    ///
    /// For prices that depend on nothing else. Where they do, a quote could pay for a dearer request.
    #[must_use]
    pub fn of_facts<'f>(
        method: &'f str,
        path: &'f str,
        facts: impl IntoIterator<Item = (&'f str, &'f str)>,
    ) -> Self {
        let facts = facts.into_iter().flat_map(|(name, value)| [name, value]);
        Self(hash("facts", [method, path].into_iter().chain(facts).map(str::as_bytes)))
    }

    /// The same request with these values of that header field, as they stand in it: where its price depends
    /// on them.
    #[must_use]
    pub fn with_field<'f>(self, name: &'f str, values: impl Iterator<Item = &'f [u8]>) -> Self {
        let field = hash("field", core::iter::once(name.as_bytes()).chain(values));
        Self(hash("request with", [&self.0[..], &field]))
    }

    /// The same request, where it is paid for in that way: ways may have prices of their own.
    #[must_use]
    pub fn paid_by(&self, scheme: &Scheme) -> Self {
        let by = match scheme {
            Scheme::Exact(TransferMethod::Eip3009) => "eip3009",
            Scheme::Exact(TransferMethod::Permit2) | Scheme::Upto { .. } => "permit2",
            Scheme::Exact(_) => "",
        };
        Self(hash("scheme", [&self.0, scheme.name().as_bytes(), by.as_bytes()]))
    }

    /// Wraps 32 bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// Which route a [`Quote`](super::Quote) or a [`Pass`](super::Pass) is for: a SHA-256 of whatever names
/// it; by default, of an empty name.
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
pub struct RouteHash([u8; 32]);

impl RouteHash {
    /// Of the route with that name, such as its methods and its path in the configuration. Other routes
    /// have other names.
    #[must_use]
    pub fn of(name: &str) -> Self {
        Self(hash("route", [name.as_bytes()]))
    }

    pub(super) const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl Default for RouteHash {
    fn default() -> Self {
        Self::of("")
    }
}

impl fmt::Debug for RequestHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Hex(&self.0).fmt(f)
    }
}

impl fmt::Debug for RouteHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Hex(&self.0).fmt(f)
    }
}

/// A hash of parts, each with its length before it, so that no other parts have the same.
fn hash<'p>(kind: &'p str, parts: impl IntoIterator<Item = &'p [u8]>) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in core::iter::once(kind.as_bytes()).chain(parts) {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use x402_core::Address;

    use super::*;

    #[test]
    fn are_of_every_part_and_of_where_it_ends() {
        let paid_by = |scheme| RequestHash::of_request("POST", "/a", b"").paid_by(&scheme);
        let with_fields = |values: &[&'static [u8]]| {
            let request = RequestHash::of_request("POST", "/a", b"");
            request.with_field("x-field", values.iter().copied())
        };
        let hashes = [
            RequestHash::of_request("POST", "/a", b""),
            RequestHash::of_request("POST", "/a", b"x"),
            RequestHash::of_request("POST", "/a?x", b""),
            RequestHash::of_request("POS", "T/a", b""),
            RequestHash::of_request("post", "/a", b""),
            RequestHash::of_request_hashed("POST", "/a", &[0; 32]),
            RequestHash::of_facts("POST", "/a", []),
            RequestHash::of_facts("POST", "/a", [("n", "12")]),
            RequestHash::of_facts("POST", "/a", [("n1", "2")]),
            RequestHash::of_facts("POST", "/a", [("n", "1"), ("2", "")]),
            RequestHash::from_bytes(*RouteHash::of("/a").as_bytes()),
            with_fields(&[]),
            with_fields(&[b""]),
            with_fields(&[b"5"]),
            with_fields(&[b"5", b"5"]),
            paid_by(Scheme::Exact(TransferMethod::Eip3009)),
            paid_by(Scheme::Exact(TransferMethod::Permit2)),
            paid_by(Scheme::Upto { facilitator: Address::ZERO }),
        ];
        for (i, one) in hashes.iter().enumerate() {
            assert!(hashes.iter().skip(i + 1).all(|other| other != one), "{i}");
        }
    }
}
