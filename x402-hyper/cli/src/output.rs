//! What is shown: results on stdout, everything else on stderr.

use core::fmt;
use core::time::Duration;
use std::io::{self, IsTerminal as _, StdoutLock, Write as _};
use std::sync::OnceLock;

use indicatif::{ProgressBar, ProgressStyle};

/// What became of what was written to stdout, if it is not there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Lost {
    /// Whoever read it has closed it, and does not want the rest.
    Unread,
    /// It could not be written.
    Unwritten,
}

/// The first that could not be written; nothing is written after it.
static LOST: OnceLock<Lost> = OnceLock::new();

/// Whether something of the output is lost.
pub(crate) fn lost() -> Option<Lost> {
    LOST.get().copied()
}

/// Writes a line to stdout.
pub(crate) fn line(text: impl fmt::Display) {
    write(|out| writeln!(out, "{text}"));
}

/// Writes a line about what was done, and cannot be done again: to stderr, where stdout cannot be written.
pub(crate) fn done(text: impl fmt::Display) {
    line(&text);
    if lost() == Some(Lost::Unwritten) {
        note(text);
    }
}

/// Writes bytes to stdout, with a line end behind them where a person reads.
pub(crate) fn bytes(bytes: &[u8]) {
    write(|out| {
        out.write_all(bytes)?;
        if out.is_terminal() && !bytes.is_empty() && !bytes.ends_with(b"\n") {
            out.write_all(b"\n")?;
        }
        Ok(())
    });
}

/// Writes, and says once where that is not possible.
fn write(put: impl FnOnce(&mut StdoutLock<'_>) -> io::Result<()>) {
    if lost().is_some() {
        return;
    }
    let mut out = io::stdout().lock();
    let Err(error) = put(&mut out).and_then(|()| out.flush()) else { return };
    if error.kind() == io::ErrorKind::BrokenPipe {
        LOST.get_or_init(|| Lost::Unread);
    } else {
        LOST.get_or_init(|| Lost::Unwritten);
        note(format_args!("error: stdout cannot be written: {error}"));
    }
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
