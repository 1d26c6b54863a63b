//! What is put up with, for each route.

use super::*;

/// A gateway with one route, at `/v1/x`, that has these limits.
async fn limited(authority: String, limits: RequestLimits, options: GatewayOptions) -> Stand {
    let usdc = OwnedAsset::from(Asset::find(ChainId::ETHEREUM, "USDC").unwrap());
    let pay_to = Shop::new().offer.requirements().pay_to;
    let limited = Route { limits, ..route(exact("/v1/x"), &[], true) };
    let routes = [limited, route(exact("/v1/y"), &[], true), route(exact("/free"), &[], false)];
    let router = Router::new(&usdc, pay_to, &routes, DefaultRoute::Free);
    Stand::selling(router, authority, options, Hits::default()).await
}

#[tokio::test]
async fn a_route_waits_longer_than_the_others() {
    const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlate";
    let authority = canned(ANSWER, Duration::from_millis(900)).await;
    let limits =
        RequestLimits { answer_timeout: Some(Duration::from_secs(5)), ..RequestLimits::default() };
    let stand = limited(authority, limits, impatient()).await;
    let answer = stand.raw(request("GET", "/v1/x", &stand.payment(1), "")).await;
    assert!(answer.ends_with("late"), "{answer}");
    for target in ["/v1/y", "/free"] {
        let answer = stand.raw(request("GET", target, &stand.payment(2), "")).await;
        assert_eq!(status(&answer), 504, "{answer}");
    }
}

#[tokio::test]
async fn a_route_bears_longer_silences() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let authority = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        for _ in 0..2 {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                drop(stream.read(&mut [0; 4096]).await);
                drop(stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nbeg").await);
                sleep(Duration::from_millis(700)).await;
                drop(stream.write_all(b"end").await);
                sleep(Duration::from_secs(1)).await;
            });
        }
    });
    let limits =
        RequestLimits { idle_timeout: Some(Duration::from_secs(5)), ..RequestLimits::default() };
    let stand = limited(authority, limits, impatient()).await;
    let whole = stand.raw(request("GET", "/v1/x", &stand.payment(1), "")).await;
    assert!(whole.ends_with("begend"), "{whole}");
    let broken = stand.raw(request("GET", "/v1/y", &stand.payment(2), "")).await;
    assert!(!broken.ends_with("end"), "{broken}");
}

#[tokio::test]
async fn a_body_that_is_too_long_is_not_charged_where_its_length_is_said() {
    let hits = Hits::default();
    let authority = upstream(Arc::clone(&hits)).await;
    let limits = RequestLimits { body_limit: Some(10), ..RequestLimits::default() };
    let options = GatewayOptions { max_body: Some(20), ..GatewayOptions::default() };
    let stand = limited(authority, limits, options).await;
    for (target, length, expected) in
        [("/v1/x", 11, 413), ("/v1/y", 21, 413), ("/free", 21, 413), ("/free", 20, 200)]
    {
        let answer = stand.raw(request("POST", target, "", &"a".repeat(length))).await;
        assert_eq!(status(&answer), expected, "{target} {answer}");
    }
    let long = stand.raw(request("POST", "/v1/x", &stand.payment(1), &"a".repeat(11))).await;
    assert_eq!(status(&long), 413, "{long}");
    assert_eq!((hits.lock().unwrap().len(), stand.shop.chain.broadcasts()), (1, 0));
    let answer = stand.raw(request("POST", "/v1/x", &stand.payment(1), &"a".repeat(10))).await;
    assert!(answer.ends_with("SECRET /v1/x 10"), "{answer}");
}

/// What is longer than it says is found out when it was paid for: the payment is good for a shorter one.
#[tokio::test]
async fn a_body_that_turns_out_too_long_uses_no_payment_up() {
    let hits = Hits::default();
    let authority = upstream(Arc::clone(&hits)).await;
    let limits = RequestLimits { body_limit: Some(10), ..RequestLimits::default() };
    let stand = limited(authority, limits, GatewayOptions::default()).await;
    let head = format!(
        "POST /v1/x HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n{}\r\n",
        stand.payment(1)
    );
    let long = stand.raw(format!("{head}6\r\naaaaaa\r\n6\r\naaaaaa\r\n0\r\n\r\n")).await;
    assert_eq!(status(&long), 413, "{long}");
    let short = stand.raw(format!("{head}6\r\naaaaaa\r\n0\r\n\r\n")).await;
    assert!(
        short.ends_with("\r\nSECRET /v1/x 6\r\n0\r\n\r\n") || short.ends_with("SECRET /v1/x 6"),
        "{short}"
    );
    assert_eq!(stand.shop.chain.broadcasts(), 1);
}

#[tokio::test]
async fn a_route_keeps_more_or_less_of_its_answers() {
    let hits = Hits::default();
    let authority = upstream(Arc::clone(&hits)).await;
    let limits = RequestLimits { kept_answer: Some(4), ..RequestLimits::default() };
    let stand = limited(authority, limits, GatewayOptions::default()).await;
    for (target, nonce, again) in [("/v1/x", 1, 409), ("/v1/y", 2, 200)] {
        let paid = request("GET", target, &stand.payment(nonce), "");
        assert_eq!(status(&stand.raw(&paid).await), 200);
        let answer = stand.raw(&paid).await;
        assert_eq!(status(&answer), again, "{answer}");
    }
}

#[tokio::test]
async fn a_route_waits_longer_for_bodies() {
    let hits = Hits::default();
    let authority = upstream(Arc::clone(&hits)).await;
    let limits =
        RequestLimits { body_time: Some(Duration::from_secs(5)), ..RequestLimits::default() };
    // The request is sent in that time, too.
    let options = GatewayOptions { answer_timeout: Duration::from_secs(5), ..impatient() };
    let stand = limited(authority, limits, options).await;
    for (target, nonce, expected) in [("/v1/x", 1, 200), ("/v1/y", 2, 408)] {
        let whole = request("POST", target, &stand.payment(nonce), "whole");
        let mut stream = stand.connect().await;
        let (first, rest) = whole.split_at(whole.len() - 2);
        stream.write_all(first.as_bytes()).await.unwrap();
        sleep(Duration::from_millis(700)).await;
        drop(stream.write_all(rest.as_bytes()).await);
        let answer = read(&mut stream).await;
        assert_eq!(status(&answer), expected, "{answer}");
    }
}
