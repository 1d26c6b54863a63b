//! Requests that are paid for out of a balance, and what must be true of them.

use core::time::Duration;
use std::sync::Arc;

use tokio::time::{sleep, timeout};
use x402_core::{Amount, Refusal};
use x402_std::Seller;
use x402_std::ledger::{Answer, CreditAccount, DrawId, DrawState, RequestId};
use x402_std::seller::{DrawRefusal, DrawTicket, Drawn, NamedDraw};

use crate::names::learn;
use crate::run::PRICE;
use crate::work::cost_of;
use crate::world::{Shared, World, lock};

/// A draw that somebody wants, and what is known of it outside of the seller.
pub(crate) struct Order {
    pub(crate) account: CreditAccount,
    nonce: [u8; 32],
    /// Another request is sent with the same nonce.
    pub(crate) is_contested: bool,
    /// The answer that its clients were given.
    pub(crate) served: Option<String>,
    /// The balance was too small when no payment was to come any more.
    pub(crate) was_short: bool,
    pub(crate) is_running: bool,
    runs: u32,
}

impl Order {
    pub(crate) const fn new(account: CreditAccount, nonce: [u8; 32], is_contested: bool) -> Self {
        let (served, was_short, is_running, runs) = (None, false, false, 0);
        Self { account, nonce, is_contested, served, was_short, is_running, runs }
    }

    fn id(&self) -> DrawId {
        DrawId::new(&self.account, self.nonce)
    }
}

impl World {
    /// Whether an order is served, or cannot be.
    pub(crate) fn is_closed(&self, index: usize) -> bool {
        let order = &self.orders[index];
        let is_held = self.books.draw(order.id()).is_some_and(|draw| draw.is_held());
        !is_held && !order.is_running && (order.served.is_some() || order.was_short)
    }

    /// Which time it is that the work is begun.
    fn draw_begins(&mut self, index: usize, request: RequestId, held: Amount) -> u32 {
        let order = &mut self.orders[index];
        let fault = match self.books.draw(order.id()) {
            _ if order.is_running => Some("it is being done"),
            None => Some("nothing is held for it"),
            Some(draw) if !draw.is_held() => Some("its answer is kept"),
            Some(draw) if draw.request != request => Some("another request has its nonce"),
            Some(draw) if draw.amount != held => Some("another amount is held"),
            Some(_) => None,
        };
        order.is_running = true;
        order.runs += 1;
        let runs = order.runs;
        if let Some(fault) = fault {
            self.violated(format!("I6: the work of draw {index} is begun, and {fault}"));
        }
        runs
    }

    fn replayed(&mut self, index: usize, request: RequestId, used: Amount, answer: Answer) {
        self.counts.replayed += 1;
        let text = String::from_utf8_lossy(answer.body.as_deref().unwrap()).into_owned();
        let done = DrawState::Done { used, answer };
        let known = self.books.draw(self.orders[index].id());
        if !known.is_some_and(|draw| draw.request == request && draw.state == done) {
            self.violated(format!(
                "I6: draw {index} is given an answer that is not its own: {text}"
            ));
        }
        self.draw_served(index, text);
    }

    fn draw_served(&mut self, index: usize, text: String) {
        self.note(index as u64);
        let order = &mut self.orders[index];
        if order.served.as_ref().is_some_and(|earlier| *earlier != text) {
            self.violated(format!("I6: draw {index} is given two answers"));
        }
        self.orders[index].served = Some(text);
    }

    fn refused(&mut self, index: usize, refusal: Refusal) {
        match refusal {
            Refusal::InFlight | Refusal::InDoubt | Refusal::Unavailable => {}
            Refusal::Conflict if self.orders[index].is_contested => {}
            other => self.violated(format!("draw {index} is refused: {other:?}")),
        }
    }
}

/// Somebody who has a request served out of a balance.
pub(crate) struct Client {
    pub(crate) world: Shared,
    pub(crate) seller: Arc<Seller>,
    pub(crate) index: usize,
    pub(crate) target: &'static str,
}

/// How the work of a draw ends.
enum End {
    Done(String),
    LetGo,
    Dropped,
}

