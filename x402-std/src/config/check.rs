//! From texts to what they mean, one member of the file after the other.

use core::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde_saphyr::Spanned;
use x402_core::{Address, Asset, ChainId};
use zeroize::Zeroizing;

use super::asset::{check_asset, find_asset};
use super::cors::check_cors;
use super::costs::{Costs, check_costs};
use super::error::{Origin, Problem};
use super::later::{check_credit_expires, check_later};
use super::limits::check_limits;
use super::raw::{RawChain, RawConfig, RawOtherChain, RawUrls, Text};
use super::routes::{Common, check_routes};
use super::snippet::quote;
use super::start::check_start;
use super::upstream::{check_upstream, check_url, refuse_public};
use super::urls::{PORT_HELP, check_facilitator, check_public_url};
use super::{
    ChainConfig, Config, DefaultRoute, FacilitatorChoice, KeySource, LedgerConfig, LedgerUrl,
    Overrides, OwnedAsset, Route, RpcText,
};
use crate::port;
use crate::secret_file::is_like_key;

/// What is read besides the file.
pub(super) struct Layers<'a> {
    pub(super) env: &'a dyn Fn(&str) -> Option<String>,
    pub(super) overrides: &'a Overrides,
    /// What relative paths of the file start from.
    pub(super) folder: &'a Path,
}

/// A text, and which layer it is of.
pub(super) struct Value {
    pub(super) text: Zeroizing<String>,
    pub(super) origin: Origin,
}

/// How a member is called in each layer.
struct Member {
    key: &'static str,
    variable: &'static str,
    flag: &'static str,
    example: &'static str,
}

const fn member(
    key: &'static str,
    variable: &'static str,
    flag: &'static str,
    example: &'static str,
) -> Member {
    Member { key, variable, flag, example }
}

const LISTEN: Member = member("listen", "X402_LISTEN", "--listen", "127.0.0.1:4021");
const UPSTREAM: Member = member("upstream", "X402_UPSTREAM", "--upstream", "http://127.0.0.1:3000");
const PAY_TO: Member = member("pay_to", "X402_PAY_TO", "--pay-to", "\"0x…\"");
const NETWORK: Member = member("network", "X402_NETWORK", "--network", "ethereum");
const ASSET: Member = member("asset", "X402_ASSET", "--asset", "USDC");
const RPC: Member =
    member("chain.rpc", "X402_RPC", "--rpc", "{rpc: \"http://127.0.0.1:8545\", key_file: …}");
const KEY_FILE: Member =
    member("chain.key_file", "X402_KEY_FILE", "--key-file", "{rpc: …, key_file: ./settler.key}");
const LEDGER: Member = member("ledger", "X402_LEDGER", "--ledger", "./x402.redb");
const KEY_VARIABLE: &str = "X402_KEY";
const SECRET_FILE: Member =
    member("secret_file", "X402_SECRET_FILE", "--secret-file", "./x402.secret");
const SECRET_VARIABLE: &str = "X402_SECRET";
const NAME: Member = member("name", "X402_NAME", "--name", "shop.example");

impl Layers<'_> {
    /// The variable's value; one that is empty is as good as none.
    fn variable(&self, name: &str) -> Option<Zeroizing<String>> {
        (self.env)(name).map(Zeroizing::new).filter(|text| !text.is_empty())
    }

    /// The uppermost layer that has the member.
    fn above(&self, member: &Member, flag: Option<&str>) -> Option<Value> {
        if let Some(text) = flag {
            let origin = Origin::Flag(member.flag);
            return Some(Value { text: text.to_owned().into(), origin });
        }
        let origin = Origin::Variable(member.variable);
        self.variable(member.variable).map(|text| Value { text, origin })
    }

    fn pick(&self, member: &Member, flag: Option<&str>, file: Option<Text>) -> Option<Value> {
        self.above(member, flag).or_else(|| file.map(Value::from))
    }

    fn require(
        &self,
        member: &Member,
        flag: Option<&str>,
        file: Option<Text>,
    ) -> Result<Value, Problem> {
        self.pick(member, flag, file).ok_or_else(|| missing(member))
    }

    /// A path of the file starts from the file's folder, one of another layer where the process is.
    pub(super) fn path(&self, value: &Value) -> PathBuf {
        match value.origin {
            Origin::File { .. } | Origin::Whole => self.folder.join(&*value.text),
            Origin::Variable(_) | Origin::Flag(_) => PathBuf::from(&*value.text),
        }
    }
}

