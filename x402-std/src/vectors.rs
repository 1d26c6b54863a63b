/*!
A conformance runner over files of known answers, for this implementation and for others'.

[`run`] takes the text of one file, recognises its format by its shape, and says which entries hold:

| format | an entry is |
|---|---|
| [`Format::Eip3009Valid`] | an authorization with its separator, digest, signature and signer |
| [`Format::Eip3009Invalid`] | an authorization and a signature that must not be accepted for it |
| [`Format::Numbers`] | a JSON text, and the number that it is on the wire, if it is one |
| [`Format::PriceProducts`] | a unit price, a count, and the amount that is due |
| [`Format::Prices`] | a price, a token's decimals, and the amount, if it is one |
| [`Format::Recovery`] | a digest, v, r and s, and the address that a token recovers |
| [`Format::Sdk`] | what the official TypeScript SDK made: constants, tokens, payments, calldata |
| [`Format::Wycheproof`] | an ECDSA signature of Project Wycheproof, and whether a token takes it |

```json
{"note": "…", "count": 1, "vectors": [{"price": "$0.01", "decimals": 6, "expect": "accept", "atomic": "10000"}]}
```

An entry of a kind that is not built yet is counted as skipped, under the name of its kind, and an
entry that cannot be read is a failure: a file never passes by not being looked at.
*/

mod authorization;
mod money;
mod permit2;
mod recovery;
mod sdk;

use core::fmt;
use std::collections::BTreeMap;

use serde_json::Value;
use x402_core::hex;

/// The format of a file, recognised by its shape.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Format {
    /// Signatures that are not the payer's over the authorization.
    Eip3009Invalid,
    /// Signed authorizations.
    Eip3009Valid,
    /// JSON texts that are numbers of the wire, or are not.
    Numbers,
    /// Unit prices times counts.
    PriceProducts,
    /// Prices as people write them.
    Prices,
    /// What a token's `ecrecover` answers.
    Recovery,
    /// What the official TypeScript SDK made.
    Sdk,
    /// Project Wycheproof's ECDSA signatures, restated for the recovery of addresses.
    Wycheproof,
}

impl Format {
    /// The format of a file with this content, if it is one of them.
    fn of(file: &Value) -> Option<Self> {
        if file.get("tokens").is_some() && file.get("constants").is_some() {
            return Some(Self::Sdk);
        }
        let first = file.get("vectors")?.get(0)?;
        let has = |key| first.get(key).is_some();
        let shapes = [
            (Self::Eip3009Invalid, has("message") && file.get("good").is_some()),
            (Self::Eip3009Valid, has("message") && has("structHash")),
            (Self::Numbers, has("json") && has("expect")),
            (Self::PriceProducts, has("unit_price") && has("atomic_round_up")),
            (Self::Prices, has("price") && has("atomic")),
            (Self::Recovery, has("r") && has("s") && has("strict")),
            (Self::Wycheproof, has("rs") && has("accept_strict")),
        ];
        shapes.into_iter().find(|(_, fits)| *fits).map(|(format, _)| format)
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Eip3009Invalid => "eip3009_invalid",
            Self::Eip3009Valid => "eip3009_valid",
            Self::Numbers => "numbers",
            Self::PriceProducts => "price_products",
            Self::Prices => "prices",
            Self::Recovery => "recover_eth",
            Self::Sdk => "sdk",
            Self::Wycheproof => "wycheproof_recover_policy",
        })
    }
}

/// What became of the entries of a file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Report {
    /// The format that was recognised.
    pub format: Format,
    /// How many entries hold.
    pub passed: u64,
    /// The entries that do not.
    pub failed: Vec<Failure>,
    /// How many entries are of a kind that is not built yet, by the kind's name.
    pub skipped: BTreeMap<String, u64>,
}

impl Report {
    /// Whether every entry that was looked at holds.
    #[must_use]
    pub fn is_success(&self) -> bool {
        self.failed.is_empty()
    }

    const fn new(format: Format) -> Self {
        Self { format, passed: 0, failed: Vec::new(), skipped: BTreeMap::new() }
    }

    fn record(&mut self, entry: impl fmt::Display, verdict: Verdict) {
        match verdict {
            Ok(()) => self.passed += 1,
            Err(Mismatch { expected, got }) => {
                self.failed.push(Failure { entry: entry.to_string(), expected, got });
            }
        }
    }

    fn skip(&mut self, kind: impl Into<String>, count: usize) {
        *self.skipped.entry(kind.into()).or_default() += count as u64;
    }
}

impl fmt::Display for Report {
    /// A line for each failing entry, a line for each kind that was skipped, and the totals.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for failure in &self.failed {
            writeln!(f, "{failure}")?;
        }
        for (kind, count) in &self.skipped {
            writeln!(f, "skipped {count} of {kind}")?;
        }
        write!(f, "{} passed, {} failed", self.passed, self.failed.len())
    }
}

