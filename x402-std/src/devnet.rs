//! An Ethereum chain in process, for demonstrations and tests: no node, no ports, no waiting.
//!
//! The chain speaks JSON-RPC 2.0 through [`Devnet::handle`], bytes in and bytes out; whoever wants
//! it on the network puts HTTP before it. Each transaction is mined at once, in a block of its own.
//! What exists at the start: USDC and EURC at their mainnet addresses, as contracts that do
//! EIP-3009 for real; Multicall3 where everybody expects it; the ten accounts of the well-known
//! development mnemonic with 10,000 ether each, the second of which also has 1,000,000 of each
//! token. The first owns the tokens, that is, may mint, pause and blacklist by transaction.
//!
//! ```
//! use x402_std::devnet::{Devnet, DevnetOptions};
//!
//! let chain = Devnet::new(&DevnetOptions::default())?;
//! let answer = chain.handle(br#"{"jsonrpc":"2.0","id":1,"method":"eth_chainId","params":[]}"#);
//! assert_eq!(answer, br#"{"id":1,"jsonrpc":"2.0","result":"0x1"}"#);
//! # Ok::<(), x402_std::devnet::DevnetError>(())
//! ```
//!
//! # Where it differs from a public chain
//!
//! * The base fee is 1 gwei in every block, and a transaction that offers less is refused instead
//!   of kept waiting.
//! * Blocks may have the same time as their parent. `eth_call` sees the newest block, but the time
//!   of now.
//! * Only the newest state is kept: questions about an older one are errors. Blocks, receipts and
//!   logs are all kept.
//! * The state root in headers is zero. Blob (type 3) and set-code (type 4) transactions are
//!   refused.
//! * Nonces up to 64 ahead wait for those before them; one further ahead is refused as "nonce too
//!   high".
//!
//! For tests there are `evm_mine`, `evm_increaseTime`, `evm_setAutomine` (off: transactions wait
//! for `evm_mine`), `evm_snapshot` and `evm_revert` (which look like a reorganization),
//! `anvil_setBalance`, `anvil_setCode` and `anvil_dropTransaction`.
mod block;
mod chain;
mod clock;
mod control;
mod evm;
mod failure;
mod gas;
mod genesis;
mod json;
mod logs;
mod methods;
mod params;
mod pool;
mod rpc;

use std::sync::{Arc, Mutex};

use alloy_primitives::{Address, U256, hex};

use chain::Chain;
use failure::Failure;

/// USDC on Ethereum.
pub const USDC: [u8; 20] = hex!("A0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48");
/// EURC on Ethereum.
pub const EURC: [u8; 20] = hex!("1aBaEA1f7C830bD89Acc67eC4af516284b1bC33c");
/// Multicall3, on every chain that has it.
pub const MULTICALL3: [u8; 20] = hex!("cA11bde05977b3631167028862bE2a173976CA11");

/// Addresses of the accounts that have 10,000 ether each at the start: 0 to 9 of the mnemonic
/// "test test test test test test test test test test test junk", whose keys everybody knows.
#[must_use]
pub fn accounts() -> [[u8; 20]; 10] {
    genesis::ACCOUNTS.map(Into::into)
}

/// A token that exists at the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Where it is.
    pub address: [u8; 20],
    /// `name()`, and the name in its EIP-712 domain.
    pub name: String,
    /// `symbol()`.
    pub symbol: String,
    /// `version()`, and the version in its EIP-712 domain.
    pub version: String,
    /// `decimals()`: a whole unit is 10 to this power of atomic units. At most 71.
    pub decimals: u8,
}

impl Token {
    /// USD Coin at [`USDC`].
    #[must_use]
    pub fn usdc() -> Self {
        Self::circle(USDC, "USD Coin", "USDC")
    }

    /// Euro Coin at [`EURC`].
    #[must_use]
    pub fn eurc() -> Self {
        Self::circle(EURC, "Euro Coin", "EURC")
    }

    fn circle(address: [u8; 20], name: &str, symbol: &str) -> Self {
        Self {
            address,
            name: name.to_owned(),
            symbol: symbol.to_owned(),
            version: "2".to_owned(),
            decimals: 6,
        }
    }
}

/// What a chain starts with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DevnetOptions {
    /// EIP-155 chain id; 1 by default, as USDC and EURC are at their Ethereum addresses.
    pub chain_id: u64,
    /// Time at the start, in seconds since 1970; from there it runs on. `None` is the machine's
    /// time.
    pub started_at: Option<u64>,
    /// Tokens; USDC and EURC by default.
    pub tokens: Vec<Token>,
}

impl Default for DevnetOptions {
    fn default() -> Self {
        Self { chain_id: 1, started_at: None, tokens: vec![Token::usdc(), Token::eurc()] }
    }
}

/// Why the chain did not do what was asked of it directly.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DevnetError {
    /// A balance is above 2^128 - 1.
    #[error("the balance does not fit 128 bits")]
    Overflow,
    /// A contract refused, or is not there; holds the reason.
    #[error("the development chain refused: {0}")]
    Refused(String),
}

impl From<Failure> for DevnetError {
    fn from(failure: Failure) -> Self {
        Self::Refused(failure.message)
    }
}

/// A chain in this process. Clones are the same chain.
#[derive(Clone, Debug)]
pub struct Devnet {
    chain: Arc<Mutex<Chain>>,
}

