/*!
The seller's half: a layer that puts a price before a service.

```
use std::convert::Infallible;

use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response};
use http_body_util::Full;
use tower::{ServiceExt, service_fn};
use tower_layer::Layer;
use x402_core::{Address, Amount, Asset, ChainId, Offer};
use x402_hyper::server::{Paid, PaymentLayer, Quote, RequestBody};
use x402_std::ledger::MemoryLedger;
use x402_std::seller::{Seller, SellerOptions};
# use std::sync::Arc;
# use x402_core::Claimed;
# use x402_std::chain::{Call, Chain, ChainError, Journal, Outcome, Sent, Transaction, TxHash, Usage};
# use x402_std::BoxFuture;
# struct Node;
# fn down<T: Send>() -> BoxFuture<'static, Result<T, ChainError>> {
#     Box::pin(async { Err(ChainError::Unavailable("an example".into())) })
# }
# impl Chain for Node {
#     fn chain_id(&self) -> ChainId {
#         ChainId::ETHEREUM
#     }
#     fn account(&self) -> Address {
#         Address::ZERO
#     }
#     fn has_code(&self, _: Address) -> BoxFuture<'_, Result<bool, ChainError>> {
#         down()
#     }
#     fn simulate<'a>(&'a self, _: &'a Call) -> BoxFuture<'a, Result<(), ChainError>> {
#         down()
#     }
#     fn broadcast<'a>(
#         &'a self,
#         _: &'a Call,
#         _: &'a dyn Journal,
#     ) -> BoxFuture<'a, Result<TxHash, ChainError>> {
#         down()
#     }
#     fn rebroadcast<'a>(
#         &'a self,
#         _: &'a Call,
#         _: &'a Transaction,
#         _: &'a dyn Journal,
#     ) -> BoxFuture<'a, Result<TxHash, ChainError>> {
#         down()
#     }
#     fn outcome<'a>(
#         &'a self,
#         _: &'a Claimed,
#         _: Sent<'a>,
#     ) -> BoxFuture<'a, Result<Outcome, ChainError>> {
#         down()
#     }
#     fn find<'a>(
#         &'a self,
#         _: &'a Claimed,
#         _: u64,
#         _: &'a [(TxHash, u32)],
#     ) -> BoxFuture<'a, Result<Usage, ChainError>> {
#         down()
#     }
# }

async fn joke(request: Request<RequestBody<Full<Bytes>>>) -> Result<Response<String>, Infallible> {
    // Paid for, or nobody would be here.
    let paid = request.extensions().get::<Paid>();
    let payer = paid.map_or("nobody".to_owned(), |paid| paid.payer.to_string());
    Ok(Response::new(format!("402 bottles of beer on the wall, {payer}")))
}

# #[tokio::main(flavor = "current_thread")]
# async fn main() -> Result<(), Box<dyn std::error::Error>> {
# let chain = Node;
let seller =
    Seller::new(Arc::new(MemoryLedger::new()), Arc::new(chain), SellerOptions::default());
let usdc = Asset::find(ChainId::ETHEREUM, "USDC").ok_or("no such asset")?;
let pay_to = Address::parse("0x209693Bc6afc0C5328bA36FaF03C514EF312287C")?;
let cent = Offer::new(*usdc, pay_to, Amount::from_units(10_000), 60);
let layer = PaymentLayer::new(seller, move |request: &Parts| match request.uri.path() {
    "/health" => Quote::Free,
    "/joke" => cent.into(),
    _ => Quote::Absent,
});
let service = layer.layer(service_fn(joke));

let request = Request::get("/joke").body(Full::default())?;
let answer = service.oneshot(request).await?;
assert_eq!(answer.status(), 402);
assert_eq!(answer.headers()["x-payment-amount"], "0.01");
# Ok(())
# }
```

A [`PaymentService`] is a tower service where the inner one is, and a hyper service where the inner
one is; `Error` is the inner one's. It needs a tokio runtime.

# A request's way

[`Pricing`] is asked for a [`Quote`] by the request's head. A free request is passed on, and its
answer passed back, as they are: no allocation, no buffering. One without a payment for what has a
price is answered with 402 and the terms (`HEAD` with the head of that, whatever it carries but a pass), before its body is read, unless the price depends on the body
([`Quote::ByBody`]). One with a payment goes to
[`Seller::admit`](x402_std::Seller::admit), where the inner service is [ready](PaymentLayer::ready_by), if it is
asked; once the money has arrived, the inner service is called,
with the payment in the request's extensions ([`Paid`]). The fields of the payment never get past the
layer, on free requests either.

Taking the payment, calling the inner service and reading its answer happen in a task of their own. The
answer's body goes to the client as it comes, and no faster than the client reads; a client who is
gone is not waited for. When the answer is complete it is kept, and only then its end is sent.

# When the money moves

By [`Sale::settle`]: before the work, as above; after it ([`Settle::After`](x402_std::ledger::Settle)),
and then the answer is held, up to what is kept, until the money has arrived; or later, together with
other payments, and then the answer goes to the client as it comes, and says `accepted`. In the last two
cases nothing is charged for an answer with a status of 304, or of 400 and above, or one that breaks off: they
say so, where the head is not gone already, in every dialect by `X-Payment-Status: not-charged` and no receipt.

A 402 of the inner service never gets past the layer, for buyers pay anew at every 402: what is paid for is
answered with 502 in its place, with the receipt where the money has moved, and the work is owed still; with
`not-charged` where it moves after the work.

# What is known in the end only

Offers may be ceilings ([`Sale::metering`]): what an answer costs is measured while it passes, by
[`Metering`], which also makes the request one whose answer can be measured.

* A payment by the scheme `exact` pays the ceiling. What is not used is credit, in the ledger; the answer
  names it, where the layer [signs](PaymentLayer::signing): `X-Payment-Credit`. A request with that field
  and a nonce (`X-Payment-Nonce`, as a payment has) is paid for out of it, and charged once for each nonce;
  `X-Payment-Balance` says what is left. A name ends when it is replaced
  ([`Seller::replace_names`](x402_std::Seller::replace_names)), by its payer too, who sends
  `X-Payment-Credit: new` with a [signature](x402_core::proof::CreditProof), or `signed` for draws that need
  one; and when it is too old ([`PaymentLayer::credit_names_for`]). Where others could read along ([`Peer`])
  it is neither taken nor told.
* By the scheme `upto` no more moves than was used.
* An answer that breaks off, or a stream whose client hangs up, costs what has passed.
* Where it is time that is sold ([`Period`]), the answer ends with it; a stream of events with an event
  `payment-required`. What was bought beforehand can be used up: `X-Payment-Pass` of the answer, sent with
  other requests for the same, is good until `X-Payment-Pass-Expires` (Unix seconds).

# Prices that change

A layer that [signs](PaymentLayer::signing) keeps to what it has said: the quote of a 402 — `extra.quote`
of an offer in v2, `X-Payment-Quote` in the header dialect — is good for this request (method, target,
body, and the fields that its price depends on: [`Pricing::fields`]), for the time of the offer and a minute
more, whatever the price is by then. Without it, and after that, the price is the present one.

# The same payment again

* The same request — method, path, query, body, `Range` and conditions (`If-…`) — is given the same answer, if it shows to come from the payer:
  by the `Idempotency-Key` that came with the payment, the `payment-identifier`, or `X-Payment-Proof`
  ([`Presented`](x402_std::seller::Presented)). Its bytes can be read on the chain, and show nothing once they
  were sent: else 409. The inner service is not called. A [`Sale`] may be given to whoever has the bytes
  ([`Sale::replay`]).
* Another request is answered with 409.
* While the answer is being made: 409 with `Retry-After`.
* Where the inner service failed (an error, a status of 500 and above, an answer or a request that
  broke off), the work is owed still: the same request has it done, and nothing is charged.
* An answer that was too large to be kept, or to a request too large to be compared, is given once.

| the layer's own answers | |
|---|---|
| 400 | the payment cannot be read; a body broke off; or the request cannot be priced |
| 402 | a price, and what was wrong with the payment that was sent, if one was |
| 403 | the name of a balance was replaced, is too old, came in the clear, or needs a signature |
| 404, 405 | [`Quote::Absent`], [`Quote::MethodNotAllowed`] |
| 409 | the payment was used, or is not shown to be the client's own |
| 413, 431 | a body to be compared, or a payment, is too large |
| 429 | transactions for this payer moved nothing, and the next has to wait; with `Retry-After` |
| 500 | the inner service panicked; the work is owed still |
| 502 | the answer broke off, or asks for a payment of its own; or the work [cannot be begun](Readiness) |
| 503 | the outcome of the payment is not known yet, or the chain cannot be reached; with `Retry-After` |

Their body is the JSON of [`Refusal`](x402_core::Refusal). Answers to paid requests tell the
transaction and the payer, and are made `private` to caches.

# In a browser

Pages of other origins may buy, by [`Cors`]: who has paid can read what he has paid for. The layer says so of every
answer that is not a free request's — the price, its own errors, what the inner service answers, and that again —
in place of whatever the inner service says of it. A browser's preflight for what has a price is answered by the
layer, and costs nothing; other `OPTIONS` requests are priced as any.
*/

