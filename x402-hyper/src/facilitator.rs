/*!
The facilitator over HTTP: the service that answers sellers, and the client of one.

| | | |
|---|---|---|
| `POST /verify` | would this payment be settled? | `{isValid, invalidReason?, payer?}` |
| `POST /settle` | move its money | `{success, errorReason?, transaction, network, payer?}` |
| `GET /supported` | what can be settled | `{kinds, extensions, signers}` |
| `GET /healthz` | is it there | `ok` |
| `GET /metrics` | how it does | Prometheus' text format |

The body of both `POST`s is `{x402Version?, paymentPayload, paymentRequirements}`, of v1 or v2, as
`application/json`; see section 7 of the x402 specification. A verdict has status 200, whatever it is. 400
is for a body that cannot be read, 401 for a missing bearer token, 413 for a body of more than 64 KiB, 415
for one of another type, 500 where there is no verdict: then the money may have moved, and the same request
again says so.
*/

mod http_client;
mod metrics;
mod serve;
mod service;
#[cfg(test)]
mod tests;

pub use http_client::{HttpFacilitator, InvalidUrl};
pub use service::FacilitatorService;

/// How long a body may be, in bytes, of a question or of an answer.
const MAX_BODY: usize = 64 << 10;
