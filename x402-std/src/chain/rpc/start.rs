//! What is checked of a node and a token before anything is sold.

use core::fmt;

use alloy_primitives::{Address as Contract, B256};
use alloy_sol_types::SolCall;
use alloy_transport::BoxTransport;
use x402_core::secp256k1::K256Signer;
use x402_core::{Address, Asset, ChainId, DomainSeparator, Signer as _};

use super::account::Account;
use super::fault::{Fault, Kind};
use super::node::{At, Header, Node, Token};
use super::nodes::{Heads, Nodes};
use super::url::RpcUrl;
use super::{RpcChain, RpcOptions, has_code};

/// Why a chain is not fit to be settled on. Each variant but the first few has what is configured
/// beside what the chain answers.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The URL would send its key and all answers in the clear.
    #[error("the node's URL must begin with https://: http:// is only for a node on this machine")]
    PlainHttp,
    /// TLS cannot be set up.
    #[error("TLS cannot be set up")]
    Tls,
    /// The node cannot be asked.
    #[error("the chain cannot be reached: {0}")]
    Unavailable(String),
    /// The token is on another chain than the node.
    #[error("the token {token} is configured on {configured}, and the node is on {answered}")]
    AssetChain {
        /// The token.
        token: Address,
        /// The chain of the token.
        configured: ChainId,
        /// The chain of the node.
        answered: ChainId,
    },
    /// The node is on another chain.
    #[error("the chain is configured as {configured}, and the node is on {answered}")]
    ChainId {
        /// The chain that is configured.
        configured: ChainId,
        /// The chain that the node is on.
        answered: ChainId,
    },
    /// The token counts in other units.
    #[error(
        "the token {token} is configured with {configured} decimals, and the contract has {answered}"
    )]
    Decimals {
        /// The token.
        token: Address,
        /// The number that is configured.
        configured: u8,
        /// What the contract answers to `decimals()`.
        answered: u8,
    },
    /// The token has another EIP-712 domain: no signature over ours would be taken.
    #[error(
        "the token {token} is configured with the EIP-712 domain {configured}, and the contract has {answered}"
    )]
    Domain {
        /// The token.
        token: Address,
        /// The domain that is configured.
        configured: NamedDomain,
        /// The domain that the contract has.
        answered: NamedDomain,
    },
    /// Nothing is at the token's address.
    #[error("the token is configured at {token}, and {answered} has no contract there")]
    NoCode {
        /// The address that is configured.
        token: Address,
        /// The chain that was asked.
        answered: ChainId,
    },
    /// A contract is there, and is not such a token.
    #[error("the contract at {token} is no token with EIP-3009: {function} says: {answered}")]
    NoToken {
        /// The address that is configured.
        token: Address,
        /// What was called.
        function: &'static str,
        /// What came of it.
        answered: String,
    },
}

/// An EIP-712 domain by its hash, with the name and the version that go with it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NamedDomain {
    /// The hash of the domain.
    pub separator: DomainSeparator,
    /// What the token calls itself, as far as it says.
    pub name: Option<String>,
    /// Its version, as far as it says.
    pub version: Option<String>,
}

impl fmt::Display for NamedDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.separator.fmt(f)?;
        match (&self.name, &self.version) {
            (None, None) => Ok(()),
            (name, version) => {
                let [name, version] = [name, version].map(|text| text.as_deref().unwrap_or("?"));
                write!(f, " (name {name:?}, version {version:?})")
            }
        }
    }
}

impl RpcChain {
    /// Connects to the node and makes sure that it is on the chain of the options.
    ///
    /// Needs a tokio runtime. The key of `signer` pays for the gas.
    ///
    /// # Errors
    ///
    /// [`StartError::PlainHttp`], [`StartError::Tls`], [`StartError::Unavailable`], or
    /// [`StartError::ChainId`].
    pub async fn connect(
        url: RpcUrl,
        signer: K256Signer,
        options: RpcOptions,
    ) -> Result<Self, StartError> {
        Self::connect_to(url, Vec::new(), signer, options).await
    }

