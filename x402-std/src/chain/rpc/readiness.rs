//! Whether payments can be settled, as far as that lies with us: the account's ether, the price of gas, and
//! the clock. Looked at while payments come, and now and then.

use core::mem::discriminant;
use core::time::Duration;
use std::sync::{Mutex, MutexGuard, PoisonError};

use alloy_primitives::U256;
use tokio::time::Instant;
use x402_core::{Address, Amount, Claimed};

use super::RpcChain;
use super::fees::gas_costs;
use super::node::{At, Node};
use crate::chain::ChainError;

/// For how long what was seen is counted on.
const FRESH: Duration = Duration::from_secs(10);
/// For how many payments the account has to have ether: as many may be on their way at the same time.
const NEXT: u64 = 10;
/// From how many seconds on a difference between the clocks is said.
const SAID: u64 = 15;
/// How many seconds may be between the clocks. Authorizations are valid for a minute as a rule.
const MOST: u64 = 60;
/// For how many seconds blocks are counted on that were behind, where no new one comes.
const FORGOTTEN: u64 = 300;

/// Why nothing is sold on a chain for the moment, for what lies with us.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Lack {
    /// A block came that was older than the clock said when it was not there yet, by so many seconds.
    #[error(
        "blocks come whose time is {0} seconds behind this machine's: set its clock, or ask another node"
    )]
    ClockAhead(u64),
    /// The newest block is of a time that is still to come, by so many seconds.
    #[error(
        "the newest block is {0} seconds ahead of this machine's time: set its clock, or the chain's"
    )]
    ClockBehind(u64),
    /// The account has not enough for the gas of the next payments.
    #[error(
        "{account}, which pays the gas, has {balance} wei, and the next ten payments may cost {needed}: send it more"
    )]
    Funds {
        /// Who pays the gas.
        account: Address,
        /// What it has, in wei.
        balance: Amount,
        /// What it should have at least, in wei.
        needed: Amount,
    },
    /// Gas costs more than is paid for it.
    #[error(
        "gas costs {price} wei now, above the limit of {cap}: wait, or raise max_gas_cost or max_fee_per_gas"
    )]
    Price {
        /// What a unit of gas costs now, in wei.
        price: u128,
        /// What is paid for it at most, in wei.
        cap: u128,
    },
}

/// What was seen last of the account that pays the gas, and of the clock.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Standing {
    /// The account's ether, in wei; `None` where it was not seen yet.
    pub balance: Option<Amount>,
    /// Why nothing is sold for the moment, if so.
    pub lack: Option<Lack>,
}

/// What was seen last, and when.
#[derive(Debug, Default)]
pub(super) struct Readiness {
    seen: Mutex<Seen>,
    /// Held by who looks: the others wait for what he sees.
    looking: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Seen {
    at: Option<Instant>,
    standing: Standing,
    clock: Clock,
}

/// What blocks say of the clock.
#[derive(Debug, Default)]
struct Clock {
    /// The newest block, and what the clock said then.
    last: Option<(u64, u64)>,
    /// By how many seconds the newest block was ahead.
    ahead: u64,
    /// By how many seconds the last two blocks were behind that were new at a look.
    behind: [u64; 2],
    /// When the last of them was seen, in Unix seconds.
    judged_at: u64,
    /// Whether a difference was said.
    is_said: bool,
}

/// What a node says.
struct Found {
    balance: U256,
    price: u128,
    number: u64,
    time: u64,
}

impl Readiness {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        // Every change is some assignments, each of which is good by itself, whatever panicked.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_fresh(&self, age: Duration) -> bool {
        self.seen().at.is_some_and(|at| at.elapsed() < age)
    }

    /// There is reason to think that things have changed.
    pub(super) fn look_again(&self) {
        self.seen().at = None;
    }

    pub(super) fn ahead_seconds(&self) -> u64 {
        self.seen().clock.ahead
    }
}

impl Clock {
    /// Takes note of the newest block. Only what is certain counts: a block of a time to come; and two in a row
    /// each of which came since the look before, and is older than that. An old block by itself may be one of
    /// a chain that has nothing to do.
    fn note(&mut self, number: u64, time: u64, now: u64) -> Option<Lack> {
        self.ahead = time.saturating_sub(now);
        let last = self.last.replace((number, now));
        match last {
            // The clock was set back: what was said by it is void.
            Some((_, then)) if now < then => self.behind = [0; 2],
            Some((earlier, then)) if number > earlier => {
                self.behind = [self.behind[1], then.saturating_sub(time)];
                self.judged_at = now;
            }
            // Nothing has come for so long that nothing is known any more.
            _ if now.saturating_sub(self.judged_at) > FORGOTTEN => self.behind = [0; 2],
            _ => {}
        }
        let (ahead, behind) = (self.ahead, self.behind[0].min(self.behind[1]));
        let most = ahead.max(behind);
        if most >= SAID && !self.is_said {
            tracing::warn!(ahead, behind, "the chain's time, in seconds from this machine's");
        }
        self.is_said = most >= SAID;
        if ahead > MOST {
            return Some(Lack::ClockBehind(ahead));
        }
        (behind > MOST).then_some(Lack::ClockAhead(behind))
    }
}

