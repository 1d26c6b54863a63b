//! Payments that come at the same time, settled before their work.

use std::sync::Arc;

use x402_core::secp256k1::K256;
use x402_core::state::State;
use x402_core::{Offer, Refusal};

use super::harness::{PAYEE, Trick, usdc};
use super::*;
use crate::chain::Coalesced;
use crate::devnet;
use crate::ledger::{Ledger, MemoryLedger, RequestId, SecretHash};
use crate::seller::{Admission, Presented, Rejection, Seller, SellerOptions, Together};

/// A seller who is paid before the work, by many at once.
struct Crowded {
    seller: Arc<Seller>,
    ledger: Arc<MemoryLedger>,
    chain: Arc<RpcChain>,
    shop: Shop,
}

impl Crowded {
    async fn open() -> Self {
        Self::of(100).await
    }

    async fn of(max_batch: usize) -> Self {
        let shop = Shop::open().await;
        let chain = Arc::new(harness::unconnected(&shop.url));
        let ledger = Arc::new(MemoryLedger::new());
        let options = SellerOptions {
            together: Some(Together { max_batch, max_delay: Duration::from_millis(200) }),
            settle_timeout: Duration::from_secs(2),
            recover: Arc::new(K256),
            ..SellerOptions::of_facilitator()
        };
        let coalesced = Arc::new(Coalesced::new(Arc::clone(&chain) as _));
        let seller = Seller::new(Arc::clone(&ledger) as _, coalesced, options);
        Self { seller, ledger, chain, shop }
    }

    async fn admit(seller: Arc<Seller>, payment: Claimed) -> Result<Admission, Rejection> {
        let offer = Offer::new(usdc(), Address::new(PAYEE), payment.amount(), 60);
        let presented = Presented::from(x402_core::Payment {
            chain_id: payment.chain_id(),
            asset: payment.asset(),
            transfer: *payment.transfer(),
            signature: Ok(*payment.signature().unwrap()),
        });
        let secret = SecretHash::of_key("what nobody else can know");
        let presented = Presented { secret, ..presented };
        seller.admit(&presented, offer.requirements(), RequestId([1; 32])).await
    }

    /// All at the same time; the transactions, or why not.
    async fn admit_all(&self, payments: &[Claimed]) -> Vec<Result<TxHash, Rejection>> {
        let spawn =
            |payment: &Claimed| tokio::spawn(Self::admit(Arc::clone(&self.seller), *payment));
        let tasks: Vec<_> = payments.iter().map(spawn).collect();
        let mut all = Vec::new();
        for task in tasks {
            all.push(task.await.unwrap().map(|admission| match admission {
                Admission::Serve(ticket) => ticket.receipt().transaction.unwrap(),
                other => panic!("{other:?}"),
            }));
        }
        all
    }

    async fn state(&self, payment: &Claimed) -> Option<State> {
        self.ledger.find(payment.id()).await.unwrap().map(|entry| entry.state)
    }
}

fn payments(count: usize) -> Vec<Claimed> {
    (0..count).map(|_| Buyer::default().pays(PRICE)).collect()
}

fn distinct(all: &[Result<TxHash, Rejection>]) -> usize {
    let mut hashes: Vec<_> = all.iter().filter_map(|moved| moved.ok()).map(|hash| hash.0).collect();
    hashes.sort_unstable();
    hashes.dedup();
    hashes.len()
}

#[tokio::test]
async fn those_who_come_together_share_a_transaction() {
    let crowded = Crowded::open().await;
    let many = payments(20);
    let all = crowded.admit_all(&many).await;
    assert!(all.iter().all(Result::is_ok), "{all:?}");
    // The first comes when nothing is under way, and goes at once.
    assert_eq!(distinct(&all), 2);
    assert_eq!(crowded.chain.spent().payments, 20);
    assert_eq!(crowded.shop.received(), 20 * PRICE);
    for payment in &many {
        assert_eq!(crowded.state(payment).await, Some(State::Settled));
    }
    // Who comes again is told the same.
    let again = crowded.admit_all(&many).await;
    assert!(all.iter().zip(&again).all(|(first, again)| first.ok() == again.ok()));
    assert_eq!(crowded.shop.received(), 20 * PRICE);
}

#[tokio::test]
async fn who_is_not_taken_is_told_why_and_harms_nobody() {
    let crowded = Crowded::open().await;
    let mut many = payments(6);
    many[2] = Buyer::default().pays(u128::MAX);
    let used = many[4];
    crowded.shop.chain.broadcast(&call(&used), &Pages::default()).await.unwrap();
    let all = crowded.admit_all(&many).await;
    for (index, moved) in all.iter().enumerate() {
        let refusal = moved.as_ref().err().map(|rejection| rejection.refusal);
        let expected = match index {
            2 => Some(Refusal::Payment(Error::Balance)),
            4 => Some(Refusal::Payment(Error::AuthorizationUsed)),
            _ => None,
        };
        assert_eq!(refusal, expected, "{index}");
    }
    // Nothing was sent of theirs: they may be presented again.
    assert_eq!((crowded.state(&many[2]).await, crowded.state(&many[4]).await), (None, None));
    assert_eq!(crowded.shop.received(), 5 * PRICE);
}

