/*!
The facilitator over HTTP: the service that answers sellers, and the client of one.

| | | |
|---|---|---|
| `POST /verify` | would this payment be settled? | `{isValid, invalidReason?, payer?}` |
| `POST /settle` | move its money | `{success, errorReason?, transaction, network, payer?}` |
| `GET /settlements/…` | what is known of a settlement | `{settlements}` |
| `GET /supported` | what can be settled | `{kinds, extensions, signers}` |
| `GET /healthz` | is it there | `ok` |
| `GET /metrics` | how it does | Prometheus' text format |

The body of both `POST`s is `{x402Version?, paymentPayload, paymentRequirements}`, of v1 or v2, as
`application/json`; see section 7 of the x402 specification. A verdict has status 200, whatever it is. 400
is for a body that cannot be read, 401 for a missing bearer token, 413 for a body of more than 64 KiB, 415
for one of another type, 500 where there is no verdict: then the money may have moved.

`/settle` succeeds once for a payment, for one seller: who asks again is told that the payment is used
(`invalid_exact_evm_nonce_already_used`), with the transaction. Only who has shown an `Idempotency-Key`, and
shows it again, is told the same again; and who was told `settlement_pending` goes on by asking again. What
became of a call whose answer was lost says `GET /settlements/HASH`, with a transaction, or
`GET /settlements/NETWORK/ASSET/PAYER/NONCE`, with what was signed: to the seller who asked for it, and to
others there is nothing (404).
*/

mod http_client;
mod metrics;
mod sellers;
mod serve;
mod service;
#[cfg(test)]
mod tests;

pub use http_client::{HttpFacilitator, InvalidUrl};
pub use sellers::{InvalidTokens, Sellers};
pub use service::{FacilitatorService, Report};

/// How long a body may be, in bytes, of a question or of an answer.
const MAX_BODY: usize = 64 << 10;
