use core::fmt;

use super::date;
use super::kept::{FieldsError, Kept};
use super::pick::Picker;
use super::scan::{BodyLength, Intake, Part, Scanner};
use crate::buyer::{Policy, PolicyError, Unsigned};
use crate::head::HeadError;
use crate::headers::{ChallengeHeaders, Field, SignatureForm, SignedPayment};
use crate::wire::base64::Base64;
use crate::wire::{Answers, PaymentRequirements, SignedPayload, WireError};
use crate::{Address, Amount, Asset, Code, Nonce, Offer, Scheme, Signature, Signer, Timestamp};
use crate::{Transfer, TransferMethod};

/// What a [`Buyer`] is lent: room for the fields of a 402, and for the offer that it pays.
pub const BUFFER_LEN: usize = FIELDS_LEN + OFFER_LEN;
const FIELDS_LEN: usize = 640;
const OFFER_LEN: usize = 896;

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
    /// The time.
    pub clock: Clock,
}

/// A request that may have to be paid.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The method: `GET`.
    pub method: &'a str,
    /// The path and query: `/api/analyze`.
    pub target: &'a str,
    /// The field `Host`.
    pub host: &'a str,
    /// Other fields, names and values. The length of the body is told without them.
    pub fields: &'a [(&'a str, &'a str)],
    /// The body; may be empty.
    pub body: &'a [u8],
}

impl Request<'_> {
    /// Whether nothing in it ends a line, or a word where words count.
    fn is_valid(&self) -> bool {
        let is_word = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic());
        let is_line = |text: &str| text.bytes().all(|b| b == b' ' || b.is_ascii_graphic());
        let is_field =
            |(name, value): &(&str, &str)| is_word(name) && !name.contains(':') && is_line(value);
        let words = [self.method, self.target, self.host];
        words.into_iter().all(is_word) && self.fields.iter().all(is_field)
    }
}

/// The head of an answer, as far as a device needs it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Answer {
    /// The status: 200, or 402 where the payment was refused.
    pub status: u16,
    /// How long the body is, which follows.
    pub body: BodyLength,
    /// Whether the connection stays open behind the body.
    pub stays_open: bool,
    /// `Date`, in seconds since 1970.
    pub date: Option<u64>,
    /// `X-Payment-Error`: why a payment was refused.
    pub code: Option<Code>,
    /// `X-Payment-Transaction`: the hash of the settling transaction, big-endian.
    pub transaction: Option<[u8; 32]>,
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

/// Signed, and to be sent until it is answered.
#[derive(Clone, Copy, Debug)]
struct Prepared {
    payment: SignedPayment,
    dialect: Dialect,
}

#[derive(Clone, Copy, Debug)]
enum Dialect {
    Headers,
    /// v2, with the offer in so many bytes of the buffer.
    V2(usize),
}

/// A price that may be paid.
#[derive(Clone, Copy, Debug)]
struct Choice {
    amount: Amount,
    timeout_seconds: u32,
    dialect: Dialect,
}

/// Pays for what a device asks for.
///
/// A payment that was signed is kept until a request was answered with success, and is sent again
/// with the same bytes whenever the request is: a device that loses the connection, and asks again,
/// does not pay again.
pub struct Buyer<'a, S> {
    limits: Limits<'a>,
    offer: Offer<'a>,
    signer: S,
    buffer: &'a mut [u8; BUFFER_LEN],
    spent: Amount,
    last_nonce: Option<Nonce>,
    prepared: Option<Prepared>,
}

impl<'a, S: Signer> Buyer<'a, S> {
    /// A buyer that has spent nothing. Hashes the asset's domain: make it once.
    #[must_use]
    pub fn new(limits: Limits<'a>, signer: S, buffer: &'a mut [u8; BUFFER_LEN]) -> Self {
        let offer = Offer::new(limits.asset, limits.recipient, Amount::ZERO, 0);
        let (spent, last_nonce, prepared) = (Amount::ZERO, None, None);
        Self { limits, offer, signer, buffer, spent, last_nonce, prepared }
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
        Ok(Message { request, payment })
    }

