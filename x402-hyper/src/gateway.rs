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
(`X-Original-URL`, `X-HTTP-Method-Override`, …); names with an underscore, which some servers cannot
tell from those with a hyphen; and, in a paid request, `Range` and the `If-…` fields: what is paid for
is the whole answer.

There are tunnels (WebSockets, by `Upgrade`) where time is sold, and they end with it. Elsewhere an offer
of another protocol is passed over, and refused with 501 before it is charged.

What an upstream's answer says of payments (`X-Payment-*`, `PAYMENT-*`, `Settlement-Overrides`) is
dropped. An upstream that cannot be reached is a 502, one that is late a 504; in both cases, and where
it answers with another 5xx or breaks off, a payment is good for the same request again.

What it says of CORS is replaced where the request had a price ([`Cors`]).

# Limits

They are [`GatewayOptions`]. A connection that sends no whole head in time, idle ones among them, is
closed; so is one whose body comes at a drip, or whose client does not read. Beyond the limit of
connections, others wait to be accepted.
*/

mod fields;
mod frames;
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
mod timed;
mod tokens;
mod tunnel;

use core::fmt;
use core::time::Duration;
use std::sync::Arc;

use tokio::sync::watch;
use tower_layer::Layer as _;
use x402_std::Seller;
use x402_std::config::{Config, Upstream};
use x402_std::quote::TokenKeys;

use crate::server::{Cors, PaymentLayer, PaymentService};
use proxy::Proxy;
use timed::Pace;

pub use prices::Prices;
pub use router::Router;

/// A reverse proxy that sells what is behind it.
///
/// See the [module](self).
pub struct Gateway {
    layer: PaymentLayer,
    service: PaymentService<Proxy>,
    prices: Prices,
    options: GatewayOptions,
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
    /// How many connections are open at once; others wait to be accepted.
    pub max_connections: usize,
    /// How long the head of a request may be, in bytes.
    pub max_head: usize,
    /// How long a request's body may keep the gateway waiting for every KiB.
    pub request_patience: Duration,
    /// How long requests that are under way may take when the gateway is to end.
    pub shutdown_timeout: Duration,
    /// How long the upstream may say nothing in the middle of an answer.
    pub upstream_idle: Duration,
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
        Self {
            answer_timeout: Duration::from_secs(120),
            connect_timeout: Duration::from_secs(5),
            credit_expires: None,
            head_timeout: Duration::from_secs(10),
            keep_answers_up_to: 1 << 20,
            max_connections: 1024,
            max_head: 64 << 10,
            request_patience: Duration::from_secs(20),
            shutdown_timeout: Duration::from_secs(30),
            upstream_idle: Duration::from_secs(120),
            write_timeout: Duration::from_secs(25),
        }
    }
}

impl GatewayOptions {
    const fn request_pace(&self) -> Pace {
        Pace { bytes: 1 << 10, time: self.request_patience }
    }

    const fn answer_pace(&self) -> Pace {
        Pace { bytes: 1, time: self.upstream_idle }
    }
}

impl Gateway {
    /// The gateway of a configuration, with the usual options, that is paid through `seller`.
    ///
    /// # Errors
    ///
    /// [`GatewayError::Upstream`] where that is no host and path; [`GatewayError::Settler`] as
    /// [`Router::of_seller`].
    pub fn new(config: &Config, seller: Arc<Seller>) -> Result<Self, GatewayError> {
        let router = Router::of_seller(config, &seller)?;
        let credit_expires = config.credit_expires;
        let options = GatewayOptions { credit_expires, ..GatewayOptions::default() };
        let gateway = Self::with(router, &config.upstream, seller, options)?;
        Ok(gateway.cors(Cors::from_config(config.cors.as_ref())))
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
        let layer = PaymentLayer::new(seller, prices.clone());
        let mut layer = layer.keep_answers_up_to(options.keep_answers_up_to);
        if let Some(time) = options.credit_expires {
            layer = layer.credit_names_for(time);
        }
        Ok(Self { service: layer.layer(proxy), layer, prices, options, stop })
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
