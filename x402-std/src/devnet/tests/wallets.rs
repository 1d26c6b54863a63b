//! Payers that are contracts (EIP-1271), and contracts that stand between a sender and the token.

use alloy_primitives::{Bytes, address};
use alloy_sol_types::{SolCall, SolConstructor, SolValue, sol};

use super::scene::*;
use super::*;

sol! {
    interface BlockWallet {
        function agreeUntil(uint256 number) external;
    }

    interface SwitchWallet {
        function set(bool answer) external;
    }

    interface WalletFactory {
        function deploy(address owner, bytes32 salt) external returns (address);
        function addressOf(address owner, bytes32 salt) external view returns (address);
    }

    contract AdminProxy {
        constructor(address implementation, address admin);
    }
}

macro_rules! bytecode {
    ($name:literal) => {
        include_str!(concat!("../../../../tests/contracts/bytecode/", $name, ".hex"))
    };
}

/// Where a contract goes that these tests need one of.
const AT: Address = address!("c0de000000000000000000000000000000000001");
const INVALID: &str = "FiatTokenV2: invalid signature";

/// A chain with code at [`AT`], which has 10 USDC.
fn chain_with(code: &str) -> Devnet {
    let chain = chain();
    install(&chain, AT, code);
    chain.mint(USDC, AT.into(), 10_000_000).unwrap();
    chain
}

fn from_contract() -> TransferWithAuthorization {
    TransferWithAuthorization { from: AT, ..terms() }
}

/// All six calls that act on a contract's word, with one signature.
fn calls(payer: Address, signature: &[u8]) -> Vec<Vec<u8>> {
    let terms = TransferWithAuthorization { from: payer, ..terms() };
    let mut calls = cancellations(payer, terms.nonce, signature).to_vec();
    for kind in KINDS {
        calls.extend(kind.forms(&terms, signature));
    }
    calls
}

#[test]
fn contract_that_agrees_pays_and_cancels_by_every_call() {
    let chain = chain_with(bytecode!("YesWallet.runtime"));
    // As no key can have signed: s is high, v is nothing.
    for data in calls(AT, &[0xff; 65]) {
        assert!(try_call(&chain, settler(), usdc(), &data).is_ok());
    }
    for kind in KINDS {
        let data = kind.whole(&from_contract(), &[]);
        assert!(try_call(&chain, settler(), usdc(), &data).is_ok());
    }
    let data = Kind::Transfer.split(&from_contract(), &[0; 65]);
    let logs = logs_of(&chain, KEY, usdc(), &data);
    assert_eq!(logs, [used(&from_contract()), moved(AT, settler(), 5_000_000)]);
}

#[test]
fn contract_that_refuses_pays_by_no_call_whatever_a_key_signed() {
    let chain = chain_with(bytecode!("SwitchWallet.runtime"));
    let signature = Kind::Transfer.sign(BUYER_KEY, &from_contract());
    for data in calls(AT, &signature) {
        reverts(&chain, settler(), usdc(), &data, INVALID);
    }
    let agree = SwitchWallet::setCall { answer: true }.abi_encode();
    logs_of(&chain, BUYER_KEY, AT, &agree);
    for data in calls(AT, &signature) {
        assert!(try_call(&chain, settler(), usdc(), &data).is_ok());
    }
}

#[test]
fn key_of_an_account_with_code_is_not_asked() {
    let chain = chain();
    install(&chain, buyer(), bytecode!("SwitchWallet.runtime"));
    for kind in KINDS {
        for data in kind.forms(&terms(), &kind.sign(BUYER_KEY, &terms())) {
            reverts(&chain, settler(), usdc(), &data, INVALID);
        }
    }
}

