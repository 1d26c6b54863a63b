//! What every ledger must do, tried on each of them; then what is the file's own.

use std::sync::Arc;

use tokio::sync::Barrier;
use x402_core::secp256k1::{K256, K256Signer};
use x402_core::state::State;
use x402_core::{
    Address, Amount, Asset, Authorization, ChainId, Checked, Moment, Nonce, Offer, Payment,
    PaymentId, Signer as _, Timestamp, Transfer,
};

use super::{
    Answer, Claiming, Entry, Identifier, Ledger, LedgerError, MemoryLedger, Owner, RequestId,
    Returned, Step,
};
use crate::chain::{Settlement, Transaction, TxHash};

pub(super) const NOW: u64 = 1_700_000_000;
pub(super) const REQUEST: RequestId = RequestId([5; 32]);

const DAY: u64 = Entry::KEEP_SECONDS;

/// A payment that is valid for a minute; another for each number.
pub(crate) fn payment(number: u128) -> Checked {
    payment_until(number, NOW + 60)
}

fn payment_until(number: u128, valid_before: u64) -> Checked {
    let signer = K256Signer::from_bytes(&[7; 32]).unwrap();
    let asset = Asset::find(ChainId::ETHEREUM, "USDC").unwrap();
    let pay_to = Address::new([0x20; 20]);
    let offer = Offer::new(*asset, pay_to, Amount::from_units(10_000), 60);
    let authorization = Authorization {
        from: signer.address(),
        to: pay_to,
        value: Amount::from_units(10_000),
        valid_after: Timestamp::from_secs(0),
        valid_before: Timestamp::from_secs(valid_before),
        nonce: Nonce::new(Amount::from_units(number).to_be_bytes()),
    };
    let requirements = offer.requirements();
    let signature = Ok(signer.sign(&authorization.digest(&requirements.domain)).unwrap());
    let payment = Payment {
        chain_id: asset.chain_id,
        asset: asset.address,
        transfer: Transfer::Eip3009(authorization),
        signature,
    };
    requirements.check(&payment, &Moment::at(NOW), &K256).unwrap()
}

pub(super) fn transaction(byte: u8) -> Transaction {
    Transaction { hash: TxHash([byte; 32]), raw: vec![byte; 300] }
}

/// By somebody's word: no log is known.
pub(super) fn settlement(byte: u8) -> Settlement {
    Settlement { transaction: TxHash([byte; 32]), log: None }
}

pub(super) fn answer() -> Answer {
    Answer {
        status: 200,
        headers: vec![
            ("content-type".into(), b"application/json".to_vec()),
            ("x-latin".into(), vec![0xe9, 0]),
        ],
        body: Some((0..=255).collect()),
        request_body: [3; 32],
    }
}

async fn claim_new(ledger: &dyn Ledger, payment: &Checked) {
    let claiming = ledger.claim(Entry::new(payment, REQUEST, NOW).unwrap()).await.unwrap();
    assert!(matches!(claiming, Claiming::New(_)), "{claiming:?}");
}

async fn entry(ledger: &dyn Ledger, id: PaymentId) -> Entry {
    ledger.find(id).await.unwrap().unwrap()
}

async fn state(ledger: &dyn Ledger, id: PaymentId) -> State {
    entry(ledger, id).await.state
}

async fn open_ids(ledger: &dyn Ledger) -> Vec<PaymentId> {
    let mut ids: Vec<_> = ledger.open_entries().await.unwrap().iter().map(Entry::id).collect();
    ids.sort();
    ids
}

