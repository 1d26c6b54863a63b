use core::convert::Infallible;
use core::error::Error;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use core::time::Duration;
use std::io;
use std::sync::Arc;

use http::request::Parts;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderValue, Request, Response, StatusCode, Uri};
use http_body_util::{Either, Full};
use hyper::body::{Bytes, Incoming};
use hyper::upgrade::OnUpgrade;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Client, ResponseFuture};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use pin_project_lite::pin_project;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::{Timeout, timeout};
use x402_std::config::Upstream;
use x402_std::port;

use super::fields::{self, Origin};
use super::timed::{Timed, TooSlow};
use super::tunnel::{self, Tunnel, Tunnelled};
use super::{GatewayError, GatewayOptions};
use crate::server::{Allowance, Notice, Paid, Peer, RequestBody, from_now};

/// For how long a connection is kept for the next request: less than the five seconds after which
/// many servers hang up, so that no request is sent just then.
const POOL_IDLE: Duration = Duration::from_secs(4);

pub(super) type ProxyBody = Either<Timed<Incoming>, Either<Full<Bytes>, Tunnelled>>;

/// Passes requests on to the upstream, and its answers back.
#[derive(Clone)]
pub(super) struct Proxy(Arc<Shared>);

struct Shared {
    client: Client<HttpConnector, RequestBody<Timed<Incoming>>>,
    upstream: Address,
    options: GatewayOptions,
    stop: watch::Receiver<bool>,
}

struct Address {
    authority: Authority,
    base_path: String,
    host: HeaderValue,
}

/// The place that a connection takes, in its requests' extensions.
#[derive(Clone)]
pub(super) struct Seat {
    _permit: Arc<OwnedSemaphorePermit>,
}

impl Seat {
    pub(super) fn new(permit: OwnedSemaphorePermit) -> Self {
        Self { _permit: Arc::new(permit) }
    }
}

/// What becomes a tunnel if the upstream agrees.
struct Asked {
    client: OnUpgrade,
    protocol: HeaderValue,
    allowance: Allowance,
    seat: Option<Seat>,
}

const UNREACHABLE: Notice = Notice {
    status: StatusCode::BAD_GATEWAY,
    reason: "upstream_unreachable",
    message: "the server behind the gateway did not answer",
    help: "if this was paid for, do not pay again: send the same request with the same payment later",
};
const LATE: Notice = Notice {
    status: StatusCode::GATEWAY_TIMEOUT,
    reason: "upstream_timeout",
    message: "the server behind the gateway did not answer in time",
    help: "if this was paid for, do not pay again: send the same request with the same payment later",
};
const SLOW: Notice = Notice {
    status: StatusCode::REQUEST_TIMEOUT,
    reason: "invalid_body",
    message: "the request's body comes too slowly",
    help: "if this was paid for, do not pay again: send the same request with the same payment later",
};
const TUNNEL: Notice = Notice {
    status: StatusCode::BAD_GATEWAY,
    reason: "upstream_protocol",
    message: "the server behind the gateway answered with another protocol",
    help: "nobody has asked for that",
};

impl Proxy {
    pub(super) fn new(
        upstream: &Upstream,
        options: GatewayOptions,
        stop: watch::Receiver<bool>,
    ) -> Result<Self, GatewayError> {
        let Upstream { authority, base_path } = upstream;
        let wrong = || GatewayError::Upstream(format!("{authority}{base_path}"));
        let upstream = Address {
            authority: authority.parse().map_err(|_| wrong())?,
            base_path: base_path.clone(),
            host: HeaderValue::from_str(authority).map_err(|_| wrong())?,
        };
        if !port::is_sound(authority) {
            return Err(wrong());
        }
        upstream.uri(&PathAndQuery::from_static("/")).ok_or_else(wrong)?;
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(options.connect_timeout));
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(POOL_IDLE)
            .build(connector);
        Ok(Self(Arc::new(Shared { client, upstream, options, stop })))
    }
}

impl Shared {
    fn forward(self: Arc<Self>, request: Request<RequestBody<Timed<Incoming>>>) -> Forwarding {
        let (mut head, body) = request.into_parts();
        let is_paid = head.extensions.get::<Paid>().is_some();
        let asked = Asked::of(&mut head);
        if self.upstream.readdress(&mut head).is_none() {
            return Forwarding { state: State::Own { notice: &UNREACHABLE } };
        }
        if let Some(asked) = &asked {
            tunnel::ask(&mut head.headers, asked.protocol.clone());
        }
        let answer = self.client.request(Request::from_parts(head, body));
        let answer = timeout(self.options.answer_timeout, answer);
        Forwarding { state: State::Asked { answer, shared: self, is_paid, asked } }
    }

