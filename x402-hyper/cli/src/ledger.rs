//! `ledger`: the books of a seller, also while it sells.

mod credits;
mod import;
mod print;
mod refund;
mod rotate;
mod row;
mod unserved;

use std::path::PathBuf;
use std::sync::Arc;

use x402_core::Amount;
use x402_core::hex::Hex;
use x402_std::Ledger;
use x402_std::chain::TxHash;
use x402_std::config::{Config, LedgerConfig, Overrides, OwnedAsset};
use x402_std::ledger::{CreditAccount, Entry, LedgerError, RedbLedger, Returned, Step};

use crate::args::{
    LedgerCommand, LedgerExport, LedgerForgive, LedgerList, LedgerResolve, LedgerShow, LedgerSource,
};
use crate::exit::{Exit, Failure};
use crate::output;
use crate::shop::{self, Shop};
use crate::time;
use row::{Row, in_words, name_and_decimals};

pub(crate) async fn run(command: LedgerCommand) -> Result<Exit, Failure> {
    match command {
        LedgerCommand::List(args) => list(args).await,
        LedgerCommand::Show(args) => show(args).await,
        LedgerCommand::Export(args) => export(args).await,
        LedgerCommand::Resolve(args) => resolve(args).await,
        LedgerCommand::Forgive(args) => forgive(args).await,
        LedgerCommand::Credits(args) => credits::run(args).await,
        LedgerCommand::Refund(args) => refund::run(args).await,
        LedgerCommand::Import(args) => import::run(args).await,
    }
}

async fn list(args: LedgerList) -> Result<Exit, Failure> {
    let mut rows = read(&args.source).await?;
    rows.retain(|row| !args.open || row.entry.is_open() || row.entry.is_unserved());
    rows.retain(|row| args.state.is_none_or(|state| row.entry.state == state.into()));
    let old = args.limit.map_or(0, |limit| rows.len().saturating_sub(limit));
    print::rows(rows.get(old..).unwrap_or_default(), args.format);
    Ok(Exit::Ok)
}

async fn show(args: LedgerShow) -> Result<Exit, Failure> {
    let wanted = args.what.to_lowercase();
    let mut rows = read(&args.source).await?;
    rows.retain(|row| {
        let nonce = Hex(row.entry.payment.transfer().nonce().as_bytes()).to_string();
        let mut hashes = row.entry.replaced.iter().map(ToString::to_string);
        row.entry.id().to_string() == wanted
            || nonce == wanted
            || row.transaction().as_ref() == Some(&wanted)
            || hashes.any(|hash| hash == wanted)
    });
    if rows.is_empty() {
        return Err(Failure::failed(format!("there is no payment {}", args.what))
            .help("name an id as `x402 ledger list` has it, a transaction, or the payer's nonce"));
    }
    for row in &rows {
        let mut object = row.json();
        let replaced = row.entry.replaced.iter().map(ToString::to_string);
        object["earlier_transactions"] = replaced.collect();
        let body = row.entry.answer.as_ref().and_then(|answer| answer.body.as_ref());
        object["answer_bytes"] = body.map(Vec::len).into();
        if let Some(Returned::Refunded(transaction)) = row.entry.returned {
            object["refunded_by"] = transaction.to_string().into();
        }
        if let Some((units, amount)) = row.credit() {
            object["credit_units"] = units.into();
            object["credit"] = amount.into();
        }
        output::line(format_args!("{object:#}"));
    }
    Ok(Exit::Ok)
}

async fn export(args: LedgerExport) -> Result<Exit, Failure> {
    let time = |text: &Option<String>| match text {
        None => Ok(None),
        Some(text) => time::parse(text).map(Some).ok_or_else(|| {
            Failure::usage(format!("{text:?} is no time"))
                .help("write 2026-09-21, 2026-09-21T14:13:20Z, or Unix seconds")
        }),
    };
    let (from, to) = (time(&args.from)?, time(&args.to)?);
    let mut rows = read(&args.source).await?;
    rows.retain(|row| from.is_none_or(|from| row.entry.claimed_at >= from));
    rows.retain(|row| to.is_none_or(|to| row.entry.claimed_at < to));
    print::rows(&rows, Some(args.format));
    for line in sums(&rows)? {
        output::note(line);
    }
    Ok(Exit::Ok)
}

