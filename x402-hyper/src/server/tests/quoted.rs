//! Prices that change, and quotes that are kept.

use std::sync::atomic::AtomicU64;

use serde_json::json;
use x402_core::{Address, ChainId, Offer};
use x402_std::quote::{Quote as Signed, RequestHash, RouteHash};

use super::dialects::{from_base64, to_base64, v2};
use super::*;
use crate::server::testing::{NOW, keys, keys_of};

struct Stall {
    shop: Shop,
    seen: Seen,
    price: Arc<AtomicU64>,
}

/// So much, and twice that where the request has a field that says so.
pub(super) struct Changing(pub(super) Arc<AtomicU64>);

pub(super) const QUALITY: &str = "x-quality";

impl Pricing for Changing {
    fn quote(&self, request: &Parts) -> Quote {
        let is_dear = request.headers.get(QUALITY).is_some_and(|quality| quality == "high");
        offer(self.0.load(SeqCst) * if is_dear { 2 } else { 1 }).into()
    }

    fn fields(&self) -> Option<&'static [&'static str]> {
        Some(&[QUALITY])
    }
}

impl Stall {
    fn new() -> Self {
        Self { shop: Shop::new(), seen: Seen::default(), price: Arc::new(10_000.into()) }
    }

    fn service(&self) -> PaymentService<impl Echo> {
        self.service_of(Changing(Arc::clone(&self.price)))
    }

    fn service_of(&self, prices: impl Pricing) -> PaymentService<impl Echo> {
        PaymentLayer::new(Arc::clone(&self.shop.seller), prices)
            .signing(keys())
            .layer(echo(&self.seen))
    }

    fn sells_for(&self, price: u64) {
        self.price.store(price, SeqCst);
    }
}

