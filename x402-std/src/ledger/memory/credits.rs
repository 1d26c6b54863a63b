use std::collections::{BTreeMap, HashMap};

use x402_core::{Amount, PaymentId};

use super::Sweeper;
use crate::ledger::{Conclusion, CreditAccount, Draw, DrawId, Drawing, LedgerError};

/// Balances, and what was drawn from them.
#[derive(Default)]
pub(super) struct Credits {
    /// Those that are not zero.
    balances: BTreeMap<CreditAccount, Amount>,
    draws: HashMap<DrawId, Draw>,
    sweeper: Sweeper,
}

impl Credits {
    pub(super) fn balance(&self, account: &CreditAccount) -> Amount {
        self.balances.get(account).copied().unwrap_or_default()
    }

    pub(super) fn balances(&self) -> Vec<(CreditAccount, Amount)> {
        self.balances.iter().map(|(account, amount)| (*account, *amount)).collect()
    }

    pub(super) fn find(&self, id: DrawId) -> Option<&Draw> {
        self.draws.get(&id)
    }

    pub(super) fn held(&self) -> Vec<Draw> {
        let mut held: Vec<_> = self.draws.values().filter(|draw| draw.is_held()).cloned().collect();
        held.sort_unstable_by_key(|draw| draw.id);
        held
    }

    /// Nothing has changed where the sum is too large.
    pub(super) fn add(
        &mut self,
        account: CreditAccount,
        amount: Amount,
    ) -> Result<(), LedgerError> {
        let sum = self.balance(&account).checked_add(amount).ok_or(LedgerError::Overflow)?;
        self.set(account, sum);
        Ok(())
    }

    /// Takes out what is there: the caller has looked.
    pub(super) fn withdraw(
        &mut self,
        account: CreditAccount,
        amount: Amount,
    ) -> Result<(), LedgerError> {
        let rest = self.balance(&account).checked_sub(amount).ok_or(LedgerError::Amount)?;
        self.set(account, rest);
        Ok(())
    }

    fn set(&mut self, account: CreditAccount, balance: Amount) {
        if balance == Amount::ZERO {
            self.balances.remove(&account);
        } else {
            self.balances.insert(account, balance);
        }
    }

    /// `due` are the debts that the balance has to be set off against first.
    pub(super) fn draw(
        &mut self,
        draw: Draw,
        due: Vec<PaymentId>,
        capacity: usize,
    ) -> Result<Drawing, LedgerError> {
        if let Some(known) = self.draws.get(&draw.id) {
            return Ok(Drawing::Known(Box::new(known.clone())));
        }
        let balance = self.balance(&draw.account);
        if balance != Amount::ZERO && !due.is_empty() {
            return Ok(Drawing::Owing(due));
        }
        let Some(rest) = balance.checked_sub(draw.amount) else {
            return Ok(Drawing::Short(balance));
        };
        self.make_room(capacity, draw.drawn_at)?;
        self.set(draw.account, rest);
        self.draws.insert(draw.id, draw);
        Ok(Drawing::New)
    }

    pub(super) fn conclude(
        &mut self,
        id: DrawId,
        conclusion: Conclusion,
    ) -> Result<(), LedgerError> {
        let draw = self.draws.get(&id).ok_or(LedgerError::Missing)?.clone();
        let account = draw.account;
        let (draw, rest) = draw.after(conclusion)?;
        self.add(account, rest)?;
        match draw {
            Some(draw) => self.draws.insert(id, draw),
            None => self.draws.remove(&id),
        };
        Ok(())
    }

    fn make_room(&mut self, capacity: usize, now: u64) -> Result<(), LedgerError> {
        if self.sweeper.is_due(now, self.draws.len() >= capacity) {
            self.draws.retain(|_, draw| draw.is_held() || draw.keep_until() >= now);
        }
        if self.draws.len() >= capacity {
            return Err(LedgerError::Storage("full".into()));
        }
        Ok(())
    }
}
