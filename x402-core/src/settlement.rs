/*!
What a receipt must hold for a payment to count as paid.

A token writes two logs for `transferWithAuthorization`: `AuthorizationUsed(payer, nonce)` and
`Transfer(payer, payee, value)`. One transaction can hold many of both, put together by anybody, so the
two are looked for as a pair: a use alone may be that of another authorization with the same nonce, which
moved nothing, while the transfer belongs to another payment.

| who sent the transaction | what pays |
|---|---|
| the seller, or his facilitator | the use of the nonce, and a `Transfer` of exactly the amount that has not paid before: the calldata is his own |
| somebody else, [`LogOrder::TransferNext`] | the use of the nonce, and the token's very next log, which is that `Transfer` |
| somebody else, [`LogOrder::Unknown`] | nobody can tell: [`SettlementError::Undecided`] |
| somebody else, Permit2, calling the proxy himself | the call is that of this permit, and the `Transfer` |
| somebody else, Permit2, in any other way | a `Transfer` that the proxy's `Settled()` follows, where the permit's nonce was used in this very block: [`Paid::needs_nonce`] |

A log pays once: the caller says which ones have paid before, and keeps the position of the one that paid.
*/

use core::fmt;

use crate::hex;
use crate::permit2::Permit;
use crate::{Address, Amount, Claimed, LogOrder, Settled, Transfer};

/// Topic of `Transfer(address indexed from, address indexed to, uint256 value)`.
pub const TRANSFER_TOPIC: [u8; 32] =
    hex::literal("0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef");
/// Topic of `AuthorizationUsed(address indexed authorizer, bytes32 indexed nonce)`.
pub const AUTHORIZATION_USED_TOPIC: [u8; 32] =
    hex::literal("0x98de503528ee59b575ef0c0a2576a82497bfc029a5685b209e9ec333479b10a5");
/// Topic of `AuthorizationCanceled(address indexed authorizer, bytes32 indexed nonce)`.
pub const AUTHORIZATION_CANCELED_TOPIC: [u8; 32] =
    hex::literal("0x1cdd46ff242716cdaa72d159d339a485b3438398348d68f09d7c8c0a59353d81");
/// Topic of `Settled()`, which the proxies of x402 write after a transfer by Permit2.
pub const SETTLED_TOPIC: [u8; 32] =
    hex::literal("0x97088ec3606cfe8cc112180570d03fcde05f9b8e1bfef8e27784eaf5dd5691b6");
/// Topic of `SettledWithPermit()`, which they write where an EIP-2612 permit came with it.
pub const SETTLED_WITH_PERMIT_TOPIC: [u8; 32] =
    hex::literal("0xde5b89d10fc800c459329c382fabfcad0be0ed7e5328e01fae04e507b09ef5d8");

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

/// A receipt, and what is known of its transaction.
#[derive(Clone, Copy, Debug)]
pub struct Receipt<'a> {
    /// Its status: whether the transaction did not revert.
    pub succeeded: bool,
    /// All of its logs, in their order.
    pub logs: &'a [Log<'a>],
    /// Who sent it.
    pub submitter: Submitter<'a>,
    /// What the token's logs follow each other in.
    pub order: LogOrder,
}

/// Who sent a transaction.
#[derive(Clone, Copy, Debug)]
pub enum Submitter<'a> {
    /// The seller, or the facilitator that he has told to: the calldata is that of his payments.
    Own,
    /// Somebody else.
    Other {
        /// The contract that the transaction calls; `None` where it makes one, or where it does not
        /// matter: for tokens with EIP-3009.
        to: Option<Address>,
        /// Its calldata.
        calldata: &'a [u8],
    },
}

/// A payment whose money a receipt shows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use]
pub struct Paid {
    /// The payment.
    pub settled: Settled,
    /// Which of the receipt's logs has paid, counted from 0 among all of them.
    pub position: usize,
    /// Whether it holds only if the permit's nonce is used in the block of this transaction, and was not
    /// in the block before: of Permit2, in a transaction that calls the proxy by another contract.
    pub needs_nonce: bool,
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
    /// The authorization was used, or the permit may have been, and not to move the value to the payee.
    NotTransferred,
    /// The transaction is the seller's own and has used the authorization, or it calls the proxy by this
    /// very permit, and the token moved another value than the one that was signed: this one, in atomic
    /// units.
    Short(Amount),
    /// The logs that would pay have paid for other payments.
    Taken,
    /// Somebody else has used the authorization, and the order of the token's logs is not known: whether
    /// it moved this payment's money cannot be told from them.
    Undecided,
}

impl fmt::Display for SettlementError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotUsed => "the transaction did not use the authorization",
            Self::Reverted => "the transaction reverted",
            Self::NotTransferred => "the transaction did not move the value to the recipient",
            Self::Short(_) => "the token moved another value than the one that was signed",
            Self::Taken => "the transfer has paid for another payment",
            Self::Undecided => "the order of the token's logs is not known",
        })
    }
}

impl core::error::Error for SettlementError {}

pub(crate) fn confirm(
    payment: &Claimed,
    receipt: &Receipt<'_>,
    is_taken: &dyn Fn(usize) -> bool,
) -> Result<(usize, bool), SettlementError> {
    if !receipt.succeeded {
        return Err(SettlementError::Reverted);
    }
    let logs = Logs { payment, logs: receipt.logs, is_taken };
    match payment.transfer() {
        Transfer::Eip3009(_) => logs.by_authorization(receipt).map(|position| (position, false)),
        Transfer::Permit2(permit) => logs.by_permit(permit, receipt),
    }
}

/// The logs of a receipt, looked at for one payment.
struct Logs<'a> {
    payment: &'a Claimed,
    logs: &'a [Log<'a>],
    is_taken: &'a dyn Fn(usize) -> bool,
}

