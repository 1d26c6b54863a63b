use core::time::Duration;
use std::sync::Arc;

use tokio::sync::Barrier;
use tokio::time::sleep;

use super::{Ledger, payment};
use crate::ledger::Owner;

const A: Owner = Owner([1; 16]);
const B: Owner = Owner([2; 16]);

pub(super) async fn of_those_who_race_for_a_lease_one_wins(ledger: Arc<dyn Ledger>) {
    let (id, barrier) = (payment(1).id(), Arc::new(Barrier::new(64)));
    let tasks: Vec<_> = (0..64)
        .map(|byte| {
            let (ledger, barrier) = (Arc::clone(&ledger), Arc::clone(&barrier));
            tokio::spawn(async move {
                barrier.wait().await;
                ledger.lease(id, Owner([byte; 16]), 30).await.unwrap()
            })
        })
        .collect();
    let mut winners = Vec::new();
    for (byte, task) in (0..64).zip(tasks) {
        if task.await.unwrap() {
            winners.push(byte);
        }
    }
    let [winner] = winners[..] else { panic!("{winners:?}") };
    for byte in 0..64 {
        assert_eq!(ledger.lease(id, Owner([byte; 16]), 30).await.unwrap(), byte == winner);
    }
}

pub(super) async fn a_lease_runs_out_unless_it_is_renewed(ledger: Arc<dyn Ledger>) {
    let id = payment(1).id();
    assert!(ledger.lease(id, A, 1).await.unwrap());
    assert!(!ledger.lease(id, B, 1).await.unwrap());
    sleep(Duration::from_millis(500)).await;
    assert!(ledger.lease(id, A, 2).await.unwrap(), "one's own can be renewed");
    sleep(Duration::from_millis(1000)).await;
    assert!(!ledger.lease(id, B, 30).await.unwrap(), "it was renewed");
    sleep(Duration::from_millis(1300)).await;
    assert!(ledger.lease(id, B, 30).await.unwrap(), "it ran out");
    assert!(!ledger.lease(id, A, 30).await.unwrap(), "it is another's now");
}

pub(super) async fn only_its_owner_gives_a_lease_back(ledger: Arc<dyn Ledger>) {
    let id = payment(1).id();
    ledger.release_lease(id, A).await.unwrap();
    assert!(ledger.lease(id, A, 30).await.unwrap());
    ledger.release_lease(id, B).await.unwrap();
    assert!(!ledger.lease(id, B, 30).await.unwrap());
    ledger.release_lease(id, A).await.unwrap();
    assert!(ledger.lease(id, B, 30).await.unwrap());
}

pub(super) async fn a_lease_is_of_one_payment(ledger: Arc<dyn Ledger>) {
    assert!(ledger.lease(payment(1).id(), A, 30).await.unwrap());
    assert!(ledger.lease(payment(2).id(), B, 30).await.unwrap());
    // Nothing was recorded by that.
    assert!(ledger.find(payment(1).id()).await.unwrap().is_none());
    super::claim_new(&*ledger, &payment(1)).await;
}
