use core::time::Duration;
use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use x402_core::ChainId;
use x402_std::facilitator::{
    FacilitatorError, Request as Asked, SettleAnswer, Supported, VerifyAnswer,
};
use x402_std::{BoxFuture, Facilitator};

use super::*;

#[cfg(feature = "server")]
mod once;

const TOKEN: &str = "0123456789abcdef-token";
const HASH: &str = "0x89c91c789e57059b17285e7ba1716a1f5ff4c5dace0ea5a5135f26158d0421b9";
const PAYER: &str = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";

/// What a seller asks with: a case of the official SDK's.
fn question() -> Value {
    let text = include_str!("../../../tests/vectors/sdk.json");
    let sdk: Value = serde_json::from_str(text).unwrap();
    let case = &sdk["facilitatorCases"][0];
    json!({
        "x402Version": 2,
        "paymentPayload": case["paymentPayload"],
        "paymentRequirements": case["paymentRequirements"],
    })
}

fn asked() -> Asked {
    Asked::parse(question().to_string().into_bytes()).unwrap()
}

fn settled() -> Value {
    json!({"success": true, "payer": PAYER, "transaction": HASH, "network": "eip155:84532"})
}

/// A facilitator that says one thing, and counts.
struct Says {
    verdict: Result<VerifyAnswer, FacilitatorError>,
    settled: Result<SettleAnswer, FacilitatorError>,
    delay: Duration,
    settlements: AtomicUsize,
}

impl Says {
    fn yes() -> Self {
        let json = settled().to_string();
        let settled = SettleAnswer::parse(json.as_bytes(), x402_core::wire::Version::V2).unwrap();
        Self {
            verdict: Ok(VerifyAnswer::default()),
            settled: Ok(settled),
            delay: Duration::ZERO,
            settlements: AtomicUsize::new(0),
        }
    }
}

impl Facilitator for Says {
    fn verify<'a>(&'a self, _: &'a Asked) -> BoxFuture<'a, Result<VerifyAnswer, FacilitatorError>> {
        Box::pin(async { self.verdict.clone() })
    }

    fn settle<'a>(&'a self, _: &'a Asked) -> BoxFuture<'a, Result<SettleAnswer, FacilitatorError>> {
        Box::pin(async {
            tokio::time::sleep(self.delay).await;
            self.settlements.fetch_add(1, Ordering::SeqCst);
            self.settled.clone()
        })
    }

    fn supported(&self) -> BoxFuture<'_, Result<Supported, FacilitatorError>> {
        Box::pin(async { Ok(Supported::default()) })
    }
}

async fn ask(
    service: &FacilitatorService,
    method: &str,
    path: &str,
    token: Option<&str>,
    body: impl Into<Bytes>,
) -> (u16, Value) {
    let mut request = Request::builder().method(method).uri(path);
    if let Some(token) = token {
        request = request.header("Authorization", token);
    }
    if method == "POST" {
        request = request.header("Content-Type", "application/json");
    }
    let answer = service.answer(request.body(Full::new(body.into())).unwrap()).await;
    assert_eq!(answer.headers()["cache-control"], "no-store");
    let status = answer.status().as_u16();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&body).unwrap_or_else(|_| text_of(&body)))
}

fn text_of(body: &[u8]) -> Value {
    Value::String(String::from_utf8_lossy(body).into_owned())
}

#[tokio::test]
async fn a_facilitator_that_can_settle_nothing_is_not_healthy() {
    for (unready, is_any_ready, expected) in [
        (vec![], true, (200, "ok\n")),
        (vec![ChainId::BASE], true, (200, "ok\nnothing is settled on eip155:8453\n")),
        (vec![ChainId::BASE], false, (503, "not ready\nnothing is settled on eip155:8453\n")),
    ] {
        let service = FacilitatorService::new(Arc::new(Says::yes()), None);
        let report = move || Report {
            metrics: "x402_ready 1\n".into(),
            unready: unready.clone(),
            is_any_ready,
        };
        let service = service.reporting(report);
        let (status, text) = ask(&service, "GET", "/healthz", None, "").await;
        assert_eq!((status, text), (expected.0, json!(expected.1)));
        let (_, metrics) = ask(&service, "GET", "/metrics", None, "").await;
        assert!(metrics.as_str().unwrap().ends_with("\nx402_ready 1\n"), "{metrics}");
    }
}

