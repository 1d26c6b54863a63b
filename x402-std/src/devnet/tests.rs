//! What stands here is for all of them; then what is asked of the chain as a whole.

mod blocks;
mod fiat_token;
mod odd_token;
mod payments;
mod permit2;
mod scene;
mod wallets;

use alloy_consensus::{
    SignableTransaction, TxEip1559, TxEip2930, TxEnvelope, TxLegacy,
    crypto::secp256k1::sign_message,
};
use alloy_eips::{Encodable2718, eip2930::AccessList};
use alloy_primitives::{B256, Signature, TxKind, b256, keccak256};
use serde_json::{Value, json};

use super::*;

const PAYEE: [u8; 20] = hex!("209693Bc6afc0C5328bA36FaF03C514EF312287C");
const TRANSFER: B256 = b256!("ddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef");
const AUTHORIZATION_USED: B256 =
    b256!("98de503528ee59b575ef0c0a2576a82497bfc029a5685b209e9ec333479b10a5");
/// Key of account 0, from the mnemonic that everybody knows.
const KEY: B256 = b256!("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80");
/// Key of account 1.
const BUYER_KEY: B256 = b256!("59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d");

/// Payment "v2-03" of sdk.json, made by the official software: 5 USDC on chain 1, from account
/// 1.
struct Payment {
    from: [u8; 20],
    to: [u8; 20],
    value: U256,
    after: U256,
    before: U256,
    nonce: B256,
    signature: Vec<u8>,
}

const NOW: u64 = 1_790_000_000;

fn payment() -> Payment {
    Payment {
        from: accounts()[1],
        to: PAYEE,
        value: U256::from(5_000_000),
        after: U256::ZERO,
        before: U256::from(NOW + 60),
        nonce: b256!("47ddf1b51f3434e39887f38350addc7fed8f0a1f0c260261993ca809e4fb3f58"),
        signature: hex!(
            "ebc4b0630cee11e8c3993974c044a2106fc6d5d619e2133568eb198a797a0ccd"
            "3c44f1a07acf75f5cd7843b038d059cb4b983078013fd0b1ce2638eae708b44c"
            "1c"
        )
        .to_vec(),
    }
}

impl Payment {
    fn words(&self) -> Vec<u8> {
        let address = |address: [u8; 20]| Address::from(address).into_word().0;
        let times = [self.value, self.after, self.before].map(|word| word.to_be_bytes::<32>());
        let nonce = [self.nonce.0];
        [&[address(self.from), address(self.to)][..], &times, &nonce].concat().concat()
    }

    /// transferWithAuthorization with v, r, s; the signature must have 65 bytes.
    fn split(&self) -> Vec<u8> {
        let (rs, v) = self.signature.split_at(64);
        [&hex!("e3ee160e")[..], &self.words(), &[0; 31], v, rs].concat()
    }

    /// transferWithAuthorization with the signature as bytes.
    fn whole(&self) -> Vec<u8> {
        let mut data = [&hex!("cf092995")[..], &self.words()].concat();
        data.extend(U256::from(7 * 32).to_be_bytes::<32>());
        data.extend(U256::from(self.signature.len()).to_be_bytes::<32>());
        data.extend(&self.signature);
        data.resize(4 + (data.len() - 4).next_multiple_of(32), 0);
        data
    }
}

fn chain() -> Devnet {
    Devnet::new(&DevnetOptions { started_at: Some(NOW), ..DevnetOptions::default() }).unwrap()
}

fn ask(chain: &Devnet, method: &str, params: &Value) -> Value {
    let request = json!({ "jsonrpc": "2.0", "id": 7, "method": method, "params": params });
    let answer = chain.handle(request.to_string().as_bytes());
    let answer: Value = serde_json::from_slice(&answer).unwrap();
    assert_eq!(answer["jsonrpc"], "2.0");
    assert_eq!(answer["id"], 7);
    answer
}

