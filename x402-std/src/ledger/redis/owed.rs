//! What payers owe.

use x402_core::PaymentId;
use x402_core::hex::decode;

use super::credits::{amount, digits};
use super::hex;
use crate::ledger::owed::Owing;
use crate::ledger::{LedgerError, Owed};

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

/// Reads what a script says of what is owed.
pub(super) fn read((sum, debts): (String, Vec<String>)) -> Result<Owed, LedgerError> {
    let id = |id: &String| decode(id).map(|id| PaymentId::from_bytes(&id));
    let debts = debts.iter().map(id).collect::<Result<Vec<_>, _>>();
    let mut debts = debts.map_err(|_| LedgerError::Corrupt)?;
    debts.sort_unstable();
    Ok(Owed { sum: amount(&sum)?, debts })
}
