//! What payers have paid and not used: balances, and what is drawn from them.

use core::fmt;

use x402_core::hex::Hex;
use x402_core::{Address, Amount, ChainId, Claimed, PaymentId, keccak256};

use super::{Answer, Entry, LedgerError, RequestId};

/// Whose a balance is, with whom, and in what: there is one for each.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct CreditAccount {
    /// Who has paid.
    pub payer: Address,
    /// The chain of the asset.
    pub chain_id: ChainId,
    /// The token's contract.
    pub asset: Address,
    /// The seller's address that was paid.
    pub seller: Address,
}

impl CreditAccount {
    /// The length of [`Self::to_bytes`].
    pub const LEN: usize = 20 + 8 + 20 + 20;

    /// The account that the unused part of a payment goes to.
    #[must_use]
    pub const fn of(payment: &Claimed) -> Self {
        Self {
            payer: payment.payer(),
            chain_id: payment.chain_id(),
            asset: payment.asset(),
            seller: payment.transfer().to(),
        }
    }

    /// payer (20) || chain id (8, big-endian) || asset (20) || seller (20): a key that sorts by payer.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; Self::LEN] {
        let chain_id = self.chain_id.get().to_be_bytes();
        let (asset, seller) = (self.asset.as_bytes(), self.seller.as_bytes());
        let fields = self.payer.as_bytes().iter().chain(&chain_id).chain(asset).chain(seller);
        let mut bytes = [0; Self::LEN];
        bytes.iter_mut().zip(fields).for_each(|(slot, byte)| *slot = *byte);
        bytes
    }

    /// Reads [`Self::to_bytes`].
    #[must_use]
    pub fn from_bytes(bytes: &[u8; Self::LEN]) -> Self {
        let mut rest = &bytes[..];
        Self {
            payer: Address::new(take(&mut rest)),
            chain_id: ChainId::new(u64::from_be_bytes(take(&mut rest))),
            asset: Address::new(take(&mut rest)),
            seller: Address::new(take(&mut rest)),
        }
    }
}

/// The next field; zeros behind the end, which the caller's lengths rule out.
fn take<const N: usize>(bytes: &mut &[u8]) -> [u8; N] {
    let Some((field, rest)) = bytes.split_first_chunk() else { return [0; N] };
    *bytes = rest;
    *field
}

/// Which draw it is: the Keccak-256 of the account and a nonce of the payer's, so that no payer can
/// take another's.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct DrawId(pub [u8; 32]);

impl DrawId {
    /// The draw with this nonce.
    #[must_use]
    pub fn new(account: &CreditAccount, nonce: [u8; 32]) -> Self {
        Self(keccak256(&[&account.to_bytes(), &nonce]))
    }
}

impl fmt::Debug for DrawId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Hex(&self.0).fmt(f)
    }
}

impl fmt::Display for DrawId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Hex(&self.0).fmt(f)
    }
}

/// An amount taken from a balance, for a request.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Draw {
    /// Which one it is.
    pub id: DrawId,
    /// Whose balance it is taken from.
    pub account: CreditAccount,
    /// The request that it is for.
    pub request: RequestId,
    /// How much is taken, in atomic units.
    pub amount: Amount,
    /// When it was taken, in Unix seconds.
    pub drawn_at: u64,
    /// Where it stands.
    pub state: DrawState,
}

/// Where a draw stands.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum DrawState {
    /// The amount is taken; the work is owed.
    Held,
    /// The work is done.
    Done {
        /// How much of the amount it cost; the rest went back.
        used: Amount,
        /// The answer, to be given again to a repetition.
        answer: Answer,
    },
}

impl Draw {
    /// A draw that is being made: held.
    #[must_use]
    pub fn new(
        account: CreditAccount,
        nonce: [u8; 32],
        request: RequestId,
        amount: Amount,
        now: u64,
    ) -> Self {
        let (id, drawn_at) = (DrawId::new(&account, nonce), now);
        Self { id, account, request, amount, drawn_at, state: DrawState::Held }
    }

