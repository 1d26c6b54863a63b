//! When the money moves: after the work, and later.

use super::*;

pub(super) fn layer_of(shop: &Shop, settle: Settle) -> PaymentLayer {
    let sale = Arc::new(Sale { settle, ..Sale::from(shop.offer) });
    PaymentLayer::new(Arc::clone(&shop.seller), move |_: &Parts| Quote::Paid(Arc::clone(&sale)))
}

fn paid(shop: &Shop, nonce: u8) -> Request<Full<Bytes>> {
    shop.paid("POST", "/a", nonce).body(full("words")).unwrap()
}

#[tokio::test]
async fn after_the_work_the_answer_names_the_transaction() {
    let (shop, seen) = (Shop::new(), Seen::default());
    let service = layer_of(&shop, Settle::After).layer(echo(&seen));
    for _ in 0..2 {
        let (head, body) = send(&service, paid(&shop, 1)).await;
        assert_eq!((head.status, &body[..]), (StatusCode::OK, &b"secret:words"[..]));
        assert_eq!(text(&head.headers, "x-payment-status"), "settled");
        assert_eq!(text(&head.headers, "x-payment-transaction").len(), 66);
        assert_eq!(text(&head.headers, "cache-control"), "private");
    }
    assert_eq!((seen.runs(), shop.chain.broadcasts()), (1, 1));
    let told = seen.last().0.extensions.get::<Paid>().copied().unwrap();
    assert_eq!((told.payer, told.transaction), (payer(), None));
}

#[tokio::test]
async fn only_success_is_charged_where_the_money_moves_after_the_work() {
    for settle in [Settle::After, Settle::Later] {
        for status in [400, 404, 500] {
            let (shop, seen) = (Shop::new(), Seen::default());
            let service = layer_of(&shop, settle).layer(answers(status, &seen));
            for run in 1..3 {
                let (head, body) = send(&service, paid(&shop, 1)).await;
                assert_eq!((head.status.as_u16(), &body[..]), (status, &b"sorry"[..]));
                assert_eq!((seen.runs(), shop.chain.broadcasts()), (run, 0));
                assert!(!head.headers.contains_key("x-payment-transaction"));
                // And it is said, once.
                assert_eq!(head.headers.get_all("x-payment-status").iter().count(), 1);
                assert_eq!(text(&head.headers, "x-payment-status"), "not-charged");
            }
        }
    }
}

/// Buyers pay anew at every 402: one of the service behind does not reach them.
#[tokio::test]
async fn a_402_of_the_service_behind_is_none_to_the_buyer() {
    for (settle, outcome, broadcasts) in [
        (Settle::First, "settled", 1),
        (Settle::After, "not-charged", 0),
        (Settle::Later, "not-charged", 0),
    ] {
        let (shop, seen) = (Shop::new(), Seen::default());
        let service = layer_of(&shop, settle).layer(answers(402, &seen));
        for run in 1..3 {
            let (head, body) = send(&service, paid(&shop, 1)).await;
            assert_eq!((head.status, &*code(&body)), (StatusCode::BAD_GATEWAY, "502"));
            assert_eq!(text(&head.headers, "x-payment-status"), outcome, "{settle:?}");
            let has_receipt = head.headers.contains_key("x-payment-transaction");
            assert_eq!(has_receipt, broadcasts == 1);
            assert!(!body.windows(5).any(|window| window == b"sorry"));
            // The work is owed still, and charged no second time.
            assert_eq!((seen.runs(), shop.chain.broadcasts()), (run, broadcasts));
        }
    }
}

/// An answer of 402 that an earlier version has kept is not given again.
#[test]
fn a_402_that_was_kept_is_none() {
    let kept = x402_std::ledger::Answer {
        status: 402,
        headers: vec![("payment-required".to_owned(), b"e30=".to_vec())],
        body: Some(b"{\"accepts\":[]}".to_vec()),
        request_body: [0; 32],
    };
    let again = answer::again(kept).unwrap();
    assert_eq!(again.status(), StatusCode::BAD_GATEWAY);
    assert!(!again.headers().contains_key("payment-required"));
    assert_eq!(code(again.body()), "502");
}