impl From<Text> for Value {
    fn from(text: Text) -> Self {
        Self { origin: Origin::of(&text), text: text.value.into() }
    }
}

impl Value {
    fn problem(&self, message: impl Into<String>, help: impl Into<String>) -> Problem {
        Problem::new(self.origin, message, help)
    }
}

fn missing(member: &Member) -> Problem {
    let key = member.key.split('.').next().unwrap_or_default();
    let help = format!("add `{key}: {}`, or set {}", member.example, member.variable);
    Problem::new(Origin::Whole, format!("`{}` is missing or empty", member.key), help)
}

pub(super) fn check(raw: RawConfig, layers: &Layers<'_>) -> Result<Config, Problem> {
    let flags = layers.overrides;
    let limits = check_limits(&raw)?;
    let listen = check_listen(&layers.require(&LISTEN, flags.listen.as_deref(), raw.listen)?)?;
    let (at, upstream) = match (layers.above(&UPSTREAM, flags.upstream.as_deref()), raw.upstream) {
        (Some(url), _) => (url.origin, check_url(&url.text, url.origin, listen)?),
        (None, Some(raw)) => (Origin::of(&raw), check_upstream(raw, listen)?),
        (None, None) => return Err(missing(&UPSTREAM)),
    };
    let pay_to = layers.require(&PAY_TO, flags.pay_to.as_deref(), raw.pay_to)?;
    let network = layers.require(&NETWORK, flags.network.as_deref(), raw.network)?;
    let chain_id = check_network(&network)?;
    let asset = match (layers.above(&ASSET, flags.asset.as_deref()), raw.asset) {
        (Some(symbol), _) => find_asset(chain_id, &symbol.text, symbol.origin)?,
        (None, Some(asset)) => check_asset(chain_id, &asset.value, Origin::of(&asset))?,
        (None, None) => return Err(missing(&ASSET)),
    };
    let pay_to = check_pay_to(&pay_to, &asset)?;
    let facilitator = check_facilitator(layers, raw.facilitator)?;
    let chain = match (&facilitator, &raw.chain) {
        (FacilitatorChoice::Remote { confirm: false, .. }, None) => None,
        _ => Some(check_chain(layers, raw.chain)?),
    };
    let raw_chains = raw.chains;
    let chains = raw_chains.iter().flatten();
    let chains = chains.map(|chain| check_other_chain(layers, &chain.value));
    let chains: Vec<_> = chains.collect::<Result<_, _>>()?;
    let contract_wallets = raw.contract_wallets.as_ref().map_or(Ok(false), check_bool)?;
    let wallet_factories = check_factories(raw.wallet_factories, contract_wallets)?;
    let public_url = raw.public_url.as_ref().map(check_public_url).transpose()?;
    refuse_public(at, &upstream, public_url.as_deref())?;
    let ledger = layers.require(&LEDGER, flags.ledger.as_deref(), raw.ledger)?;
    let ledger = check_ledger(layers, &ledger)?;
    let secret = check_secret(layers, raw.secret_file)?;
    let name = layers.pick(&NAME, None, raw.name).map(|name| check_name(&name)).transpose()?;
    check_chains(chain_id, &chains, raw_chains.as_deref())?;
    // What is to be confirmed is looked up on the offer's own chain.
    let is_remote = matches!(facilitator, FacilitatorChoice::Remote { confirm: false, .. });
    let has_chain =
        |id: ChainId| is_remote || id == chain_id || chains.iter().any(|(known, _)| *known == id);
    let later = check_later(raw.later)?;
    let on_start = check_start(raw.on_start.as_ref())?;
    let (request, max_delay) = (limits.request, later.max_delay);
    let common = Common { asset: &asset, has_chain: &has_chain, request, max_delay };
    let routes = check_routes(raw.routes, &common)?;
    check_recipient(pay_to, &routes)?;
    let credit_expires = check_credit_expires(raw.credit_expires.as_ref())?;
    let metrics = raw.metrics.map(|text| check_listen(&text.into())).transpose()?;
    let cors = check_cors(raw.cors)?;
    let default = check_default(raw.default)?;
    Ok(Config {
        listen,
        upstream,
        pay_to,
        asset,
        chain,
        chains,
        facilitator,
        contract_wallets,
        wallet_factories,
        public_url,
        ledger,
        secret,
        name,
        credit_expires,
        later,
        limits,
        metrics,
        cors,
        on_start,
        routes,
        default,
    })
}

