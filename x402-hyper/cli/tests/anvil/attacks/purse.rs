//! Who would have the seller or the facilitator pay gas for nothing.

use serde_json::{Value, json};
use x402_core::{Amount, Authorization};

use super::{PAYERS, address, key_of, paying, sign, together, wait_for};
use crate::facilitator::{Service, body_of, settle};
use crate::faults::PRICE;
use crate::http;
use crate::node::Node;
use crate::shop::{self, BUYER, SETTLER_KEY, Setup, Shop, terms, usdc};

/// A contract that agrees to what it is asked when nobody pays for the asking.
const WALLET: &str = "0x0bad000000000000000000000000000000000001";

/// How many transactions the settling account has in blocks.
fn sent(node: &Node) -> u64 {
    let count =
        node.rpc("eth_getTransactionCount", json!([key_of(SETTLER_KEY).to_string(), "latest"]));
    u64::from_str_radix(&count.as_str().expect("a number")[2..], 16).expect("a number")
}

fn ask(service: &Service, line: &str, body: &str) -> Value {
    let fields = [("Content-Type", "application/json".to_owned())];
    http::exchange(service.address, &http::request(line, &fields, body)).json()
}

fn install_wallet(node: &Node) {
    let code = include_str!("../../../../../tests/contracts/bytecode/GasPriceWallet.runtime.hex");
    node.install(WALLET, code);
    node.mint(WALLET, 1_000_000);
}

fn body_by_wallet(nonce: u32) -> String {
    let terms = Authorization { from: address(WALLET), ..terms(&nonce.to_string()) };
    body_of(&terms, &shop::sign(&terms, &usdc()).to_rsv())
}

#[test]
fn contracts_do_not_pay_unless_the_file_says_so() {
    let service = Service::open();
    install_wallet(&service.node);
    for nonce in 1..=5 {
        let body = body_by_wallet(nonce);
        assert_eq!(ask(&service, "POST /verify", &body)["isValid"], false);
        let settled = settle(service.address, &body).json();
        assert_eq!(settled["success"], false, "{settled}");
    }
    assert_eq!((sent(&service.node), service.received()), (0, 0));
}

/// What agrees in the simulation and not in the transaction costs gas a few times, and no more.
#[test]
fn a_contract_that_tells_simulations_apart_costs_little() {
    let service = Service::open_with("contract_wallets: true\n");
    install_wallet(&service.node);
    for nonce in 1..=20 {
        let settled = settle(service.address, &body_by_wallet(nonce)).json();
        assert_eq!(settled["success"], false, "{settled}");
    }
    println!("20 payments by a contract that refuses: {} transactions", sent(&service.node));
    assert!(sent(&service.node) <= 3, "{} transactions for nothing", sent(&service.node));
    assert_eq!(service.received(), 0);
}

/// A hundred are good one by one, and one is there to pay.
#[test]
fn of_a_hundred_on_a_balance_for_one_one_is_sent() {
    let service = Service::open();
    let payer = key_of(PAYERS[1]);
    service.node.mint(&payer.to_string(), PRICE);
    let bodies: Vec<_> = (1..=100_u32)
        .map(|nonce| {
            let terms = Authorization { from: payer, ..terms(&nonce.to_string()) };
            body_of(&terms, &sign(&terms, &usdc()).to_rsv())
        })
        .collect();
    let answers = service.settle_all(&bodies);
    let settled = answers.iter().filter(|answer| answer["success"] == true).count();
    println!("100 on a balance for one: {settled} settled, {} transactions", sent(&service.node));
    assert_eq!((settled, service.received(), sent(&service.node)), (1, PRICE, 1));
}

/// The same of a seller.
#[test]
fn of_thirty_on_a_balance_for_one_a_seller_sends_one_and_serves_one() {
    for settle in ["first", "after"] {
        let shop = Shop::set_up(Setup { settle, ..Setup::default() });
        shop.node.burn(BUYER);
        shop.node.mint(BUYER, PRICE);
        let payments: Vec<_> = (1..=30_u32).map(|n| paying(&terms(&n.to_string()))).collect();
        let answers = together(shop.address, &super::requests(&payments), || {});
        assert_eq!((super::had(&answers), shop.recipient_balance()), (1, PRICE));
        println!("30 on a balance for one, {settle}: {} transactions", sent(&shop.node));
        assert_eq!((sent(&shop.node), shop.upstream.payments()), (1, 1), "{settle}");
        super::books_agree(&shop, 0);
    }
}

#[test]
fn nothing_and_what_is_paid_to_oneself_is_refused() {
    let service = Service::open();
    let nothing = Authorization { value: Amount::ZERO, ..terms("1") };
    let oneself = Authorization { to: address(BUYER), ..terms("2") };
    for terms in [nothing, oneself] {
        let body = body_of(&terms, &sign(&terms, &usdc()).to_rsv());
        assert_eq!(ask(&service, "POST /verify", &body)["isValid"], false, "{body}");
        assert_eq!(settle(service.address, &body).json()["success"], false, "{body}");
    }
    assert_eq!(sent(&service.node), 0);
}

/// A web page may send text to this machine, and JSON only where it is let.
#[test]
fn what_is_not_called_json_is_415() {
    let service = Service::open();
    let body = body_of(&terms("1"), &sign(&terms("1"), &usdc()).to_rsv());
    for path in ["POST /verify", "POST /settle"] {
        for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"] {
            let fields = [("Content-Type", kind.to_owned())];
            let answer = http::exchange(service.address, &http::request(path, &fields, &body));
            assert_eq!(answer.status, 415, "{path} {kind}: {}", answer.body);
        }
        let bare = http::exchange(service.address, &http::request(path, &[], &body));
        assert_eq!(bare.status, 415, "{path}: {}", bare.body);
    }
    assert_eq!((sent(&service.node), service.received()), (0, 0));
}

/// A payer who has something under way costs one call more, and no one else does.
#[test]
fn accepting_costs_one_call_or_two_with_something_under_way() {
    let shop = Shop::open();
    // Account, fees and chain are known from then on.
    assert_eq!(shop.send(&paying(&terms("1"))).status, 200);
    shop.proxy.hold_sends(true);
    let requests = super::requests(&[paying(&terms("2")), paying(&terms("3"))]);
    let mut asked = Vec::new();
    let (first, second) = requests.split_at(1);
    together(shop.address, first, || {
        wait_for("the first", || shop.proxy.held() == 1);
        shop.proxy.take();
        together(shop.address, second, || {
            // It is sent behind the first, or waits for it: what it asks before is the same.
            std::thread::sleep(std::time::Duration::from_secs(2));
            asked = shop.proxy.take();
            shop.proxy.hold_sends(false);
        });
    });
    asked.retain(|method| method != "eth_getTransactionReceipt");
    println!("with a payment under way: {asked:?}");
    let accepting = asked.iter().filter(|method| *method == "eth_call" || *method == "batch");
    assert!((1..=2).contains(&accepting.count()), "{asked:?}");
    assert!(asked.len() <= 3, "{asked:?}");
    wait_for("both", || shop.recipient_balance() == 3 * PRICE);
}
