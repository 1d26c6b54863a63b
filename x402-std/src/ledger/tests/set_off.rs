use super::credit::{account, answered, balance, draw, drawn, earn, paid, race, settled, units};
use super::owed::{claim, later};
use super::*;
use crate::ledger::{Drawing, OwedAccount, Settle};

/// A payment of a payer's of 10,000 that was served for so much, and that the chain did not take.
async fn owe(ledger: &dyn Ledger, payer: u8, number: u64, used: u128) -> PaymentId {
    let entry = paid(payer, number, units(10_000), false);
    let id = entry.id();
    claim(ledger, Entry { settle: Settle::Later, ..entry }).await;
    for step in [Step::Worked(answer(), units(used)), Step::Refused] {
        ledger.apply(id, step).await.unwrap();
    }
    assert_eq!(entry_of(ledger, id).await.outstanding(), units(used));
    id
}

async fn entry_of(ledger: &dyn Ledger, id: PaymentId) -> Entry {
    ledger.find(id).await.unwrap().unwrap()
}

/// What a payer owes by the sum, what is outstanding of a debt, and what of it was set off.
async fn owed(ledger: &dyn Ledger, id: PaymentId) -> [Amount; 3] {
    let entry = entry_of(ledger, id).await;
    let sum = ledger.owes(OwedAccount::of(&entry.payment)).await.unwrap().sum;
    [sum, entry.outstanding(), entry.set_off]
}

pub(super) async fn what_is_owed_is_set_off_before_anything_is_drawn(ledger: Arc<dyn Ledger>) {
    let ledger = &*ledger;
    let debt = owe(ledger, 1, 1, 4_000).await;
    assert_eq!(owed(ledger, debt).await, [10_000, 4_000, 0].map(units));
    let draw = |amount| draw(1, 1, amount);
    assert_eq!(ledger.draw(draw(1)).await.unwrap(), Drawing::Short(units(0)));
    earn(ledger, 1, 2, units(3_000)).await;
    for _ in 0..2 {
        assert_eq!(ledger.draw(draw(1_000)).await.unwrap(), Drawing::Owing(vec![debt]));
        assert!(ledger.find_draw(draw(1).id).await.unwrap().is_none());
        assert_eq!(balance(ledger, 1).await, units(3_000));
    }
    for _ in 0..2 {
        ledger.apply(debt, Step::SetOff).await.unwrap();
        assert_eq!(owed(ledger, debt).await, [1_000, 1_000, 3_000].map(units));
        assert_eq!(ledger.draw(draw(1)).await.unwrap(), Drawing::Short(units(0)));
    }
    assert_eq!(entry_of(ledger, debt).await.standing(), "unpaid");
    earn(ledger, 1, 3, units(5_000)).await;
    ledger.apply(debt, Step::SetOff).await.unwrap();
    assert_eq!(owed(ledger, debt).await, [0, 0, 4_000].map(units));
    assert_eq!(balance(ledger, 1).await, units(4_000));
    let there = entry_of(ledger, debt).await;
    assert_eq!((there.standing(), there.is_set_off()), ("set off", true));
    let again = ledger.apply(debt, Step::SetOff).await;
    assert!(matches!(again, Err(LedgerError::Illegal(_))), "{again:?}");
    drawn(ledger, &draw(4_000)).await;
    // It is looked for still, and gives back what it is paid for in the end.
    assert_eq!(open_ids(ledger).await, [debt]);
    ledger.apply(debt, Step::Confirmed(settlement(1))).await.unwrap();
    assert_eq!(owed(ledger, debt).await, [0, 0, 0].map(units));
    assert_eq!(state(ledger, debt).await, State::Served);
    assert_eq!(balance(ledger, 1).await, units(6_000 + 4_000));
    // So it does where it was forgiven before.
    let forgiven = owe(ledger, 1, 4, 10_000).await;
    ledger.apply(forgiven, Step::SetOff).await.unwrap();
    assert_eq!(balance(ledger, 1).await, units(0));
    ledger.apply(forgiven, Step::Forgiven).await.unwrap();
    assert_eq!(balance(ledger, 1).await, units(0), "it is forgiven what is owed, and no more");
    ledger.apply(forgiven, Step::Confirmed(settlement(1))).await.unwrap();
    assert_eq!(balance(ledger, 1).await, units(10_000));
}

