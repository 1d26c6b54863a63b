use core::fmt::Write as _;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// The upper bounds of the buckets for the time that settling takes, in seconds.
const BOUNDS: [f64; 8] = [0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0];

/// What a facilitator counts, shown in Prometheus' text format, version 0.0.4.
#[derive(Debug, Default)]
pub(super) struct Metrics(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    /// By endpoint and status.
    requests: BTreeMap<(&'static str, u16), u64>,
    /// By endpoint and reason; the empty reason is a good one.
    verdicts: BTreeMap<(&'static str, String), u64>,
    buckets: [u64; BOUNDS.len()],
    settled: u64,
    seconds: f64,
}

/// So many reasons are told apart: they are free text where a chain or a peer makes them.
const MAX_REASONS: usize = 128;

impl Metrics {
    pub(super) fn request(&self, endpoint: &'static str, status: u16) {
        *self.counts().requests.entry((endpoint, status)).or_default() += 1;
    }

    pub(super) fn verdict(&self, endpoint: &'static str, reason: Option<&str>) {
        let mut counts = self.counts();
        let reason = reason.unwrap_or_default();
        let key = (endpoint, reason.to_owned());
        let is_new = !counts.verdicts.contains_key(&key);
        let key = if is_new && counts.verdicts.len() >= MAX_REASONS {
            (endpoint, "other".to_owned())
        } else {
            key
        };
        *counts.verdicts.entry(key).or_default() += 1;
    }

    pub(super) fn settled_in(&self, time: Duration) {
        let mut counts = self.counts();
        let seconds = time.as_secs_f64();
        for (bucket, bound) in counts.buckets.iter_mut().zip(BOUNDS) {
            *bucket += u64::from(seconds <= bound);
        }
        counts.settled += 1;
        counts.seconds += seconds;
    }

    pub(super) fn to_text(&self) -> String {
        let counts = self.counts();
        let mut text = String::from("# TYPE x402_requests_total counter\n");
        // A String takes everything.
        for ((endpoint, status), count) in &counts.requests {
            let _ = writeln!(
                text,
                "x402_requests_total{{endpoint=\"{endpoint}\",status=\"{status}\"}} {count}"
            );
        }
        text.push_str("# TYPE x402_verdicts_total counter\n");
        for ((endpoint, reason), count) in &counts.verdicts {
            let reason = reason.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let _ = writeln!(
                text,
                "x402_verdicts_total{{endpoint=\"{endpoint}\",reason=\"{reason}\"}} {count}"
            );
        }
        text.push_str("# TYPE x402_settle_seconds histogram\n");
        for (bucket, bound) in counts.buckets.iter().zip(BOUNDS) {
            let _ = writeln!(text, "x402_settle_seconds_bucket{{le=\"{bound}\"}} {bucket}");
        }
        let Counts { settled, seconds, .. } = &*counts;
        let _ = writeln!(text, "x402_settle_seconds_bucket{{le=\"+Inf\"}} {settled}");
        let _ = writeln!(text, "x402_settle_seconds_sum {seconds}");
        let _ = writeln!(text, "x402_settle_seconds_count {settled}");
        text
    }

    fn counts(&self) -> std::sync::MutexGuard<'_, Counts> {
        // Counts are whole whatever panicked.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
