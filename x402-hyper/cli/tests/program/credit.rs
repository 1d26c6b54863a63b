//! The names of credit: replaced by the operator, and by the payer.

use std::net::SocketAddr;

use serde_json::Value;
use x402_core::proof::{CreditProof, CreditStatement, DrawnRequest, ProofField};
use x402_core::secp256k1::K256Signer;
use x402_core::{Address, Asset, ChainId, Nonce, Signer as _, hex, keccak256};

use crate::process::Running;
use crate::refund::{BUYER, Books};
use crate::seller::{BUYER_KEY, SETTLER_KEY, Scripted, answer, exchange};

/// 35 bytes are 9 tokens: 90, and 100 tokens of the answer: 3,000.
const REQUEST: &str = r#"{"messages":[],"max_tokens":100   }"#;
/// 12 tokens and 34: 120 and 1,020.
const COST: u128 = 1_140;
const USAGE: &str = r#"{"usage":{"prompt_tokens":12,"completion_tokens":34}}"#;

/// The gateway of these books, that sells by the token.
struct Gateway {
    running: Running,
    address: SocketAddr,
}

impl Gateway {
    fn start(books: &Books) -> Self {
        let args = ["serve", "--config", books.config.to_str().unwrap()];
        let mut running = Running::start(&args, &[("X402_KEY", SETTLER_KEY)]);
        let line = running.line("listening on http://");
        let address = line.split(['/', ',']).nth(2).unwrap().parse().unwrap();
        Self { running, address }
    }

    fn ask(&self, fields: &str) -> (u16, Value) {
        let (status, body) = exchange(self.address, "/api/analyze", fields, REQUEST);
        (status, serde_json::from_str(&body).unwrap())
    }

    fn draw(&self, name: &str, nonce: u8) -> (u16, Value) {
        self.ask(&format!("X-Payment-Credit: {name}\r\nX-Payment-Nonce: {nonce}\r\n"))
    }

    fn refuses(&self, (status, said): (u16, Value), reason: &str) {
        assert_eq!((status, &said["code"], &said["reason"]), (403, &"403".into(), &reason.into()));
        assert!(said["help"].as_str().unwrap().contains("X-Payment-Proof"), "{said}");
    }

    fn stop(self) {
        assert_eq!(self.running.interrupt().code, 0);
    }
}

/// Sold by the token, before an upstream that counts.
fn sell_tokens(books: &Books, more: &str) -> Scripted {
    let fields = "Content-Type: application/json\r\n";
    let upstream = Scripted::start(move |_, _| answer("200 OK", fields, USAGE));
    let text = std::fs::read_to_string(&books.config).unwrap();
    let pricing = r#"{model: "per_token", input_price: "0.00001", output_price: "0.00003", currency: "USDC"}"#;
    let old = r#"{model: "per_request", amount: "0.01", currency: "USDC"}"#;
    let text =
        text.replace(old, pricing).replace("127.0.0.1:9\n", &format!("{}\n", upstream.address));
    std::fs::write(&books.config, format!("{text}{more}")).unwrap();
    upstream
}

fn rotate(books: &Books) -> String {
    let said = books.ledger(&["credits", "rotate", BUYER, "--format", "json"], "").succeeded();
    let said: Value = serde_json::from_str(&said).unwrap();
    let [row] = &said.as_array().unwrap()[..] else { panic!("{said}") };
    assert_eq!(row["payer"], BUYER);
    row["name"].as_str().unwrap().to_owned()
}

/// What the payer signs, as his key signs it.
fn proof(gateway: &Gateway, books: &Books, statement: CreditStatement<'_>, later: u64) -> String {
    let key = K256Signer::from_bytes(&hex::decode(BUYER_KEY).unwrap()).unwrap();
    let usdc = Asset::find(ChainId::ETHEREUM, "USDC").unwrap();
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let time = now + later;
    assert_eq!(gateway.address.ip().to_string(), "127.0.0.1");
    let proof = CreditProof {
        origin: "http://localhost",
        payer: key.address(),
        chain_id: usdc.chain_id,
        asset: usdc.address,
        pay_to: Address::parse(&books.seller).unwrap(),
        statement,
        time,
    };
    let Ok(signature) = key.sign(&proof.digest());
    ProofField { time, signature }.to_string()
}