    /// As [`Self::connect`], with other nodes of the same chain: the first of them that answers is asked
    /// where the one before it does not, or is behind.
    ///
    /// # Errors
    ///
    /// As [`Self::connect`]; [`StartError::Unavailable`] only where none of them can be asked.
    pub async fn connect_to(
        url: RpcUrl,
        others: Vec<RpcUrl>,
        signer: K256Signer,
        options: RpcOptions,
    ) -> Result<Self, StartError> {
        let asker = Contract::from(*signer.address().as_bytes());
        let mut urls = core::iter::once(&url).chain(&others);
        if !options.allow_plain_http && urls.any(RpcUrl::is_exposed) {
            return Err(StartError::PlainHttp);
        }
        let first = Node::new(url, asker, &options).ok_or(StartError::Tls)?;
        let others = others.into_iter().map(|url| Node::new(url, asker, &options));
        let others = others.collect::<Option<_>>().ok_or(StartError::Tls)?;
        Self::start(first, others, signer, options).await
    }

    /// As [`Self::connect`], over another transport than HTTP: a socket, several nodes at once, a
    /// simulation. What bounds a call in time and size is the transport's own.
    ///
    /// # Errors
    ///
    /// [`StartError::Unavailable`] or [`StartError::ChainId`].
    pub async fn over(
        transport: BoxTransport,
        signer: K256Signer,
        options: RpcOptions,
    ) -> Result<Self, StartError> {
        Self::over_all(transport, Vec::new(), signer, options).await
    }

    /// As [`Self::over`], with other nodes of the same chain: see [`Self::connect_to`].
    ///
    /// # Errors
    ///
    /// As [`Self::over`].
    pub async fn over_all(
        transport: BoxTransport,
        others: Vec<BoxTransport>,
        signer: K256Signer,
        options: RpcOptions,
    ) -> Result<Self, StartError> {
        let asker = Contract::from(*signer.address().as_bytes());
        let nodes = core::iter::once(transport).chain(others);
        let nodes = nodes.map(|transport| Node::over(transport, asker, &options));
        let nodes = nodes.collect::<Result<Vec<_>, _>>();
        let nodes = nodes.map_err(|error| StartError::Unavailable(error.to_string()))?;
        let mut nodes = nodes.into_iter();
        match nodes.next() {
            Some(first) => Self::start(first, nodes.collect(), signer, options).await,
            None => Err(StartError::Unavailable("there is no node".into())),
        }
    }

    async fn start(
        first: Node,
        others: Vec<Node>,
        signer: K256Signer,
        options: RpcOptions,
    ) -> Result<Self, StartError> {
        for node in core::iter::once(&first).chain(&others) {
            match node.chain_id().await.map(ChainId::new) {
                Ok(answered) if answered == options.chain_id => {}
                Ok(answered) => {
                    return Err(StartError::ChainId { configured: options.chain_id, answered });
                }
                Err(fault) if others.is_empty() => return Err(unavailable(fault)),
                Err(fault) => tracing::warn!(%fault, "a node of the list cannot be asked"),
            }
        }
        let nodes = Nodes::new(first, others);
        let mut turn = nodes.turn();
        let (head, block_seconds) = loop {
            match pace(turn.node()).await {
                Ok(found) => break found,
                Err(fault) if turn.passes(&fault) => {}
                Err(fault) => return Err(unavailable(fault)),
            }
        };
        let heads = Heads::default();
        heads.note(head.number()).map_err(unavailable)?;
        if !head.has_base_fee() {
            tracing::warn!("the chain has no base fee (EIP-1559): transactions offer a gas price");
        }
        let account = Account::new(signer, &options, !head.has_base_fee());
        let (meter, readiness, tokens) = Default::default();
        Ok(Self { account, nodes, heads, options, meter, block_seconds, readiness, tokens })
    }

