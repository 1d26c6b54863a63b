use x402_core::{Address, Amount, keccak256};

use crate::ledger::{Answer, RequestId};

/// Who asks for a settlement, and by which of its calls.
///
/// A payment is settled for one seller, and success is said to one of its calls. Whoever shows the same
/// key again repeats that call, and is told the same; the default is a seller who cannot be told from
/// others, with a call that cannot be repeated.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Caller {
    /// The Keccak-256 of the seller's name; zeros for one who has none.
    seller: [u8; 32],
    /// The Keccak-256 of seller and key.
    call: Option<[u8; 32]>,
}

impl Caller {
    /// The seller of this name, who was authenticated.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self { seller: keccak256(&[name.as_bytes()]), call: None }
    }

    /// By the call of this key, which is the same whenever the call is repeated, and which nobody else
    /// can guess.
    #[must_use]
    pub fn with_key(self, key: &[u8]) -> Self {
        Self { call: Some(keccak256(&[&self.seller, key])), ..self }
    }

    /// What stands for the call, where it can be repeated.
    #[must_use]
    pub const fn call(&self) -> Option<[u8; 32]> {
        self.call
    }

    /// What has to be the same for a second request to be the same.
    pub(super) fn request(&self, pay_to: Address, asset: Address, amount: Amount) -> RequestId {
        let seller = x402_core::hex::Hex(&self.seller);
        RequestId::new("settle", &format!("{seller} {pay_to} {asset} {amount}"))
    }

    /// What is kept of the call that success is said to.
    pub(super) fn answer(&self) -> Answer {
        let request_body = self.call.unwrap_or(Answer::NOT_KNOWN);
        Answer { status: 200, headers: Vec::new(), body: None, request_body }
    }

    /// Whether success was said to this very call.
    pub(super) fn is_told_by(&self, kept: &Answer) -> bool {
        self.call.is_some_and(|call| call == kept.request_body && call != Answer::NOT_KNOWN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_the_same_by_its_seller_and_its_key_and_without_a_key_it_is_none() {
        let [a, b] = ["a", "b"].map(Caller::named);
        let kept = a.with_key(b"key").answer();
        assert!(a.with_key(b"key").is_told_by(&kept));
        for other in [a, b, a.with_key(b"yek"), b.with_key(b"key"), Caller::default()] {
            assert!(!other.is_told_by(&kept), "{other:?}");
        }
        assert!(!a.is_told_by(&a.answer()));
        let request = |caller: Caller| caller.request(Address::ZERO, Address::ZERO, Amount::ZERO);
        assert_eq!(request(a), request(a.with_key(b"key")));
        assert_ne!(request(a), request(b));
        assert_ne!(request(a), request(Caller::default()));
    }
}
