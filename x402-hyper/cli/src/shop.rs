//! What `serve` and `demo` have in common: from a configuration to a seller who is ready.

use core::time::Duration;
use std::path::Path;
use std::sync::Arc;

use x402_core::wire::Version;
use x402_core::{Address, ChainId, LogOrder, Recover, Signer as _};
use x402_hyper::facilitator::HttpFacilitator;
use x402_std::chain::{Coalesced, RpcChain, RpcOptions, RpcUrl, StartError};
use x402_std::config::{ChainConfig, Config, FacilitatorChoice, LedgerConfig, OwnedAsset, RpcText};
use x402_std::facilitator::{Entrusted, FacilitatorError};
use x402_std::ledger::{LedgerError, MemoryLedger, PostgresLedger, RedbLedger, RedisLedger};
use x402_std::secret_file;
use x402_std::seller::{OnChain, Rail, SellerOptions};
use x402_std::{Facilitator as _, Ledger, Seller, devnet};
use zeroize::Zeroizing;

use crate::exit::{Exit, Failure};
use crate::patience::{Patience, Trouble};

/// How often payments are looked after whose outcome is not known.
const RESOLVE_EVERY: Duration = Duration::from_secs(10);

/// A seller with a ledger, and the chains that it sends transactions to.
pub(crate) struct Shop {
    pub(crate) seller: Arc<Seller>,
    pub(crate) ledger: Arc<dyn Ledger>,
    pub(crate) chains: Vec<Arc<RpcChain>>,
}

impl Shop {
    /// Connects to the chains, or to the facilitator, makes sure that they are the right ones, and
    /// opens the ledger. For what cannot be reached it waits as the configuration says if `is_server`; a
    /// command that is over soon does without.
    pub(crate) async fn open(
        config: &Config,
        allow_dev_key: bool,
        is_server: bool,
    ) -> Result<Self, Failure> {
        let patience = if is_server { config.on_start.into() } else { Patience::None };
        let assets = assets_of(config);
        let options = SellerOptions {
            contract_wallets: config.contract_wallets,
            wallet_factories: config.wallet_factories.clone(),
            later: config.later.of_assets(&assets),
            recover: recover(),
            ..SellerOptions::default()
        };
        let mut chains = Vec::new();
        let main = config.chain.iter().map(|chain| (config.asset.chain_id, chain));
        for (chain_id, chain) in main.chain(config.chains.iter().map(|(id, chain)| (*id, chain))) {
            let transfer_next = transfer_next(chain_id, &assets);
            let options = RpcOptions { transfer_next, ..RpcOptions::new(chain_id) };
            let chain = connect(chain, options, allow_dev_key, patience).await?;
            check_assets(&chain, chain_id, &assets, patience).await?;
            chains.push((chain_id, Arc::new(chain)));
        }
        let rails = match &config.facilitator {
            FacilitatorChoice::Local => chains
                .iter()
                .map(|(chain_id, chain)| {
                    let timeout = chain.settle_timeout().max(options.settle_timeout);
                    let coalesced = Arc::new(Coalesced::new(Arc::clone(chain) as _));
                    let rail = OnChain::new(coalesced, timeout, options.poll);
                    (*chain_id, Arc::new(rail) as Arc<dyn Rail>)
                })
                .collect(),
            FacilitatorChoice::Remote { url, token_file, .. } => {
                let timeouts = config.routes.iter().map(|route| route.max_timeout_seconds);
                let timeouts = timeouts.collect();
                let facilitator = Arc::new(find_facilitator(url, token_file.as_deref())?);
                if is_server {
                    check_facilitator(&facilitator, &assets, patience).await?;
                }
                entrust(&facilitator, &assets, timeouts, &chains)
            }
        };
        let ledger = open_ledger(&config.ledger).await?;
        let seller = Seller::with_rails(Arc::clone(&ledger), rails, options);
        let chains = match &config.facilitator {
            FacilitatorChoice::Local => chains.into_iter().map(|(_, chain)| chain).collect(),
            // They are only looked at.
            FacilitatorChoice::Remote { .. } => Vec::new(),
        };
        Ok(Self { seller, ledger, chains })
    }

    /// Looks after payments that are under way, at once and from then on. Never ends.
    pub(crate) async fn resolve(self: Arc<Self>) {
        resolve(&self.seller).await;
    }
}

