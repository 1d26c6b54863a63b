//! `x402 facilitator` on a real node: settlements that are asked for at the same time.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use x402_core::secp256k1::K256Signer;
use x402_core::{Address, Amount, Authorization, Signer as _, hex};

use crate::faults::{PRICE, after, rounds};
use crate::http::{self, Answer};
use crate::node::{Node, USDC};
use crate::proxy::Proxy;
use crate::shop::{BUYER, BUYER_KEY, PAY_TO, SETTLER_KEY, first_line, terms, usdc};
use crate::wallet::MULTICALL3;

/// anvil's account 3: pays too, and can be made to lose its money.
const POOR_KEY: &str = "0x7c852118294e51e653712a81e05800f419141751be58f605c371e15141b007a6";
const POOR: &str = "0x90F79bf6EB2c4f870365E785982E1f101E93b906";

pub struct Service {
    pub node: Node,
    pub proxy: Proxy,
    pub address: SocketAddr,
    folder: tempfile::TempDir,
    program: Option<Child>,
    /// Keys of its file beside the usual ones.
    extra: &'static str,
}

impl Service {
    pub fn open() -> Self {
        Self::open_with("")
    }

    /// With these lines in its file, too.
    pub fn open_with(extra: &'static str) -> Self {
        let node = Node::start();
        let code = include_str!("../../../../x402-std/src/devnet/bytecode/Multicall3.runtime.hex");
        node.install(MULTICALL3, code);
        node.mint(BUYER, 100_000_000);
        let proxy = Proxy::start(node.address);
        let folder = tempfile::tempdir().expect("a folder");
        let address = "127.0.0.1:1".parse().expect("an address");
        let mut service = Self { node, proxy, address, folder, program: None, extra };
        service.start();
        service
    }

    fn start(&mut self) {
        let (config, key) =
            (self.folder.path().join("facilitator.yaml"), self.folder.path().join("settler.key"));
        std::fs::write(&key, SETTLER_KEY).expect("write the key");
        let closed = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&key, closed).expect("close it to others");
        let text = format!(
            "listen: 127.0.0.1:0\nledger: ./facilitator.redb\nchains:\n  - {{network: ethereum, rpc: \
             \"http://{}\", key_file: ./settler.key, assets: [USDC]}}\n{}",
            self.proxy.address, self.extra
        );
        std::fs::write(&config, text).expect("write the config");
        let log = std::fs::File::options().create(true).append(true).open(self.log());
        let mut program = Command::new(env!("CARGO_BIN_EXE_x402"))
            .args(["facilitator", "--config"])
            .arg(&config)
            .env("X402_LOG", "debug,alloy=info,hyper=info")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log.expect("a log"))
            .spawn()
            .expect("start the program");
        let line = first_line(&mut program);
        self.program = Some(program);
        let line = line.expect("it does not start");
        let address = line.strip_prefix("listening on http://").expect("an address");
        self.address = address.parse().expect("an address");
    }

    fn log(&self) -> std::path::PathBuf {
        self.folder.path().join("facilitator.log")
    }

    fn kill(&mut self) {
        if let Some(mut program) = self.program.take() {
            let _ = program.kill();
            let _ = program.wait();
        }
    }

    pub fn received(&self) -> u128 {
        self.node.balance(PAY_TO)
    }

    /// Asks for all settlements at the same time.
    pub fn settle_all(&self, bodies: &[String]) -> Vec<Value> {
        let to = self.address;
        thread::scope(|scope| {
            let asking: Vec<_> =
                bodies.iter().map(|body| scope.spawn(move || settle(to, body))).collect();
            asking.into_iter().map(|thread| thread.join().expect("an answer").json()).collect()
        })
    }

    /// What a transaction moved to the payee.
    fn moved_by(&self, transaction: &str) -> usize {
        let receipt = self.node.rpc("eth_getTransactionReceipt", json!([transaction]));
        let payee = format!("0x{:0>64}", PAY_TO.trim_start_matches("0x").to_lowercase());
        let logs = receipt["logs"].as_array().expect("logs").iter();
        let is_to_payee = |log: &&Value| {
            log["topics"].as_array().is_some_and(|t| t.get(2) == Some(&json!(payee)))
        };
        logs.filter(|log| log["address"] == USDC.to_lowercase()).filter(is_to_payee).count()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.kill();
        if thread::panicking() {
            let log = std::fs::read_to_string(self.log()).unwrap_or_default();
            let lines: Vec<_> = log.lines().collect();
            eprintln!("{}", lines[lines.len().saturating_sub(400)..].join("\n"));
        }
    }
}