#[test]
fn the_operator_and_the_payer_replace_the_name_of_a_credit() {
    let books = Books::open();
    for number in 1..=3 {
        books.earn(number);
    }
    let upstream = sell_tokens(&books, "");
    let served = || upstream.requests.lock().unwrap().len();
    let first = rotate(&books);
    let gateway = Gateway::start(&books);
    let (status, paid) = gateway.draw(&first, 1);
    assert_eq!((status, &paid["usage"]["prompt_tokens"]), (200, &12.into()));
    // The file is the gateway's while it runs.
    let ended = books.ledger(&["credits", "rotate", BUYER], "");
    assert!(ended.code != 0 && ended.stderr.contains("open"), "{}", ended.stderr);
    assert_eq!(gateway.draw(&first, 1).0, 200);
    gateway.stop();

    let second = rotate(&books);
    let table = books.ledger(&["credits"], "").succeeded();
    assert!(table.contains(&format!(",{},", 3 * 3_700 - COST)), "{table}");
    let gateway = Gateway::start(&books);
    for nonce in [1, 2] {
        gateway.refuses(gateway.draw(&first, nonce), "credit_replaced");
    }
    // What was drawn is not drawn again under the new name, and is given again.
    assert_eq!((gateway.draw(&second, 1), served()), ((200, paid), 1));
    assert_eq!((gateway.draw(&second, 2).0, served()), (200, 2));

    // The payer has lost it.
    let new = |statement, word: &str, later| {
        let proof = proof(&gateway, &books, statement, later);
        let from = format!("X-Payment-Credit: {word}\r\nX-Payment-From: {BUYER}\r\n");
        gateway.ask(&format!("{from}X-Payment-Proof: {proof}\r\n"))
    };
    let (status, said) = new(CreditStatement::Rename, "new", 0);
    assert_eq!((status, &said["draws"], &said["expires"]), (200, &"bearer".into(), &Value::Null));
    let third = said["credit"].as_str().unwrap();
    gateway.refuses(gateway.draw(&second, 3), "credit_replaced");
    assert_eq!((gateway.draw(third, 3).0, served()), (200, 3));

    // From now on with his key alone.
    let (status, said) = new(CreditStatement::RequireSignature, "signed", 9);
    assert_eq!((status, &said["draws"]), (200, &"signed".into()));
    let fourth = said["credit"].as_str().unwrap();
    gateway.refuses(gateway.draw(fourth, 4), "credit_signature_required");
    let request = DrawnRequest {
        method: "POST",
        target: "/api/analyze",
        body: keccak256(&[REQUEST.as_bytes()]),
        nonce: Nonce::parse("4").unwrap(),
    };
    let proof = proof(&gateway, &books, CreditStatement::Draw(request), 0);
    let by_key = format!("X-Payment-Credit: {fourth}\r\nX-Payment-Proof: {proof}\r\n");
    assert_eq!(gateway.ask(&format!("{by_key}X-Payment-Nonce: 4\r\n")).0, 200);
    gateway.refuses(
        gateway.ask(&format!("{by_key}X-Payment-Nonce: 5\r\n")),
        "credit_signature_required",
    );
    assert_eq!(served(), 4);
    gateway.stop();
    assert_eq!(books.credit(), Some((3 * 3_700 - 4 * COST, 0)));
}

#[test]
fn a_name_says_when_it_ends_where_the_file_does() {
    let books = Books::open();
    books.earn(1);
    let upstream = sell_tokens(&books, "credit_expires: 60\n");
    let gateway = Gateway::start(&books);
    let proof = proof(&gateway, &books, CreditStatement::Rename, 0);
    let from = format!("X-Payment-Credit: new\r\nX-Payment-From: {BUYER}\r\n");
    let (status, said) = gateway.ask(&format!("{from}X-Payment-Proof: {proof}\r\n"));
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let expires = said["expires"].as_u64().unwrap();
    assert!(status == 200 && (now + 40..=now + 60).contains(&expires), "{said}");
    let new = said["credit"].as_str().unwrap();
    assert_eq!(gateway.draw(new, 1).0, 200);
    assert_eq!(upstream.requests.lock().unwrap().len(), 1);
    gateway.stop();
}

/// A proxy on this machine, whose client speaks plain HTTP to it.
#[test]
fn what_came_over_plain_http_is_no_name() {
    let books = Books::open();
    books.earn(1);
    let upstream = sell_tokens(&books, "public_url: https://shop.example\n");
    let name = rotate(&books);
    let gateway = Gateway::start(&books);
    let by = |proto: &str| {
        let fields = format!("X-Forwarded-Proto: {proto}\r\nX-Payment-Nonce: 1\r\n");
        gateway.ask(&format!("{fields}X-Payment-Credit: {name}\r\n"))
    };
    let (status, said) = by("http");
    assert_eq!((status, &said["reason"]), (403, &"insecure_transport".into()));
    assert!(said["help"].as_str().unwrap().contains("HTTPS"), "{said}");
    assert_eq!(upstream.requests.lock().unwrap().len(), 0);
    assert_eq!((by("https").0, upstream.requests.lock().unwrap().len()), (200, 1));
    gateway.stop();
}

#[test]
fn what_cannot_be_rotated_is_said() {
    let books = Books::open();
    let ended = books.ledger(&["credits", "rotate", "0x12"], "");
    assert_eq!((ended.code, ended.stderr.contains("is no address")), (2, true), "{}", ended.stderr);
    // Also who has nothing now has no name of old tomorrow.
    let table = books.ledger(&["credits", "rotate", BUYER, "--format", "table"], "").succeeded();
    assert!(table.starts_with("payer ") && table.contains("  0 USDC  "), "{table}");
    let csv = books.ledger(&["credits", "rotate", BUYER], "").succeeded();
    let (titles, row) = csv.split_once('\n').unwrap();
    assert!(titles.ends_with(",held,generation,name"), "{titles}");
    assert!(row.contains(",0,0,2,B"), "{row}");
    assert_eq!(books.credit(), None);
}
