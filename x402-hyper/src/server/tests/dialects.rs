//! The same shop, spoken to in v1 and v2.

use serde_json::{Value, json};
use x402_core::buyer::{Policy, Unsigned};
use x402_core::wire::base64::{self, Base64};
use x402_core::wire::{Answers, SignedPayload};
use x402_core::{Address, Amount, Asset, ChainId, Nonce, Offer, Price, Signer as _, Timestamp};

use super::*;
use crate::server::testing::{NOW, signer};

pub(super) fn from_base64(text: &str) -> Value {
    let mut bytes = vec![0; base64::decoded_room(text.len())];
    serde_json::from_slice(base64::decode(text.as_bytes(), &mut bytes).unwrap()).unwrap()
}

pub(super) fn to_base64(json: &Value) -> String {
    Base64(json).to_string()
}

/// The payload that pays an offer, as JSON to be changed.
fn payload(offer: &Offer<'_>, nonce: u8, answers: Answers<'_>) -> Value {
    let policy = Policy::up_to(Price::parse("1000").unwrap());
    let (nonce, now) = (Nonce::new([nonce; 32]), Timestamp::from_secs(NOW));
    let unsigned = Unsigned::new(offer, &policy, payer(), nonce, now).unwrap();
    let signature = signer().sign(unsigned.digest()).unwrap();
    let signed = unsigned.sign(signature);
    let payload =
        SignedPayload { transfer: &signed.transfer, signature: &signature.to_rsv(), answers };
    serde_json::from_str(&payload.to_string()).unwrap()
}

/// What a client of v2 echoes of the terms that it was told.
pub(super) fn v2(told: &Value, index: usize, offer: &Offer<'_>, nonce: u8) -> Value {
    let [accepted, resource, extensions] =
        [&told["accepts"][index], &told["resource"], &told["extensions"]].map(Value::to_string);
    let extensions = if told["extensions"].is_null() { "" } else { &extensions };
    let answers = Answers::V2 { accepted: &accepted, resource: &resource, extensions };
    payload(offer, nonce, answers)
}

fn v1(offer: &Offer<'_>, nonce: u8) -> Value {
    payload(offer, nonce, Answers::V1(offer.requirements().chain_id))
}

fn get(payment: Option<(&str, &str)>) -> Request<Full<Bytes>> {
    let mut request = Request::get("/paid?a=b").header("Host", "shop.example");
    if let Some((name, value)) = payment {
        request = request.header(name, value).header("Idempotency-Key", secret(1));
    }
    request.body(full("")).unwrap()
}

fn eurc(amount: u64) -> Offer<'static> {
    let asset = *Asset::find(ChainId::ETHEREUM, "EURC").unwrap();
    let pay_to = offer(1).requirements().pay_to;
    Offer::new(asset, pay_to, Amount::from_units(amount.into()), 60)
}

fn sale(shop: &Shop) -> Sale {
    Sale {
        offers: vec![shop.offer, eurc(9_000), eurc(9_500).by_permit2()],
        description: "a \"thing\"".into(),
        mime_type: "text/plain".into(),
        extensions: json!({"bazaar": {"info": {"input": {"type": "http", "method": "GET"}}}})
            .to_string(),
        output_schema: json!({"input": {"type": "http", "method": "GET", "discoverable": true}})
            .to_string(),
        ..Sale::default()
    }
}

fn sells(shop: &Shop, sale: Sale) -> PaymentLayer {
    let sale = Arc::new(sale);
    PaymentLayer::new(Arc::clone(&shop.seller), move |_: &Parts| Quote::Paid(Arc::clone(&sale)))
}

