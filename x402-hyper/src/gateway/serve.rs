use core::convert::Infallible;
use core::net::SocketAddr;
use core::pin::pin;
use core::time::Duration;
use std::io;
use std::sync::Arc;

use http::header::{ALLOW, CONNECTION, EXPECT};
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::fields::strip_trailers;
use super::host::has_one_host;
use super::lent::Lent;
use super::proxy::{Proxy, ProxyBody, Seat};
use super::timed::{Timed, TimedIo};
use super::trailers::Trailers;
use super::upstream::{ClientBody, HeedsKeys, is_idempotent};
use super::{Gateway, Prices, tunnel};
use crate::server::{Notice, PaymentBody, PaymentService, Peer, has_payment};

/// How long to wait with the next connection when the last could not be taken.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

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
        let mut shutdown = pin!(shutdown);
        let room = Arc::new(Semaphore::new(self.options.max_connections));
        let mut connections = JoinSet::new();
        loop {
            let next = async {
                // It is never closed.
                let permit = Arc::clone(&room).acquire_owned().await.ok()?;
                Some((permit, accept(&listener).await))
            };
            let (permit, (stream, peer)) = tokio::select! {
                biased;
                () = &mut shutdown => break,
                Some(_) = connections.join_next() => continue,
                Some(next) = next => next,
            };
            let seat = Seat::new(permit);
            let connection = self.connection(stream, peer, seat.clone());
            connections.spawn(carry(connection, self.stop.subscribe(), seat));
        }
        drop(listener);
        self.stop.send_replace(true);
        let end = async {
            while connections.join_next().await.is_some() {}
            self.layer.idle().await;
        };
        if timeout(self.options.shutdown_timeout, end).await.is_err() {
            tracing::warn!("some requests were not over in time");
        }
    }

    fn connection(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        seat: Seat,
    ) -> http1::UpgradeableConnection<TokioIo<TimedIo<TcpStream>>, impl Connection + use<>> {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "no TCP_NODELAY");
        }
        let io = TokioIo::new(TimedIo::new(stream, self.options.write_timeout));
        let (service, pace) = (self.service.clone(), self.options.request_pace());
        let prices = self.prices.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let mut request =
                request.map(|body| Trailers::new(Timed::new(body, pace), strip_trailers));
            request.extensions_mut().insert(Peer(peer.ip().to_canonical()));
            request.extensions_mut().insert(seat.clone());
            answer(service.clone(), prices.clone(), request)
        });
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.options.head_timeout)
            .max_headers(100)
            .max_header_size(self.options.max_head)
            // As the names are written in the documents, for people who read along.
            .title_case_headers(true)
            .serve_connection(io, service)
            .with_upgrades()
    }
}

/// Carries a connection to its end, which is near once the gateway stops.
async fn carry(
    connection: http1::UpgradeableConnection<TokioIo<TimedIo<TcpStream>>, impl Connection>,
    mut stop: watch::Receiver<bool>,
    _seat: Seat,
) {
    let mut connection = pin!(connection);
    let stopped = async { drop(stop.wait_for(|stop| *stop).await) };
    let ended = tokio::select! {
        ended = connection.as_mut() => Some(ended),
        () = stopped => None,
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended");
    }
}

/// The service of one connection.
trait Connection:
    hyper::service::Service<
        Request<Incoming>,
        Response = Response<PaymentBody<ProxyBody>>,
        Error = Infallible,
        Future: Send,
    > + Send
    + 'static
{
}

impl<S> Connection for S where
    S: hyper::service::Service<
            Request<Incoming>,
            Response = Response<PaymentBody<ProxyBody>>,
            Error = Infallible,
            Future: Send,
        > + Send
        + 'static
{
}

async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            // The peer's own affair: the next may be taken at once.
            Err(error) if is_of_peer(&error) => {}
            // No file descriptors or no memory: until one is free, trying is idle work.
            Err(error) => {
                tracing::warn!(%error, "a connection cannot be taken");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn is_of_peer(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

async fn answer(
    service: PaymentService<Proxy>,
    prices: Prices,
    request: Request<Trailers<Timed<Incoming>>>,
) -> Result<Response<PaymentBody<ProxyBody>>, Infallible> {
    let (head, body) = request.into_parts();
    // To read a body that its client asks about is to ask for it.
    let may_read = !head.headers.contains_key(EXPECT);
    let (body, lender) = Lent::new(body);
    let mut answer = pass(service, &prices, head, body).await?;
    let is_tunnel = answer.status() == StatusCode::SWITCHING_PROTOCOLS;
    if !is_tunnel && !lender.ended(may_read).await {
        answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(answer)
}

async fn pass(
    service: PaymentService<Proxy>,
    prices: &Prices,
    mut head: Parts,
    body: ClientBody,
) -> Result<Response<PaymentBody<ProxyBody>>, Infallible> {
    if let Some(answer) = refuse(&head, prices) {
        return Ok(answer);
    }
    if !is_idempotent(&head.method) && prices.heed_keys(head.uri.path(), &head.method) {
        head.extensions.insert(HeedsKeys);
    }
    service.call(Request::from_parts(head, body)).await
}

/// The answer to what is no request for a path of this server.
fn refuse(head: &Parts, prices: &Prices) -> Option<Response<PaymentBody<ProxyBody>>> {
    let notice = if matches!(head.method, Method::CONNECT | Method::TRACE) {
        METHOD
    } else if !head.uri.path().starts_with('/') || !has_one_host(head) {
        TARGET
    } else if tunnel::protocol(&head.headers).is_some()
        && has_payment(&head.headers)
        && !prices.sell_time(head.uri.path(), &head.method)
    {
        // Before it is paid for, for it cannot be had.
        UPGRADES
    } else {
        return None;
    };
    let mut answer = notice.answer();
    if notice.status == StatusCode::METHOD_NOT_ALLOWED {
        answer.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD, POST, OPTIONS"));
    }
    Some(answer.map(PaymentBody::own))
}
