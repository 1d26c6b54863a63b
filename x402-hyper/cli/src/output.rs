//! What is shown: results on stdout, everything else on stderr.

use core::fmt;
use core::time::Duration;
use std::io::{self, IsTerminal as _, Write as _};

use indicatif::{ProgressBar, ProgressStyle};

/// Writes a line to stdout. Whoever has closed it does not want it.
pub(crate) fn line(text: impl fmt::Display) {
    let _ = writeln!(io::stdout(), "{text}");
}

/// Writes bytes to stdout, with a line end behind them where a person reads.
pub(crate) fn bytes(bytes: &[u8]) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(bytes);
    if out.is_terminal() && !bytes.is_empty() && !bytes.ends_with(b"\n") {
        let _ = out.write_all(b"\n");
    }
    let _ = out.flush();
}

/// Writes a line to stderr.
pub(crate) fn note(text: impl fmt::Display) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// What the program is at: a line that moves on a terminal, plain lines elsewhere, on stderr.
pub(crate) struct Progress(Option<ProgressBar>);

impl Progress {
    pub(crate) fn new() -> Self {
        if !io::stderr().is_terminal() {
            return Self(None);
        }
        let bar = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed:.dim}") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(100));
        Self(Some(bar))
    }

    /// What is being done: shown on a terminal only, and only while it lasts.
    pub(crate) fn doing(&self, text: impl fmt::Display) {
        if let Some(bar) = &self.0 {
            bar.set_message(text.to_string());
        }
    }

    /// What was done.
    pub(crate) fn done(&self, text: impl fmt::Display) {
        match &self.0 {
            Some(bar) => bar.suspend(|| note(text)),
            None => note(text),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

/// Milliseconds as people read them: `3.2 ms`.
pub(crate) fn ms(duration: Duration) -> String {
    format!("{:.1} ms", millis(duration))
}

/// Milliseconds, rounded to a thousandth.
pub(crate) fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}
