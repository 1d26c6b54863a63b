//! From terms to a payment: the one place that signs.

use std::error::Error as StdError;
use std::time::SystemTime;

use bytes::Bytes;
use http::Request;
use x402_core::buyer::{Policy, Unsigned};
use x402_core::{Address, Digest, Nonce, Signature, Signer, Timestamp};

use super::{ClientError, Payment, Terms};

/// A [`Signer`] of whatever kind.
pub(super) trait AnySigner: Send + Sync {
    fn payer(&self) -> Address;
    fn sign_digest(&self, digest: &Digest) -> Result<Signature, Box<dyn StdError + Send + Sync>>;
}

impl<S> AnySigner for S
where
    S: Signer<Error: StdError + Send + Sync + 'static> + Send + Sync,
{
    fn payer(&self) -> Address {
        self.address()
    }

    fn sign_digest(&self, digest: &Digest) -> Result<Signature, Box<dyn StdError + Send + Sync>> {
        self.sign(digest).map_err(Into::into)
    }
}

/// The time, in Unix seconds.
pub(super) fn now() -> Result<u64, ClientError> {
    let now = SystemTime::UNIX_EPOCH.elapsed().map_err(|_| ClientError::System("time"))?;
    Ok(now.as_secs())
}

/// What is to be signed, if the policy admits the terms: with a nonce that nobody has seen.
pub(super) fn prepare(
    payer: Address,
    policy: &Policy<'_>,
    terms: &Terms,
) -> Result<Unsigned, ClientError> {
    let mut nonce = [0; 32];
    getrandom::fill(&mut nonce).map_err(|_| ClientError::System("randomness"))?;
    let (nonce, now) = (Nonce::new(nonce), Timestamp::from_secs(now()?));
    Unsigned::new(&terms.offer(), policy, payer, nonce, now)
        .map_err(|error| ClientError::Limit { error, terms: Box::new(terms.clone()) })
}

/// Signs it, for `request`.
pub(super) fn sign(
    signer: &dyn AnySigner,
    unsigned: Unsigned,
    terms: &Terms,
    request: &Request<Bytes>,
) -> Result<Payment, ClientError> {
    let signature = signer.sign_digest(unsigned.digest()).map_err(ClientError::Signer)?;
    Payment::new(&unsigned.sign(signature), terms, request)
}
