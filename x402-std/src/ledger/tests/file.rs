use core::ops::Range;
use core::time::Duration;
use std::path::Path;
use std::sync::Arc;

use ::redb::{Database, ReadableDatabase as _, TableDefinition};
use tempfile::TempDir;

use super::credit::{balance, draw, drawn, earn, paid, units, used};
use super::logs::whole_transactions_are_used_until_their_logs_are_known;
use super::owed::{account, claim, later};
use super::{
    DAY, Entry, Ledger as _, LedgerError, NOW, PaymentId, REQUEST, State, Step,
    an_old_ledger_shrinks, answer, claim_new, entry, open_ids, payment, settlement, state,
    transaction, ways,
};
use crate::chain::{Block, PaidLog, Settlement, TxHash};
use crate::ledger::{Answer, Conclusion, Owed, OwedAccount, RedbLedger, Settle};
use crate::ledger::{CreditAccount, CreditNames, NameLedger as _, Renewal};

pub(super) fn new_ledger() -> (RedbLedger, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    (RedbLedger::open(folder.path().join("x402.redb")).unwrap(), folder)
}

fn refusal(path: &Path) -> String {
    RedbLedger::open(path).unwrap_err().to_string()
}

async fn fill(ledger: &RedbLedger) {
    for (number, (_, way)) in (0..).zip(ways()) {
        let payment = payment(number);
        claim_new(ledger, &payment).await;
        for step in way {
            ledger.apply(payment.id(), step).await.unwrap();
        }
    }
}

async fn expect_all(ledger: &RedbLedger) {
    for (number, (state, _)) in (0..).zip(ways()) {
        let entry = entry(ledger, payment(number).id()).await;
        assert_eq!(entry.state, state);
        assert_eq!(entry.payment.to_bytes(), payment(number).to_bytes());
        assert_eq!((entry.request, entry.claimed_at), (REQUEST, NOW));
        let is_sent = !matches!(state, State::Claimed | State::Worked);
        assert_eq!(entry.transaction, is_sent.then(|| transaction(1)));
        let is_answered = matches!(state, State::Served | State::Worked);
        assert_eq!(entry.answer, is_answered.then(answer));
    }
    assert_eq!(open_ids(ledger).await.len(), 4);
}

/// Also those of a file whose version knew of none.
#[tokio::test]
async fn what_holds_for_names_is_in_the_file() {
    let (ledger, folder) = new_ledger();
    let path = folder.path().join("x402.redb");
    let account = draw(1, 0, 0).account;
    drop(ledger);
    let database = Database::open(&path).unwrap();
    let writing = database.begin_write().unwrap();
    let names = TableDefinition::<&[u8; CreditAccount::LEN], &[u8]>::new("credit names");
    assert!(writing.delete_table(names).unwrap());
    writing.commit().unwrap();
    drop(database);
    let ledger = RedbLedger::open(&path).unwrap();
    assert_eq!(ledger.credit_names(account).await.unwrap(), CreditNames::default());
    let renewed = ledger.renew_names(account, Renewal::default()).await.unwrap();
    assert_eq!(renewed.generation, 1);
    let copy = RedbLedger::open_copy(&path).unwrap();
    assert_eq!(copy.credit_names(account).await.unwrap(), renewed);
    drop(ledger);
    let ledger = RedbLedger::open(&path).unwrap();
    assert_eq!(ledger.credit_names(account).await.unwrap(), renewed);
}

/// A file of an earlier version, which did not say which ledger it is, says so from then on.
#[tokio::test]
async fn a_file_says_which_ledger_it_is_whoever_opens_it() {
    let (ledger, folder) = new_ledger();
    let path = folder.path().join("x402.redb");
    fill(&ledger).await;
    let known = ledger.identity().await.unwrap();
    assert_eq!(RedbLedger::open_copy(&path).unwrap().identity().await.unwrap(), known);
    drop(ledger);
    assert_eq!(RedbLedger::open(&path).unwrap().identity().await.unwrap(), known);
    assert_ne!(new_ledger().0.identity().await.unwrap(), known);
    let table = TableDefinition::<(), &[u8; 16]>::new("identity");
    let database = Database::open(&path).unwrap();
    let writing = database.begin_write().unwrap();
    assert!(writing.delete_table(table).unwrap());
    writing.commit().unwrap();
    drop(database);
    let ledger = RedbLedger::open(&path).unwrap();
    let new = ledger.identity().await.unwrap();
    assert_ne!(new, known);
    expect_all(&ledger).await;
    drop(ledger);
    assert_eq!(RedbLedger::open(&path).unwrap().identity().await.unwrap(), new);
}

