//! The calls that are made of a node, with their types.

use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use alloy_primitives::{Address, B256, Bytes, U64, U128, U256, hex};
use alloy_rpc_client::RpcClient;
use alloy_sol_types::{SolCall, sol};
use alloy_transport::BoxTransport;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use x402_core::{Claimed, Transfer};

use super::RpcOptions;
use super::fault::Fault;
use super::receipt::Receipt;
use super::transport::HttpTransport;
use super::url::{RpcUrl, UrlError};
use crate::chain::{Block, Call, TxHash};

sol! {
    /// What is asked of a token.
    interface Token {
        function authorizationState(address authorizer, bytes32 nonce) external view returns (bool);
        function allowance(address owner, address spender) external view returns (uint256);
        function balanceOf(address account) external view returns (uint256);
        function decimals() external view returns (uint8);
        function DOMAIN_SEPARATOR() external view returns (bytes32);
        function name() external view returns (string);
        function version() external view returns (string);
        function paused() external view returns (bool);
        function isBlacklisted(address account) external view returns (bool);
    }

    /// What is asked of Permit2.
    interface Permit2 {
        event UnorderedNonceInvalidation(address indexed owner, uint256 word, uint256 mask);

        function nonceBitmap(address owner, uint256 word) external view returns (uint256);
    }
}

/// Over how many blocks tips are looked at.
const FEE_BLOCKS: u64 = 10;

/// A node, and what we call.
pub(super) struct Node {
    client: RpcClient,
    url: RpcUrl,
    /// In whose name contracts are asked: a proxy's administrator is answered otherwise than others, and
    /// a node puts in an account of its own where nobody is named.
    asker: Address,
    /// Whether it knows a block by its hash where state is asked for (EIP-1898), as far as is known.
    takes_hashes: AtomicBool,
    /// Whether it says which block is final, as far as is known.
    says_final: AtomicBool,
    /// The newest that it has said to be final, one added; 0 where it has said of none.
    final_behind: AtomicU64,
    /// How many blocks are searched in one call, as far as it allows.
    pub(super) log_range: AtomicU64,
}

/// The block that is asked for, or whose state is.
#[derive(Clone, Copy)]
pub(super) enum At {
    Latest,
    /// The newest that is final.
    Final,
    Number(u64),
    /// This one and no other of its number.
    Block(Block),
}

/// A block.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "camelCase")]
pub(super) struct Header {
    number: U64,
    hash: B256,
    parent_hash: B256,
    timestamp: U64,
    /// Missing on chains without EIP-1559.
    base_fee_per_gas: Option<U256>,
}

/// What blocks have cost.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct FeeHistory {
    /// Wei per gas, of each block and then of the next one.
    #[serde(default)]
    pub(super) base_fee_per_gas: Vec<U128>,
    /// Wei per gas that went to the proposer of each block, at the percentiles asked for.
    #[serde(default)]
    pub(super) reward: Option<Vec<Vec<U128>>>,
}

/// A transaction, as far as its receipt does not tell.
#[derive(Debug, Deserialize)]
pub(super) struct Sending {
    hash: B256,
    /// Missing where a contract is made.
    pub(super) to: Option<Address>,
    pub(super) input: Bytes,
}

impl Node {
    /// Over a transport of somebody else's.
    pub(super) fn over(
        transport: BoxTransport,
        asker: Address,
        options: &RpcOptions,
    ) -> Result<Self, UrlError> {
        // There is no URL, so nothing of it can be given away.
        let url = RpcUrl::parse("http://localhost")?;
        Ok(Self::of(RpcClient::new(transport, true), url, asker, options))
    }

    /// `None` where TLS cannot be set up.
    pub(super) fn new(url: RpcUrl, asker: Address, options: &RpcOptions) -> Option<Self> {
        let transport = HttpTransport::new(url.clone(), options)?;
        let client = RpcClient::new(transport, url.is_loopback());
        Some(Self::of(client, url, asker, options))
    }

