//! One run: a seller with several lives, its clients, and the end of the accounts.

use core::convert::Infallible;
use core::time::Duration;
use std::sync::{Arc, Mutex};

use alloy_transport::{BoxTransport, IntoBoxTransport as _};
use bytes::Bytes;
use http::header::RETRY_AFTER;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use tokio::time::sleep;
use tower::ServiceExt as _;
use tower::util::BoxCloneSyncService;
use tower_layer::Layer as _;
use x402_core::secp256k1::K256Signer;
use x402_core::state::State;
use x402_core::{Address, Amount, Asset, ChainId, Offer, PaymentId};
use x402_hyper::server::{PaymentBody, PaymentLayer, Sale};
use x402_std::Seller;
use x402_std::chain::{Chain, RpcChain, RpcOptions};
use x402_std::config::OwnedAsset;
use x402_std::facilitator::Entrusted;
use x402_std::ledger::{CreditAccount, Draw, Entry};
use x402_std::seller::{Later, OnChain, Rail, SellerOptions, Together};

use crate::books::Told;
use crate::broken::{Broken, Careless};
use crate::changes::Priced;
use crate::cheat::{Said, nothing};
use crate::counts::Counts;
use crate::disk::Disk;
use crate::draws::{Client, Order};
use crate::facilitator::{Liar, calls_of, service};
use crate::observer::key;
use crate::signing::{Book, digest, identify, request, sign};
use crate::store::Store;
use crate::token::{Terms, word};
use crate::wire::Wire;
use crate::work::{Costs, work};
use crate::world::{BEGIN, Payment, Shared, Signers, World, index_of, lock};

/// The recipient, who does nothing.
pub(crate) const PAY_TO: Address = Address::new([0xaa; 20]);
pub(crate) const PRICE: u64 = 10_000;
const BLOCK: Duration = Duration::from_secs(2);
/// The longest that a run goes on when nothing fails any more, in Unix seconds.
const END: u64 = 2 * 60 * 60;

/// What is sold, as clients reach it.
pub(crate) type Sold = BoxCloneSyncService<Request<Said>, Response<PaymentBody<Said>>, Infallible>;

pub(crate) struct Ended {
    pub(crate) counts: Counts,
    pub(crate) violations: Vec<String>,
    pub(crate) trace: u64,
}

/// What all runs have in common.
pub(crate) struct Settings {
    /// How many there are in a run.
    pub(crate) payments: usize,
    pub(crate) broken: Option<Broken>,
    /// The kinds of trouble that are left out.
    pub(crate) without: String,
}

/// What all lives of the seller have in common.
pub(crate) struct Stage {
    pub(crate) world: Shared,
    store: Store,
    pub(crate) book: Arc<Book>,
    offer: Offer<'static>,
    /// What a facilitator is asked with for each payment.
    pub(crate) requests: Vec<Vec<u8>>,
    /// The fields of each payment, as a chain has them.
    pub(crate) payments: Vec<Vec<(&'static str, String)>>,
    pub(crate) ids: Vec<PaymentId>,
    /// Whether somebody looks out for it on the chain.
    observed: Vec<bool>,
    /// Whether its payer asks for more, too.
    greedy: Vec<bool>,
    pub(crate) broken: Option<Broken>,
}

pub(crate) fn run(seed: u64, settings: &Settings) -> Ended {
    let stage = Arc::new(Stage::new(seed, settings));
    let lives = lock(&stage.world).random.below(4);
    for _ in 0..lives {
        let (length, pause) = {
            let mut world = lock(&stage.world);
            world.counts.crashes += 1;
            (world.random.below(120_000), world.random.below(60_000))
        };
        live(&stage, pause, Some(Duration::from_millis(length)));
        stage.store.crash();
    }
    lock(&stage.world).calm();
    live(&stage, 1_000, None);
    if stage.store.file.is_some() {
        stage.store.crash();
    }
    let (entries, balances, held) = stage.end();
    // A facilitator gives no answer that could be owed: that it was reversed is on its books.
    let debts = entries
        .iter()
        .filter(|entry| entry.is_debt() || entry.is_reversed && entry.state == State::Failed);
    let debts: Vec<_> = debts.map(|entry| index_of(*entry.id().nonce.as_bytes())).collect();
    let mut world = lock(&stage.world);
    world.counts.in_batches = world.node.in_batches();
    world.counts.seconds = world.milliseconds() / 1_000;
    world.settle_accounts(&debts);
    world.settle_received(&entries);
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
            () = stage.store.breaks() => {}
            () = Arc::clone(stage).sell() => {}
        }
        lock(&stage.world).end_life();
    });
    // Whatever waits is dropped where it waits.
    drop(runtime);
}

