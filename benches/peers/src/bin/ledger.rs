//! `ledger FILE COUNT`: what a process holds in memory whose ledger in a file has so many payments, and
//! how long it is on a processor to add one, by powers of ten, as lines of JSON.

use std::sync::Arc;
use std::{env, fs};

use x402_core::{
    Address, Amount, Asset, Authorization, ChainId, Digest, Moment, Nonce, Offer, Payment, Recover,
    Signature, SignatureError, Timestamp, Transfer,
};
use x402_std::Ledger as _;
use x402_std::ledger::{Entry, RedbLedger, RequestId};

const NOW: u64 = 1_790_000_000;
const TOGETHER: u64 = 512;
/// Over how many payments the time of one is taken.
const MEASURED: u64 = 4096;

/// Whoever pays here is believed: what is measured comes after.
struct Believed(Address);

impl Recover for Believed {
    fn recover(&self, _: &Digest, _: &Signature) -> Result<Address, SignatureError> {
        Ok(self.0)
    }
}

fn entry(offer: &Offer<'_>, index: u64) -> Entry {
    let (mut from, mut nonce) = ([1; 20], [0; 32]);
    from[..8].copy_from_slice(&(index % 1000).to_be_bytes());
    nonce[..8].copy_from_slice(&index.to_be_bytes());
    let (terms, from) = (offer.requirements(), Address::new(from));
    let transfer = Transfer::Eip3009(Authorization {
        from,
        to: terms.pay_to,
        value: terms.amount,
        valid_after: Timestamp::ZERO,
        valid_before: Timestamp::from_secs(NOW + 60),
        nonce: Nonce::new(nonce),
    });
    let signature = Signature::from_parts([1; 32], [1; 32], false);
    let payment = Payment { chain_id: terms.chain_id, asset: terms.asset, transfer, signature };
    let checked = terms.check(&payment, &Moment::at(NOW), &Believed(from)).expect("good");
    Entry::new(&checked, RequestId::new("GET", "/paid"), NOW).expect("an entry")
}

fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("a status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a size");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

/// Seconds that this process was on a processor.
fn busy() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").expect("a status");
    let (_, fields) = stat.rsplit_once(')').expect("a name");
    let ticks = fields.split_whitespace().skip(11).take(2);
    ticks.map(|ticks| ticks.parse::<f64>().expect("a number") / 100.0).sum()
}

/// Claims the payments from one index to another, many at the same time.
async fn claim(ledger: &Arc<RedbLedger>, offer: &Offer<'_>, from: u64, to: u64) {
    for first in (from..to).step_by(TOGETHER as usize) {
        let claims = (first..to.min(first + TOGETHER)).map(|index| {
            let (ledger, entry) = (Arc::clone(ledger), entry(offer, index));
            tokio::spawn(async move { ledger.claim(entry).await.map(drop) })
        });
        for claim in claims.collect::<Vec<_>>() {
            claim.await.expect("it ends").expect("claimed");
        }
    }
}

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [file, count] = &arguments[..] else { panic!("ledger FILE COUNT") };
    let count: u64 = count.parse().expect("a number");
    let usdc = *Asset::find(ChainId::ETHEREUM, "USDC").expect("USDC");
    let offer = Offer::new(usdc, Address::new([2; 20]), Amount::from_units(100), 60);
    let ledger = Arc::new(RedbLedger::open(file).expect("a ledger"));
    let (mut next, mut power) = (0, 1000);
    while power <= count {
        claim(&ledger, &offer, next, power).await;
        let before = busy();
        next = power + MEASURED;
        claim(&ledger, &offer, power, next).await;
        let each = (busy() - before) / MEASURED as f64 * 1e6;
        let memory = resident() as f64 / 1024.0;
        println!("{{\"keys\":{power},\"mb\":{memory:.1},\"us\":{each:.1}}}");
        power *= 10;
    }
}
