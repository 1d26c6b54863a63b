//! Requests that are paid for out of a balance, and what payers say of its names.

use http::HeaderMap;
use http::request::Parts;
use x402_core::headers::{Field, HeaderError};
use x402_core::proof::{self, CreditStatement};
use x402_core::{Address, Error, Nonce, Offer, keccak256};
use x402_std::quote::CreditToken;
use x402_std::seller::{Purchase, Rejection, Replay, SignedDraw};

use super::answer::{self, Asked, EXPIRED_CREDIT, INSECURE_CREDIT, STRANGE_CREDIT};
use super::dialect::{self, Attached};
use super::layer::Shared;
use super::service::{Decision, request_id, target};
use super::task::{Means, Order};

/// How much of a body is read, at most, because its payer has signed for it.
const SIGNED_BODY: usize = 1 << 20;

/// What is drawn from a balance.
#[derive(Clone, Debug)]
pub(super) struct Drawing {
    pub(super) name: CreditToken,
    /// The payer's own, by which a repetition is known.
    pub(super) nonce: Nonce,
    /// What the payer has signed, if anything.
    pub(super) signed: Option<SignedDraw>,
}

/// What a payer says of the names of his balance.
#[derive(Clone, Debug)]
pub(super) struct Naming {
    pub(super) statement: CreditStatement<'static>,
    pub(super) payer: Address,
    pub(super) origin: String,
    /// The signature's field.
    pub(super) value: String,
}

/// The Keccak-256 of a body that was read before its request was decided upon, in the extensions.
#[derive(Clone, Copy)]
pub(super) struct BodyHash([u8; 32]);

impl BodyHash {
    pub(super) fn of(body: &[u8]) -> Self {
        Self(keccak256(&[body]))
    }
}

/// Whether a draw is signed: then its body is read first, for it is signed too.
pub(super) fn is_signed(headers: &HeaderMap) -> bool {
    let name = headers.get(dialect::CREDIT).map(|name| name.to_str().unwrap_or_default());
    name.is_some_and(|name| statement(name).is_none()) && headers.contains_key(proof::FIELD)
}

/// What is said in the place of a name by who wants another one.
fn statement(name: &str) -> Option<CreditStatement<'static>> {
    match name {
        "new" => Some(CreditStatement::Rename),
        "signed" => Some(CreditStatement::RequireSignature),
        "bearer" => Some(CreditStatement::AllowName),
        _ => None,
    }
}

impl Shared {
    /// What becomes of a request that names a balance, or asks for a name; `None` for one that does not, or
    /// where there are none.
    pub(super) fn drawn(
        &self,
        head: &mut Parts,
        asked: &Asked,
        body: Option<&[u8]>,
    ) -> Option<Decision> {
        let tokens = self.tokens.as_ref()?;
        let name = head.headers.get(dialect::CREDIT)?.to_str().unwrap_or_default();
        if let Some(statement) = statement(name) {
            return Some(self.named(head, asked, statement));
        }
        if asked.is_exposed {
            return Some(Decision::Own(INSECURE_CREDIT.answer()));
        }
        // A price that was told is kept here too.
        let quote = head.headers.get(dialect::QUOTE).and_then(|quote| quote.to_str().ok());
        let redeemed = asked.redeem(quote);
        let (name, offer) = match tokens.account(name, redeemed.as_ref().unwrap_or(&asked.sale)) {
            Ok(found) => found,
            Err(error) => {
                tracing::debug!(%error, "the name of a balance is not taken");
                return Some(Decision::Own(STRANGE_CREDIT.answer()));
            }
        };
        if self.limits.name_life.is_some_and(|life| name.is_older_than(life, self.seller.now())) {
            return Some(Decision::Own(EXPIRED_CREDIT.answer()));
        }
        let nonce = match nonce(&head.headers) {
            Ok(nonce) => nonce,
            Err(error) => return Some(refused(error, asked)),
        };
        let hash = head.extensions.remove::<BodyHash>();
        if is_signed(&head.headers) && hash.is_none() {
            return Some(Decision::ByBody(SIGNED_BODY));
        }
        let signed = hash.and_then(|BodyHash(body)| signed(head, asked, body));
        let means = Means::Credit(Drawing { name, nonce, signed });
        Some(self.ordered(head, body, asked, (means, offer)))
    }

    /// What is asked of a balance, for a request.
    fn ordered(
        &self,
        head: &Parts,
        body: Option<&[u8]>,
        asked: &Asked,
        (means, offer): (Means, Offer<'static>),
    ) -> Decision {
        let purchase = Purchase {
            request: request_id(head, body, self.pricing.fields()),
            amount: offer.requirements().amount,
            settle: asked.sale.settle,
            replay: Replay::Payer,
        };
        Decision::Paid(Box::new(Order { means, offer, asked: asked.clone(), purchase }))
    }

    /// What becomes of a request by which a payer wants a new name.
    fn named(&self, head: &Parts, asked: &Asked, statement: CreditStatement<'static>) -> Decision {
        let (payer, value) = match payer(&head.headers) {
            Ok(said) => said,
            Err(error) => return refused(error, asked),
        };
        let Some(offer) = asked.sale.offers.first() else {
            return Decision::Own(STRANGE_CREDIT.answer());
        };
        let origin = asked.own_origin().unwrap_or_default().to_owned();
        let means = Means::Naming(Naming { statement, payer, origin, value });
        self.ordered(head, None, asked, (means, *offer))
    }
}

fn refused(error: Error, asked: &Asked) -> Decision {
    Decision::Own(answer::rejected(&Rejection::from(error), asked, None))
}

/// What the payer has signed of a draw whose body has this hash.
fn signed(head: &Parts, asked: &Asked, body: [u8; 32]) -> Option<SignedDraw> {
    let value = head.headers.get(proof::FIELD)?.to_str().ok()?.to_owned();
    let origin = asked.own_origin()?.to_owned();
    let (method, target) = (head.method.to_string(), target(head).to_owned());
    Some(SignedDraw { origin, method, target, body, value })
}

/// The nonce of a draw; beside it there is no payment.
fn nonce(headers: &HeaderMap) -> Result<Nonce, Error> {
    let text = only(headers, Field::Nonce)?;
    Nonce::parse(text).map_err(|_| Error::Malformed(HeaderError::Invalid(Field::Nonce)))
}

/// Who wants a name, and what he has signed.
fn payer(headers: &HeaderMap) -> Result<(Address, String), Error> {
    let text = only(headers, Field::From)?;
    let payer = Address::parse(text);
    let payer = payer.map_err(|_| Error::Malformed(HeaderError::Invalid(Field::From)))?;
    let value = headers.get(proof::FIELD).map(|value| value.to_str().unwrap_or_default());
    Ok((payer, value.unwrap_or_default().to_owned()))
}

/// The value of a field that a payment has, too; beside it there is no payment.
fn only(headers: &HeaderMap, field: Field) -> Result<&str, Error> {
    let mixed = Error::Malformed(HeaderError::Mixed);
    let mut values = headers.get_all(field.name()).iter();
    let (value, None) = (values.next(), values.next()) else { return Err(mixed) };
    let value = value.ok_or(Error::Malformed(HeaderError::Missing(field)))?;
    let text = value.to_str().map_err(|_| Error::Malformed(HeaderError::Invalid(field)))?;
    let mut others = headers.clone();
    others.remove(field.name());
    match Attached::read(&others) {
        Ok(None) => Ok(text),
        _ => Err(mixed),
    }
}
