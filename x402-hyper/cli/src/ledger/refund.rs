//! `ledger refund`: gives credit back on the chain.

use std::sync::Arc;

use x402_core::secp256k1::K256Signer;
use x402_core::{Address, Amount, Asset, Error, Price, Refusal, Signer as _};
use x402_std::Seller;
use x402_std::config::{FacilitatorChoice, LedgerConfig, OwnedAsset};
use x402_std::key::SecretKey;
use x402_std::ledger::{CreditAccount, Entry};
use x402_std::seller::{RefundError, Refunded, Refunder, Rejection, SetOff};

use super::row::{in_words, name_and_decimals};
use super::{in_memory, load, unserved};
use crate::args::LedgerRefund;
use crate::exit::{Exit, Failure};
use crate::output;
use crate::shop::{self, Shop};

/// The variable with the key of the address that was paid.
const KEY: &str = "X402_REFUND_KEY";
const KEY_OF_PAY_TO: &str = "a refund is signed with the key of pay_to";
const AGAIN: &str = "the amount is set aside; the same command goes on with it, and pays it once";

pub(super) async fn run(args: LedgerRefund) -> Result<Exit, Failure> {
    let payer = Address::parse(&args.payer).map_err(|error| {
        Failure::usage(format!("{:?} is no address: {error}", args.payer))
            .help("name the payer as `x402 ledger credits` has it")
    })?;
    let key = signer(&args)?;
    let config = load(&args.config, args.ledger)?;
    if !matches!(config.facilitator, FacilitatorChoice::Local) {
        return Err(Failure::usage("a facilitator settles what is paid to you, and no refunds")
            .help("use a file with chain, and without facilitator"));
    }
    if config.ledger == LedgerConfig::Memory {
        return Err(in_memory());
    }
    let assets = shop::assets_of(&config);
    let shop = Shop::open(&config, args.allow_dev_key, false).await?;
    let till = Till { seller: &shop.seller, assets: &assets, key: &key };
    match &args.payment {
        Some(payment) => {
            till.refund_payment(payer, unserved::find(&*shop.ledger, payment).await?).await
        }
        None => till.refund(payer, args.amount.as_deref()).await,
    }
}

/// The key of the address that was paid: from the file, or from the variable.
fn signer(args: &LedgerRefund) -> Result<K256Signer, Failure> {
    let key = match &args.key_file {
        Some(path) => SecretKey::from_file(path),
        None => SecretKey::from_env(KEY),
    };
    let help = format!("give --key-file, or set {KEY} to the key of pay_to in hex");
    key.and_then(|key| key.signer()).map_err(|error| Failure::usage(error).help(help))
}

/// Whom the money comes from, and in what.
struct Till<'a> {
    seller: &'a Arc<Seller>,
    assets: &'a [OwnedAsset],
    key: &'a K256Signer,
}

