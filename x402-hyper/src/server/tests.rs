use core::convert::Infallible;
use core::future::ready;
use core::time::Duration;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::{BodyExt as _, Full};
use tokio::sync::mpsc;
use tower::{Service, ServiceExt as _, service_fn};
use tower_layer::Layer as _;
use x402_core::Refusal;
use x402_std::ledger::Settle;
use x402_std::seller::Replay;

use super::testing::{Does, PRICE, Shop, offer, payer, payment, secret, with};
use super::*;

type Answered = (http::response::Parts, Bytes);

/// What the service behind was asked.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<(Parts, Bytes)>>>);

impl Seen {
    fn runs(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    fn last(&self) -> (Parts, Bytes) {
        self.0.lock().unwrap().last().unwrap().clone()
    }
}

/// A service that answers "secret" and the request's body.
fn echo(seen: &Seen) -> impl Echo {
    let seen = seen.clone();
    service_fn(move |request: Request<RequestBody<Full<Bytes>>>| {
        let seen = seen.clone();
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            seen.0.lock().unwrap().push((head, body.clone()));
            let secret = [b"secret:", &*body].concat();
            Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(secret))))
        }
    })
}

/// A service that answers with this status, and counts.
fn answers(status: u16, seen: &Seen) -> impl Echo {
    let seen = seen.clone();
    service_fn(move |request: Request<RequestBody<Full<Bytes>>>| {
        seen.0.lock().unwrap().push((request.into_parts().0, Bytes::new()));
        let answer = Response::builder().status(status).body(full("sorry")).unwrap();
        ready(Ok::<_, Infallible>(answer))
    })
}

trait Echo: Svc<Full<Bytes>, Full<Bytes>> {}
impl<S: Svc<Full<Bytes>, Full<Bytes>>> Echo for S {}

/// A service behind the layer, in few words.
trait Svc<B, A>:
    Service<Request<RequestBody<B>>, Response = Response<A>, Error = Infallible, Future: Send>
    + Clone
    + Send
    + 'static
{
}
impl<B, A, S> Svc<B, A> for S where
    S: Service<Request<RequestBody<B>>, Response = Response<A>, Error = Infallible, Future: Send>
        + Clone
        + Send
        + 'static
{
}

async fn send<S, B, A>(service: &PaymentService<S>, request: Request<B>) -> Answered
where
    S: Svc<B, A>,
    S::Future: 'static,
    B: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
    A: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    let (head, body) = service.clone().oneshot(request).await.unwrap().into_parts();
    (head, body.collect().await.unwrap().to_bytes())
}

fn layer(shop: &Shop) -> PaymentLayer {
    PaymentLayer::new(Arc::clone(&shop.seller), shop.offer)
}

/// A body that comes in pieces.
struct Channel(mpsc::Receiver<Result<Bytes, std::io::Error>>);

impl Body for Channel {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: core::pin::Pin<&mut Self>,
        cx: &mut core::task::Context<'_>,
    ) -> core::task::Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        self.0.poll_recv(cx).map(|piece| piece.map(|piece| piece.map(Frame::data)))
    }
}

fn broken() -> std::io::Error {
    std::io::ErrorKind::UnexpectedEof.into()
}

fn full(text: &'static str) -> Full<Bytes> {
    Full::new(Bytes::from_static(text.as_bytes()))
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> &'h str {
    headers.get(name).map_or("", |value| value.to_str().unwrap())
}

fn code(body: &[u8]) -> String {
    let body = core::str::from_utf8(body).unwrap();
    let (_, rest) = body.split_once("\"code\":\"").unwrap();
    rest.split('"').next().unwrap().to_owned()
}

mod body;
mod claimed;
mod cors;
mod dialects;
mod left;
mod metered;
mod names;
mod official;
mod quoted;
mod ready;
mod settling;
mod weighed;