/// Work that is being done, until dropped.
struct Underway<'a>(&'a Client);

impl Drop for Underway<'_> {
    fn drop(&mut self) {
        lock(&self.0.world).orders[self.0.index].is_running = false;
    }
}

impl Client {
    /// The same request with the same nonce until it is served, for what it costs by then.
    pub(crate) async fn run(self) {
        let mut pause = lock(&self.world).random.below(20_000);
        let mut longest = 20_000;
        loop {
            sleep(Duration::from_millis(pause)).await;
            let patience = lock(&self.world).patience();
            // Whoever goes away drops what it has.
            if timeout(patience, self.attempt()).await == Ok(true) {
                return;
            }
            longest = (longest * 2).min(40_000);
            pause = 1_000 + lock(&self.world).random.below(longest);
        }
    }

    /// Whether it was served.
    async fn attempt(&self) -> bool {
        let request = RequestId::new("GET", self.target);
        let (account, nonce, amount) = {
            let mut world = lock(&self.world);
            let amount = world.random.below(PRICE);
            let order = &world.orders[self.index];
            (order.account, order.nonce, Amount::from_units(amount.into()))
        };
        let drawn = match self.draw(account, nonce, request, amount).await {
            Ok(drawn) => drawn,
            Err(DrawRefusal::Rejected(rejection)) => {
                lock(&self.world).refused(self.index, rejection.refusal);
                return false;
            }
            Err(_) => {
                learn(&self.world, &self.seller, account).await;
                return false;
            }
        };
        let mut world = lock(&self.world);
        match drawn {
            Drawn::Serve(ticket) => {
                drop(world);
                return self.serve(*ticket, request).await;
            }
            Drawn::Replay { used, answer } => {
                world.replayed(self.index, request, used, answer);
                return true;
            }
            Drawn::Short(_) => {
                world.counts.short += 1;
                world.orders[self.index].was_short = world.payments_are_content();
            }
        }
        false
    }

    /// By the name of the balance, where names are in use.
    async fn draw(
        &self,
        account: CreditAccount,
        nonce: [u8; 32],
        request: RequestId,
        amount: Amount,
    ) -> Result<Drawn, DrawRefusal> {
        let name = {
            let world = lock(&self.world);
            world.mode.is_renamed.then(|| world.name_of(account))
        };
        match name {
            Some(name) => {
                let draw = NamedDraw { name, nonce, request, amount, signed: None };
                self.seller.draw_by(&draw).await
            }
            None => {
                let drawn = self.seller.draw(account, nonce, request, amount).await;
                drawn.map_err(DrawRefusal::Rejected)
            }
        }
    }

    async fn serve(&self, ticket: DrawTicket, request: RequestId) -> bool {
        let (run, time) = {
            let mut world = lock(&self.world);
            let run = world.draw_begins(self.index, request, ticket.amount());
            (run, world.random.below(8_000))
        };
        let _underway = Underway(self);
        sleep(Duration::from_millis(time)).await;
        match self.end(run, ticket.amount()) {
            End::Done(text) => {
                let used = Amount::from_units(cost_of(&text).into());
                let body = Some(text.clone().into_bytes());
                let answer = Answer { status: 200, headers: vec![], body, request_body: [0; 32] };
                let is_kept = ticket.complete(answer, used).await.is_ok();
                if is_kept {
                    lock(&self.world).draw_served(self.index, text);
                }
                return is_kept;
            }
            End::LetGo => ticket.release().await,
            End::Dropped => drop(ticket),
        }
        false
    }

    fn end(&self, run: u32, held: Amount) -> End {
        let mut world = lock(&self.world);
        let (let_go, dropped) = (world.weather.draw_let_go, world.weather.draw_dropped);
        if world.chance(let_go) {
            world.counts.let_go += 1;
            End::LetGo
        } else if world.chance(dropped) {
            End::Dropped
        } else {
            let cost = world.random.part(held.to_string().parse().unwrap());
            let (index, target) = (self.index, self.target);
            End::Done(format!("draw {index} for {target}, run {run}, costs {cost}"))
        }
    }
}
