/*!
The buyer's side: what may be paid, and what is to be signed for it.
*/

use core::fmt;

use crate::headers::SignedPayment;
use crate::permit2::{Kind, Permit};
use crate::{Address, Authorization, ChainId, Digest, Nonce, Offer, Price, Scheme, Signature};
use crate::{Timestamp, Transfer, TransferMethod};

/// What a buyer is willing to pay. There is no policy without a cap.
#[derive(Clone, Copy, Debug)]
pub struct Policy<'a> {
    /// The most that one payment may be, in units of the asset: `0.05`.
    pub max: Price,
    /// The longest validity that is signed, in seconds; an offer that asks for more gets this.
    pub max_timeout_seconds: u32,
    /// The only recipient that is paid.
    pub recipient: Option<Address>,
    /// The only asset that is paid with, by symbol or address.
    pub asset: Option<&'a str>,
    /// The only network that is paid on.
    pub network: Option<ChainId>,
}

impl Policy<'_> {
    /// The longest validity that is signed where nothing else was said, in seconds.
    pub const DEFAULT_MAX_TIMEOUT_SECONDS: u32 = 600;

    /// Anything up to `max`, in units of whichever asset is asked for.
    #[must_use]
    pub const fn up_to(max: Price) -> Self {
        let max_timeout_seconds = Self::DEFAULT_MAX_TIMEOUT_SECONDS;
        Self { max, max_timeout_seconds, recipient: None, asset: None, network: None }
    }

    /// Says whether an offer may be paid.
    ///
    /// # Errors
    ///
    /// [`PolicyError`], the first limit that the offer breaks.
    pub fn admit(&self, offer: &Offer<'_>) -> Result<(), PolicyError> {
        let (asset, terms) = (offer.asset(), offer.requirements());
        if self.network.is_some_and(|network| network != terms.chain_id) {
            return Err(PolicyError::Network);
        }
        if self.asset.is_some_and(|name| !asset.is_named(name)) {
            return Err(PolicyError::Asset);
        }
        let is_by_token = terms.scheme == Scheme::Exact(TransferMethod::Eip3009);
        if is_by_token && asset.transfer_method != TransferMethod::Eip3009 {
            return Err(PolicyError::TransferMethod);
        }
        if self.recipient.is_some_and(|recipient| recipient != terms.pay_to) {
            return Err(PolicyError::Recipient);
        }
        if is_nobody(terms.pay_to, terms.asset) {
            return Err(PolicyError::Payee);
        }
        // A cap that does not fit the asset's units is cut to what does: never more than it says.
        match self.max.to_amount_floor(asset.decimals) {
            Ok(max) if terms.amount <= max => Ok(()),
            Ok(_) | Err(_) => Err(PolicyError::Amount),
        }
    }
}

/// Whether money that goes there is lost: nobody has the key of the zero address, and tokens keep what is
/// sent to themselves.
pub(crate) fn is_nobody(pay_to: Address, token: Address) -> bool {
    pay_to == Address::ZERO || pay_to == token
}

/// Which limit an offer breaks.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum PolicyError {
    /// It costs more than the cap.
    Amount,
    /// It asks for another asset.
    Asset,
    /// It is on another network.
    Network,
    /// It pays the zero address, the token itself or the payer: never a seller.
    Payee,
    /// It pays somebody else.
    Recipient,
    /// It is paid by another method than those allowed.
    TransferMethod,
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Amount => "the price is above the maximum",
            Self::Asset => "the seller asks for another asset than the one allowed",
            Self::Network => "the seller asks for payment on another network than the one allowed",
            Self::Payee => {
                "the recipient is the zero address, the token or the payer, which no seller is"
            }
            Self::Recipient => {
                "the seller asks for payment to another recipient than the one allowed"
            }
            Self::TransferMethod => "the method of payment is not one that is allowed",
        })
    }
}

impl core::error::Error for PolicyError {}

/// An authorization for an admitted offer, to be signed.
#[derive(Clone, Copy, Debug)]
pub struct Unsigned {
    transfer: Transfer,
    digest: Digest,
}

impl Unsigned {
    /// Makes the authorization for an offer that `policy` admits: valid from ever until the offer's
    /// timeout from `now`, at most the policy's.
    ///
    /// `nonce` must be fresh random bytes, or never used before by this payer with this asset.
    ///
    /// # Errors
    ///
    /// [`PolicyError`] where the policy does not admit the offer, and [`PolicyError::Payee`] where `from`
    /// would pay himself.
    pub fn new(
        offer: &Offer<'_>,
        policy: &Policy<'_>,
        from: Address,
        nonce: Nonce,
        now: Timestamp,
    ) -> Result<Self, PolicyError> {
        policy.admit(offer)?;
        let terms = offer.requirements();
        if terms.pay_to == from {
            return Err(PolicyError::Payee);
        }
        let timeout = terms.max_timeout_seconds.min(policy.max_timeout_seconds);
        let (to, value) = (terms.pay_to, terms.amount);
        // What the official clients sign: no trouble with clocks that differ.
        let valid_after = Timestamp::ZERO;
        let valid_before = now.saturating_add(timeout.into());
        let permit = |kind| Permit {
            from,
            token: terms.asset,
            amount: value,
            nonce,
            deadline: valid_before,
            to,
            valid_after,
            kind,
        };
        let transfer = match terms.scheme {
            Scheme::Exact(TransferMethod::Eip3009) => Transfer::Eip3009(Authorization {
                from,
                to,
                value,
                valid_after,
                valid_before,
                nonce,
            }),
            Scheme::Exact(TransferMethod::Permit2) => Transfer::Permit2(permit(Kind::Exact)),
            Scheme::Upto { facilitator } => Transfer::Permit2(permit(Kind::Upto { facilitator })),
        };
        Ok(Self { transfer, digest: transfer.digest(&terms.domain, terms.chain_id) })
    }

    /// The transfer that is to be signed for.
    #[must_use]
    pub const fn transfer(&self) -> &Transfer {
        &self.transfer
    }

    /// What is to be signed.
    #[must_use]
    pub const fn digest(&self) -> &Digest {
        &self.digest
    }

    /// Puts the signature to it.
    #[must_use]
    pub const fn sign(self, signature: Signature) -> Signed {
        Signed { transfer: self.transfer, signature }
    }
}

/// A payment that was signed: to be sent in the dialect of the 402 that it answers.
#[derive(Clone, Copy, Debug)]
pub struct Signed {
    /// What was signed.
    pub transfer: Transfer,
    /// The payer's signature.
    pub signature: Signature,
}

impl Signed {
    /// The payment for the header dialect, which has EIP-3009 authorizations only.
    #[must_use]
    pub const fn headers(&self) -> Option<SignedPayment> {
        match self.transfer {
            Transfer::Eip3009(authorization) => {
                Some(SignedPayment { authorization, signature: self.signature })
            }
            Transfer::Permit2(_) => None,
        }
    }
}