    /// Makes sure that a token is on the chain as it is configured: that there is a contract, which
    /// has EIP-3009, and that its `DOMAIN_SEPARATOR()` and `decimals()` are those of `asset`.
    ///
    /// # Errors
    ///
    /// [`StartError`], with what is configured and what the chain answers.
    pub async fn check_asset(&self, asset: &Asset<'_>) -> Result<(), StartError> {
        let (token, answered) = (asset.address, self.options.chain_id);
        if asset.chain_id != answered {
            let configured = asset.chain_id;
            return Err(StartError::AssetChain { token, configured, answered });
        }
        let is_there = self.ask(move |node| has_code(node, token)).await;
        if !is_there.map_err(|error| StartError::Unavailable(error.to_string()))? {
            return Err(StartError::NoCode { token, answered });
        }
        self.check_domain(asset).await?;
        let answered = self.ask_token(token, Token::decimalsCall {}).await?;
        if answered != asset.decimals {
            return Err(StartError::Decimals { token, configured: asset.decimals, answered });
        }
        let state = Token::authorizationStateCall { authorizer: Contract::ZERO, nonce: B256::ZERO };
        self.ask_token(token, state).await?;
        self.tokens.know(asset);
        Ok(())
    }

    pub(super) async fn check_domain(&self, asset: &Asset<'_>) -> Result<(), StartError> {
        let token = asset.address;
        let answered = self.ask_token(token, Token::DOMAIN_SEPARATORCall {}).await?;
        let (ours, theirs) = (asset.domain().separator(), DomainSeparator::new(answered.0));
        if ours == theirs {
            return Ok(());
        }
        // Only said to help: that the domain differs is known without it.
        let node = self.nodes.turn().node();
        let name = node.read(contract(token), Token::nameCall {}, At::Latest).await.ok();
        let version = node.read(contract(token), Token::versionCall {}, At::Latest).await.ok();
        Err(StartError::Domain {
            token,
            configured: NamedDomain {
                separator: ours,
                name: Some(asset.name.to_owned()),
                version: Some(asset.version.to_owned()),
            },
            answered: NamedDomain {
                separator: theirs,
                name: name.map(|text| node.redact(&text)),
                version: version.map(|text| node.redact(&text)),
            },
        })
    }

    async fn ask_token<C: SolCall + Clone>(
        &self,
        token: Address,
        call: C,
    ) -> Result<C::Return, StartError> {
        let mut turn = self.nodes.turn();
        loop {
            match turn.node().read(contract(token), call.clone(), At::Latest).await {
                Ok(returned) => return Ok(returned),
                Err(fault @ Fault::Malformed(_)) => return Err(no_token::<C>(token, &fault)),
                Err(fault) if fault.kind() == Some(Kind::Reverted) => {
                    return Err(no_token::<C>(token, &fault));
                }
                Err(fault) if turn.passes(&fault) => {}
                Err(fault) => return Err(unavailable(fault)),
            }
        }
    }
}

/// The newest block, and how long it takes from one to the next, in seconds: by the last blocks.
async fn pace(node: &Node) -> Result<(Header, u64), Fault> {
    /// How many blocks are looked at.
    const BLOCKS: u64 = 20;
    /// Where blocks come when there is something for them, a pause says nothing.
    const LONGEST: u64 = 30;
    let head = node.known_header(At::Latest).await?;
    let blocks = head.number().min(BLOCKS);
    if blocks == 0 {
        return Ok((head, 0));
    }
    let earlier = node.known_header(At::Number(head.number().saturating_sub(blocks))).await?;
    let seconds = head.timestamp().saturating_sub(earlier.timestamp());
    Ok((head, seconds.div_ceil(blocks).min(LONGEST)))
}

fn no_token<C: SolCall>(token: Address, fault: &Fault) -> StartError {
    StartError::NoToken { token, function: C::SIGNATURE, answered: fault.to_string() }
}

#[allow(clippy::needless_pass_by_value, reason = "for map_err")]
fn unavailable(fault: Fault) -> StartError {
    StartError::Unavailable(fault.to_string())
}

fn contract(address: Address) -> Contract {
    Contract::from(*address.as_bytes())
}
