//! What a payer has under way, of work that is done before the money moves, is no more than he has had.
//!
//! The chain says of each payment by itself that the balance covers it. Work is lost where the sum is not
//! looked at: one balance would buy as many pieces of it as there are requests at the same time.

use x402_std::ledger::Settle;

use crate::run::PRICE;
use crate::token::Word;
use crate::world::World;

impl World {
    /// The work of a payment begins: it is one of those under way.
    pub(crate) fn look_at_cover(&mut self, index: usize) {
        if self.settle != Settle::After || self.mode.is_entrusted {
            return;
        }
        let payer = self.payments[index].terms.from();
        let under_way = (0..self.payments.len()).filter(|other| self.is_under_way(*other, payer));
        let sum = under_way.count() as u128 * u128::from(PRICE);
        let balance = self.balances.get(&payer).copied().unwrap_or_default();
        if sum > balance {
            self.violated(format!("I13: {sum} of {balance} are under way when {index} begins"));
        }
    }

    /// Whether the work was begun in this life, or its answer is kept, and the money has neither moved nor
    /// was refused, as the books have it.
    fn is_under_way(&self, index: usize, payer: Word) -> bool {
        let (payment, told) = (&self.payments[index], &self.books.payments[index]);
        let is_open = told.received.is_none() && !told.is_refused;
        payment.terms.from() == payer && is_open && payment.is_begun()
    }
}