impl RpcChain {
    /// What was seen last, without asking.
    #[must_use]
    pub fn standing(&self) -> Standing {
        self.readiness.seen().standing.clone()
    }

    /// Looks how things stand, by the time of this machine's clock.
    pub async fn look_around(&self) {
        self.look(Duration::ZERO, crate::seller::system_time()).await;
    }

    pub(super) async fn is_ready(&self, payment: &Claimed, now: u64) -> Result<(), ChainError> {
        self.look(FRESH, now).await;
        if let Some(lack) = self.standing().lack {
            return Err(ChainError::Unavailable(lack.to_string()));
        }
        self.is_token_ready(payment).await
    }

    pub(super) async fn agrees_on_time(&self, now: u64) -> bool {
        self.look(FRESH, now).await;
        !matches!(self.standing().lack, Some(Lack::ClockAhead(_) | Lack::ClockBehind(_)))
    }

    /// Sees how things stand, unless somebody has since. Where no node says, it is as it was: without one,
    /// nothing is sold anyway.
    async fn look(&self, age: Duration, now: u64) {
        if self.readiness.is_fresh(age) {
            return;
        }
        let begun = Instant::now();
        let _looking = self.readiness.looking.lock().await;
        if self.readiness.seen().at.is_some_and(|at| at >= begun) {
            return;
        }
        match self.ask(|node| self.found(node)).await {
            // The answer may have taken a while.
            Ok(found) => self.take_down(&found, now.saturating_add(begun.elapsed().as_secs())),
            Err(error) => tracing::debug!(%error, "how the account stands is not known"),
        }
        self.readiness.seen().at = Some(Instant::now());
    }

    async fn found(&self, node: &Node) -> Result<Found, ChainError> {
        let balance = node.balance(self.account.address());
        let price = gas_costs(node, self.account.is_legacy);
        let head = node.known_header(At::Latest);
        let (balance, price, head) = futures_util::try_join!(balance, price, head)?;
        Ok(Found { balance, price, number: head.number(), time: head.timestamp() })
    }

    fn take_down(&self, found: &Found, now: u64) {
        let mut seen = self.readiness.seen();
        let clock = seen.clock.note(found.number, found.time, now);
        let lack = clock.or_else(|| self.lack_of(found));
        let before = core::mem::replace(&mut seen.standing.lack, lack.clone());
        seen.standing.balance = Some(Amount::from_be_bytes(found.balance.to_be_bytes()));
        let chain_id = self.options.chain_id;
        match (&before, &lack) {
            (Some(before), Some(lack)) if discriminant(before) == discriminant(lack) => {}
            (_, Some(lack)) => tracing::warn!(%chain_id, %lack, "nothing is sold on this chain"),
            (Some(_), None) => tracing::info!(%chain_id, "payments are taken again"),
            (None, None) => {}
        }
    }

    fn lack_of(&self, found: &Found) -> Option<Lack> {
        let (price, cap) = (found.price, self.options.fee_cap(false));
        if price > cap {
            return Some(Lack::Price { price, cap });
        }
        let gas = self.options.gas_limit.saturating_mul(NEXT);
        let needed = U256::from(price).saturating_mul(U256::from(gas));
        (found.balance < needed).then(|| {
            let [balance, needed] =
                [found.balance, needed].map(|n| Amount::from_be_bytes(n.to_be_bytes()));
            Lack::Funds { account: self.address(), balance, needed }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_certain_counts_against_the_clock() {
        let note = |clock: &mut Clock, number, time, now| clock.note(number, time, now);
        let mut clock = Clock::default();
        assert_eq!(note(&mut clock, 5, 1_000, 900_000), None, "a chain that has nothing to do");
        assert_eq!(note(&mut clock, 5, 1_000, 900_010), None);
        // It came between the looks, at a time before the first of them.
        assert_eq!(
            note(&mut clock, 6, 899_709, 900_020),
            None,
            "once may be one back end of several"
        );
        assert_eq!(note(&mut clock, 7, 899_719, 900_030), Some(Lack::ClockAhead(301)));
        assert_eq!(note(&mut clock, 7, 899_719, 900_035), Some(Lack::ClockAhead(301)), "as it was");
        assert_eq!(note(&mut clock, 8, 900_037, 900_040), None);
        let mut quiet =
            Clock { last: Some((1, 5_000)), behind: [99; 2], judged_at: 5_000, ..clock };
        assert_eq!(note(&mut quiet, 1, 10, 5_300), Some(Lack::ClockAhead(99)));
        assert_eq!(note(&mut quiet, 1, 10, 5_301), None, "nothing is known any more");
        let mut set =
            Clock { last: Some((1, 5_000)), behind: [99; 2], judged_at: 5_000, ..Clock::default() };
        assert_eq!(note(&mut set, 1, 10, 4_900), None, "the clock was set");
        let mut clock = Clock::default();
        assert_eq!((note(&mut clock, 9, 900_100, 900_040), clock.ahead), (None, 60));
        assert_eq!(note(&mut clock, 9, 900_100, 900_039), Some(Lack::ClockBehind(61)));
        assert_eq!((note(&mut clock, 10, 900_101, 900_101), clock.ahead), (None, 0));
    }
}
