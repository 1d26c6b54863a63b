//! Files of the format before.

use std::path::{Path, PathBuf};

use ::redb::{Database, ReadableDatabase as _, TableDefinition, WriteTransaction};
use tempfile::TempDir;

use super::convert::{bytes, entries, nothing_is_lost, rows};
use super::{Ledger as _, LedgerError, PaymentId, entry};
use crate::ledger::RedbLedger;

type Key = &'static [u8; PaymentId::LEN];
const ABOUT: TableDefinition<'_, &str, u64> = TableDefinition::new("x402 ledger");
const ENTRIES: TableDefinition<'_, Key, &[u8]> = TableDefinition::new("entries");

/// A file as the version before wrote it.
fn old_file() -> (PathBuf, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x402.redb");
    let database = Database::create(&path).unwrap();
    let writing = database.begin_write().unwrap();
    {
        writing.open_table(ABOUT).unwrap().insert("format", 4).unwrap();
        let mut to = writing.open_table(ENTRIES).unwrap();
        for (key, value) in rows("entries") {
            to.insert(&sized::<80>(key), &bytes(value)[..]).unwrap();
        }
        let mut to = writing.open_table(TableDefinition::<Key, ()>::new("open")).unwrap();
        for (key, _) in rows("open") {
            to.insert(&sized::<80>(key), ()).unwrap();
        }
        let mut to = writing.open_table(TableDefinition::<(u64, Key), ()>::new("due")).unwrap();
        for (key, time) in rows("due") {
            to.insert((time.parse::<u64>().unwrap(), &sized::<80>(key)), ()).unwrap();
        }
        let name = TableDefinition::<&[u8; 32], Key>::new("identified");
        let mut to = writing.open_table(name).unwrap();
        for (key, id) in rows("identified") {
            to.insert(&sized::<32>(key), &sized::<80>(bytes(id))).unwrap();
        }
        let name = TableDefinition::<(&[u8; 20], Key), ()>::new("debts");
        let mut to = writing.open_table(name).unwrap();
        for (payer, id) in rows("debts") {
            to.insert((&sized::<20>(payer), &sized::<80>(bytes(id))), ()).unwrap();
        }
        let name = TableDefinition::<&[u8; 48], &[u8; 32]>::new("owed");
        let mut to = writing.open_table(name).unwrap();
        for (key, sum) in rows("owed") {
            to.insert(&sized::<48>(key), &sized::<32>(bytes(sum))).unwrap();
        }
    }
    write_balances_and_draws(&writing);
    writing.commit().unwrap();
    (path, folder)
}

fn write_balances_and_draws(writing: &WriteTransaction) {
    let name = TableDefinition::<&[u8; 68], &[u8; 32]>::new("balances");
    let mut to = writing.open_table(name).unwrap();
    for (key, sum) in rows("balances") {
        to.insert(&sized::<68>(key), &sized::<32>(bytes(sum))).unwrap();
    }
    let mut to = writing.open_table(TableDefinition::<&[u8; 32], &[u8]>::new("draws")).unwrap();
    for (key, value) in rows("draws") {
        to.insert(&sized::<32>(key), &bytes(value)[..]).unwrap();
    }
    let mut to = writing.open_table(TableDefinition::<&[u8; 32], ()>::new("held")).unwrap();
    for (key, _) in rows("held") {
        to.insert(&sized::<32>(key), ()).unwrap();
    }
    let mut to = writing.open_table(TableDefinition::<(u64, &[u8; 32]), ()>::new("done")).unwrap();
    for (key, time) in rows("done") {
        to.insert((time.parse::<u64>().unwrap(), &sized::<32>(key)), ()).unwrap();
    }
}

fn sized<const N: usize>(bytes: Vec<u8>) -> [u8; N] {
    bytes.try_into().unwrap()
}

fn kept(path: &Path) -> PathBuf {
    path.with_file_name("x402.redb.format4")
}

/// The format that a file says it is of, and how many tables it has.
fn format(path: &Path) -> (u64, usize) {
    let database = Database::open(path).unwrap();
    let reading = database.begin_read().unwrap();
    let format = reading.open_table(ABOUT).unwrap().get("format").unwrap().unwrap().value();
    (format, reading.list_tables().unwrap().count())
}

