//! The head of an answer, and what may be paid of it where it is a 402.

use core::marker::PhantomData;

use super::super::date;
use super::super::dialects::Dialects;
use super::super::kept::{FieldsError, Kept};
use super::super::pick::Picker;
use super::super::scan::{BodyLength, Intake, Part, Scanner};
use super::{BodyReader, BuyerError, Limits};
use crate::buyer::PolicyError;
use crate::head::HeadError;
use crate::headers::{ChallengeHeaders, Field, is_name};
use crate::wire::{PaymentRequirements, Version, WireError};
use crate::{Amount, Code, Nonce, Scheme, TransferMethod};

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

/// In which words a payment is sent.
#[derive(Clone, Copy, Debug)]
pub(super) enum Dialect {
    Headers,
    V1,
    /// v2, with the offer in so many bytes of the buffer.
    V2(usize),
}

/// A price that may be paid.
#[derive(Clone, Copy, Debug)]
pub(super) struct Choice {
    pub(super) amount: Amount,
    pub(super) timeout_seconds: u32,
    pub(super) dialect: Dialect,
}

/// What a choice must keep to.
#[derive(Clone, Copy)]
pub(super) struct Bounds<'l> {
    pub(super) limits: &'l Limits<'l>,
    pub(super) spent: Amount,
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

    /// The terms of an entry of `accepts` of a version that may be paid.
    pub(super) fn choose(
        &self,
        version: Version,
        entry: &PaymentRequirements<'_>,
    ) -> Option<(Amount, u32)> {
        let (asset, limits) = (&self.limits.asset, self.limits);
        let is_admitted = entry.chain_id_of(version) == Some(asset.chain_id)
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
pub(in crate::device) struct Reader<'b, D> {
    bounds: Bounds<'b>,
    scanner: Scanner,
    start: Start,
    kept: Kept<'b>,
    picker: Picker<'b, (Amount, u32), false>,
    /// What became of `PAYMENT-REQUIRED`.
    required: Option<Result<(), WireError>>,
    field: Place,
    dialects: PhantomData<D>,
}

/// The fields of the header dialect that are read in every dialect.
const WANTED: [Field; 2] = [Field::Error, Field::Transaction];

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
pub(in crate::device) struct Head {
    pub(in crate::device) answer: Answer,
    pub(super) choice: Result<Choice, BuyerError>,
}

impl Head {
    /// The body was read to its end.
    pub(in crate::device) fn with_body(&mut self, body: BodyReader<'_>) {
        self.answer.body = BodyLength::Known(0);
        if let Some(choice) = body.finish() {
            self.choice = Ok(choice);
        }
    }
}

impl<'b, D> Reader<'b, D> {
    /// `fields` and `offer` are where the fields and the offer that is chosen are kept.
    pub(super) fn new(bounds: Bounds<'b>, fields: &'b mut [u8], offer: &'b mut [u8]) -> Self {
        Self {
            bounds,
            scanner: Scanner::new(),
            start: Start::default(),
            kept: Kept::new(fields),
            picker: Picker::new(offer),
            required: None,
            field: Place::Ignored,
            dialects: PhantomData,
        }
    }
}

impl<D: Dialects> Intake for Reader<'_, D> {
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

impl<D: Dialects> Reader<'_, D> {
    fn name(&mut self) {
        let name = self.kept.name();
        let is = |known: &str| is_name(name, known);
        let is_wanted = WANTED.iter().any(|field| is(field.name()))
            || D::HEADERS && Field::OF_ANSWER.iter().any(|field| is(field.name()))
            || ["Connection", "Content-Length", "Date", "Transfer-Encoding"].into_iter().any(is);
        self.field = if D::V2 && is("PAYMENT-REQUIRED") {
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
            self.required = Some(self.picker.push(byte, |entry| bounds.choose(Version::V2, entry)));
        }
    }

    fn value_end(&mut self) -> Result<(), BuyerError> {
        match self.field {
            Place::Kept => self.kept.close().map_err(BuyerError::Head)?,
            Place::Picker if !matches!(self.required, Some(Err(_))) => {
                let bounds = self.bounds;
                self.required = Some(self.picker.finish(|entry| bounds.choose(Version::V2, entry)));
            }
            Place::Picker | Place::Ignored => {}
        }
        Ok(())
    }

    /// What was read, after the last byte.
    pub(in crate::device) fn finish(self) -> Result<Head, BuyerError> {
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
        let mut error = BuyerError::NoOffer;
        if D::HEADERS
            && let Ok(Some(terms)) = ChallengeHeaders::collect(self.kept.fields())
        {
            match self.bounds.choose_headers(&terms) {
                Ok(choice) => return Ok(choice),
                Err(reason) => error = reason,
            }
        }
        match self.required {
            Some(Err(wire)) => Err(BuyerError::Required(wire)),
            Some(Ok(())) => match self.picker.picked() {
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
    pub(in crate::device) fn of_fields(kept: &Kept<'_>) -> Result<Option<Self>, FieldsError> {
        match (kept.only("Transfer-Encoding")?, kept.only("Content-Length")?) {
            (None, None) => Ok(None),
            (Some(coding), None) if coding.eq_ignore_ascii_case(b"chunked") => {
                Ok(Some(Self::Chunked))
            }
            (None, Some(digits)) if digits.iter().all(u8::is_ascii_digit) => {
                let push = |length: u32, digit: &u8| {
                    length.checked_mul(10)?.checked_add(u32::from(digit - b'0'))
                };
                let length = digits.iter().try_fold(0, push).filter(|_| !digits.is_empty());
                length.map(|length| Some(Self::Known(length))).ok_or(FieldsError::Length)
            }
            // Both, or a coding that is not known: where the next message begins, nobody can say.
            _ => Err(FieldsError::Length),
        }
    }
}
