//! Transactions on their way into blocks, and the chain as earlier blocks left it.

use super::*;

#[test]
fn every_kind_of_transaction_is_followed() {
    let chain = chain();
    let to = TxKind::Call(PAYEE.into());
    let (value, gas_limit, gas_price) = (U256::from(5), 21_000, 2_000_000_000);
    let (input, access_list) = (Default::default(), AccessList::default());
    let legacy = TxLegacy { chain_id: Some(1), nonce: 0, gas_price, gas_limit, to, value, input };
    let input = Default::default();
    let listed =
        TxEip2930 { chain_id: 1, nonce: 1, gas_price, gas_limit, to, value, access_list, input };
    let dynamic = TxEip1559 { to, value, ..to_usdc(2, Vec::new()) };
    let raw = [sign(legacy, KEY), sign(listed, KEY), sign(dynamic, KEY)];
    for (kind, raw) in raw.iter().enumerate() {
        let hash = ok(&chain, "eth_sendRawTransaction", &json!([raw]));
        assert_eq!(hash, json!(keccak256(hex::decode(raw).unwrap())));
        let tx = ok(&chain, "eth_getTransactionByHash", &json!([hash]));
        assert_eq!((&tx["hash"], &tx["type"]), (&hash, &json!(format!("{kind:#x}"))));
        assert_eq!(tx["from"], json!(Address::from(accounts()[0]).to_string().to_lowercase()));
        assert_eq!(ok(&chain, "eth_getRawTransactionByHash", &json!([hash])), json!(raw));
        let number = json!(format!("{:#x}", kind + 1));
        assert_eq!(receipt(&chain, &hash)["blockNumber"], number);
        let block = ok(&chain, "eth_getBlockByNumber", &json!([number, true]));
        assert_eq!(block["transactions"][0], tx);
        let same = ok(&chain, "eth_getBlockByHash", &json!([block["hash"], false]));
        assert_eq!(same["transactions"], json!([hash]));
        let parent = ok(&chain, "eth_getBlockByNumber", &json!([format!("{kind:#x}"), false]));
        assert_eq!(parent["hash"], block["parentHash"]);
    }
    let balance = ok(&chain, "eth_getBalance", &json!([hex::encode_prefixed(PAYEE)]));
    assert_eq!(balance, "0xf");
}

#[test]
fn bad_transactions_are_refused_in_known_words() {
    let chain = chain();
    let refuses = |raw: String, start: &str| {
        let (code, message) = refused(&chain, "eth_sendRawTransaction", &json!([raw]));
        assert_eq!(code, -32000);
        assert!(message.starts_with(start), "{message} / {start}");
    };
    let fine = || to_usdc(0, Vec::new());
    refuses(sign(TxEip1559 { chain_id: 5, ..fine() }, KEY), "invalid sender: invalid chain id");
    refuses(sign(TxEip1559 { nonce: 65, ..fine() }, KEY), "nonce too high");
    let rich = U256::from(10).pow(U256::from(30));
    refuses(sign(TxEip1559 { value: rich, ..fine() }, KEY), "insufficient funds for gas * price");
    refuses(sign(TxEip1559 { gas_limit: 20_999, ..fine() }, KEY), "intrinsic gas too low");
    refuses(sign(TxEip1559 { gas_limit: 30_000_001, ..fine() }, KEY), "exceeds block gas limit");
    let cheap = TxEip1559 { max_fee_per_gas: 5, max_priority_fee_per_gas: 5, ..fine() };
    refuses(sign(cheap, KEY), "max fee per gas less than block base fee");
    let odd = TxEip1559 { max_priority_fee_per_gas: 4_000_000_000, ..fine() };
    refuses(sign(odd, KEY), "max priority fee per gas higher");
    let unprotected = TxLegacy { gas_price: 2_000_000_000, ..TxLegacy::default() };
    refuses(sign(unprotected, KEY), "only replay-protected");
    refuses("0x".to_owned(), "typed transaction too short");
    refuses("0x02".to_owned(), "typed transaction too short");
    refuses("0x02c0".to_owned(), "rlp: ");
    refuses("0x03c0".to_owned(), "transaction type not supported");
    refuses("0x05c0".to_owned(), "transaction type not supported");
    refuses(sign(fine(), KEY) + "00", "rlp: ");
    refuses(format!("0x02{}", "00".repeat(200_000)), "oversized data");
    assert_eq!(ok(&chain, "eth_blockNumber", &json!([])), "0x0");

    send(&chain, fine());
    refuses(sign(fine(), KEY), "nonce too low: next nonce 1, tx nonce 0");
}

#[test]
fn transactions_wait_for_the_one_before() {
    let chain = chain();
    let second = send(&chain, to_usdc(1, Vec::new()));
    assert_eq!(receipt(&chain, &second), Value::Null);
    let waiting = ok(&chain, "eth_getTransactionByHash", &json!([second]));
    assert_eq!(waiting["blockHash"], Value::Null);
    let again = sign(to_usdc(1, Vec::new()), KEY);
    let known = refused(&chain, "eth_sendRawTransaction", &json!([again]));
    assert_eq!(known, (-32000, "already known".to_owned()));
    let bid = |fee: u128| {
        let tx = to_usdc(1, Vec::new());
        sign(TxEip1559 { max_fee_per_gas: fee, max_priority_fee_per_gas: fee, ..tx }, KEY)
    };
    let low = refused(&chain, "eth_sendRawTransaction", &json!([bid(3_100_000_000)]));
    assert_eq!(low.1, "replacement transaction underpriced");
    let better = ok(&chain, "eth_sendRawTransaction", &json!([bid(3_300_000_000)]));
    send(&chain, to_usdc(0, Vec::new()));
    assert_eq!(receipt(&chain, &better)["blockNumber"], "0x2");
    assert_eq!(ok(&chain, "eth_getTransactionByHash", &json!([second])), Value::Null);
}

