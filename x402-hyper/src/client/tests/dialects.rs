//! Sellers that speak v1 and v2, honest ones and others.

use serde_json::{Value, json};
use x402_core::wire::base64::{self, Base64};
use x402_core::wire::{Challenge, PaymentFlow, PaymentPayload, Resource};

use super::*;

fn from_base64(text: &str) -> Vec<u8> {
    let mut bytes = vec![0; base64::decoded_room(text.len())];
    base64::decode(text.as_bytes(), &mut bytes).unwrap().to_vec()
}

pub(super) fn terms_of(offers: &[Offer<'_>]) -> (Value, Value) {
    let challenge = Challenge {
        error: "Payment required",
        resource: Resource { url: "http://shop.example/", description: "é \"x\"", mime_type: "" },
        offers,
        quotes: &[],
        flow: PaymentFlow::Upfront,
        extensions: "",
        output_schema: "",
    };
    let v1 = format!("{{{}}}", challenge.v1_members());
    let v2 = challenge.v2().to_string();
    (serde_json::from_str(&v1).unwrap(), serde_json::from_str(&v2).unwrap())
}

/// A 402 with terms in v1's body, or v2's header field.
pub(super) fn told(v1: Option<&Value>, v2: Option<&Value>) -> Body {
    let mut response = Response::builder().status(402);
    if let Some(v2) = v2 {
        response = response.header("PAYMENT-REQUIRED", Base64(v2).to_string());
    }
    response.body(v1.map(|v1| v1.to_string().into()).unwrap_or_default()).unwrap()
}

/// A served answer with a receipt in this field.
pub(super) fn served(field: &str, receipt: &Value) -> Body {
    let response = Response::builder().header(field, Base64(receipt).to_string());
    response.body(Full::from("goods")).unwrap()
}

pub(super) fn receipt(network: &str) -> Value {
    json!({"success": true, "payer": payer().to_string(), "transaction": TRANSACTION,
           "network": network})
}

pub(super) async fn shop(
    v1: Option<Value>,
    v2: Option<Value>,
    paid: impl Fn(&Seen, usize) -> Body + Send + Sync + 'static,
) -> Shop {
    Shop::open(move |seen, count| {
        Some(if seen.is_paid() { paid(seen, count) } else { told(v1.as_ref(), v2.as_ref()) })
    })
    .await
}

/// The payload that a request carries in this field.
fn payload(seen: &Seen, field: &str) -> Vec<u8> {
    from_base64(seen.headers[field].to_str().unwrap())
}

fn eurc(units: u128) -> Offer<'static> {
    let asset = *Asset::find(ChainId::ETHEREUM, "EURC").unwrap();
    Offer::new(asset, Address::parse(PAY_TO).unwrap(), x402_core::Amount::from_units(units), 60)
}

#[tokio::test]
async fn pays_in_v2_and_echoes_byte_for_byte() {
    let (_, mut v2) = terms_of(&[offer()]);
    v2["accepts"][0]["asset"] = v2["accepts"][0]["asset"].as_str().unwrap().to_lowercase().into();
    v2["accepts"][0]["more"] = json!({"z": [1, {"a": null}], "é": "\u{1f4b8}"});
    v2["extensions"] = json!({"bazaar": {"info": {"input": {"type": "http"}}}});
    let shop =
        shop(None, Some(v2.clone()), |_, _| served("PAYMENT-RESPONSE", &receipt("eip155:1"))).await;
    let answer = client(limits()).send(shop.post()).await.unwrap();
    let payment = answer.payment.unwrap();
    assert_eq!((payment.status, &answer.response.body()[..]), (Status::Settled, &b"goods"[..]));
    assert_eq!(payment.transaction.unwrap().to_string(), TRANSACTION);
    let json = payload(&shop.paid()[0], "payment-signature");
    let sent = PaymentPayload::parse(&json).unwrap();
    assert_eq!(sent.accepted.unwrap().raw.raw(), v2["accepts"][0].to_string());
    assert_eq!(sent.resource.unwrap().raw(), v2["resource"].to_string());
    assert_eq!(sent.extensions.unwrap().raw(), v2["extensions"].to_string());
    let terms = *offer().requirements();
    let payment = sent.payment(terms.asset).unwrap();
    let moment = Moment { now: x402_core::Timestamp::from_secs(now()), margin_seconds: 6 };
    assert_eq!(terms.check(&payment, &moment, &K256).map(|_| ()), Ok(()));
}

fn buyer() -> Builder {
    PayingClient::builder(signer(), limits())
}

fn payer() -> Address {
    signer().address()
}

fn now() -> u64 {
    std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs()
}

#[tokio::test]
async fn pays_in_v1() {
    let (v1, _) = terms_of(&[offer()]);
    let shop =
        shop(Some(v1), None, |_, _| served("X-PAYMENT-RESPONSE", &receipt("ethereum"))).await;
    let answer = client(limits()).send(shop.post()).await.unwrap();
    assert_eq!(answer.payment.unwrap().status, Status::Settled);
    let json = payload(&shop.paid()[0], "x-payment");
    let sent = PaymentPayload::parse(&json).unwrap();
    let payment = sent.payment(offer().requirements().asset).unwrap();
    assert_eq!(payment.transfer.value(), offer().requirements().amount);
}

