use core::time::Duration;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use x402_core::tariff::Model;
use x402_core::{Address, Amount, Asset, ChainId, Price};
use x402_std::config::{
    DefaultRoute, IdentifierRule, Keepalive, OwnedAsset, OwnedTariff, PathPattern, Pricing,
    RequestLimits, Route, Sold, Upto,
};
use x402_std::ledger::Settle;
use x402_std::seller::Replay;

use super::*;
use crate::server::testing::{PRICE, Shop, payer};
use crate::server::{Pricing as _, Quote};

mod answers;
mod limits;
mod requests;
mod seats;
mod spelling;
mod time;
mod upstream;

const PAYER: &str = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";

/// What reached the upstream.
type Hits = Arc<Mutex<Vec<(Parts, Bytes)>>>;

struct Stand {
    address: String,
    hits: Hits,
    shop: Shop,
    stop: oneshot::Sender<()>,
    gateway: JoinHandle<()>,
}

fn route(path: PathPattern, methods: &[&str], is_paid: bool) -> Route {
    let model = Model::PerRequest { price: Price::parse(PRICE).unwrap() };
    let tariff = OwnedTariff::new(model, 6).unwrap();
    let sold =
        Sold { tariff, fixed: Some(Amount::from_units(10_000)), tokens: None, upto: Upto::No };
    Route {
        path,
        methods: methods.iter().map(|&method| method.to_owned()).collect(),
        settle: Settle::First,
        replay: Replay::Payer,
        pricing: if is_paid { Pricing::Paid(Box::new(sold)) } else { Pricing::Free },
        max_timeout_seconds: 60,
        limits: RequestLimits::default(),
        offers: Vec::new(),
        description: None,
        mime_type: None,
        discoverable: false,
        payment_identifier: None,
        is_idempotent: false,
    }
}

#[test]
fn what_a_route_declares_is_json() {
    let mut paid = route(exact("/a"), &["GET"], true);
    paid.payment_identifier = Some(IdentifierRule::Required);
    let usdc = OwnedAsset::from(Asset::find(ChainId::ETHEREUM, "USDC").unwrap());
    let declared = |route: &Route| {
        let router =
            Router::new(&usdc, Address::ZERO, core::slice::from_ref(route), DefaultRoute::NotFound);
        let (head, ()) = Request::get("/a").body(()).unwrap().into_parts();
        let Quote::Paid(sale) = router.quote(&head) else { panic!("it has a price") };
        sale.extensions.clone()
    };
    let alone: serde_json::Value = serde_json::from_str(&declared(&paid)).unwrap();
    let identifier = &alone["payment-identifier"];
    assert_eq!(identifier["info"], serde_json::json!({"required": true}));
    assert_eq!(identifier["schema"]["properties"]["id"]["maxLength"], 128);
    assert!(alone.get("bazaar").is_none());
    paid.discoverable = true;
    let both: serde_json::Value = serde_json::from_str(&declared(&paid)).unwrap();
    assert_eq!(both["payment-identifier"], *identifier);
    assert_eq!(both["bazaar"]["info"]["input"]["method"], "GET");
}

fn exact(path: &str) -> PathPattern {
    PathPattern::Exact(path.to_owned())
}

fn prefix(path: &str) -> PathPattern {
    PathPattern::Prefix(path.to_owned())
}

fn router(default: DefaultRoute) -> Router {
    let usdc = OwnedAsset::from(Asset::find(ChainId::ETHEREUM, "USDC").unwrap());
    let pay_to = Shop::new().offer.requirements().pay_to;
    let routes = [
        route(exact("/api/analyze"), &["POST", "GET"], true),
        route(exact("/Mixed/Case/"), &["GET"], true),
        route(exact("/a!b"), &[], true),
        route(exact("/both"), &["POST"], true),
        route(exact("/both"), &["GET"], false),
        route(prefix("/v1/"), &[], true),
        route(exact("/health"), &[], false),
        route(prefix("/static/"), &[], false),
        Route { settle: Settle::After, ..route(prefix("/after/"), &[], true) },
        Route { settle: Settle::Later, ..route(prefix("/later/"), &[], true) },
        Route { is_idempotent: true, ..route(exact("/keys"), &[], false) },
    ];
    Router::new(&usdc, pay_to, &routes, default)
}

