//! `ledger import`: what a device without a chain has served is settled.

use std::io::Read as _;
use std::path::Path;

use x402_core::{Amount, Claimed, Error, Offer, Refusal, Requirements, hex};
use x402_std::Seller;
use x402_std::config::{Config, LedgerConfig};
use x402_std::seller::{Import, Standing};

use super::{in_memory, load};
use crate::args::LedgerImport;
use crate::exit::{Exit, Failure};
use crate::output;
use crate::shop::{self, Shop};

/// A good payment, and the number of its line.
struct Line {
    number: usize,
    import: Import,
    text: String,
}

pub(super) async fn run(args: LedgerImport) -> Result<Exit, Failure> {
    let config = load(&args.config, args.ledger)?;
    if config.ledger == LedgerConfig::Memory {
        return Err(in_memory());
    }
    let text = read(&args.file)?;
    let shop = Shop::open(&config, args.allow_dev_key, false).await?;
    let (good, bad) = examine(&shop.seller, &Terms::of(&config), &text).await?;
    if bad > 0 && !args.skip_bad {
        let error = format!("{bad} lines hold no payment that can be taken: nothing is imported");
        let help = "mend them, or pass over them with --skip-bad";
        return Err(Failure::usage(error).at_file(&args.file).help(help));
    }
    settle(&shop.seller, &good).await
}

fn read(path: &Path) -> Result<String, Failure> {
    let mut text = String::new();
    let read = if path == Path::new("-") {
        std::io::stdin().read_to_string(&mut text).map(drop)
    } else {
        std::fs::read_to_string(path).map(|file| text = file)
    };
    read.map_err(|error| Failure::usage(error).at_file(path))?;
    Ok(text)
}

/// What the seller is paid with, and to whom.
struct Terms(Vec<(Requirements, String, u8)>);

impl Terms {
    fn of(config: &Config) -> Self {
        let terms = shop::assets_of(config).into_iter().map(|asset| {
            let offer = Offer::new(asset.as_asset(), config.pay_to, Amount::ZERO, 0);
            (*offer.requirements(), asset.symbol.clone(), asset.decimals)
        });
        Self(terms.collect())
    }

    fn find(&self, payment: &Claimed) -> Result<&(Requirements, String, u8), Error> {
        let on_chain = |row: &&(Requirements, _, _)| row.0.chain_id == payment.chain_id();
        let mut rows = self.0.iter().filter(on_chain).peekable();
        rows.peek().ok_or(Error::Network)?;
        rows.find(|row| row.0.asset == payment.asset()).ok_or(Error::Asset)
    }
}

/// Judges every line: the good ones, and how many are bad, each of which is said.
async fn examine(
    seller: &Seller,
    terms: &Terms,
    text: &str,
) -> Result<(Vec<Line>, usize), Failure> {
    let (mut good, mut bad) = (Vec::new(), 0);
    for (line, number) in text.lines().map(str::trim).zip(1..) {
        if line.is_empty() {
            continue;
        }
        match examine_line(seller, terms, line).await {
            Ok((import, text)) => good.push(Line { number, import, text }),
            Err(Fault::Seller(refusal)) => return Err(Failure::failed(refusal)),
            Err(Fault::Line(error)) => {
                bad += 1;
                output::note(format_args!("line {number}: {error}"));
            }
        }
    }
    Ok((good, bad))
}

/// Why a line is not judged good.
enum Fault {
    /// It is the line's.
    Line(String),
    /// The ledger cannot be read.
    Seller(Refusal),
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Line(error.to_string())
    }
}

async fn examine_line(
    seller: &Seller,
    terms: &Terms,
    line: &str,
) -> Result<(Import, String), Fault> {
    let no_record = || Fault::Line(format!("this is no record: 0x and {} bytes", Claimed::LEN));
    let bytes: [u8; Claimed::LEN] = hex::decode(line).map_err(|_| no_record())?;
    let payment = Claimed::from_bytes(&bytes).map_err(|error| Fault::Line(error.to_string()))?;
    let (requirements, symbol, decimals) = terms.find(&payment)?;
    let examined = seller.examine(&payment, requirements).await;
    let import = examined.map_err(|rejection| match rejection.refusal {
        Refusal::Payment(error) => Fault::from(error),
        other => Fault::Seller(other),
    })?;
    let amount = payment.amount().to_price(*decimals);
    Ok((import, format!("{} {amount} {symbol} of {}", payment.id(), payment.payer())))
}

/// Takes the payments in, and says what became of each.
async fn settle(seller: &std::sync::Arc<Seller>, lines: &[Line]) -> Result<Exit, Failure> {
    let imports: Vec<_> = lines.iter().map(|line| line.import.clone()).collect();
    let imported = seller.import(&imports).await.map_err(|error| {
        Failure::failed(error).help("the same command goes on with what is not imported yet")
    })?;
    let (mut exit, mut sold_twice) = (Exit::Ok, 0);
    for (Line { number, text, .. }, imported) in lines.iter().zip(imported) {
        let before = if imported.was_known { "imported before, " } else { "" };
        let standing = match imported.standing {
            Standing::Settled(hash) => format!("settled by {hash}"),
            Standing::Pending(Some(hash)) => format!("pending: {hash} was sent"),
            Standing::Pending(None) => "pending: nothing was sent yet".to_owned(),
            Standing::Refused(refusal) => format!("refused: {refusal}"),
            Standing::SoldTwice(Some(hash)) => {
                format!("taken for another request, too, and paid once, by {hash}")
            }
            Standing::SoldTwice(None) => {
                "taken for another request, too, and paid once at most".to_owned()
            }
        };
        // What it was sold for here is in the books; it was never imported.
        let is_twice = matches!(imported.standing, Standing::SoldTwice(_));
        sold_twice += u32::from(is_twice);
        let before = if is_twice { "" } else { before };
        output::done(format_args!("line {number}: {text}: {before}{standing}"));
        exit = match (exit, imported.standing) {
            (_, Standing::Refused(_)) | (Exit::Failed, _) => Exit::Failed,
            (_, Standing::Pending(_)) => Exit::Unknown,
            (exit, Standing::Settled(_) | Standing::SoldTwice(_)) => exit,
        };
    }
    if sold_twice > 0 {
        output::note(format_args!(
            "{sold_twice} of these are a loss: what the device gave for them is not paid"
        ));
        exit = Exit::Loss;
    }
    Ok(exit)
}
