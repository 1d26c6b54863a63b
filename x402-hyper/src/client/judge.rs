//! What the answer to a paid request says of the payment.

mod bearing;
mod told;
mod words;

use core::time::Duration;

use bytes::Bytes;
use http::header::RETRY_AFTER;
use http::{HeaderMap, Response, StatusCode};

use super::payment::Outcome;
use super::{FetchError, Payment, Refused, Status};
use bearing::Bearing;
use told::Told;
use words::Words;

pub(super) use words::printable;

/// What is to be done about an answer, or about its absence.
pub(super) enum Verdict {
    /// No answer yet: the same bytes are to be sent again.
    Again { why: String, retry_after: Option<Duration>, unsent: bool },
    /// This is the answer.
    Done(Response<Bytes>, Outcome),
    /// No answer, and sending again would not bring one.
    Lost(String),
    /// The seller does not take the payment, and the money cannot have moved.
    Refused(Box<Refused>),
}

impl Verdict {
    pub(super) fn failed(error: FetchError) -> Self {
        let why = error.to_string();
        let unsent = matches!(error, FetchError::Connect(_));
        match error {
            FetchError::TooLarge(_) => Self::Lost(why),
            FetchError::Broken(_) | FetchError::Connect(_) | FetchError::Timeout(_) => {
                Self::Again { why, retry_after: None, unsent }
            }
        }
    }

    /// Of an answer; `was_lost` where one to the same payment was lost before.
    pub(super) fn of(response: Response<Bytes>, payment: &Payment, was_lost: bool) -> Self {
        let status = response.status();
        let told = Told::read(response.headers(), status, payment);
        let outcome = told.outcome();
        match outcome.status {
            // Whatever the status is: it was paid.
            Status::Settled | Status::Accepted => return Self::Done(response, outcome),
            Status::NotCharged if status != StatusCode::PAYMENT_REQUIRED => {
                return Self::Done(response, outcome);
            }
            Status::NotCharged | Status::Pending | Status::Sent | Status::Unproven => {}
        }
        let words = Words::of(&response, &told);
        let retry_after = seconds(response.headers());
        let again = |words: Words| {
            let why = words.line(status);
            Self::Again { why, retry_after, unsent: false }
        };
        match status {
            // It was sent to the chain, and nobody is to pay again.
            StatusCode::PAYMENT_REQUIRED if outcome.status == Status::Pending => again(words),
            StatusCode::PAYMENT_REQUIRED => Self::refusal(words, &told, status, payment, was_lost),
            StatusCode::BAD_REQUEST | StatusCode::PRECONDITION_FAILED
                if words.is_of_payment(status) =>
            {
                Self::refusal(words, &told, status, payment, was_lost)
            }
            StatusCode::SERVICE_UNAVAILABLE => again(words),
            // The gate's: it was not taken yet, and will be.
            StatusCode::TOO_MANY_REQUESTS
                if retry_after.is_some() && words.is_of_payment(status) =>
            {
                again(words)
            }
            StatusCode::CONFLICT if retry_after.is_some() => again(words),
            StatusCode::CONFLICT => Self::Lost(words.line(status)),
            _ => Self::Done(response, outcome),
        }
    }

    /// Of an answer that refuses the payment.
    fn refusal(
        words: Words,
        told: &Told,
        status: StatusCode,
        payment: &Payment,
        was_lost: bool,
    ) -> Self {
        let is_final = match told {
            Told::Strange => false,
            // The only outcome that comes here says that nothing was charged.
            Told::Outcome(_) => !was_lost,
            Told::Failed(_) | Told::Nothing => match words.bearing() {
                Bearing::Unfit => true,
                Bearing::NotNow => !was_lost,
                Bearing::Open => false,
            },
        };
        if is_final {
            Self::Refused(Box::new(words.refused(status, payment)))
        } else {
            Self::Lost(words.line(status))
        }
    }
}

fn seconds(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?;
    text.trim().parse().ok().map(Duration::from_secs)
}
