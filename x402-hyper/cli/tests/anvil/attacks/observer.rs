//! Who reads the payments of others on the chain, and has what they have bought.

use serde_json::json;
use x402_core::proof::FIELD;
use x402_core::{Amount, Authorization, Nonce, Signature, Timestamp, hex};

use super::stranger::{proof, proof_by};
use super::{Fields, PAYERS, address, books_agree, paying, signer};
use crate::faults::PRICE;
use crate::http::{self, Answer};
use crate::shop::{Shop, fields, set, terms};

/// The fields by which a payer has what is left of a payment.
const PURSE: [&str; 2] = ["X-Payment-Credit", "X-Payment-Pass"];

/// The payment that a transaction has settled, from its calldata: all but what was sent beside it.
fn read_on_the_chain(shop: &Shop, paid: &Answer) -> (Authorization, Fields) {
    let hash = paid.header("X-Payment-Transaction").expect("a transaction");
    let transaction = shop.node.rpc("eth_getTransactionByHash", json!([hash]));
    let input = transaction["input"].as_str().expect("its calldata");
    let mut data = vec![0; input.len() / 2];
    let data = hex::decode_into(input, &mut data).expect("hex");
    let words: Vec<[u8; 32]> =
        data[4..].chunks_exact(32).map(|word| word.try_into().expect("a word")).collect();
    let [from, to] = [0, 1].map(|n| address(&hex::Hex(&words[n][12..]).to_string()));
    let number = |n: usize| {
        let amount = Amount::from_be_bytes(words[n]).to_string();
        Timestamp::parse(&amount).expect("a time")
    };
    let authorization = Authorization {
        from,
        to,
        value: Amount::from_be_bytes(words[2]),
        valid_after: number(3),
        valid_before: number(4),
        nonce: Nonce::new(words[5]),
    };
    let rsv: Vec<u8> = [&words[7][..], &words[8], &words[6][31..]].concat();
    let signature = Signature::from_rsv(&rsv.try_into().expect("65 bytes")).expect("one");
    let nonce = authorization.nonce.to_string();
    let mut payment = fields(&authorization, signature, &nonce);
    let price = authorization.value.to_price(6).to_string();
    set(&mut payment, "X-Payment-Amount", &price);
    payment.retain(|(name, _)| *name != "Idempotency-Key");
    (authorization, payment)
}

/// Presents it with all that can be made up, and counts what was had.
fn present(shop: &Shop, line: &str, body: &str, read: &(Authorization, Fields)) -> u128 {
    let (signed, payment) = read;
    let forged = proof_by(&signer(PAYERS[1]), signed, "http://localhost");
    let guises: [Fields; 4] = [
        vec![],
        vec![("Idempotency-Key", "a-key-that-others-have-made-up".into())],
        vec![("X-Payment-Id", signed.nonce.to_string())],
        vec![(FIELD, forged)],
    ];
    let mut had = 0;
    for guise in guises {
        let request = http::request(line, &[&payment[..], &guise].concat(), body);
        let answer = http::exchange(shop.address, &request);
        let is_purse = PURSE.iter().any(|name| answer.header(name).is_some());
        had += u128::from(answer.status == 200 || is_purse);
        assert_eq!(answer.status, 409, "{guise:?}: {}", answer.body);
        let help = answer.json()["help"].as_str().expect("help").to_owned();
        assert!(help.contains("Idempotency-Key") && help.contains(FIELD), "{help}");
    }
    had
}

#[test]
fn who_reads_the_chain_has_no_answer_that_others_have_paid() {
    let mut shop = Shop::open();
    let honest = paying(&terms("1"));
    let paid = shop.send(&honest);
    assert_eq!(paid.status, 200, "{}", paid.body);
    let read = read_on_the_chain(&shop, &paid);
    // Nothing is missing but what was never on the chain.
    let known = honest.iter().filter(|(name, _)| *name != "Idempotency-Key").cloned();
    assert_eq!(read.1, known.collect::<Vec<_>>());
    let mut had = present(&shop, "POST /api/analyze", "some words", &read);
    shop.restart();
    had += present(&shop, "POST /api/analyze", "some words", &read);
    println!("observer: paid 0, had {}", had * PRICE);
    // The payer has it again: by the key, or where that is lost by a signature.
    let again = shop.send(&honest);
    assert_eq!((again.status, &again.body), (200, &paid.body));
    let proved = [read.1, vec![(FIELD, proof(&read.0, "http://localhost"))]].concat();
    let again = shop.send(&proved);
    assert_eq!((again.status, &again.body), (200, &paid.body));
    assert_eq!((had, shop.upstream.hits(), shop.recipient_balance()), (0, 1, PRICE));
    books_agree(&shop, 0);
}

/// A pass, and the name of a balance.
#[test]
fn who_reads_the_chain_has_no_purse_of_others() {
    let shop = Shop::open();
    let document = r#"{"messages":[],"max_tokens":100,"script":"json:12:34"}"#;
    for (nonce, units, line, minutes, body) in [
        ("1", 3_140, "POST /v1/chat/completions", None, document),
        ("2", 300_000, "GET /live/ticks?seconds=1", Some("3"), ""),
    ] {
        let honest = paying(&Authorization { value: Amount::from_units(units), ..terms(nonce) });
        let asked = minutes.map(|minutes| ("X-Payment-Minutes", minutes.to_owned()));
        let with = |fields: &Fields| [&fields[..], asked.as_slice()].concat();
        let request = http::request(line, &with(&honest), body);
        let paid = http::exchange(shop.address, &request);
        assert_eq!(paid.status, 200, "{}", paid.body);
        assert!(PURSE.iter().any(|name| paid.header(name).is_some()));
        let (signed, payment) = read_on_the_chain(&shop, &paid);
        let had = present(&shop, line, body, &(signed, with(&payment)));
        println!("observer: paid 0, had {had} purses of {units}");
        assert_eq!(had, 0);
    }
}