impl Devnet {
    /// Starts a chain: its genesis is made, and it is ready.
    ///
    /// # Errors
    /// [`DevnetError::Refused`]: a token of the options cannot exist (too many decimals).
    pub fn new(options: &DevnetOptions) -> Result<Self, DevnetError> {
        Ok(Self { chain: Arc::new(Mutex::new(Chain::new(options)?)) })
    }

    /// Answers one JSON-RPC 2.0 request, or a batch of at most 1,000.
    ///
    /// `body` may be anything: what is no request is answered by an error object. The answer to
    /// notifications (requests without id) is empty. Does not wait for anything but the CPU: a call
    /// may compute for as long as 30 million gas last, so an asynchronous server may want to call
    /// this where blocking is allowed.
    #[must_use]
    pub fn handle(&self, body: &[u8]) -> Vec<u8> {
        rpc::answer(&self.chain, body)
    }

    /// Atomic units of `token` that `owner` has.
    ///
    /// # Errors
    /// [`DevnetError::Refused`]: no token is at that address. [`DevnetError::Overflow`].
    pub fn balance_of(&self, token: [u8; 20], owner: [u8; 20]) -> Result<u128, DevnetError> {
        let chain = rpc::lock(&self.chain);
        let balance = methods::token_balance(&chain, token.into(), owner.into())?;
        balance.try_into().map_err(|_| DevnetError::Overflow)
    }

    /// Creates `amount` atomic units of `token` for `to`, outside any block: no log tells of it.
    ///
    /// # Errors
    /// [`DevnetError::Refused`]: no token is at that address, `to` is zero, or the supply
    /// overflows.
    pub fn mint(&self, token: [u8; 20], to: [u8; 20], amount: u128) -> Result<(), DevnetError> {
        let mut chain = rpc::lock(&self.chain);
        let id = chain.id;
        let (token, to) = (Address::from(token), Address::from(to));
        Ok(genesis::mint(&mut chain.state, id, token, to, U256::from(amount))?)
    }

    /// Sets the ether of an account, in wei, outside any block.
    pub fn set_balance(&self, account: [u8; 20], wei: u128) {
        rpc::lock(&self.chain).set_balance(account.into(), U256::from(wei));
    }
}

#[cfg(test)]
mod tests {
    mod fiat_token;
    mod odd_token;
    mod permit2;
    mod scene;
    mod wallets;

    use alloy_consensus::{
        SignableTransaction, TxEip1559, TxEip2930, TxEnvelope, TxLegacy,
        crypto::secp256k1::sign_message,
    };
    use alloy_eips::{Encodable2718, eip2930::AccessList};
    use alloy_primitives::{B256, Signature, TxKind, b256, keccak256};
    use serde_json::{Value, json};

    use super::*;

    const PAYEE: [u8; 20] = hex!("209693Bc6afc0C5328bA36FaF03C514EF312287C");
    const TRANSFER: B256 =
        b256!("ddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef");
    const AUTHORIZATION_USED: B256 =
        b256!("98de503528ee59b575ef0c0a2576a82497bfc029a5685b209e9ec333479b10a5");
    /// Key of account 0, from the mnemonic that everybody knows.
    const KEY: B256 = b256!("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80");
    /// Key of account 1.
    const BUYER_KEY: B256 =
        b256!("59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d");

    /// Payment "v2-03" of sdk.json, made by the official software: 5 USDC on chain 1, from account
    /// 1.
    struct Payment {
        from: [u8; 20],
        to: [u8; 20],
        value: U256,
        after: U256,
        before: U256,
        nonce: B256,
        signature: Vec<u8>,
    }

    const NOW: u64 = 1_790_000_000;

    fn payment() -> Payment {
        Payment {
            from: accounts()[1],
            to: PAYEE,
            value: U256::from(5_000_000),
            after: U256::ZERO,
            before: U256::from(NOW + 60),
            nonce: b256!("47ddf1b51f3434e39887f38350addc7fed8f0a1f0c260261993ca809e4fb3f58"),
            signature: hex!(
                "ebc4b0630cee11e8c3993974c044a2106fc6d5d619e2133568eb198a797a0ccd"
                "3c44f1a07acf75f5cd7843b038d059cb4b983078013fd0b1ce2638eae708b44c"
                "1c"
            )
            .to_vec(),
        }
    }

    impl Payment {
        fn words(&self) -> Vec<u8> {
            let address = |address: [u8; 20]| Address::from(address).into_word().0;
            let times = [self.value, self.after, self.before].map(|word| word.to_be_bytes::<32>());
            let nonce = [self.nonce.0];
            [&[address(self.from), address(self.to)][..], &times, &nonce].concat().concat()
        }

        /// transferWithAuthorization with v, r, s; the signature must have 65 bytes.
        fn split(&self) -> Vec<u8> {
            let (rs, v) = self.signature.split_at(64);
            [&hex!("e3ee160e")[..], &self.words(), &[0; 31], v, rs].concat()
        }

        /// transferWithAuthorization with the signature as bytes.
        fn whole(&self) -> Vec<u8> {
            let mut data = [&hex!("cf092995")[..], &self.words()].concat();
            data.extend(U256::from(7 * 32).to_be_bytes::<32>());
            data.extend(U256::from(self.signature.len()).to_be_bytes::<32>());
            data.extend(&self.signature);
            data.resize(4 + (data.len() - 4).next_multiple_of(32), 0);
            data
        }
    }

    fn chain() -> Devnet {
        Devnet::new(&DevnetOptions { started_at: Some(NOW), ..DevnetOptions::default() }).unwrap()
    }

