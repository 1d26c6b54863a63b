//! `serve`: the gateway, by its file.

use core::fmt::Write as _;
use core::time::Duration;
use std::sync::Arc;

use x402_core::tariff::Model;
use x402_core::{Amount, Price};
use x402_hyper::gateway::Gateway;
use x402_hyper::listener::raise_descriptors;
use x402_std::Ledger;
use x402_std::config::{Config, DefaultRoute, Overrides, PathPattern, Pricing, Route};
use x402_std::quote::{TokenKey, TokenKeys};

use crate::args::ServeArgs;
use crate::devnet::listen;
use crate::exit::{Exit, Failure};
use crate::own::refuse_itself;
use crate::reload::Reloading;
use crate::shop::Shop;
use crate::{metrics, output, signals, standing};

/// How long what is owed may take to be settled when the gateway ends.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(20);

pub(crate) async fn run(args: ServeArgs) -> Result<Exit, Failure> {
    let allow_dev_key = args.allow_dev_key;
    // Before anything is opened.
    let _ = raise_descriptors();
    let config = load(&args)?;
    // Watched from the beginning: it may take a while until everything is there.
    let (mut stop, hangup) = (Box::pin(told_to_stop()), signals::Hangup::watch());
    let shop = tokio::select! {
        shop = Shop::open(&config, allow_dev_key, true) => Arc::new(shop?),
        () = &mut stop => return Ok(Exit::Ok),
    };
    let gateway = Gateway::new(&config, Arc::clone(&shop.seller)).map_err(Failure::usage)?;
    let gateway = gateway.signing(token_keys(&config, &*shop.ledger).await?);
    // Whoever is told that it listens finds all of it.
    let listener = listen(config.listen)?;
    let address = listener.local_addr().map_err(Failure::failed)?;
    refuse_itself(&config.upstream, address).await?;
    let metrics = config.metrics.map(listen).transpose()?;
    output::line(describe(&config, &address.to_string()));
    describe_gas(&shop).await;
    let metrics = match metrics {
        Some(listener) => {
            let address = listener.local_addr().map_err(Failure::failed)?;
            output::line(format_args!("metrics are at http://{address}/metrics"));
            Some(tokio::spawn(metrics::serve(listener, Arc::clone(&shop))))
        }
        None => None,
    };
    let resolving = tokio::spawn(Arc::clone(&shop).resolve());
    let watching = tokio::spawn(standing::watch(shop.chains.clone()));
    let (prices, seller) = (gateway.prices(), Arc::clone(&shop.seller));
    let reloading = Reloading { args, prices, seller, hangup };
    let reloading = tokio::spawn(reloading.run(config));
    gateway.serve(listener, stop).await;
    reloading.abort();
    // What is not settled by then is in the ledger.
    if tokio::time::timeout(CLOSE_TIMEOUT, shop.seller.close_tab()).await.is_err() {
        output::note("some payments are owed still: they are settled after the next start");
    }
    resolving.abort();
    watching.abort();
    if let Some(metrics) = metrics {
        metrics.abort();
    }
    Ok(Exit::Ok)
}

pub(crate) fn load(args: &ServeArgs) -> Result<Config, Failure> {
    let overrides = Overrides {
        listen: args.listen.clone(),
        upstream: args.upstream.clone(),
        pay_to: args.pay_to.clone(),
        network: args.network.clone(),
        asset: args.asset.clone(),
        rpc: args.rpc.clone(),
        key_file: args.key_file.clone(),
        ledger: args.ledger.clone(),
    };
    let env = |name: &str| std::env::var(name).ok();
    let config = Config::load(&args.config, env, &overrides);
    config.map_err(|error| Failure::configuration(&error))
}

/// The keys that sign quotes, passes and the names of balances: those of this gateway, by its name or else by
/// its ledger.
async fn token_keys(config: &Config, ledger: &dyn Ledger) -> Result<TokenKeys, Failure> {
    let name = name(config, ledger).await?;
    if let Some(keys) = kept_keys(config, &name)? {
        return Ok(keys);
    }
    if config.routes.iter().any(|route| is_metered(&route.pricing)) {
        output::note(
            "warning: without secret_file, passes and credit are good until this program ends",
        );
    }
    let key = TokenKey::random().map_err(Failure::failed)?;
    Ok(TokenKeys::new(&name, &key, None))
}

/// What the gateway is called: by its name or else by its ledger.
pub(crate) async fn name(config: &Config, ledger: &dyn Ledger) -> Result<String, Failure> {
    Ok(match config.gateway_name() {
        Some(name) => name.to_owned(),
        // A name has no blank.
        None => format!("ledger {}", ledger.identity().await.map_err(Failure::failed)?),
    })
}

/// The keys of the gateway of that name that are there after it has ended, too.
pub(crate) fn kept_keys(config: &Config, name: &str) -> Result<Option<TokenKeys>, Failure> {
    let help = "name another file in secret_file, or set X402_SECRET";
    config.token_keys(name).map_err(|error| Failure::usage(error).help(help))
}

/// Whether something is left for later of what is paid.
fn is_metered(pricing: &Pricing) -> bool {
    matches!(pricing.model(), Some(Model::PerMinute { .. } | Model::PerToken { .. }))
}

pub(crate) fn told_to_stop() -> impl Future<Output = ()> + Send {
    let stop = signals::stop();
    async move {
        stop.await;
        output::note("stopping: finishing what is under way");
    }
}

