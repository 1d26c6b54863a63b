use crate::claim::{Checked, Proof};
use crate::{
    Address, Amount, ChainId, Digest, DomainSeparator, Error, Payment, PaymentId, Recover, Scheme,
};
use crate::{Signature, Timestamp, Transfer, keccak256};

/// What a payment is checked against: always the seller's own terms, never what a payment says of
/// itself.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Requirements {
    /// The chain to be paid on.
    pub chain_id: ChainId,
    /// How much of what is signed is taken, and by which method.
    pub scheme: Scheme,
    /// The token's contract.
    pub asset: Address,
    /// Who is to be paid.
    pub pay_to: Address,
    /// The price, in atomic units; the most there is to be paid where the scheme is
    /// [`Scheme::Upto`].
    pub amount: Amount,
    /// For how long, in seconds from now, the buyer is asked to let the authorization be valid.
    pub max_timeout_seconds: u32,
    /// The token's EIP-712 domain.
    pub domain: DomainSeparator,
}

/// The time of a check.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// Now.
    pub now: Timestamp,
    /// How many seconds before its end an authorization is refused, for it has yet to be mined.
    pub margin_seconds: u32,
}

impl Moment {
    /// The margin of the official facilitators, in seconds.
    pub const DEFAULT_MARGIN_SECONDS: u32 = 6;

    /// So many seconds after 1970-01-01 UTC, with the default margin.
    #[must_use]
    pub fn at(seconds: u64) -> Self {
        let margin_seconds = Self::DEFAULT_MARGIN_SECONDS;
        Self { now: Timestamp::from_secs(seconds), margin_seconds }
    }
}

impl Requirements {
    /// Judges a payment: network, scheme, asset, recipient, amount, time, signature, in that order. Nothing
    /// is no price, and who pays himself, the token or nobody is not taken: it costs gas and moves nothing.
    ///
    /// Pure: it asks no chain. The time rules are the contract's, made strict by the margin: the end
    /// is not before now + margin; the begin is before now (a token), or not after it (Permit2).
    ///
    /// # Errors
    ///
    /// The first of [`Error::Network`], [`Error::Scheme`], [`Error::Asset`], [`Error::Recipient`],
    /// [`Error::Facilitator`], [`Error::Payee`], [`Error::Amount`], [`Error::Zero`],
    /// [`Error::NotYetValid`], [`Error::Expired`], [`Error::Signature`] and [`Error::Signer`] that
    /// applies.
    pub fn check(
        &self,
        payment: &Payment,
        moment: &Moment,
        recover: &impl Recover,
    ) -> Result<Checked, Error> {
        self.check_unsigned(payment, moment)?;
        let signature = self.check_signature(payment, recover)?;
        Ok(self.checked(payment, Proof::Ecdsa(signature)))
    }

    /// As [`Self::check`], by EIP-3009 alone: of permits, nothing is in the program.
    ///
    /// # Errors
    ///
    /// As [`Self::check`]; [`Error::Scheme`] for a permit, whatever the scheme.
    pub fn check_authorization(
        &self,
        payment: &Payment,
        moment: &Moment,
        recover: &impl Recover,
    ) -> Result<Checked, Error> {
        let signature = self.check_authorized(payment, moment, recover)?;
        Ok(self.checked(payment, signature))
    }

    /// As [`Self::check_authorization`], for what is to be made with [`Self::checked`] then.
    // Not inlined: recovery has the stack to itself.
    #[inline(never)]
    pub(crate) fn check_authorized(
        &self,
        payment: &Payment,
        moment: &Moment,
        recover: &impl Recover,
    ) -> Result<Proof, Error> {
        self.check_unsigned(payment, moment)?;
        let Transfer::Eip3009(authorization) = &payment.transfer else {
            return Err(Error::Scheme);
        };
        let digest = authorization.digest(&self.domain);
        signed_by_payer(payment, &digest, recover).map(Proof::Ecdsa)
    }

