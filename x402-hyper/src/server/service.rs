use core::fmt;
use core::task::{Context, Poll};
use std::sync::Arc;

use bytes::Bytes;
use http::header::ACCESS_CONTROL_REQUEST_METHOD;
use http::request::Parts;
use http::{Method, Request, Response};
use http_body::Body;
use x402_core::{Error, Offer};
use x402_std::ledger::RequestId;
use x402_std::seller::Rejection;

use super::body::PaymentBody;
use super::dialect::{self, Attached};
use super::future::ResponseFuture;
use super::layer::Shared;
use super::pricing::Quote;
use super::request_body::RequestBody;
use super::task::{self, Order};
use super::{BoxError, answer};

/// A service with a price before it.
///
/// It is a [`tower_service::Service`] where the inner one is, and a [`hyper::service::Service`]
/// where the inner one is; both are called with a [`RequestBody`].
#[derive(Clone)]
pub struct PaymentService<S> {
    inner: S,
    shared: Arc<Shared>,
}

/// What becomes of a request, by its head.
enum Decision {
    /// The service behind answers.
    Free,
    /// The answer is known.
    Own(Response<Bytes>),
    /// A payment is attached that has to be taken.
    Paid(Box<Order>),
}

impl<S> PaymentService<S> {
    pub(super) const fn new(inner: S, shared: Arc<Shared>) -> Self {
        Self { inner, shared }
    }

    /// The service behind the price.
    pub const fn inner(&self) -> &S {
        &self.inner
    }

    /// The service behind the price.
    #[must_use]
    pub fn into_inner(self) -> S {
        self.inner
    }

    fn decide(&self, head: &mut Parts) -> Decision {
        if let Some(method) = self.preflight(head) {
            return Decision::Own(answer::preflight(method));
        }
        let decision = match self.shared.pricing.quote(head) {
            Quote::Absent => Decision::Own(answer::ABSENT.answer()),
            Quote::Free => Decision::Free,
            Quote::MethodNotAllowed(allow) => Decision::Own(answer::method_not_allowed(allow)),
            Quote::Paid(offer) => self.charge(head, offer),
        };
        dialect::strip_request(&mut head.headers);
        if head.method != Method::HEAD {
            return decision;
        }
        match decision {
            Decision::Own(answer) => Decision::Own(answer.map(|_| Bytes::new())),
            decision => decision,
        }
    }

    /// The method that a browser asks for in advance, where requests with it have a price here. The
    /// question itself carries no payment, and must not reach who is paid.
    fn preflight(&self, head: &mut Parts) -> Option<http::HeaderValue> {
        if head.method != Method::OPTIONS {
            return None;
        }
        let asked = head.headers.get(ACCESS_CONTROL_REQUEST_METHOD)?.clone();
        head.method = Method::from_bytes(asked.as_bytes()).ok()?;
        let quote = self.shared.pricing.quote(head);
        head.method = Method::OPTIONS;
        matches!(quote, Quote::Paid(_)).then_some(asked)
    }

    fn charge(&self, head: &Parts, offer: Offer<'static>) -> Decision {
        if dialect::size(&head.headers) > self.shared.limits.payment_size {
            return Decision::Own(answer::LARGE_PAYMENT.answer());
        }
        let refuse =
            |error: Error| Decision::Own(answer::rejected(&Rejection::from(error), &offer));
        let attached = match Attached::read(&head.headers) {
            Ok(Some(attached)) => attached,
            Ok(None) => return Decision::Own(answer::required(&offer)),
            Err(error) => return refuse(Error::Malformed(error)),
        };
        let payment = match attached.resolve(&offer) {
            Ok(payment) => payment,
            Err(error) => return refuse(error),
        };
        let target = head.uri.path_and_query().map_or("", |target| target.as_str());
        Decision::Paid(Box::new(Order {
            payment: payment.into(),
            offer,
            dialect: attached.dialect(),
            request: RequestId::new(head.method.as_str(), target),
            is_head: head.method == Method::HEAD,
        }))
    }
}

impl<S: fmt::Debug> fmt::Debug for PaymentService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PaymentService").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl<S, B, A> tower_service::Service<Request<B>> for PaymentService<S>
where
    S: tower_service::Service<Request<RequestBody<B>>, Response = Response<A>>,
    S: Clone + Send + 'static,
    S::Error: Send + 'static,
    S::Future: Send + 'static,
    A: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
{
    type Response = Response<PaymentBody<A>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, A, S::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (mut head, body) = request.into_parts();
        match self.decide(&mut head) {
            Decision::Free => {
                let request = Request::from_parts(head, RequestBody::free(body));
                ResponseFuture::free(self.inner.call(request))
            }
            Decision::Own(answer) => ResponseFuture::own(answer),
            Decision::Paid(order) => {
                // The one that was asked whether it is ready goes; its copy stays.
                let copy = self.inner.clone();
                let mut inner = core::mem::replace(&mut self.inner, copy);
                let request = Request::from_parts(head, body);
                let call = move |request| inner.call(request);
                ResponseFuture::paid(task::spawn(&self.shared, order, request, call))
            }
        }
    }
}

impl<S, B, A> hyper::service::Service<Request<B>> for PaymentService<S>
where
    S: hyper::service::Service<Request<RequestBody<B>>, Response = Response<A>>,
    S: Clone + Send + 'static,
    S::Error: Send + 'static,
    S::Future: Send + 'static,
    A: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
{
    type Response = Response<PaymentBody<A>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, A, S::Error>;

    fn call(&self, request: Request<B>) -> Self::Future {
        let (mut head, body) = request.into_parts();
        match self.decide(&mut head) {
            Decision::Free => {
                let request = Request::from_parts(head, RequestBody::free(body));
                ResponseFuture::free(self.inner.call(request))
            }
            Decision::Own(answer) => ResponseFuture::own(answer),
            Decision::Paid(order) => {
                let inner = self.inner.clone();
                let request = Request::from_parts(head, body);
                let call = move |request| inner.call(request);
                ResponseFuture::paid(task::spawn(&self.shared, order, request, call))
            }
        }
    }
}