#[tokio::test]
async fn an_old_file_is_converted_and_kept_as_it_was() {
    let (path, folder) = old_file();
    assert_eq!(format(&path), (4, 11));
    let ledger = RedbLedger::open(&path).unwrap();
    nothing_is_lost(&ledger).await;
    drop(ledger);
    assert_eq!(format(&path), (5, 16));
    // As it was: the version before reads it, and this one converts it again.
    let kept = kept(&path);
    assert_eq!(format(&kept), (4, 11));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::metadata(&kept).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "nothing else is left");
    let again = folder.path().join("again.redb");
    std::fs::copy(&kept, &again).unwrap();
    nothing_is_lost(&RedbLedger::open(&again).unwrap()).await;
    // Once it is of this format it is left alone.
    std::fs::write(&kept, "mine").unwrap();
    drop(RedbLedger::open(&path).unwrap());
    assert_eq!(std::fs::read(&kept).unwrap(), b"mine");
}

/// Written anew with the step, and not before.
#[tokio::test]
async fn entries_are_written_anew_when_they_are_changed() {
    let (path, _folder) = old_file();
    let ledger = RedbLedger::open(&path).unwrap();
    nothing_is_lost(&ledger).await;
    drop(ledger);
    let database = Database::open(&path).unwrap();
    let reading = database.begin_read().unwrap();
    let table = reading.open_table(ENTRIES).unwrap();
    let formats = entries().into_iter().map(|(entry, _)| {
        let key = entry.id().to_bytes();
        table.get(&key).unwrap().unwrap().value()[0]
    });
    let mut formats: Vec<_> = formats.collect();
    formats.sort_unstable();
    let expected: Vec<_> = [6; 10].into_iter().chain([7; 2]).collect();
    assert_eq!(formats, expected);
}

#[tokio::test]
async fn a_copy_of_an_old_file_is_converted_and_the_file_is_not() {
    let (path, folder) = old_file();
    let before = std::fs::read(&path).unwrap();
    nothing_is_lost(&RedbLedger::open_copy(&path).unwrap()).await;
    assert!(std::fs::read(&path).unwrap() == before);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn an_old_file_that_cannot_be_kept_stays_as_it_is() {
    let (path, _folder) = old_file();
    std::fs::create_dir_all(kept(&path).join("not empty")).unwrap();
    let error = RedbLedger::open(&path).unwrap_err().to_string();
    assert!(error.contains("x402.redb.format4") && error.contains("stays as it is"), "{error}");
    assert_eq!(format(&path), (4, 11));
    std::fs::remove_dir_all(kept(&path)).unwrap();
    drop(RedbLedger::open(&path).unwrap());
    assert_eq!(format(&kept(&path)), (4, 11));
}

#[tokio::test]
async fn a_damaged_entry_does_not_keep_an_old_file_from_being_converted() {
    let (path, _folder) = old_file();
    let damaged = entries().remove(0).0.id();
    let database = Database::open(&path).unwrap();
    let writing = database.begin_write().unwrap();
    let key = damaged.to_bytes();
    writing.open_table(ENTRIES).unwrap().insert(&key, &[6, 9][..]).unwrap();
    writing.commit().unwrap();
    drop(database);
    let ledger = RedbLedger::open(&path).unwrap();
    assert!(matches!(ledger.find(damaged).await, Err(LedgerError::Corrupt)));
    for (other, _) in entries().into_iter().skip(1) {
        assert_eq!(entry(&ledger, other.id()).await.state, other.state);
    }
}

#[test]
fn other_formats_are_refused_by_their_number() {
    for number in [3, 6] {
        let (path, _folder) = old_file();
        let database = Database::open(&path).unwrap();
        let writing = database.begin_write().unwrap();
        writing.open_table(ABOUT).unwrap().insert("format", number).unwrap();
        writing.commit().unwrap();
        drop(database);
        let error = RedbLedger::open(&path).unwrap_err().to_string();
        let says = format!("format {number}, and this version reads formats 4 and 5");
        assert!(error.contains(&says) && error.contains("x402.redb"), "{error}");
        assert!(!kept(&path).exists());
    }
}