/// Looks after payments that are under way, and holds whose holders are gone, at once and from then on. Never
/// ends.
pub(crate) async fn resolve(seller: &Arc<Seller>) {
    let mut clock = tokio::time::interval(RESOLVE_EVERY);
    clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        clock.tick().await;
        match seller.watch().await {
            Ok(0) => {}
            Ok(reversed) => tracing::error!(reversed, "payments that the chain went back on"),
            Err(error) => tracing::warn!(%error, "what was settled cannot be watched"),
        }
        match seller.release_holds().await {
            Ok(released) if released.is_empty() => {}
            Ok(released) => {
                let draws = released.len();
                tracing::info!(
                    draws,
                    "what was held for work that nobody does any more is credit again"
                );
            }
            Err(error) => tracing::warn!(%error, "what is held of credit cannot be looked after"),
        }
        match seller.resolve_open().await {
            Ok(0) => {}
            Ok(open) => tracing::info!(open, "payments whose outcome is not known"),
            Err(error) => tracing::warn!(%error, "open payments cannot be looked after"),
        }
    }
}

/// Who recovers signers: libsecp256k1 where it is built in, the core otherwise.
pub(crate) fn recover() -> Arc<dyn Recover + Send + Sync> {
    #[cfg(feature = "libsecp256k1")]
    return Arc::new(x402_std::Libsecp256k1);
    #[cfg(not(feature = "libsecp256k1"))]
    Arc::new(x402_core::secp256k1::Vartime)
}

/// The tokens of all offers, each once.
pub(crate) fn assets_of(config: &Config) -> Vec<OwnedAsset> {
    let others = config.routes.iter().flat_map(|route| &route.offers).map(|offer| &offer.asset);
    let mut assets = vec![config.asset.clone()];
    for asset in others {
        if !assets.contains(asset) {
            assets.push(asset.clone());
        }
    }
    assets
}

/// Connects to a chain with the key that pays its fees.
pub(crate) async fn connect(
    chain: &ChainConfig,
    options: RpcOptions,
    allow_dev_key: bool,
    patience: Patience,
) -> Result<RpcChain, Failure> {
    let parse = |url: &RpcText| RpcUrl::parse(url.expose()).map_err(Failure::usage);
    let url = parse(&chain.rpc)?;
    let others: Vec<_> = chain.other_rpcs.iter().map(parse).collect::<Result<_, _>>()?;
    let key = chain.key.load().map_err(|error| {
        Failure::usage(error).help("name a key file in chain.key_file, or set X402_KEY")
    })?;
    let signer = key.signer().map_err(Failure::usage)?;
    if !allow_dev_key && ![&url].into_iter().chain(&others).all(|url| url.is_loopback()) {
        refuse_dev_key(signer.address())?;
    }
    let options = RpcOptions {
        confirmations: chain.confirmations,
        finality: chain.finality.unwrap_or(options.finality),
        log_range: chain.log_range.unwrap_or(options.log_range),
        max_fee_per_gas: chain.costs.max_fee_per_gas.unwrap_or(options.max_fee_per_gas),
        max_gas_cost: chain.costs.gas_cost_or(options.max_gas_cost),
        ..options
    };
    let node = format!("the node of {}", options.chain_id);
    let connect = async || {
        let (url, others) = (url.clone(), others.clone());
        let chain = RpcChain::connect_to(url, others, signer.clone(), options.clone());
        chain.await.map_err(|error| start(&error))
    };
    patience.wait(&node, connect).await
}

/// The tokens of a chain whose logs are in a known order, by the file or by the table.
pub(crate) fn transfer_next(chain_id: ChainId, assets: &[OwnedAsset]) -> Vec<Address> {
    let is_known = |asset: &&OwnedAsset| {
        asset.chain_id == chain_id && asset.log_order == LogOrder::TransferNext
    };
    assets.iter().filter(is_known).map(|asset| asset.address).collect()
}

/// Makes sure that the tokens are on the chain as they are configured.
pub(crate) async fn check_assets(
    chain: &RpcChain,
    chain_id: ChainId,
    assets: &[OwnedAsset],
    patience: Patience,
) -> Result<(), Failure> {
    let node = format!("the node of {chain_id}");
    for asset in assets.iter().filter(|asset| asset.chain_id == chain_id) {
        let asset = asset.as_asset();
        let check = async || chain.check_asset(&asset).await.map_err(|error| start(&error));
        patience.wait(&node, check).await?;
    }
    Ok(())
}

fn find_facilitator(url: &str, token_file: Option<&Path>) -> Result<HttpFacilitator, Failure> {
    let token = token_file.map(read_token).transpose()?;
    let token = token.as_ref().map(|token| token.as_str());
    HttpFacilitator::new(url, token).map_err(Failure::usage)
}

/// Makes sure that the facilitator is there, and says where it does not settle what is sold.
async fn check_facilitator(
    facilitator: &HttpFacilitator,
    assets: &[OwnedAsset],
    patience: Patience,
) -> Result<(), Failure> {
    let ask = async || match facilitator.supported().await {
        Err(error @ FacilitatorError::Unavailable(_)) => Err(Trouble::Away(
            Failure::failed(error).help("is the facilitator running, and facilitator.url right?"),
        )),
        answer => Ok(answer),
    };
    match patience.wait("the facilitator", ask).await? {
        Ok(supported) => {
            for asset in assets {
                let network = asset.chain_id.to_string();
                if supported.find(Version::V2, "exact", &network).is_none() {
                    tracing::warn!(network, "the facilitator does not say that it settles there");
                }
            }
        }
        Err(error) => tracing::warn!(%error, "the facilitator does not say what it settles"),
    }
    Ok(())
}

