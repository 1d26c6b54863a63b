//! What goes wrong in a run, and how often.

use crate::random::Random;

/// Each number is how many times in a thousand.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Weather {
    /// A call of the node fails before it does anything.
    pub(crate) call_fails: u64,
    /// A call does what it should, and its answer is lost.
    pub(crate) answer_lost: u64,
    /// A call takes seconds.
    pub(crate) call_slow: u64,
    /// A receipt is not told yet.
    pub(crate) receipt_late: u64,
    /// Neither receipts nor logs of new blocks are told for some seconds, while their state is.
    pub(crate) logs_late: u64,
    /// One of the machines behind the node's address falls behind.
    pub(crate) lagging: u64,
    /// The receipt of something that waits is made up.
    pub(crate) garbled: u64,
    /// The node forgets a transaction that waits.
    pub(crate) dropped: u64,
    /// A block has no room for us.
    pub(crate) block_full: u64,
    /// Somebody who sees a transaction submits its authorization first.
    pub(crate) stranger: u64,
    /// The payer takes an authorization back.
    pub(crate) cancelled: u64,
    /// The payer spends what there is elsewhere.
    pub(crate) spent: u64,
    /// The payer uses the nonce for another authorization.
    pub(crate) nonce_burnt: u64,
    /// One transaction uses an authorization as it stands, and the nonces of others for nothing.
    pub(crate) bundled: u64,
    /// A payer has less than was signed for.
    pub(crate) poor: u64,
    /// The chain goes back by some blocks.
    pub(crate) reorg: u64,
    /// The chain goes back further than is waited for.
    pub(crate) deep_reorg: u64,
    /// The chain begins again.
    pub(crate) restarted: u64,
    /// A facilitator lies.
    pub(crate) lies: u64,
    /// Not zero where the seller has a facilitator of somebody else's.
    pub(crate) entrusted: u64,
    /// Not zero where the seller is a facilitator.
    pub(crate) engine: u64,
    /// Not zero where it is paid by Permit2.
    pub(crate) permit2: u64,
    /// Not zero where the node does not take a block's hash (EIP-1898).
    pub(crate) no_hashes: u64,
    /// Not zero where the node does not know what is final.
    pub(crate) no_finalized: u64,
    /// Not zero where the node searches few blocks for logs at once.
    pub(crate) short_range: u64,
    /// Gas gets dearer, or cheaper.
    pub(crate) fee_moves: u64,
    /// Our account cannot pay for gas.
    pub(crate) no_gas: u64,
    /// The ledger fails before it writes.
    pub(crate) write_fails: u64,
    /// The ledger writes, and says that it failed.
    pub(crate) written_unsaid: u64,
    /// The ledger takes its time.
    pub(crate) write_slow: u64,
    /// The disk is full for a while.
    pub(crate) disk_full: u64,
    /// The client goes away.
    pub(crate) client_gone: u64,
    /// The work fails.
    pub(crate) work_fails: u64,
    /// The clock jumps.
    pub(crate) clock_steps: u64,
    /// A payment, or a draw, is sent by several at once.
    pub(crate) raced: u64,
    /// The work of a draw is given up, and its amount with it.
    pub(crate) draw_let_go: u64,
    /// The work of a draw is given up, and its amount stays held.
    pub(crate) draw_dropped: u64,
    /// A draw's nonce is sent with another request, too.
    pub(crate) draw_contested: u64,
}

type Member = fn(&mut Weather) -> &mut u64;