#[tokio::test]
async fn speaks_the_dialect_that_is_asked_for() {
    for (dialect, field) in [
        (None, "payment-signature"),
        (Some(Dialect::V2), "payment-signature"),
        (Some(Dialect::V1), "x-payment"),
        (Some(Dialect::Headers), "x-payment-signature"),
    ] {
        let (v1, v2) = terms_of(&[offer()]);
        let shop = Shop::open(move |seen, _| {
            if seen.is_paid() {
                return Some(served("PAYMENT-RESPONSE", &receipt("eip155:1")));
            }
            let mut all = told(Some(&v1), Some(&v2));
            all.headers_mut().extend(challenge(&offer(), None).headers().clone());
            Some(all)
        })
        .await;
        let mut builder = buyer();
        if let Some(dialect) = dialect {
            builder = builder.dialect(dialect);
        }
        builder.build().unwrap().send(shop.post()).await.unwrap();
        let fields: Vec<_> = ["payment-signature", "x-payment", "x-payment-signature"]
            .into_iter()
            .filter(|name| shop.paid()[0].headers.contains_key(*name))
            .collect();
        assert_eq!(fields, [field]);
    }
    let shop = Shop::open(|_, _| Some(challenge(&offer(), None))).await;
    let v2_only = buyer().dialect(Dialect::V2).build().unwrap();
    assert!(matches!(v2_only.send(shop.post()).await, Err(ClientError::Dialect)));
}

#[tokio::test]
async fn takes_the_cheapest_offer_that_the_limits_admit() {
    let usdc = |units: u128| {
        let asset = *offer().asset();
        Offer::new(asset, Address::parse(PAY_TO).unwrap(), x402_core::Amount::from_units(units), 60)
    };
    let offers = [usdc(20_000), eurc(1), usdc(9_000).by_permit2(), usdc(10_000), usdc(10_000)];
    let pays = async |builder: Builder| {
        let (_, mut v2) = terms_of(&offers);
        // Ways that nobody here can go.
        let others = v2["accepts"].as_array_mut().unwrap();
        let mut flow = others[3].clone();
        (flow["amount"], flow["extra"]["paymentFlow"]) = (json!("1"), json!("escrow"));
        let mut domain = others[3].clone();
        (domain["amount"], domain["extra"]["name"]) = (json!("2"), json!("USDC"));
        let mut solana = others[3].clone();
        solana["network"] = json!("solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp");
        let mut number = others[3].clone();
        number["amount"] = json!(3);
        others.splice(0..0, [flow, domain, solana, number, json!("prose")]);
        let shop = shop(None, Some(v2), |_, _| served("PAYMENT-RESPONSE", &json!({}))).await;
        let answer = builder.build().unwrap().send(shop.post()).await;
        answer.map(|answer| {
            let payment = answer.payment.unwrap();
            (payment.asset.symbol.clone(), payment.amount.to_string())
        })
    };
    let paid = |symbol: &str, amount: &str| (symbol.to_owned(), amount.to_owned());
    assert_eq!(pays(buyer()).await.unwrap(), paid("USDC", "10000"));
    assert_eq!(pays(buyer().permit2(true)).await.unwrap(), paid("USDC", "9000"));
    assert_eq!(pays(buyer().asset("EURC")).await.unwrap(), paid("EURC", "1"));
    assert_eq!(pays(buyer().asset("EURC").asset("USDC")).await.unwrap(), paid("EURC", "1"));
    let elsewhere = pays(buyer().network(ChainId::BASE)).await.unwrap_err();
    assert!(matches!(elsewhere, ClientError::Limit { error: PolicyError::Network, .. }));
}

#[tokio::test]
async fn a_receipt_that_does_not_fit_proves_nothing() {
    let (_, v2) = terms_of(&[offer()]);
    let changes: [fn(&mut Value); 6] = [
        |it| it["payer"] = json!(PAY_TO),
        |it| it["network"] = json!("eip155:8453"),
        |it| it["transaction"] = json!(format!("0x{}", "00".repeat(32))),
        |it| it["transaction"] = json!("0x1234"),
        |it| it["success"] = json!("true"),
        |it| it["success"] = json!(false),
    ];
    for change in changes {
        let mut lie = receipt("eip155:1");
        change(&mut lie);
        let shop = shop(None, Some(v2.clone()), move |_, _| served("PAYMENT-RESPONSE", &lie)).await;
        let answer = client(limits()).send(shop.post()).await.unwrap();
        let payment = answer.payment.unwrap();
        assert_eq!((payment.status, payment.transaction), (Status::Unproven, None));
        shop.assert_one_payment(1);
    }
}

