//! What is paid and not used, and what it pays for.

use futures_util::FutureExt as _;

use super::*;
use crate::ledger::{CreditAccount, Draw, Drawing};

const NONCE: [u8; 32] = [0x11; 32];

pub(super) fn units(units: u128) -> Amount {
    Amount::from_units(units)
}

impl Shop {
    pub(super) fn account(&self) -> CreditAccount {
        let terms = self.offer.requirements();
        let payer = self.payment().transfer.from();
        CreditAccount { payer, chain_id: terms.chain_id, asset: terms.asset, seller: terms.pay_to }
    }

    pub(super) async fn balance(&self) -> Amount {
        self.seller.balance(self.account()).await.unwrap()
    }

    /// Pays 10,000 for work that costs 4,000.
    pub(super) async fn earn(&self) {
        self.serve(&self.payment()).await.complete_for(answer(), units(4_000)).await.unwrap();
        assert_eq!(self.balance().await, units(6_000));
    }

    async fn draw(&self, nonce: [u8; 32], amount: u128) -> Result<Drawn, Rejection> {
        self.draw_at("/a", nonce, amount).await
    }

    async fn draw_at(&self, target: &str, nonce: [u8; 32], n: u128) -> Result<Drawn, Rejection> {
        let request = RequestId::new("POST", target);
        self.seller.draw(self.account(), nonce, request, units(n)).await
    }

