//! What is logged, to stderr: results are on stdout.

use tracing::{Level, Metadata};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _};

/// Starts to log what `X402_LOG` says, and of `level` without it. A filter that cannot be read is as none.
pub(crate) fn start(level: &str) {
    let asked = EnvFilter::try_from_env("X402_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    let is_terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let lines =
        tracing_subscriber::fmt::layer().with_ansi(is_terminal).with_writer(std::io::stderr);
    let lines = lines.with_filter(filter_fn(may_be_shown));
    tracing_subscriber::registry().with(asked).with(lines).init();
}

/// Libraries log what they send and receive below `info`: signatures, signed transactions, tokens. What alloy
/// says may quote a node, and with it the key in its URL, at each level; we report its errors ourselves.
fn may_be_shown(metadata: &Metadata<'_>) -> bool {
    let crates = metadata.target().split("::").next().unwrap_or_default();
    if crates == "x402" || crates.starts_with("x402_") {
        return true;
    }
    *metadata.level() <= Level::INFO && !crates.starts_with("alloy")
}
