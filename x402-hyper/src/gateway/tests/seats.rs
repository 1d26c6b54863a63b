//! Who gives way when there are too few places.

use std::collections::VecDeque;

use super::*;

/// A gateway with so many places, that would wait for everything for long.
async fn crowded(seats: usize) -> Stand {
    let hits = Hits::default();
    let authority = upstream(Arc::clone(&hits)).await;
    let options = GatewayOptions { max_connections: seats, ..GatewayOptions::default() };
    Stand::before(authority, DefaultRoute::Free, options, hits).await
}

/// Whether the gateway has hung up.
async fn is_closed(stream: &mut TcpStream) -> bool {
    let read = timeout(Duration::from_millis(200), stream.read(&mut [0; 1])).await;
    matches!(read, Ok(Ok(0) | Err(_)))
}

#[tokio::test]
async fn who_says_nothing_gives_way_the_oldest_first() {
    let stand = crowded(3).await;
    let mut silent = VecDeque::new();
    for sent in ["", "GET /hea", "GET /health HTTP/1.1\r\nHost: a\r\n\r\n"] {
        let mut stream = stand.connect().await;
        stream.write_all(sent.as_bytes()).await.unwrap();
        silent.push_back(stream);
        sleep(Duration::from_millis(150)).await;
    }
    // This one is idle, after its request.
    until(silent.back_mut().unwrap(), "SECRET").await;
    for _ in 0..3 {
        let begin = Instant::now();
        assert_eq!(status(&stand.raw(request("GET", "/health", "", "")).await), 200);
        assert!(begin.elapsed() < Duration::from_secs(1));
        let mut oldest = silent.pop_front().unwrap();
        assert!(is_closed(&mut oldest).await);
        for stream in &mut silent {
            assert!(!is_closed(stream).await, "one place is enough");
        }
        silent.push_back(stand.connect().await);
        sleep(Duration::from_millis(150)).await;
    }
}

#[tokio::test]
async fn who_is_served_does_not_give_way() {
    let stand = crowded(1).await;
    let paid = request("POST", "/v1/slow", &stand.payment(1), "{}");
    let mut first = stand.connect().await;
    first.write_all(paid.as_bytes()).await.unwrap();
    sleep(Duration::from_millis(50)).await;
    let begin = Instant::now();
    let other = stand.raw(request("POST", "/v1/slow", &stand.payment(2), "{}")).await;
    assert!(other.ends_with("SECRET /v1/slow 2"), "{other}");
    // Both had their turn, one after the other.
    assert!(begin.elapsed() > Duration::from_millis(300), "{:?}", begin.elapsed());
    assert!(read(&mut first).await.ends_with("SECRET /v1/slow 2"));
}

#[tokio::test]
async fn who_sends_no_body_or_does_not_read_gives_way() {
    let long = vec![b'a'; 8 << 20];
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let authority = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let long = long.clone();
            tokio::spawn(async move {
                let mut head = [0; 4096];
                let read = stream.read(&mut head).await.unwrap_or_default();
                if head[..read].starts_with(b"GET /health") {
                    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
                    return drop(stream.write_all(answer).await);
                }
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", long.len());
                drop(stream.write_all(head.as_bytes()).await);
                drop(stream.write_all(&long).await);
            });
        }
    });
    let body = "POST /health HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc";
    for stuck in [body, "GET /static/long HTTP/1.1\r\nHost: a\r\n\r\n"] {
        let options = GatewayOptions { max_connections: 1, ..GatewayOptions::default() };
        let hits = Hits::default();
        let stand = Stand::before(authority.clone(), DefaultRoute::Free, options, hits).await;
        let mut stream = stand.connect().await;
        stream.write_all(stuck.as_bytes()).await.unwrap();
        sleep(Duration::from_millis(200)).await;
        let begin = Instant::now();
        let answer = stand.raw(request("GET", "/health", "", "")).await;
        assert_eq!(status(&answer), 200, "{answer}");
        let waited = begin.elapsed();
        assert!(
            waited > Duration::from_millis(200) && waited < Duration::from_secs(4),
            "{waited:?}"
        );
    }
}

/// A place is taken by work that was paid for, and its connection upstream, though its client is gone.
#[tokio::test]
async fn work_whose_client_is_gone_keeps_its_place() {
    let stand = crowded(1).await;
    let mut leaver = stand.connect().await;
    let paid = request("POST", "/v1/slow", &stand.payment(1), "{}");
    leaver.write_all(paid.as_bytes()).await.unwrap();
    sleep(Duration::from_millis(80)).await;
    drop(leaver);
    assert_eq!(status(&stand.raw(request("GET", "/health", "", "")).await), 200);
    let answers = stand.hits.lock().unwrap().len();
    assert_eq!((answers, stand.shop.chain.broadcasts()), (2, 1));
    let again = stand.raw(&paid).await;
    assert!(again.ends_with("SECRET /v1/slow 2"), "{again}");
    assert_eq!(stand.hits(), 2);
}
