//! The work that is sold, and what it costs: a part of what was paid.

use core::convert::Infallible;
use core::time::Duration;

use http::{Method, Request, Response, StatusCode, response};
use http_body_util::{BodyExt as _, Full};
use tokio::time::sleep;
use x402_core::Amount;
use x402_hyper::server::{Meter, Metering, Paid, Passage, RequestBody};

use crate::cheat::{ATTEMPT, Said, Sending, broken_off};
use crate::run::PRICE;
use crate::world::{Shared, index_of, lock};

/// Does the work of a payment; its answer says what it costs.
pub(crate) async fn work<B>(
    world: Shared,
    request: Request<RequestBody<B>>,
) -> Result<Response<Said>, Infallible> {
    let paid = request.extensions().get::<Paid>().expect("it is paid for");
    let index = index_of(*paid.payment.expect("it is no pass").nonce.as_bytes());
    let (run, time) = {
        let mut world = lock(&world);
        let run = world.work_begins(index);
        (run, world.random.below(8_000))
    };
    sleep(Duration::from_millis(time)).await;
    let (cost, fails) = {
        let mut world = lock(&world);
        let fails = world.weather.work_fails;
        let fails = world.chance(fails);
        let cost = if world.mode.is_measured { world.random.part(PRICE) } else { PRICE };
        (cost, fails)
    };
    if *request.method() == Method::POST && !fails {
        let attempt = request.headers().get(ATTEMPT).and_then(|value| value.to_str().ok());
        let attempt = attempt.and_then(|value| value.parse().ok()).expect("cheats number them");
        return Ok(Response::new(stream(world, (index, attempt), run, cost)));
    }
    lock(&world).work_ends(index, !fails);
    let text = format!("payment {index}, run {run}, costs {cost}");
    let mut answer = Response::new(Full::from(text).map_err(|never| match never {}).boxed());
    if fails {
        *answer.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    }
    Ok(answer)
}

/// An answer in two parts. Between them it breaks, as one behind a proxy does whose request was broken off;
/// or not, for the service does not need all of the request.
fn stream(world: Shared, (index, attempt): (usize, usize), run: u32, cost: u64) -> Said {
    let (sending, body) = Sending::new();
    tokio::spawn(async move {
        let (time, heeds) = {
            let mut world = lock(&world);
            (world.random.below(4_000), world.chance(700))
        };
        sending.piece(format!("payment {index}, run {run}, ")).await;
        sleep(Duration::from_millis(time)).await;
        let breaks = heeds && lock(&world).payments[index].broken_off.contains(&attempt);
        lock(&world).stream_ends(index, breaks);
        match breaks {
            true => sending.fails(broken_off()).await,
            false => sending.piece(format!("costs {cost}")).await,
        }
    });
    body
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

    fn cost(self: Box<Self>, passage: &Passage) -> Amount {
        match passage.is_whole {
            true => Amount::from_units(cost_of(&String::from_utf8_lossy(&self.0)).into()),
            false => passage.ceiling,
        }
    }
}
