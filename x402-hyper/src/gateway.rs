/*!
The seller's reverse proxy: puts a price before a server that knows nothing of payments.

```no_run
use tokio::net::TcpListener;
use x402_hyper::gateway::Gateway;
use x402_std::Seller;
use x402_std::config::Config;

# async fn serve(
#     config: Config,
#     seller: std::sync::Arc<Seller>,
# ) -> Result<(), Box<dyn std::error::Error>> {
let gateway = Gateway::new(&config, seller)?;
let listener = TcpListener::bind(config.listen).await?;
let interrupted = std::future::pending();
gateway.serve(listener, interrupted).await;
# Ok(())
# }
```

# What is free, what is sold, what is not there

One [`Router`] says what a request costs *and* whether it is passed on, so that no request is priced
as one thing and served as another. The first route whose path matches decides; `HEAD` is as `GET`; a
method that the route does not list is answered with 405. A path is taken as it is written: one that
some server might read as another path (`//`, `/../`, `%2F`, `%61`, `;` …) is answered with 404, paid
or not, and so is, where a catch-all would make it free, one that differs from a paid path in nothing
but case, escapes, or a slash at its end. The query has no part in it.

# What the upstream sees

Requests in HTTP/1.1, streamed, with the path and the query as they were sent, below the upstream's
base path, and

| field | |
|---|---|
| `Host` | the upstream's |
| `X-Payer` | who has paid for this request, in EIP-55 form; absent where nobody has |
| `X-Forwarded-For` | the address the request came from, and nothing that the client says of itself |
| `X-Forwarded-Host`, `X-Forwarded-Proto` | the host the client named; `http` |

What the client, or a proxy before the gateway, says in `X-Forwarded-Proto` and `X-Forwarded-For` is looked at for one
thing: whether the name of a balance may be taken and told, which others could read ([`Peer`](crate::server::Peer)).

It does not see the fields of the connection and those that `Connection` names; those of the payment;
`Expect`; fields by which a client would have it serve another path, or another method
(`X-Original-URL`, `X-HTTP-Method-Override`, …); and names with an underscore, which some servers cannot
tell from those with a hyphen.

`Range` and the `If-…` fields are passed on. A payment with them is one for that part, or that condition, and no
other. A 304 to a condition costs nothing where the money moves after the work, and says so; where it has moved it
says that. `HEAD` of what is sold is answered with the head of its 402, and costs nothing.

Trailers are passed on both ways, as far as `Trailer` announces them, an answer's to clients that say `TE: trailers`,
and a request's without what the upstream is told by the gateway alone. An answer that is given again has none.
Informational answers (103) are not passed on: hyper's server has no way to send one. `100 Continue` is the
gateway's own.

There are tunnels (WebSockets, by `Upgrade`) where time is sold, and they end with it. Elsewhere an offer
of another protocol is passed over, and refused with 501 before it is charged.

What an upstream's answer says of payments (`X-Payment-*`, `PAYMENT-*`, `Settlement-Overrides`) is
dropped. An answer to a paid request that is less than was asked for is a 502: 304 without a condition, 206 without a
`Range`; and so is, paid or not, one with two lengths, with a coding beside `chunked`, or of a protocol that nobody has
asked for. Where the money moves after the work one that breaks off is a 502, too. An upstream that cannot be reached is a 502, before a payment is taken; one that hangs up is a 502, one
that is late a 504; in both cases, and where it answers with another 5xx or breaks off, a payment is good for the
same request again.

# Connections to the upstream

| a request | goes out |
|---|---|
| without a body, by an idempotent method ([RFC 9110, 9.2.2](https://www.rfc-editor.org/rfc/rfc9110#section-9.2.2)) | on a connection that was kept; once more, on a new one, if that fails before an answer |
| any other | once, on a connection that was opened for it, or a second ago at most and for nothing yet |
| of which nothing was written | again, on a new connection |
| with an `Idempotency-Key` and without a body, where the route says `idempotent: true` | as by an idempotent method |

While others than the first go out, as many connections are opened ahead, eight at most, and closed after a second.
Where an answer takes longer than 200 ms all that are not used are closed, for the upstream may serve one at a time.
A connection is closed after a request with a body, and says so to the upstream (`Connection: close`): what an
upstream leaves unread of a body it takes for the next request, and its answer for that of another client. One that
reads every body is told with `keepalive: always`.

What it says of CORS is replaced where the request had a price ([`Cors`]).

# Limits

They are [`GatewayOptions`], and for single routes [`RequestLimits`]. A connection that sends no whole head in
time, idle ones among them, is closed; so is one whose body comes at a drip, or whose client does not read. Beyond
the limit of connections those give way that wait for their clients ([`listener`](crate::listener)).
*/

