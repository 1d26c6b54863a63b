use super::MemoryLedger;
use crate::BoxFuture;
use crate::ledger::{CreditAccount, CreditNames, LedgerError, NameLedger, Renewal};

impl NameLedger for MemoryLedger {
    fn credit_names(
        &self,
        account: CreditAccount,
    ) -> BoxFuture<'_, Result<CreditNames, LedgerError>> {
        Box::pin(async move { Ok(self.lock().names.get(&account).copied().unwrap_or_default()) })
    }

    fn renew_names(
        &self,
        account: CreditAccount,
        renewal: Renewal,
    ) -> BoxFuture<'_, Result<CreditNames, LedgerError>> {
        Box::pin(async move {
            let mut entries = self.lock();
            let names = entries.names.get(&account).copied().unwrap_or_default().after(renewal)?;
            entries.names.insert(account, names);
            Ok(names)
        })
    }
}
