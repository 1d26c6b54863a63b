use super::credit::{account, answered, balance, draw, drawn, paid, settled, units};
use super::*;

const CREDITED: Step = Step::Returned(Returned::Credited);
const REFUNDING: Step = Step::Returned(Returned::Refunding);
const REFUNDED: Step = Step::Returned(Returned::Refunded(TxHash([4; 32])));

/// Has a ledger forget what it may at a time, in seconds.
pub(super) async fn sweep(ledger: &dyn Ledger, number: u128, now: u64) {
    let claiming = ledger.claim(Entry::new(&payment(number), REQUEST, now).unwrap()).await;
    assert!(matches!(claiming.unwrap(), Claiming::New(_)));
}

async fn is_known(ledger: &dyn Ledger, id: PaymentId) -> bool {
    ledger.find(id).await.unwrap().is_some()
}

pub(super) async fn what_was_paid_and_not_served_is_never_forgotten(ledger: Arc<dyn Ledger>) {
    let ledger = &*ledger;
    let mut ids = Vec::new();
    for number in 1..=4 {
        ids.push(settled(ledger, 1, number, units(10_000)).await);
    }
    let [served, credited, refunded, left] = ids[..] else { panic!() };
    ledger.apply(refunded, REFUNDING).await.unwrap();
    for (number, days) in [(101, 2), (102, 40), (103, 4_000)] {
        sweep(ledger, number, NOW + days * DAY).await;
        for id in &ids {
            assert!(is_known(ledger, *id).await, "after {days} days");
            assert!(entry(ledger, *id).await.is_unserved());
        }
    }
    // The chain has nothing to say of them.
    assert!(open_ids(ledger).await.iter().all(|id| !ids.contains(id)));
    ledger.apply(served, answered(10_000)).await.unwrap();
    ledger.apply(credited, CREDITED).await.unwrap();
    ledger.apply(refunded, REFUNDED).await.unwrap();
    for (number, days) in [(104, 4_001), (105, 4_002)] {
        sweep(ledger, number, NOW + days * DAY).await;
    }
    for id in [served, credited, refunded] {
        assert!(!is_known(ledger, id).await, "its time is over");
    }
    assert!(is_known(ledger, left).await);
    assert_eq!(balance(ledger, 1).await, units(10_000));
}

pub(super) async fn what_was_not_served_is_given_back_once(ledger: Arc<dyn Ledger>) {
    let ledger = &*ledger;
    let all = [CREDITED, REFUNDING, REFUNDED, answered(10_000), answered(0)];
    let refuses = async |id, steps: &[Step]| {
        for step in steps {
            let again = ledger.apply(id, step.clone()).await;
            assert!(matches!(again, Err(LedgerError::Illegal(_))), "{step:?}: {again:?}");
        }
    };
    let credited = settled(ledger, 1, 1, units(10_000)).await;
    refuses(credited, &[REFUNDED]).await;
    ledger.apply(credited, CREDITED).await.unwrap();
    refuses(credited, &all).await;
    let there = entry(ledger, credited).await;
    assert_eq!((there.state, there.returned), (State::Returned, Some(Returned::Credited)));
    assert_eq!((there.credit, &there.answer), (units(10_000), &None));
    assert_eq!((there.standing(), there.is_unserved()), ("credited", false));
    assert_eq!(balance(ledger, 1).await, units(10_000));
    let refunded = settled(ledger, 1, 2, units(7)).await;
    ledger.apply(refunded, REFUNDING).await.unwrap();
    let there = entry(ledger, refunded).await;
    assert_eq!((there.standing(), there.is_unserved()), ("refunding", true));
    refuses(refunded, &[CREDITED, REFUNDING, answered(7), answered(0)]).await;
    ledger.apply(refunded, REFUNDED).await.unwrap();
    refuses(refunded, &all).await;
    assert_eq!(entry(ledger, refunded).await.standing(), "refunded");
    let served = settled(ledger, 1, 3, units(7)).await;
    ledger.apply(served, answered(7)).await.unwrap();
    refuses(served, &all).await;
    // What has not arrived is not given back.
    let open = paid(1, 4, units(7), false);
    ledger.claim(open.clone()).await.unwrap();
    refuses(open.id(), &[CREDITED, REFUNDING, REFUNDED]).await;
    assert_eq!(balance(ledger, 1).await, units(10_000));
}

