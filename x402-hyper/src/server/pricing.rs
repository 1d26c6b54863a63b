use std::sync::Arc;

use bytes::Bytes;
use http::HeaderValue;
use http::request::Parts;
use x402_core::Offer;
use x402_std::ledger::Settle;
use x402_std::quote::RouteHash;
use x402_std::seller::Replay;

use super::metering::Metering;

/// What is sold, and every way to pay for it.
#[derive(Clone, Debug, Default)]
pub struct Sale {
    /// The route that it is sold by: quotes and passes for it are good there and nowhere else.
    pub route: RouteHash,
    /// The ways to pay; the first is the one that the header dialect tells.
    pub offers: Vec<Offer<'static>>,
    /// What is sold, in the seller's words; may be empty.
    pub description: String,
    /// The media type of the answer; may be empty.
    pub mime_type: String,
    /// When the money moves.
    pub settle: Settle,
    /// Who has an answer again. What is measured is the payer's alone, for there is more in it than an
    /// answer: a pass, or the name of a balance.
    pub replay: Replay,
    /// What the URLs of what is sold begin with: `https://api.example.com`. Where it is empty, it is
    /// what the client asks for, by plain HTTP.
    pub base_url: String,
    /// v2: what is declared of the extensions, a JSON object; empty for none.
    pub extensions: String,
    /// v1: `outputSchema`, a JSON object; empty for none.
    pub output_schema: String,
    /// How the answer is measured, where the offers are ceilings; `None` where they are the price.
    pub metering: Option<Arc<dyn Metering>>,
}

impl From<Offer<'static>> for Sale {
    fn from(offer: Offer<'static>) -> Self {
        Self { offers: vec![offer], ..Self::default() }
    }
}

impl From<Offer<'static>> for Quote {
    fn from(offer: Offer<'static>) -> Self {
        Self::Paid(Arc::new(offer.into()))
    }
}

/// What a request costs, and whether there is anything to be had at all.
#[derive(Clone, Debug)]
pub enum Quote {
    /// It depends on the body: up to so many bytes of it are read, and [`Pricing::quote_body`] is asked.
    /// A longer one is refused with 413.
    ByBody(usize),
    /// There is nothing at this path: 404, and the service behind is not asked.
    Absent,
    /// It costs nothing: the request goes on to the service behind.
    Free,
    /// There is something at this path, for other methods: 405 with this `Allow`.
    MethodNotAllowed(HeaderValue),
    /// It is sold on these terms.
    Paid(Arc<Sale>),
    /// The request cannot be priced: 400, with these words.
    Unpriced(String),
}

/// What says what a request costs.
///
/// A closure over the request's head is one, and so is an [`Offer`]: one price for everything.
/// Whatever is not named must not be [`Quote::Free`] by accident: fail closed.
pub trait Pricing: Send + Sync + 'static {
    /// The price of a request.
    ///
    /// It is asked before anything is read of the body, and must not block.
    fn quote(&self, request: &Parts) -> Quote;

    /// The price of a request whose body was read, where [`Self::quote`] said [`Quote::ByBody`]. It must
    /// be the same for the same request: a repetition is priced again.
    fn quote_body(&self, request: &Parts, body: &Bytes) -> Quote {
        let _ = body;
        match self.quote(request) {
            Quote::ByBody(_) => Quote::Absent,
            quote => quote,
        }
    }

    /// The header fields that a price depends on, beside the method, the target and the body; `None` where
    /// that is not known. What is quoted is then good for a request that has the same ones, and where it is
    /// not known nothing is: else a quote for a cheap request could pay for a dear one.
    fn fields(&self) -> Option<&'static [&'static str]> {
        None
    }
}

impl<F: Fn(&Parts) -> Quote + Send + Sync + 'static> Pricing for F {
    fn quote(&self, request: &Parts) -> Quote {
        self(request)
    }
}

impl Pricing for Offer<'static> {
    fn quote(&self, _: &Parts) -> Quote {
        (*self).into()
    }

    fn fields(&self) -> Option<&'static [&'static str]> {
        Some(&[])
    }
}
