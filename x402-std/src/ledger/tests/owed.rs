use super::*;
use crate::ledger::Settle;

async fn claim_later(ledger: &dyn Ledger, payment: &Checked) {
    let entry = Entry::new(payment, REQUEST, NOW).unwrap();
    let claiming = ledger.claim(Entry { settle: Settle::Later, ..entry }).await.unwrap();
    assert!(matches!(claiming, Claiming::New(_)), "{claiming:?}");
}

async fn owed(ledger: &dyn Ledger) -> Vec<PaymentId> {
    let owed = ledger.owed_by(payment(1).payer()).await.unwrap();
    let mut ids: Vec<_> = owed.iter().map(Entry::id).collect();
    ids.sort();
    ids
}

fn worked() -> Step {
    Step::Worked(answer(), Amount::from_units(10_000))
}

pub(super) async fn what_a_payer_owes_is_told(ledger: Arc<dyn Ledger>) {
    let ledger = &*ledger;
    let [first, second, paid] = [payment(1), payment(2), payment(3)];
    claim_new(ledger, &paid).await;
    claim_later(ledger, &first).await;
    claim_later(ledger, &second).await;
    let mut both = [first.id(), second.id()];
    both.sort();
    assert_eq!(owed(ledger).await, both, "what is being served is owed");
    ledger.apply(first.id(), worked()).await.unwrap();
    for step in [Step::Journalled(transaction(1)), Step::TimedOut] {
        ledger.apply(first.id(), step).await.unwrap();
        assert_eq!(owed(ledger).await, both);
    }
    ledger.apply(second.id(), Step::Refused).await.unwrap();
    assert_eq!(owed(ledger).await, [first.id()]);
    let other = x402_core::Address::new([9; 20]);
    assert!(ledger.owed_by(other).await.unwrap().is_empty());
    ledger.apply(first.id(), Step::Confirmed(TxHash([1; 32]))).await.unwrap();
    assert!(owed(ledger).await.is_empty());
    assert_eq!(state(ledger, first.id()).await, State::Served, "its answer was given before");
    assert_eq!(entry(ledger, first.id()).await.answer, Some(answer()));
}

pub(super) async fn what_was_served_and_not_paid_is_not_forgotten(ledger: Arc<dyn Ledger>) {
    let ledger = &*ledger;
    let [debt, failed] = [payment(1), payment(2)];
    claim_later(ledger, &debt).await;
    ledger.apply(debt.id(), worked()).await.unwrap();
    ledger.apply(debt.id(), Step::Refused).await.unwrap();
    claim_later(ledger, &failed).await;
    ledger.apply(failed.id(), Step::Journalled(transaction(1))).await.unwrap();
    ledger.apply(failed.id(), Step::Reverted).await.unwrap();
    assert_eq!(state(ledger, debt.id()).await, State::Failed);
    assert_eq!(owed(ledger).await, [debt.id()], "what was not served is no debt");
    for days in 2..5 {
        let at = NOW + days * DAY;
        let entry = Entry::new(&payment(10 + u128::from(days)), REQUEST, at).unwrap();
        drop(ledger.claim(entry).await.unwrap());
    }
    assert!(ledger.find(failed.id()).await.unwrap().is_none());
    assert_eq!(owed(ledger).await, [debt.id()]);
    // What is forgiven is owed no more.
    let forgiven = payment(3);
    claim_later(ledger, &forgiven).await;
    ledger.apply(forgiven.id(), worked()).await.unwrap();
    assert!(ledger.apply(forgiven.id(), Step::Forgiven).await.is_err(), "it may be paid yet");
    ledger.apply(forgiven.id(), Step::Refused).await.unwrap();
    assert_eq!(owed(ledger).await.len(), 2);
    ledger.apply(forgiven.id(), Step::Forgiven).await.unwrap();
    assert_eq!(owed(ledger).await, [debt.id()]);
    // Paid in the end, its time comes too.
    ledger.apply(debt.id(), Step::Journalled(transaction(2))).await.unwrap();
    ledger.apply(debt.id(), Step::Confirmed(TxHash([2; 32]))).await.unwrap();
    assert!(owed(ledger).await.is_empty());
    for hours in [1, 3] {
        let at = NOW + 6 * DAY + hours * 3600;
        let entry = Entry::new(&payment(100 + u128::from(hours)), REQUEST, at).unwrap();
        drop(ledger.claim(entry).await.unwrap());
    }
    assert!(ledger.find(debt.id()).await.unwrap().is_none());
}