#[tokio::test]
async fn one_answer_tells_the_price_in_every_dialect() {
    let (shop, seen) = (Shop::new(), Seen::default());
    let service = sells(&shop, sale(&shop)).layer(echo(&seen));
    let (head, body) = send(&service, get(None)).await;
    assert_eq!(head.status, StatusCode::PAYMENT_REQUIRED);
    assert_eq!(text(&head.headers, "x-payment-amount"), PRICE);

    let told = from_base64(text(&head.headers, "payment-required"));
    assert_eq!((&told["x402Version"], &told["error"]), (&json!(2), &json!("Payment required")));
    let resource = json!({
        "url": "http://shop.example/paid?a=b",
        "description": "a \"thing\"",
        "mimeType": "text/plain",
    });
    assert_eq!(told["resource"], resource);
    assert_eq!(told["extensions"]["bazaar"]["info"]["input"]["method"], "GET");
    let accepts = told["accepts"].as_array().unwrap();
    let expected = json!({
        "scheme": "exact",
        "network": "eip155:1",
        "amount": "10000",
        "asset": "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48",
        "payTo": "0x209693Bc6afc0C5328bA36FaF03C514EF312287C",
        "maxTimeoutSeconds": 60,
        "extra": {"name": "USD Coin", "version": "2", "paymentFlow": "upfront"},
    });
    assert_eq!((accepts.len(), &accepts[0]), (3, &expected));
    assert_eq!(accepts[1]["extra"]["name"], "Euro Coin");
    assert_eq!(accepts[2]["extra"]["assetTransferMethod"], "permit2");

    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((&body["x402Version"], &body["code"]), (&json!(1), &json!("402")));
    assert_eq!(body["error"], "X-PAYMENT header is required");
    let expected = json!({
        "scheme": "exact",
        "network": "ethereum",
        "maxAmountRequired": "10000",
        "resource": "http://shop.example/paid?a=b",
        "description": "a \"thing\"",
        "mimeType": "text/plain",
        "payTo": "0x209693Bc6afc0C5328bA36FaF03C514EF312287C",
        "maxTimeoutSeconds": 60,
        "asset": "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48",
        "outputSchema": {"input": {"type": "http", "method": "GET", "discoverable": true}},
        "extra": {"name": "USD Coin", "version": "2"},
    });
    // v1 knows of no Permit2.
    assert_eq!((body["accepts"].as_array().unwrap().len(), &body["accepts"][0]), (2, &expected));
    assert_eq!(seen.runs(), 0);
}

#[tokio::test]
async fn a_payment_is_answered_in_its_own_dialect() {
    let (shop, seen) = (Shop::new(), Seen::default());
    let service = sells(&shop, sale(&shop)).layer(echo(&seen));
    let (head, _) = send(&service, get(None)).await;
    let told = from_base64(text(&head.headers, "payment-required"));
    let payments = [
        ("PAYMENT-SIGNATURE", v2(&told, 0, &shop.offer, 1), "payment-response", "eip155:1"),
        ("PAYMENT-SIGNATURE", v2(&told, 1, &eurc(9_000), 2), "payment-response", "eip155:1"),
        ("X-PAYMENT", v1(&shop.offer, 4), "x-payment-response", "ethereum"),
        // v1 does not name the token: it is the one that was signed over.
        ("X-PAYMENT", v1(&eurc(9_000), 5), "x-payment-response", "ethereum"),
    ];
    for (runs, (field, payment, outcome, network)) in payments.into_iter().enumerate() {
        let header = to_base64(&payment);
        for again in 0..2 {
            let (head, body) = send(&service, get(Some((field, &header)))).await;
            assert_eq!(head.status, StatusCode::OK, "{payment} {body:?}");
            let told = from_base64(text(&head.headers, outcome));
            let hash = format!("0x{}", format!("{:02x}", runs + 1).repeat(32));
            let expected = json!({
                "success": true,
                "payer": payer().to_string(),
                "transaction": hash,
                "network": network,
            });
            assert_eq!(told, expected, "{again}");
            for other in ["payment-response", "x-payment-response", "x-payment-status"] {
                assert_eq!(head.headers.contains_key(other), other == outcome);
            }
            assert_eq!(text(&head.headers, "cache-control"), "private");
        }
        assert_eq!((seen.runs(), shop.chain.broadcasts()), (runs + 1, runs + 1));
    }
}

