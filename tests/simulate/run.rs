//! One run: a seller with several lives, its clients, and the end of the accounts.

use core::convert::Infallible;
use core::time::Duration;
use std::sync::{Arc, Mutex};

use alloy_transport::{BoxTransport, IntoBoxTransport as _};
use bytes::Bytes;
use http::header::RETRY_AFTER;
use http::request::Parts;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use tokio::time::sleep;
use tower::ServiceExt as _;
use tower_layer::Layer as _;
use x402_core::headers::{SignatureForm, SignedPayment};
use x402_core::secp256k1::K256Signer;
use x402_core::state::State;
use x402_core::{
    Address, Amount, Asset, Authorization, ChainId, Digest, Nonce, Offer, Recover, Signature,
    SignatureError, Timestamp,
};
use x402_hyper::server::{PaymentLayer, PaymentService, Quote, Sale};
use x402_std::Seller;
use x402_std::chain::{RpcChain, RpcOptions};
use x402_std::ledger::{CreditAccount, Draw, Entry, Ledger as _, MemoryLedger, Step};
use x402_std::seller::{Later, OnChain, Rail, SellerOptions, Together};

use crate::books::Told;
use crate::disk::Disk;
use crate::draws::{Client, Order};
use crate::node::word;
use crate::wire::Wire;
use crate::work::{Costs, work};
use crate::world::{BEGIN, Counts, Payment, Shared, Signers, World, index_of, lock};

/// The recipient, who does nothing.
const PAY_TO: Address = Address::new([0xaa; 20]);
pub(crate) const PRICE: u64 = 10_000;
const BLOCK: Duration = Duration::from_secs(2);
/// The longest that a run goes on when nothing fails any more, in Unix seconds.
const END: u64 = 2 * 60 * 60;

pub(crate) struct Ended {
    pub(crate) counts: Counts,
    pub(crate) violations: Vec<String>,
    pub(crate) trace: u64,
}

/// Takes the word of the run for who signed: the curve is not what is tested here.
struct Book(Signers);

impl Recover for Book {
    fn recover(&self, digest: &Digest, _: &Signature) -> Result<Address, SignatureError> {
        self.0.get(digest.as_bytes()).copied().ok_or(SignatureError::Unrecoverable)
    }
}

/// What all lives of the seller have in common.
struct Stage {
    world: Shared,
    ledger: Arc<MemoryLedger>,
    book: Arc<Book>,
    offer: Offer<'static>,
    /// The fields of each payment.
    payments: Vec<Vec<(&'static str, String)>>,
    is_broken: bool,
}

pub(crate) fn run(seed: u64, count: usize, is_broken: bool) -> Ended {
    let stage = Arc::new(Stage { is_broken, ..Stage::new(seed, count) });
    let lives = lock(&stage.world).random.below(4);
    for _ in 0..lives {
        let (length, pause) = {
            let mut world = lock(&stage.world);
            world.counts.crashes += 1;
            (world.random.below(120_000), world.random.below(60_000))
        };
        live(&stage, pause, Some(Duration::from_millis(length)));
        stage.lose_claims();
    }
    lock(&stage.world).calm();
    live(&stage, 1_000, None);
    let (debts, balances, held) = stage.end();
    let mut world = lock(&stage.world);
    world.counts.in_batches = world.node.in_batches();
    world.settle_accounts(&debts);
    world.settle_credit(&balances, &held);
    Ended {
        counts: world.counts,
        violations: std::mem::take(&mut world.violations),
        trace: world.trace,
    }
}

/// One life of the seller; it ends by a crash at any await, or when all clients are content.
fn live(stage: &Arc<Stage>, pause: u64, length: Option<Duration>) {
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        lock(&stage.world).begin_life(pause);
        let end = async {
            match length {
                Some(length) => sleep(length).await,
                None => stage.content().await,
            }
        };
        tokio::select! {
            biased;
            () = end => {}
            () = stage.chain_goes_on() => {}
            () = Arc::clone(stage).sell() => {}
        }
        lock(&stage.world).end_life();
    });
    // Whatever waits is dropped where it waits.
    drop(runtime);
}

