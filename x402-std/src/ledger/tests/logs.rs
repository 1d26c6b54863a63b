use core::future::Future;

use super::credit::{answered, balance, draw, drawn, earn, paid, race, units, used};
use super::owed::{later, sum};
use super::*;
use crate::chain::{Block, PaidLog};
use crate::ledger::{Conclusion, LOG_KEEP_SECONDS, OwedAccount, Settle};

const CHAIN: ChainId = ChainId::ETHEREUM;

fn block(number: u8) -> Block {
    Block { number: number.into(), hash: [number; 32] }
}

fn log(block_number: u8, position: u32) -> PaidLog {
    PaidLog { block: block(block_number), position }
}

fn hash(byte: u8) -> TxHash {
    TxHash([byte; 32])
}

fn by(transaction: u8, log: PaidLog) -> Settlement {
    Settlement { transaction: hash(transaction), log: Some(log) }
}

fn confirmed(transaction: u8, log: PaidLog) -> Step {
    Step::Confirmed(by(transaction, log))
}

/// A payment that is under way.
async fn sent(ledger: &dyn Ledger, number: u128) -> PaymentId {
    let payment = payment(number);
    claim_new(ledger, &payment).await;
    ledger.apply(payment.id(), Step::Journalled(transaction(1))).await.unwrap();
    payment.id()
}

/// A payment that this log has paid for.
async fn settled(ledger: &dyn Ledger, number: u128, by: Step) -> PaymentId {
    let id = sent(ledger, number).await;
    ledger.apply(id, by).await.unwrap();
    id
}

async fn paid_by(ledger: &dyn Ledger, transaction: u8) -> Vec<(PaymentId, Option<PaidLog>)> {
    ledger.paid_by(CHAIN, hash(transaction)).await.unwrap()
}

fn sorted<T: Ord>(rows: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut rows: Vec<_> = rows.into_iter().collect();
    rows.sort();
    rows
}

#[track_caller]
fn assert_taken<T: core::fmt::Debug>(result: Result<T, LedgerError>) {
    assert!(matches!(result, Err(LedgerError::LogTaken)), "{result:?}");
}

#[track_caller]
fn assert_remined<T: core::fmt::Debug>(result: Result<T, LedgerError>) {
    assert!(matches!(result, Err(LedgerError::Remined)), "{result:?}");
}

pub(super) async fn a_log_pays_for_one_payment(ledger: Arc<dyn Ledger>) {
    let ledger = &*ledger;
    let first = settled(ledger, 1, confirmed(9, log(5, 1))).await;
    assert_eq!(entry(ledger, first).await.settlement, Some(by(9, log(5, 1))));
    assert_eq!(paid_by(ledger, 9).await, [(first, Some(log(5, 1)))]);
    let second = sent(ledger, 2).await;
    let before = format!("{:?}", entry(ledger, second).await);
    assert_taken(ledger.apply(second, confirmed(9, log(5, 1))).await);
    assert_taken(ledger.apply(second, Step::Short(by(9, log(5, 1)), units(7))).await);
    assert_eq!(format!("{:?}", entry(ledger, second).await), before, "nothing has changed");
    assert!(ledger.balances().await.unwrap().is_empty());
    // Another log of the transaction, and the same one of another, or of another chain's, pay.
    ledger.apply(second, confirmed(9, log(5, u32::MAX))).await.unwrap();
    let third = settled(ledger, 3, confirmed(8, log(5, 1))).await;
    let elsewhere = Entry {
        payment: {
            let mut bytes = payment(4).to_bytes();
            bytes[..8].copy_from_slice(&7_u64.to_be_bytes());
            x402_core::Claimed::from_bytes(&bytes).unwrap()
        },
        ..Entry::new(&payment(4), REQUEST, NOW).unwrap()
    };
    assert!(matches!(ledger.claim(elsewhere.clone()).await.unwrap(), Claiming::New(_)));
    ledger.apply(elsewhere.id(), Step::Journalled(transaction(1))).await.unwrap();
    ledger.apply(elsewhere.id(), confirmed(9, log(5, 1))).await.unwrap();
    let both = sorted([(first, 1), (second, u32::MAX)]);
    let both: Vec<_> = both.into_iter().map(|(id, at)| (id, Some(log(5, at)))).collect();
    assert_eq!(paid_by(ledger, 9).await, both);
    assert_eq!(paid_by(ledger, 8).await, [(third, Some(log(5, 1)))]);
    let other = ledger.paid_by(ChainId::new(7), hash(9)).await.unwrap();
    assert_eq!(other, [(elsewhere.id(), Some(log(5, 1)))]);
    assert!(paid_by(ledger, 7).await.is_empty());
    // What is done with the entry afterwards changes nothing of it.
    ledger.apply(first, Step::Answered(answer(), units(10_000))).await.unwrap();
    assert_eq!(paid_by(ledger, 9).await, both);
}