#[tokio::test]
async fn an_unpaid_request_is_told_the_price() {
    let (shop, seen) = (Shop::new(), Seen::default());
    let service = layer(&shop).layer(echo(&seen));
    let request = Request::post("/api/analyze").body(full("")).unwrap();
    let (head, body) = send(&service, request).await;
    assert_eq!(head.status, StatusCode::PAYMENT_REQUIRED);
    let mut names: Vec<_> = head.headers.keys().map(|name| name.as_str().to_owned()).collect();
    names.sort();
    assert_eq!(
        names,
        [
            "access-control-allow-origin",
            "access-control-expose-headers",
            "cache-control",
            "content-type",
            "payment-required",
            "vary",
            "x-content-type-options",
            "x-payment-amount",
            "x-payment-asset",
            "x-payment-network",
            "x-payment-recipient",
            "x-payment-required",
            "x-payment-timeout",
        ]
    );
    for (name, value) in [
        ("x-payment-required", "true"),
        ("x-payment-amount", PRICE),
        ("x-payment-asset", "USDC"),
        ("x-payment-network", "ethereum"),
        ("x-payment-recipient", "0x209693Bc6afc0C5328bA36FaF03C514EF312287C"),
        ("x-payment-timeout", "60"),
        ("cache-control", "no-store"),
        ("content-type", "application/json"),
        ("x-content-type-options", "nosniff"),
    ] {
        assert_eq!(text(&head.headers, name), value, "{name}");
    }
    assert_eq!(code(&body), "402");
    assert_eq!((seen.runs(), shop.chain.asked()), (0, 0));
}

#[tokio::test]
async fn a_paid_request_is_served_and_told_so() {
    let (shop, seen) = (Shop::new(), Seen::default());
    let service = layer(&shop).layer(echo(&seen));
    let request = shop.paid("POST", "/api/analyze?lang=en", 1);
    let (head, body) = send(&service, request.body(full("body")).unwrap()).await;
    assert_eq!((head.status, &*body), (StatusCode::OK, &b"secret:body"[..]));
    for (name, value) in [
        ("x-payment-status", "settled"),
        ("x-payment-transaction", &format!("0x{}", "01".repeat(32))),
        ("x-payment-payer", "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"),
        ("cache-control", "private"),
    ] {
        assert_eq!(text(&head.headers, name), value, "{name}");
    }
    assert!(text(&head.headers, "access-control-expose-headers").contains("X-Payment-Transaction"));
    let (seen, _) = seen.last();
    assert!(seen.headers.keys().eq(["idempotency-key"]), "{:?}", seen.headers);
    let paid = seen.extensions.get::<Paid>().unwrap();
    assert_eq!((paid.payer, paid.payment.unwrap().from), (payer(), payer()));
    assert_eq!(paid.transaction.unwrap().0, [1; 32]);
}

#[tokio::test]
async fn a_repetition_is_given_the_same_answer() {
    let (shop, seen) = (Shop::new(), Seen::default());
    let service = layer(&shop).layer(echo(&seen));
    let request = || shop.paid("POST", "/a", 1).body(full("body")).unwrap();
    let (first, body) = send(&service, request()).await;
    let (again, same) = send(&service, request()).await;
    assert_eq!((again.status, again.headers, same), (first.status, first.headers, body));
    assert_eq!((seen.runs(), shop.chain.broadcasts()), (1, 1));

    let other_body = shop.paid("POST", "/a", 1).body(full("Body")).unwrap();
    let other_path = shop.paid("POST", "/b", 1).body(full("body")).unwrap();
    let other_query = shop.paid("POST", "/a?", 1).body(full("body")).unwrap();
    let other_method = shop.paid("PUT", "/a", 1).body(full("body")).unwrap();
    for request in [other_body, other_path, other_query, other_method] {
        let (head, body) = send(&service, request).await;
        assert_eq!((head.status, &*code(&body)), (StatusCode::CONFLICT, "409"));
        assert!(!head.headers.contains_key("x-payment-required"));
    }
    assert_eq!((seen.runs(), shop.chain.broadcasts()), (1, 1));
}