/// What was received, for each asset.
fn sums(rows: &[Row]) -> Result<Vec<String>, Failure> {
    let mut sums: Vec<(&Row, usize, Amount)> = Vec::new();
    for row in rows.iter().filter(|row| row.is_received()) {
        let asset = |row: &Row| (row.entry.payment.chain_id(), row.entry.payment.asset());
        let sum = sums.iter_mut().find(|(first, ..)| asset(first) == asset(row));
        match sum {
            None => sums.push((row, 1, row.units())),
            Some((_, count, sum)) => {
                let more = sum.checked_add(row.units());
                *sum =
                    more.ok_or_else(|| Failure::failed("the sum is more than can be counted"))?;
                *count += 1;
            }
        }
    }
    let lines = sums.into_iter().map(|(row, count, sum)| {
        let (chain, token) = (row.entry.payment.chain_id(), row.entry.payment.asset());
        let decimal =
            row.decimals.map(|decimals| format!(", {} {}", sum.to_price(decimals), row.symbol));
        let decimal = decimal.unwrap_or_default();
        format!("received: {count} payments, {sum} units{decimal} (token {token} on {chain})")
    });
    Ok(lines.collect())
}

async fn resolve(args: LedgerResolve) -> Result<Exit, Failure> {
    let config = load(&args.config, args.ledger)?;
    let shop = Shop::open(&config, args.allow_dev_key, false).await?;
    if let (Some(payment), Some(transaction)) = (&args.payment, &args.accept) {
        return accept(&shop, payment, transaction).await;
    }
    if let Some(payment) = &args.credit {
        return unserved::credit(&shop, &config, payment).await;
    }
    shop.seller.watch().await.map_err(Failure::failed)?;
    let open = shop.seller.resolve_open().await.map_err(Failure::failed)?;
    release_holds(&shop, &config).await?;
    let unserved = unserved::list(&shop, &config).await?;
    if open == 0 {
        if unserved != 0 {
            return Ok(Exit::Ok);
        }
        output::line("nothing is open");
        return Ok(Exit::Ok);
    }
    output::line(format_args!("{open} payments are open still: what became of them is not known"));
    Ok(Exit::Unknown)
}

/// What is held for work that nobody does any more goes back to its payers' credit.
async fn release_holds(shop: &Shop, config: &Config) -> Result<(), Failure> {
    let assets = shop::assets_of(config);
    for draw in shop.seller.release_holds().await.map_err(Failure::failed)? {
        let CreditAccount { payer, chain_id, asset, .. } = draw.account;
        let (symbol, decimals) = name_and_decimals(chain_id, asset, &assets);
        let amount = in_words(draw.amount, asset, (&symbol, decimals));
        output::done(format_args!(
            "{amount} are credit of {payer} again: they were held for work that was not ended"
        ));
    }
    Ok(())
}

/// Takes the operator's word for what the chain does not tell.
async fn accept(shop: &Shop, payment: &str, transaction: &str) -> Result<Exit, Failure> {
    let hash = x402_core::hex::decode(transaction).map_err(|_| {
        Failure::usage(format!("{transaction:?} is no transaction")).help("write 0x and 64 digits")
    })?;
    let wanted = payment.to_lowercase();
    let open = shop.seller.open_payments().await.map_err(Failure::failed)?;
    let Some(id) = open.into_iter().find(|id| id.to_string() == wanted) else {
        return Err(Failure::failed(format!("there is no open payment {payment}"))
            .help("name an id as `x402 ledger list --open` has it"));
    };
    let settled = shop.seller.accept(id, TxHash(hash)).await;
    let settlement = settled.map_err(|error| {
        Failure::failed(error).help("look at the transaction's logs: one of them has to be its own")
    })?;
    let position = settlement.log.map_or_else(String::new, |log| format!(", log {}", log.position));
    output::done(format_args!("{id} was paid by {}{position}", settlement.transaction));
    Ok(Exit::Ok)
}