    fn ask(chain: &Devnet, method: &str, params: &Value) -> Value {
        let request = json!({ "jsonrpc": "2.0", "id": 7, "method": method, "params": params });
        let answer = chain.handle(request.to_string().as_bytes());
        let answer: Value = serde_json::from_slice(&answer).unwrap();
        assert_eq!(answer["jsonrpc"], "2.0");
        assert_eq!(answer["id"], 7);
        answer
    }

    fn ok(chain: &Devnet, method: &str, params: &Value) -> Value {
        let answer = ask(chain, method, params);
        assert!(answer.get("error").is_none(), "{method}: {answer}");
        answer["result"].clone()
    }

    fn refused(chain: &Devnet, method: &str, params: &Value) -> (i64, String) {
        let error = &ask(chain, method, params)["error"];
        let (code, message) = (error["code"].as_i64(), error["message"].as_str());
        (code.expect(method), message.unwrap().to_owned())
    }

    fn call_args(to: [u8; 20], data: &[u8]) -> Value {
        let to = hex::encode_prefixed(to);
        json!([{ "to": to, "data": hex::encode_prefixed(data) }, "latest"])
    }

    /// A transaction of account 0 to USDC.
    fn to_usdc(nonce: u64, data: Vec<u8>) -> TxEip1559 {
        TxEip1559 {
            chain_id: 1,
            nonce,
            gas_limit: 200_000,
            max_fee_per_gas: 3_000_000_000,
            max_priority_fee_per_gas: 1_000_000_000,
            to: TxKind::Call(USDC.into()),
            value: U256::ZERO,
            access_list: AccessList::default(),
            input: data.into(),
        }
    }

    fn sign<T: SignableTransaction<Signature>>(tx: T, key: B256) -> String
    where
        TxEnvelope: From<alloy_consensus::Signed<T>>,
    {
        let signature = sign_message(key, tx.signature_hash()).unwrap();
        let tx = TxEnvelope::from(tx.into_signed(signature));
        hex::encode_prefixed(tx.encoded_2718())
    }

    fn send(chain: &Devnet, tx: TxEip1559) -> Value {
        ok(chain, "eth_sendRawTransaction", &json!([sign(tx, KEY)]))
    }

    fn receipt(chain: &Devnet, hash: &Value) -> Value {
        ok(chain, "eth_getTransactionReceipt", &json!([hash]))
    }

    #[test]
    fn domain_separators_are_those_of_mainnet() {
        let chain = chain();
        for (token, separator) in [
            (USDC, "0x06c37168a7db5138defc7866392bb87a741f9b3d104deb5094588ce041cae335"),
            (EURC, "0x99f188f447f0c6eaf68589359cd2ead8c2faaaaee984ab926fdb734d0040073b"),
        ] {
            let call = call_args(token, &hex!("3644e515"));
            assert_eq!(ok(&chain, "eth_call", &call), separator);
        }
    }

    #[test]
    fn genesis_is_as_promised() {
        let chain = chain();
        assert_eq!(accounts()[1], hex!("70997970C51812dc3A010C7d01b50e0d17dc79C8"));
        for account in accounts() {
            let account = hex::encode_prefixed(account);
            let ether = ok(&chain, "eth_getBalance", &json!([account, "latest"]));
            assert_eq!(ether, "0x21e19e0c9bab2400000");
            assert_eq!(ok(&chain, "eth_getTransactionCount", &json!([account])), "0x0");
        }
        for token in [USDC, EURC] {
            assert_eq!(chain.balance_of(token, accounts()[1]), Ok(1_000_000_000_000));
            assert_eq!(chain.balance_of(token, accounts()[0]), Ok(0));
        }
        let code = ok(&chain, "eth_getCode", &json!([hex::encode_prefixed(MULTICALL3), "latest"]));
        assert!(code.as_str().unwrap().len() > 1_000);
        assert!(chain.balance_of(MULTICALL3, PAYEE).is_err());
        assert!(chain.balance_of(PAYEE, PAYEE).is_err());
    }

    #[test]
    fn payment_moves_the_money_once() {
        let (chain, payment) = (chain(), payment());
        ok(&chain, "eth_call", &call_args(USDC, &payment.whole()));
        let gas = ok(&chain, "eth_estimateGas", &call_args(USDC, &payment.split()));
        let gas = u64::from_str_radix(&gas.as_str().unwrap()[2..], 16).unwrap();
        assert!((50_000..120_000).contains(&gas), "{gas}");

        let hash = send(&chain, TxEip1559 { gas_limit: gas, ..to_usdc(0, payment.split()) });
        let first = receipt(&chain, &hash);
        assert_eq!(first["status"], "0x1");
        assert_eq!(first["type"], "0x2");
        assert_eq!(first["effectiveGasPrice"], "0x77359400");
        assert_eq!(chain.balance_of(USDC, PAYEE), Ok(5_000_000));
        assert_eq!(chain.balance_of(USDC, payment.from), Ok(999_995_000_000));

        let topics = |index: usize| first["logs"][index]["topics"].clone();
        let from = Address::from(payment.from).into_word();
        let to = Address::from(PAYEE).into_word();
        assert_eq!(first["logs"].as_array().unwrap().len(), 2);
        assert_eq!(topics(0), json!([AUTHORIZATION_USED, from, payment.nonce]));
        assert_eq!(topics(1), json!([TRANSFER, from, to]));
        assert_eq!(first["logs"][1]["data"], json!(B256::from(payment.value)));
        assert_eq!(first["logs"][1]["logIndex"], "0x1");

        // Again, in either form: asked, it reverts; sent, it is mined and has failed.
        let replay = refused(&chain, "eth_call", &call_args(USDC, &payment.whole()));
        let used = "execution reverted: FiatTokenV2: authorization is used or canceled";
        assert_eq!(replay, (3, used.to_owned()));
        let hash = send(&chain, to_usdc(1, payment.whole()));
        let second = receipt(&chain, &hash);
        assert_eq!((&second["status"], &second["logs"]), (&json!("0x0"), &json!([])));
        assert_eq!(chain.balance_of(USDC, PAYEE), Ok(5_000_000));
    }

