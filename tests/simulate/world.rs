//! Everything that outlives the seller, and what must be true of it.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::time::Instant;
use x402_std::ledger::{CreditAccount, Settle};

use crate::books::{Books, Change};
use crate::broken::Broken;
use crate::counts::Counts;
use crate::draws::Order;
use crate::node::{Node, Traits};
use crate::random::Random;
use crate::token::{Terms, Word};
use crate::weather::Weather;

pub(crate) type Shared = Arc<Mutex<World>>;

/// When a run begins, in Unix seconds.
pub(crate) const BEGIN: u64 = 1_790_000_000;

#[derive(Default)]
pub(crate) struct Payment {
    pub(crate) terms: Terms,
    pub(crate) valid_before: u64,
    /// Something was journalled for it, or its work is done.
    pub(crate) is_sent: bool,
    /// The chain had moved the money when last looked at.
    pub(crate) was_moved: bool,
    /// It moved before the seller had to do with it.
    pub(crate) is_early: bool,
    /// It had moved, and the chain went back on it, deeper than is waited for.
    pub(crate) was_lost: bool,
    /// It had moved in a block that was final, before the chain began again.
    pub(crate) is_final: bool,
    /// The answer that its clients were given.
    pub(crate) served: Option<String>,
    /// The call of a facilitator's that was told success.
    pub(crate) told_to: Option<usize>,
    /// How many times in a row it was refused for good.
    pub(crate) refused: u32,
    /// It was refused for good after it was sent: its payer signs anew.
    was_turned_away: bool,
    /// That it was received then, too, is said once.
    is_told_of: bool,
    /// The status of its last answer.
    pub(crate) last: u16,
    is_running: bool,
    runs: u32,
    /// The work was done once.
    is_done: bool,
    /// Some of its answer has come to its client.
    is_handed_over: bool,
    /// The answer is in the ledger.
    is_kept: bool,
    /// Something happened after which the work may be done again.
    is_excused: bool,
    /// Its payer breaks his own requests.
    pub(crate) is_cheat: bool,
    /// How many he has sent.
    pub(crate) attempts: usize,
    /// Those that he has broken, by their numbers.
    pub(crate) broken_off: BTreeSet<usize>,
    /// It was served, and not sent in time for what lies with the seller: nobody owes it.
    is_lost: bool,
    /// He has had his tries.
    pub(crate) has_cheated: bool,
    /// Account nonce and hash of each transaction that the node has taken for it.
    taken: Vec<(u64, [u8; 32])>,
}

impl Payment {
    pub(crate) fn of(terms: Terms, valid_before: u64) -> Self {
        Self { terms, valid_before, ..Self::default() }
    }

    /// Its work is being done, or its answer is in the ledger.
    pub(crate) const fn is_begun(&self) -> bool {
        self.is_running || self.is_kept
    }

    /// No node has any of its transactions any more.
    pub(crate) fn forget_taken(&mut self) {
        self.taken.clear();
    }
}

/// How it is sold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mode {
    /// Payments are by Permit2.
    pub(crate) is_by_permit: bool,
    pub(crate) is_measured: bool,
    /// The seller is a facilitator.
    pub(crate) is_engine: bool,
    /// The seller has a facilitator of somebody else's.
    pub(crate) is_entrusted: bool,
    /// Draws are by names, which are replaced.
    pub(crate) is_renamed: bool,
}

