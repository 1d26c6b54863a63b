//! Authorizations that the token takes, and those that it refuses: known answers, and forgeries.

use super::*;

#[test]
fn payment_moves_the_money_once() {
    let (chain, payment) = (chain(), payment());
    ok(&chain, "eth_call", &call_args(USDC, &payment.whole()));
    let gas = ok(&chain, "eth_estimateGas", &call_args(USDC, &payment.split()));
    let gas = u64::from_str_radix(&gas.as_str().unwrap()[2..], 16).unwrap();
    assert!((50_000..120_000).contains(&gas), "{gas}");

    let hash = send(&chain, TxEip1559 { gas_limit: gas, ..to_usdc(0, payment.split()) });
    let first = receipt(&chain, &hash);
    assert_eq!(first["status"], "0x1");
    assert_eq!(first["type"], "0x2");
    assert_eq!(first["effectiveGasPrice"], "0x77359400");
    assert_eq!(chain.balance_of(USDC, PAYEE), Ok(5_000_000));
    assert_eq!(chain.balance_of(USDC, payment.from), Ok(999_995_000_000));

    let topics = |index: usize| first["logs"][index]["topics"].clone();
    let from = Address::from(payment.from).into_word();
    let to = Address::from(PAYEE).into_word();
    assert_eq!(first["logs"].as_array().unwrap().len(), 2);
    assert_eq!(topics(0), json!([AUTHORIZATION_USED, from, payment.nonce]));
    assert_eq!(topics(1), json!([TRANSFER, from, to]));
    assert_eq!(first["logs"][1]["data"], json!(B256::from(payment.value)));
    assert_eq!(first["logs"][1]["logIndex"], "0x1");

    // Again, in either form: asked, it reverts; sent, it is mined and has failed.
    let replay = refused(&chain, "eth_call", &call_args(USDC, &payment.whole()));
    let used = "execution reverted: FiatTokenV2: authorization is used or canceled";
    assert_eq!(replay, (3, used.to_owned()));
    let hash = send(&chain, to_usdc(1, payment.whole()));
    let second = receipt(&chain, &hash);
    assert_eq!((&second["status"], &second["logs"]), (&json!("0x0"), &json!([])));
    assert_eq!(chain.balance_of(USDC, PAYEE), Ok(5_000_000));
}

#[test]
fn whatever_else_is_signed_is_refused() {
    let chain = chain();
    let refuses = |payment: &Payment, reason: &str| {
        for data in [payment.split(), payment.whole()] {
            let (code, message) = refused(&chain, "eth_call", &call_args(USDC, &data));
            assert_eq!((code, message), (3, format!("execution reverted: {reason}")));
        }
    };
    // Every bit of the message counts.
    for bit in [0, 100, 200, 255] {
        let nonce: U256 = U256::from_be_bytes(payment().nonce.0) ^ (U256::ONE << bit);
        let other = Payment { nonce: B256::from(nonce), ..payment() };
        refuses(&other, "FiatTokenV2: invalid signature");
    }
    let cheaper = Payment { value: U256::from(1), ..payment() };
    refuses(&cheaper, "FiatTokenV2: invalid signature");
    let mine = Payment { to: accounts()[2], ..payment() };
    refuses(&mine, "FiatTokenV2: invalid signature");
    let early = Payment { after: U256::from(NOW + 1_000), ..payment() };
    refuses(&early, "FiatTokenV2: authorization is not yet valid");
    let late = Payment { before: U256::from(NOW - 1), ..payment() };
    refuses(&late, "FiatTokenV2: authorization is expired");

    // The other signature of the same message: (r, n - s), parity flipped.
    let order = U256::from_be_bytes(hex!(
        "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141"
    ));
    let mut high = payment();
    let s = order - U256::from_be_slice(&high.signature[32..64]);
    high.signature[32..64].copy_from_slice(&s.to_be_bytes::<32>());
    high.signature[64] ^= 27 ^ 28;
    refuses(&high, "ECRecover: invalid signature 's' value");

    // The right signature for another token, and for this token on another chain.
    let (code, _) = refused(&chain, "eth_call", &call_args(EURC, &payment().split()));
    assert_eq!(code, 3);
    let options =
        DevnetOptions { chain_id: 8453, started_at: Some(NOW), ..DevnetOptions::default() };
    let elsewhere = Devnet::new(&options).unwrap();
    let (code, _) = refused(&elsewhere, "eth_call", &call_args(USDC, &payment().split()));
    assert_eq!(code, 3);

    // More than the payer has, though well signed.
    let poor = chain_of_token(&vectors("eip3009_valid.json")[5], NOW);
    let (usdc, poor_payment) = (domain_token(&vectors("eip3009_valid.json")[5]).address, {
        Payment::from_json(&vectors("eip3009_valid.json")[5])
    });
    let answer = refused(&poor, "eth_call", &call_args(usdc, &poor_payment.split()));
    assert_eq!(answer.1, "execution reverted: ERC20: transfer amount exceeds balance");
}

fn vectors(file: &str) -> Vec<Value> {
    let text = match file {
        "eip3009_valid.json" => include_str!("../../../../tests/vectors/eip3009_valid.json"),
        _ => include_str!("../../../../tests/vectors/eip3009_invalid.json"),
    };
    let file: Value = serde_json::from_str(text).unwrap();
    file["vectors"].as_array().unwrap().clone()
}