/// With each step the log that has paid is there, or is given back; in one change with the step itself.
#[tokio::test]
async fn logs_that_have_paid_survive_every_step() {
    let (mut ledger, folder) = new_ledger();
    let (path, copy) = (folder.path().join("x402.redb"), folder.path().join("copy.redb"));
    let entry = Entry { settle: Settle::Later, ..paid(1, 1, units(300), false) };
    let (id, chain_id) = (entry.id(), entry.payment.chain_id());
    let account = OwedAccount::of(&entry.payment);
    claim(&ledger, entry).await;
    ledger.apply(id, Step::Worked(answer(), units(200))).await.unwrap();
    ledger.apply(id, Step::Journalled(transaction(1))).await.unwrap();
    let log = |number: u8| {
        let block = Block { number: number.into(), hash: [number; 32] };
        PaidLog { block, position: number.into() }
    };
    let by = |number| Settlement { transaction: TxHash([1; 32]), log: Some(log(number)) };
    for (step, paid, unfinal, left, owed) in [
        (Some(Step::Confirmed(by(5))), Some(5), true, 100, 0),
        (Some(Step::Reversed), None, false, 0, 200),
        (Some(Step::Confirmed(by(6))), Some(6), true, 100, 0),
        (None, Some(6), false, 100, 0),
    ] {
        match step {
            Some(step) => ledger.apply(id, step).await.unwrap(),
            None => ledger.finalize(chain_id, log(6).block).await.unwrap(),
        }
        let expect = async |ledger: &RedbLedger| {
            let rows: Vec<_> = paid.map(|number| (id, Some(log(number)))).into_iter().collect();
            assert_eq!(ledger.paid_by(chain_id, TxHash([1; 32])).await.unwrap(), rows);
            let blocks = ledger.unfinal_blocks(chain_id, 9).await.unwrap();
            assert_eq!(blocks.len(), usize::from(unfinal));
            assert_eq!(balance(ledger, 1).await, units(left));
            assert_eq!(ledger.owes(account).await.unwrap().sum, units(owed));
        };
        std::fs::copy(&path, &copy).unwrap();
        expect(&RedbLedger::open(&copy).unwrap()).await;
        drop(ledger);
        ledger = RedbLedger::open(&path).unwrap();
        expect(&ledger).await;
    }
}

#[tokio::test]
async fn whole_transactions_in_a_file() {
    let (ledger, _folder) = new_ledger();
    let mark = |id| {
        let ledger = &ledger;
        async move { ledger.mark_whole(id).await }
    };
    whole_transactions_are_used_until_their_logs_are_known(&ledger, mark).await;
}

#[tokio::test]
async fn a_reopened_file_has_everything() {
    let (ledger, folder) = new_ledger();
    fill(&ledger).await;
    drop(ledger);
    expect_all(&RedbLedger::open(folder.path().join("x402.redb")).unwrap()).await;
}

/// The file as it is while the ledger is in use is what a process leaves that is killed.
#[tokio::test]
async fn a_file_that_was_never_closed_has_everything() {
    let (ledger, folder) = new_ledger();
    fill(&ledger).await;
    let copy = folder.path().join("copy.redb");
    std::fs::copy(folder.path().join("x402.redb"), &copy).unwrap();
    expect_all(&RedbLedger::open(&copy).unwrap()).await;
}

