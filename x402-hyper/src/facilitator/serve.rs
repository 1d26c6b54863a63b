use core::time::Duration;

use http::Request;
use http_body::Body;
use tokio::net::TcpListener;
use tokio::time::timeout;

use super::service::{Answer, FacilitatorService, late};
use crate::listener::{BoxError, Listener, ListenerOptions};

/// How long a request may take, from its head to its answer. Settling ends before.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(100);
/// How long what is under way has when the service ends.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(35);

impl FacilitatorService {
    /// Serves the connections of a listener until `shutdown` is ready; then lets what is under way
    /// come to its end, for a bounded time, and returns.
    pub async fn serve(self, listener: TcpListener, shutdown: impl Future<Output = ()>) {
        self.serve_within(ListenerOptions::default(), listener, shutdown).await;
    }

    /// As [`Self::serve`], and puts up with so much.
    pub async fn serve_within(
        self,
        options: ListenerOptions,
        listener: TcpListener,
        shutdown: impl Future<Output = ()>,
    ) {
        let handler = move |request| self.clone().answer_in_time(request);
        let open = Listener::new(options).serve(listener, handler, shutdown).await;
        if timeout(SHUTDOWN_TIMEOUT, open.end()).await.is_err() {
            tracing::warn!("some requests were not over in time");
        }
    }

    async fn answer_in_time<B>(self, request: Request<B>) -> Answer
    where
        B: Body<Data = bytes::Bytes, Error: Into<BoxError>>,
    {
        timeout(REQUEST_TIMEOUT, self.answer(request)).await.unwrap_or_else(|_| late())
    }
}
