mod answer;
mod body;
mod message;

use core::fmt;
use core::marker::PhantomData;

use super::dialects::{AllDialects, Dialects};
use super::kept::FieldsError;
use super::scan::BodyLength;
use crate::buyer::{PolicyError, is_nobody};
use crate::head::HeadError;
use crate::headers::SignedPayment;
use crate::wire::WireError;
use crate::{Address, Amount, Asset, Authorization, Digest, DomainSeparator, Nonce, Signer};
use crate::{Timestamp, TransferMethod};

use answer::{Bounds, Choice};
use message::{Message, Payment, Prepared};

pub use answer::Answer;
pub(super) use answer::{Head, Reader};
pub(super) use body::BodyReader;
pub use message::Request;

/// What a [`Buyer`] is lent: room for the fields of a 402, and for the offer that it pays.
pub const BUFFER_LEN: usize = FIELDS_LEN + OFFER_LEN;
const FIELDS_LEN: usize = 640;
const OFFER_LEN: usize = 896;
/// The longest body of a 402 that is passed over, in bytes; a new connection is quicker than a longer one.
const MAX_SKIPPED: u32 = 64 * 1024;

/// What a device may pay. Nothing is optional: who is not named is not paid.
#[derive(Clone, Copy, Debug)]
pub struct Limits<'a> {
    /// The only token that is paid with, on the only network.
    pub asset: Asset<'a>,
    /// The only recipient that is paid.
    pub recipient: Address,
    /// The most that one payment may be, in atomic units of the asset.
    pub max: Amount,
    /// The most that all payments of this buyer may be together, in atomic units of the asset.
    pub budget: Amount,
    /// The longest validity that is signed, in seconds; an offer that asks for more gets this.
    pub max_timeout_seconds: u32,
}

/// How a device knows the time, which it needs to sign until when a payment is valid.
#[derive(Clone, Copy, Debug)]
pub enum Clock {
    /// It has a clock, and this is the time.
    Now(Timestamp),
    /// It has none: the `Date` of the 402 is taken for it, where it is between these. The bounds are
    /// what the seller can make of it at worst: an authorization that is valid until the later one.
    Hint {
        /// A time that has certainly been: of the build, or of an answer before.
        earliest: Timestamp,
        /// A time that is certainly yet to come.
        latest: Timestamp,
    },
}

/// What is needed should a new authorization be signed.
#[derive(Clone, Copy, Debug)]
pub struct FreshNonce {
    /// Random bytes, never used before.
    pub nonce: Nonce,
    /// Other random bytes, which go to the seller alone: by them he knows that the same device asks again, and
    /// not somebody who has read the payment on the chain.
    pub key: [u8; 16],
    /// The time.
    pub clock: Clock,
}

/// What is to be done after an answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Next {
    /// The answer is there: its body follows on the connection.
    Answer(Answer),
    /// A payment was signed, and the seller closes the connection: open another one and send the same
    /// request again.
    Reconnect,
}

/// Pays for what a device asks for.
///
/// A payment that was signed is kept until a request was answered with success, and is sent again
/// with the same bytes whenever the request is: a device that loses the connection, and asks again,
/// does not pay again.
pub struct Buyer<'a, S, D = AllDialects> {
    limits: Limits<'a>,
    domain: DomainSeparator,
    signer: S,
    buffer: &'a mut [u8; BUFFER_LEN],
    spent: Amount,
    last_nonce: Option<Nonce>,
    prepared: Option<Prepared>,
    dialects: PhantomData<D>,
}

impl<'a, S: Signer> Buyer<'a, S> {
    /// A buyer that has spent nothing. Hashes the asset's domain: make it once.
    #[must_use]
    pub fn new(limits: Limits<'a>, signer: S, buffer: &'a mut [u8; BUFFER_LEN]) -> Self {
        Self::speaking(limits, signer, buffer)
    }
}

impl<'a, S: Signer, D: Dialects> Buyer<'a, S, D> {
    /// As [`Buyer::new`], in the dialects of the type.
    #[must_use]
    pub fn speaking(limits: Limits<'a>, signer: S, buffer: &'a mut [u8; BUFFER_LEN]) -> Self {
        let domain = limits.asset.domain().separator();
        let (spent, last_nonce, prepared) = (Amount::ZERO, None, None);
        let dialects = PhantomData;
        Self { limits, domain, signer, buffer, spent, last_nonce, prepared, dialects }
    }

    /// What was signed so far, in atomic units of the asset, whether or not it was taken.
    #[must_use]
    pub const fn spent(&self) -> Amount {
        self.spent
    }

    /// Whether a payment is kept that was not answered with success.
    #[must_use]
    pub const fn is_owed_an_answer(&self) -> bool {
        self.prepared.is_some()
    }

    /// Forgets the payment that is kept, so that the next request may be paid anew. The seller can
    /// take it all the same, as long as it is valid.
    pub const fn forget(&mut self) {
        self.prepared = None;
    }

