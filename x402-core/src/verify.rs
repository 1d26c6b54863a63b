use core::fmt;

use crate::eip3009::TRANSFER_CALLDATA_LEN;
use crate::hex::Hex;
use crate::settlement::{self, Log, SettlementError};
use crate::{Address, Amount, Authorization, ChainId, DomainSeparator, Error, Nonce};
use crate::{Recover, Signature, SignatureError, Timestamp, keccak256};

/// What a payment is checked against: always the seller's own terms, never what a payment says of
/// itself.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Requirements {
    /// The chain to be paid on.
    pub chain_id: ChainId,
    /// The token's contract.
    pub asset: Address,
    /// Who is to be paid.
    pub pay_to: Address,
    /// The price, in atomic units.
    pub amount: Amount,
    /// For how long, in seconds from now, the buyer is asked to let the authorization be valid.
    pub max_timeout_seconds: u32,
    /// The token's EIP-712 domain.
    pub domain: DomainSeparator,
}

/// A payment as meant, whatever dialect it was sent in.
#[derive(Clone, Copy, Debug)]
pub struct Payment {
    /// The chain it says it is on.
    pub chain_id: ChainId,
    /// The token it says it moves.
    pub asset: Address,
    /// What was signed.
    pub authorization: Authorization,
    /// The signature, or why what was sent is none.
    pub signature: Result<Signature, SignatureError>,
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
    /// Judges a payment: network, asset, recipient, amount, time, signature, in that order.
    ///
    /// Pure: it asks no chain. The time rules are the token's, made strict by the margin:
    /// `validAfter < now` and `validBefore >= now + margin`.
    ///
    /// # Errors
    ///
    /// The first of [`Error::Network`], [`Error::Asset`], [`Error::Recipient`], [`Error::Amount`],
    /// [`Error::NotYetValid`], [`Error::Expired`], [`Error::Signature`] and [`Error::Signer`] that
    /// applies.
    pub fn check(
        &self,
        payment: &Payment,
        moment: &Moment,
        recover: &impl Recover,
    ) -> Result<Checked, Error> {
        self.check_terms(payment)?;
        let authorization = &payment.authorization;
        if authorization.value != self.amount {
            return Err(Error::Amount);
        }
        if authorization.valid_after >= moment.now {
            return Err(Error::NotYetValid);
        }
        if authorization.valid_before < moment.now.saturating_add(moment.margin_seconds.into()) {
            return Err(Error::Expired);
        }
        let signature = self.check_signature(payment, recover)?;
        Ok(Checked(Terms {
            chain_id: self.chain_id,
            asset: self.asset,
            authorization: *authorization,
            signature,
        }))
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
        let (from, nonce) = (payment.authorization.from, payment.authorization.nonce);
        Ok(PaymentId { chain_id: self.chain_id, asset: self.asset, from, nonce })
    }

    fn check_terms(&self, payment: &Payment) -> Result<(), Error> {
        if payment.chain_id != self.chain_id {
            return Err(Error::Network);
        }
        if payment.asset != self.asset {
            return Err(Error::Asset);
        }
        if payment.authorization.to != self.pay_to {
            return Err(Error::Recipient);
        }
        Ok(())
    }

    fn check_signature(
        &self,
        payment: &Payment,
        recover: &impl Recover,
    ) -> Result<Signature, Error> {
        let signature = payment.signature.map_err(Error::Signature)?;
        let digest = payment.authorization.digest(&self.domain);
        let signer = recover.recover(&digest, &signature).map_err(Error::Signature)?;
        // The zero address is what a failed recovery gives elsewhere: nobody signs for it.
        if signer != payment.authorization.from || signer == Address::ZERO {
            return Err(Error::Signer);
        }
        Ok(signature)
    }
}

/// What makes a payment the same payment: chain, token, payer and nonce, as bytes.
///
/// Not the signature and not the header's text, which have more than one spelling.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct PaymentId {
    /// The chain.
    pub chain_id: ChainId,
    /// The token.
    pub asset: Address,
    /// The payer.
    pub from: Address,
    /// The authorization's nonce.
    pub nonce: Nonce,
}

