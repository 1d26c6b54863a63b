use x402_core::PaymentId;

use super::Seller;
use crate::chain::TxHash;
use crate::ledger::{Entry, LedgerError};

impl Seller {
    /// What the ledger has of a payment.
    pub(crate) async fn recorded(&self, id: PaymentId) -> Result<Option<Entry>, LedgerError> {
        self.ledger.find(id).await
    }

    /// The payments that a transaction has paid for, or may still, in ascending order of their ids.
    pub(crate) async fn recorded_with(&self, hash: TxHash) -> Result<Vec<Entry>, LedgerError> {
        let open = self.ledger.open_entries().await?;
        let open = open.iter().filter(|entry| entry.hashes().any(|sent| sent == hash));
        let mut ids: Vec<_> = open.map(Entry::id).collect();
        for (chain_id, _) in &self.rails {
            let paid = self.ledger.paid_by(*chain_id, hash).await?;
            ids.extend(paid.into_iter().map(|(id, _)| id));
        }
        ids.sort_unstable();
        ids.dedup();
        let mut entries = Vec::with_capacity(ids.len());
        for id in ids {
            entries.extend(self.ledger.find(id).await?);
        }
        Ok(entries)
    }
}
