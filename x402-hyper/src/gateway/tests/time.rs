//! WebSockets, sold by the minute.

use core::num::NonZeroU32;

use x402_core::tariff::Model;
use x402_std::quote::{Pass, RouteHash};

use super::*;
use crate::server::testing::{NOW, keys, keys_of, offer};

const CLOSED: &[u8] = b"\x88\x12\x11\x32payment required";

/// What the upstream does with a connection that was handed over.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Does {
    /// Sends everything back.
    Echoes,
    /// Sends the half of a frame, and the rest after a second and a half.
    IsCutShort,
}

fn timed(path: PathPattern, price: &str) -> Route {
    let model = Model::PerMinute {
        price: Price::parse(price).unwrap(),
        minimum_minutes: NonZeroU32::new(10).unwrap(),
    };
    let tariff = OwnedTariff::new(model, 6).unwrap();
    let sold = Sold { tariff, fixed: None, tokens: None, upto: Upto::No };
    Route { pricing: Pricing::Paid(Box::new(sold)), ..route(path, &[], false) }
}

fn router(routes: &[Route]) -> Router {
    let usdc = OwnedAsset::from(Asset::find(ChainId::ETHEREUM, "USDC").unwrap());
    let pay_to = offer(1).requirements().pay_to;
    Router::new(&usdc, pay_to, routes, DefaultRoute::NotFound)
}

fn by_the_minute(price: &str) -> Router {
    router(&[timed(prefix("/live/"), price), route(exact("/paid"), &[], true)])
}

/// An upstream that hands over every connection, and says when one has ended.
async fn sockets(does: Does) -> (String, mpsc::UnboundedReceiver<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (ended, ends) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let ended = ended.clone();
            tokio::spawn(async move {
                socket(stream, does).await;
                let _ = ended.send(());
            });
        }
    });
    (address, ends)
}

async fn socket(mut stream: TcpStream, does: Does) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap().to_lowercase();
    for line in
        ["upgrade: websocket", "connection: upgrade", "sec-websocket-key: abc", "x-payer: 0x"]
    {
        assert!(head.contains(line), "{head}");
    }
    let answer = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                  Sec-WebSocket-Accept: xyz\r\n\r\n";
    stream.write_all(answer.as_bytes()).await.unwrap();
    if does == Does::IsCutShort {
        stream.write_all(b"\x82\x0aforty").await.unwrap();
        sleep(Duration::from_millis(1500)).await;
        drop(stream.write_all(b"-two.\x82\x01x").await);
    }
    let mut buffer = [0; 1024];
    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
        if stream.write_all(&buffer[..count]).await.is_err() {
            break;
        }
    }
}

async fn stand(does: Does) -> (Stand, mpsc::UnboundedReceiver<()>) {
    stand_of(does, "gateway", "0.001").await
}

/// A gateway of that name, where a minute costs so much.
async fn stand_of(does: Does, name: &str, price: &str) -> (Stand, mpsc::UnboundedReceiver<()>) {
    let (authority, ends) = sockets(does).await;
    let options = GatewayOptions { max_connections: 1, ..impatient() };
    let shop = Shop::new();
    let upstream = upstream_at(authority);
    let gateway = Gateway::with(by_the_minute(price), &upstream, Arc::clone(&shop.seller), options);
    let gateway = gateway.unwrap().signing(keys_of(name));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (stop, stopped) = oneshot::channel();
    let gateway = tokio::spawn(gateway.serve(listener, async { drop(stopped.await) }));
    (Stand { address, hits: Hits::default(), shop, stop, gateway }, ends)
}

fn upgrade(path: &str, fields: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Key: abc\r\n{fields}\r\n"
    )
}

/// A pass that ends in so many seconds.
fn pass(seconds: u64) -> String {
    let offer = offer(1);
    let terms = offer.requirements();
    let pass = Pass {
        chain_id: terms.chain_id,
        asset: terms.asset,
        pay_to: terms.pay_to,
        // The methods and the path of the route.
        route: RouteHash::of(" /live/ *"),
        price: Amount::from_units(1_000),
        payer: payer(),
        until: NOW + seconds,
    };
    format!("X-Payment-Pass: {}\r\n", pass.sign(&keys()))
}

