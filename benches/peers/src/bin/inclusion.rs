//! `inclusion PORT NODE`: a node's JSON-RPC as `127.0.0.1:PORT` has it of `127.0.0.1:NODE`, but that a
//! transaction is answered once it is in a block, as some chains do.

use std::convert::Infallible;
use std::env;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self as client, SendRequest};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex;

/// How often the node is asked for a receipt, and for how long.
const PAUSE: Duration = Duration::from_millis(1);
const PAUSES: usize = 20_000;

/// A connection to the node; one for each that is made here.
struct Node {
    address: String,
    sender: Mutex<SendRequest<Full<Bytes>>>,
}

impl Node {
    async fn open(address: &str) -> Self {
        let stream = TcpStream::connect(address).await.expect("the node");
        stream.set_nodelay(true).expect("a socket");
        let (sender, connection) = client::handshake(TokioIo::new(stream)).await.expect("HTTP");
        tokio::spawn(async move { drop(connection.await) });
        Self { address: address.to_owned(), sender: Mutex::new(sender) }
    }

    async fn post(&self, body: Bytes) -> Bytes {
        let request = Request::post("/")
            .header("host", &self.address)
            .header("content-type", "application/json")
            .body(Full::new(body))
            .expect("a request");
        let answer = self.sender.lock().await.send_request(request).await.expect("an answer");
        answer.into_body().collect().await.expect("a body").to_bytes()
    }

    /// Waits until the transaction that the node has taken is in a block.
    async fn include(&self, answer: &Bytes) {
        let answer: Value = serde_json::from_slice(answer).expect("JSON");
        let Some(hash) = answer["result"].as_str() else { return };
        let method = "eth_getTransactionReceipt";
        let question = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": [hash] });
        let question = Bytes::from(question.to_string());
        for _ in 0..PAUSES {
            let answer = self.post(question.clone()).await;
            let answer: Value = serde_json::from_slice(&answer).expect("JSON");
            if !answer["result"].is_null() {
                return;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

async fn answer(
    node: &Node,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let body = request.into_body().collect().await.expect("a body").to_bytes();
    let sends = body.windows(22).any(|window| window == b"eth_sendRawTransaction");
    let answer = node.post(body).await;
    if sends {
        node.include(&answer).await;
    }
    let answer =
        Response::builder().header("content-type", "application/json").body(Full::new(answer));
    Ok(answer.expect("an answer"))
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [port, node] = &arguments[..] else { panic!("inclusion PORT NODE") };
    let listener = TcpListener::bind(format!("127.0.0.1:{port}")).await.expect("a port");
    let node = format!("127.0.0.1:{node}");
    loop {
        let (stream, _) = listener.accept().await.expect("a connection");
        stream.set_nodelay(true).expect("a socket");
        let node = node.clone();
        tokio::spawn(async move {
            let node = Node::open(&node).await;
            let service = service_fn(|request| answer(&node, request));
            let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            // Whoever has asked enough hangs up.
            drop(connection.await);
        });
    }
}
