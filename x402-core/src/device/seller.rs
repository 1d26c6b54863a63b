use core::fmt::{self, Write as _};
use core::marker::PhantomData;

use super::base64::Decoder;
use super::dialects::{AllDialects, Dialects};
use super::kept::{FieldsError, Kept};
use super::scan::{BodyLength, Intake, Part, Scanner};
use crate::claim::{Claimed, Proof};
use crate::head::HeadError;
use crate::headers::{Field, HeaderError, PaymentHeaders, emit_challenge, is_name};
use crate::plain::{Decimal, Plain};
use crate::wire::base64::{Base64, Base64Error};
use crate::wire::json::{Quoted, emitted_len};
use crate::wire::{Challenge, PaymentFlow, PaymentPayload, Resource};
use crate::{Address, Error, Moment, Offer, Payment, Recover, Refusal, Window};

/// What a [`Seller`] is lent for a request: room for its first line, for the fields of a payment, and
/// for the JSON of a payload of v1 or v2.
pub const BUFFER_LEN: usize = 2048;

/// Sells without a chain: judges payments, and remembers them until they are settled.
#[derive(Clone, Debug)]
pub struct Seller<R, const N: usize, D = AllDialects> {
    recover: R,
    window: Window<N>,
    dialects: PhantomData<D>,
}

impl<R: Recover, const N: usize> Seller<R, N> {
    /// A seller that recovers with `recover` and remembers by `window`.
    pub const fn new(recover: R, window: Window<N>) -> Self {
        Self::speaking(recover, window)
    }
}

impl<R: Recover, const N: usize, D: Dialects> Seller<R, N, D> {
    /// As [`Seller::new`], in the dialects of the type.
    pub const fn speaking(recover: R, window: Window<N>) -> Self {
        Self { recover, window, dialects: PhantomData }
    }

    /// What was sold, and what of it is to be settled.
    #[must_use]
    pub const fn window(&self) -> &Window<N> {
        &self.window
    }

    /// As [`Self::window`], to be told what became of the payments.
    pub const fn window_mut(&mut self) -> &mut Window<N> {
        &mut self.window
    }

    /// Takes the payment of a request for an offer, or says why not.
    ///
    /// `Ok` is said once for a payment: the work is to be done, whatever happens to the connection.
    ///
    /// # Errors
    ///
    /// [`Refusal`], to be sent with [`Self::refuse`].
    pub fn sell(
        &mut self,
        request: &Received<'_>,
        offer: &Offer<'_>,
        moment: &Moment,
    ) -> Result<Sale, Refusal> {
        let paid = request.payment::<D>(offer)?;
        let proof = offer.requirements().check_authorized(&paid.0, moment, &self.recover)?;
        self.take(&paid, proof, offer, moment)
    }

    // Not inlined: what is made of the payment here has no place in the stack while it is checked.
    #[inline(never)]
    fn take(
        &mut self,
        (payment, is_headers): &(Payment, bool),
        proof: Proof,
        offer: &Offer<'_>,
        moment: &Moment,
    ) -> Result<Sale, Refusal> {
        let checked = offer.requirements().checked(payment, proof);
        let claim = self.window.reserve(&checked, moment.now)?;
        // The claim is for what was checked.
        let claimed = checked.claimed(claim).map_err(|_| Refusal::Unavailable)?;
        Ok(Sale { claimed, is_headers: *is_headers })
    }
}

/// A request that was paid for.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct Sale {
    /// The payment.
    pub claimed: Claimed,
    /// Whether it came in the header dialect.
    is_headers: bool,
}

impl Sale {
    /// The head of the answer.
    pub(super) fn head<'s, D: Dialects>(
        &self,
        media_type: &'s str,
        length: usize,
    ) -> impl fmt::Display + use<'s, D> {
        let payer = (D::HEADERS && self.is_headers).then(|| self.claimed.payer());
        Sold { media_type, length, payer }
    }
}

struct Sold<'s> {
    media_type: &'s str,
    length: usize,
    payer: Option<Address>,
}

impl fmt::Display for Sold<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { media_type, length, payer } = self;
        let (media_type, length) = (Plain(media_type), Decimal::of(*length));
        write!(f, "HTTP/1.1 200 OK\r\nContent-Type: {media_type}\r\nContent-Length: {length}\r\n")?;
        if let Some(payer) = payer {
            // The chain has not said yet.
            let [status, name] = [Field::Status, Field::Payer].map(|field| Plain(field.name()));
            write!(f, "{status}: pending\r\n{name}: {payer}\r\n")?;
        }
        f.write_str("Cache-Control: no-store\r\n\r\n")
    }
}

/// The answer to what was not paid for, or not rightly: head and body.
pub(super) struct Refused<'s, D> {
    pub(super) offer: &'s Offer<'s>,
    pub(super) url: &'s str,
    pub(super) refusal: Refusal,
    pub(super) dialects: PhantomData<D>,
}