/// A receipt is of a settlement: where there was none, one field says so in every dialect.
#[tokio::test]
async fn what_is_not_charged_is_said_by_the_same_field_in_every_dialect() {
    let (shop, seen) = (Shop::new(), Seen::default());
    let after = Sale { settle: Settle::After, ..sale(&shop) };
    let service = sells(&shop, after).layer(answers(404, &seen));
    let (head, _) = send(&service, get(None)).await;
    let told = from_base64(text(&head.headers, "payment-required"));
    let payments =
        [("PAYMENT-SIGNATURE", v2(&told, 0, &shop.offer, 1)), ("X-PAYMENT", v1(&shop.offer, 2))];
    for (field, payment) in payments {
        let (head, _) = send(&service, get(Some((field, &to_base64(&payment))))).await;
        assert_eq!(head.status, StatusCode::NOT_FOUND);
        assert_eq!(text(&head.headers, "x-payment-status"), "not-charged");
        for receipt in ["payment-response", "x-payment-response", "x-payment-transaction"] {
            assert!(!head.headers.contains_key(receipt), "{receipt}");
        }
    }
    assert_eq!((seen.runs(), shop.chain.broadcasts()), (2, 0));
}

#[tokio::test]
async fn addresses_are_compared_as_such_and_additions_are_welcome() {
    let (shop, seen) = (Shop::new(), Seen::default());
    let service = sells(&shop, sale(&shop)).layer(echo(&seen));
    let (head, _) = send(&service, get(None)).await;
    let told = from_base64(text(&head.headers, "payment-required"));
    let mut payment = v2(&told, 0, &shop.offer, 1);
    for key in ["asset", "payTo"] {
        let text = payment["accepted"][key].as_str().unwrap().to_lowercase();
        payment["accepted"][key] = text.into();
    }
    payment["accepted"]["extra"]["more"] = json!([1, {"a": null}]);
    payment["extensions"]["bazaar"]["info"]["input"]["more"] = json!(true);
    payment["extensions"]["another"] = json!({});
    // Unpadded, as some encoders have it.
    let header = to_base64(&payment);
    let header = header.trim_end_matches('=');
    let (head, body) = send(&service, get(Some(("payment-signature", header)))).await;
    assert_eq!(head.status, StatusCode::OK, "{body:?}");
}

type Change = fn(&mut Value);

#[tokio::test]
async fn what_does_not_fit_is_refused_with_a_reason() {
    let (shop, seen) = (Shop::new(), Seen::default());
    let service = sells(&shop, sale(&shop)).layer(echo(&seen));
    let (head, _) = send(&service, get(None)).await;
    let told = from_base64(text(&head.headers, "payment-required"));
    let changes: [(Change, u16, &str); 14] = [
        (|p| p["x402Version"] = json!(3), 402, "invalid_x402_version"),
        (|p| p["x402Version"] = json!("2"), 400, "invalid_payload"),
        (|p| p["accepted"] = json!([]), 400, "invalid_payload"),
        (|p| p["accepted"]["network"] = json!("eip155:8453"), 402, "network_mismatch"),
        (|p| p["accepted"]["network"] = json!("ethereum"), 402, "network_mismatch"),
        (|p| p["accepted"]["scheme"] = json!("upto"), 402, "invalid_exact_evm_scheme"),
        (|p| p["accepted"]["amount"] = json!("9999"), 402, "value_mismatch"),
        (|p| p["accepted"]["amount"] = json!(10_000), 400, "invalid_payload"),
        (
            |p| p["accepted"]["payTo"] = json!("0x70997970C51812dc3A010C7d01b50e0d17dc79C8"),
            402,
            "invalid_exact_evm_recipient_mismatch",
        ),
        (|p| p["payload"]["authorization"]["value"] = json!("0x2710"), 400, "invalid_payload"),
        (
            |p| p["payload"]["authorization"]["value"] = json!("9999"),
            402,
            "invalid_exact_evm_payload_authorization_value_mismatch",
        ),
        (
            |p| p["payload"]["authorization"]["nonce"] = json!(format!("0x{}", "ab".repeat(32))),
            402,
            "invalid_exact_evm_signature",
        ),
        (|p| p["payload"]["permit2Authorization"] = json!({}), 400, "invalid_payload"),
        (
            |p| p["extensions"]["bazaar"]["info"]["input"]["method"] = json!("POST"),
            402,
            "extension_echo_mismatch",
        ),
    ];
    for (change, status, reason) in changes {
        let mut payment = v2(&told, 0, &shop.offer, 1);
        change(&mut payment);
        let (head, body) =
            send(&service, get(Some(("payment-signature", &to_base64(&payment))))).await;
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(head.status, status, "{payment} {body}");
        if status == 402 {
            let told = from_base64(text(&head.headers, "payment-required"));
            assert!(told["error"].as_str().unwrap().contains(reason), "{told}");
            assert_eq!(body["error"], told["error"]);
        } else {
            assert_eq!(body["reason"], reason);
        }
        assert!(!body["help"].as_str().unwrap().is_empty());
    }
    assert_eq!((seen.runs(), shop.chain.asked()), (0, 0));
}