/// An upstream that answers SECRET, with what was asked.
async fn upstream(hits: Hits) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let service = service_fn(move |request: Request<Incoming>| {
        let hits = Arc::clone(&hits);
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await?.to_bytes();
            let is_slow = head.uri.path().ends_with("slow");
            let text = format!("SECRET {} {}", head.uri, body.len());
            hits.lock().unwrap().push((head, body));
            if is_slow {
                sleep(Duration::from_millis(200)).await;
            }
            let answer = Response::builder()
                .header("Settlement-Overrides", "{\"amount\":\"1\"}")
                .header("X-Payment-Status", "forged")
                .header("PAYMENT-RESPONSE", "forged")
                .header("Cache-Control", "public, max-age=60");
            Ok::<_, hyper::Error>(answer.body(Full::new(Bytes::from(text))).unwrap())
        }
    });
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let connection =
                http1::Builder::new().serve_connection(TokioIo::new(stream), service.clone());
            tokio::spawn(connection);
        }
    });
    address
}

/// An upstream that says the same to everybody, and hangs up.
async fn canned(answer: &'static [u8], wait: Duration) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                drop(stream.read(&mut [0; 4096]).await);
                sleep(wait).await;
                drop(stream.write_all(answer).await);
            });
        }
    });
    address
}

fn upstream_at(authority: String) -> Upstream {
    Upstream { authority, base_path: String::new(), keepalive: Keepalive::default() }
}

fn impatient() -> GatewayOptions {
    GatewayOptions {
        answer_timeout: Duration::from_millis(500),
        connect_timeout: Duration::from_millis(500),
        head_timeout: Duration::from_millis(300),
        request_patience: Duration::from_millis(300),
        write_timeout: Duration::from_millis(300),
        upstream_idle: Duration::from_millis(300),
        shutdown_timeout: Duration::from_secs(2),
        ..GatewayOptions::default()
    }
}

impl Stand {
    async fn new(default: DefaultRoute) -> Self {
        let hits = Hits::default();
        let authority = upstream(Arc::clone(&hits)).await;
        Self::before(authority, default, GatewayOptions::default(), hits).await
    }

    async fn before(
        authority: String,
        default: DefaultRoute,
        options: GatewayOptions,
        hits: Hits,
    ) -> Self {
        Self::selling(router(default), authority, options, hits).await
    }

    async fn selling(
        router: Router,
        authority: String,
        options: GatewayOptions,
        hits: Hits,
    ) -> Self {
        let shop = Shop::new();
        let upstream = upstream_at(authority);
        let seller = Arc::clone(&shop.seller);
        let gateway = Gateway::with(router, &upstream, seller, options).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (stop, stopped) = oneshot::channel();
        let gateway = tokio::spawn(gateway.serve(listener, async { drop(stopped.await) }));
        Self { address, hits, shop, stop, gateway }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(&self.address).await.unwrap()
    }

    /// Sends bytes, and reads until the gateway hangs up.
    async fn raw(&self, request: impl AsRef<[u8]>) -> String {
        let mut stream = self.connect().await;
        // It may have hung up before it has read everything.
        drop(stream.write_all(request.as_ref()).await);
        read(&mut stream).await
    }

    /// The fields of a payment, as lines.
    fn payment(&self, nonce: u8) -> String {
        let fields = self.shop.payment(nonce);
        fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect()
    }

    fn hits(&self) -> usize {
        self.hits.lock().unwrap().len()
    }

    fn last(&self) -> (Parts, Bytes) {
        self.hits.lock().unwrap().last().unwrap().clone()
    }
}

async fn read(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let all = timeout(Duration::from_secs(10), stream.read_to_end(&mut answer)).await;
    // A reset after the answer is as good as an end.
    drop(all.expect("the gateway does not hang up"));
    String::from_utf8_lossy(&answer).into_owned()
}

