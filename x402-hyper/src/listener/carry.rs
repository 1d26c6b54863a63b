//! One connection.

use core::convert::Infallible;
use core::net::SocketAddr;
use core::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::flow::Answering;
use super::seats::Seat;
use super::timed::{Pace, Timed, TimedIo};
use super::{BoxError, ListenerOptions};

/// The least that a buffer holds, in bytes: hyper's.
pub(crate) const LEAST_BUFFER: usize = 8 << 10;

/// Who has sent a request, in its extensions.
#[derive(Clone, Debug)]
pub struct Visitor {
    /// Where the connection comes from.
    pub address: SocketAddr,
    /// Its place, which is kept for as long as this is.
    pub(crate) seat: Seat,
}

/// Carries a connection to its end, which is near once the server stops, or another needs the place.
pub(super) fn carry<H, F, B>(
    stream: TcpStream,
    visitor: Visitor,
    options: &ListenerOptions,
    handler: H,
    mut stop: watch::Receiver<bool>,
) -> impl Future<Output = ()> + Send + use<H, F, B>
where
    H: Fn(Request<Timed<Incoming>>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "no TCP_NODELAY");
    }
    let seat = visitor.seat.clone();
    let io = TimedIo::new(stream, options.write_time, Arc::clone(seat.seated()));
    let pace = Pace::of_body(options.body_time);
    let service = service_fn(move |request: Request<Incoming>| {
        let turn = visitor.seat.begin();
        let seat = visitor.seat.clone();
        let mut request = request.map(|body| Timed::of_request(body, pace, seat));
        request.extensions_mut().insert(visitor.clone());
        let handler = handler.clone();
        async move {
            // The place was another's when this came: the connection ends, and nothing is begun.
            let Some(turn) = turn else { return core::future::pending().await };
            let answer = handler(request).await;
            Ok::<_, Infallible>(answer.map(|body| Answering::new(body, turn)))
        }
    });
    let max_head = options.max_head.max(LEAST_BUFFER);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(options.head_time)
        .max_headers(100)
        .max_header_size(max_head)
        .max_buf_size(max_head)
        // As the names are written in the documents, for people who read along.
        .title_case_headers(true)
        .serve_connection(TokioIo::new(io), service)
        .with_upgrades();
    async move {
        let mut connection = pin!(connection);
        let stopped = async { drop(stop.wait_for(|stop| *stop).await) };
        let mut stopped = pin!(stopped);
        let mut is_stopped = false;
        let ended = loop {
            tokio::select! {
                biased;
                () = seat.seated().shut() => break Ok(()),
                ended = connection.as_mut() => break ended,
                () = &mut stopped, if !is_stopped => {
                    is_stopped = true;
                    connection.as_mut().graceful_shutdown();
                }
            }
        };
        seat.seated().leave();
        if let Err(error) = ended {
            tracing::debug!(%error, "a connection ended");
        }
    }
}
