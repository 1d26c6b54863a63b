//! Payers that are contracts (EIP-1271), on the chain or not yet (ERC-6492).

use serde_json::Value;
use x402_core::wire::base64::{Base64, decode, decoded_room};
use x402_core::wire::{Answers, SignedPayload};
use x402_core::{Address, Authorization, Transfer, hex::Hex, keccak256};

use crate::http::Answer;
use crate::shop::{BUYER, Shop, sign, terms, usdc};

const FACTORY: &str = "0xfac7000000000000000000000000000000000001";
/// As good as the other, and not in the seller's file.
const STRANGER: &str = "0xfac7000000000000000000000000000000000002";
pub const MULTICALL3: &str = "0xcA11bde05977b3631167028862bE2a173976CA11";

fn open() -> Shop {
    let list = format!("contract_wallets: true\nwallet_factories: [\"{FACTORY}\"]\n");
    let shop = Shop::open_with(&list);
    let factory = include_str!("../../../../tests/contracts/bytecode/WalletFactory.runtime.hex");
    shop.node.install(FACTORY, factory);
    shop.node.install(STRANGER, factory);
    let multicall = include_str!("../../../../x402-std/src/devnet/bytecode/Multicall3.runtime.hex");
    shop.node.install(MULTICALL3, multicall);
    shop
}

/// The call of a factory's function about the buyer's wallet of a number.
fn call(function: &str, number: u8) -> Vec<u8> {
    let owner = Address::parse(BUYER).expect("an address").to_word();
    let selector = keccak256(&[function.as_bytes()]);
    [&selector[..4], &owner, &word(number.into())].concat()
}

/// Where a factory puts the buyer's wallet of a number; it has 1 USDC.
fn wallet(shop: &Shop, factory: &str, number: u8) -> Address {
    let asked =
        shop.node.ask(factory, &Hex(&call("addressOf(address,bytes32)", number)).to_string());
    let address = format!("0x{}", &asked[asked.len() - 40..]);
    shop.node.mint(&address, 1_000_000);
    Address::parse(&address).expect("an address")
}

fn word(number: usize) -> [u8; 32] {
    let mut word = [0; 32];
    word[24..].copy_from_slice(&(number as u64).to_be_bytes());
    word
}

fn paid_by(wallet: Address, nonce: &str) -> Authorization {
    Authorization { from: wallet, ..terms(nonce) }
}

/// abi.encode(factory, calldata, signature), and what such signatures end with.
fn wrap(factory: &str, calldata: &[u8], signature: &[u8]) -> Vec<u8> {
    let padded = |bytes: &[u8]| {
        let mut out = word(bytes.len()).to_vec();
        out.extend_from_slice(bytes);
        out.resize(out.len().next_multiple_of(32), 0);
        out
    };
    let (first, second) = (padded(calldata), padded(signature));
    let factory = Address::parse(factory).expect("an address").to_word();
    [&factory[..], &word(96), &word(96 + first.len()), &first, &second, &[0x64, 0x92].repeat(16)]
        .concat()
}

fn pay(shop: &Shop, payment: Authorization, signature: &[u8]) -> Answer {
    let told = shop.send(&[]);
    let told = told.header("PAYMENT-REQUIRED").expect("terms").as_bytes().to_vec();
    let mut json = vec![0; decoded_room(told.len())];
    let told: Value =
        serde_json::from_slice(decode(&told, &mut json).expect("base64")).expect("JSON");
    let accepted = told["accepts"][0].to_string();
    let answers = Answers::V2 { accepted: &accepted, resource: "", extensions: "" };
    let transfer = Transfer::Eip3009(payment);
    let payload = Base64(SignedPayload { transfer: &transfer, signature, answers }).to_string();
    let key = format!("the-key-of-the-payer-of-{}", payment.nonce);
    shop.send(&[("PAYMENT-SIGNATURE", payload), ("Idempotency-Key", key)])
}

fn refused(answer: &Answer, reason: &str) {
    assert_eq!(answer.status, 402, "{}", answer.body);
    assert_eq!(answer.json()["error"], reason, "{}", answer.body);
}

#[test]
fn a_wallet_pays_before_it_is_on_the_chain_and_after() {
    let mut shop = open();
    let address = wallet(&shop, FACTORY, 1);
    let deploy = call("deploy(address,bytes32)", 1);
    let first = paid_by(address, "1");
    let signature = wrap(FACTORY, &deploy, &sign(&first, &usdc()).to_rsv());
    let paid = pay(&shop, first, &signature);
    assert_eq!(paid.status, 200, "{}", paid.body);
    assert!(shop.node.has_code(&address.to_string()));
    assert_eq!((shop.recipient_balance(), shop.upstream.hits()), (10_000, 1));
    // The same bytes are the same payment, though the wallet is there now.
    let again = pay(&shop, first, &signature);
    assert_eq!((again.status, &again.body), (200, &paid.body));
    shop.restart();
    let again = pay(&shop, first, &signature);
    assert_eq!((again.status, &again.body), (200, &paid.body));

    let second = paid_by(address, "2");
    assert_eq!(pay(&shop, second, &sign(&second, &usdc()).to_rsv()).status, 200);
    let third = paid_by(address, "3");
    let signature = wrap(FACTORY, &deploy, &sign(&third, &usdc()).to_rsv());
    assert_eq!(pay(&shop, third, &signature).status, 200);
    assert_eq!((shop.recipient_balance(), shop.upstream.hits()), (30_000, 3));
}

#[test]
fn a_wallet_that_did_not_sign_does_not_pay_and_is_not_deployed() {
    let shop = open();
    let address = wallet(&shop, FACTORY, 1);
    let deploy = call("deploy(address,bytes32)", 1);
    let (payment, other) = (paid_by(address, "1"), paid_by(address, "2"));
    let wrong = sign(&other, &usdc()).to_rsv();
    let reason = "invalid_exact_evm_transaction_simulation_failed";
    refused(&pay(&shop, payment, &wrap(FACTORY, &deploy, &wrong)), reason);
    // The factory makes another wallet than the payer's.
    let good = sign(&payment, &usdc()).to_rsv();
    let elsewhere = call("deploy(address,bytes32)", 2);
    refused(&pay(&shop, payment, &wrap(FACTORY, &elsewhere, &good)), reason);
    // Without the way to deploy it there is nobody who could sign.
    refused(&pay(&shop, payment, &good), "invalid_exact_evm_signature");
    assert!(!shop.node.has_code(&address.to_string()));
    assert_eq!((shop.recipient_balance(), shop.upstream.hits()), (0, 0));
}

#[test]
fn a_factory_that_is_not_listed_is_not_called() {
    let shop = open();
    let address = wallet(&shop, STRANGER, 1);
    let payment = paid_by(address, "1");
    let good = sign(&payment, &usdc()).to_rsv();
    shop.proxy.take();
    for (factory, calldata) in [
        (STRANGER, call("deploy(address,bytes32)", 1)),
        // As a drainer would have it: the token itself as the factory.
        (crate::node::USDC, [&keccak256(&[b"transfer(address,uint256)"])[..4], &[0; 64]].concat()),
    ] {
        let answer = pay(&shop, payment, &wrap(factory, &calldata, &good));
        refused(&answer, "eip6492_factory_not_allowed");
    }
    assert_eq!(shop.proxy.take(), ["eth_getCode", "eth_getCode"]);
    assert!(!shop.node.has_code(&address.to_string()));
    assert_eq!((shop.recipient_balance(), shop.upstream.hits()), (0, 0));
}