pub(super) async fn what_is_settled_by_a_word_records_and_blocks_nothing(ledger: Arc<dyn Ledger>) {
    let ledger = &*ledger;
    // One hash may be said of many.
    for number in 1..4 {
        let id = settled(ledger, number, Step::Confirmed(settlement(9))).await;
        assert_eq!(entry(ledger, id).await.settled_by(), Some(hash(9)));
    }
    assert!(paid_by(ledger, 9).await.is_empty());
    assert!(ledger.unfinal_blocks(CHAIN, 9).await.unwrap().is_empty());
    let id = settled(ledger, 4, confirmed(9, log(5, 1))).await;
    settled(ledger, 5, Step::Confirmed(settlement(9))).await;
    assert_eq!(paid_by(ledger, 9).await, [(id, Some(log(5, 1)))]);
    // To take the word back takes nobody's log.
    ledger.apply(payment(1).id(), Step::Reversed).await.unwrap();
    assert_eq!(paid_by(ledger, 9).await, [(id, Some(log(5, 1)))]);
}

/// With steps of both kinds, and of payments that are paid first and last.
pub(super) async fn of_those_who_race_for_a_log_one_wins(ledger: Arc<dyn Ledger>) {
    for round in 0..4_u8 {
        let ids = race(24, |number| {
            let ledger = Arc::clone(&ledger);
            async move {
                let number = u64::from(number) + u64::from(round) * 100;
                let settle = if number % 3 == 0 { Settle::Later } else { Settle::First };
                let entry = Entry { settle, ..later(number as u8, 1, number, units(100), false) };
                super::owed::claim(&*ledger, entry.clone()).await;
                if settle == Settle::Later {
                    let worked = Step::Worked(answer(), units(60));
                    ledger.apply(entry.id(), worked).await.unwrap();
                }
                ledger.apply(entry.id(), Step::Journalled(transaction(1))).await.unwrap();
                entry.id()
            }
        })
        .await;
        let ends = race(24, |number| {
            let (ledger, id) = (Arc::clone(&ledger), ids[usize::from(number)]);
            async move {
                let by = by(round, log(5, 3));
                let is_short = number % 5 == 0;
                let step = if is_short { Step::Short(by, units(40)) } else { Step::Confirmed(by) };
                ledger.apply(id, step).await
            }
        })
        .await;
        let mut winners = Vec::new();
        for (id, end) in ids.iter().zip(ends) {
            match end {
                Ok(()) => winners.push((*id, Some(log(5, 3)))),
                end => assert_taken(end),
            }
        }
        assert_eq!(winners.len(), 1);
        let chain_id = winners[0].0.chain_id;
        assert_eq!(ledger.paid_by(chain_id, hash(round)).await.unwrap(), winners);
        // Nothing happened to the others.
        for id in ids {
            let entry = entry(&*ledger, id).await;
            let has_won = winners[0].0 == id;
            assert_eq!(
                (entry.settlement.is_some(), entry.state == State::Broadcast),
                (has_won, !has_won)
            );
        }
    }
    assert!(ledger.balances().await.unwrap().len() <= 4);
}

