//! Sellers: the program before an upstream on the development chain, and one that does as it is
//! told.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use serde_json::{Value, json};
use x402_core::headers::{SignatureForm, SignedPayment};
use x402_core::secp256k1::K256Signer;
use x402_core::{
    Address, Amount, Asset, Authorization, ChainId, Nonce, Signer as _, Timestamp, hex,
};

use crate::process::Running;

pub const PAY_TO: &str = "0x209693Bc6afc0C5328bA36FaF03C514EF312287C";
/// Account 0 of the development mnemonic: pays the gas.
pub const SETTLER_KEY: &str = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";
/// Account 1, which has USDC.
pub const BUYER_KEY: &str = "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d";
const USDC: &str = "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48";

/// A server that answers by a function of the request and its number, from 0; nothing breaks the
/// connection.
pub struct Scripted {
    pub address: SocketAddr,
    pub requests: Arc<Mutex<Vec<String>>>,
}

impl Scripted {
    pub fn start(answer: impl Fn(&str, usize) -> String + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&requests);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { continue };
                let request = read(&mut stream);
                // Gateways open connections ahead, and do not use them all.
                if request.is_empty() {
                    continue;
                }
                let count = {
                    let mut log = log.lock().unwrap();
                    log.push(request.clone());
                    log.len() - 1
                };
                let _ = stream.write_all(answer(&request, count).as_bytes());
            }
        });
        Self { address, requests }
    }

    pub fn url(&self) -> String {
        format!("http://{}/api/analyze", self.address)
    }

    /// The signatures that came, in order.
    pub fn signatures(&self) -> Vec<String> {
        let requests = self.requests.lock().unwrap();
        requests.iter().filter_map(|request| field(request, "x-payment-signature")).collect()
    }
}

/// A header field of a request.
pub fn field(head: &str, name: &str) -> Option<String> {
    let mut lines = head.lines().filter_map(|line| line.split_once(": "));
    lines.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned())
}

/// One request, with the body that its Content-Length announces.
fn read(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let request = String::from_utf8_lossy(&text).into_owned();
        if let Some((head, body)) = request.split_once("\r\n\r\n") {
            let length = field(head, "content-length").map_or(0, |length| length.parse().unwrap());
            if body.len() >= length {
                return request;
            }
        }
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => return request,
            Ok(count) => text.extend_from_slice(&buffer[..count]),
        }
    }
}

pub fn answer(status: &str, fields: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {length}\r\n{fields}\r\n{body}"
    )
}

pub fn challenge() -> String {
    let fields = format!(
        "X-Payment-Required: true\r\nX-Payment-Amount: 0.01\r\nX-Payment-Asset: USDC\r\n\
         X-Payment-Network: ethereum\r\nX-Payment-Recipient: {PAY_TO}\r\n"
    );
    answer("402 Payment Required", &fields, "")
}

/// A chain, an upstream and the gateway, each in its place.
pub struct Shop {
    #[allow(dead_code, reason = "kept, for dropping it ends the process")]
    pub gateway: Running,
    pub url: String,
    pub folder: tempfile::TempDir,
    pub upstream: Scripted,
    pub chain: Chain,
}

impl Shop {
    pub fn open() -> Self {
        Self::before(|_, _| answer("200 OK", "", "served"))
    }

    /// The gateway before an upstream that answers so.
    pub fn before(upstream: impl Fn(&str, usize) -> String + Send + 'static) -> Self {
        Self::with_routes("", upstream)
    }

    /// As that, with these members in the route that is paid for.
    pub fn with_routes(
        members: &str,
        upstream: impl Fn(&str, usize) -> String + Send + 'static,
    ) -> Self {
        let chain = Chain::start();
        let upstream = Scripted::start(upstream);
        let folder = tempfile::tempdir().unwrap();
        let config = config(folder.path(), chain.address, upstream.address);
        let route = std::fs::read_to_string(&config).unwrap();
        let route =
            route.replace("methods: [POST]\n", &format!("methods: [POST]\n    {members}\n"));
        std::fs::write(&config, route).unwrap();
        let args = ["serve", "--config", config.to_str().unwrap()];
        let mut gateway = Running::start(&args, &[("X402_KEY", SETTLER_KEY)]);
        let line = gateway.line("listening on http://");
        let address = line.split(['/', ',']).nth(2).unwrap();
        let url = format!("http://{address}/api/analyze");
        Self { gateway, url, folder, upstream, chain }
    }
}

