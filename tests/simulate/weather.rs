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
    /// The node forgets a transaction that waits.
    pub(crate) dropped: u64,
    /// A block has no room for us.
    pub(crate) block_full: u64,
    /// Somebody who sees a transaction submits its authorization first.
    pub(crate) stranger: u64,
    /// The payer cancels, or spends the money elsewhere.
    pub(crate) cancelled: u64,
    /// The chain goes back by some blocks.
    pub(crate) reorg: u64,
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

impl Weather {
    /// The node says what it knows, and nobody else acts.
    pub(crate) const fn is_plain(&self) -> bool {
        let Self { call_fails, answer_lost, call_slow, receipt_late, .. } = self;
        let Self { reorg, stranger, cancelled, .. } = self;
        *call_fails + *answer_lost + *call_slow + *receipt_late + *reorg + *stranger + *cancelled
            == 0
    }

    /// Most kinds of trouble are absent from most runs, so that what they do is seen undisturbed.
    pub(crate) fn of(random: &mut Random) -> Self {
        let mut some = |most: u64| {
            let (is_there, much) = (random.chance(350), random.below(most) + 1);
            if is_there { much } else { 0 }
        };
        Self {
            call_fails: some(200),
            answer_lost: some(200),
            call_slow: some(200),
            receipt_late: some(600),
            dropped: some(200),
            block_full: some(500),
            stranger: some(400),
            cancelled: some(200),
            reorg: some(150),
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
        }
    }
}
