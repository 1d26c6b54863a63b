//! Success is said once for a payment, over HTTP: to one call of one seller.

use http::HeaderMap;
use x402_core::hex::Hex;
use x402_core::{Amount, Authorization, Nonce, Signer as _, Timestamp};
use x402_std::Chain as _;
use x402_std::facilitator::{Caller, Kind, LocalFacilitator, ServedChain};

use super::*;
use crate::server::testing::{Does, NOW, Shop, offer, payer, signer};

const SHOP: &str = "0123456789abcdef-shop";
const NEW: &str = "0123456789abcdef-new";
const KIOSK: &str = "0123456789abcdef-kiosk";
const USED: &str = "invalid_exact_evm_nonce_already_used";

/// A service for two sellers, of which one has two tokens.
fn sellers() -> Sellers {
    Sellers::parse(&format!("shop {SHOP}\nkiosk {KIOSK}\nshop {NEW}\n")).unwrap()
}

fn service_of(shop: &Shop, sellers: Sellers) -> FacilitatorService {
    let asset = offer(10_000);
    let chain = ServedChain {
        chain_id: shop.chain.chain_id(),
        account: shop.chain.account(),
        assets: vec![asset.asset().into()],
        kinds: vec![Kind::Eip3009],
    };
    let engine = LocalFacilitator::new(Arc::clone(&shop.seller), vec![chain]);
    FacilitatorService::with_sellers(Arc::new(engine), sellers)
}

/// What a seller asks with for a payment of this nonce.
fn body(nonce: u8) -> String {
    let offer = offer(10_000);
    let requirements = offer.requirements();
    let signed = Authorization {
        from: payer(),
        to: requirements.pay_to,
        value: Amount::from_units(10_000),
        valid_after: Timestamp::from_secs(0),
        valid_before: Timestamp::from_secs(NOW + 60),
        nonce: Nonce::new([nonce; 32]),
    };
    let Ok(signature) = signer().sign(&signed.digest(&requirements.domain));
    let asset = offer.asset();
    let terms = json!({
        "scheme": "exact", "network": "eip155:1", "amount": "10000",
        "asset": asset.address.to_string(), "payTo": requirements.pay_to.to_string(),
        "maxTimeoutSeconds": 60, "extra": {"name": asset.name, "version": asset.version},
    });
    let authorization = json!({
        "from": payer().to_string(), "to": requirements.pay_to.to_string(), "value": "10000",
        "validAfter": "0", "validBefore": (NOW + 60).to_string(),
        "nonce": Hex(&[nonce; 32]).to_string(),
    });
    let payload =
        json!({"signature": Hex(&signature.to_rsv()).to_string(), "authorization": authorization});
    let payment = json!({
        "x402Version": 2, "accepted": terms, "payload": payload,
        "resource": {"url": "https://api.example.com/", "description": "", "mimeType": ""},
    });
    json!({"x402Version": 2, "paymentPayload": payment, "paymentRequirements": terms}).to_string()
}

async fn settle(
    service: &FacilitatorService,
    token: Option<&str>,
    keys: &[&str],
    nonce: u8,
) -> (u16, Value) {
    let mut request = Request::post("/settle").header("Content-Type", "application/json");
    if let Some(token) = token {
        request = request.header("Authorization", format!("Bearer {token}"));
    }
    for key in keys {
        request = request.header("Idempotency-Key", *key);
    }
    let answer = service.answer(request.body(Full::new(Bytes::from(body(nonce)))).unwrap()).await;
    let status = answer.status().as_u16();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&body).unwrap())
}

fn succeeds(answer: &(u16, Value), transaction: &Value) -> bool {
    let body = &answer.1;
    answer.0 == 200 && body["success"] == json!(true) && body["transaction"] == *transaction
}

fn is_used(answer: &(u16, Value), transaction: &Value) -> bool {
    let body = &answer.1;
    let is_refused = (&body["success"], &body["errorReason"]) == (&json!(false), &json!(USED));
    answer.0 == 200 && is_refused && body["transaction"] == *transaction
}