#[tokio::test]
async fn a_repetition_is_not_read_beyond_the_limit() {
    let (shop, seen) = (Shop::new(), Seen::default());
    let layer = layer(&shop).hash_bodies_up_to(3, Duration::from_secs(1));
    let service = layer.layer(echo(&seen));
    let request = || shop.paid("POST", "/a", 1).body(full("body")).unwrap();
    assert_eq!(send(&service, request()).await.0.status, StatusCode::OK);
    assert_eq!(send(&service, request()).await.0.status, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn of_fifty_at_once_one_is_served() {
    let (shop, seen) = (Shop::new(), Seen::default());
    shop.chain.takes(Duration::from_millis(30));
    let service = layer(&shop).layer(echo(&seen));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let (service, request) = (service.clone(), shop.paid("GET", "/", 1));
        tasks.spawn(async move { send(&service, request.body(full("")).unwrap()).await });
    }
    let (mut served, mut busy) = (0, 0);
    while let Some(answer) = tasks.join_next().await {
        let (head, body) = answer.unwrap();
        match head.status {
            StatusCode::OK => served += 1,
            StatusCode::CONFLICT => {
                assert_eq!(code(&body), "409");
                assert_eq!(text(&head.headers, "retry-after"), "1");
                busy += 1;
            }
            other => panic!("{other}"),
        }
    }
    assert_eq!((served, busy, seen.runs(), shop.chain.broadcasts()), (1, 49, 1, 1));
}

#[tokio::test]
async fn a_client_who_leaves_changes_nothing() {
    let (shop, seen) = (Shop::new(), Seen::default());
    let counted = seen.clone();
    let slow = service_fn(move |request: Request<RequestBody<Full<Bytes>>>| {
        let seen = counted.clone();
        async move {
            tokio::time::sleep(Duration::from_millis(50)).await;
            let (pieces, body) = mpsc::channel(1);
            seen.0.lock().unwrap().push((request.into_parts().0, Bytes::new()));
            tokio::spawn(async move {
                // More than the channel to the client holds: it must not be waited for.
                for _ in 0..100 {
                    pieces.send(Ok(Bytes::from_static(b"0123456789"))).await.unwrap();
                }
            });
            Ok::<_, Infallible>(Response::new(Channel(body)))
        }
    });
    let layer = layer(&shop);
    let service = layer.layer(slow);
    // Gone while the work is done, and gone with the answer half read.
    for (nonce, leaves_after) in [(1, 30), (2, 80)] {
        let request = || shop.paid("POST", "/", nonce).body(full("body")).unwrap();
        let answer = async {
            let answer = service.clone().oneshot(request()).await.unwrap();
            let mut body = answer.into_body();
            drop(body.frame().await);
            core::future::pending::<()>().await;
        };
        let left = tokio::time::timeout(Duration::from_millis(leaves_after), answer).await;
        left.unwrap_err();
        layer.idle().await;
        let (head, body) = send(&service, request()).await;
        assert_eq!((head.status, body.len()), (StatusCode::OK, 1000));
        assert_eq!(seen.runs(), usize::from(nonce));
    }
    assert_eq!(shop.chain.broadcasts(), 2);
}

#[tokio::test]
async fn work_without_its_client_is_bounded() {
    let shop = Shop::new();
    let stuck = service_fn(|_: Request<RequestBody<Full<Bytes>>>| {
        core::future::pending::<Result<Response<Full<Bytes>>, Infallible>>()
    });
    let layer = layer(&shop).finish_within(Duration::from_millis(20));
    let service = layer.layer(stuck);
    let request = || shop.paid("POST", "/", 1).body(full("")).unwrap();
    let answer = service.clone().oneshot(request());
    tokio::time::timeout(Duration::from_millis(20), answer).await.unwrap_err();
    layer.idle().await;
    // Not done, so owed: it is taken up again, not refused.
    let answer = service.clone().oneshot(request());
    tokio::time::timeout(Duration::from_millis(20), answer).await.unwrap_err();
    assert_eq!(shop.chain.broadcasts(), 1);
}

#[tokio::test]
async fn a_failure_of_the_service_is_not_the_payers() {
    let shop = Shop::new();
    let runs = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&runs);
    let moody = service_fn(move |_: Request<RequestBody<Full<Bytes>>>| {
        let status = match counter.fetch_add(1, SeqCst) {
            0 => StatusCode::INTERNAL_SERVER_ERROR,
            1 => StatusCode::BAD_GATEWAY,
            _ => StatusCode::NOT_FOUND,
        };
        ready(Ok::<_, Infallible>(Response::builder().status(status).body(full("x")).unwrap()))
    });
    let service = layer(&shop).layer(moody);
    let request = || shop.paid("POST", "/", 1).body(full("")).unwrap();
    for status in [500, 502, 404, 404, 404] {
        let (head, _) = send(&service, request()).await;
        assert_eq!(head.status, status);
        assert_eq!(text(&head.headers, "x-payment-status"), "settled");
    }
    assert_eq!((runs.load(SeqCst), shop.chain.broadcasts()), (3, 1));
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_owed_still() {
    let shop = Shop::new();
    let runs = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&runs);
    let service = layer(&shop).layer(service_fn(move |_: Request<RequestBody<Full<Bytes>>>| {
        let (pieces, body) = mpsc::channel(2);
        let fails = counter.fetch_add(1, SeqCst) == 0;
        tokio::spawn(async move {
            pieces.send(Ok("half".into())).await.unwrap();
            let other = if fails { Err(broken()) } else { Ok("half".into()) };
            pieces.send(other).await.unwrap();
        });
        ready(Ok::<_, Infallible>(Response::new(Channel(body))))
    }));
    let request = || shop.paid("POST", "/", 1).body(full("")).unwrap();
    let answer = service.clone().oneshot(request()).await.unwrap();
    answer.into_body().collect().await.unwrap_err();
    let (_, body) = send(&service, request()).await;
    assert_eq!(&*body, b"halfhalf");
    assert_eq!((runs.load(SeqCst), shop.chain.broadcasts()), (2, 1));
}