mod fields;
mod fit;
mod frames;
mod host;
mod lent;
mod minutes;
mod path;
mod price;
mod prices;
mod proxy;
mod router;
mod sale;
mod serve;
#[cfg(test)]
mod tests;
mod tokens;
mod trailers;
mod tunnel;
mod upstream;

use core::fmt;
use core::time::Duration;
use std::sync::Arc;

use ipnet::IpNet;
use tokio::sync::watch;
use tower_layer::Layer as _;
use x402_std::Seller;
use x402_std::config::{Config, RequestLimits, Upstream};
use x402_std::quote::TokenKeys;

use crate::listener::ListenerOptions;
use crate::server::{Cors, PaymentLayer, PaymentService};
use proxy::Proxy;

pub use prices::Prices;
pub use router::Router;

/// How long a body may be that is compared with the one that was paid for, in bytes.
const COMPARED_BODY: u64 = 64 << 20;
/// How long paid work may go on whose client is gone, at least.
const FINISH_TIME: Duration = Duration::from_secs(300);

/// A reverse proxy that sells what is behind it.
///
/// See the [module](self).
pub struct Gateway {
    layer: PaymentLayer,
    service: PaymentService<Proxy>,
    prices: Prices,
    options: GatewayOptions,
    trusted_proxies: Vec<IpNet>,
    /// Tells the tunnels that the gateway ends.
    stop: watch::Sender<bool>,
}

/// What a gateway puts up with.
#[derive(Clone, Copy, Debug)]
pub struct GatewayOptions {
    /// How long the upstream may take to begin its answer, the sending of the request included.
    pub answer_timeout: Duration,
    /// How long a connection to the upstream may take.
    pub connect_timeout: Duration,
    /// For how long the name of a balance is good, from its making; `None` for as long as it is not replaced.
    pub credit_expires: Option<Duration>,
    /// How long a connection may take to send a request's head, and be idle.
    pub head_timeout: Duration,
    /// How many bytes of an answer are kept, to be given again.
    pub keep_answers_up_to: usize,
    /// How long the head of an answer of the upstream's may be, in bytes; 8 KiB at least. Twice as much waits in
    /// memory for a client who does not read.
    pub max_answer_head: usize,
    /// How long the body of a request may be, in bytes; `None` for any length.
    pub max_body: Option<u64>,
    /// How many connections are open at once, at most.
    pub max_connections: usize,
    /// How long the head of a request may be, in bytes.
    pub max_head: usize,
    /// How long a request's body may keep the gateway waiting for every KiB.
    pub request_patience: Duration,
    /// How long requests that are under way may take when the gateway is to end.
    pub shutdown_timeout: Duration,
    /// How long the upstream may say nothing in the middle of an answer.
    pub upstream_idle: Duration,
    /// How long a request's body may take altogether, where it is read before anything is done with it, or is
    /// compared with another.
    pub whole_body_time: Duration,
    /// How long a client may read nothing of what it is sent.
    pub write_timeout: Duration,
}

/// Why a gateway cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GatewayError {
    /// The upstream is no address.
    #[error("the upstream is no host and path: {0}")]
    Upstream(String),
    /// Buyers could sign a ceiling (`upto`), and it is not known for whom.
    #[error("a route has `upto: true`, and payments are settled by somebody else")]
    Settler,
}

impl Default for GatewayOptions {
    fn default() -> Self {
        let listener = ListenerOptions::default();
        Self {
            answer_timeout: RequestLimits::ANSWER_TIMEOUT,
            connect_timeout: Duration::from_secs(5),
            credit_expires: None,
            head_timeout: listener.head_time,
            keep_answers_up_to: 1 << 20,
            max_answer_head: 16 << 10,
            max_body: None,
            max_connections: listener.connections,
            max_head: listener.max_head,
            request_patience: listener.body_time,
            shutdown_timeout: Duration::from_secs(30),
            upstream_idle: Duration::from_secs(120),
            whole_body_time: Duration::from_secs(30),
            write_timeout: listener.write_time,
        }
    }
}

