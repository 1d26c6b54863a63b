//! Files of the format before, which did not say which logs have paid.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use redb::{ReadableTable as _, WriteTransaction};

use super::file::{ABOUT, FORMAT, FORMAT_KEY, sync_folder};
use super::logs::Logs;
use super::{ENTRIES, storage};
use crate::ledger::logs::PaidRow;
use crate::ledger::{LedgerError, encoding};

/// The format before.
pub(super) const OLD_FORMAT: u64 = 4;

/// Keeps the file as it is beside it, under its name and `.format4`, for its owner alone: from there the
/// version that wrote it reads it.
pub(super) fn keep_old(path: &Path, file: &File) -> Result<(), LedgerError> {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".format{OLD_FORMAT}"));
    let kept = PathBuf::from(name);
    let failed = |error: &dyn core::fmt::Display| {
        LedgerError::Storage(format!(
            "a copy of it, {}, cannot be written, so it stays as it is: {error}",
            kept.display()
        ))
    };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    // Made for its owner alone; and it has the name once all of it is on the disk.
    let mut copy = tempfile::NamedTempFile::new_in(folder.unwrap_or(Path::new(".")))
        .map_err(|e| failed(&e))?;
    let mut original = Whole { file, at: 0 };
    std::io::copy(&mut original, copy.as_file_mut()).map_err(|error| failed(&error))?;
    copy.flush().and_then(|()| copy.as_file().sync_all()).map_err(|error| failed(&error))?;
    copy.persist(&kept).map_err(|error| failed(&error.error))?;
    // Its name, too, before anything else is written.
    sync_folder(&kept).map_err(|error| failed(&error))?;
    tracing::info!(kept = %kept.display(), "the ledger is converted; its old form is kept");
    Ok(())
}

/// A file from its beginning, wherever others read and write it.
struct Whole<'f> {
    file: &'f File,
    at: u64,
}

impl std::io::Read for Whole<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = read_at(self.file, buffer, self.at)?;
        self.at = self.at.saturating_add(count as u64);
        Ok(count)
    }
}

#[cfg(unix)]
fn read_at(file: &File, buffer: &mut [u8], at: u64) -> std::io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, buffer, at)
}

#[cfg(windows)]
fn read_at(file: &File, buffer: &mut [u8], at: u64) -> std::io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, buffer, at)
}

/// Makes it a ledger of this format: of what was settled, the whole transaction counts as used.
pub(super) fn convert(writing: &WriteTransaction) -> Result<(), LedgerError> {
    let mut logs = Logs::open(writing)?;
    let entries = writing.open_table(ENTRIES).map_err(storage)?;
    for row in entries.iter().map_err(storage)? {
        let (_, value) = row.map_err(storage)?;
        match encoding::decode(value.value()) {
            Ok(entry) => PaidRow::of_old(&entry).map_or(Ok(()), |row| logs.insert(&row))?,
            // It is an error of its own payment, now as before.
            Err(LedgerError::Corrupt) => tracing::warn!("an entry of the ledger cannot be read"),
            Err(error) => return Err(error),
        }
    }
    let mut about = writing.open_table(ABOUT).map_err(storage)?;
    about.insert(FORMAT_KEY, FORMAT).map_err(storage)?;
    Ok(())
}