fn request(method: &str, target: &str, fields: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "{method} {target} HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\
         Content-Length: {length}\r\n{fields}\r\n{body}"
    )
}

fn status(answer: &str) -> u16 {
    answer.get(9..12).and_then(|status| status.parse().ok()).unwrap_or_default()
}

#[tokio::test]
async fn sells_what_is_behind_it() {
    let stand = Stand::new(DefaultRoute::NotFound).await;
    let answer = stand.raw(request("POST", "/api/analyze", "", "{}")).await;
    assert_eq!(status(&answer), 402, "{answer}");
    for line in ["X-Payment-Required: true", "X-Payment-Amount: 0.01", "Cache-Control: no-store"] {
        assert!(answer.contains(line), "{answer}");
    }
    assert_eq!(stand.hits(), 0);
    let paid = request("POST", "/api/analyze?a=b", &stand.payment(1), "{}");
    let first = stand.raw(&paid).await;
    assert_eq!(status(&first), 200, "{first}");
    assert!(first.ends_with("SECRET /api/analyze?a=b 2"), "{first}");
    for line in ["X-Payment-Status: settled", "Cache-Control: private, max-age=60", PAYER] {
        assert!(first.contains(line), "{first}");
    }
    let lower = first.to_lowercase();
    for absent in ["forged", "settlement-overrides", "\npayment-response:"] {
        assert!(!lower.contains(absent), "{first}");
    }
    let again = stand.raw(&paid).await;
    assert!(again.ends_with("SECRET /api/analyze?a=b 2"), "{again}");
    let other = request("POST", "/api/analyze?a=b", &stand.payment(1), "[]");
    assert_eq!(status(&stand.raw(other).await), 409);
    let (head, body) = stand.last();
    assert_eq!((stand.hits(), &*body), (1, &b"{}"[..]));
    assert_eq!(head.headers["host"], stand_upstream(&head));
    assert_eq!(head.headers["x-payer"], payer().to_string());
    assert_eq!(head.headers["x-forwarded-for"], "127.0.0.1");
    assert_eq!(head.headers["x-forwarded-host"], "shop.example");
    let mut names = head.headers.keys().map(|name| name.as_str());
    assert!(!names.any(|name| name.contains("payment") && name != "x-payment-id"));
}

fn stand_upstream(head: &Parts) -> &str {
    let host = head.headers["host"].to_str().unwrap();
    assert!(host.starts_with("127.0.0.1:"));
    host
}

#[tokio::test]
async fn the_first_route_decides() {
    for default in [DefaultRoute::NotFound, DefaultRoute::Free] {
        let stand = Stand::new(default).await;
        let free = if default == DefaultRoute::Free { 200 } else { 404 };
        for (method, target, expected) in [
            ("GET", "/api/analyze", 402),
            ("HEAD", "/api/analyze", 402),
            ("POST", "/api/analyze?x=../free", 402),
            ("POST", "http://evil.example/api/analyze", 402),
            ("PUT", "/api/analyze", 405),
            ("OPTIONS", "/api/analyze", 405),
            ("get", "/api/analyze", 405),
            ("GET", "/both", 200),
            ("POST", "/both", 402),
            ("DELETE", "/both", 405),
            ("GET", "/v1/models", 402),
            ("PATCH", "/v1/a/b%20c", 402),
            ("OPTIONS", "/v1/models", 402),
            ("FOO", "/v1/", 402),
            ("GET", "/health", 200),
            ("DELETE", "/health", 200),
            ("GET", "/static/a.css", 200),
            ("GET", "/static/%E4%BD%A0", 404),
            ("GET", "/elsewhere", free),
            ("GET", "/Mixed/Case/", 402),
            ("TRACE", "/health", 405),
            ("CONNECT", "evil.example:80", 405),
            ("OPTIONS", "*", 400),
            ("GET", "evil.example:80", 400),
        ] {
            let answer = stand.raw(request(method, target, "", "")).await;
            assert_eq!(status(&answer), expected, "{method} {target} {default:?} {answer}");
            let allow = answer.lines().any(|line| line.starts_with("Allow: "));
            assert_eq!(allow, expected == 405, "{method} {target} {answer}");
        }
        let answer = stand.raw(request("PUT", "/both", "", "")).await;
        assert!(answer.contains("Allow: GET, HEAD, POST\r\n"), "{answer}");
    }
}

