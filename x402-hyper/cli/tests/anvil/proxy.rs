//! Stands between the program and its node: counts what is asked, and loses some of it.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use crate::http::{self, Answer};

mod late;

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
    /// Logs are not told.
    withholds_logs: AtomicBool,
    /// Transactions are kept from the node.
    holds: AtomicBool,
    /// How many calls wait that hold one.
    held: AtomicUsize,
    /// What decides which calls go to a back end that is a block late; 0 where there is none.
    late: AtomicU64,
    /// Receipts and logs are those of a back end that is a block late.
    has_late_history: AtomicBool,
    /// How many calls a back end has answered that is a block late.
    late_answers: AtomicUsize,
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
            withholds_logs: AtomicBool::new(false),
            holds: AtomicBool::new(false),
            held: AtomicUsize::new(0),
            late: AtomicU64::new(0),
            has_late_history: AtomicBool::new(false),
            late_answers: AtomicUsize::new(0),
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

    /// How many calls with a transaction are kept from the node now.
    pub fn held(&self) -> usize {
        self.shared.held.load(Ordering::SeqCst)
    }

    /// From now on the node's state is current and it knows of no receipt and of no log, or does again.
    pub fn go_blind(&self, is_blind: bool) {
        self.withhold_receipts(is_blind);
        self.shared.withholds_logs.store(is_blind, Ordering::SeqCst);
    }

    /// From now on every other call, as the seed says, goes to a back end that is a block late; 0 ends it.
    pub fn go_late(&self, seed: u64) {
        self.shared.late.store(seed, Ordering::SeqCst);
    }

    /// From now on receipts and logs, and nothing else, come from a back end that is a block late.
    pub fn keep_history_late(&self) {
        self.shared.has_late_history.store(true, Ordering::SeqCst);
    }

    /// How many calls a back end has answered that is a block late.
    pub fn late_answers(&self) -> usize {
        self.shared.late_answers.load(Ordering::SeqCst)
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
        next(&self.luck)
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
            self.hold(&body);
            self.methods.lock().expect("the list").push(method(&body));
            let answer = self.ask(&body);
            if luck % 100 >= 90 {
                return;
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

impl Shared {
    /// Waits while transactions are kept from the node and there is one in the call.
    fn hold(&self, body: &str) {
        if !body.contains("eth_sendRawTransaction") || !self.holds.load(Ordering::SeqCst) {
            return;
        }
        self.held.fetch_add(1, Ordering::SeqCst);
        while self.holds.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(5));
        }
        self.held.fetch_sub(1, Ordering::SeqCst);
    }

    /// The node's answer, or what a back end of it says that is late or blind.
    fn ask(&self, body: &str) -> Answer {
        let is_history = ["eth_getTransactionReceipt", "eth_getLogs"].map(|it| body.contains(it));
        let is_late = next(&self.late) % 2 == 1
            || (is_history.contains(&true) && self.has_late_history.load(Ordering::SeqCst));
        self.late_answers.fetch_add(usize::from(is_late), Ordering::SeqCst);
        let mut answer = match is_late {
            true => late::ask(self.node, body),
            false => http::post_json(self.node, body),
        };
        let (receipts, logs) = (&self.withholds, &self.withholds_logs);
        let is_blind = receipts.load(Ordering::SeqCst) || logs.load(Ordering::SeqCst);
        if is_blind && answer.body.starts_with(['{', '[']) {
            let call = serde_json::from_str(body).expect("JSON-RPC");
            let mut said = answer.json();
            each(&call, &mut said, |call, said| match call["method"].as_str() {
                Some("eth_getTransactionReceipt") if receipts.load(Ordering::SeqCst) => {
                    said["result"] = Value::Null;
                }
                Some("eth_getBlockReceipts" | "eth_getLogs") if logs.load(Ordering::SeqCst) => {
                    said["result"] = json!([]);
                }
                _ => {}
            });
            answer.body = said.to_string();
        }
        answer
    }
}

/// The next number of a seed, below 2,000; 0 where there is no seed.
fn next(seed: &AtomicU64) -> u64 {
    let next = |luck: u64| luck.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1 << 33 | 1);
    let step = |luck| (luck != 0).then(|| next(luck).max(1));
    let luck = seed.fetch_update(Ordering::SeqCst, Ordering::SeqCst, step);
    luck.map_or(0, |luck| (luck >> 33) % 2_000)
}

/// Shows each call, whether alone or in a batch, with its answer.
fn each(call: &Value, answer: &mut Value, mut see: impl FnMut(&Value, &mut Value)) {
    match (call, answer) {
        (Value::Array(calls), Value::Array(answers)) => {
            for answer in answers {
                let call = calls.iter().find(|call| call["id"] == answer["id"]);
                see(call.expect("the call that is answered"), answer);
            }
        }
        (call, answer) => see(call, answer),
    }
}

fn method(body: &str) -> String {
    let call: Value = serde_json::from_str(body).expect("JSON-RPC");
    match &call {
        Value::Array(_) => "batch".to_owned(),
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
