//! What is owed, and what steps take out of a balance for it, or because it was taken back.

use x402_core::Amount;
use x402_core::state::State;

use super::{CreditAccount, Entry, Step};

impl Entry {
    /// How much is owed for it, in atomic units.
    #[must_use]
    pub fn owed(&self) -> Amount {
        match (self.is_owed(), self.is_reversed || self.set_off != Amount::ZERO) {
            (false, _) => Amount::ZERO,
            (true, false) => self.payment.amount(),
            // What of it was credit has been taken back out of the balance, or was not put there.
            (true, true) => self.not_covered(),
        }
    }

    /// What of a debt ([`Self::is_debt`]) is neither paid nor set off against credit: what was signed, without
    /// what its answer did not cost. Nothing, of any other payment.
    #[must_use]
    pub fn outstanding(&self) -> Amount {
        if self.is_debt() { self.not_covered() } else { Amount::ZERO }
    }

    /// Whether it is a debt of which nothing is outstanding: all of it was set off against credit.
    #[must_use]
    pub fn is_set_off(&self) -> bool {
        self.is_debt() && self.outstanding() == Amount::ZERO
    }

    /// What was signed, without what was not used of it, and what was set off.
    pub(super) fn not_covered(&self) -> Amount {
        // What has arrived instead of a payment is in the balance: it is what the debt is set off against.
        let unused = if self.is_short() { Amount::ZERO } else { self.credit };
        let used = self.payment.amount().checked_sub(unused);
        used.and_then(|used| used.checked_sub(self.set_off)).unwrap_or_default()
    }

    /// Whether something of it is outstanding that credit of this account is set off against: its payer's, in
    /// the same token, with the same seller.
    pub(crate) fn is_due_from(&self, account: &CreditAccount) -> bool {
        CreditAccount::of(&self.payment) == *account && self.outstanding() != Amount::ZERO
    }

    /// What a step of this entry's takes out of a balance, of that which is in it: where the step is
    /// [`Step::Reversed`], the credit that the payment had left; where it is [`Step::SetOff`], what is
    /// outstanding.
    #[must_use]
    pub(crate) fn withdraws(&self, step: &Step) -> Option<(CreditAccount, Amount)> {
        match step {
            Step::Reversed => self.earned(),
            Step::SetOff => Some((CreditAccount::of(&self.payment), self.outstanding())),
            _ => None,
        }
    }

    /// So much was in the balance, and is taken out of it with the step that has led here. Of what was taken
    /// back, the rest was drawn meanwhile, and is owed.
    pub(super) fn withdrawn(&mut self, taken: Amount) {
        match self.state {
            State::Failed => self.set_off = self.set_off.checked_add(taken).unwrap_or(Amount::MAX),
            _ => self.credit = taken,
        }
    }

    /// What is earned, with what was set off before and is not any more, for the payment has arrived.
    pub(super) fn with_set_off(
        &self,
        before: &Self,
        earned: Option<(CreditAccount, Amount)>,
    ) -> Option<(CreditAccount, Amount)> {
        let back = before.set_off.checked_sub(self.set_off).unwrap_or_default();
        if back == Amount::ZERO {
            return earned;
        }
        let earned = earned.map_or(Amount::ZERO, |(_, amount)| amount);
        let sum = earned.checked_add(back).unwrap_or(Amount::MAX);
        Some((CreditAccount::of(&self.payment), sum))
    }
}
