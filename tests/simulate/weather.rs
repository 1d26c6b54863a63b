//! What goes wrong in a run, and how often.

use crate::random::Random;

/// The kinds of trouble, and how much there is of each at most.
macro_rules! weather {
    ($($(#[$doc:meta])* $kind:ident: $most:literal,)*) => {
        /// Each number is how many times in a thousand.
        #[derive(Clone, Copy, Debug, Default)]
        pub(crate) struct Weather {
            $($(#[$doc])* pub(crate) $kind: u64,)*
        }

        impl Weather {
            /// So much of each kind, in the order of the members.
            fn each(mut much: impl FnMut(u64) -> u64) -> Self {
                Self { $($kind: much($most),)* }
            }

            /// How much there is of the kind of this name.
            fn named(&mut self, name: &str) -> Option<&mut u64> {
                match name {
                    $(stringify!($kind) => Some(&mut self.$kind),)*
                    _ => None,
                }
            }
        }
    };
}

weather! {
    /// A call of the node fails before it does anything.
    call_fails: 200,
    /// A call does what it should, and its answer is lost.
    answer_lost: 200,
    /// A call takes seconds.
    call_slow: 200,
    /// A receipt is not told yet.
    receipt_late: 600,
    /// Neither receipts nor logs of new blocks are told for some seconds, while their state is.
    logs_late: 200,
    /// One of the machines behind the node's address falls behind.
    lagging: 600,
    /// The receipt of something that waits is made up.
    garbled: 300,
    /// The node forgets a transaction that waits.
    dropped: 200,
    /// A block has no room for us.
    block_full: 500,
    /// Somebody who sees a transaction submits its authorization first.
    stranger: 400,
    /// The payer takes an authorization back.
    cancelled: 200,
    /// The payer spends what there is elsewhere.
    spent: 100,
    /// The payer uses the nonce for another authorization.
    nonce_burnt: 200,
    /// One transaction uses an authorization as it stands, and the nonces of others for nothing.
    bundled: 300,
    /// A payer has less than was signed for.
    poor: 500,
    /// The chain goes back by some blocks.
    reorg: 150,
    /// The chain goes back further than is waited for.
    deep_reorg: 30,
    /// The chain begins again.
    restarted: 10,
    /// A facilitator lies.
    lies: 700,
    /// Not zero where the seller has a facilitator of somebody else's.
    entrusted: 1,
    /// Not zero where the seller is a facilitator.
    engine: 1,
    /// Not zero where it is paid by Permit2.
    permit2: 1,
    /// Not zero where the node does not take a block's hash (EIP-1898).
    no_hashes: 1,
    /// Not zero where the node does not know what is final.
    no_finalized: 1,
    /// Not zero where the node searches few blocks for logs at once.
    short_range: 1,
    /// Gas gets dearer, or cheaper.
    fee_moves: 400,
    /// Our account cannot pay for gas.
    no_gas: 100,
    /// The ledger fails before it writes.
    write_fails: 100,
    /// The ledger writes, and says that it failed.
    written_unsaid: 100,
    /// The ledger takes its time.
    write_slow: 300,
    /// The disk is full for a while.
    disk_full: 30,
    /// Not zero where the ledger is a file on a disk of which a crash leaves any part of what was not
    /// synchronised.
    file: 1,
    /// The disk under the file fails for good, in the middle of a change.
    disk_breaks: 10,
    /// The client goes away.
    client_gone: 400,
    /// The work fails.
    work_fails: 200,
    /// The clock jumps.
    clock_steps: 100,
    /// A payment, or a draw, is sent by several at once.
    raced: 500,
    /// The work of a draw is given up, and its amount with it.
    draw_let_go: 300,
    /// The work of a draw is given up, and its amount stays held.
    draw_dropped: 300,
    /// A draw's nonce is sent with another request, too.
    draw_contested: 500,
    /// Somebody reads a payment on the chain, and presents it.
    observed: 500,
    /// A payer asks for more than he has paid for.
    greedy: 500,
    /// Not zero where names of balances are replaced, and draws are by names.
    renamed: 1,
    /// A payer breaks his own requests.
    cheats: 300,
    /// Not zero where the price is what was paid, whatever the work has cost.
    unmeasured: 1,
    /// Not zero where the price doubles at some time.
    dearer: 1,
}

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
            *self.named(name).unwrap_or_else(|| panic!("no such kind of weather: {name}")) = 0;
        }
        self
    }

    /// Most kinds of trouble are absent from most runs, so that what they do is seen undisturbed.
    pub(crate) fn of(random: &mut Random) -> Self {
        let mut weather = Self::each(|most| {
            let (is_there, much) = (random.chance(350), random.below(most) + 1);
            if is_there { much } else { 0 }
        });
        // Such nodes and such people are rarer than the others' kinds of trouble.
        let Self {
            garbled,
            deep_reorg,
            restarted,
            no_hashes,
            short_range,
            entrusted,
            engine,
            file,
            ..
        } = &mut weather;
        let rarer =
            [garbled, deep_reorg, restarted, no_hashes, short_range, entrusted, engine, file];
        for member in rarer {
            if random.chance(600) {
                *member = 0;
            }
        }
        weather
    }
}