    /// The answer as the client is to see it.
    fn pass_on(
        &self,
        mut answer: Response<Incoming>,
        is_paid: bool,
        asked: Option<Asked>,
    ) -> Response<ProxyBody> {
        if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
            return match asked.zip(tunnel::protocol(answer.headers())) {
                Some((asked, protocol)) => self.tunnel(asked, protocol, answer),
                None => own(&TUNNEL),
            };
        }
        fields::from_upstream(answer.headers_mut(), is_paid);
        answer.map(|body| Either::Left(Timed::new(body, self.options.answer_pace())))
    }

    /// Opens the tunnel that the upstream has agreed to.
    fn tunnel(
        &self,
        asked: Asked,
        protocol: HeaderValue,
        mut answer: Response<Incoming>,
    ) -> Response<ProxyBody> {
        let Asked { client, allowance, seat, .. } = asked;
        let tunnel = Tunnel {
            client,
            upstream: hyper::upgrade::on(&mut answer),
            end: match allowance {
                Allowance::For(time) => from_now(time),
                Allowance::Until(end) => end,
            },
            is_websocket: tunnel::is_websocket(&protocol),
            stop: self.stop.clone(),
        };
        fields::from_upstream(answer.headers_mut(), true);
        tunnel::ask(answer.headers_mut(), protocol);
        let body = tunnel.open(seat);
        answer.map(|_| Either::Right(Either::Right(body)))
    }
}

impl Asked {
    /// What a request asks for that is sold by the time.
    fn of(head: &mut Parts) -> Option<Self> {
        let allowance = *head.extensions.get::<Allowance>()?;
        let protocol = tunnel::protocol(&head.headers)?;
        let client = head.extensions.remove::<OnUpgrade>()?;
        let seat = head.extensions.get::<Seat>().cloned();
        Some(Self { client, protocol, allowance, seat })
    }
}

impl Address {
    /// Makes a request's head one for the upstream.
    fn readdress(&self, head: &mut Parts) -> Option<()> {
        head.uri = self.uri(head.uri.path_and_query()?)?;
        head.version = http::Version::HTTP_11;
        let paid = head.extensions.get::<Paid>().map(|paid| (paid.payer, paid.payment));
        let peer = head.extensions.get::<Peer>().map(|peer| peer.0);
        fields::to_upstream(&mut head.headers, &self.host, &Origin { peer, paid });
        // What hyper's server put there is of the client's connection.
        head.extensions.clear();
        Some(())
    }

    fn uri(&self, target: &PathAndQuery) -> Option<Uri> {
        let target = match &*self.base_path {
            "" => target.clone(),
            base => PathAndQuery::try_from(format!("{base}{target}")).ok()?,
        };
        let builder = Uri::builder().scheme(Scheme::HTTP).authority(self.authority.clone());
        builder.path_and_query(target).build().ok()
    }
}

impl hyper::service::Service<Request<RequestBody<Timed<Incoming>>>> for Proxy {
    type Response = Response<ProxyBody>;
    type Error = Infallible;
    type Future = Forwarding;

    fn call(&self, request: Request<RequestBody<Timed<Incoming>>>) -> Forwarding {
        Arc::clone(&self.0).forward(request)
    }
}

pin_project! {
    /// The future of the upstream's answer: of a type with a name, so that it need not be boxed.
    pub(super) struct Forwarding {
        #[pin]
        state: State,
    }
}

pin_project! {
    #[project = StateProj]
    enum State {
        Asked {
            #[pin]
            answer: Timeout<ResponseFuture>,
            shared: Arc<Shared>,
            is_paid: bool,
            asked: Option<Asked>,
        },
        Own { notice: &'static Notice },
    }
}

impl Future for Forwarding {
    type Output = Result<Response<ProxyBody>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(Ok(match self.project().state.project() {
            StateProj::Asked { answer, shared, is_paid, asked } => match ready!(answer.poll(cx)) {
                Ok(Ok(answer)) => shared.pass_on(answer, *is_paid, asked.take()),
                Ok(Err(error)) => own(failure(&error)),
                Err(_) => own(&LATE),
            },
            StateProj::Own { notice } => own(notice),
        }))
    }
}

/// Whose fault it is that there is no answer.
fn failure(error: &(dyn Error + 'static)) -> &'static Notice {
    let mut causes = core::iter::successors(Some(error), |&error| error.source());
    let notice = causes.find_map(|cause| {
        if cause.is::<TooSlow>() {
            return Some(&SLOW);
        }
        let error = cause.downcast_ref::<io::Error>()?;
        (error.kind() == io::ErrorKind::TimedOut).then_some(&LATE)
    });
    let notice = notice.unwrap_or(&UNREACHABLE);
    tracing::warn!(status = notice.status.as_u16(), %error, "not answered by the upstream");
    notice
}

fn own(notice: &Notice) -> Response<ProxyBody> {
    notice.answer().map(|body| Either::Right(Either::Left(Full::new(body))))
}