/// What a process leaves that is killed between two steps, and what one finds that opens it anew.
#[tokio::test]
async fn balances_and_draws_survive_every_step() {
    let (mut ledger, folder) = new_ledger();
    let (path, copy) = (folder.path().join("x402.redb"), folder.path().join("copy.redb"));
    let [first, second, third] = [1, 2, 3].map(|nonce| draw(1, nonce, 300));
    for (step, left, held) in
        [(0, 1_000, 0), (1, 700, 1), (2, 400, 2), (3, 650, 1), (4, 950, 0), (5, 650, 1)]
    {
        match step {
            0 => earn(&ledger, 1, 1, units(1_000)).await,
            1 => drawn(&ledger, &first).await,
            2 => drawn(&ledger, &second).await,
            3 => ledger.conclude(first.id, used(50)).await.unwrap(),
            4 => ledger.conclude(second.id, Conclusion::Returned).await.unwrap(),
            _ => drawn(&ledger, &third).await,
        }
        let expect = async |ledger: &RedbLedger| {
            assert_eq!(balance(ledger, 1).await, units(left), "{step}");
            assert_eq!(ledger.held_draws().await.unwrap().len(), held, "{step}");
            let done = ledger.find_draw(first.id).await.unwrap().filter(|draw| !draw.is_held());
            assert_eq!(done.is_some(), step >= 3);
            assert_eq!(ledger.find_draw(second.id).await.unwrap().is_some(), matches!(step, 2 | 3));
        };
        std::fs::copy(&path, &copy).unwrap();
        expect(&RedbLedger::open(&copy).unwrap()).await;
        drop(ledger);
        ledger = RedbLedger::open(&path).unwrap();
        expect(&ledger).await;
    }
    let again = ledger.conclude(first.id, used(50)).await;
    assert!(matches!(again, Err(LedgerError::Concluded)), "{again:?}");
    assert_eq!(balance(&ledger, 1).await, units(650));
}

/// As above, of what is owed.
#[tokio::test]
async fn what_is_owed_survives_every_step() {
    let (mut ledger, folder) = new_ledger();
    let (path, copy) = (folder.path().join("x402.redb"), folder.path().join("copy.redb"));
    let [first, second] = [1, 2].map(|number| later(1, 1, number, units(300), true));
    let (one, two) = (first.id(), second.id());
    let worked = |used| Step::Worked(answer(), units(used));
    for (step, sum, debts) in [
        (None, 300, vec![]),
        (None, 600, vec![]),
        (Some((one, worked(100))), 400, vec![]),
        (Some((one, Step::Refused)), 400, vec![one]),
        (Some((two, worked(50))), 150, vec![one]),
        (Some((two, Step::Journalled(transaction(1)))), 150, vec![one]),
        (Some((one, Step::Journalled(transaction(2)))), 150, vec![]),
        (Some((one, Step::Reverted)), 150, vec![one]),
        (Some((two, Step::Confirmed(settlement(1)))), 100, vec![one]),
        (Some((one, Step::Forgiven)), 0, vec![]),
    ] {
        // Claims are on disk with what follows them.
        let is_safe = step.is_some();
        match step {
            Some((id, step)) => ledger.apply(id, step).await.unwrap(),
            None if sum == 300 => claim(&ledger, first.clone()).await,
            None => claim(&ledger, second.clone()).await,
        }
        let expected = Owed { sum: units(sum), debts };
        std::fs::copy(&path, &copy).unwrap();
        let killed = RedbLedger::open(&copy).unwrap();
        assert!(!is_safe || killed.owes(account(1, 1)).await.unwrap() == expected);
        drop(ledger);
        ledger = RedbLedger::open(&path).unwrap();
        assert_eq!(ledger.owes(account(1, 1)).await.unwrap(), expected);
    }
}

/// What the next payment costs is the same whether its payer owes for one or for thousands.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_owed_is_read_at_once_however_much_it_is() {
    const COUNT: u64 = 2_000;
    let (ledger, _folder) = new_ledger();
    let ledger = Arc::new(ledger);
    let kept = Answer { body: Some(vec![7; 100_000]), ..answer() };
    serve(&ledger, 0..1, &kept).await;
    let one = time_to_ask(&ledger, 1).await;
    serve(&ledger, 1..COUNT, &kept).await;
    let all = time_to_ask(&ledger, COUNT).await;
    println!("what is owed is read in {one:?} of one payment, in {all:?} of {COUNT}");
    // To read all those payments takes more than a hundred times as long.
    assert!(all < one * 5 + Duration::from_millis(1), "{all:?}, and of one payment {one:?}");
}

/// Payments whose answers were given.
async fn serve(ledger: &Arc<RedbLedger>, numbers: Range<u64>, kept: &Answer) {
    let mut tasks = tokio::task::JoinSet::new();
    for number in numbers {
        let (ledger, kept) = (Arc::clone(ledger), kept.clone());
        tasks.spawn(async move {
            let entry = later(1, 1, number, units(10), false);
            claim(&*ledger, entry.clone()).await;
            ledger.apply(entry.id(), Step::Worked(kept, units(10))).await.unwrap();
        });
        // So many are in memory at once.
        if tasks.len() >= 64 {
            tasks.join_next().await.unwrap().unwrap();
        }
    }
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
}

