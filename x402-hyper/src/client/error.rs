use core::fmt;
use std::error::Error as StdError;

use http::StatusCode;
use x402_core::buyer::PolicyError;
use x402_core::headers::HeaderError;
use x402_core::wire::WireError;
use x402_core::{ChainId, Code};

use super::{BudgetError, Payment, Terms};

/// Why there is no answer. No text of it holds a key or a signature.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The seller's 402 speaks another dialect than this client.
    #[error("the seller's 402 has no terms that this client reads: {0}")]
    Foreign(Foreign),
    /// The terms break one of the buyer's limits; nothing was signed.
    #[error("not paid: {error}: {terms}")]
    Limit {
        /// Which limit.
        error: PolicyError,
        /// The terms.
        terms: Box<Terms>,
    },
    /// The payment would be more than the budget allows; nothing was signed.
    #[error("not paid: {error}: {terms}")]
    Budget {
        /// Which limit, or what is wrong with the file.
        error: BudgetError,
        /// The terms.
        terms: Box<Terms>,
    },
    /// The seller speaks other dialects than the one that is paid in; nothing was signed.
    #[error("the seller has no terms in the dialect that is allowed")]
    Dialect,
    /// The price has more decimals than the asset; nothing was signed.
    #[error("the seller's price has more decimals than its asset")]
    Price,
    /// There is no randomness for a nonce, or no time for an expiry; nothing was signed.
    #[error("the system has no {0}")]
    System(&'static str),
    /// Too many redirects of the unpaid request.
    #[error("the seller redirects too often")]
    Redirects,
    /// The seller refused the payment, for a reason by which the money cannot have moved.
    #[error("the seller refused the payment: {0}")]
    Refused(Box<Refused>),
    /// The request cannot be sent as it is.
    #[error("the request cannot be sent: {0}")]
    Request(&'static str),
    /// The signer did not sign.
    #[error("the signer did not sign: {0}")]
    Signer(#[source] Box<dyn StdError + Send + Sync>),
    /// The header fields of the 402 cannot be read; nothing was signed.
    #[error("the seller's terms cannot be read: {0}")]
    Terms(#[from] HeaderError),
    /// The terms of v1 or v2 cannot be read; nothing was signed.
    #[error("the seller's terms cannot be read: {0}")]
    Wire(WireError),
    /// TLS cannot be set up.
    #[error("TLS cannot be set up")]
    Tls,
    /// The unpaid request had no answer; nothing was signed.
    #[error("no answer: {0}")]
    Unpaid(#[source] FetchError),
    /// The terms name an asset that is not known on that network; nothing was signed.
    #[error("the seller asks for {asset} on {network}, which is no asset that is known")]
    UnknownAsset {
        /// What the seller calls it, cut to what a line can hold.
        asset: String,
        /// Where it is said to be.
        network: ChainId,
    },
    /// The payment was signed and could not be [kept](super::Builder::keep), so it was not sent.
    #[error("the payment could not be kept, so it was not sent: {0}")]
    Unkept(#[source] std::io::Error),
    /// The payment was sent, and there is no answer that says what became of it.
    #[error("the outcome of the payment is not known: {0}")]
    Unresolved(Box<Unresolved>),
}

impl ClientError {
    /// The payment that was signed and sent, if it came to that.
    ///
    /// While it is valid the seller can take the money, whatever was answered.
    #[must_use]
    pub fn payment(&self) -> Option<&Payment> {
        match self {
            Self::Refused(refused) => Some(&refused.payment),
            Self::Unresolved(unresolved) => Some(&unresolved.payment),
            _ => None,
        }
    }
}

/// A payment that the seller refused, with the seller's words for it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Refused {
    /// The status of the answer.
    pub status: StatusCode,
    /// The code of the header dialect.
    pub code: Option<Code>,
    /// The seller's reason, a string of the x402 specification if it keeps to it.
    pub reason: Option<String>,
    /// The seller's message.
    pub message: Option<String>,
    /// The seller's advice.
    pub help: Option<String>,
    /// The payment that was refused.
    pub payment: Payment,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code {
            Some(code) => write!(f, "{code}")?,
            None => write!(f, "{}", self.status.as_u16())?,
        }
        for text in [&self.reason, &self.message].into_iter().flatten() {
            write!(f, ", {text}")?;
        }
        Ok(())
    }
}

/// A payment that was sent and not answered.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Unresolved {
    /// What was known last: the seller's word, or what failed.
    pub why: String,
    /// How often the payment was sent.
    pub tries: u32,
    /// The payment, to go on with.
    pub payment: Payment,
}

impl fmt::Display for Unresolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let times = if self.tries == 1 { "once" } else { "several times" };
        write!(f, "sent {times}, the last answer: {}", self.why)
    }
}

/// What a 402 speaks that has no terms that can be taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Foreign {
    /// `X-Payment-Required` holds something else than `true`, as some sellers' does.
    EncodedTerms,
    /// x402 v1: terms in a JSON body.
    V1,
    /// x402 v2: terms in `PAYMENT-REQUIRED`.
    V2,
    /// Nothing that is known.
    Unknown,
}

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::EncodedTerms => {
                "X-Payment-Required holds encoded terms, where the header dialect has the word true"
            }
            Self::V1 => "the ways to pay in its body (x402 v1) are none that can be taken",
            Self::V2 => "the ways to pay in PAYMENT-REQUIRED (x402 v2) are none that can be taken",
            Self::Unknown => "there is no X-Payment-Required field",
        })
    }
}

/// Why a request had no answer. Holds no URL.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// No connection: nothing was sent.
    #[error("no connection: {0}")]
    Connect(String),
    /// The connection broke, or what came was not HTTP.
    #[error("the connection failed: {0}")]
    Broken(String),
    /// It took longer than it may.
    #[error("it took longer than {} s", .0.as_secs_f32())]
    Timeout(core::time::Duration),
    /// The body is longer than it may be.
    #[error("the answer is longer than {0} bytes")]
    TooLarge(usize),
}
