//! What the suites of contracts share: the interfaces, who is who, and how to sign, ask and send.

use alloy_primitives::{Bytes, LogData};
use alloy_sol_types::{Eip712Domain, SolCall, SolEvent, SolStruct, eip712_domain, sol};

use super::*;

sol! {
    interface FiatToken {
        function allowance(address owner, address spender) external view returns (uint256);
        function approve(address spender, uint256 value) external returns (bool);
        function authorizationState(address authorizer, bytes32 nonce) external view returns (bool);
        function balanceOf(address account) external view returns (uint256);
        function blacklist(address account) external;
        function cancelAuthorization(address authorizer, bytes32 nonce, uint8 v, bytes32 r, bytes32 s) external;
        function cancelAuthorization(address authorizer, bytes32 nonce, bytes signature) external;
        function isBlacklisted(address account) external view returns (bool);
        function mint(address to, uint256 value) external returns (bool);
        function nonces(address owner) external view returns (uint256);
        function pause() external;
        function paused() external view returns (bool);
        function permit(address owner, address spender, uint256 value, uint256 deadline, uint8 v, bytes32 r, bytes32 s) external;
        function permit(address owner, address spender, uint256 value, uint256 deadline, bytes signature) external;
        function receiveWithAuthorization(address from, address to, uint256 value, uint256 validAfter, uint256 validBefore, bytes32 nonce, uint8 v, bytes32 r, bytes32 s) external;
        function receiveWithAuthorization(address from, address to, uint256 value, uint256 validAfter, uint256 validBefore, bytes32 nonce, bytes signature) external;
        function setMode(uint8 mode) external;
        function transfer(address to, uint256 value) external returns (bool);
        function transferFrom(address from, address to, uint256 value) external returns (bool);
        function transferWithAuthorization(address from, address to, uint256 value, uint256 validAfter, uint256 validBefore, bytes32 nonce, uint8 v, bytes32 r, bytes32 s) external;
        function transferWithAuthorization(address from, address to, uint256 value, uint256 validAfter, uint256 validBefore, bytes32 nonce, bytes signature) external;
        function unBlacklist(address account) external;
        function unpause() external;
    }

    #[derive(Copy)]
    struct TransferWithAuthorization {
        address from;
        address to;
        uint256 value;
        uint256 validAfter;
        uint256 validBefore;
        bytes32 nonce;
    }

    struct ReceiveWithAuthorization {
        address from;
        address to;
        uint256 value;
        uint256 validAfter;
        uint256 validBefore;
        bytes32 nonce;
    }

    struct CancelAuthorization {
        address authorizer;
        bytes32 nonce;
    }

    struct Permit {
        address owner;
        address spender;
        uint256 value;
        uint256 nonce;
        uint256 deadline;
    }

    event Transfer(address indexed from, address indexed to, uint256 value);
    event Approval(address indexed owner, address indexed spender, uint256 value);
    event AuthorizationUsed(address indexed authorizer, bytes32 indexed nonce);
    event AuthorizationCanceled(address indexed authorizer, bytes32 indexed nonce);
    event Pause();
    event Unpause();
    event Blacklisted(address indexed account);
    event UnBlacklisted(address indexed account);

    interface Wrapper {
        function relay(address target, bytes data) external returns (bytes);
    }
}

/// The key of account 2, who settles for others.
pub(super) const SETTLER_KEY: B256 =
    b256!("5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a");

pub(super) fn owner() -> Address {
    accounts()[0].into()
}

pub(super) fn buyer() -> Address {
    accounts()[1].into()
}

pub(super) fn settler() -> Address {
    accounts()[2].into()
}

pub(super) fn usdc() -> Address {
    USDC.into()
}

pub(super) fn domain() -> Eip712Domain {
    eip712_domain! {
        name: "USD Coin",
        version: "2",
        chain_id: 1,
        verifying_contract: usdc(),
    }
}

pub(super) fn sign_digest(key: B256, digest: B256) -> Vec<u8> {
    sign_message(key, digest).unwrap().as_bytes().to_vec()
}

pub(super) fn sign_for_usdc(key: B256, message: &impl SolStruct) -> Vec<u8> {
    sign_digest(key, message.eip712_signing_hash(&domain()))
}