/// The shortest of many: the machine may be busy with something else.
async fn time_to_ask(ledger: &RedbLedger, count: u64) -> Duration {
    let mut shortest = Duration::MAX;
    for _ in 0..100 {
        let begun = std::time::Instant::now();
        let owed = ledger.owes(account(1, 1)).await.unwrap();
        shortest = shortest.min(begun.elapsed());
        assert_eq!(owed, Owed { sum: units(u128::from(count) * 10), debts: vec![] });
    }
    shortest
}

/// A hundred thousand payments under way, as after a bad night.
#[tokio::test]
async fn a_large_ledger_is_opened_at_once_and_does_not_stay_large() {
    const COUNT: u128 = 100_000;
    let (ledger, folder) = new_ledger();
    drop(ledger);
    let path = folder.path().join("x402.redb");
    let database = Database::open(&path).unwrap();
    let writing = database.begin_write().unwrap();
    {
        let entries = TableDefinition::<&[u8; PaymentId::LEN], &[u8]>::new("entries");
        let open = TableDefinition::<&[u8; PaymentId::LEN], ()>::new("open");
        let mut entries = writing.open_table(entries).unwrap();
        let mut open = writing.open_table(open).unwrap();
        let pending = Entry::new(&payment(1), REQUEST, NOW).unwrap();
        let pending = pending.after(Step::Journalled(transaction(1))).unwrap().unwrap();
        let bytes = crate::ledger::encoding::encode(&pending);
        let first = pending.id().to_bytes();
        for number in 0..COUNT {
            // The payments differ in their keys only: signing so many takes longer than the test.
            let mut key = first;
            key[PaymentId::LEN - 16..].copy_from_slice(&number.to_be_bytes());
            entries.insert(&key, bytes.as_slice()).unwrap();
            open.insert(&key, ()).unwrap();
        }
    }
    writing.commit().unwrap();
    drop(database);
    let size = std::fs::metadata(&path).unwrap().len();
    let begun = std::time::Instant::now();
    let ledger = RedbLedger::open(&path).unwrap();
    let open = ledger.open_entries().await.unwrap();
    println!("{} open entries of {} MiB in {:?}", open.len(), size >> 20, begun.elapsed());
    assert_eq!(open.len() as u128, COUNT);
    // A debug build on a busy machine; a release build takes a fifth of it.
    assert!(begun.elapsed().as_secs() < 10);
    drop(ledger);

    let database = Database::open(&path).unwrap();
    let writing = database.begin_write().unwrap();
    let entries = TableDefinition::<&[u8; PaymentId::LEN], &[u8]>::new("entries");
    let open = TableDefinition::<&[u8; PaymentId::LEN], ()>::new("open");
    writing.delete_table(entries).unwrap();
    writing.delete_table(open).unwrap();
    writing.open_table(entries).unwrap();
    writing.open_table(open).unwrap();
    writing.commit().unwrap();
    drop(database);
    drop(RedbLedger::open(&path).unwrap());
    let small = std::fs::metadata(&path).unwrap().len();
    assert!(small < size / 10, "{small} of {size} bytes");
}

/// As the books are read while the gateway runs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_of_a_file_in_use_is_whole() {
    let (ledger, folder) = new_ledger();
    let path = folder.path().join("x402.redb");
    fill(&ledger).await;
    let ledger = Arc::new(ledger);
    let writing = {
        let ledger = Arc::clone(&ledger);
        tokio::spawn(async move {
            for number in 1_000.. {
                claim_new(&*ledger, &payment(number)).await;
                ledger.apply(payment(number).id(), Step::Journalled(transaction(1))).await.unwrap();
            }
        })
    };
    let mut last = 0;
    for _ in 0..50 {
        let copy = RedbLedger::open_copy(&path).unwrap();
        let ids = copy.ids().await.unwrap();
        assert!(ids.len() >= last.max(6), "{} after {last}", ids.len());
        last = ids.len();
        for id in ids {
            assert!(copy.find(id).await.unwrap().is_some());
        }
    }
    assert!(last > 6, "nothing was written meanwhile");
    writing.abort();
    let _ = writing.await;
    // What is done to a copy is done to the copy.
    let copy = RedbLedger::open_copy(&path).unwrap();
    copy.apply(payment(0).id(), Step::Refused).await.unwrap();
    drop(copy);
    assert_eq!(state(&*ledger, payment(0).id()).await, State::Claimed);
    assert!(RedbLedger::open_copy(folder.path().join("other")).is_err());
    std::fs::write(folder.path().join("text"), "no ledger").unwrap();
    assert!(RedbLedger::open_copy(folder.path().join("text")).is_err());
}

