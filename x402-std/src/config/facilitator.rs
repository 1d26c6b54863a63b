use core::net::SocketAddr;
use core::time::Duration;
use std::path::Path;

use serde_saphyr::Spanned;
use x402_core::{Address, ChainId};

use super::asset::check_asset;
use super::check::{
    Depth, Layers, check_bool, check_factories, check_ledger, check_listen, check_network,
    check_node, urls_of,
};
use super::costs::check_costs;
use super::error::{Origin, Problem};
use super::later::check_batch;
use super::limits::{check_body_time, check_seats};
use super::raw::{RawServed, RawService, Text};
use super::start::check_start;
use super::{
    ChainConfig, ConfigError, KeySource, LedgerConfig, OnStart, Overrides, OwnedAsset, SeatLimits,
    parse_raw, read,
};
use crate::facilitator::Kind;
use crate::secret_file::SecretPath;

/// A facilitator's configuration, checked.
///
/// ```yaml
/// listen: 127.0.0.1:4022
/// ledger: ./facilitator.redb
/// max_batch: 100
/// on_start: wait        # or exit, while a node cannot be reached
/// chains:
///   - network: base-sepolia
///     rpc: http://127.0.0.1:8545
///     key_file: ./settler.key
///     assets: [USDC]
///     kinds: [exact, permit2, upto]
///     max_gas_cost: 0.0005
/// ```
#[derive(Debug)]
pub struct FacilitatorConfig {
    /// Where the service listens.
    pub listen: SocketAddr,
    /// Where payments are recorded.
    pub ledger: LedgerConfig,
    /// The file with the bearer tokens that callers need: one token, or `NAME TOKEN` in each line, for each
    /// seller one or more; there has to be one where others than this machine can call.
    pub token_file: Option<SecretPath>,
    /// Whether payers may be contracts: not unless the file says so. What a contract says when a payment is
    /// tried, it need not say when the transaction is mined, which costs its gas all the same.
    pub contract_wallets: bool,
    /// Who may deploy payers' wallets (ERC-6492).
    pub wallet_factories: Vec<Address>,
    /// How many payments one transaction settles at most, of those that come at the same time; with one,
    /// each has a transaction of its own.
    pub max_batch: usize,
    /// How long a request's body may take; `None` for what is usual. The key is `body_time`, in seconds.
    pub body_time: Option<Duration>,
    /// How many connections are open at once (`connections`), and from where many may come
    /// (`trusted_proxies`).
    pub seats: SeatLimits,
    /// What is done while a node cannot be reached when the facilitator starts.
    pub on_start: OnStart,
    /// What is settled.
    pub chains: Vec<ServedConfig>,
}

/// A chain that a facilitator settles on.
#[derive(Debug)]
pub struct ServedConfig {
    /// The chain.
    pub chain_id: ChainId,
    /// How it is reached, and who pays its fees.
    pub chain: ChainConfig,
    /// The tokens that are settled.
    pub assets: Vec<OwnedAsset>,
    /// By which schemes and methods.
    pub kinds: Vec<Kind>,
}

impl FacilitatorConfig {
    /// Reads the file. Relative paths start from its folder; nothing is opened but the file.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] with the first thing that is wrong.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let name = path.display().to_string();
        let text = read(path).map_err(|problem| ConfigError::new(problem, &name, ""))?;
        Self::parse(&text, &name)
    }

    /// As [`Self::load`], with the text of the file; `file_name` is for errors and relative paths.
    ///
    /// # Errors
    ///
    /// As [`Self::load`].
    pub fn parse(text: &str, file_name: &str) -> Result<Self, ConfigError> {
        let folder = Path::new(file_name).parent().unwrap_or(Path::new(""));
        let overrides = Overrides::default();
        let layers = Layers { env: &|_| None, overrides: &overrides, folder };
        let config = parse_raw(text).and_then(|raw| check(raw, &layers));
        config.map_err(|problem| ConfigError::new(problem, file_name, text))
    }
}

