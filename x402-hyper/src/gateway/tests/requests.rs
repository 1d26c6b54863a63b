//! Requests that are no requests, or are not read to their end.

use super::*;

#[tokio::test]
async fn a_body_in_no_form_is_the_clients_fault() {
    let stand = Stand::new(DefaultRoute::Free).await;
    let chunks =
        ["xyz\r\ndata\r\n0\r\n\r\n", "4\r\ndata!\r\n0\r\n\r\n", "-1\r\n\r\n", "4\r\ndata\r\n;\r\n"];
    for (nonce, chunks) in (0..).step_by(4).zip(chunks) {
        for (nonce, target, status_of) in [
            (nonce, "/health", ""),
            (nonce + 1, "/v1/x", "X-Payment-Status: settled\r\n"),
            (nonce + 2, "/after/x", "X-Payment-Status: not-charged\r\n"),
            (nonce + 3, "/later/x", "X-Payment-Status: not-charged\r\n"),
        ] {
            let head =
                format!("POST {target} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n");
            let answer = stand.raw(format!("{head}{}\r\n{chunks}", stand.payment(nonce))).await;
            assert_eq!(status(&answer), 400, "{target} {chunks}: {answer}");
            assert!(answer.contains("invalid_body") && answer.contains(status_of), "{answer}");
            assert!(answer.contains("Connection: close\r\n"), "{answer}");
        }
    }
    assert_eq!(stand.hits(), 0);
}

#[tokio::test]
async fn a_host_that_no_url_may_have_is_refused() {
    let stand = Stand::new(DefaultRoute::Free).await;
    for host in ["", " ", "a b", "\"a\"", "a/b", "a@b", "a?b", "a:b", "a#b", "<a>"] {
        for target in ["/v1/x", "/health", "http://shop.example/v1/x"] {
            let text =
                format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
            let answer = stand.raw(text).await;
            assert_eq!(status(&answer), 400, "{host}: {answer}");
            assert!(answer.contains("invalid_request"), "{answer}");
        }
    }
    let answer = stand.raw(request("GET", "http://me@shop.example/v1/x", "", "")).await;
    assert_eq!(status(&answer), 400, "{answer}");
    let text = "GET /v1/x HTTP/1.1\r\nHost: [::1]:80\r\nConnection: close\r\n\r\n";
    let answer = stand.raw(text).await;
    assert!(answer.contains("http://[::1]:80/v1/x"), "{answer}");
    assert_eq!(stand.hits(), 0);
}

#[tokio::test]
async fn over_a_body_that_is_not_read_the_connection_is_closed_and_says_so() {
    let stand = Stand::new(DefaultRoute::Free).await;
    let long = "Content-Length: 100000\r\n";
    let asks = "Content-Length: 4\r\nExpect: 100-continue\r\n";
    let odd = "Transfer-Encoding: chunked\r\n";
    for (target, expected) in [("/v1/x", 402), ("/health/%2F", 404), ("/both", 402)] {
        for fields in [long, asks, odd] {
            let head = format!("POST {target} HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
            let answer = stand.raw(head).await;
            assert_eq!(status(&answer), expected, "{answer}");
            assert!(answer.contains("Connection: close\r\n"), "{fields} {answer}");
        }
    }
    // A short one is read, and the connection is good for the next request.
    let short = "POST /v1/x HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\ndata";
    let last = request("GET", "/health", "", "");
    let answer = stand.raw(format!("{short}{short}{last}")).await;
    assert_eq!(answer.matches("HTTP/1.1 402 ").count(), 2, "{answer}");
    assert!(answer.ends_with("SECRET /health 0"), "{answer}");
    assert_eq!(answer.matches("Connection: close").count(), 1, "{answer}");
}

#[tokio::test]
async fn a_page_may_read_what_the_gateway_refuses_before_there_is_a_price() {
    let options = GatewayOptions { max_body: Some(4), ..GatewayOptions::default() };
    let hits = Hits::default();
    let behind = upstream(Arc::clone(&hits)).await;
    let stand = Stand::before(behind, DefaultRoute::Free, options, hits).await;
    let long = request("POST", "/v1/x", "Origin: https://page.example\r\n", "{\"a\":1}");
    let trace = request("TRACE", "/v1/x", "Origin: https://page.example\r\n", "");
    for (text, expected) in [(long, 413), (trace, 405)] {
        let answer = stand.raw(text).await;
        assert_eq!(status(&answer), expected, "{answer}");
        assert!(answer.contains("Access-Control-Allow-Origin: *\r\n"), "{answer}");
    }
    assert_eq!(stand.hits(), 0);
}
