use alloy_primitives::hex;
use serde_json::{Value, json};

use super::harness::{STRANGER, Trick, cancel};
use super::*;
use crate::devnet;

#[tokio::test]
async fn a_stranger_who_submits_it_first_has_paid() {
    let shop = Shop::open().await;
    let payment = Buyer::default().pays(PRICE);
    assert_eq!(shop.chain.find(&payment, 0, &[]).await.unwrap(), Usage::Unused);
    let stranger = shop.chain_of(&STRANGER).await;
    let theirs = stranger.broadcast(&call(&payment), &Pages::default()).await.unwrap();
    let ours = shop.chain.broadcast(&call(&payment), &Pages::default()).await.unwrap();
    assert_ne!(ours, theirs);
    assert_eq!(shop.chain.outcome(&payment, Sent::own(ours)).await.unwrap(), Outcome::Reverted);
    let usage = shop.chain.find(&payment, 1_000_000_000, &[]).await.unwrap();
    assert!(matches!(usage, Usage::Settled(_, by) if by.transaction == theirs), "{usage:?}");
    assert_eq!(shop.received(), PRICE);
    // Not when it was before the time that counts.
    assert_eq!(shop.chain.find(&payment, u64::MAX, &[]).await.unwrap(), Usage::Void);
}

#[tokio::test]
async fn what_was_cancelled_is_void() {
    let shop = Shop::open().await;
    let payment = Buyer::default().pays(PRICE);
    cancel(&shop, &payment);
    assert_eq!(shop.chain.find(&payment, 0, &[]).await.unwrap(), Usage::Void);
    assert_eq!(shop.chain.find(&payment, u64::MAX, &[]).await.unwrap(), Usage::Void);
    let refused = shop.chain.simulate(&call(&payment)).await;
    assert!(matches!(refused, Err(ChainError::Refused(Error::AuthorizationUsed))), "{refused:?}");
    assert_eq!(shop.received(), 0);
}