fn request(body: &str) -> String {
    http::request("POST /settle", &[("Content-Type", "application/json".into())], body)
}

/// The same call each time, which nobody else can make.
fn repeated(body: &str) -> String {
    let key = hex::Hex(&x402_core::keccak256(&[body.as_bytes()])).to_string();
    let fields = [("Content-Type", "application/json".into()), ("Idempotency-Key", key)];
    http::request("POST /settle", &fields, body)
}

pub fn settle(to: SocketAddr, body: &str) -> Answer {
    http::exchange(to, &request(body))
}

/// The body of a request to settle a payment of v2.
fn body(key: &str, nonce: u64, units: u128) -> String {
    let key = hex::decode(key).expect("a key");
    let signer = K256Signer::from_bytes(&key).expect("a key");
    let terms = terms(&nonce.to_string());
    let value = Amount::from_units(units);
    let terms = Authorization { from: signer.address(), value, ..terms };
    let Ok(signature) = signer.sign(&terms.digest(&usdc().domain().separator()));
    body_of(&terms, &signature.to_rsv())
}

/// The same of any authorization, with any signature.
pub fn body_of(terms: &Authorization, signature: &[u8]) -> String {
    let (units, payee) = (terms.value.to_string(), Address::to_string(&terms.to));
    let requirements = json!({
        "scheme": "exact", "network": "eip155:1", "amount": units, "asset": USDC,
        "payTo": payee, "maxTimeoutSeconds": 60, "extra": {"name": "USD Coin", "version": "2"},
    });
    let payload = json!({
        "signature": hex::Hex(signature).to_string(),
        "authorization": {
            "from": Address::to_string(&terms.from), "to": payee, "value": units,
            "validAfter": "0", "validBefore": terms.valid_before.to_secs().expect("a time").to_string(),
            "nonce": hex::Hex(terms.nonce.as_bytes()).to_string(),
        },
    });
    let resource = json!({"url": "https://api.example.com/", "description": "", "mimeType": ""});
    let payment = json!({
        "x402Version": 2, "resource": resource, "accepted": requirements, "payload": payload,
    });
    json!({"x402Version": 2, "paymentPayload": payment, "paymentRequirements": requirements})
        .to_string()
}

fn hashes(answers: &[Value]) -> Vec<&str> {
    let mut hashes: Vec<_> =
        answers.iter().map(|answer| answer["transaction"].as_str().expect("a hash")).collect();
    hashes.sort_unstable();
    hashes.dedup();
    hashes
}

#[test]
fn those_that_come_together_share_a_transaction_that_moves_each() {
    let service = Service::open();
    let bodies: Vec<_> = (1..=40).map(|nonce| body(BUYER_KEY, nonce, PRICE)).collect();
    let answers = service.settle_all(&bodies);
    assert!(answers.iter().all(|answer| answer["success"] == true), "{answers:?}");
    assert_eq!(service.received(), 40 * PRICE);
    let hashes = hashes(&answers);
    assert!(hashes.len() <= 20, "{} transactions", hashes.len());
    // Each answer's transaction is one that moved as many payments as name it.
    for hash in &hashes {
        let named = answers.iter().filter(|answer| answer["transaction"] == **hash).count();
        assert_eq!(service.moved_by(hash), named, "{hash}");
    }
    println!("40 payments in {} transactions", hashes.len());
    are_used(&service.settle_all(&bodies), &answers);
    assert_eq!(service.received(), 40 * PRICE);
}

/// Whoever asks again is told that it was settled, and by what.
fn are_used(again: &[Value], answers: &[Value]) {
    assert_eq!(again.len(), answers.len());
    for (again, first) in again.iter().zip(answers) {
        assert_eq!(again["success"], false, "{again}");
        assert_eq!(again["errorReason"], "invalid_exact_evm_nonce_already_used");
        assert_eq!(again["transaction"], first["transaction"]);
    }
}

