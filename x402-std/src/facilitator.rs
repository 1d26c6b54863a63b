/*!
The facilitator: verifies and settles payments for sellers who do not want to touch a chain.

[`LocalFacilitator`] is the engine; an HTTP service before it is in `x402-hyper`. What implements
[`Facilitator`] can stand behind a seller's [`Rail`](crate::seller::Rail) by way of [`Entrusted`]:
the engine, in process, or a client of somebody else's service.

The messages are those of the x402 specification, section 7: `/verify`, `/settle`, `/supported`.
*/

mod caller;
mod entrusted;
mod known;
mod local;
mod message;
mod supported;
#[cfg(test)]
#[cfg(feature = "rpc")]
mod tests;

use core::fmt;
use core::future::ready;

use crate::BoxFuture;

pub use caller::Caller;
pub use entrusted::Entrusted;
pub use known::{KnownSettlement, Sought};
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

    /// Moves the money of a payment. It succeeds once: the same request again goes on from where the
    /// payment stands, and once success was said it is refused, as used, with the transaction. Only
    /// who shows that it is the same call again ([`Caller::with_key`]) is told the same.
    ///
    /// # Errors
    ///
    /// [`FacilitatorError`]; where that is [`FacilitatorError::Unknown`], the money may have moved.
    fn settle<'a>(
        &'a self,
        request: &'a Request,
    ) -> BoxFuture<'a, Result<SettleAnswer, FacilitatorError>>;

    /// What is known of the settlements that a caller has asked for: of nobody else's. Who does not know
    /// says that there is none.
    ///
    /// # Errors
    ///
    /// [`FacilitatorError`].
    fn settlements<'a>(
        &'a self,
        sought: &'a Sought,
        caller: &'a Caller,
    ) -> BoxFuture<'a, Result<Vec<KnownSettlement>, FacilitatorError>> {
        let _ = (sought, caller);
        Box::pin(ready(Ok(Vec::new())))
    }

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