/// Every step, with its name.
fn steps() -> [(&'static str, Step); 12] {
    [
        ("worked", Step::Worked(answer(), Amount::from_units(10_000))),
        ("journalled", Step::Journalled(transaction(1))),
        ("timed out", Step::TimedOut),
        ("confirmed", Step::Confirmed(settlement(2))),
        ("reverted", Step::Reverted),
        ("refused", Step::Refused),
        ("answered", Step::Answered(answer(), Amount::from_units(10_000))),
        ("credited", Step::Returned(Returned::Credited)),
        ("refunding", Step::Returned(Returned::Refunding)),
        ("refunded", Step::Returned(Returned::Refunded(TxHash([3; 32])))),
        ("followed", Step::Followed(answer())),
        ("set off", Step::SetOff),
    ]
}

/// The steps that lead to each state from a new claim.
fn ways() -> [(State, Vec<Step>); 9] {
    let [
        (_, worked),
        (_, journalled),
        (_, timed_out),
        (_, confirmed),
        (_, reverted),
        _,
        (_, answered),
        (_, credited),
        (_, refunding),
        ..,
    ] = steps();
    [
        (State::Claimed, vec![]),
        (State::Worked, vec![worked]),
        (State::Broadcast, vec![journalled.clone()]),
        (State::Pending, vec![journalled.clone(), timed_out.clone()]),
        (State::Settled, vec![journalled.clone(), timed_out, confirmed.clone()]),
        (State::Served, vec![journalled.clone(), confirmed.clone(), answered]),
        (State::Returned, vec![journalled.clone(), confirmed.clone(), credited]),
        (State::Returned, vec![journalled.clone(), confirmed, refunding]),
        (State::Failed, vec![journalled, reverted]),
    ]
}

async fn a_payment_is_claimed_once(ledger: Arc<dyn Ledger>) {
    let payment = payment(1);
    let Claiming::New(claim) =
        ledger.claim(Entry::new(&payment, REQUEST, NOW).unwrap()).await.unwrap()
    else {
        panic!("it was never seen before")
    };
    assert_eq!(payment.claimed(claim).unwrap().id(), payment.id());
    let again =
        ledger.claim(Entry::new(&payment, RequestId([6; 32]), NOW + 5).unwrap()).await.unwrap();
    let Claiming::Known(known) = again else { panic!("{again:?}") };
    assert_eq!(known.state, State::Claimed);
    assert_eq!((known.request, known.claimed_at), (REQUEST, NOW));
    assert_eq!(known.payment.to_bytes(), payment.to_bytes());
    assert!(known.transaction.is_none() && known.settlement.is_none() && known.answer.is_none());
}

async fn of_those_who_race_one_wins(ledger: Arc<dyn Ledger>) {
    const TASKS: usize = 64;
    for number in 0..4 {
        let (payment, barrier) = (payment(number), Arc::new(Barrier::new(TASKS)));
        let tasks: Vec<_> = (0..TASKS)
            .map(|_| {
                let (ledger, barrier) = (Arc::clone(&ledger), Arc::clone(&barrier));
                tokio::spawn(async move {
                    barrier.wait().await;
                    let claiming =
                        ledger.claim(Entry::new(&payment, REQUEST, NOW).unwrap()).await.unwrap();
                    matches!(claiming, Claiming::New(_))
                })
            })
            .collect();
        let mut winners = 0;
        for task in tasks {
            winners += usize::from(task.await.unwrap());
        }
        assert_eq!(winners, 1);
    }
}

async fn of_those_who_race_to_step_one_wins(ledger: Arc<dyn Ledger>) {
    let payment = payment(1);
    claim_new(&*ledger, &payment).await;
    ledger.apply(payment.id(), Step::Journalled(transaction(1))).await.unwrap();
    let tasks: Vec<_> = (0..64_u8)
        .map(|byte| {
            let (ledger, id) = (Arc::clone(&ledger), payment.id());
            tokio::spawn(async move { ledger.apply(id, Step::Confirmed(settlement(byte))).await })
        })
        .collect();
    let mut winners = Vec::new();
    for (byte, task) in (0..64_u8).zip(tasks) {
        match task.await.unwrap() {
            Ok(()) => winners.push(byte),
            Err(error) => assert!(matches!(error, LedgerError::Illegal(_)), "{error:?}"),
        }
    }
    let settled_by = entry(&*ledger, payment.id()).await.settled_by().unwrap();
    assert_eq!(winners, [settled_by.0[0]]);
}

async fn every_step_is_taken_or_changes_nothing(ledger: Arc<dyn Ledger>) {
    let mut number = 0;
    for (from, way) in ways() {
        for (name, step) in steps() {
            number += 1;
            let payment = payment(number);
            let id = payment.id();
            claim_new(&*ledger, &payment).await;
            for step in &way {
                ledger.apply(id, step.clone()).await.unwrap();
            }
            let before = entry(&*ledger, id).await;
            assert_eq!(before.state, from);
            let expected = before.clone().after(step.clone());
            match (ledger.apply(id, step).await, expected) {
                (Ok(()), Ok(Some(expected))) => {
                    assert_eq!(
                        format!("{:?}", entry(&*ledger, id).await),
                        format!("{expected:?}"),
                        "{from:?} {name}"
                    );
                }
                (Ok(()), Ok(None)) => assert!(ledger.find(id).await.unwrap().is_none()),
                (Err(LedgerError::Illegal(_)), Err(_)) => {
                    assert_eq!(
                        format!("{:?}", entry(&*ledger, id).await),
                        format!("{before:?}"),
                        "{from:?} {name}"
                    );
                }
                (got, expected) => panic!("{from:?} {name}: {got:?}, not {expected:?}"),
            }
        }
    }
}

async fn what_was_released_can_be_claimed_again(ledger: Arc<dyn Ledger>) {
    let payment = payment(1);
    claim_new(&*ledger, &payment).await;
    ledger.apply(payment.id(), Step::Refused).await.unwrap();
    assert!(ledger.find(payment.id()).await.unwrap().is_none());
    assert!(open_ids(&*ledger).await.is_empty());
    claim_new(&*ledger, &payment).await;
    assert_eq!(state(&*ledger, payment.id()).await, State::Claimed);
}

async fn transactions_that_were_replaced_are_remembered(ledger: Arc<dyn Ledger>) {
    let payment = payment(1);
    claim_new(&*ledger, &payment).await;
    for byte in [1, 1, 2, 3] {
        ledger.apply(payment.id(), Step::Journalled(transaction(byte))).await.unwrap();
    }
    let entry = entry(&*ledger, payment.id()).await;
    assert_eq!(entry.transaction, Some(transaction(3)));
    assert_eq!(entry.replaced, [TxHash([1; 32]), TxHash([2; 32])]);
    let hashes: Vec<_> = entry.hashes().map(|hash| hash.0[0]).collect();
    assert_eq!(hashes, [3, 2, 1]);
}

async fn what_is_not_there_is_missing(ledger: Arc<dyn Ledger>) {
    let id = payment(1).id();
    assert!(ledger.find(id).await.unwrap().is_none());
    for (name, step) in steps() {
        let result = ledger.apply(id, step).await;
        assert!(matches!(result, Err(LedgerError::Missing)), "{name}");
    }
    assert!(ledger.find(id).await.unwrap().is_none());
}

async fn what_is_open_is_listed(ledger: Arc<dyn Ledger>) {
    assert!(open_ids(&*ledger).await.is_empty());
    let mut expected = Vec::new();
    for (number, (state, way)) in (0..).zip(ways()) {
        let payment = payment(number);
        claim_new(&*ledger, &payment).await;
        for step in way {
            ledger.apply(payment.id(), step).await.unwrap();
        }
        if state.is_open() {
            expected.push(payment.id());
        }
    }
    expected.sort();
    assert_eq!(open_ids(&*ledger).await, expected);
}

async fn all_are_listed_in_order(ledger: Arc<dyn Ledger>) {
    assert!(ledger.ids().await.unwrap().is_empty());
    let mut expected = Vec::new();
    for (number, (_, way)) in (0..).zip(ways()) {
        let payment = payment(number * 7 % 11);
        claim_new(&*ledger, &payment).await;
        for step in way {
            ledger.apply(payment.id(), step).await.unwrap();
        }
        expected.push(payment.id());
    }
    ledger.apply(payment(0).id(), Step::Refused).await.unwrap();
    expected.retain(|id| *id != payment(0).id());
    expected.sort();
    assert_eq!(ledger.ids().await.unwrap(), expected);
}

async fn what_is_over_is_forgotten_in_time(ledger: Arc<dyn Ledger>) {
    let [served, open, long] = [payment(1), payment(2), payment_until(3, NOW + 3 * DAY)];
    for payment in [&served, &open, &long] {
        claim_new(&*ledger, payment).await;
        ledger.apply(payment.id(), Step::Journalled(transaction(1))).await.unwrap();
    }
    for payment in [&served, &long] {
        ledger.apply(payment.id(), Step::Confirmed(settlement(1))).await.unwrap();
        let answered = Step::Answered(answer(), Amount::from_units(10_000));
        ledger.apply(payment.id(), answered).await.unwrap();
    }
    let is_known = async |payment: &Checked| ledger.find(payment.id()).await.unwrap().is_some();
    let _ = ledger.claim(Entry::new(&payment(10), REQUEST, NOW + DAY).unwrap()).await.unwrap();
    assert!(is_known(&served).await, "kept for a day");
    let _ = ledger.claim(Entry::new(&payment(11), REQUEST, NOW + DAY + 61).unwrap()).await.unwrap();
    assert!(!is_known(&served).await, "a day is over");
    assert!(is_known(&open).await, "the chain has not said");
    assert!(is_known(&long).await, "the authorization is valid");
    let _ = ledger.claim(Entry::new(&payment(12), REQUEST, NOW + 3 * DAY).unwrap()).await.unwrap();
    assert!(is_known(&long).await);
    let _ =
        ledger.claim(Entry::new(&payment(13), REQUEST, NOW + 3 * DAY + 61).unwrap()).await.unwrap();
    assert!(!is_known(&long).await);
    assert!(is_known(&open).await);
    // Once the chain has said it, its time comes too.
    ledger.apply(open.id(), Step::Reverted).await.unwrap();
    let _ = ledger.claim(Entry::new(&payment(14), REQUEST, NOW + 4 * DAY).unwrap()).await.unwrap();
    assert!(!is_known(&open).await);
}

// Memory sweeps all of it at once.
#[cfg(any(
    feature = "redb",
    all(feature = "test-servers", any(feature = "postgres", feature = "redis"))
))]
async fn an_old_ledger_shrinks(ledger: &dyn Ledger) {
    for number in 0..40 {
        claim_new(ledger, &payment(number)).await;
        ledger.apply(payment(number).id(), Step::Journalled(transaction(1))).await.unwrap();
        ledger.apply(payment(number).id(), Step::Reverted).await.unwrap();
    }
    // A few at a time: no claim pays for all.
    for (number, left) in [(100, 24), (101, 8), (102, 0)] {
        ledger.claim(Entry::new(&payment(number), REQUEST, NOW + 2 * DAY).unwrap()).await.unwrap();
        let mut kept = 0;
        for number in 0..40 {
            kept += usize::from(ledger.find(payment(number).id()).await.unwrap().is_some());
        }
        assert_eq!(kept, left);
    }
}

