use core::convert::Infallible;
use core::error::Error;
use std::io;
use std::sync::Arc;

use http::request::Parts;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderValue, Request, Response, StatusCode, Uri};
use http_body_util::{Either, Full};
use hyper::body::{Bytes, Incoming};
use hyper::upgrade::OnUpgrade;
use tokio::sync::watch;
use tokio::time::timeout;
use x402_std::BoxFuture;
use x402_std::config::{RequestLimits, Upstream};
use x402_std::port;

use super::fields::{self, Origin};
use super::fit::{Wanted, is_framed};
use super::trailers::Trailers;
use super::tunnel::{self, Tunnel, Tunnelled};
use super::upstream::{Connections, HeedsKeys, Outgoing};
use super::{GatewayError, GatewayOptions};
use crate::listener::{BrokenOff, Pace, Seat, Timed, TooLong, TooSlow, Visitor};
use crate::server::{Allowance, Notice, Paid, Peer, Readiness, from_now};

pub(super) type ProxyBody = Either<Trailers<Timed<Incoming>>, Either<Full<Bytes>, Tunnelled>>;

/// Passes requests on to the upstream, and its answers back.
#[derive(Clone)]
pub(super) struct Proxy(Arc<Shared>);

struct Shared {
    connections: Connections,
    upstream: Address,
    options: GatewayOptions,
    stop: watch::Receiver<bool>,
}

struct Address {
    base_path: String,
    host: HeaderValue,
}

/// What becomes a tunnel if the upstream agrees.
struct Asked {
    client: OnUpgrade,
    protocol: HeaderValue,
    allowance: Allowance,
}

/// What is kept of a request while it is asked.
struct Kept {
    asked: Option<Asked>,
    seat: Option<Seat>,
    /// That of the answer's body.
    pace: Pace,
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
pub(super) const LARGE: Notice = Notice {
    status: StatusCode::PAYLOAD_TOO_LARGE,
    reason: "invalid_body",
    message: "the request's body is longer than is passed on",
    help: "send less; if this was paid for, do not pay again: the same payment is good for a shorter one",
};
const BROKEN: Notice = Notice {
    status: StatusCode::BAD_REQUEST,
    reason: "invalid_body",
    message: "the request's body broke off, or is not as its head says",
    help: "if this was paid for, do not pay again: send the whole request with the same payment once more",
};
const TUNNEL: Notice = Notice {
    status: StatusCode::BAD_GATEWAY,
    reason: "upstream_protocol",
    message: "the server behind the gateway answered with another protocol",
    help: "nobody has asked for that",
};

const UNFIT: Notice = Notice {
    status: StatusCode::BAD_GATEWAY,
    reason: "upstream_protocol",
    message: "the server behind the gateway gave an answer that cannot be one to this request",
    help: "if this was paid for, do not pay again: send the same request with the same payment later",
};
/// Said before a payment is taken.
const UNREADY: Notice = Notice {
    status: StatusCode::BAD_GATEWAY,
    reason: "upstream_unreachable",
    message: "the server behind the gateway cannot be reached, and no payment was taken",
    help: "send the same request with the same payment later",
};

impl Proxy {
    pub(super) fn new(
        upstream: &Upstream,
        options: GatewayOptions,
        stop: watch::Receiver<bool>,
    ) -> Result<Self, GatewayError> {
        let Upstream { authority, base_path, keepalive } = upstream;
        let wrong = || GatewayError::Upstream(format!("{authority}{base_path}"));
        if !port::is_sound(authority) {
            return Err(wrong());
        }
        let host = HeaderValue::from_str(authority).map_err(|_| wrong())?;
        let origin = Uri::builder().scheme(Scheme::HTTP).path_and_query("/");
        let authority: Authority = authority.parse().map_err(|_| wrong())?;
        let origin = origin.authority(authority).build().map_err(|_| wrong())?;
        let upstream = Address { base_path: base_path.clone(), host };
        upstream.uri(&PathAndQuery::from_static("/")).ok_or_else(wrong)?;
        let connections = Connections::new(origin, *keepalive, &options);
        Ok(Self(Arc::new(Shared { connections, upstream, options, stop })))
    }
}

impl Shared {
    async fn forward(&self, request: Request<Outgoing>) -> Response<ProxyBody> {
        let (mut head, body) = request.into_parts();
        let paid = head.extensions.get::<Paid>();
        let wanted = paid.map(|_| Wanted::of(&head));
        let asked = Asked::of(&mut head);
        let limits = head.extensions.get::<RequestLimits>().copied().unwrap_or_default();
        let seat = head.extensions.get::<Visitor>().map(|visitor| visitor.seat.clone());
        if self.upstream.readdress(&mut head).is_none() {
            return own(&UNREACHABLE);
        }
        if let Some(asked) = &asked {
            tunnel::ask(&mut head.headers, asked.protocol.clone());
        }
        let time = limits.answer_timeout.unwrap_or(self.options.answer_timeout);
        let idle = limits.idle_timeout.unwrap_or(self.options.upstream_idle);
        let held = Kept { asked, seat, pace: Pace { bytes: 1, time: idle } };
        let answer = self.connections.send(Request::from_parts(head, body));
        match timeout(time, answer).await {
            Ok(Ok(answer)) if !is_framed(answer.headers()) => own(&UNFIT),
            Ok(Ok(answer)) if !wanted.is_none_or(|wanted| wanted.is_fit(&answer)) => own(&UNFIT),
            Ok(Ok(answer)) => self.pass_on(answer, held),
            Ok(Err(error)) => own(failure(&*error)),
            Err(_) => own(&LATE),
        }
    }

