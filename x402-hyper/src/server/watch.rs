//! The request as it goes to the work, and what is known of its body in the end.

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderValue, Request};
use http_body::Body;
use tokio::sync::oneshot;
use x402_core::keccak256;

use super::metering::Metering;
use super::relay::Remains;
use super::request_body::{RequestBody, Rest};
use super::source::Source;

/// Watches the body of a request whose work is being done.
pub(super) enum Watch<B> {
    /// It is hashed while it is read.
    Reading(oneshot::Receiver<Rest<B>>),
    /// Another is read in its place; this is the hash of the client's.
    Replaced([u8; 32]),
}

/// Makes a paid request one for the service behind.
pub(super) fn work<B: Body<Data = Bytes>>(
    request: Request<Source<B>>,
    metering: Option<&dyn Metering>,
) -> (Request<RequestBody<B>>, Watch<B>) {
    let (mut head, body) = request.into_parts();
    let held = match &body {
        Source::Held { data } => Some(data),
        Source::Stream { .. } => None,
    };
    let replaced = metering.and_then(|metering| metering.prepare(&mut head, held));
    let (Some(data), Some(held)) = (replaced, held) else {
        let (body, rest) = RequestBody::hashed(body);
        return (Request::from_parts(head, body), Watch::Reading(rest));
    };
    let watch = Watch::Replaced(keccak256(&[held]));
    head.headers.remove(TRANSFER_ENCODING);
    head.headers.insert(CONTENT_LENGTH, HeaderValue::from(data.len()));
    (Request::from_parts(head, RequestBody::free(Source::Held { data })), watch)
}

impl<B> Watch<B> {
    /// What is left of the body, now that there is an answer; `None` where it broke off.
    pub(super) fn remains(self) -> Option<Remains<B>> {
        match self {
            Self::Replaced(hash) => Some(Remains::Here(Rest::Whole(hash))),
            Self::Reading(mut rest) => match rest.try_recv() {
                Ok(Rest::Broken) => None,
                Ok(rest) => Some(Remains::Here(rest)),
                Err(_) => Some(Remains::Coming(rest)),
            },
        }
    }
}
