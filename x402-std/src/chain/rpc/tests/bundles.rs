//! Many authorizations in one transaction, put together so that one transfer pays for several.

use x402_core::{Nonce, Timestamp};

use super::harness::{PAYEE, STRANGER, sends};
use super::*;
use crate::chain::multicall;
use crate::devnet;

/// The payer's address, as he pays himself.
fn himself() -> [u8; 20] {
    *Buyer::default().address().as_bytes()
}

/// A payment, and the call of another authorization with the same nonce that moves nothing.
fn with_a_twin() -> (Claimed, Call) {
    let payment = Buyer::default().pays(PRICE);
    let nonce: Nonce = payment.transfer().nonce();
    let twin = Buyer::default().pays_with(0, Timestamp::MAX, nonce, himself());
    (payment, call(&twin))
}

/// One transaction of somebody else's, with these calls.
fn bundle(shop: &Shop, calls: &[Call]) -> TxHash {
    let batch = Call::batch(calls);
    sends(shop, &STRANGER, *multicall::ADDRESS.as_bytes(), batch.data)
}

#[tokio::test]
async fn one_transfer_settles_one_of_nine() {
    let shop = Shop::open().await;
    let paid = Buyer::default().pays(PRICE);
    let (others, twins): (Vec<_>, Vec<_>) = (0..8).map(|_| with_a_twin()).unzip();
    for at in [0, 4, 8] {
        let shop = if at == 0 { &shop } else { &Shop::open().await };
        let mut calls = twins.clone();
        calls.insert(at, call(&paid));
        let hash = bundle(shop, &calls);
        assert_eq!(shop.received(), PRICE);
        let found = shop.chain.find(&paid, 0, &[]).await.unwrap();
        assert!(matches!(found, Usage::Settled(_, by) if by.transaction == hash), "{found:?}");
        for payment in &others {
            assert_eq!(shop.chain.find(payment, 0, &[]).await.unwrap(), Usage::Void);
        }
        let all: Vec<_> = core::iter::once(paid).chain(others.iter().copied()).collect();
        let theirs = Sent { is_own: false, ..Sent::own(hash) };
        let outcomes = shop.chain.outcomes(&all, theirs).await.unwrap();
        assert!(matches!(outcomes[0], Outcome::Settled(..)), "{outcomes:?}");
        assert_eq!(outcomes[1..], [Outcome::Reverted; 8]);
    }
}

#[tokio::test]
async fn a_batch_of_ours_pays_each_by_a_transfer_of_its_own() {
    let shop = Shop::open().await;
    let payments: Vec<_> = (0..3).map(|_| Buyer::default().pays(PRICE)).collect();
    let calls: Vec<_> = payments.iter().map(call).collect();
    let hash = shop.chain.broadcast(&Call::batch(&calls), &Pages::default()).await.unwrap();
    let outcomes = shop.chain.outcomes(&payments, Sent::own(hash)).await.unwrap();
    let position = |outcome: &Outcome| match outcome {
        Outcome::Settled(_, log) => log.position,
        other => panic!("{other:?}"),
    };
    assert_eq!(outcomes.iter().map(position).collect::<Vec<_>>(), [1, 3, 5]);
    assert_eq!(shop.devnet.balance_of(devnet::USDC, PAYEE).unwrap(), 3 * PRICE);
    // In another order, and one that was not in it: none has the transfer of another.
    let stranger = Buyer::default().pays(PRICE);
    let mixed = [payments[2], stranger, payments[0]];
    let outcomes = shop.chain.outcomes(&mixed, Sent::own(hash)).await.unwrap();
    assert_eq!(position(&outcomes[0]), 5);
    assert_eq!(outcomes[1], Outcome::Reverted);
    assert_eq!(position(&outcomes[2]), 1);
}
