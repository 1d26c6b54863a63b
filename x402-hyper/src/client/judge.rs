//! What the answer to a paid request says of the payment.

use core::time::Duration;

use bytes::Bytes;
use http::header::{HeaderName, RETRY_AFTER};
use http::{HeaderMap, Response, StatusCode};
use serde_json::Value;
use x402_core::headers::Field;
use x402_core::wire::{SettleResponse, Version, base64};
use x402_core::{Address, Code, Reason, hex};
use x402_std::chain::TxHash;
use x402_std::facilitator::SettleAnswer;

use super::{FetchError, Payment, Refused, Status};

/// What is to be done about an answer, or about its absence.
pub(super) enum Verdict {
    /// No answer yet: the same bytes are to be sent again.
    Again { why: String, retry_after: Option<Duration>, unsent: bool },
    /// This is the answer.
    Done(Response<Bytes>, Status, Option<TxHash>),
    /// No answer, and sending again would not bring one.
    Lost(String),
    /// The seller does not take the payment.
    Refused(Box<Refused>),
}

impl Verdict {
    pub(super) fn failed(error: FetchError) -> Self {
        let why = error.to_string();
        let unsent = matches!(error, FetchError::Connect(_));
        match error {
            FetchError::TooLarge(_) => Self::Lost(why),
            FetchError::Broken(_) | FetchError::Connect(_) | FetchError::Timeout(_) => {
                Self::Again { why, retry_after: None, unsent }
            }
        }
    }

    pub(super) fn of(response: Response<Bytes>, payment: &Payment) -> Self {
        let headers = response.headers();
        let status = response.status();
        let (settled, transaction) = proof(headers, payment);
        if matches!(settled, Status::Settled | Status::Accepted)
            && status != StatusCode::PAYMENT_REQUIRED
        {
            return Self::Done(response, settled, transaction);
        }
        let words = Words::of(response.body());
        let retry_after = seconds(headers);
        match status {
            // It was sent to the chain, and nobody is to pay again.
            StatusCode::PAYMENT_REQUIRED if settled == Status::Pending => {
                Self::Again { why: words.line(status), retry_after, unsent: false }
            }
            StatusCode::PAYMENT_REQUIRED | StatusCode::PRECONDITION_FAILED => {
                Self::Refused(Box::new(words.refused(&response, payment)))
            }
            StatusCode::BAD_REQUEST if words.is_of_payment() => {
                Self::Refused(Box::new(words.refused(&response, payment)))
            }
            StatusCode::SERVICE_UNAVAILABLE => {
                Self::Again { why: words.line(status), retry_after, unsent: false }
            }
            StatusCode::CONFLICT if retry_after.is_some() => {
                Self::Again { why: words.line(status), retry_after, unsent: false }
            }
            StatusCode::CONFLICT => Self::Lost(words.line(status)),
            _ => Self::Done(response, settled, transaction),
        }
    }
}

/// What the answer says of the money, if it says it of this payer.
fn proof(headers: &HeaderMap, payment: &Payment) -> (Status, Option<TxHash>) {
    for (name, version) in RECEIPTS {
        if headers.contains_key(name) {
            return receipt(headers, name, version, payment);
        }
    }
    let payer = single(headers, Field::Payer).map(Address::parse);
    if payer.is_some_and(|payer| payer != Ok(payment.payer)) {
        return (Status::Unproven, None);
    }
    let transaction = single(headers, Field::Transaction).and_then(|text| hex::decode(text).ok());
    let transaction = transaction.map(TxHash);
    let status = match single(headers, Field::Status) {
        Some("pending") => Status::Pending,
        Some("accepted") if payer.is_some() && transaction.is_none() => Status::Accepted,
        Some("settled") | None if transaction.is_some() => Status::Settled,
        _ => Status::Unproven,
    };
    (status, transaction)
}

/// The fields of a receipt in v2 and v1.
const RECEIPTS: [(&str, Version); 2] =
    [("payment-response", Version::V2), ("x-payment-response", Version::V1)];

