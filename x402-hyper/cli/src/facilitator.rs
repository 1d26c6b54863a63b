//! `facilitator`: verifies and settles for others, by its file.

use core::time::Duration;
use std::path::Path;
use std::sync::Arc;

use x402_core::ChainId;
use x402_hyper::facilitator::{FacilitatorService, Report, Sellers};
use x402_std::Seller;
use x402_std::chain::{Chain, Coalesced, RpcChain, RpcOptions, Standing};
use x402_std::config::{FacilitatorConfig, ServedConfig};
use x402_std::facilitator::{LocalFacilitator, ServedChain};
use x402_std::seller::{OnChain, Rail, SellerOptions, Together};

use crate::args::FacilitatorArgs;
use crate::devnet::listen;
use crate::exit::{Exit, Failure};
use crate::serve::told_to_stop;
use crate::{output, shop, standing};

/// For how long a payment waits for others while others are being settled: nothing beside a block.
const CROWD: Duration = Duration::from_millis(50);

pub(crate) async fn run(args: FacilitatorArgs) -> Result<Exit, Failure> {
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
    let (mut rails, mut chains) = (Vec::new(), Vec::new());
    for served in &config.chains {
        let mut rpc = RpcOptions::new(served.chain_id);
        rpc.transfer_next = shop::transfer_next(served.chain_id, &served.assets);
        let chain = shop::connect(&served.chain, rpc, args.allow_dev_key).await?;
        shop::check_assets(&chain, served.chain_id, &served.assets).await?;
        let chain = Arc::new(chain);
        check_kinds(served, &*chain).await?;
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
    let stop = told_to_stop();
    let listener = listen(config.listen).await?;
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
    service.serve(listener, stop).await;
    resolving.abort();
    watching.abort();
    Ok(Exit::Ok)
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
    let unreadable = |error: String| Failure::usage(error).at(path.display());
    let text = std::fs::read_to_string(path).map_err(|error| unreadable(error.to_string()))?;
    Sellers::parse(&text)
        .map_err(|error| unreadable(error.to_string()).help("make a token: openssl rand -hex 32"))
}

/// What the file names has to be there: a seller who is told of a kind that reverts loses buyers by it.
async fn check_kinds(served: &ServedConfig, chain: &dyn Chain) -> Result<(), Failure> {
    for kind in &served.kinds {
        if let Some(contract) = kind.missing_on(chain).await.map_err(Failure::failed)? {
            let (kind, chain_id) = (kind.as_str(), served.chain_id);
            let error =
                format!("{kind} cannot be settled on {chain_id}: {contract} has no code there");
            return Err(
                Failure::usage(error).help(format!("leave {kind} out of this chain's kinds"))
            );
        }
    }
    Ok(())
}