/// The other signature of the same message by the same key: (r, n - s), parity flipped.
pub(super) fn with_high_s(signature: &[u8]) -> Vec<u8> {
    let order = U256::from_be_bytes(hex!(
        "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141"
    ));
    let s = order - U256::from_be_slice(&signature[32..64]);
    [&signature[..32], &s.to_be_bytes::<32>(), &[signature[64] ^ 27 ^ 28]].concat()
}

/// v, r and s of 65 bytes.
pub(super) fn split(signature: &[u8]) -> (u8, B256, B256) {
    (signature[64], B256::from_slice(&signature[..32]), B256::from_slice(&signature[32..64]))
}

/// Who an authorization may be sent by: anybody, or the payee alone.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kind {
    Transfer,
    Receive,
}

pub(super) const KINDS: [Kind; 2] = [Kind::Transfer, Kind::Receive];

/// 5 USDC of the buyer's to the settler, who may so be the one who receives.
pub(super) fn terms() -> TransferWithAuthorization {
    TransferWithAuthorization {
        from: buyer(),
        to: settler(),
        value: U256::from(5_000_000),
        validAfter: U256::ZERO,
        validBefore: U256::from(NOW + 3_600),
        nonce: B256::repeat_byte(7),
    }
}

impl Kind {
    pub(super) fn sign(self, key: B256, terms: &TransferWithAuthorization) -> Vec<u8> {
        let TransferWithAuthorization { from, to, value, validAfter, validBefore, nonce } = *terms;
        match self {
            Self::Transfer => sign_for_usdc(key, terms),
            Self::Receive => sign_for_usdc(
                key,
                &ReceiveWithAuthorization { from, to, value, validAfter, validBefore, nonce },
            ),
        }
    }

    /// The call with the signature as bytes.
    pub(super) fn whole(self, terms: &TransferWithAuthorization, signature: &[u8]) -> Vec<u8> {
        let TransferWithAuthorization { from, to, value, validAfter, validBefore, nonce } = *terms;
        let signature = Bytes::copy_from_slice(signature);
        let call = FiatToken::transferWithAuthorization_1Call {
            from,
            to,
            value,
            validAfter,
            validBefore,
            nonce,
            signature,
        };
        self.select(call.abi_encode(), FiatToken::receiveWithAuthorization_1Call::SELECTOR)
    }

    /// The call with v, r and s.
    pub(super) fn split(self, terms: &TransferWithAuthorization, signature: &[u8]) -> Vec<u8> {
        let TransferWithAuthorization { from, to, value, validAfter, validBefore, nonce } = *terms;
        let (v, r, s) = split(signature);
        let call = FiatToken::transferWithAuthorization_0Call {
            from,
            to,
            value,
            validAfter,
            validBefore,
            nonce,
            v,
            r,
            s,
        };
        self.select(call.abi_encode(), FiatToken::receiveWithAuthorization_0Call::SELECTOR)
    }

    /// Both of them.
    pub(super) fn forms(self, terms: &TransferWithAuthorization, signature: &[u8]) -> [Vec<u8>; 2] {
        [self.split(terms, signature), self.whole(terms, signature)]
    }

    /// A transfer's call, made that of a receipt if that is meant: the arguments are the same.
    fn select(self, mut data: Vec<u8>, receive: [u8; 4]) -> Vec<u8> {
        if self == Self::Receive {
            data[..4].copy_from_slice(&receive);
        }
        data
    }
}

/// Both calls that cancel.
pub(super) fn cancellations(authorizer: Address, nonce: B256, signature: &[u8]) -> [Vec<u8>; 2] {
    let (v, r, s) = split(signature);
    let signature = Bytes::copy_from_slice(signature);
    [
        FiatToken::cancelAuthorization_0Call { authorizer, nonce, v, r, s }.abi_encode(),
        FiatToken::cancelAuthorization_1Call { authorizer, nonce, signature }.abi_encode(),
    ]
}

