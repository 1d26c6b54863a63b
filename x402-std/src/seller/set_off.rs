//! Debts, set off against credit: nothing is paid out to who owes it.

use x402_core::{Address, Amount, PaymentId};

use super::{Seller, Steps, find_use, since};
use crate::ledger::{CreditAccount, Draw, Drawing, Entry, LedgerError, Step};

/// What of a debt was set off.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SetOff {
    /// The payment that is a debt.
    pub payment: PaymentId,
    /// The balance that it was taken out of.
    pub account: CreditAccount,
    /// How much, in atomic units.
    pub amount: Amount,
}

impl Seller {
    /// Sets a payer's debts off against his credit in the same token with the same seller, as far as that
    /// goes. Each is one change of the ledger. Should the chain take the payment after all, what was set off
    /// is credit again.
    ///
    /// # Errors
    ///
    /// The ledger's failure; what was set off until then stays so.
    pub async fn set_off(&self, payer: Address) -> Result<Vec<SetOff>, LedgerError> {
        let mut debts = self.ledger.open_entries().await?;
        debts.retain(|entry| entry.payment.payer() == payer && entry.outstanding() != Amount::ZERO);
        debts.sort_by_key(|entry| (entry.claimed_at, entry.id()));
        let mut all = Vec::new();
        for debt in debts {
            let (payment, account) = (debt.id(), CreditAccount::of(&debt.payment));
            let amount = self.set_off_debt(payment).await?;
            all.extend((amount != Amount::ZERO).then_some(SetOff { payment, account, amount }));
        }
        Ok(all)
    }

    /// How much of one was set off, as far as nobody else did it at the same time.
    async fn set_off_debt(&self, id: PaymentId) -> Result<Amount, LedgerError> {
        let set_off = |entry: Option<Entry>| entry.map(|entry| entry.set_off).unwrap_or_default();
        let before = set_off(self.ledger.find(id).await?);
        match self.ledger.apply(id, Step::SetOff).await {
            Ok(()) => {}
            // It is no debt any more.
            Err(LedgerError::Illegal(_) | LedgerError::Missing) => return Ok(Amount::ZERO),
            Err(error) => return Err(error),
        }
        let amount = set_off(self.ledger.find(id).await?).checked_sub(before).unwrap_or_default();
        if amount != Amount::ZERO {
            tracing::info!(payment = %id, %amount, "owed, and set off against credit");
        }
        Ok(amount)
    }

    /// Whether nothing of a debt is outstanding any more, once it is set off.
    pub(super) async fn is_set_off(&self, id: PaymentId) -> Result<bool, LedgerError> {
        self.set_off_debt(id).await?;
        let debt = self.ledger.find(id).await?;
        Ok(debt.is_none_or(|debt| debt.outstanding() == Amount::ZERO))
    }

    /// Draws, once what is owed is set off; [`Drawing::Owing`] where more is owed each time.
    pub(super) async fn draw_what_is_left(&self, draw: &Draw) -> Result<Drawing, LedgerError> {
        /// Each time it is another payment that has become a debt meanwhile.
        const ATTEMPTS: usize = 16;
        let mut drawing = self.ledger.draw(draw.clone()).await?;
        for _ in 0..ATTEMPTS {
            let Drawing::Owing(debts) = drawing else { break };
            for debt in debts {
                self.set_off_debt(debt).await?;
            }
            drawing = self.ledger.draw(draw.clone()).await?;
        }
        Ok(drawing)
    }

    /// Looks whether the chain has taken the payment of a debt that is set off. Nothing is sent for it any
    /// more.
    pub(super) async fn look_whether_paid(&self, id: PaymentId) -> Result<(), LedgerError> {
        let Some(_guard) = self.working.enter(&self.ledger, id).await? else { return Ok(()) };
        let Some(entry) = self.ledger.find(id).await?.filter(Entry::is_set_off) else {
            return Ok(());
        };
        let rail = self.rail(entry.payment.chain_id()).ok();
        if let Some(chain) = rail.and_then(|rail| rail.chain()) {
            find_use(chain, &entry, &Steps::new(&*self.ledger, id), since(&entry)).await;
        }
        Ok(())
    }
}