async fn an_identifier_has_one_payment_that_has_not_failed(ledger: Arc<dyn Ledger>) {
    let identified = |number, byte| {
        let identifier = Some(Identifier([byte; 32]));
        Entry { identifier, ..Entry::new(&payment(number), REQUEST, NOW).unwrap() }
    };
    let claim = async |number, byte| match ledger.claim(identified(number, byte)).await.unwrap() {
        Claiming::New(_) => "new",
        Claiming::Known(_) => "known",
        Claiming::Taken => "taken",
    };
    assert_eq!(claim(1, 1).await, "new");
    assert_eq!(claim(1, 1).await, "known");
    assert_eq!(claim(2, 1).await, "taken");
    assert!(ledger.find(payment(2).id()).await.unwrap().is_none());
    assert_eq!(claim(2, 2).await, "new");
    assert_eq!(entry(&*ledger, payment(2).id()).await.identifier, Some(Identifier([2; 32])));
    // What is released has no identifier.
    ledger.apply(payment(1).id(), Step::Refused).await.unwrap();
    assert_eq!(claim(3, 1).await, "new");
    // What has failed leaves it to another, and does not take it away again.
    let [journalled, confirmed, answered] = [1, 3, 6].map(|index| steps()[index].1.clone());
    ledger.apply(payment(3).id(), journalled).await.unwrap();
    assert_eq!(claim(4, 1).await, "taken");
    ledger.apply(payment(3).id(), Step::Reverted).await.unwrap();
    assert_eq!(claim(4, 1).await, "new");
    ledger.apply(payment(3).id(), confirmed).await.unwrap();
    assert_eq!(claim(5, 1).await, "taken");
    // Forgotten with its payment.
    ledger.apply(payment(4).id(), Step::Refused).await.unwrap();
    assert_eq!(claim(5, 1).await, "new");
    ledger.apply(payment(5).id(), Step::Journalled(transaction(1))).await.unwrap();
    ledger.apply(payment(5).id(), Step::Confirmed(settlement(1))).await.unwrap();
    ledger.apply(payment(5).id(), answered).await.unwrap();
    let later = |number, now| Entry { claimed_at: now, ..identified(number, 1) };
    let taken = ledger.claim(later(6, NOW + DAY)).await.unwrap();
    assert!(matches!(taken, Claiming::Taken), "{taken:?}");
    let _ = ledger.claim(Entry::new(&payment(7), REQUEST, NOW + DAY + 61).unwrap()).await.unwrap();
    assert!(matches!(ledger.claim(later(6, NOW + DAY + 61)).await.unwrap(), Claiming::New(_)));
    // What is given back leaves it to another at once.
    assert_eq!(claim(8, 8).await, "new");
    ledger.apply(payment(8).id(), Step::Confirmed(settlement(1))).await.unwrap();
    assert_eq!(claim(9, 8).await, "taken");
    ledger.apply(payment(8).id(), Step::Returned(Returned::Credited)).await.unwrap();
    assert_eq!(claim(9, 8).await, "new");
}

