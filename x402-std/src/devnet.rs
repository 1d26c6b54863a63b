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
//! * Blocks may have the same time as their parent. `eth_call` sees the state that it asks for, but
//!   the number of the newest block and the time of now.
//! * States are kept up to 1,024 blocks back: questions about an older one are errors. Blocks,
//!   receipts and logs are all kept. What was set by hand between two blocks is in the older
//!   states, too, unless a later block has changed it.
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
mod tests;