impl PaymentId {
    /// The length of [`Self::to_bytes`].
    pub const LEN: usize = 80;

    /// chain id (8, big-endian) || token (20) || payer (20) || nonce (32): a key that sorts by
    /// chain, token and payer.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; Self::LEN] {
        let chain_id = self.chain_id.get().to_be_bytes();
        let parts =
            [&chain_id[..], self.asset.as_bytes(), self.from.as_bytes(), self.nonce.as_bytes()];
        concat(&parts)
    }

    /// Reads [`Self::to_bytes`].
    #[must_use]
    pub fn from_bytes(bytes: &[u8; Self::LEN]) -> Self {
        let mut reader = Fields(bytes);
        Self {
            chain_id: ChainId::new(u64::from_be_bytes(reader.next())),
            asset: Address::new(reader.next()),
            from: Address::new(reader.next()),
            nonce: Nonce::new(reader.next()),
        }
    }
}

impl fmt::Display for PaymentId {
    /// 16 digits that stand for the payment in a log and give nothing away.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hash = keccak256(&[&self.to_bytes()]);
        Hex(hash.get(..8).unwrap_or_default()).fmt(f)
    }
}

impl fmt::Debug for PaymentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PaymentId({self})")
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Terms {
    chain_id: ChainId,
    asset: Address,
    authorization: Authorization,
    signature: Signature,
}

impl Terms {
    const fn id(&self) -> PaymentId {
        let Authorization { from, nonce, .. } = self.authorization;
        PaymentId { chain_id: self.chain_id, asset: self.asset, from, nonce }
    }
}

/// A payment that passed every check that needs no chain. It can be claimed, not settled.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use]
pub struct Checked(Terms);

impl Checked {
    /// What the ledger is to record before anything else happens.
    #[must_use]
    pub const fn id(&self) -> PaymentId {
        self.0.id()
    }

    /// Who pays.
    #[must_use]
    pub const fn payer(&self) -> Address {
        self.0.authorization.from
    }

    /// The terms that were signed.
    #[must_use]
    pub const fn authorization(&self) -> &Authorization {
        &self.0.authorization
    }

    /// Goes on with a payment that the ledger has recorded for this caller alone.
    ///
    /// # Errors
    ///
    /// [`WrongClaim`] where the claim is for another payment.
    pub fn claimed(self, claim: Claim) -> Result<Claimed, WrongClaim> {
        if claim.0 == self.id() { Ok(Claimed(self.0)) } else { Err(WrongClaim) }
    }

    /// The claimed payment as a ledger keeps it; see [`Claimed::from_bytes`].
    #[must_use]
    pub fn to_bytes(&self) -> [u8; Claimed::LEN] {
        Claimed(self.0).to_bytes()
    }
}

/// A ledger's word that it has recorded a payment: atomically, durably, and for one caller.
///
/// Made by ledgers, after the record is safe; nothing else should call [`Claim::recorded`].
#[derive(Debug, Eq, PartialEq)]
#[must_use]
pub struct Claim(PaymentId);

impl Claim {
    /// States that the payment was recorded.
    pub const fn recorded(id: PaymentId) -> Self {
        Self(id)
    }
}

/// The claim is for another payment.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct WrongClaim;

impl fmt::Display for WrongClaim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the claim is for another payment")
    }
}

impl core::error::Error for WrongClaim {}

/// A payment that the ledger holds for this caller. It can be settled.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use]
pub struct Claimed(Terms);

impl Claimed {
    /// The length of [`Self::to_bytes`].
    pub const LEN: usize = 8 + 3 * 20 + 4 * 32 + Signature::LEN;

    /// Which payment it is.
    #[must_use]
    pub const fn id(&self) -> PaymentId {
        self.0.id()
    }

    /// The chain to be settled on.
    #[must_use]
    pub const fn chain_id(&self) -> ChainId {
        self.0.chain_id
    }

