//! Answers that are less than what was asked for, and those that may be.

use super::*;

async fn stand(answer: &'static [u8]) -> Stand {
    let authority = canned(answer, Duration::ZERO).await;
    Stand::before(authority, DefaultRoute::Free, impatient(), Hits::default()).await
}

/// How often a field with this name and value is in an answer's head.
fn count(answer: &str, line: &str) -> usize {
    answer.lines().filter(|found| found.eq_ignore_ascii_case(line)).count()
}

#[tokio::test]
async fn what_was_paid_for_is_neither_empty_nor_a_part() {
    for answer in [
        &b"HTTP/1.1 304 Not Modified\r\n\r\n"[..],
        b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-0/9\r\nContent-Length: 1\r\n\r\nS",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: a\r\nConnection: upgrade\r\n\r\nSECRET",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nSECRET\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nSECRET",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1, 2\r\n\r\nSECRET",
    ] {
        let stand = stand(answer).await;
        for (nonce, method) in [(1, "GET"), (2, "POST")] {
            let paid = request(method, "/v1/x", &stand.payment(nonce), "");
            for _ in 0..2 {
                // It is owed still.
                let answer = stand.raw(&paid).await;
                assert_eq!(status(&answer), 502, "{answer}");
                assert_eq!(count(&answer, "X-Payment-Status: settled"), 1, "{answer}");
                assert!(!answer.contains("SECRET"), "{answer}");
            }
            let after = request(method, "/after/x", &stand.payment(nonce + 10), "");
            let answer = stand.raw(after).await;
            assert_eq!(status(&answer), 502, "{answer}");
            assert_eq!(count(&answer, "X-Payment-Status: not-charged"), 1, "{answer}");
            for name in ["Access-Control-Expose-Headers", "Vary", "Cache-Control"] {
                let name = format!("{name}: ");
                let lines = answer.lines().filter(|line| line.starts_with(&name));
                assert_eq!(lines.count(), 1, "{answer}");
            }
        }
        assert_eq!(stand.shop.chain.broadcasts(), 2);
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_not_given_and_not_charged() {
    for answer in [
        &b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nSECRET"[..],
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nSECRET\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nSECRET\r\nxyz\r\n",
    ] {
        let stand = stand(answer).await;
        let answer = stand.raw(request("POST", "/after/x", &stand.payment(1), "{}")).await;
        assert_eq!(status(&answer), 502, "{answer}");
        assert!(answer.contains("incomplete_answer") && !answer.contains("SECRET"), "{answer}");
        assert_eq!(count(&answer, "X-Payment-Status: not-charged"), 1, "{answer}");
        assert_eq!(stand.shop.chain.broadcasts(), 0);
    }
}

#[tokio::test]
async fn what_the_client_has_already_is_free_where_it_is_not_paid_yet() {
    let stand = stand(b"HTTP/1.1 304 Not Modified\r\nETag: a\r\n\r\n").await;
    let condition = "If-None-Match: a\r\n";
    for (nonce, target, status_of, broadcasts) in
        [(1, "/after/x", "not-charged", 0), (2, "/v1/x", "settled", 1)]
    {
        let fields = format!("{condition}{}", stand.payment(nonce));
        let paid = request("GET", target, &fields, "");
        for _ in 0..2 {
            let answer = stand.raw(&paid).await;
            assert_eq!(status(&answer), 304, "{answer}");
            assert_eq!(count(&answer, &format!("X-Payment-Status: {status_of}")), 1, "{answer}");
        }
        assert_eq!(stand.shop.chain.broadcasts(), broadcasts);
    }
}

#[tokio::test]
async fn a_part_is_bought_as_that_part() {
    let part = b"HTTP/1.1 206 Partial Content\r\nAccept-Ranges: bytes\r\n\
                 Content-Range: bytes 0-3/9\r\nContent-Length: 4\r\n\r\nPART";
    let parts = stand(part).await;
    let paid = |range: &str| {
        let fields = format!("Range: {range}\r\n{}", parts.payment(1));
        request("GET", "/v1/x", &fields, "")
    };
    for _ in 0..2 {
        let answer = parts.raw(paid("bytes=0-3")).await;
        assert!(status(&answer) == 206 && answer.ends_with("PART"), "{answer}");
        assert_eq!(count(&answer, "Accept-Ranges: bytes"), 1, "{answer}");
    }
    for other in ["bytes=0-4", "bytes=4-"] {
        assert_eq!(status(&parts.raw(paid(other)).await), 409);
    }
    let whole = request("GET", "/v1/x", &parts.payment(1), "");
    assert_eq!(status(&parts.raw(whole).await), 409);
    assert_eq!(parts.shop.chain.broadcasts(), 1);
}

#[tokio::test]
async fn a_head_of_what_is_sold_costs_nothing() {
    let stand = Stand::new(DefaultRoute::NotFound).await;
    let length = |answer: &str| {
        let line = answer.lines().find(|line| line.starts_with("Content-Length: "));
        line.unwrap_or_default().to_owned()
    };
    let price = stand.raw(request("GET", "/v1/x", "", "")).await;
    for fields in ["", &stand.payment(1)] {
        let answer = stand.raw(request("HEAD", "/v1/x", fields, "")).await;
        assert_eq!(status(&answer), 402, "{answer}");
        assert_eq!(length(&answer), length(&price));
        assert!(answer.ends_with("\r\n\r\n"), "{answer}");
        let charged = count(&answer, "X-Payment-Status: not-charged");
        assert_eq!(charged, usize::from(!fields.is_empty()), "{answer}");
    }
    assert_eq!((stand.hits(), stand.shop.chain.asked()), (0, 0));
    let answer = stand.raw(request("GET", "/v1/x", &stand.payment(1), "")).await;
    assert_eq!(status(&answer), 200, "{answer}");
    assert_eq!(status(&stand.raw(request("HEAD", "/health", "", "")).await), 200);
}

#[tokio::test]
async fn fields_behind_an_answer_are_passed_on_to_who_takes_them() {
    let answer =
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum, X-Payment-Status\r\n\
                   \r\n4\r\ndata\r\n0\r\nX-Sum: 7\r\nX-Payment-Status: forged\r\n\r\n";
    let stand = stand(answer).await;
    for (target, fields) in [("/health", String::new()), ("/v1/x", stand.payment(1))] {
        let taken = format!("TE: trailers\r\n{fields}");
        let answer = stand.raw(request("GET", target, &taken, "")).await;
        assert!(answer.to_lowercase().ends_with("0\r\nx-sum: 7\r\n\r\n"), "{answer}");
        assert!(!answer.contains("forged"), "{answer}");
    }
    let answer = stand.raw(request("GET", "/health", "", "")).await;
    assert!(answer.ends_with("data\r\n0\r\n\r\n"), "{answer}");
}