    /// A reader for the head of the answer.
    pub(super) fn reader(&mut self) -> Reader<'_> {
        let (fields, offer) = self.buffer.split_at_mut(FIELDS_LEN);
        // The offer of a payment that is kept is not written over.
        let offer = if self.prepared.is_some() { &mut [] } else { offer };
        Reader {
            bounds: Bounds { limits: &self.limits, spent: self.spent },
            scanner: Scanner::new(),
            start: Start::default(),
            kept: Kept::new(fields),
            picker: Picker::new(offer),
            required: None,
            field: Place::Ignored,
        }
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
        let can_repeat = answer.stays_open && matches!(answer.body, BodyLength::Known(_));
        Ok(if can_repeat { None } else { Some(Next::Reconnect) })
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
        let unsigned = self.unsigned(&choice, fresh.nonce, now)?;
        let signature = self.signer.sign(unsigned.digest()).map_err(|_| BuyerError::Signer)?;
        let payment = unsigned.sign(signature).headers();
        let payment = payment.ok_or(BuyerError::Policy(PolicyError::TransferMethod))?;
        self.prepared = Some(Prepared { payment, dialect: choice.dialect });
        (self.spent, self.last_nonce) = (spent, Some(fresh.nonce));
        Ok(())
    }

    // Not inlined: the stack is needed for the signature afterwards.
    #[inline(never)]
    fn unsigned(
        &self,
        choice: &Choice,
        nonce: Nonce,
        now: Timestamp,
    ) -> Result<Unsigned, BuyerError> {
        let offer = self.offer.repriced(choice.amount, choice.timeout_seconds);
        let policy = self.limits.policy();
        Unsigned::new(&offer, &policy, self.signer.address(), nonce, now)
            .map_err(BuyerError::Policy)
    }
}

impl<S> fmt::Debug for Buyer<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buyer").field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl Limits<'_> {
    const fn policy(&self) -> Policy<'_> {
        Policy {
            max: self.max.to_price(self.asset.decimals),
            max_timeout_seconds: self.max_timeout_seconds,
            recipient: Some(self.recipient),
            asset: Some(self.asset.symbol),
            network: Some(self.asset.chain_id),
        }
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

/// What a choice must keep to.
#[derive(Clone, Copy)]
struct Bounds<'l> {
    limits: &'l Limits<'l>,
    spent: Amount,
}

impl Bounds<'_> {
    fn admit(&self, amount: Amount) -> Result<Amount, BuyerError> {
        if amount > self.limits.max {
            return Err(BuyerError::Policy(PolicyError::Amount));
        }
        match self.spent.checked_add(amount) {
            Some(sum) if sum <= self.limits.budget => Ok(amount),
            Some(_) | None => Err(BuyerError::Budget),
        }
    }

    /// The terms of an entry of `accepts` that may be paid.
    fn choose(&self, entry: &PaymentRequirements<'_>) -> Option<(Amount, u32)> {
        let (asset, limits) = (&self.limits.asset, self.limits);
        let is_admitted = entry.chain_id() == Some(asset.chain_id)
            && entry.scheme() == Some(Scheme::Exact(TransferMethod::Eip3009))
            && entry.asset() == Some(asset.address)
            && entry.pay_to() == Some(limits.recipient)
            && entry.flow().is_some();
        let amount = entry.amount().filter(|_| is_admitted)?;
        Some((self.admit(amount).ok()?, entry.max_timeout_seconds))
    }

    fn choose_headers(&self, terms: &ChallengeHeaders<'_>) -> Result<Choice, BuyerError> {
        let (asset, policy) = (&self.limits.asset, BuyerError::Policy);
        if terms.chain_id != asset.chain_id {
            return Err(policy(PolicyError::Network));
        }
        if !asset.is_named(terms.asset) {
            return Err(policy(PolicyError::Asset));
        }
        if terms.recipient != self.limits.recipient {
            return Err(policy(PolicyError::Recipient));
        }
        let amount = terms.amount.to_amount(asset.decimals);
        let amount = self.admit(amount.map_err(|_| policy(PolicyError::Amount))?)?;
        let timeout_seconds = terms.timeout_seconds;
        Ok(Choice { amount, timeout_seconds, dialect: Dialect::Headers })
    }
}

/// Reads the head of an answer, a byte at a time.
pub(super) struct Reader<'b> {
    bounds: Bounds<'b>,
    scanner: Scanner,
    start: Start,
    kept: Kept<'b>,
    picker: Picker<'b, (Amount, u32)>,
    /// What became of `PAYMENT-REQUIRED`.
    required: Option<Result<(), WireError>>,
    field: Place,
}

