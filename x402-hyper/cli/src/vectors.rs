//! `vectors`: files of known answers, for this implementation and for others'.

use std::collections::BTreeSet;
use std::path::Path;

use x402_std::secret_file::SecretPath;
use x402_std::vectors::{self, Report};

use crate::args::VectorsArgs;
use crate::exit::{Exit, Failure};
use crate::output;

pub(crate) fn run(args: &VectorsArgs) -> Result<Exit, Failure> {
    let mut totals = Totals::default();
    for path in &args.files {
        totals.add(path, &read(path)?);
    }
    output::line(format_args!("{} passed, {} failed", totals.passed, totals.failed));
    if totals.skipped > 0 {
        let kinds: Vec<_> = totals.kinds.into_iter().collect();
        output::line(format_args!("{} skipped: {}", totals.skipped, kinds.join(", ")));
    }
    Ok(if totals.failed == 0 { Exit::Ok } else { Exit::Failed })
}

fn read(path: &Path) -> Result<Report, Failure> {
    let at = |failure: Failure| failure.at_file(path);
    let text = std::fs::read_to_string(path).map_err(|error| at(Failure::usage(error)))?;
    vectors::run(&text).map_err(|error| at(Failure::usage(error)))
}

#[derive(Default)]
struct Totals {
    passed: u64,
    failed: u64,
    skipped: u64,
    kinds: BTreeSet<String>,
}

impl Totals {
    fn add(&mut self, path: &Path, report: &Report) {
        for failure in &report.failed {
            output::line(format_args!("{}: {failure}", SecretPath::from(path)));
        }
        self.passed += report.passed;
        self.failed += report.failed.len() as u64;
        self.skipped += report.skipped.values().sum::<u64>();
        self.kinds.extend(report.skipped.keys().cloned());
    }
}
