/*!
The buyer: an HTTP client that pays, within limits, and never twice for one request.

[`PayingClient::send`] sends a request unpaid. Where the answer is a 402, of x402 v1 or v2 or of the
header dialect, it reads the terms, holds them against the buyer's [`Limits`], takes the cheapest
that they admit, signs with a fresh random nonce, and repeats the request with the payment in its
header fields.
[`QuotingClient::quote`] stops after the terms: it has no key and cannot pay.

```no_run
use bytes::Bytes;
use x402_core::{Price, Signer};
use x402_hyper::client::{Limits, PayingClient};

# async fn example<S>(signer: S) -> Result<(), Box<dyn core::error::Error>>
# where
#     S: Signer<Error: core::error::Error + Send + Sync + 'static> + Send + Sync + 'static,
# {
let limits = Limits::up_to(Price::parse("0.05")?);
let client = PayingClient::builder(signer, limits).build()?;
let request = http::Request::post("http://127.0.0.1:4021/api/analyze");
let answer = client.send(request.body(Bytes::from("some words"))?).await?;
if let Some(payment) = &answer.payment {
    println!("{} {} to {}", payment.price(), payment.asset.symbol, payment.recipient);
}
# Ok(())
# }
```

# One payment per call

A call of [`PayingClient::send`] makes at most one signature. Once the signed request has left, what
goes wrong is answered by sending the same bytes again, a bounded number of times: where the seller
says that the outcome is not known yet or the answer is being made, and where the connection breaks.
A seller of this project takes such a repetition for what it is and charges nothing more. If there
still is no answer, the error has the [`Payment`], and [`PayingClient::resume`] goes on with it;
signing anew could pay twice.

# Redirects

A redirect of the unpaid request is followed within its origin. A payment is only ever sent to the
origin that asked for it, and a redirect that answers it is handed to the caller as it is.

# What this client does not do

It does not ask the chain: that a payment is [`Status::Settled`] is the seller's word, with a
transaction that anybody can look up.

# What an answer is taken for

An answer with a receipt that fits was paid for, whatever its status is, 402 included: it is an [`Answer`],
and where it is no good the same payment claims the work again. Without one, a 402 is a refusal
([`ClientError::Refused`]) only for a reason by which the money cannot have moved, of a list: the payment is
unfit, or the payer lacks the balance, say. Every other text leaves it open, and so does a reason of the
moment where an earlier answer to the same payment was lost: then it is [`ClientError::Unresolved`], which is
resumed and not paid again.

# Limits over many payments

[`Limits`] are for one payment. A [`Budget`] counts, in a file, what is signed for a host and in a day.
*/

mod attach;
mod budget;
mod builder;
mod choose;
mod error;
mod fetch;
mod judge;
mod node;
mod payment;
mod redirect;
mod sign;
mod terms;

use core::fmt;
use core::time::Duration;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use x402_core::buyer::{Policy, Unsigned};
use x402_core::headers::Field;
use x402_core::{Address, ChainId, Price, Signer};
use x402_std::config::OwnedAsset;

pub use budget::{Budget, BudgetError};
pub use builder::Builder;
pub use error::{ClientError, FetchError, Foreign, Refused, Unresolved};
pub use payment::{LoadError, Payment, Status};
pub use terms::{Dialect, Terms};

use fetch::Fetch;
use judge::Verdict;
use node::NodeUrl;
use sign::AnySigner;

/// What a buyer is willing to pay. There are no limits without a maximum.
#[derive(Clone, Debug)]
pub struct Limits {
    /// The most that one payment may be, in units of the asset: `0.05`.
    pub max: Price,
    /// The longest validity that is signed, in seconds; who asks for more gets this.
    pub max_timeout_seconds: u32,
    /// The only recipient that is paid.
    pub recipient: Option<Address>,
    /// The only assets that are paid with, by symbol or address, the dearest to the buyer first;
    /// empty for all that are known.
    pub assets: Vec<String>,
    /// The only network that is paid on.
    pub network: Option<ChainId>,
    /// The only dialect that is paid in.
    pub dialect: Option<Dialect>,
    /// Whether permits are signed, for `exact` by Permit2 and for `upto`: they work only where the
    /// payer has approved Permit2 for the token.
    pub permit2: bool,
}

impl Limits {
    /// Anything up to `max`, in units of whichever asset is asked for.
    #[must_use]
    pub const fn up_to(max: Price) -> Self {
        let max_timeout_seconds = Policy::DEFAULT_MAX_TIMEOUT_SECONDS;
        let assets = Vec::new();
        Self {
            max,
            max_timeout_seconds,
            recipient: None,
            assets,
            network: None,
            dialect: None,
            permit2: false,
        }
    }

    fn policy(&self) -> Policy<'_> {
        Policy {
            max: self.max,
            max_timeout_seconds: self.max_timeout_seconds,
            recipient: self.recipient,
            asset: None,
            network: self.network,
        }
    }
}