/// Where the bytes of a field go.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Place {
    Ignored,
    Kept,
    Picker,
}

/// What is kept of the status line: the version and the status.
#[derive(Clone, Copy, Debug, Default)]
struct Start {
    bytes: [u8; 13],
    length: usize,
}

impl Start {
    fn push(&mut self, byte: u8) {
        if let Some(slot) = self.bytes.get_mut(self.length) {
            *slot = byte;
            self.length += 1;
        }
    }

    /// The status, and whether the version is HTTP/1.1.
    fn status(&self) -> Option<(u16, bool)> {
        let (version, status) = self.bytes.get(..self.length)?.split_at_checked(9)?;
        let is_current = version == b"HTTP/1.1 ";
        let status = match status {
            [status @ .., b' '] | status => core::str::from_utf8(status).ok()?,
        };
        let is_known = (is_current || version == b"HTTP/1.0 ") && status.len() == 3;
        // Interim answers are for those who ask for them.
        status
            .parse()
            .ok()
            .filter(|status| is_known && *status >= 200)
            .map(|status| (status, is_current))
    }
}

/// What was read of an answer: its head, and what may be paid of it where it is a 402.
pub(super) struct Head {
    pub(super) answer: Answer,
    choice: Result<Choice, BuyerError>,
}

impl Intake for Reader<'_> {
    type Error = BuyerError;

    fn scanner(&mut self) -> &mut Scanner {
        &mut self.scanner
    }

    fn push(&mut self, byte: u8) -> Result<bool, BuyerError> {
        match self.scanner.push(byte).map_err(BuyerError::Head)? {
            Part::Start(byte) => self.start.push(byte),
            Part::Name(byte) => self.kept.push(byte).map_err(BuyerError::Head)?,
            Part::NameEnd => self.name(),
            Part::Value(byte) => self.values(&[byte])?,
            Part::ValueEnd => self.value_end()?,
            Part::End => return Ok(true),
            Part::StartEnd | Part::Nothing => {}
        }
        Ok(false)
    }

    fn values(&mut self, bytes: &[u8]) -> Result<(), BuyerError> {
        match self.field {
            Place::Ignored => Ok(()),
            Place::Kept => self.kept.extend(bytes).map_err(BuyerError::Head),
            Place::Picker => {
                bytes.iter().for_each(|byte| self.pick(*byte));
                Ok(())
            }
        }
    }

    fn fault(error: HeadError) -> BuyerError {
        BuyerError::Head(error)
    }
}

impl Reader<'_> {
    fn name(&mut self) {
        let name = self.kept.name();
        let is = |known: &str| known.eq_ignore_ascii_case(name);
        let is_wanted = Field::OF_ANSWER.iter().any(|field| is(field.name()))
            || ["Connection", "Content-Length", "Date", "Transfer-Encoding"].into_iter().any(is);
        self.field = if is("PAYMENT-REQUIRED") {
            Place::Picker
        } else if is_wanted {
            Place::Kept
        } else {
            Place::Ignored
        };
        if self.field != Place::Kept {
            self.kept.discard();
        }
    }

    /// Behind a fault, what is left of the field is passed over: the header dialect may do.
    fn pick(&mut self, byte: u8) {
        if !matches!(self.required, Some(Err(_))) {
            let bounds = self.bounds;
            self.required = Some(self.picker.push(byte, |entry| bounds.choose(entry)));
        }
    }

    fn value_end(&mut self) -> Result<(), BuyerError> {
        match self.field {
            Place::Kept => self.kept.close().map_err(BuyerError::Head)?,
            Place::Picker if !matches!(self.required, Some(Err(_))) => {
                let bounds = self.bounds;
                self.required = Some(self.picker.finish(|entry| bounds.choose(entry)));
            }
            Place::Picker | Place::Ignored => {}
        }
        Ok(())
    }

    /// What was read, after the last byte.
    pub(super) fn finish(self) -> Result<Head, BuyerError> {
        let (status, is_current) =
            self.start.status().ok_or(BuyerError::Head(HeadError::Malformed))?;
        let only = |name| self.kept.only(name).map_err(BuyerError::Fields);
        let text = |field: Field| {
            only(field.name()).map(|value| value.and_then(|value| core::str::from_utf8(value).ok()))
        };
        let connection = only("Connection")?;
        let is = |word: &str| connection.is_some_and(|it| it.eq_ignore_ascii_case(word.as_bytes()));
        let transaction = text(Field::Transaction)?.and_then(|text| Nonce::parse(text).ok());
        let answer = Answer {
            status,
            body: BodyLength::of_answer(status, &self.kept).map_err(BuyerError::Fields)?,
            stays_open: if is_current { !is("close") } else { is("keep-alive") },
            date: only("Date")?.and_then(date::seconds),
            code: text(Field::Error)?.and_then(Code::parse),
            transaction: transaction.map(|hash| *hash.as_bytes()),
        };
        let choice = self.choice();
        Ok(Head { answer, choice })
    }

    /// The header dialect's terms where they may be paid: they are the shorter answer.
    fn choice(self) -> Result<Choice, BuyerError> {
        let error = match ChallengeHeaders::collect(self.kept.fields()) {
            Ok(Some(terms)) => match self.bounds.choose_headers(&terms) {
                Ok(choice) => return Ok(choice),
                Err(error) => error,
            },
            Ok(None) | Err(_) => BuyerError::NoOffer,
        };
        match self.required {
            Some(Err(wire)) => Err(BuyerError::Required(wire)),
            Some(Ok(())) => match self.picker.into_picked() {
                Some(((amount, timeout_seconds), length)) => {
                    Ok(Choice { amount, timeout_seconds, dialect: Dialect::V2(length) })
                }
                None => Err(error),
            },
            None => Err(error),
        }
    }
}