/// Each chain once: two would count the nonces of one account.
fn check_chains(
    main: ChainId,
    chains: &[(ChainId, ChainConfig)],
    raw: Option<&[Spanned<RawOtherChain>]>,
) -> Result<(), Problem> {
    for (index, ((chain_id, _), raw)) in chains.iter().zip(raw.unwrap_or_default()).enumerate() {
        let earlier = chains.iter().take(index).any(|(earlier, _)| earlier == chain_id);
        if earlier || *chain_id == main {
            let message = format!("the chain {chain_id} is given twice");
            return Err(Problem::new(Origin::of(raw), message, "keep one of them"));
        }
    }
    Ok(())
}

/// Who may deploy payers' wallets, which are contracts then.
pub(super) fn check_factories(
    raw: Option<Vec<Text>>,
    contract_wallets: bool,
) -> Result<Vec<Address>, Problem> {
    let factory = |text: Text| {
        if !contract_wallets {
            let help = "add `contract_wallets: true`, or leave the factories out";
            let message = "a factory makes wallets that are contracts, and those may not pay";
            return Err(Problem::new(Origin::of(&text), message, help));
        }
        Address::parse(&text.value).map_err(|error| {
            let message = format!("{} is no address: {error}", quote(&text.value));
            Problem::new(Origin::of(&text), message, "write the factory's address: \"0x…\"")
        })
    };
    raw.into_iter().flatten().map(factory).collect()
}

/// What is sent to a token's contract is lost.
fn check_recipient(pay_to: Address, routes: &[Route]) -> Result<(), Problem> {
    let mut offers = routes.iter().flat_map(|route| &route.offers);
    if offers.any(|offer| offer.asset.address == pay_to) {
        let message = "pay_to is the contract of a token: what is sent there is lost";
        return Err(Problem::new(Origin::Whole, message, "write the address of your own account"));
    }
    Ok(())
}

pub(super) fn check_bool(text: &Text) -> Result<bool, Problem> {
    text.value.parse().map_err(|_| {
        let message = format!("{} is neither true nor false", quote(&text.value));
        Problem::new(Origin::of(text), message, "write true or false")
    })
}

fn check_other_chain(
    layers: &Layers<'_>,
    raw: &RawOtherChain,
) -> Result<(ChainId, ChainConfig), Problem> {
    let chain_id = check_network(&Value::from(raw.network.clone()))?;
    let key = KeySource::File(layers.path(&Value::from(raw.key_file.clone())).into());
    let depth = Depth { confirmations: &raw.confirmations, finality: &raw.finality };
    let costs = check_costs(raw.max_fee_per_gas.as_ref(), raw.max_gas_cost.as_ref())?;
    let chain = check_node(urls_of(raw.rpc.clone())?, key, &depth, raw.log_range.as_ref(), costs)?;
    Ok((chain_id, chain))
}

pub(super) fn check_listen(value: &Value) -> Result<SocketAddr, Problem> {
    value.text.parse().map_err(|_| {
        let message = format!("{} is not an address and a port", quote(&value.text));
        value.problem(message, "write an IP address, a colon and a port: 127.0.0.1:4021")
    })
}

pub(super) fn check_network(value: &Value) -> Result<ChainId, Problem> {
    ChainId::parse(&value.text).map_err(|error| {
        if !value.text.contains(':') {
            let names: Vec<_> =
                ChainId::names().map(|(name, _)| name).chain(["eip155:<id>"]).collect();
            return Problem::unknown(value.origin, "network", &value.text, &names);
        }
        let message = format!("{} is no network: {error}", quote(&value.text));
        value.problem(message, "write a name such as base, or eip155:8453")
    })
}

pub(super) fn parse_address(text: &str, origin: Origin) -> Result<Address, Problem> {
    let address = Address::parse(text).map_err(|error| {
        let help = "copy the address again, from where it is shown with upper and lower case";
        Problem::new(origin, error.to_string(), help)
    })?;
    if address == Address::ZERO {
        return Err(Problem::new(
            origin,
            "the zero address belongs to nobody",
            "write your address",
        ));
    }
    Ok(address)
}

