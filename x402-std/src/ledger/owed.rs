//! What payers owe: for what was served, or is being served, before its money moved.

use x402_core::{Address, Amount, ChainId, Claimed, PaymentId};

use super::{Entry, LedgerError};

/// Who owes, and what: there is a sum for each.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct OwedAccount {
    /// Who owes.
    pub payer: Address,
    /// The chain of the asset.
    pub chain_id: ChainId,
    /// The token's contract.
    pub asset: Address,
}

impl OwedAccount {
    /// The length of [`Self::to_bytes`].
    pub const LEN: usize = 20 + 8 + 20;

    /// The account that a payment is owed in.
    #[must_use]
    pub const fn of(payment: &Claimed) -> Self {
        Self { payer: payment.payer(), chain_id: payment.chain_id(), asset: payment.asset() }
    }

    /// payer (20) || chain id (8, big-endian) || asset (20): a key that sorts by payer.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; Self::LEN] {
        let chain_id = self.chain_id.get().to_be_bytes();
        let fields = self.payer.as_bytes().iter().chain(&chain_id).chain(self.asset.as_bytes());
        let mut bytes = [0; Self::LEN];
        bytes.iter_mut().zip(fields).for_each(|(slot, byte)| *slot = *byte);
        bytes
    }
}

/// What a payer owes.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Owed {
    /// The sum of the amounts that are owed in the account ([`Entry::is_owed`]).
    pub sum: Amount,
    /// Which payments of the payer are debts, whatever their asset ([`Entry::is_debt`]), in ascending
    /// order of their ids.
    pub debts: Vec<PaymentId>,
}

/// What a change of an entry changes in what is owed.
pub(super) struct Owing {
    pub(super) id: PaymentId,
    pub(super) account: OwedAccount,
    /// What was owed for it.
    pub(super) less: Amount,
    /// What is owed for it now.
    pub(super) more: Amount,
    /// Whether it is a debt now, if it was none, or none, if it was one.
    pub(super) debt: Option<bool>,
}

impl Owing {
    /// With a new entry.
    pub(super) fn claimed(entry: &Entry) -> Self {
        Self::new(entry, Amount::ZERO, false, Some(entry))
    }

    /// With a step that leads from one entry to the other, or to none.
    pub(super) fn stepped(before: &Entry, after: Option<&Entry>) -> Self {
        Self::new(before, before.owed(), before.is_debt(), after)
    }

    fn new(entry: &Entry, less: Amount, was_debt: bool, after: Option<&Entry>) -> Self {
        let is_debt = after.is_some_and(Entry::is_debt);
        Self {
            id: entry.id(),
            account: OwedAccount::of(&entry.payment),
            less,
            more: after.map(Entry::owed).unwrap_or_default(),
            debt: (is_debt != was_debt).then_some(is_debt),
        }
    }

    /// Whether the sum is another afterwards.
    pub(super) fn moves_sum(&self) -> bool {
        self.less != self.more
    }

    /// The sum afterwards.
    pub(super) fn sum_after(&self, sum: Amount) -> Result<Amount, LedgerError> {
        let others = sum.checked_sub(self.less).ok_or(LedgerError::Corrupt)?;
        others.checked_add(self.more).ok_or(LedgerError::Overflow)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_sorts_by_its_payer_and_has_all_its_fields_in_its_bytes() {
        let [payer, asset, other] = [1, 2, 9].map(|byte| Address::new([byte; 20]));
        let account = OwedAccount { payer, chain_id: ChainId::new(8453), asset };
        let bytes = account.to_bytes();
        assert_eq!(bytes[..20], [1; 20]);
        assert_eq!(bytes[20..28], 8453_u64.to_be_bytes());
        assert_eq!(bytes[28..], [2; 20]);
        let later = OwedAccount { payer: other, ..account };
        assert!(later > account && later.to_bytes() > bytes);
    }
}