#[tokio::test]
async fn answers_what_is_asked() {
    let service = FacilitatorService::new(Arc::new(Says::yes()), None);
    let question = question().to_string();
    let (status, verdict) = ask(&service, "POST", "/verify", None, question.clone()).await;
    assert_eq!((status, verdict), (200, json!({"isValid": true})));
    assert_eq!(ask(&service, "POST", "/settle", None, question).await, (200, settled()));
    let (status, supported) = ask(&service, "GET", "/supported", None, "").await;
    assert_eq!((status, supported), (200, json!({"kinds": [], "extensions": [], "signers": {}})));
    assert_eq!(ask(&service, "GET", "/healthz", None, "").await, (200, json!("ok\n")));
    let (_, metrics) = ask(&service, "GET", "/metrics", None, "").await;
    for line in [
        "x402_requests_total{endpoint=\"settle\",status=\"200\"} 1",
        "x402_verdicts_total{endpoint=\"verify\",reason=\"\"} 1",
        "x402_settle_seconds_count 1",
    ] {
        assert!(metrics.as_str().unwrap().contains(line), "{metrics}");
    }
}

#[tokio::test]
async fn a_refusal_is_a_verdict_and_a_failure_is_none() {
    let mut says = Says::yes();
    let reason = Some("insufficient_funds".to_owned());
    says.verdict = Ok(VerifyAnswer { reason, ..VerifyAnswer::default() });
    says.settled = Err(FacilitatorError::Unknown("http://node/?key=CANARY".into()));
    let service = FacilitatorService::new(Arc::new(says), None);
    let question = question().to_string();
    let (status, verdict) = ask(&service, "POST", "/verify", None, question.clone()).await;
    let expected = json!({"isValid": false, "invalidReason": "insufficient_funds"});
    assert_eq!((status, verdict), (200, expected));
    let (status, fault) = ask(&service, "POST", "/settle", None, question).await;
    assert_eq!((status, fault), (500, json!({"error": "there is no verdict"})));
}

#[tokio::test]
async fn what_cannot_be_read_is_a_bad_request() {
    let service = FacilitatorService::new(Arc::new(Says::yes()), None);
    let mut version = question();
    version["paymentPayload"]["x402Version"] = json!(3);
    let twice = question().to_string().replacen("{", "{\"x402Version\":2,", 1);
    for (body, reason) in [
        (String::new(), "invalid_payload"),
        ("[]".to_owned(), "invalid_payload"),
        ("{}".to_owned(), "invalid_payload"),
        (twice, "invalid_payload"),
        (version.to_string(), "invalid_x402_version"),
    ] {
        let (status, answer) = ask(&service, "POST", "/verify", None, body.clone()).await;
        assert_eq!((status, &answer["invalidReason"]), (400, &json!(reason)), "{body:.60}");
        assert_eq!(answer["isValid"], false);
        let (status, answer) = ask(&service, "POST", "/settle", None, body).await;
        assert_eq!((status, &answer["errorReason"]), (400, &json!(reason)));
        assert_eq!((&answer["success"], &answer["transaction"]), (&json!(false), &json!("")));
    }
    let large = vec![b' '; MAX_BODY + 1];
    assert_eq!(ask(&service, "POST", "/verify", None, large).await.0, 413);
    assert_eq!(ask(&service, "GET", "/verify", None, "").await.0, 405);
    assert_eq!(ask(&service, "POST", "/supported", None, "").await.0, 405);
    assert_eq!(ask(&service, "GET", "/", None, "").await.0, 404);
}

