use http::header::{ALLOW, CONNECTION, CONTENT_LENGTH, EXPECT};
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::service::Service as _;
use tokio::net::TcpListener;
use tokio::time::timeout;

use super::fields::strip_trailers;
use super::host::has_one_host;
use super::lent::Lent;
use super::proxy::{LARGE, Proxy, ProxyBody};
use super::router::Handling;
use super::trailers::Trailers;
use super::upstream::HeedsKeys;
use super::{Gateway, GatewayOptions, Prices, tunnel};
use crate::listener::{Listener, ListenerOptions, Pace, Timed, Visitor};
use crate::server::{Notice, PaymentBody, PaymentService, Peer, has_payment};

const TARGET: Notice = Notice {
    status: StatusCode::BAD_REQUEST,
    reason: "invalid_request",
    message: "the request names no path, or not one host that a URL may have",
    help: "send a path, and exactly one Host: a name or an address, and perhaps a port",
};
const METHOD: Notice = Notice {
    status: StatusCode::METHOD_NOT_ALLOWED,
    reason: "method_not_allowed",
    message: "this method is not passed on",
    help: "use another method",
};
const UPGRADES: Notice = Notice {
    status: StatusCode::NOT_IMPLEMENTED,
    reason: "not_implemented",
    message: "another protocol is sold by the minute only; nothing was charged",
    help: "send the request without Upgrade",
};

impl Gateway {
    /// Serves the connections of a listener until `shutdown` is ready; then lets what is under way
    /// come to its end, for a bounded time, and returns.
    ///
    /// What was not over by then is owed: the ledger knows.
    pub async fn serve(self, listener: TcpListener, shutdown: impl Future<Output = ()>) {
        let taken = Listener::new(self.listener_options());
        let (service, prices, options) = (self.service, self.prices, self.options);
        let handler = move |request| answer(service.clone(), prices.clone(), options, request);
        let open = taken.serve(listener, handler, shutdown).await;
        self.stop.send_replace(true);
        let end = async {
            open.end().await;
            self.layer.idle().await;
        };
        if timeout(self.options.shutdown_timeout, end).await.is_err() {
            tracing::warn!("some requests were not over in time");
        }
    }

    fn listener_options(&self) -> ListenerOptions {
        ListenerOptions {
            body_time: self.options.request_patience,
            connections: self.options.max_connections,
            head_time: self.options.head_timeout,
            max_head: self.options.max_head,
            trusted_proxies: self.trusted_proxies.clone(),
            write_time: self.options.write_timeout,
        }
    }
}

async fn answer(
    service: PaymentService<Proxy>,
    prices: Prices,
    options: GatewayOptions,
    request: Request<Timed<Incoming>>,
) -> Response<PaymentBody<ProxyBody>> {
    let (mut head, body) = request.into_parts();
    if let Some(visitor) = head.extensions.get::<Visitor>() {
        let peer = Peer(visitor.address.ip());
        head.extensions.insert(peer);
    }
    // To read a body that its client asks about is to ask for it.
    let may_read = !head.headers.contains_key(EXPECT);
    let Handling { limits, heeds_keys, sells_time } =
        prices.handling(head.uri.path(), &head.method);
    let body_limit = limits.body_limit.or(options.max_body);
    let pace = Pace::of_body(limits.body_time.unwrap_or(options.request_patience));
    let body = Trailers::new(body.within(pace, body_limit), strip_trailers);
    let (body, lender) = Lent::new(body);
    let mut answer = match refuse(&head, sells_time, body_limit) {
        Some(mut answer) => {
            service.tell_pages(&head.headers, answer.headers_mut());
            answer
        }
        None => {
            head.extensions.insert(limits);
            if heeds_keys {
                head.extensions.insert(HeedsKeys);
            }
            let Ok(answer) = service.call(Request::from_parts(head, body)).await;
            answer
        }
    };
    let is_tunnel = answer.status() == StatusCode::SWITCHING_PROTOCOLS;
    if !is_tunnel && !lender.ended(may_read).await {
        answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    answer
}

/// The answer to what is no request for a path of this server.
fn refuse(
    head: &Parts,
    sells_time: bool,
    body_limit: Option<u64>,
) -> Option<Response<PaymentBody<ProxyBody>>> {
    let notice = if matches!(head.method, Method::CONNECT | Method::TRACE) {
        METHOD
    } else if !head.uri.path().starts_with('/') || !has_one_host(head) {
        TARGET
    } else if tunnel::protocol(&head.headers).is_some() && has_payment(&head.headers) && !sells_time
    {
        // Before it is paid for, for it cannot be had.
        UPGRADES
    } else if body_limit.is_some_and(|limit| length(head) > limit) {
        // So is this.
        LARGE
    } else {
        return None;
    };
    let mut answer = notice.answer();
    if notice.status == StatusCode::METHOD_NOT_ALLOWED {
        answer.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD, POST, OPTIONS"));
    }
    Some(answer.map(PaymentBody::own))
}

/// How long the body is, as far as the head says.
fn length(head: &Parts) -> u64 {
    let length =
        head.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    length.unwrap_or_default()
}