/// Rails by way of a facilitator, one for each chain.
fn entrust(
    facilitator: &Arc<HttpFacilitator>,
    assets: &[OwnedAsset],
    timeouts: Vec<u32>,
    chains: &[(ChainId, Arc<RpcChain>)],
) -> Vec<(ChainId, Arc<dyn Rail>)> {
    let mut rails: Vec<(ChainId, Arc<dyn Rail>)> = Vec::new();
    for asset in assets {
        if rails.iter().any(|(known, _)| *known == asset.chain_id) {
            continue;
        }
        let rail = Entrusted::new(Arc::clone(facilitator) as _, assets.to_vec());
        let rail = rail.with_timeouts(timeouts.clone());
        let chain = chains.iter().find(|(known, _)| *known == asset.chain_id);
        let rail = match chain {
            Some((_, chain)) => rail.confirmed_by(Arc::clone(chain) as _),
            None => rail,
        };
        rails.push((asset.chain_id, Arc::new(rail)));
    }
    rails
}

/// The bearer token in a file: one line.
fn read_token(path: &Path) -> Result<Zeroizing<String>, Failure> {
    /// No server takes a longer header field.
    const MOST: usize = 4096;
    let text = read_secret(path, MOST)?;
    let token = text.trim();
    if token.len() < 16 || !token.bytes().all(|b| b.is_ascii_graphic()) {
        let error = "the token is shorter than 16 letters, or has others than those of ASCII";
        let failure = Failure::usage(error).at_file(path);
        return Err(failure.help("make one: openssl rand -hex 32"));
    }
    Ok(Zeroizing::new(token.to_owned()))
}

/// The text of a file with tokens.
pub(crate) fn read_secret(path: &Path, most: usize) -> Result<Zeroizing<String>, Failure> {
    let bytes = secret_file::read(path, most).map_err(|error| {
        Failure::usage(error).help("name the file of the token in token_file, and not the token")
    })?;
    let text = core::str::from_utf8(&bytes).map_err(|_| {
        Failure::usage("the file of the token is no text")
            .at_file(path)
            .help("make one: openssl rand -hex 32")
    })?;
    Ok(Zeroizing::new(text.to_owned()))
}

/// Everybody knows the keys of the development mnemonic, and some take what is sent there at once.
fn refuse_dev_key(address: Address) -> Result<(), Failure> {
    if !devnet::accounts().contains(address.as_bytes()) {
        return Ok(());
    }
    Err(Failure::usage("the key that pays the gas is one of the public development keys")
        .at(format!("account {address}, on a chain that is not on this machine"))
        .help("use a key of your own; or, on a test chain that nobody else uses, --allow-dev-key"))
}

fn start(error: &StartError) -> Trouble {
    Trouble::Wrong(match error {
        StartError::Unavailable(_) => {
            let failure = Failure::failed(error);
            return Trouble::Away(failure.help("is the node running, and chain.rpc right?"));
        }
        StartError::ChainId { .. } => {
            Failure::usage(error).help("change network, or the node in chain.rpc")
        }
        StartError::PlainHttp => Failure::usage(error),
        StartError::Tls => Failure::failed(error),
        _ => {
            Failure::usage(error).help("signatures for this asset would not be taken on this chain")
        }
    })
}

pub(crate) async fn open_ledger(config: &LedgerConfig) -> Result<Arc<dyn Ledger>, Failure> {
    match config {
        LedgerConfig::Memory => Ok(Arc::new(MemoryLedger::new())),
        LedgerConfig::File(path) => match RedbLedger::open(path) {
            Ok(ledger) => Ok(Arc::new(ledger)),
            Err(error) => Err(Failure::new(Exit::Failed, error).at_file(path).help(
                "a ledger belongs to one process; name another file in ledger, or stop the other",
            )),
        },
        LedgerConfig::Postgres(url) => match PostgresLedger::connect(url.expose()).await {
            Ok(ledger) => Ok(Arc::new(ledger)),
            Err(error) => Err(no_server(error)),
        },
        LedgerConfig::Redis(url) => match RedisLedger::connect(url.expose()).await {
            Ok(ledger) => Ok(Arc::new(ledger)),
            Err(error) => Err(no_server(error)),
        },
    }
}

/// The error does not hold the URL.
fn no_server(error: LedgerError) -> Failure {
    Failure::failed(error).help("is the server running, and the URL in ledger right?")
}
