use core::fmt;

use crate::headers::HeaderError;
use crate::wire::{Version, WireError};
use crate::{Scheme, SignatureError, TransferMethod};

macro_rules! texts {
    ($(#[$attribute:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$attribute])*
        #[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
        #[cfg_attr(feature = "defmt", derive(defmt::Format))]
        pub enum $name {
            $($(#[$doc])* $variant,)*
        }

        impl $name {
            /// Every one, in the order of declaration.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The text on the wire.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                }
            }

            /// The one with that text on the wire.
            #[must_use]
            pub fn parse(text: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|known| known.as_str() == text)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

texts! {
    /// The code of a refusal, in `X-Payment-Error` and in the JSON body of the 402.
    Code {
        /// Payment required: none was attached, or the offer it answers is gone.
        PaymentRequired = "402",
        /// Insufficient payment: the signed value is not the price, or the payer lacks the balance.
        InsufficientPayment = "402.1",
        /// Invalid signature: malformed, high s, another v than 27 and 28, another domain, or
        /// another signer.
        InvalidSignature = "402.2",
        /// Another asset than the one asked for.
        WrongAsset = "402.3",
        /// Another network than the one asked for.
        WrongNetwork = "402.4",
        /// The authorization is expired, or not valid yet.
        PaymentExpired = "402.5",
    }
}

texts! {
    /// A reason string of the x402 specification (section 9 of the core specification, v2, and the
    /// scheme `exact` on EVM), as in `invalidReason` and `errorReason`.
    Reason {
        /// v2: an extension is not echoed as the server told it.
        ExtensionEcho = "extension_echo_mismatch",
        /// A wallet that is not deployed, by a factory that the facilitator does not call.
        FactoryNotAllowed = "eip6492_factory_not_allowed",
        /// The payer holds less of the asset than the value.
        InsufficientFunds = "insufficient_funds",
        /// The payer holds less of the asset than the value: the official facilitators' word.
        InsufficientBalance = "invalid_exact_evm_insufficient_balance",
        /// The token lacks `transferWithAuthorization`.
        NotSupported = "invalid_exact_evm_eip3009_not_supported",
        /// The network is not the one asked for: the official facilitators' word.
        NetworkMismatch = "invalid_exact_evm_network_mismatch",
        /// The terms lack the name or the version of the token's domain.
        MissingDomain = "invalid_exact_evm_missing_eip712_domain",
        /// The authorization was used or cancelled before.
        NonceAlreadyUsed = "invalid_exact_evm_nonce_already_used",
        /// The authorization pays somebody else.
        RecipientMismatch = "invalid_exact_evm_payload_recipient_mismatch",
        /// The authorization pays somebody else: the official facilitators' word.
        ExactRecipientMismatch = "invalid_exact_evm_recipient_mismatch",
        /// The scheme is not the one asked for: the official facilitators' word.
        ExactScheme = "invalid_exact_evm_scheme",
        /// The signature is not the payer's, or is none.
        Signature = "invalid_exact_evm_payload_signature",
        /// The signature is not the payer's, or is none: the official facilitators' word.
        ExactSignature = "invalid_exact_evm_signature",
        /// The authorization is not valid yet.
        ValidAfter = "invalid_exact_evm_payload_authorization_valid_after",
        /// The authorization is expired, or too near to it.
        ValidBefore = "invalid_exact_evm_payload_authorization_valid_before",
        /// The value is not the price: the official facilitators' word for v1.
        ValueMismatchV1 = "invalid_exact_evm_authorization_value",
        /// The value is not the price.
        ValueMismatch = "invalid_exact_evm_payload_authorization_value_mismatch",
        /// The token refuses the transfer, for none of the reasons that can be looked up.
        SimulationFailed = "invalid_exact_evm_transaction_simulation_failed",
        /// The terms name the token otherwise than it names itself.
        TokenName = "invalid_exact_evm_token_name_mismatch",
        /// The terms name another version of the token than it has.
        TokenVersion = "invalid_exact_evm_token_version_mismatch",
        /// The transaction did not move the money as it should.
        TransferMismatch = "invalid_exact_evm_transfer_event_mismatch",
        /// The transaction was mined and reverted.
        TransactionFailed = "invalid_exact_evm_transaction_failed",
        /// The network is not the one asked for.
        InvalidNetwork = "invalid_network",
        /// The payment cannot be read.
        InvalidPayload = "invalid_payload",
        /// The asset, or another term, is not the one asked for.
        InvalidPaymentRequirements = "invalid_payment_requirements",
        /// The scheme is not the one asked for.
        InvalidScheme = "invalid_scheme",
        /// The transaction is in a state that it should not be in.
        InvalidTransactionState = "invalid_transaction_state",
        /// Permit2: the payer has not let Permit2 move so much of the token.
        Permit2Allowance = "permit2_allowance_required",
        /// Permit2: the value is not the price.
        Permit2Amount = "permit2_amount_mismatch",
        /// Permit2: the permit is expired, or too near to it.
        Permit2Deadline = "permit2_deadline_expired",
        /// Permit2: the payer holds less of the asset than the value.
        Permit2Balance = "permit2_insufficient_balance",
        /// Permit2: the permit was used or cancelled before.
        Permit2Nonce = "permit2_invalid_nonce",
        /// Permit2: the permit is not valid yet.
        Permit2NotYetValid = "permit2_not_yet_valid",
        /// Permit2: the spender's contract is not on the chain.
        Permit2Proxy = "permit2_proxy_not_deployed",
        /// Permit2: the permit pays somebody else.
        Permit2Recipient = "invalid_permit2_recipient_mismatch",
        /// Permit2: the signature is not the payer's, or is none.
        Permit2Signature = "invalid_permit2_signature",
        /// Permit2: the call would revert, for none of the reasons that can be looked up.
        Permit2Simulation = "permit2_simulation_failed",
        /// Permit2: the permit is for another spender than the scheme's.
        Permit2Spender = "invalid_permit2_spender",
        /// Permit2: the permit is for another token.
        Permit2Token = "permit2_token_mismatch",
        /// The payload is of another kind than the terms ask for.
        UnsupportedPayload = "unsupported_payload_type",
        /// `upto`: more is to be settled than was signed.
        UptoExceeds = "invalid_upto_evm_payload_settlement_exceeds_amount",
        /// `upto`: the permit is for another facilitator.
        UptoFacilitator = "upto_facilitator_mismatch",
        /// `upto`: the network is not the one asked for.
        UptoNetwork = "invalid_upto_evm_network_mismatch",
        /// `upto`: the scheme is not the one asked for.
        UptoScheme = "invalid_upto_evm_scheme",
        /// `upto`: the transaction was mined and reverted.
        UptoTransactionFailed = "invalid_upto_evm_transaction_failed",
        /// No such protocol version.
        InvalidX402Version = "invalid_x402_version",
        /// No payment was attached.
        PaymentRequired = "Payment required",
        /// The outcome of a transaction is not known yet.
        SettlementPending = "settlement_pending",
        /// Settling failed for a reason that is not the payer's.
        UnexpectedSettleError = "unexpected_settle_error",
        /// Verifying failed for a reason that is not the payer's.
        UnexpectedVerifyError = "unexpected_verify_error",
        /// The scheme is not known.
        UnsupportedScheme = "unsupported_scheme",
    }
}

impl Code {
    /// The reason that a peer is told who knows the specification's strings only.
    #[must_use]
    pub const fn reason(self) -> Reason {
        match self {
            Self::PaymentRequired => Reason::PaymentRequired,
            Self::InsufficientPayment => Reason::ValueMismatch,
            Self::InvalidSignature => Reason::Signature,
            Self::WrongAsset => Reason::InvalidPaymentRequirements,
            Self::WrongNetwork => Reason::InvalidNetwork,
            Self::PaymentExpired => Reason::ValidBefore,
        }
    }
}

impl Reason {
    /// The code that a peer is told who knows codes only.
    #[must_use]
    pub const fn code(self) -> Code {
        match self {
            Self::InsufficientBalance
            | Self::InsufficientFunds
            | Self::Permit2Allowance
            | Self::Permit2Amount
            | Self::Permit2Balance
            | Self::UptoExceeds
            | Self::ValueMismatch
            | Self::ValueMismatchV1 => Code::InsufficientPayment,
            // A transfer to somebody else was not signed for this seller.
            Self::ExactRecipientMismatch
            | Self::ExactSignature
            | Self::FactoryNotAllowed
            | Self::Permit2Recipient
            | Self::Permit2Signature
            | Self::Permit2Spender
            | Self::RecipientMismatch
            | Self::Signature
            | Self::UptoFacilitator => Code::InvalidSignature,
            Self::InvalidPaymentRequirements | Self::Permit2Token => Code::WrongAsset,
            Self::InvalidNetwork | Self::NetworkMismatch | Self::UptoNetwork => Code::WrongNetwork,
            Self::Permit2Deadline
            | Self::Permit2NotYetValid
            | Self::ValidAfter
            | Self::ValidBefore => Code::PaymentExpired,
            Self::ExactScheme
            | Self::ExtensionEcho
            | Self::InvalidPayload
            | Self::InvalidScheme
            | Self::InvalidTransactionState
            | Self::InvalidX402Version
            | Self::MissingDomain
            | Self::NonceAlreadyUsed
            | Self::NotSupported
            | Self::PaymentRequired
            | Self::Permit2Nonce
            | Self::Permit2Proxy
            | Self::Permit2Simulation
            | Self::SettlementPending
            | Self::SimulationFailed
            | Self::TokenName
            | Self::TokenVersion
            | Self::TransactionFailed
            | Self::TransferMismatch
            | Self::UnexpectedSettleError
            | Self::UnexpectedVerifyError
            | Self::UnsupportedPayload
            | Self::UnsupportedScheme
            | Self::UptoScheme
            | Self::UptoTransactionFailed => Code::PaymentRequired,
        }
    }
}

/// What is wrong with a payment.
///
/// Every one is the payer's to mend; faults of the seller or the chain are in
/// [`Refusal`](crate::Refusal).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Error {
    /// The payer has not let Permit2 move so much of the token.
    Allowance,
    /// The value is not the price.
    Amount,
    /// Another asset than the one asked for.
    Asset,
    /// The token says that the authorization was used or cancelled.
    AuthorizationUsed,
    /// The token says that the payer holds less than the value.
    Balance,
    /// More is to be settled than was signed.
    Exceeds,
    /// The end of its validity is past, or nearer than settling takes.
    Expired,
    /// An extension is not echoed as it was told.
    Extension,
    /// Only another account may submit it.
    Facilitator,
    /// The seller wants payments to have an identifier, and this one has none, or an ill-formed one.
    Identifier,
    /// The payment headers cannot be read.
    Malformed(HeaderError),
    /// The chain lacks what the method needs: the token has no EIP-3009, or Permit2's spender is not
    /// there.
    Method,
    /// No payment is attached.
    Missing,
    /// Another network than the one asked for.
    Network,
    /// The begin of its validity is not past.
    NotYetValid,
    /// An earlier payment of this payer was served, and the chain did not take it.
    Owing,
    /// The payload of v1 or v2 cannot be read.
    Payload(WireError),
    /// The authorization pays somebody else.
    Recipient,
    /// Nobody is to be paid who could have the money: the payer, the token, or the zero address.
    Payee,
    /// Another scheme or method than the one asked for.
    Scheme,
    /// The signature is none that the token takes.
    Signature(SignatureError),
    /// The signature is of another key than the payer's, or over other data.
    Signer,
    /// The token refuses the transfer, for none of the reasons that can be looked up.
    Simulation,
    /// The permit is for another spender than the scheme's.
    Spender,
    /// It is valid for longer than the seller remembers payments.
    TooLong,
    /// The payer is a wallet that is not on the chain.
    Undeployed,
    /// The value is zero: to submit it costs, and moves nothing.
    Zero,
}

/// The reason of an error, told otherwise.
macro_rules! reason_of {
    ($error:expr, $told:path) => {
        match $error {
            Error::Allowance => $told(Reason::Permit2Allowance),
            Error::Amount | Error::Zero => $told(Reason::ValueMismatch),
            Error::Asset => $told(Reason::InvalidPaymentRequirements),
            Error::AuthorizationUsed => $told(Reason::NonceAlreadyUsed),
            Error::Balance | Error::Owing => $told(Reason::InsufficientFunds),
            Error::Exceeds => $told(Reason::UptoExceeds),
            Error::Expired => $told(Reason::ValidBefore),
            Error::Extension => $told(Reason::ExtensionEcho),
            Error::Facilitator => $told(Reason::UptoFacilitator),
            Error::Identifier | Error::Malformed(_) => $told(Reason::InvalidPayload),
            Error::Payload(WireError::Version) => $told(Reason::InvalidX402Version),
            Error::Payload(_) => $told(Reason::InvalidPayload),
            Error::Method => $told(Reason::NotSupported),
            Error::Missing => $told(Reason::PaymentRequired),
            Error::Network => $told(Reason::InvalidNetwork),
            Error::NotYetValid => $told(Reason::ValidAfter),
            Error::Payee | Error::Recipient => $told(Reason::RecipientMismatch),
            Error::Scheme => $told(Reason::InvalidScheme),
            Error::Signature(_) | Error::Signer => $told(Reason::Signature),
            Error::Simulation => $told(Reason::SimulationFailed),
            Error::Spender => $told(Reason::Permit2Spender),
            Error::TooLong => $told(Reason::ValidBefore),
            Error::Undeployed => $told(Reason::FactoryNotAllowed),
        }
    };
}

impl Error {
    /// The status line's code: 402, or 400 for what cannot be read, or 409 for what is used up.
    #[must_use]
    pub const fn status(&self) -> u16 {
        match self {
            Self::Identifier | Self::Malformed(_) => 400,
            // An unknown version may be asked for again in one that is known.
            Self::Payload(error) => match error {
                WireError::Version => 402,
                WireError::Base64(_) | WireError::Json(_) | WireError::Shape => 400,
            },
            Self::AuthorizationUsed => 409,
            // The specification's precondition: the payer has to approve Permit2 first.
            Self::Allowance => 412,
            Self::Amount
            | Self::Asset
            | Self::Balance
            | Self::Exceeds
            | Self::Expired
            | Self::Extension
            | Self::Facilitator
            | Self::Method
            | Self::Missing
            | Self::Network
            | Self::NotYetValid
            | Self::Owing
            | Self::Payee
            | Self::Recipient
            | Self::Scheme
            | Self::Signature(_)
            | Self::Signer
            | Self::Simulation
            | Self::Spender
            | Self::TooLong
            | Self::Undeployed
            | Self::Zero => 402,
        }
    }

    /// The code of the header dialect.
    #[must_use]
    pub const fn code(&self) -> Code {
        self.reason().code()
    }

    /// The specification's reason.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        reason_of!(self, core::convert::identity)
    }

    /// The text of [`Self::reason`]. By a match of its own: of other reasons, nothing is in the program.
    pub(crate) const fn reason_text(&self) -> &'static str {
        reason_of!(self, Reason::as_str)
    }

    /// The reason in the words of the official facilitators, which are more than the specification
    /// has, and other ones for each scheme and version.
    #[must_use]
    pub const fn facilitator_reason(&self, scheme: &Scheme, version: Version) -> Reason {
        match scheme {
            Scheme::Exact(TransferMethod::Eip3009) => self.eip3009_reason(version),
            Scheme::Exact(TransferMethod::Permit2) => match self {
                Self::Network => Reason::NetworkMismatch,
                Self::Scheme => Reason::UnsupportedPayload,
                _ => self.permit2_reason(),
            },
            Scheme::Upto { .. } => match self {
                Self::Network => Reason::UptoNetwork,
                Self::Scheme => Reason::UptoScheme,
                _ => self.permit2_reason(),
            },
        }
    }

    const fn eip3009_reason(&self, version: Version) -> Reason {
        match (self, version) {
            (Self::Amount | Self::Zero, Version::V1) => Reason::ValueMismatchV1,
            (Self::Balance, _) => Reason::InsufficientBalance,
            (Self::Network, _) => Reason::NetworkMismatch,
            (Self::Payee | Self::Recipient, _) => Reason::ExactRecipientMismatch,
            (Self::Scheme, _) => Reason::ExactScheme,
            (Self::Signature(_) | Self::Signer, _) => Reason::ExactSignature,
            _ => self.reason(),
        }
    }

    const fn permit2_reason(&self) -> Reason {
        match self {
            Self::Amount | Self::Zero => Reason::Permit2Amount,
            Self::Asset => Reason::Permit2Token,
            Self::AuthorizationUsed => Reason::Permit2Nonce,
            Self::Balance => Reason::Permit2Balance,
            Self::Expired => Reason::Permit2Deadline,
            Self::Method => Reason::Permit2Proxy,
            Self::NotYetValid => Reason::Permit2NotYetValid,
            Self::Payee | Self::Recipient => Reason::Permit2Recipient,
            Self::Signature(_) | Self::Signer => Reason::Permit2Signature,
            Self::Simulation => Reason::Permit2Simulation,
            _ => self.reason(),
        }
    }

    /// One line for whoever has to mend it.
    #[must_use]
    pub const fn help(&self) -> &'static str {
        match self {
            Self::Allowance => "approve the Permit2 contract for the token, then pay again",
            Self::Amount | Self::Zero => {
                "sign exactly the amount of this answer, in atomic units of the asset"
            }
            Self::Asset => "pay with the asset that this answer names",
            Self::AuthorizationUsed => "sign a new authorization with a nonce not used before",
            Self::Balance => "fund the paying account, or pay from another",
            Self::Exceeds => "settle at most what was signed",
            Self::Extension => "echo the extensions of this answer as they are; add, do not change",
            Self::Facilitator => "sign for the facilitator that the terms name",
            Self::Expired => "sign a new authorization that is valid long enough; check the clock",
            Self::Identifier => {
                "put 16 to 128 letters, digits, _ or - into extensions.payment-identifier.info.id"
            }
            Self::Malformed(_) => "see the documentation of the X-Payment headers",
            Self::Method => "pay with another asset, or by another method",
            Self::Payload(_) => {
                "send base64 of a PaymentPayload as the x402 specification has it, of version 1 or 2"
            }
            Self::Missing => "repeat the request with a payment for the terms of this answer",
            Self::Network => "pay on the network that this answer names",
            Self::NotYetValid => "set validAfter to 0, or check the clock",
            Self::Owing => {
                "fund the paying account and send the earlier payment again, or ask the seller"
            }
            Self::Payee => "pay from another account, or to another one",
            Self::Recipient => "sign a transfer to the recipient that this answer names",
            Self::Scheme => "pay by the scheme and the method that this answer names",
            Self::Signature(_) => "send 65 bytes r, s, v with a low s and a v of 27 or 28",
            Self::Signer => {
                "check the EIP-712 domain (name, version, chain, token), the recipient and the key"
            }
            Self::Simulation => "the token refuses this transfer: try another account or asset",
            Self::Spender => "sign for the spender of the scheme: the x402 proxy of Permit2",
            Self::TooLong => "let the authorization end within the timeout of this answer",
            Self::Undeployed => "deploy the wallet first, or pay from another account",
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed(error) => return error.fmt(f),
            Self::Payload(error) => return error.fmt(f),
            Self::Signature(error) => return error.fmt(f),
            Self::Allowance => "the payer has not let Permit2 move the token",
            Self::Amount => "the payment's value is not the price",
            Self::Asset => "the payment is in another asset",
            Self::AuthorizationUsed => "the authorization was used or cancelled before",
            Self::Balance => "the payer's balance is less than the price",
            Self::Exceeds => "more is to be settled than was signed",
            Self::Extension => "an extension is not echoed as it was told",
            Self::Facilitator => "the permit is for another facilitator",
            Self::Identifier => "the payment's identifier is missing, or is none",
            Self::Method => "the chain lacks what this method of payment needs",
            Self::Scheme => "the payment is by another scheme or method",
            Self::Spender => "the permit is for another spender",
            Self::Undeployed => "the paying wallet is not on the chain",
            Self::Expired => "the authorization is expired, or too near to it to be settled",
            Self::Missing => "this resource has a price",
            Self::Network => "the payment is on another network",
            Self::NotYetValid => "the authorization is not valid yet",
            Self::Owing => "an earlier payment that was served has not been paid",
            Self::Payee => "the authorization pays the payer, the token or nobody",
            Self::Recipient => "the authorization pays another recipient",
            Self::Signer => "the signature is not the payer's over these terms",
            Self::Simulation => "the token refuses the transfer",
            Self::TooLong => "the authorization is valid for longer than payments are remembered",
            Self::Zero => "the payment's value is zero",
        })
    }
}

impl core::error::Error for Error {}

const _: () = assert!(size_of::<Error>() <= 8, "errors are returned everywhere: keep them small");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_reasons_go_both_ways() {
        for code in Code::ALL {
            assert_eq!(code.reason().code(), *code);
            assert_eq!(Code::parse(code.as_str()), Some(*code));
        }
        for reason in Reason::ALL {
            assert_eq!(Reason::parse(reason.as_str()), Some(*reason));
            assert_eq!(reason.code().reason().code(), reason.code());
        }
        assert_eq!(Code::parse("402.6"), None);
        assert_eq!(Reason::parse("insufficient_fund"), None);
    }
}