    /// The head of the request, with the payment where one is kept. The body follows it.
    pub(super) fn message<'m>(
        &'m self,
        request: &'m Request<'m>,
    ) -> Result<impl fmt::Display + 'm, BuyerError> {
        if !request.is_valid() {
            return Err(BuyerError::Request);
        }
        let (_, offer) = self.buffer.split_at(FIELDS_LEN);
        let asset = &self.limits.asset;
        let payment = self.prepared.as_ref().map(|prepared| Payment { prepared, asset, offer });
        Ok(Message::<D> { request, payment, dialects: PhantomData })
    }

    /// A reader for the head of the answer.
    pub(super) fn reader(&mut self) -> Reader<'_, D> {
        let (fields, offer) = self.buffer.split_at_mut(FIELDS_LEN);
        // The offer of a payment that is kept is not written over.
        let offer = if self.prepared.is_some() { &mut [] } else { offer };
        Reader::new(Bounds { limits: &self.limits, spent: self.spent }, fields, offer)
    }

    /// A reader for the body of a 402 whose head has nothing that may be paid, and the body's length;
    /// `None` where it is not to be read.
    pub(super) fn body_reader(&mut self, head: &Head) -> Option<(u32, BodyReader<'_>)> {
        let Answer { status, body, .. } = head.answer;
        let BodyLength::Known(length @ 1..=MAX_SKIPPED) = body else { return None };
        if !D::V1 || status != 402 || head.choice.is_ok() || self.prepared.is_some() {
            return None;
        }
        let bounds = Bounds { limits: &self.limits, spent: self.spent };
        Some((length, BodyReader::new(bounds, self.buffer.as_mut_slice())))
    }

    /// What follows from the head of an answer; `None` to send the request again.
    pub(super) fn next(
        &mut self,
        read: Head,
        fresh: &FreshNonce,
    ) -> Result<Option<Next>, BuyerError> {
        let answer = read.answer;
        if answer.status != 402 || self.prepared.is_some() {
            if (200..300).contains(&answer.status) {
                self.prepared = None;
            }
            return Ok(Some(Next::Answer(answer)));
        }
        self.prepare(read.choice?, fresh, answer.date)?;
        let is_short = matches!(answer.body, BodyLength::Known(length) if length <= MAX_SKIPPED);
        Ok(if answer.stays_open && is_short { None } else { Some(Next::Reconnect) })
    }

    #[inline(never)]
    fn prepare(
        &mut self,
        choice: Choice,
        fresh: &FreshNonce,
        date: Option<u64>,
    ) -> Result<(), BuyerError> {
        if self.last_nonce == Some(fresh.nonce) {
            return Err(BuyerError::Nonce);
        }
        let now = fresh.clock.now(date).ok_or(BuyerError::Clock)?;
        let spent = self.spent.checked_add(choice.amount).ok_or(BuyerError::Budget)?;
        if self.limits.asset.transfer_method != TransferMethod::Eip3009 {
            return Err(BuyerError::Policy(PolicyError::TransferMethod));
        }
        let timeout = choice.timeout_seconds.min(self.limits.max_timeout_seconds);
        let (from, to) = (self.signer.address(), self.limits.recipient);
        if to == from || is_nobody(to, self.limits.asset.address) {
            return Err(BuyerError::Policy(PolicyError::Payee));
        }
        let authorization = Authorization {
            from,
            to,
            value: choice.amount,
            // What the official clients sign: no trouble with clocks that differ.
            valid_after: Timestamp::ZERO,
            valid_before: now.saturating_add(timeout.into()),
            nonce: fresh.nonce,
        };
        let digest = digest(&authorization, &self.domain);
        let signature = self.signer.sign(&digest).map_err(|_| BuyerError::Signer)?;
        let payment = SignedPayment { authorization, signature };
        self.prepared = Some(Prepared { payment, key: fresh.key, dialect: choice.dialect });
        (self.spent, self.last_nonce) = (spent, Some(fresh.nonce));
        Ok(())
    }
}

// Not inlined: the stack is needed for the signature afterwards.
#[inline(never)]
fn digest(authorization: &Authorization, domain: &DomainSeparator) -> Digest {
    authorization.digest(domain)
}

impl<S, D> fmt::Debug for Buyer<'_, S, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buyer").field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl Clock {
    fn now(&self, date: Option<u64>) -> Option<Timestamp> {
        match *self {
            Self::Now(now) => Some(now),
            Self::Hint { earliest, latest } => {
                date.map(Timestamp::from_secs).filter(|date| (earliest..=latest).contains(date))
            }
        }
    }
}

/// Why nothing was bought.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum BuyerError {
    /// It would be more than all payments may be together.
    Budget,
    /// There is no clock, and the 402 has no date or one out of bounds.
    Clock,
    /// The fields of the answer contradict themselves.
    Fields(FieldsError),
    /// The answer is none of HTTP/1.x, or its head is too long.
    Head(HeadError),
    /// The 402 has no offer in a dialect that is spoken here, or none that may be paid.
    NoOffer,
    /// The random bytes are those of the payment before.
    Nonce,
    /// The offer breaks a limit.
    Policy(PolicyError),
    /// The request has a character that would end a line.
    Request,
    /// `PAYMENT-REQUIRED` cannot be read.
    Required(WireError),
    /// The signer would not sign.
    Signer,
}

impl fmt::Display for BuyerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fields(error) => error.fmt(f),
            Self::Head(error) => error.fmt(f),
            Self::Policy(error) => error.fmt(f),
            Self::Required(error) => error.fmt(f),
            Self::Budget => f.write_str("all payments together would be more than is allowed"),
            Self::Clock => {
                f.write_str("the time is not known, and the 402 has none that is credible")
            }
            Self::NoOffer => f.write_str("the 402 has no offer that may be paid"),
            Self::Nonce => f.write_str("the random bytes are those of the payment before"),
            Self::Request => f.write_str("the request has a character that may not be in it"),
            Self::Signer => f.write_str("the signer would not sign"),
        }
    }
}

impl core::error::Error for BuyerError {}