/// A seller that serves for each success must not be told it ten times for one payment.
#[test]
fn of_ten_that_settle_one_payment_at_once_one_is_told_success() {
    let service = Service::open();
    for nonce in 1..=5 {
        let bodies = vec![body(BUYER_KEY, nonce, PRICE); 10];
        let (good, rest): (Vec<_>, Vec<_>) =
            service.settle_all(&bodies).into_iter().partition(|answer| answer["success"] == true);
        assert_eq!(good.len(), 1, "{rest:?}");
        are_used(&rest, &vec![good[0].clone(); 9]);
        assert_eq!(service.received(), u128::from(nonce) * PRICE);
        let hash = good[0]["transaction"].as_str().expect("a hash");
        let known = http::exchange(
            service.address,
            &http::request(&format!("GET /settlements/{hash}"), &[], ""),
        );
        let known = &known.json()["settlements"][0];
        assert_eq!((&known["state"], &known["successSaid"]), (&json!("served"), &json!(true)));
    }
}

#[test]
fn a_member_that_reverts_has_not_paid_and_harms_no_other() {
    let service = Service::open();
    service.node.mint(POOR, PRICE);
    service.proxy.hold_sends(true);
    let (good, poor) =
        ((1..=12).map(|nonce| body(BUYER_KEY, nonce, PRICE)), body(POOR_KEY, 1, PRICE));
    let bodies: Vec<_> = good.chain([poor]).collect();
    let answers = thread::scope(|scope| {
        let asking = scope.spawn(|| service.settle_all(&bodies[..12]));
        // Who comes first is settled alone.
        thread::sleep(Duration::from_millis(5));
        let poor = scope.spawn(|| settle(service.address, &bodies[12]).json());
        // By now all were found to be good, and nothing has reached the node.
        thread::sleep(Duration::from_secs(2));
        service.node.burn(POOR);
        service.proxy.hold_sends(false);
        let mut answers = asking.join().expect("answers");
        answers.push(poor.join().expect("an answer"));
        answers
    });
    for answer in &answers[..12] {
        assert_eq!(answer["success"], true, "{answer}");
    }
    let refused = &answers[12];
    assert_eq!(refused["success"], false, "{refused}");
    assert_eq!((service.received(), service.node.balance(POOR)), (12 * PRICE, 0));
    // The transaction that did nothing for it is named, and whoever asks again is told the same.
    let hash = refused["transaction"].as_str().expect("a hash");
    assert!(answers[..12].iter().any(|answer| answer["transaction"] == hash), "{refused}");
    let again = settle(service.address, &bodies[12]).json();
    assert_eq!(
        (&again["success"], &again["transaction"]),
        (&refused["success"], &refused["transaction"])
    );
    are_used(&service.settle_all(&bodies[..12]), &answers[..12]);
}

/// Repeats until the facilitator says that it is settled: what is lost on the way to the node is sent again
/// after ten seconds.
fn insist(to: SocketAddr, body: &str) -> Value {
    let mut last = None;
    for _ in 0..1_200 {
        if let Some(answer) = http::try_exchange(to, &repeated(body)) {
            let answer = answer.json();
            if answer["success"] == true {
                return answer;
            }
            last = Some(answer);
        }
        thread::sleep(Duration::from_millis(25));
    }
    panic!("it is not settled: {last:?}");
}

#[test]
fn who_is_killed_amid_settlements_settles_each_once() {
    const AT_ONCE: u64 = 12;
    let mut service = Service::open();
    let (rounds, mut luck) = (rounds(15, 300), 5);
    for round in 0..rounds {
        luck = after(luck);
        let instant = Duration::from_micros((luck >> 33) % 300_000);
        let nonces = 1 + round * AT_ONCE..1 + (round + 1) * AT_ONCE;
        let bodies: Vec<_> = nonces.map(|nonce| body(BUYER_KEY, nonce, PRICE)).collect();
        service.proxy.lose(round + 1);
        let to = service.address;
        thread::scope(|scope| {
            for body in &bodies {
                scope.spawn(move || http::try_exchange(to, &repeated(body)));
            }
            thread::sleep(instant);
            service.kill();
        });
        service.proxy.lose(0);
        service.start();
        service.proxy.lose(round + 1);
        let to = service.address;
        let answers: Vec<_> = thread::scope(|scope| {
            let asking: Vec<_> =
                bodies.iter().map(|body| scope.spawn(move || insist(to, body))).collect();
            asking.into_iter().map(|thread| thread.join().expect("an answer")).collect()
        });
        assert_eq!(service.received(), u128::from((round + 1) * AT_ONCE) * PRICE, "{instant:?}");
        for answer in &answers {
            let hash = answer["transaction"].as_str().expect("a hash");
            assert!(service.moved_by(hash) >= 1, "{answer}");
        }
    }
    println!("{rounds} kills with {AT_ONCE} settlements under way");
}