/// How to switch off kinds of it, by their names.
const KINDS: &[(&str, Member)] = &[
    ("call_fails", |weather| &mut weather.call_fails),
    ("answer_lost", |weather| &mut weather.answer_lost),
    ("call_slow", |weather| &mut weather.call_slow),
    ("receipt_late", |weather| &mut weather.receipt_late),
    ("logs_late", |weather| &mut weather.logs_late),
    ("lagging", |weather| &mut weather.lagging),
    ("garbled", |weather| &mut weather.garbled),
    ("dropped", |weather| &mut weather.dropped),
    ("stranger", |weather| &mut weather.stranger),
    ("cancelled", |weather| &mut weather.cancelled),
    ("spent", |weather| &mut weather.spent),
    ("nonce_burnt", |weather| &mut weather.nonce_burnt),
    ("bundled", |weather| &mut weather.bundled),
    ("poor", |weather| &mut weather.poor),
    ("reorg", |weather| &mut weather.reorg),
    ("deep_reorg", |weather| &mut weather.deep_reorg),
    ("restarted", |weather| &mut weather.restarted),
    ("lies", |weather| &mut weather.lies),
    ("entrusted", |weather| &mut weather.entrusted),
    ("engine", |weather| &mut weather.engine),
    ("permit2", |weather| &mut weather.permit2),
    ("no_hashes", |weather| &mut weather.no_hashes),
    ("no_finalized", |weather| &mut weather.no_finalized),
    ("short_range", |weather| &mut weather.short_range),
];

impl Weather {
    /// The node says what it knows, and nobody else acts.
    pub(crate) const fn is_plain(&self) -> bool {
        let Self { call_fails, answer_lost, call_slow, receipt_late, logs_late, .. } = self;
        let Self { lagging, garbled, stranger, cancelled, spent, nonce_burnt, .. } = self;
        let node = *call_fails + *answer_lost + *call_slow + *receipt_late + *logs_late;
        let others = *stranger + *cancelled + *spent + *nonce_burnt + self.bundled + self.poor;
        node + *lagging + *garbled + others == 0 && self.stays()
    }

    /// The chain goes back on nothing.
    pub(crate) const fn stays(&self) -> bool {
        self.reorg + self.deep_reorg + self.restarted == 0
    }

    /// Without these kinds, which are named with commas between them.
    pub(crate) fn without(mut self, names: &str) -> Self {
        for name in names.split(',').filter(|name| !name.is_empty()) {
            let kind = KINDS.iter().find(|(kind, _)| *kind == name);
            let (_, member) = kind.unwrap_or_else(|| panic!("no such kind of weather: {name}"));
            *member(&mut self) = 0;
        }
        self
    }

    /// Most kinds of trouble are absent from most runs, so that what they do is seen undisturbed.
    pub(crate) fn of(random: &mut Random) -> Self {
        let mut some = |most: u64| {
            let (is_there, much) = (random.chance(350), random.below(most) + 1);
            if is_there { much } else { 0 }
        };
        let mut weather = Self {
            call_fails: some(200),
            answer_lost: some(200),
            call_slow: some(200),
            receipt_late: some(600),
            logs_late: some(200),
            lagging: some(600),
            garbled: some(300),
            dropped: some(200),
            block_full: some(500),
            stranger: some(400),
            cancelled: some(200),
            spent: some(100),
            nonce_burnt: some(200),
            bundled: some(300),
            poor: some(500),
            reorg: some(150),
            deep_reorg: some(30),
            restarted: some(10),
            lies: some(700),
            entrusted: some(1),
            engine: some(1),
            permit2: some(1),
            no_hashes: some(1),
            no_finalized: some(1),
            short_range: some(1),
            fee_moves: some(400),
            no_gas: some(100),
            write_fails: some(100),
            written_unsaid: some(100),
            write_slow: some(300),
            disk_full: some(30),
            client_gone: some(400),
            work_fails: some(200),
            clock_steps: some(100),
            raced: some(500),
            draw_let_go: some(300),
            draw_dropped: some(300),
            draw_contested: some(500),
        };
        // Such nodes and such people are rarer than the others' kinds of trouble.
        let Self {
            garbled, deep_reorg, restarted, no_hashes, short_range, entrusted, engine, ..
        } = &mut weather;
        let rarer = [garbled, deep_reorg, restarted, no_hashes, short_range, entrusted, engine];
        for member in rarer {
            if random.chance(600) {
                *member = 0;
            }
        }
        weather
    }
}
