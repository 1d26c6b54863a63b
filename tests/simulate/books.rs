//! Credit, kept a second time: what the ledger says of it must be the same after each of its changes.

use std::collections::{BTreeMap, BTreeSet};

use x402_core::Amount;
use x402_std::chain::Settlement;
use x402_std::ledger::{Conclusion, CreditAccount, Draw, DrawId, DrawState, Drawing, Step};

use crate::invariant::{Received, units};
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
    /// What has come in, and by what.
    pub(crate) received: Option<Received>,
    /// The credit, where it is not what was paid and not used: what has arrived instead, or what of it was
    /// left when it was taken back.
    kept: Option<Amount>,
    /// What of its credit was drawn before it was taken back.
    pub(crate) consumed: Amount,
    /// It was given up.
    pub(crate) is_refused: bool,
    /// What of it was set off against credit, for it is owed.
    set_off: Amount,
}

/// What a step changes here.
#[derive(Clone, Copy)]
pub(crate) enum Change {
    Nothing,
    Cost(Amount),
    Arrived(Settlement),
    Short(Settlement, Amount),
    Reversed,
    Refused,
    SetOff,
}

impl Change {
    pub(crate) const fn of(step: &Step) -> Self {
        match step {
            Step::Answered(_, used) | Step::Worked(_, used) => Self::Cost(*used),
            Step::Confirmed(settlement) => Self::Arrived(*settlement),
            Step::Short(settlement, arrived) => Self::Short(*settlement, *arrived),
            Step::Reversed => Self::Reversed,
            Step::Refused | Step::Reverted => Self::Refused,
            Step::SetOff => Self::SetOff,
            _ => Self::Nothing,
        }
    }
}

impl Told {
    pub(crate) const fn nothing(account: CreditAccount) -> Self {
        let (cost, received, kept) = (None, None, None);
        let (consumed, set_off) = (Amount::ZERO, Amount::ZERO);
        Self { account, cost, received, kept, consumed, is_refused: false, set_off }
    }

    /// What of it is owed, once it is a debt.
    fn outstanding(&self) -> Option<Amount> {
        let paid = Amount::from_units(PRICE.into());
        // What has arrived instead is in the balance.
        let unused = match self.received {
            Some(_) => Amount::ZERO,
            None => self.kept.or_else(|| paid.checked_sub(self.cost?))?,
        };
        paid.checked_sub(unused)?.checked_sub(self.set_off)
    }

    /// What of it is the payer's now.
    fn credit(&self) -> Option<Amount> {
        self.received.as_ref()?;
        let paid = Amount::from_units(PRICE.into());
        self.kept.or_else(|| paid.checked_sub(self.cost?))
    }
}

impl Books {
    /// The ledger has taken a step of a payment; whose it is.
    pub(crate) fn stepped(&mut self, index: usize, change: &Change) -> CreditAccount {
        let account = self.payments[index].account;
        let balance = self.balance(&account).unwrap_or_default();
        let payment = &mut self.payments[index];
        match *change {
            Change::Nothing => {}
            Change::Refused => payment.is_refused = true,
            Change::Cost(cost) => payment.cost = Some(cost),
            Change::Arrived(settlement) => {
                payment.received = Some(Received::by(settlement, PRICE.into()));
                payment.set_off = Amount::ZERO;
            }
            Change::Short(settlement, arrived) => {
                payment.received = Some(Received::by(settlement, units(arrived)));
                payment.kept = Some(arrived);
            }
            Change::Reversed => {
                if let Some(credit) = payment.credit() {
                    let left = credit.min(balance);
                    let drawn = credit.checked_sub(left).unwrap();
                    payment.consumed = payment.consumed.checked_add(drawn).unwrap();
                    payment.kept = Some(left);
                }
                payment.received = None;
            }
            Change::SetOff => {
                let taken = payment.outstanding().unwrap_or_default().min(balance);
                payment.set_off = payment.set_off.checked_add(taken).unwrap();
            }
        }
        account
    }

