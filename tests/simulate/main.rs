//! A seller in a world where everything fails, over and over: the real payment layer, seller, chain
//! access and ledger code on a scripted clock, scheduler, node, disk and clients. A seed decides a run.
//!
//! ```text
//! simulate [--seeds N] [--from SEED] [--payments N] [--log] [--broken FAULT] [--without KIND,KIND]
//! ```
//!
//! With `--log` it tells what happens, for a seed that failed; with `--broken` a fault is put back that
//! was mended once ([`broken::Broken`]), and the runs must fail; `--without` leaves kinds of trouble out, by
//! the names of [`weather::Weather`]'s members.
//!
//! What must be true (I1 to I6 of SECURITY.md) is looked at all the time, and once more at the end of
//! each run, when nothing fails any more and each client has repeated its bytes. Besides:
//!
//! * I7: what the books call received is at most what the token moved to the payee ([`invariant`]);
//! * I3, also for payers who break their own requests ([`cheat`]);
//! * I8: nobody is told to sign anew whose payment has arrived, or arrives after all, when the seller had
//!   begun to settle it;
//! * I9: what a ledger in a file has said is on the disk is there after a crash ([`store`]);
//! * I10: what was paid for is not given to who reads the payment on the chain ([`observer`]);
//! * I11: a facilitator says success for a payment to one call ([`facilitator`]);
//! * I12: no transaction of ours waits for ever for an account nonce that nobody has;
//! * I13: what a payer has under way, of work done before it is paid, is no more than he has had
//!   ([`covered`]);
//! * I14: of what a payment was taken for, no more is had, whatever else is asked for with it ([`changes`]);
//! * I15: nothing is drawn by a name that was replaced ([`names`]).
#![allow(missing_docs, clippy::unwrap_used, reason = "a test program exports nothing")]
#![allow(clippy::cast_possible_truncation, reason = "a run is small")]

mod backends;
mod blocks;
mod books;
mod broken;
mod changes;
mod cheat;
mod counts;
mod covered;
mod disk;
mod draws;
mod facilitator;
mod hostile;
mod invariant;
mod names;
mod node;
mod observer;
mod platter;
mod random;
mod rpc;
mod run;
mod signing;
mod store;
mod token;
mod weather;
mod wire;
mod work;
mod world;

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use broken::Broken;
use counts::Counts;
use run::Settings;

/// Some seeds are run twice: what differs is not decided by the seed, and could not be run again.
const TWICE: u64 = 50;

fn text(name: &str) -> Option<String> {
    std::env::args().skip_while(|arg| arg != name).nth(1)
}

fn option(name: &str, default: u64) -> u64 {
    text(name).map_or(default, |value| value.parse().expect("a number"))
}

fn flag(name: &str) -> bool {
    std::env::args().any(|arg| arg == name)
}

fn main() -> ExitCode {
    let (seeds, from) = (option("--seeds", 1_000), option("--from", 0));
    let settings = Settings {
        payments: option("--payments", 20) as usize,
        broken: text("--broken").map(|name| Broken::named(&name)),
        without: text("--without").unwrap_or_default(),
    };
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
                    let (counts, failed) = one(seed, &settings, seed - from < TWICE);
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

fn one(seed: u64, settings: &Settings, twice: bool) -> (Counts, bool) {
    let ended = run::run(seed, settings);
    let mut violations = ended.violations;
    if twice && run::run(seed, settings).trace != ended.trace {
        violations.push("it runs otherwise the second time".into());
    }
    for violation in &violations {
        println!("seed {seed}: {violation}");
    }
    (ended.counts, !violations.is_empty())
}