/// Every one of them is a paid path to some server.
const SPELLINGS: [&str; 66] = [
    "//api/analyze",
    "/api//analyze",
    "/api/analyze/",
    "/api/analyze//",
    "/./api/analyze",
    "/api/./analyze",
    "/api/x/../analyze",
    "/x/../api/analyze",
    "/../api/analyze",
    "/api/analyze/.",
    "/api/analyze/..",
    "/api/analyze/../analyze",
    "/api/%2e/analyze",
    "/api/%2E/analyze",
    "/api/x/%2e%2e/analyze",
    "/api/x/%2E%2E/analyze",
    "/api/x/.%2e/analyze",
    "/%2e%2e/api/analyze",
    "/api%2fanalyze",
    "/api%2Fanalyze",
    "/%2fapi/analyze",
    "/api%5canalyze",
    "/api%5Canalyze",
    "/api\\analyze",
    "\\api\\analyze",
    "/api/analyze\\",
    "/api%252fanalyze",
    "/api/%2561nalyze",
    "/api/%61nalyze",
    "/%61pi/analyze",
    "/api/analyz%65",
    "/api/%41nalyze",
    "/api/analyze%00",
    "/api/analyze%00.css",
    "/api/analyze%0a",
    "/api/analyze%0D%0A",
    "/api/analyze%20",
    "/api/analyze%09",
    "/api/analyze.",
    "/api/analyze..",
    "/api/analyze%2e",
    "/api/analyze;",
    "/api/analyze;a=b",
    "/api;a=b/analyze",
    "/api/analyze%3B",
    "/api/analyze%3Fx",
    "/api/analyze%23",
    "/API/analyze",
    "/api/Analyze",
    "/api/ANALYZE",
    "/Api/Analyze/",
    "/mixed/case",
    "/mixed/case/",
    "/Mixed/Case",
    "/a%21b",
    "/A!B",
    "/api/anal\u{ff59}ze",
    "/api/anal%EF%BD%99ze",
    "/\u{212a}/v1/x",
    "/api/analyze%C0%80",
    "/api%C0%AFanalyze",
    "/v1",
    "/V1/models",
    "/v1%2Fmodels",
    "/static/../api/analyze",
    "/static/..%2Fapi%2Fanalyze",
];

#[tokio::test]
async fn no_spelling_of_a_paid_path_is_free() {
    let methods = ["GET", "POST", "HEAD", "PUT", "OPTIONS", "get", "TRACE", "FOO"];
    for default in [DefaultRoute::NotFound, DefaultRoute::Free] {
        let stand = Stand::new(default).await;
        for spelling in SPELLINGS {
            for method in methods {
                for target in [spelling.to_owned(), format!("{spelling}?a=/health")] {
                    let answer = stand.raw(request(method, &target, "", "")).await;
                    assert!(!answer.contains("SECRET"), "{method} {target}: {answer}");
                    assert!(
                        matches!(status(&answer), 400 | 402 | 404 | 405),
                        "{method} {target}: {answer}"
                    );
                    assert_eq!(stand.hits(), 0, "{method} {target}");
                }
            }
        }
        // What is behind a number sign is no part of a request.
        let answer = stand.raw(request("POST", "/api/analyze#/health", "", "")).await;
        assert!(matches!(status(&answer), 400 | 402), "{answer}");
    }
}

