//! What criterion and gungraun have left in the target folder.

use std::fs;
use std::path::{Path, PathBuf};

/// What a case costs, as far as it was measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    pub(crate) instructions: Option<u64>,
    /// As a multiple of what it is beside.
    pub(crate) time: Option<f64>,
}

/// The folders of both.
pub(crate) struct Measured {
    times: PathBuf,
    counts: PathBuf,
}

impl Measured {
    pub(crate) fn new(target: &Path) -> Self {
        let counts = target.join("gungraun/x402-benches/counts");
        Self { times: target.join("criterion"), counts }
    }

    /// What a case costs beside another; both are named as criterion names them: `verdict/v2_k256`.
    pub(crate) fn cost(&self, case: &str, beside: &str) -> Cost {
        let time = self.time(case).zip(self.time(beside)).map(|(time, unit)| time / unit);
        Cost { instructions: self.count(case), time }
    }

    /// All that was counted.
    pub(crate) fn counts(&self) -> impl Iterator<Item = (String, u64)> {
        let folders = |path: &Path| {
            let entries = fs::read_dir(path).into_iter().flatten().flatten();
            entries.map(|entry| entry.path()).collect::<Vec<_>>()
        };
        let cases = folders(&self.counts).into_iter().flat_map(move |group| folders(&group));
        cases.filter_map(|folder| {
            let case = folder.strip_prefix(&self.counts).ok()?.to_str()?.to_owned();
            let count = self.count(&case)?;
            Some((case, count))
        })
    }

    /// The instructions, which callgrind writes as the first number of its summary.
    fn count(&self, case: &str) -> Option<u64> {
        let folder = self.counts.join(case);
        let name = folder.file_name()?.to_str()?;
        let text = fs::read_to_string(folder.join(format!("callgrind.{name}.out"))).ok()?;
        let summary = text.lines().find_map(|line| line.strip_prefix("summary: "))?;
        summary.split(' ').next()?.parse().ok()
    }

    /// The nanoseconds of the least disturbed sample.
    fn time(&self, case: &str) -> Option<f64> {
        let text = fs::read_to_string(self.times.join(case).join("new/sample.json")).ok()?;
        let sample: serde_json::Value = serde_json::from_str(&text).ok()?;
        let numbers = |key: &str| {
            let numbers = sample[key].as_array().into_iter().flatten();
            numbers.filter_map(serde_json::Value::as_f64).collect::<Vec<_>>()
        };
        let each = numbers("times").into_iter().zip(numbers("iters"));
        each.map(|(time, iterations)| time / iterations).reduce(f64::min)
    }
}
