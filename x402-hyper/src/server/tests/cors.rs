//! What browsers are told.

use super::*;

const HERE: &str = "https://a.example";
const ELSEWHERE: &str = "https://b.example";

fn listed() -> Cors {
    Cors::any().of_origins([HERE, ELSEWHERE].map(HeaderValue::from_static)).with_credentials()
}

/// A service that speaks of CORS itself, in answers of that status.
fn talkative(status: u16) -> impl Echo {
    service_fn(move |_: Request<RequestBody<Full<Bytes>>>| {
        let answer = Response::builder().status(status);
        let answer = answer.header("Access-Control-Allow-Origin", "https://upstream.example");
        let answer = answer.header("Access-Control-Allow-Credentials", "false");
        ready(Ok::<_, Infallible>(answer.body(full("goods")).unwrap()))
    })
}

fn all<'h>(head: &'h http::response::Parts, name: &str) -> Vec<&'h str> {
    head.headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect()
}

/// Checks that the page of one origin may read the answer, and no other.
fn may_read(head: &http::response::Parts, origin: &str) {
    assert_eq!(all(head, "access-control-allow-origin"), [origin], "{head:?}");
    assert_eq!(all(head, "access-control-allow-credentials"), ["true"]);
    assert!(all(head, "vary").contains(&"Origin"), "{head:?}");
    assert!(all(head, "access-control-expose-headers").concat().contains("PAYMENT-RESPONSE"));
}

#[tokio::test]
async fn whatever_becomes_of_a_request_with_a_price_its_page_may_read_it() {
    for (number, status) in (1..).zip([200, 201, 302, 404, 500, 402]) {
        for settle in [Settle::First, Settle::After, Settle::Later] {
            let shop = Shop::new();
            let sale = Arc::new(Sale { settle, ..shop.offer.into() });
            let pricing = move |head: &Parts| match head.uri.path() {
                "/free" => Quote::Free,
                "/paid" => Quote::Paid(Arc::clone(&sale)),
                _ => Quote::Absent,
            };
            let layer = PaymentLayer::new(Arc::clone(&shop.seller), pricing).cors(listed());
            let service = layer.layer(talkative(status));
            let paid = || shop.paid("GET", "/paid", number);
            let of = |request: http::request::Builder, origin| {
                send(&service, request.header("Origin", origin).body(full("")).unwrap())
            };
            let unpaid = |path| Request::get(path);
            let (head, _) = of(unpaid("/paid"), HERE).await;
            assert_eq!(head.status, 402);
            may_read(&head, HERE);
            // Prepared for the page before.
            may_read(&of(unpaid("/paid"), ELSEWHERE).await.0, ELSEWHERE);
            may_read(&of(unpaid("/other"), HERE).await.0, HERE);
            may_read(&of(unpaid("/paid").header("x-payment", "none"), HERE).await.0, HERE);
            let (head, _) = of(paid(), HERE).await;
            assert_eq!(head.status, if status == 402 { 502 } else { status });
            may_read(&head, HERE);
            may_read(&of(paid(), ELSEWHERE).await.0, ELSEWHERE);
            let (head, _) = of(paid(), "https://c.example").await;
            assert!(all(&head, "access-control-allow-origin").is_empty(), "{head:?}");
            assert!(all(&head, "vary").contains(&"Origin"));
            let (head, _) = of(unpaid("/free"), HERE).await;
            assert_eq!(all(&head, "access-control-allow-origin"), ["https://upstream.example"]);
        }
    }
}

#[tokio::test]
async fn a_page_may_read_that_the_answer_could_not_be_made() {
    let shop = Shop::new();
    let service = service_fn(|_: Request<RequestBody<Full<Bytes>>>| async {
        panic!("the service is wrong");
        #[expect(unreachable_code, reason = "the type of what it would answer")]
        Ok::<Response<Full<Bytes>>, Infallible>(Response::new(full("")))
    });
    let service = layer(&shop).cors(listed()).layer(service);
    let request = shop.paid("GET", "/", 1).header("Origin", HERE).body(full("")).unwrap();
    let (head, _) = send(&service, request).await;
    assert_eq!(head.status, 500);
    may_read(&head, HERE);
}

#[tokio::test]
async fn any_page_may_read_unless_the_seller_says_otherwise() {
    let shop = Shop::new();
    let service = layer(&shop).layer(talkative(200));
    let request = shop.paid("GET", "/", 1).header("Origin", HERE).body(full("")).unwrap();
    let (head, _) = send(&service, request).await;
    assert_eq!(all(&head, "access-control-allow-origin"), ["*"]);
    assert!(all(&head, "access-control-allow-credentials").is_empty());
    assert!(all(&head, "access-control-expose-headers").concat().contains("X-Payment-Transaction"));
    assert!(!all(&head, "vary").contains(&"Origin"));
}

#[tokio::test]
async fn a_preflight_of_a_page_that_is_not_listed_is_told_nothing() {
    let shop = Shop::new();
    let service = layer(&shop).cors(listed()).layer(talkative(200));
    for (origin, expected) in [(HERE, vec![HERE]), ("https://c.example", vec![])] {
        let request = Request::options("/").header("Origin", origin);
        let request = request.header("Access-Control-Request-Method", "POST");
        let (head, _) = send(&service, request.body(full("")).unwrap()).await;
        assert_eq!(head.status, 204);
        assert_eq!(all(&head, "access-control-allow-origin"), expected);
        assert!(all(&head, "vary").concat().contains("Origin"));
    }
}

#[tokio::test]
async fn a_page_may_read_why_its_request_has_no_price() {
    let shop = Shop::new();
    let pricing = |_: &Parts| Quote::Unpriced("a fact is there twice".into());
    let layer = PaymentLayer::new(Arc::clone(&shop.seller), pricing).cors(listed());
    let service = layer.layer(talkative(200));
    let request = Request::options("/").header("Origin", HERE);
    let request = request.header("Access-Control-Request-Method", "POST");
    let (head, _) = send(&service, request.body(full("")).unwrap()).await;
    assert_eq!(
        (head.status.as_u16(), all(&head, "access-control-allow-origin")),
        (204, vec![HERE])
    );
    let request = Request::post("/").header("Origin", HERE).body(full("")).unwrap();
    let (head, _) = send(&service, request).await;
    assert_eq!(head.status, 400);
    may_read(&head, HERE);
}

#[tokio::test]
async fn where_it_is_left_to_the_service_that_is_passed_on() {
    let shop = Shop::new();
    let service = layer(&shop).cors(Cors::off()).layer(talkative(200));
    let paid = || shop.paid("GET", "/", 1).header("Origin", HERE).body(full("")).unwrap();
    for _ in 0..2 {
        let (head, _) = send(&service, paid()).await;
        assert_eq!(head.status, 200);
        assert_eq!(all(&head, "access-control-allow-origin"), ["https://upstream.example"]);
        assert!(all(&head, "access-control-expose-headers").is_empty());
    }
    // It is a request like any other, and is not done for nothing.
    let request = Request::options("/").header("Access-Control-Request-Method", "POST");
    let (head, _) = send(&service, request.body(full("")).unwrap()).await;
    assert_eq!(head.status, 402);
    assert!(all(&head, "access-control-allow-origin").is_empty());
}