/// Each of the two asks for every log, for a payment of its own.
#[cfg(all(feature = "test-servers", any(feature = "postgres", feature = "redis")))]
pub(super) async fn of_two_processes_that_race_one_wins(ledgers: [Arc<dyn Ledger>; 2]) {
    const LOGS: u8 = 20;
    for number in 0..2 * LOGS {
        sent(&*ledgers[0], number.into()).await;
    }
    let ends = race(2 * LOGS, |number| {
        let ledger = Arc::clone(&ledgers[usize::from(number % 2)]);
        let step = confirmed(9, log(5, u32::from(number / 2)));
        async move { ledger.apply(payment(number.into()).id(), step).await }
    })
    .await;
    for (at, pair) in (0_u32..).zip(ends.chunks(2)) {
        let won: Vec<_> = pair.iter().map(Result::is_ok).collect();
        assert!(won == [true, false] || won == [false, true], "{at}: {pair:?}");
        let lost = pair.iter().find(|end| end.is_err()).unwrap();
        assert!(matches!(lost, Err(LedgerError::LogTaken)), "{lost:?}");
    }
    for ledger in &ledgers {
        assert_eq!(paid_by(&**ledger, 9).await.len(), usize::from(LOGS));
    }
}

/// Different logs of one transaction hold each other up, and harm each other, nowhere.
pub(super) async fn all_logs_of_a_batch_pay(ledger: Arc<dyn Ledger>) {
    let ids = race(40, |number| {
        let ledger = Arc::clone(&ledger);
        async move { sent(&*ledger, number.into()).await }
    })
    .await;
    race(40, |number| {
        let (ledger, id) = (Arc::clone(&ledger), ids[usize::from(number)]);
        async move { ledger.apply(id, confirmed(9, log(5, number.into()))).await.unwrap() }
    })
    .await;
    let expected = (0_u32..).zip(ids).map(|(at, id)| (id, at));
    let expected: Vec<_> =
        sorted(expected).into_iter().map(|(id, at)| (id, Some(log(5, at)))).collect();
    assert_eq!(paid_by(&*ledger, 9).await, expected);
}

pub(super) async fn what_is_reversed_gives_its_log_back(ledger: Arc<dyn Ledger>) {
    let ledger = &*ledger;
    let first = settled(ledger, 1, confirmed(9, log(5, 1))).await;
    let other = settled(ledger, 2, confirmed(9, log(5, 2))).await;
    ledger.apply(first, Step::Reversed).await.unwrap();
    let gone = entry(ledger, first).await;
    assert_eq!((gone.state, gone.settlement, gone.is_reversed), (State::Pending, None, true));
    assert!(open_ids(ledger).await.contains(&first));
    assert_eq!(paid_by(ledger, 9).await, [(other, Some(log(5, 2)))]);
    assert_eq!(ledger.paid_in(CHAIN, block(5), None, 9).await.unwrap(), [other]);
    let again = ledger.apply(first, Step::Reversed).await;
    assert!(matches!(again, Err(LedgerError::Illegal(_))), "{again:?}");
    // Another may have it; then it does not go back to the one that had it.
    let third = settled(ledger, 3, confirmed(9, log(5, 1))).await;
    assert_taken(ledger.apply(first, confirmed(9, log(5, 1))).await);
    ledger.apply(first, confirmed(9, log(5, 3))).await.unwrap();
    let now = entry(ledger, first).await;
    assert_eq!((now.state, now.is_reversed), (State::Settled, false));
    let all = sorted([(first, 3), (other, 2), (third, 1)]);
    let all: Vec<_> = all.into_iter().map(|(id, at)| (id, Some(log(5, at)))).collect();
    assert_eq!(paid_by(ledger, 9).await, all);
}

