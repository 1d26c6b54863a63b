//! Upstreams that hang up, are down, or do not read what they are sent.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use super::*;

/// What an upstream does with the heads that it reads.
#[derive(Clone, Copy, PartialEq)]
enum Manner {
    Answers,
    /// Answers the first of a connection, and hangs up so much later.
    HangsUp(Duration),
    /// Answers the first of a connection, reads the second and hangs up.
    Forgets,
    /// Reads, and hangs up.
    Never,
    /// Answers every one, and takes a body for the next.
    ReadsNoBody,
}

type Heads = Arc<Mutex<Vec<(usize, String)>>>;

/// An upstream of one manner, and what it has read.
struct Odd {
    authority: String,
    /// With the number of its connection.
    heads: Heads,
    connections: Arc<AtomicUsize>,
}

impl Odd {
    async fn new(manner: Manner) -> Self {
        Self::at("127.0.0.1:0", manner).await
    }

    async fn at(address: &str, manner: Manner) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let authority = listener.local_addr().unwrap().to_string();
        let (heads, connections) = (Heads::default(), Arc::<AtomicUsize>::default());
        let (read, opened) = (Arc::clone(&heads), Arc::clone(&connections));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let number = opened.fetch_add(1, SeqCst);
                tokio::spawn(behave(stream, number, manner, Arc::clone(&read)));
            }
        });
        Self { authority, heads, connections }
    }

    /// How many requests with this in their heads have come.
    fn count(&self, text: &str) -> usize {
        self.heads.lock().unwrap().iter().filter(|(_, head)| head.contains(text)).count()
    }

    async fn stand(&self, options: GatewayOptions) -> Stand {
        let authority = self.authority.clone();
        Stand::before(authority, DefaultRoute::Free, options, Hits::default()).await
    }
}

async fn behave(mut stream: TcpStream, number: usize, manner: Manner, heads: Heads) {
    let mut is_first = true;
    while let Some(head) = head(&mut stream, manner == Manner::ReadsNoBody).await {
        let line = head.lines().next().unwrap_or_default().to_owned();
        heads.lock().unwrap().push((number, head));
        let is_answered = match manner {
            Manner::Never => false,
            Manner::Forgets => is_first,
            Manner::Answers | Manner::HangsUp(_) | Manner::ReadsNoBody => true,
        };
        if !is_answered {
            return;
        }
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{line}", line.len());
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
        if let Manner::HangsUp(wait) = manner {
            return sleep(wait).await;
        }
        is_first = false;
    }
}

/// The next head, and, but for who reads none, the body with it.
async fn head(stream: &mut TcpStream, is_without_body: bool) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).ok()?;
    let mut fields = head.lines().filter_map(|line| line.split_once(": "));
    let length = fields.find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let length = length.and_then(|(_, length)| length.parse().ok()).unwrap_or(0);
    if !is_without_body {
        stream.read_exact(&mut vec![0; length]).await.ok()?;
    }
    Some(head)
}

#[tokio::test]
async fn who_hangs_up_after_an_answer_loses_no_request() {
    for wait in [0, 1, 3] {
        let odd = Odd::new(Manner::HangsUp(Duration::from_millis(wait))).await;
        let stand = odd.stand(GatewayOptions::default()).await;
        for nonce in 1..60 {
            let answer = stand.raw(request("GET", "/health", "", "")).await;
            assert_eq!(status(&answer), 200, "{answer}");
            let answer = stand.raw(request("POST", "/health", "", "{}")).await;
            assert_eq!(status(&answer), 200, "{answer}");
            let paid = request("POST", "/v1/x", &stand.payment(nonce), "{}");
            let answer = stand.raw(paid).await;
            assert_eq!(status(&answer), 200, "{answer}");
            sleep(Duration::from_millis(u64::from(nonce) % 4)).await;
        }
        // And none is sent twice that may not be.
        assert_eq!((odd.count("POST /health"), odd.count("POST /v1/x")), (59, 59));
    }
}