fn ok(chain: &Devnet, method: &str, params: &Value) -> Value {
    let answer = ask(chain, method, params);
    assert!(answer.get("error").is_none(), "{method}: {answer}");
    answer["result"].clone()
}

fn refused(chain: &Devnet, method: &str, params: &Value) -> (i64, String) {
    let error = &ask(chain, method, params)["error"];
    let (code, message) = (error["code"].as_i64(), error["message"].as_str());
    (code.expect(method), message.unwrap().to_owned())
}

fn call_args(to: [u8; 20], data: &[u8]) -> Value {
    let to = hex::encode_prefixed(to);
    json!([{ "to": to, "data": hex::encode_prefixed(data) }, "latest"])
}

/// A transaction of account 0 to USDC.
fn to_usdc(nonce: u64, data: Vec<u8>) -> TxEip1559 {
    TxEip1559 {
        chain_id: 1,
        nonce,
        gas_limit: 200_000,
        max_fee_per_gas: 3_000_000_000,
        max_priority_fee_per_gas: 1_000_000_000,
        to: TxKind::Call(USDC.into()),
        value: U256::ZERO,
        access_list: AccessList::default(),
        input: data.into(),
    }
}

fn sign<T: SignableTransaction<Signature>>(tx: T, key: B256) -> String
where
    TxEnvelope: From<alloy_consensus::Signed<T>>,
{
    let signature = sign_message(key, tx.signature_hash()).unwrap();
    let tx = TxEnvelope::from(tx.into_signed(signature));
    hex::encode_prefixed(tx.encoded_2718())
}

fn send(chain: &Devnet, tx: TxEip1559) -> Value {
    ok(chain, "eth_sendRawTransaction", &json!([sign(tx, KEY)]))
}

fn receipt(chain: &Devnet, hash: &Value) -> Value {
    ok(chain, "eth_getTransactionReceipt", &json!([hash]))
}

#[test]
fn domain_separators_are_those_of_mainnet() {
    let chain = chain();
    for (token, separator) in [
        (USDC, "0x06c37168a7db5138defc7866392bb87a741f9b3d104deb5094588ce041cae335"),
        (EURC, "0x99f188f447f0c6eaf68589359cd2ead8c2faaaaee984ab926fdb734d0040073b"),
    ] {
        let call = call_args(token, &hex!("3644e515"));
        assert_eq!(ok(&chain, "eth_call", &call), separator);
    }
}

#[test]
fn genesis_is_as_promised() {
    let chain = chain();
    assert_eq!(accounts()[1], hex!("70997970C51812dc3A010C7d01b50e0d17dc79C8"));
    for account in accounts() {
        let account = hex::encode_prefixed(account);
        let ether = ok(&chain, "eth_getBalance", &json!([account, "latest"]));
        assert_eq!(ether, "0x21e19e0c9bab2400000");
        assert_eq!(ok(&chain, "eth_getTransactionCount", &json!([account])), "0x0");
    }
    for token in [USDC, EURC] {
        assert_eq!(chain.balance_of(token, accounts()[1]), Ok(1_000_000_000_000));
        assert_eq!(chain.balance_of(token, accounts()[0]), Ok(0));
    }
    let code = ok(&chain, "eth_getCode", &json!([hex::encode_prefixed(MULTICALL3), "latest"]));
    assert!(code.as_str().unwrap().len() > 1_000);
    assert!(chain.balance_of(MULTICALL3, PAYEE).is_err());
    assert!(chain.balance_of(PAYEE, PAYEE).is_err());
}

