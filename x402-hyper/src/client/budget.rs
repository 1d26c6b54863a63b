/*!
What a buyer has signed, in a file: limits over many payments, restarts and processes.

The file is a text. Behind its first line it has a line for each payment, in the order in which they were
signed, and lines that say what became of some:

```text
x402 budget 2
1790000000 signed 0x… 1790000060 eip3009 0x7099…79C8 api.example.com eip155:8453 0x8335…2913 10000
1790000700 unused 0x…
```

time (Unix seconds), nonce, until when the money can be taken, method, payer, host and port, network,
token, atomic units (of a ceiling, all of it). Files of the first version, without the first line, are gone
on with.

A payment is written, and safe on disk, before it is signed. From then on it counts: whatever the seller
answers, the signature can be used until its `validBefore`. It ceases to count where the signer did not
sign, and where a node says ([`Budget::ask`]) that it was not used, at a block whose time is past its
`validBefore`: what a chain says before that frees nothing, and without a node nobody can say it. What was
used counts for good.

The file is locked while it is read and written, so that processes that pay at the same time do not exceed a
limit together. Lines are only ever added. A file that is no budget is refused, and left as it is.
*/

mod file;
mod line;

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::PathBuf;

use x402_core::{Amount, Nonce, Price, Transfer};

use super::Terms;
use super::node::NodeUrl;
use file::Locked;
use line::{Ended, Line, Old};

pub(super) use line::{End, Method, Signed};

const DAY_SECONDS: u64 = 24 * 60 * 60;

/// Limits over all payments that are noted in a file, each in units of the asset that is paid with.
#[derive(Clone, Debug)]
pub struct Budget {
    path: PathBuf,
    per_host: Option<Price>,
    per_day: Option<Price>,
    node: Option<NodeUrl>,
}

/// Why a budget lets nothing be paid.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BudgetError {
    /// It would be more than may be paid in a day.
    #[error("it would be more than {0} today")]
    Day(Price),
    /// It would be more than may be paid to the host.
    #[error("it would be more than {0} to this host")]
    Host(Price),
    /// A line of the file is none that a budget writes.
    #[error("line {0} of the budget's file cannot be read; mend it, or take another file")]
    Line(usize),
    /// The file is something else than a budget, and was left as it is.
    #[error("the budget's file is no budget, and was left as it is; take another file")]
    NoBudget,
    /// The file is longer than it may be, and was left as it is.
    #[error("the budget's file is longer than {0} bytes, and was left as it is; begin another one")]
    TooLong(u64),
    /// The file cannot be read or written.
    #[error("the budget's file: {0}")]
    File(#[from] io::Error),
}

/// A payment that was noted.
#[derive(Debug)]
pub(super) struct Noted<'b> {
    budget: &'b Budget,
    time: u64,
    nonce: Nonce,
}

impl Budget {
    /// The budget in this file, which is made when the first payment is noted.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), per_host: None, per_day: None, node: None }
    }

    /// No more than this to one host, ever.
    #[must_use]
    pub const fn per_host(mut self, most: Price) -> Self {
        self.per_host = Some(most);
        self
    }

    /// No more than this in one day (UTC).
    #[must_use]
    pub const fn per_day(mut self, most: Price) -> Self {
        self.per_day = Some(most);
        self
    }

    /// Asks this node, where a limit would be exceeded, which of the payments that have run out were used:
    /// those that were not cease to count. It is believed for the chain whose id it says.
    #[must_use]
    pub fn ask(mut self, node: http::Uri) -> Self {
        self.node = Some(NodeUrl(node));
        self
    }

    pub(super) const fn node(&self) -> Option<&NodeUrl> {
        self.node.as_ref()
    }

    /// Notes a payment, if the limits allow it: safe on disk when this returns.
    pub(super) fn note(
        &self,
        host: &str,
        terms: &Terms,
        transfer: &Transfer,
        time: u64,
    ) -> Result<Noted<'_>, BudgetError> {
        let nonce = transfer.nonce();
        let line = Signed {
            time,
            nonce,
            // What 64 bits cannot say has no end.
            valid_before: transfer.valid_before().to_secs().unwrap_or(u64::MAX),
            method: Method::of(transfer),
            payer: transfer.from(),
            host: host.to_ascii_lowercase(),
            chain_id: terms.asset.chain_id,
            asset: terms.asset.address,
            amount: transfer.value(),
        };
        let mut file = Locked::open(&self.path)?;
        self.allow(&line, &Books::of(&file.lines), terms.asset.decimals)?;
        file.append(&[Line::Signed(line)])?;
        Ok(Noted { budget: self, time, nonce })
    }

    fn allow(&self, line: &Signed, books: &Books<'_>, decimals: u8) -> Result<(), BudgetError> {
        let day = line.time / DAY_SECONDS;
        let fits = |most: Price, counted: Amount| {
            let total = counted.checked_add(line.amount);
            let most = most.to_amount_floor(decimals).unwrap_or(Amount::MAX);
            total.is_some_and(|total| total <= most)
        };
        let today = |_: &str, time: u64| time / DAY_SECONDS == day;
        if let Some(most) = self.per_day.filter(|most| !fits(*most, books.counted(line, today))) {
            return Err(BudgetError::Day(most));
        }
        let there = |host: &str, _| host == line.host;
        match self.per_host.filter(|most| !fits(*most, books.counted(line, there))) {
            Some(most) => Err(BudgetError::Host(most)),
            None => Ok(()),
        }
    }

    /// Payments in the asset of these terms that count and have run out, the newest first, for they are
    /// the day's: who asks a node for them can [end](Self::end) them.
    pub(super) fn run_out(&self, terms: &Terms, now: u64) -> Result<Vec<Signed>, BudgetError> {
        let file = Locked::open(&self.path)?;
        let books = Books::of(&file.lines);
        let is_asked = |line: &&&Signed| {
            let is_same =
                line.chain_id == terms.asset.chain_id && line.asset == terms.asset.address;
            is_same && line.valid_before < now && !books.ended.contains(&line.nonce)
        };
        Ok(books.signed.iter().rev().filter(is_asked).map(|line| (*line).clone()).collect())
    }

    /// Notes what has become of payments, at a time of the chain's.
    pub(super) fn end(&self, ends: &[(Nonce, End)], time: u64) -> Result<(), BudgetError> {
        let ended = |&(nonce, end)| Line::Ended(Ended { time, nonce, end });
        let lines: Vec<_> = ends.iter().map(ended).collect();
        if lines.is_empty() { Ok(()) } else { Locked::open(&self.path)?.append(&lines) }
    }
}

