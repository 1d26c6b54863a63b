use core::fmt::{self, Write as _};

use serde::Serialize;

use crate::{Error, Reason};

/// Why a paid request is not served: the payer's fault, the request's, or nobody's.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Refusal {
    /// The payment was accepted for another request.
    Conflict,
    /// Another payment of this payer for the same request was sent and its outcome is not known yet: this one
    /// was not taken.
    HeldBack,
    /// Another payment of this payer has its identifier (the extension `payment-identifier`).
    IdentifierTaken,
    /// It is not known what became of the payment: its authorization was used before it was presented, or the
    /// ledger does not answer, which knows whether something was sent. Nothing is said of what was charged.
    InDoubt,
    /// The payment was accepted for this request, whose answer is being made.
    InFlight,
    /// The payment is at fault.
    Payment(Error),
    /// The payment is on its way, and its outcome is not known yet: its transaction is recorded to be sent, or
    /// was sent, also where the node has refused it, which has seen its bytes. Never a reason to pay again.
    Pending,
    /// The payment was not served, and what it has moved is given back: as credit, or on the chain.
    Returned,
    /// The payment was served, and its answer was too large to be kept.
    Served,
    /// The token moved another value than was signed. What has arrived is the payer's credit.
    Short,
    /// The payment can be read on the chain, for its authorization was sent or used, and nothing shows that
    /// its payer presents it.
    Unproven,
    /// Transactions for this payer moved nothing: the next is sent in so many seconds at the earliest.
    TooSoon(u32),
    /// The chain or the ledger cannot be reached, or the seller cannot pay for the transaction, and it is known
    /// that nothing of the payment was sent, nor will be, unless it is presented again.
    Unavailable,
}

impl Refusal {
    /// Room for every [`Self::emit`].
    pub const MAX_LEN: usize = 512;

    /// The status line's code.
    #[must_use]
    pub const fn status(&self) -> u16 {
        match self {
            Self::Conflict
            | Self::IdentifierTaken
            | Self::InFlight
            | Self::Returned
            | Self::Served
            | Self::Unproven => 409,
            Self::Payment(error) => error.status(),
            Self::TooSoon(_) => 429,
            Self::HeldBack | Self::InDoubt | Self::Pending | Self::Short | Self::Unavailable => 503,
        }
    }

    /// `402` to `402.5` for a fault of the payment, else the status as text.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Conflict
            | Self::IdentifierTaken
            | Self::InFlight
            | Self::Returned
            | Self::Served
            | Self::Unproven => "409",
            Self::Payment(error) => match error.status() {
                400 => "400",
                409 => "409",
                _ => error.code().as_str(),
            },
            Self::TooSoon(_) => "429",
            Self::HeldBack | Self::InDoubt | Self::Pending | Self::Short | Self::Unavailable => {
                "503"
            }
        }
    }

    /// The specification's reason.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        match self {
            Self::Conflict | Self::InFlight | Self::Returned | Self::Served | Self::Unproven => {
                Reason::NonceAlreadyUsed
            }
            Self::IdentifierTaken => Reason::InvalidPayload,
            Self::Payment(error) => error.reason(),
            Self::HeldBack | Self::Pending => Reason::SettlementPending,
            Self::Short => Reason::TransactionFailed,
            Self::InDoubt | Self::TooSoon(_) | Self::Unavailable => Reason::UnexpectedVerifyError,
        }
    }

    /// The text of [`Self::reason`].
    pub(crate) const fn reason_text(&self) -> &'static str {
        match self {
            Self::Payment(error) => error.reason_text(),
            Self::Conflict | Self::InFlight | Self::Returned | Self::Served | Self::Unproven => {
                Reason::NonceAlreadyUsed.as_str()
            }
            Self::IdentifierTaken => Reason::InvalidPayload.as_str(),
            Self::HeldBack | Self::Pending => Reason::SettlementPending.as_str(),
            Self::Short => Reason::TransactionFailed.as_str(),
            Self::InDoubt | Self::TooSoon(_) | Self::Unavailable => {
                Reason::UnexpectedVerifyError.as_str()
            }
        }
    }

    /// One line for whoever has to mend it.
    #[must_use]
    pub const fn help(&self) -> &'static str {
        match self {
            Self::Conflict => "sign a new authorization for this request",
            Self::HeldBack => of_chain("do not pay again: send the first payment again later"),
            Self::IdentifierTaken => {
                "do not pay again for the same: repeat the first payment, or use a new identifier"
            }
            Self::InDoubt => {
                of_chain("do not pay again: send the same request with the same payment later")
            }
            Self::InFlight => "wait, and send the same request with the same payment",
            Self::Payment(error) => error.help(),
            Self::Pending => "do not pay again: send the same request with the same payment later",
            Self::Returned => of_chain(
                "look at your credit with the seller and at your account; a new request is a new payment",
            ),
            Self::Served => {
                "the answer was given once and is not kept; a new request is a new payment"
            }
            Self::Short => {
                of_chain("do not pay again: what has arrived is your credit with the seller")
            }
            Self::Unproven => of_chain(
                "if you are the payer, send the Idempotency-Key that you sent with it, or X-Payment-Proof",
            ),
            Self::TooSoon(_) => {
                of_chain("wait, and send the same request with the same payment later")
            }
            Self::Unavailable => {
                "nothing was charged: send the same request with the same payment later"
            }
        }
    }

    /// Writes the JSON object of the answer's body to the front of `out` and returns that part.
    ///
    /// ```json
    /// {"code":"402.2","reason":"invalid_exact_evm_payload_signature","message":"…","help":"…"}
    /// ```
    ///
    /// `None` where `out` is too short; [`Self::MAX_LEN`] never is.
    #[must_use]
    pub fn emit<'o>(&self, out: &'o mut [u8]) -> Option<&'o [u8]> {
        #[derive(Serialize)]
        struct Body<'a> {
            code: &'static str,
            reason: &'static str,
            message: &'a str,
            help: &'static str,
        }
        let mut message = heapless::String::<160>::new();
        write!(message, "{self}").ok()?;
        let body = Body {
            code: self.code(),
            reason: self.reason_text(),
            message: &message,
            help: self.help(),
        };
        let length = serde_json_core::to_slice(&body, out).ok()?;
        out.get(..length)
    }
}

