//! Work that cannot be begun, or is not needed.

use std::sync::atomic::AtomicBool;

use x402_std::BoxFuture;

use super::metered::{balance, drawing, paid, sells};
use super::*;

/// Says yes or no, and how often it was asked.
#[derive(Clone, Default)]
struct Door(Arc<(AtomicBool, AtomicUsize)>);

impl Door {
    fn is_open(&self, is_open: bool) {
        self.0.0.store(is_open, SeqCst);
    }
}

impl Readiness for Door {
    fn ready(&self) -> BoxFuture<'_, Result<(), Response<Bytes>>> {
        self.0.1.fetch_add(1, SeqCst);
        let is_open = self.0.0.load(SeqCst);
        let answer = || answer::UPSTREAM_PRICE.answer();
        Box::pin(ready(is_open.then_some(()).ok_or_else(answer)))
    }
}

fn is_refused(head: &http::response::Parts) {
    assert_eq!(head.status, StatusCode::BAD_GATEWAY);
    assert_eq!(text(&head.headers, "x-payment-status"), "not-charged");
    for name in ["x-payment-transaction", "payment-response", "x-payment-credit"] {
        assert!(!head.headers.contains_key(name), "{name}");
    }
    for name in ["access-control-expose-headers", "vary", "x-payment-status"] {
        assert_eq!(head.headers.get_all(name).iter().count(), 1, "{name}");
    }
}

#[tokio::test]
async fn where_the_work_cannot_be_begun_nothing_is_taken() {
    for settle in [Settle::First, Settle::After, Settle::Later] {
        let (shop, seen, door) = (Shop::new(), Seen::default(), Door::default());
        let sale = Arc::new(Sale { settle, ..Sale::from(shop.offer) });
        let pricing = move |_: &Parts| Quote::Paid(Arc::clone(&sale));
        let layer = PaymentLayer::new(Arc::clone(&shop.seller), pricing).ready_by(door.clone());
        let service = layer.layer(echo(&seen));
        let request = || shop.paid("POST", "/", 1).body(full("")).unwrap();
        for _ in 0..2 {
            is_refused(&send(&service, request()).await.0);
        }
        assert_eq!((seen.runs(), shop.chain.asked(), shop.chain.broadcasts()), (0, 0, 0));
        assert_eq!(shop.seller.open_payments().await.unwrap(), []);
        door.is_open(true);
        assert_eq!(send(&service, request()).await.0.status, StatusCode::OK);
        // What was taken before is given, whether more can be begun or not.
        door.is_open(false);
        let (head, body) = send(&service, request()).await;
        assert_eq!((head.status, &*body, seen.runs()), (StatusCode::OK, &b"secret:"[..], 1));
    }
}

#[tokio::test]
async fn nobody_is_asked_for_what_is_free_or_has_no_payment() {
    let (shop, seen, door) = (Shop::new(), Seen::default(), Door::default());
    let layer = PaymentLayer::new(Arc::clone(&shop.seller), by_path(&shop)).ready_by(door.clone());
    let service = layer.layer(echo(&seen));
    for (path, status) in [("/free", 200), ("/paid", 402)] {
        let request = Request::post(path).body(full("")).unwrap();
        assert_eq!(send(&service, request).await.0.status, status);
    }
    assert_eq!(door.0.1.load(SeqCst), 0);
}

#[tokio::test]
async fn nothing_is_drawn_where_the_work_cannot_be_begun() {
    let (shop, seen, door) = (Shop::new(), Seen::default(), Door::default());
    door.is_open(true);
    let layer = sells(&shop, Settle::First, None).ready_by(door.clone());
    let service = layer.layer(echo(&seen));
    let (head, _) = send(&service, paid(&shop, 1)).await;
    let credit = text(&head.headers, "x-payment-credit").to_owned();
    send(&service, paid(&shop, 2)).await;
    let (before, nonce) = (balance(&shop).await, format!("0x{}", "07".repeat(32)));
    let draw = || drawing(&credit, &nonce, "/a");
    door.is_open(false);
    is_refused(&send(&service, draw()).await.0);
    assert_eq!((balance(&shop).await, seen.runs()), (before, 2));
    door.is_open(true);
    assert_eq!(send(&service, draw()).await.0.status, StatusCode::OK);
    assert_eq!((balance(&shop).await < before, seen.runs()), (true, 3));
    door.is_open(false);
    assert_eq!(send(&service, draw()).await.0.status, StatusCode::OK);
    assert_eq!(seen.runs(), 3);
}

#[tokio::test]
async fn what_the_client_has_already_is_not_charged_unless_it_was_paid_before() {
    for (settle, expected) in
        [(Settle::First, "settled"), (Settle::After, "not-charged"), (Settle::Later, "not-charged")]
    {
        let (shop, seen) = (Shop::new(), Seen::default());
        let sale = Arc::new(Sale { settle, ..Sale::from(shop.offer) });
        let pricing = move |_: &Parts| Quote::Paid(Arc::clone(&sale));
        let layer = PaymentLayer::new(Arc::clone(&shop.seller), pricing);
        let service = layer.layer(answers(304, &seen));
        let request = shop.paid("GET", "/", 1).header("If-None-Match", "a").body(full(""));
        let (head, _) = send(&service, request.unwrap()).await;
        assert_eq!(head.status, StatusCode::NOT_MODIFIED);
        assert_eq!(text(&head.headers, "x-payment-status"), expected);
        tokio::time::sleep(Duration::from_millis(60)).await;
        assert_eq!(shop.chain.broadcasts(), usize::from(settle == Settle::First));
    }
    // Of a ceiling that was paid before, all of it is left.
    let (shop, seen) = (Shop::new(), Seen::default());
    let service = sells(&shop, Settle::First, None).layer(answers(304, &seen));
    let (head, _) = send(&service, paid(&shop, 1)).await;
    assert_eq!((head.status, balance(&shop).await), (StatusCode::NOT_MODIFIED, 10_000));
}