    /// The answer as the client is to see it.
    fn pass_on(&self, mut answer: Response<Incoming>, held: Kept) -> Response<ProxyBody> {
        let Kept { asked, seat, pace } = held;
        if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
            return match asked.zip(tunnel::protocol(answer.headers())) {
                Some((asked, protocol)) => self.tunnel(asked, seat, protocol, answer),
                None => own(&TUNNEL),
            };
        }
        fields::from_upstream(answer.headers_mut());
        let timed = |body| Timed::new(body, pace, seat);
        answer.map(|body| Either::Left(Trailers::new(timed(body), fields::from_upstream)))
    }

    /// Opens the tunnel that the upstream has agreed to.
    fn tunnel(
        &self,
        asked: Asked,
        seat: Option<Seat>,
        protocol: HeaderValue,
        mut answer: Response<Incoming>,
    ) -> Response<ProxyBody> {
        let Asked { client, allowance, .. } = asked;
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
        fields::from_upstream(answer.headers_mut());
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
        Some(Self { client, protocol, allowance })
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
        let heeds_keys = head.extensions.remove::<HeedsKeys>();
        head.extensions.clear();
        heeds_keys.map(|heeds_keys| head.extensions.insert(heeds_keys));
        Some(())
    }

    fn uri(&self, target: &PathAndQuery) -> Option<Uri> {
        let target = match &*self.base_path {
            "" => target.clone(),
            base => PathAndQuery::try_from(format!("{base}{target}")).ok()?,
        };
        Uri::builder().path_and_query(target).build().ok()
    }
}

impl hyper::service::Service<Request<Outgoing>> for Proxy {
    type Response = Response<ProxyBody>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<ProxyBody>, Infallible>>;

    fn call(&self, request: Request<Outgoing>) -> Self::Future {
        let shared = Arc::clone(&self.0);
        Box::pin(async move { Ok(shared.forward(request).await) })
    }
}

impl Readiness for Proxy {
    fn ready(&self) -> BoxFuture<'_, Result<(), Response<Bytes>>> {
        Box::pin(async {
            self.0.connections.ready().await.map_err(|error| {
                tracing::warn!(%error, "the upstream cannot be reached: no payment is taken");
                UNREADY.answer()
            })
        })
    }
}

/// Whose fault it is that there is no answer.
fn failure(error: &(dyn Error + 'static)) -> &'static Notice {
    let mut causes = core::iter::successors(Some(error), |&error| error.source());
    let notice = causes.find_map(|cause| {
        if cause.is::<TooSlow>() {
            return Some(&SLOW);
        }
        if cause.is::<TooLong>() {
            return Some(&LARGE);
        }
        if cause.is::<BrokenOff>() {
            return Some(&BROKEN);
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
