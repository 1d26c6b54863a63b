use core::time::Duration;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;
use x402_core::{Error, PaymentId};

/// How often a facilitator is asked about a payment without a pause, beyond that of whoever asks.
const AT_ONCE: u32 = 3;
/// The pause after that; it doubles.
const FIRST_PAUSE: Duration = Duration::from_secs(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(60 * 60);
/// How often it is asked about a payment altogether, in this process.
const MOST: u32 = 32;

/// With so many payments remembered, those go that nobody has asked about for long.
const MANY: usize = 1 << 16;

/// How often a facilitator was asked to settle each payment whose end is not known, and why it has refused
/// those that have ended so. After a restart, it is asked why.
#[derive(Debug, Default)]
pub(super) struct Patience(Mutex<HashMap<PaymentId, Asked>>);

#[derive(Clone, Copy, Debug)]
struct Asked {
    times: u32,
    next: Instant,
    refused: Option<Error>,
}

impl Patience {
    /// Whether it may be asked now; then that counts.
    pub(super) fn asks(&self, id: PaymentId) -> bool {
        let (mut asked, now) = (self.asked(), Instant::now());
        let asked = of(&mut asked, id, now);
        if asked.times >= MOST || now < asked.next {
            return false;
        }
        asked.times += 1;
        if let Some(doublings) = asked.times.checked_sub(AT_ONCE) {
            // By ten it is more than the longest.
            asked.next = now + (FIRST_PAUSE * (1 << doublings.min(10))).min(LONGEST_PAUSE);
        }
        if asked.times == MOST {
            tracing::error!(payment = %id, "the facilitator does not say how it ended: it is not asked any more");
        }
        true
    }

    /// The payment is refused, for good or until somebody tries again.
    pub(super) fn refuse(&self, id: PaymentId, error: Error) {
        of(&mut self.asked(), id, Instant::now()).refused = Some(error);
    }

    /// Why it was refused, if it was.
    pub(super) fn refusal(&self, id: PaymentId) -> Option<Error> {
        self.asked().get(&id)?.refused
    }

    /// The payment has moved.
    pub(super) fn end(&self, id: PaymentId) {
        self.asked().remove(&id);
    }

    fn asked(&self) -> MutexGuard<'_, HashMap<PaymentId, Asked>> {
        // Every change is one assignment: it is whole whatever panicked.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn of(asked: &mut HashMap<PaymentId, Asked>, id: PaymentId, now: Instant) -> &mut Asked {
    if asked.len() >= MANY {
        asked.retain(|_, asked| asked.next + LONGEST_PAUSE > now);
    }
    asked.entry(id).or_insert(Asked { times: 0, next: now, refused: None })
}

#[cfg(test)]
mod tests {
    use x402_core::{Address, ChainId, Nonce};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_pauses_grow_and_the_questions_end() {
        let id = |byte| PaymentId {
            chain_id: ChainId::BASE,
            contract: Address::ZERO,
            from: Address::ZERO,
            nonce: Nonce::new([byte; 32]),
        };
        let (patience, start) = (Patience::default(), Instant::now());
        let mut asked = Vec::new();
        // Every ten seconds, for two days.
        for _ in 0..6 * 60 * 48 {
            if patience.asks(id(1)) {
                asked.push(start.elapsed().as_secs());
            }
            tokio::time::advance(Duration::from_secs(10)).await;
        }
        assert_eq!(asked[..8], [0, 10, 20, 30, 50, 90, 170, 330]);
        assert_eq!(asked.len(), 32);
        assert!(patience.asks(id(2)));
        patience.end(id(1));
        assert!(patience.asks(id(1)));
    }
}
