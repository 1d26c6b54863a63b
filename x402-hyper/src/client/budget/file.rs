//! The file of a budget: looked at before it is touched, and locked while it is.

use core::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use super::BudgetError;
use super::line::{Line, Old};

/// The first line of the file. One of the first version has none, and its first line is a payment.
const HEAD: &str = "x402 budget 2\n";
/// No file beyond this is read: three hundred thousand payments are less.
const MAX_BYTES: u64 = 128 << 20;
/// No line is longer: a name of a host has at most 253 letters.
const MAX_LINE: usize = 1024;

/// The file, under its lock, which ends with this.
pub(super) struct Locked {
    file: File,
    pub(super) lines: Vec<Line>,
    /// Where the next line goes: behind the last that is whole.
    end: u64,
    is_new: bool,
}

impl Locked {
    /// Opens the file and reads it, or makes it where there is none. What is no budget is left as it is.
    pub(super) fn open(path: &Path) -> Result<Self, BudgetError> {
        let is_new = match std::fs::metadata(path) {
            // What is not a file might wait for a writer, or not end.
            Ok(found) if !found.is_file() => return Err(BudgetError::NoBudget),
            Ok(_) => false,
            Err(error) if error.kind() == io::ErrorKind::NotFound => true,
            Err(error) => return Err(error.into()),
        };
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(path)?;
        // Let go of when the file is closed, however this ends.
        file.lock()?;
        if is_new {
            sync_folder(path)?;
        }
        if file.metadata()?.len() > MAX_BYTES {
            return Err(BudgetError::TooLong(MAX_BYTES));
        }
        let mut bytes = Vec::new();
        (&mut file).take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
        let text = String::from_utf8(bytes).map_err(|_| BudgetError::NoBudget)?;
        let (lines, end) = read(&text)?;
        Ok(Self { file, lines, end, is_new: end == 0 })
    }

    /// Writes lines behind those that are there: safe on disk when this returns.
    pub(super) fn append(&mut self, lines: &[Line]) -> Result<(), BudgetError> {
        let mut text = String::from(if self.is_new { HEAD } else { "" });
        for line in lines {
            // Into a text, which takes everything.
            let _ = writeln!(text, "{line}");
        }
        if let Err(error) = self.write(text.as_bytes()) {
            // Half a line is of no use; where it stays, the next reader passes it over.
            drop(self.file.set_len(self.end));
            return Err(error.into());
        }
        self.end += text.len() as u64;
        self.is_new = false;
        self.lines.extend_from_slice(lines);
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.set_len(self.end)?;
        self.file.seek(SeekFrom::Start(self.end))?;
        self.file.write_all(bytes)?;
        self.file.sync_all()
    }
}

/// The name of a new file is in its folder, which is written by itself.
fn sync_folder(path: &Path) -> io::Result<()> {
    if cfg!(unix) {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()?;
    }
    Ok(())
}

/// All lines, and where they end. A last one that was cut off was never counted on, and is passed over.
fn read(text: &str) -> Result<(Vec<Line>, u64), BudgetError> {
    if HEAD.starts_with(text) && text != HEAD {
        return Ok((Vec::new(), 0));
    }
    let end = text.rfind('\n').map_or(0, |at| at + 1);
    let (whole, cut) = text.split_at(end);
    let first = whole.lines().next().unwrap_or_default();
    let skipped = usize::from(first == HEAD.trim_end());
    if skipped == 0 && Old::parse(first).is_none() {
        return Err(BudgetError::NoBudget);
    }
    let lines = whole.lines().enumerate().skip(skipped);
    let lines: Result<Vec<_>, _> =
        lines.map(|(index, line)| Line::parse(line).ok_or(BudgetError::Line(index + 1))).collect();
    let lines = lines?;
    if cut.len() > MAX_LINE || cut.bytes().any(|byte| byte != b' ' && !byte.is_ascii_graphic()) {
        return Err(BudgetError::Line(lines.len() + skipped + 1));
    }
    Ok((lines, end as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "1790000000 a:1 eip155:1 0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48 1\n";

    #[test]
    fn a_budget_is_known_by_its_first_line() {
        let length = OLD.len() as u64;
        let count = |text: &str| read(text).map(|(lines, end)| (lines.len(), end));
        assert!(matches!(count(""), Ok((0, 0))));
        assert!(matches!(count("x402 bud"), Ok((0, 0))), "cut off when it was made");
        assert!(matches!(count(HEAD), Ok((0, 14))));
        assert!(matches!(count(&format!("{HEAD}{OLD}")), Ok((1, end)) if end == 14 + length));
        assert!(matches!(count(&format!("{OLD}17900")), Ok((1, end)) if end == length));
        let key = "5".repeat(64);
        for text in [&key, &format!("{key}\n"), "{}\n", "\n", "x402 budget 3\n", OLD.trim_end()] {
            assert!(matches!(count(text), Err(BudgetError::NoBudget)), "{text:?}");
        }
        for text in [&format!("{OLD}{key}\n"), &format!("{HEAD}{OLD}\n"), &format!("{OLD}\u{e9}")] {
            assert!(matches!(count(text), Err(BudgetError::Line(_))), "{text:?}");
        }
    }
}