async fn forgive(args: LedgerForgive) -> Result<Exit, Failure> {
    let (ledger, _) = locate(&args.source)?;
    // The file itself, and not a copy of it.
    let ledger = shop::open_ledger(&ledger).await?;
    let wanted = args.what.to_lowercase();
    let ids = ledger.ids().await.map_err(Failure::failed)?;
    let Some(id) = ids.into_iter().find(|id| id.to_string() == wanted) else {
        return Err(Failure::failed(format!("there is no payment {}", args.what))
            .help("name an id as `x402 ledger list` has it"));
    };
    let entry = ledger.find(id).await.map_err(Failure::failed)?;
    let Some(entry) = entry.filter(Entry::is_debt) else {
        return Err(Failure::failed(format!("nothing is owed for {id}"))
            .help("only what was served and not paid can be forgiven"));
    };
    ledger.apply(id, Step::Forgiven).await.map_err(Failure::failed)?;
    output::done(format_args!("{} owes nothing for {id}", entry.payment.payer()));
    Ok(Exit::Ok)
}

fn load(path: &std::path::Path, ledger: Option<String>) -> Result<Config, Failure> {
    let overrides = Overrides { ledger, ..Overrides::default() };
    let env = |name: &str| std::env::var(name).ok();
    Config::load(path, env, &overrides).map_err(|error| Failure::configuration(&error))
}

/// All payments, the oldest first.
async fn read(source: &LedgerSource) -> Result<Vec<Row>, Failure> {
    let (ledger, assets) = locate(source)?;
    let ledger = open(&ledger).await?;
    let failed = |error: LedgerError| Failure::failed(error);
    let mut rows = Vec::new();
    for id in ledger.ids().await.map_err(failed)? {
        // It may have been forgotten since.
        if let Some(entry) = ledger.find(id).await.map_err(failed)? {
            rows.push(Row::new(entry, &assets));
        }
    }
    rows.sort_by_key(|row| (row.entry.claimed_at, row.entry.id()));
    Ok(rows)
}

/// Which ledger is meant, and the tokens that the seller has names for.
fn locate(source: &LedgerSource) -> Result<(LedgerConfig, Vec<OwnedAsset>), Failure> {
    if let Some(path) = &source.config {
        let config = load(path, source.ledger.clone())?;
        let assets = shop::assets_of(&config);
        return Ok((config.ledger, assets));
    }
    let text = source.ledger.clone().unwrap_or_default();
    let ledger = LedgerConfig::parse(&text).ok_or_else(|| {
        Failure::usage("this is no ledger").help("name a file, or the URL of a database")
    })?;
    Ok((ledger, Vec::new()))
}

async fn open(config: &LedgerConfig) -> Result<Arc<dyn Ledger>, Failure> {
    match config {
        LedgerConfig::Memory => Err(in_memory()),
        LedgerConfig::File(path) => open_copy(path.clone()).await,
        other => shop::open_ledger(other).await,
    }
}

fn in_memory() -> Failure {
    Failure::usage("a ledger in memory is in its gateway only")
        .help("use a file or a database: `ledger: ./x402.redb`")
}

/// The gateway may have the file open.
async fn open_copy(path: PathBuf) -> Result<Arc<dyn Ledger>, Failure> {
    let opened = tokio::task::spawn_blocking(move || RedbLedger::open_copy(path)).await;
    let ledger = opened.map_err(Failure::failed)?.map_err(Failure::failed)?;
    Ok(Arc::new(ledger))
}
