/*!
x402 on std: chain access, settlement, the payment ledger, and configuration.

[`x402_core`] judges a payment; this crate does what takes time. A [`Seller`] takes a payment to the
end: it claims it in a [`Ledger`], asks the [`Chain`] whether the token would take it, journals and
broadcasts the transaction that moves the money, waits until it has moved, and keeps the answer, so
that no payment is served twice and none is lost. A [`Facilitator`] does that for other sellers. There
is no HTTP server here (see `x402-hyper`).

# Features

| feature | is for |
|---|---|
| `rpc` | [`chain::RpcChain`]: an EVM chain over JSON-RPC |
| `redb` | [`ledger::RedbLedger`]: the ledger in one file |
| `postgres` | [`ledger::PostgresLedger`]: the ledger of several processes, in PostgreSQL |
| `redis` | [`ledger::RedisLedger`]: the ledger of several processes, in Redis |
| `libsecp256k1` | recovery of signers by libsecp256k1, which is C |
| `devnet` | an EVM chain in process, for demonstrations and tests |
| `tiktoken` | [`metering::request`] counts the tokens of requests as OpenAI does |
| `vectors` | the conformance runner over known answers |

Features only add: none changes what the rest does. (`test-servers` adds tests, which need the servers
that `tests/run` starts.)
*/

pub mod chain;
pub mod config;
#[cfg(feature = "devnet")]
pub mod devnet;
pub mod facilitator;
pub mod key;
pub mod ledger;
#[cfg(feature = "libsecp256k1")]
mod libsecp256k1;
pub mod metering;
mod percent;
pub mod port;
pub mod quote;
pub mod secret_file;
pub mod seller;
#[cfg(feature = "vectors")]
pub mod vectors;

pub use chain::Chain;
pub use facilitator::Facilitator;
pub use ledger::Ledger;
#[cfg(feature = "libsecp256k1")]
pub use libsecp256k1::Libsecp256k1;
pub use seller::Seller;

/// A future that is boxed, so that ledgers and chains can be chosen at run time.
pub type BoxFuture<'a, T> = core::pin::Pin<Box<dyn Future<Output = T> + Send + 'a>>;