    fn of(client: RpcClient, url: RpcUrl, asker: Address, options: &RpcOptions) -> Self {
        let [takes_hashes, says_final] = [true; 2].map(AtomicBool::new);
        let log_range = AtomicU64::new(options.log_range.max(1));
        let final_behind = AtomicU64::new(0);
        Self { client, url, asker, takes_hashes, says_final, final_behind, log_range }
    }

    /// A text of the chain's, as it may be shown.
    pub(super) fn redact(&self, text: &str) -> String {
        self.url.redact(text)
    }

    /// One call, one round trip.
    pub(super) async fn ask<T>(&self, method: &'static str, params: Value) -> Result<T, Fault>
    where
        T: DeserializeOwned + fmt::Debug + Send + Sync + Unpin + 'static,
    {
        let answer = self.client.request(method, params).await;
        answer.map_err(|error| Fault::of_call(error, &self.url))
    }

    /// As [`Self::ask`], of the state of a block.
    ///
    /// Where the node does not know blocks by their hashes, by the number, with the block's hash read
    /// before and after: it is the same state where both are the same.
    async fn ask_state<T>(&self, method: &'static str, subject: Value, at: At) -> Result<T, Fault>
    where
        T: DeserializeOwned + fmt::Debug + Send + Sync + Unpin + 'static,
    {
        let At::Block(block) = at else {
            return self.ask(method, json!([subject, at.to_json()])).await;
        };
        if self.takes_hashes.load(Ordering::Relaxed) {
            match self.ask(method, json!([&subject, at.to_json()])).await {
                Err(fault) if fault.refuses_parameter() => {}
                answer => return answer,
            }
        }
        self.expect_block(block).await?;
        let answer = self.ask(method, json!([subject, U64::from(block.number)])).await?;
        self.expect_block(block).await?;
        self.takes_hashes.store(false, Ordering::Relaxed);
        Ok(answer)
    }

    /// Makes sure that a block is one of the chain as it is now.
    pub(super) async fn expect_block(&self, block: Block) -> Result<(), Fault> {
        match self.header(At::Number(block.number)).await? {
            Some(header) if header.block() == block => Ok(()),
            _ => Err(Fault::Malformed("another block has the number of one that was seen")),
        }
    }

    pub(super) async fn chain_id(&self) -> Result<u64, Fault> {
        self.ask("eth_chainId", json!([])).await.map(|id: U64| id.to())
    }

    /// The ether of an account, in wei.
    pub(super) async fn balance(&self, account: Address) -> Result<U256, Fault> {
        self.ask("eth_getBalance", json!([account, At::Latest.to_json()])).await
    }

    pub(super) async fn code(&self, contract: Address) -> Result<Bytes, Fault> {
        self.ask("eth_getCode", json!([contract, At::Latest.to_json()])).await
    }

    /// The nonce that follows those of all transactions the node knows, mined or not.
    pub(super) async fn next_nonce(&self, account: Address) -> Result<u64, Fault> {
        let count = self.ask("eth_getTransactionCount", json!([account, "pending"])).await;
        count.map(|count: U64| count.to())
    }

    /// How many transactions of the account are in blocks up to this one.
    pub(super) async fn nonce_at(&self, account: Address, at: At) -> Result<u64, Fault> {
        let count = self.ask_state("eth_getTransactionCount", json!(account), at).await;
        count.map(|count: U64| count.to())
    }

    pub(super) async fn fee_history(&self) -> Result<FeeHistory, Fault> {
        let params = json!([U64::from(FEE_BLOCKS), "latest", [50.0]]);
        self.ask("eth_feeHistory", params).await
    }

    /// Wei per gas.
    pub(super) async fn gas_price(&self) -> Result<u128, Fault> {
        self.ask("eth_gasPrice", json!([])).await.map(|price: U128| price.to())
    }

    /// Runs the settling call of a payment and throws the result away.
    ///
    /// On the latest block, not the pending one: some nodes have none, others give out the latest
    /// as such. What is lost is the time until the next block: an authorization that becomes valid
    /// within it is refused.
    ///
    /// With the gas limit of the transaction to come, so that what would run out of gas is found.
    /// With what the transaction will offer for its gas (`offer`), so that no contract takes it for a
    /// simulation; where the node does not run it so, for our account cannot pay that or the price is
    /// another by now, without: that is no fault of the payer's. A call that ran and failed is not run
    /// again: a contract may have ended it (by using up the gas) because it saw the price. Gives what the
    /// call returns.
    pub(super) async fn simulate(
        &self,
        call: &Call,
        from: Address,
        gas: u64,
        offer: Option<Value>,
    ) -> Result<Bytes, Fault> {
        let bare = json!({
            "from": from,
            "to": Address::from(*call.target.as_bytes()),
            "gas": U64::from(gas),
            "data": hex::encode_prefixed(&call.data),
        });
        let mut offered = bare.clone();
        if let (Some(members), Some(Value::Object(offer))) = (offered.as_object_mut(), offer) {
            members.extend(offer);
        }
        let answer = self.ask("eth_call", json!([&offered, At::Latest.to_json()])).await;
        match answer {
            Err(fault) if offered != bare && fault.is_of_price() => {
                self.ask("eth_call", json!([bare, At::Latest.to_json()])).await
            }
            answer => answer,
        }
    }

    /// Asks a contract.
    pub(super) async fn read<C: SolCall>(
        &self,
        contract: Address,
        call: C,
        at: At,
    ) -> Result<C::Return, Fault> {
        self.read_if_there(contract, call, at).await?.ok_or(Fault::Malformed(OTHER_TYPE))
    }

    /// As [`Self::read`]; `None` where there was no contract yet.
    async fn read_if_there<C: SolCall>(
        &self,
        contract: Address,
        call: C,
        at: At,
    ) -> Result<Option<C::Return>, Fault> {
        let data = hex::encode_prefixed(call.abi_encode());
        let call = json!({ "from": self.asker, "to": contract, "data": data });
        let data: Bytes = self.ask_state("eth_call", call, at).await?;
        if data.is_empty() {
            return Ok(None);
        }
        let returned = C::abi_decode_returns_validate(&data);
        returned.map(Some).map_err(|_| Fault::Malformed(OTHER_TYPE))
    }

    /// Whether the token, or Permit2, has seen the nonce used or cancelled.
    pub(super) async fn is_used(&self, payment: &Claimed, at: At) -> Result<bool, Fault> {
        self.was_used(payment, at).await?.ok_or(Fault::Malformed(OTHER_TYPE))
    }

    /// As [`Self::is_used`]; `None` where there was no contract yet.
    pub(super) async fn was_used(&self, payment: &Claimed, at: At) -> Result<Option<bool>, Fault> {
        let id = payment.id();
        let (contract, owner) = [id.contract, id.from].map(|a| Address::from(*a.as_bytes())).into();
        let nonce = B256::from(*id.nonce.as_bytes());
        match payment.transfer() {
            Transfer::Eip3009(_) => {
                let call = Token::authorizationStateCall { authorizer: owner, nonce };
                self.read_if_there(contract, call, at).await
            }
            Transfer::Permit2(_) => {
                let nonce = U256::from_be_bytes(nonce.0);
                let call = Permit2::nonceBitmapCall { owner, word: nonce >> 8 };
                let bitmap = self.read_if_there(contract, call, at).await?;
                Ok(bitmap.map(|bitmap| bitmap.bit(usize::from(nonce.byte(0)))))
            }
        }
    }

    /// Sends a signed transaction and returns the hash by which the node knows it.
    pub(super) async fn send(&self, raw: &[u8]) -> Result<TxHash, Fault> {
        let params = json!([hex::encode_prefixed(raw)]);
        self.ask("eth_sendRawTransaction", params).await.map(|hash: B256| TxHash(hash.0))
    }

    /// The receipt of a transaction, if it is in a block: coherent in itself.
    pub(super) async fn receipt(&self, transaction: TxHash) -> Result<Option<Receipt>, Fault> {
        let hash = B256::from(transaction.0);
        let receipt: Option<Receipt> = self.ask("eth_getTransactionReceipt", json!([hash])).await?;
        receipt.map_or(Ok(None), |receipt| receipt.coherent(transaction))
    }

    /// A transaction, in a block or waiting for one; `None` where the node does not know it.
    pub(super) async fn sending(&self, transaction: TxHash) -> Result<Option<Sending>, Fault> {
        let hash = B256::from(transaction.0);
        let found: Option<Sending> = self.ask("eth_getTransactionByHash", json!([hash])).await?;
        match found {
            Some(found) if found.hash != hash => Err(Fault::Malformed("another transaction")),
            found => Ok(found),
        }
    }

    /// A block; `None` where there is none.
    pub(super) async fn header(&self, at: At) -> Result<Option<Header>, Fault> {
        let header: Option<Header> = match at {
            At::Block(block) => {
                self.ask("eth_getBlockByHash", json!([B256::from(block.hash), false])).await?
            }
            at => self.ask("eth_getBlockByNumber", json!([at.to_json(), false])).await?,
        };
        let is_asked_for = |header: &Header| match at {
            At::Latest | At::Final => true,
            At::Number(number) => header.number() == number,
            At::Block(block) => header.block() == block,
        };
        match header {
            Some(header) if !is_asked_for(&header) => Err(Fault::Malformed("another block")),
            header => Ok(header),
        }
    }

    /// As [`Self::header`], of a block that is there.
    pub(super) async fn known_header(&self, at: At) -> Result<Header, Fault> {
        self.header(at).await?.ok_or(Fault::Malformed("there is no such block"))
    }

    /// The number of the newest block that is final; `None` where the node does not say. What it has said
    /// once stays final: that holds while it does not say more, for its provider has a limit, or because it
    /// was started again.
    pub(super) async fn final_number(&self) -> Result<Option<u64>, Fault> {
        let said = self.final_behind.load(Ordering::Relaxed).checked_sub(1);
        if !self.says_final.load(Ordering::Relaxed) {
            return Ok(said);
        }
        match self.header(At::Final).await {
            Ok(Some(header)) => {
                let number = header.number();
                self.final_behind.store(number.saturating_add(1), Ordering::Relaxed);
                Ok(Some(number))
            }
            Ok(None) => Ok(said),
            Err(fault) if fault.is_nodes_word() => {
                let knows_word = !fault.is_unsupported() && !fault.refuses_parameter();
                self.says_final.fetch_and(knows_word || said.is_some(), Ordering::Relaxed);
                Ok(said)
            }
            Err(fault) => Err(fault),
        }
    }
}

const OTHER_TYPE: &str = "the token returns another type";

impl At {
    fn to_json(self) -> Value {
        match self {
            Self::Latest => json!("latest"),
            Self::Final => json!("finalized"),
            Self::Number(number) => json!(U64::from(number)),
            Self::Block(block) => json!({ "blockHash": B256::from(block.hash) }),
        }
    }
}

impl Header {
    pub(super) fn number(&self) -> u64 {
        self.number.to()
    }

    pub(super) fn block(&self) -> Block {
        Block { number: self.number(), hash: self.hash.0 }
    }

    /// The block below; `None` of the first.
    pub(super) fn parent(&self) -> Option<Block> {
        let number = self.number().checked_sub(1)?;
        Some(Block { number, hash: self.parent_hash.0 })
    }

    /// Unix seconds.
    pub(super) fn timestamp(&self) -> u64 {
        self.timestamp.to()
    }

    /// Whether transactions may say what they pay above a base fee (EIP-1559).
    pub(super) const fn has_base_fee(&self) -> bool {
        self.base_fee_per_gas.is_some()
    }
}
