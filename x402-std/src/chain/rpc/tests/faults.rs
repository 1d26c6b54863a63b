use std::convert::Infallible;
use std::error::Error as StdError;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

use super::harness::{
    Trick, options, raw_node, unconnected, unconnected_with, usdc, with_canaries,
};
use super::*;

/// All that an error shows, sources and all.
fn shown(error: &dyn StdError) -> String {
    let mut text = format!("{error} {error:?} {error:#?}");
    let mut source = error.source();
    while let Some(error) = source {
        text += &format!(" {error} {error:?}");
        source = error.source();
    }
    text
}

fn assert_discreet(error: &dyn StdError) {
    let text = shown(error);
    for secret in ["CANARY", "127.0.0.1", "user", "/v3"] {
        assert!(!text.to_lowercase().contains(&secret.to_lowercase()), "{text}");
    }
}

/// Asks everything that can be asked; each must fail, in time, and give nothing away.
async fn assert_fails(chain: &RpcChain) -> Vec<ChainError> {
    let payment = Buyer::default().pays(PRICE);
    let transaction = Transaction { hash: TxHash([1; 32]), raw: vec![2] };
    let pages = Pages::default();
    let mut errors = Vec::new();
    let begun = Instant::now();
    errors.push(chain.simulate(&call(&payment)).await.unwrap_err());
    errors.push(chain.broadcast(&call(&payment), &pages).await.unwrap_err());
    errors.push(chain.outcome(&payment, Sent::own(TxHash([1; 32]))).await.unwrap_err());
    errors.push(chain.find(&payment, 0, &[]).await.unwrap_err());
    errors.push(chain.balance().await.unwrap_err());
    assert!(errors.iter().all(|error| matches!(error, ChainError::Unavailable(_))), "{errors:?}");
    let again = chain.rebroadcast(&call(&payment), &transaction, &pages).await.unwrap_err();
    assert!(matches!(again, ChainError::Unknown(_)), "{again:?}");
    errors.push(again);
    let start = chain.check_asset(&usdc()).await.unwrap_err();
    assert_discreet(&start);
    let limit = (chain.options.timeout + Duration::from_millis(400)) * 7;
    assert!(begun.elapsed() < limit, "{:?}", begun.elapsed());
    assert!(pages.hashes().is_empty());
    errors.iter().for_each(|error| assert_discreet(error));
    errors
}

async fn assert_texts(chain: &RpcChain, text: &str) {
    for error in assert_fails(chain).await {
        assert!(error.to_string().contains(text), "{error}: {text}");
    }
}