pub(super) async fn what_is_mined_again_is_judged_anew_for_all(ledger: Arc<dyn Ledger>) {
    let ledger = &*ledger;
    let [first, second] = [
        settled(ledger, 1, confirmed(9, log(5, 1))).await,
        settled(ledger, 2, confirmed(9, log(5, 2))).await,
    ];
    let third = sent(ledger, 3).await;
    // The same height and another hash are another block.
    let moved = PaidLog { block: Block { number: 5, hash: [6; 32] }, position: 3 };
    for log in [moved, log(6, 3), log(6, 1)] {
        assert_remined(ledger.apply(third, confirmed(9, log)).await);
        assert_remined(ledger.apply(third, Step::Short(by(9, log), units(1))).await);
    }
    ledger.apply(first, Step::Reversed).await.unwrap();
    assert_remined(ledger.apply(third, confirmed(9, moved)).await);
    ledger.apply(second, Step::Reversed).await.unwrap();
    ledger.apply(third, confirmed(9, moved)).await.unwrap();
    assert_remined(ledger.apply(first, confirmed(9, log(5, 1))).await);
    ledger.apply(first, confirmed(9, PaidLog { position: 1, ..moved })).await.unwrap();
    assert_eq!(paid_by(ledger, 9).await.len(), 2);
    let blocks = ledger.unfinal_blocks(CHAIN, 9).await.unwrap();
    assert_eq!(blocks, [moved.block], "nothing is in the block that is none");
}

pub(super) async fn blocks_are_unfinal_until_they_are_final(ledger: Arc<dyn Ledger>) {
    let ledger = &*ledger;
    assert!(ledger.unfinal_blocks(CHAIN, 9).await.unwrap().is_empty());
    let mut ids: [Vec<PaymentId>; 4] = Default::default();
    // Two blocks of one height; and one whose number has another order as text.
    let blocks = [
        Block { number: 9, hash: [0xff; 32] },
        Block { number: 10, hash: [1; 32] },
        Block { number: 10, hash: [2; 32] },
        Block { number: u64::MAX, hash: [0; 32] },
    ];
    for number in 0..20_u8 {
        let (at, position) = (usize::from(number % 4), u32::from(number));
        let log = PaidLog { block: blocks[at], position };
        let transaction = number % 4;
        ids[at].push(settled(ledger, number.into(), confirmed(transaction, log)).await);
    }
    ids.iter_mut().for_each(|ids| ids.sort());
    assert_eq!(ledger.unfinal_blocks(CHAIN, 9).await.unwrap(), blocks);
    for most in 0..5 {
        let some = ledger.unfinal_blocks(CHAIN, most).await.unwrap();
        assert_eq!(some, blocks[..most.min(4)], "{most}");
    }
    assert!(ledger.unfinal_blocks(ChainId::new(0), 9).await.unwrap().is_empty());
    assert!(ledger.unfinal_blocks(ChainId::new(2), 9).await.unwrap().is_empty());
    for (block, expected) in blocks.into_iter().zip(&ids) {
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let page = ledger.paid_in(CHAIN, block, after, 2).await.unwrap();
            assert!(page.len() <= 2);
            let Some(last) = page.last() else { break };
            after = Some(*last);
            found.extend(page);
        }
        assert_eq!(found, *expected);
        assert!(ledger.paid_in(CHAIN, block, None, 0).await.unwrap().is_empty());
        assert_eq!(ledger.paid_in(CHAIN, block, None, usize::MAX).await.unwrap(), *expected);
    }
    ledger.finalize(CHAIN, blocks[1]).await.unwrap();
    ledger.finalize(CHAIN, blocks[1]).await.unwrap();
    ledger.finalize(ChainId::new(2), blocks[0]).await.unwrap();
    ledger.finalize(CHAIN, Block { number: 9, hash: [1; 32] }).await.unwrap();
    let left = [blocks[0], blocks[2], blocks[3]];
    assert_eq!(ledger.unfinal_blocks(CHAIN, 9).await.unwrap(), left);
    assert!(ledger.paid_in(CHAIN, blocks[1], None, 9).await.unwrap().is_empty());
    assert_eq!(ledger.paid_in(CHAIN, blocks[2], None, 9).await.unwrap(), ids[2]);
    // What is final has paid for good.
    assert_eq!(paid_by(ledger, 1).await.len(), 5);
    let late = sent(ledger, 100).await;
    let log = PaidLog { block: blocks[1], position: 1 };
    assert_taken(ledger.apply(late, confirmed(1, log)).await);
}

