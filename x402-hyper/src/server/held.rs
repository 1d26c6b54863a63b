//! Holds the answer of work until its money has arrived.

use std::pin::pin;

use bytes::Bytes;
use http::Response;
use http_body::Body;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use x402_core::Amount;
use x402_std::ledger::Answer;
use x402_std::seller::{Pledge, Receipt, Rejection};

use super::gauge::Gauge;
use super::layer::Limits;
use super::relay::{Remains, settle};
use super::{BoxError, answer};

/// An answer that is given when its payment has arrived.
pub(super) struct Held<B> {
    pub(super) pledge: Box<Pledge>,
    pub(super) remains: Remains<B>,
    /// The head of the answer, to be kept.
    pub(super) kept: Vec<(String, Vec<u8>)>,
    pub(super) limits: Limits,
    /// What it costs, where that is known in the end only.
    pub(super) gauge: Option<Gauge>,
}

/// An answer whose payment has arrived.
pub(super) struct Settled {
    pub(super) receipt: Receipt,
    /// How much that was.
    pub(super) cost: Amount,
    pub(super) answer: Response<Bytes>,
}

/// Why the answer cannot be given.
pub(super) enum Unsettled {
    Broken,
    Rejected(Rejection),
    TooLarge,
}

impl<B: Body<Data = Bytes>> Held<B> {
    pub(super) async fn settle<A>(self, answer: Response<A>) -> Result<Settled, Unsettled>
    where
        A: Body<Data = Bytes, Error: Into<BoxError>>,
    {
        let Self { pledge, remains, kept, limits, mut gauge } = self;
        let status = answer.status();
        let body = pin!(answer.into_body());
        let body = Limited::new(body, limits.kept);
        let (body, hash) = settle(body.collect(), remains.hash(limits.body)).await;
        let body = match body {
            Ok(body) => body.to_bytes(),
            Err(error) => {
                pledge.release().await;
                let is_too_large = error.downcast_ref::<LengthLimitError>().is_some();
                return Err(if is_too_large { Unsettled::TooLarge } else { Unsettled::Broken });
            }
        };
        if let Some(gauge) = &mut gauge {
            gauge.feed(&body);
        }
        let cost = gauge.map_or(pledge.amount(), |gauge| gauge.cost(status, true));
        // The work is done, whether the request ever ends or not.
        let (status, request_body) = (status.as_u16(), hash.unwrap_or(Answer::NOT_KNOWN));
        let answer = Answer { status, headers: kept, body: Some(body.to_vec()), request_body };
        // Made first: what cannot be given is not charged.
        let Some(given) = answer::again(answer.clone()) else {
            pledge.release().await;
            return Err(Unsettled::Broken);
        };
        let receipt = pledge.settle(answer, cost).await.map_err(Unsettled::Rejected)?;
        Ok(Settled { receipt, cost, answer: given })
    }
}
