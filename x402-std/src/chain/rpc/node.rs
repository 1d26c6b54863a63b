//! The calls that are made of a node, with their types.

use core::fmt;

use alloy_primitives::{Address, B256, Bytes, U64, U128, U256, hex};
use alloy_rpc_client::RpcClient;
use alloy_sol_types::{SolCall, sol};
use alloy_transport::BoxTransport;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use x402_core::settlement::{AUTHORIZATION_USED_TOPIC, TRANSFER_TOPIC};
use x402_core::settlement::{Log, Paid, SettlementError, Submitter};
use x402_core::{Claimed, LogOrder, Transfer};

use super::RpcOptions;
use super::fault::Fault;
use super::transport::HttpTransport;
use super::url::{RpcUrl, UrlError};
use crate::chain::{Call, TxHash};

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
    }

    /// What is asked of Permit2.
    interface Permit2 {
        function nonceBitmap(address owner, uint256 word) external view returns (uint256);
    }
}

/// Over how many blocks tips are looked at.
const FEE_BLOCKS: u64 = 10;

/// A node, and what we call.
pub(super) struct Node {
    client: RpcClient,
    url: RpcUrl,
}

/// The block whose state is asked for.
#[derive(Clone, Copy)]
pub(super) enum At {
    Latest,
    Number(u64),
}

/// The newest block, or the one with a number.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(super) struct Block {
    number: U64,
    timestamp: U64,
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

/// A receipt. Of alloy's own there is one for each kind of chain; this has what all of them have.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Receipt {
    transaction_hash: B256,
    /// Missing while the transaction is in no block.
    block_hash: Option<B256>,
    block_number: Option<U64>,
    status: U64,
    logs: Vec<ReceiptLog>,
    #[serde(default)]
    gas_used: U64,
    /// Wei per gas.
    #[serde(default)]
    effective_gas_price: U128,
}

#[derive(Debug, Deserialize)]
struct ReceiptLog {
    address: Address,
    topics: Vec<B256>,
    data: Bytes,
    #[serde(default)]
    removed: bool,
}

/// Where an authorization was used.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Use {
    pub(super) block_number: U64,
    pub(super) transaction_hash: B256,
    #[serde(default)]
    pub(super) removed: bool,
}

impl Node {
    /// Over a transport of somebody else's.
    pub(super) fn over(transport: BoxTransport) -> Result<Self, UrlError> {
        // There is no URL, so nothing of it can be given away.
        let url = RpcUrl::parse("http://localhost")?;
        Ok(Self { client: RpcClient::new(transport, true), url })
    }

    /// `None` where TLS cannot be set up.
    pub(super) fn new(url: RpcUrl, options: &RpcOptions) -> Option<Self> {
        let transport = HttpTransport::new(url.clone(), options)?;
        Some(Self { client: RpcClient::new(transport, url.is_loopback()), url })
    }

    /// A text of the chain's, as it may be shown.
    pub(super) fn redact(&self, text: &str) -> String {
        self.url.redact(text)
    }

