/*!
The seller's file: what is sold, for how much, to whom the money goes, and on which chain.

```yaml
listen: 127.0.0.1:4021
upstream: http://127.0.0.1:3000
pay_to: "0x209693Bc6afc0C5328bA36FaF03C514EF312287C"
network: ethereum
asset: USDC
chain: {rpc: "http://127.0.0.1:8545", key_file: ./settler.key}
ledger: ./x402.redb
routes:
  - path: /api/analyze
    methods: [POST]
    settle: first
    pricing: {model: "per_request", amount: "0.01", currency: "USDC"}
  - {path: /health, pricing: free}
default: not_found
```

`chain` also takes `confirmations`, `finality` and `log_range`, numbers of blocks, and its `rpc` may be a
list: the nodes are asked in that order, each where those before it do not answer or are behind. What
settling costs is bounded by `max_fee_per_gas`, in gwei, and `max_gas_cost`, for one payment, in the chain's coin.

`upstream` also takes a map, `{url: "http://127.0.0.1:3000", keepalive: always}`: its connections are then
kept after requests with a body too, for an upstream that reads every body to its end before it takes the next
request. An upstream of the environment or of a flag has no such word.

`idempotent: true` of a route says that its upstream heeds `Idempotency-Key`: what has one may go out twice.
`on_start` says what is done while a node or the facilitator cannot be reached at the start: `wait` until they
can (the default), or `exit`.

A file that holds a secret (`key_file`, `secret_file`, `token_file`) is a regular one that only its owner may
read; see [`crate::secret_file::read`].

`credit_expires`, in seconds, ends the name of a payer's balance so long after it was told: the balance is
kept, and owed as before. Without it a name is good until it is replaced.

What the gateway puts up with has keys of its own, of the file and of its routes: [`Limits`].
`cors: {origins, credentials, headers, expose}` says whose pages may buy in a browser ([`CorsConfig`]):
anybody's, unless `origins` lists them. With `cors: off` the gateway says nothing of it.

The file comes first, the environment (`X402_LISTEN`, `X402_RPC`, …) replaces what it says, and
[`Overrides`], which are a program's flags, replace both. Every key is checked; an error names the
file, the line and the column, what is wrong there, and what to write instead. No error, and nothing
that is shown of a [`Config`], holds a key, the URL of the node, or that of the ledger.
*/

mod asset;
mod check;
mod cors;
mod costs;
mod error;
mod facilitator;
mod key_source;
mod later;
mod limits;
mod pricing;
mod raw;
mod route;
mod routes;
mod snippet;
mod sold;
mod start;
mod tariff;
#[cfg(test)]
mod tests;
mod upstream;
mod urls;
mod usage;
mod validity;

use core::fmt;
use core::net::SocketAddr;
use core::time::Duration;
use std::path::{Path, PathBuf};

use serde_saphyr::budget::Budget;

use x402_core::{Address, Asset, ChainId, LogOrder, Price, TransferMethod};
use zeroize::Zeroizing;

use crate::key::{KeyError, SecretKey};
use crate::port;
use crate::quote::{TokenKey, TokenKeys};
use crate::secret_file::{SecretPath, is_like_key};
use check::{Layers, check};
use error::{Origin, Problem};
use raw::RawConfig;

pub use cors::{CorsConfig, CorsOrigins};
pub use costs::Costs;
pub use error::ConfigError;
pub use facilitator::{FacilitatorConfig, ServedConfig};
pub use key_source::KeySource;
pub use limits::{Limits, RequestLimits, SeatLimits};
pub use route::{IdentifierRule, PathPattern, Route, RouteOffer, is_listed};
pub use sold::{OwnedTariff, Pricing, Sold, TokenRules, Upto};

