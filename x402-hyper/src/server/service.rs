use core::fmt;
use core::task::{Context, Poll};
use std::sync::Arc;

use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_REQUEST_METHOD, HOST, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE,
    IF_UNMODIFIED_SINCE, RANGE,
};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response};
use http_body::Body;
use x402_core::headers::HeaderError;
use x402_core::proof;
use x402_core::{Error, Scheme};
use x402_std::ledger::{RequestId, Settle};
use x402_std::seller::{Proof, Purchase, Rejection, Replay};

use super::BoxError;
use super::answer::{self, Asked};
use super::body::PaymentBody;
use super::cors::Access;
use super::dialect::{self, Attached, Dialect, Resolved};
use super::future::ResponseFuture;
use super::layer::Shared;
use super::passing::Passing;
use super::peer::{is_exposed, may_be_elsewhere};
use super::pricing::{Quote, Sale};
use super::request_body::RequestBody;
use super::source::Source;
use super::task::{self, Means, Order};
use super::weighed;

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
pub(super) enum Decision {
    /// It depends on the body, of at most so many bytes.
    ByBody(usize),
    /// The service behind answers.
    Free,
    /// The answer is known.
    Own(Response<Bytes>),
    /// A payment is attached that has to be taken.
    Paid(Box<Order>),
    /// It was paid for before, and there is time left.
    Passed(Passing),
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

    /// Says of CORS, in an answer that was made before it is known what a request costs, what is said of what has
    /// a price.
    #[cfg(feature = "gateway")]
    pub(crate) fn tell_pages(&self, request: &HeaderMap, answer: &mut HeaderMap) {
        if let Some(access) = self.shared.cors.access(request) {
            access.tell(answer);
        }
    }

    /// What becomes of a request, and what browsers are told of the answer: nothing where it is free.
    fn decide(&self, head: &mut Parts) -> (Decision, Option<Access>) {
        if let Some(answer) = self.preflight(head) {
            return (Decision::Own(answer), None);
        }
        let access = self.shared.cors.access(&head.headers);
        let quote = self.shared.pricing.quote(head);
        match self.shared.decide(head, quote, None) {
            Decision::Free => (Decision::Free, None),
            decision => (decision, access),
        }
    }

    /// The answer to a browser that asks in advance for a method with which requests have a price here. The
    /// question itself carries no payment, and must not reach who is paid.
    fn preflight(&self, head: &mut Parts) -> Option<Response<Bytes>> {
        if head.method != Method::OPTIONS {
            return None;
        }
        let asked = head.headers.get(ACCESS_CONTROL_REQUEST_METHOD)?.clone();
        head.method = Method::from_bytes(asked.as_bytes()).ok()?;
        let quote = self.shared.pricing.quote(head);
        head.method = Method::OPTIONS;
        if !matches!(quote, Quote::Paid(_) | Quote::ByBody(_) | Quote::Unpriced(_)) {
            return None;
        }
        self.shared.cors.preflight(&head.headers, asked)
    }
}

impl Shared {
    /// What becomes of a request that was priced so, perhaps by its body.
    pub(super) fn decide(&self, head: &mut Parts, quote: Quote, body: Option<&[u8]>) -> Decision {
        let decision = match quote {
            // The payment's fields are still needed.
            Quote::ByBody(limit) => Decision::ByBody(limit),
            Quote::Absent => Decision::Own(answer::ABSENT.answer()),
            Quote::Free => Decision::Free,
            Quote::MethodNotAllowed(allow) => Decision::Own(answer::method_not_allowed(allow)),
            Quote::Paid(sale) => self.charge(head, sale, body),
            Quote::Unpriced(why) => Decision::Own(answer::unpriced(&why)),
        };
        if matches!(decision, Decision::ByBody(_)) {
            return decision;
        }
        dialect::strip_request(&mut head.headers);
        if head.method != Method::HEAD {
            return decision;
        }
        match decision {
            Decision::Own(answer) => Decision::Own(answer::head_of(answer)),
            decision => decision,
        }
    }

