use x402_core::PaymentId;
use x402_core::permit2::PERMIT2;

use super::Seller;
use crate::chain::TxHash;
use crate::facilitator::Sought;
use crate::ledger::{Entry, LedgerError};

impl Seller {
    /// What the ledger has of the payments that are sought, in ascending order of their ids.
    pub(crate) async fn recorded(&self, sought: &Sought) -> Result<Vec<Entry>, LedgerError> {
        match *sought {
            Sought::Transaction(hash) => self.with_transaction(hash).await,
            Sought::Payment { chain_id, asset, from, nonce } => {
                let mut entries = Vec::new();
                // The token keeps account of the nonce, or Permit2 does.
                for contract in [asset, PERMIT2] {
                    let entry = self.ledger.find(PaymentId { chain_id, contract, from, nonce });
                    entries.extend(entry.await?.filter(|entry| entry.payment.asset() == asset));
                }
                Ok(entries)
            }
        }
    }

    /// The payments that a transaction has paid for, or may still.
    async fn with_transaction(&self, hash: TxHash) -> Result<Vec<Entry>, LedgerError> {
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
