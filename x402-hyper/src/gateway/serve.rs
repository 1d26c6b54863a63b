use core::convert::Infallible;
use core::net::SocketAddr;
use core::pin::pin;
use core::time::Duration;
use std::io;
use std::sync::Arc;

use http::header::{ALLOW, HOST, UPGRADE};
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::Gateway;
use super::proxy::{Peer, Proxy, ProxyBody};
use super::timed::{Timed, TimedIo};
use crate::server::{Notice, PaymentBody, PaymentService, has_payment};

/// How long to wait with the next connection when the last could not be taken.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

const TARGET: Notice = Notice {
    status: StatusCode::BAD_REQUEST,
    reason: "invalid_request",
    message: "the request names no path, or not one host",
    help: "send a path, and exactly one Host",
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
    message: "this gateway passes on HTTP requests only; nothing was charged",
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
        let graceful = GracefulShutdown::new();
        let mut connections = JoinSet::new();
        loop {
            let next = async {
                let permit = Arc::clone(&room).acquire_owned().await;
                (permit, accept(&listener).await)
            };
            let (permit, (stream, peer)) = tokio::select! {
                biased;
                () = &mut shutdown => break,
                Some(_) = connections.join_next() => continue,
                next = next => next,
            };
            let connection = graceful.watch(self.connection(stream, peer));
            connections.spawn(async move {
                let _permit = permit;
                if let Err(error) = connection.await {
                    tracing::debug!(%error, "a connection ended");
                }
            });
        }
        drop(listener);
        let end = async {
            graceful.shutdown().await;
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
    ) -> http1::Connection<TokioIo<TimedIo<TcpStream>>, impl Connection + use<>> {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "no TCP_NODELAY");
        }
        let io = TokioIo::new(TimedIo::new(stream, self.options.write_timeout));
        let (service, pace) = (self.service.clone(), self.options.request_pace());
        let service = service_fn(move |request: Request<Incoming>| {
            let request = request.map(|body| Timed::new(body, pace));
            answer(service.clone(), request, peer)
        });
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.options.head_timeout)
            .max_headers(100)
            .max_header_size(self.options.max_head)
            // As the names are written in the documents, for people who read along.
            .title_case_headers(true)
            .serve_connection(io, service)
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
{
}

impl<S> Connection for S where
    S: hyper::service::Service<
            Request<Incoming>,
            Response = Response<PaymentBody<ProxyBody>>,
            Error = Infallible,
            Future: Send,
        > + Send
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
    mut request: Request<Timed<Incoming>>,
    peer: SocketAddr,
) -> Result<Response<PaymentBody<ProxyBody>>, Infallible> {
    request.extensions_mut().insert(Peer(peer.ip().to_canonical()));
    let (head, body) = request.into_parts();
    if let Some(answer) = refuse(&head) {
        return Ok(answer);
    }
    service.call(Request::from_parts(head, body)).await
}

/// The answer to what is no request for a path of this server.
fn refuse(head: &Parts) -> Option<Response<PaymentBody<ProxyBody>>> {
    let notice = if matches!(head.method, Method::CONNECT | Method::TRACE) {
        METHOD
    } else if !head.uri.path().starts_with('/') || !has_one_host(head) {
        TARGET
    } else if wants_tunnel(head) && has_payment(&head.headers) {
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

fn has_one_host(head: &Parts) -> bool {
    let count = head.headers.get_all(HOST).iter().count();
    count == 1 || count == 0 && head.version == Version::HTTP_10
}

/// Whether the request asks for another protocol. An offer of HTTP/2 can be passed over in silence.
fn wants_tunnel(head: &Parts) -> bool {
    head.headers.get_all(UPGRADE).iter().any(|value| !value.as_bytes().eq_ignore_ascii_case(b"h2c"))
}
