//! A real node: anvil, chain id 1, with the token of `tests/contracts` at USDC's address.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};

use serde_json::{Value, json};

use crate::http;

pub const USDC: &str = "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48";
const TOKEN: &str = include_str!("../../../../x402-std/src/devnet/bytecode/Token.creation.hex");
/// The first of anvil's accounts, unlocked; it owns the token and pays nothing else.
pub const OWNER: &str = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266";

pub struct Node {
    child: Mutex<Child>,
    pub address: SocketAddr,
}

impl Node {
    /// Starts a fresh chain on a free port, with a token and nobody's balance.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// With these options of anvil's, too.
    pub fn start_with(options: &[&str]) -> Self {
        let (child, address) = spawn(0, options);
        let node = Self { child: Mutex::new(child), address };
        node.install_token(USDC, TOKEN);
        node
    }

    /// Ends the node and starts another one in its place, whose chain is empty but for the token.
    pub fn start_again_empty(&self) {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        end(&mut child);
        *child = spawn(self.address.port(), &[]).0;
        drop(child);
        self.install_token(USDC, TOKEN);
    }

    pub fn rpc(&self, method: &str, params: Value) -> Value {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let answer = http::post_json(self.address, &body.to_string()).json();
        assert!(answer.get("error").is_none(), "{method}: {answer}");
        answer["result"].clone()
    }

    /// Deploys a token, of which this is the code, and moves its code and its few storage slots to an address.
    pub fn install_token(&self, at: &str, creation: &str) {
        let hex = creation.trim().trim_start_matches("0x");
        let data = format!("0x{hex}{}", constructor("USD Coin", "USDC", "2", 6));
        let receipt = self.send(json!({"from": OWNER, "data": data, "gas": "0x989680"}));
        assert_eq!(receipt["status"], "0x1", "{receipt}");
        let from = receipt["contractAddress"].clone();
        let code = self.rpc("eth_getCode", json!([from, "latest"]));
        self.rpc("anvil_setCode", json!([at, code]));
        for slot in 0..16_u32 {
            let value = self.rpc("eth_getStorageAt", json!([from, format!("{slot:#x}"), "latest"]));
            let slot = format!("0x{slot:064x}");
            self.rpc("anvil_setStorageAt", json!([at, slot, value]));
        }
    }

    /// Sends a transaction and waits for its receipt: the node answers before the block is made.
    pub fn send(&self, transaction: Value) -> Value {
        let hash = self.rpc("eth_sendTransaction", json!([transaction]));
        for _ in 0..500 {
            let receipt = self.rpc("eth_getTransactionReceipt", json!([hash]));
            if !receipt.is_null() {
                return receipt;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        panic!("no receipt of {hash}");
    }

    /// Makes so many blocks.
    pub fn mine(&self, blocks: u32) {
        self.rpc("anvil_mine", json!([format!("{blocks:#x}")]));
    }

    /// From now on a block is made for each transaction, or only when somebody says so.
    pub fn mine_at_once(&self, is_at_once: bool) {
        self.rpc("evm_setAutomine", json!([is_at_once]));
    }

    /// Gives somebody tokens, in atomic units.
    pub fn mint(&self, to: &str, units: u128) {
        self.mint_of(USDC, to, units);
    }

    /// Gives somebody units of any token that its owner mints.
    pub fn mint_of(&self, token: &str, to: &str, units: u128) {
        let to = to.trim_start_matches("0x").to_lowercase();
        // mint(address,uint256)
        let data = format!("0x40c10f19{to:0>64}{units:064x}");
        let receipt = self.send(json!({"from": OWNER, "to": token, "data": data}));
        assert_eq!(receipt["status"], "0x1", "{receipt}");
    }

    /// Has one of the node's accounts send its tokens away.
    pub fn burn(&self, of: &str) {
        let units = self.balance(of);
        // transfer(address,uint256)
        let data = format!("0xa9059cbb{:0>64}{units:064x}", "dead");
        let receipt = self.send(json!({"from": of, "to": USDC, "data": data}));
        assert_eq!(receipt["status"], "0x1", "{receipt}");
    }

    /// Lets somebody else move all tokens of one of the node's accounts.
    pub fn approve(&self, of: &str, spender: &str) {
        // approve(address,uint256)
        let spender = spender.trim_start_matches("0x").to_lowercase();
        let data = format!("0x095ea7b3{spender:0>64}{}", "f".repeat(64));
        let receipt = self.send(json!({"from": of, "to": USDC, "data": data}));
        assert_eq!(receipt["status"], "0x1", "{receipt}");
    }

    /// Sends any call to the token from an account of the node's.
    pub fn call_token(&self, data: &str) -> Value {
        self.send(json!({"from": OWNER, "to": USDC, "data": data}))
    }

    /// Puts a contract's code, in hex, at an address.
    pub fn install(&self, at: &str, code: &str) {
        let code = code.trim().trim_start_matches("0x");
        self.rpc("anvil_setCode", json!([at, format!("0x{code}")]));
    }

    /// Asks a contract for one word.
    pub fn ask(&self, contract: &str, data: &str) -> String {
        let word = self.rpc("eth_call", json!([{"to": contract, "data": data}, "latest"]));
        word.as_str().expect("a word").to_owned()
    }

    pub fn has_code(&self, at: &str) -> bool {
        self.rpc("eth_getCode", json!([at, "latest"])) != "0x"
    }

    /// Somebody's tokens, in atomic units.
    pub fn balance(&self, of: &str) -> u128 {
        self.balance_of(USDC, of)
    }

    /// Somebody's units of any token.
    pub fn balance_of(&self, token: &str, of: &str) -> u128 {
        let of = of.trim_start_matches("0x").to_lowercase();
        let word = self.ask(token, &format!("0x70a08231{of:0>64}"));
        u128::from_str_radix(word.trim_start_matches("0x"), 16).expect("a number")
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        end(self.child.get_mut().unwrap_or_else(PoisonError::into_inner));
    }
}

fn end(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

/// Starts the program on this port, or on a free one where it is 0.
fn spawn(port: u16, options: &[&str]) -> (Child, SocketAddr) {
    let mut child = Command::new(binary())
        .args(["--host", "127.0.0.1", "--chain-id", "1", "--port", &port.to_string()])
        .args(options)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .stdin(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("{}: {error}; run tests/run interop", binary().display()));
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let address = lines
        .by_ref()
        .map(|line| line.expect("a line"))
        .find_map(|line| line.strip_prefix("Listening on ").map(str::to_owned))
        .expect("anvil says where it listens");
    // Nobody reads on: the pipe must not fill up and stop the node.
    std::thread::spawn(move || lines.for_each(drop));
    (child, address.parse().expect("an address"))
}

/// The node's program, where `npm ci` has put it: the binary itself, not the script that starts it,
/// which would leave it running when it is killed.
fn binary() -> &'static PathBuf {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let machine = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
        let system = if cfg!(target_os = "macos") { "darwin" } else { "linux" };
        PathBuf::from(env!("CARGO_MANIFEST_DIR"))
            .join("../../tests/interop/node_modules/@foundry-rs")
            .join(format!("anvil-{system}-{machine}/bin/anvil"))
    })
}

/// ABI of (string, string, string, uint8), for strings of at most 31 bytes.
fn constructor(name: &str, symbol: &str, version: &str, decimals: u8) -> String {
    let word = |number: usize| format!("{number:064x}");
    let mut data = word(0x80) + &word(0xc0) + &word(0x100) + &word(decimals.into());
    for text in [name, symbol, version] {
        let hex: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
        data += &word(text.len());
        data += &format!("{hex:0<64}");
    }
    data
}
