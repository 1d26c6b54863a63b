//! What a recorded payment is to who presents it again.

use x402_core::state::State;
use x402_core::{Error, Refusal, Transfer};

use super::{Admission, Receipt, Rejection};
use crate::chain::wallet::Undeployed;
use crate::ledger::{Entry, Settle};

impl Entry {
    /// Whether its answer was given, or may have been.
    pub(super) fn is_given(&self) -> bool {
        // By `after` no answer is given that is not paid, also where what was paid is gone again.
        let is_trusted = self.settle != Settle::After && !self.is_debt();
        let is_on_the_tab = is_trusted && self.is_owed() && self.answer.is_some();
        // What was set off against credit is paid.
        let is_set_off = self.is_set_off() && self.answer.is_some();
        self.state == State::Served || is_on_the_tab || is_set_off
    }

    pub(super) fn receipt(&self) -> Receipt {
        Receipt { payer: self.payment.payer(), transaction: self.settled_by() }
    }

    /// The entry, if it is signed as the one that is presented. A key's signature was checked; a
    /// contract's was not: it has to be the same.
    pub(super) fn signed_as(self, presented: &Self) -> Result<Self, Rejection> {
        let [ours, theirs] =
            [&self, presented].map(|entry| Undeployed::shown(&entry.wallet_signature));
        if ours != theirs {
            return Err(Error::Signer.into());
        }
        self.of(presented.payment.transfer())
    }

    /// The entry, if it is of what was signed: another authorization with the same nonce, for another amount
    /// or another time, say, is another payment, and its nonce is taken.
    pub(super) fn of(self, signed: &Transfer) -> Result<Self, Rejection> {
        let is_same = self.payment.transfer() == signed;
        is_same.then_some(self).ok_or_else(|| Error::AuthorizationUsed.into())
    }
}

/// The answer to a payment whose work is done.
pub(super) fn replay(entry: Entry) -> Result<Admission, Rejection> {
    let receipt = entry.receipt();
    match entry.answer {
        Some(answer) => Ok(Admission::Replay(receipt, answer)),
        None => Err(Refusal::Served.into()),
    }
}
