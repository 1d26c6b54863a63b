use alloy_consensus::crypto::secp256k1::sign_message;
use alloy_consensus::{SignableTransaction as _, TxEip1559};
use alloy_eips::Encodable2718 as _;
use alloy_primitives::{B256, TxKind, hex};
use serde_json::{Value, json};
use x402_core::Signer as _;
use x402_core::eip3009::CancelAuthorization;

use super::harness::{BUYER, STRANGER, Trick, options, signer, usdc};
use super::*;
use crate::devnet;

/// The payer cancels, paying for the gas.
fn cancel(shop: &Shop, payment: &Claimed) {
    let (authorizer, nonce) = (payment.payer(), payment.transfer().nonce());
    let digest = CancelAuthorization { authorizer, nonce }.digest(&usdc().domain().separator());
    let Ok(signature) = signer(&BUYER).sign(&digest);
    let name = "cancelAuthorization(address,bytes32,uint8,bytes32,bytes32)";
    let selector = alloy_primitives::keccak256(name);
    let mut v = [0; 32];
    v[31] = signature.v();
    let words = [authorizer.to_word(), *nonce.as_bytes(), v, *signature.r(), *signature.s()];
    let transaction = TxEip1559 {
        chain_id: 1,
        gas_limit: 200_000,
        max_fee_per_gas: 3_000_000_000,
        max_priority_fee_per_gas: 1,
        to: TxKind::Call(devnet::USDC.into()),
        input: [&selector[..4], &words.concat()].concat().into(),
        ..TxEip1559::default()
    };
    let signature = sign_message(B256::from(BUYER), transaction.signature_hash()).unwrap();
    let raw = transaction.into_signed(signature).encoded_2718();
    let hash = shop.rpc("eth_sendRawTransaction", json!([hex::encode_prefixed(raw)]));
    assert_eq!(shop.rpc("eth_getTransactionReceipt", json!([hash]))["status"], "0x1");
}

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
async fn logs_are_searched_range_by_range() {
    let shop = Shop::with(RpcOptions { log_range: 2, ..options() }).await;
    let payment = Buyer::default().pays(PRICE);
    let hash = shop.chain.broadcast(&call(&payment), &Pages::default()).await.unwrap();
    for _ in 0..7 {
        shop.rpc("evm_mine", json!([]));
    }
    shop.calls();
    let usage = shop.chain.find(&payment, 0, &[]).await.unwrap();
    assert!(matches!(usage, Usage::Settled(_, by) if by.transaction == hash), "{usage:?}");
    let searches = |shop: &Shop| shop.calls().iter().filter(|call| *call == "eth_getLogs").count();
    // Blocks 8 and 7, then 6 and 5, 4 and 3, 2 and 1.
    assert_eq!(searches(&shop), 4);

    let cancelled = Buyer::default().pays(PRICE);
    cancel(&shop, &cancelled);
    for _ in 0..70 {
        shop.rpc("evm_mine", json!([]));
    }
    shop.calls();
    // Too far back to be sure of anything.
    let error = shop.chain.find(&cancelled, 0, &[]).await.unwrap_err();
    assert!(error.to_string().contains("32 times 2 blocks"), "{error}");
    assert_eq!(searches(&shop), 32);
    // All blocks since are searched: what was used, was used before.
    assert_eq!(shop.chain.find(&cancelled, u64::MAX, &[]).await.unwrap(), Usage::Void);
    assert_eq!(searches(&shop), 1);
}

#[tokio::test]
async fn a_node_that_disagrees_with_itself_decides_nothing() {
    let shop = Shop::open().await;
    let payment = Buyer::default().pays(PRICE);
    shop.chain.broadcast(&call(&payment), &Pages::default()).await.unwrap();
    let find = async || shop.chain.find(&payment, 0, &[]).await;
    let unavailable = async || {
        let result = find().await;
        assert!(matches!(result, Err(ChainError::Unavailable(_))), "{result:?}");
    };
    let no_logs = Trick::Edit(|answer| answer["result"] = json!([]));
    let no = Trick::Edit(|answer| answer["result"] = json!(format!("0x{:064x}", 0)));
    // The logs are behind the state.
    shop.play("eth_getLogs", &[no_logs]);
    shop.play("eth_call", &[Trick::None, no]);
    unavailable().await;
    // The log is there, the receipt is not.
    shop.play("eth_getTransactionReceipt", &[Trick::Edit(|answer| answer["result"] = Value::Null)]);
    unavailable().await;
    // Another chain.
    shop.play("eth_chainId", &[Trick::Edit(|answer| answer["result"] = json!("0x2105"))]);
    let error = find().await.unwrap_err().to_string();
    assert!(error.contains("eip155:8453") && error.contains("eip155:1"), "{error}");
    assert!(matches!(find().await, Ok(Usage::Settled(..))));
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
    let edits: [fn(&mut Value); 8] = [
        |a| a["result"]["status"] = json!("0x0"),
        |a| a["result"]["status"] = json!("0x2"),
        |a| a["result"]["logs"] = json!([]),
        |a| a["result"]["logs"].as_array_mut().unwrap().truncate(1),
        |a| drop(a["result"]["logs"].as_array_mut().unwrap().remove(0)),
        |a| {
            a["result"]["logs"].as_array_mut().unwrap().iter_mut().for_each(|log| {
                log["address"] = json!(hex::encode_prefixed(devnet::EURC));
            })
        },
        |a| {
            a["result"]["logs"].as_array_mut().unwrap().iter_mut().for_each(|log| {
                log["removed"] = json!(true);
            })
        },
        |a| {
            a["result"]["logs"].as_array_mut().unwrap().iter_mut().for_each(|log| {
                log["data"] = json!(format!("0x{:064x}", 1));
            })
        },
    ];
    for (at, edit) in edits.into_iter().enumerate() {
        assert_eq!(with(edit).await.unwrap(), Outcome::Reverted, "{at}");
    }
    assert!(matches!(
        shop.chain.outcome(&payment, Sent::own(hash)).await,
        Ok(Outcome::Settled(..))
    ));
}
