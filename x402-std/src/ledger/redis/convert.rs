//! Keys of the format before, which did not say which logs have paid.

use super::check::{FORMAT, OLD_FORMAT};
use super::{RedisLedger, key_of, logs, scripts, to_score};
use crate::ledger::logs::PaidRow;
use crate::ledger::{LedgerError, encoding};

impl RedisLedger {
    /// Makes them keys of this format: of what was settled, the whole transaction counts as used. The keys
    /// say so once all of it is done. Whoever is stopped in the middle is gone on from by the next;
    /// of several who do it at once, each does all of it, until the first has signed it.
    pub(in crate::ledger) async fn convert(&self) -> Result<(), LedgerError> {
        let mut cursor = 0;
        loop {
            let (next, ids) = self.server.call(self.some_ids(cursor)).await?;
            for ids in ids.chunks(PAGE) {
                if !self.server.call(self.convert_page(ids)).await? {
                    return Ok(());
                }
            }
            cursor = next;
            if cursor == 0 {
                break;
            }
        }
        let arguments = [OLD_FORMAT.as_bytes(), FORMAT.as_bytes()];
        if self.server.call(self.run(&scripts::SIGN, "", &arguments)).await? {
            tracing::info!("the ledger is converted to format {FORMAT}");
        }
        Ok(())
    }

    /// `false` where another has converted all of it.
    async fn convert_page(&self, ids: &[x402_core::PaymentId]) -> Result<bool, LedgerError> {
        let mut arguments = vec![OLD_FORMAT.to_owned()];
        for entry in self.read_each(ids).await?.into_iter().flatten() {
            match encoding::decode(&entry) {
                Ok(entry) => {
                    let Some(row) = PaidRow::of_old(&entry) else { continue };
                    let name = logs::name_of(row.chain_id, row.transaction);
                    arguments.extend([key_of(row.id), name, to_score(row.until)]);
                }
                // It is an error of its own payment, now as before.
                Err(LedgerError::Corrupt) => {
                    tracing::warn!("an entry of the ledger cannot be read")
                }
                Err(error) => return Err(error),
            }
        }
        let arguments: Vec<_> = arguments.iter().map(String::as_bytes).collect();
        self.run(&scripts::CONVERT, "", &arguments).await
    }
}

/// How many entries are read at once: each may have an answer with it.
const PAGE: usize = 100;