    /// The token to be called.
    #[must_use]
    pub const fn asset(&self) -> Address {
        self.0.asset
    }

    /// Who pays.
    #[must_use]
    pub const fn payer(&self) -> Address {
        self.0.authorization.from
    }

    /// The terms that were signed.
    #[must_use]
    pub const fn authorization(&self) -> &Authorization {
        &self.0.authorization
    }

    /// The call that moves the money: `transferWithAuthorization` with (v, r, s).
    #[must_use]
    pub fn calldata(&self) -> [u8; TRANSFER_CALLDATA_LEN] {
        self.0.authorization.calldata(&self.0.signature)
    }

    /// Judges the receipt of a transaction: paid is what moved this value of this token from the
    /// payer to the payee under this nonce, whoever submitted it.
    ///
    /// `succeeded` is the receipt's status, `logs` are all of its logs.
    ///
    /// # Errors
    ///
    /// [`SettlementError`], which says what the receipt lacks.
    pub fn settled<'l>(
        &self,
        succeeded: bool,
        logs: impl IntoIterator<Item = Log<'l>>,
    ) -> Result<Settled, SettlementError> {
        settlement::confirm(self, succeeded, logs)?;
        Ok(Settled(self.0))
    }

    /// The payment as a ledger keeps it: chain id (8) || token (20) || from (20) || to (20) ||
    /// value, validAfter, validBefore, nonce (32 each) || r || s || v. It holds the signature:
    /// treat it as a secret until it is settled.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; Self::LEN] {
        let a = &self.0.authorization;
        concat(&[
            &self.0.chain_id.get().to_be_bytes(),
            self.0.asset.as_bytes(),
            a.from.as_bytes(),
            a.to.as_bytes(),
            &a.value.to_be_bytes(),
            &a.valid_after.to_be_bytes(),
            &a.valid_before.to_be_bytes(),
            a.nonce.as_bytes(),
            &self.0.signature.to_rsv(),
        ])
    }

    /// Reads [`Self::to_bytes`] back out of the caller's own ledger, which is trusted: what it
    /// recorded had been checked.
    ///
    /// # Errors
    ///
    /// [`SignatureError`] where the bytes hold none, so are not what was written.
    pub fn from_bytes(bytes: &[u8; Self::LEN]) -> Result<Self, SignatureError> {
        let mut reader = Fields(bytes);
        let chain_id = ChainId::new(u64::from_be_bytes(reader.next()));
        let asset = Address::new(reader.next());
        let authorization = Authorization {
            from: Address::new(reader.next()),
            to: Address::new(reader.next()),
            value: Amount::from_be_bytes(reader.next()),
            valid_after: Timestamp::from_be_bytes(reader.next()),
            valid_before: Timestamp::from_be_bytes(reader.next()),
            nonce: Nonce::new(reader.next()),
        };
        let signature = Signature::from_rsv(&reader.next())?;
        Ok(Self(Terms { chain_id, asset, authorization, signature }))
    }
}

/// A payment whose money has arrived. It is owed its answer, once.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use]
pub struct Settled(Terms);

impl Settled {
    /// Which payment it is.
    #[must_use]
    pub const fn id(&self) -> PaymentId {
        self.0.id()
    }

    /// Who paid.
    #[must_use]
    pub const fn payer(&self) -> Address {
        self.0.authorization.from
    }
}

/// Puts parts end to end; what does not fit is cut, what is missing is zero. Lengths are constants
/// of the callers.
fn concat<const N: usize>(parts: &[&[u8]]) -> [u8; N] {
    let mut out = [0; N];
    for (slot, byte) in out.iter_mut().zip(parts.iter().copied().flatten()) {
        *slot = *byte;
    }
    out
}

/// Takes fixed-size fields off the front of a record.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    /// The next field; zeros behind the end, which the callers' lengths rule out.
    fn next<const N: usize>(&mut self) -> [u8; N] {
        match self.0.split_first_chunk() {
            Some((field, rest)) => {
                self.0 = rest;
                *field
            }
            None => [0; N],
        }
    }
}