#[test]
fn a_second_open_is_locked() {
    let (_ledger, folder) = new_ledger();
    let path = folder.path().join("x402.redb");
    let error = RedbLedger::open(&path).unwrap_err();
    assert!(matches!(error, LedgerError::Locked(_)), "{error:?}");
    let expected = format!("another process has the ledger open: {}", path.display());
    assert_eq!(error.to_string(), expected);
}

#[cfg(unix)]
#[test]
fn nobody_but_the_owner_reads_the_file() {
    use std::os::unix::fs::PermissionsExt as _;
    let (_ledger, folder) = new_ledger();
    let metadata = std::fs::metadata(folder.path().join("x402.redb")).unwrap();
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_database_of_another_program_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("other.redb");
    let other = TableDefinition::<u64, u64>::new("other");
    let database = Database::create(&path).unwrap();
    let writing = database.begin_write().unwrap();
    writing.open_table(other).unwrap().insert(1, 2).unwrap();
    writing.commit().unwrap();
    drop(database);
    assert!(refusal(&path).contains("another program"));
    let database = Database::open(&path).unwrap();
    let reading = database.begin_read().unwrap();
    assert_eq!(reading.open_table(other).unwrap().get(1).unwrap().unwrap().value(), 2);
    assert_eq!(reading.list_tables().unwrap().count(), 1);
}

#[test]
fn what_is_no_ledger_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in [("text", &b"listen: 127.0.0.1:4021\n"[..]), ("zeros", &[0; 9000])] {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        assert!(refusal(&path).contains(name), "{name}");
        assert_eq!(std::fs::read(&path).unwrap(), content);
    }
}

#[tokio::test]
async fn a_damaged_file_is_refused() {
    let (ledger, folder) = new_ledger();
    fill(&ledger).await;
    drop(ledger);
    let path = folder.path().join("x402.redb");
    let whole = std::fs::read(&path).unwrap();
    let marker = payment(0).to_bytes();
    let at = whole.windows(marker.len()).position(|window| window == marker).unwrap();
    let mut damaged = whole.clone();
    damaged[at] ^= 1;
    for (name, content) in
        [("bit", &damaged[..]), ("cut", &whole[..whole.len() / 2]), ("stub", &whole[..100])]
    {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        assert!(refusal(&path).contains(name), "{name}");
    }
}

#[tokio::test]
async fn a_damaged_entry_is_an_error_of_its_own_payment() {
    let (ledger, folder) = new_ledger();
    claim_new(&ledger, &payment(1)).await;
    claim_new(&ledger, &payment(2)).await;
    drop(ledger);
    let path = folder.path().join("x402.redb");
    let database = Database::open(&path).unwrap();
    let writing = database.begin_write().unwrap();
    let entries = TableDefinition::<&[u8; PaymentId::LEN], &[u8]>::new("entries");
    writing.open_table(entries).unwrap().insert(&payment(1).id().to_bytes(), &[9, 9][..]).unwrap();
    writing.commit().unwrap();
    drop(database);
    let ledger = RedbLedger::open(&path).unwrap();
    let id = payment(1).id();
    assert!(matches!(ledger.find(id).await, Err(LedgerError::Corrupt)));
    assert!(matches!(
        ledger.claim(Entry::new(&payment(1), REQUEST, NOW).unwrap()).await,
        Err(LedgerError::Corrupt)
    ));
    assert!(matches!(ledger.apply(id, Step::Refused).await, Err(LedgerError::Corrupt)));
    assert!(matches!(ledger.open_entries().await, Err(LedgerError::Corrupt)));
    // The others go on, even when the damaged one is due.
    assert_eq!(state(&ledger, payment(2).id()).await, State::Claimed);
    ledger.claim(Entry::new(&payment(3), REQUEST, NOW + 2 * DAY).unwrap()).await.unwrap();
}

#[test]
fn a_place_that_takes_no_file_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing/x402.redb");
    for path in [missing.as_path(), folder.path(), Path::new("")] {
        assert!(refusal(path).contains("cannot be opened"), "{path:?}");
    }
}