/// Opens a tunnel and gives it, from behind the head on, with the head.
async fn open(stand: &Stand, fields: &str) -> (TcpStream, String) {
    let mut stream = stand.connect().await;
    stream.write_all(upgrade("/live/chat", fields).as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let byte = timeout(Duration::from_secs(5), stream.read_u8()).await;
        head.push(byte.unwrap().unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    for line in ["upgrade: websocket", "connection: upgrade", "sec-websocket-accept: xyz"] {
        assert!(head.to_lowercase().contains(line), "{head}");
    }
    (stream, head)
}

/// A frame of a client, sent and received again.
async fn exchange(stream: &mut TcpStream) {
    let frame = b"\x82\x05hello";
    stream.write_all(frame).await.unwrap();
    let mut back = [0; 7];
    timeout(Duration::from_secs(5), stream.read_exact(&mut back)).await.unwrap().unwrap();
    assert_eq!(&back, frame);
}

async fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut rest = Vec::new();
    let all = timeout(Duration::from_secs(10), stream.read_to_end(&mut rest)).await;
    drop(all.expect("it is not closed"));
    rest
}

#[tokio::test]
async fn a_tunnel_ends_with_its_time_and_says_so() {
    let (stand, mut ends) = stand(Does::Echoes).await;
    let (mut stream, _) = open(&stand, &pass(2)).await;
    exchange(&mut stream).await;
    assert_eq!(rest(&mut stream).await, CLOSED);
    timeout(Duration::from_secs(5), ends.recv()).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_frame_that_has_begun_comes_to_its_end() {
    let (stand, _ends) = stand(Does::IsCutShort).await;
    let (mut stream, _) = open(&stand, &pass(1)).await;
    assert_eq!(rest(&mut stream).await, [&b"\x82\x0aforty-two."[..], CLOSED].concat());
}

#[tokio::test]
async fn a_tunnel_is_paid_for_and_gives_a_pass() {
    let (stand, mut ends) = stand(Does::Echoes).await;
    // Ten minutes at a tenth of a cent.
    let (mut stream, head) = open(&stand, &stand.payment(1)).await;
    exchange(&mut stream).await;
    let pass = head.lines().find(|line| line.to_lowercase().starts_with("x-payment-pass:"));
    let pass = format!("{}\r\n", pass.expect("one"));
    assert_eq!(stand.shop.chain.broadcasts(), 1);
    // There is one place, and it is taken.
    let mut waiting = stand.connect().await;
    waiting.write_all(upgrade("/live/chat", &pass).as_bytes()).await.unwrap();
    let early = timeout(Duration::from_millis(300), waiting.read_u8()).await;
    assert!(early.is_err(), "a tunnel takes no place");
    drop(stream);
    timeout(Duration::from_secs(10), ends.recv()).await.unwrap().unwrap();
    assert_eq!(timeout(Duration::from_secs(10), waiting.read_u8()).await.unwrap().unwrap(), b'H');
    drop(waiting);
    // The payment is used, and its pass is told again.
    let again =
        timeout(Duration::from_secs(10), stand.raw(upgrade("/live/chat", &stand.payment(1))));
    let again = again.await.unwrap();
    assert_eq!(status(&again), 409, "{again}");
    assert!(again.to_lowercase().contains("x-payment-pass: "), "{again}");
    assert_eq!(stand.shop.chain.broadcasts(), 1);
}

#[tokio::test]
async fn a_gateway_that_ends_takes_its_tunnels_with_it() {
    let (stand, _ends) = stand(Does::Echoes).await;
    let (mut stream, _) = open(&stand, &pass(600)).await;
    exchange(&mut stream).await;
    stand.stop.send(()).unwrap();
    assert_eq!(rest(&mut stream).await, b"\x88\x02\x03\xe9");
    timeout(Duration::from_secs(10), stand.gateway).await.unwrap().unwrap();
}

/// Ten minutes cost what the payment is of, and their quote is of no use for twenty.
#[tokio::test]
async fn a_quote_for_few_minutes_buys_no_more() {
    let (stand, _ends) = stand(Does::Echoes).await;
    let minutes = |minutes: u32, more: &str| {
        request("GET", "/live/a", &format!("X-Payment-Minutes: {minutes}\r\n{more}"), "")
    };
    let unpaid = stand.raw(minutes(10, "")).await;
    let quote = unpaid.lines().find(|line| line.to_lowercase().starts_with("x-payment-quote:"));
    let quote = format!("{}\r\n{}", quote.expect("one"), stand.payment(1));
    let refused = stand.raw(minutes(20, &quote)).await;
    assert_eq!(status(&refused), 402, "{refused}");
    assert!(refused.contains("X-Payment-Error: 402.1"), "{refused}");
    assert_eq!(stand.shop.chain.broadcasts(), 0);
}

/// A field of a head, as it stands there.
fn field(head: &str, name: &str) -> String {
    let line = head.lines().find(|line| line.to_lowercase().starts_with(&format!("{name}:")));
    format!("{}\r\n", line.expect("one"))
}

/// Of a seller with one secret: what was paid at the cheap one is no time at the dear one.
#[tokio::test]
async fn a_pass_of_another_gateway_is_refused() {
    let (cheap, _ends) = stand_of(Does::Echoes, "cheap", "0.001").await;
    let (dear, _ends) = stand_of(Does::Echoes, "dear", "5.00").await;
    let (stream, head) = open(&cheap, &cheap.payment(1)).await;
    drop(stream);
    let pass = field(&head, "x-payment-pass");
    let refused = dear.raw(request("GET", "/live/chat", &pass, "")).await;
    assert_eq!(status(&refused), 402, "{refused}");
    assert!(refused.contains("invalid_pass"), "{refused}");
    let (mut stream, _) = open(&cheap, &pass).await;
    exchange(&mut stream).await;
}

#[tokio::test]
async fn a_quote_of_another_gateway_is_refused() {
    let (cheap, _ends) = stand_of(Does::Echoes, "cheap", "0.001").await;
    let (dear, _ends) = stand_of(Does::Echoes, "dear", "7.00").await;
    let unpaid = cheap.raw(request("GET", "/live/chat", "", "")).await;
    let quoted = format!("{}{}", field(&unpaid, "x-payment-quote"), cheap.payment(1));
    let refused = dear.raw(request("GET", "/live/chat", &quoted, "")).await;
    assert_eq!(status(&refused), 402, "{refused}");
    assert!(refused.contains("X-Payment-Error: 402.1"), "{refused}");
    assert_eq!(dear.shop.chain.broadcasts(), 0);
    open(&cheap, &quoted).await;
    assert_eq!(cheap.shop.chain.broadcasts(), 1);
}

#[test]
fn exact_and_wildcard_routes_are_different() {
    let post = Route { methods: vec!["POST".to_owned()], ..timed(exact("/b"), "1") };
    let get = Route { methods: vec!["GET".to_owned()], ..timed(exact("/b"), "1") };
    let routes = [
        timed(exact("/a/"), "1"),
        timed(prefix("/a/"), "1"),
        timed(exact("/a"), "1"),
        post,
        get,
        timed(exact("/"), "1"),
        timed(prefix("/"), "1"),
    ];
    let router = router(&routes);
    let sale = |method, path| {
        let (head, ()) = Request::builder().method(method).uri(path).body(()).unwrap().into_parts();
        let Quote::Paid(sale) = router.quote(&head) else { panic!("it has a price") };
        sale.route
    };
    let hashes = [
        sale("GET", "/a/"),
        sale("GET", "/a/b"),
        sale("GET", "/a"),
        sale("POST", "/b"),
        sale("GET", "/b"),
        sale("GET", "/"),
        sale("GET", "/c"),
    ];
    for (i, one) in hashes.iter().enumerate() {
        assert!(hashes.iter().skip(i + 1).all(|other| other != one), "{i}");
    }
    assert_eq!(sale("GET", "/a/b"), sale("POST", "/a/c"));
    assert_eq!(sale("GET", "/a/"), RouteHash::of(" /a/"));
    assert_eq!(sale("GET", "/a/b"), RouteHash::of(" /a/ *"));
}

#[tokio::test]
async fn what_is_sold_by_the_request_is_no_tunnel() {
    let (stand, _ends) = stand(Does::Echoes).await;
    let answer =
        stand.raw(upgrade("/paid", &format!("{}Connection: close\r\n", stand.payment(1)))).await;
    assert_eq!(status(&answer), 501, "{answer}");
    assert_eq!(stand.shop.chain.broadcasts(), 0);
}