/// An entry that does not hold.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Failure {
    /// Which one: its place in the list, and its name if it has one.
    pub entry: String,
    /// What the file says.
    pub expected: String,
    /// What this implementation says.
    pub got: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: expected {}, got {}", self.entry, self.expected, self.got)
    }
}

/// Why a file cannot be run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VectorsError {
    /// The text is not JSON.
    #[error("not JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// The JSON has the shape of no format, or its list of entries is empty.
    #[error("not a file of known answers: its shape is none that is known, or it has no entries")]
    UnknownFormat,
}

/// Runs the entries of a file, given as its text.
///
/// # Errors
///
/// [`VectorsError`] where the text is not JSON, or not of a format that is known.
pub fn run(json: &str) -> Result<Report, VectorsError> {
    let file: Value = serde_json::from_str(json)?;
    let format = Format::of(&file).ok_or(VectorsError::UnknownFormat)?;
    let mut report = Report::new(format);
    match format {
        Format::Eip3009Invalid => authorization::run_invalid(&file, &mut report),
        Format::Eip3009Valid => run_each(&file, &mut report, "source", authorization::valid),
        Format::Numbers => run_each(&file, &mut report, "json", money::number),
        Format::PriceProducts => run_each(&file, &mut report, "unit_price", money::product),
        Format::Prices => run_each(&file, &mut report, "price", money::price),
        Format::Recovery => run_each(&file, &mut report, "src", recovery::strict),
        Format::Sdk => sdk::run(&file, &mut report),
        Format::Wycheproof => run_each(&file, &mut report, "tcId", recovery::wycheproof),
    }
    Ok(report)
}

/// Runs one check over the list `vectors`, which must be as long as `count` says where it is said.
fn run_each(file: &Value, report: &mut Report, name: &str, check: impl Fn(&Value) -> Verdict) {
    let entries = list(file, "vectors");
    if let Some(count) = file.get("count").and_then(Value::as_u64)
        && count != entries.len() as u64
    {
        report.record("count", Mismatch::new(count, entries.len()));
    }
    for (at, entry) in entries.iter().enumerate() {
        report.record(label(at, entry.get(name)), check(entry));
    }
}

/// The place of an entry and its name, cut to what a line can hold.
fn label(at: usize, name: Option<&Value>) -> String {
    match name {
        Some(Value::String(name)) => {
            format!("{at} ({})", name.chars().take(60).collect::<String>())
        }
        Some(name) => format!("{at} ({name})"),
        None => at.to_string(),
    }
}

/// What an entry comes to.
type Verdict = Result<(), Mismatch>;

/// What the file says and what this implementation says.
#[derive(Debug)]
struct Mismatch {
    expected: String,
    got: String,
}

impl Mismatch {
    fn new(expected: impl fmt::Display, got: impl fmt::Display) -> Verdict {
        Err(Self { expected: expected.to_string(), got: got.to_string() })
    }
}

/// Demands that two values are the same.
fn same<T: PartialEq + fmt::Display>(what: &str, expected: &T, got: &T) -> Verdict {
    if expected == got {
        return Ok(());
    }
    Mismatch::new(format_args!("{what} {expected}"), got)
}

/// Demands that two byte strings are the same.
fn same_bytes(what: &str, expected: &[u8], got: &[u8]) -> Verdict {
    if expected == got {
        return Ok(());
    }
    Mismatch::new(format_args!("{what} {}", hex::Hex(expected)), hex::Hex(got))
}

/// A member that must be there, read by `read`.
fn member<'v, T>(
    entry: &'v Value,
    key: &str,
    read: impl Fn(&'v Value) -> Option<T>,
) -> Result<T, Mismatch> {
    let value = entry.get(key);
    value.and_then(read).ok_or_else(|| Mismatch {
        expected: format!("a well-formed member {key:?}"),
        got: value.map_or_else(|| "none".to_owned(), ToString::to_string),
    })
}

fn text<'v>(entry: &'v Value, key: &str) -> Result<&'v str, Mismatch> {
    member(entry, key, Value::as_str)
}

fn flag(entry: &Value, key: &str) -> Result<bool, Mismatch> {
    member(entry, key, Value::as_bool)
}

fn bytes<const N: usize>(entry: &Value, key: &str) -> Result<[u8; N], Mismatch> {
    member(entry, key, |value| hex::decode(value.as_str()?).ok())
}

/// Bytes in `0x`-hex of whatever length.
fn decode(text: &str) -> Result<Vec<u8>, hex::HexError> {
    let mut out = vec![0; text.len() / 2];
    hex::decode_into(text, &mut out).map(<[u8]>::to_vec)
}

/// A list that is a member, or nothing.
fn list<'v>(entry: &'v Value, key: &str) -> &'v [Value] {
    entry.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

#[cfg(test)]
mod tests;
