//! What the layer signs and takes back: quotes, passes, and the names of balances.

use std::sync::Arc;

use http::HeaderValue;
use http::request::Parts;
use x402_core::{Address, Offer};
use x402_std::ledger::CreditAccount;
use x402_std::quote::{CreditToken, Pass, Quote, RequestHash, TokenError, TokenKeys};

use super::metering::Period;
use super::pricing::Sale;
use super::service::target;

/// How long a quote is good, in seconds, beyond the validity of a payment that answers it: for who
/// signs slowly.
const PATIENCE: u64 = 60;

/// The keys to what the layer signs.
#[derive(Clone)]
pub(super) struct Tokens(Arc<TokenKeys>);

/// What the quotes of one request are made of.
#[derive(Clone)]
pub(super) struct Quoting {
    tokens: Tokens,
    request: RequestHash,
    now: u64,
}

impl Tokens {
    pub(super) fn new(keys: TokenKeys) -> Self {
        Self(Arc::new(keys))
    }

    /// For a request whose price depends on these fields, too.
    pub(super) fn quoting(
        &self,
        head: &Parts,
        body: Option<&[u8]>,
        fields: &[&str],
        now: u64,
    ) -> Quoting {
        let target = target(head);
        let body = body.unwrap_or_default();
        let request = RequestHash::of_request(head.method.as_str(), target, body);
        let request = fields.iter().fold(request, |request, name| {
            let values = head.headers.get_all(*name).iter().map(HeaderValue::as_bytes);
            request.with_field(name, values)
        });
        Quoting { tokens: self.clone(), request, now }
    }

    /// A pass for a period that begins now, and was paid for by an offer of the sale.
    pub(super) fn issue(
        &self,
        payer: Address,
        sale: &Sale,
        offer: &Offer<'_>,
        period: &Period,
        now: u64,
    ) -> (String, u64) {
        let terms = offer.requirements();
        let pass = Pass {
            chain_id: terms.chain_id,
            asset: terms.asset,
            pay_to: terms.pay_to,
            route: sale.route,
            price: period.price,
            payer,
            until: now.saturating_add(period.duration.as_secs()),
        };
        (pass.sign(&self.0), pass.until)
    }

    /// The name of a balance as a text.
    pub(super) fn name(&self, name: &CreditToken) -> String {
        name.sign(&self.0)
    }

    /// The name that a text is, and the offer of a sale that it can pay for.
    pub(super) fn account(
        &self,
        text: &str,
        sale: &Sale,
    ) -> Result<(CreditToken, Offer<'static>), TokenError> {
        let mut refused = TokenError::OtherAccount;
        for offer in &sale.offers {
            let terms = offer.requirements();
            let (chain_id, asset, seller) = (terms.chain_id, terms.asset, terms.pay_to);
            match CreditToken::verify(text, &self.0, chain_id, asset, seller) {
                Ok(token) => return Ok((token, *offer)),
                Err(error) => refused = error,
            }
        }
        Err(refused)
    }

    /// A pass for a sale. It was paid for by one of the offers that there still are, whatever its price is by
    /// now.
    pub(super) fn pass(&self, text: &str, sale: &Sale, now: u64) -> Result<Pass, TokenError> {
        let pass = Pass::verify(text, &self.0, &sale.route, now)?;
        let is_paid = sale.offers.iter().any(|offer| pass.is_for(offer));
        if is_paid { Ok(pass) } else { Err(TokenError::OtherAccount) }
    }
}

/// A payer's balance, in the asset of an offer.
pub(super) fn account(payer: Address, offer: &Offer<'_>) -> CreditAccount {
    let terms = offer.requirements();
    CreditAccount { payer, chain_id: terms.chain_id, asset: terms.asset, seller: terms.pay_to }
}

impl Quoting {
    /// The quotes of a sale's offers, in their order.
    pub(super) fn quotes(&self, sale: &Sale) -> Vec<String> {
        sale.offers.iter().map(|offer| self.quote(sale, offer)).collect()
    }

    fn quote(&self, sale: &Sale, offer: &Offer<'_>) -> String {
        let terms = offer.requirements();
        let seconds = u64::from(terms.max_timeout_seconds).saturating_add(PATIENCE);
        let quote = Quote {
            chain_id: terms.chain_id,
            asset: terms.asset,
            pay_to: terms.pay_to,
            route: sale.route,
            amount: terms.amount,
            request: self.request.paid_by(&terms.scheme),
            expires_at: self.now.saturating_add(seconds),
        };
        quote.sign(&self.tokens.0)
    }

    /// The sale at the price that was quoted; `None` where that quote is no good for this request, or
    /// for no offer that there still is.
    pub(super) fn redeem(&self, sale: &Sale, quote: &str) -> Option<Sale> {
        let mut redeemed = None;
        for (index, offer) in sale.offers.iter().enumerate() {
            let request = self.request.paid_by(&offer.requirements().scheme);
            let quote = Quote::verify(quote, &self.tokens.0, &sale.route, &request, self.now);
            let Some(quote) = quote.ok().filter(|quote| quote.is_for(offer)) else { continue };
            let redeemed = redeemed.get_or_insert_with(|| sale.clone());
            if let Some(offer) = redeemed.offers.get_mut(index) {
                *offer = Offer::with_amount(*offer, quote.amount);
            }
        }
        redeemed
    }
}
