//! `ledger credits rotate`: the names of a payer's credit are replaced.

use std::time::SystemTime;

use serde_json::Value;
use x402_core::Address;
use x402_std::config::{LedgerConfig, OwnedAsset};
use x402_std::ledger::{CreditAccount, Renewal};
use x402_std::quote::CreditToken;

use super::credits::{Credit, read_with};
use super::row::object;
use super::{in_memory, load, print};
use crate::args::CreditsRotate;
use crate::exit::{Exit, Failure};
use crate::{output, serve, shop};

pub(super) async fn run(args: CreditsRotate) -> Result<Exit, Failure> {
    let payer = Address::parse(&args.payer).map_err(|error| {
        Failure::usage(format!("{:?} is no address: {error}", args.payer))
            .help("name the payer as `x402 ledger credits` has it")
    })?;
    let config = load(&args.config, args.ledger)?;
    if config.ledger == LedgerConfig::Memory {
        return Err(in_memory());
    }
    let ledger = shop::open_ledger(&config.ledger).await?;
    // All that can be wrong is found before anything is replaced.
    let name = serve::name(&config, &*ledger).await?;
    let keys = serve::kept_keys(&config, &name)?;
    let assets = shop::assets_of(&config);
    // Also of a balance in which nothing is now: there may be tomorrow.
    let account = |asset: &OwnedAsset| {
        let (chain_id, asset) = (asset.chain_id, asset.address);
        CreditAccount { payer, chain_id, asset, seller: config.pay_to }
    };
    let known = assets.iter().map(account).collect();
    let mut credits = read_with(&*ledger, &assets, known).await.map_err(Failure::failed)?;
    credits.retain(|credit| credit.account.payer == payer);
    let made_at = SystemTime::UNIX_EPOCH.elapsed().map_err(Failure::failed)?.as_secs();
    let mut rows = Vec::new();
    for credit in credits {
        let account = credit.account;
        let renewed = ledger.renew_names(account, Renewal::default()).await;
        let generation = renewed.map_err(Failure::failed)?.generation;
        let name = CreditToken { account, generation, made_at };
        let name = keys.as_ref().map(|keys| name.sign(keys));
        rows.push(Renamed { credit, generation, name });
    }
    print::renamed(&rows, args.format);
    if keys.is_none() {
        output::note(
            "the gateway signs with a key of its own: it tells the new name to who pays or signs",
        );
    }
    Ok(Exit::Ok)
}

/// A balance with a new name.
pub(super) struct Renamed {
    credit: Credit,
    generation: u64,
    name: Option<String>,
}

impl Renamed {
    /// The columns of an export, in their order.
    pub(super) const COLUMNS: [&'static str; 11] = {
        let [payer, chain, asset, symbol, pay_to, units, amount, held_units, held, ..] =
            Credit::COLUMNS;
        [payer, chain, asset, symbol, pay_to, units, amount, held_units, held, "generation", "name"]
    };
    /// The titles of [`Self::cells`].
    pub(super) const TITLES: [&'static str; 4] = ["payer", "credit", "held", "name"];

    fn name(&self) -> String {
        self.name.clone().unwrap_or_default()
    }

    /// In the order of [`Self::COLUMNS`]; empty for what is not known.
    pub(super) fn fields(&self) -> [String; 11] {
        let [payer, chain, asset, symbol, pay_to, units, amount, held_units, held, ..] =
            self.credit.fields();
        let (generation, name) = (self.generation.to_string(), self.name());
        [payer, chain, asset, symbol, pay_to, units, amount, held_units, held, generation, name]
    }

    pub(super) fn cells(&self) -> [String; 4] {
        let [payer, credit, held, ..] = self.credit.cells();
        [payer, credit, held, self.name()]
    }

    pub(super) fn json(&self) -> Value {
        object(Self::COLUMNS, self.fields())
    }
}
