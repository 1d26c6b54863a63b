//! What was paid and never served: it waits for its payer, or is given back.

use std::sync::Arc;

use x402_core::{Amount, PaymentId, keccak256};

use super::refund::{RefundError, Refunded, Refunder, request};
use super::{Guard, Seller};
use crate::ledger::{CreditAccount, Draw, DrawId, DrawState, Entry, LedgerError, OwedAccount};
use crate::ledger::{Returned, Step};

impl Seller {
    /// What was paid and not served, nor given back ([`Entry::is_unserved`]), the oldest first: what is being
    /// served at this time, too. Reads all payments. It ends by being served, by [`Self::credit_unserved`], or by
    /// [`Self::refund_unserved`].
    ///
    /// # Errors
    ///
    /// The ledger's failure.
    pub async fn unserved(&self) -> Result<Vec<Entry>, LedgerError> {
        let mut unserved = Vec::new();
        for id in self.ledger.ids().await? {
            unserved.extend(self.ledger.find(id).await?.filter(Entry::is_unserved));
        }
        unserved.sort_by_key(|entry| (entry.claimed_at, entry.id()));
        Ok(unserved)
    }

    /// Makes all of a payment that has arrived and was not served its payer's credit. From then on it is
    /// neither served nor refunded by itself.
    ///
    /// # Errors
    ///
    /// [`RefundError::Unserved`] for any other payment, [`RefundError::Rejected`] while it is being served, and
    /// the ledger's failure; then nothing has changed, or it is not known.
    pub async fn credit_unserved(&self, id: PaymentId) -> Result<Entry, RefundError> {
        let (entry, _guard) = self.take_unserved(id).await?;
        if entry.returned.is_some() {
            return Err(RefundError::Unserved(entry.standing()));
        }
        self.ledger.apply(id, Step::Returned(Returned::Credited)).await?;
        tracing::info!(payment = %id, payer = %entry.payment.payer(), "not served: it is credit");
        Ok(entry)
    }

    /// Gives all of a payment that has arrived and was not served back on the chain, by an authorization of the
    /// address that was paid; or goes on with that. Returns once it has arrived.
    ///
    /// Whatever happens on the way, it is not given twice, nor served from then on: that it is refunded is in
    /// the ledger first, and the authorization's nonce is made of the payment's id.
    ///
    /// # Errors
    ///
    /// As [`Self::credit_unserved`] and [`Self::refund`]; with [`RefundError::Rejected`] and
    /// [`RefundError::Ledger`] it may have been begun.
    pub async fn refund_unserved(
        self: &Arc<Self>,
        id: PaymentId,
        by: Refunder<'_>,
    ) -> Result<Refunded, RefundError> {
        let (entry, _guard) = self.take_unserved(id).await?;
        let draw = refund_of(&entry);
        self.may_refund(&draw.account, by)?;
        if entry.returned.is_none() {
            if !self.is_final(&entry).await? {
                return Err(RefundError::NotFinal(Amount::ZERO));
            }
            let owed = self.outstanding(&draw.account).await?;
            if owed != Amount::ZERO {
                return Err(RefundError::Owing(owed));
            }
            self.ledger.apply(id, Step::Returned(Returned::Refunding)).await?;
        }
        let transaction = self.send_back(&draw, by).await.map_err(RefundError::Rejected)?;
        self.ledger.apply(id, Step::Returned(Returned::Refunded(transaction))).await?;
        tracing::info!(payment = %id, payer = %draw.account.payer, %transaction, "not served: refunded");
        Ok(Refunded { draw: draw.id, amount: draw.amount, transaction })
    }

    /// What is owed that credit of this account is set off against.
    async fn outstanding(&self, account: &CreditAccount) -> Result<Amount, LedgerError> {
        let CreditAccount { payer, chain_id, asset, .. } = *account;
        let mut sum = Amount::ZERO;
        for id in self.ledger.owes(OwedAccount { payer, chain_id, asset }).await?.debts {
            let debt = self.ledger.find(id).await?.filter(|entry| entry.is_due_from(account));
            let due = debt.map_or(Amount::ZERO, |entry| entry.outstanding());
            sum = sum.checked_add(due).ok_or(LedgerError::Overflow)?;
        }
        Ok(sum)
    }

    /// The payment, if it is unserved, and nobody serves it while the guard is there.
    async fn take_unserved(&self, id: PaymentId) -> Result<(Entry, Guard), RefundError> {
        let guard = self.enter(id).await.map_err(RefundError::Rejected)?;
        let entry = self.ledger.find(id).await?.ok_or(LedgerError::Missing)?;
        if !entry.is_unserved() {
            return Err(RefundError::Unserved(entry.standing()));
        }
        Ok((entry, guard))
    }

    /// Whether the chain cannot go back on what has paid; what somebody's word says stays.
    async fn is_final(&self, entry: &Entry) -> Result<bool, LedgerError> {
        let log = entry.settlement.and_then(|settlement| settlement.log);
        let Some(log) = log else { return Ok(true) };
        let chain_id = entry.payment.chain_id();
        let unfinal = self.ledger.unfinal_blocks(chain_id, usize::MAX).await?;
        Ok(!unfinal.contains(&log.block))
    }
}

/// What gives a payment back: no draw of any balance, but sent as one. What happened since the payment was
/// claimed may be this refund's.
fn refund_of(entry: &Entry) -> Draw {
    Draw {
        id: DrawId(keccak256(&[b"x402 ledger refund of ", &entry.id().to_bytes()])),
        account: CreditAccount::of(&entry.payment),
        request: request(),
        amount: entry.payment.amount(),
        drawn_at: entry.claimed_at,
        state: DrawState::Held,
    }
}