impl BodyLength {
    /// As [RFC 9112, section 6.3](https://www.rfc-editor.org/rfc/rfc9112#section-6.3) has it.
    fn of_answer(status: u16, kept: &Kept<'_>) -> Result<Self, FieldsError> {
        if matches!(status, 204 | 304) {
            return Ok(Self::Known(0));
        }
        Ok(Self::of_fields(kept)?.unwrap_or(Self::UntilClosed))
    }

    /// What the fields say, if they say it.
    pub(super) fn of_fields(kept: &Kept<'_>) -> Result<Option<Self>, FieldsError> {
        match (kept.only("Transfer-Encoding")?, kept.only("Content-Length")?) {
            (None, None) => Ok(None),
            (Some(coding), None) if coding.eq_ignore_ascii_case(b"chunked") => {
                Ok(Some(Self::Chunked))
            }
            (None, Some(digits)) if digits.iter().all(u8::is_ascii_digit) => {
                let length = core::str::from_utf8(digits).ok().and_then(|text| text.parse().ok());
                length.map(|length| Some(Self::Known(length))).ok_or(FieldsError::Length)
            }
            // Both, or a coding that is not known: where the next message begins, nobody can say.
            _ => Err(FieldsError::Length),
        }
    }
}

struct Message<'m> {
    request: &'m Request<'m>,
    payment: Option<Payment<'m>>,
}

struct Payment<'m> {
    prepared: &'m Prepared,
    asset: &'m Asset<'m>,
    offer: &'m [u8],
}

impl fmt::Display for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Request { method, target, host, fields, body } = *self.request;
        write!(f, "{method} {target} HTTP/1.1\r\nHost: {host}\r\n")?;
        for (name, value) in fields {
            write!(f, "{name}: {value}\r\n")?;
        }
        if !body.is_empty() {
            write!(f, "Content-Length: {}\r\n", body.len())?;
        }
        if let Some(payment) = &self.payment {
            payment.fmt(f)?;
        }
        f.write_str("\r\n")
    }
}

impl fmt::Display for Payment<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SignedPayment { authorization, signature } = self.prepared.payment;
        let Dialect::V2(length) = self.prepared.dialect else {
            return self.headers(f);
        };
        let accepted = self.offer.get(..length).and_then(|bytes| core::str::from_utf8(bytes).ok());
        let payload = SignedPayload {
            transfer: &Transfer::Eip3009(authorization),
            signature: &Signature::to_rsv(&signature),
            answers: Answers::V2 {
                accepted: accepted.ok_or(fmt::Error)?,
                resource: "",
                extensions: "",
            },
        };
        write!(f, "PAYMENT-SIGNATURE: {}\r\n", Base64(payload))
    }
}

impl Payment<'_> {
    fn headers(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut written = Ok(());
        self.prepared.payment.emit(self.asset, SignatureForm::Packed, |field, value| {
            if written.is_ok() {
                written = write!(f, "{field}: {value}\r\n");
            }
        });
        written
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