impl Stage {
    fn new(seed: u64, count: usize) -> Self {
        let mut world = World::new(seed);
        let usdc = *Asset::find(ChainId::ETHEREUM, "USDC").unwrap();
        let offer = Offer::new(usdc, PAY_TO, Amount::from_units(PRICE.into()), 60);
        // Who pays more than once has a balance of several payments.
        let payers = (count as u64).div_ceil(1 + world.random.below(4)).max(1);
        let account = |payer: u64| {
            let mut from = [0x11; 20];
            from[12..].copy_from_slice(&payer.to_be_bytes());
            let (payer, chain_id) = (Address::new(from), ChainId::ETHEREUM);
            CreditAccount { payer, chain_id, asset: usdc.address, seller: PAY_TO }
        };
        let mut signers = Signers::new();
        let mut payments = Vec::new();
        let mut signature = [0; 65];
        (signature[31], signature[63], signature[64]) = (1, 1, 27);
        let signature = Signature::from_rsv(&signature).unwrap();
        for index in 0..count as u64 {
            let valid = BEGIN + 30 + world.random.below(600);
            let account = account(index % payers);
            let authorization = Authorization {
                from: account.payer,
                to: PAY_TO,
                value: Amount::from_units(PRICE.into()),
                valid_after: Timestamp::ZERO,
                valid_before: Timestamp::from_secs(valid),
                nonce: Nonce::new(word(index)),
            };
            let digest = authorization.digest(&offer.requirements().domain);
            signers.insert(*digest.as_bytes(), authorization.from);
            let mut fields = Vec::new();
            SignedPayment { authorization, signature }.emit(
                &usdc,
                SignatureForm::Packed,
                |field, value| fields.push((field.name(), value.to_owned())),
            );
            payments.push(fields);
            world.payments.push(Payment::until(valid));
            world.books.payments.push(Told::nothing(account));
        }
        // Different payers' nonces are the same, and are those of payments.
        let drawers = 1 + world.random.below(payers.min(8));
        for index in 0..count as u64 / 4 {
            let (account, nonce) = (account(index % drawers), word(index / drawers));
            let contested = world.weather.draw_contested;
            let is_contested = world.chance(contested);
            world.orders.push(Order::new(account, nonce, is_contested));
        }
        Self {
            world: Arc::new(Mutex::new(world)),
            ledger: Arc::new(MemoryLedger::new()),
            book: Arc::new(Book(signers)),
            offer,
            payments,
            is_broken: false,
        }
    }