impl<D: Dialects> fmt::Display for Refused<'_, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let status = self.refusal.status();
        let (code, phrase) = (Decimal(status.into()), Plain(phrase(status)));
        write!(f, "HTTP/1.1 {code} {phrase}\r\nContent-Type: application/json\r\n")?;
        if status == 402 {
            self.terms_in_fields(f)?;
        }
        if status == 503 {
            f.write_str("Retry-After: 10\r\n")?;
        }
        let body = Body(self);
        let length = Decimal::of(emitted_len(&body));
        write!(f, "Content-Length: {length}\r\nCache-Control: no-store\r\n\r\n")?;
        body.fmt(f)
    }
}

impl<D: Dialects> Refused<'_, D> {
    fn terms_in_fields(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if D::HEADERS {
            self.terms_in_headers(f)?;
        }
        if D::V2 {
            write!(f, "PAYMENT-REQUIRED: {}\r\n", Base64(self.challenge().v2()))?;
        }
        Ok(())
    }

    fn terms_in_headers(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let code = match self.refusal {
            Refusal::Payment(Error::Missing) => None,
            Refusal::Payment(error) => Some(error.code()),
            _ => None,
        };
        let mut written = Ok(());
        emit_challenge(self.offer, code, |field, value| {
            if written.is_ok() {
                written = field.write(f, value);
            }
        });
        written
    }

    fn challenge(&self) -> Challenge<'_> {
        let error = match self.refusal {
            Refusal::Payment(Error::Missing) => "Payment required",
            refusal => refusal.reason_text(),
        };
        Challenge {
            error,
            resource: Resource { url: self.url, ..Resource::default() },
            offers: core::slice::from_ref(self.offer),
            quotes: &[],
            flow: PaymentFlow::Authorization,
            extensions: "",
            output_schema: "",
        }
    }
}

/// The members of the refusal, and beside them those of v1's terms.
struct Body<'s, D>(&'s Refused<'s, D>);

impl<D: Dialects> fmt::Display for Body<'_, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let refusal = self.0.refusal;
        write!(
            f,
            r#"{{"code":"{}","reason":"{}""#,
            Plain(refusal.code()),
            Plain(refusal.reason_text())
        )?;
        if D::SENTENCES {
            write!(f, r#","message":"{refusal}","help":{}"#, Quoted(refusal.help()))?;
        }
        if D::V1 && refusal.status() == 402 {
            write!(f, ",{}", self.0.challenge().v1_members())?;
        }
        f.write_char('}')
    }
}

const fn phrase(status: u16) -> &'static str {
    match status {
        400 => "Bad Request",
        402 => "Payment Required",
        409 => "Conflict",
        412 => "Precondition Failed",
        _ => "Service Unavailable",
    }
}

/// The head of a request, as far as a seller needs it.
#[derive(Debug)]
pub struct Received<'b> {
    kept: Kept<'b>,
    body: BodyLength,
    encoded: Option<Result<(), Base64Error>>,
}

/// The fields of v1 and of v2 with the payload in base64, and whether they are read.
const fn payloads<D: Dialects>() -> [(&'static str, bool); 2] {
    [("X-PAYMENT", D::V1), ("PAYMENT-SIGNATURE", D::V2)]
}

impl<'b> Received<'b> {
    /// A reader for the head of a request.
    pub(super) fn reader<D: Dialects>(buffer: &'b mut [u8; BUFFER_LEN]) -> Reader<'b, D> {
        Reader {
            scanner: Scanner::new(),
            kept: Kept::new(buffer),
            place: Place::Kept,
            encoded: None,
            dialects: PhantomData,
        }
    }

    /// The method: `GET`.
    #[must_use]
    pub fn method(&self) -> &str {
        self.word(0)
    }

    /// The path and query, as sent: `/api/analyze`.
    #[must_use]
    pub fn target(&self) -> &str {
        self.word(1)
    }

    /// How long the body is, which follows on the connection.
    #[must_use]
    pub const fn body(&self) -> BodyLength {
        self.body
    }

    fn word(&self, index: usize) -> &str {
        words(&self.kept).nth(index).unwrap_or_default()
    }

    /// The one payment that the request has, read against the offer, and whether it is in the header
    /// dialect.
    // Not inlined: what reading takes of the stack is free again while the signature is checked.
    #[inline(never)]
    fn payment<D: Dialects>(&self, offer: &Offer<'_>) -> Result<(Payment, bool), Error> {
        let headers = if D::HEADERS {
            PaymentHeaders::collect(self.kept.fields()).map_err(Error::Malformed)?
        } else {
            None
        };
        let [v1, v2] = payloads::<D>().map(
            |(name, is_read)| {
                if is_read { self.kept.only(name) } else { Ok(None) }
            },
        );
        let mixed = |_| Error::Malformed(HeaderError::Mixed);
        let payload = match (v1.map_err(mixed)?, v2.map_err(mixed)?, headers) {
            (None, None, None) => return Err(Error::Missing),
            (None, None, Some(headers)) => return Ok((headers.resolve(offer)?, true)),
            (Some(json), None, None) | (None, Some(json), None) => json,
            _ => return Err(Error::Malformed(HeaderError::Mixed)),
        };
        if let Some(Err(error)) = self.encoded {
            return Err(Error::Payload(error.into()));
        }
        let parse = if D::V1 { PaymentPayload::parse } else { PaymentPayload::parse_v2 };
        let payload = parse(payload).map_err(Error::Payload)?;
        Ok((payload.authorization(offer.requirements().asset)?, false))
    }
}

/// The words of the request line, which is kept before the fields.
fn words<'k>(kept: &'k Kept<'_>) -> impl Iterator<Item = &'k str> {
    let line = kept.fields().next().map(|(line, _)| line.as_bytes()).unwrap_or_default();
    line.split(|byte| *byte == b' ').map(|word| core::str::from_utf8(word).unwrap_or_default())
}

/// Reads the head of a request, a byte at a time.
pub(super) struct Reader<'b, D> {
    scanner: Scanner,
    kept: Kept<'b>,
    place: Place,
    encoded: Option<Result<(), Base64Error>>,
    dialects: PhantomData<D>,
}

/// Where the bytes of a field go.
#[derive(Debug)]
enum Place {
    Ignored,
    Kept,
    /// As the bytes that its base64 stands for.
    Decoded(Decoder),
}

impl<D> Reader<'_, D> {
    /// Whether nothing was read.
    pub(super) const fn is_empty(&self) -> bool {
        self.scanner.is_empty()
    }
}

