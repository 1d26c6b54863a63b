/*!
What a buyer has spent, in a file: limits over many payments, restarts and processes.

The file is a text, one line for each payment, in the order in which they were signed:

```text
1790000000 api.example.com eip155:8453 0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913 10000
1790000003 api.example.com eip155:8453 0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913 -10000
```

time (Unix seconds), host and port, network, token, atomic units. A payment is written, and safe on
disk, before it is signed; one that was certainly not taken is given back by a line of its own. What is
not known counts as spent. The file is locked while it is read and written, so that processes that pay
at the same time do not exceed a limit together.
*/

use core::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::PathBuf;

use x402_core::{Address, Amount, ChainId, Price};

use super::Terms;

/// A file is not read beyond this: a million payments are less.
const MAX_BYTES: u64 = 128 << 20;
const DAY_SECONDS: u64 = 24 * 60 * 60;

/// Limits over all payments that are noted in a file, each in units of the asset that is paid with.
#[derive(Clone, Debug)]
pub struct Budget {
    path: PathBuf,
    per_host: Option<Price>,
    per_day: Option<Price>,
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
    /// The file cannot be read or written.
    #[error("the budget's file: {0}")]
    File(#[from] io::Error),
}

/// A payment that was noted.
#[derive(Debug)]
pub(super) struct Noted<'b> {
    budget: &'b Budget,
    line: Line,
}

/// One line of the file.
#[derive(Clone, Debug, PartialEq)]
struct Line {
    time: u64,
    host: String,
    chain_id: ChainId,
    asset: Address,
    /// Whether it is given back.
    is_back: bool,
    amount: Amount,
}

impl Budget {
    /// The budget in this file, which is made when the first payment is noted.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), per_host: None, per_day: None }
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

    /// Notes a payment, if the limits allow it: safe on disk when this returns.
    pub(super) fn note(
        &self,
        host: &str,
        terms: &Terms,
        time: u64,
    ) -> Result<Noted<'_>, BudgetError> {
        let line = Line {
            time,
            host: host.to_ascii_lowercase(),
            chain_id: terms.asset.chain_id,
            asset: terms.asset.address,
            is_back: false,
            amount: terms.amount,
        };
        self.change(&line, terms.asset.decimals)?;
        Ok(Noted { budget: self, line })
    }

    /// Writes a line behind those that are there, under the file's lock.
    fn change(&self, line: &Line, decimals: u8) -> Result<(), BudgetError> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&self.path)?;
        // Let go of when the file is closed, however this ends.
        file.lock()?;
        let lines = read(&mut file)?;
        if !line.is_back {
            self.allow(line, &lines, decimals)?;
        }
        writeln!(file, "{line}")?;
        file.sync_all()?;
        Ok(())
    }

    fn allow(&self, line: &Line, lines: &[Line], decimals: u8) -> Result<(), BudgetError> {
        let day = line.time / DAY_SECONDS;
        let same = |other: &&Line| other.chain_id == line.chain_id && other.asset == line.asset;
        let fits = |most: Price, spent: Amount| {
            let total = spent.checked_add(line.amount);
            let most = most.to_amount_floor(decimals).unwrap_or(Amount::MAX);
            total.is_some_and(|total| total <= most)
        };
        let today = lines.iter().filter(same).filter(|other| other.time / DAY_SECONDS == day);
        if let Some(most) = self.per_day.filter(|most| !fits(*most, sum(today))) {
            return Err(BudgetError::Day(most));
        }
        let there = lines.iter().filter(same).filter(|other| other.host == line.host);
        match self.per_host.filter(|most| !fits(*most, sum(there))) {
            Some(most) => Err(BudgetError::Host(most)),
            None => Ok(()),
        }
    }
}

impl Noted<'_> {
    /// Gives a payment back that was certainly not taken. Where that fails it counts as spent.
    pub(super) fn give_back(self) {
        let line = Line { is_back: true, ..self.line };
        // The limits are not asked, so neither are the decimals.
        drop(self.budget.change(&line, 0));
    }
}

/// All lines. A last one that was cut off was never counted on, and goes.
fn read(file: &mut File) -> Result<Vec<Line>, BudgetError> {
    let mut text = String::new();
    file.take(MAX_BYTES).read_to_string(&mut text)?;
    let whole = text.rfind('\n').map_or(0, |at| at + 1);
    file.set_len(whole as u64)?;
    file.seek(SeekFrom::End(0))?;
    let lines = text.get(..whole).unwrap_or_default().lines().enumerate();
    lines.map(|(index, line)| Line::parse(line).ok_or(BudgetError::Line(index + 1))).collect()
}

/// What was spent and not given back; what is too much to be counted is the most there is.
fn sum<'l>(lines: impl Iterator<Item = &'l Line>) -> Amount {
    let (mut spent, mut back) = (Amount::ZERO, Amount::ZERO);
    for line in lines {
        let side = if line.is_back { &mut back } else { &mut spent };
        *side = side.checked_add(line.amount).unwrap_or(Amount::MAX);
    }
    spent.checked_sub(back).unwrap_or(Amount::ZERO)
}

impl Line {
    fn parse(text: &str) -> Option<Self> {
        let fields: Vec<_> = text.split(' ').collect();
        let [time, host, network, asset, amount] = fields[..] else { return None };
        let (is_back, amount) = match amount.strip_prefix('-') {
            Some(amount) => (true, amount),
            None => (false, amount),
        };
        Some(Self {
            time: time.parse().ok().filter(|_| time.bytes().all(|b| b.is_ascii_digit()))?,
            host: Some(host).filter(|host| !host.is_empty())?.to_owned(),
            chain_id: ChainId::parse(network).ok()?,
            asset: Address::parse(asset).ok()?,
            is_back,
            amount: Amount::parse(amount).ok()?,
        })
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { time, host, chain_id, asset, is_back, amount } = self;
        let sign = if *is_back { "-" } else { "" };
        write!(f, "{time} {host} {chain_id} {asset} {sign}{amount}")
    }
}