#[tokio::test]
async fn a_payment_that_is_there_twice_is_none() {
    let (shop, seen) = (Shop::new(), Seen::default());
    let service = sells(&shop, sale(&shop)).layer(echo(&seen));
    let told = from_base64(text(&send(&service, get(None)).await.0.headers, "payment-required"));
    let payments = [1, 2].map(|nonce| {
        [
            ("X-PAYMENT", to_base64(&v1(&shop.offer, nonce))),
            ("PAYMENT-SIGNATURE", to_base64(&v2(&told, 0, &shop.offer, nonce))),
        ]
    });
    let [[old, new], [old2, new2]] = &payments;
    let twice = [[old, old2], [new, new2], [old, old], [new, new], [old, new], [new2, old]];
    for fields in twice {
        let mut request = Request::get("/paid?a=b").header("Host", "shop.example");
        for (name, value) in fields {
            request = request.header(*name, value);
        }
        let (head, body) = send(&service, request.body(full("")).unwrap()).await;
        assert_eq!(head.status, StatusCode::BAD_REQUEST, "{body:?}");
    }
    for (name, value) in [old, new] {
        let request = with(Request::get("/paid?a=b").header(*name, value), &shop.payment(3));
        let (head, _) = send(&service, request.body(full("")).unwrap()).await;
        assert_eq!(head.status, StatusCode::BAD_REQUEST);
    }
    assert_eq!((seen.runs(), shop.chain.asked()), (0, 0));
}

#[tokio::test]
async fn what_is_no_payload_is_a_bad_request() {
    let (shop, seen) = (Shop::new(), Seen::default());
    let service = sells(&shop, sale(&shop)).layer(echo(&seen));
    let good = to_base64(&v1(&shop.offer, 1));
    let url_safe = "eyJ4NDAyVmVyc2lvbiI6MX0-_";
    let twice = r#"{"x402Version":1,"x402Version":1,"scheme":"exact","network":"ethereum"}"#;
    let deep = format!("{}{}", "[".repeat(5_000), "]".repeat(5_000));
    let cases = [
        "",
        "!",
        "e30=",
        "bnVsbA==",
        "W10=",
        url_safe,
        &good[..good.len() - 9],
        &format!(" {good}"),
        &format!("{good}="),
        &Base64(twice).to_string(),
        &Base64(&deep).to_string(),
        &Base64("{\"x402Version\":1}x").to_string(),
    ]
    .map(str::to_owned);
    for field in ["X-PAYMENT", "PAYMENT-SIGNATURE"] {
        for case in &cases {
            let (head, body) = send(&service, get(Some((field, case)))).await;
            assert_eq!(head.status, StatusCode::BAD_REQUEST, "{field}: {case:.80} {body:?}");
        }
    }
    // The right thing in the other version's field.
    let (head, _) = send(&service, get(Some(("PAYMENT-SIGNATURE", &good)))).await;
    assert_eq!(head.status, StatusCode::PAYMENT_REQUIRED);
    assert_eq!((seen.runs(), shop.chain.asked()), (0, 0));
}