#[tokio::test]
async fn of_ten_that_ask_at_once_one_is_told_success() {
    let shop = Shop::new();
    shop.chain.takes(Duration::from_millis(20));
    let service = service_of(&shop, Sellers::default());
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..10 {
        let service = service.clone();
        asking.spawn(async move { settle(&service, None, &[], 1).await });
    }
    let answers = asking.join_all().await;
    let (good, rest): (Vec<_>, Vec<_>) =
        answers.into_iter().partition(|(_, body)| body["success"] == true);
    assert_eq!((good.len(), shop.chain.broadcasts()), (1, 1));
    assert!(rest.iter().all(|answer| is_used(answer, &good[0].1["transaction"])), "{rest:?}");
    // And whoever comes later.
    assert!(is_used(&settle(&service, None, &[], 1).await, &good[0].1["transaction"]));
}

#[tokio::test]
async fn a_call_is_repeated_with_its_key_by_its_seller() {
    let shop = Shop::new();
    let service = service_of(&shop, sellers());
    let first = settle(&service, Some(SHOP), &["\"order-7\""], 1).await;
    assert_eq!(first.1["success"], true, "{first:?}");
    for token in [SHOP, NEW] {
        assert_eq!(settle(&service, Some(token), &["order-7"], 1).await, first);
    }
    let hash = &first.1["transaction"];
    for keys in [&[][..], &["order-8"]] {
        assert!(is_used(&settle(&service, Some(SHOP), keys, 1).await, hash), "{keys:?}");
    }
    let other = settle(&service, Some(KIOSK), &["order-7"], 1).await;
    assert!(is_used(&other, &json!("")), "{other:?}");
    assert_eq!(settle(&service, None, &["order-7"], 1).await.0, 401);
    assert_eq!(shop.chain.broadcasts(), 1);
}

#[tokio::test]
async fn without_tokens_a_key_counts_that_nobody_guesses() {
    let shop = Shop::new();
    let service = service_of(&shop, Sellers::default());
    for (nonce, key, is_told_again) in
        [(1, "123456789012345", false), (2, "1234567890123456", true)]
    {
        let first = settle(&service, None, &[key], nonce).await;
        assert_eq!(first.1["success"], true);
        let again = settle(&service, None, &[key], nonce).await;
        assert_eq!(again == first, is_told_again, "{again:?}");
    }
}

#[tokio::test]
async fn a_key_that_is_none_is_a_bad_request() {
    let shop = Shop::new();
    let service = service_of(&shop, sellers());
    let long = "k".repeat(256);
    for keys in [&[""][..], &["a", "a"], &["a b"], &["\"a"], &[&long]] {
        assert_eq!(settle(&service, Some(SHOP), keys, 1).await.0, 400, "{keys:?}");
    }
    assert_eq!(shop.chain.broadcasts(), 0);
}

#[tokio::test]
async fn what_was_pending_succeeds_once_for_its_seller() {
    let shop = Shop::new();
    let service = service_of(&shop, sellers());
    shop.chain.does(Does::IsSilent);
    let pending = settle(&service, Some(SHOP), &[], 1).await;
    assert_eq!(pending.1["errorReason"], "settlement_pending", "{pending:?}");
    shop.chain.does(Does::Settles);
    assert!(is_used(&settle(&service, Some(KIOSK), &[], 1).await, &json!("")));
    let again = settle(&service, Some(NEW), &[], 1).await;
    assert!(succeeds(&again, &pending.1["transaction"]), "{again:?}");
    assert!(is_used(&settle(&service, Some(SHOP), &[], 1).await, &pending.1["transaction"]));
}

#[tokio::test]
async fn success_that_cannot_be_kept_is_not_said() {
    let shop = Shop::with_full_ledger();
    let service = service_of(&shop, sellers());
    let first = settle(&service, Some(SHOP), &[], 1).await;
    let reason = &first.1["errorReason"];
    assert_eq!((&first.1["success"], reason), (&json!(false), &json!("settlement_pending")));
    let again = settle(&service, Some(SHOP), &[], 1).await;
    assert!(succeeds(&again, &first.1["transaction"]), "{again:?}");
    assert!(is_used(&settle(&service, Some(SHOP), &[], 1).await, &first.1["transaction"]));
}