/// What the program does for as long as it runs.
async fn resolve(seller: &Arc<Seller>) {
    loop {
        let _ = seller.watch().await;
        let _ = seller.release_holds().await;
        let _ = seller.resolve_open().await;
        sleep(Duration::from_secs(10)).await;
    }
}

impl Stage {
    fn new(seed: u64, settings: &Settings) -> Self {
        let Settings { payments: count, broken, without } = settings;
        let (count, broken) = (*count, *broken);
        let mut world = World::new(seed, without, broken);
        let usdc = *Asset::find(ChainId::ETHEREUM, "USDC").unwrap();
        let offer = Offer::new(usdc, PAY_TO, Amount::from_units(PRICE.into()), 60);
        let offer = if world.mode.is_by_permit { offer.by_permit2() } else { offer };
        // Who pays more than once has a balance of several payments.
        let most = if world.weather.bundled > 0 { 10 } else { 4 };
        let payers = (count as u64).div_ceil(1 + world.random.below(most)).max(1);
        let account = |payer: u64| {
            let mut from = [0x11; 20];
            from[12..].copy_from_slice(&payer.to_be_bytes());
            let (payer, chain_id) = (Address::new(from), ChainId::ETHEREUM);
            CreditAccount { payer, chain_id, asset: usdc.address, seller: PAY_TO }
        };
        let mut signers = Signers::new();
        let (mut payments, mut requests, mut ids) = (Vec::new(), Vec::new(), Vec::new());
        for index in 0..count as u64 {
            let valid = BEGIN + 30 + world.random.below(600);
            let account = account(index % payers);
            let (fields, transfer) = sign(&offer, account.payer, valid, word(index));
            signers.insert(digest(&offer, &transfer), account.payer);
            payments.push(fields);
            requests.push(request(&offer, &transfer));
            ids.push(identify(&offer, &transfer));
            world.payments.push(Payment::of(Terms::of(&transfer), valid));
            world.books.payments.push(Told::nothing(account));
        }
        world.fund();
        // Different payers' nonces are the same, and are those of payments.
        let drawers = 1 + world.random.below(payers.min(8));
        let orders = if world.mode.is_engine { 0 } else { count as u64 / 4 };
        for index in 0..orders {
            let (account, nonce) = (account(index % drawers), word(index / drawers));
            let contested = world.weather.draw_contested;
            let is_contested = world.chance(contested);
            world.orders.push(Order::new(account, nonce, is_contested));
        }
        let permille = world.weather.cheats;
        if !world.mode.is_engine {
            for index in 0..count {
                world.payments[index].is_cheat = world.chance(permille);
            }
        }
        let permille = world.weather.observed;
        let observed = (0..count).map(|_| world.chance(permille)).collect();
        let permille = world.weather.greedy;
        let greedy = (0..count).map(|_| world.chance(permille)).collect();
        let world = Arc::new(Mutex::new(world));
        Self {
            store: Store::new(&world, broken == Some(Broken::Sync)),
            world,
            book: Arc::new(Book::new(signers)),
            offer,
            requests,
            payments,
            ids,
            observed,
            greedy,
            broken,
        }
    }

