use x402_core::state::State;

use super::Entry;
use crate::chain::TxHash;

/// What became of a payment that has arrived and was never served: it was given back.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Returned {
    /// All of it is its payer's credit.
    Credited,
    /// A refund on the chain was begun, and is to be gone on with: its payer has nothing yet.
    Refunding,
    /// This transaction has moved all of it back to its payer.
    Refunded(TxHash),
}

impl Returned {
    /// Whether it can come after this: nothing is given back twice.
    pub(super) const fn follows(self, before: Option<Self>) -> bool {
        match self {
            Self::Credited | Self::Refunding => before.is_none(),
            Self::Refunded(_) => matches!(before, Some(Self::Refunding)),
        }
    }

    /// As the books of a seller show it.
    pub(super) const fn standing(self) -> &'static str {
        match self {
            Self::Credited => "credited",
            Self::Refunding => "refunding",
            Self::Refunded(_) => "refunded",
        }
    }
}

impl Entry {
    /// Whether it was paid, and nothing has come of that for its payer yet: no answer, no credit, and no
    /// refund that has arrived. For so long it is kept, however old it is.
    #[must_use]
    pub fn is_unserved(&self) -> bool {
        match self.state {
            State::Settled => true,
            State::Returned => self.returned == Some(Returned::Refunding),
            _ => false,
        }
    }

    pub(super) fn give_back(&mut self, returned: Returned) {
        if returned == Returned::Credited {
            self.credit = self.payment.amount();
        }
        self.returned = Some(returned);
    }
}