pub(crate) struct World {
    pub(crate) random: Random,
    pub(crate) weather: Weather,
    /// The node says what it knows, and nobody else acts, in the whole of the run.
    is_plain: bool,
    /// The chain goes back on nothing, in the whole of the run.
    stays: bool,
    /// It goes back on nothing that is as deep as is waited for.
    stays_deep: bool,
    pub(crate) node: Node,
    /// What the payers have when the chain begins.
    pub(crate) balances: BTreeMap<Word, u128>,
    /// When the price doubles, in milliseconds.
    pub(crate) dearer_from: Option<u64>,
    /// What had been moved for good before it began again.
    pub(crate) moved_before: u128,
    pub(crate) has_restarted: bool,
    /// The books had more than was moved: said once.
    pub(crate) has_overstated: bool,
    /// Until when the node hides what is new, in milliseconds.
    pub(crate) hidden_until: u64,
    /// Since when nothing fails any more.
    calm_since: Option<u64>,
    pub(crate) payments: Vec<Payment>,
    pub(crate) orders: Vec<Order>,
    /// How often the name had been replaced that a payer was told last.
    pub(crate) names: BTreeMap<CreditAccount, u64>,
    pub(crate) books: Books,
    /// How it is sold, in the whole of the run.
    pub(crate) mode: Mode,
    /// When the money moves, in the whole of the run.
    pub(crate) settle: Settle,
    pub(crate) max_batch: usize,
    /// For how many milliseconds what is settled first waits for others, where it does.
    pub(crate) together: Option<u64>,
    /// How many payments one payer may owe.
    pub(crate) most_owed: u64,
    pub(crate) confirmations: u64,
    pub(crate) skew: i64,
    pub(crate) disk_full_until: u64,
    /// Milliseconds before this life of the seller.
    before: u64,
    life: Option<Instant>,
    pub(crate) violations: Vec<String>,
    pub(crate) counts: Counts,
    /// A digest of everything that was decided: two runs of a seed have the same.
    pub(crate) trace: u64,
}

impl World {
    pub(crate) fn new(seed: u64, without: &str, broken: Option<Broken>) -> Self {
        let mut random = Random::new(seed);
        let mut weather = Weather::of(&mut random).without(without);
        if let Some(broken) = broken {
            broken.provoke(&mut weather);
        }
        let confirmations = 1 + random.below(3);
        let settle = [Settle::First, Settle::After, Settle::Later][random.below(3) as usize];
        // A facilitator settles first.
        let settle = if weather.engine > 0 { Settle::First } else { settle };
        let max_batch = 1 + random.below(8) as usize;
        let most_owed = 1 + random.below(4);
        let together = (random.below(2) == 1).then(|| random.below(5_000));
        let dearer_from = (weather.dearer > 0).then(|| random.below(120_000));
        let traits = Traits {
            finality: 8 + random.below(17),
            knows_finalized: weather.no_finalized == 0,
            takes_hashes: weather.no_hashes == 0,
            log_range: if weather.short_range > 0 { 20 + random.below(80) } else { 10_000 },
        };
        let mut node = Node::start(BEGIN, traits);
        if weather.lagging > 0 {
            node.spread(2 + random.below(2) as usize);
        }
        Self {
            random,
            weather,
            is_plain: weather.is_plain(),
            stays: weather.stays(),
            stays_deep: weather.deep_reorg + weather.restarted == 0,
            node,
            balances: BTreeMap::new(),
            dearer_from,
            moved_before: 0,
            has_restarted: false,
            has_overstated: false,
            hidden_until: 0,
            calm_since: None,
            payments: Vec::new(),
            orders: Vec::new(),
            names: BTreeMap::new(),
            books: Books::default(),
            mode: Mode {
                is_by_permit: weather.permit2 > 0,
                is_measured: weather.unmeasured == 0,
                is_engine: weather.engine > 0,
                is_entrusted: weather.entrusted > 0,
                is_renamed: weather.renamed > 0 && weather.engine == 0,
            },
            settle,
            max_batch,
            together,
            most_owed,
            confirmations,
            skew: 0,
            disk_full_until: 0,
            before: 0,
            life: None,
            violations: Vec::new(),
            counts: Counts::default(),
            trace: seed,
        }
    }

    /// A new life of the seller begins, so much after the last.
    pub(crate) fn begin_life(&mut self, pause: u64) {
        self.before = self.milliseconds() + pause;
        self.life = Some(Instant::now());
        self.node.shown.clear();
    }

    /// The seller is gone: what it was at may be done again, unless its answer is safe.
    pub(crate) fn end_life(&mut self) {
        self.before = self.milliseconds();
        self.life = None;
        for payment in &mut self.payments {
            payment.is_running = false;
            payment.is_excused |= !payment.is_kept;
        }
        for order in &mut self.orders {
            order.is_running = false;
        }
    }

