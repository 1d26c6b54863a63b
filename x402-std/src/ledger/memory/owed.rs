use std::collections::{BTreeSet, HashMap};

use x402_core::{Address, Amount, PaymentId};

use crate::ledger::owed::Owing;
use crate::ledger::{LedgerError, Owed, OwedAccount};

/// What payers owe.
#[derive(Default)]
pub(super) struct Owings {
    /// Those that are not zero.
    sums: HashMap<OwedAccount, Amount>,
    debts: HashMap<Address, BTreeSet<PaymentId>>,
}

impl Owings {
    pub(super) fn owed(&self, account: &OwedAccount) -> Owed {
        let debts = self.debts_of(&account.payer).copied().collect();
        Owed { sum: self.sum(account), debts }
    }

    pub(super) fn debts_of(&self, payer: &Address) -> impl Iterator<Item = &PaymentId> {
        self.debts.get(payer).into_iter().flatten()
    }

    fn sum(&self, account: &OwedAccount) -> Amount {
        self.sums.get(account).copied().unwrap_or_default()
    }

    /// The sum that [`Self::set`] is to write, if it is another then. Nothing is written.
    pub(super) fn sum_after(&self, owing: &Owing) -> Result<Option<Amount>, LedgerError> {
        if !owing.moves_sum() {
            return Ok(None);
        }
        owing.sum_after(self.sum(&owing.account)).map(Some)
    }

    pub(super) fn set(&mut self, owing: &Owing, sum: Option<Amount>) {
        match sum {
            None => {}
            Some(Amount::ZERO) => drop(self.sums.remove(&owing.account)),
            Some(sum) => drop(self.sums.insert(owing.account, sum)),
        }
        let payer = owing.account.payer;
        match owing.debt {
            Some(true) => {
                self.debts.entry(payer).or_default().insert(owing.id);
            }
            Some(false) => self.cover(payer, owing.id),
            None => {}
        }
    }

    /// It is a debt no more.
    fn cover(&mut self, payer: Address, id: PaymentId) {
        if let Some(debts) = self.debts.get_mut(&payer) {
            debts.remove(&id);
            if debts.is_empty() {
                self.debts.remove(&payer);
            }
        }
    }
}