#[tokio::test]
async fn a_seller_sees_its_own_settlements() {
    let shop = Shop::new();
    let service = service_of(&shop, sellers());
    let told = settle(&service, Some(SHOP), &[], 1).await.1;
    let hash = told["transaction"].as_str().unwrap();
    let (asset, nonce) = (offer(1).asset().address, Hex(&[1; 32]).to_string());
    let by_payment = format!("/settlements/eip155:1/{asset}/{}/{nonce}", payer());
    let by_hash = format!("/settlements/{hash}");
    let bearer = |token: &str| format!("Bearer {token}");
    for path in [&by_hash, &by_payment] {
        let (status, known) = ask(&service, "GET", path, Some(&bearer(NEW)), "").await;
        assert_eq!(status, 200, "{path}: {known}");
        let known = &known["settlements"];
        assert_eq!(known.as_array().unwrap().len(), 1);
        assert_eq!(
            (&known[0]["state"], &known[0]["successSaid"]),
            (&json!("served"), &json!(true))
        );
        assert_eq!(
            (&known[0]["transaction"], &known[0]["amount"]),
            (&json!(hash), &json!("10000"))
        );
        assert_eq!(ask(&service, "GET", path, Some(&bearer(KIOSK)), "").await.0, 404);
        assert_eq!(ask(&service, "GET", path, None, "").await.0, 401);
        assert_eq!(ask(&service, "POST", path, Some(&bearer(SHOP)), "").await.0, 405);
    }
    let another = format!("/settlements/{HASH}");
    assert_eq!(ask(&service, "GET", &another, Some(&bearer(SHOP)), "").await.0, 404);
    for path in ["/settlements/", "/settlements/1", "/settlements/eip155:1/a/b/c"] {
        assert_eq!(ask(&service, "GET", path, Some(&bearer(SHOP)), "").await.0, 400, "{path}");
    }
    assert_eq!(ask(&service, "GET", "/settlements", Some(&bearer(SHOP)), "").await.0, 404);
}

/// The keys that a client sends for these calls.
async fn keys_of(token: Option<&str>, calls: &[Option<&[u8]>]) -> Vec<Option<String>> {
    let server = Server::start(|_| says(200, &settled().to_string())).await;
    let facilitator = HttpFacilitator::new(&server.url, token).unwrap();
    for call in calls {
        let caller = Caller::named("in this process");
        let caller = call.map_or(caller, |key| caller.with_key(key));
        facilitator.settle(&asked().by(caller)).await.unwrap();
    }
    let key =
        |headers: &HeaderMap| Some(headers.get("idempotency-key")?.to_str().unwrap().to_owned());
    server.seen.lock().unwrap().iter().map(|(_, headers, _)| key(headers)).collect()
}

#[tokio::test]
async fn our_client_repeats_a_call_with_a_key_that_only_it_can_make() {
    let calls: [Option<&[u8]>; 4] = [Some(b"one"), Some(b"one"), Some(b"two"), None];
    let ours = keys_of(Some(TOKEN), &calls).await;
    let key = ours[0].clone().unwrap();
    assert!(key.len() == 68 && key.starts_with("\"0x") && key.ends_with('"'), "{key}");
    assert_eq!(ours[0], ours[1]);
    assert_ne!(ours[0], ours[2]);
    // Who serves for each success must not be told it twice.
    assert_eq!(ours[3], None);
    // After a restart it is the same, and another seller's is another.
    assert_eq!(keys_of(Some(TOKEN), &calls).await, ours);
    assert_ne!(keys_of(Some(SHOP), &calls).await[0], ours[0]);
    // Without a secret to make it of, it is of this process alone.
    let once = keys_of(None, &calls).await;
    assert!(once[0] == once[1] && once[0] != ours[0]);
    assert_ne!(keys_of(None, &calls).await[0], once[0]);
}

#[tokio::test]
async fn our_client_is_told_again_and_another_sellers_is_not() {
    let shop = Shop::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(service_of(&shop, sellers()).serve(listener, core::future::pending()));
    let caller = Caller::named("in this process").with_key(b"one");
    let request = Asked::parse(body(1).into_bytes()).unwrap().by(caller);
    let settle = async |token| {
        let facilitator = HttpFacilitator::new(&url, Some(token)).unwrap();
        facilitator.settle(&request).await.unwrap()
    };
    let first = settle(SHOP).await;
    assert_eq!(first.reason, None);
    assert_eq!(settle(SHOP).await, first);
    assert_eq!(settle(KIOSK).await.reason.as_deref(), Some(USED));
    assert_eq!(shop.chain.broadcasts(), 1);
}