#[test]
fn mining_can_be_held_and_shared() {
    let chain = chain();
    let account = hex::encode_prefixed(accounts()[0]);
    let count = |tag: &str| ok(&chain, "eth_getTransactionCount", &json!([account, tag]));
    ok(&chain, "evm_setAutomine", &json!([false]));
    let paying = send(&chain, to_usdc(0, payment().split()));
    let other = send(&chain, to_usdc(1, payment().split()));
    assert_eq!((count("latest"), count("pending")), (json!("0x0"), json!("0x2")));
    ok(&chain, "evm_mine", &json!([]));
    let (paying, other) = (receipt(&chain, &paying), receipt(&chain, &other));
    assert_eq!(paying["blockHash"], other["blockHash"]);
    assert_eq!((&paying["status"], &other["status"]), (&json!("0x1"), &json!("0x0")));
    let gas = |receipt: &Value, name: &str| {
        u64::from_str_radix(&receipt[name].as_str().unwrap()[2..], 16).unwrap()
    };
    let sum = gas(&paying, "gasUsed") + gas(&other, "gasUsed");
    assert_eq!(gas(&other, "cumulativeGasUsed"), sum);
    ok(&chain, "evm_setAutomine", &json!([true]));
    send(&chain, to_usdc(2, payment().split()));
    assert_eq!(count("latest"), "0x3");
}

#[test]
fn snapshot_brings_everything_back() {
    let chain = chain();
    let before = ok(&chain, "evm_snapshot", &json!([]));
    let hash = send(&chain, to_usdc(0, payment().split()));
    assert_eq!(ok(&chain, "evm_revert", &json!([before])), true);
    assert_eq!(receipt(&chain, &hash), Value::Null);
    assert_eq!(chain.balance_of(USDC, PAYEE), Ok(0));
    assert_eq!(ok(&chain, "evm_revert", &json!([before])), false);
    assert_eq!(send(&chain, to_usdc(0, payment().split())), hash);
}

#[test]
fn time_can_be_moved() {
    let chain = chain();
    ok(&chain, "evm_increaseTime", &json!([120]));
    let (_, message) = refused(&chain, "eth_call", &call_args(USDC, &payment().whole()));
    assert!(message.ends_with("authorization is expired"));
    ok(&chain, "evm_mine", &json!([]));
    let head = ok(&chain, "eth_getBlockByNumber", &json!(["latest", false]));
    let time = u64::from_str_radix(&head["timestamp"].as_str().unwrap()[2..], 16).unwrap();
    assert!((NOW + 120..NOW + 180).contains(&time));
    let (code, _) = refused(&chain, "eth_call", &json!([{}, "0x99"]));
    assert_eq!(code, -32000);
}

#[test]
fn states_of_older_blocks_are_kept() {
    let chain = chain();
    let genesis = ok(&chain, "eth_getBlockByNumber", &json!(["0x0", false]));
    let balances = || -> Vec<Value> {
        let at = [
            json!("0x0"),
            json!("0x1"),
            json!("0x2"),
            json!("latest"),
            json!({ "blockHash": genesis["hash"] }),
        ];
        let call = json!({ "to": hex::encode_prefixed(USDC), "data": balance_call() });
        at.iter().map(|at| ok(&chain, "eth_call", &json!([call, at]))).collect()
    };
    ok(&chain, "evm_mine", &json!([]));
    send(&chain, to_usdc(0, payment().split()));
    let none = format!("0x{:064x}", 0);
    let paid = chain.balance_of(USDC, PAYEE).unwrap();
    let paid = format!("0x{paid:064x}");
    assert_eq!(balances(), [&none, &none, &paid, &paid, &none].map(|each| json!(each)));
    // The account's nonce goes with it.
    let count = |at: &str| {
        let account = hex::encode_prefixed(genesis::OWNER);
        ok(&chain, "eth_getTransactionCount", &json!([account, at]))
    };
    assert_eq!([count("0x1"), count("0x2")], ["0x0", "0x1"]);
    // What a snapshot brings back has its older states, too.
    let then = ok(&chain, "evm_snapshot", &json!([]));
    for _ in 0..3 {
        ok(&chain, "evm_mine", &json!([]));
    }
    ok(&chain, "evm_revert", &json!([then]));
    assert_eq!(balances(), [&none, &none, &paid, &paid, &none].map(|each| json!(each)));
}

#[test]
fn states_that_are_too_old_are_errors() {
    let chain = chain();
    let account = hex::encode_prefixed(PAYEE);
    let mined = |at: u64| json!([account, format!("{at:#x}")]);
    for _ in 0..1_025 {
        ok(&chain, "evm_mine", &json!([]));
    }
    assert_eq!(ok(&chain, "eth_getBalance", &mined(1)), "0x0");
    let (code, message) = refused(&chain, "eth_getBalance", &mined(0));
    assert_eq!(code, -32000, "{message}");
    assert!(message.contains("state of block 0 is not kept"), "{message}");
    assert_eq!(refused(&chain, "eth_getBalance", &mined(1_026)).1, "header not found");
}

/// balanceOf(PAYEE)
fn balance_call() -> String {
    format!("0x70a08231{}", hex::encode(Address::from(PAYEE).into_word()))
}