fn check_pay_to(value: &Value, asset: &OwnedAsset) -> Result<Address, Problem> {
    let pay_to = parse_address(&value.text, value.origin)?;
    if Asset::all().any(|listed| listed.address == pay_to) || pay_to == asset.address {
        let message = "pay_to is the contract of a token: what is sent there is lost";
        return Err(value.problem(message, "write the address of your own account"));
    }
    Ok(pay_to)
}

fn check_chain(layers: &Layers<'_>, chain: Option<RawChain>) -> Result<ChainConfig, Problem> {
    let chain = chain.unwrap_or_default();
    let (rpc, key_file) = (chain.rpc, chain.key_file);
    let file = rpc.map(urls_of).transpose()?;
    let above = layers.above(&RPC, layers.overrides.rpc.as_deref());
    let urls = above.map(|url| vec![url]).or(file).ok_or_else(|| missing(&RPC))?;
    let key = check_key(layers, key_file)?;
    let depth = Depth { confirmations: &chain.confirmations, finality: &chain.finality };
    let costs = check_costs(chain.max_fee_per_gas.as_ref(), chain.max_gas_cost.as_ref())?;
    check_node(urls, key, &depth, chain.log_range.as_ref(), costs)
}

/// How deep a block must be.
pub(super) struct Depth<'a> {
    pub(super) confirmations: &'a Option<Text>,
    pub(super) finality: &'a Option<Text>,
}

/// The URLs of nodes, at least one.
pub(super) fn urls_of(raw: Spanned<RawUrls>) -> Result<Vec<Value>, Problem> {
    let origin = Origin::of(&raw);
    match raw.value {
        RawUrls::Word(text) => Ok(vec![Value { text: text.into(), origin }]),
        RawUrls::List(urls) if urls.is_empty() => {
            let help = "write the URL of a node, or several, in the order in which they are asked";
            Err(Problem::new(origin, "the list of nodes is empty", help))
        }
        RawUrls::List(urls) => Ok(urls.into_iter().map(Value::from).collect()),
    }
}

/// How a chain is reached.
pub(super) fn check_node(
    urls: Vec<Value>,
    key: KeySource,
    depth: &Depth<'_>,
    log_range: Option<&Text>,
    costs: Costs,
) -> Result<ChainConfig, Problem> {
    /// Of blocks: a month of those that come every second.
    const MOST: u64 = 2_592_000;
    let mut urls = urls.into_iter().map(check_rpc);
    let rpc = urls.next().ok_or_else(|| missing(&RPC))??;
    let other_rpcs = urls.collect::<Result<_, _>>()?;
    let confirmations = check_confirmations(depth.confirmations.as_ref())?;
    let finality = depth.finality.as_ref().map(|text| check_blocks(text, 0, MOST)).transpose()?;
    let log_range = log_range.map(|text| check_blocks(text, 1, MOST)).transpose()?;
    Ok(ChainConfig { rpc, other_rpcs, key, confirmations, finality, log_range, costs })
}

/// A day of blocks of a second is more than anybody waits for.
fn check_confirmations(text: Option<&Text>) -> Result<u64, Problem> {
    text.map_or(Ok(1), |text| check_blocks(text, 1, 86_400))
}

fn check_blocks(text: &Text, least: u64, most: u64) -> Result<u64, Problem> {
    let is_plain = text.value.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.value.parse().ok();
    let number = number.filter(|number| is_plain && (least..=most).contains(number));
    number.ok_or_else(|| {
        let message = format!("{} is no number of blocks", quote(&text.value));
        let help = format!("write a whole number, from {least} to {most}");
        Problem::new(Origin::of(text), message, help)
    })
}

fn check_rpc(rpc: Value) -> Result<RpcText, Problem> {
    let host = rpc.text.strip_prefix("http://").or_else(|| rpc.text.strip_prefix("https://"));
    let is_url = host.is_some_and(|host| {
        !host.is_empty() && !host.starts_with('/') && host.bytes().all(|b| b.is_ascii_graphic())
    });
    if !is_url {
        let help = "write http:// or https:// and the rest; it is not repeated here, for it may hold a key";
        return Err(rpc.problem("chain.rpc is not a URL of http or https", help));
    }
    if !port::is_sound_in(&rpc.text) {
        return Err(rpc.problem("the port in chain.rpc is none", PORT_HELP));
    }
    Ok(RpcText(rpc.text))
}