#[tokio::test]
async fn what_is_not_known_yet_is_not_charged_again() {
    let (shop, seen) = (Shop::new(), Seen::default());
    shop.chain.does(Does::IsSilent);
    let service = layer(&shop).layer(echo(&seen));
    let request = || shop.paid("POST", "/", 1).body(full("")).unwrap();
    for _ in 0..2 {
        let (head, body) = send(&service, request()).await;
        assert_eq!((head.status, &*code(&body)), (StatusCode::SERVICE_UNAVAILABLE, "503"));
        for (name, value) in [
            ("retry-after", "5"),
            ("x-payment-status", "pending"),
            ("x-payment-transaction", &*format!("0x{}", "01".repeat(32))),
            ("x-payment-payer", "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"),
            ("x-payment-required", ""),
        ] {
            assert_eq!(text(&head.headers, name), value, "{name}");
        }
    }
    shop.chain.does(Does::Settles);
    assert_eq!(send(&service, request()).await.0.status, StatusCode::OK);
    assert_eq!((seen.runs(), shop.chain.broadcasts()), (1, 1));
}

#[tokio::test]
async fn who_has_made_gas_lost_is_told_how_long_to_wait() {
    let (shop, seen) = (Shop::new(), Seen::default());
    shop.chain.does(Does::Reverts);
    let service = layer(&shop).layer(echo(&seen));
    // Each for a request of its own.
    let request = |nonce: u8| {
        shop.paid("POST", if nonce == 1 { "/" } else { "/another" }, nonce).body(full("")).unwrap()
    };
    // It can be used until it ends, so nobody is told to pay anew.
    assert_eq!(send(&service, request(1)).await.0.status, StatusCode::SERVICE_UNAVAILABLE);
    shop.chain.does(Does::Settles);
    let (head, body) = send(&service, request(2)).await;
    assert_eq!((head.status, &*code(&body)), (StatusCode::TOO_MANY_REQUESTS, "429"));
    // No new terms: the same payment is good later.
    for (name, value) in
        [("retry-after", "10"), ("x-payment-required", ""), ("x-payment-status", "")]
    {
        assert_eq!(text(&head.headers, name), value, "{name}");
    }
    assert_eq!((seen.runs(), shop.chain.broadcasts()), (0, 1));
}

#[tokio::test]
async fn a_chain_that_is_down_serves_nobody() {
    let (shop, seen) = (Shop::new(), Seen::default());
    shop.chain.does(Does::IsDown);
    let service = layer(&shop).layer(echo(&seen));
    let request = || shop.paid("POST", "/", 1).body(full("")).unwrap();
    let (head, body) = send(&service, request()).await;
    assert_eq!((head.status, &*code(&body)), (StatusCode::SERVICE_UNAVAILABLE, "503"));
    assert!(!format!("{head:?}{body:?}").contains("CANARY"));
    assert_eq!((seen.runs(), text(&head.headers, "x-payment-status")), (0, ""));
    shop.chain.does(Does::Settles);
    assert_eq!(send(&service, request()).await.0.status, StatusCode::OK);
}

