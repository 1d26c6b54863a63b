use super::credit::{balance, units};
use super::owed::sums_are_those_of_the_entries;
use super::*;
use crate::chain::{Block, PaidLog};
use crate::ledger::encoding;

/// The rows of a file of format 4, as the version of that format wrote it: table, key, and value.
const ROWS: &str = include_str!("fixtures/format4.txt");

/// The rows of a table: keys as bytes, values as they stand there.
pub(super) fn rows(table: &str) -> Vec<(Vec<u8>, &'static str)> {
    let fields = ROWS.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let rows = fields.filter(|fields| fields[0] == table);
    let rows: Vec<_> = rows.map(|fields| (bytes(fields[1]), fields[2])).collect();
    assert!(!rows.is_empty(), "{table}");
    rows
}

pub(super) fn bytes(hex: &str) -> Vec<u8> {
    let digits = (0..hex.len() / 2).map(|at| u8::from_str_radix(&hex[at * 2..][..2], 16));
    digits.collect::<Result<_, _>>().unwrap()
}

pub(super) fn entries() -> Vec<(Entry, Vec<u8>)> {
    let decoded = |(_, value): (Vec<u8>, &str)| {
        let bytes = bytes(value);
        assert_eq!(bytes[0], 6, "the format of entries without logs");
        (encoding::decode(&bytes).unwrap(), bytes)
    };
    rows("entries").into_iter().map(decoded).collect()
}

/// Everything is there, and nothing that has paid pays again.
pub(super) async fn nothing_is_lost(ledger: &dyn Ledger) {
    let entries = entries();
    let mut ids: Vec<_> = entries.iter().map(|(entry, _)| entry.id()).collect();
    ids.sort();
    assert_eq!(ledger.ids().await.unwrap(), ids);
    let mut settled = 0;
    for (old, _) in &entries {
        let found = entry(ledger, old.id()).await;
        assert_eq!(format!("{found:?}"), format!("{old:?}"));
        let Some(settlement) = old.settlement else { continue };
        settled += 1;
        let paid = ledger.paid_by(old.id().chain_id, settlement.transaction).await.unwrap();
        assert!(paid.contains(&(old.id(), None)), "{paid:?}");
    }
    assert_eq!(settled, 5);
    let batch = ledger.paid_by(ids[0].chain_id, TxHash([7; 32])).await.unwrap();
    assert_eq!(batch.len(), 2, "two of one transaction");
    assert!(ledger.unfinal_blocks(ids[0].chain_id, 9).await.unwrap().is_empty());
    sums_are_those_of_the_entries(ledger).await;
    let debts: Vec<_> = entries.iter().filter(|(entry, _)| entry.is_debt()).collect();
    let [(debt, _)] = debts[..] else { panic!() };
    let account = crate::ledger::OwedAccount::of(&debt.payment);
    let owed = ledger.owes(account).await.unwrap();
    assert_eq!((owed.sum, owed.debts), (units(340), vec![debt.id()]));
    // Two who have paid more than was used.
    let account = crate::ledger::CreditAccount::of(&debt.payment);
    let both = (balance(ledger, 1).await, ledger.balance(account).await.unwrap());
    assert_eq!(both, (units(650), units(200)));
    assert_eq!(ledger.held_draws().await.unwrap().len(), 1);
    // A new payment's log in an old transaction is not believed to be unused.
    let (pending, _) = entries.iter().find(|(entry, _)| entry.state == State::Pending).unwrap();
    let log = PaidLog { block: Block { number: 5, hash: [5; 32] }, position: 3 };
    let by = |byte| Step::Confirmed(Settlement { transaction: TxHash([byte; 32]), log: Some(log) });
    for used in [2, 7] {
        let taken = ledger.apply(pending.id(), by(used)).await;
        assert!(matches!(taken, Err(LedgerError::LogTaken)), "{taken:?}");
    }
    ledger.apply(pending.id(), by(99)).await.unwrap();
    assert_eq!(state(ledger, pending.id()).await, State::Settled);
    // What is old goes on, and is written anew with that.
    let (owed, _) = entries.iter().find(|(entry, _)| entry.state == State::Settled).unwrap();
    let answered = Step::Answered(answer(), owed.payment.amount());
    ledger.apply(owed.id(), answered).await.unwrap();
    let log = vec![(owed.id(), log)];
    ledger.fill_in_logs(owed.id().chain_id, TxHash([2; 32]), log).await.unwrap();
    assert!(entry(ledger, owed.id()).await.settlement.unwrap().log.is_some());
}