/// The variables, of which there may be one, then the file.
fn check_secret(layers: &Layers<'_>, file: Option<Text>) -> Result<Option<KeySource>, Problem> {
    let file = layers.pick(&SECRET_FILE, None, file);
    let text = layers.variable(SECRET_VARIABLE);
    match (text, file) {
        (Some(_), Some(Value { origin: Origin::Variable(_), .. })) => {
            let message = "X402_SECRET and X402_SECRET_FILE are both set";
            Err(Problem::new(Origin::Variable(SECRET_VARIABLE), message, "unset one of them"))
        }
        (Some(text), _) => Ok(Some(KeySource::Text { name: SECRET_VARIABLE, text })),
        (None, Some(file)) if file.text.is_empty() => {
            Err(file.problem("secret_file is empty", "name a file"))
        }
        (None, file) => Ok(file.map(|file| KeySource::File(layers.path(&file).into()))),
    }
}

/// Visible letters of ASCII alone: two names that look the same are the same.
fn check_name(value: &Value) -> Result<String, Problem> {
    const MOST: usize = 255;
    let text = value.text.as_str();
    if (1..=MOST).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(text.to_owned());
    }
    let message = format!("{} is no name of a gateway", quote(text));
    let help = format!("write 1 to {MOST} letters, digits and signs of ASCII, without blanks");
    Err(value.problem(message, help))
}

/// The flag, then the variables, of which there may be one, then the file.
fn check_key(layers: &Layers<'_>, key_file: Option<Text>) -> Result<KeySource, Problem> {
    let key = layers.variable(KEY_VARIABLE);
    let flag = layers.overrides.key_file.as_deref();
    if key.is_some() && flag.is_none() && layers.variable(KEY_FILE.variable).is_some() {
        let message = "X402_KEY and X402_KEY_FILE are both set";
        return Err(Problem::new(Origin::Variable(KEY_VARIABLE), message, "unset one of them"));
    }
    match (flag, key) {
        (None, Some(text)) => Ok(KeySource::Text { name: KEY_VARIABLE, text }),
        _ => {
            let file = layers.require(&KEY_FILE, flag, key_file)?;
            if file.text.is_empty() {
                return Err(file.problem("chain.key_file is empty", "name a file"));
            }
            Ok(KeySource::File(layers.path(&file).into()))
        }
    }
}

pub(super) fn check_ledger(layers: &Layers<'_>, value: &Value) -> Result<LedgerConfig, Problem> {
    const KINDS: &str = "name a file, memory, or the URL of a database: postgres://… or redis://…";
    let text = value.text.as_str();
    match text.split_once("://") {
        None if text == "memory" => Ok(LedgerConfig::Memory),
        None if text.is_empty() => Err(value.problem("`ledger` is empty", KINDS)),
        // A file of that name would be made.
        None if is_like_key(text) => {
            Err(value.problem("the ledger looks like a key, and is not repeated here", KINDS))
        }
        None => Ok(LedgerConfig::File(layers.path(value))),
        Some(("postgres" | "postgresql", rest)) => {
            check_ledger_url(value, rest).map(LedgerConfig::Postgres)
        }
        Some(("redis" | "rediss", rest)) => check_ledger_url(value, rest).map(LedgerConfig::Redis),
        Some(_) => Err(value.problem("unknown kind of ledger", KINDS)),
    }
}

/// The rest is judged by the one who connects.
fn check_ledger_url(value: &Value, rest: &str) -> Result<LedgerUrl, Problem> {
    if rest.is_empty() || !rest.bytes().all(|byte| byte.is_ascii_graphic()) {
        let help = "write ://user:password@host:port/database, percent-encoded; \
                    it is not repeated here, for it may hold a password";
        return Err(value.problem("the ledger's URL is malformed", help));
    }
    if !port::is_sound_of_database(&value.text) {
        return Err(value.problem("the port in the ledger's URL is none", PORT_HELP));
    }
    Ok(LedgerUrl(value.text.clone()))
}

fn check_default(text: Option<Text>) -> Result<DefaultRoute, Problem> {
    let Some(text) = text else { return Ok(DefaultRoute::NotFound) };
    match text.value.as_str() {
        "not_found" => Ok(DefaultRoute::NotFound),
        "free" => Ok(DefaultRoute::Free),
        other => Err(Problem::unknown(Origin::of(&text), "default", other, &["not_found", "free"])),
    }
}