impl Till<'_> {
    async fn refund(&self, payer: Address, amount: Option<&str>) -> Result<Exit, Failure> {
        self.set_off(payer).await?;
        let mut open = self.seller.open_refunds().await.map_err(Failure::failed)?;
        let mut credits = self.seller.credits_of(payer).await.map_err(Failure::failed)?;
        open.retain(|draw| draw.account.payer == payer);
        let all: Vec<_> = open.iter().map(|draw| draw.account).collect();
        let all: Vec<_> = all.into_iter().chain(credits.iter().map(|credit| credit.0)).collect();
        let ours = self.key.address();
        open.retain(|draw| draw.account.seller == ours);
        credits.retain(|(account, _)| account.seller == ours);
        // All that can be wrong is found before anything is drawn.
        for account in &all {
            self.asset(account)?;
        }
        if let (Some(account), true) = (all.first(), open.is_empty() && credits.is_empty()) {
            let message = format!("the key is that of {ours}, and {} was paid", account.seller);
            return Err(Failure::usage(message).help(KEY_OF_PAY_TO));
        }
        let asked = amount.map(Price::parse).transpose().map_err(|error| wrong(&error))?;
        let credits = match asked {
            // What was begun before is what was asked for, or comes first.
            Some(_) if !open.is_empty() => Vec::new(),
            Some(price) => self.part(credits, price)?,
            None => credits,
        };
        if open.is_empty() && credits.is_empty() {
            output::line("there is nothing to refund");
            return self.note_unserved(payer).await;
        }
        let mut is_left = asked.is_some() && !open.is_empty();
        for draw in open {
            let (account, asset) = (draw.account, self.asset(&draw.account)?);
            let by = Refunder { asset: &asset, key: self.key };
            is_left &=
                asked.and_then(|price| price.to_amount(asset.decimals).ok()) != Some(draw.amount);
            say(&account, &asset, self.seller.resume_refund(draw, by).await)?;
        }
        if let Some(price) = asked.filter(|_| is_left) {
            let message = format!("{price} is not refunded: what was open came first");
            return Err(Failure::failed(message).help("the same command again refunds it"));
        }
        for (account, balance) in credits {
            let asset = self.asset(&account)?;
            let amount = match asked {
                Some(_) => balance,
                None => self.final_part(account, balance, &asset).await?,
            };
            if amount == Amount::ZERO {
                continue;
            }
            let by = Refunder { asset: &asset, key: self.key };
            say(&account, &asset, self.seller.refund(account, amount, by).await)?;
        }
        Ok(Exit::Ok)
    }

    /// What the payer owes is not given back.
    async fn set_off(&self, payer: Address) -> Result<(), Failure> {
        for SetOff { payment, account, amount } in
            self.seller.set_off(payer).await.map_err(Failure::failed)?
        {
            let (symbol, decimals) =
                name_and_decimals(account.chain_id, account.asset, self.assets);
            let amount = in_words(amount, account.asset, (&symbol, decimals));
            output::note(format_args!(
                "{amount} of the credit are set off against what is owed for {payment}"
            ));
        }
        Ok(())
    }

    /// Gives a payment back that was not served.
    async fn refund_payment(&self, payer: Address, entry: Entry) -> Result<Exit, Failure> {
        let (account, id) = (CreditAccount::of(&entry.payment), entry.id());
        if account.payer != payer {
            return Err(Failure::usage(format!("{id} was paid by {}", account.payer))
                .help("name who has paid before --payment"));
        }
        let asset = self.asset(&account)?;
        let by = Refunder { asset: &asset, key: self.key };
        let refunded = self.seller.refund_unserved(id, by).await;
        let refunded = refunded.map_err(|error| match error {
            RefundError::Rejected(rejection) if rejection.refusal != Refusal::InFlight => {
                rejected(&account, &asset, &rejection)
            }
            error @ RefundError::Key(_) => Failure::usage(error).help(KEY_OF_PAY_TO),
            error => unserved::failed(&error),
        })?;
        tell(&account, &asset, &refunded);
        Ok(Exit::Ok)
    }

    /// What the payer has paid and not been served is no credit: it may be served yet.
    async fn note_unserved(&self, payer: Address) -> Result<Exit, Failure> {
        let unserved = self.seller.unserved().await.map_err(Failure::failed)?;
        for entry in unserved.iter().filter(|entry| entry.payment.payer() == payer) {
            let id = entry.id();
            output::note(format_args!(
                "{id} was paid and is not served: --payment {id} refunds it"
            ));
        }
        Ok(Exit::Ok)
    }

    /// What of a balance the chain cannot go back on.
    async fn final_part(
        &self,
        account: CreditAccount,
        balance: Amount,
        asset: &Asset<'_>,
    ) -> Result<Amount, Failure> {
        let refundable = self.seller.refundable(account).await.map_err(Failure::failed)?;
        let waits = balance.checked_sub(refundable).unwrap_or_default();
        if waits != Amount::ZERO {
            let waits = waits.to_price(asset.decimals);
            output::note(format_args!(
                "{waits} {} is of payments that are not final yet: refund it later",
                asset.symbol
            ));
        }
        Ok(refundable.min(balance))
    }

    fn asset(&self, account: &CreditAccount) -> Result<Asset<'_>, Failure> {
        let CreditAccount { chain_id, asset, .. } = *account;
        let mut assets = self.assets.iter().map(OwnedAsset::as_asset);
        let listed = assets.find(|listed| (listed.chain_id, listed.address) == (chain_id, asset));
        listed.ok_or_else(|| {
            Failure::usage(format!("the credit is in the token {asset} on {chain_id}"))
                .help("use a file that sells for that token")
        })
    }

    /// So much of the only balance, in units of its asset.
    fn part(
        &self,
        credits: Vec<(CreditAccount, Amount)>,
        price: Price,
    ) -> Result<Vec<(CreditAccount, Amount)>, Failure> {
        let [(account, balance)] = credits[..] else {
            return match credits[..] {
                [] => Ok(credits),
                _ => Err(Failure::usage("the payer has credit in several tokens")
                    .help("leave out --amount: everything is given back")),
            };
        };
        let asset = self.asset(&account)?;
        let amount = price.to_amount(asset.decimals).map_err(|error| wrong(&error))?;
        if amount == Amount::ZERO {
            return Err(wrong(&"it is nothing"));
        }
        if amount > balance {
            return Err(short(&asset, balance));
        }
        Ok(vec![(account, amount)])
    }
}