fn check(raw: RawService, layers: &Layers<'_>) -> Result<FacilitatorConfig, Problem> {
    let missing = |key: &str, example: &str| {
        let message = format!("`{key}` is missing or empty");
        Problem::new(Origin::Whole, message, format!("add `{key}: {example}`"))
    };
    let listen = raw.listen.ok_or_else(|| missing("listen", "127.0.0.1:4022"))?;
    let origin = Origin::of(&listen);
    let listen = check_listen(&listen.into())?;
    let ledger = raw.ledger.ok_or_else(|| missing("ledger", "./facilitator.redb"))?;
    let ledger = check_ledger(layers, &ledger.into())?;
    let token_file = raw.token_file.map(|file| layers.path(&file.into()).into());
    if token_file.is_none() && !listen.ip().is_loopback() {
        let message = "others than this machine could have payments settled at your expense";
        let help = "add `token_file: ./token`, a file with the bearer token that callers need";
        return Err(Problem::new(origin, message, help));
    }
    let contract_wallets = raw.contract_wallets.as_ref().map_or(Ok(false), check_bool)?;
    let wallet_factories = check_factories(raw.wallet_factories, contract_wallets)?;
    let max_batch = check_batch(raw.max_batch.as_ref())?;
    let body_time = check_body_time(raw.body_time.as_ref())?;
    let seats = check_seats(raw.connections.as_ref(), raw.trusted_proxies.as_deref())?;
    let on_start = check_start(raw.on_start.as_ref())?;
    let chains = raw.chains.filter(|chains| !chains.is_empty());
    let raw_chains = chains.ok_or_else(|| missing("chains", "[{network: base, …}]"))?;
    let chains = raw_chains.iter().map(|chain| check_served(layers, chain));
    let chains: Vec<ServedConfig> = chains.collect::<Result<_, _>>()?;
    for (index, (chain, raw)) in chains.iter().zip(&raw_chains).enumerate() {
        if chains.iter().take(index).any(|earlier| earlier.chain_id == chain.chain_id) {
            let message = format!("the chain {} is given twice", chain.chain_id);
            return Err(Problem::new(Origin::of(raw), message, "put its assets into one list"));
        }
    }
    Ok(FacilitatorConfig {
        listen,
        ledger,
        token_file,
        contract_wallets,
        wallet_factories,
        max_batch,
        body_time,
        seats,
        on_start,
        chains,
    })
}

fn check_served(layers: &Layers<'_>, raw: &Spanned<RawServed>) -> Result<ServedConfig, Problem> {
    let served = &raw.value;
    let chain_id = check_network(&served.network.clone().into())?;
    let key = KeySource::File(layers.path(&served.key_file.clone().into()).into());
    let depth = Depth { confirmations: &served.confirmations, finality: &served.finality };
    let urls = urls_of(served.rpc.clone())?;
    let costs = check_costs(served.max_fee_per_gas.as_ref(), served.max_gas_cost.as_ref())?;
    let chain = check_node(urls, key, &depth, served.log_range.as_ref(), costs)?;
    if served.assets.is_empty() {
        let help = "add those that are settled: `assets: [USDC]`";
        return Err(Problem::new(Origin::of(raw), "the list of assets is empty", help));
    }
    let assets = served.assets.iter();
    let assets = assets.map(|asset| check_asset(chain_id, &asset.value, Origin::of(asset)));
    let assets: Vec<_> = assets.collect::<Result<_, _>>()?;
    let kinds = served.kinds.as_ref().map(|kinds| kinds.iter().map(check_kind).collect());
    let kinds: Vec<_> = kinds.unwrap_or(Ok(vec![Kind::Eip3009]))?;
    if kinds.is_empty() {
        let help = "add those that are settled: `kinds: [exact]`";
        return Err(Problem::new(Origin::of(raw), "the list of kinds is empty", help));
    }
    Ok(ServedConfig { chain_id, chain, assets, kinds })
}

fn check_kind(text: &Text) -> Result<Kind, Problem> {
    match text.value.as_str() {
        "exact" => Ok(Kind::Eip3009),
        "permit2" => Ok(Kind::Permit2),
        "upto" => Ok(Kind::Upto),
        other => {
            let known = ["exact", "permit2", "upto"];
            Err(Problem::unknown(Origin::of(text), "kind", other, &known))
        }
    }
}
