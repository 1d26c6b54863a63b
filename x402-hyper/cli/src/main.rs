//! x402
fn main() {}