/// What is said only by who looks at a chain. A device does not, and has no room for it.
const fn of_chain(text: &'static str) -> &'static str {
    if cfg!(target_os = "none") { "" } else { text }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Payment(error)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Conflict => "the payment was used for another request",
            Self::IdentifierTaken => "another payment of this payer has this identifier",
            Self::InDoubt => {
                of_chain("what became of the payment is not known yet")
            }
            Self::Unproven => of_chain(
                "the payment can be read on the chain, and nothing shows that its payer presents it",
            ),
            Self::InFlight => "the payment's answer is being made",
            Self::Payment(error) => return error.fmt(f),
            Self::Pending => "the payment is under way and its outcome is not known yet",
            Self::HeldBack => of_chain("your earlier payment for this request is under way"),
            Self::Returned => of_chain(
                "the payment was not served, and the seller gives it back, as credit or on the chain",
            ),
            Self::Served => "the payment was served before",
            Self::Short => of_chain("the token moved another value than was signed"),
            Self::TooSoon(_) => {
                of_chain("transactions for this payer moved nothing, and the next has to wait")
            }
            Self::Unavailable => "payments cannot be taken at the moment",
        })
    }
}

impl core::error::Error for Refusal {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SignatureError;
    use crate::headers::{Field, HeaderError};

    #[test]
    fn every_body_fits_and_is_what_it_says() {
        use Error::*;
        let faults = [
            Amount,
            Asset,
            AuthorizationUsed,
            Balance,
            Expired,
            Identifier,
            Missing,
            Network,
            NotYetValid,
            Owing,
            Payee,
            Recipient,
            Signer,
            Simulation,
            TooLong,
            Zero,
            Signature(SignatureError::Compact),
            Signature(SignatureError::HighS),
            Malformed(HeaderError::Duplicate(Field::ValidBefore)),
            Malformed(HeaderError::Missing(Field::Transaction)),
            Malformed(HeaderError::Invalid(Field::ValidBefore)),
        ];
        let others = [
            Refusal::Conflict,
            Refusal::IdentifierTaken,
            Refusal::InFlight,
            Refusal::HeldBack,
            Refusal::InDoubt,
            Refusal::Unproven,
            Refusal::Pending,
            Refusal::Short,
            Refusal::Returned,
            Refusal::Served,
            Refusal::TooSoon(60),
            Refusal::Unavailable,
        ];
        for refusal in faults.map(Refusal::Payment).into_iter().chain(others) {
            let mut out = [0; Refusal::MAX_LEN];
            let body = core::str::from_utf8(refusal.emit(&mut out).unwrap()).unwrap();
            assert!(
                body.starts_with("{\"code\":\"4") || body.starts_with("{\"code\":\"5"),
                "{body}"
            );
            assert!(body.contains(refusal.reason().as_str()) && body.contains(refusal.help()));
            assert_eq!(refusal.reason_text(), refusal.reason().as_str());
            assert!(refusal.code().starts_with(&std::format!("{}", refusal.status())));
        }
    }
}
