//! What each payer has under way: admitted here, and not moved yet.
//!
//! A chain says of each payment by itself whether the payer's balance covers it. Of a hundred on a
//! balance for one, each is covered and ninety-nine revert: so the next one is set against the sum.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::OnceCell;
use x402_core::state::State;
use x402_core::{Amount, Error, PaymentId, Refusal};

use super::{Rejection, Seller};
use crate::ledger::{Entry, LedgerError, OwedAccount, Settle};

/// How many payments are counted at most; while they are all under way, no other is admitted.
const MOST: usize = 1 << 16;

/// The payments under way in this process, and those that were when it began, but for those that the
/// ledger counts as owed.
#[derive(Debug, Default)]
pub(super) struct UnderWay {
    table: Mutex<Table>,
    /// Whether those from before are counted.
    is_begun: OnceCell<()>,
}

#[derive(Debug, Default)]
struct Table {
    accounts: HashMap<OwedAccount, Account>,
    /// How many payments there are in all accounts.
    count: usize,
}

#[derive(Debug, Default)]
struct Account {
    payments: HashMap<PaymentId, Share>,
    sum: Amount,
}

#[derive(Debug)]
struct Share {
    amount: Amount,
    /// Until when, in Unix seconds, a block may move it.
    until: u64,
}

impl UnderWay {
    /// Counts a payment, once, and says how much the account has under way beside it.
    fn admit(&self, entry: &Entry, now: u64) -> Result<Amount, Refusal> {
        let (account, id, share) = (OwedAccount::of(&entry.payment), entry.id(), Share::of(entry));
        let mut table = self.table();
        table.forget(&account, |_, share| share.until < now);
        if let Some(known) = table.accounts.get(&account)
            && let Some(share) = known.payments.get(&id)
        {
            return Ok(known.sum.checked_sub(share.amount).unwrap_or_default());
        }
        if table.count >= MOST {
            table.forget_all(now);
        }
        if table.count >= MOST {
            return Err(Refusal::Unavailable);
        }
        let Table { accounts, count } = &mut *table;
        let others = accounts.get(&account).map_or(Amount::ZERO, |account| account.sum);
        // No balance is so large.
        let sum = others.checked_add(share.amount).ok_or(Error::Balance)?;
        let account = accounts.entry(account).or_default();
        account.sum = sum;
        account.payments.insert(id, share);
        *count += 1;
        Ok(others)
    }

    /// A payment has moved, or will not.
    pub(super) fn end(&self, entry: &Entry) {
        let id = entry.id();
        self.table().forget(&OwedAccount::of(&entry.payment), |other, _| *other == id);
    }

    fn of(&self, account: &OwedAccount) -> Vec<PaymentId> {
        let table = self.table();
        let account = table.accounts.get(account);
        account.map(|account| account.payments.keys().copied().collect()).unwrap_or_default()
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // A panic between two changes could only leave too much counted, for a while.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn forget(&mut self, account: &OwedAccount, is_over: impl Fn(&PaymentId, &Share) -> bool) {
        let Some(known) = self.accounts.get_mut(account) else { return };
        let Account { payments, sum } = known;
        let before = payments.len();
        payments.retain(|id, share| {
            let is_over = is_over(id, share);
            if is_over {
                *sum = sum.checked_sub(share.amount).unwrap_or_default();
            }
            !is_over
        });
        self.count = self.count.saturating_sub(before - payments.len());
        if payments.is_empty() {
            self.accounts.remove(account);
        }
    }

    fn forget_all(&mut self, now: u64) {
        let accounts: Vec<_> = self.accounts.keys().copied().collect();
        for account in accounts {
            self.forget(&account, |_, share| share.until < now);
        }
    }
}

impl Share {
    fn of(entry: &Entry) -> Self {
        /// The last block in which it may be moved may be seen so much later.
        const LAST_BLOCKS_SECONDS: u64 = 600;
        let valid_before = entry.payment.transfer().valid_before().to_secs().unwrap_or(u64::MAX);
        let until = valid_before.saturating_add(LAST_BLOCKS_SECONDS);
        Self { amount: entry.payment.amount(), until }
    }
}

