//! Which logs have paid, asked and told by a rail that learns of transactions from others.

use x402_core::ChainId;

use super::{Rejection, Steps};
use crate::chain::{Settlement, TxHash};
use crate::ledger::{LedgerError, Step};

/// What came of recording that a log has paid for a payment.
pub(crate) enum LogClaim {
    /// It has.
    Recorded(TxHash),
    /// It has paid for another, or its transaction is in another block by now.
    Taken,
}

impl Steps<'_> {
    /// Records that the money has arrived, unless the log has paid for another payment.
    pub(crate) async fn claim_log(&self, settlement: Settlement) -> Result<LogClaim, Rejection> {
        let (id, hash) = (self.id(), settlement.transaction);
        match self.ledger().apply(id, Step::Confirmed(settlement)).await {
            Ok(()) => {
                tracing::info!(payment = %id, transaction = %hash, "settled");
                Ok(LogClaim::Recorded(hash))
            }
            Err(LedgerError::LogTaken | LedgerError::Remined) => Ok(LogClaim::Taken),
            Err(error) => Err(Rejection::unavailable(&error)),
        }
    }

    /// The positions of those of a transaction's logs that have paid for other payments; `None` where the
    /// whole transaction counts as used.
    pub(crate) async fn taken_of(
        &self,
        chain_id: ChainId,
        transaction: TxHash,
    ) -> Result<Option<Vec<u32>>, Rejection> {
        let paid = self.ledger().paid_by(chain_id, transaction).await;
        let paid = paid.map_err(|error| Rejection::unavailable(&error))?;
        let others = paid.into_iter().filter(|(id, _)| *id != self.id());
        Ok(others.map(|(_, log)| log.map(|log| log.position)).collect())
    }
}
