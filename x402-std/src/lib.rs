//! x402 on std.
#[cfg(feature = "devnet")]
pub mod devnet;
