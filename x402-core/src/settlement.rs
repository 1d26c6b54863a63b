//! What a receipt must hold for a payment to count as paid.

use core::fmt;

use crate::hex;
use crate::{Address, Claimed, TransferMethod};

/// Topic of `Transfer(address indexed from, address indexed to, uint256 value)`.
pub const TRANSFER_TOPIC: [u8; 32] =
    hex::literal("0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef");
/// Topic of `AuthorizationUsed(address indexed authorizer, bytes32 indexed nonce)`.
pub const AUTHORIZATION_USED_TOPIC: [u8; 32] =
    hex::literal("0x98de503528ee59b575ef0c0a2576a82497bfc029a5685b209e9ec333479b10a5");

/// One log of a receipt.
#[derive(Clone, Copy, Debug)]
pub struct Log<'a> {
    /// The contract that wrote it.
    pub address: Address,
    /// Its topics, the event's hash first.
    pub topics: &'a [[u8; 32]],
    /// Its data: the members that are not indexed, as ABI words.
    pub data: &'a [u8],
}

/// What a receipt lacks.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum SettlementError {
    /// No `AuthorizationUsed` of the token for this payer and nonce.
    NotUsed,
    /// The transaction reverted.
    Reverted,
    /// No `Transfer` of the token from the payer to the payee of exactly the value.
    NotTransferred,
}

impl fmt::Display for SettlementError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotUsed => "the transaction did not use the authorization",
            Self::Reverted => "the transaction reverted",
            Self::NotTransferred => "the transaction did not move the value to the recipient",
        })
    }
}

impl core::error::Error for SettlementError {}

pub(crate) fn confirm<'l>(
    payment: &Claimed,
    succeeded: bool,
    logs: impl IntoIterator<Item = Log<'l>>,
) -> Result<(), SettlementError> {
    if !succeeded {
        return Err(SettlementError::Reverted);
    }
    let signed = payment.transfer();
    let from = signed.from().to_word();
    let transfer = [TRANSFER_TOPIC, from, signed.to().to_word()];
    let used = [AUTHORIZATION_USED_TOPIC, from, *signed.nonce().as_bytes()];
    let value = payment.amount().to_be_bytes();
    // Permit2 writes no log of a nonce.
    let mut is_used = signed.method() == TransferMethod::Permit2;
    let mut is_transferred = false;
    for log in logs.into_iter().filter(|log| log.address == payment.asset()) {
        is_transferred |= log.topics == transfer && log.data == value;
        is_used |= log.topics == used && log.data.is_empty();
    }
    match (is_used, is_transferred) {
        (true, true) => Ok(()),
        (false, _) => Err(SettlementError::NotUsed),
        (true, false) => Err(SettlementError::NotTransferred),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keccak256;

    #[test]
    fn topics_are_the_hashes_of_the_events() {
        assert_eq!(TRANSFER_TOPIC, keccak256(&[b"Transfer(address,address,uint256)"]));
        assert_eq!(AUTHORIZATION_USED_TOPIC, keccak256(&[b"AuthorizationUsed(address,bytes32)"]));
    }
}