async fn claim_at(ledger: &dyn Ledger, number: u128, now: u64) {
    drop(ledger.claim(Entry::new(&payment(number), REQUEST, now).unwrap()).await.unwrap());
}

pub(super) async fn a_log_is_remembered_longer_than_its_payment(ledger: Arc<dyn Ledger>) {
    let ledger = &*ledger;
    let id = settled(ledger, 1, confirmed(9, log(5, 1))).await;
    ledger.apply(id, answered(0)).await.unwrap();
    let last = entry(ledger, id).await.keep_until() + LOG_KEEP_SECONDS;
    claim_at(ledger, 100, NOW + 2 * DAY).await;
    assert!(ledger.find(id).await.unwrap().is_none());
    assert_eq!(paid_by(ledger, 9).await, [(id, Some(log(5, 1)))]);
    let other = sent(ledger, 2).await;
    assert_taken(ledger.apply(other, confirmed(9, log(5, 1))).await);
    // Not even the same payment, presented again, is paid by it again.
    claim_new(ledger, &payment(1)).await;
    ledger.apply(id, Step::Journalled(transaction(1))).await.unwrap();
    assert_taken(ledger.apply(id, confirmed(9, log(5, 1))).await);
    assert!(last >= NOW + LOG_KEEP_SECONDS);
    claim_at(ledger, 101, last).await;
    assert_taken(ledger.apply(other, confirmed(9, log(5, 1))).await);
    claim_at(ledger, 102, last + 61).await;
    assert!(paid_by(ledger, 9).await.is_empty());
    assert!(
        ledger.unfinal_blocks(CHAIN, 9).await.unwrap().is_empty(),
        "nobody looks at it any more"
    );
}

/// Its payer owes for it, so it is kept for longer than it is remembered which log has paid it.
pub(super) async fn what_is_reversed_late_takes_nobody_elses_log(ledger: Arc<dyn Ledger>) {
    let ledger = &*ledger;
    let old = later(1, 1, 1, units(1_000), false);
    let last = old.keep_until() + LOG_KEEP_SECONDS;
    super::owed::claim(ledger, old.clone()).await;
    for step in [
        Step::Worked(answer(), units(1_000)),
        Step::Journalled(transaction(1)),
        Step::Short(by(9, log(5, 1)), units(400)),
    ] {
        ledger.apply(old.id(), step).await.unwrap();
    }
    assert!(entry(ledger, old.id()).await.is_debt());
    claim_at(ledger, 100, last + 61).await;
    assert!(paid_by(ledger, 9).await.is_empty());
    let other = settled(ledger, 2, confirmed(9, log(5, 1))).await;
    ledger.apply(old.id(), Step::Reversed).await.unwrap();
    assert_eq!(paid_by(ledger, 9).await, [(other, Some(log(5, 1)))]);
    assert_eq!(ledger.paid_in(CHAIN, block(5), None, 9).await.unwrap(), [other]);
}

