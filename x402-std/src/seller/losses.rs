//! Gas that was paid for nothing, and who has to wait for it.
//!
//! A payment that the chain would take can be made worthless before its transaction is mined: the
//! payer's balance goes elsewhere, or the authorization does. Whoever sends transactions for others pays
//! for each of them. So what is lost is bounded, and a payer with whom something was lost waits.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use x402_core::{Address, PaymentId, Refusal};

use super::{Rejection, Seller};
use crate::chain::TxHash;
use crate::ledger::Entry;

/// How much gas may be lost in an hour, by transactions that moved nothing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LossLimits {
    /// With one payer.
    pub of_one: u64,
    /// With all payers together.
    pub of_all: u64,
}

impl LossLimits {
    /// What a transaction that moved nothing is taken to cost, in gas: one for a contract wallet, which
    /// is the dearest, costs as much.
    pub const GAS: u64 = 200_000;
}

impl Default for LossLimits {
    /// One million with one payer, twenty with all.
    fn default() -> Self {
        Self { of_one: 5 * Self::GAS, of_all: 100 * Self::GAS }
    }
}

const HOUR: u64 = 60 * 60;
/// How long a payer waits after the first loss, in seconds; after each further one, twice as long.
const FIRST_WAIT: u64 = 10;
/// By then it is more than an hour, and stays one.
const MOST_DOUBLINGS: u32 = 9;
/// How long a loss is known, in seconds, from when it was told last: while its payment is open, it is told
/// at every look.
const KNOWN: u64 = 24 * HOUR;

/// The losses of the last hour, in this process.
#[derive(Debug, Default)]
pub(super) struct Losses(Mutex<Books>);

#[derive(Debug, Default)]
struct Books {
    /// The latest last.
    losses: VecDeque<Loss>,
    /// When each was told last, in Unix seconds.
    told: HashMap<(PaymentId, TxHash), u64>,
    payers: HashMap<Address, Waits>,
}

#[derive(Debug)]
struct Loss {
    at: u64,
    payer: Address,
}

/// How a payer waits.
#[derive(Clone, Copy, Debug, Default)]
struct Waits {
    /// How often the wait has doubled since something was moved.
    doublings: u32,
    /// Until when, in Unix seconds.
    until: u64,
}

impl Losses {
    /// A transaction of one's own moved nothing of a payment. However often it is told, it counts once.
    pub(super) fn lost(&self, payment: PaymentId, transaction: TxHash, now: u64) {
        let payer = payment.from;
        let mut books = self.books();
        books.forget(now);
        if books.told.insert((payment, transaction), now).is_some() {
            return;
        }
        books.told.retain(|_, at| at.saturating_add(KNOWN) > now);
        books.losses.push_back(Loss { at: now, payer });
        let waits = books.payers.entry(payer).or_default();
        let wait = (FIRST_WAIT << waits.doublings).min(HOUR);
        waits.doublings = (waits.doublings + 1).min(MOST_DOUBLINGS);
        waits.until = now.saturating_add(wait);
        tracing::warn!(%payer, %transaction, wait, "gas was paid for nothing: the payer waits");
    }

    /// A payment of the payer's has moved.
    pub(super) fn won(&self, payer: Address) {
        self.books().payers.remove(&payer);
    }

    /// Whether a transaction may be sent for the payer.
    ///
    /// # Errors
    ///
    /// [`Refusal::TooSoon`] where the payer has to wait, [`Refusal::Unavailable`] where too much was lost
    /// with all of them.
    pub(super) fn admits(
        &self,
        payer: Address,
        now: u64,
        limits: &LossLimits,
    ) -> Result<(), Refusal> {
        let mut books = self.books();
        books.forget(now);
        let gas =
            |count: usize| LossLimits::GAS.saturating_mul(count.try_into().unwrap_or(u64::MAX));
        let of_one = || books.losses.iter().filter(|loss| loss.payer == payer);
        let too_much = (gas(of_one().count()) >= limits.of_one)
            .then(|| of_one().next().map_or(now, |first| first.at.saturating_add(HOUR)));
        let until = books.payers.get(&payer).map_or(0, |waits| waits.until);
        let until = until.max(too_much.unwrap_or(0));
        if until > now {
            return Err(Refusal::TooSoon((until - now).try_into().unwrap_or(u32::MAX)));
        }
        if gas(books.losses.len()) >= limits.of_all {
            tracing::error!(
                "too much gas was paid for nothing within an hour: no payment is taken"
            );
            return Err(Refusal::Unavailable);
        }
        Ok(())
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        // Every change is whole by itself, whatever panicked.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Books {
    /// Forgets what was lost more than an hour ago, and who has neither to wait nor lost anything since.
    fn forget(&mut self, now: u64) {
        let is_over = |loss: &Loss| loss.at.saturating_add(HOUR) <= now;
        while self.losses.pop_front_if(|loss| is_over(loss)).is_some() {}
        self.payers.retain(|_, waits| waits.until.saturating_add(HOUR) > now);
    }
}

impl Seller {
    /// Whether gas may be risked for a payment, where it is ours.
    pub(super) fn may_lose_by(&self, entry: &Entry) -> Result<(), Rejection> {
        if self.rail(entry.payment.chain_id())?.settler().is_none() {
            return Ok(());
        }
        self.note_losses();
        let (payer, limits) = (entry.payment.payer(), &self.options.loss_limits);
        Ok(self.losses.admits(payer, self.now(), limits)?)
    }