pub(super) async fn what_is_owed_elsewhere_is_not_set_off(ledger: Arc<dyn Ledger>) {
    let ledger = &*ledger;
    earn(ledger, 1, 1, units(1_000)).await;
    // Another payer's, and his own in another token.
    owe(ledger, 2, 2, 10_000).await;
    let token = later(1, 9, 3, units(10_000), false);
    claim(ledger, token.clone()).await;
    for step in [Step::Worked(answer(), units(10_000)), Step::Refused] {
        ledger.apply(token.id(), step).await.unwrap();
    }
    ledger.apply(token.id(), Step::SetOff).await.unwrap();
    assert_eq!(entry_of(ledger, token.id()).await.set_off, units(0), "there is no credit in it");
    drawn(ledger, &draw(1, 1, 400)).await;
    let debt = owe(ledger, 1, 4, 500).await;
    assert_eq!(ledger.draw(draw(1, 2, 100)).await.unwrap(), Drawing::Owing(vec![debt]));
    ledger.apply(debt, Step::SetOff).await.unwrap();
    drawn(ledger, &draw(1, 2, 100)).await;
    // What has arrived instead of a payment is credit, and all of the payment is owed.
    let short = paid(3, 5, units(10_000), false);
    let id = short.id();
    claim(ledger, Entry { settle: Settle::Later, ..short }).await;
    let arrived = Step::Short(settlement(5), units(9_900));
    for step in [Step::Worked(answer(), units(10_000)), Step::Journalled(transaction(5)), arrived] {
        ledger.apply(id, step).await.unwrap();
    }
    assert_eq!(
        (balance(ledger, 3).await, owed(ledger, id).await[1]),
        (units(9_900), units(10_000))
    );
    ledger.apply(id, Step::SetOff).await.unwrap();
    assert_eq!((balance(ledger, 3).await, owed(ledger, id).await[1]), (units(0), units(100)));
    assert!(ledger.balances().await.unwrap().is_empty());
}

pub(super) async fn what_was_taken_back_is_set_off_once(ledger: Arc<dyn Ledger>) {
    let ledger = &*ledger;
    let id = settled(ledger, 1, 1, units(10_000)).await;
    ledger.apply(id, answered(4_000)).await.unwrap();
    drawn(ledger, &draw(1, 1, 2_000)).await;
    for step in [Step::Reversed, Step::Reverted] {
        ledger.apply(id, step).await.unwrap();
    }
    // What was used, and what was drawn of the rest.
    assert_eq!(owed(ledger, id).await, [6_000, 6_000, 0].map(units));
    earn(ledger, 1, 2, units(7_000)).await;
    assert_eq!(ledger.draw(draw(1, 2, 1)).await.unwrap(), Drawing::Owing(vec![id]));
    ledger.apply(id, Step::SetOff).await.unwrap();
    assert_eq!(owed(ledger, id).await, [0, 0, 6_000].map(units));
    assert_eq!(ledger.balances().await.unwrap(), [(account(1), units(1_000))]);
    for step in [Step::Journalled(transaction(2)), Step::Confirmed(settlement(2))] {
        ledger.apply(id, step).await.unwrap();
    }
    assert_eq!(balance(ledger, 1).await, units(1_000 + 4_000 + 6_000));
    // And again, from the beginning.
    ledger.apply(id, Step::Reversed).await.unwrap();
    let there = entry_of(ledger, id).await;
    assert_eq!((there.credit, there.set_off), (units(4_000), units(0)));
    assert_eq!(balance(ledger, 1).await, units(7_000));
}

pub(super) async fn of_draws_and_set_offs_that_race_nothing_is_taken_twice(
    ledger: Arc<dyn Ledger>,
) {
    let debt = owe(&*ledger, 1, 1, 2_000).await;
    earn(&*ledger, 1, 2, units(3_000)).await;
    let task = |number: u8| {
        let ledger = Arc::clone(&ledger);
        async move {
            if number.is_multiple_of(3) {
                let done = ledger.apply(debt, Step::SetOff).await;
                assert!(matches!(done, Ok(()) | Err(LedgerError::Illegal(_))), "{done:?}");
                return 0;
            }
            loop {
                match ledger.draw(draw(1, number, 500)).await.unwrap() {
                    Drawing::New => return 1,
                    Drawing::Owing(_) => tokio::task::yield_now().await,
                    Drawing::Short(_) => return 0,
                    drawing => panic!("{drawing:?}"),
                }
            }
        }
    };
    let made: u128 = race(24, task).await.into_iter().sum();
    assert_eq!(made, 2, "of 3,000, 1,000 are left to be drawn");
    assert_eq!(owed(&*ledger, debt).await, [0, 0, 2_000].map(units));
    assert_eq!(balance(&*ledger, 1).await, units(0));
}