    /// What the ledger has in the end: the payments, the balances, and the draws that are held.
    fn end(&self) -> (Vec<Entry>, Vec<(CreditAccount, Amount)>, Vec<Draw>) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let ledger = self.store.ledger();
        runtime.block_on(async {
            let mut entries = Vec::new();
            for id in ledger.ids().await.unwrap() {
                entries.push(ledger.find(id).await.unwrap().unwrap());
            }
            let balances = ledger.balances().await.unwrap();
            (entries, balances, ledger.held_draws().await.unwrap())
        })
    }

    /// Starts the seller as the program does, and its clients.
    async fn sell(self: Arc<Self>) {
        let chain = self.chain().await;
        let world = Arc::clone(&self.world);
        let World { max_batch, most_owed, together, .. } = *lock(&world);
        let max_delay = together.map(Duration::from_millis);
        let is_engine = lock(&world).mode.is_engine;
        let base =
            if is_engine { SellerOptions::of_facilitator() } else { SellerOptions::default() };
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
            ..base
        };
        let account = chain.account();
        let rails = vec![(ChainId::ETHEREUM, self.rail(chain, &options))];
        let (ledger, world) = (self.store.ledger(), Arc::clone(&self.world));
        let disk = Disk { ledger, file: self.store.file.clone(), world, broken: self.broken };
        let seller = Seller::with_rails(Arc::new(disk), rails, options);
        if lock(&self.world).mode.is_engine {
            let service = service(&seller, account, self.offer.asset());
            for index in 0..self.payments.len() {
                for call in (0..calls_of(index)).flat_map(|call| vec![call; self.racers()]) {
                    tokio::spawn(Arc::clone(&self).buy(index, call, service.clone()));
                }
            }
            return resolve(&seller).await;
        }
        let (settle, is_measured) = {
            let world = lock(&self.world);
            (world.settle, world.mode.is_measured)
        };
        let metering = is_measured.then(|| Arc::new(Costs) as _);
        let sale = Sale { settle, metering, ..Sale::from(self.offer) };
        let pricing = Priced { sale, world: Arc::clone(&self.world), broken: self.broken };
        let layer = PaymentLayer::new(Arc::clone(&seller), pricing);
        let world = Arc::clone(&self.world);
        let work = move |request| work(Arc::clone(&world), request);
        let service = BoxCloneSyncService::new(layer.layer(tower::service_fn(work)));
        for index in 0..self.payments.len() {
            if lock(&self.world).payments[index].is_cheat {
                tokio::spawn(Arc::clone(&self).cheat(index, service.clone()));
                continue;
            }
            for _ in 0..self.racers() {
                tokio::spawn(Arc::clone(&self).client(index, service.clone()));
            }
            if self.observed[index] {
                tokio::spawn(Arc::clone(&self).observe(index, service.clone()));
            }
            if self.greedy[index] {
                tokio::spawn(Arc::clone(&self).ask_for_more(index, service.clone()));
            }
        }
        self.draw(&seller);
        resolve(&seller).await;
    }

    /// By which the money moves: transactions of our own, or a facilitator's.
    fn rail(&self, chain: Arc<dyn Chain>, options: &SellerOptions) -> Arc<dyn Rail> {
        if !lock(&self.world).mode.is_entrusted {
            return Arc::new(OnChain::new(chain, options.settle_timeout, options.poll));
        }
        let facilitator = Arc::new(Liar::new(&self.world));
        let assets = vec![OwnedAsset::from(self.offer.asset())];
        let entrusted = Entrusted::new(facilitator, assets);
        match self.broken {
            Some(Broken::Word) => Arc::new(entrusted),
            _ => Arc::new(entrusted.confirmed_by(chain)),
        }
    }

    /// The chain, once the node answers.
    async fn chain(&self) -> Arc<dyn Chain> {
        let chain = loop {
            let signer = K256Signer::from_bytes(&[7; 32]).unwrap();
            let options = RpcOptions {
                confirmations: lock(&self.world).confirmations,
                fee_cache: Duration::from_secs(5),
                ..RpcOptions::new(ChainId::ETHEREUM)
            };
            let wire: BoxTransport = Wire(Arc::clone(&self.world)).into_box_transport();
            match RpcChain::over(wire, signer, options).await {
                Ok(chain) => break chain,
                Err(_) => sleep(Duration::from_secs(1)).await,
            }
        };
        let world = Arc::clone(&self.world);
        match self.broken.filter(|broken| broken.is_of_chain()) {
            Some(broken) => Arc::new(Careless { chain, world, broken }),
            None => Arc::new(chain),
        }
    }

    /// How many send the same.
    fn racers(&self) -> usize {
        let mut world = lock(&self.world);
        let permille = world.weather.raced;
        if world.chance(permille) { 3 } else { 1 }
    }

    /// Begins all draws, and what is done to the names of balances.
    fn draw(self: &Arc<Self>, seller: &Arc<Seller>) {
        if lock(&self.world).mode.is_renamed {
            tokio::spawn(Arc::clone(self).replace_names(Arc::clone(seller)));
            tokio::spawn(Arc::clone(self).draw_by_old_names(Arc::clone(seller)));
        }
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
    async fn client(self: Arc<Self>, index: usize, service: Sold) {
        let pause = lock(&self.world).random.below(20_000);
        sleep(Duration::from_millis(pause)).await;
        loop {
            let patience = lock(&self.world).patience();
            let answer = async {
                let mut request = Request::get("/paid");
                for (name, value) in &self.payments[index] {
                    request = request.header(*name, value);
                }
                let request = request.header("Idempotency-Key", key(index));
                let request = request.body(nothing()).unwrap();
                let Ok(answer) = service.clone().oneshot(request).await;
                let (head, body) = answer.into_parts();
                let body = body.collect().await.ok()?.to_bytes();
                // Who is to come again is not refused.
                let is_final = !head.headers.contains_key(RETRY_AFTER);
                Some((head.status, is_final, body))
            };
            let answer = tokio::time::timeout(patience, answer).await;
            let answer = answer.ok().flatten();
            let Some(pause) = self.judge(index, answer) else { return };
            sleep(Duration::from_millis(pause)).await;
        }
    }

    /// How long to wait before the next attempt, in milliseconds; `None` after the last.
    pub(crate) fn judge(
        &self,
        index: usize,
        answer: Option<(StatusCode, bool, Bytes)>,
    ) -> Option<u64> {
        let mut world = lock(&self.world);
        let pause = world.random.below(3_000);
        let Some((status, is_final, body)) = answer else { return Some(pause + 1_000) };
        world.payments[index].last = status.as_u16();
        tracing::debug!(at = world.milliseconds(), index, %status, is_final, "answered");
        match status.as_u16() {
            200 => {
                world.served(index, String::from_utf8_lossy(&body).into_owned());
                return None;
            }
            402 | 409 if is_final => world.turned_away(index),
            402 | 409 => {}
            // Nothing was sent for it: its payer has made gas lost, and comes again.
            429 | 500 | 503 => {}
            _ => world.violated(format!("payment {index} is answered {status}")),
        }
        // Who is refused again and again only waits for the end of the authorization.
        let is_patient = world.payments[index].refused > 3;
        Some(pause + if is_patient { 60_000 } else { 5_000 })
    }

    /// Blocks come; some go.
    async fn chain_goes_on(&self) {
        loop {
            sleep(BLOCK).await;
            lock(&self.world).next_block();
        }
    }

    /// Until each payment is served, or will not be.
    async fn content(&self) {
        loop {
            sleep(Duration::from_secs(5)).await;
            let entries = self.store.ledger().open_entries().await.unwrap();
            let mut world = lock(&self.world);
            let now = world.now();
            // What is owed may still be paid while it is valid.
            let ends = |entry: &&Entry| {
                let valid_before = entry.payment.transfer().valid_before().to_secs();
                entry.is_debt() && valid_before.is_some_and(|end| end + 120 < now)
            };
            let open = entries.len() - entries.iter().filter(ends).count();
            let over = world.all_are_content() && world.has_settled();
            let waits = world.waits_for_ever();
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