    /// One call, one round trip.
    async fn ask<T>(&self, method: &'static str, params: Value) -> Result<T, Fault>
    where
        T: DeserializeOwned + fmt::Debug + Send + Sync + Unpin + 'static,
    {
        let answer = self.client.request(method, params).await;
        answer.map_err(|error| Fault::of_call(error, &self.url))
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
        let count = self.ask("eth_getTransactionCount", json!([account, at.to_json()])).await;
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
    /// Gives what the call returns.
    pub(super) async fn simulate(
        &self,
        call: &Call,
        from: Address,
        gas: u64,
    ) -> Result<Bytes, Fault> {
        let call = json!({
            "from": from,
            "to": Address::from(*call.target.as_bytes()),
            "gas": U64::from(gas),
            "data": hex::encode_prefixed(&call.data),
        });
        self.ask("eth_call", json!([call, At::Latest.to_json()])).await
    }

    /// Asks a contract.
    pub(super) async fn read<C: SolCall>(
        &self,
        contract: Address,
        call: C,
        at: At,
    ) -> Result<C::Return, Fault> {
        let call = json!({ "to": contract, "data": hex::encode_prefixed(call.abi_encode()) });
        let data: Bytes = self.ask("eth_call", json!([call, at.to_json()])).await?;
        C::abi_decode_returns_validate(&data)
            .map_err(|_| Fault::Malformed("the token returns another type"))
    }

    /// Whether the token, or Permit2, has seen the nonce used or cancelled.
    pub(super) async fn is_used(&self, payment: &Claimed, at: At) -> Result<bool, Fault> {
        let id = payment.id();
        let (contract, owner) = [id.contract, id.from].map(|a| Address::from(*a.as_bytes())).into();
        let nonce = B256::from(*id.nonce.as_bytes());
        match payment.transfer() {
            Transfer::Eip3009(_) => {
                let call = Token::authorizationStateCall { authorizer: owner, nonce };
                self.read(contract, call, at).await
            }
            Transfer::Permit2(_) => {
                let nonce = U256::from_be_bytes(nonce.0);
                let call = Permit2::nonceBitmapCall { owner, word: nonce >> 8 };
                let bitmap = self.read(contract, call, at).await?;
                Ok(bitmap.bit(usize::from(nonce.byte(0))))
            }
        }
    }

    /// Sends a signed transaction and returns the hash by which the node knows it.
    pub(super) async fn send(&self, raw: &[u8]) -> Result<TxHash, Fault> {
        let params = json!([hex::encode_prefixed(raw)]);
        self.ask("eth_sendRawTransaction", params).await.map(|hash: B256| TxHash(hash.0))
    }

    /// The receipt of a transaction, if it is in a block.
    pub(super) async fn receipt(&self, transaction: TxHash) -> Result<Option<Receipt>, Fault> {
        let hash = B256::from(transaction.0);
        let receipt: Option<Receipt> = self.ask("eth_getTransactionReceipt", json!([hash])).await?;
        match receipt {
            Some(receipt) if receipt.transaction_hash != hash => {
                Err(Fault::Malformed("the receipt is of another transaction"))
            }
            receipt => Ok(receipt.filter(|receipt| receipt.block_hash.is_some())),
        }
    }

    /// The calldata of a transaction.
    pub(super) async fn input(&self, transaction: TxHash) -> Result<Bytes, Fault> {
        #[derive(Debug, Deserialize)]
        struct Transaction {
            input: Bytes,
        }
        let hash = B256::from(transaction.0);
        let found: Option<Transaction> =
            self.ask("eth_getTransactionByHash", json!([hash])).await?;
        Ok(found.ok_or(Fault::Malformed("the transaction of a receipt is missing"))?.input)
    }

    pub(super) async fn block(&self, at: At) -> Result<Block, Fault> {
        let block: Option<Block> =
            self.ask("eth_getBlockByNumber", json!([at.to_json(), false])).await?;
        block.ok_or(Fault::Malformed("there is no such block"))
    }

    /// Where the token says that the authorization was used, in the blocks from `first` to `last`; for
    /// a permit, of which nobody says so, where the token was moved from its payer to its payee.
    pub(super) async fn uses(
        &self,
        payment: &Claimed,
        first: u64,
        last: u64,
    ) -> Result<Vec<Use>, Fault> {
        let signed = payment.transfer();
        let (event, second) = match signed {
            Transfer::Eip3009(_) => (AUTHORIZATION_USED_TOPIC, *signed.nonce().as_bytes()),
            Transfer::Permit2(_) => (TRANSFER_TOPIC, signed.to().to_word()),
        };
        let topics = [event, signed.from().to_word(), second].map(B256::from);
        let filter = json!({
            "address": Address::from(*payment.asset().as_bytes()),
            "topics": topics,
            "fromBlock": U64::from(first),
            "toBlock": U64::from(last),
        });
        self.ask("eth_getLogs", json!([filter])).await
    }
}

impl At {
    fn to_json(self) -> Value {
        match self {
            Self::Latest => json!("latest"),
            Self::Number(number) => json!(U64::from(number)),
        }
    }
}

impl Block {
    pub(super) fn number(&self) -> u64 {
        self.number.to()
    }

    /// Unix seconds.
    pub(super) fn timestamp(&self) -> u64 {
        self.timestamp.to()
    }
}

impl Receipt {
    /// The number and the hash of the block it is in.
    pub(super) fn block(&self) -> Result<(u64, B256), Fault> {
        let block = self.block_number.map(|number| number.to()).zip(self.block_hash);
        block.ok_or(Fault::Malformed("a receipt without a block"))
    }

    /// The gas, and what was paid for each unit of it, in wei.
    pub(super) fn cost(&self) -> (u64, u128) {
        (self.gas_used.to(), self.effective_gas_price.to())
    }

    /// Whether the transaction moved the money of each of these payments: no log pays for two of them,
    /// nor one of those that are taken.
    pub(super) fn judge(
        &self,
        payments: &[Claimed],
        submitter: Submitter<'_>,
        order: impl Fn(&Claimed) -> LogOrder,
        taken: &[u32],
    ) -> Vec<Result<Paid, SettlementError>> {
        // Once for all of them: a batch has hundreds of logs.
        let topics: Vec<Vec<[u8; 32]>> =
            self.logs.iter().map(|log| log.topics.iter().map(|topic| topic.0).collect()).collect();
        let logs = self.logs.iter().zip(&topics).map(|(log, topics)| Log {
            address: x402_core::Address::new(log.address.into_array()),
            topics,
            data: &log.data,
        });
        let logs: Vec<_> = logs.collect();
        let mut taken: Vec<usize> =
            taken.iter().filter_map(|position| usize::try_from(*position).ok()).collect();
        let mut judged = Vec::with_capacity(payments.len());
        for payment in payments {
            let receipt = x402_core::settlement::Receipt {
                succeeded: self.status == U64::from(1),
                logs: &logs,
                submitter,
                order: order(payment),
            };
            let paid = payment.settled(&receipt, |position| taken.contains(&position));
            taken.extend(paid.iter().map(|paid| paid.position));
            judged.push(paid);
        }
        judged
    }
}
