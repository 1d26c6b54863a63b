//! The operator's word on what cannot be told from the chain.

use x402_core::PaymentId;
use x402_core::state::State;

use super::{Rejection, Seller, Steps};
use crate::chain::{ChainError, Sent, Settlement, TxHash};
use crate::ledger::{Entry, LedgerError};

/// Why a transaction is not taken for a payment's.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AcceptError {
    /// The chain cannot be asked.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// The ledger failed; [`LedgerError::Missing`] for a payment that it has not,
    /// [`LedgerError::LogTaken`] where the log has paid for another payment meanwhile.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The payment is settled.
    #[error("it is settled already, by {0}")]
    Settled(TxHash),
    /// No log of the transaction can have paid.
    #[error(
        "no transfer in that transaction moves its amount from its payer to its payee and has not paid for another"
    )]
    NoLog,
    /// Somebody else works on the payment, or it is on no chain of this seller's.
    #[error("{}", .0.refusal)]
    Rejected(Rejection),
}

impl Seller {
    /// Takes a transaction for the one that moved a payment's money, because the operator has looked at it:
    /// where the token's logs do not tell ([`Usage::Undecided`](crate::chain::Usage::Undecided)). One of
    /// its transfers must be of exactly the amount, from the payer to the payee, and must have paid for
    /// nothing else; it pays for nothing else from then on.
    ///
    /// # Errors
    ///
    /// [`AcceptError`]; then nothing has changed.
    pub async fn accept(
        &self,
        id: PaymentId,
        transaction: TxHash,
    ) -> Result<Settlement, AcceptError> {
        let _guard = self.enter(id).await.map_err(AcceptError::Rejected)?;
        let entry = self.ledger.find(id).await?.ok_or(LedgerError::Missing)?;
        if let Some(settlement) = entry.settlement.filter(|_| entry.state != State::Failed) {
            return Err(AcceptError::Settled(settlement.transaction));
        }
        let settlement = self.candidate(&entry, transaction).await?;
        Steps::new(&*self.ledger, id).settle(settlement).await?;
        tracing::warn!(payment = %id, %transaction, "settled, by the operator's word");
        Ok(settlement)
    }

    /// The payments of which it is not known what became of them, in ascending order.
    ///
    /// # Errors
    ///
    /// The ledger's failure.
    pub async fn open_payments(&self) -> Result<Vec<PaymentId>, LedgerError> {
        let mut ids: Vec<_> = self.ledger.open_entries().await?.iter().map(Entry::id).collect();
        ids.sort_unstable();
        Ok(ids)
    }

    async fn candidate(&self, entry: &Entry, hash: TxHash) -> Result<Settlement, AcceptError> {
        let chain_id = entry.payment.chain_id();
        let rail = self.rail(chain_id).map_err(AcceptError::Rejected)?;
        let chain = rail.chain().ok_or(AcceptError::NoLog)?;
        let rows = self.ledger.paid_by(chain_id, hash).await?;
        let taken: Vec<_> =
            rows.iter().filter_map(|(_, log)| log.map(|log| log.position)).collect();
        let sent = Sent { hash, is_own: false, taken: &taken };
        let log = chain.candidate(&entry.payment, sent).await?;
        Ok(Settlement { transaction: hash, log: Some(log.ok_or(AcceptError::NoLog)?) })
    }
}
