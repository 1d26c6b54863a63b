//! The program under test: `x402 serve` before a small upstream, on a real node.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use x402_core::headers::{SignatureForm, SignedPayment};
use x402_core::secp256k1::K256Signer;
use x402_core::{
    Address, Amount, Asset, Authorization, ChainId, Nonce, Signature, Signer as _, Timestamp, hex,
};

use crate::http::{self, Answer};
use crate::model::{self, Gate};
use crate::node::Node;
use crate::proxy::Proxy;

pub const PAY_TO: &str = "0x209693Bc6afc0C5328bA36FaF03C514EF312287C";
/// anvil's account 1: the buyer.
pub const BUYER_KEY: &str = "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d";
pub const BUYER: &str = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";
/// anvil's account 2: pays the gas.
pub const SETTLER_KEY: &str = "0x5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a";

/// What is sold by the token and by the minute.
const METERED: &str = "  - path: /v1/chat/completions
    methods: [POST]
    pricing: {model: per_token, input_price: 0.00001, output_price: 0.00003, currency: USDC, upto: true}
  - path: /live/*
    methods: [GET]
    pricing: {model: per_minute, amount: 0.10, currency: USDC, minimum_minutes: 1, upto: true}
";

pub struct Shop {
    pub node: Arc<Node>,
    pub proxy: Proxy,
    pub upstream: Upstream,
    pub address: SocketAddr,
    folder: tempfile::TempDir,
    program: Option<Child>,
    setup: Setup,
    /// What the program has said.
    log: Arc<Mutex<Vec<String>>>,
}

/// What differs from shop to shop.
#[derive(Clone)]
pub struct Setup {
    /// When the money moves.
    pub settle: &'static str,
    /// Keys of `chain` beside `rpc`, each with a comma before it.
    pub chain: &'static str,
    /// The token, as the program's file has it.
    pub asset: String,
    /// Who is paid.
    pub pay_to: &'static str,
    /// Lines of the route `/api/analyze` beside the usual ones, indented by four.
    pub route: &'static str,
    /// What is sold by the token and by the minute.
    pub metered: &'static str,
    /// Lines of the program's file beside the usual ones.
    pub extra: String,
}

impl Default for Setup {
    fn default() -> Self {
        let (asset, extra) = ("USDC".to_owned(), String::new());
        let (settle, chain, pay_to, route, metered) = ("first", "", PAY_TO, "", METERED);
        Self { settle, chain, asset, pay_to, route, metered, extra }
    }
}

impl Shop {
    /// Node, proxy, upstream and program, with a buyer who has 1 USDC.
    pub fn open() -> Self {
        Self::open_with("")
    }

    /// With these lines in the program's file, too.
    pub fn open_with(extra: &str) -> Self {
        Self::settling("first", extra)
    }

    /// With the money moving then, too.
    pub fn settling(settle: &'static str, extra: &str) -> Self {
        Self::set_up(Setup { settle, extra: extra.to_owned(), ..Setup::default() })
    }

    /// With all of that.
    pub fn set_up(setup: Setup) -> Self {
        let node = Arc::new(Node::start());
        node.mint(BUYER, 1_000_000);
        Self::on(node, setup)
    }

    /// On a node that is there.
    pub fn on(node: Arc<Node>, setup: Setup) -> Self {
        let proxy = Proxy::start(node.address);
        let upstream = Upstream::start();
        let folder = tempfile::tempdir().expect("a folder");
        let address = "127.0.0.1:1".parse().expect("an address");
        let (program, log) = Default::default();
        let mut shop = Self { node, proxy, upstream, address, folder, program, setup, log };
        shop.start_program();
        shop
    }

    /// Stops the program the hard way and starts it again on the same ledger.
    pub fn restart(&mut self) {
        self.kill();
        self.start_program();
    }

    pub fn start_program(&mut self) {
        self.start(Command::new(env!("CARGO_BIN_EXE_x402")));
    }

    /// Starts it so that no file of its can be longer than so many KiB.
    pub fn start_limited(&mut self, kib: u64) {
        let mut program = Command::new("bash");
        let script = format!("trap '' XFSZ; ulimit -f {kib}; exec \"$0\" \"$@\"");
        program.args(["-c", &script, env!("CARGO_BIN_EXE_x402")]);
        self.start(program);
    }

    fn start(&mut self, mut program: Command) {
        program.arg("serve").arg("--config").arg(self.config_path()).env("X402_KEY", SETTLER_KEY);
        program.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // Somebody else may have taken the port between.
        const ATTEMPTS: usize = 5;
        let started = (0..ATTEMPTS).any(|_| self.try_to_start(&mut program));
        assert!(started, "no port is free for the program");
    }

    /// Starts the program at a port that was free just now; says whether it still was.
    fn try_to_start(&mut self, program: &mut Command) -> bool {
        self.address = free_address();
        std::fs::write(self.config_path(), self.config()).expect("write the config");
        let mut program = program.spawn().expect("start the program");
        let log = BufReader::new(program.stderr.take().expect("a pipe"));
        let lines = collect_lines(log);
        self.log = Arc::clone(&lines);
        let is_started = first_line(&mut program).is_some();
        if !is_started {
            let _ = program.wait();
            // What it has said last is read by a thread.
            std::thread::sleep(Duration::from_millis(100));
            let said = lines.lock().expect("the log").join("\n");
            assert!(said.contains("in use"), "the program ended\n{said}");
            return false;
        }
        self.program = Some(program);
        self.wait_for_an_answer();
        true
    }

    /// It listens before it has told all that it tells at its start. What is no request reaches no upstream.
    fn wait_for_an_answer(&self) {
        let mut stream = TcpStream::connect(self.address).expect("it listens");
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
        stream.write_all(b"no request\r\n\r\n").expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    }

    /// Has the program read its file anew, with these parts of it replaced.
    pub fn reload(&self, parts: &[(&str, &str)]) {
        let (mut config, folder) = (self.config(), self.folder.path());
        for (from, to) in parts {
            assert!(config.contains(from), "{from}");
            config = config.replace(from, to);
        }
        // In one step: whoever reads it meanwhile reads the one or the other.
        std::fs::write(folder.join("next.yaml"), config).expect("write the config");
        std::fs::rename(folder.join("next.yaml"), folder.join("x402.yaml")).expect("rename it");
        let id = self.program.as_ref().expect("the program").id().to_string();
        let sent = Command::new("kill").args(["-HUP", &id]).status().expect("kill");
        assert!(sent.success());
    }

    /// Kills the program where it stands.
    pub fn kill(&mut self) {
        if let Some(mut program) = self.program.take() {
            let _ = program.kill();
            let _ = program.wait();
        }
    }

    fn config(&self) -> String {
        let Setup { settle, chain, asset, pay_to, route, metered, extra } = &self.setup;
        format!(
            "listen: {}\nupstream: http://{}\npay_to: \"{pay_to}\"\nnetwork: ethereum\nasset: {asset}\n\
             chain: {{rpc: \"http://{}\"{chain}}}\nledger: ./x402.redb\nroutes:\n  - path: /api/analyze\n    \
             methods: [POST]\n    settle: {settle}\n    pricing: {{model: \"per_request\", \
             amount: \"0.01\", currency: \"USDC\"}}\n{route}  - path: /api/browse\n    pricing:\n      \
             model: dynamic\n      base_price: 0.01\n      multipliers:\n        - {{condition: \
             \"query_length > 1000\", multiplier: 2.0}}\n        - {{condition: \
             \"requires_browser\", multiplier: 1.5}}\n  - {{path: /health, pricing: free}}\n{metered}\
             default: not_found\n{extra}",
            self.address, self.upstream.address, self.proxy.address
        )
    }

    /// The program's file.
    pub fn config_path(&self) -> PathBuf {
        self.folder.path().join("x402.yaml")
    }

    /// Whether the program has said this.
    pub fn has_said(&self, words: &str) -> bool {
        self.log.lock().expect("the log").iter().any(|line| line.contains(words))
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn send(&self, headers: &[(&str, String)]) -> Answer {
        self.send_body(headers, "some words")
    }

    pub fn send_body(&self, headers: &[(&str, String)], body: &str) -> Answer {
        http::exchange(self.address, &http::request("POST /api/analyze", headers, body))
    }

    /// What `x402 ledger` prints of the program's ledger, also while it runs.
    pub fn ledger(&self, args: &[&str]) -> String {
        let output = Command::new(env!("CARGO_BIN_EXE_x402"))
            .arg("ledger")
            .args(args)
            .arg("--ledger")
            .arg(self.folder.path().join("x402.redb"))
            .output()
            .expect("the books");
        String::from_utf8(output.stdout).expect("text")
    }

    /// The sum of what was received, as the books have it, which are read while the program runs.
    pub fn exported(&self) -> u128 {
        let rows = self.rows();
        let received =
            rows.iter().filter(|row| row["state"] == "served" || row["state"] == "settled");
        let units = received.map(|row| row["amount_units"].as_str().expect("an amount"));
        units.map(|units| units.parse::<u128>().expect("a number")).sum()
    }

    /// The payments, as the books have them.
    pub fn rows(&self) -> Vec<serde_json::Value> {
        let rows = self.ledger(&["export", "--format", "json"]);
        serde_json::from_str(&rows).unwrap_or_else(|_| panic!("no JSON: {rows}"))
    }

    pub fn recipient_balance(&self) -> u128 {
        self.node.balance(self.setup.pay_to)
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("{}", self.log.lock().expect("the log").join("\n"));
        }
    }
}

/// When the payment of a nonce was signed, in Unix seconds: whoever asks for it again soon repeats it, where one
/// of another time would be another payment.
fn signed_at(nonce: &str) -> u64 {
    const SOON: u64 = 40;
    static SIGNED: Mutex<BTreeMap<String, u64>> = Mutex::new(BTreeMap::new());
    let now = SystemTime::UNIX_EPOCH.elapsed().expect("a clock").as_secs();
    let mut signed = SIGNED.lock().expect("the times");
    let at = signed.entry(nonce.to_owned()).or_insert(now);
    if now.saturating_sub(*at) > SOON {
        *at = now;
    }
    *at
}

/// A payment of 0.01 USDC, valid for a minute, to be changed by the test before it is signed.
pub fn terms(nonce: &str) -> Authorization {
    let now = signed_at(nonce);
    Authorization {
        from: Address::parse(BUYER).expect("an address"),
        to: Address::parse(PAY_TO).expect("an address"),
        value: Amount::from_units(10_000),
        valid_after: Timestamp::ZERO,
        valid_before: Timestamp::from_secs(now + 60),
        nonce: Nonce::parse(nonce).expect("a nonce"),
    }
}

pub fn usdc() -> Asset<'static> {
    *Asset::find(ChainId::ETHEREUM, "USDC").expect("USDC")
}

pub fn sign(terms: &Authorization, asset: &Asset<'_>) -> Signature {
    let key = hex::decode(BUYER_KEY).expect("a key");
    let signer = K256Signer::from_bytes(&key).expect("a key");
    let Ok(signature) = signer.sign(&terms.digest(&asset.domain().separator()));
    signature
}

/// The four fields that are a payment, and what shows who sends them again.
pub fn four_fields(terms: &Authorization, nonce: &str) -> Vec<(&'static str, String)> {
    fields(terms, sign(terms, &usdc()), nonce)
}

pub fn fields(
    terms: &Authorization,
    signature: Signature,
    nonce: &str,
) -> Vec<(&'static str, String)> {
    let payment = SignedPayment { authorization: *terms, signature };
    let mut fields = Vec::new();
    payment.emit(&usdc(), SignatureForm::Packed, |field, value| {
        if field.name() != "X-Payment-Network" {
            fields.push((field.name(), value.to_owned()));
        }
    });
    set(&mut fields, "X-Payment-Nonce", nonce);
    assert_eq!(fields.len(), 4);
    fields.push(("Idempotency-Key", format!("\"the-key-of-the-payer-of-{nonce}\"")));
    fields
}

pub fn set(fields: &mut [(&'static str, String)], name: &str, value: &str) {
    let (_, old) = fields.iter_mut().find(|(n, _)| *n == name).expect("the field");
    value.clone_into(old);
}

/// A small HTTP server that counts how often it was reached, and what work it did: each idempotency
/// key once, and then it gives the same answer.
pub struct Upstream {
    pub address: SocketAddr,
    work: Arc<Work>,
}

#[derive(Default)]
struct Work {
    gate: Gate,
    /// The request that came last.
    last: Mutex<String>,
    hits: AtomicUsize,
    /// How often each key came.
    keys: Mutex<Vec<(String, usize)>>,
}

impl Upstream {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let work = Arc::<Work>::default();
        let shared = Arc::clone(&work);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let work = Arc::clone(&shared);
                std::thread::spawn(move || answer_one(stream, &work));
            }
        });
        Self { address, work }
    }

    pub fn gate(&self) -> &Gate {
        &self.work.gate
    }

    /// The request that came last, as it was sent.
    pub fn last(&self) -> String {
        self.work.last.lock().expect("the last").clone()
    }

    pub fn hits(&self) -> usize {
        self.work.hits.load(Ordering::SeqCst)
    }

    /// How many payments it has worked for.
    pub fn payments(&self) -> usize {
        self.work.keys.lock().expect("the keys").len()
    }
}

/// Reads a request to the end of its body, counts it and closes.
fn answer_one(mut stream: TcpStream, work: &Work) {
    let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"words")
        && !bytes.ends_with(b"}")
        && !bytes.ends_with(b"\r\n\r\n")
        && !bytes.ends_with(b"0\r\n\r\n")
    {
        let mut chunk = [0; 4096];
        match stream.read(&mut chunk) {
            Ok(count) if count > 0 => bytes.extend_from_slice(&chunk[..count]),
            Ok(_) | Err(_) => break,
        }
    }
    if bytes.is_empty() {
        return;
    }
    work.hits.fetch_add(1, Ordering::SeqCst);
    let request = String::from_utf8_lossy(&bytes);
    *work.last.lock().expect("the last") = request.to_string();
    let path = request.split(' ').nth(1).unwrap_or_default();
    if path.starts_with("/v1/") || path.starts_with("/live/") {
        // Where it fails, nobody listens.
        return drop(model::answer(&mut stream, &request, &work.gate));
    }
    let served = work.of(&request);
    let body = format!("{{\"served\":{served}}}");
    let length = body.len();
    let _ = write!(
        stream,
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n{body}"
    );
}

impl Work {
    /// The number of the work that a request asks for.
    fn of(&self, request: &str) -> usize {
        let fields = request.lines().filter_map(|line| line.split_once(": "));
        let mut key = fields.filter(|(name, _)| name.eq_ignore_ascii_case("idempotency-key"));
        let key = key.next().map_or("none", |(_, key)| key);
        let mut keys = self.keys.lock().expect("the keys");
        if let Some(at) = keys.iter().position(|(known, _)| known == key) {
            keys[at].1 += 1;
            return at + 1;
        }
        keys.push((key.to_owned(), 1));
        keys.len()
    }
}

/// The first line that a program says, which it does once it listens; `None` where it ends without one.
pub fn first_line(program: &mut Child) -> Option<String> {
    let mut lines = BufReader::new(program.stdout.take().expect("a pipe")).lines();
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        // There is more than one, and nobody may close the pipe on the program.
        let _ = tell.send(lines.next().and_then(Result::ok));
        lines.for_each(drop);
    });
    let said = told.recv_timeout(Duration::from_secs(30));
    if said.is_err() {
        let _ = program.kill();
    }
    said.expect("the program says nothing, and does not end")
}

fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address")
}

fn collect_lines(
    log: impl std::io::BufRead + Send + 'static,
) -> Arc<std::sync::Mutex<Vec<String>>> {
    let lines = Arc::new(std::sync::Mutex::new(Vec::new()));
    let collecting = Arc::clone(&lines);
    std::thread::spawn(move || {
        for line in log.lines().map_while(Result::ok) {
            collecting.lock().expect("the log").push(line);
        }
    });
    lines
}