pub(super) async fn of_those_who_race_to_end_it_one_wins(ledger: Arc<dyn Ledger>) {
    for round in 1..=8 {
        let id = settled(&*ledger, 1, round, units(1_000)).await;
        let barrier = Arc::new(Barrier::new(12));
        let tasks: Vec<_> = (0..12)
            .map(|task| {
                let step = [CREDITED, REFUNDING, answered(1_000)][task % 3].clone();
                let (ledger, barrier) = (Arc::clone(&ledger), Arc::clone(&barrier));
                tokio::spawn(async move {
                    barrier.wait().await;
                    ledger.apply(id, step).await
                })
            })
            .collect();
        let mut won = 0;
        for task in tasks {
            match task.await.unwrap() {
                Ok(()) => won += 1,
                Err(error) => assert!(matches!(error, LedgerError::Illegal(_)), "{error:?}"),
            }
        }
        assert_eq!(won, 1);
        let credit = entry(&*ledger, id).await.credit;
        let is_credited = entry(&*ledger, id).await.returned == Some(Returned::Credited);
        assert_eq!(credit, units(if is_credited { 1_000 } else { 0 }));
    }
    let mut credited = 0;
    for id in ledger.ids().await.unwrap() {
        credited += u128::from(entry(&*ledger, id).await.returned == Some(Returned::Credited));
    }
    assert_eq!(balance(&*ledger, 1).await, units(credited * 1_000));
}

pub(super) async fn what_was_given_back_and_is_reversed_is_owed(ledger: Arc<dyn Ledger>) {
    let ledger = &*ledger;
    let [drawn_on, whole] = [1, 2].map(|number| paid(1, number, units(10_000), false));
    for entry in [&drawn_on, &whole] {
        ledger.claim(entry.clone()).await.unwrap();
        let steps = [Step::Journalled(transaction(1)), Step::Confirmed(settlement(1)), CREDITED];
        for step in steps {
            ledger.apply(entry.id(), step).await.unwrap();
        }
    }
    assert_eq!(balance(ledger, 1).await, units(20_000));
    drawn(ledger, &draw(1, 1, 3_000)).await;
    ledger.apply(whole.id(), Step::Reversed).await.unwrap();
    assert_eq!(balance(ledger, 1).await, units(7_000));
    assert_eq!(entry(ledger, whole.id()).await.owed(), units(0));
    ledger.apply(drawn_on.id(), Step::Reversed).await.unwrap();
    assert_eq!(balance(ledger, 1).await, units(0));
    let there = entry(ledger, drawn_on.id()).await;
    assert_eq!((there.state, there.owed()), (State::Pending, units(3_000)));
    // It is no work that goes on.
    let answered = ledger.apply(drawn_on.id(), answered(0)).await;
    assert!(matches!(answered, Err(LedgerError::Illegal(_))), "{answered:?}");
    for id in [drawn_on.id(), whole.id()] {
        ledger.apply(id, Step::Reverted).await.unwrap();
    }
    assert!(entry(ledger, drawn_on.id()).await.is_debt());
    assert!(!entry(ledger, whole.id()).await.is_debt(), "nothing of it was used");
    assert_eq!(open_ids(ledger).await, [drawn_on.id()]);
    ledger.apply(drawn_on.id(), Step::Confirmed(settlement(1))).await.unwrap();
    let there = entry(ledger, drawn_on.id()).await;
    assert_eq!((there.state, there.owed()), (State::Returned, units(0)));
    assert_eq!(ledger.balances().await.unwrap(), [(account(1), units(7_000))]);
}

/// What is settled and was given a time by a version before, which `gives` gives it, is not forgotten then.
#[cfg(all(feature = "test-servers", any(feature = "postgres", feature = "redis")))]
pub(super) async fn what_an_older_version_gave_a_time_is_kept(
    ledger: &dyn Ledger,
    gives: impl AsyncFn(PaymentId, u64),
) {
    let mut ids = Vec::new();
    for number in 1..=20 {
        ids.push(settled(ledger, 1, number, units(10_000)).await);
        gives(ids[ids.len() - 1], NOW + DAY).await;
    }
    let over = settled(ledger, 1, 21, units(10_000)).await;
    ledger.apply(over, answered(10_000)).await.unwrap();
    for number in 100..104 {
        sweep(ledger, number, NOW + 3 * DAY).await;
    }
    for id in &ids {
        assert!(is_known(ledger, *id).await);
    }
    // They stand in nobody's way.
    assert!(!is_known(ledger, over).await);
    ledger.apply(ids[0], answered(10_000)).await.unwrap();
    sweep(ledger, 104, NOW + 3 * DAY).await;
    assert!(!is_known(ledger, ids[0]).await);
}
