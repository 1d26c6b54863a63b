//! What is looked after when nobody asks, and while somebody does.

use super::*;
use crate::seller::resolve::Held;

impl Shop {
    /// Claims two payments, and has them moved together.
    pub(super) async fn move_two(&self) -> Vec<Result<TxHash, Rejection>> {
        let mut held = Vec::new();
        for nonce in [1, 2] {
            let entry = self.claimed(nonce).await;
            let guard = self.seller.enter(entry.id()).await.unwrap();
            held.push(Held { entry, guard });
        }
        let moved = self.seller.move_held(&held, true).await;
        moved.into_iter().map(|(_, moved)| moved).collect()
    }

    /// Two payments that were journalled for one transaction, of which it is not known whether the chain has it.
    async fn sent_together() -> Self {
        let shop = Self::new(Script {
            outcome: Mutex::new([Says::Nothing].into()),
            broadcast: Mutex::new([Says::Lost].into()),
            takes_batches: true,
            ..Script::default()
        });
        let moved = shop.move_two().await;
        assert!(moved.iter().all(Result::is_err));
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

/// It is signed by the same payer, and the token takes one of the two.
#[tokio::test]
async fn another_authorization_with_the_same_nonce_is_another_payment() {
    let used = Refusal::Payment(Error::AuthorizationUsed);
    let shop = Shop::new(Script::default());
    // Owed: whoever has paid may ask for it.
    drop(shop.serve(&shop.payment_of(7, 60)).await);
    for other in [shop.payment_of(7, 61), shop.payment_of(7, 600)] {
        assert_eq!(shop.refused(&other).await.refusal, used);
    }
    // Another price: the one that was paid is good for what it was.
    let dear = Offer::with_amount(shop.offer, Amount::from_units(14_400_000));
    let request = RequestId::new("POST", "/a");
    let admit = |payment: Payment| {
        let (seller, presented) = (Arc::clone(&shop.seller), secretly(&payment));
        async move { seller.admit(&presented, dear.requirements(), request).await }
    };
    let of_dear = Shop { offer: dear, ..Shop::new(Script::default()) }.payment_of(7, 60);
    assert_eq!(admit(of_dear).await.unwrap_err().refusal, used);
    let Ok(Admission::Serve(ticket)) = admit(shop.payment_of(7, 60)).await else { panic!() };
    assert_eq!(ticket.amount(), Amount::from_units(10_000));
    // What is out of time now is compared, too.
    drop(ticket);
    shop.now.store(NOW + 1_000, Ordering::SeqCst);
    assert_eq!(shop.refused(&shop.payment_of(7, 61)).await.refusal, used);
    shop.serve(&shop.payment_of(7, 60)).await.complete(answer()).await.unwrap();
    assert_eq!(shop.refused(&shop.payment_of(7, 61)).await.refusal, used);
    assert_eq!(shop.chain.broadcasts.load(Ordering::SeqCst), 1);
}
