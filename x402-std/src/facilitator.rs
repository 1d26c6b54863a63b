/*!
The facilitator: verifies and settles payments for sellers who do not want to touch a chain.

[`LocalFacilitator`] is the engine; an HTTP service before it is in `x402-hyper`. What implements
[`Facilitator`] can stand behind a seller's [`Rail`](crate::seller::Rail) by way of [`Entrusted`]:
the engine, in process, or a client of somebody else's service.

The messages are those of the x402 specification, section 7: `/verify`, `/settle`, `/supported`.
*/

mod entrusted;
mod local;
mod message;
mod supported;
#[cfg(test)]
#[cfg(feature = "rpc")]
mod tests;

use core::fmt;

use crate::BoxFuture;

pub use entrusted::Entrusted;
pub use local::{Kind, LocalFacilitator, ServedChain};
pub use message::{Request, SettleAnswer, VerifyAnswer};
pub use supported::{Supported, SupportedKind};

/// What verifies and settles payments.
pub trait Facilitator: Send + Sync + 'static {
    /// Says whether a payment would be settled. Changes nothing.
    ///
    /// # Errors
    ///
    /// [`FacilitatorError`], where there is no verdict.
    fn verify<'a>(
        &'a self,
        request: &'a Request,
    ) -> BoxFuture<'a, Result<VerifyAnswer, FacilitatorError>>;

    /// Moves the money of a payment. The same request again gives the same answer, or goes on from
    /// where it stands.
    ///
    /// # Errors
    ///
    /// [`FacilitatorError`]; where that is [`FacilitatorError::Unknown`], the money may have moved.
    fn settle<'a>(
        &'a self,
        request: &'a Request,
    ) -> BoxFuture<'a, Result<SettleAnswer, FacilitatorError>>;

    /// What can be settled.
    ///
    /// # Errors
    ///
    /// [`FacilitatorError`].
    fn supported(&self) -> BoxFuture<'_, Result<Supported, FacilitatorError>>;
}

/// Why a facilitator gave no answer. It never holds a URL or a key.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum FacilitatorError {
    /// It cannot be reached, or refuses to work: nothing was done.
    Unavailable(String),
    /// It was asked, and what it did is not known.
    Unknown(String),
    /// What it answered is none, or is not about what it was asked.
    Unbelievable(&'static str),
}

impl fmt::Display for FacilitatorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unavailable(why) => write!(f, "the facilitator cannot be reached: {why}"),
            Self::Unknown(why) => {
                write!(f, "it is not known what the facilitator did: {why}")
            }
            Self::Unbelievable(why) => {
                write!(f, "the facilitator's answer is not believed: {why}")
            }
        }
    }
}

impl core::error::Error for FacilitatorError {}