    /// From now on nothing fails.
    pub(crate) fn calm(&mut self) {
        self.weather = Weather::default();
        self.disk_full_until = 0;
        self.skew = 0;
        self.hidden_until = 0;
        self.node.told = None;
        self.node.hides_receipts = false;
        self.node.has_no_gas = false;
        self.node.agree();
        self.calm_since = Some(self.milliseconds());
        for payment in &mut self.payments {
            payment.refused = 0;
        }
        for order in &mut self.orders {
            order.was_short = false;
        }
    }

    /// Whether each payment is served, or was refused for good and has moved nothing.
    pub(crate) fn payments_are_content(&self) -> bool {
        (0..self.payments.len()).all(|index| self.is_content(index))
    }

    /// Whether each payment is content, and each draw is served, or more than there is.
    pub(crate) fn all_are_content(&self) -> bool {
        self.payments_are_content() && (0..self.orders.len()).all(|index| self.is_closed(index))
    }

    fn is_content(&self, index: usize) -> bool {
        let payment = &self.payments[index];
        let is_over = payment.refused >= 3 && self.now() > payment.valid_before + 60;
        payment.has_cheated || payment.served.is_some() || is_over && !self.has_to_be_served(index)
    }

    /// Whether the money has moved when the seller had to look for it.
    fn has_to_be_served(&self, index: usize) -> bool {
        let payment = &self.payments[index];
        // Who breaks his requests has what came of them.
        let is_honest = !payment.is_cheat && !payment.is_early;
        is_honest && self.is_in_chain(index) && !self.is_taken(index)
    }

    /// Whether nothing has failed for so long that every block from before is final.
    pub(crate) fn has_settled(&self) -> bool {
        let blocks = self.node.traits.finality + 15;
        self.calm_since.is_some_and(|since| self.milliseconds() > since + blocks * 2_000)
    }

    /// The payments and draws that are not content, in words.
    pub(crate) fn left(&self) -> String {
        let orders = (0..self.orders.len()).filter(|index| !self.is_closed(*index));
        let orders = orders.map(|index| format!("draw {index}"));
        let left = (0..self.payments.len()).filter(|index| !self.is_content(*index));
        let tell = |index: usize| {
            let payment = &self.payments[index];
            let used = self.node.use_of(&payment.terms);
            format!("{index} (refused {}, last {}, {used:?})", payment.refused, payment.last)
        };
        left.map(tell).chain(orders).collect::<Vec<_>>().join(", ")
    }

    pub(crate) fn milliseconds(&self) -> u64 {
        let lived = self.life.map_or(0, |life| life.elapsed().as_millis());
        self.before + u64::try_from(lived).unwrap()
    }

    /// Unix seconds.
    pub(crate) fn now(&self) -> u64 {
        BEGIN + self.milliseconds() / 1000
    }

    /// The seller's clock.
    pub(crate) fn clock(&self) -> u64 {
        self.now().saturating_add_signed(self.skew)
    }

    pub(crate) fn chance(&mut self, permille: u64) -> bool {
        let is = permille > 0 && self.random.chance(permille);
        self.note(u64::from(is) + self.milliseconds());
        self.counts.faults += u64::from(is);
        is
    }

    /// How long a client waits for an answer; some go away soon.
    pub(crate) fn patience(&mut self) -> Duration {
        let gone = self.weather.client_gone;
        let is_gone = self.chance(gone);
        Duration::from_millis(if is_gone { self.random.below(10_000) } else { 600_000 })
    }

    pub(crate) fn note(&mut self, what: u64) {
        self.trace = Random::new(self.trace ^ what).next();
    }

    pub(crate) fn violated(&mut self, what: String) {
        tracing::error!(at = self.milliseconds(), what);
        self.violations.push(format!("at {} ms: {what}", self.milliseconds()));
    }