fn get(path: &str, quote: &str, fields: &[(&'static str, String)]) -> Request<Full<Bytes>> {
    let request = with(Request::get(path), fields);
    let request = if quote.is_empty() { request } else { request.header("X-Payment-Quote", quote) };
    request.body(full("")).unwrap()
}

#[tokio::test]
async fn a_price_that_was_quoted_is_kept() {
    let stall = Stall::new();
    let service = stall.service();
    let (head, _) = send(&service, get("/a", "", &[])).await;
    let quote = text(&head.headers, "x-payment-quote").to_owned();
    for price in [20_000, 5_000] {
        stall.sells_for(price);
        let nonce = u8::try_from(price / 1_000).unwrap();
        let payment = payment(&offer(10_000), nonce);
        let (head, body) = send(&service, get("/a", "", &payment)).await;
        assert_eq!((head.status, &*code(&body)), (StatusCode::PAYMENT_REQUIRED, "402.1"));
        for _ in 0..2 {
            let (head, _) = send(&service, get("/a", &quote, &payment)).await;
            assert_eq!(head.status, StatusCode::OK);
        }
        // What was taken then is answered now, without the quote too.
        let (head, _) = send(&service, get("/a", "", &payment)).await;
        assert_eq!(head.status, StatusCode::OK);
    }
    assert_eq!((stall.seen.runs(), stall.shop.chain.broadcasts()), (2, 2));
}

#[tokio::test]
async fn a_quote_is_good_for_its_request_until_it_ends() {
    let stall = Stall::new();
    let service = stall.service();
    let terms = *offer(10_000).requirements();
    let plain = |path| RequestHash::of_request("GET", path, b"");
    let request = |path| plain(path).with_field(QUALITY, [].into_iter()).paid_by(&terms.scheme);
    let quote = Signed {
        chain_id: terms.chain_id,
        asset: terms.asset,
        pay_to: terms.pay_to,
        route: RouteHash::default(),
        amount: terms.amount,
        request: request("/a"),
        expires_at: NOW + 1,
    };
    stall.sells_for(20_000);
    for (nonce, quote) in [
        Signed { expires_at: NOW, ..quote }.sign(&keys()),
        Signed { request: request("/b"), ..quote }.sign(&keys()),
        Signed { request: plain("/a"), ..quote }.sign(&keys()),
        Signed { request: plain("/a").paid_by(&terms.scheme), ..quote }.sign(&keys()),
        Signed { route: RouteHash::of("/b"), ..quote }.sign(&keys()),
        Signed { chain_id: ChainId::new(11_155_111), ..quote }.sign(&keys()),
        Signed { asset: Address::ZERO, ..quote }.sign(&keys()),
        Signed { pay_to: Address::ZERO, ..quote }.sign(&keys()),
        quote.sign(&keys_of("another")),
        "nonsense".to_owned(),
    ]
    .into_iter()
    .enumerate()
    {
        let payment = payment(&offer(10_000), u8::try_from(nonce).unwrap());
        let (head, body) = send(&service, get("/a", &quote, &payment)).await;
        assert_eq!((head.status, &*code(&body)), (StatusCode::PAYMENT_REQUIRED, "402.1"));
        assert_eq!(text(&head.headers, "x-payment-amount"), "0.02");
        assert!(head.headers.contains_key("x-payment-quote"));
    }
    assert_eq!(stall.seen.runs(), 0);
    let payment = payment(&offer(10_000), 100);
    let (head, _) = send(&service, get("/a", &quote.sign(&keys()), &payment)).await;
    assert_eq!(head.status, StatusCode::OK);
}

#[tokio::test]
async fn v2_echoes_its_quote() {
    let stall = Stall::new();
    let service = stall.service();
    let (head, _) = send(&service, get("/a", "", &[])).await;
    let told = from_base64(text(&head.headers, "payment-required"));
    let quote = told["accepts"][0]["extra"]["quote"].as_str().unwrap();
    assert_eq!(quote, text(&head.headers, "x-payment-quote"));
    let pay = |told: &serde_json::Value, offer: &Offer<'_>, nonce| {
        let payment = to_base64(&v2(told, 0, offer, nonce));
        let request = Request::get("/a").header("PAYMENT-SIGNATURE", payment);
        request.header("Idempotency-Key", secret(nonce)).body(full("")).unwrap()
    };
    stall.sells_for(20_000);
    let mut stripped = told.clone();
    stripped["accepts"][0]["extra"]["quote"] = json!(null);
    let (head, _) = send(&service, pay(&stripped, &offer(10_000), 1)).await;
    assert_eq!(head.status, StatusCode::PAYMENT_REQUIRED);
    let (head, _) = send(&service, pay(&told, &offer(10_000), 2)).await;
    assert_eq!(head.status, StatusCode::OK);
    stall.sells_for(30_000);
    let (head, _) = send(&service, pay(&stripped, &offer(10_000), 2)).await;
    assert_eq!(head.status, StatusCode::OK, "the same payment again");
    assert_eq!((stall.seen.runs(), stall.shop.chain.broadcasts()), (1, 1));
}

#[tokio::test]
async fn a_quote_for_cheap_fields_pays_for_no_dear_ones() {
    let stall = Stall::new();
    let service = stall.service();
    let with_quality = |quality: &'static str, quote: &str, fields: &[(&'static str, String)]| {
        let mut request = get("/a", quote, fields);
        request.headers_mut().insert(QUALITY, HeaderValue::from_static(quality));
        request
    };
    let (head, _) = send(&service, with_quality("low", "", &[])).await;
    let cheap = text(&head.headers, "x-payment-quote").to_owned();
    let payment = payment(&offer(10_000), 1);
    let (head, body) = send(&service, with_quality("high", &cheap, &payment)).await;
    assert_eq!((head.status, &*code(&body)), (StatusCode::PAYMENT_REQUIRED, "402.1"));
    assert_eq!(text(&head.headers, "x-payment-amount"), "0.02");
    stall.sells_for(30_000);
    let (head, _) = send(&service, with_quality("low", &cheap, &payment)).await;
    assert_eq!((head.status, stall.seen.runs()), (StatusCode::OK, 1));
}

#[tokio::test]
async fn where_it_is_not_known_what_a_price_depends_on_nothing_is_quoted() {
    let stall = Stall::new();
    let service = stall.service_of(|_: &Parts| Quote::from(offer(10_000)));
    let (head, _) = send(&service, get("/a", "", &[])).await;
    assert_eq!(text(&head.headers, "x-payment-amount"), PRICE);
    assert!(!head.headers.contains_key("x-payment-quote"));
}