#[tokio::test]
async fn a_payment_buys_no_odd_spelling() {
    let stand = Stand::new(DefaultRoute::Free).await;
    for (nonce, target) in (1..).zip(["/v1/../health", "/v1//a", "/api/analyze/", "/v1/%2e%2e/a"]) {
        let answer = stand.raw(request("POST", target, &stand.payment(nonce), "")).await;
        assert_eq!(status(&answer), 404, "{target} {answer}");
    }
    assert_eq!((stand.hits(), stand.shop.chain.asked()), (0, 0));
}

#[tokio::test]
async fn what_the_upstream_sees_is_the_gateways() {
    let stand = Stand::new(DefaultRoute::NotFound).await;
    let fields = format!(
        "{}Connection: X-Payment-Signature, X-Payer, X-Named\r\nX-Named: a\r\nX-Payer: 0xevil\r\n\
         X_Payer: 0xevil\r\nX-Original-URL: /health\r\nX-HTTP-Method-Override: DELETE\r\n\
         X-Forwarded-For: 6.6.6.6\r\nUpgrade: h2c\r\nHTTP2-Settings: AAA\r\nRange: bytes=0-0\r\n\
         If-None-Match: *\r\nExpect: 100-continue\r\n",
        stand.payment(1)
    );
    let answer = stand.raw(request("POST", "/api/analyze", &fields, "{}")).await;
    assert!(answer.contains(" 200 "), "{answer}");
    let (head, _) = stand.last();
    let mut names: Vec<_> = head.headers.keys().map(|name| name.as_str()).collect();
    names.sort_unstable();
    let expected = [
        "connection",
        "content-length",
        "host",
        "idempotency-key",
        "if-none-match",
        "range",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-proto",
        "x-payer",
        "x-payment-id",
    ];
    assert_eq!(names, expected);
    assert_eq!(head.headers["x-payer"], PAYER);
    // Nobody is a payer who has not paid.
    let fields = "X-Payer: 0xevil\r\nX-Payment-Id: 0xevil\r\n";
    stand.raw(request("GET", "/health", fields, "")).await;
    let (head, _) = stand.last();
    let names = ["x-payer", "x-payment-id", "idempotency-key"];
    assert!(names.iter().all(|name| !head.headers.contains_key(*name)));
}

#[tokio::test]
async fn a_request_is_one_request_to_both() {
    let stand = Stand::new(DefaultRoute::NotFound).await;
    let inner = "GET /api/analyze HTTP/1.1\r\nHost: a\r\n\r\n";
    let chunked = format!("{:x}\r\n{inner}\r\n0\r\n\r\n", inner.len());
    for fields in [
        "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding : chunked\r\n",
        "Transfer-Encoding: identity\r\nContent-Length: 0\r\n",
        "Content-Length: +5\r\n",
        "Content-Length: 5, 6\r\n",
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: -1\r\n",
        "Content-Length: 0x5\r\n",
        "Content-Length: 18446744073709551616\r\n",
    ] {
        let request = format!(
            "POST /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{fields}\r\n{chunked}"
        );
        let answer = stand.raw(request).await;
        assert!(matches!(status(&answer), 0 | 200 | 400), "{fields}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1").count(), usize::from(!answer.is_empty()), "{answer}");
    }
    let hits = stand.hits.lock().unwrap();
    assert!(hits.iter().all(|(head, _)| head.uri.path() == "/health"));
}

#[tokio::test]
async fn each_request_of_a_connection_pays_for_itself() {
    let stand = Stand::new(DefaultRoute::NotFound).await;
    let host = "Host: a\r\nContent-Length: 0\r\n";
    let paid = format!("POST /api/analyze HTTP/1.1\r\n{host}{}\r\n", stand.payment(1));
    let unpaid = format!("POST /api/analyze HTTP/1.1\r\n{host}Connection: close\r\n\r\n");
    let answer = stand.raw(format!("{paid}{unpaid}")).await;
    let statuses: Vec<_> =
        answer.split("HTTP/1.1 ").skip(1).map(|answer| answer[..3].to_owned()).collect();
    assert_eq!(statuses, ["200", "402"]);
    assert_eq!(stand.hits(), 1);
}

