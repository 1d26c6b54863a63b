//! `facilitator`: verifies and settles for others, by its file.

use core::time::Duration;
use std::path::Path;
use std::sync::Arc;

use x402_core::ChainId;
use x402_hyper::facilitator::{FacilitatorService, Report, Sellers};
use x402_hyper::listener::{ListenerOptions, raise_descriptors};
use x402_std::Seller;
use x402_std::chain::{Chain, Coalesced, RpcChain, RpcOptions, Standing};
use x402_std::config::{FacilitatorConfig, ServedConfig};
use x402_std::facilitator::{LocalFacilitator, ServedChain};
use x402_std::seller::{OnChain, Rail, SellerOptions, Together};

use crate::args::FacilitatorArgs;
use crate::devnet::listen;
use crate::exit::{Exit, Failure};
use crate::patience::{Patience, Trouble};
use crate::serve::told_to_stop;
use crate::{output, shop, standing};

/// For how long a payment waits for others while others are being settled: nothing beside a block.
const CROWD: Duration = Duration::from_millis(50);

pub(crate) async fn run(args: FacilitatorArgs) -> Result<Exit, Failure> {
    // Before anything is opened.
    let _ = raise_descriptors();
    let config = FacilitatorConfig::load(&args.config);
    let config = config.map_err(|error| Failure::configuration(&error))?;
    let sellers = config.token_file.as_deref().map(read_sellers).transpose()?;
    let options = SellerOptions {
        contract_wallets: config.contract_wallets,
        wallet_factories: config.wallet_factories.clone(),
        together: Some(Together { max_batch: config.max_batch, max_delay: CROWD }),
        recover: shop::recover(),
        ..SellerOptions::of_facilitator()
    };
    let mut stop = Box::pin(told_to_stop());
    let (mut rails, mut chains) = (Vec::new(), Vec::new());
    for served in &config.chains {
        let mut rpc = RpcOptions::new(served.chain_id);
        rpc.transfer_next = shop::transfer_next(served.chain_id, &served.assets);
        let open = open_chain(served, rpc, args.allow_dev_key, config.on_start.into());
        let chain = tokio::select! {
            chain = open => Arc::new(chain?),
            () = &mut stop => return Ok(Exit::Ok),
        };
        let coalesced = Arc::new(Coalesced::new(Arc::clone(&chain) as _));
        let timeout = chain.settle_timeout().max(options.settle_timeout);
        let rail = OnChain::new(coalesced, timeout, options.poll);
        rails.push((served.chain_id, Arc::new(rail) as Arc<dyn Rail>));
        chains.push((served, chain));
    }
    let ledger = shop::open_ledger(&config.ledger).await?;
    let seller = Seller::with_rails(ledger, rails, options);
    let served = chains.iter().map(|(served, chain)| ServedChain {
        chain_id: served.chain_id,
        account: chain.address(),
        assets: served.assets.clone(),
        kinds: served.kinds.clone(),
    });
    let facilitator = LocalFacilitator::new(Arc::clone(&seller), served.collect());
    let listener = listen(config.listen)?;
    let address = listener.local_addr().map_err(Failure::failed)?;
    output::line(format_args!("listening on http://{address}"));
    for (served, chain) in &chains {
        let symbols: Vec<_> = served.assets.iter().map(|asset| asset.symbol.as_str()).collect();
        output::line(format_args!("settles {} on {}", symbols.join(", "), served.chain_id));
        standing::describe(chain).await;
    }
    let resolving = tokio::spawn(async move { shop::resolve(&seller).await });
    let chains: Vec<_> = chains.into_iter().map(|(_, chain)| chain).collect();
    let watching = tokio::spawn(standing::watch(chains.clone()));
    let service =
        FacilitatorService::with_sellers(Arc::new(facilitator), sellers.unwrap_or_default());
    let service = service.reporting(move || report(&chains));
    service.serve_within(options_of(&config), listener, stop).await;
    resolving.abort();
    watching.abort();
    Ok(Exit::Ok)
}

/// What the service puts up with; what the file leaves out is as usual.
fn options_of(config: &FacilitatorConfig) -> ListenerOptions {
    let usual = ListenerOptions::default();
    ListenerOptions {
        body_time: config.body_time.unwrap_or(usual.body_time),
        connections: config.seats.connections.unwrap_or(usual.connections),
        trusted_proxies: config.seats.trusted_proxies.clone(),
        ..usual
    }
}

/// Connects to a chain, and makes sure that what is settled is there.
async fn open_chain(
    served: &ServedConfig,
    options: RpcOptions,
    allow_dev_key: bool,
    patience: Patience,
) -> Result<RpcChain, Failure> {
    let chain = shop::connect(&served.chain, options, allow_dev_key, patience).await?;
    shop::check_assets(&chain, served.chain_id, &served.assets, patience).await?;
    let node = format!("the node of {}", served.chain_id);
    patience.wait(&node, async || check_kinds(served, &chain).await).await?;
    Ok(chain)
}

/// How the chains stand.
fn report(chains: &[Arc<RpcChain>]) -> Report {
    let standings: Vec<_> = chains.iter().map(|chain| (chain.id(), chain.standing())).collect();
    let is_unready =
        |(chain_id, standing): &(ChainId, Standing)| standing.lack.is_some().then_some(*chain_id);
    Report {
        metrics: standing::gauges(&standings),
        unready: standings.iter().filter_map(is_unready).collect(),
        is_any_ready: standings.iter().any(|(_, standing)| standing.lack.is_none()),
    }
}

/// Those who are let in, by a file of tokens.
fn read_sellers(path: &Path) -> Result<Sellers, Failure> {
    /// A thousand sellers' lines are a tenth of it.
    const MOST: usize = 1 << 20;
    let text = shop::read_secret(path, MOST)?;
    Sellers::parse(&text).map_err(|error| {
        Failure::usage(error).at_file(path).help("make a token: openssl rand -hex 32")
    })
}

/// What the file names has to be there: a seller who is told of a kind that reverts loses buyers by it.
async fn check_kinds(served: &ServedConfig, chain: &dyn Chain) -> Result<(), Trouble> {
    for kind in &served.kinds {
        let missing = kind.missing_on(chain).await;
        if let Some(contract) = missing.map_err(|error| Trouble::Away(Failure::failed(error)))? {
            let (kind, chain_id) = (kind.as_str(), served.chain_id);
            let error =
                format!("{kind} cannot be settled on {chain_id}: {contract} has no code there");
            let failure = Failure::usage(error);
            let help = format!("leave {kind} out of this chain's kinds");
            return Err(Trouble::Wrong(failure.help(help)));
        }
    }
    Ok(())
}