mod answer;
mod body;
mod computed;
mod cors;
mod dialect;
mod drawing;
mod future;
mod gauge;
mod held;
mod layer;
mod metering;
mod naming;
mod passing;
mod peer;
mod prepared;
mod pricing;
mod readiness;
mod relay;
mod request_body;
mod right;
mod service;
mod source;
mod task;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod tokens;
mod watch;
mod weighed;

use core::time::Duration;

use tokio::time::Instant;
use x402_core::{Address, PaymentId};
use x402_std::chain::TxHash;

pub use body::PaymentBody;
pub use computed::Computed;
pub use cors::Cors;
pub use future::ResponseFuture;
pub use layer::PaymentLayer;
pub use metering::{Meter, Metering, Passage, Period};
pub use peer::Peer;
pub use pricing::{Pricing, Quote, Sale};
pub use readiness::Readiness;
pub use request_body::RequestBody;
pub use service::PaymentService;

#[cfg(feature = "gateway")]
pub(crate) use answer::Notice;
#[cfg(feature = "gateway")]
pub(crate) use dialect::{MINUTES, has_payment};
#[cfg(feature = "gateway")]
pub(crate) use gauge::from_now;

/// An error of a body.
pub(crate) type BoxError = Box<dyn core::error::Error + Send + Sync>;

/// The payment of a request, in its extensions: checked, and arrived, or good to be settled.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Paid {
    /// Who paid.
    pub payer: Address,
    /// The transaction that moved the money; `None` where it moves after the work.
    pub transaction: Option<TxHash>,
    /// Which payment it is: what an order or an invoice may be filed under; `None` where it was made for
    /// an earlier request.
    pub payment: Option<PaymentId>,
}

/// How long a request may take that is sold by the time, in its extensions: for services whose answers
/// are no bodies, such as tunnels.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Allowance {
    /// So long from the first byte of the answer.
    For(Duration),
    /// Until then.
    Until(Instant),
}