/// A seller's configuration, checked.
#[derive(Debug)]
pub struct Config {
    /// Where the gateway listens.
    pub listen: SocketAddr,
    /// What it stands before.
    pub upstream: Upstream,
    /// Who is paid.
    pub pay_to: Address,
    /// What is paid with, and on which chain.
    pub asset: OwnedAsset,
    /// How the chain is reached, and who pays its fees; `None` where a facilitator does it all.
    pub chain: Option<ChainConfig>,
    /// The other chains that is paid on, for the offers that are on them.
    pub chains: Vec<(ChainId, ChainConfig)>,
    /// Who moves the money.
    pub facilitator: FacilitatorChoice,
    /// Whether payers may be contracts.
    pub contract_wallets: bool,
    /// Who may deploy payers' wallets (ERC-6492).
    pub wallet_factories: Vec<Address>,
    /// What the URLs of what is sold begin with, without a slash at the end.
    pub public_url: Option<String>,
    /// Where payments are recorded.
    pub ledger: LedgerConfig,
    /// Where the secret is that the key is made of which signs quotes, passes and the names of balances, and
    /// perhaps the secret before it; `None` for a key made of the one that pays the fees.
    pub secret: Option<KeySource>,
    /// What the gateway is called: what it signs is good at those of the same name, and of the same key.
    pub name: Option<String>,
    /// For how long the name of a balance is good, from its making; `None` for as long as it is not replaced.
    pub credit_expires: Option<Duration>,
    /// How payments are settled whose answers are given before.
    pub later: LaterConfig,
    /// What the gateway puts up with.
    pub limits: Limits,
    /// Where the gateway's metrics can be read, if anywhere.
    pub metrics: Option<SocketAddr>,
    /// What is said to browsers of what has a price; `None` where that is left to others.
    pub cors: Option<CorsConfig>,
    /// What is done while a node or the facilitator cannot be reached when the gateway starts.
    pub on_start: OnStart,
    /// What is sold: the first route that matches a request decides.
    pub routes: Vec<Route>,
    /// What becomes of a request that no route matches.
    pub default: DefaultRoute,
}

/// The server that does the work that is sold, reached by plain HTTP.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Upstream {
    /// Its host and, unless that is 80, port: `127.0.0.1:3000`.
    pub authority: String,
    /// What every path begins with there, without a slash at the end; empty for nothing.
    pub base_path: String,
    /// After which requests a connection is kept for the next one.
    pub keepalive: Keepalive,
}

/// After which requests a connection to the upstream is kept for the next one.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Keepalive {
    /// Those without a body: what an upstream leaves unread of one, it takes for the next request.
    #[default]
    WithoutBody,
    /// All: the upstream reads every body to its end.
    Always,
}

/// How the chain is reached, and who pays its fees.
#[derive(Debug)]
pub struct ChainConfig {
    /// The node's JSON-RPC URL.
    pub rpc: RpcText,
    /// Those of other nodes of the same chain, in the order in which they are asked where the one before
    /// does not answer, or is behind.
    pub other_rpcs: Vec<RpcText>,
    /// Where the key is that signs the settling transactions.
    pub key: KeySource,
    /// In how many blocks, its own counted, a transaction must be before it is believed.
    pub confirmations: u64,
    /// So many blocks below the newest the chain does not go back any more, where the node does not say
    /// which block is final; `None` for what suits a public chain.
    pub finality: Option<u64>,
    /// How many blocks are searched for a log in one call, at most; `None` for what suits most nodes.
    pub log_range: Option<u64>,
    /// What settling may cost there.
    pub costs: Costs,
}

/// Who moves the money of the payments.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum FacilitatorChoice {
    /// The seller, by transactions of its own.
    Local,
    /// A facilitator somewhere else.
    Remote {
        /// Its base URL: what `/verify` and `/settle` are below.
        url: String,
        /// The file with the bearer token that it wants.
        token_file: Option<SecretPath>,
        /// Whether what it says is looked up on the chain.
        confirm: bool,
    },
}

/// A node's URL, which may hold a key of its provider and is never shown.
#[derive(Clone)]
pub struct RpcText(Zeroizing<String>);

impl Config {
    /// What the gateway is called: its name, or what its URLs begin with; `None` where neither is
    /// configured, and it is its ledger that sets it apart from others.
    #[must_use]
    pub fn gateway_name(&self) -> Option<&str> {
        self.name.as_deref().or(self.public_url.as_deref())
    }

    /// The keys of the gateway of that name, that sign quotes, passes and the names of balances: made of the
    /// secret, and of the one before it, or of the key that pays the fees; `None` where there is neither.
    ///
    /// # Errors
    ///
    /// [`KeyError`] where the secret cannot be read.
    pub fn token_keys(&self, name: &str) -> Result<Option<TokenKeys>, KeyError> {
        let (secret, previous) = match (&self.secret, &self.chain) {
            (Some(secret), _) => secret.load_two()?,
            (None, Some(chain)) => (chain.key.load()?, None),
            (None, None) => return Ok(None),
        };
        // They are longer than a secret has to be.
        let derive = |secret: &SecretKey| TokenKey::derive(secret.expose()).ok();
        let previous = previous.as_ref().and_then(derive);
        Ok(derive(&secret).map(|key| TokenKeys::new(name, &key, previous.as_ref())))
    }
}