#[tokio::test]
async fn a_refused_payment_is_told_why_and_the_price() {
    let (shop, seen) = (Shop::new(), Seen::default());
    let service = layer(&shop).layer(echo(&seen));
    let mut flipped = shop.payment(1);
    let last = flipped[0].1.len() - 10;
    let other = if flipped[0].1[last..].starts_with('0') { "1" } else { "0" };
    flipped[0].1.replace_range(last..=last, other);
    let replace = |field, value: &str| {
        let mut fields = shop.payment(1);
        fields.retain(|(name, _)| *name != field);
        fields.push((field, value.to_owned()));
        fields
    };
    for (fields, expected) in [
        (payment(&offer(9_999), 1), "402.1"),
        (flipped, "402.2"),
        (replace("X-Payment-Asset", "EURC"), "402.3"),
        (replace("X-Payment-Network", "base"), "402.4"),
    ] {
        let request = with(Request::post("/"), &fields).body(full("")).unwrap();
        let (head, body) = send(&service, request).await;
        assert_eq!((head.status, &*code(&body)), (StatusCode::PAYMENT_REQUIRED, expected));
        assert_eq!(text(&head.headers, "x-payment-error"), expected);
        assert_eq!(text(&head.headers, "x-payment-amount"), PRICE);
    }
    assert_eq!((seen.runs(), shop.chain.asked()), (0, 0));
    shop.chain.does(Does::SaysPoor);
    let request = shop.paid("POST", "/", 1).body(full("")).unwrap();
    assert_eq!(code(&send(&service, request).await.1), "402.1");
}

#[tokio::test]
async fn what_cannot_be_read_is_not_a_payment() {
    let (shop, seen) = (Shop::new(), Seen::default());
    let service = layer(&shop).layer(echo(&seen));
    let twice = shop.paid("POST", "/", 1).header("x-payment-nonce", "1");
    let bytes = HeaderValue::from_bytes(b"\xff\xfe").unwrap();
    let bytes = Request::post("/").header("X-Payment-Signature", bytes);
    let alone = Request::post("/").header("X-Payment-Nonce", "1");
    let large = shop.paid("POST", "/", 1).header("X-PAYMENT", "A".repeat(17 << 10));
    let many = (0..40).fold(Request::post("/"), |request, _| {
        request.header("payment-signature", "A".repeat(500))
    });
    let others = Request::post("/").header("X-PAYMENT", "e30=").header("PAYMENT-SIGNATURE", "e30=");
    let both = shop.paid("POST", "/", 1).header("X-PAYMENT", "e30=");
    let two = Request::post("/").header("X-PAYMENT", "e30=").header("X-PAYMENT", "e30=");
    for (request, expected) in [
        (twice, 400),
        (bytes, 400),
        (alone, 400),
        (large, 431),
        (many, 431),
        (others, 400),
        (both, 400),
        (two, 400),
    ] {
        let (head, body) = send(&service, request.body(full("")).unwrap()).await;
        assert_eq!((head.status.as_u16(), &*code(&body)), (expected, &*expected.to_string()));
        assert!(!head.headers.contains_key("x-payment-required"));
        assert!(!head.headers.contains_key("x-payment-error"));
    }
    assert_eq!((seen.runs(), shop.chain.asked()), (0, 0));
}

fn by_path(shop: &Shop) -> impl Pricing + use<> {
    let offer = shop.offer;
    move |head: &Parts| match (head.uri.path(), &head.method) {
        ("/free", _) => Quote::Free,
        ("/paid", &Method::POST) => offer.into(),
        ("/paid", _) => Quote::MethodNotAllowed(HeaderValue::from_static("POST")),
        _ => Quote::Absent,
    }
}

#[tokio::test]
async fn the_pricing_decides() {
    let (shop, seen) = (Shop::new(), Seen::default());
    let layer = PaymentLayer::new(Arc::clone(&shop.seller), by_path(&shop));
    let service = layer.layer(echo(&seen));
    for (method, path, expected) in [
        ("GET", "/free", 200),
        ("POST", "/paid", 402),
        ("GET", "/paid", 405),
        ("OPTIONS", "/paid", 405),
        ("GET", "/other", 404),
    ] {
        let request = Request::builder().method(method).uri(path).body(full("")).unwrap();
        let (head, body) = send(&service, request).await;
        assert_eq!(head.status, expected);
        if expected != 200 {
            assert_eq!(code(&body), expected.to_string());
            assert_eq!(text(&head.headers, "cache-control"), "no-store");
        }
        assert_eq!(text(&head.headers, "allow"), if expected == 405 { "POST" } else { "" });
    }
    assert_eq!(seen.runs(), 1);
}

