use core::fmt::Display;
use std::fs::{File, OpenOptions};
use std::path::Path;

use redb::backends::FileBackend;
use redb::{Builder, Database, DatabaseError, StorageBackend, WriteTransaction};
use redb::{ReadableDatabase as _, ReadableTable as _, TableDefinition, TableHandle as _};

use super::{Tables, begin, convert, storage};
use crate::ledger::{LedgerError, LedgerIdentity};
use crate::secret_file::SecretPath;

/// What the file says of itself: its format, under [`FORMAT_KEY`].
pub(super) const ABOUT: TableDefinition<'_, &str, u64> = TableDefinition::new("x402 ledger");
pub(super) const FORMAT_KEY: &str = "format";
/// The format of the tables and their keys; entries carry one of their own.
pub(super) const FORMAT: u64 = 5;

/// Which ledger it is.
const IDENTITY: TableDefinition<'_, (), &[u8; 16]> = TableDefinition::new("identity");

/// How much of the file is kept in memory, in bytes.
const CACHE_BYTES: usize = 64 << 20;

/// Opens the file, or makes it, and sees to it that it is a ledger of this format.
pub(super) fn open(path: &Path) -> Result<Database, LedgerError> {
    let failed = |error: &dyn Display| {
        LedgerError::Storage(format!("{} cannot be opened: {error}", SecretPath::from(path)))
    };
    let file = open_file(path).map_err(|error| failed(&error))?;
    let original = file.try_clone().map_err(|error| failed(&error))?;
    let mut database = open_database(path, file, &|| convert::keep_old(path, &original))?;
    compact(path, &mut database).map_err(|error| failed(&error))?;
    sync_folder(path).map_err(|error| failed(&error))?;
    Ok(database)
}

/// How often a copy is made that turns out to be torn.
const COPIES: usize = 20;

/// Opens a copy of the file, which nobody else sees and which is gone when it is closed.
pub(super) fn open_copy(path: &Path) -> Result<Database, LedgerError> {
    let mut result = try_copy(path);
    for _ in 1..COPIES {
        if result.is_ok() {
            break;
        }
        result = try_copy(path);
    }
    result
}

fn try_copy(path: &Path) -> Result<Database, LedgerError> {
    let failed = |error: &dyn Display| {
        LedgerError::Storage(format!("{} cannot be read: {error}", SecretPath::from(path)))
    };
    let mut original = File::open(path).map_err(|error| failed(&error))?;
    let mut copy = tempfile::tempfile().map_err(|error| failed(&error))?;
    std::io::copy(&mut original, &mut copy).map_err(|error| failed(&error))?;
    // A page that is damaged makes the library panic: here it says that the copy is torn.
    let opened = std::panic::catch_unwind(|| open_database(path, copy, &|| Ok(())));
    opened.unwrap_or_else(|_| Err(failed(&"it is damaged")))
}

/// Opens what is in a storage, or begins a ledger there.
pub(super) fn open_storage(storage: impl StorageBackend) -> Result<Database, LedgerError> {
    open_backend(Path::new("the storage"), storage, &|| Ok(()))
}

/// Opens what is in a file; before it is converted, if it is of the format before, it is kept.
fn open_database(
    path: &Path,
    file: File,
    keep_old: &dyn Fn() -> Result<(), LedgerError>,
) -> Result<Database, LedgerError> {
    let file = FileBackend::new(file).map_err(|error| {
        LedgerError::Storage(format!("{} cannot be opened: {error}", SecretPath::from(path)))
    })?;
    open_backend(path, file, keep_old)
}

fn open_backend(
    path: &Path,
    storage: impl StorageBackend,
    keep_old: &dyn Fn() -> Result<(), LedgerError>,
) -> Result<Database, LedgerError> {
    let failed = |error: &dyn Display| {
        LedgerError::Storage(format!("{} cannot be opened: {error}", SecretPath::from(path)))
    };
    let mut builder = Builder::new();
    // What is damaged is found now, not under somebody's payment.
    builder.set_cache_size(CACHE_BYTES).set_check_integrity_on_open(true);
    let database = builder.create_with_backend(storage).map_err(|error| match error {
        DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => {
            LedgerError::Locked(SecretPath::from(path).to_string())
        }
        error => failed(&error),
    })?;
    check_format(&database, keep_old).map_err(|error| match error {
        LedgerError::Storage(text) => failed(&text),
        error => error,
    })?;
    Ok(database)
}