#[tokio::test]
async fn what_is_not_settled_is_not_given() {
    let (shop, seen) = (Shop::new(), Seen::default());
    let service = layer_of(&shop, Settle::After).layer(echo(&seen));
    shop.chain.does(Does::IsSilent);
    let (head, body) = send(&service, paid(&shop, 1)).await;
    assert_eq!(head.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(text(&head.headers, "x-payment-status"), "pending");
    assert!(!body.windows(6).any(|window| window == b"secret"));
    shop.chain.does(Does::Settles);
    let (head, body) = send(&service, paid(&shop, 1)).await;
    assert_eq!((head.status, &body[..]), (StatusCode::OK, &b"secret:words"[..]));
    assert_eq!((seen.runs(), shop.chain.broadcasts()), (1, 1));
}

#[tokio::test]
async fn an_answer_that_is_too_large_to_be_held_costs_nothing() {
    let (shop, seen) = (Shop::new(), Seen::default());
    let service = layer_of(&shop, Settle::After).keep_answers_up_to(10).layer(echo(&seen));
    let (head, body) = send(&service, paid(&shop, 1)).await;
    assert_eq!(head.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(!body.windows(6).any(|window| window == b"secret"));
    assert_eq!(text(&head.headers, "x-payment-status"), "not-charged");
    assert_eq!(shop.chain.broadcasts(), 0);
}

#[tokio::test]
async fn later_the_answer_comes_before_the_money() {
    let (shop, seen) = (Shop::new(), Seen::default());
    let service = layer_of(&shop, Settle::Later).layer(echo(&seen));
    let (head, body) = send(&service, paid(&shop, 1)).await;
    assert_eq!((head.status, &body[..]), (StatusCode::OK, &b"secret:words"[..]));
    assert_eq!(text(&head.headers, "x-payment-status"), "accepted");
    assert!(!head.headers.contains_key("x-payment-transaction"));
    let (head, _) = send(&service, paid(&shop, 1)).await;
    assert_eq!(head.status, StatusCode::OK);
    shop.seller.close_tab().await;
    let (head, body) = send(&service, paid(&shop, 1)).await;
    assert_eq!((head.status, &body[..]), (StatusCode::OK, &b"secret:words"[..]));
    assert_eq!(text(&head.headers, "x-payment-status"), "settled");
    assert_eq!((seen.runs(), shop.chain.broadcasts()), (1, 1));
}

#[tokio::test]
async fn later_an_answer_that_breaks_off_costs_nothing() {
    let shop = Shop::new();
    let (pieces, body) = mpsc::channel(4);
    let body = Mutex::new(Some(Channel(body)));
    let service = Arc::new(body);
    let service = service_fn(move |_: Request<RequestBody<Full<Bytes>>>| {
        ready(Ok::<_, Infallible>(Response::new(service.lock().unwrap().take().unwrap())))
    });
    let service = layer_of(&shop, Settle::Later).layer(service);
    pieces.send(Ok(Bytes::from_static(b"the first of it"))).await.unwrap();
    let answer = service.clone().oneshot(paid(&shop, 1)).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    pieces.send(Err(broken())).await.unwrap();
    assert!(answer.into_body().collect().await.is_err());
    shop.seller.close_tab().await;
    assert_eq!(shop.chain.broadcasts(), 0);
}

#[tokio::test]
async fn of_many_at_once_one_is_worked_for_whenever_the_money_moves() {
    for settle in [Settle::After, Settle::Later] {
        let (shop, seen) = (Shop::new(), Seen::default());
        shop.chain.takes(Duration::from_millis(5));
        let service = layer_of(&shop, settle).layer(echo(&seen));
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..100 {
            let (service, request) = (service.clone(), paid(&shop, 1));
            tasks.spawn(async move { send(&service, request).await.0.status.as_u16() });
        }
        let statuses = tasks.join_all().await;
        assert!(statuses.iter().all(|status| [200, 409].contains(status)), "{statuses:?}");
        shop.seller.close_tab().await;
        assert_eq!((seen.runs(), shop.chain.broadcasts()), (1, 1));
    }
}
