use core::convert::Infallible;
use core::pin::pin;
use core::time::Duration;
use std::sync::Arc;

use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::service::FacilitatorService;

const MAX_CONNECTIONS: usize = 1024;
/// How long the head of a request may take.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a request may take, from its head to its answer. Settling ends before.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(100);
/// How long what is under way has when the service ends.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(35);
/// How long to wait with the next connection when the last could not be taken.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

impl FacilitatorService {
    /// Serves the connections of a listener until `shutdown` is ready; then lets what is under way
    /// come to its end, for a bounded time, and returns.
    pub async fn serve(self, listener: TcpListener, shutdown: impl Future<Output = ()>) {
        let mut shutdown = pin!(shutdown);
        let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let graceful = GracefulShutdown::new();
        let mut connections = JoinSet::new();
        loop {
            let next = async {
                let permit = Arc::clone(&room).acquire_owned().await;
                (permit, listener.accept().await)
            };
            let (permit, accepted) = tokio::select! {
                biased;
                () = &mut shutdown => break,
                Some(_) = connections.join_next() => continue,
                next = next => next,
            };
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "a connection cannot be taken");
                    sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let connection = graceful.watch(self.connection(stream));
            connections.spawn(async move {
                let _permit = permit;
                if let Err(error) = connection.await {
                    tracing::debug!(%error, "a connection ended");
                }
            });
        }
        drop(listener);
        if timeout(SHUTDOWN_TIMEOUT, graceful.shutdown()).await.is_err() {
            tracing::warn!("some requests were not over in time");
        }
    }

    fn connection(
        &self,
        stream: TcpStream,
    ) -> http1::Connection<
        TokioIo<TcpStream>,
        impl hyper::service::HttpService<
            Incoming,
            ResBody = http_body_util::Full<bytes::Bytes>,
            Error = Infallible,
            Future: Send,
        > + use<>,
    > {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "no TCP_NODELAY");
        }
        let service = self.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let service = service.clone();
            async move {
                let answer = timeout(REQUEST_TIMEOUT, service.answer(request)).await;
                Ok::<_, Infallible>(answer.unwrap_or_else(|_| super::service::late()))
            }
        });
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_headers(100)
            .serve_connection(TokioIo::new(stream), service)
    }
}
