//! What happened, in numbers.

/// What happened in all.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) payments: u64,
    pub(crate) served: u64,
    pub(crate) moved: u64,
    pub(crate) runs: u64,
    pub(crate) crashes: u64,
    /// How many times a disk was cut off under a ledger in a file.
    pub(crate) cuts: u64,
    /// How many disks failed for good under one.
    pub(crate) broken_disks: u64,
    pub(crate) faults: u64,
    /// What the node was asked.
    pub(crate) calls: u64,
    /// How long it took by the clock of the runs.
    pub(crate) seconds: u64,
    pub(crate) reorgs: u64,
    /// Of these, those that went back further than is waited for.
    pub(crate) deep: u64,
    pub(crate) restarts: u64,
    pub(crate) replaced: u64,
    /// What strangers, and payers, have done against payments.
    pub(crate) by_others: u64,
    /// Payments that were presented by who had read them on the chain.
    pub(crate) observed: u64,
    /// Payments that were presented with more asked for than they buy.
    pub(crate) asked_for_more: u64,
    /// Names of balances that were replaced.
    pub(crate) renamed: u64,
    /// Draws by names that had been replaced.
    pub(crate) found_names: u64,
    /// How often a payer broke his request.
    pub(crate) cheated: u64,
    /// Authorizations that were used together with the nonces of others.
    pub(crate) bundles: u64,
    /// What a facilitator said and did that was not so.
    pub(crate) lies: u64,
    /// Received, and taken back by the chain, as far as the books know.
    pub(crate) reversed: u64,
    /// Served and not paid, and on the books as such.
    pub(crate) owed: u64,
    /// Served, and not sent in time for what lies with the seller.
    pub(crate) lost: u64,
    /// Payments that were settled by a transaction with others.
    pub(crate) in_batches: u64,
    /// Requests that were served out of a balance.
    pub(crate) drawn: u64,
    /// Their answers that were given again.
    pub(crate) replayed: u64,
    /// Attempts to draw more than there was.
    pub(crate) short: u64,
    pub(crate) let_go: u64,
    /// What is left of the balances in the end, in atomic units.
    pub(crate) credit: u64,
}

impl Counts {
    pub(crate) const fn add(&mut self, other: Self) {
        self.payments += other.payments;
        self.served += other.served;
        self.moved += other.moved;
        self.runs += other.runs;
        self.crashes += other.crashes;
        self.cuts += other.cuts;
        self.broken_disks += other.broken_disks;
        self.faults += other.faults;
        self.calls += other.calls;
        self.seconds += other.seconds;
        self.reorgs += other.reorgs;
        self.deep += other.deep;
        self.restarts += other.restarts;
        self.replaced += other.replaced;
        self.by_others += other.by_others;
        self.observed += other.observed;
        self.asked_for_more += other.asked_for_more;
        self.renamed += other.renamed;
        self.found_names += other.found_names;
        self.cheated += other.cheated;
        self.bundles += other.bundles;
        self.lies += other.lies;
        self.reversed += other.reversed;
        self.owed += other.owed;
        self.lost += other.lost;
        self.in_batches += other.in_batches;
        self.drawn += other.drawn;
        self.replayed += other.replayed;
        self.short += other.short;
        self.let_go += other.let_go;
        self.credit += other.credit;
    }
}
