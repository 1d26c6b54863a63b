//! A seller in a world where everything fails, over and over: the real payment layer, seller, chain
//! access and ledger code on a scripted clock, scheduler, node, disk and clients. A seed decides a run.
//!
//! ```text
//! simulate [--seeds N] [--from SEED] [--payments N] [--log] [--broken]
//! ```
//!
//! With `--log` it tells what happens, for a seed that failed; with `--broken` the ledger forgets what
//! is to be sent, and the runs must fail.
//!
//! What must be true (I1 to I6 of SECURITY.md) is looked at all the time, and once more at the end of
//! each run, when nothing fails any more and each client has repeated its bytes.
#![allow(missing_docs, clippy::unwrap_used, reason = "a test program exports nothing")]
#![allow(clippy::cast_possible_truncation, reason = "a run is small")]

mod books;
mod disk;
mod draws;
mod node;
mod random;
mod run;
mod weather;
mod wire;
mod work;
mod world;

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use world::Counts;

/// Some seeds are run twice: what differs is not decided by the seed, and could not be run again.
const TWICE: u64 = 50;

fn option(name: &str, default: u64) -> u64 {
    let mut args = std::env::args().skip_while(|arg| arg != name).skip(1);
    args.next().map_or(default, |value| value.parse().expect("a number"))
}

fn flag(name: &str) -> bool {
    std::env::args().any(|arg| arg == name)
}

fn main() -> ExitCode {
    let (seeds, from) = (option("--seeds", 1_000), option("--from", 0));
    let payments = option("--payments", 20) as usize;
    let is_broken = flag("--broken");
    if flag("--log") {
        let log = tracing_subscriber::fmt().without_time().with_writer(std::io::stderr);
        log.with_max_level(tracing::Level::DEBUG).init();
    }
    let (next, begun) = (AtomicU64::new(from), Instant::now());
    let total = Mutex::new((Counts::default(), 0_u64));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::SeqCst);
                    if seed >= from + seeds || total.lock().unwrap().1 >= 10 {
                        return;
                    }
                    let (counts, failed) = one(seed, payments, seed - from < TWICE, is_broken);
                    let mut total = total.lock().unwrap();
                    total.0.add(counts);
                    total.1 += u64::from(failed);
                }
            });
        }
    });
    let (counts, failed) = *total.lock().unwrap();
    println!("{seeds} seeds from {from}: {counts:?} in {:.1} s", begun.elapsed().as_secs_f32());
    println!("{failed} runs failed");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn one(seed: u64, payments: usize, twice: bool, is_broken: bool) -> (Counts, bool) {
    let ended = run::run(seed, payments, is_broken);
    let mut violations = ended.violations;
    if twice && run::run(seed, payments, is_broken).trace != ended.trace {
        violations.push("it runs otherwise the second time".into());
    }
    for violation in &violations {
        println!("seed {seed}: {violation}");
    }
    (ended.counts, !violations.is_empty())
}

impl Counts {
    const fn add(&mut self, other: Self) {
        self.payments += other.payments;
        self.served += other.served;
        self.moved += other.moved;
        self.runs += other.runs;
        self.crashes += other.crashes;
        self.faults += other.faults;
        self.reorgs += other.reorgs;
        self.replaced += other.replaced;
        self.by_others += other.by_others;
        self.owed += other.owed;
        self.in_batches += other.in_batches;
        self.drawn += other.drawn;
        self.replayed += other.replayed;
        self.short += other.short;
        self.let_go += other.let_go;
        self.credit += other.credit;
    }
}
