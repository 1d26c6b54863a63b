//! What hostile payers try, and what chains and nodes do to honest ones. Each script counts what was paid and
//! what was had for it: the two are equal, and so are the books and what the token moved.

mod broken_request;
mod bundle;
mod ended;
mod entitled;
mod lagging;
mod observer;
mod odd_token;
mod permit2;
mod purse;
mod reorg;
mod stranger;

use std::net::SocketAddr;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use x402_core::hex::{self, Hex};
use x402_core::secp256k1::K256Signer;
use x402_core::{Address, Amount, Asset, Authorization, Signature, Signer as _, keccak256};

use crate::faults::after;
use crate::http::{self, Answer};
use crate::node::{Node, USDC};
use crate::shop::{self, Shop, terms, usdc};
use crate::wallet::MULTICALL3;

/// Somebody whose transactions the program has not signed: an account of the node's.
const STRANGER: &str = "0x9965507D1a55bcC2695C58ba16FB37d819B0A4dc";
/// anvil's account 4: is paid where what was paid is to be given back.
const SELLER: &str = "0x15d34AAf54267DB7D7c367839AAf71A00a2C6A65";
const SELLER_KEY: &str = "0x47e179ec197488593b187f80a00eb0da91f1b9d0b13f8733639f19c30a34926a";

/// anvil's accounts 1, 3 and 6: who pays. One who had a transaction sent for nothing has to wait for the next.
const PAYERS: [&str; 3] = [
    shop::BUYER_KEY,
    "0x7c852118294e51e653712a81e05800f419141751be58f605c371e15141b007a6",
    "0x92db14e403b83dfe3df233f83dfa3a0d7096f21ca9b0d6d6b8d88b2b4ec1564e",
];

/// The payer of this round.
fn payer(seed: u64) -> Address {
    key_of(PAYERS[(seed - 1) as usize % PAYERS.len()])
}

/// Gives each of the payers 1 USDC.
fn mint_all(node: &Node) {
    for key in PAYERS {
        node.mint(&key_of(key).to_string(), 1_000_000);
    }
}