/// What a receipt of v1 or v2 says, if it is of this payment.
fn receipt(
    headers: &HeaderMap,
    name: &'static str,
    version: Version,
    payment: &Payment,
) -> (Status, Option<TxHash>) {
    let Some((answer, is_sent)) = read_receipt(headers, name, version) else {
        return (Status::Unproven, None);
    };
    let is_ours = answer.chain_id == Some(payment.asset.chain_id)
        && answer.payer.is_none_or(|payer| payer == payment.payer);
    match (answer.reason.as_deref(), answer.transaction) {
        _ if !is_ours => (Status::Unproven, None),
        (None, Some(hash)) if hash != TxHash([0; 32]) => (Status::Settled, Some(hash)),
        (None, None) if !is_sent => (Status::Accepted, None),
        (Some(reason), hash @ Some(_)) if reason == PENDING => (Status::Pending, hash),
        _ => (Status::Unproven, None),
    }
}

const PENDING: &str = Reason::SettlementPending.as_str();

/// The receipt, and whether it names anything as the transaction.
fn read_receipt(
    headers: &HeaderMap,
    name: &'static str,
    version: Version,
) -> Option<(SettleAnswer, bool)> {
    let text = once(headers, HeaderName::from_static(name))?;
    let mut json = vec![0; base64::decoded_room(text.len())];
    let json = base64::decode(text.as_bytes(), &mut json).ok()?;
    let is_sent = SettleResponse::parse(json).ok()?.transaction.plain() != Some("");
    SettleAnswer::parse(json, version).ok().map(|answer| (answer, is_sent))
}

/// The value of a field that is there once.
fn single(headers: &HeaderMap, field: Field) -> Option<&str> {
    once(headers, field.name().parse().ok()?)
}

fn once(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    let mut values = headers.get_all(name).iter();
    let (value, None) = (values.next()?, values.next()) else {
        return None;
    };
    value.to_str().ok()
}

fn seconds(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?;
    text.trim().parse().ok().map(Duration::from_secs)
}

/// The members of a refusal's JSON body, made fit to be shown.
struct Words {
    code: Option<String>,
    reason: Option<String>,
    message: Option<String>,
    help: Option<String>,
}

impl Words {
    fn of(body: &[u8]) -> Self {
        // More than this is no refusal of the dialect.
        let body = body.get(..body.len().min(64 << 10)).unwrap_or_default();
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let text = |key: &str| body.get(key).and_then(Value::as_str).map(printable);
        Self {
            code: text("code"),
            // v1 has the reason under another name.
            reason: text("reason").or_else(|| text("error")),
            message: text("message"),
            help: text("help"),
        }
    }

    /// Whether a 400 is the gate's and not the work's.
    fn is_of_payment(&self) -> bool {
        let known = self.reason.as_deref().and_then(Reason::parse);
        self.code.as_deref() == Some("400") && known.is_some()
    }

    fn line(self, status: StatusCode) -> String {
        let text = self.message.or(self.reason);
        match text {
            Some(text) => format!("{}, {text}", status.as_u16()),
            None => status.to_string(),
        }
    }

    fn refused(self, response: &Response<Bytes>, payment: &Payment) -> Refused {
        let code = single(response.headers(), Field::Error).and_then(Code::parse);
        Refused {
            status: response.status(),
            code: code.or_else(|| self.code.as_deref().and_then(Code::parse)),
            reason: self.reason,
            message: self.message,
            help: self.help,
            payment: payment.clone(),
        }
    }
}

/// A peer's words as a terminal may show them: one short line, nothing that moves the cursor or
/// turns the direction of writing.
pub(super) fn printable(text: &str) -> String {
    let shown =
        |c: char| if c == ' ' || c.is_ascii_graphic() || c.is_alphanumeric() { c } else { '?' };
    text.chars().take(200).map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_no_control_characters() {
        assert_eq!(printable("a\u{1b}[2Jb\r\n\u{202e}é"), "a?[2Jb???é");
        assert_eq!(printable(&"x".repeat(1000)).len(), 200);
    }
}