#[tokio::test]
async fn no_tunnel_is_dug() {
    let stand = Stand::new(DefaultRoute::NotFound).await;
    let upgrade = "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n";
    let answer = stand.raw(request("GET", "/api/analyze", upgrade, "")).await;
    assert_eq!(status(&answer), 402, "{answer}");
    let fields = format!("{upgrade}{}", stand.payment(1));
    let answer = stand.raw(request("GET", "/api/analyze", &fields, "")).await;
    assert_eq!((status(&answer), stand.shop.chain.asked()), (501, 0), "{answer}");
    let answer = stand.raw(request("GET", "/health", upgrade, "")).await;
    assert_eq!(status(&answer), 200, "{answer}");
    assert!(!stand.last().0.headers.contains_key("upgrade"));
    let answer =
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: a\r\nConnection: upgrade\r\n\r\nSECRET";
    let authority = canned(answer, Duration::ZERO).await;
    let stand = Stand::before(authority, DefaultRoute::Free, impatient(), Hits::default()).await;
    let answer = stand.raw(request("GET", "/health", upgrade, "")).await;
    assert!(status(&answer) == 502 && !answer.contains("SECRET"), "{answer}");
}

#[tokio::test]
async fn a_price_is_told_before_a_body_is_asked_for() {
    let stand = Stand::new(DefaultRoute::NotFound).await;
    let mut stream = stand.connect().await;
    let head = "POST /api/analyze HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\
                Expect: 100-continue\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let answer = read(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 402 "), "{answer}");
}

#[tokio::test]
async fn an_upstream_that_fails_is_owed_still() {
    let half = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf";
    let late = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    let price = b"HTTP/1.1 402 Payment Required\r\nPAYMENT-REQUIRED: SECRET\r\nContent-Length: 6\r\n\r\nSECRET";
    let early = b"HTTP/1.1 103 Early Hints\r\nLink: SECRET\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n";
    for (authority, expected) in [
        (canned(b"", Duration::ZERO).await, 502),
        (canned(b"SSH-2.0-x\r\n\r\n", Duration::ZERO).await, 502),
        (canned(late, Duration::from_secs(2)).await, 504),
        (canned(half, Duration::ZERO).await, 200),
        (canned(price, Duration::ZERO).await, 502),
        (canned(early, Duration::ZERO).await, 204),
    ] {
        let stand =
            Stand::before(authority, DefaultRoute::Free, impatient(), Hits::default()).await;
        for _ in 0..2 {
            let paid = request("POST", "/v1/x", &stand.payment(1), "{}");
            let answer = stand.raw(&paid).await;
            assert_eq!(status(&answer), expected, "{answer}");
            assert!(answer.contains("X-Payment-Status: settled"), "{answer}");
            assert!(!answer.contains("SECRET") && !answer.contains("127.0.0.1"), "{answer}");
        }
        assert_eq!(stand.shop.chain.broadcasts(), 1);
    }
}