/// What is sold, and a line to try it with.
fn describe(config: &Config, address: &str) -> String {
    let asset = &config.asset;
    let network = asset.chain_id.name().map_or_else(|| asset.chain_id.to_string(), str::to_owned);
    let upstream = &config.upstream;
    let mut text = format!(
        "listening on http://{address}, before http://{}{}\npaid to {} in {} on {network}\n",
        upstream.authority, upstream.base_path, config.pay_to, asset.symbol
    );
    let rows: Vec<_> = config.routes.iter().map(|route| row(route, config)).collect();
    let wide = |column: fn(&[String; 3]) -> usize| rows.iter().map(column).max().unwrap_or(0);
    let (first, second) = (wide(|row| row[0].len()), wide(|row| row[1].len()));
    for [methods, path, price] in &rows {
        // A String takes everything.
        let _ = writeln!(text, "  {methods:first$}  {path:second$}  {price}");
    }
    text.push_str(match config.default {
        DefaultRoute::Free => "  everything else is free",
        DefaultRoute::NotFound => "  everything else is not found",
    });
    if let Some(line) = config.routes.iter().find_map(|route| invitation(route, config, address)) {
        text.push_str("\ntry: ");
        text.push_str(&line);
    }
    text
}

fn row(route: &Route, config: &Config) -> [String; 3] {
    let methods = if route.methods.is_empty() { "any".to_owned() } else { route.methods.join(",") };
    let symbol = &config.asset.symbol;
    let price = match &route.pricing {
        Pricing::Free => "free".to_owned(),
        Pricing::Paid(sold) => match (sold.fixed, sold.tariff.model()) {
            (Some(amount), _) => format!("{} {symbol}", price(amount, config)),
            (None, Model::Dynamic { base_price, .. }) => {
                format!("from {base_price} {symbol}, by the request")
            }
            (None, Model::PerMinute { price, .. }) => format!("{price} {symbol} a minute"),
            (None, Model::PerToken { input_price, output_price }) => {
                format!(
                    "{input_price} {symbol} a token of the request, {output_price} of the answer"
                )
            }
            (None, _) => format!("in {symbol}, by the request"),
        },
    };
    [methods, path(&route.path), price]
}

fn path(pattern: &PathPattern) -> String {
    match pattern {
        PathPattern::Exact(path) => path.clone(),
        PathPattern::Prefix(prefix) => format!("{prefix}*"),
    }
}

fn price(amount: Amount, config: &Config) -> Price {
    amount.to_price(config.asset.decimals)
}

/// A line to paste for a route that costs something.
fn invitation(route: &Route, config: &Config, address: &str) -> Option<String> {
    let (Some(amount), PathPattern::Exact(path) | PathPattern::Prefix(path)) =
        (route.pricing.fixed(), &route.path)
    else {
        return None;
    };
    let method = route.methods.first().map(String::as_str);
    let method = match method {
        None | Some("GET") => String::new(),
        Some("POST") => " -d 'some words'".to_owned(),
        Some(method) => format!(" -X {method}"),
    };
    let price = price(amount, config);
    Some(format!("x402 pay http://{address}{path} --max {price}{method} --key-file buyer.key"))
}

async fn describe_gas(shop: &Shop) {
    for chain in &shop.chains {
        standing::describe(chain).await;
    }
}

#[cfg(test)]
mod tests {
    use x402_core::Address;
    use x402_std::ledger::{CreditAccount, MemoryLedger};
    use x402_std::quote::{CreditToken, TokenError};

    use super::*;

    fn config(more: &str) -> Config {
        let text = format!(
            "listen: 127.0.0.1:0\nupstream: http://127.0.0.1:1\nnetwork: ethereum\nasset: USDC\n\
             pay_to: '0x209693Bc6afc0C5328bA36FaF03C514EF312287C'\nchain: {{rpc: 'http://a'}}\n\
             ledger: memory\nroutes: [{{path: /a, pricing: free}}]\n{more}"
        );
        let env = |name: &str| (name == "X402_KEY").then(|| "1".repeat(64));
        Config::parse(&text, "x402.yaml", env, &Overrides::default()).unwrap()
    }

    /// With one key, a gateway is its ledger, unless it has a name: replicas share either.
    #[tokio::test]
    async fn credit_of_another_ledger_is_refused() {
        let [one, other] = [MemoryLedger::new(), MemoryLedger::new()];
        let keys = async |more: &str, ledger: &MemoryLedger| {
            token_keys(&config(more), ledger).await.unwrap()
        };
        let (payer, seller) = (Address::new([1; 20]), Address::new([2; 20]));
        let (chain_id, asset) = (config("").asset.chain_id, config("").asset.address);
        let account = CreditAccount { payer, chain_id, asset, seller };
        let token = CreditToken { account, generation: 0, made_at: 0 };
        let verify =
            |text: &str, keys: &TokenKeys| CreditToken::verify(text, keys, chain_id, asset, seller);
        let credit = token.sign(&keys("", &one).await);
        assert_eq!(verify(&credit, &keys("", &one).await), Ok(token));
        assert_eq!(verify(&credit, &keys("", &other).await), Err(TokenError::Forged));
        let names = ["name: a", "name: b", "public_url: https://a.example"];
        for (i, name) in names.iter().enumerate() {
            assert_eq!(verify(&credit, &keys(name, &one).await), Err(TokenError::Forged));
            let named = token.sign(&keys(name, &one).await);
            for (j, name) in names.iter().enumerate() {
                assert_eq!(verify(&named, &keys(name, &other).await).is_ok(), i == j);
            }
        }
    }
}