fn text<'a>(object: &'a Value, name: &str) -> &'a str {
    object[name].as_str().expect(name)
}

fn domain_token(vector: &Value) -> Token {
    let domain = &vector["domain"];
    Token {
        address: hex::FromHex::from_hex(text(domain, "verifyingContract")).unwrap(),
        name: text(domain, "name").to_owned(),
        version: text(domain, "version").to_owned(),
        ..Token::usdc()
    }
}

fn chain_of_token(vector: &Value, now: u64) -> Devnet {
    let chain_id = text(&vector["domain"], "chainId").parse().unwrap();
    let tokens = vec![domain_token(vector)];
    Devnet::new(&DevnetOptions { chain_id, started_at: Some(now), tokens }).unwrap()
}

impl Payment {
    fn from_json(vector: &Value) -> Self {
        let message = &vector["message"];
        let number = |name: &str| text(message, name).parse().unwrap();
        Self {
            from: hex::FromHex::from_hex(text(message, "from")).unwrap(),
            to: hex::FromHex::from_hex(text(message, "to")).unwrap(),
            value: number("value"),
            after: number("validAfter"),
            before: number("validBefore"),
            nonce: text(message, "nonce").parse().unwrap(),
            signature: hex::decode(text(vector, "signature")).unwrap_or_default(),
        }
    }
}

/// Known answers made by other software: the token agrees wherever the time allows.
#[test]
fn valid_vectors_are_taken() {
    let mut taken = 0;
    // A balance has 255 bits, and account 1 has something from the start.
    let most = (U256::MAX >> 1) - U256::from(1_000_000_000_000u64);
    for vector in vectors("eip3009_valid.json") {
        if text(&vector["domain"], "chainId").parse::<u64>().is_err() {
            continue;
        }
        let payment = Payment::from_json(&vector);
        let now = u64::try_from(payment.after).unwrap_or(u64::MAX).saturating_add(1);
        let now = if now == u64::MAX { NOW } else { now };
        let chain = chain_of_token(&vector, now);
        let token = domain_token(&vector).address;
        {
            let mut inner = rpc::lock(&chain.chain);
            let id = inner.id;
            let amount = payment.value.min(most);
            let buyer = payment.from.into();
            genesis::mint(&mut inner.state, id, token.into(), buyer, amount).unwrap();
        }
        let (early, late) = (payment.after >= now, payment.before <= U256::from(now));
        for data in [payment.split(), payment.whole()] {
            let answer = ask(&chain, "eth_call", &call_args(token, &data));
            let message = answer["error"]["message"].as_str().unwrap_or_default();
            match (early, late) {
                (true, _) => assert!(message.contains("not yet valid"), "{answer}"),
                (_, true) => assert!(message.contains("expired"), "{answer}"),
                _ if payment.value > most => {
                    assert!(message.contains("exceeds balance"), "{answer}");
                }
                _ => {
                    assert_eq!(answer["result"], "0x", "{vector}");
                    taken += 1;
                }
            }
        }
    }
    assert!(taken >= 20, "{taken}");
}

/// Known forgeries: refused in both forms, but for what is only written unusually.
#[test]
fn invalid_vectors_are_refused() {
    let all = vectors("eip3009_invalid.json");
    let chain = chain_of_token(&all[0], NOW);
    let token = domain_token(&all[0]).address;
    let mut seen = 0;
    for vector in all {
        let name = text(&vector, "name");
        if ["no 0x prefix", "non-hex", "space inside", "signature 1 MiB"].contains(&name) {
            continue;
        }
        let payment = Payment::from_json(&vector);
        chain.mint(token, payment.from, 10_000).ok();
        let whole = refused(&chain, "eth_call", &call_args(token, &payment.whole()));
        assert_eq!(whole.0, 3, "{name}: {whole:?}");
        if payment.signature.len() == 65 {
            let split = refused(&chain, "eth_call", &call_args(token, &payment.split()));
            assert_eq!(split.1, whole.1, "{name}");
        }
        seen += 1;
    }
    assert!(seen >= 30, "{seen}");
}

#[test]
fn wallet_contract_decides_for_itself() {
    let (chain, mut payment) = (chain(), payment());
    payment.signature = vec![1, 2, 3];
    let wallet = hex::encode_prefixed(payment.from);
    // Returns the 32 bytes that follow PUSH4, shifted to the left: mstore(0, magic << 224);
    // return(0, 32)
    let agrees = "0x631626ba7e60e01b60005260206000f3";
    let refuses = "0x63ffffffff60e01b60005260206000f3";
    ok(&chain, "anvil_setCode", &json!([wallet, refuses]));
    let answer = refused(&chain, "eth_call", &call_args(USDC, &payment.whole()));
    assert_eq!(answer.1, "execution reverted: FiatTokenV2: invalid signature");
    ok(&chain, "anvil_setCode", &json!([wallet, agrees]));
    ok(&chain, "eth_call", &call_args(USDC, &payment.whole()));
    payment.signature = vec![0; 65];
    ok(&chain, "eth_call", &call_args(USDC, &payment.split()));
}