    /// The node has taken a transaction for a payment.
    pub(crate) fn taken(&mut self, terms: Terms, account_nonce: u64, hash: [u8; 32]) {
        let index = index_of(terms.nonce());
        let (mined, node) = (self.state().account, &self.node);
        let taken = &self.payments[index].taken;
        if taken.iter().any(|(_, known)| *known == hash) {
            return;
        }
        let mut others = taken.iter().filter(|(nonce, _)| *nonce != account_nonce);
        let alive = others
            .clone()
            .find(|(nonce, earlier)| *nonce >= mined && !node.is_mined(*earlier))
            .copied();
        let done = others.find(|(_, earlier)| node.has_moved(*earlier, &terms)).copied();
        self.counts.replaced += u64::from(!taken.is_empty());
        self.payments[index].taken.push((account_nonce, hash));
        // Where the chain went back deeper than was waited for, what was in a block is sent again, too: the
        // batch in which it failed, and what was sent for it alone.
        if let Some((nonce, _)) = alive.filter(|_| self.counts.deep + self.counts.restarts == 0) {
            self.violated(format!(
                "I4: payment {index} is sent with account nonce {account_nonce} while {nonce} may be mined"
            ));
        }
        if let Some((nonce, _)) = done.filter(|_| self.stays) {
            self.violated(format!(
                "I4: payment {index} is sent with account nonce {account_nonce} after {nonce} moved the money"
            ));
        }
        if self.is_in_chain(index) && self.is_plain {
            self.violated(format!("I4: payment {index} is sent again after it moved the money"));
        }
    }

    /// Whether the node has a transaction of the seller's for it: whoever asks is told what is in it.
    pub(crate) fn is_on_the_chain(&self, index: usize) -> bool {
        !self.payments[index].taken.is_empty()
    }

    pub(crate) fn work_begins(&mut self, index: usize) -> u32 {
        self.counts.runs += 1;
        let moved = self.is_paid(index);
        let is_first = self.settle == Settle::First;
        let payment = &mut self.payments[index];
        let fault = if payment.is_running {
            Some("it is being done")
        } else if payment.is_kept {
            Some("its answer is kept")
        } else if payment.is_done && !payment.is_excused {
            Some("it was done, and nothing has failed since")
        } else if !moved && is_first {
            Some("the money has not arrived")
        } else {
            None
        };
        payment.is_running = true;
        payment.is_excused = false;
        payment.is_done = false;
        payment.is_handed_over = false;
        payment.runs += 1;
        let runs = payment.runs;
        if let Some(fault) = fault {
            self.violated(format!("I3: the work of payment {index} is begun, and {fault}"));
        }
        self.look_at_cover(index);
        runs
    }

    pub(crate) fn work_ends(&mut self, index: usize, is_done: bool) {
        let payment = &mut self.payments[index];
        payment.is_running = false;
        payment.is_done = is_done;
        payment.is_excused |= !is_done;
    }

    /// The first of an answer has come to its client, and more is to come: by then the work is paid.
    pub(crate) fn hands_over(&mut self, index: usize) {
        let payment = &mut self.payments[index];
        payment.is_handed_over = true;
        payment.is_done = true;
    }

    /// An answer in parts has come to its end, or has broken. What is broken, or too late, and of which
    /// nothing was handed over, is no work.
    pub(crate) fn stream_ends(&mut self, index: usize, breaks: bool) {
        let is_whole = self.settle == Settle::After && !breaks;
        self.work_ends(index, is_whole || self.payments[index].is_handed_over);
    }

    /// The seller gives up what is owed for a payment. It may, where its payer has not taken it back.
    pub(crate) fn gives_up(&mut self, index: usize) {
        let terms = self.payments[index].terms;
        match self.node.use_of(&terms) {
            None => self.payments[index].is_lost = true,
            Some(used) => self.violated(format!(
                "I1: payment {index} is given up, and its payer has used it: {used:?}"
            )),
        }
    }

    pub(crate) fn excuse(&mut self, index: usize) {
        self.payments[index].is_excused = true;
    }

    pub(crate) fn kept(&mut self, index: usize) {
        self.payments[index].is_kept = true;
    }

