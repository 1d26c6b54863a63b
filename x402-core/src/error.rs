use core::fmt;

use crate::SignatureError;
use crate::headers::HeaderError;

macro_rules! texts {
    ($(#[$attribute:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$attribute])*
        #[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
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
                f.pad(self.as_str())
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
        /// The payer holds less of the asset than the value.
        InsufficientFunds = "insufficient_funds",
        /// The authorization was used or cancelled before.
        NonceAlreadyUsed = "invalid_exact_evm_nonce_already_used",
        /// The authorization pays somebody else.
        RecipientMismatch = "invalid_exact_evm_payload_recipient_mismatch",
        /// The signature is not the payer's, or is none.
        Signature = "invalid_exact_evm_payload_signature",
        /// The authorization is not valid yet.
        ValidAfter = "invalid_exact_evm_payload_authorization_valid_after",
        /// The authorization is expired, or too near to it.
        ValidBefore = "invalid_exact_evm_payload_authorization_valid_before",
        /// The value is not the price.
        ValueMismatch = "invalid_exact_evm_payload_authorization_value_mismatch",
        /// The token refuses the transfer, for none of the reasons that can be looked up.
        SimulationFailed = "invalid_exact_evm_transaction_simulation_failed",
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
            Self::InsufficientFunds | Self::ValueMismatch => Code::InsufficientPayment,
            // A transfer to somebody else was not signed for this seller.
            Self::RecipientMismatch | Self::Signature => Code::InvalidSignature,
            Self::InvalidPaymentRequirements => Code::WrongAsset,
            Self::InvalidNetwork => Code::WrongNetwork,
            Self::ValidAfter | Self::ValidBefore => Code::PaymentExpired,
            Self::InvalidPayload
            | Self::InvalidScheme
            | Self::InvalidTransactionState
            | Self::InvalidX402Version
            | Self::NonceAlreadyUsed
            | Self::PaymentRequired
            | Self::SettlementPending
            | Self::SimulationFailed
            | Self::TransactionFailed
            | Self::UnexpectedSettleError
            | Self::UnexpectedVerifyError
            | Self::UnsupportedScheme => Code::PaymentRequired,
        }
    }
}

/// What is wrong with a payment.
///
/// Every one is the payer's to mend; faults of the seller or the chain are in
/// [`Refusal`](crate::Refusal).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Error {
    /// The value is not the price.
    Amount,
    /// Another asset than the one asked for.
    Asset,
    /// The token says that the authorization was used or cancelled.
    AuthorizationUsed,
    /// The token says that the payer holds less than the value.
    Balance,
    /// `validBefore` is past, or nearer than settling takes.
    Expired,
    /// The payment headers cannot be read.
    Malformed(HeaderError),
    /// No payment is attached.
    Missing,
    /// Another network than the one asked for.
    Network,
    /// `validAfter` is not past.
    NotYetValid,
    /// The authorization pays somebody else.
    Recipient,
    /// The signature is none that the token takes.
    Signature(SignatureError),
    /// The signature is of another key than the payer's, or over other data.
    Signer,
    /// The token refuses the transfer, for none of the reasons that can be looked up.
    Simulation,
}

impl Error {
    /// The status line's code: 402, or 400 for what cannot be read, or 409 for what is used up.
    #[must_use]
    pub const fn status(&self) -> u16 {
        match self {
            Self::Malformed(_) => 400,
            Self::AuthorizationUsed => 409,
            Self::Amount
            | Self::Asset
            | Self::Balance
            | Self::Expired
            | Self::Missing
            | Self::Network
            | Self::NotYetValid
            | Self::Recipient
            | Self::Signature(_)
            | Self::Signer
            | Self::Simulation => 402,
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
        match self {
            Self::Amount => Reason::ValueMismatch,
            Self::Asset => Reason::InvalidPaymentRequirements,
            Self::AuthorizationUsed => Reason::NonceAlreadyUsed,
            Self::Balance => Reason::InsufficientFunds,
            Self::Expired => Reason::ValidBefore,
            Self::Malformed(_) => Reason::InvalidPayload,
            Self::Missing => Reason::PaymentRequired,
            Self::Network => Reason::InvalidNetwork,
            Self::NotYetValid => Reason::ValidAfter,
            Self::Recipient => Reason::RecipientMismatch,
            Self::Signature(_) | Self::Signer => Reason::Signature,
            Self::Simulation => Reason::SimulationFailed,
        }
    }

    /// One line for whoever has to mend it.
    #[must_use]
    pub const fn help(&self) -> &'static str {
        match self {
            Self::Amount => "sign exactly the amount of this answer, in atomic units of the asset",
            Self::Asset => "pay with the asset that this answer names",
            Self::AuthorizationUsed => "sign a new authorization with a nonce not used before",
            Self::Balance => "fund the paying account, or pay from another",
            Self::Expired => "sign a new authorization that is valid long enough; check the clock",
            Self::Malformed(_) => "see the documentation of the X-Payment headers",
            Self::Missing => "repeat the request with a payment for the terms of this answer",
            Self::Network => "pay on the network that this answer names",
            Self::NotYetValid => "set validAfter to 0, or check the clock",
            Self::Recipient => "sign a transfer to the recipient that this answer names",
            Self::Signature(_) => "send 65 bytes r, s, v with a low s and a v of 27 or 28",
            Self::Signer => {
                "check the EIP-712 domain (name, version, chain, token), the recipient and the key"
            }
            Self::Simulation => "the token refuses this transfer: try another account or asset",
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed(error) => return error.fmt(f),
            Self::Signature(error) => return error.fmt(f),
            Self::Amount => "the payment's value is not the price",
            Self::Asset => "the payment is in another asset",
            Self::AuthorizationUsed => "the authorization was used or cancelled before",
            Self::Balance => "the payer's balance is less than the price",
            Self::Expired => "the authorization is expired, or too near to it to be settled",
            Self::Missing => "this resource has a price",
            Self::Network => "the payment is on another network",
            Self::NotYetValid => "the authorization is not valid yet",
            Self::Recipient => "the authorization pays another recipient",
            Self::Signer => "the signature is not the payer's over these terms",
            Self::Simulation => "the token refuses the transfer",
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
