//! What was paid and never served, in `ledger resolve` and `ledger refund`.

use x402_core::Refusal;
use x402_std::Ledger;
use x402_std::config::Config;
use x402_std::ledger::Entry;
use x402_std::seller::RefundError;

use super::row::{Row, in_words};
use crate::exit::{Exit, Failure};
use crate::output;
use crate::shop::{self, Shop};
use crate::time::rfc3339;

const LIST: &str = "name an id as `x402 ledger list --open` has it";
const LATER: &str = "the same command later";

/// Says what there is of it, and how many.
pub(super) async fn list(shop: &Shop, config: &Config) -> Result<usize, Failure> {
    let assets = shop::assets_of(config);
    let unserved = shop.seller.unserved().await.map_err(Failure::failed)?;
    let count = unserved.len();
    for entry in unserved {
        output::line(in_a_line(&Row::new(entry, &assets)));
    }
    Ok(count)
}

fn in_a_line(row: &Row) -> String {
    let (entry, amount) = (&row.entry, amount(row));
    let (id, payer, time) = (entry.id(), entry.payment.payer(), rfc3339(entry.claimed_at));
    if entry.returned.is_some() {
        return format!(
            "{id}: {amount} are being refunded to {payer}: `x402 ledger refund {payer} --payment {id}` goes on"
        );
    }
    format!(
        "{id}: {amount} were paid by {payer}, claimed at {time}, and are not served: its payer may come back, \
         `--credit {id}` makes it credit, `x402 ledger refund {payer} --payment {id}` gives it back"
    )
}

fn amount(row: &Row) -> String {
    in_words(row.units(), row.entry.payment.asset(), (&row.symbol, row.decimals))
}

/// Makes one its payer's credit.
pub(super) async fn credit(shop: &Shop, config: &Config, wanted: &str) -> Result<Exit, Failure> {
    let entry = find(&*shop.ledger, wanted).await?;
    let credited = shop.seller.credit_unserved(entry.id()).await;
    let entry = credited.map_err(|error| failed(&error))?;
    let row = Row::new(entry, &shop::assets_of(config));
    output::done(format_args!("{} are credit of {}", amount(&row), row.entry.payment.payer()));
    Ok(Exit::Ok)
}

/// The payment with this id.
pub(super) async fn find(ledger: &dyn Ledger, wanted: &str) -> Result<Entry, Failure> {
    let lower = wanted.to_lowercase();
    let ids = ledger.ids().await.map_err(Failure::failed)?;
    let id = ids.into_iter().find(|id| id.to_string() == lower);
    let entry = match id {
        Some(id) => ledger.find(id).await.map_err(Failure::failed)?,
        None => None,
    };
    entry.ok_or_else(|| Failure::failed(format!("there is no payment {wanted}")).help(LIST))
}

/// Says why one was not given back.
pub(super) fn failed(error: &RefundError) -> Failure {
    let text = match error {
        RefundError::Rejected(rejection) if rejection.refusal == Refusal::InFlight => {
            return Failure::failed("somebody serves this payment, or gives it back").help(LATER);
        }
        RefundError::NotFinal(_) => {
            return Failure::failed("the chain may still go back on the payment").help(LATER);
        }
        RefundError::Unserved(_) => LIST,
        RefundError::Owing(_) => {
            "`x402 ledger resolve --credit ID` makes it credit, which what is owed is set off against"
        }
        _ => "the same command goes on with it, and gives it back once",
    };
    Failure::failed(error).help(text)
}
