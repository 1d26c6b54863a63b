//! Stands between the program and its node: counts what is asked, and loses some of it.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;

use crate::http;

pub struct Proxy {
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    node: SocketAddr,
    methods: Mutex<Vec<String>>,
    is_cut: AtomicBool,
    /// Receipts are not told.
    withholds: AtomicBool,
    /// Transactions are kept from the node.
    holds: AtomicBool,
    /// What decides which calls get lost; 0 where none does.
    luck: AtomicU64,
}

impl Proxy {
    pub fn start(node: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let methods = Mutex::default();
        let shared = Arc::new(Shared {
            node,
            methods,
            is_cut: AtomicBool::new(false),
            withholds: AtomicBool::new(false),
            holds: AtomicBool::new(false),
            luck: AtomicU64::new(0),
        });
        let accepting = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&accepting);
                std::thread::spawn(move || shared.serve(stream));
            }
        });
        Self { address, shared }
    }

    /// The methods asked since the last call, one entry per round trip; a batch is one.
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.shared.methods.lock().expect("the list"))
    }

    /// From now on the node cannot be reached, or can again.
    pub fn cut(&self, is_cut: bool) {
        self.shared.is_cut.store(is_cut, Ordering::SeqCst);
    }

    /// From now on the node knows of no receipt, or does again.
    pub fn withhold_receipts(&self, withholds: bool) {
        self.shared.withholds.store(withholds, Ordering::SeqCst);
    }

    /// From now on transactions do not come to the node, until they may again.
    pub fn hold_sends(&self, holds: bool) {
        self.shared.holds.store(holds, Ordering::SeqCst);
    }

    /// From now on calls are slow, get lost on the way there, or on the way back, as the seed says; 0
    /// ends it.
    pub fn lose(&self, seed: u64) {
        self.shared.luck.store(seed, Ordering::SeqCst);
    }
}

impl Shared {
    /// The next number of the seed, below 2,000; 0 where nothing is to go wrong.
    fn luck(&self) -> u64 {
        let next =
            |luck: u64| luck.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1 << 33 | 1);
        let step = |luck| (luck != 0).then(|| next(luck).max(1));
        let luck = self.luck.fetch_update(Ordering::SeqCst, Ordering::SeqCst, step);
        luck.map_or(0, |luck| (luck >> 33) % 2_000)
    }

    /// Serves one connection, request after request, until it ends.
    fn serve(&self, mut stream: TcpStream) {
        let _ = stream.set_read_timeout(Some(Duration::from_secs(30)));
        while let Some(body) = read_body(&mut stream) {
            if self.is_cut.load(Ordering::SeqCst) {
                let _ = stream.shutdown(Shutdown::Both);
                return;
            }
            let luck = self.luck();
            std::thread::sleep(Duration::from_millis(luck / 100 % 20));
            if luck % 100 >= 95 {
                return;
            }
            let method = method(&body);
            while method == "eth_sendRawTransaction" && self.holds.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(5));
            }
            let is_receipt = method == "eth_getTransactionReceipt";
            self.methods.lock().expect("the list").push(method);
            let mut answer = http::post_json(self.node, &body);
            if luck % 100 >= 90 {
                return;
            }
            if is_receipt && self.withholds.load(Ordering::SeqCst) {
                let id = answer.json()["id"].clone();
                answer.body = json!({"jsonrpc": "2.0", "id": id, "result": null}).to_string();
            }
            let head = format!(
                "HTTP/1.1 {} OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
                answer.status,
                answer.body.len()
            );
            if stream.write_all((head + &answer.body).as_bytes()).is_err() {
                return;
            }
        }
    }
}

fn method(body: &str) -> String {
    let call: serde_json::Value = serde_json::from_str(body).expect("JSON-RPC");
    match &call {
        serde_json::Value::Array(_) => "batch".to_owned(),
        call => call["method"].as_str().expect("a method").to_owned(),
    }
}

/// Reads one request and returns its body; `None` at the end of the connection.
fn read_body(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        let mut chunk = [0; 4096];
        let count = stream.read(&mut chunk).ok().filter(|count| *count > 0)?;
        bytes.extend_from_slice(&chunk[..count]);
        let text = String::from_utf8_lossy(&bytes);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head
            .lines()
            .filter_map(|line| line.split_once(':'))
            .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
            .and_then(|(_, value)| value.trim().parse().ok())
            .unwrap_or(0);
        if body.len() >= length {
            return Some(body[..length].to_owned());
        }
    }
}
