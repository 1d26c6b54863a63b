//! What moved the money: one log pays once, failed is what is proved, and a chain may go back.

use super::credit::units;
use super::*;
use crate::ledger::CreditAccount;

impl Shop {
    async fn entry(&self, payment: &Payment) -> Entry {
        let id = self.offer.requirements().identify(payment, &K256).unwrap();
        self.ledger.find(id).await.unwrap().unwrap()
    }

    pub(super) fn set(&self, queue: &Mutex<VecDeque<Says>>, says: impl IntoIterator<Item = Says>) {
        *queue.lock().unwrap() = says.into_iter().collect();
    }

    /// Served, for work that costs so much.
    async fn served(&self, payment: &Payment, cost: u128) {
        self.serve(payment).await.complete_for(answer(), units(cost)).await.unwrap();
    }

    /// The chain has so many blocks, of a fork, final up to one of them.
    fn chain_is(&self, height: u64, fork: u8, is_final_to: u64) {
        self.chain.height.store(height, Ordering::SeqCst);
        self.chain.fork.store(fork, Ordering::SeqCst);
        self.chain.is_final_to.store(is_final_to, Ordering::SeqCst);
    }
}

/// One whose log is that of another payment, which comes to lie in the same transaction.
#[tokio::test]
async fn a_log_that_has_paid_pays_for_nothing_else() {
    let shop = Shop::new(Script::default());
    let (first, second) = (shop.payment_of(1, 60), shop.payment_of(2, 60));
    shop.set(&shop.chain.outcome, [Says::Nothing]);
    shop.set(&shop.chain.find, [Says::Unused]);
    for payment in [&first, &second] {
        assert_eq!(shop.refused(payment).await.refusal, Refusal::Pending);
        // Another request's, or the second would be held back.
        shop.seller.pending.clear();
    }
    // One transaction of a stranger's uses up both nonces, and moves the money once.
    shop.set(&shop.chain.outcome, [Says::Reverted]);
    shop.set(&shop.chain.simulate, [Says::Refuses(Error::AuthorizationUsed)]);
    shop.set(&shop.chain.find, [Says::ByStranger]);
    shop.served(&first, 10_000).await;
    let log = shop.entry(&first).await.settlement.unwrap().log.unwrap();
    assert_eq!((log.position, log.block.number), (1, 1));
    // The chain says of the second what it would say of the first: that this log is its own.
    let (mut entry, id) = (shop.entry(&second).await, shop.entry(&second).await.id());
    let steps = Steps::new(&*shop.ledger, id);
    let settlement = Settlement { transaction: STRANGER, log: Some(log) };
    shop.set(&shop.chain.outcome, [Says::ByLogOf(1)]);
    for _ in 0..2 {
        let recorded = record(&*shop.chain, &entry, &steps, settlement, false).await;
        assert_eq!(recorded.unwrap_err().refusal, Refusal::Pending);
        entry = shop.entry(&second).await;
        assert!(entry.settlement.is_none() && entry.state == State::Pending, "{entry:?}");
    }
    // Another log of the transaction that is its own, and has not paid, does.
    shop.set(&shop.chain.outcome, [Says::Arrived]);
    assert_eq!(record(&*shop.chain, &entry, &steps, settlement, false).await.unwrap(), STRANGER);
    let log = shop.entry(&second).await.settlement.unwrap().log.unwrap();
    assert_eq!(log.position, 2);
}

#[tokio::test]
async fn failed_is_only_what_the_chain_proves() {
    for (find, expected) in [
        (Says::Unused, Refusal::Pending),
        (Says::Undecided, Refusal::Pending),
        (Says::Down, Refusal::Pending),
        (Says::Nothing, Refusal::Payment(Error::AuthorizationUsed)),
        (Says::Expired, Refusal::Payment(Error::Expired)),
    ] {
        let shop = Shop::new(Script {
            outcome: queue([Says::Reverted]),
            find: queue([find.clone()]),
            ..Script::default()
        });
        let payment = shop.payment();
        let rejection = shop.refused(&payment).await;
        assert_eq!(rejection.refusal, expected, "{find:?}");
        assert!(rejection.transaction.is_some(), "{find:?}");
        let state = shop.state(&payment).await.unwrap();
        assert_eq!(state == State::Failed, matches!(expected, Refusal::Payment(_)), "{find:?}");
    }
}

