//! [EIP-3009](https://eips.ethereum.org/EIPS/eip-3009): token transfers by signed authorization.

use crate::{Address, Amount, Digest, DomainSeparator, Nonce, Signature, Timestamp};
use crate::{hex, keccak256};

/// `keccak256` of the type `TransferWithAuthorization`.
pub const TRANSFER_TYPE_HASH: [u8; 32] =
    hex::literal("0x7c7c6cdb67a18743f49ec6fa9b35f50d52ed05cbed4cc592e13b44501c1a2267");
/// `keccak256` of the type `ReceiveWithAuthorization`.
pub const RECEIVE_TYPE_HASH: [u8; 32] =
    hex::literal("0xd099cc98ef71107a616c4f0f941f04c322d8e254fe26b3c6668db87aae413de8");
/// `keccak256` of the type `CancelAuthorization`.
pub const CANCEL_TYPE_HASH: [u8; 32] =
    hex::literal("0x158b0a9edf7a828aad02f63cd515c68ef2f50ba807396f6d12842833a1597429");

/// Selector of `transferWithAuthorization(…, uint8 v, bytes32 r, bytes32 s)`.
pub const TRANSFER_SELECTOR: [u8; 4] = hex::literal("0xe3ee160e");
/// Selector of `transferWithAuthorization(…, bytes signature)`.
pub const TRANSFER_BYTES_SELECTOR: [u8; 4] = hex::literal("0xcf092995");

/// Length of the calldata with (v, r, s): the selector and nine words.
pub const TRANSFER_CALLDATA_LEN: usize = 4 + 9 * 32;

/// Leave to move tokens, as the payer signs it.
///
/// ```text
/// TransferWithAuthorization(address from,address to,uint256 value,
///                           uint256 validAfter,uint256 validBefore,bytes32 nonce)
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Authorization {
    /// Who pays.
    pub from: Address,
    /// Who is paid.
    pub to: Address,
    /// How much, in atomic units.
    pub value: Amount,
    /// Valid in blocks whose time is later than this.
    pub valid_after: Timestamp,
    /// Valid in blocks whose time is earlier than this.
    pub valid_before: Timestamp,
    /// What makes it single.
    pub nonce: Nonce,
}

impl Authorization {
    /// The digest of `TransferWithAuthorization`: what anyone may submit.
    #[must_use]
    pub fn digest(&self, domain: &DomainSeparator) -> Digest {
        domain.digest(&self.struct_hash(&TRANSFER_TYPE_HASH))
    }

    /// The digest of `ReceiveWithAuthorization`: what only the payee may submit.
    #[must_use]
    pub fn receive_digest(&self, domain: &DomainSeparator) -> Digest {
        domain.digest(&self.struct_hash(&RECEIVE_TYPE_HASH))
    }

    /// The EIP-712 hash of the struct under one of the two types it can have.
    #[must_use]
    pub fn struct_hash(&self, type_hash: &[u8; 32]) -> [u8; 32] {
        let [from, to, value, after, before, nonce] = self.words();
        keccak256(&[type_hash, &from, &to, &value, &after, &before, &nonce])
    }

    /// ABI calldata of `transferWithAuthorization` with (v, r, s), which every EIP-3009 token has.
    ///
    /// The selector `0xe3ee160e` and nine words: the six members, then v, r and s.
    #[must_use]
    pub fn calldata(&self, signature: &Signature) -> [u8; TRANSFER_CALLDATA_LEN] {
        let mut v = [0; 32];
        if let Some(last) = v.last_mut() {
            *last = signature.v();
        }
        let tail = [v, *signature.r(), *signature.s()];
        let mut data = [0; TRANSFER_CALLDATA_LEN];
        let (selector, words) = data.split_at_mut(4);
        selector.copy_from_slice(&TRANSFER_SELECTOR);
        for (slot, word) in words.as_chunks_mut().0.iter_mut().zip(self.words().iter().chain(&tail))
        {
            *slot = *word;
        }
        data
    }