/// Both calls that show a permit.
pub(super) fn permits(permit: &Permit, signature: &[u8]) -> [Vec<u8>; 2] {
    let Permit { owner, spender, value, deadline, .. } = *permit;
    let (v, r, s) = split(signature);
    let signature = Bytes::copy_from_slice(signature);
    [
        FiatToken::permit_0Call { owner, spender, value, deadline, v, r, s }.abi_encode(),
        FiatToken::permit_1Call { owner, spender, value, deadline, signature }.abi_encode(),
    ]
}

/// What a call by `from` returns, or why it reverts: the text, or the bytes of another error in hex.
pub(super) fn try_call(
    chain: &Devnet,
    from: Address,
    to: Address,
    data: &[u8],
) -> Result<Bytes, String> {
    let request = json!([{ "from": from, "to": to, "data": hex::encode_prefixed(data) }, "latest"]);
    let answer = ask(chain, "eth_call", &request);
    let error = &answer["error"];
    if error.is_null() {
        return Ok(answer["result"].as_str().unwrap().parse().unwrap());
    }
    assert_eq!(error["code"], 3, "{answer}");
    let message = error["message"].as_str().unwrap();
    let text = message.strip_prefix("execution reverted: ").or(error["data"].as_str());
    Err(text.unwrap().to_owned())
}

/// What a call that nobody in particular makes returns.
pub(super) fn view<C: SolCall>(chain: &Devnet, to: Address, call: &C) -> C::Return {
    let answer = try_call(chain, Address::ZERO, to, &call.abi_encode()).unwrap();
    C::abi_decode_returns(&answer).unwrap()
}

/// Checks why a call reverts.
#[track_caller]
pub(super) fn reverts(chain: &Devnet, from: Address, to: Address, data: &[u8], reason: &str) {
    assert_eq!(try_call(chain, from, to, data).err().as_deref(), Some(reason));
}

/// The receipt of a transaction of the key's, mined at once.
pub(super) fn transact(chain: &Devnet, key: B256, to: Address, data: &[u8]) -> Value {
    let account = [KEY, BUYER_KEY, SETTLER_KEY].iter().position(|known| *known == key).unwrap();
    let from = Address::from(accounts()[account]);
    let count = ok(chain, "eth_getTransactionCount", &json!([from, "latest"]));
    let nonce = u64::from_str_radix(&count.as_str().unwrap()[2..], 16).unwrap();
    let to = TxKind::Call(to);
    let tx = TxEip1559 { to, gas_limit: 1_000_000, ..to_usdc(nonce, data.to_vec()) };
    let hash = ok(chain, "eth_sendRawTransaction", &json!([sign(tx, key)]));
    receipt(chain, &hash)
}

/// As [`transact`]; the transaction must have succeeded, and its logs are what comes back.
#[track_caller]
pub(super) fn logs_of(
    chain: &Devnet,
    key: B256,
    to: Address,
    data: &[u8],
) -> Vec<(Address, LogData)> {
    let receipt = transact(chain, key, to, data);
    assert_eq!(receipt["status"], "0x1", "{receipt}");
    let log = |log: &Value| {
        let topics: Vec<B256> = serde_json::from_value(log["topics"].clone()).unwrap();
        let data: Bytes = log["data"].as_str().unwrap().parse().unwrap();
        let address: Address = log["address"].as_str().unwrap().parse().unwrap();
        (address, LogData::new(topics, data).unwrap())
    };
    receipt["logs"].as_array().unwrap().iter().map(log).collect()
}

/// A log that the token writes.
pub(super) fn log(event: &impl SolEvent) -> (Address, LogData) {
    (usdc(), event.encode_log_data())
}

pub(super) fn used(terms: &TransferWithAuthorization) -> (Address, LogData) {
    log(&AuthorizationUsed { authorizer: terms.from, nonce: terms.nonce })
}

pub(super) fn moved(from: Address, to: Address, value: u64) -> (Address, LogData) {
    log(&Transfer { from, to, value: U256::from(value) })
}

/// The owner's transaction to the token; it must succeed.
#[track_caller]
pub(super) fn as_owner(chain: &Devnet, call: &impl SolCall) {
    logs_of(chain, KEY, usdc(), &call.abi_encode());
}

/// Puts a contract's code at an address.
pub(super) fn install(chain: &Devnet, at: Address, code: &str) {
    ok(chain, "anvil_setCode", &json!([at, format!("0x{}", code.trim())]));
}
