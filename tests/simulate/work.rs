//! The work that is sold, and what it costs: a part of what was paid.

use core::convert::Infallible;
use core::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode, response};
use http_body_util::Full;
use tokio::time::sleep;
use x402_core::Amount;
use x402_hyper::server::{Meter, Metering, Paid, Passage, RequestBody};

use crate::run::PRICE;
use crate::world::{Shared, index_of, lock};

/// Does the work of a payment; its answer says what it costs.
pub(crate) async fn work<B>(
    world: Shared,
    request: Request<RequestBody<B>>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let paid = request.extensions().get::<Paid>().expect("it is paid for");
    let index = index_of(*paid.payment.expect("it is no pass").nonce.as_bytes());
    let (run, time) = {
        let mut world = lock(&world);
        let run = world.work_begins(index);
        (run, world.random.below(8_000))
    };
    sleep(Duration::from_millis(time)).await;
    let mut world = lock(&world);
    let fails = world.weather.work_fails;
    let fails = world.chance(fails);
    world.work_ends(index, !fails);
    let cost = world.random.part(PRICE);
    let text = format!("payment {index}, run {run}, costs {cost}");
    let mut answer = Response::new(Full::from(text));
    if fails {
        *answer.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    }
    Ok(answer)
}

/// What the work costs that has this answer.
pub(crate) fn cost_of(answer: &str) -> u64 {
    let (_, cost) = answer.rsplit_once(' ').expect("an answer says what it costs");
    cost.parse().expect("a number")
}

/// Charges what an answer says that it costs.
#[derive(Debug)]
pub(crate) struct Costs;

struct Cost(Vec<u8>);

impl Metering for Costs {
    fn meter(&self, _: &response::Parts) -> Box<dyn Meter> {
        Box::new(Cost(Vec::new()))
    }
}

impl Meter for Cost {
    fn feed(&mut self, data: &[u8]) {
        self.0.extend_from_slice(data);
    }

    fn cost(self: Box<Self>, _: &Passage) -> Amount {
        Amount::from_units(cost_of(&String::from_utf8_lossy(&self.0)).into())
    }
}