#[tokio::test]
async fn a_free_request_passes_through_without_its_payment() {
    let (shop, seen) = (Shop::new(), Seen::default());
    let layer = PaymentLayer::new(Arc::clone(&shop.seller), by_path(&shop));
    let service = layer.layer(echo(&seen));
    let request = shop.paid("POST", "/free", 1).header("x-payment", "a").header("a", "b");
    let (head, body) = send(&service, request.body(full("body")).unwrap()).await;
    assert_eq!((head.headers.len(), &*body), (0, &b"secret:body"[..]));
    let (seen, _) = seen.last();
    assert_eq!((seen.headers.len(), text(&seen.headers, "a")), (2, "b"));
    assert_eq!(text(&seen.headers, "idempotency-key"), secret(1));
    assert!(seen.extensions.get::<Paid>().is_none());
    assert_eq!(shop.chain.asked(), 0);
}

#[tokio::test]
async fn a_head_is_that_of_the_price_and_costs_nothing() {
    let (shop, seen) = (Shop::new(), Seen::default());
    let service = layer(&shop).layer(echo(&seen));
    let unpaid = Request::head("/").body(full("")).unwrap();
    let (head, body) = send(&service, unpaid).await;
    assert_eq!((head.status, body.len()), (StatusCode::PAYMENT_REQUIRED, 0));
    assert_eq!(text(&head.headers, "x-payment-amount"), PRICE);
    let length = text(&head.headers, "content-length").to_owned();
    let (_, body) = send(&service, Request::get("/").body(full("")).unwrap()).await;
    assert_eq!(body.len().to_string(), length);
    let paid = |method| shop.paid(method, "/", 1).body(full("")).unwrap();
    let (head, body) = send(&service, paid("HEAD")).await;
    assert_eq!((head.status, body.len()), (StatusCode::PAYMENT_REQUIRED, 0));
    assert_eq!(text(&head.headers, "x-payment-status"), "not-charged");
    assert_eq!((seen.runs(), shop.chain.asked()), (0, 0));
    assert_eq!(send(&service, paid("GET")).await.0.status, StatusCode::OK);
    assert_eq!(seen.runs(), 1);
}

#[tokio::test]
async fn a_browser_may_ask_in_advance() {
    let (shop, seen) = (Shop::new(), Seen::default());
    let layer = PaymentLayer::new(Arc::clone(&shop.seller), by_path(&shop));
    let service = layer.layer(echo(&seen));
    let ask = |path, method| {
        let request = Request::options(path).header("Origin", "https://a.example");
        request.header("Access-Control-Request-Method", method).body(full("")).unwrap()
    };
    let (head, body) = send(&service, ask("/paid", "POST")).await;
    assert_eq!((head.status, body.len()), (StatusCode::NO_CONTENT, 0));
    assert_eq!(text(&head.headers, "access-control-allow-methods"), "POST");
    assert_eq!(text(&head.headers, "access-control-allow-origin"), "*");
    let allowed = text(&head.headers, "access-control-allow-headers");
    assert!(allowed.contains("X-Payment-Signature") && allowed.contains("PAYMENT-SIGNATURE"));
    assert!(!head.headers.contains_key("access-control-allow-credentials"));
    assert_eq!((seen.runs(), shop.chain.asked()), (0, 0));
    // The service behind knows best who may ask what of it where it costs nothing.
    assert_eq!(send(&service, ask("/free", "POST")).await.0.status, StatusCode::OK);
    assert_eq!(send(&service, ask("/paid", "GET")).await.0.status, 405);
    assert_eq!(send(&service, ask("/paid", "G T")).await.0.status, 405);
    assert_eq!(seen.runs(), 1);
}

#[tokio::test]
async fn an_answer_is_passed_on_as_it_comes() {
    let shop = Shop::new();
    let (pieces, body) = mpsc::channel(1);
    let body = Arc::new(Mutex::new(Some(Channel(body))));
    let service = layer(&shop).layer(service_fn(move |_: Request<RequestBody<Full<Bytes>>>| {
        let body = body.lock().unwrap().take().unwrap();
        ready(Ok::<_, Infallible>(Response::new(body)))
    }));
    let request = || shop.paid("POST", "/", 1).body(full("")).unwrap();
    let mut body = service.clone().oneshot(request()).await.unwrap().into_body();
    for text in ["first", "second"] {
        pieces.send(Ok(text.into())).await.unwrap();
        let frame = body.frame().await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), text);
    }
    drop(pieces);
    assert!(body.frame().await.is_none());
    assert_eq!(&*send(&service, request()).await.1, b"firstsecond");
}

