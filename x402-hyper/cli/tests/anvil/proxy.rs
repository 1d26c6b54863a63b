//! Stands between the program and its node and counts what is asked.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::http;

pub struct Proxy {
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    node: SocketAddr,
    methods: Mutex<Vec<String>>,
    is_cut: AtomicBool,
}

impl Proxy {
    pub fn start(node: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let methods = Mutex::default();
        let shared = Arc::new(Shared { node, methods, is_cut: AtomicBool::new(false) });
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
}

impl Shared {
    /// Serves one connection, request after request, until it ends.
    fn serve(&self, mut stream: TcpStream) {
        let _ = stream.set_read_timeout(Some(Duration::from_secs(30)));
        while let Some(body) = read_body(&mut stream) {
            if self.is_cut.load(Ordering::SeqCst) {
                let _ = stream.shutdown(Shutdown::Both);
                return;
            }
            self.methods.lock().expect("the list").push(method(&body));
            let answer = http::post_json(self.node, &body);
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
