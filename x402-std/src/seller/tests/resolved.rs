//! What is looked after when nobody asks, and while somebody does.

use super::*;
use crate::seller::resolve::Held;

impl Shop {
    /// Two payments that were journalled for one transaction, of which it is not known whether the chain has it.
    async fn sent_together() -> Self {
        let shop = Self::new(Script {
            outcome: Mutex::new([Says::Nothing].into()),
            broadcast: Mutex::new([Says::Lost].into()),
            takes_batches: true,
            ..Script::default()
        });
        let mut held = Vec::new();
        for nonce in [1, 2] {
            let entry = shop.claimed(nonce).await;
            let guard = shop.seller.enter(entry.id()).await.unwrap();
            held.push(Held { entry, guard });
        }
        let moved = shop.seller.move_held(&held, true).await;
        assert!(moved.iter().all(|(_, moved)| moved.is_err()));
        assert_eq!(shop.chain.broadcasts.load(Ordering::SeqCst), 1);
        shop
    }

    /// How many times something is sent again while what is open is looked after.
    async fn sent_again(&self) -> usize {
        let before = self.chain.rebroadcasts.load(Ordering::SeqCst);
        assert_ne!(self.seller.resolve_open().await.unwrap(), 0);
        self.chain.rebroadcasts.load(Ordering::SeqCst) - before
    }
}

/// Each asks for the receipt, and is busy with the payment meanwhile.
#[tokio::test]
async fn who_asks_again_and_again_does_not_keep_a_transaction_from_being_sent_again() {
    let shop = Shop::sent_together().await;
    let id = shop.ledger.open_entries().await.unwrap()[0].id();
    let asking: Vec<_> = (0..20)
        .map(|_| {
            let seller = Arc::clone(&shop.seller);
            tokio::spawn(async move {
                loop {
                    let guard = seller.enter(id).await;
                    tokio::time::sleep(Duration::from_millis(1)).await;
                    drop(guard);
                }
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_ne!(shop.sent_again().await, 0);
    asking.iter().for_each(tokio::task::JoinHandle::abort);
}