pub(super) async fn what_is_reversed_takes_its_credit_back(ledger: Arc<dyn Ledger>) {
    let ledger = &*ledger;
    let account = OwedAccount::of(&paid(1, 0, units(0), false).payment);
    earn(ledger, 1, 1, units(50)).await;
    let entry_of = paid(1, 2, units(1_000), false);
    let id = entry_of.id();
    super::owed::claim(ledger, entry_of).await;
    ledger.apply(id, Step::Journalled(transaction(1))).await.unwrap();
    ledger.apply(id, confirmed(9, log(5, 1))).await.unwrap();
    ledger.apply(id, Step::Answered(answer(), units(700))).await.unwrap();
    assert_eq!((balance(ledger, 1).await, sum(ledger, account).await), (units(350), units(0)));
    // Of 350, 250 are drawn: of its 300 it takes back 100, and 900 are owed.
    let draw_of = draw(1, 1, 250);
    drawn(ledger, &draw_of).await;
    ledger.apply(id, Step::Reversed).await.unwrap();
    let reversed = entry(ledger, id).await;
    assert_eq!(
        (reversed.state, reversed.credit, reversed.answer.is_some()),
        (State::Pending, units(100), true)
    );
    assert_eq!((balance(ledger, 1).await, sum(ledger, account).await), (units(0), units(900)));
    assert!(ledger.paid_by(id.chain_id, hash(9)).await.unwrap().is_empty());
    // What is drawn and not used goes to the balance, and stays there.
    ledger.conclude(draw_of.id, Conclusion::Returned).await.unwrap();
    assert_eq!(balance(ledger, 1).await, units(250));
    // It arrives again, and exactly that is credit again.
    ledger.apply(id, confirmed(8, log(6, 1))).await.unwrap();
    assert_eq!((balance(ledger, 1).await, sum(ledger, account).await), (units(350), units(0)));
    let now = entry(ledger, id).await;
    assert_eq!((now.state, now.is_reversed, now.credit), (State::Served, false, units(100)));
    // Once more, with all of it in the balance; and it does not come again.
    ledger.apply(id, Step::Reversed).await.unwrap();
    assert_eq!((balance(ledger, 1).await, sum(ledger, account).await), (units(250), units(900)));
    ledger.apply(id, Step::Reverted).await.unwrap();
    let owed = ledger.owes(account).await.unwrap();
    assert_eq!((owed.sum, owed.debts), (units(900), vec![id]));
    super::owed::sums_are_those_of_the_entries(ledger).await;
    ledger.apply(id, Step::Forgiven).await.unwrap();
    assert_eq!((balance(ledger, 1).await, sum(ledger, account).await), (units(250), units(0)));
}

pub(super) async fn what_has_arrived_short_is_credit_once(ledger: Arc<dyn Ledger>) {
    let ledger = &*ledger;
    let entry_of = paid(1, 2, units(1_000), false);
    let id = entry_of.id();
    super::owed::claim(ledger, entry_of).await;
    ledger.apply(id, Step::Journalled(transaction(1))).await.unwrap();
    ledger.apply(id, Step::Short(by(9, log(5, 1)), units(400))).await.unwrap();
    assert_eq!((balance(ledger, 1).await, state(ledger, id).await), (units(400), State::Failed));
    let row = [(id, Some(log(5, 1)))];
    assert_eq!(ledger.paid_by(id.chain_id, hash(9)).await.unwrap(), row);
    // Its authorization is used: nothing else comes of it.
    for step in [
        Step::Journalled(transaction(2)),
        Step::Entrusted,
        confirmed(8, log(5, 2)),
        Step::Short(by(8, log(5, 2)), units(400)),
        Step::Reverted,
    ] {
        let refused = ledger.apply(id, step).await;
        assert!(matches!(refused, Err(LedgerError::Illegal(_))), "{refused:?}");
    }
    ledger.apply(id, Step::Forgiven).await.unwrap();
    assert_eq!(balance(ledger, 1).await, units(400));
    // The chain goes back on it: what is there of it is taken back, and exactly that comes again.
    let held = draw(1, 1, 150);
    drawn(ledger, &held).await;
    ledger.conclude(held.id, used(150)).await.unwrap();
    ledger.apply(id, Step::Reversed).await.unwrap();
    assert_eq!((balance(ledger, 1).await, state(ledger, id).await), (units(0), State::Pending));
    assert!(ledger.paid_by(id.chain_id, hash(9)).await.unwrap().is_empty());
    ledger.apply(id, Step::Short(by(9, log(6, 1)), units(400))).await.unwrap();
    assert_eq!(balance(ledger, 1).await, units(250));
}