#[tokio::test]
async fn an_unknown_outcome_is_told_with_the_transaction() {
    let (shop, seen) = (Shop::new(), Seen::default());
    let service = sells(&shop, sale(&shop)).layer(echo(&seen));
    shop.chain.does(Does::IsSilent);
    let header = to_base64(&v1(&shop.offer, 1));
    let (head, _) = send(&service, get(Some(("X-PAYMENT", &header)))).await;
    assert_eq!(head.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(head.headers.contains_key("retry-after"));
    let told = from_base64(text(&head.headers, "x-payment-response"));
    assert_eq!(
        (&told["success"], &told["errorReason"]),
        (&json!(false), &json!("settlement_pending"))
    );
    assert_eq!(told["transaction"], format!("0x{}", "01".repeat(32)));
    assert!(!head.headers.contains_key("payment-required"));
    shop.chain.does(Does::Settles);
    let (head, _) = send(&service, get(Some(("X-PAYMENT", &header)))).await;
    assert_eq!((head.status, seen.runs(), shop.chain.broadcasts()), (StatusCode::OK, 1, 1));
}

#[tokio::test]
async fn a_name_of_a_purchase_is_good_for_one_payment() {
    let (shop, seen) = (Shop::new(), Seen::default());
    let named = |required: bool| Sale {
        extensions: json!({"payment-identifier": {"info": {"required": required}}}).to_string(),
        ..Sale::from(shop.offer)
    };
    let [must, may] = [true, false].map(|rule| sells(&shop, named(rule)).layer(echo(&seen)));
    let told = from_base64(text(&send(&must, get(None)).await.0.headers, "payment-required"));
    let payment = |nonce, id: Value| {
        let mut payment = v2(&told, 0, &shop.offer, nonce);
        payment["extensions"] = told["extensions"].clone();
        payment["extensions"]["payment-identifier"]["info"]["id"] = id;
        payment
    };
    let pay = async |service, payment: Value| {
        let (head, body) =
            send(service, get(Some(("PAYMENT-SIGNATURE", &to_base64(&payment))))).await;
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        (head.status.as_u16(), body["message"].as_str().unwrap_or_default().to_owned())
    };
    let good = json!("pay_0123456789abcdef");
    for id in [json!("short"), json!("a".repeat(129)), json!("pay 0123456789abcdef"), json!(7)] {
        let (status, message) = pay(&must, payment(1, id.clone())).await;
        assert_eq!(
            (status, &*message),
            (400, "the payment's identifier is missing, or is none"),
            "{id}"
        );
    }
    let mut bare = payment(1, good.clone());
    bare["extensions"]["payment-identifier"]["info"] = json!({"required": true});
    assert_eq!(pay(&must, bare.clone()).await.0, 400);
    bare.as_object_mut().unwrap().remove("extensions");
    assert_eq!(pay(&must, bare.clone()).await.0, 400);
    assert_eq!((seen.runs(), shop.chain.asked()), (0, 0));
    // The same bytes are the same purchase, another payment of that name is not.
    for _ in 0..2 {
        assert_eq!(pay(&must, payment(1, good.clone())).await.0, 200);
    }
    let (status, message) = pay(&must, payment(2, good.clone())).await;
    assert_eq!((status, &*message), (409, "another payment of this payer has this identifier"));
    assert_eq!((seen.runs(), shop.chain.broadcasts()), (1, 1));
    assert_eq!(pay(&must, payment(2, json!("pay_fedcba9876543210"))).await.0, 200);
    // Where it is not asked for, none is needed.
    bare["payload"] = v2(&told, 0, &shop.offer, 3)["payload"].clone();
    assert_eq!(pay(&may, bare).await.0, 200);
}

#[tokio::test]
async fn a_payment_of_one_dialect_is_the_same_in_another() {
    let (shop, seen) = (Shop::new(), Seen::default());
    let service = sells(&shop, sale(&shop)).layer(echo(&seen));
    let (head, _) = send(&service, get(None)).await;
    let told = from_base64(text(&head.headers, "payment-required"));
    for (field, payment) in
        [("X-PAYMENT", v1(&shop.offer, 1)), ("PAYMENT-SIGNATURE", v2(&told, 0, &shop.offer, 1))]
    {
        let (head, _) = send(&service, get(Some((field, &to_base64(&payment))))).await;
        assert_eq!(head.status, StatusCode::OK);
    }
    let plain = with(Request::get("/paid?a=b"), &shop.payment(1)).body(full("")).unwrap();
    assert_eq!(send(&service, plain).await.0.status, StatusCode::OK);
    assert_eq!((seen.runs(), shop.chain.broadcasts()), (1, 1));
    let _: Address = payer();
}