#[tokio::test]
async fn who_has_seen_the_end_can_have_it_again() {
    for method in ["POST", "GET"] {
        let (shop, seen) = (Shop::with_slow_ledger(), Seen::default());
        let counted = seen.clone();
        let answers = service_fn(move |request: Request<RequestBody<Full<Bytes>>>| {
            let text = if request.method() == Method::GET { "" } else { "secret" };
            counted.0.lock().unwrap().push((request.into_parts().0, Bytes::new()));
            ready(Ok::<_, Infallible>(Response::new(full(text))))
        });
        let service = layer(&shop).layer(answers);
        let request = || shop.paid(method, "/", 1).body(full("")).unwrap();
        let mut body = service.clone().oneshot(request()).await.unwrap().into_body();
        if method == "POST" {
            assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "secret");
        }
        assert_eq!(send(&service, request()).await.0.status, StatusCode::OK, "{method}");
        assert_eq!(seen.runs(), 1);
    }
}

#[tokio::test]
async fn the_service_waits_for_a_slow_client() {
    let shop = Shop::new();
    let sent = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&sent);
    let service = layer(&shop).layer(service_fn(move |_: Request<RequestBody<Full<Bytes>>>| {
        let (pieces, body) = mpsc::channel(1);
        let sent = Arc::clone(&counter);
        tokio::spawn(async move {
            while sent.fetch_add(1, SeqCst) < 1_000 {
                pieces.send(Ok("x".into())).await.unwrap();
            }
        });
        ready(Ok::<_, Infallible>(Response::new(Channel(body))))
    }));
    let request = shop.paid("POST", "/", 1).body(full("")).unwrap();
    let answer = service.clone().oneshot(request).await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(sent.load(SeqCst) < 20);
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes().len(), 1_000);
}

#[tokio::test]
async fn a_large_answer_is_given_once() {
    let (shop, seen) = (Shop::new(), Seen::default());
    let service = layer(&shop).keep_answers_up_to(10).layer(echo(&seen));
    let request = || shop.paid("POST", "/", 1).body(full("body")).unwrap();
    assert_eq!(send(&service, request()).await.0.status, StatusCode::OK);
    let (head, body) = send(&service, request()).await;
    assert_eq!(head.status, StatusCode::CONFLICT);
    let served = Refusal::Served.to_string();
    assert!(core::str::from_utf8(&body).unwrap().contains(&served));
}

#[tokio::test]
async fn what_the_service_leaves_unread_is_compared_too() {
    let shop = Shop::new();
    let service = layer(&shop).layer(service_fn(|_: Request<RequestBody<Full<Bytes>>>| {
        ready(Ok::<_, Infallible>(Response::new(full("read nothing"))))
    }));
    let request = |body| shop.paid("POST", "/", 1).body(full(body)).unwrap();
    assert_eq!(send(&service, request("body")).await.0.status, StatusCode::OK);
    assert_eq!(send(&service, request("Body")).await.0.status, StatusCode::CONFLICT);
    assert_eq!(send(&service, request("body")).await.0.status, StatusCode::OK);
}