impl Noted<'_> {
    /// The signer did not sign, so there is nothing that could be used. Where that cannot be written, the
    /// payment counts.
    pub(super) fn withdraw(self) {
        let Self { budget, time, nonce } = self;
        drop(budget.end(&[(nonce, End::Unsigned)], time));
    }
}

/// The lines of a file, read together.
struct Books<'l> {
    signed: Vec<&'l Signed>,
    old: Vec<&'l Old>,
    /// Those of which it is known what became of them.
    ended: HashSet<Nonce>,
    /// Those that do not count.
    freed: HashSet<Nonce>,
}

impl<'l> Books<'l> {
    fn of(lines: &'l [Line]) -> Self {
        let (ended, freed) = (HashSet::new(), HashSet::new());
        let mut books = Self { signed: Vec::new(), old: Vec::new(), ended, freed };
        let mut ends = Vec::new();
        for line in lines {
            match line {
                Line::Signed(line) => books.signed.push(line),
                Line::Old(line) => books.old.push(line),
                Line::Ended(line) => ends.push(line),
            }
        }
        let used = |end: &&&Ended| end.end == End::Used;
        let used: HashSet<_> = ends.iter().filter(used).map(|end| end.nonce).collect();
        let mut over_at = HashMap::new();
        for line in &books.signed {
            let over = over_at.entry(line.nonce).or_insert(line.valid_before);
            *over = line.valid_before.max(*over);
        }
        for end in ends {
            let is_over = match end.end {
                // Before that it frees nothing, whoever has written it.
                End::Unused => over_at.get(&end.nonce).is_none_or(|over| end.time > *over),
                End::Unsigned | End::Used => true,
            };
            if is_over {
                books.ended.insert(end.nonce);
                if end.end != End::Used && !used.contains(&end.nonce) {
                    books.freed.insert(end.nonce);
                }
            }
        }
        books
    }

    /// What counts of the payments in this line's asset, by host and time; what is too much to be counted
    /// is the most there is.
    fn counted(&self, line: &Signed, is_meant: impl Fn(&str, u64) -> bool) -> Amount {
        let is_same = |chain_id, asset| chain_id == line.chain_id && asset == line.asset;
        let add = |sum: Amount, amount| sum.checked_add(amount).unwrap_or(Amount::MAX);
        let old = self.old.iter().filter(|it| is_same(it.chain_id, it.asset));
        let old = old.filter(|it| is_meant(&it.host, it.time));
        let (back, spent): (Vec<&Old>, Vec<&Old>) = old.partition(|it| it.is_back);
        let sum = |lines: Vec<&Old>| lines.iter().map(|it| it.amount).fold(Amount::ZERO, add);
        let old = sum(spent).checked_sub(sum(back)).unwrap_or(Amount::ZERO);
        let signed = self.signed.iter().filter(|it| is_same(it.chain_id, it.asset));
        let signed = signed.filter(|it| is_meant(&it.host, it.time));
        let counted = signed.filter(|it| !self.freed.contains(&it.nonce));
        counted.map(|it| it.amount).fold(old, add)
    }
}