#[tokio::test]
async fn a_receipt_without_a_transaction_is_of_a_seller_who_settles_later() {
    let (_, v2) = terms_of(&[offer()]);
    let mut later = receipt("eip155:1");
    later["transaction"] = json!("");
    let shop = shop(None, Some(v2), move |_, _| served("PAYMENT-RESPONSE", &later)).await;
    let payment = client(limits()).send(shop.post()).await.unwrap().payment.unwrap();
    assert_eq!((payment.status, payment.transaction), (Status::Accepted, None));
    shop.assert_one_payment(1);
}

#[tokio::test]
async fn an_unknown_outcome_is_asked_for_with_the_same_bytes() {
    let (_, v2) = terms_of(&[offer()]);
    let shop = shop(None, Some(v2), |_, count| {
        if count == 3 {
            return served("PAYMENT-RESPONSE", &receipt("eip155:1"));
        }
        let mut pending = receipt("eip155:1");
        pending["success"] = json!(false);
        pending["errorReason"] = json!("settlement_pending");
        let mut answer = served("PAYMENT-RESPONSE", &pending);
        *answer.status_mut() = if count == 1 { 402 } else { 503 }.try_into().unwrap();
        answer.headers_mut().insert("Retry-After", "0".parse().unwrap());
        answer
    })
    .await;
    let answer = client(limits()).send(shop.post()).await.unwrap();
    assert_eq!(answer.payment.unwrap().status, Status::Settled);
    shop.assert_one_payment(3);
}

#[tokio::test]
async fn a_refusal_is_never_paid_a_second_time() {
    let (v1, v2) = terms_of(&[offer()]);
    for (v1, v2) in [(Some(v1), None), (None, Some(v2))] {
        let (again_v1, again_v2) = (v1.clone(), v2.clone());
        let shop = shop(v1, v2, move |_, _| told(again_v1.as_ref(), again_v2.as_ref())).await;
        let error = client(limits()).send(shop.post()).await.unwrap_err();
        assert!(matches!(error, ClientError::Refused(_)), "{error}");
        shop.assert_one_payment(1);
    }
}

#[tokio::test]
async fn terms_that_are_no_terms_are_not_paid() {
    let (v1, v2) = terms_of(&[offer()]);
    let twice = v2.to_string().replacen("\"accepts\"", "\"accepts\":[],\"accepts\"", 1);
    let of = |text: &str| {
        let value = Base64(text).to_string();
        Response::builder().status(402).header("PAYMENT-REQUIRED", value).body(Full::default())
    };
    let mut two = told(None, Some(&v2));
    two.headers_mut().append("PAYMENT-REQUIRED", "e30=".parse().unwrap());
    let mut spaced = told(None, Some(&v2));
    spaced.headers_mut().insert("PAYMENT-REQUIRED", "e3 0=".parse().unwrap());
    let body = |text: String| Response::builder().status(402).body(Full::from(text)).unwrap();
    for answer in [
        of(&twice).unwrap(),
        of("{\"x402Version\":2}").unwrap(),
        of("{\"x402Version\":3,\"accepts\":[]}").unwrap(),
        of(&v1.to_string()).unwrap(),
        of(&format!("{v2}x")).unwrap(),
        two,
        spaced,
        body(v2.to_string()),
        body(format!("[{v1}]")),
        body("{\"x402Version\":1,\"accepts\":{}}".to_owned()),
    ] {
        let shop = Shop::open(move |_, _| Some(answer.clone())).await;
        let error = client(limits()).send(shop.post()).await.unwrap_err();
        let is_read =
            matches!(error, ClientError::Wire(_) | ClientError::Terms(_) | ClientError::Foreign(_));
        assert!(is_read, "{error}");
        shop.assert_no_payment();
    }
}

#[tokio::test]
async fn a_huge_timeout_is_cut_to_the_limit() {
    let (_, mut v2) = terms_of(&[offer()]);
    v2["accepts"][0]["maxTimeoutSeconds"] = json!(1e300);
    let shop = shop(None, Some(v2), |_, _| served("PAYMENT-RESPONSE", &receipt("eip155:1"))).await;
    let answer = client(limits()).send(shop.post()).await.unwrap();
    let until = answer.payment.unwrap().valid_before.to_secs().unwrap();
    assert!((now()..=now() + 600).contains(&until));
}

#[tokio::test]
async fn a_payment_has_an_id_where_the_seller_wants_one() {
    let (_, mut v2) = terms_of(&[offer()]);
    v2["extensions"] = json!({"payment-identifier": {"info": {"required": true}}, "a": {"b": [1]}});
    let shop = shop(None, Some(v2), |_, _| served("PAYMENT-RESPONSE", &receipt("eip155:1"))).await;
    client(limits()).send(shop.post()).await.unwrap();
    let sent: Value =
        serde_json::from_slice(&payload(&shop.paid()[0], "payment-signature")).unwrap();
    let info = &sent["extensions"]["payment-identifier"]["info"];
    let id = info["id"].as_str().unwrap();
    assert!(id.starts_with("pay_") && id.len() == 36, "{id}");
    assert_eq!((&info["required"], &sent["extensions"]["a"]), (&json!(true), &json!({"b": [1]})));
}
