//! Prices that a function computes.

use core::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use x402_core::{Amount, Offer, Price};

use super::pricing::{Pricing, Quote, Sale};

/// Prices that a function of the request computes, in units of the asset.
///
/// They are exact, and rounded up once, to the atomic unit. Nothing is never free: a function that yields
/// no price, or zero, makes the request one that cannot be priced ([`Quote::Unpriced`]).
///
/// ```
/// use http::Request;
/// use x402_core::{Address, Amount, Asset, ChainId, Offer, Price};
/// use x402_hyper::server::{Computed, Pricing, Quote};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let usdc = Asset::find(ChainId::ETHEREUM, "USDC").ok_or("no such asset")?;
/// let pay_to = Address::parse("0x209693Bc6afc0C5328bA36FaF03C514EF312287C")?;
/// let offer = Offer::new(*usdc, pay_to, Amount::ZERO, 60);
/// let letter = Price::parse("0.00000125")?;
/// let prices = Computed::by_body(offer, 1 << 20, move |_, body| letter.times(body.len() as u64).ok());
///
/// let (head, ()) = Request::post("/translate").body(())?.into_parts();
/// let Quote::Paid(sale) = prices.quote_body(&head, &"seven l".into()) else { panic!("no price") };
/// assert_eq!(sale.offers[0].requirements().amount, Amount::from_units(9));
/// assert!(matches!(prices.quote_body(&head, &"".into()), Quote::Unpriced(_)));
/// # Ok(())
/// # }
/// ```
pub struct Computed<F> {
    sale: Sale,
    /// How much of the body is read, where the price depends on it.
    body: Option<usize>,
    price: F,
    fields: Option<&'static [&'static str]>,
}

impl<F: Fn(&Parts, &Bytes) -> Option<Price> + Send + Sync + 'static> Computed<F> {
    /// By the body too, of at most so many bytes. The offers' amounts are replaced: they are in one asset.
    pub fn by_body(sale: impl Into<Sale>, limit: usize, price: F) -> Self {
        Self { sale: sale.into(), body: Some(limit), price, fields: None }
    }

    /// By the head: the function is shown no body.
    pub fn by_head(sale: impl Into<Sale>, price: F) -> Self {
        Self { sale: sale.into(), body: None, price, fields: None }
    }

    /// Says on which header fields the price depends: then it can be quoted ([`Pricing::fields`]).
    #[must_use]
    pub fn depending_on(mut self, fields: &'static [&'static str]) -> Self {
        self.fields = Some(fields);
        self
    }

    fn compute(&self, request: &Parts, body: &Bytes) -> Quote {
        let Some(price) = (self.price)(request, body) else {
            return Quote::Unpriced("the seller has no price for it".to_owned());
        };
        let mut sale = self.sale.clone();
        for offer in &mut sale.offers {
            let amount = match price.to_amount_ceil(offer.asset().decimals) {
                Ok(amount) if amount != Amount::ZERO => amount,
                Ok(_) => return Quote::Unpriced("its price is zero".to_owned()),
                Err(error) => return Quote::Unpriced(error.to_string()),
            };
            *offer = Offer::with_amount(*offer, amount);
        }
        Quote::Paid(Arc::new(sale))
    }
}

impl<F: Fn(&Parts, &Bytes) -> Option<Price> + Send + Sync + 'static> Pricing for Computed<F> {
    fn quote(&self, request: &Parts) -> Quote {
        match self.body {
            Some(limit) => Quote::ByBody(limit),
            None => self.compute(request, &Bytes::new()),
        }
    }

    fn quote_body(&self, request: &Parts, body: &Bytes) -> Quote {
        self.compute(request, body)
    }

    fn fields(&self) -> Option<&'static [&'static str]> {
        self.fields
    }
}

impl<F> fmt::Debug for Computed<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Computed").field("sale", &self.sale).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;
    use crate::server::testing::offer;

    fn told(price: Option<&str>) -> Option<u128> {
        let price = price.map(|text| Price::parse(text).unwrap());
        let prices = Computed::by_head(offer(1), move |_: &Parts, _: &Bytes| price);
        let (head, ()) = Request::get("/a").body(()).unwrap().into_parts();
        match prices.quote(&head) {
            Quote::Paid(sale) => sale.offers[0].requirements().amount.to_string().parse().ok(),
            Quote::Unpriced(_) => None,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn are_rounded_up_once_and_never_free() {
        assert_eq!(told(Some("0.01")), Some(10_000));
        assert_eq!(told(Some("0.0000001")), Some(1));
        assert_eq!(told(Some("0.0000011")), Some(2));
        assert_eq!(told(Some("0")), None);
        assert_eq!(told(Some("0.00")), None);
        assert_eq!(told(None), None);
        assert_eq!(told(Some(&"9".repeat(77))), None);
    }
}
