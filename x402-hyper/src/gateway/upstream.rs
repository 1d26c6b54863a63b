//! The way to the upstream: which connection a request goes out on, and when it goes out again.
//!
//! A server may hang up on a connection that it has just answered on, and does not say so in time. So what can
//! be done twice ([RFC 9110, 9.2.2](https://www.rfc-editor.org/rfc/rfc9110#section-9.2.2)) goes out on a
//! connection that was kept, and once more on a new one if that fails; everything else goes out on one that was
//! opened for it, or a moment ago and for nothing yet.

mod connection;
mod stock;

use core::pin::pin;
use core::time::Duration;
use std::sync::Arc;

use http::header::{CONNECTION, UPGRADE};
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, Uri};
use http_body::Body as _;
use http_body_util::{Either, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::TrySendError;
use hyper_util::client::legacy::connect::HttpConnector;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use x402_std::config::Keepalive;

use super::GatewayOptions;
use super::fit::is_framed;
use super::lent::Lent;
use super::trailers::Trailers;
use crate::idempotency;
use crate::listener::{LEAST_BUFFER, Timed};
use crate::server::{BoxError, RequestBody};
use connection::Connection;
use stock::{MAX_UNUSED, Stock};

/// After how long an upstream may be one that waits for another connection.
const LONG: Duration = Duration::from_millis(200);

/// The body of a request on its way to the upstream.
pub(super) type Outgoing = RequestBody<ClientBody>;
/// The body of a request, as it comes from the client.
pub(super) type ClientBody = Lent<Trailers<Timed<Incoming>>>;
/// As it is sent: one that is empty is made anew for each time.
type Sent = Either<Outgoing, Empty<Bytes>>;

/// Connections to the upstream.
#[derive(Clone)]
pub(super) struct Connections {
    connector: HttpConnector,
    /// The upstream's scheme and authority.
    origin: Uri,
    keepalive: Keepalive,
    /// How long the head of an answer may be, in bytes.
    max_head: usize,
    stock: Arc<Stock>,
    /// How many more may be opened ahead at a time.
    ahead: Arc<Semaphore>,
}

/// That the upstream heeds `Idempotency-Key` in this request: in its extensions.
#[derive(Clone, Copy)]
pub(super) struct HeedsKeys;

impl Connections {
    pub(super) fn new(origin: Uri, keepalive: Keepalive, options: &GatewayOptions) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(options.connect_timeout));
        connector.set_nodelay(true);
        let ahead = Arc::new(Semaphore::new(MAX_UNUSED));
        let (stock, max_head) = (Arc::default(), options.max_answer_head.max(LEAST_BUFFER));
        Self { connector, origin, keepalive, max_head, stock, ahead }
    }

    /// Whether a connection was opened just now, or can be: it is there for the next request. One that was used
    /// says nothing of that: a server that is ending may keep it, and take no other.
    pub(super) async fn ready(&self) -> Result<(), BoxError> {
        if !self.stock.has_unused() {
            self.stock.put(self.open().await?);
        }
        Ok(())
    }

    /// Sends a request, in the form that the upstream is to see, and returns the answer.
    pub(super) async fn send(
        &self,
        request: Request<Outgoing>,
    ) -> Result<Response<Incoming>, BoxError> {
        let (mut head, body) = request.into_parts();
        let is_repeatable = is_repeatable(&head);
        if body.is_end_stream() {
            drop(body);
            let again = is_repeatable.then(|| head.clone());
            return self.send_out(Request::from_parts(head, nothing()), again, true).await;
        }
        // An upstream that has not read the body would take it for the next request.
        let is_kept = self.keepalive == Keepalive::Always;
        if !is_kept && !head.headers.contains_key(UPGRADE) {
            head.headers.append(CONNECTION, HeaderValue::from_static("close"));
        }
        self.send_out(Request::from_parts(head, Either::Left(body)), None, is_kept).await
    }

    /// Sends a request, and once more what may be sent `again`, or of which nothing was sent.
    async fn send_out(
        &self,
        mut request: Request<Sent>,
        again: Option<Parts>,
        is_kept: bool,
    ) -> Result<Response<Incoming>, BoxError> {
        let is_repeatable = again.is_some();
        let found = if is_repeatable { self.stock.any() } else { self.stock.unused() };
        if let Some(connection) = found {
            if !is_repeatable {
                self.open_ahead();
            }
            let mut error = match self.ask(connection, request).await {
                Ok((answer, connection)) => return Ok(self.answered(answer, connection, is_kept)),
                Err(error) => error,
            };
            let unsent = error.take_message();
            let repeated = again.map(|head| Request::from_parts(head, nothing()));
            let error = error.into_error();
            let Some(left) = unsent.or(repeated) else { return Err(error.into()) };
            tracing::debug!(%error, "sent again, on a new connection");
            request = left;
        }
        let connection = self.open().await?;
        if !is_repeatable {
            self.open_ahead();
        }
        let answered = self.ask(connection, request).await;
        let (answer, connection) = answered.map_err(|error| error.into_error())?;
        Ok(self.answered(answer, connection, is_kept))
    }

    /// Sends a request on this connection. Where the answer takes long, those that nobody uses are closed: an
    /// upstream that serves one connection at a time may be waiting for them.
    #[allow(clippy::result_large_err, reason = "as hyper has it")]
    async fn ask(
        &self,
        connection: Connection,
        request: Request<Sent>,
    ) -> Result<(Response<Incoming>, Connection), TrySendError<Request<Sent>>> {
        let mut answer = pin!(connection.send(request));
        match timeout(LONG, answer.as_mut()).await {
            Ok(answer) => answer,
            Err(_) => {
                self.stock.clear();
                answer.await
            }
        }
    }

    /// Puts the connection of an answer aside once that is over, where it is clear when that is.
    fn answered(
        &self,
        answer: Response<Incoming>,
        connection: Connection,
        is_kept: bool,
    ) -> Response<Incoming> {
        if is_kept && is_framed(answer.headers()) {
            let stock = Arc::clone(&self.stock);
            tokio::spawn(async move {
                if let Some(connection) = connection.free().await {
                    stock.put(connection);
                }
            });
        }
        answer
    }

    /// Opens a connection for the next request that needs a new one.
    fn open_ahead(&self) {
        let permit = Arc::clone(&self.ahead).try_acquire_owned();
        let Some(permit) = permit.ok().filter(|_| !self.stock.has_enough()) else { return };
        let this = self.clone();
        tokio::spawn(async move {
            match this.open().await {
                Ok(connection) => this.stock.put(connection),
                Err(error) => tracing::debug!(%error, "no connection ahead"),
            }
            drop(permit);
        });
    }

    async fn open(&self) -> Result<Connection, BoxError> {
        Connection::open(self.connector.clone(), self.origin.clone(), self.max_head).await
    }
}

/// Whether it is the same for the upstream if a request comes twice.
fn is_repeatable(head: &Parts) -> bool {
    is_idempotent(&head.method)
        || head.extensions.get::<HeedsKeys>().is_some()
            && head.headers.contains_key(idempotency::NAME)
}

/// Whether a method says so.
fn is_idempotent(method: &Method) -> bool {
    let methods = [Method::GET, Method::HEAD, Method::OPTIONS, Method::PUT, Method::DELETE];
    methods.contains(method)
}

const fn nothing() -> Sent {
    Either::Right(Empty::new())
}