impl GatewayOptions {
    /// Those of a configuration; what it leaves out is as usual.
    #[must_use]
    pub fn of_config(config: &Config) -> Self {
        let (usual, request) = (Self::default(), config.limits.request);
        Self {
            answer_timeout: request.answer_timeout.unwrap_or(usual.answer_timeout),
            credit_expires: config.credit_expires,
            keep_answers_up_to: request.kept_answer.unwrap_or(usual.keep_answers_up_to),
            max_answer_head: config.limits.head.unwrap_or(usual.max_answer_head),
            max_body: request.body_limit.or(usual.max_body),
            max_connections: config.limits.seats.connections.unwrap_or(usual.max_connections),
            max_head: config.limits.head.unwrap_or(usual.max_head),
            request_patience: request.body_time.unwrap_or(usual.request_patience),
            upstream_idle: request.idle_timeout.unwrap_or(usual.upstream_idle),
            whole_body_time: request.body_time.unwrap_or(usual.whole_body_time),
            ..usual
        }
    }
}

impl Gateway {
    /// The gateway of a configuration that is paid through `seller`.
    ///
    /// # Errors
    ///
    /// [`GatewayError::Upstream`] where that is no host and path; [`GatewayError::Settler`] as
    /// [`Router::of_seller`].
    pub fn new(config: &Config, seller: Arc<Seller>) -> Result<Self, GatewayError> {
        let router = Router::of_seller(config, &seller)?;
        let options = GatewayOptions::of_config(config);
        let gateway = Self::with(router, &config.upstream, seller, options)?;
        let gateway = gateway.cors(Cors::from_config(config.cors.as_ref()));
        Ok(gateway.trusting(config.limits.seats.trusted_proxies.clone()))
    }

    /// A gateway before `upstream`, with `router`'s prices.
    ///
    /// # Errors
    ///
    /// [`GatewayError::Upstream`] where that is no host and path.
    pub fn with(
        router: Router,
        upstream: &Upstream,
        seller: Arc<Seller>,
        options: GatewayOptions,
    ) -> Result<Self, GatewayError> {
        let stop = watch::Sender::new(false);
        let proxy = Proxy::new(upstream, options, stop.subscribe())?;
        let prices = Prices::new(router);
        let layer = PaymentLayer::new(seller, prices.clone()).ready_by(proxy.clone());
        let mut layer = layer
            .keep_answers_up_to(options.keep_answers_up_to)
            .hash_bodies_up_to(COMPARED_BODY, options.whole_body_time)
            .finish_within(options.answer_timeout.max(FINISH_TIME));
        if let Some(time) = options.credit_expires {
            layer = layer.credit_names_for(time);
        }
        let trusted_proxies = Vec::new();
        Ok(Self { service: layer.layer(proxy), layer, prices, options, trusted_proxies, stop })
    }

    /// Lets these have any number of connections: proxies, behind which there are many clients.
    #[must_use]
    pub fn trusting(self, trusted_proxies: Vec<IpNet>) -> Self {
        Self { trusted_proxies, ..self }
    }

    /// Signs quotes, passes and the names of balances with these keys
    /// ([`PaymentLayer::signing`](crate::server::PaymentLayer::signing)).
    #[must_use]
    pub fn signing(self, keys: TokenKeys) -> Self {
        let layer = self.layer.signing(keys);
        Self { service: layer.layer(self.service.into_inner()), layer, ..self }
    }

    /// Tells browsers whose pages may buy here (everybody's).
    #[must_use]
    pub fn cors(self, cors: Cors) -> Self {
        let layer = self.layer.cors(cors);
        Self { service: layer.layer(self.service.into_inner()), layer, ..self }
    }

    /// The prices, to be replaced while the gateway serves.
    #[must_use]
    pub fn prices(&self) -> Prices {
        self.prices.clone()
    }
}

impl fmt::Debug for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gateway").field("options", &self.options).finish_non_exhaustive()
    }
}