async fn of_those_who_race_for_an_identifier_one_wins(ledger: Arc<dyn Ledger>) {
    let barrier = Arc::new(Barrier::new(32));
    let tasks: Vec<_> = (0..32)
        .map(|number| {
            let (ledger, barrier) = (Arc::clone(&ledger), Arc::clone(&barrier));
            let identifier = Some(Identifier([1; 32]));
            let entry = Entry::new(&payment(number), REQUEST, NOW).unwrap();
            tokio::spawn(async move {
                barrier.wait().await;
                ledger.claim(Entry { identifier, ..entry }).await.unwrap()
            })
        })
        .collect();
    let mut new = 0;
    for task in tasks {
        match task.await.unwrap() {
            Claiming::New(_) => new += 1,
            Claiming::Taken => {}
            Claiming::Known(_) => panic!("each is another payment"),
        }
    }
    assert_eq!(new, 1);
}

async fn who_asks_which_ledger_it_is_is_told_the_same(ledger: Arc<dyn Ledger>) {
    let barrier = Arc::new(Barrier::new(8));
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let (ledger, barrier) = (Arc::clone(&ledger), Arc::clone(&barrier));
            tokio::spawn(async move {
                barrier.wait().await;
                ledger.identity().await.unwrap()
            })
        })
        .collect();
    let known = ledger.identity().await.unwrap();
    for task in tasks {
        assert_eq!(task.await.unwrap(), known);
    }
    assert_ne!(known, MemoryLedger::new().identity().await.unwrap());
    // It is none of its payments.
    assert!(ledger.ids().await.unwrap().is_empty());
    claim_new(&*ledger, &payment(1)).await;
    assert_eq!(ledger.identity().await.unwrap(), known);
}