#[tokio::test]
async fn what_may_come_twice_is_sent_again() {
    let odd = Odd::new(Manner::Forgets).await;
    let stand = odd.stand(GatewayOptions::default()).await;
    for method in ["GET", "PUT", "DELETE", "OPTIONS", "GET"] {
        let answer = stand.raw(request(method, "/health", "", "")).await;
        assert_eq!(status(&answer), 200, "{method} {answer}");
    }
    // Each but the first went out on the connection of the one before it, and on a new one.
    assert_eq!((odd.count("/health"), odd.connections.load(SeqCst)), (9, 5));
}

#[tokio::test]
async fn a_post_goes_out_once() {
    let odd = Odd::new(Manner::Never).await;
    let stand = odd.stand(GatewayOptions::default()).await;
    for (nonce, method, body) in [(1, "POST", "{}"), (2, "POST", ""), (3, "PATCH", "{}")] {
        let paid = request(method, "/v1/x", &stand.payment(nonce), body);
        let answer = stand.raw(paid).await;
        assert_eq!(status(&answer), 502, "{answer}");
        // What was sent may have been done, and was paid for.
        assert!(answer.contains("X-Payment-Status: settled"), "{answer}");
        assert_eq!(odd.heads.lock().unwrap().drain(..).count(), 1, "{method} {body}");
    }
}

#[tokio::test]
async fn a_post_does_not_go_out_on_a_connection_that_was_used() {
    let odd = Odd::new(Manner::Forgets).await;
    let stand = odd.stand(GatewayOptions::default()).await;
    for body in ["", "{}", "", "{}"] {
        assert_eq!(status(&stand.raw(request("GET", "/health", "", "")).await), 200);
        let answer = stand.raw(request("POST", "/health", "", body)).await;
        assert_eq!(status(&answer), 200, "{answer}");
    }
    assert_eq!(odd.count("POST"), 4);
}

#[tokio::test]
async fn where_the_upstream_heeds_keys_a_post_may_come_twice() {
    let odd = Odd::new(Manner::Forgets).await;
    let stand = odd.stand(GatewayOptions::default()).await;
    for (fields, expected) in [("", 1), ("Idempotency-Key: a\r\n", 2)] {
        assert_eq!(status(&stand.raw(request("GET", "/health", "", "")).await), 200);
        let answer = stand.raw(request("POST", "/keys", fields, "")).await;
        assert_eq!(status(&answer), 200, "{answer}");
        assert_eq!(odd.count("POST /keys"), expected);
        odd.heads.lock().unwrap().clear();
    }
    let answer = stand.raw(request("POST", "/health", "Idempotency-Key: a\r\n", "")).await;
    assert_eq!((status(&answer), odd.count("POST /health")), (200, 1));
}

#[tokio::test]
async fn connections_ahead_are_few_and_do_not_stay() {
    let odd = Odd::new(Manner::HangsUp(Duration::from_secs(60))).await;
    let stand = odd.stand(GatewayOptions::default()).await;
    for _ in 0..20 {
        assert_eq!(status(&stand.raw(request("POST", "/health", "", "{}")).await), 200);
    }
    let opened = odd.connections.load(SeqCst);
    assert!((20..=29).contains(&opened), "{opened}");
    sleep(Duration::from_millis(1_400)).await;
    // One that was left would have been used.
    assert_eq!(status(&stand.raw(request("POST", "/health", "", "{}")).await), 200);
    assert!(odd.connections.load(SeqCst) > opened);
}

