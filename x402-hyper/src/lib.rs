//! x402 for hyper.
