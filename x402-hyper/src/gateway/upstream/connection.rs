use core::time::Duration;

use http::{Request, Response, Uri};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper_util::client::legacy::connect::HttpConnector;
use tokio::time::Instant;
use tower_service::Service as _;

use super::Sent;
use crate::server::BoxError;

/// For how long a connection is kept for the next request: less than the five seconds after which
/// many servers hang up.
const KEPT: Duration = Duration::from_secs(4);
/// For how long a connection is held open unused, and counts as seen alive.
const ALIVE: Duration = Duration::from_secs(1);

/// A connection to the upstream, with nothing under way.
#[derive(Debug)]
pub(super) struct Connection {
    sender: SendRequest<Sent>,
    /// When it was opened, or the last answer was over.
    since: Instant,
    is_unused: bool,
}

impl Connection {
    /// Opens a connection, whose answers' heads are so many bytes at most.
    pub(super) async fn open(
        mut connector: HttpConnector,
        origin: Uri,
        max_head: usize,
    ) -> Result<Self, BoxError> {
        let io = connector.call(origin).await?;
        let (sender, connection) = Builder::new().max_buf_size(max_head).handshake(io).await?;
        tokio::spawn(async move {
            if let Err(error) = connection.with_upgrades().await {
                tracing::debug!(%error, "a connection to the upstream ended");
            }
        });
        Ok(Self { sender, since: Instant::now(), is_unused: true })
    }

    /// Sends a request; one of which nothing was sent comes back with the error.
    #[allow(clippy::result_large_err, reason = "as hyper has it")]
    pub(super) async fn send(
        mut self,
        request: Request<Sent>,
    ) -> Result<(Response<Incoming>, Self), TrySendError<Request<Sent>>> {
        let answer = self.sender.try_send_request(request).await?;
        Ok((answer, self))
    }

    /// The connection once its answer is over; `None` where it is closed then.
    pub(super) async fn free(mut self) -> Option<Self> {
        self.sender.ready().await.ok()?;
        Some(Self { since: Instant::now(), is_unused: false, ..self })
    }

    /// Whether it may be used, as far as is known here.
    pub(super) fn is_good(&self) -> bool {
        let time = if self.is_unused { ALIVE } else { KEPT };
        !self.sender.is_closed() && self.since.elapsed() < time
    }

    pub(super) const fn is_unused(&self) -> bool {
        self.is_unused
    }
}