    /// What is asked for by this request.
    fn asked(&self, head: &Parts, sale: Arc<Sale>, body: Option<&[u8]>, now: u64) -> Asked {
        let signing = self.tokens.as_ref().zip(self.pricing.fields());
        let quoting = signing.map(|(tokens, fields)| tokens.quoting(head, body, fields, now));
        let url = url(head, &sale.base_url);
        let is_exposed = is_exposed(head, &sale.base_url);
        let is_elsewhere = may_be_elsewhere(head, &sale.base_url);
        Asked { sale, url, dialect: Dialect::Headers, quoting, is_exposed, is_elsewhere }
    }

    fn charge(&self, head: &mut Parts, sale: Arc<Sale>, body: Option<&[u8]>) -> Decision {
        let size = dialect::size(&head.headers);
        if size.is_some_and(|size| size > self.limits.payment_size) {
            return Decision::Own(answer::LARGE_PAYMENT.answer());
        }
        let now = self.seller.now();
        if size.is_none() && body.is_none() {
            let make = || answer::required(&self.asked(head, Arc::clone(&sale), None, now));
            return Decision::Own(self.prepared.answer(head, &sale, now, make));
        }
        let mut asked = self.asked(head, sale, body, now);
        if head.method == Method::HEAD {
            return self.headed(head, &asked, size.is_some());
        }
        let refuse = |error: Error, asked: &Asked| {
            Decision::Own(answer::rejected(&Rejection::from(error), asked, None))
        };
        if dialect::is_twice(&head.headers) {
            return refuse(Error::Malformed(HeaderError::Mixed), &asked);
        }
        if let Some(decision) = self.drawn(head, &asked, body) {
            return decision;
        }
        let attached = match Attached::read(&head.headers) {
            Ok(Some(attached)) => attached,
            Ok(None) => return self.unpaid(head, &asked),
            Err(error) => return refuse(error, &asked),
        };
        asked.dialect = attached.dialect();
        let redeemed = asked.redeem(attached.quote(&head.headers).as_deref());
        let resolved = attached.resolve(redeemed.as_ref().unwrap_or(&asked.sale));
        let Resolved { mut presented, offer } = match resolved {
            Ok(resolved) => resolved,
            Err(error) => return refuse(error, &asked),
        };
        presented.proof = proof(head, &asked);
        presented.secret = dialect::secret(&head.headers);
        let is_ceiling = matches!(offer.requirements().scheme, Scheme::Upto { .. });
        let purchase = Purchase {
            request: request_id(head, body, self.pricing.fields()),
            amount: offer.requirements().amount,
            settle: match asked.sale.settle {
                // How much of it is known afterwards.
                Settle::First if is_ceiling => Settle::Later,
                settle => settle,
            },
            replay: match asked.sale.metering {
                Some(_) => Replay::Payer,
                None => asked.sale.replay,
            },
        };
        let means = Means::Payment(Box::new(presented));
        Decision::Paid(Box::new(Order { means, offer, asked, purchase }))
    }

    /// What becomes of a request for a head: it is that of the price, whatever came with it but a pass, for there is
    /// nothing in it that could be paid for.
    fn headed(&self, head: &mut Parts, asked: &Asked, has_paid: bool) -> Decision {
        let mut decision = self.unpaid(head, asked);
        if let Decision::Own(answer) = &mut decision
            && has_paid
        {
            answer::not_charged(answer.headers_mut());
        }
        decision
    }

    /// What becomes of a request without a payment: it may have a pass.
    fn unpaid(&self, head: &mut Parts, asked: &Asked) -> Decision {
        let metering = asked.sale.metering.as_ref();
        let period = metering.and_then(|metering| metering.period());
        let pass = head.headers.get(dialect::PASS).map(|pass| pass.to_str().unwrap_or_default());
        let (Some(tokens), Some(metering), Some(_), Some(pass)) =
            (&self.tokens, metering, period, pass)
        else {
            return Decision::Own(answer::required(asked));
        };
        let now = self.seller.now();
        match tokens.pass(pass, &asked.sale, now) {
            Ok(pass) => {
                metering.prepare(head, None);
                Decision::Passed(Passing::new(head, &pass, now))
            }
            Err(error) => Decision::Own(answer::passed(asked, error)),
        }
    }
}

/// Fields by which an answer is a part of the whole one, or none.
const SELECTING: [HeaderName; 6] =
    [IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, RANGE];

