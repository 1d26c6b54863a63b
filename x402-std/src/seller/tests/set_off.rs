//! Debts, set off against credit.

use super::credit::units;
use super::pledges::in_debt;
use super::*;
use crate::ledger::LOG_KEEP_SECONDS;

/// Who owes 10,000, and has so much credit from two payments.
async fn in_debt_with(credit: u128) -> (Shop, PaymentId) {
    let (shop, payment) = in_debt().await;
    let id = shop.debt(&payment).await;
    *shop.chain.simulate.lock().unwrap() = [Says::Takes].into();
    for (nonce, credit) in [(2, credit / 2), (3, credit - credit / 2)] {
        let ticket = shop.serve(&shop.payment_of(nonce, 60)).await;
        ticket.complete_for(answer(), units(10_000 - credit)).await.unwrap();
    }
    assert_eq!(shop.balance().await, units(credit));
    (shop, id)
}

impl Shop {
    async fn draws(&self, amount: u128) -> Result<Drawn, Rejection> {
        let request = RequestId::new("POST", "/a");
        self.seller.draw(self.account(), [9; 32], request, units(amount)).await
    }

    async fn set_off_of(&self, id: PaymentId) -> Amount {
        self.ledger.find(id).await.unwrap().unwrap().set_off
    }
}

#[tokio::test]
async fn who_owes_draws_what_is_left() {
    let (shop, id) = in_debt_with(14_000).await;
    let short = shop.draws(4_001).await;
    assert!(matches!(short, Ok(Drawn::Short(left)) if left == units(4_000)), "{short:?}");
    assert_eq!(shop.set_off_of(id).await, units(10_000));
    let Ok(Drawn::Serve(ticket)) = shop.draws(4_000).await else { panic!() };
    ticket.complete(answer(), units(4_000)).await.unwrap();
    assert_eq!((shop.balance().await, shop.set_off_of(id).await), (units(0), units(10_000)));
    assert_eq!(shop.seller.set_off(shop.account().payer).await.unwrap(), []);
}

#[tokio::test]
async fn who_owes_more_than_his_credit_draws_nothing() {
    let (shop, id) = in_debt_with(6_000).await;
    let short = shop.draws(1).await;
    assert!(matches!(short, Ok(Drawn::Short(Amount::ZERO))), "{short:?}");
    let debt = shop.ledger.find(id).await.unwrap().unwrap();
    assert_eq!((debt.set_off, debt.outstanding()), (units(6_000), units(4_000)));
}

#[tokio::test]
async fn whose_credit_covers_what_he_owes_is_trusted_again() {
    for (credit, is_trusted) in [(10_000, true), (9_999, false)] {
        let (shop, id) = in_debt_with(credit).await;
        // The next payment is good, and the one that is owed is not.
        *shop.chain.simulate.lock().unwrap() = [Says::Takes, Says::Refuses(Error::Balance)].into();
        let next = shop.payment_of(8, 60);
        if is_trusted {
            shop.pledged(&next, Settle::Later).await.release().await;
        } else {
            let refusal = shop.refused_with(&next, Settle::Later).await;
            assert_eq!(refusal, Refusal::Payment(Error::Owing));
        }
        assert_eq!((shop.balance().await, shop.set_off_of(id).await), (units(0), units(credit)));
    }
}

#[tokio::test]
async fn a_debt_that_is_paid_after_all_gives_the_set_off_back() {
    let (shop, id) = in_debt_with(12_000).await;
    let set_off = shop.seller.set_off(shop.account().payer).await.unwrap();
    let [one] = set_off[..] else { panic!("{set_off:?}") };
    assert_eq!((one.payment, one.amount, one.account), (id, units(10_000), shop.account()));
    let sent = shop.chain.broadcasts.load(Ordering::SeqCst);
    // It is looked for, and not sent again.
    shop.seller.resolve_open().await.unwrap();
    assert_eq!(shop.balance().await, units(2_000));
    *shop.chain.find.lock().unwrap() = [Says::ByStranger].into();
    assert_eq!(shop.seller.resolve_open().await.unwrap(), 0);
    let paid = shop.ledger.find(id).await.unwrap().unwrap();
    assert_eq!((paid.state, paid.set_off), (State::Served, Amount::ZERO));
    assert_eq!(shop.balance().await, units(12_000));
    assert_eq!(shop.chain.broadcasts.load(Ordering::SeqCst), sent);
}

/// By credit; nothing is sent for it any more, and nothing is to be looked for once it has ended.
#[tokio::test]
async fn what_is_paid_by_credit_is_given_again_and_over_with_its_authorization() {
    let (shop, payment) = in_debt().await;
    let id = shop.debt(&payment).await;
    *shop.chain.simulate.lock().unwrap() = [Says::Takes].into();
    let ticket = shop.serve(&shop.payment_of(2, 60)).await;
    ticket.complete_for(answer(), units(0)).await.unwrap();
    let sent = shop.chain.broadcasts.load(Ordering::SeqCst);
    *shop.chain.simulate.lock().unwrap() = [Says::Refuses(Error::Balance)].into();
    let refusal = shop.refused_with(&payment, Settle::Later).await;
    assert_eq!(refusal, Refusal::Payment(Error::Balance), "it is owed");
    assert_eq!(shop.seller.set_off(shop.account().payer).await.unwrap().len(), 1);
    assert_eq!(shop.replayed(&payment, Settle::Later).await, None);
    shop.now.fetch_add(LOG_KEEP_SECONDS, Ordering::SeqCst);
    assert_eq!(shop.seller.resolve_open().await.unwrap(), 0);
    let debt = shop.ledger.find(id).await.unwrap().unwrap();
    assert!(debt.is_set_off());
    assert_eq!(shop.chain.broadcasts.load(Ordering::SeqCst), sent);
}

/// What was set off and is credit again goes with the block that has paid.
#[tokio::test]
async fn what_was_set_off_and_may_still_go_is_not_refunded() {
    let (shop, id) = in_debt_with(12_000).await;
    shop.seller.set_off(shop.account().payer).await.unwrap();
    let refundable = async || shop.seller.refundable(shop.account()).await.unwrap();
    let is_final = async |block| shop.ledger.finalize(ChainId::ETHEREUM, block).await.unwrap();
    // Where the credit is from.
    is_final(shop.chain.block_of(1)).await;
    assert_eq!(refundable().await, units(2_000));
    let log = PaidLog { block: shop.chain.block_of(2), position: 1 };
    let settlement = Settlement { transaction: TxHash([9; 32]), log: Some(log) };
    shop.ledger.apply(id, Step::Confirmed(settlement)).await.unwrap();
    assert_eq!((shop.balance().await, refundable().await), (units(12_000), units(2_000)));
    is_final(log.block).await;
    assert_eq!(refundable().await, units(12_000));
}