/// What payers owe.
mod owed;
use owed::{
    of_payments_that_race_no_more_are_trusted_than_may_be_owed, what_a_payer_owes_is_told,
    what_is_owed_is_as_a_plain_model_says, what_is_owed_that_cannot_be_counted_is_an_error,
    what_was_served_and_not_paid_is_not_forgotten,
};

/// Which logs have paid.
mod logs;
use logs::{
    a_log_is_remembered_longer_than_its_payment, a_log_pays_for_one_payment,
    all_logs_of_a_batch_pay, blocks_are_unfinal_until_they_are_final,
    of_reversals_and_draws_that_race_none_overdraws, of_those_who_race_for_a_log_one_wins,
    what_has_arrived_short_is_credit_once, what_is_mined_again_is_judged_anew_for_all,
    what_is_reversed_gives_its_log_back, what_is_reversed_late_takes_nobody_elses_log,
    what_is_reversed_takes_its_credit_back, what_is_settled_by_a_word_records_and_blocks_nothing,
};
/// Ledgers of the formats before.
#[cfg(any(
    feature = "redb",
    all(feature = "test-servers", any(feature = "postgres", feature = "redis"))
))]
mod convert;
#[cfg(feature = "redb")]
mod file_convert;

/// What payers have paid and not used.
mod credit;
use credit::{
    a_balance_that_cannot_be_counted_is_an_error, a_draw_is_concluded_once,
    a_draw_is_made_once_and_only_of_what_is_there, balances_are_as_a_plain_model_says,
    done_draws_are_forgotten_in_time_and_held_ones_never,
    names_of_a_balance_are_replaced_and_nothing_else, of_draws_that_race_none_overdraws,
    of_those_who_race_for_one_draw_one_wins, of_those_who_race_to_conclude_one_wins,
    of_those_who_replace_names_at_once_each_has_another, the_body_of_an_answer_follows_once,
    what_is_not_used_is_credit_once, work_that_costs_more_than_was_paid_is_refused,
};