#[tokio::test]
async fn where_no_connection_can_be_had_no_payment_is_taken() {
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let authority = nobody.local_addr().unwrap().to_string();
    drop(nobody);
    let options = impatient();
    let before = |authority| Stand::before(authority, DefaultRoute::Free, options, Hits::default());
    let stand = before(authority.clone()).await;
    let paid = request("POST", "/v1/x", &stand.payment(1), "{}");
    for method in ["POST", "GET", "POST"] {
        let paid = request(method, "/v1/x", &stand.payment(1), "{}");
        let answer = stand.raw(&paid).await;
        assert_eq!(status(&answer), 502, "{answer}");
        for text in ["X-Payment-Status: not-charged", "upstream_unreachable", "\"help\":\"send"] {
            assert!(answer.contains(text), "{answer}");
        }
        assert!(!answer.contains("X-Payment-Transaction: "), "{answer}");
    }
    assert_eq!((stand.shop.chain.asked(), stand.shop.chain.broadcasts()), (0, 0));
    // Once it is back, the very same payment is good.
    let odd = Odd::at(&authority, Manner::HangsUp(Duration::ZERO)).await;
    let answer = stand.raw(&paid).await;
    assert!(answer.contains("X-Payment-Status: settled"), "{answer}");
    assert_eq!((odd.count("POST"), stand.shop.chain.broadcasts()), (1, 1));
}

#[tokio::test]
async fn an_upstream_that_is_ending_is_not_paid_for() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let authority = listener.local_addr().unwrap().to_string();
    let stand = Stand::before(authority, DefaultRoute::Free, impatient(), Hits::default()).await;
    let get = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        drop(stream.read(&mut [0; 4096]).await);
        // It takes no other connection, and keeps this one.
        drop(listener);
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await.unwrap();
        stream
    });
    assert_eq!(status(&stand.raw(request("GET", "/health", "", "")).await), 200);
    let _kept = get.await.unwrap();
    let answer = stand.raw(request("POST", "/v1/x", &stand.payment(1), "{}")).await;
    assert_eq!((status(&answer), stand.shop.chain.asked()), (502, 0), "{answer}");
    assert!(answer.contains("X-Payment-Status: not-charged"), "{answer}");
}

#[tokio::test]
async fn an_upstream_that_serves_one_connection_at_a_time_is_not_held_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let authority = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            behave(stream, 0, Manner::Answers, Heads::default()).await;
        }
    });
    let options = GatewayOptions::default();
    let stand = Stand::before(authority, DefaultRoute::Free, options, Hits::default()).await;
    let begin = Instant::now();
    for nonce in 1..4 {
        assert_eq!(status(&stand.raw(request("GET", "/health", "", "")).await), 200);
        let paid = request("POST", "/v1/x", &stand.payment(nonce), "{}");
        assert_eq!(status(&stand.raw(paid).await), 200);
    }
    assert!(begin.elapsed() < Duration::from_secs(3), "{:?}", begin.elapsed());
}

#[tokio::test]
async fn what_was_taken_before_is_given_though_the_upstream_is_down() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let authority = listener.local_addr().unwrap().to_string();
    let stand = Stand::before(authority, DefaultRoute::Free, impatient(), Hits::default()).await;
    let paid = |nonce| request("POST", "/v1/x", &stand.payment(nonce), "{}");
    let (whole, owed, fresh) = (paid(1), paid(2), paid(3));
    // The first is answered, the second broken off.
    tokio::spawn(async move {
        let answers = ["HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone", ""];
        for answer in answers {
            let mut stream = loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                // Those that are opened ahead may never be used.
                let read = timeout(Duration::from_millis(200), stream.read(&mut [0; 4096])).await;
                if matches!(read, Ok(Ok(1..))) {
                    break stream;
                }
            };
            drop(stream.write_all(answer.as_bytes()).await);
        }
    });
    assert!(stand.raw(&whole).await.ends_with("done"));
    assert_eq!(status(&stand.raw(&owed).await), 502);
    sleep(Duration::from_millis(1_400)).await;
    // Nobody listens any more.
    assert!(stand.raw(&whole).await.ends_with("done"));
    let answer = stand.raw(&owed).await;
    assert_eq!(status(&answer), 502, "{answer}");
    assert!(answer.contains("X-Payment-Status: settled"), "{answer}");
    let answer = stand.raw(fresh).await;
    assert!(answer.contains("X-Payment-Status: not-charged"), "{answer}");
    assert_eq!(stand.shop.chain.broadcasts(), 2);
}