#[test]
fn logs_are_found_by_address_topic_and_block() {
    let chain = chain();
    let hash = send(&chain, to_usdc(0, payment().split()));
    let block = receipt(&chain, &hash)["blockHash"].clone();
    let found =
        |filter: Value| ok(&chain, "eth_getLogs", &json!([filter])).as_array().unwrap().len();
    let (usdc, eurc) = (hex::encode_prefixed(USDC), hex::encode_prefixed(EURC));
    let payee = Address::from(PAYEE).into_word();
    assert_eq!(found(json!({})), 2);
    assert_eq!(found(json!({ "fromBlock": "earliest", "toBlock": "latest" })), 2);
    assert_eq!(found(json!({ "fromBlock": "0x0", "toBlock": "0x0" })), 0);
    assert_eq!(found(json!({ "blockHash": block, "address": usdc })), 2);
    assert_eq!(found(json!({ "address": eurc })), 0);
    assert_eq!(found(json!({ "address": [eurc, usdc], "topics": [TRANSFER] })), 1);
    assert_eq!(found(json!({ "topics": [[TRANSFER, AUTHORIZATION_USED]] })), 2);
    assert_eq!(found(json!({ "topics": [null, null, payee] })), 1);
    assert_eq!(found(json!({ "topics": [null, null, null, null] })), 0);
    let backwards = json!([{ "fromBlock": "0x1", "toBlock": "0x0" }]);
    assert_eq!(refused(&chain, "eth_getLogs", &backwards).0, -32602);
    let both = json!([{ "blockHash": block, "toBlock": "0x0" }]);
    assert_eq!(refused(&chain, "eth_getLogs", &both).0, -32602);
}

#[test]
fn many_calls_go_in_one() {
    // aggregate3([(USDC, true, balanceOf(account 1)), (USDC, true, garbage)])
    let chain = chain();
    let word = |number: usize| U256::from(number).to_be_bytes::<32>().to_vec();
    let item = |data: &[u8]| {
        let mut item = Address::from(USDC).into_word().to_vec();
        item.extend([word(1), word(96), word(data.len()), data.to_vec()].concat());
        item.resize(item.len().next_multiple_of(32), 0);
        item
    };
    let owner = Address::from(accounts()[1]).into_word();
    let first = item(&[&hex!("70a08231")[..], owner.as_slice()].concat());
    let second = item(&[1, 2, 3, 4]);
    let list = [word(2), word(64), word(64 + first.len()), first, second].concat();
    let data = [hex!("82ad56cb").to_vec(), word(32), list].concat();
    let answer = ok(&chain, "eth_call", &call_args(MULTICALL3, &data));
    let answer = hex::decode(answer.as_str().unwrap()).unwrap();
    let number = |index: usize| U256::from_be_slice(&answer[index * 32..][..32]);
    // Two results: true with 32 bytes; false with none.
    assert_eq!(number(1), U256::from(2));
    assert_eq!(number(4), U256::from(1));
    assert_eq!(number(7), U256::from(1_000_000_000_000u64));
    assert_eq!(number(8), U256::ZERO);
}

#[test]
fn mint_and_ether_are_handed_out() {
    let chain = chain();
    chain.mint(USDC, PAYEE, 7).unwrap();
    assert_eq!(chain.balance_of(USDC, PAYEE), Ok(7));
    assert!(chain.mint(PAYEE, PAYEE, 7).is_err());
    assert!(chain.mint(USDC, [0; 20], 7).is_err());
    chain.set_balance(PAYEE, 9);
    assert_eq!(ok(&chain, "eth_getBalance", &json!([hex::encode_prefixed(PAYEE)])), "0x9");
    // The owner's key mints by transaction, and nobody else's does.
    let data = [&hex!("40c10f19")[..], &[0; 12], &PAYEE, &[0; 31], &[1]].concat();
    let hash = send(&chain, to_usdc(0, data.clone()));
    assert_eq!(receipt(&chain, &hash)["status"], "0x1");
    assert_eq!(chain.balance_of(USDC, PAYEE), Ok(8));
    let raw = sign(to_usdc(0, data), BUYER_KEY);
    let hash = ok(&chain, "eth_sendRawTransaction", &json!([raw]));
    assert_eq!(receipt(&chain, &hash)["status"], "0x0");
}

