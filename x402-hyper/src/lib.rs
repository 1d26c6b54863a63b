/*!
x402 for hyper: a layer that sells, a client that buys, a gateway for what is there already, and a
facilitator's service.
*/

#[cfg(feature = "client")]
pub mod client;
#[cfg(feature = "devnet")]
pub mod devnet;
#[cfg(feature = "facilitator")]
pub mod facilitator;
#[cfg(feature = "gateway")]
pub mod gateway;
#[cfg(any(feature = "client", feature = "facilitator", feature = "gateway", feature = "server"))]
mod idempotency;
#[cfg(feature = "listener")]
pub mod listener;
#[cfg(feature = "server")]
pub mod server;