#[tokio::test]
async fn half_a_request_uses_no_payment_up() {
    let (shop, seen) = (Shop::new(), Seen::default());
    let counted = seen.clone();
    let service = layer(&shop).layer(service_fn(move |request: Request<RequestBody<Channel>>| {
        let seen = counted.clone();
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await;
            seen.0.lock().unwrap().push((head, Bytes::new()));
            let (status, body) = match body {
                Ok(body) => (StatusCode::OK, body.to_bytes()),
                Err(_) => (StatusCode::BAD_REQUEST, "half of it is missing".into()),
            };
            let answer = Response::builder().status(status).body(Full::new(body));
            Ok::<_, Infallible>(answer.unwrap())
        }
    }));
    let request = |pieces: Vec<Result<Bytes, std::io::Error>>| {
        let (sender, body) = mpsc::channel(4);
        pieces.into_iter().for_each(|piece| sender.try_send(piece).unwrap());
        shop.paid("POST", "/", 1).body(Channel(body)).unwrap()
    };
    let (head, body) = send(&service, request(vec![Ok("half".into()), Err(broken())])).await;
    assert_eq!((head.status, &body[..]), (StatusCode::BAD_REQUEST, &b"half of it is missing"[..]));
    let whole = || request(vec![Ok("half".into()), Ok("half".into())]);
    for _ in 0..2 {
        let (head, body) = send(&service, whole()).await;
        assert_eq!((head.status, &*body), (StatusCode::OK, &b"halfhalf"[..]));
    }
    assert_eq!((seen.runs(), shop.chain.broadcasts()), (2, 1));
    // Half a repetition is none.
    let (head, _) = send(&service, request(vec![Ok("half".into()), Err(broken())])).await;
    assert_eq!(head.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn what_the_service_says_of_payments_is_not_believed() {
    let shop = Shop::new();
    let service = layer(&shop).layer(service_fn(|_: Request<RequestBody<Full<Bytes>>>| {
        let answer = Response::builder()
            .header("X-Payment-Status", "forged")
            .header("X-Payment-Payer", "forged")
            .header("PAYMENT-RESPONSE", "forged")
            .header("Cache-Control", "public, s-maxage=60")
            .header("Surrogate-Control", "max-age=60")
            .header("CDN-Cache-Control", "max-age=60")
            .header("X-Accel-Expires", "60")
            .header("Vary", "Accept")
            .header("ETag", "\"a\"");
        ready(Ok::<_, Infallible>(answer.body(full("x")).unwrap()))
    }));
    for _ in 0..2 {
        let request = shop.paid("POST", "/", 1).body(full("")).unwrap();
        let (head, _) = send(&service, request).await;
        assert!(!format!("{:?}", head.headers).contains("forged"), "{:?}", head.headers);
        assert_eq!(text(&head.headers, "cache-control"), "private");
        assert_eq!(text(&head.headers, "etag"), "\"a\"");
        assert_eq!(head.headers.get_all("vary").iter().count(), 2);
        for name in ["surrogate-control", "cdn-cache-control", "x-accel-expires"] {
            assert!(!head.headers.contains_key(name));
        }
    }
}

#[tokio::test]
async fn the_services_error_is_passed_on() {
    let shop = Shop::new();
    let service = layer(&shop).layer(service_fn(|_: Request<RequestBody<Full<Bytes>>>| {
        ready(Err::<Response<Full<Bytes>>, _>(broken()))
    }));
    let request = shop.paid("POST", "/", 1).body(full("")).unwrap();
    let error: std::io::Error = service.oneshot(request).await.unwrap_err();
    assert_eq!(error.kind(), broken().kind());
}

#[tokio::test]
async fn a_panic_of_the_service_is_an_answer() {
    let shop = Shop::new();
    let service = layer(&shop).layer(service_fn(|request: Request<RequestBody<Full<Bytes>>>| {
        assert!(request.uri().path() != "/", "a panic that the test provokes");
        ready(Ok::<_, Infallible>(Response::new(full(""))))
    }));
    let request = shop.paid("POST", "/", 1).body(full("")).unwrap();
    let (head, body) = send(&service, request).await;
    assert_eq!((head.status, &*code(&body)), (StatusCode::INTERNAL_SERVER_ERROR, "500"));
}

#[tokio::test]
async fn hypers_services_are_sold_too() {
    use hyper::service::{Service as _, service_fn};
    let shop = Shop::new();
    let inner = service_fn(|request: Request<RequestBody<Full<Bytes>>>| {
        let is_paid = request.extensions().get::<Paid>().is_some();
        ready(Ok::<_, Infallible>(Response::new(full(if is_paid { "paid" } else { "free" }))))
    });
    let layer = PaymentLayer::new(Arc::clone(&shop.seller), by_path(&shop));
    let service = layer.layer(inner);
    for (request, expected) in [
        (Request::get("/free").body(full("")).unwrap(), "free"),
        (shop.paid("POST", "/paid", 1).body(full("")).unwrap(), "paid"),
    ] {
        let answer = service.call(request).await.unwrap();
        assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), expected);
    }
}
