//! What payers owe.

use x402_core::hex::decode;
use x402_core::{Address, PaymentId};

use super::credits::{amount, digits};
use super::{RedisLedger, hex};
use crate::ledger::owed::Owing;
use crate::ledger::{CreditAccount, LedgerError, Owed, encoding};

/// What the scripts are told of a change: the account (or nothing, where the sum stays), how much less and
/// how much more is owed, the payer, and `debt`, `none` or nothing, where that stays.
pub(super) fn arguments(owing: &Owing) -> [String; 5] {
    let account = hex(&owing.account.to_bytes());
    let debt = match owing.debt {
        Some(true) => "debt",
        Some(false) => "none",
        None => "",
    };
    [
        if owing.moves_sum() { account } else { String::new() },
        digits(owing.less),
        digits(owing.more),
        hex(owing.account.payer.as_bytes()),
        debt.to_owned(),
    ]
}

impl RedisLedger {
    pub(super) async fn debts_of(&self, payer: Address) -> Result<Vec<PaymentId>, LedgerError> {
        let mut command = ::redis::cmd("SMEMBERS");
        command.arg(self.server.key("debts:", &hex(payer.as_bytes())));
        let mut line = self.server.line().await?;
        let result = command.query_async(line.connection()).await;
        ids(&line.end::<Vec<String>>(result)?)
    }

    /// Those of the payments for which credit of this account is owed.
    pub(super) async fn due_from(
        &self,
        debts: &[PaymentId],
        account: &CreditAccount,
    ) -> Result<Vec<PaymentId>, LedgerError> {
        let mut due = Vec::new();
        if debts.is_empty() {
            return Ok(due);
        }
        for entry in self.read_each(debts).await?.into_iter().flatten() {
            let entry = encoding::decode(&entry)?;
            due.extend(entry.is_due_from(account).then(|| entry.id()));
        }
        Ok(due)
    }
}

fn ids(texts: &[String]) -> Result<Vec<PaymentId>, LedgerError> {
    let id = |id: &String| decode(id).map(|id| PaymentId::from_bytes(&id));
    let ids = texts.iter().map(id).collect::<Result<Vec<_>, _>>();
    let mut ids = ids.map_err(|_| LedgerError::Corrupt)?;
    ids.sort_unstable();
    Ok(ids)
}

/// Reads what a script says of what is owed.
pub(super) fn read((sum, debts): (String, Vec<String>)) -> Result<Owed, LedgerError> {
    let debts = ids(&debts)?;
    Ok(Owed { sum: amount(&sum)?, debts })
}