#[tokio::test]
async fn a_body_that_is_not_read_is_no_request_of_the_next_client() {
    let odd = Odd::new(Manner::ReadsNoBody).await;
    let stand = odd.stand(GatewayOptions::default()).await;
    let inner = "GET /harmless HTTP/1.1\r\nHost: a\r\n\r\n";
    let chunked = format!("{:x}\r\n{inner}\r\n0\r\n\r\n", inner.len());
    for round in 0..20 {
        let target = format!("/health?{round}");
        let answer = match round % 2 {
            0 => stand.raw(request("POST", &target, "", inner)).await,
            _ => {
                let head = format!("PUT {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n");
                stand.raw(format!("{head}Transfer-Encoding: chunked\r\n\r\n{chunked}")).await
            }
        };
        assert!(answer.contains(&target) || status(&answer) == 502, "{answer}");
        let other = format!("/health?other-{round}");
        let answer = stand.raw(request("GET", &other, "", "")).await;
        assert!(answer.ends_with(&format!("GET {other} HTTP/1.1")), "{answer}");
    }
    let heads = odd.heads.lock().unwrap();
    let heads = heads.iter().map(|(_, head)| head);
    let with_body = heads.filter(|head| head.starts_with("POST") || head.starts_with("PUT"));
    assert!(with_body.clone().count() == 20);
    for head in with_body {
        assert!(head.to_lowercase().contains("\r\nconnection: close\r\n"), "{head}");
    }
}

#[tokio::test]
async fn an_upstream_that_reads_every_body_keeps_its_connections() {
    for (keepalive, is_kept) in [(Keepalive::WithoutBody, false), (Keepalive::Always, true)] {
        let (odd, shop) = (Odd::new(Manner::Answers).await, Shop::new());
        let upstream = Upstream { keepalive, ..upstream_at(odd.authority.clone()) };
        let (router, options) = (router(DefaultRoute::Free), GatewayOptions::default());
        let gateway = Gateway::with(router, &upstream, shop.seller, options).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(gateway.serve(listener, core::future::pending()));
        for (method, body) in [("POST", "{}"), ("GET", "")] {
            let mut client = TcpStream::connect(address).await.unwrap();
            client.write_all(request(method, "/health", "", body).as_bytes()).await.unwrap();
            assert_eq!(status(&read(&mut client).await), 200);
        }
        let heads = odd.heads.lock().unwrap();
        let [(first, post), (second, get)] = &heads[..] else { panic!("{heads:?}") };
        assert!(post.starts_with("POST") && get.starts_with("GET"));
        assert_eq!(first == second, is_kept);
        assert_eq!(!post.to_lowercase().contains("connection: close"), is_kept);
    }
}

#[tokio::test]
async fn fields_behind_a_request_are_passed_on_but_for_the_gateways_own() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let authority = listener.local_addr().unwrap().to_string();
    let stand = Stand::before(authority, DefaultRoute::Free, impatient(), Hits::default()).await;
    let mut client = stand.connect().await;
    let head = format!(
        "POST /v1/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n{}\
         Trailer: X-Sum, X-Payer, X-Forwarded-For, X-Payment-Minutes\r\n\r\n",
        stand.payment(1)
    );
    let body = "4\r\ndata\r\n0\r\nX-Sum: 7\r\nX-Payer: evil\r\nX-Forwarded-For: evil\r\n\
                X-Payment-Minutes: evil\r\n\r\n";
    client.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
    let (mut server, _) = listener.accept().await.unwrap();
    let mut seen = Vec::new();
    while !seen.ends_with(b"x-sum: 7\r\n\r\n") {
        let read = timeout(Duration::from_secs(5), server.read_buf(&mut seen)).await;
        assert!(read.unwrap().unwrap() > 0, "{}", String::from_utf8_lossy(&seen));
    }
    assert!(!String::from_utf8_lossy(&seen).contains("evil"));
}