/// Draws and reversals at the same time: nothing is made, nothing lost.
pub(super) async fn of_reversals_and_draws_that_race_none_overdraws(ledger: Arc<dyn Ledger>) {
    let mut ids = Vec::new();
    for number in 0..12 {
        let entry = paid(1, number, units(100), false);
        super::owed::claim(&*ledger, entry.clone()).await;
        ledger.apply(entry.id(), Step::Journalled(transaction(1))).await.unwrap();
        let by = confirmed(number as u8, log(5, 1));
        ledger.apply(entry.id(), by).await.unwrap();
        ledger.apply(entry.id(), Step::Answered(answer(), units(0))).await.unwrap();
        ids.push(entry.id());
    }
    let drawn = race(36, |number| {
        let (ledger, id) = (Arc::clone(&ledger), ids[usize::from(number) / 3]);
        async move {
            if number % 3 != 0 {
                let drawing = ledger.draw(draw(1, number, 70)).await.unwrap();
                return u128::from(drawing == crate::ledger::Drawing::New) * 70;
            }
            ledger.apply(id, Step::Reversed).await.unwrap();
            0
        }
    })
    .await;
    let drawn: u128 = drawn.into_iter().sum();
    let mut taken_back = units(0);
    for id in ids {
        taken_back = taken_back.checked_add(entry(&*ledger, id).await.credit).unwrap();
    }
    let left = balance(&*ledger, 1).await;
    let all = left.checked_add(taken_back).unwrap().checked_add(units(drawn)).unwrap();
    assert_eq!(all, units(1_200), "{left:?} left, {taken_back:?} taken back, {drawn} drawn");
    let account = OwedAccount::of(&paid(1, 0, units(0), false).payment);
    assert_eq!(Some(sum(&*ledger, account).await), units(1_200).checked_sub(taken_back));
}

/// As of a ledger that was written before logs were: `mark` makes the payment's whole transaction count.
pub(super) async fn whole_transactions_are_used_until_their_logs_are_known<
    F: Future<Output = ()>,