    /// What was only claimed need not be on the disk when the seller crashes.
    fn lose_claims(&self) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut open = self.ledger.open_entries().await.unwrap();
            // The ledger has no order of its own.
            open.sort_by_key(|entry| index_of(*entry.id().nonce.as_bytes()));
            for entry in open.iter().filter(|entry| entry.state == State::Claimed) {
                if lock(&self.world).chance(500) {
                    self.ledger.apply(entry.id(), Step::Refused).await.unwrap();
                }
            }
        });
    }

    /// What the ledger has in the end: the payments that are served and not paid, the balances, and the
    /// draws that are held.
    fn end(&self) -> (Vec<usize>, Vec<(CreditAccount, Amount)>, Vec<Draw>) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut debts = Vec::new();
            for id in self.ledger.ids().await.unwrap() {
                let entry = self.ledger.find(id).await.unwrap().unwrap();
                if entry.is_debt() {
                    debts.push(index_of(*id.nonce.as_bytes()));
                }
            }
            let balances = self.ledger.balances().await.unwrap();
            (debts, balances, self.ledger.held_draws().await.unwrap())
        })
    }

    /// Starts the seller as the program does, and its clients.
    async fn sell(self: Arc<Self>) {
        let chain = loop {
            let signer = K256Signer::from_bytes(&[7; 32]).unwrap();
            let options = RpcOptions {
                confirmations: lock(&self.world).confirmations,
                fee_cache: Duration::from_secs(5),
                ..RpcOptions::new(ChainId::ETHEREUM)
            };
            let wire: BoxTransport = Wire(Arc::clone(&self.world)).into_box_transport();
            match RpcChain::over(wire, signer, options).await {
                Ok(chain) => break Arc::new(chain),
                Err(_) => sleep(Duration::from_secs(1)).await,
            }
        };
        let world = Arc::clone(&self.world);
        let World { max_batch, most_owed, together, .. } = *lock(&world);
        let max_delay = together.map(Duration::from_millis);
        let options = SellerOptions {
            settle_timeout: Duration::from_secs(30),
            poll: (Duration::from_millis(500), Duration::from_secs(4)),
            clock: Arc::new(move || lock(&world).clock()),
            recover: Arc::clone(&self.book) as _,
            later: Later {
                max_batch,
                max_owed: vec![(
                    ChainId::ETHEREUM,
                    self.offer.asset().address,
                    Amount::from_units((PRICE * most_owed).into()),
                )],
                ..Later::default()
            },
            together: max_delay.map(|max_delay| Together { max_batch, max_delay }),
            ..SellerOptions::default()
        };
        let rail = OnChain::new(chain, options.settle_timeout, options.poll);
        let rails = vec![(ChainId::ETHEREUM, Arc::new(rail) as Arc<dyn Rail>)];
        let (ledger, world) = (Arc::clone(&self.ledger), Arc::clone(&self.world));
        let disk = Disk { ledger, world, is_broken: self.is_broken };
        let seller = Seller::with_rails(Arc::new(disk), rails, options);
        let settle = lock(&self.world).settle;
        let sale =
            Arc::new(Sale { settle, metering: Some(Arc::new(Costs)), ..Sale::from(self.offer) });
        let pricing = move |_: &Parts| Quote::Paid(Arc::clone(&sale));
        let layer = PaymentLayer::new(Arc::clone(&seller), pricing);
        let world = Arc::clone(&self.world);
        let work = move |request| work(Arc::clone(&world), request);
        let service = layer.layer(tower::service_fn(work));
        for index in 0..self.payments.len() {
            for _ in 0..self.racers() {
                tokio::spawn(Arc::clone(&self).client(index, service.clone()));
            }
        }
        self.draw(&seller);
        loop {
            let _ = seller.resolve_open().await;
            sleep(Duration::from_secs(10)).await;
        }
    }

    /// How many send the same.
    fn racers(&self) -> usize {
        let mut world = lock(&self.world);
        let permille = world.weather.raced;
        if world.chance(permille) { 3 } else { 1 }
    }

    /// Begins all draws.
    fn draw(&self, seller: &Arc<Seller>) {
        let contested: Vec<_> =
            lock(&self.world).orders.iter().map(|order| order.is_contested).collect();
        for (index, is_contested) in contested.into_iter().enumerate() {
            let rival = is_contested.then_some("/rival");
            let targets = [rival].into_iter().flatten().chain(vec!["/drawn"; self.racers()]);
            for target in targets {
                let (world, seller) = (Arc::clone(&self.world), Arc::clone(seller));
                tokio::spawn(Client { world, seller, index, target }.run());
            }
        }
    }

    /// One client: the same bytes until they are served, or refused for good.
    async fn client<S>(self: Arc<Self>, index: usize, service: PaymentService<S>)
    where
        PaymentService<S>: tower_service::Service<
                Request<Full<Bytes>>,
                Response = Response<x402_hyper::server::PaymentBody<Full<Bytes>>>,
                Error = Infallible,
                Future: Send,
            > + Clone
            + Send,
    {
        let pause = lock(&self.world).random.below(20_000);
        sleep(Duration::from_millis(pause)).await;
        loop {
            let patience = lock(&self.world).patience();
            let answer = async {
                let mut request = Request::get("/paid");
                for (name, value) in &self.payments[index] {
                    request = request.header(*name, value);
                }
                let request = request.body(Full::default()).unwrap();
                let Ok(answer) = service.clone().oneshot(request).await;
                let (head, body) = answer.into_parts();
                let body = body.collect().await.ok()?.to_bytes();
                // Who is to come again is not refused.
                let is_final = !head.headers.contains_key(RETRY_AFTER);
                Some((head.status, is_final, body))
            };
            let answer = tokio::time::timeout(patience, answer).await;
            let Some(pause) = self.judge(index, answer.ok().flatten()) else { return };
            sleep(Duration::from_millis(pause)).await;
        }
    }

    /// How long to wait before the next attempt, in milliseconds; `None` after the last.
    fn judge(&self, index: usize, answer: Option<(StatusCode, bool, Bytes)>) -> Option<u64> {
        let mut world = lock(&self.world);
        let pause = world.random.below(3_000);
        let Some((status, is_final, body)) = answer else { return Some(pause + 1_000) };
        world.payments[index].last = status.as_u16();
        match status.as_u16() {
            200 => {
                world.served(index, String::from_utf8_lossy(&body).into_owned());
                return None;
            }
            402 | 409 => world.payments[index].refused += u32::from(is_final),
            // Nothing was sent for it: its payer has made gas lost, and comes again.
            429 | 500 | 503 => {}
            _ => world.violated(format!("payment {index} is answered {status}")),
        }
        // Who is refused again and again only waits for the end of the authorization.
        let is_patient = world.payments[index].refused > 3;
        Some(pause + if is_patient { 12_000 } else { 5_000 })
    }

    /// Blocks come; some go.
    async fn chain_goes_on(&self) {
        loop {
            sleep(BLOCK).await;
            let mut world = lock(&self.world);
            let weather = world.weather;
            if world.chance(weather.fee_moves) {
                world.node.base_fee = 200 + world.random.below(4_000);
            }
            if world.chance(weather.dropped) && !world.node.pool.is_empty() {
                let waiting = world.node.pool.len() as u64;
                let at = world.random.below(waiting);
                world.node.pool.remove(at as usize);
            }
            world.node.has_no_gas = world.chance(weather.no_gas);
            let is_full = world.chance(weather.block_full);
            let now = world.now();
            world.node.mine(now, is_full);
            let depth = world.confirmations - 1;
            if depth > 0 && world.chance(weather.reorg) {
                world.counts.reorgs += 1;
                let World { node, random, .. } = &mut *world;
                node.go_back(1 + random.below(depth), || random.chance(300));
                let now = world.now();
                world.node.mine(now, false);
            }
            let hidden = world.chance(weather.receipt_late);
            world.node.told = hidden.then_some(0);
            if world.chance(weather.clock_steps) {
                world.skew = i64::try_from(world.random.below(8)).unwrap() - 4;
            }
        }
    }

    /// Until each payment is served, or will not be.
    async fn content(&self) {
        loop {
            sleep(Duration::from_secs(5)).await;
            let entries = self.ledger.open_entries().await.unwrap();
            let mut world = lock(&self.world);
            let now = world.now();
            // What is owed may still be paid while it is valid.
            let ends = |entry: &&Entry| {
                let valid_before = entry.payment.transfer().valid_before().to_secs();
                entry.is_debt() && valid_before.is_some_and(|end| end + 120 < now)
            };
            let open = entries.len() - entries.iter().filter(ends).count();
            let over = world.all_are_content();
            let waits = world.node.pool.iter().any(|sent| sent.nonce.is_some());
            if over && open == 0 && !waits {
                return;
            }
            if now > BEGIN + END {
                let left = world.left();
                world.violated(format!(
                    "it does not end: {open} entries are open, something waits: {waits}, left: {left}"
                ));
                return;
            }
        }
    }
}