type Fields = Vec<(&'static str, String)>;

fn address(text: &str) -> Address {
    Address::parse(text).expect("an address")
}

fn word(number: usize) -> [u8; 32] {
    let mut word = [0; 32];
    word[24..].copy_from_slice(&(number as u64).to_be_bytes());
    word
}

fn selector(function: &str) -> [u8; 4] {
    keccak256(&[function.as_bytes()])[..4].try_into().expect("four bytes")
}

/// The bytes, filled up to whole words, behind their length.
fn padded(bytes: &[u8]) -> Vec<u8> {
    let mut out = [&word(bytes.len())[..], bytes].concat();
    out.resize(out.len().next_multiple_of(32), 0);
    out
}

/// Calldata of Multicall3's `aggregate3`: each of these calls, of which none may fail.
fn aggregate3(target: &str, calls: &[Vec<u8>]) -> Vec<u8> {
    let parts: Vec<_> = calls
        .iter()
        .map(|call| [&address(target).to_word()[..], &word(0), &word(96), &padded(call)].concat())
        .collect();
    let mut data = [&selector("aggregate3((address,bool,bytes)[])")[..], &word(32)].concat();
    data.extend(word(parts.len()));
    let mut offset = parts.len() * 32;
    for part in &parts {
        data.extend(word(offset));
        offset += part.len();
    }
    data.extend(parts.concat());
    data
}

/// Has an account of the node's make a call, which goes well.
fn transact(node: &Node, from: &str, to: &str, data: &[u8]) -> Value {
    let data = Hex(data).to_string();
    let receipt = node.send(json!({"from": from, "to": to, "data": data, "gas": "0x4c4b40"}));
    assert_eq!(receipt["status"], "0x1", "{receipt}");
    receipt
}

/// The token's call that the authorization is for.
fn call_of(authorization: &Authorization, asset: &Asset<'_>) -> Vec<u8> {
    authorization.calldata(&sign(authorization, asset)).to_vec()
}

fn signer(key: &str) -> K256Signer {
    let key = hex::decode(key).expect("a key");
    K256Signer::from_bytes(&key).expect("a key")
}

/// Whose key it is.
fn key_of(key: &str) -> Address {
    signer(key).address()
}

/// Who signs for this one of the payers.
fn signer_of(payer: Address) -> K256Signer {
    let mut signers = PAYERS.iter().map(|key| signer(key));
    signers.find(|signer| signer.address() == payer).expect("one of the payers")
}

/// Its payer's signature.
fn sign(authorization: &Authorization, asset: &Asset<'_>) -> Signature {
    let digest = authorization.digest(&asset.domain().separator());
    let Ok(signature) = signer_of(authorization.from).sign(&digest);
    signature
}

/// The header fields that pay with an authorization.
fn paying(authorization: &Authorization) -> Fields {
    paying_in(authorization, &usdc())
}

/// The same in another token of six decimals.
fn paying_in(authorization: &Authorization, asset: &Asset<'_>) -> Fields {
    let nonce = Hex(authorization.nonce.as_bytes()).to_string();
    let mut fields = shop::fields(authorization, sign(authorization, asset), &nonce);
    let price = authorization.value.to_price(6).to_string();
    shop::set(&mut fields, "X-Payment-Amount", &price);
    shop::set(&mut fields, "X-Payment-Asset", asset.symbol);
    fields
}

/// Requests that cost 0.01, each another one, with these payments.
fn requests(payments: &[Fields]) -> Vec<String> {
    let payments = payments.iter().enumerate();
    payments
        .map(|(n, fields)| http::request("POST /api/analyze", fields, &format!("{{\"n\":{n}}}")))
        .collect()
}

/// Sends all requests at the same time, does something meanwhile, and gives the answers.
fn together(to: SocketAddr, requests: &[String], meanwhile: impl FnOnce()) -> Vec<Answer> {
    thread::scope(|scope| {
        let requests = requests.iter();
        let asking: Vec<_> =
            requests.map(|it| scope.spawn(move || http::exchange(to, it))).collect();
        meanwhile();
        asking.into_iter().map(|thread| thread.join().expect("an answer")).collect()
    })
}

/// Whether the payer is told to wait.
fn is_open(answer: &Answer) -> bool {
    answer.status == 503 || answer.header("Retry-After").is_some()
}

/// Repeats requests until nobody is told to wait any more, or for so long.
fn insist(to: SocketAddr, requests: &[String], seconds: u64) -> Vec<Answer> {
    let deadline = Instant::now() + Duration::from_secs(seconds);
    loop {
        let answers = together(to, requests, || {});
        if Instant::now() > deadline || !answers.iter().any(is_open) {
            return answers;
        }
        thread::sleep(Duration::from_millis(500));
    }
}

fn had(answers: &[Answer]) -> u128 {
    answers.iter().filter(|answer| answer.status == 200).count() as u128
}

fn wait_for(what: &str, is: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !is() {
        assert!(Instant::now() < deadline, "it does not come: {what}");
        thread::sleep(Duration::from_millis(50));
    }
}

/// Waits until the books say what the token has moved to the payee beyond `before`.
fn books_agree(shop: &Shop, before: u128) {
    let moved = || shop.recipient_balance() - before;
    let deadline = Instant::now() + Duration::from_secs(30);
    while shop.exported() != moved() {
        let (books, moved) = (shop.exported(), moved());
        assert!(Instant::now() < deadline, "the books say {books}, the token moved {moved}");
        thread::sleep(Duration::from_millis(200));
    }
}

/// Makes a block every 300 ms while something else is done.
fn while_blocks_come<T>(node: &Node, what: impl FnOnce() -> T) -> T {
    let is_over = std::sync::atomic::AtomicBool::new(false);
    let order = std::sync::atomic::Ordering::SeqCst;
    thread::scope(|scope| {
        scope.spawn(|| {
            // However it ends: for three minutes at most.
            for _ in 0..600 {
                if is_over.load(order) {
                    return;
                }
                node.mine(1);
                thread::sleep(Duration::from_millis(300));
            }
        });
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(what));
        is_over.store(true, order);
        done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Nine authorizations of one value to one payee, and what anybody can make of them: one moves its money,
/// and each other is used up by an authorization with the same nonce, which moves next to nothing to the
/// payer himself.
struct Bundle {
    all: Vec<Authorization>,
    /// What is sent to Multicall3.
    data: Vec<u8>,
}

impl Bundle {
    /// One of the nine, as the seed says, is paid.
    fn new(seed: u64, units: u128, payee: &str) -> Self {
        Self::paying(seed, units, payee, (after(seed) >> 33) as usize % 9)
    }

    /// This one of the nine is paid.
    fn paying(seed: u64, units: u128, payee: &str, paid: usize) -> Self {
        let one = |n: u64| Authorization {
            from: payer(seed),
            to: address(payee),
            value: Amount::from_units(units),
            ..terms(&(100 * seed + n).to_string())
        };
        let all: Vec<_> = (0..9).map(one).collect();
        let mut luck = after(seed);
        let calls = all.iter().enumerate().map(|(n, authorization)| {
            luck = after(luck);
            let (to, value) = (authorization.from, Amount::from_units(u128::from(luck >> 40 & 1)));
            let twin = Authorization { to, value, ..*authorization };
            call_of(if n == paid { authorization } else { &twin }, &usdc())
        });
        let data = aggregate3(USDC, &calls.collect::<Vec<_>>());
        Self { all, data }
    }

    /// Anybody sends it.
    fn run(&self, node: &Node) -> String {
        let receipt = transact(node, STRANGER, MULTICALL3, &self.data);
        assert_eq!(receipt["logs"].as_array().map(Vec::len), Some(18), "{receipt}");
        receipt["transactionHash"].as_str().expect("a hash").to_owned()
    }

    fn payments(&self) -> Vec<Fields> {
        self.all.iter().map(paying).collect()
    }
}

/// Runs `x402 ledger` with these arguments on the file of a gateway that does not run, and gives how it ended
/// and what it said.
fn operate(shop: &Shop, args: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_x402"))
        .arg("ledger")
        .args(args)
        .arg("--config")
        .arg(shop.config_path())
        .env("X402_REFUND_KEY", SELLER_KEY)
        .env("X402_KEY", shop::SETTLER_KEY)
        .output()
        .expect("the program");
    let said = [&output.stdout[..], &output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&said).into_owned())
}

fn install_multicall(node: &Node) {
    let code = include_str!("../../../../x402-std/src/devnet/bytecode/Multicall3.runtime.hex");
    node.install(MULTICALL3, code);
}