#[tokio::test]
async fn slow_peers_are_hung_up_on() {
    let hits = Hits::default();
    let authority = upstream(Arc::clone(&hits)).await;
    let stand = Stand::before(authority, DefaultRoute::Free, impatient(), hits).await;
    for sent in ["", "GET /hea", "GET /health HTTP/1.1\r\nHost: a\r\nX-A: b"] {
        let begin = Instant::now();
        stand.raw(sent).await;
        assert!(begin.elapsed() < Duration::from_secs(2), "{sent}");
    }
    // A letter at a time, in the head and in the body.
    for (head, drip) in [
        ("GET /health HTTP/1.1\r\nHost: a\r\nX-A: ", "b"),
        ("POST /health HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n", "b"),
    ] {
        let (begin, mut stream) = (Instant::now(), stand.connect().await);
        let mut sent = stream.write_all(head.as_bytes()).await;
        while sent.is_ok() && begin.elapsed() < Duration::from_secs(3) {
            sleep(Duration::from_millis(50)).await;
            sent = stream.write_all(drip.as_bytes()).await;
        }
        assert!(begin.elapsed() < Duration::from_secs(2), "{head}");
    }
    // Idle between two requests.
    let (begin, request) = (Instant::now(), "GET /health HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(stand.raw(request).await.contains("SECRET"));
    assert!(begin.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn a_slow_body_uses_no_payment_up() {
    let hits = Hits::default();
    let authority = upstream(Arc::clone(&hits)).await;
    let stand = Stand::before(authority, DefaultRoute::Free, impatient(), hits).await;
    let whole = request("POST", "/v1/x", &stand.payment(1), "whole");
    let answer = stand.raw(&whole[..whole.len() - 2]).await;
    assert_eq!(status(&answer), 408, "{answer}");
    let answer = stand.raw(&whole).await;
    assert!(answer.ends_with("SECRET /v1/x 5"), "{answer}");
    assert_eq!(stand.shop.chain.broadcasts(), 1);
}

#[tokio::test]
async fn heads_are_bounded() {
    let stand = Stand::new(DefaultRoute::NotFound).await;
    let large = format!("X-A: {}\r\n", "a".repeat(70_000));
    assert_eq!(status(&stand.raw(request("GET", "/health", &large, "")).await), 431);
    let many = "X-A: a\r\n".repeat(101);
    assert_eq!(status(&stand.raw(request("GET", "/health", &many, "")).await), 431);
    let payment = format!("PAYMENT-SIGNATURE: {}\r\n", "A".repeat(17_000));
    assert_eq!(status(&stand.raw(request("GET", "/v1/x", &payment, "")).await), 431);
    for fields in ["Host: b\r\n", "X-A : b\r\n", "X-A: a\r\n folded\r\n", "X\0A: b\r\n"] {
        assert_eq!(
            status(&stand.raw(request("GET", "/health", fields, "")).await),
            400,
            "{fields}"
        );
    }
    let hostless = "GET /health HTTP/1.1\r\nConnection: close\r\n\r\n";
    assert_eq!(status(&stand.raw(hostless).await), 400);
    assert_eq!(status(&stand.raw("GET /health HTTP/1.0\r\n\r\n").await), 200);
}

#[tokio::test]
async fn a_client_who_hangs_up_is_owed_nothing_less() {
    let stand = Stand::new(DefaultRoute::NotFound).await;
    let paid = request("POST", "/v1/slow", &stand.payment(1), "{}");
    let mut stream = stand.connect().await;
    stream.write_all(paid.as_bytes()).await.unwrap();
    sleep(Duration::from_millis(80)).await;
    drop(stream);
    sleep(Duration::from_millis(300)).await;
    let answer = stand.raw(&paid).await;
    assert!(answer.ends_with("SECRET /v1/slow 2"), "{answer}");
    assert_eq!((stand.hits(), stand.shop.chain.broadcasts()), (1, 1));
}

#[tokio::test]
async fn what_is_under_way_comes_to_its_end() {
    let stand = Stand::new(DefaultRoute::NotFound).await;
    let mut stream = stand.connect().await;
    let gone = request("POST", "/v1/slow?gone", &stand.payment(2), "{}");
    let mut leaver = stand.connect().await;
    leaver.write_all(gone.as_bytes()).await.unwrap();
    let paid = request("POST", "/v1/slow", &stand.payment(1), "{}");
    stream.write_all(paid.as_bytes()).await.unwrap();
    sleep(Duration::from_millis(80)).await;
    drop(leaver);
    stand.stop.send(()).unwrap();
    assert!(read(&mut stream).await.ends_with("SECRET /v1/slow 2"));
    timeout(Duration::from_secs(2), stand.gateway).await.unwrap().unwrap();
    let refused = TcpStream::connect(&stand.address).await.unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    // What a client had left was brought to its end as well.
    assert_eq!(stand.hits.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn bodies_are_passed_on_as_they_come() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let authority = listener.local_addr().unwrap().to_string();
    let options = GatewayOptions::default();
    let stand = Stand::before(authority, DefaultRoute::Free, options, Hits::default()).await;
    let mut client = stand.connect().await;
    let head = format!(
        "POST /v1/x HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n{}\r\n",
        stand.payment(1)
    );
    client.write_all(head.as_bytes()).await.unwrap();
    client.write_all(b"5\r\nfirst\r\n").await.unwrap();
    let (mut server, _) = listener.accept().await.unwrap();
    until(&mut server, "first").await;
    server.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await.unwrap();
    server.write_all(b"3\r\none\r\n").await.unwrap();
    until(&mut client, "one").await;
    client.write_all(b"6\r\nsecond\r\n0\r\n\r\n").await.unwrap();
    until(&mut server, "second").await;
    server.write_all(b"3\r\ntwo\r\n0\r\n\r\n").await.unwrap();
    until(&mut client, "two").await;
    assert_eq!(stand.shop.chain.broadcasts(), 1);
}

async fn until(stream: &mut TcpStream, text: &str) {
    let mut seen = Vec::new();
    let read = async {
        while !String::from_utf8_lossy(&seen).contains(text) {
            assert!(stream.read_buf(&mut seen).await.unwrap() > 0, "hung up before {text}");
        }
    };
    timeout(Duration::from_secs(5), read).await.unwrap();
}

#[tokio::test]
async fn who_reads_nothing_is_hung_up_on() {
    const LEN: usize = 64 << 20;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let authority = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        let (mut server, _) = listener.accept().await.unwrap();
        drop(server.read(&mut [0; 4096]).await);
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {LEN}\r\n\r\n");
        server.write_all(head.as_bytes()).await.unwrap();
        drop(server.write_all(&vec![b'x'; LEN]).await);
    });
    let stand = Stand::before(authority, DefaultRoute::Free, impatient(), Hits::default()).await;
    let mut client = stand.connect().await;
    client.write_all(request("GET", "/health", "", "").as_bytes()).await.unwrap();
    sleep(Duration::from_millis(1_500)).await;
    assert!(read(&mut client).await.len() < LEN);
}

#[tokio::test]
async fn a_preflight_is_not_the_upstreams() {
    let stand = Stand::new(DefaultRoute::Free).await;
    let ask = "Origin: https://a.example\r\nAccess-Control-Request-Method: POST\r\n\
               Access-Control-Request-Headers: payment-signature\r\n";
    let answer = stand.raw(request("OPTIONS", "/api/analyze", ask, "")).await;
    assert_eq!((status(&answer), stand.hits()), (204, 0), "{answer}");
    assert!(answer.contains("Access-Control-Allow-Methods: POST"), "{answer}");
    assert_eq!(status(&stand.raw(request("OPTIONS", "/health", ask, "")).await), 200);
}

#[test]
fn an_upstream_is_a_host() {
    let odd = [("a:65616", ""), ("a:+80", ""), ("a:", "")];
    for (authority, base_path) in
        [("", ""), ("a b", ""), ("a:b:c", ""), ("a", "/b c")].into_iter().chain(odd)
    {
        let upstream = Upstream { base_path: base_path.into(), ..upstream_at(authority.into()) };
        let (router, seller) = (router(DefaultRoute::Free), Shop::new().seller);
        let made = Gateway::with(router, &upstream, seller, GatewayOptions::default());
        made.map(|_| ()).unwrap_err();
    }
}

#[tokio::test]
async fn a_base_path_goes_before_the_path() {
    let (hits, shop) = (Hits::default(), Shop::new());
    let authority = upstream(Arc::clone(&hits)).await;
    let upstream = Upstream { base_path: "/base".into(), ..upstream_at(authority) };
    let router = router(DefaultRoute::Free);
    let gateway = Gateway::with(router, &upstream, shop.seller, GatewayOptions::default()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    tokio::spawn(gateway.serve(listener, core::future::pending()));
    client.write_all(request("GET", "/health?a=b", "", "").as_bytes()).await.unwrap();
    assert!(read(&mut client).await.ends_with("SECRET /base/health?a=b 0"));
}