#[tokio::test]
async fn what_a_web_page_may_post_to_this_machine_is_not_read() {
    let says = Arc::new(Says::yes());
    let service = FacilitatorService::new(Arc::clone(&says) as _, None);
    let cases: [(&[&str], u16); 10] = [
        (&[], 415),
        (&["text/plain"], 415),
        (&["text/plain; application/json"], 415),
        (&["application/x-www-form-urlencoded"], 415),
        (&["multipart/form-data; boundary=application/json"], 415),
        (&["application/json-patch+json"], 415),
        (&["application/json", "text/plain"], 415),
        (&["application/json"], 200),
        (&["application/json; charset=utf-8"], 200),
        (&["Application/JSON;charset=UTF-8"], 200),
    ];
    for (types, expected) in cases {
        for path in ["/verify", "/settle"] {
            let mut request = Request::builder().method("POST").uri(path);
            for kind in types {
                request = request.header("Content-Type", *kind);
            }
            let request = request.body(Full::new(Bytes::from(question().to_string()))).unwrap();
            assert_eq!(service.answer(request).await.status().as_u16(), expected, "{types:?}");
        }
    }
    assert_eq!(says.settlements.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn only_who_has_the_token_is_let_in() {
    let says = Arc::new(Says::yes());
    let service = FacilitatorService::new(Arc::clone(&says) as _, Some(TOKEN));
    let question = question().to_string();
    for token in [None, Some("Bearer"), Some("Bearer x"), Some(TOKEN), Some("Basic 0123")] {
        for path in ["/verify", "/settle"] {
            assert_eq!(ask(&service, "POST", path, token, question.clone()).await.0, 401);
        }
        assert_eq!(ask(&service, "GET", "/metrics", token, "").await.0, 401);
        assert_eq!(ask(&service, "GET", "/supported", token, "").await.0, 200);
    }
    let right = format!("Bearer {TOKEN}");
    assert_eq!(ask(&service, "POST", "/settle", Some(&right), question).await.0, 200);
    assert_eq!(says.settlements.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_seller_that_goes_away_changes_nothing() {
    let says = Arc::new(Says { delay: Duration::from_millis(50), ..Says::yes() });
    let service = FacilitatorService::new(Arc::clone(&says) as _, None);
    let question = question().to_string();
    let asking = ask(&service, "POST", "/settle", None, question);
    assert!(tokio::time::timeout(Duration::from_millis(10), asking).await.is_err());
    tokio::time::sleep(Duration::from_millis(150)).await;
    assert_eq!(says.settlements.load(Ordering::SeqCst), 1);
}

/// A server on a port of its own that answers the nth request, and remembers what it was asked.
struct Server {
    url: String,
    seen: Arc<Mutex<Vec<(String, http::HeaderMap, Bytes)>>>,
}

impl Server {
    async fn start(
        answer: impl Fn(usize) -> Option<Response<Full<Bytes>>> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (log, answer) = (Arc::clone(&seen), Arc::new(answer));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (log, answer) = (Arc::clone(&log), Arc::clone(&answer));
                let service = service_fn(move |request: Request<Incoming>| {
                    let (log, answer) = (Arc::clone(&log), Arc::clone(&answer));
                    async move {
                        let (head, body) = request.into_parts();
                        let body = body.collect().await.unwrap().to_bytes();
                        let count = {
                            let mut log = log.lock().unwrap();
                            log.push((format!("{} {}", head.method, head.uri), head.headers, body));
                            log.len()
                        };
                        match answer(count) {
                            Some(answer) => Ok::<_, Infallible>(answer),
                            None => core::future::pending().await,
                        }
                    }
                });
                let server = hyper::server::conn::http1::Builder::new();
                tokio::spawn(server.serve_connection(TokioIo::new(stream), service));
            }
        });
        Self { url, seen }
    }

    fn asked(&self) -> Vec<String> {
        self.seen.lock().unwrap().iter().map(|(line, ..)| line.clone()).collect()
    }
}

#[allow(clippy::unnecessary_wraps, reason = "what a server's function gives")]
fn says(status: u16, body: &str) -> Option<Response<Full<Bytes>>> {
    let body = Full::from(body.to_owned());
    Some(Response::builder().status(status).body(body).unwrap())
}

#[tokio::test]
async fn asks_below_the_base_url_with_the_token() {
    let server = Server::start(|_| says(200, &settled().to_string())).await;
    let url = format!("{}/x402//", server.url);
    let facilitator = HttpFacilitator::new(&url, Some(TOKEN)).unwrap();
    let answer = facilitator.settle(&asked()).await.unwrap();
    assert_eq!(answer.transaction.unwrap().to_string(), HASH);
    let seen = server.seen.lock().unwrap();
    let (line, headers, body) = &seen[0];
    assert_eq!(line, "POST /x402/settle");
    assert_eq!(headers["authorization"], format!("Bearer {TOKEN}"));
    assert_eq!(headers["content-type"], "application/json");
    assert_eq!(serde_json::from_slice::<Value>(body).unwrap(), question());
    let shown = format!("{facilitator:?}");
    assert!(!shown.contains("token") && !shown.contains("127.0.0.1"), "{shown}");
}

#[test]
fn only_https_leaves_the_machine() {
    for url in [
        "https://facilitator.example/x",
        "http://127.0.0.1:1",
        "http://[::1]:1",
        "http://localhost",
    ] {
        assert!(HttpFacilitator::new(url, None).is_ok(), "{url}");
    }
    for url in [
        "http://facilitator.example",
        "http://10.0.0.1",
        "https://user:secret@facilitator.example",
        "https://facilitator.example/?key=1",
        "https://facilitator.example/x#f",
        "ftp://127.0.0.1",
        "http://127.0.0.1:65616",
        "http://127.0.0.1:+80",
        "https://facilitator.example:",
        "/x",
        "",
    ] {
        assert_eq!(HttpFacilitator::new(url, None).err(), Some(InvalidUrl), "{url}");
    }
}

#[tokio::test]
async fn follows_redirects_within_the_origin_with_method_and_body() {
    let server = Server::start(|count| {
        if count > 1 {
            return says(200, &settled().to_string());
        }
        let redirect = Response::builder().status(308).header("Location", "/moved/settle");
        Some(redirect.body(Full::default()).unwrap())
    })
    .await;
    let facilitator = HttpFacilitator::new(&server.url, None).unwrap();
    assert_eq!(facilitator.settle(&asked()).await.unwrap().reason, None);
    assert_eq!(server.asked(), ["POST /settle", "POST /moved/settle"]);
    let seen = server.seen.lock().unwrap();
    assert_eq!(seen[0].2, seen[1].2);
}

#[tokio::test]
async fn nothing_is_sent_elsewhere() {
    let elsewhere = Server::start(|_| says(200, &settled().to_string())).await;
    let target = format!("{}/settle", elsewhere.url);
    let server = Server::start(move |_| {
        let redirect = Response::builder().status(307).header("Location", &target);
        Some(redirect.body(Full::default()).unwrap())
    })
    .await;
    let facilitator = HttpFacilitator::new(&server.url, Some(TOKEN)).unwrap();
    assert!(facilitator.settle(&asked()).await.is_err());
    assert!(elsewhere.asked().is_empty());
}

#[tokio::test]
async fn an_unknown_outcome_is_told_from_none() {
    let facilitator = HttpFacilitator::new("http://127.0.0.1:1", Some(TOKEN)).unwrap();
    let error = facilitator.settle(&asked()).await.unwrap_err();
    assert!(matches!(error, FacilitatorError::Unavailable(_)), "{error}");
    for (status, body) in [(500, "oops"), (502, "{}"), (504, "")] {
        let server = Server::start(move |_| says(status, body)).await;
        let facilitator = HttpFacilitator::new(&server.url, Some(TOKEN)).unwrap();
        let error = facilitator.settle(&asked()).await.unwrap_err();
        assert!(matches!(error, FacilitatorError::Unknown(_)), "{error}");
        let text = error.to_string();
        assert!(!text.contains(&server.url) && !text.contains(TOKEN), "{text}");
    }
    let server = Server::start(|_| None).await;
    let facilitator = HttpFacilitator::new(&server.url, None).unwrap();
    let facilitator = facilitator.timeout(Duration::from_millis(50));
    let error = facilitator.settle(&asked()).await.unwrap_err();
    assert!(matches!(error, FacilitatorError::Unknown(_)), "{error}");
}

#[tokio::test]
async fn a_verdict_is_one_whatever_its_status_and_prose_is_none() {
    let no = r#"{"isValid":false,"invalidReason":"insufficient_funds","payer":null}"#;
    for status in [200, 400, 402, 500] {
        let server = Server::start(move |_| says(status, no)).await;
        let facilitator = HttpFacilitator::new(&server.url, None).unwrap();
        let verdict = facilitator.verify(&asked()).await.unwrap();
        assert_eq!(verdict.reason.as_deref(), Some("insufficient_funds"));
    }
    for body in ["{\"foo\":1}", "", "[]", "{\"isValid\":\"true\"}", "{\"isValid\":1}"] {
        let server = Server::start(move |_| says(200, body)).await;
        let facilitator = HttpFacilitator::new(&server.url, None).unwrap();
        let error = facilitator.verify(&asked()).await.unwrap_err();
        assert!(matches!(error, FacilitatorError::Unbelievable(_)), "{body}: {error}");
    }
    for status in [302, 400, 500] {
        let server = Server::start(move |_| says(status, &settled().to_string())).await;
        let facilitator = HttpFacilitator::new(&server.url, None).unwrap();
        let error = facilitator.settle(&asked()).await.unwrap_err();
        assert!(matches!(error, FacilitatorError::Unbelievable(_)), "{status}: {error}");
    }
    let server = Server::start(|_| says(200, &" ".repeat(MAX_BODY + 1))).await;
    let facilitator = HttpFacilitator::new(&server.url, None).unwrap();
    assert!(facilitator.verify(&asked()).await.is_err());
}

#[tokio::test]
async fn asks_once_more_where_the_outcome_is_not_known_yet() {
    let mut pending = settled();
    pending["success"] = json!(false);
    pending["errorReason"] = json!("settlement_pending");
    // A refusal after that is no news of what was sent.
    let mut late = pending.clone();
    late["errorReason"] = json!("invalid_exact_evm_payload_authorization_valid_before");
    late["transaction"] = json!("");
    let still = Some("settlement_pending");
    for (second, reason) in [(settled(), None), (pending.clone(), still), (late, still)] {
        let first = pending.to_string();
        let second = second.to_string();
        let server =
            Server::start(move |count| says(200, if count == 1 { &first } else { &second })).await;
        let facilitator = HttpFacilitator::new(&server.url, None).unwrap();
        let answer = facilitator.settle(&asked()).await.unwrap();
        assert_eq!((answer.reason.as_deref(), server.asked().len()), (reason, 2));
        assert_eq!(answer.transaction.unwrap().to_string(), HASH);
    }
}

#[tokio::test]
async fn waits_where_it_is_asked_too_often() {
    let server = Server::start(|count| {
        if count == 3 {
            return says(
                200,
                r#"{"kinds":[{"x402Version":2,"scheme":"exact","network":"eip155:1"}]}"#,
            );
        }
        let busy = Response::builder().status(429).header("Retry-After", "0");
        Some(busy.body(Full::default()).unwrap())
    })
    .await;
    let facilitator = HttpFacilitator::new(&server.url, None).unwrap();
    let supported = facilitator.supported().await.unwrap();
    assert!(supported.find(x402_core::wire::Version::V2, "exact", "eip155:1").is_some());
    assert_eq!(server.asked(), ["GET /supported"; 3]);
}
