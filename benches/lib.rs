//! Measurements: `cargo bench -p x402-benches`.
