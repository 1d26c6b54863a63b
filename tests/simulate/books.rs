//! Credit, kept a second time: what the ledger says of it must be the same after each of its changes.

use std::collections::BTreeMap;

use x402_core::Amount;
use x402_std::ledger::{Conclusion, CreditAccount, Draw, DrawId, DrawState, Drawing};

use crate::node::{Use, word};
use crate::run::PRICE;
use crate::work::cost_of;
use crate::world::World;

/// What the ledger was told of payments and draws, and has taken.
#[derive(Default)]
pub(crate) struct Books {
    pub(crate) payments: Vec<Told>,
    draws: BTreeMap<DrawId, Draw>,
}

/// What the ledger was told of a payment.
pub(crate) struct Told {
    pub(crate) account: CreditAccount,
    cost: Option<Amount>,
    has_arrived: bool,
}

impl Told {
    pub(crate) const fn nothing(account: CreditAccount) -> Self {
        Self { account, cost: None, has_arrived: false }
    }

    /// What of it is the payer's.
    fn credit(&self) -> Option<Amount> {
        let cost = self.cost.filter(|_| self.has_arrived)?;
        Amount::from_units(PRICE.into()).checked_sub(cost)
    }
}

impl Books {
    /// The ledger has taken a step of a payment; whose it is.
    pub(crate) fn stepped(
        &mut self,
        index: usize,
        cost: Option<Amount>,
        arrives: bool,
    ) -> CreditAccount {
        let payment = &mut self.payments[index];
        payment.cost = cost.or(payment.cost);
        payment.has_arrived |= arrives;
        payment.account
    }

    /// The ledger has answered an attempt to draw; gives the answer that was right, if it was another.
    fn drawn(&mut self, draw: Draw, drawing: &Drawing) -> Option<Drawing> {
        let balance = self.balance(&draw.account).unwrap_or_default();
        let right = match self.draws.get(&draw.id) {
            Some(known) => Drawing::Known(Box::new(known.clone())),
            None if balance < draw.amount => Drawing::Short(balance),
            None => Drawing::New,
        };
        if *drawing == Drawing::New {
            self.draws.insert(draw.id, draw);
        }
        (right != *drawing).then_some(right)
    }

    /// The ledger has ended a draw; whose it was.
    pub(crate) fn concluded(&mut self, id: DrawId, conclusion: Conclusion) -> CreditAccount {
        let draw = self.draws.get_mut(&id).expect("it was drawn");
        let account = draw.account;
        match conclusion {
            Conclusion::Used(used, answer) => draw.state = DrawState::Done { used, answer },
            Conclusion::Returned => drop(self.draws.remove(&id)),
        }
        account
    }

    pub(crate) fn draw(&self, id: DrawId) -> Option<&Draw> {
        self.draws.get(&id)
    }

    /// What the balance has to be: what was paid and not used, without what is held or used by draws;
    /// `None` where that is less than nothing.
    fn balance(&self, account: &CreditAccount) -> Option<Amount> {
        let payments = self.payments.iter().filter(|payment| payment.account == *account);
        let credit = payments.filter_map(Told::credit);
        let credit = credit.fold(Amount::ZERO, |sum, credit| sum.checked_add(credit).unwrap());
        let draws = self.draws.values().filter(|draw| draw.account == *account);
        let taken = draws.map(|draw| match &draw.state {
            DrawState::Held => draw.amount,
            DrawState::Done { used, .. } => *used,
        });
        { taken }.try_fold(credit, Amount::checked_sub)
    }
}

impl World {
    /// The ledger has answered an attempt to draw.
    pub(crate) fn drawn(&mut self, draw: Draw, drawing: &Drawing) {
        let id = draw.id;
        if let Some(right) = self.books.drawn(draw, drawing) {
            self.violated(format!("I6: who draws {id} is told {drawing:?}, and not {right:?}"));
        }
    }

    /// The ledger has changed, and has this balance.
    pub(crate) fn agree(&mut self, account: &CreditAccount, balance: Amount) {
        let right = self.books.balance(account);
        // Once is enough: what is wrong stays wrong.
        if right != Some(balance) && self.violations.is_empty() {
            let payer = account.payer;
            self.violated(format!("I5: the balance of {payer} is {balance}, and not {right:?}"));
        }
    }

    /// Whether the ledger holds the credit, when all is over, that clients and chain know of: what was
    /// moved and not used by the answers that were given, without what the draws' answers have cost.
    pub(crate) fn settle_credit(&mut self, balances: &[(CreditAccount, Amount)], held: &[Draw]) {
        let mut right: BTreeMap<CreditAccount, i64> = BTreeMap::new();
        for (index, payment) in self.payments.iter().enumerate() {
            let moved = self.node.use_of(word(index as u64)) == Some(Use::Moved);
            if let Some(answer) = payment.served.as_ref().filter(|_| moved) {
                let account = self.books.payments[index].account;
                *right.entry(account).or_default() += signed(PRICE - cost_of(answer));
            }
        }
        for order in &self.orders {
            if let Some(answer) = &order.served {
                self.counts.drawn += 1;
                *right.entry(order.account).or_default() -= signed(cost_of(answer));
            }
        }
        right.retain(|_, balance| *balance != 0);
        let ours = balances.iter().map(|(account, balance)| (*account, units(*balance)));
        let ours = ours.collect::<BTreeMap<_, _>>();
        self.counts.credit += ours.values().sum::<i64>().unsigned_abs();
        if ours != right {
            self.violated(format!("I5: the balances are {ours:?}, and not {right:?}"));
        }
        if !held.is_empty() {
            self.violated(format!("I6: what was drawn is held for ever: {held:?}"));
        }
    }
}

fn signed(units: u64) -> i64 {
    i64::try_from(units).unwrap()
}

fn units(amount: Amount) -> i64 {
    amount.to_string().parse().unwrap_or(i64::MAX)
}