/// How requests are sent, and for how long answers are waited for.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct HttpOptions {
    /// How long one request may take, from the connection to the last byte of the answer.
    pub request_timeout: Duration,
    /// How long a connection may take.
    pub connect_timeout: Duration,
    /// How long an answer's body may be, in bytes.
    pub body_limit: usize,
    /// How many redirects of an unpaid request are followed, within its origin.
    pub redirects: u32,
    /// How often a paid request is sent at most, always with the same payment.
    pub tries: u32,
    /// For how long, from the first that failed, a paid request is sent again.
    pub retry_for: Duration,
    /// Tokens that may be asked for beside those of the core's table, which goes first.
    pub known_assets: Vec<OwnedAsset>,
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self {
            request_timeout: Duration::from_secs(60),
            connect_timeout: Duration::from_secs(10),
            body_limit: 16 << 20,
            redirects: 5,
            tries: 5,
            retry_for: Duration::from_secs(30),
            known_assets: Vec::new(),
        }
    }
}

/// What came back, and what was paid for it.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The answer, whatever its status is.
    pub response: Response<Bytes>,
    /// The payment; `None` where none was asked for.
    pub payment: Option<Payment>,
}

/// What a request would cost.
#[derive(Clone, Debug)]
pub struct Quote {
    /// The answer to the unpaid request.
    pub response: Response<Bytes>,
    /// Every way to pay that can be taken, v2's first; empty where the answer is no 402.
    pub offers: Vec<Terms>,
}

impl Quote {
    /// The first of the ways to pay.
    #[must_use]
    pub fn terms(&self) -> Option<&Terms> {
        self.offers.first()
    }
}

/// What happens on the way, for whoever wants to show or to record it.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// The seller asks for a payment.
    Asked(&'a Terms),
    /// The authorization is signed, and is sent next: from here on money may move.
    Signed(&'a Payment),
    /// There is no answer yet; the same payment is sent again after a pause.
    Waiting {
        /// How long the pause is.
        pause: Duration,
        /// Why there is no answer.
        why: &'a str,
    },
}

/// A client that asks for prices and has no key to pay them with. Clones share connections.
#[derive(Clone)]
pub struct QuotingClient {
    fetch: Arc<Fetch>,
}

impl fmt::Debug for QuotingClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QuotingClient").finish_non_exhaustive()
    }
}

impl QuotingClient {
    /// A client with these options.
    ///
    /// # Errors
    ///
    /// [`ClientError::Tls`] where TLS cannot be set up.
    pub fn new(options: HttpOptions) -> Result<Self, ClientError> {
        let fetch = Fetch::new(options).ok_or(ClientError::Tls)?;
        Ok(Self { fetch: Arc::new(fetch) })
    }

    /// Sends the request unpaid, and reads the terms where the answer is a 402.
    ///
    /// # Errors
    ///
    /// [`ClientError`]; nothing was paid in any case.
    pub async fn quote(&self, request: Request<Bytes>) -> Result<Quote, ClientError> {
        self.ask(request).await.map(|(quote, _)| quote)
    }

    /// As [`Self::quote`], with the request as it was sent after redirects.
    async fn ask(&self, request: Request<Bytes>) -> Result<(Quote, Request<Bytes>), ClientError> {
        fetch::check(&request)?;
        let (response, request) = self.fetch.follow(request).await?;
        let offers = match response.status() {
            StatusCode::PAYMENT_REQUIRED => {
                Terms::read(&response, &self.fetch.options.known_assets)?
            }
            _ => Vec::new(),
        };
        Ok((Quote { response, offers }, request))
    }
}

/// A client that pays. Clones share the key and the connections.
#[derive(Clone)]
pub struct PayingClient {
    quoting: QuotingClient,
    signer: Arc<dyn AnySigner>,
    limits: Arc<Limits>,
    budget: Option<Arc<Budget>>,
    keep: Option<Arc<Keep>>,
}

/// What keeps a payment before it is sent.
type Keep = dyn Fn(&Payment) -> io::Result<()> + Send + Sync;

impl fmt::Debug for PayingClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PayingClient")
            .field("payer", &self.signer.payer())
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

impl PayingClient {
    /// Begins a client that pays with `signer`, within `limits`.
    pub fn builder<S>(signer: S, limits: Limits) -> Builder
    where
        S: Signer<Error: core::error::Error + Send + Sync + 'static> + Send + Sync + 'static,
    {
        Builder::new(Arc::new(signer), limits)
    }

    /// Who pays.
    #[must_use]
    pub fn payer(&self) -> Address {
        self.signer.payer()
    }

    /// Sends the request unpaid and reads the terms; never signs.
    ///
    /// # Errors
    ///
    /// As [`QuotingClient::quote`].
    pub async fn quote(&self, request: Request<Bytes>) -> Result<Quote, ClientError> {
        self.quoting.quote(request).await
    }