    /// The ledger has answered an attempt to draw; gives the answer that was right, if it was another.
    fn drawn(&mut self, draw: Draw, drawing: &Drawing) -> Option<Drawing> {
        let balance = self.balance(&draw.account).unwrap_or_default();
        let right = match self.draws.get(&draw.id) {
            Some(known) => Drawing::Known(Box::new(known.clone())),
            // Which debts there are, the ledger says.
            None if matches!(drawing, Drawing::Owing(_)) => return None,
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
            Conclusion::Followed(answer) => {
                let DrawState::Done { used, .. } = draw.state else { panic!("{draw:?}") };
                draw.state = DrawState::Done { used, answer };
            }
            Conclusion::Returned => drop(self.draws.remove(&id)),
        }
        account
    }

    pub(crate) fn draws(&self) -> impl Iterator<Item = &Draw> {
        self.draws.values()
    }

    pub(crate) fn draw(&self, id: DrawId) -> Option<&Draw> {
        self.draws.get(&id)
    }

    /// What the balance has to be: what was paid and not used, without what is held or used by draws;
    /// `None` where that is less than nothing.
    fn balance(&self, account: &CreditAccount) -> Option<Amount> {
        let payments = self.payments.iter().filter(|payment| payment.account == *account);
        let credit = payments.flat_map(|payment| [payment.credit(), Some(payment.consumed)]);
        let credit =
            credit.flatten().fold(Amount::ZERO, |sum, credit| sum.checked_add(credit).unwrap());
        let payments = self.payments.iter().filter(|payment| payment.account == *account);
        let set_off = payments.map(|payment| payment.set_off);
        let draws = self.draws.values().filter(|draw| draw.account == *account);
        let taken = draws.map(|draw| match &draw.state {
            DrawState::Held => draw.amount,
            DrawState::Done { used, .. } => *used,
        });
        taken.chain(set_off).try_fold(credit, Amount::checked_sub)
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
        let mut consumed: BTreeMap<CreditAccount, i64> = BTreeMap::new();
        for (index, payment) in self.payments.iter().enumerate() {
            let told = &self.books.payments[index];
            *consumed.entry(told.account).or_default() += signed(told.consumed);
            *right.entry(told.account).or_default() -= signed(told.set_off);
            // What was final before the chain began again may have been taken for lost, and of a
            // permit's transfer the books say whose it is.
            let moved = match payment.is_final || self.mode.is_by_permit {
                true => told.received.is_some(),
                false => self.is_in_chain(index),
            };
            // What his broken requests have cost, only the seller knows.
            if payment.is_cheat {
                *right.entry(told.account).or_default() +=
                    signed(told.credit().unwrap_or_default());
            } else if let Some(answer) = payment.served.as_ref().filter(|_| moved) {
                *right.entry(told.account).or_default() += i64(PRICE - cost_of(answer));
            }
        }
        for order in &self.orders {
            if let Some(answer) = &order.served {
                self.counts.drawn += 1;
                *right.entry(order.account).or_default() -= i64(cost_of(answer));
            }
        }
        let ours = balances.iter().map(|(account, balance)| (*account, signed(*balance)));
        let ours = ours.collect::<BTreeMap<_, _>>();
        self.counts.credit += ours.values().sum::<i64>().unsigned_abs();
        for account in ours.keys().chain(right.keys()).copied().collect::<BTreeSet<_>>() {
            let [ours, right, consumed] =
                [&ours, &right, &consumed].map(|of| of.get(&account).copied().unwrap_or(0));
            // What was drawn out of a payment that the chain has taken back is owed for that payment.
            let most = right.max(0) + consumed;
            if ours < right.max(0) || ours > most || consumed == 0 && ours != right {
                let payer = account.payer;
                self.violated(format!("I5: {payer} has {ours}, and not {right} (to {most})"));
            }
        }
        if !held.is_empty() {
            self.violated(format!("I6: what was drawn is held for ever: {held:?}"));
        }
    }
}

fn i64(units: u64) -> i64 {
    i64::try_from(units).unwrap()
}

fn signed(amount: Amount) -> i64 {
    i64::try_from(units(amount)).unwrap_or(i64::MAX)
}
