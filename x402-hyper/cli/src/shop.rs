//! What `serve` and `demo` have in common: from a configuration to a seller who is ready.

use core::time::Duration;
use std::sync::Arc;

use x402_core::{Address, Signer as _};
use x402_std::chain::{RpcChain, RpcOptions, RpcUrl, StartError};
use x402_std::config::{Config, LedgerConfig};
use x402_std::ledger::{MemoryLedger, RedbLedger};
use x402_std::seller::SellerOptions;
use x402_std::{Ledger, Seller, devnet};

use crate::exit::{Exit, Failure};

/// How often payments are looked after whose outcome is not known.
const RESOLVE_EVERY: Duration = Duration::from_secs(10);

/// A seller with a chain and a ledger.
pub(crate) struct Shop {
    pub(crate) seller: Arc<Seller>,
    pub(crate) chain: Arc<RpcChain>,
}

impl Shop {
    /// Connects to the chain, makes sure that it is the right one, and opens the ledger.
    pub(crate) async fn open(config: &Config, allow_dev_key: bool) -> Result<Self, Failure> {
        let url = RpcUrl::parse(config.chain.rpc.expose()).map_err(Failure::usage)?;
        let key = config.chain.key.load().map_err(|error| {
            Failure::usage(error).help("name a key file in chain.key_file, or set X402_KEY")
        })?;
        let signer = key.signer().map_err(Failure::usage)?;
        if !allow_dev_key && !url.is_loopback() {
            refuse_dev_key(signer.address())?;
        }
        let options = RpcOptions::new(config.asset.chain_id);
        let chain = RpcChain::connect(url, signer, options).await.map_err(|error| start(&error))?;
        chain.check_asset(&config.asset.as_asset()).await.map_err(|error| start(&error))?;
        let ledger = open_ledger(&config.ledger)?;
        let chain = Arc::new(chain);
        let seller = Seller::new(ledger, Arc::clone(&chain) as _, SellerOptions::default());
        Ok(Self { seller, chain })
    }

    /// Looks after payments that are under way, at once and from then on. Never ends.
    pub(crate) async fn resolve(self: Arc<Self>) {
        let mut clock = tokio::time::interval(RESOLVE_EVERY);
        clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            clock.tick().await;
            match self.seller.resolve_open().await {
                Ok(0) => {}
                Ok(open) => tracing::info!(open, "payments whose outcome is not known"),
                Err(error) => tracing::warn!(%error, "open payments cannot be looked after"),
            }
        }
    }
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

fn start(error: &StartError) -> Failure {
    match error {
        StartError::Unavailable(_) => {
            Failure::failed(error).help("is the node running, and chain.rpc right?")
        }
        StartError::ChainId { .. } => {
            Failure::usage(error).help("change network, or the node in chain.rpc")
        }
        StartError::PlainHttp => Failure::usage(error),
        StartError::Tls => Failure::failed(error),
        _ => {
            Failure::usage(error).help("signatures for this asset would not be taken on this chain")
        }
    }
}

fn open_ledger(config: &LedgerConfig) -> Result<Arc<dyn Ledger>, Failure> {
    match config {
        LedgerConfig::Memory => Ok(Arc::new(MemoryLedger::new())),
        LedgerConfig::File(path) => match RedbLedger::open(path) {
            Ok(ledger) => Ok(Arc::new(ledger)),
            Err(error) => Err(Failure::new(Exit::Failed, error).at(path.display()).help(
                "a ledger belongs to one process; name another file in ledger, or stop the other",
            )),
        },
    }
}
