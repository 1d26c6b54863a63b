/*!
What a seller's reason for a refusal says of the money.

Reasons are believed by a list: of those on it the money cannot have moved when they are true. Every other
text leaves it open, however it begins: what a settlement has failed with may be said of one that was sent
(`fetch failed`, `Facilitator settle failed (503): …`, `unexpected_settle_error`), a transaction that
reverted may be the second of two (`invalid_exact_evm_transaction_failed`), and an authorization that was
used before was used by whoever had it, which is this seller (`invalid_exact_evm_nonce_already_used`).
*/

use x402_core::{Code, Reason};

/// What a reason says of the money, the best first.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Bearing {
    /// Nobody can take this payment by these terms, now or before.
    Unfit,
    /// It was not taken now. An answer that was lost may have been another one.
    NotNow,
    /// It may have been taken.
    Open,
}

/// Texts of official sellers who saw no payment for their terms, beside the specification's reasons.
const NO_PAYMENT: [&str; 4] = [
    "No matching payment requirements",
    "PAYMENT-SIGNATURE header is required",
    "Unable to find matching payment requirements",
    "X-PAYMENT header is required",
];

/// Reasons of official facilitators that this project has no use for, of payloads that none would settle.
const UNFIT: [&str; 5] = [
    "asset_not_deployed_contract",
    "invalid_exact_evm_failed_to_parse_signature",
    "invalid_exact_evm_payload_undeployed_smart_wallet",
    "missing_eip712_domain",
    "network_mismatch",
];

impl Bearing {
    /// Of a reason; `is_of_settlement` where it is told of one that has failed.
    pub(super) fn of(reason: &str, is_of_settlement: bool) -> Self {
        if UNFIT.contains(&reason) {
            return Self::Unfit;
        }
        if NO_PAYMENT.contains(&reason) {
            return Self::NotNow;
        }
        match Reason::parse(reason) {
            Some(reason) => Self::of_reason(reason, is_of_settlement),
            None => Self::Open,
        }
    }

    const fn of_reason(reason: Reason, is_of_settlement: bool) -> Self {
        match reason {
            Reason::ExactRecipientMismatch
            | Reason::ExactScheme
            | Reason::ExactSignature
            | Reason::FactoryNotAllowed
            | Reason::InvalidNetwork
            | Reason::InvalidPayload
            | Reason::InvalidScheme
            | Reason::InvalidX402Version
            | Reason::MissingDomain
            | Reason::NetworkMismatch
            | Reason::Permit2Recipient
            | Reason::Permit2Signature
            | Reason::Permit2Spender
            | Reason::Permit2Token
            | Reason::RecipientMismatch
            | Reason::Signature
            | Reason::TokenName
            | Reason::TokenVersion
            | Reason::UnsupportedPayload
            | Reason::UnsupportedScheme
            | Reason::UptoFacilitator
            | Reason::UptoNetwork
            | Reason::UptoScheme => Self::Unfit,
            // Of this moment: the terms, the clock, and what the payer has.
            Reason::ExtensionEcho
            | Reason::InsufficientBalance
            | Reason::InsufficientFunds
            | Reason::InvalidPaymentRequirements
            | Reason::PaymentRequired
            | Reason::Permit2Allowance
            | Reason::Permit2Amount
            | Reason::Permit2Balance
            | Reason::Permit2Deadline
            | Reason::Permit2NotYetValid
            | Reason::UptoExceeds
            | Reason::ValidAfter
            | Reason::ValidBefore
            | Reason::ValueMismatch
            | Reason::ValueMismatchV1 => Self::NotNow,
            // Before anything is sent, the call was tried and failed. Afterwards it fails because it was
            // sent.
            Reason::NotSupported
            | Reason::Permit2Proxy
            | Reason::Permit2Simulation
            | Reason::SimulationFailed => {
                if is_of_settlement {
                    Self::Open
                } else {
                    Self::NotNow
                }
            }
            Reason::InvalidTransactionState
            | Reason::NonceAlreadyUsed
            | Reason::Permit2Nonce
            | Reason::SettlementPending
            | Reason::TransactionFailed
            | Reason::TransferMismatch
            | Reason::UnexpectedSettleError
            | Reason::UnexpectedVerifyError
            | Reason::UptoTransactionFailed => Self::Open,
        }
    }

    /// Of a code of the header dialect, which none has for what was sent.
    pub(super) const fn of_code(code: Code) -> Self {
        match code {
            Code::InvalidSignature | Code::WrongNetwork => Self::Unfit,
            Code::InsufficientPayment
            | Code::PaymentExpired
            | Code::PaymentRequired
            | Code::WrongAsset => Self::NotNow,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_listed_cannot_have_moved() {
        for reason in [
            "invalid_exact_evm_payload_signature",
            "invalid_exact_evm_signature",
            "invalid_exact_evm_recipient_mismatch",
            "invalid_network",
            "invalid_payload",
            "missing_eip712_domain",
        ] {
            assert_eq!(Bearing::of(reason, true), Bearing::Unfit, "{reason}");
        }
        for reason in [
            "insufficient_funds",
            "invalid_exact_evm_insufficient_balance",
            "invalid_exact_evm_payload_authorization_valid_before",
            "No matching payment requirements",
            "Payment required",
            "permit2_allowance_required",
        ] {
            assert_eq!(Bearing::of(reason, true), Bearing::NotNow, "{reason}");
        }
        for reason in [
            "",
            "fetch failed",
            "Facilitator settle failed (503): {}",
            "Facilitator verify failed (500): ",
            "invalid_exact_evm_transaction_failed",
            "invalid_exact_evm_transaction_failed: nonce too low",
            "invalid_exact_evm_signature: and more",
            "Insufficient_Funds",
            "invalid_exact_evm_nonce_already_used",
            "permit2_invalid_nonce",
            "invalid_exact_evm_transfer_event_mismatch",
            "unexpected_settle_error",
            "unexpected_verify_error",
            "Settlement failed",
        ] {
            assert_eq!(Bearing::of(reason, false), Bearing::Open, "{reason}");
        }
        let simulated = "invalid_exact_evm_transaction_simulation_failed";
        assert_eq!(Bearing::of(simulated, false), Bearing::NotNow);
        assert_eq!(Bearing::of(simulated, true), Bearing::Open);
    }
}