    #[test]
    fn whatever_else_is_signed_is_refused() {
        let chain = chain();
        let refuses = |payment: &Payment, reason: &str| {
            for data in [payment.split(), payment.whole()] {
                let (code, message) = refused(&chain, "eth_call", &call_args(USDC, &data));
                assert_eq!((code, message), (3, format!("execution reverted: {reason}")));
            }
        };
        // Every bit of the message counts.
        for bit in [0, 100, 200, 255] {
            let nonce: U256 = U256::from_be_bytes(payment().nonce.0) ^ (U256::ONE << bit);
            let other = Payment { nonce: B256::from(nonce), ..payment() };
            refuses(&other, "FiatTokenV2: invalid signature");
        }
        let cheaper = Payment { value: U256::from(1), ..payment() };
        refuses(&cheaper, "FiatTokenV2: invalid signature");
        let mine = Payment { to: accounts()[2], ..payment() };
        refuses(&mine, "FiatTokenV2: invalid signature");
        let early = Payment { after: U256::from(NOW + 1_000), ..payment() };
        refuses(&early, "FiatTokenV2: authorization is not yet valid");
        let late = Payment { before: U256::from(NOW - 1), ..payment() };
        refuses(&late, "FiatTokenV2: authorization is expired");

        // The other signature of the same message: (r, n - s), parity flipped.
        let order = U256::from_be_bytes(hex!(
            "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141"
        ));
        let mut high = payment();
        let s = order - U256::from_be_slice(&high.signature[32..64]);
        high.signature[32..64].copy_from_slice(&s.to_be_bytes::<32>());
        high.signature[64] ^= 27 ^ 28;
        refuses(&high, "ECRecover: invalid signature 's' value");

        // The right signature for another token, and for this token on another chain.
        let (code, _) = refused(&chain, "eth_call", &call_args(EURC, &payment().split()));
        assert_eq!(code, 3);
        let options =
            DevnetOptions { chain_id: 8453, started_at: Some(NOW), ..DevnetOptions::default() };
        let elsewhere = Devnet::new(&options).unwrap();
        let (code, _) = refused(&elsewhere, "eth_call", &call_args(USDC, &payment().split()));
        assert_eq!(code, 3);

        // More than the payer has, though well signed.
        let poor = chain_of_token(&vectors("eip3009_valid.json")[5], NOW);
        let (usdc, poor_payment) = (domain_token(&vectors("eip3009_valid.json")[5]).address, {
            Payment::from_json(&vectors("eip3009_valid.json")[5])
        });
        let answer = refused(&poor, "eth_call", &call_args(usdc, &poor_payment.split()));
        assert_eq!(answer.1, "execution reverted: ERC20: transfer amount exceeds balance");
    }

    fn vectors(file: &str) -> Vec<Value> {
        let text = match file {
            "eip3009_valid.json" => include_str!("../../tests/vectors/eip3009_valid.json"),
            _ => include_str!("../../tests/vectors/eip3009_invalid.json"),
        };
        let file: Value = serde_json::from_str(text).unwrap();
        file["vectors"].as_array().unwrap().clone()
    }