fn wrong(error: &dyn core::fmt::Display) -> Failure {
    Failure::usage(format!("--amount: {error}"))
        .help("write a decimal in units of the asset, such as 0.05")
}

fn short(asset: &Asset<'_>, balance: Amount) -> Failure {
    let balance = balance.to_price(asset.decimals);
    Failure::failed(format!("the credit is {balance} {} only", asset.symbol))
}

/// Says what became of a refund.
fn say(
    account: &CreditAccount,
    asset: &Asset<'_>,
    refunded: Result<Refunded, RefundError>,
) -> Result<(), Failure> {
    let refunded = refunded.map_err(|error| match error {
        RefundError::Short(balance) => short(asset, balance),
        RefundError::NotFinal(refundable) => {
            let refundable = refundable.to_price(asset.decimals);
            Failure::failed(format!(
                "only {refundable} {} of the credit is of payments that are final",
                asset.symbol
            ))
            .help("the same command later, once the chain cannot go back on them")
        }
        RefundError::Rejected(rejection) => rejected(account, asset, &rejection),
        error @ RefundError::Ledger(_) => Failure::failed(error).help(AGAIN),
        error => Failure::usage(error),
    })?;
    tell(account, asset, &refunded);
    Ok(())
}

fn tell(account: &CreditAccount, asset: &Asset<'_>, refunded: &Refunded) {
    let Refunded { amount, transaction, .. } = refunded;
    let (amount, payer) = (amount.to_price(asset.decimals), account.payer);
    output::done(format_args!("refunded {amount} {} to {payer}: {transaction}", asset.symbol));
}

fn rejected(account: &CreditAccount, asset: &Asset<'_>, rejection: &Rejection) -> Failure {
    let failure = match rejection.refusal {
        Refusal::Pending => {
            Failure::new(Exit::Unknown, "what became of the refund is not known yet")
        }
        Refusal::InFlight => return Failure::failed("another process is at this refund"),
        Refusal::Payment(Error::Balance) => {
            Failure::failed(format!("{} has too little {}", account.seller, asset.symbol))
        }
        refusal => Failure::failed(refusal),
    };
    let failure = failure.help(AGAIN);
    match rejection.transaction {
        Some(transaction) => failure.at(format_args!("transaction {transaction}")),
        None => failure,
    }
}