impl Seller {
    /// Makes sure that a claimed payment, of which nothing was sent, can be moved: the chain would take
    /// it, its payer does not have to wait ([`Losses`](super::losses::Losses)), and the balance covers it
    /// together with what else the payer has under way. From then on it is counted, until it has ended.
    ///
    /// Where `is_asked_later`, the chain is asked about the payment itself by those who send it.
    pub(super) async fn approve(
        &self,
        entry: &Entry,
        is_asked_later: bool,
    ) -> Result<(), Rejection> {
        self.may_lose_by(entry)?;
        // Who has signed for a contract, only the chain knows: before it has said so, nothing counts.
        let is_wallet = entry.payment.signature().is_none();
        if is_wallet {
            self.verify_entry(entry).await?;
        }
        self.count_from_before().await?;
        let others = match entry.settle {
            Settle::First | Settle::After => self.under_way.admit(entry, self.now())?,
            // The ledger counts it.
            Settle::Later => self.under_way_of(entry),
        };
        let approved = async {
            if !is_wallet && !is_asked_later {
                self.verify_entry(entry).await?;
            }
            self.covers(entry, others).await
        };
        let approved = approved.await;
        if approved.is_err() {
            self.under_way.end(entry);
        }
        approved
    }

    /// Counts what was sent before this process began, and has not ended: once.
    pub(super) async fn count_from_before(&self) -> Result<(), Rejection> {
        let count = || async {
            for entry in self.ledger.open_entries().await? {
                if entry.state != State::Claimed && !entry.is_owed() {
                    // Where there is no room for it, nor is there for any other.
                    let _ = self.under_way.admit(&entry, self.now());
                }
            }
            Ok(())
        };
        let counted = self.under_way.is_begun.get_or_try_init(count).await;
        counted.map_err(|error: LedgerError| Rejection::unavailable(&error))?;
        Ok(())
    }

    /// What a payer has under way beside a payment that is not counted.
    pub(super) fn under_way_of(&self, entry: &Entry) -> Amount {
        let table = self.under_way.table();
        let account = table.accounts.get(&OwedAccount::of(&entry.payment));
        account.map_or(Amount::ZERO, |account| account.sum)
    }

    /// Makes sure that the payer's balance covers a payment, and what the payer has under way beside it
    /// and owes. The chain is asked only where that is something.
    pub(super) async fn covers(&self, entry: &Entry, others: Amount) -> Result<(), Rejection> {
        let owed = self.owed_beside(entry).await?;
        if others == Amount::ZERO && owed == Amount::ZERO {
            return Ok(());
        }
        let (payer, asset) = (entry.payment.payer(), entry.payment.asset());
        let balance = self.rail(entry.payment.chain_id())?.token_balance(asset, payer).await;
        let balance = balance.map_err(|error| Rejection::unavailable(&error))?;
        let Some(balance) = balance else { return Ok(()) };
        let is_covered = |others: Amount| {
            let sum =
                others.checked_add(owed).and_then(|sum| sum.checked_add(entry.payment.amount()));
            sum.is_some_and(|sum| sum <= balance)
        };
        // Some may have ended without this process.
        if is_covered(others) || is_covered(self.still_under_way(entry).await?) {
            return Ok(());
        }
        Err(Error::Balance.into())
    }

    /// What the payer owes by the ledger, without the payment itself.
    async fn owed_beside(&self, entry: &Entry) -> Result<Amount, Rejection> {
        if self.options.later.max_owed.is_empty() {
            return Ok(Amount::ZERO);
        }
        let owed = self.ledger.owes(OwedAccount::of(&entry.payment)).await;
        let owed = owed.map_err(|error| Rejection::unavailable(&error))?;
        Ok(owed.sum.checked_sub(entry.owed()).unwrap_or_default())
    }

    /// What the payer has under way beside a payment, by what the ledger says of each.
    async fn still_under_way(&self, entry: &Entry) -> Result<Amount, Rejection> {
        let account = OwedAccount::of(&entry.payment);
        let mut over = HashSet::new();
        for id in self.under_way.of(&account) {
            // Of many at once, most are being worked on here: none of those asks the ledger for the others.
            if self.working.is_busy(id) {
                continue;
            }
            let known = self.ledger.find(id).await;
            let known = known.map_err(|error| Rejection::unavailable(&error))?;
            let is_under_way = known.is_some_and(|known| match known.state {
                State::Worked | State::Broadcast | State::Pending => !known.is_owed(),
                State::Claimed
                | State::Settled
                | State::Served
                | State::Returned
                | State::Failed => false,
            });
            if !is_under_way {
                over.insert(id);
            }
        }
        let mut table = self.under_way.table();
        table.forget(&account, |id, _| over.contains(id));
        let account = table.accounts.get(&account);
        let sum = account.map_or(Amount::ZERO, |account| account.sum);
        let own = account.and_then(|account| account.payments.get(&entry.id()));
        let own = own.map_or(Amount::ZERO, |share| share.amount);
        Ok(sum.checked_sub(own).unwrap_or_default())
    }
}
