//! The seller's file, read anew while the gateway serves.

use std::sync::Arc;

use x402_hyper::gateway::{Prices, Router};
use x402_std::Seller;
use x402_std::config::Config;

use crate::args::ServeArgs;
use crate::exit::Failure;
use crate::{output, serve, shop, signals};

/// Reads the file anew when it is told to, and has requests priced by it.
pub(crate) struct Reloading {
    pub(crate) args: ServeArgs,
    pub(crate) prices: Prices,
    pub(crate) seller: Arc<Seller>,
}

impl Reloading {
    /// Never ends. What cannot be taken over is refused, and the prices stay.
    pub(crate) async fn run(self, served: Config) {
        let mut hangup = signals::Hangup::watch();
        loop {
            hangup.wait().await;
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
    let is_paid_alike = (served.pay_to, &served.asset) == (config.pay_to, &config.asset)
        && shop::assets_of(config).iter().all(|asset| known.contains(asset));
    let is_same = is_paid_alike
        && served.listen == config.listen
        && served.upstream == config.upstream
        && served.ledger == config.ledger
        && served.facilitator == config.facilitator;
    if is_same {
        return Ok(());
    }
    let what = "more than `routes`, `default` and `public_url` has changed";
    Err(Failure::usage(what).help("start the program anew"))
}
