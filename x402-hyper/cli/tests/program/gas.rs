//! What settling costs, and an account that cannot pay for it.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use serde_json::json;

use crate::process::{Running, run_with};
use crate::seller::{BUYER_KEY, Chain, PAY_TO, SETTLER_KEY, Scripted, answer, config};

/// Of the key that pays the gas.
const SETTLER: &str = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266";

fn fund(chain: &Chain, wei: &str) {
    chain.rpc("anvil_setBalance", &json!([SETTLER, wei]));
}

fn metrics(address: SocketAddr) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

/// The payer is told that nothing was charged, which is so, and is served once the key is filled.
#[test]
fn an_empty_key_sells_nothing_and_sells_again_once_it_is_filled() {
    let chain = Chain::start();
    fund(&chain, "0x1");
    let upstream = Scripted::start(|_, _| answer("200 OK", "", "served"));
    let folder = tempfile::tempdir().unwrap();
    let path = config(folder.path(), chain.address, upstream.address);
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, format!("metrics: 127.0.0.1:0\n{text}")).unwrap();
    let args = ["serve", "--config", path.to_str().unwrap()];
    let mut gateway = Running::start(&args, &[("X402_KEY", SETTLER_KEY)]);
    let line = gateway.line("listening on http://");
    let url = format!("http://{}/api/analyze", line.split(['/', ',']).nth(2).unwrap());
    gateway.line("who has 0.000000000000000001 ether");
    let line = gateway.line("metrics are at http://");
    let address = line.split('/').nth(2).unwrap().parse().unwrap();
    let shown = metrics(address);
    assert!(shown.contains("x402_ready{network=\"eip155:1\"} 0\n"), "{shown}");
    assert!(shown.contains("x402_gas_account_wei{network=\"eip155:1\"} 1\n"), "{shown}");

    let here = folder.path().to_owned();
    let pay = move || {
        let args = ["pay", &url, "-d", "some words", "--max", "0.05", "--json"];
        run_with(&args, &[("X402_KEY", BUYER_KEY)], &here)
    };
    let paying = std::thread::spawn(pay);
    std::thread::sleep(std::time::Duration::from_secs(2));
    // It was presented, and nothing is recorded of it that could be sent later.
    assert!(!paying.is_finished(), "{:?}", paying.join());
    let count = chain.rpc("eth_getTransactionCount", &json!([SETTLER, "pending"]));
    assert_eq!((count, chain.balance(PAY_TO)), (json!("0x0"), 0));
    assert!(upstream.requests.lock().unwrap().is_empty());
    fund(&chain, "0xde0b6b3a7640000");
    let paid = paying.join().unwrap();
    assert_eq!(paid.code, 0, "{paid:?}");
    assert_eq!(chain.balance(PAY_TO), 10_000);
    let shown = metrics(address);
    assert!(shown.contains("x402_ready{network=\"eip155:1\"} 1\n"), "{shown}");
    let ended = gateway.interrupt();
    assert_eq!(ended.code, 0, "{ended:?}");
    let warning = "warning: nothing can be settled: 0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266";
    assert!(ended.stderr.contains(warning), "{ended:?}");
}

#[test]
fn what_a_payment_may_cost_is_read_from_the_file() {
    let chain = Chain::start();
    let folder = tempfile::tempdir().unwrap();
    let path = config(folder.path(), chain.address, "127.0.0.1:1".parse().unwrap());
    let text = std::fs::read_to_string(&path).unwrap();
    let text = text.replace("chain: {", "chain: {max_gas_cost: 0.00000000001, ");
    std::fs::write(&path, text).unwrap();
    let args = ["serve", "--config", path.to_str().unwrap()];
    let mut gateway = Running::start(&args, &[("X402_KEY", SETTLER_KEY)]);
    gateway.line("gas is paid by");
    let ended = gateway.interrupt();
    assert!(ended.stderr.contains("raise max_gas_cost or max_fee_per_gas"), "{ended:?}");
}