#[tokio::test]
async fn two_of_whom_there_is_money_for_one() {
    let crowded = Crowded::open().await;
    let there =
        crowded.shop.devnet.balance_of(devnet::USDC, *Buyer::default().address().as_bytes());
    let there = there.unwrap();
    // The first keeps the others waiting.
    let mut many = payments(1);
    many.extend([Buyer::default().pays(there - PRICE), Buyer::default().pays(there - PRICE)]);
    let all = crowded.admit_all(&many).await;
    assert_eq!(all.iter().filter(|moved| moved.is_ok()).count(), 2, "{all:?}");
    assert_eq!(crowded.shop.received(), there);
    let refused = all.iter().find_map(|moved| moved.err()).unwrap();
    assert_eq!((refused.refusal, refused.transaction), (Refusal::Payment(Error::Balance), None));
}

/// Says of every payment of a batch that it would be taken.
fn all_taken(answer: &mut serde_json::Value) {
    // Who is asked about alone is told the truth.
    let Some(result) = answer["result"].as_str() else { return };
    // The word before the offset of a result's bytes says whether it succeeded.
    let (head, tail) = result.split_at(2);
    let words: Vec<_> =
        tail.as_bytes().chunks(64).map(|word| core::str::from_utf8(word).unwrap()).collect();
    let is_flag = |index: usize| {
        words.get(index + 1).is_some_and(|next| next.trim_start_matches('0') == "40")
    };
    let words = words.iter().enumerate().map(|(index, word)| {
        if is_flag(index) { format!("{:064x}", 1) } else { (*word).to_owned() }
    });
    answer["result"] = format!("{head}{}", words.collect::<String>()).into();
}

#[tokio::test]
async fn who_fails_in_the_transaction_itself_has_not_paid() {
    let crowded = Crowded::open().await;
    let many = payments(4);
    harness::cancel(&crowded.shop, &many[2]);
    // Alone, then together with the others; that one is said to be good, and is not.
    crowded.shop.play("eth_call", &vec![Trick::Edit(all_taken); 20]);
    let all = crowded.admit_all(&many).await;
    let paid: Vec<_> = all.iter().map(Result::is_ok).collect();
    assert_eq!(paid, [true, true, false, true], "{all:?}");
    assert_eq!(distinct(&all), 2);
    assert_eq!(crowded.shop.received(), 3 * PRICE);
    // It was in a transaction, which is named.
    let refused = all[2].unwrap_err();
    assert_eq!(refused.refusal, Refusal::Payment(Error::AuthorizationUsed));
    assert_eq!(refused.transaction, all[1].ok());
    assert_eq!(crowded.state(&many[2]).await, Some(State::Failed), "it was cancelled");
}

#[tokio::test]
async fn where_there_are_no_batches_each_is_settled_by_itself() {
    let crowded = Crowded::open().await;
    let address = Address::new(devnet::MULTICALL3).to_string();
    crowded.shop.rpc("anvil_setCode", serde_json::json!([address, "0x"]));
    for _ in 0..2 {
        let all = crowded.admit_all(&payments(5)).await;
        assert_eq!((all.iter().filter(|moved| moved.is_ok()).count(), distinct(&all)), (5, 5));
    }
    assert_eq!(crowded.shop.received(), 10 * PRICE);
}

#[tokio::test]
async fn a_node_that_cannot_be_asked_leaves_nothing_behind() {
    let crowded = Crowded::open().await;
    let many = payments(5);
    crowded.shop.play_always(Some(Trick::Break));
    let all = crowded.admit_all(&many).await;
    for moved in &all {
        assert_eq!(moved.as_ref().unwrap_err().refusal, Refusal::Unavailable);
    }
    for payment in &many {
        assert_eq!(crowded.state(payment).await, None);
    }
    crowded.shop.play_always(None);
    assert!(crowded.admit_all(&many).await.iter().all(Result::is_ok));
    assert_eq!(crowded.shop.received(), 5 * PRICE);
}