/// Gives back what a large ledger has no use for any more. It rewrites what is there, so it is done where
/// that is little.
fn compact(path: &Path, database: &mut Database) -> Result<(), LedgerError> {
    const WORTHWHILE_BYTES: u64 = 16 << 20;
    let writing = database.begin_write().map_err(storage)?;
    let stats = writing.stats().map_err(storage)?;
    let size = std::fs::metadata(path).map_or(0, |metadata| metadata.len());
    writing.abort().map_err(storage)?;
    let used = stats.stored_bytes().saturating_add(stats.metadata_bytes());
    if size > WORTHWHILE_BYTES && size / 4 > used {
        database.compact().map_err(storage)?;
    }
    Ok(())
}

#[cfg(unix)]
fn open_file(path: &Path) -> std::io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    // It holds signatures: nobody but the owner reads it.
    options().mode(0o600).open(path)
}

#[cfg(not(unix))]
fn open_file(path: &Path) -> std::io::Result<File> {
    options().open(path)
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    options
}

/// Makes the file's name as durable as what is in it: a folder has a disk block of its own.
#[cfg(unix)]
pub(super) fn sync_folder(path: &Path) -> std::io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(not(unix))]
pub(super) fn sync_folder(_: &Path) -> std::io::Result<()> {
    Ok(())
}

fn check_format(
    database: &Database,
    keep_old: &dyn Fn() -> Result<(), LedgerError>,
) -> Result<(), LedgerError> {
    let writing = begin(database)?;
    let names: Vec<_> =
        writing.list_tables().map_err(storage)?.map(|table| table.name().to_owned()).collect();
    if !names.is_empty() && !names.iter().any(|name| name == ABOUT.name()) {
        return Err(LedgerError::Storage("it is a database of another program".into()));
    }
    let format = {
        let mut about = writing.open_table(ABOUT).map_err(storage)?;
        let format = about.get(FORMAT_KEY).map_err(storage)?.map(|format| format.value());
        if format.is_none() {
            about.insert(FORMAT_KEY, FORMAT).map_err(storage)?;
        }
        format
    };
    match format {
        Some(convert::OLD_FORMAT) => {
            keep_old()?;
            convert::convert(&writing)?;
        }
        Some(FORMAT) | None => {}
        Some(format) => return Err(wrong_format(format)),
    }
    // Files of earlier versions do not say which ledger they are.
    let is_new = identify(&writing)?;
    if format == Some(FORMAT) && !is_new {
        return Ok(());
    }
    // The tables are made now, so that reading never finds them missing.
    drop(Tables::open(&writing)?);
    writing.commit().map_err(storage)
}

/// Sees to it that it is known which ledger it is; says whether it was not.
fn identify(writing: &WriteTransaction) -> Result<bool, LedgerError> {
    let mut table = writing.open_table(IDENTITY).map_err(storage)?;
    let is_new = table.get(()).map_err(storage)?.is_none();
    if is_new {
        table.insert((), &LedgerIdentity::random()?.0).map_err(storage)?;
    }
    Ok(is_new)
}

/// Which ledger it is, which is known since it was opened.
pub(super) fn identity(database: &Database) -> Result<LedgerIdentity, LedgerError> {
    let reading = database.begin_read().map_err(storage)?;
    let table = reading.open_table(IDENTITY).map_err(storage)?;
    let bytes = table.get(()).map_err(storage)?.ok_or(LedgerError::Corrupt)?;
    Ok(LedgerIdentity(*bytes.value()))
}

fn wrong_format(format: u64) -> LedgerError {
    LedgerError::Storage(format!(
        "it is a ledger of format {format}, and this version reads formats {} and {FORMAT}: \
         use the version that wrote it, or another file",
        convert::OLD_FORMAT
    ))
}