impl Logs<'_> {
    fn by_authorization(&self, receipt: &Receipt<'_>) -> Result<usize, SettlementError> {
        let used = self.used().ok_or(SettlementError::NotUsed)?;
        let is_own = matches!(receipt.submitter, Submitter::Own);
        if !is_own && receipt.order == LogOrder::Unknown {
            return Err(SettlementError::Undecided);
        }
        let next = self.of_token(used.saturating_add(1)).next();
        let next = next.filter(|(_, log)| self.moves_amount(log)).map(|(position, _)| position);
        match next {
            Some(position) if !(self.is_taken)(position) => Ok(position),
            _ if is_own => self.free_transfer(used.saturating_add(1)),
            Some(_) => Err(SettlementError::Taken),
            None => Err(SettlementError::NotTransferred),
        }
    }

    fn by_permit(
        &self,
        permit: &Permit,
        receipt: &Receipt<'_>,
    ) -> Result<(usize, bool), SettlementError> {
        let is_called = match receipt.submitter {
            Submitter::Own => true,
            Submitter::Other { to, calldata } => {
                to == Some(permit.spender())
                    && permit.moved_by(calldata) == Some(self.payment.amount())
            }
        };
        if is_called {
            return self.free_transfer(0).map(|position| (position, false));
        }
        let mut error = SettlementError::NotTransferred;
        for (position, log) in self.of_token(0) {
            if self.moves_amount(&log) && self.is_settled_after(position, permit) {
                if !(self.is_taken)(position) {
                    return Ok((position, true));
                }
                error = SettlementError::Taken;
            }
        }
        Err(error)
    }

    /// Where the token says that the nonce was used.
    fn used(&self) -> Option<usize> {
        let signed = self.payment.transfer();
        let used = [AUTHORIZATION_USED_TOPIC, signed.from().to_word(), *signed.nonce().as_bytes()];
        let mut logs = self.of_token(0);
        logs.find(|(_, log)| log.topics == used && log.data.is_empty())
            .map(|(position, _)| position)
    }

    /// A transfer of the amount that has not paid before; from `from` on stands what arrived instead.
    fn free_transfer(&self, from: usize) -> Result<usize, SettlementError> {
        let mut is_there = false;
        for (position, log) in self.of_token(0) {
            if self.moves_amount(&log) {
                if !(self.is_taken)(position) {
                    return Ok(position);
                }
                is_there = true;
            }
        }
        match is_there {
            true => Err(SettlementError::Taken),
            false => Err(self.short(from)),
        }
    }

    /// What has arrived instead of the amount, from a position on and as far as this payment's call goes.
    /// What has paid for another payment has not arrived for this one.
    fn short(&self, from: usize) -> SettlementError {
        let mut arrived = Amount::ZERO;
        for (position, log) in self.logs.iter().enumerate().skip(from) {
            match self.payment.transfer() {
                Transfer::Eip3009(_) if self.is_use(log) => break,
                // A permit has no log of its own: its call is the first by which something arrived.
                Transfer::Permit2(permit) if log.address == permit.spender() => {
                    if arrived != Amount::ZERO {
                        break;
                    }
                }
                Transfer::Eip3009(_) | Transfer::Permit2(_) => {}
            }
            let moved = self.moved(log).filter(|_| !(self.is_taken)(position));
            let Some(sum) = arrived.checked_add(moved.unwrap_or(Amount::ZERO)) else {
                return SettlementError::NotTransferred;
            };
            arrived = sum;
        }
        if arrived == Amount::ZERO {
            SettlementError::NotTransferred
        } else {
            SettlementError::Short(arrived)
        }
    }

    /// Whether the token says that an authorization was used, whichever it was.
    fn is_use(&self, log: &Log<'_>) -> bool {
        log.address == self.payment.asset() && log.topics.first() == Some(&AUTHORIZATION_USED_TOPIC)
    }

    /// Whether the proxy says after this transfer that it has settled, with nothing but the token's own
    /// logs in between.
    fn is_settled_after(&self, position: usize, permit: &Permit) -> bool {
        let behind = self.logs.iter().skip(position).skip(1);
        let next = { behind }.find(|log| log.address != self.payment.asset());
        next.is_some_and(|log| {
            log.address == permit.spender()
                && (log.topics == [SETTLED_TOPIC] || log.topics == [SETTLED_WITH_PERMIT_TOPIC])
        })
    }

    /// The token's logs from a position on, with theirs.
    fn of_token(&self, from: usize) -> impl Iterator<Item = (usize, Log<'_>)> {
        let logs = self.logs.iter().copied().enumerate().skip(from);
        logs.filter(|(_, log)| log.address == self.payment.asset())
    }

    fn moves_amount(&self, log: &Log<'_>) -> bool {
        self.moved(log) == Some(self.payment.amount())
    }

    /// What a log of the token says to have gone from the payer to the payee; `None` of any other log.
    fn moved(&self, log: &Log<'_>) -> Option<Amount> {
        let signed = self.payment.transfer();
        let transfer = [TRANSFER_TOPIC, signed.from().to_word(), signed.to().to_word()];
        let is_transfer = log.address == self.payment.asset() && log.topics == transfer;
        let value = log.data.try_into().ok().filter(|_| is_transfer)?;
        Some(Amount::from_be_bytes(value))
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
        let canceled = keccak256(&[b"AuthorizationCanceled(address,bytes32)"]);
        assert_eq!(AUTHORIZATION_CANCELED_TOPIC, canceled);
        assert_eq!(SETTLED_TOPIC, keccak256(&[b"Settled()"]));
        assert_eq!(SETTLED_WITH_PERMIT_TOPIC, keccak256(&[b"SettledWithPermit()"]));
    }
}