/// Debts, set off against credit.
mod set_off;
use set_off::{
    of_draws_and_set_offs_that_race_nothing_is_taken_twice, what_is_owed_elsewhere_is_not_set_off,
    what_is_owed_is_set_off_before_anything_is_drawn, what_was_taken_back_is_set_off_once,
};

/// What was paid and never served.
mod unserved;
use unserved::{
    of_those_who_race_to_end_it_one_wins, what_was_given_back_and_is_reversed_is_owed,
    what_was_not_served_is_given_back_once, what_was_paid_and_not_served_is_never_forgotten,
};

/// Leases of ledgers that several processes share.
#[cfg(all(feature = "test-servers", any(feature = "postgres", feature = "redis")))]
mod leases;
#[cfg(all(feature = "test-servers", any(feature = "postgres", feature = "redis")))]
use leases::{
    a_lease_is_of_one_payment, a_lease_runs_out_unless_it_is_renewed,
    of_those_who_race_for_a_lease_one_wins, only_its_owner_gives_a_lease_back,
};
/// Servers that a test starts for itself, and stops.
#[cfg(all(feature = "test-servers", any(feature = "postgres", feature = "redis")))]
mod server;

macro_rules! suite {
    (@each $ledger:ident: $open:expr; $($test:ident)*) => {
        mod $ledger {
            use super::*;

            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
                async fn $test() {
                    let (ledger, _keep) = $open;
                    super::$test(Arc::new(ledger)).await;
                }
            )*
        }
    };
    ($($ledger:ident: $open:expr;)*) => { $(suite! { @each $ledger: $open;
        a_payment_is_claimed_once
        who_asks_which_ledger_it_is_is_told_the_same
        what_a_payer_owes_is_told
        what_was_served_and_not_paid_is_not_forgotten
        what_is_owed_that_cannot_be_counted_is_an_error
        of_payments_that_race_no_more_are_trusted_than_may_be_owed
        what_is_owed_is_as_a_plain_model_says
        of_those_who_race_one_wins
        of_those_who_race_to_step_one_wins
        every_step_is_taken_or_changes_nothing
        what_was_released_can_be_claimed_again
        transactions_that_were_replaced_are_remembered
        what_is_not_there_is_missing
        what_is_open_is_listed
        all_are_listed_in_order
        what_is_over_is_forgotten_in_time
        an_identifier_has_one_payment_that_has_not_failed
        of_those_who_race_for_an_identifier_one_wins
        what_is_not_used_is_credit_once
        work_that_costs_more_than_was_paid_is_refused
        a_draw_is_made_once_and_only_of_what_is_there
        a_draw_is_concluded_once
        of_draws_that_race_none_overdraws
        of_those_who_race_for_one_draw_one_wins
        of_those_who_race_to_conclude_one_wins
        done_draws_are_forgotten_in_time_and_held_ones_never
        a_balance_that_cannot_be_counted_is_an_error
        the_body_of_an_answer_follows_once
        balances_are_as_a_plain_model_says
        names_of_a_balance_are_replaced_and_nothing_else
        of_those_who_replace_names_at_once_each_has_another
        a_log_pays_for_one_payment
        what_is_settled_by_a_word_records_and_blocks_nothing
        of_those_who_race_for_a_log_one_wins
        all_logs_of_a_batch_pay
        what_is_reversed_gives_its_log_back
        what_is_mined_again_is_judged_anew_for_all
        blocks_are_unfinal_until_they_are_final
        a_log_is_remembered_longer_than_its_payment
        what_is_reversed_late_takes_nobody_elses_log
        what_is_reversed_takes_its_credit_back
        what_has_arrived_short_is_credit_once
        of_reversals_and_draws_that_race_none_overdraws
        what_is_owed_is_set_off_before_anything_is_drawn
        what_is_owed_elsewhere_is_not_set_off
        what_was_taken_back_is_set_off_once
        of_draws_and_set_offs_that_race_nothing_is_taken_twice
        what_was_paid_and_not_served_is_never_forgotten
        what_was_not_served_is_given_back_once
        of_those_who_race_to_end_it_one_wins
        what_was_given_back_and_is_reversed_is_owed
    })* };
}