    pub(crate) fn served(&mut self, index: usize, body: String) {
        self.note(index as u64);
        let is_paid = self.is_paid(index);
        let payment = &mut self.payments[index];
        let differs = payment.served.as_ref().is_some_and(|earlier| *earlier != body);
        payment.served = Some(body);
        payment.refused = 0;
        // A chain that has begun again is not looked at before the next time; until then, and if it does not
        // come again, what was paid there is given as it was.
        if !is_paid && self.settle != Settle::Later && self.counts.restarts == 0 {
            self.violated(format!("I1: payment {index} is served, and nothing was received"));
        }
        if differs {
            self.violated(format!("payment {index} is given two answers"));
        }
    }

    /// The ledger has taken a step of a payment; whose balance may have changed.
    pub(crate) fn stepped(
        &mut self,
        index: usize,
        change: &Change,
        is_sent: bool,
    ) -> CreditAccount {
        self.payments[index].is_sent |= is_sent;
        self.counts.reversed += u64::from(matches!(change, Change::Reversed));
        let account = self.books.stepped(index, change);
        if matches!(change, Change::Arrived(_) | Change::Short(..) | Change::Reversed) {
            self.look_at_received(index);
        }
        account
    }

    /// A payment is refused for good.
    pub(crate) fn turned_away(&mut self, index: usize) {
        let is_sent = self.payments[index].is_sent;
        let is_charged = is_sent && self.has_to_be_served(index);
        let payment = &mut self.payments[index];
        payment.refused += 1;
        payment.was_turned_away |= is_sent;
        if is_charged && self.stays_deep {
            self.charged_twice(index);
        }
    }

    fn charged_twice(&mut self, index: usize) {
        if std::mem::replace(&mut self.payments[index].is_told_of, true) {
            return;
        }
        self.violated(format!("I8: payment {index} is received, and its payer is to sign anew"));
    }

    /// What must be true when all is over; `debts` are the payments that are on the books as served and
    /// not paid.
    pub(crate) fn settle_accounts(&mut self, debts: &[usize]) {
        for index in 0..self.payments.len() {
            let (moved, is_paid) = (self.has_moved(index), self.is_paid(index));
            let is_in_chain = self.is_in_chain(index) && !self.is_taken(index);
            let is_served = self.payments[index].served.is_some();
            self.counts.payments += 1;
            self.counts.moved += u64::from(moved);
            self.counts.served += u64::from(is_served);
            let is_charged = is_in_chain && self.payments[index].was_turned_away;
            if is_charged && self.stays_deep && !self.payments[index].is_cheat {
                self.charged_twice(index);
            }
            if self.has_to_be_served(index) && !is_served {
                self.violated(format!(
                    "I2: payment {index} was received, and its repetition is not served"
                ));
            }
            let is_debt = debts.contains(&index);
            self.counts.owed += u64::from(is_debt);
            let is_booked = self.books.payments[index].received.is_some();
            let is_paid = moved || self.mode.is_by_permit && is_paid && is_booked;
            let is_lost = self.payments[index].is_lost;
            self.counts.lost += u64::from(is_lost && !is_paid);
            if is_served && !is_paid && !is_debt && !is_lost {
                self.violated(format!("I1: payment {index} was served, and nothing was received"));
            }
            if is_debt && is_in_chain {
                self.violated(format!("payment {index} was received, and is owed still"));
            }
        }
        if self.waits_for_ever() {
            self.violated("I12: a transaction of ours waits for ever".into());
        }
    }

    /// Whether a transaction of ours waits in the pool that the seller has shown to the node in this life:
    /// nobody knows of one before, whose payment is over.
    pub(crate) fn waits_for_ever(&self) -> bool {
        let mut ours = self.node.pool.iter().filter(|sent| sent.nonce.is_some());
        ours.any(|sent| self.node.shown.contains(&sent.hash))
    }
}

pub(crate) fn index_of(nonce: [u8; 32]) -> usize {
    let [.., a, b, c, d] = nonce;
    u32::from_be_bytes([a, b, c, d]) as usize
}

/// Who signed what, by the digest.
pub(crate) type Signers = HashMap<[u8; 32], x402_core::Address>;

pub(crate) fn lock(world: &Shared) -> MutexGuard<'_, World> {
    world.lock().unwrap()
}