/// Where payments are recorded.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum LedgerConfig {
    /// One file.
    File(PathBuf),
    /// Memory: forgotten when the program ends.
    Memory,
    /// A database of PostgreSQL, for several processes.
    Postgres(LedgerUrl),
    /// Redis, for several processes.
    Redis(LedgerUrl),
}

impl LedgerConfig {
    /// The ledger of this name, as a configuration file would have it: a file (from where the process
    /// is), `memory`, or a database's URL. `None` for what is none of these.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let url = || LedgerUrl(text.to_owned().into());
        match text.split_once("://") {
            // A file of that name would be made.
            None if text.is_empty() || is_like_key(text) => None,
            None if text == "memory" => Some(Self::Memory),
            None => Some(Self::File(text.into())),
            Some(_) if !port::is_sound_of_database(text) => None,
            Some(("postgres" | "postgresql", _)) => Some(Self::Postgres(url())),
            Some(("redis" | "rediss", _)) => Some(Self::Redis(url())),
            Some(_) => None,
        }
    }
}

/// A database's URL, which may hold a password and is never shown.
#[derive(Clone, Eq, PartialEq)]
pub struct LedgerUrl(Zeroizing<String>);

/// How payments are settled whose answers are given before ([`Settle::Later`](crate::ledger::Settle::Later)).
#[derive(Clone, Copy, Debug)]
pub struct LaterConfig {
    /// How many payments one transaction settles at most.
    pub max_batch: usize,
    /// How long a payment waits for others.
    pub max_delay: Duration,
    /// How much one payer may owe, in units of each asset.
    pub max_owed: Price,
}

/// What a program does that starts while a node or the facilitator cannot be reached. What they say otherwise
/// than is configured ends it either way.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum OnStart {
    /// It ends.
    Exit,
    /// It waits until they are there, says so, and does not listen until then.
    Wait,
}

/// What becomes of a request that no route matches.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum DefaultRoute {
    /// It is passed on, unpaid.
    Free,
    /// It is answered with 404.
    NotFound,
}

/// A token on a chain, as [`Asset`], with texts of its own.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct OwnedAsset {
    /// The chain the token lives on.
    pub chain_id: ChainId,
    /// What people call it.
    pub symbol: String,
    /// The token's contract.
    pub address: Address,
    /// The `name` of its EIP-712 domain.
    pub name: String,
    /// The `version` of its EIP-712 domain.
    pub version: String,
    /// How many digits of an amount are behind the decimal point.
    pub decimals: u8,
    /// In which order its logs are.
    pub log_order: LogOrder,
}

/// What flags replace, above the environment and the file. Texts are read as the file's are;
/// relative paths are the process's, not the file's.
#[derive(Clone, Default)]
pub struct Overrides {
    /// [`Config::listen`]
    pub listen: Option<String>,
    /// [`Config::upstream`]
    pub upstream: Option<String>,
    /// [`Config::pay_to`]
    pub pay_to: Option<String>,
    /// The network's name.
    pub network: Option<String>,
    /// The asset's symbol.
    pub asset: Option<String>,
    /// [`ChainConfig::rpc`]
    pub rpc: Option<String>,
    /// [`KeySource::File`]
    pub key_file: Option<String>,
    /// [`Config::ledger`]
    pub ledger: Option<String>,
}

/// How many bytes a file may have: a thousand routes are a tenth of it.
const MAX_BYTES: u64 = 1 << 20;

impl Config {
    /// Reads the file, and what the environment and the flags put in its place.
    ///
    /// `env` looks a variable up; one that is empty counts as not set. They are `X402_LISTEN`,
    /// `X402_UPSTREAM`, `X402_PAY_TO`, `X402_NETWORK`, `X402_ASSET` (a symbol), `X402_RPC`,
    /// `X402_KEY` (the key itself), `X402_KEY_FILE`, `X402_LEDGER`, `X402_SECRET` (the secret itself),
    /// `X402_SECRET_FILE` and `X402_NAME`. Relative paths in the file
    /// start from its folder. Nothing is opened but the file.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] with the first thing that is wrong.
    pub fn load(
        path: &Path,
        env: impl Fn(&str) -> Option<String>,
        overrides: &Overrides,
    ) -> Result<Self, ConfigError> {
        let name = path.display().to_string();
        let text = read(path).map_err(|problem| ConfigError::new(problem, &name, ""))?;
        Self::parse(&text, &name, env, overrides)
    }