    /// As [`Self::check`], for a payer who is a contract: whether the signature is the payer's, the
    /// contract says when it is asked ([EIP-1271](https://eips.ethereum.org/EIPS/eip-1271)), so the
    /// payment must be simulated before it counts for anything.
    ///
    /// The caller has seen that there is code at the payer's address. `signature` is of any length;
    /// what is kept of it is its hash.
    ///
    /// # Errors
    ///
    /// As [`Self::check`], without those of the signature.
    pub fn check_wallet(
        &self,
        payment: &Payment,
        signature: &[u8],
        moment: &Moment,
    ) -> Result<Checked, Error> {
        self.check_unsigned(payment, moment)?;
        Ok(self.checked(payment, Proof::Wallet(keccak256(&[signature]))))
    }

    /// Says which payment this is, if it is one to this seller, whatever its amount and time.
    ///
    /// For payments that may have been accepted before: one that was settled is served, though it
    /// has expired or the price has changed since. The id can be looked up, not claimed.
    ///
    /// # Errors
    ///
    /// As [`Self::check`], without those of amount and time.
    pub fn identify(&self, payment: &Payment, recover: &impl Recover) -> Result<PaymentId, Error> {
        self.check_terms(payment)?;
        self.check_signature(payment, recover)?;
        Ok(self.checked(payment, Proof::Wallet([0; 32])).id())
    }

    /// The payment, whose signature was found to be the payer's.
    pub(crate) fn checked(&self, payment: &Payment, proof: Proof) -> Checked {
        Checked::new(self.chain_id, self.asset, payment.transfer, proof)
    }

    fn check_unsigned(&self, payment: &Payment, moment: &Moment) -> Result<(), Error> {
        self.check_terms(payment)?;
        let transfer = &payment.transfer;
        // To submit it costs, and moves nothing: to itself or to nobody, a token refuses.
        if [transfer.from(), payment.asset, Address::ZERO].contains(&transfer.to()) {
            return Err(Error::Payee);
        }
        if transfer.value() != self.amount {
            return Err(Error::Amount);
        }
        if transfer.value() == Amount::ZERO {
            return Err(Error::Zero);
        }
        let is_early = match transfer {
            // A token takes it after that second, Permit2's spender from it on.
            Transfer::Eip3009(authorization) => authorization.valid_after >= moment.now,
            Transfer::Permit2(permit) => permit.valid_after > moment.now,
        };
        if is_early {
            return Err(Error::NotYetValid);
        }
        if transfer.valid_before() < moment.now.saturating_add(moment.margin_seconds.into()) {
            return Err(Error::Expired);
        }
        Ok(())
    }

    fn check_terms(&self, payment: &Payment) -> Result<(), Error> {
        if payment.chain_id != self.chain_id {
            return Err(Error::Network);
        }
        let is_scheme = match (&self.scheme, &payment.transfer) {
            (Scheme::Exact(method), transfer) => {
                *method == transfer.method() && transfer.facilitator().is_none()
            }
            (Scheme::Upto { .. }, transfer) => transfer.facilitator().is_some(),
        };
        if !is_scheme {
            return Err(Error::Scheme);
        }
        if payment.asset != self.asset {
            return Err(Error::Asset);
        }
        if payment.transfer.to() != self.pay_to {
            return Err(Error::Recipient);
        }
        match self.scheme {
            Scheme::Upto { facilitator } if payment.transfer.facilitator() != Some(facilitator) => {
                Err(Error::Facilitator)
            }
            Scheme::Upto { .. } | Scheme::Exact(_) => Ok(()),
        }
    }

    fn check_signature(
        &self,
        payment: &Payment,
        recover: &impl Recover,
    ) -> Result<Signature, Error> {
        let digest = payment.transfer.digest(&self.domain, self.chain_id);
        signed_by_payer(payment, &digest, recover)
    }
}

fn signed_by_payer(
    payment: &Payment,
    digest: &Digest,
    recover: &impl Recover,
) -> Result<Signature, Error> {
    let signature = payment.signature.map_err(Error::Signature)?;
    let signer = recover.recover(digest, &signature).map_err(Error::Signature)?;
    // The zero address is what a failed recovery gives elsewhere: nobody signs for it.
    if signer != payment.transfer.from() || signer == Address::ZERO {
        return Err(Error::Signer);
    }
    Ok(signature)
}