suite! {
    in_memory: (MemoryLedger::new(), ());
}

#[cfg(feature = "redb")]
suite! {
    in_a_file: file::new_ledger();
    over_a_storage: (crate::ledger::RedbLedger::over(redb::backends::InMemoryBackend::new()).unwrap(), ());
}

#[cfg(all(feature = "test-servers", any(feature = "postgres", feature = "redis")))]
macro_rules! shared_suite {
    ($($ledger:ident, $leases:ident: $open:expr;)*) => {
        suite! { $($ledger: $open;)* }

        $(
            mod $leases {
                use super::*;

                suite! { @each tests: $open;
                    of_those_who_race_for_a_lease_one_wins
                    a_lease_runs_out_unless_it_is_renewed
                    only_its_owner_gives_a_lease_back
                    a_lease_is_of_one_payment
                }
            }
        )*
    };
}

#[cfg(all(feature = "test-servers", feature = "postgres"))]
shared_suite! {
    in_postgres, leases_in_postgres: postgres::new_ledger().await;
}

#[cfg(all(feature = "test-servers", feature = "redis"))]
shared_suite! {
    in_redis, leases_in_redis: redis::new_ledger().await;
}

#[cfg(all(feature = "test-servers", feature = "postgres"))]
pub(crate) mod postgres;
#[cfg(all(feature = "test-servers", feature = "redis"))]
pub(crate) mod redis;

#[tokio::test]
async fn a_ledger_of_one_process_gives_leases_to_everybody() {
    let (ledger, id) = (MemoryLedger::new(), payment(1).id());
    for owner in [Owner([1; 16]), Owner([2; 16])] {
        assert!(ledger.lease(id, owner, 30).await.unwrap());
        ledger.release_lease(id, owner).await.unwrap();
    }
    assert_ne!(Owner::random().unwrap(), Owner::random().unwrap());
}

#[tokio::test]
async fn a_full_memory_refuses_and_forgets_nothing_early() {
    let ledger = MemoryLedger::with_capacity(2);
    claim_new(&ledger, &payment(1)).await;
    claim_new(&ledger, &payment(2)).await;
    let refused = ledger.claim(Entry::new(&payment(3), REQUEST, NOW).unwrap()).await.unwrap_err();
    assert!(matches!(&refused, LedgerError::Storage(text) if text == "full"), "{refused:?}");
    // What is known is known, though there is no room.
    assert!(matches!(
        ledger.claim(Entry::new(&payment(1), REQUEST, NOW).unwrap()).await,
        Ok(Claiming::Known(_))
    ));
    // Open entries stay, whatever their age; a released one makes room.
    assert!(ledger.claim(Entry::new(&payment(3), REQUEST, NOW + 9 * DAY).unwrap()).await.is_err());
    ledger.apply(payment(1).id(), Step::Refused).await.unwrap();
    claim_new(&ledger, &payment(3)).await;
}

#[cfg(feature = "redb")]
mod file;