#[test]
fn fees_are_told() {
    let chain = chain();
    send(&chain, to_usdc(0, payment().split()));
    assert_eq!(ok(&chain, "eth_gasPrice", &json!([])), "0x77359400");
    let history = ok(&chain, "eth_feeHistory", &json!(["0x5", "latest", [10, 50.5]]));
    assert_eq!(history["oldestBlock"], "0x0");
    assert_eq!(history["baseFeePerGas"].as_array().unwrap().len(), 3);
    assert_eq!(history["reward"], json!([["0x0", "0x0"], ["0x3b9aca00", "0x3b9aca00"]]));
    let falling = json!([5, "latest", [50, 10]]);
    assert_eq!(refused(&chain, "eth_feeHistory", &falling).0, -32602);
}

#[test]
fn garbage_gets_an_error_object() {
    let chain = chain();
    let code = |body: &[u8]| {
        let answer: Value = serde_json::from_slice(&chain.handle(body)).unwrap();
        assert_eq!(answer["jsonrpc"], "2.0");
        (answer["id"].clone(), answer["error"]["code"].as_i64().unwrap())
    };
    for body in [&b""[..], b"{", b"\xff", b"nul", b"[[[", &[b'['; 100_000]] {
        assert_eq!(code(body), (Value::Null, -32700));
    }
    for body in ["{}", "1", "null", "\"x\"", "[]", r#"{"jsonrpc":"1.0","method":"x"}"#] {
        assert_eq!(code(body.as_bytes()), (Value::Null, -32600), "{body}");
    }
    let request = |rest: &str| code(format!(r#"{{"jsonrpc":"2.0",{rest}}}"#).as_bytes());
    assert_eq!(request(r#""id":[],"method":"eth_chainId""#), (Value::Null, -32600));
    assert_eq!(request(r#""id":"a","method":5"#), (json!("a"), -32600));
    assert_eq!(request(r#""id":-1,"method":"eth_nothing""#), (json!(-1), -32601));
    assert_eq!(request(r#""id":1,"method":"eth_call","params":{}"#), (json!(1), -32602));
    assert_eq!(request(r#""id":1,"method":"eth_chainId","params":[1]"#), (json!(1), -32602));
    assert_eq!(request(r#""id":1,"method":"eth_getBalance""#), (json!(1), -32602));
}

#[test]
fn batches_are_answered_in_order_and_bounded() {
    let chain = chain();
    let one = |id: &Value| json!({ "jsonrpc": "2.0", "id": id, "method": "eth_chainId" });
    let ids = [json!(1), json!("b"), Value::Null];
    let mut batch: Vec<Value> = ids.iter().map(one).collect();
    batch.push(json!({ "jsonrpc": "2.0", "method": "eth_chainId" }));
    batch.push(json!(5));
    let answer = chain.handle(json!(batch).to_string().as_bytes());
    let answer: Vec<Value> = serde_json::from_slice(&answer).unwrap();
    assert_eq!(answer.len(), 4);
    assert!(answer.iter().zip(&ids).all(|(answer, id)| answer["id"] == *id));
    assert_eq!(answer[3]["error"]["code"], -32600);

    let quiet = json!({ "jsonrpc": "2.0", "method": "eth_chainId" });
    assert_eq!(chain.handle(quiet.to_string().as_bytes()), b"");
    assert_eq!(chain.handle(json!([quiet]).to_string().as_bytes()), b"");
    let long = json!(vec![one(&json!(1)); 1_001]);
    let answer = chain.handle(long.to_string().as_bytes());
    let answer: Value = serde_json::from_slice(&answer).unwrap();
    assert_eq!(answer["error"]["code"], -32600);
}

#[test]
fn clones_and_threads_share_one_chain() {
    let chain = chain();
    std::thread::scope(|scope| {
        for nonce in 0..8 {
            let chain = chain.clone();
            scope.spawn(move || send(&chain, to_usdc(nonce, Vec::new())));
        }
    });
    assert_eq!(ok(&chain, "eth_blockNumber", &json!([])), "0x8");
}
