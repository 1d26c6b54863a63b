//! Buyers who change what they ask for, once they have paid: what was paid for is had, and no more of it.

use core::time::Duration;
use std::sync::Arc;

use bytes::Bytes;
use http::Request;
use http::request::Parts;
use http_body_util::BodyExt as _;
use tokio::time::{sleep, timeout};
use tower::ServiceExt as _;
use x402_core::{Amount, Offer};
use x402_hyper::server::{Pricing, Quote, Sale};

use crate::broken::Broken;
use crate::cheat::nothing;
use crate::observer::key;
use crate::run::{PRICE, Sold, Stage};
use crate::world::{Shared, lock};

/// How much is asked for, in units of what one price buys; one, where it is not said.
pub(crate) const SIZE: &str = "x-size";

/// So much for each unit, which is twice as much from some time on. What was paid before is served.
pub(crate) struct Priced {
    pub(crate) sale: Sale,
    pub(crate) world: Shared,
    pub(crate) broken: Option<Broken>,
}

impl Pricing for Priced {
    fn quote(&self, head: &Parts) -> Quote {
        let world = lock(&self.world);
        let is_dear = world.dearer_from.is_some_and(|from| world.milliseconds() >= from);
        let units = PRICE * size(&head.headers) * if is_dear { 2 } else { 1 };
        let amount = Amount::from_units(units.into());
        let offers = self.sale.offers.iter();
        let offers = offers.map(|offer| Offer::with_amount(*offer, amount)).collect();
        Quote::Paid(Arc::new(Sale { offers, ..self.sale.clone() }))
    }

    fn quote_body(&self, head: &Parts, _: &Bytes) -> Quote {
        self.quote(head)
    }

    fn fields(&self) -> Option<&'static [&'static str]> {
        (self.broken != Some(Broken::Fields)).then_some(&[SIZE])
    }
}

/// How much a request asks for.
pub(crate) fn size(headers: &http::HeaderMap) -> u64 {
    let size = headers.get(SIZE).and_then(|size| size.to_str().ok());
    size.map_or(1, |size| size.parse().expect("buyers write numbers"))
}

impl Stage {
    /// Asks for more than was paid for, some times, with what was paid for less, and all that its payer has.
    pub(crate) async fn ask_for_more(self: Arc<Self>, index: usize, service: Sold) {
        for _ in 0..4 {
            let (pause, size) = {
                let mut world = lock(&self.world);
                (world.random.below(40_000), 2 + world.random.below(1_439))
            };
            sleep(Duration::from_millis(pause)).await;
            let mut request = Request::get("/paid").header(SIZE, size);
            for (name, value) in &self.payments[index] {
                request = request.header(*name, value);
            }
            let request = request.header("Idempotency-Key", key(index)).body(nothing()).unwrap();
            let answer = timeout(Duration::from_secs(60), service.clone().oneshot(request));
            let Ok(answer) = answer.await else { continue };
            let Ok(answer) = answer;
            let status = answer.status();
            let Ok(body) = answer.into_body().collect().await else { continue };
            let mut world = lock(&self.world);
            world.counts.asked_for_more += 1;
            // Work that failed was done all the same.
            if body.to_bytes().starts_with(b"payment ") {
                world.violated(format!(
                    "I14: payment {index} buys one, and {size} are had for it ({status})"
                ));
            }
        }
    }
}
