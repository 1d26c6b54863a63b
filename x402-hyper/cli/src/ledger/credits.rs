//! `ledger credits`: what payers have paid and not used.

use std::collections::BTreeMap;

use serde_json::Value;
use x402_core::Amount;
use x402_std::Ledger;
use x402_std::config::OwnedAsset;
use x402_std::ledger::{CreditAccount, LedgerError};

use super::row::{in_words, name_and_decimals, object};
use super::{locate, open, print, rotate};
use crate::args::{CreditsCommand, LedgerCredits};
use crate::exit::{Exit, Failure};

pub(super) async fn run(args: LedgerCredits) -> Result<Exit, Failure> {
    if let Some(CreditsCommand::Rotate(args)) = args.command {
        return rotate::run(args).await;
    }
    let (ledger, assets) = locate(&args.source)?;
    let ledger = open(&ledger).await?;
    let rows = read(&*ledger, &assets).await.map_err(Failure::failed)?;
    print::credits(&rows, args.format);
    Ok(Exit::Ok)
}

/// What is shown of a balance.
pub(super) struct Credit {
    pub(super) account: CreditAccount,
    symbol: String,
    decimals: Option<u8>,
    balance: Amount,
    held: Amount,
    /// Of payments that were served and not paid, and not set off yet.
    owed: Amount,
}

async fn read(ledger: &dyn Ledger, assets: &[OwnedAsset]) -> Result<Vec<Credit>, LedgerError> {
    read_with(ledger, assets, Vec::new()).await
}

/// All that is in a balance or held, and these accounts, whether something is or not.
pub(super) async fn read_with(
    ledger: &dyn Ledger,
    assets: &[OwnedAsset],
    known: Vec<CreditAccount>,
) -> Result<Vec<Credit>, LedgerError> {
    let mut all: BTreeMap<CreditAccount, (Amount, Amount)> = BTreeMap::new();
    all.extend(known.into_iter().map(|account| (account, Default::default())));
    for (account, balance) in ledger.balances().await? {
        all.entry(account).or_default().0 = balance;
    }
    for draw in ledger.held_draws().await? {
        let (_, held) = all.entry(draw.account).or_default();
        *held = held.checked_add(draw.amount).ok_or(LedgerError::Overflow)?;
    }
    let mut debts: BTreeMap<CreditAccount, Amount> = BTreeMap::new();
    for entry in ledger.open_entries().await?.iter().filter(|entry| entry.is_debt()) {
        let owed = debts.entry(CreditAccount::of(&entry.payment)).or_default();
        *owed = owed.checked_add(entry.outstanding()).ok_or(LedgerError::Overflow)?;
    }
    let rows = all.into_iter().map(|(account, (balance, held))| {
        let owed = debts.get(&account).copied().unwrap_or_default();
        let (symbol, decimals) = name_and_decimals(account.chain_id, account.asset, assets);
        Credit { account, symbol, decimals, balance, held, owed }
    });
    Ok(rows.collect())
}

impl Credit {
    /// The columns of an export, in their order.
    pub(super) const COLUMNS: [&'static str; 11] = [
        "payer",
        "chain",
        "asset",
        "symbol",
        "pay_to",
        "amount_units",
        "amount",
        "held_units",
        "held",
        "owed_units",
        "owed",
    ];
    /// The titles of [`Self::cells`].
    pub(super) const TITLES: [&'static str; 5] = ["payer", "credit", "held", "owed", "pay to"];

    /// In units of the asset, where its decimals are known.
    fn decimal(&self, amount: Amount) -> String {
        let decimal = self.decimals.map(|decimals| amount.to_price(decimals).to_string());
        decimal.unwrap_or_default()
    }

    /// In the order of [`Self::COLUMNS`]; empty for what is not known.
    pub(super) fn fields(&self) -> [String; 11] {
        let CreditAccount { payer, chain_id, asset, seller } = self.account;
        [
            payer.to_string(),
            chain_id.to_string(),
            asset.to_string(),
            self.symbol.clone(),
            seller.to_string(),
            self.balance.to_string(),
            self.decimal(self.balance),
            self.held.to_string(),
            self.decimal(self.held),
            self.owed.to_string(),
            self.decimal(self.owed),
        ]
    }

    pub(super) fn cells(&self) -> [String; 5] {
        let CreditAccount { payer, seller, asset, .. } = self.account;
        let amount = |amount| in_words(amount, asset, (&self.symbol, self.decimals));
        let [balance, held, owed] = [self.balance, self.held, self.owed].map(amount);
        [payer.to_string(), balance, held, owed, seller.to_string()]
    }

    pub(super) fn json(&self) -> Value {
        object(Self::COLUMNS, self.fields())
    }
}
