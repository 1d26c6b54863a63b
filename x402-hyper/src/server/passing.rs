//! A request that was paid for before: it has a pass.

use core::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{Response, StatusCode};
use http_body::Body;
use tokio::time::Instant;
use x402_std::quote::Pass;

use super::future::Head;
use super::gauge::{Until, from_now};
use super::{Allowance, Paid, answer};

/// The time that is left to a request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Passing {
    end: Instant,
}

impl Passing {
    /// Tells the service behind who has paid, and until when.
    pub(super) fn new(head: &mut Parts, pass: &Pass, now: u64) -> Self {
        let end = from_now(Duration::from_secs(pass.remaining(now)));
        head.extensions.insert(Paid { payer: pass.payer, transaction: None, payment: None });
        head.extensions.insert(Allowance::Until(end));
        Self { end }
    }

    /// The answer, which ends when the time does.
    pub(super) fn limit<B: Body<Data = Bytes>>(self, answer: Response<B>) -> Head<B> {
        if answer.status() == StatusCode::PAYMENT_REQUIRED {
            return Head::Own(answer::UPSTREAM_PRICE.answer());
        }
        let (mut head, body) = answer.into_parts();
        answer::clean(&mut head.headers);
        let body = Until::new(body, &head.headers, Some(self.end));
        Head::Passed(Response::from_parts(head, body))
    }
}