#[tokio::test]
async fn receipts_that_lie_settle_nothing() {
    let shop = Shop::open().await;
    let payment = Buyer::default().pays(PRICE);
    let hash = shop.chain.broadcast(&call(&payment), &Pages::default()).await.unwrap();
    let with = async |edit: fn(&mut Value)| {
        shop.play("eth_getTransactionReceipt", &[Trick::Edit(edit)]);
        shop.chain.outcome(&payment, Sent::own(hash)).await
    };
    let other = with(|a| a["result"]["transactionHash"] = json!(format!("0x{:064x}", 1))).await;
    assert!(matches!(other, Err(ChainError::Unavailable(_))), "{other:?}");
    let no_status = with(|a| a["result"]["status"] = Value::Null).await;
    assert!(matches!(no_status, Err(ChainError::Unavailable(_))), "{no_status:?}");
    for in_no_block in [
        with(|a| a["result"] = Value::Null).await,
        with(|a| a["result"]["blockHash"] = Value::Null).await,
    ] {
        assert_eq!(in_no_block.unwrap(), Outcome::Unknown);
    }
    let incoherent: [fn(&mut Value); 15] = [
        |a| a["result"]["status"] = json!("0x0"),
        |a| a["result"]["status"] = json!("0x2"),
        |a| a["result"]["logs"] = json!([]),
        |a| a["result"]["blockNumber"] = Value::Null,
        // In a block to come.
        |a| a["result"]["blockNumber"] = json!("0x63"),
        |a| a["result"]["blockHash"] = json!(format!("0x{:064x}", 1)),
        |a| a["result"]["logs"][0]["blockNumber"] = json!("0x63"),
        |a| a["result"]["logs"][0]["blockHash"] = json!(format!("0x{:064x}", 1)),
        |a| a["result"]["logs"][1]["transactionHash"] = json!(format!("0x{:064x}", 1)),
        |a| a["result"]["logs"][1]["removed"] = json!(true),
        |a| a["result"]["to"] = Value::Null,
        |a| a["result"]["to"] = json!(hex::encode_prefixed(devnet::EURC)),
        |a| a["result"]["contractAddress"] = json!(hex::encode_prefixed(devnet::EURC)),
        |a| a["result"]["logs"][0]["data"] = json!("0x0"),
        |a| drop(a["result"].as_object_mut().unwrap().remove("logs")),
    ];
    for (at, edit) in incoherent.into_iter().enumerate() {
        let outcome = with(edit).await;
        assert!(matches!(outcome, Err(ChainError::Unavailable(_))), "{at}: {outcome:?}");
    }
    // All of one block that is not there yet.
    let to_come = with(|a| {
        a["result"]["blockNumber"] = json!("0x63");
        a["result"]["logs"].as_array_mut().unwrap().iter_mut().for_each(|log| {
            log["blockNumber"] = json!("0x63");
        });
    });
    assert_eq!(to_come.await.unwrap(), Outcome::Unknown);
    // These belong together, and the payment is not in them.
    let others: [fn(&mut Value); 4] = [
        |a| drop(a["result"]["logs"].as_array_mut().unwrap().remove(0)),
        |a| {
            a["result"]["logs"].as_array_mut().unwrap().iter_mut().for_each(|log| {
                log["address"] = json!(hex::encode_prefixed(devnet::EURC));
            });
        },
        |a| a["result"]["logs"].as_array_mut().unwrap().truncate(1),
        |a| {
            a["result"]["status"] = json!("0x0");
            a["result"]["logs"] = json!([]);
        },
    ];
    for (at, edit) in others.into_iter().enumerate() {
        assert_eq!(with(edit).await.unwrap(), Outcome::Reverted, "{at}");
    }
    // Another amount, in our own transaction: what arrived is said, and where.
    let short = with(|a| a["result"]["logs"][1]["data"] = json!(format!("0x{:064x}", 9_000))).await;
    let Ok(Outcome::Short(log, arrived)) = short else { panic!("{short:?}") };
    assert_eq!((log.position, arrived), (1, Amount::from_units(9_000)));
    // Some nodes leave out of the logs where they are, and the contract's address of what makes none.
    let bare = with(|a| {
        drop(a["result"].as_object_mut().unwrap().remove("contractAddress"));
        for log in a["result"]["logs"].as_array_mut().unwrap() {
            let log = log.as_object_mut().unwrap();
            for member in ["blockHash", "blockNumber", "transactionHash", "removed"] {
                log.remove(member);
            }
        }
    });
    assert!(matches!(bare.await, Ok(Outcome::Settled(..))));
    let outcome = shop.chain.outcome(&payment, Sent::own(hash)).await;
    let Ok(Outcome::Settled(_, log)) = outcome else { panic!("{outcome:?}") };
    assert_eq!((log.block.number, log.position), (1, 1));
}

#[tokio::test]
async fn a_log_that_has_paid_pays_no_more() {
    let shop = Shop::open().await;
    let payment = Buyer::default().pays(PRICE);
    let hash = shop.chain.broadcast(&call(&payment), &Pages::default()).await.unwrap();
    let taken = Sent { taken: &[1], ..Sent::own(hash) };
    assert_eq!(shop.chain.outcome(&payment, taken).await.unwrap(), Outcome::Undecided);
    let found = shop.chain.find(&payment, 0, &[(hash, 1)]).await.unwrap();
    assert_eq!(found, Usage::Undecided(hash));
    // Another transaction's position, and another position, are not this.
    let other = [(TxHash([1; 32]), 1), (hash, 0)];
    assert!(matches!(shop.chain.find(&payment, 0, &other).await, Ok(Usage::Settled(..))));
    // The same payment twice in one look: one log pays once.
    let twice = shop.chain.outcomes(&[payment, payment], Sent::own(hash)).await.unwrap();
    assert!(matches!(twice[..], [Outcome::Settled(..), Outcome::Undecided]), "{twice:?}");
}
