//! What the books call received is at most what the token moved to the payee.
//!
//! After each change of the books, of those payments whose log is in a block of the chain as it is: what
//! the chain has gone back on, the seller has still to find out. At the end, when all is calm and the seller
//! has had the time to look, of all payments.

use x402_core::Amount;
use x402_core::state::State;
use x402_std::chain::{PaidLog, Settlement};
use x402_std::ledger::Entry;

use crate::run::PAY_TO;
use crate::world::World;

/// What the books say that has come in for a payment, and by what.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Received {
    settlement: Settlement,
    amount: u128,
}

impl Received {
    pub(crate) const fn settlement(&self) -> Settlement {
        self.settlement
    }

    pub(crate) const fn by(settlement: Settlement, amount: u128) -> Self {
        Self { settlement, amount }
    }
}

impl World {
    /// The books have called something received.
    pub(crate) fn look_at_received(&mut self, index: usize) {
        let all = self.books.payments.iter().filter_map(|payment| payment.received);
        let stays = |log: PaidLog| self.node.has(log.block.number, log.block.hash);
        let stay = all.filter(|received| received.settlement.log.is_none_or(stays));
        let received = stay.map(|received| received.amount).sum();
        self.compare("", received);
        self.look_at_log(index);
    }

    /// The log that is said to have paid is one that pays, and for this payment alone.
    fn look_at_log(&mut self, index: usize) {
        let Some(received) = self.books.payments[index].received else { return };
        let Settlement { transaction, log: Some(log) } = received.settlement else { return };
        let others = self.books.payments.iter().enumerate();
        let mut others = others.filter(|(other, _)| *other != index);
        let twice = others.find(|(_, other)| {
            let settlement = other.received.map(|received| received.settlement);
            settlement.is_some_and(|other| {
                other.transaction == transaction
                    && other.log.is_some_and(|other| other.position == log.position)
            })
        });
        let twice = twice.map(|(other, _)| other);
        if let Some(other) = twice {
            self.violated(format!("I7: one log has paid for {index} and for {other}"));
        }
        let (hash, terms) = (transaction.0, self.payments[index].terms);
        let block = self.node.blocks.get(log.block.number as usize);
        let Some(block) = block.filter(|block| block.hash == log.block.hash) else { return };
        let mined = block.mined.iter().find(|mined| mined.sent.hash == hash);
        let found = mined.and_then(|mined| mined.logs.get(log.position as usize));
        let moved = found.and_then(|found| found.moved(terms.from(), PAY_TO.to_word()));
        if moved != Some(received.amount) {
            self.violated(format!(
                "I7: payment {index} is said to be paid by a log that says {found:?}"
            ));
        }
    }

    /// When all is over, by what the ledger holds.
    pub(crate) fn settle_received(&mut self, entries: &[Entry]) {
        let all = entries.iter().map(|entry| match (entry.settlement, entry.state) {
            (Some(_), State::Settled | State::Served) => units(entry.payment.amount()),
            (Some(_), State::Failed) => units(entry.credit),
            _ => 0,
        });
        self.compare("in the end ", all.sum());
    }

    fn compare(&mut self, when: &str, received: u128) {
        let moved = self.state().balance(PAY_TO.to_word()) + self.moved_before;
        // Once is enough: what is wrong stays wrong.
        if received > moved && !self.has_overstated {
            self.has_overstated = true;
            self.violated(format!("I7: {when}the books have {received}, and {moved} was moved"));
        }
    }
}

pub(crate) fn units(amount: Amount) -> u128 {
    let bytes = amount.to_be_bytes();
    let (high, low) = bytes.split_at(16);
    assert_eq!(high, [0; 16]);
    u128::from_be_bytes(low.try_into().unwrap())
}
