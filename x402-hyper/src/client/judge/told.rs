//! What the head of an answer says of a payment's outcome.

use http::header::HeaderName;
use http::{HeaderMap, StatusCode};
use x402_core::headers::Field;
use x402_core::wire::{SettleResponse, Version, base64};
use x402_core::{Address, Amount, Reason, hex};
use x402_std::chain::TxHash;
use x402_std::facilitator::SettleAnswer;

use crate::client::payment::Outcome;
use crate::client::{Payment, Status};

/// What is told.
#[derive(Debug, PartialEq)]
pub(super) enum Told {
    /// The money has not arrived, says a receipt, for this reason; in its absence, a field.
    Failed(Option<String>),
    /// Nothing is.
    Nothing,
    Outcome(Outcome),
    /// Something that is no word on this payment: of another one, twice, or contradicting itself.
    Strange,
}

/// The fields of a receipt in v2 and v1.
const RECEIPTS: [(&str, Version); 2] =
    [("payment-response", Version::V2), ("x-payment-response", Version::V1)];

impl Told {
    pub(super) fn read(headers: &HeaderMap, status: StatusCode, payment: &Payment) -> Self {
        for (name, version) in RECEIPTS {
            if headers.contains_key(name) {
                return receipt(headers, name, version, payment).unwrap_or(Self::Strange);
            }
        }
        fields(headers, status, payment)
    }

    /// The outcome, as far as it is one.
    pub(super) fn outcome(&self) -> Outcome {
        match self {
            Self::Outcome(outcome) => *outcome,
            Self::Failed(_) | Self::Nothing | Self::Strange => of(Status::Unproven),
        }
    }
}

const fn of(status: Status) -> Outcome {
    Outcome { status, transaction: None, taken: None }
}

/// The header dialect's fields.
fn fields(headers: &HeaderMap, status: StatusCode, payment: &Payment) -> Told {
    let payer = single(headers, Field::Payer).map(Address::parse);
    if payer.is_some_and(|payer| payer != Ok(payment.payer)) {
        return Told::Strange;
    }
    let transaction = single(headers, Field::Transaction).and_then(|text| hex::decode(text).ok());
    let transaction = transaction.map(TxHash);
    let outcome = |status| Told::Outcome(Outcome { transaction, ..of(status) });
    let has = |field: Field| headers.contains_key(field.name());
    match single(headers, Field::Status) {
        Some("pending") => outcome(Status::Pending),
        Some("accepted") if payer.is_some() && transaction.is_none() => outcome(Status::Accepted),
        Some("not-charged") if transaction.is_none() => outcome(Status::NotCharged),
        Some("failed") => Told::Failed(None),
        Some("settled") if transaction.is_some() => outcome(Status::Settled),
        // A hash alone may be of a transaction that did not move the money: it proves what was served.
        None if has(Field::Status) => Told::Strange,
        None if transaction.is_some() && status.as_u16() < 400 => outcome(Status::Settled),
        None if has(Field::Transaction) && status.as_u16() >= 400 => Told::Failed(None),
        None if !has(Field::Transaction) => Told::Nothing,
        _ => Told::Strange,
    }
}

/// What a receipt of v1 or v2 says, if it is of this payment and does not contradict itself.
fn receipt(
    headers: &HeaderMap,
    name: &'static str,
    version: Version,
    payment: &Payment,
) -> Option<Told> {
    let text = once(headers, HeaderName::from_static(name))?;
    let mut json = vec![0; base64::decoded_room(text.len())];
    let json = base64::decode(text.as_bytes(), &mut json).ok()?;
    let sent = SettleResponse::parse(json).ok()?;
    let is_excused = sent.error_reason.is_some_and(|reason| reason.plain() != Some(""));
    // Said, and no number, or more than was signed.
    let is_odd = sent.amount.is_some_and(|text| {
        let amount = text.plain().and_then(|text| Amount::parse(text).ok());
        amount.is_none_or(|amount| match payment.is_ceiling {
            true => amount > payment.amount,
            false => amount != payment.amount,
        })
    });
    let answer = SettleAnswer::parse(json, version);
    if !sent.success {
        let reason = sent.error_reason.map(|text| text.to_string()).unwrap_or_default();
        return refused(answer.as_ref().ok(), reason, payment);
    }
    let answer = answer.ok()?;
    if is_excused || is_odd || !is_of(&answer, payment) {
        return None;
    }
    let outcome =
        |status| Outcome { transaction: answer.transaction, taken: answer.amount, ..of(status) };
    Some(Told::Outcome(match answer.transaction {
        Some(hash) if hash == TxHash([0; 32]) => return None,
        Some(_) => outcome(Status::Settled),
        None if answer.amount == Some(Amount::ZERO) => outcome(Status::NotCharged),
        None => outcome(Status::Accepted),
    }))
}

/// A receipt that says that the money has not moved.
fn refused(answer: Option<&SettleAnswer>, reason: String, payment: &Payment) -> Option<Told> {
    match answer {
        Some(answer) if answer.payer.is_some_and(|payer| payer != payment.payer) => None,
        Some(answer) if reason == Reason::SettlementPending.as_str() && is_of(answer, payment) => {
            let transaction = answer.transaction;
            Some(Told::Outcome(Outcome { transaction, ..of(Status::Pending) }))
        }
        _ => Some(Told::Failed(Some(reason))),
    }
}

fn is_of(answer: &SettleAnswer, payment: &Payment) -> bool {
    answer.chain_id == Some(payment.asset.chain_id)
        && answer.payer.is_none_or(|payer| payer == payment.payer)
}

/// The value of a field that is there once.
pub(super) fn single(headers: &HeaderMap, field: Field) -> Option<&str> {
    once(headers, field.name().parse().ok()?)
}

fn once(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    let mut values = headers.get_all(name).iter();
    let (value, None) = (values.next()?, values.next()) else {
        return None;
    };
    value.to_str().ok()
}