#[tokio::test]
async fn answers_that_are_none() {
    let shop = Shop::open().await;
    let error = |code, message| Trick::Error(code, message);
    let cases = [
        (Trick::Status(502), "HTTP status 502"),
        (Trick::Status(429), "HTTP status 429"),
        (Trick::Status(307), "HTTP status 307"),
        (Trick::Status(204), "HTTP status 204"),
        (Trick::Body("<html>CANARY</html>".into()), "malformed: no JSON-RPC"),
        (Trick::Body(r#"{"jsonrpc":"2.0","id":"#.into()), "malformed: no JSON-RPC"),
        (Trick::Body(String::new()), "malformed: no JSON-RPC"),
        (Trick::Body("[".repeat(60_000)), "malformed: no JSON-RPC"),
        (Trick::Edit(|a| a["id"] = 4_711.into()), "malformed: a wrong id"),
        (Trick::Edit(|a| a["id"] = "CANARY".into()), "malformed: a wrong id"),
        (Trick::Edit(|a| *a = vec![a.clone(), a.clone()].into()), "malformed: a wrong id"),
        (Trick::Edit(|a| *a = serde_json::json!([])), "malformed: not an answer"),
        (Trick::Edit(|a| a["result"] = serde_json::json!({ "CANARY": 1 })), "malformed"),
        (Trick::Edit(|a| a["result"] = "0xCANARY".into()), "malformed"),
        (error(-32005, "project CANARY is over its limit"), "error -32005: project <redacted> is"),
        (error(-32603, "see http://127.0.0.1/v3/CANARY-PATH"), "error -32603: see <redacted>"),
        (error(429, "Too\u{1b}[31m Many\r\nRequests"), "error 429: Too[31m Many Requests"),
        (Trick::Hang, "did not answer within 800ms"),
        (Trick::Break, "the connection to the node broke"),
    ];
    for (trick, text) in cases {
        shop.play_always(Some(trick));
        assert_texts(&shop.chain, text).await;
    }
    // What is over is forgotten.
    shop.play_always(None);
    shop.chain.simulate(&call(&Buyer::default().pays(PRICE))).await.unwrap();
}

#[tokio::test]
async fn a_node_that_is_down() {
    let port = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap().port()
    };
    let chain = unconnected(&with_canaries(port));
    assert_texts(&chain, "no connection to the node: connection refused").await;
}

#[tokio::test]
async fn a_host_that_is_none() {
    let chain = unconnected("http://user:CANARY@canary.invalid/v3/CANARY?key=CANARY");
    // Some resolvers take longer to say so than a call may.
    assert_fails(&chain).await;
}

#[tokio::test]
async fn a_node_without_tls() {
    let url = raw_node(|mut stream| async move {
        request(&mut stream).await?;
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await?;
        Err(io::ErrorKind::Other.into())
    })
    .await;
    let chain = unconnected(&url.replace("http://", "https://"));
    assert_texts(&chain, "no connection to the node: it does not speak TLS as we do").await;
}

async fn request(stream: &mut TcpStream) -> io::Result<()> {
    stream.read(&mut [0; 4_096]).await.map(drop)
}

#[tokio::test]
async fn an_answer_of_a_hundred_megabytes() {
    static SENT: AtomicUsize = AtomicUsize::new(0);
    let url = raw_node(|mut stream| async move {
        request(&mut stream).await?;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 104857600\r\n\r\n\"").await?;
        loop {
            stream.write_all(&[b'0'; 16 * 1024]).await?;
            SENT.fetch_add(16 * 1024, Ordering::Relaxed);
        }
    })
    .await;
    assert_texts(&unconnected(&url), "longer than 65536 bytes").await;
    // What the kernel holds for both sides, for each of the calls, and not much more.
    assert!(SENT.load(Ordering::Relaxed) < 70 * 1024 * 1024);
}

#[tokio::test]
async fn an_answer_without_an_end() {
    let url = raw_node(|mut stream| async move {
        request(&mut stream).await?;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n").await?;
        drip(stream).await
    })
    .await;
    assert_texts(&hasty(&url), "did not answer within 200ms").await;
    // The same for the head of the answer.
    let url = raw_node(|mut stream| async move {
        request(&mut stream).await?;
        stream.write_all(b"HTTP/1.1 200 OK\r\nx-canary: ").await?;
        drip(stream).await
    })
    .await;
    assert_texts(&hasty(&url), "did not answer within 200ms").await;
}

fn hasty(url: &str) -> RpcChain {
    unconnected_with(url, RpcOptions { timeout: Duration::from_millis(200), ..options() })
}

async fn drip(mut stream: TcpStream) -> io::Result<Infallible> {
    loop {
        stream.write_all(b"0").await?;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_connection_that_is_reset() {
    let url = raw_node(|stream| async move {
        let mut stream = stream;
        request(&mut stream).await?;
        // With no time to linger the kernel sends a reset.
        stream.set_zero_linger()?;
        drop(stream);
        Err(io::ErrorKind::Other.into())
    })
    .await;
    assert_texts(&unconnected(&url), "the connection to the node broke").await;
}

#[tokio::test]
async fn a_connection_that_closed_while_idle_is_made_anew() {
    let connections = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&connections);
    let url = raw_node(move |mut stream| {
        counter.fetch_add(1, Ordering::Relaxed);
        async move {
            request(&mut stream).await?;
            let body = r#"{"id":0,"result":"0x0"}"#;
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
            stream.write_all(format!("{head}{body}").as_bytes()).await?;
            Err(io::ErrorKind::Other.into())
        }
    })
    .await;
    let chain = unconnected(&url);
    assert_eq!(chain.balance().await.unwrap(), Amount::ZERO);
    tokio::time::sleep(Duration::from_millis(50)).await;
    let second = chain.balance().await.unwrap_err().to_string();
    assert!(second.contains("a wrong id"), "{second}");
    assert_eq!(connections.load(Ordering::Relaxed), 2);
}