/// Folders and disks that refuse the superuser too.
#[cfg(target_os = "linux")]
#[test]
fn a_folder_that_is_read_only_and_a_disk_that_is_full_are_errors() {
    for path in ["/proc/self/x402.redb", "/dev/full"] {
        assert!(refusal(Path::new(path)).contains(path));
    }
}

#[tokio::test]
async fn an_old_file_shrinks_as_new_payments_come() {
    let (ledger, _folder) = new_ledger();
    an_old_ledger_shrinks(&ledger).await;
}

/// Changes that are asked for at once share a transaction: one that cannot be made spoils no other, and
/// each that was said to be made is on the disk.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_changes_that_come_together_each_has_its_own_end() {
    let (ledger, folder) = new_ledger();
    let ledger = std::sync::Arc::new(ledger);
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..200 {
        let ledger = std::sync::Arc::clone(&ledger);
        tasks.spawn(async move {
            let payment = payment(number);
            claim_new(&*ledger, &payment).await;
            // Every second one takes a step that it cannot take, and is not there for another.
            let step =
                if number % 2 == 0 { Step::TimedOut } else { Step::Journalled(transaction(1)) };
            let taken = ledger.apply(payment.id(), step).await;
            assert_eq!(taken.is_ok(), number % 2 == 1, "{number}: {taken:?}");
            let stranger = ledger.apply(super::payment(1_000 + number).id(), Step::Refused).await;
            assert!(matches!(stranger, Err(LedgerError::Missing)));
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
    drop(ledger);
    let ledger = RedbLedger::open(folder.path().join("x402.redb")).unwrap();
    for number in 0..200 {
        let expected = if number % 2 == 0 { State::Claimed } else { State::Broadcast };
        assert_eq!(state(&ledger, payment(number).id()).await, expected);
    }
}

/// A claim need not be on disk, and is soon; once its answer is kept or its transaction journalled, all of it
/// is. That what is settled first is confirmed need not be either.
#[tokio::test]
async fn what_is_on_disk_before_anything_is_sent() {
    let (ledger, folder) = new_ledger();
    let path = folder.path().join("x402.redb");
    let killed = async |id| {
        let ledger = RedbLedger::open_copy(&path).unwrap();
        ledger.find(id).await.unwrap().map(|entry| entry.state)
    };
    for (number, settle) in [(1, Settle::First), (2, Settle::After), (3, Settle::Later)] {
        let entry = Entry { settle, ..later(1, 1, number, units(300), true) };
        let id = entry.id();
        claim(&ledger, entry).await;
        let state = killed(id).await;
        assert!(matches!(state, Some(State::Claimed) | None));
        if settle != Settle::First {
            ledger.apply(id, Step::Worked(answer(), units(300))).await.unwrap();
            assert_eq!(killed(id).await, Some(State::Worked), "{settle:?}");
        }
        ledger.apply(id, Step::Journalled(transaction(1))).await.unwrap();
        assert_eq!(killed(id).await, Some(State::Broadcast), "{settle:?}");
        ledger.apply(id, Step::Confirmed(settlement(1))).await.unwrap();
        let state = killed(id).await;
        let is_first = settle == Settle::First;
        let arrived = if is_first { State::Settled } else { State::Served };
        assert!(state == Some(arrived) || (is_first && state == Some(State::Broadcast)));
        assert_eq!(ledger.find(id).await.unwrap().map(|entry| entry.state), Some(arrived));
    }
    // What only a facilitator knows is on disk.
    let entry = Entry { settle: Settle::First, ..later(1, 1, 6, units(300), true) };
    let id = entry.id();
    claim(&ledger, entry).await;
    ledger.apply(id, Step::Entrusted).await.unwrap();
    ledger.apply(id, Step::Confirmed(settlement(1))).await.unwrap();
    assert_eq!(killed(id).await, Some(State::Settled));
    let entry = Entry { settle: Settle::First, ..later(1, 1, 4, units(300), true) };
    let id = entry.id();
    claim(&ledger, entry).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(killed(id).await, Some(State::Claimed), "soon");
    let entry = Entry { settle: Settle::First, ..later(1, 1, 5, units(300), true) };
    let id = entry.id();
    claim(&ledger, entry).await;
    drop(ledger);
    let state = RedbLedger::open(&path).unwrap().find(id).await.unwrap().map(|entry| entry.state);
    assert_eq!(state, Some(State::Claimed), "whoever closes the file leaves nothing out");
}