/// Which request it is. What was paid for one body, for one value of a field that the price depends on, or for one
/// part, is not good for another, where that may be dearer.
pub(super) fn request_id(head: &Parts, body: Option<&[u8]>, fields: Option<&[&str]>) -> RequestId {
    let request = RequestId::new(head.method.as_str(), target(head));
    let request = body.map_or(request, |body| request.with_body(body));
    let selecting = SELECTING.iter().map(HeaderName::as_str);
    let fields = fields.unwrap_or_default().iter().copied().chain(selecting);
    fields.fold(request, |request, name| {
        let values = head.headers.get_all(name).iter().map(HeaderValue::as_bytes);
        request.with_field(name, values)
    })
}

pub(super) fn target(head: &Parts) -> &str {
    head.uri.path_and_query().map_or("", |target| target.as_str())
}

/// What shows that the request comes from the payer himself.
fn proof(head: &Parts, asked: &Asked) -> Option<Proof> {
    let value = head.headers.get(proof::FIELD)?.to_str().ok()?.to_owned();
    Some(Proof { origin: asked.origin()?.to_owned(), value })
}

/// The URL that was asked for, as far as it can be known behind others' proxies.
fn url(head: &Parts, base: &str) -> String {
    let target = target(head);
    if !base.is_empty() {
        return format!("{base}{target}");
    }
    let host = head.headers.get(HOST).and_then(|host| host.to_str().ok());
    let host = head.uri.authority().map(http::uri::Authority::as_str).or(host);
    format!("http://{}{target}", host.unwrap_or("localhost"))
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
    B: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    type Response = Response<PaymentBody<A>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, A, S::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (mut head, body) = request.into_parts();
        let (decision, access) = self.decide(&mut head);
        let future = match decision {
            Decision::Free => {
                let request = Request::from_parts(head, RequestBody::free(Source::stream(body)));
                ResponseFuture::free(self.inner.call(request))
            }
            Decision::Own(answer) => ResponseFuture::own(answer),
            Decision::Passed(passing) => {
                let request = Request::from_parts(head, RequestBody::free(Source::stream(body)));
                ResponseFuture::passed(self.inner.call(request), passing)
            }
            Decision::Paid(order) => {
                // The one that was asked whether it is ready goes; its copy stays.
                let copy = self.inner.clone();
                let mut inner = core::mem::replace(&mut self.inner, copy);
                let request = Request::from_parts(head, Source::stream(body));
                let call = move |request| inner.call(request);
                ResponseFuture::paid(task::spawn(&self.shared, order, request, call))
            }
            Decision::ByBody(limit) => {
                let copy = self.inner.clone();
                let mut inner = core::mem::replace(&mut self.inner, copy);
                let request = Request::from_parts(head, body);
                let call = move |request| inner.call(request);
                ResponseFuture::paid(weighed::spawn(&self.shared, limit, request, call))
            }
        };
        future.telling(access)
    }
}

impl<S, B, A> hyper::service::Service<Request<B>> for PaymentService<S>
where
    S: hyper::service::Service<Request<RequestBody<B>>, Response = Response<A>>,
    S: Clone + Send + 'static,
    S::Error: Send + 'static,
    S::Future: Send + 'static,
    A: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
    B: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    type Response = Response<PaymentBody<A>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, A, S::Error>;

    fn call(&self, request: Request<B>) -> Self::Future {
        let (mut head, body) = request.into_parts();
        let (decision, access) = self.decide(&mut head);
        let future = match decision {
            Decision::Free => {
                let request = Request::from_parts(head, RequestBody::free(Source::stream(body)));
                ResponseFuture::free(self.inner.call(request))
            }
            Decision::Own(answer) => ResponseFuture::own(answer),
            Decision::Passed(passing) => {
                let request = Request::from_parts(head, RequestBody::free(Source::stream(body)));
                ResponseFuture::passed(self.inner.call(request), passing)
            }
            Decision::Paid(order) => {
                let inner = self.inner.clone();
                let request = Request::from_parts(head, Source::stream(body));
                let call = move |request| inner.call(request);
                ResponseFuture::paid(task::spawn(&self.shared, order, request, call))
            }
            Decision::ByBody(limit) => {
                let inner = self.inner.clone();
                let request = Request::from_parts(head, body);
                let call = move |request| inner.call(request);
                ResponseFuture::paid(weighed::spawn(&self.shared, limit, request, call))
            }
        };
        future.telling(access)
    }
}
