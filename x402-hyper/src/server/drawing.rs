//! Requests that are paid for out of a balance.

use http::request::Parts;
use http::{HeaderMap, Method};
use x402_core::headers::{Field, HeaderError};
use x402_core::{Error, Nonce};
use x402_std::ledger::CreditAccount;
use x402_std::seller::{Purchase, Rejection, Replay};

use super::answer::{self, Asked, STRANGE_CREDIT};
use super::dialect::{self, Attached};
use super::layer::Shared;
use super::service::{Decision, request_id};
use super::task::{Means, Order};

/// What is drawn from a balance.
#[derive(Clone, Copy, Debug)]
pub(super) struct Drawing {
    pub(super) account: CreditAccount,
    /// The payer's own, by which a repetition is known.
    pub(super) nonce: Nonce,
}

impl Shared {
    /// What becomes of a request that names a balance; `None` for one that does not, or where there are
    /// none.
    pub(super) fn drawn(
        &self,
        head: &Parts,
        asked: &Asked,
        body: Option<&[u8]>,
    ) -> Option<Decision> {
        let tokens = self.tokens.as_ref()?;
        let name = head.headers.get(dialect::CREDIT)?.to_str().unwrap_or_default();
        // A price that was told is kept here too.
        let quote = head.headers.get(dialect::QUOTE).and_then(|quote| quote.to_str().ok());
        let redeemed = asked.redeem(quote);
        let (account, offer) = match tokens.account(name, redeemed.as_ref().unwrap_or(&asked.sale))
        {
            Ok(found) => found,
            Err(error) => {
                tracing::debug!(%error, "the name of a balance is not taken");
                return Some(Decision::Own(STRANGE_CREDIT.answer()));
            }
        };
        let nonce = match nonce(&head.headers) {
            Ok(nonce) => nonce,
            Err(error) => {
                let rejection = Rejection::from(error);
                return Some(Decision::Own(answer::rejected(&rejection, asked, None)));
            }
        };
        let purchase = Purchase {
            request: request_id(head, body, self.pricing.fields()),
            amount: offer.requirements().amount,
            settle: asked.sale.settle,
            replay: Replay::Payer,
        };
        let is_head = head.method == Method::HEAD;
        let means = Means::Credit(Drawing { account, nonce });
        let asked = asked.clone();
        Some(Decision::Paid(Box::new(Order { means, offer, asked, purchase, is_head })))
    }
}

/// The nonce of a draw; beside it there is no payment.
fn nonce(headers: &HeaderMap) -> Result<Nonce, Error> {
    let mixed = Error::Malformed(HeaderError::Mixed);
    let mut values = headers.get_all(Field::Nonce.name()).iter();
    let (value, None) = (values.next(), values.next()) else { return Err(mixed) };
    let value = value.ok_or(Error::Malformed(HeaderError::Missing(Field::Nonce)))?;
    let nonce = value.to_str().ok().and_then(|text| Nonce::parse(text).ok());
    let nonce = nonce.ok_or(Error::Malformed(HeaderError::Invalid(Field::Nonce)))?;
    let mut others = headers.clone();
    others.remove(Field::Nonce.name());
    match Attached::read(&others) {
        Ok(None) => Ok(nonce),
        _ => Err(mixed),
    }
}
