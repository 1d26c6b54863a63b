use serde_json::{Value, json};
use x402_core::hex::{self, Hex};
use x402_core::permit2::PERMIT2;
use x402_core::{Address, ChainId, Nonce, PaymentId};

use super::Caller;
use crate::chain::TxHash;
use crate::ledger::{Entry, LedgerError};
use crate::seller::Seller;

/// Which settlements somebody asks about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Sought {
    /// Those of a transaction.
    Transaction(TxHash),
    /// That of a payment: what was signed is the payer's only one with this nonce.
    Payment {
        /// The chain.
        chain_id: ChainId,
        /// The token.
        asset: Address,
        /// The payer.
        from: Address,
        /// The nonce, of the authorization or of the permit.
        nonce: Nonce,
    },
}

impl Sought {
    /// Reads a transaction's hash, or network, token, payer and nonce as they are on the wire, with slashes
    /// between them; `None` for anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('/');
        let first = parts.next()?;
        let Some(asset) = parts.next() else {
            return hex::decode(first).ok().map(|hash| Self::Transaction(TxHash(hash)));
        };
        let (from, nonce) = (parts.next()?, parts.next()?);
        if parts.next().is_some() {
            return None;
        }
        Some(Self::Payment {
            chain_id: ChainId::parse(first).ok()?,
            asset: Address::parse(asset).ok()?,
            from: Address::parse(from).ok()?,
            nonce: Nonce::parse(nonce).ok()?,
        })
    }

    /// What a seller has recorded of them.
    pub(super) async fn find(&self, seller: &Seller) -> Result<Vec<Entry>, LedgerError> {
        let (chain_id, asset, from, nonce) = match *self {
            Self::Transaction(hash) => return seller.recorded_with(hash).await,
            Self::Payment { chain_id, asset, from, nonce } => (chain_id, asset, from, nonce),
        };
        let mut entries = Vec::new();
        // The token keeps account of the nonce, or Permit2 does.
        for contract in [asset, PERMIT2] {
            let entry = seller.recorded(PaymentId { chain_id, contract, from, nonce }).await?;
            entries.extend(entry.filter(|entry| entry.payment.asset() == asset));
        }
        Ok(entries)
    }
}

/// What is known of a settlement.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct KnownSettlement {
    json: Value,
}

impl KnownSettlement {
    /// Whether the caller asked for it.
    pub(super) fn is_of(caller: &Caller, entry: &Entry) -> bool {
        let payment = &entry.payment;
        let request = caller.request(payment.transfer().to(), payment.asset(), payment.amount());
        entry.request == request
    }

    pub(super) fn of(entry: &Entry) -> Self {
        let payment = &entry.payment;
        let sent = entry.transaction.as_ref().map(|transaction| transaction.hash);
        let transaction = entry.settled_by().or(sent);
        let json = json!({
            "state": entry.standing(),
            "network": payment.chain_id().to_string(),
            "asset": payment.asset().to_string(),
            "payTo": payment.transfer().to().to_string(),
            "payer": payment.payer().to_string(),
            "nonce": Hex(payment.transfer().nonce().as_bytes()).to_string(),
            "amount": payment.amount().to_string(),
            "transaction": transaction.map(|hash| hash.to_string()),
            "successSaid": entry.answer.is_some(),
        });
        Self { json }
    }

    /// The body of an answer that tells these: `{"settlements": […]}`. Each has `state` (as
    /// [`Entry::standing`]), `network`, `asset`, `payTo`, `payer`, `nonce`, `amount`, `transaction` (the one
    /// that moved the money, or else the one that was sent last, or null) and `successSaid`.
    #[must_use]
    pub fn to_json(known: &[Self]) -> String {
        let settlements: Vec<_> = known.iter().map(|known| &known.json).collect();
        json!({ "settlements": settlements }).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_settlement_is_sought_by_its_transaction_or_by_what_was_signed() {
        let (hash, address) = (format!("0x{}", "ab".repeat(32)), format!("0x{}", "cd".repeat(20)));
        assert_eq!(Sought::parse(&hash), Some(Sought::Transaction(TxHash([0xab; 32]))));
        let of = |nonce| Sought::Payment {
            chain_id: ChainId::BASE,
            asset: Address::new([0xcd; 20]),
            from: Address::new([0xcd; 20]),
            nonce: Nonce::new(nonce),
        };
        let text = format!("eip155:8453/{address}/{address}");
        assert_eq!(Sought::parse(&format!("{text}/{hash}")), Some(of([0xab; 32])));
        let mut seven = [0; 32];
        seven[31] = 7;
        assert_eq!(Sought::parse(&format!("{text}/7")), Some(of(seven)));
        for wrong in
            ["", "0x12", "7", &text, &format!("{text}/"), &format!("{text}/7/8"), "a/b/c/d"]
        {
            assert_eq!(Sought::parse(wrong), None, "{wrong}");
        }
    }
}