    /// Length of [`Self::calldata_with_bytes`] for a signature of so many bytes.
    #[must_use]
    pub const fn calldata_with_bytes_len(signature: usize) -> usize {
        4 + 8 * 32 + signature.next_multiple_of(32)
    }

    /// ABI calldata of `transferWithAuthorization` with the signature as `bytes`, which tokens with
    /// support for contract wallets ([EIP-1271](https://eips.ethereum.org/EIPS/eip-1271)) have.
    ///
    /// The selector `0xcf092995`, six words, the offset of the signature (224), its length, and the
    /// signature padded with zeros. Writes to the front of `out` and returns that part of it, or
    /// `None` where `out` is shorter than [`Self::calldata_with_bytes_len`].
    pub fn calldata_with_bytes<'o>(&self, signature: &[u8], out: &'o mut [u8]) -> Option<&'o [u8]> {
        let data = out.get_mut(..Self::calldata_with_bytes_len(signature.len()))?;
        data.fill(0);
        let (selector, rest) = data.split_at_mut_checked(4)?;
        selector.copy_from_slice(&TRANSFER_BYTES_SELECTOR);
        let (head, tail) = rest.split_at_mut_checked(8 * 32)?;
        let offset = Amount::from_units(7 * 32).to_be_bytes();
        let length = Amount::from_units(signature.len() as u128).to_be_bytes();
        let words = self.words();
        for (slot, word) in
            head.as_chunks_mut().0.iter_mut().zip(words.iter().chain([&offset, &length]))
        {
            *slot = *word;
        }
        tail.get_mut(..signature.len())?.copy_from_slice(signature);
        Some(data)
    }

    fn words(&self) -> [[u8; 32]; 6] {
        [
            self.from.to_word(),
            self.to.to_word(),
            self.value.to_be_bytes(),
            self.valid_after.to_be_bytes(),
            self.valid_before.to_be_bytes(),
            *self.nonce.as_bytes(),
        ]
    }
}

/// Withdrawal of an authorization that was not used yet, as the payer signs it.
///
/// ```text
/// CancelAuthorization(address authorizer,bytes32 nonce)
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct CancelAuthorization {
    /// Who signed the authorization.
    pub authorizer: Address,
    /// Its nonce.
    pub nonce: Nonce,
}

impl CancelAuthorization {
    /// The digest that the payer signs.
    #[must_use]
    pub fn digest(&self, domain: &DomainSeparator) -> Digest {
        let (authorizer, nonce) = (self.authorizer.to_word(), self.nonce.as_bytes());
        domain.digest(&keccak256(&[&CANCEL_TYPE_HASH, &authorizer, nonce]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn type_hashes_are_the_hashes_of_the_types() {
        let members = "(address from,address to,uint256 value,uint256 validAfter,\
                       uint256 validBefore,bytes32 nonce)";
        let hash = |name: &str| keccak256(&[name.as_bytes(), members.as_bytes()]);
        assert_eq!(TRANSFER_TYPE_HASH, hash("TransferWithAuthorization"));
        assert_eq!(RECEIVE_TYPE_HASH, hash("ReceiveWithAuthorization"));
        let cancel = b"CancelAuthorization(address authorizer,bytes32 nonce)";
        assert_eq!(CANCEL_TYPE_HASH, keccak256(&[cancel]));
    }

    #[test]
    fn selectors_are_the_hashes_of_the_signatures() {
        let members = "transferWithAuthorization(address,address,uint256,uint256,uint256,bytes32";
        let selector = |tail: &str| keccak256(&[members.as_bytes(), tail.as_bytes()]);
        assert_eq!(TRANSFER_SELECTOR, selector(",uint8,bytes32,bytes32)")[..4]);
        assert_eq!(TRANSFER_BYTES_SELECTOR, selector(",bytes)")[..4]);
    }
}