    /// As [`Self::load`], with the text of the file; `file_name` is for errors and relative paths.
    ///
    /// # Errors
    ///
    /// As [`Self::load`].
    pub fn parse(
        text: &str,
        file_name: &str,
        env: impl Fn(&str) -> Option<String>,
        overrides: &Overrides,
    ) -> Result<Self, ConfigError> {
        let folder = Path::new(file_name).parent().unwrap_or(Path::new(""));
        let layers = Layers { env: &env, overrides, folder };
        let config = parse_raw::<RawConfig>(text).and_then(|raw| check(raw, &layers));
        config.map_err(|problem| ConfigError::new(problem, file_name, text))
    }
}

impl Config {
    /// The route that decides about a request of this method and path (without query): the first whose
    /// path matches, or one with the very same path for other methods. `HEAD` is as `GET`.
    #[must_use]
    pub fn route(&self, method: &str, path: &str) -> Option<&Route> {
        let decisive = self.routes.iter().find(|route| route.path.matches(path))?;
        let mut same = self.routes.iter().filter(|route| route.path == decisive.path);
        same.find(|route| is_listed(&route.methods, method))
    }
}

fn read(path: &Path) -> Result<Zeroizing<String>, Problem> {
    use std::io::Read as _;
    let unreadable = |error: std::io::Error| {
        let message = format!("the file cannot be read: {error}");
        Problem::new(Origin::Whole, message, "name the file with --config FILE")
    };
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let mut text = Zeroizing::new(String::new());
    file.take(MAX_BYTES + 1).read_to_string(&mut text).map_err(unreadable)?;
    if text.len() as u64 > MAX_BYTES {
        return Err(Problem::new(Origin::Whole, "the file is larger than 1 MiB", "see its name"));
    }
    Ok(text)
}

fn parse_raw<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, Problem> {
    let mut budget = Budget::default();
    // Enough for every file of the permitted size that is no attack by aliases.
    (budget.max_depth, budget.max_nodes) = (16, 200_000);
    let mut options = serde_saphyr::Options::default();
    options.budget = Some(budget);
    options.alias_limits.max_total_replayed_events = 10_000;
    serde_saphyr::from_str_with_options(text, options).map_err(|error| Problem::from(&error))
}

impl fmt::Debug for Overrides {
    /// Which there are, not what they say: the URLs of the node and of the ledger are among them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { listen, upstream, pay_to, network, asset, rpc, key_file, ledger } = self;
        let all = [
            ("listen", listen),
            ("upstream", upstream),
            ("pay_to", pay_to),
            ("network", network),
            ("asset", asset),
            ("rpc", rpc),
            ("key_file", key_file),
            ("ledger", ledger),
        ];
        f.write_str("Overrides")?;
        f.debug_set()
            .entries(all.iter().filter(|(_, v)| v.is_some()).map(|(name, _)| name))
            .finish()
    }
}

impl RpcText {
    /// The URL itself, for the one who connects.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for RpcText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RpcText(..)")
    }
}

impl LedgerUrl {
    /// The URL itself, for the one who connects.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for LedgerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LedgerUrl(..)")
    }
}

impl OwnedAsset {
    /// The asset as the core takes it.
    #[must_use]
    pub fn as_asset(&self) -> Asset<'_> {
        Asset {
            chain_id: self.chain_id,
            symbol: &self.symbol,
            address: self.address,
            name: &self.name,
            version: &self.version,
            decimals: self.decimals,
            transfer_method: TransferMethod::Eip3009,
            log_order: self.log_order,
        }
    }
}

impl From<&Asset<'_>> for OwnedAsset {
    fn from(asset: &Asset<'_>) -> Self {
        Self {
            chain_id: asset.chain_id,
            symbol: asset.symbol.to_owned(),
            address: asset.address,
            name: asset.name.to_owned(),
            version: asset.version.to_owned(),
            decimals: asset.decimals,
            log_order: asset.log_order,
        }
    }
}