/// Nothing tells of the transaction, and nothing can be sent: it stays open however often it is asked.
#[tokio::test]
async fn a_node_that_knows_nothing_makes_no_payment_fail() {
    let shop = Shop::new(Script {
        outcome: queue([Says::Nothing]),
        rebroadcast: queue([Says::Refuses(Error::Simulation)]),
        simulate: queue([Says::Takes, Says::Refuses(Error::AuthorizationUsed)]),
        find: queue([Says::Unused, Says::Down, Says::Unused]),
        ..Script::default()
    });
    let payment = shop.payment();
    for _ in 0..3 {
        assert_eq!(shop.refused(&payment).await.refusal, Refusal::Pending);
        assert_eq!(shop.seller.resolve_open().await.unwrap(), 1);
    }
    assert_eq!(shop.chain.broadcasts.load(Ordering::SeqCst), 1, "no second transaction");
    shop.set(&shop.chain.find, [Says::ByStranger]);
    assert_eq!(shop.serve(&payment).await.receipt().transaction, Some(STRANGER));
}

#[tokio::test]
async fn a_token_that_moves_another_value_stops_and_what_arrived_is_credit() {
    let shop = Shop::new(Script { outcome: queue([Says::Short(9_900)]), ..Script::default() });
    let payment = shop.payment();
    let rejection = shop.refused(&payment).await;
    assert_eq!((rejection.refusal, rejection.transaction), (Refusal::Short, Some(TxHash([1; 32]))));
    assert_eq!(shop.balance().await, units(9_900));
    assert_eq!(shop.state(&payment).await, Some(State::Failed));
    // It is said again, and nothing is added.
    shop.set(&shop.chain.find, [Says::Nothing]);
    assert!(shop.admit(&payment, "/a").await.is_err());
    assert_eq!(shop.balance().await, units(9_900));
    // Nothing more is sold in the token.
    let next = shop.payment_of(9, 60);
    assert_eq!(shop.refused(&next).await.refusal, Refusal::Unavailable);
    assert_eq!(shop.chain.broadcasts.load(Ordering::SeqCst), 1);
}