>(
    ledger: &dyn Ledger,
    mark: impl Fn(PaymentId) -> F,
) {
    let mut ids = Vec::new();
    for number in 1..=3 {
        ids.push(settled(ledger, number, Step::Confirmed(settlement(9))).await);
        mark(ids[ids.len() - 1]).await;
    }
    ids.sort();
    let [first, second, third] = ids[..] else { panic!() };
    assert_eq!(paid_by(ledger, 9).await, [(first, None), (second, None), (third, None)]);
    assert!(ledger.unfinal_blocks(CHAIN, 9).await.unwrap().is_empty(), "what is old is final");
    let other = sent(ledger, 4).await;
    assert_taken(ledger.apply(other, confirmed(9, log(5, 7))).await);
    let unmarked = settled(ledger, 5, Step::Confirmed(settlement(8))).await;
    let fill = async |logs: &[(PaymentId, PaidLog)]| {
        ledger.fill_in_logs(CHAIN, hash(9), logs.to_vec()).await
    };
    // All or nothing.
    for wrong in [(unmarked, log(5, 2)), (other, log(5, 2))] {
        let missing = fill(&[(first, log(5, 1)), wrong]).await;
        assert!(matches!(missing, Err(LedgerError::Missing)), "{missing:?}");
    }
    assert_taken(fill(&[(first, log(5, 1)), (second, log(5, 1))]).await);
    assert_remined(fill(&[(first, log(5, 1)), (second, log(6, 2))]).await);
    assert_eq!(paid_by(ledger, 9).await, [(first, None), (second, None), (third, None)]);
    fill(&[(first, log(5, 1))]).await.unwrap();
    let known = Some(log(5, 1));
    assert_eq!(paid_by(ledger, 9).await, [(first, known), (second, None), (third, None)]);
    assert_eq!(entry(ledger, first).await.settlement, Some(by(9, log(5, 1))));
    let again = fill(&[(first, log(5, 1))]).await;
    assert!(matches!(again, Err(LedgerError::Missing)), "{again:?}");
    assert_taken(fill(&[(second, log(5, 1))]).await);
    assert_remined(fill(&[(second, log(6, 2))]).await);
    assert_taken(ledger.apply(other, confirmed(9, log(5, 7))).await);
    // The last of them is reversed: then the others' logs can pay, too.
    fill(&[(second, log(5, 2))]).await.unwrap();
    ledger.apply(third, Step::Reversed).await.unwrap();
    assert_taken(ledger.apply(other, confirmed(9, log(5, 1))).await);
    assert_remined(ledger.apply(other, confirmed(9, log(6, 7))).await);
    ledger.apply(other, confirmed(9, log(5, 7))).await.unwrap();
    let blocks = ledger.unfinal_blocks(CHAIN, 9).await.unwrap();
    assert_eq!(blocks, [block(5)]);
    assert_eq!(
        ledger.paid_in(CHAIN, block(5), None, 9).await.unwrap(),
        [other],
        "what is old is final"
    );
    // With its log known, it is reversed as any other.
    ledger.apply(first, Step::Reversed).await.unwrap();
    assert!(paid_by(ledger, 9).await.iter().all(|(id, _)| *id != first));
    // Rows outlive their entries, and can be filled in then.
    let late = settled(ledger, 6, Step::Confirmed(settlement(7))).await;
    ledger.apply(late, answered(0)).await.unwrap();
    mark(late).await;
    claim_at(ledger, 100, NOW + 2 * DAY).await;
    claim_at(ledger, 101, NOW + 2 * DAY + 61).await;
    assert!(ledger.find(late).await.unwrap().is_none());
    let filled = vec![(late, log(5, 1))];
    ledger.fill_in_logs(CHAIN, hash(7), filled).await.unwrap();
    assert_eq!(paid_by(ledger, 7).await, [(late, Some(log(5, 1)))]);
    let mut now = NOW + 2 * DAY + LOG_KEEP_SECONDS;
    for number in 102..110 {
        now += 61;
        claim_at(ledger, number, now).await;
    }
    assert!(paid_by(ledger, 7).await.is_empty(), "and they are forgotten in time");
}

#[tokio::test]
async fn whole_transactions_in_memory() {
    let ledger = MemoryLedger::new();
    let mark = |id| {
        ledger.mark_whole(id);
        core::future::ready(())
    };
    whole_transactions_are_used_until_their_logs_are_known(&ledger, mark).await;
}

#[tokio::test]
async fn a_memory_full_of_logs_refuses_and_forgets_none_early() {
    let ledger = MemoryLedger::with_capacity(2);
    let mut last = 0;
    for number in 1..=2 {
        let id = settled(&ledger, number.into(), confirmed(number, log(5, 1))).await;
        ledger.apply(id, answered(0)).await.unwrap();
        last = entry(&ledger, id).await.keep_until() + LOG_KEEP_SECONDS;
    }
    let claim = async |now| ledger.claim(Entry::new(&payment(3), REQUEST, now).unwrap()).await;
    for now in [NOW, NOW + 2 * DAY, last] {
        let refused = claim(now).await.unwrap_err();
        assert!(matches!(&refused, LedgerError::Storage(text) if text == "full"), "{refused:?}");
        assert_eq!(paid_by(&ledger, 1).await.len(), 1);
    }
    assert!(matches!(claim(last + 1).await.unwrap(), Claiming::New(_)));
    assert!(paid_by(&ledger, 1).await.is_empty());
}