    async fn drawn(&self, amount: u128) -> DrawTicket {
        match self.draw(NONCE, amount).await {
            Ok(Drawn::Serve(ticket)) => *ticket,
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn what_is_held_for_work_that_nobody_does_is_put_back_by_the_operator() {
    let shop = Shop::new(Script::default());
    shop.earn().await;
    let ticket = shop.drawn(1_000).await;
    let refund = RequestId::new("x402", "ledger refund");
    let refund = Draw::new(shop.account(), [0x22; 32], refund, units(500), NOW);
    assert_eq!(shop.ledger.draw(refund).await.unwrap(), Drawing::New);
    assert_eq!(shop.seller.release_holds().await.unwrap(), [], "it is being done");
    assert_eq!(shop.balance().await, units(4_500));
    // It is given up, and its client comes again.
    drop(ticket);
    drop(shop.drawn(1_000).await);
    let released = shop.seller.release_holds().await.unwrap();
    assert_eq!(released.iter().map(|draw| draw.amount).collect::<Vec<_>>(), [units(1_000)]);
    assert_eq!(shop.balance().await, units(5_500));
    assert_eq!(shop.seller.release_holds().await.unwrap(), []);
    assert_eq!(shop.seller.open_refunds().await.unwrap().len(), 1);
    // Whoever comes after that draws anew.
    shop.drawn(2_000).await.complete(answer(), units(300)).await.unwrap();
    assert_eq!(shop.balance().await, units(5_200));
}

#[tokio::test]
async fn what_is_paid_and_not_used_is_credit_however_it_is_settled() {
    let shop = Shop::new(Script::default());
    shop.serve(&shop.payment_of(1, 60)).await.complete(answer()).await.unwrap();
    assert_eq!(shop.balance().await, Amount::ZERO, "it cost all of it");
    let ticket = shop.serve(&shop.payment_of(2, 60)).await;
    ticket.complete_for(answer(), units(9_999)).await.unwrap();
    assert_eq!(shop.balance().await, units(1));
    let more = shop.serve(&shop.payment_of(3, 60)).await;
    let more = more.complete_for(answer(), units(10_001)).await;
    assert!(matches!(more, Err(LedgerError::Amount)), "{more:?}");
    let after = shop.pledged(&shop.payment_of(4, 60), Settle::After).await;
    after.settle(answer(), units(9_000)).await.unwrap();
    assert_eq!(shop.balance().await, units(1_001));
    let later = shop.pledged(&shop.payment_of(5, 60), Settle::Later).await;
    later.owe(answer(), units(8_000)).await.unwrap();
    assert_eq!(shop.balance().await, units(1_001), "nothing was paid yet");
    shop.seller.close_tab().await;
    assert_eq!(shop.balance().await, units(3_001));
}

#[tokio::test]
async fn a_draw_is_served_once_and_then_repeats_the_answer() {
    let shop = Shop::new(Script::default());
    shop.earn().await;
    let ticket = shop.drawn(5_000).await;
    assert_eq!((ticket.payer(), ticket.amount()), (shop.account().payer, units(5_000)));
    assert_eq!(shop.balance().await, units(1_000));
    assert_eq!(shop.draw(NONCE, 5_000).await.unwrap_err().refusal, Refusal::InFlight);
    ticket.complete(answer(), units(1_500)).await.unwrap();
    assert_eq!(shop.balance().await, units(4_500));
    for amount in [5_000, 1, 99_999] {
        let Ok(Drawn::Replay { used, answer: kept }) = shop.draw(NONCE, amount).await else {
            panic!("it was served")
        };
        assert_eq!((used, kept), (units(1_500), answer()));
    }
    let other = shop.draw_at("/b", NONCE, 5_000).await.unwrap_err();
    assert_eq!(other.refusal, Refusal::Conflict);
    assert_eq!(shop.balance().await, units(4_500));
    assert_eq!(shop.chain.broadcasts.load(Ordering::SeqCst), 1, "credit needs no chain");
}

#[tokio::test]
async fn what_is_not_there_is_not_drawn() {
    let shop = Shop::new(Script::default());
    assert!(matches!(shop.draw(NONCE, 1).await, Ok(Drawn::Short(Amount::ZERO))));
    shop.earn().await;
    let short = shop.draw(NONCE, 6_001).await;
    assert!(matches!(short, Ok(Drawn::Short(left)) if left == units(6_000)), "{short:?}");
    // Nobody is busy with it, and the nonce is as good as before.
    shop.drawn(6_000).await.release().await;
    assert_eq!(shop.balance().await, units(6_000));
}

#[tokio::test]
async fn a_draw_that_was_dropped_stays_held_and_one_that_was_released_is_forgotten() {
    let shop = Shop::new(Script::default());
    shop.earn().await;
    let id = shop.drawn(5_000).await.draw_id();
    assert_eq!(shop.balance().await, units(1_000), "the work is owed");
    let other = shop.draw_at("/b", NONCE, 5_000).await.unwrap_err();
    assert_eq!(other.refusal, Refusal::Conflict);
    // At the amount that is held, whatever it would cost now.
    let again = shop.drawn(9_000).await;
    assert_eq!((again.draw_id(), again.amount()), (id, units(5_000)));
    let more = again.complete(answer(), units(5_001)).await;
    assert!(matches!(more, Err(LedgerError::Amount)), "{more:?}");
    shop.drawn(5_000).await.release().await;
    assert_eq!(shop.balance().await, units(6_000));
    assert!(shop.ledger.find_draw(id).await.unwrap().is_none());
    // Another request may have the nonce now.
    assert!(matches!(shop.draw_at("/b", NONCE, 1).await, Ok(Drawn::Serve(_))));
}

#[tokio::test]
async fn an_answer_to_a_draw_that_was_too_large_to_keep_is_not_given_again() {
    let shop = Shop::new(Script::default());
    shop.earn().await;
    let large = Answer { body: None, ..answer() };
    shop.drawn(5_000).await.complete(large, units(5_000)).await.unwrap();
    let Ok(Drawn::Replay { answer, .. }) = shop.draw(NONCE, 5_000).await else { panic!("served") };
    assert_eq!(answer.body, None);
}

#[tokio::test]
async fn of_a_hundred_draws_at_once_one_is_served() {
    let shop = Shop::new(Script::default());
    shop.earn().await;
    let tasks: Vec<_> = (0..100)
        .map(|_| {
            let (seller, account) = (shop.seller.clone(), shop.account());
            let request = RequestId::new("POST", "/a");
            tokio::spawn(async move { seller.draw(account, NONCE, request, units(100)).await })
        })
        .collect();
    let mut tickets = Vec::new();
    for task in tasks {
        match task.await.unwrap() {
            Ok(Drawn::Serve(ticket)) => tickets.push(ticket),
            Ok(other) => panic!("{other:?}"),
            Err(rejection) => assert_eq!(rejection.refusal, Refusal::InFlight),
        }
    }
    assert_eq!((tickets.len(), shop.balance().await), (1, units(5_900)));
}

/// A payment whose nonce is made to look like a draw's is in nobody's way.
#[tokio::test]
async fn no_payment_is_called_as_a_draw_is() {
    let shop = Shop::new(Script::default());
    shop.earn().await;
    let ticket = shop.drawn(5_000).await;
    let (name, draw) = (ticket.id(), ticket.draw_id());
    assert_eq!((name.nonce, name.from), (Nonce::new(draw.0), shop.account().payer));
    assert_ne!(name.contract, shop.offer.requirements().asset);
    assert!(shop.ledger.find(name).await.unwrap().is_none());
}

#[tokio::test]
async fn a_payer_who_goes_away_while_drawing_changes_nothing() {
    let shop = Shop::new(Script::default());
    shop.earn().await;
    // The task has begun, and nobody waits for it.
    assert!(shop.draw(NONCE, 5_000).now_or_never().is_none());
    for _ in 0..100 {
        if shop.balance().await == units(1_000) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let ticket = shop.drawn(5_000).await;
    ticket.complete(answer(), units(5_000)).await.unwrap();
    assert_eq!(shop.balance().await, units(1_000));
}

#[tokio::test]
async fn what_is_handed_out_is_used_before_the_body_is_there() {
    let shop = Shop::new(Script::default());
    let head = Answer { body: None, ..answer() };
    let payment = shop.payment_of(3, 60);
    let paid = shop.serve(&payment).await.hand_out(answer()).await.unwrap();
    let kept = async || match shop.admit(&payment, "/a").await {
        Ok(Admission::Replay(_, kept)) => kept,
        other => panic!("{other:?}"),
    };
    assert_eq!(kept().await, head);
    paid.follow(answer()).await.unwrap();
    assert_eq!(kept().await, answer());
    shop.earn().await;
    let handed_out = shop.drawn(5_000).await.hand_out(answer()).await.unwrap();
    let kept = async || match shop.draw(NONCE, 5_000).await {
        Ok(Drawn::Replay { used, answer }) => (used, answer),
        other => panic!("{other:?}"),
    };
    assert_eq!(kept().await, (units(5_000), head));
    // It is held no more, whoever looks for that.
    assert_eq!(shop.seller.release_holds().await.unwrap(), []);
    handed_out.follow(answer()).await.unwrap();
    assert_eq!(kept().await, (units(5_000), answer()));
    assert_eq!(shop.balance().await, units(1_000));
}