/// Also where it would go with others, who are not asked about one by one.
#[tokio::test]
async fn nothing_new_in_a_token_that_has_stopped_is_in_a_batch() {
    let outcome = queue([Says::Short(9_900)]);
    let shop = Shop::new(Script { outcome, takes_batches: true, ..Script::default() });
    assert_eq!(shop.refused(&shop.payment()).await.refusal, Refusal::Short);
    shop.set(&shop.chain.outcome, [Says::Arrived]);
    let moved = shop.move_two().await;
    let refusals: Vec<_> = moved.iter().map(|moved| moved.unwrap_err().refusal).collect();
    assert_eq!(refusals, [Refusal::Unavailable; 2]);
    assert_eq!(shop.chain.broadcasts.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn what_is_final_is_not_looked_at_again() {
    let shop = Shop::new(Script::default());
    shop.served(&shop.payment(), 4_000).await;
    shop.chain_is(5, 0, 0);
    let blocks = || async { shop.ledger.unfinal_blocks(ChainId::ETHEREUM, 10).await.unwrap() };
    assert_eq!(shop.seller.watch().await.unwrap(), 0);
    assert_eq!(blocks().await, [Block { number: 1, hash: [1; 32] }]);
    let account = shop.account();
    assert_eq!(shop.seller.refundable(account).await.unwrap(), Amount::ZERO);
    shop.chain_is(70, 0, 1);
    assert_eq!(shop.seller.watch().await.unwrap(), 0);
    assert!(blocks().await.is_empty());
    assert_eq!(shop.seller.refundable(account).await.unwrap(), units(6_000));
    // Whatever the chain is now, it is not asked.
    shop.chain_is(0, 9, 0);
    assert_eq!(shop.seller.watch().await.unwrap(), 0);
    assert_eq!(shop.state(&shop.payment()).await, Some(State::Served));
}

/// Hundreds of blocks may hold what was paid before the first of them is final.
#[tokio::test]
async fn the_newest_of_many_blocks_is_watched() {
    let shop = Shop::new(Script::default());
    // More than are looked at in one go.
    for number in 1..=300_u16 {
        let checked = crate::ledger::tests::payment(number.into());
        let request = RequestId::new("GET", "/");
        shop.ledger.claim(Entry::new(&checked, request, NOW).unwrap()).await.unwrap();
        let log = Some(PaidLog { block: shop.chain.block_of(number.into()), position: 0 });
        let mut transaction = TxHash([0; 32]);
        transaction.0[..4].copy_from_slice(&u32::from(number).to_be_bytes());
        let settled = Step::Confirmed(Settlement { transaction, log });
        shop.ledger.apply(checked.id(), settled).await.unwrap();
    }
    shop.chain_is(300, 0, 0);
    assert_eq!(shop.seller.watch().await.unwrap(), 0);
    shop.chain_is(299, 0, 0);
    assert_eq!(shop.seller.watch().await.unwrap(), 1);
    // And the oldest, which were not looked at yet.
    shop.chain_is(0, 0, 0);
    assert_eq!(shop.seller.watch().await.unwrap(), 256);
    assert_eq!(shop.seller.watch().await.unwrap(), 43);
}

/// As one that does not say how many blocks it has: see `Chain::head`.
#[tokio::test]
async fn a_chain_that_does_not_stand_goes_back_on_nothing() {
    let shop = Shop::new(Script::default());
    shop.served(&shop.payment(), 4_000).await;
    shop.chain_is(0, 0, u64::MAX);
    assert_eq!(shop.seller.watch().await.unwrap(), 0);
    assert_eq!(shop.seller.refundable(shop.account()).await.unwrap(), units(6_000));
}

/// By `after` its payer may not have seen the answer yet, and none is given that is not paid.
#[tokio::test]
async fn what_is_gone_again_is_given_once_it_has_come_again() {
    let shop = Shop::new(Script::default());
    let payment = shop.payment();
    let request = RequestId::new("POST", "/a");
    let (amount, settle) = (shop.offer.requirements().amount, Settle::After);
    let purchase = Purchase { request, amount, settle, replay: Replay::Payer };
    let ask = || async {
        let (presented, terms) = (secretly(&payment), shop.offer.requirements());
        shop.seller.admit_for(&presented, terms, purchase).await
    };
    let Ok(Admission::Pledged(pledge)) = ask().await else { panic!() };
    pledge.settle(answer(), amount).await.unwrap();
    shop.chain_is(5, 1, 0);
    assert_eq!(shop.seller.watch().await.unwrap(), 1);
    shop.set(&shop.chain.outcome, [Says::Nothing]);
    for _ in 0..2 {
        assert_eq!(ask().await.unwrap_err().refusal, Refusal::Pending);
    }
    shop.set(&shop.chain.outcome, [Says::Arrived]);
    assert!(matches!(ask().await, Ok(Admission::Replay(..))));
    assert_eq!(shop.state(&payment).await, Some(State::Served));
}

#[tokio::test]
async fn what_the_chain_goes_back_on_is_settled_again_in_its_new_block() {
    let shop = Shop::new(Script::default());
    let payment = shop.payment();
    shop.served(&payment, 4_000).await;
    shop.chain_is(5, 1, 0);
    assert_eq!(shop.seller.watch().await.unwrap(), 1);
    let entry = shop.entry(&payment).await;
    assert!(entry.is_reversed && entry.settlement.is_none());
    assert_eq!((entry.state, shop.balance().await), (State::Pending, Amount::ZERO));
    // Its payer still has the answer that he was given.
    assert!(matches!(shop.admit(&payment, "/a").await, Ok(Admission::Replay(..))));
    assert_eq!(shop.seller.resolve_open().await.unwrap(), 0);
    let entry = shop.entry(&payment).await;
    assert_eq!((entry.state, entry.is_reversed), (State::Served, false));
    assert_eq!(entry.settlement.unwrap().log.unwrap().block.hash, [2; 32]);
    assert_eq!(shop.balance().await, units(6_000));
    assert_eq!(shop.seller.watch().await.unwrap(), 0);
}

#[tokio::test]
async fn what_the_chain_has_lost_is_sent_again_and_owed_where_it_does_not_come() {
    let shop = Shop::new(Script::default());
    let payment = shop.payment();
    shop.served(&payment, 4_000).await;
    let drawn =
        shop.seller.draw(shop.account(), [1; 32], RequestId::new("GET", "/b"), units(2_000));
    let Ok(Drawn::Serve(ticket)) = drawn.await else { panic!("not drawn") };
    ticket.complete(answer(), units(2_000)).await.unwrap();
    shop.chain_is(0, 0, 0);
    assert_eq!(shop.seller.watch().await.unwrap(), 1);
    // Of 6,000 credit 2,000 were drawn: the rest is taken back, and those are owed with the work.
    assert_eq!(shop.balance().await, Amount::ZERO);
    let entry = shop.entry(&payment).await;
    assert_eq!((entry.credit, entry.owed()), (units(4_000), units(6_000)));
    shop.set(&shop.chain.outcome, [Says::Nothing]);
    assert_eq!(shop.seller.resolve_open().await.unwrap(), 1);
    assert_eq!(shop.chain.rebroadcasts.load(Ordering::SeqCst), 1);
    // It ends, and nobody has used it.
    shop.set(&shop.chain.rebroadcast, [Says::Refuses(Error::Simulation)]);
    shop.set(&shop.chain.simulate, [Says::Refuses(Error::Expired)]);
    shop.set(&shop.chain.find, [Says::Expired]);
    shop.seller.resolve_open().await.unwrap();
    let entry = shop.entry(&payment).await;
    assert!(entry.is_debt() && entry.is_reversed, "{entry:?}");
    let owed = shop.ledger.owes(crate::ledger::OwedAccount::of(&entry.payment)).await.unwrap();
    assert_eq!((owed.sum, owed.debts), (units(6_000), vec![entry.id()]));
    assert_eq!(CreditAccount::of(&entry.payment), shop.account());
}

/// The work is under way when the chain goes back.
#[tokio::test]
async fn an_answer_that_comes_after_the_chain_went_back_is_kept() {
    let shop = Shop::new(Script::default());
    let payment = shop.payment();
    let ticket = shop.serve(&payment).await;
    shop.chain_is(5, 1, 0);
    assert_eq!(shop.seller.watch().await.unwrap(), 1);
    ticket.complete_for(answer(), units(4_000)).await.unwrap();
    assert_eq!(shop.state(&payment).await, Some(State::Pending));
    assert_eq!(shop.balance().await, Amount::ZERO);
    assert_eq!(shop.seller.resolve_open().await.unwrap(), 0);
    assert_eq!(shop.state(&payment).await, Some(State::Served));
    assert_eq!(shop.balance().await, units(6_000));
}

#[tokio::test]
async fn credit_of_what_may_still_go_is_not_given_back() {
    let shop = Shop::of_key(Script::default()).await;
    let refundable = shop.seller.refundable(shop.account()).await.unwrap();
    assert_eq!(refundable, units(6_000));
    shop.served(&shop.payment_of(8, 60), 9_000).await;
    let refused = shop.refund(6_001).await;
    assert!(matches!(refused, Err(RefundError::NotFinal(most)) if most == units(6_000)));
    assert!(shop.seller.open_refunds().await.unwrap().is_empty());
    shop.refund(6_000).await.unwrap();
}

#[tokio::test]
async fn a_second_payment_for_the_same_request_waits_for_the_first() {
    let shop = Shop::new(Script { outcome: queue([Says::Nothing]), ..Script::default() });
    let (first, second) = (shop.payment_of(1, 60), shop.payment_of(2, 60));
    assert_eq!(shop.refused(&first).await.refusal, Refusal::Pending);
    let held = shop.refused(&second).await;
    assert_eq!((held.refusal, held.transaction), (Refusal::HeldBack, Some(TxHash([1; 32]))));
    assert_eq!(shop.state(&second).await, None, "nothing is recorded of it");
    // Another request is another purchase.
    assert_eq!(shop.admit(&second, "/b").await.unwrap_err().refusal, Refusal::Pending);
    assert_eq!(shop.chain.broadcasts.load(Ordering::SeqCst), 2);
    // A seller who has just started knows it from his books.
    let again = Shop::with(shop.ledger.clone(), shop.chain.clone());
    again.seller.resolve_open().await.unwrap();
    let third = shop.payment_of(3, 60);
    assert_eq!(again.refused(&third).await.refusal, Refusal::HeldBack);
    // Once it is known what became of the first, the next is taken.
    shop.set(&shop.chain.outcome, [Says::Arrived]);
    shop.served(&first, 10_000).await;
    shop.served(&third, 10_000).await;
}

/// Nobody comes again with the same request, and yet the table does not grow.
#[tokio::test]
async fn who_has_ended_is_not_waited_for() {
    let shop = Shop::new(Script { outcome: queue([Says::Nothing]), ..Script::default() });
    for nonce in 1..4 {
        let request = format!("/{nonce}");
        assert!(shop.admit(&shop.payment_of(nonce, 60), &request).await.is_err());
    }
    shop.seller.resolve_open().await.unwrap();
    assert_eq!(shop.seller.pending.len(), 3);
    shop.set(&shop.chain.outcome, [Says::Arrived]);
    assert_eq!(shop.seller.resolve_open().await.unwrap(), 0);
    shop.seller.resolve_open().await.unwrap();
    assert_eq!(shop.seller.pending.len(), 0);
}