    /// Takes down which transactions have moved nothing, by what the rails have seen.
    fn note_losses(&self) {
        for (payment, transaction) in self.rails.iter().flat_map(|(_, rail)| rail.take_losses()) {
            self.losses.lost(payment, transaction, self.now());
        }
    }

    /// Takes down what became of a payment that was moved just now, or was to be: what was lost with its
    /// payer, and that it is not under way any more.
    pub(super) fn take_down(&self, entry: &Entry, moved: &Result<TxHash, Rejection>) {
        self.note_losses();
        match moved {
            Ok(_) => self.losses.won(entry.payment.payer()),
            Err(Rejection { refusal: Refusal::Payment(_), .. }) => {}
            // It is under way still, or was never sent.
            Err(_) => return,
        }
        self.under_way.end(entry);
    }
}

#[cfg(test)]
mod tests {
    use x402_core::{ChainId, Nonce};

    use super::*;

    const NOW: u64 = 1_790_000_000;
    const LIMITS: LossLimits = LossLimits { of_one: 1_000_000, of_all: 2_000_000 };

    fn payer(byte: u8) -> Address {
        Address::new([byte; 20])
    }

    fn lose(losses: &Losses, of: u8, count: u8, now: u64) {
        let (from, nonce) = (payer(of), Nonce::new([count; 32]));
        let payment = PaymentId { chain_id: ChainId::BASE, contract: payer(9), from, nonce };
        losses.lost(payment, TxHash([count; 32]), now);
    }

    #[test]
    fn a_payer_waits_twice_as_long_each_time_until_something_is_moved() {
        let losses = Losses::default();
        let limits = LossLimits { of_one: u64::MAX, of_all: u64::MAX };
        let mut now = NOW;
        for (count, wait) in
            [10, 20, 40, 80, 160, 320, 640, 1280, 2560, 3600, 3600].iter().enumerate()
        {
            lose(&losses, 1, count.try_into().unwrap(), now);
            assert_eq!(losses.admits(payer(1), now, &limits), Err(Refusal::TooSoon(*wait)));
            assert_eq!(losses.admits(payer(2), now, &limits), Ok(()));
            now += u64::from(*wait) - 1;
            assert_eq!(losses.admits(payer(1), now, &limits), Err(Refusal::TooSoon(1)));
            now += 1;
            assert_eq!(losses.admits(payer(1), now, &limits), Ok(()));
        }
        losses.won(payer(1));
        lose(&losses, 1, 100, now);
        assert_eq!(losses.admits(payer(1), now, &limits), Err(Refusal::TooSoon(10)));
    }

    #[test]
    fn what_is_told_twice_is_lost_once() {
        let losses = Losses::default();
        lose(&losses, 1, 7, NOW);
        lose(&losses, 1, 7, NOW + 5);
        assert_eq!(losses.admits(payer(1), NOW + 10, &LIMITS), Ok(()));
    }

    /// A payment that can still be used stays open, and is looked at again and again.
    #[test]
    fn what_is_told_for_days_is_lost_once() {
        let losses = Losses::default();
        for minutes in 0..3 * 24 * 60 {
            let now = NOW + 60 * minutes;
            for count in 0..10 {
                lose(&losses, count, count, now);
            }
            let expected = if minutes < 60 { Err(Refusal::Unavailable) } else { Ok(()) };
            assert_eq!(losses.admits(payer(20), now, &LIMITS), expected, "{minutes}");
            if minutes > 0 {
                assert_eq!(losses.admits(payer(1), now, &LIMITS), expected, "{minutes}");
            }
        }
    }

    #[test]
    fn the_gas_of_an_hour_is_bounded_for_one_and_for_all() {
        let losses = Losses::default();
        for count in 0..5 {
            losses.won(payer(1));
            lose(&losses, 1, count, NOW);
        }
        // Whatever was moved in between.
        losses.won(payer(1));
        assert_eq!(losses.admits(payer(1), NOW + 100, &LIMITS), Err(Refusal::TooSoon(3500)));
        assert_eq!(losses.admits(payer(2), NOW + 100, &LIMITS), Ok(()));
        for count in 5..10 {
            lose(&losses, count, count, NOW + 100);
        }
        assert_eq!(losses.admits(payer(2), NOW + 100, &LIMITS), Err(Refusal::Unavailable));
        assert_eq!(losses.admits(payer(2), NOW + 3600, &LIMITS), Ok(()));
        assert_eq!(losses.admits(payer(1), NOW + 3600, &LIMITS), Ok(()));
    }
}