#[tokio::test]
async fn a_batch_that_is_not_answered_is_pending_and_then_found() {
    let crowded = Crowded::open().await;
    let many = payments(5);
    // The first is taken, the others' transaction is taken and never said to be; then nobody knows of it.
    crowded.shop.play("eth_sendRawTransaction", &[Trick::None, Trick::HangAfter]);
    let silent = Trick::Edit(|answer| answer["result"] = serde_json::Value::Null);
    crowded.shop.play("eth_getTransactionReceipt", &vec![silent; 1000]);
    let all = crowded.admit_all(&many).await;
    let pending = all.iter().filter(|moved| {
        moved.is_err_and(|rejection| {
            rejection.refusal == Refusal::Pending && rejection.transaction.is_some()
        })
    });
    assert_eq!(pending.count(), 5, "{all:?}");
    crowded.shop.play("eth_getTransactionReceipt", &[]);
    assert_eq!(crowded.seller.resolve_open().await.unwrap(), 0);
    assert_eq!(crowded.shop.received(), 5 * PRICE);
    let again = crowded.admit_all(&many).await;
    assert!(again.iter().all(Result::is_ok), "{again:?}");
    assert_eq!((distinct(&again), crowded.shop.received()), (2, 5 * PRICE));
}

#[tokio::test]
async fn each_by_itself_goes_out_with_the_others() {
    let crowded = Crowded::of(1).await;
    let mut many = payments(20);
    many[7] = Buyer::default().pays(u128::MAX);
    let all = crowded.admit_all(&many).await;
    let refused = all[7].unwrap_err();
    assert_eq!((refused.refusal, refused.transaction), (Refusal::Payment(Error::Balance), None));
    assert_eq!(crowded.state(&many[7]).await, None);
    assert_eq!(distinct(&all), 19);
    assert_eq!(crowded.shop.received(), 19 * PRICE);
    let mut nonces = crowded.shop.nonces();
    nonces.sort_unstable();
    assert_eq!(nonces, (0..19).collect::<Vec<_>>());
}

const SEND: &str = "eth_sendRawTransaction";

#[tokio::test]
async fn what_a_node_refuses_of_many_stops_none_of_them() {
    for trick in [
        Trick::Error(-32003, "transaction rejected"),
        Trick::Error(-32000, "nonce too low"),
        Trick::Error(-32000, "max fee per gas less than block base fee"),
    ] {
        let crowded = Crowded::of(1).await;
        // The first goes alone; of the others, which go together, the node does not take the second.
        crowded.shop.play(SEND, &[Trick::None, Trick::None, trick]);
        let many = payments(8);
        let all = crowded.admit_all(&many).await;
        // The node has seen it: it is under way, and sent until it is over.
        assert!(all.iter().all(Result::is_ok), "{all:?}");
        assert_eq!(crowded.shop.received(), 8 * PRICE);
        // What comes next is not stopped by a nonce that nobody has.
        assert!(crowded.admit_all(&payments(1)).await[0].is_ok());
        // And what was refused is settled once.
        crowded.seller.resolve_open().await.unwrap();
        assert_eq!(crowded.shop.received(), 9 * PRICE);
    }
}

#[tokio::test]
async fn of_many_that_are_not_answered_none_is_sent_twice() {
    let crowded = Crowded::of(1).await;
    let tricks = [Trick::None, Trick::None, Trick::HangAfter, Trick::Break, Trick::None];
    crowded.shop.play(SEND, &tricks);
    let many = payments(8);
    let all = crowded.admit_all(&many).await;
    assert!(all.iter().all(Result::is_ok), "{all:?}");
    assert_eq!((distinct(&all), crowded.shop.received()), (8, 8 * PRICE));
}

/// One that was sent with others, and is in no block, is not sent apart from them; nor are those who are
/// left when one of them is looked at.
#[tokio::test]
async fn who_comes_again_is_not_sent_apart_from_the_others() {
    let crowded = Crowded::open().await;
    let many = payments(5);
    // The first goes alone; the transaction of the others does not reach the node.
    let mut tricks = vec![Trick::Break; 1000];
    tricks[0] = Trick::None;
    crowded.shop.play(SEND, &tricks);
    let is_pending = |moved: &Result<TxHash, Rejection>| {
        moved.is_err_and(|rejection| {
            rejection.refusal == Refusal::Pending && rejection.transaction.is_some()
        })
    };
    let all = crowded.admit_all(&many).await;
    assert_eq!(all.iter().filter(|moved| is_pending(moved)).count(), 4, "{all:?}");
    crowded.shop.play(SEND, &[]);
    let again = crowded.admit_all(&many).await;
    assert_eq!(again.iter().filter(|moved| is_pending(moved)).count(), 4, "{again:?}");
    assert_eq!(crowded.shop.received(), PRICE);
    assert_eq!(crowded.seller.resolve_open().await.unwrap(), 0);
    assert_eq!(crowded.shop.received(), 5 * PRICE);
    let again = crowded.admit_all(&many).await;
    assert_eq!((again.iter().filter(|moved| moved.is_ok()).count(), distinct(&again)), (5, 2));
}