    fn text<'a>(object: &'a Value, name: &str) -> &'a str {
        object[name].as_str().expect(name)
    }

    fn domain_token(vector: &Value) -> Token {
        let domain = &vector["domain"];
        Token {
            address: hex::FromHex::from_hex(text(domain, "verifyingContract")).unwrap(),
            name: text(domain, "name").to_owned(),
            version: text(domain, "version").to_owned(),
            ..Token::usdc()
        }
    }

    fn chain_of_token(vector: &Value, now: u64) -> Devnet {
        let chain_id = text(&vector["domain"], "chainId").parse().unwrap();
        let tokens = vec![domain_token(vector)];
        Devnet::new(&DevnetOptions { chain_id, started_at: Some(now), tokens }).unwrap()
    }

    impl Payment {
        fn from_json(vector: &Value) -> Self {
            let message = &vector["message"];
            let number = |name: &str| text(message, name).parse().unwrap();
            Self {
                from: hex::FromHex::from_hex(text(message, "from")).unwrap(),
                to: hex::FromHex::from_hex(text(message, "to")).unwrap(),
                value: number("value"),
                after: number("validAfter"),
                before: number("validBefore"),
                nonce: text(message, "nonce").parse().unwrap(),
                signature: hex::decode(text(vector, "signature")).unwrap_or_default(),
            }
        }
    }

    /// Known answers made by other software: the token agrees wherever the time allows.
    #[test]
    fn valid_vectors_are_taken() {
        let mut taken = 0;
        // A balance has 255 bits, and account 1 has something from the start.
        let most = (U256::MAX >> 1) - U256::from(1_000_000_000_000u64);
        for vector in vectors("eip3009_valid.json") {
            if text(&vector["domain"], "chainId").parse::<u64>().is_err() {
                continue;
            }
            let payment = Payment::from_json(&vector);
            let now = u64::try_from(payment.after).unwrap_or(u64::MAX).saturating_add(1);
            let now = if now == u64::MAX { NOW } else { now };
            let chain = chain_of_token(&vector, now);
            let token = domain_token(&vector).address;
            {
                let mut inner = rpc::lock(&chain.chain);
                let id = inner.id;
                let amount = payment.value.min(most);
                let buyer = payment.from.into();
                genesis::mint(&mut inner.state, id, token.into(), buyer, amount).unwrap();
            }
            let (early, late) = (payment.after >= now, payment.before <= U256::from(now));
            for data in [payment.split(), payment.whole()] {
                let answer = ask(&chain, "eth_call", &call_args(token, &data));
                let message = answer["error"]["message"].as_str().unwrap_or_default();
                match (early, late) {
                    (true, _) => assert!(message.contains("not yet valid"), "{answer}"),
                    (_, true) => assert!(message.contains("expired"), "{answer}"),
                    _ if payment.value > most => {
                        assert!(message.contains("exceeds balance"), "{answer}");
                    }
                    _ => {
                        assert_eq!(answer["result"], "0x", "{vector}");
                        taken += 1;
                    }
                }
            }
        }
        assert!(taken >= 20, "{taken}");
    }

    /// Known forgeries: refused in both forms, but for what is only written unusually.
    #[test]
    fn invalid_vectors_are_refused() {
        let all = vectors("eip3009_invalid.json");
        let chain = chain_of_token(&all[0], NOW);
        let token = domain_token(&all[0]).address;
        let mut seen = 0;
        for vector in all {
            let name = text(&vector, "name");
            if ["no 0x prefix", "non-hex", "space inside", "signature 1 MiB"].contains(&name) {
                continue;
            }
            let payment = Payment::from_json(&vector);
            chain.mint(token, payment.from, 10_000).ok();
            let whole = refused(&chain, "eth_call", &call_args(token, &payment.whole()));
            assert_eq!(whole.0, 3, "{name}: {whole:?}");
            if payment.signature.len() == 65 {
                let split = refused(&chain, "eth_call", &call_args(token, &payment.split()));
                assert_eq!(split.1, whole.1, "{name}");
            }
            seen += 1;
        }
        assert!(seen >= 30, "{seen}");
    }

    #[test]
    fn wallet_contract_decides_for_itself() {
        let (chain, mut payment) = (chain(), payment());
        payment.signature = vec![1, 2, 3];
        let wallet = hex::encode_prefixed(payment.from);
        // Returns the 32 bytes that follow PUSH4, shifted to the left: mstore(0, magic << 224);
        // return(0, 32)
        let agrees = "0x631626ba7e60e01b60005260206000f3";
        let refuses = "0x63ffffffff60e01b60005260206000f3";
        ok(&chain, "anvil_setCode", &json!([wallet, refuses]));
        let answer = refused(&chain, "eth_call", &call_args(USDC, &payment.whole()));
        assert_eq!(answer.1, "execution reverted: FiatTokenV2: invalid signature");
        ok(&chain, "anvil_setCode", &json!([wallet, agrees]));
        ok(&chain, "eth_call", &call_args(USDC, &payment.whole()));
        payment.signature = vec![0; 65];
        ok(&chain, "eth_call", &call_args(USDC, &payment.split()));
    }

    #[test]
    fn every_kind_of_transaction_is_followed() {
        let chain = chain();
        let to = TxKind::Call(PAYEE.into());
        let (value, gas_limit, gas_price) = (U256::from(5), 21_000, 2_000_000_000);
        let (input, access_list) = (Default::default(), AccessList::default());
        let legacy =
            TxLegacy { chain_id: Some(1), nonce: 0, gas_price, gas_limit, to, value, input };
        let input = Default::default();
        let listed = TxEip2930 {
            chain_id: 1,
            nonce: 1,
            gas_price,
            gas_limit,
            to,
            value,
            access_list,
            input,
        };
        let dynamic = TxEip1559 { to, value, ..to_usdc(2, Vec::new()) };
        let raw = [sign(legacy, KEY), sign(listed, KEY), sign(dynamic, KEY)];
        for (kind, raw) in raw.iter().enumerate() {
            let hash = ok(&chain, "eth_sendRawTransaction", &json!([raw]));
            assert_eq!(hash, json!(keccak256(hex::decode(raw).unwrap())));
            let tx = ok(&chain, "eth_getTransactionByHash", &json!([hash]));
            assert_eq!((&tx["hash"], &tx["type"]), (&hash, &json!(format!("{kind:#x}"))));
            assert_eq!(tx["from"], json!(Address::from(accounts()[0]).to_string().to_lowercase()));
            assert_eq!(ok(&chain, "eth_getRawTransactionByHash", &json!([hash])), json!(raw));
            let number = json!(format!("{:#x}", kind + 1));
            assert_eq!(receipt(&chain, &hash)["blockNumber"], number);
            let block = ok(&chain, "eth_getBlockByNumber", &json!([number, true]));
            assert_eq!(block["transactions"][0], tx);
            let same = ok(&chain, "eth_getBlockByHash", &json!([block["hash"], false]));
            assert_eq!(same["transactions"], json!([hash]));
            let parent = ok(&chain, "eth_getBlockByNumber", &json!([format!("{kind:#x}"), false]));
            assert_eq!(parent["hash"], block["parentHash"]);
        }
        let balance = ok(&chain, "eth_getBalance", &json!([hex::encode_prefixed(PAYEE)]));
        assert_eq!(balance, "0xf");
    }

    #[test]
    fn bad_transactions_are_refused_in_known_words() {
        let chain = chain();
        let refuses = |raw: String, start: &str| {
            let (code, message) = refused(&chain, "eth_sendRawTransaction", &json!([raw]));
            assert_eq!(code, -32000);
            assert!(message.starts_with(start), "{message} / {start}");
        };
        let fine = || to_usdc(0, Vec::new());
        refuses(sign(TxEip1559 { chain_id: 5, ..fine() }, KEY), "invalid sender: invalid chain id");
        refuses(sign(TxEip1559 { nonce: 65, ..fine() }, KEY), "nonce too high");
        let rich = U256::from(10).pow(U256::from(30));
        refuses(
            sign(TxEip1559 { value: rich, ..fine() }, KEY),
            "insufficient funds for gas * price",
        );
        refuses(sign(TxEip1559 { gas_limit: 20_999, ..fine() }, KEY), "intrinsic gas too low");
        refuses(
            sign(TxEip1559 { gas_limit: 30_000_001, ..fine() }, KEY),
            "exceeds block gas limit",
        );
        let cheap = TxEip1559 { max_fee_per_gas: 5, max_priority_fee_per_gas: 5, ..fine() };
        refuses(sign(cheap, KEY), "max fee per gas less than block base fee");
        let odd = TxEip1559 { max_priority_fee_per_gas: 4_000_000_000, ..fine() };
        refuses(sign(odd, KEY), "max priority fee per gas higher");
        let unprotected = TxLegacy { gas_price: 2_000_000_000, ..TxLegacy::default() };
        refuses(sign(unprotected, KEY), "only replay-protected");
        refuses("0x".to_owned(), "typed transaction too short");
        refuses("0x02".to_owned(), "typed transaction too short");
        refuses("0x02c0".to_owned(), "rlp: ");
        refuses("0x03c0".to_owned(), "transaction type not supported");
        refuses("0x05c0".to_owned(), "transaction type not supported");
        refuses(sign(fine(), KEY) + "00", "rlp: ");
        refuses(format!("0x02{}", "00".repeat(200_000)), "oversized data");
        assert_eq!(ok(&chain, "eth_blockNumber", &json!([])), "0x0");

        send(&chain, fine());
        refuses(sign(fine(), KEY), "nonce too low: next nonce 1, tx nonce 0");
    }

    #[test]
    fn transactions_wait_for_the_one_before() {
        let chain = chain();
        let second = send(&chain, to_usdc(1, Vec::new()));
        assert_eq!(receipt(&chain, &second), Value::Null);
        let waiting = ok(&chain, "eth_getTransactionByHash", &json!([second]));
        assert_eq!(waiting["blockHash"], Value::Null);
        let again = sign(to_usdc(1, Vec::new()), KEY);
        let known = refused(&chain, "eth_sendRawTransaction", &json!([again]));
        assert_eq!(known, (-32000, "already known".to_owned()));
        let bid = |fee: u128| {
            let tx = to_usdc(1, Vec::new());
            sign(TxEip1559 { max_fee_per_gas: fee, max_priority_fee_per_gas: fee, ..tx }, KEY)
        };
        let low = refused(&chain, "eth_sendRawTransaction", &json!([bid(3_100_000_000)]));
        assert_eq!(low.1, "replacement transaction underpriced");
        let better = ok(&chain, "eth_sendRawTransaction", &json!([bid(3_300_000_000)]));
        send(&chain, to_usdc(0, Vec::new()));
        assert_eq!(receipt(&chain, &better)["blockNumber"], "0x2");
        assert_eq!(ok(&chain, "eth_getTransactionByHash", &json!([second])), Value::Null);
    }

    #[test]
    fn mining_can_be_held_and_shared() {
        let chain = chain();
        let account = hex::encode_prefixed(accounts()[0]);
        let count = |tag: &str| ok(&chain, "eth_getTransactionCount", &json!([account, tag]));
        ok(&chain, "evm_setAutomine", &json!([false]));
        let paying = send(&chain, to_usdc(0, payment().split()));
        let other = send(&chain, to_usdc(1, payment().split()));
        assert_eq!((count("latest"), count("pending")), (json!("0x0"), json!("0x2")));
        ok(&chain, "evm_mine", &json!([]));
        let (paying, other) = (receipt(&chain, &paying), receipt(&chain, &other));
        assert_eq!(paying["blockHash"], other["blockHash"]);
        assert_eq!((&paying["status"], &other["status"]), (&json!("0x1"), &json!("0x0")));
        let gas = |receipt: &Value, name: &str| {
            u64::from_str_radix(&receipt[name].as_str().unwrap()[2..], 16).unwrap()
        };
        let sum = gas(&paying, "gasUsed") + gas(&other, "gasUsed");
        assert_eq!(gas(&other, "cumulativeGasUsed"), sum);
        ok(&chain, "evm_setAutomine", &json!([true]));
        send(&chain, to_usdc(2, payment().split()));
        assert_eq!(count("latest"), "0x3");
    }

    #[test]
    fn snapshot_brings_everything_back() {
        let chain = chain();
        let before = ok(&chain, "evm_snapshot", &json!([]));
        let hash = send(&chain, to_usdc(0, payment().split()));
        assert_eq!(ok(&chain, "evm_revert", &json!([before])), true);
        assert_eq!(receipt(&chain, &hash), Value::Null);
        assert_eq!(chain.balance_of(USDC, PAYEE), Ok(0));
        assert_eq!(ok(&chain, "evm_revert", &json!([before])), false);
        assert_eq!(send(&chain, to_usdc(0, payment().split())), hash);
    }

    #[test]
    fn time_can_be_moved() {
        let chain = chain();
        ok(&chain, "evm_increaseTime", &json!([120]));
        let (_, message) = refused(&chain, "eth_call", &call_args(USDC, &payment().whole()));
        assert!(message.ends_with("authorization is expired"));
        ok(&chain, "evm_mine", &json!([]));
        let head = ok(&chain, "eth_getBlockByNumber", &json!(["latest", false]));
        let time = u64::from_str_radix(&head["timestamp"].as_str().unwrap()[2..], 16).unwrap();
        assert!((NOW + 120..NOW + 180).contains(&time));
        let (code, _) = refused(&chain, "eth_call", &json!([{}, "0x99"]));
        assert_eq!(code, -32000);
    }

    #[test]
    fn states_of_older_blocks_are_kept() {
        let chain = chain();
        let genesis = ok(&chain, "eth_getBlockByNumber", &json!(["0x0", false]));
        let balances = || -> Vec<Value> {
            let at = [
                json!("0x0"),
                json!("0x1"),
                json!("0x2"),
                json!("latest"),
                json!({ "blockHash": genesis["hash"] }),
            ];
            let call = json!({ "to": hex::encode_prefixed(USDC), "data": balance_call() });
            at.iter().map(|at| ok(&chain, "eth_call", &json!([call, at]))).collect()
        };
        ok(&chain, "evm_mine", &json!([]));
        send(&chain, to_usdc(0, payment().split()));
        let none = format!("0x{:064x}", 0);
        let paid = chain.balance_of(USDC, PAYEE).unwrap();
        let paid = format!("0x{paid:064x}");
        assert_eq!(balances(), [&none, &none, &paid, &paid, &none].map(|each| json!(each)));
        // The account's nonce went with it, and is there again after the chain came back.
        let count = |at: &str| {
            let account = hex::encode_prefixed(genesis::OWNER);
            ok(&chain, "eth_getTransactionCount", &json!([account, at]))
        };
        assert_eq!([count("0x1"), count("0x2")], ["0x0", "0x1"]);
    }

    /// balanceOf(PAYEE)
    fn balance_call() -> String {
        format!("0x70a08231{}", hex::encode(Address::from(PAYEE).into_word()))
    }

    #[test]
    fn logs_are_found_by_address_topic_and_block() {
        let chain = chain();
        let hash = send(&chain, to_usdc(0, payment().split()));
        let block = receipt(&chain, &hash)["blockHash"].clone();
        let found =
            |filter: Value| ok(&chain, "eth_getLogs", &json!([filter])).as_array().unwrap().len();
        let (usdc, eurc) = (hex::encode_prefixed(USDC), hex::encode_prefixed(EURC));
        let payee = Address::from(PAYEE).into_word();
        assert_eq!(found(json!({})), 2);
        assert_eq!(found(json!({ "fromBlock": "earliest", "toBlock": "latest" })), 2);
        assert_eq!(found(json!({ "fromBlock": "0x0", "toBlock": "0x0" })), 0);
        assert_eq!(found(json!({ "blockHash": block, "address": usdc })), 2);
        assert_eq!(found(json!({ "address": eurc })), 0);
        assert_eq!(found(json!({ "address": [eurc, usdc], "topics": [TRANSFER] })), 1);
        assert_eq!(found(json!({ "topics": [[TRANSFER, AUTHORIZATION_USED]] })), 2);
        assert_eq!(found(json!({ "topics": [null, null, payee] })), 1);
        assert_eq!(found(json!({ "topics": [null, null, null, null] })), 0);
        let backwards = json!([{ "fromBlock": "0x1", "toBlock": "0x0" }]);
        assert_eq!(refused(&chain, "eth_getLogs", &backwards).0, -32602);
        let both = json!([{ "blockHash": block, "toBlock": "0x0" }]);
        assert_eq!(refused(&chain, "eth_getLogs", &both).0, -32602);
    }

    #[test]
    fn many_calls_go_in_one() {
        // aggregate3([(USDC, true, balanceOf(account 1)), (USDC, true, garbage)])
        let chain = chain();
        let word = |number: usize| U256::from(number).to_be_bytes::<32>().to_vec();
        let item = |data: &[u8]| {
            let mut item = Address::from(USDC).into_word().to_vec();
            item.extend([word(1), word(96), word(data.len()), data.to_vec()].concat());
            item.resize(item.len().next_multiple_of(32), 0);
            item
        };
        let owner = Address::from(accounts()[1]).into_word();
        let first = item(&[&hex!("70a08231")[..], owner.as_slice()].concat());
        let second = item(&[1, 2, 3, 4]);
        let list = [word(2), word(64), word(64 + first.len()), first, second].concat();
        let data = [hex!("82ad56cb").to_vec(), word(32), list].concat();
        let answer = ok(&chain, "eth_call", &call_args(MULTICALL3, &data));
        let answer = hex::decode(answer.as_str().unwrap()).unwrap();
        let number = |index: usize| U256::from_be_slice(&answer[index * 32..][..32]);
        // Two results: true with 32 bytes; false with none.
        assert_eq!(number(1), U256::from(2));
        assert_eq!(number(4), U256::from(1));
        assert_eq!(number(7), U256::from(1_000_000_000_000u64));
        assert_eq!(number(8), U256::ZERO);
    }

    #[test]
    fn mint_and_ether_are_handed_out() {
        let chain = chain();
        chain.mint(USDC, PAYEE, 7).unwrap();
        assert_eq!(chain.balance_of(USDC, PAYEE), Ok(7));
        assert!(chain.mint(PAYEE, PAYEE, 7).is_err());
        assert!(chain.mint(USDC, [0; 20], 7).is_err());
        chain.set_balance(PAYEE, 9);
        assert_eq!(ok(&chain, "eth_getBalance", &json!([hex::encode_prefixed(PAYEE)])), "0x9");
        // The owner's key mints by transaction, and nobody else's does.
        let data = [&hex!("40c10f19")[..], &[0; 12], &PAYEE, &[0; 31], &[1]].concat();
        let hash = send(&chain, to_usdc(0, data.clone()));
        assert_eq!(receipt(&chain, &hash)["status"], "0x1");
        assert_eq!(chain.balance_of(USDC, PAYEE), Ok(8));
        let raw = sign(to_usdc(0, data), BUYER_KEY);
        let hash = ok(&chain, "eth_sendRawTransaction", &json!([raw]));
        assert_eq!(receipt(&chain, &hash)["status"], "0x0");
    }

    #[test]
    fn fees_are_told() {
        let chain = chain();
        send(&chain, to_usdc(0, payment().split()));
        assert_eq!(ok(&chain, "eth_gasPrice", &json!([])), "0x77359400");
        let history = ok(&chain, "eth_feeHistory", &json!(["0x5", "latest", [10, 50.5]]));
        assert_eq!(history["oldestBlock"], "0x0");
        assert_eq!(history["baseFeePerGas"].as_array().unwrap().len(), 3);
        assert_eq!(history["reward"], json!([["0x0", "0x0"], ["0x3b9aca00", "0x3b9aca00"]]));
        let falling = json!([5, "latest", [50, 10]]);
        assert_eq!(refused(&chain, "eth_feeHistory", &falling).0, -32602);
    }

    #[test]
    fn garbage_gets_an_error_object() {
        let chain = chain();
        let code = |body: &[u8]| {
            let answer: Value = serde_json::from_slice(&chain.handle(body)).unwrap();
            assert_eq!(answer["jsonrpc"], "2.0");
            (answer["id"].clone(), answer["error"]["code"].as_i64().unwrap())
        };
        for body in [&b""[..], b"{", b"\xff", b"nul", b"[[[", &[b'['; 100_000]] {
            assert_eq!(code(body), (Value::Null, -32700));
        }
        for body in ["{}", "1", "null", "\"x\"", "[]", r#"{"jsonrpc":"1.0","method":"x"}"#] {
            assert_eq!(code(body.as_bytes()), (Value::Null, -32600), "{body}");
        }
        let request = |rest: &str| code(format!(r#"{{"jsonrpc":"2.0",{rest}}}"#).as_bytes());
        assert_eq!(request(r#""id":[],"method":"eth_chainId""#), (Value::Null, -32600));
        assert_eq!(request(r#""id":"a","method":5"#), (json!("a"), -32600));
        assert_eq!(request(r#""id":-1,"method":"eth_nothing""#), (json!(-1), -32601));
        assert_eq!(request(r#""id":1,"method":"eth_call","params":{}"#), (json!(1), -32602));
        assert_eq!(request(r#""id":1,"method":"eth_chainId","params":[1]"#), (json!(1), -32602));
        assert_eq!(request(r#""id":1,"method":"eth_getBalance""#), (json!(1), -32602));
    }

    #[test]
    fn batches_are_answered_in_order_and_bounded() {
        let chain = chain();
        let one = |id: &Value| json!({ "jsonrpc": "2.0", "id": id, "method": "eth_chainId" });
        let ids = [json!(1), json!("b"), Value::Null];
        let mut batch: Vec<Value> = ids.iter().map(one).collect();
        batch.push(json!({ "jsonrpc": "2.0", "method": "eth_chainId" }));
        batch.push(json!(5));
        let answer = chain.handle(json!(batch).to_string().as_bytes());
        let answer: Vec<Value> = serde_json::from_slice(&answer).unwrap();
        assert_eq!(answer.len(), 4);
        assert!(answer.iter().zip(&ids).all(|(answer, id)| answer["id"] == *id));
        assert_eq!(answer[3]["error"]["code"], -32600);

        let quiet = json!({ "jsonrpc": "2.0", "method": "eth_chainId" });
        assert_eq!(chain.handle(quiet.to_string().as_bytes()), b"");
        assert_eq!(chain.handle(json!([quiet]).to_string().as_bytes()), b"");
        let long = json!(vec![one(&json!(1)); 1_001]);
        let answer = chain.handle(long.to_string().as_bytes());
        let answer: Value = serde_json::from_slice(&answer).unwrap();
        assert_eq!(answer["error"]["code"], -32600);
    }

    #[test]
    fn clones_and_threads_share_one_chain() {
        let chain = chain();
        std::thread::scope(|scope| {
            for nonce in 0..8 {
                let chain = chain.clone();
                scope.spawn(move || send(&chain, to_usdc(nonce, Vec::new())));
            }
        });
        assert_eq!(ok(&chain, "eth_blockNumber", &json!([])), "0x8");
    }
}