    /// Sends the request, and pays for it where that is asked for and the limits allow it.
    ///
    /// # Errors
    ///
    /// [`ClientError`]. Where it has a [payment](ClientError::payment), money may have moved:
    /// [`Self::resume`] with that, do not send anew.
    pub async fn send(&self, request: Request<Bytes>) -> Result<Answer, ClientError> {
        self.send_watched(request, &mut |_| ()).await
    }

    /// As [`Self::send`], and tells `watch` of each step before it is taken.
    ///
    /// # Errors
    ///
    /// As [`Self::send`].
    pub async fn send_watched(
        &self,
        request: Request<Bytes>,
        watch: &mut (dyn FnMut(Event<'_>) + Send),
    ) -> Result<Answer, ClientError> {
        let (Quote { response, offers }, request) = self.quoting.ask(request).await?;
        if offers.is_empty() {
            return Ok(Answer { response, payment: None });
        }
        let payer = self.payer();
        let terms = choose::choose(&self.limits, payer, &offers)?;
        watch(Event::Asked(terms));
        let unsigned = sign::prepare(payer, &self.limits.policy(), terms)?;
        let noted = self.note(&request, terms, &unsigned).await?;
        let payment = match sign::sign(&*self.signer, unsigned, terms, &request) {
            Ok(payment) => payment,
            Err(error) => {
                if let Some(noted) = noted {
                    noted.withdraw();
                }
                return Err(error);
            }
        };
        // From here on the payment counts, whatever is answered: see the budget.
        if let Some(keep) = &self.keep {
            keep(&payment).map_err(ClientError::Unkept)?;
        }
        watch(Event::Signed(&payment));
        self.quoting.fetch.repeat(&request, payment, false, watch).await
    }

    /// Notes a payment in the budget, before it is signed. It waits for the disk: a few
    /// milliseconds, which a payment that moves money over a network does not feel.
    async fn note(
        &self,
        request: &Request<Bytes>,
        terms: &Terms,
        unsigned: &Unsigned,
    ) -> Result<Option<budget::Noted<'_>>, ClientError> {
        let Some(budget) = &self.budget else { return Ok(None) };
        let host = request.uri().authority().map_or("", http::uri::Authority::as_str);
        let now = sign::now()?;
        let note = || budget.note(host, terms, unsigned.transfer(), now);
        let mut noted = note();
        let is_full = matches!(noted, Err(BudgetError::Day(_) | BudgetError::Host(_)));
        if let (true, Some(node)) = (is_full, budget.node())
            && self.free(budget, node, terms, now).await
        {
            noted = note();
        }
        noted
            .map(Some)
            .map_err(|error| ClientError::Budget { error, terms: Box::new(terms.clone()) })
    }

    /// Asks the node what became of payments that have run out. Says whether some were not used.
    async fn free(&self, budget: &Budget, node: &NodeUrl, terms: &Terms, now: u64) -> bool {
        let Ok(payments) = budget.run_out(terms, now) else { return false };
        if payments.is_empty() {
            return false;
        }
        let ends = node::ends(&self.quoting.fetch, node, terms.asset.chain_id, &payments).await;
        let Some((ends, time)) = ends else { return false };
        budget.end(&ends, time).is_ok() && !ends.is_empty()
    }

    /// Goes on with a payment that was sent, and whose outcome is not known: the same payment for
    /// the same request. Nothing is signed.
    ///
    /// # Errors
    ///
    /// [`ClientError::Request`] where the payment was signed for another request: another method, URL or
    /// body, or other header fields but `User-Agent` ([`Payment::differs_from`]); else as [`Self::send`].
    pub async fn resume(
        &self,
        request: Request<Bytes>,
        payment: Payment,
    ) -> Result<Answer, ClientError> {
        self.quoting.resume(request, payment, &mut |_| ()).await
    }
}

impl QuotingClient {
    /// As [`PayingClient::resume`], which needs no key either.
    ///
    /// # Errors
    ///
    /// As [`PayingClient::resume`].
    pub async fn resume(
        &self,
        request: Request<Bytes>,
        payment: Payment,
        watch: &mut (dyn FnMut(Event<'_>) + Send),
    ) -> Result<Answer, ClientError> {
        fetch::check(&request)?;
        if payment.differs_from(&request).is_some() {
            return Err(ClientError::Request("the payment was signed for another request"));
        }
        self.fetch.repeat(&request, payment, true, watch).await
    }
}

/// Whether a header field belongs to the payment of a request.
fn is_payment_field(name: &http::HeaderName) -> bool {
    let fields = Field::OF_REQUEST.iter().map(|field| field.name());
    let mut fields = fields.chain([V1_PAYMENT, V2_PAYMENT, QUOTE]);
    fields.any(|field| field.eq_ignore_ascii_case(name.as_str()))
}

/// The fields of a payment in v1 and v2.
const V1_PAYMENT: &str = "x-payment";
const V2_PAYMENT: &str = "payment-signature";
/// What a seller has signed of its price, in the header dialect: it goes back with the payment.
const QUOTE: &str = "x-payment-quote";

#[cfg(test)]
mod tests;