pub fn config(folder: &Path, chain: SocketAddr, upstream: SocketAddr) -> PathBuf {
    let path = folder.join("x402.yaml");
    let text = format!(
        "listen: 127.0.0.1:0\n\
         upstream: http://{upstream}\n\
         pay_to: \"{PAY_TO}\"\n\
         network: ethereum\n\
         asset: USDC\n\
         chain: {{rpc: \"http://{chain}\"}}\n\
         ledger: ./x402.redb\n\
         routes:\n  \
           - path: /api/analyze\n    \
             methods: [POST]\n    \
             pricing: {{model: \"per_request\", amount: \"0.01\", currency: \"USDC\"}}\n  \
           - {{path: /health, pricing: free}}\n"
    );
    std::fs::write(&path, text).unwrap();
    path
}

/// `x402 devnet`.
pub struct Chain {
    pub address: SocketAddr,
    #[allow(dead_code, reason = "kept, for dropping it ends the process")]
    pub running: Running,
}

impl Chain {
    pub fn start() -> Self {
        let mut running = Running::start(&["devnet", "--port", "0"], &[]);
        let line = running.line("at http://");
        let address = line.rsplit('/').next().unwrap().parse().unwrap();
        Self { address, running }
    }

    pub fn balance(&self, owner: &str) -> u128 {
        let data = format!("0x70a08231{:0>64}", owner.trim_start_matches("0x"));
        let result = self.rpc("eth_call", &json!([{"to": USDC, "data": data}, "latest"]));
        u128::from_str_radix(&result.as_str().unwrap()[2..], 16).unwrap()
    }

    pub fn rpc(&self, method: &str, params: &Value) -> Value {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let body = body.to_string();
        let fields = "Content-Type: application/json\r\n";
        let (_, body) = exchange(self.address, "/", fields, &body);
        let body: Value = serde_json::from_str(&body).unwrap();
        body["result"].clone()
    }
}

/// Posts a body with these header fields, and reads the answer to its end: its status and body.
pub fn exchange(to: SocketAddr, path: &str, fields: &str, body: &str) -> (u16, String) {
    try_exchange(to, path, fields, body).unwrap()
}

/// As [`exchange`]; `None` where no whole head comes back.
pub fn try_exchange(to: SocketAddr, path: &str, fields: &str, body: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(to).ok()?;
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\n{fields}Connection: close\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(head.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some((status, body.to_owned()))
}

/// The header fields of a payment of 0.01 USDC, and of who may ask again.
pub fn payment(nonce: u64) -> String {
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let usdc = *Asset::find(ChainId::ETHEREUM, "USDC").unwrap();
    let signer = K256Signer::from_bytes(&hex::decode(BUYER_KEY).unwrap()).unwrap();
    let authorization = Authorization {
        from: signer.address(),
        to: Address::parse(PAY_TO).unwrap(),
        value: Amount::from_units(10_000),
        valid_after: Timestamp::ZERO,
        valid_before: Timestamp::from_secs(now + 60),
        nonce: Nonce::parse(&nonce.to_string()).unwrap(),
    };
    let Ok(signature) = signer.sign(&authorization.digest(&usdc.domain().separator()));
    let mut fields = String::new();
    let payment = SignedPayment { authorization, signature };
    payment.emit(&usdc, SignatureForm::Packed, |field, value| {
        fields.push_str(&format!("{}: {value}\r\n", field.name()));
    });
    fields.push_str(&format!("Idempotency-Key: \"the-key-of-the-payer-of-{nonce}\"\r\n"));
    fields
}