    /// Whether its work is owed still.
    #[must_use]
    pub const fn is_held(&self) -> bool {
        matches!(self.state, DrawState::Held)
    }

    /// Until when, in Unix seconds, it must be kept at least, once its work is done.
    #[must_use]
    pub const fn keep_until(&self) -> u64 {
        self.drawn_at.saturating_add(Entry::KEEP_SECONDS)
    }

    /// The draw after its end, or `None` where it is forgotten; and what goes back to the balance.
    ///
    /// # Errors
    ///
    /// [`LedgerError::Concluded`] where it has ended before, or where no body is to follow;
    /// [`LedgerError::Amount`] where more was used than is held.
    pub fn after(self, conclusion: Conclusion) -> Result<(Option<Self>, Amount), LedgerError> {
        let done = match &self.state {
            DrawState::Held => None,
            DrawState::Done { used, answer } => Some((*used, !answer.is_whole())),
        };
        match (done, conclusion) {
            (None, Conclusion::Used(used, answer)) => {
                let rest = self.amount.checked_sub(used).ok_or(LedgerError::Amount)?;
                Ok((Some(Self { state: DrawState::Done { used, answer }, ..self }), rest))
            }
            (None, Conclusion::Returned) => Ok((None, self.amount)),
            (Some((used, true)), Conclusion::Followed(answer)) => {
                let state = DrawState::Done { used, answer };
                Ok((Some(Self { state, ..self }), Amount::ZERO))
            }
            _ => Err(LedgerError::Concluded),
        }
    }
}

/// What became of an attempt to draw.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Drawing {
    /// The amount is taken, and held for the caller.
    New,
    /// A draw of that id was recorded before.
    Known(Box<Draw>),
    /// The balance is smaller, namely this: nothing was taken.
    Short(Amount),
    /// There is credit, and these payments are debts that it has to be set off against first: nothing was
    /// taken.
    Owing(Vec<PaymentId>),
}

/// How a draw ends.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Conclusion {
    /// The work is done, and so much was used. The rest goes back.
    Used(Amount, Answer),
    /// The answer again, with its body, where that of a kept one was not there yet.
    Followed(Answer),
    /// No work was done: everything goes back, and the draw is forgotten.
    Returned,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account() -> CreditAccount {
        let [payer, asset, seller] = [1, 2, 3].map(|byte| Address::new([byte; 20]));
        CreditAccount { payer, chain_id: ChainId::new(8453), asset, seller }
    }

    #[test]
    fn an_account_is_the_same_in_bytes_and_sorts_by_its_payer() {
        let bytes = account().to_bytes();
        assert_eq!(bytes[..20], [1; 20]);
        assert_eq!(bytes[20..28], 8453_u64.to_be_bytes());
        assert_eq!((&bytes[28..48], &bytes[48..]), (&[2; 20][..], &[3; 20][..]));
        assert_eq!(CreditAccount::from_bytes(&bytes), account());
        let other = CreditAccount { payer: Address::new([9; 20]), ..account() };
        assert!(other > account() && other.to_bytes() > bytes);
    }

    #[test]
    fn a_nonce_names_another_draw_for_each_account() {
        let account = account();
        let other = Address::new([9; 20]);
        let ids = [
            DrawId::new(&account, [0; 32]),
            DrawId::new(&account, [1; 32]),
            DrawId::new(&CreditAccount { payer: other, ..account }, [0; 32]),
            DrawId::new(&CreditAccount { chain_id: ChainId::new(1), ..account }, [0; 32]),
            DrawId::new(&CreditAccount { asset: other, ..account }, [0; 32]),
            DrawId::new(&CreditAccount { seller: other, ..account }, [0; 32]),
        ];
        for (at, id) in ids.iter().enumerate() {
            assert_eq!(ids.iter().position(|other| other == id), Some(at));
        }
        assert_eq!(DrawId::new(&account, [1; 32]), ids[1]);
    }
}
