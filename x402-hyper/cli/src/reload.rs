//! The seller's file, read anew while the gateway serves.

use std::path::Path;
use std::sync::Arc;

use x402_hyper::gateway::{Prices, Router};
use x402_std::Seller;
use x402_std::config::{Config, FacilitatorChoice, KeySource, LedgerConfig};

use crate::args::ServeArgs;
use crate::exit::Failure;
use crate::signals::Hangup;
use crate::{output, serve, shop};

/// Reads the file anew when it is told to, and has requests priced by it.
pub(crate) struct Reloading {
    pub(crate) args: ServeArgs,
    pub(crate) prices: Prices,
    pub(crate) seller: Arc<Seller>,
    /// Watched from before the program says that it listens: who is told so may send it.
    pub(crate) hangup: Hangup,
}

impl Reloading {
    /// Never ends. What cannot be taken over is refused, and the prices stay.
    pub(crate) async fn run(mut self, served: Config) {
        loop {
            self.hangup.wait().await;
            match self.reload(&served) {
                Ok(routes) => output::note(format_args!("{routes} routes are priced anew")),
                Err(failure) => output::note(format_args!("the prices stay: {failure}")),
            }
        }
    }

    fn reload(&self, served: &Config) -> Result<usize, Failure> {
        let config = serve::load(&self.args)?;
        check_same(served, &config)?;
        let router = Router::of_seller(&config, &self.seller).map_err(Failure::usage)?;
        self.prices.replace(router);
        Ok(config.routes.len())
    }
}

/// Only routes and their prices change: the rest was opened when the program started.
fn check_same(served: &Config, config: &Config) -> Result<(), Failure> {
    let known = shop::assets_of(served);
    let is_known = shop::assets_of(config).iter().all(|asset| known.contains(asset));
    let is_same = files(served) == files(config) && opened(served) == opened(config);
    if is_known && is_same {
        return Ok(());
    }
    let what = "more than `routes`, `default` and `public_url` (beside a `name`) has changed";
    Err(Failure::usage(what).help("start the program anew"))
}

/// The files of keys and tokens. What may be a secret is hidden where they are shown.
fn files(config: &Config) -> Vec<&Path> {
    let chains = config.chain.iter().chain(config.chains.iter().map(|(_, chain)| chain));
    let keys = chains.map(|chain| &chain.key).chain(&config.secret);
    let keys = keys.filter_map(|key| match key {
        KeySource::File(path) => Some(&**path),
        KeySource::Text { .. } => None,
    });
    let token = match &config.facilitator {
        FacilitatorChoice::Local => None,
        FacilitatorChoice::Remote { token_file, .. } => token_file.as_deref(),
    };
    keys.chain(token).collect()
}

/// What of a file is not for each request, as texts to be compared, and not to be shown: nodes' URLs are
/// among them.
fn opened(config: &Config) -> [String; 3] {
    let chains = config.chain.iter().chain(config.chains.iter().map(|(_, chain)| chain));
    let nodes = chains.flat_map(|chain| core::iter::once(&chain.rpc).chain(&chain.other_rpcs));
    let nodes = nodes.map(|url| url.expose()).collect::<Vec<_>>().join(" ");
    let addresses = (config.listen, config.metrics, &config.upstream, config.pay_to);
    let parties = (&config.asset, &config.facilitator, &config.chain, &config.chains);
    let rules =
        (config.contract_wallets, &config.wallet_factories, config.later, config.credit_expires);
    let rules = (rules, &config.cors);
    let limits = &config.limits;
    // The ledger's URL is hidden where it is shown, so it is compared as what it is.
    let ledger = match &config.ledger {
        LedgerConfig::Postgres(url) | LedgerConfig::Redis(url) => url.expose(),
        LedgerConfig::File(_) | LedgerConfig::Memory => "",
    };
    // What was signed is good under one name.
    let signing = (&config.secret, config.gateway_name());
    let rest =
        format!("{addresses:?} {parties:?} {rules:?} {:?} {signing:?} {limits:?}", config.ledger);
    [nodes, ledger.to_owned(), rest]
}
