//! Somebody who reads the payments of others on the chain, and presents them: the answer is not his.

use core::time::Duration;
use std::sync::Arc;

use http::Request;
use http_body_util::BodyExt as _;
use tokio::time::{sleep, timeout};
use tower::ServiceExt as _;
use x402_core::Signature;
use x402_core::proof::{FIELD, PayerProof, ProofField};

use crate::broken::Broken;
use crate::cheat::{Said, nothing};
use crate::run::{Sold, Stage};
use crate::signing::signature;
use crate::world::lock;

/// Where it is sold.
const ORIGIN: &str = "http://localhost";

/// What shows to the seller who pays: no chain has it.
pub(crate) fn key(index: usize) -> String {
    format!("the-key-that-payer-{index}-made-up")
}

impl Stage {
    /// Presents a payment that was sent to the chain, some times, with what can be made up.
    pub(crate) async fn observe(self: Arc<Self>, index: usize, service: Sold) {
        for _ in 0..4 {
            let pause = lock(&self.world).random.below(60_000);
            sleep(Duration::from_millis(pause)).await;
            if !lock(&self.world).is_on_the_chain(index) {
                continue;
            }
            let answer = service.clone().oneshot(self.made_up(index));
            let Ok(answer) = timeout(Duration::from_secs(60), answer).await else { continue };
            let Ok(answer) = answer;
            let status = answer.status();
            let Ok(body) = answer.into_body().collect().await else { continue };
            let mut world = lock(&self.world);
            world.counts.observed += 1;
            // Work that failed was done all the same.
            if body.to_bytes().starts_with(b"payment ") {
                world.violated(format!("I10: who reads payment {index} on the chain has {status}"));
            }
        }
    }

    /// The payment, as it is on the chain, with something of one's own.
    fn made_up(&self, index: usize) -> Request<Said> {
        let mut request = Request::get("/paid");
        for (name, value) in &self.payments[index] {
            request = request.header(*name, value);
        }
        let guise = lock(&self.world).random.below(3);
        request = match guise {
            0 => request,
            1 => request.header("Idempotency-Key", key(index + 1)),
            _ => request.header(FIELD, self.forged(index)),
        };
        request.body(nothing()).unwrap()
    }

    /// A proof with somebody's signature.
    fn forged(&self, index: usize) -> String {
        let payment = self.ids[index];
        let time = lock(&self.world).clock();
        if self.broken == Some(Broken::Payer) {
            let proof = PayerProof { origin: ORIGIN, payment, time };
            self.book.believe(*proof.digest().as_bytes(), payment.from);
        }
        let signature = Signature::from_rsv(&signature()).unwrap();
        ProofField { time, signature }.to_string()
    }
}