/// The wallet of `Wallet.sol` takes 65 bytes, r, s, v, of its owner's key, and nothing else.
#[test]
fn contract_is_shown_v_r_and_s_in_the_order_of_the_bytes() {
    let chain = chain_with(bytecode!("WalletFactory.runtime"));
    let salt = B256::repeat_byte(3);
    let deploy = WalletFactory::deployCall { owner: buyer(), salt }.abi_encode();
    logs_of(&chain, KEY, AT, &deploy);
    let wallet = view(&chain, AT, &WalletFactory::addressOfCall { owner: buyer(), salt });
    chain.mint(USDC, wallet.into(), 10_000_000).unwrap();

    let terms = TransferWithAuthorization { from: wallet, ..terms() };
    for kind in KINDS {
        let good = kind.sign(BUYER_KEY, &terms);
        for data in kind.forms(&terms, &good) {
            assert!(try_call(&chain, settler(), usdc(), &data).is_ok());
        }
        for data in kind.forms(&terms, &kind.sign(SETTLER_KEY, &terms)) {
            reverts(&chain, settler(), usdc(), &data, INVALID);
        }
        // The token sets no rule for what a contract takes: the second signature of the same key.
        for data in kind.forms(&terms, &with_high_s(&good)) {
            assert!(try_call(&chain, settler(), usdc(), &data).is_ok());
        }
    }
    let cancel = CancelAuthorization { authorizer: wallet, nonce: terms.nonce };
    for data in cancellations(wallet, terms.nonce, &sign_for_usdc(BUYER_KEY, &cancel)) {
        assert!(try_call(&chain, STRANGER, usdc(), &data).is_ok());
    }
}

/// Somebody whose word counts for nothing.
const STRANGER: Address = address!("00000000000000000000000000000000000000aa");

#[test]
fn contract_must_answer_one_whole_word() {
    let chain = chain();
    chain.mint(USDC, AT.into(), 10_000_000).unwrap();
    let data = Kind::Transfer.whole(&from_contract(), &[]);
    for code in [
        // mstore(0, magic << 224); return(0, 31)
        "631626ba7e60e01b600052601f6000f3",
        // mstore(0, magic << 224 | 1); return(0, 32)
        "631626ba7e60e01b60011760005260206000f3",
        // mstore(0, magic); return(0, 32)
        "631626ba7e60005260206000f3",
        // stop; revert(0, 0); invalid
        "00",
        "60006000fd",
        "fe",
    ] {
        install(&chain, AT, code);
        reverts(&chain, settler(), usdc(), &data, INVALID);
    }
    // mstore(0, magic << 224); return(0, 64)
    install(&chain, AT, "631626ba7e60e01b60005260406000f3");
    assert!(try_call(&chain, settler(), usdc(), &data).is_ok());
}

#[test]
fn gas_price_tells_a_simulation_from_a_transaction() {
    let chain = chain_with(bytecode!("GasPriceWallet.runtime"));
    let data = Kind::Transfer.whole(&from_contract(), &[]);
    assert!(try_call(&chain, settler(), usdc(), &data).is_ok());
    let receipt = transact(&chain, SETTLER_KEY, usdc(), &data);
    assert_eq!((&receipt["status"], &receipt["logs"]), (&json!("0x0"), &json!([])));
    let gas = u64::from_str_radix(&receipt["gasUsed"].as_str().unwrap()[2..], 16).unwrap();
    assert!(gas > 900_000, "{gas} of a million");
    // Asked as the transaction will be, it shows itself.
    let asked = json!([{
        "from": settler(), "to": usdc(), "data": hex::encode_prefixed(&data), "gas": "0xf4240",
        "maxFeePerGas": "0xb2d05e00", "maxPriorityFeePerGas": "0x3b9aca00",
    }, "latest"]);
    assert_eq!(refused(&chain, "eth_call", &asked).1, format!("execution reverted: {INVALID}"));
}

#[test]
fn newest_block_may_agree_to_what_the_next_one_refuses() {
    let chain = chain_with(bytecode!("BlockWallet.runtime"));
    let agree = BlockWallet::agreeUntilCall { number: U256::from(1) }.abi_encode();
    logs_of(&chain, BUYER_KEY, AT, &agree);
    let data = Kind::Transfer.whole(&from_contract(), &[]);
    assert!(try_call(&chain, settler(), usdc(), &data).is_ok());
    let receipt = transact(&chain, SETTLER_KEY, usdc(), &data);
    assert_eq!(receipt["status"], "0x0");
    reverts(&chain, settler(), usdc(), &data, INVALID);
}

