//! Tokens as bytes and as text, signed.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use hmac::Mac as _;

use super::{TokenError, TokenKeys};

const KIND_LEN: usize = 1;
const MAC_LEN: usize = 32;

/// What a token is, and in which format.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Quote = 4,
    Pass = 5,
    Credit = 7,
}

/// How long the text is of a token that says so many bytes.
pub(super) const fn token_len(len: usize) -> usize {
    // Four digits for three bytes, without padding.
    ((KIND_LEN + len + MAC_LEN) * 4).div_ceil(3)
}

/// What a token says, put together.
pub(super) struct Writer(Vec<u8>);

impl Writer {
    pub(super) fn new(kind: Kind) -> Self {
        Self(vec![kind as u8])
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// The token.
    pub(super) fn seal(mut self, keys: &TokenKeys) -> String {
        let mac = keys.signing().chain_update(&self.0).finalize();
        self.bytes(&mac.into_bytes());
        BASE64.encode(self.0)
    }
}

/// What a token of that kind says, `len` bytes, if one of the keys has signed it.
///
/// There is one text for a token: another spelling of the same bytes is malformed.
pub(super) fn open(
    kind: Kind,
    len: usize,
    token: &str,
    keys: &TokenKeys,
) -> Result<Vec<u8>, TokenError> {
    if token.len() != token_len(len) {
        return Err(TokenError::Malformed);
    }
    let mut bytes = BASE64.decode(token).map_err(|_| TokenError::Malformed)?;
    if bytes.first() != Some(&(kind as u8)) {
        return Err(TokenError::Malformed);
    }
    let (signed, mac) = bytes.split_last_chunk::<MAC_LEN>().ok_or(TokenError::Malformed)?;
    // In constant time: how much of a guess is right must not show.
    let is_signed = keys.all().any(|key| key.chain_update(signed).verify_slice(mac).is_ok());
    if !is_signed {
        return Err(TokenError::Forged);
    }
    bytes.truncate(KIND_LEN + len);
    Ok(bytes)
}

/// Takes what a token says apart.
pub(super) struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    /// Of what [`open`] gives.
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes.get(KIND_LEN..).unwrap_or_default())
    }

    pub(super) fn next<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*field)
    }

    pub(super) fn number(&mut self) -> Option<u64> {
        self.next().map(u64::from_be_bytes)
    }
}
