//! Prices that depend on the body.

use super::*;

/// A cent for up to ten bytes, two for more; nothing for none; no price for nonsense.
struct ByLength;

impl Pricing for ByLength {
    fn quote(&self, _: &Parts) -> Quote {
        Quote::ByBody(64)
    }

    fn quote_body(&self, _: &Parts, body: &Bytes) -> Quote {
        match body.len() {
            0 => Quote::Free,
            _ if body.starts_with(b"nonsense") => Quote::Unpriced("it is \"nonsense\"".into()),
            length => offer(if length > 10 { 20_000 } else { 10_000 }).into(),
        }
    }
}

fn service(shop: &Shop, seen: &Seen) -> PaymentService<impl Echo> {
    PaymentLayer::new(Arc::clone(&shop.seller), ByLength).layer(echo(seen))
}

fn cents(cents: u64, nonce: u8, body: &'static str) -> Request<Full<Bytes>> {
    let fields = payment(&offer(cents * 10_000), nonce);
    with(Request::post("/a"), &fields).body(full(body)).unwrap()
}

#[tokio::test]
async fn the_price_is_that_of_the_body() {
    let (shop, seen) = (Shop::new(), Seen::default());
    let service = service(&shop, &seen);
    for (body, price) in [("short", "0.01"), ("longer than ten", "0.02")] {
        let (head, _) = send(&service, Request::post("/a").body(full(body)).unwrap()).await;
        assert_eq!(head.status, StatusCode::PAYMENT_REQUIRED);
        assert_eq!(text(&head.headers, "x-payment-amount"), price);
    }
    let (head, body) = send(&service, Request::post("/a").body(full("")).unwrap()).await;
    assert_eq!((head.status, &body[..]), (StatusCode::OK, &b"secret:"[..]));
    assert_eq!((shop.chain.asked(), seen.runs()), (0, 1));
}

#[tokio::test]
async fn what_is_paid_for_a_short_one_buys_no_long_one() {
    let (shop, seen) = (Shop::new(), Seen::default());
    let service = service(&shop, &seen);
    let (head, body) = send(&service, cents(1, 1, "longer than ten")).await;
    assert_eq!((head.status, code(&body)), (StatusCode::PAYMENT_REQUIRED, "402.1".into()));
    assert_eq!(text(&head.headers, "x-payment-amount"), "0.02");
    assert_eq!((shop.chain.broadcasts(), seen.runs()), (0, 0));
    for _ in 0..2 {
        let (head, body) = send(&service, cents(2, 2, "longer than ten")).await;
        assert_eq!((head.status, &body[..]), (StatusCode::OK, &b"secret:longer than ten"[..]));
    }
    // The same payment for another body of that price is another request.
    let (head, _) = send(&service, cents(2, 2, "longer than 10!")).await;
    assert_eq!(head.status, StatusCode::CONFLICT);
    assert_eq!((shop.chain.broadcasts(), seen.runs()), (1, 1));
}

#[tokio::test]
async fn what_is_owed_for_a_short_one_is_not_owed_for_a_long_one() {
    let shop = Shop::new();
    let work = |request: Request<RequestBody<Full<Bytes>>>| async move {
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let status = if body == "short" { 500 } else { 200 };
        Ok::<_, Infallible>(Response::builder().status(status).body(full("done")).unwrap())
    };
    let service = PaymentLayer::new(Arc::clone(&shop.seller), ByLength).layer(service_fn(work));
    assert_eq!(send(&service, cents(1, 1, "short")).await.0.status, 500);
    let (head, body) = send(&service, cents(1, 1, "longer than ten")).await;
    assert_eq!((head.status, code(&body)), (StatusCode::CONFLICT, "409".into()));
    assert_eq!(shop.chain.broadcasts(), 1);
}

#[tokio::test]
async fn what_cannot_be_priced_is_not_sold() {
    let (shop, seen) = (Shop::new(), Seen::default());
    let service = service(&shop, &seen);
    let large = "x".repeat(65).leak();
    for (body, status) in [(&*large, 413), ("nonsense", 400)] {
        let (head, said) = send(&service, cents(2, 1, body)).await;
        assert_eq!(head.status, status);
        serde_json::from_slice::<serde_json::Value>(&said).unwrap();
    }
    let (pieces, body) = mpsc::channel(1);
    pieces.send(Err(super::broken())).await.unwrap();
    let service = PaymentLayer::new(Arc::clone(&shop.seller), ByLength).layer(service_fn(
        |_: Request<RequestBody<Channel>>| ready(Ok::<_, Infallible>(Response::new(full("")))),
    ));
    let fields = payment(&offer(10_000), 3);
    let request = with(Request::post("/a"), &fields).body(Channel(body)).unwrap();
    assert_eq!(send(&service, request).await.0.status, StatusCode::BAD_REQUEST);
    assert_eq!((shop.chain.asked(), seen.runs()), (0, 0));
}