#[test]
fn wrapper_relays_what_it_is_given_and_the_reason_of_a_failure() {
    let chain = chain_with(bytecode!("Wrapper.runtime"));
    let relay =
        |data: Vec<u8>| Wrapper::relayCall { target: usdc(), data: Bytes::from(data) }.abi_encode();
    let signature = Kind::Transfer.sign(BUYER_KEY, &terms());
    let data = relay(Kind::Transfer.split(&terms(), &signature));
    let logs = logs_of(&chain, SETTLER_KEY, AT, &data);
    assert_eq!(logs, [used(&terms()), moved(buyer(), settler(), 5_000_000)]);
    let used = "FiatTokenV2: authorization is used or canceled";
    reverts(&chain, settler(), AT, &data, used);
    // What is to be received is received by who calls the token: the wrapper.
    let terms = TransferWithAuthorization { nonce: B256::ZERO, ..terms() };
    let data = relay(Kind::Receive.split(&terms, &Kind::Receive.sign(BUYER_KEY, &terms)));
    reverts(&chain, settler(), AT, &data, "FiatTokenV2: caller must be the payee");
    let balance = relay(FiatToken::balanceOfCall { account: AT }.abi_encode());
    let answer = try_call(&chain, settler(), AT, &balance).unwrap();
    let answer = Wrapper::relayCall::abi_decode_returns(&answer).unwrap();
    assert_eq!(U256::abi_decode(&answer), Ok(U256::from(10_000_000)));
}

#[test]
fn wallet_that_agrees_does_what_it_is_asked_to() {
    let chain = chain_with(bytecode!("YesWallet.runtime"));
    let transfer = FiatToken::transferCall { to: settler(), value: U256::from(7) }.abi_encode();
    let relay = Wrapper::relayCall { target: usdc(), data: Bytes::from(transfer) }.abi_encode();
    assert_eq!(logs_of(&chain, KEY, AT, &relay), [moved(AT, settler(), 7)]);
}

#[test]
fn proxy_lets_everybody_through_but_its_admin() {
    let chain = chain();
    let constructor = AdminProxy::constructorCall { implementation: AT, admin: settler() };
    let creation = hex::decode(bytecode!("AdminProxy.creation").trim()).unwrap();
    let creation = [creation, constructor.abi_encode()].concat();
    let tx = TxEip1559 { to: TxKind::Create, gas_limit: 1_000_000, ..to_usdc(0, creation) };
    let deployed = receipt(&chain, &send(&chain, tx));
    assert_eq!(deployed["status"], "0x1");
    let code = |at: &Value| ok(&chain, "eth_getCode", &json!([at, "latest"]));
    let (proxy, token) = (code(&deployed["contractAddress"]), code(&json!(usdc())));
    ok(&chain, "anvil_setCode", &json!([AT, token]));
    ok(&chain, "anvil_setCode", &json!([usdc(), proxy]));

    let balance = FiatToken::balanceOfCall { account: buyer() };
    assert_eq!(view(&chain, usdc(), &balance), U256::from(1_000_000_000_000_u64));
    let admin = "Cannot call fallback function from the proxy admin";
    reverts(&chain, settler(), usdc(), &balance.abi_encode(), admin);
    let signature = Kind::Transfer.sign(BUYER_KEY, &terms());
    let data = Kind::Transfer.whole(&terms(), &signature);
    reverts(&chain, settler(), usdc(), &data, admin);
    let logs = logs_of(&chain, KEY, usdc(), &data);
    assert_eq!(logs, [used(&terms()), moved(buyer(), settler(), 5_000_000)]);
    reverts(&chain, owner(), usdc(), &data, "FiatTokenV2: authorization is used or canceled");
}