impl<D: Dialects> Intake for Reader<'_, D> {
    type Error = SellerError;

    fn scanner(&mut self) -> &mut Scanner {
        &mut self.scanner
    }

    fn push(&mut self, byte: u8) -> Result<bool, SellerError> {
        match self.scanner.push(byte).map_err(SellerError::Head)? {
            Part::Start(byte) | Part::Name(byte) => {
                self.kept.push(byte).map_err(SellerError::Head)?;
            }
            Part::StartEnd => {
                self.kept.name();
                self.kept.close().map_err(SellerError::Head)?;
            }
            Part::NameEnd => self.name(),
            Part::Value(byte) => self.values(&[byte])?,
            Part::ValueEnd => self.value_end()?,
            Part::End => return Ok(true),
            Part::Nothing => {}
        }
        Ok(false)
    }

    fn values(&mut self, bytes: &[u8]) -> Result<(), SellerError> {
        match &mut self.place {
            Place::Ignored => Ok(()),
            Place::Kept => self.kept.extend(bytes).map_err(SellerError::Head),
            Place::Decoded(_) if matches!(self.encoded, Some(Err(_))) => Ok(()),
            Place::Decoded(decoder) => {
                for digit in bytes {
                    match decoder.push(*digit) {
                        Ok(mut bytes) => bytes
                            .try_for_each(|byte| self.kept.push(byte))
                            .map_err(SellerError::Head)?,
                        Err(error) => {
                            self.encoded = Some(Err(error));
                            break;
                        }
                    }
                }
                Ok(())
            }
        }
    }

    fn fault(error: HeadError) -> SellerError {
        SellerError::Head(error)
    }
}

impl<'b, D: Dialects> Reader<'b, D> {
    fn name(&mut self) {
        let name = self.kept.name();
        let is = |known: &str| is_name(name, known);
        let is_wanted = D::HEADERS && Field::OF_REQUEST.iter().any(|field| is(field.name()))
            || ["Content-Length", "Transfer-Encoding"].into_iter().any(is);
        let is_payload = payloads::<D>().into_iter().any(|(name, is_read)| is_read && is(name));
        self.place = if is_payload {
            Place::Decoded(Decoder::default())
        } else if is_wanted {
            Place::Kept
        } else {
            self.kept.discard();
            Place::Ignored
        };
    }

    fn value_end(&mut self) -> Result<(), SellerError> {
        match core::mem::replace(&mut self.place, Place::Ignored) {
            Place::Ignored => return Ok(()),
            Place::Kept => {}
            Place::Decoded(decoder) => match decoder.finish() {
                Ok(mut bytes) => {
                    bytes.try_for_each(|byte| self.kept.push(byte)).map_err(SellerError::Head)?;
                }
                Err(error) => self.encoded = Some(Err(error)),
            },
        }
        self.kept.close().map_err(SellerError::Head)
    }

    /// The request, after the last byte.
    pub(super) fn finish(self) -> Result<Received<'b>, SellerError> {
        let mut words = words(&self.kept);
        let (method, target) = (words.next(), words.next());
        let is_word = |word: Option<&str>| word.is_some_and(|word| !word.is_empty());
        let is_version = matches!(words.next(), Some("HTTP/1.1" | "HTTP/1.0"));
        if !is_word(method) || !is_word(target) || !is_version || words.next().is_some() {
            return Err(SellerError::Head(HeadError::Malformed));
        }
        drop(words);
        let body = BodyLength::of_fields(&self.kept).map_err(SellerError::Fields)?;
        let body = body.unwrap_or(BodyLength::Known(0));
        Ok(Received { kept: self.kept, body, encoded: self.encoded })
    }
}

/// Why a request is not read.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum SellerError {
    /// The fields contradict themselves.
    Fields(FieldsError),
    /// It is none of HTTP/1.x, or its head is too long.
    Head(HeadError),
}

impl fmt::Display for SellerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fields(error) => error.fmt(f),
            Self::Head(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for SellerError {}
