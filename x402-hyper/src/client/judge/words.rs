//! What an answer says in words.

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode};
use serde_json::Value;
use x402_core::headers::Field;
use x402_core::wire::base64;
use x402_core::{Code, Reason};

use super::bearing::Bearing;
use super::told::{Told, single};
use crate::client::{Payment, Refused};

const TERMS: &str = "payment-required";

/// The words of a refusal, made fit to be shown where they are kept.
pub(super) struct Words {
    code: Option<Code>,
    /// The reasons, as they stand there: of the receipt, of v2's terms, of the body.
    reasons: Vec<String>,
    /// They are of a settlement that has failed: a receipt says so, or the header dialect's fields.
    is_of_settlement: bool,
    /// v2's terms are there again.
    has_terms: bool,
    body_code: Option<String>,
    message: Option<String>,
    help: Option<String>,
}

impl Words {
    pub(super) fn of(response: &Response<Bytes>, told: &Told) -> Self {
        let headers = response.headers();
        // More than this is no refusal of the dialect.
        let body = response.body();
        let body = body.get(..body.len().min(64 << 10)).unwrap_or_default();
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let text = |key: &str| body.get(key).and_then(Value::as_str);
        let shown = |key: &str| text(key).map(printable);
        let is_of_settlement = matches!(told, Told::Failed(_));
        let told = match told {
            Told::Failed(reason) => reason.clone(),
            Told::Nothing | Told::Outcome(_) | Told::Strange => None,
        };
        // v1 has the reason under another name.
        let of_body = [text("reason"), text("error")].into_iter().flatten().map(str::to_owned);
        let reasons = told.into_iter().chain(v2_error(headers)).chain(of_body).collect();
        let stated = single(headers, Field::Error).and_then(Code::parse);
        Self {
            code: stated.or_else(|| text("code").and_then(Code::parse)),
            reasons,
            is_of_settlement,
            has_terms: headers.contains_key(TERMS),
            body_code: shown("code"),
            message: shown("message"),
            help: shown("help"),
        }
    }

    /// Whether a status that others use as well is the gate's and not the work's.
    pub(super) fn is_of_payment(&self, status: StatusCode) -> bool {
        let is_known = |reason: &String| Reason::parse(reason).is_some();
        let is_code = |code: &str| code == status.as_str() || Code::parse(code).is_some();
        let is_coded = self.body_code.as_deref().is_some_and(is_code);
        (is_coded || self.has_terms) && self.reasons.iter().any(is_known)
    }

    /// What all that is said says of the money: as little as the least of it.
    pub(super) fn bearing(&self) -> Bearing {
        let of_reason = |reason: &String| Bearing::of(reason, self.is_of_settlement);
        let reasons = self.reasons.iter().map(of_reason);
        // A code is coarser than the reason beside it.
        let code = self.code.filter(|_| self.reasons.is_empty()).map(Bearing::of_code);
        reasons.chain(code).max().unwrap_or(Bearing::Open)
    }

    pub(super) fn line(self, status: StatusCode) -> String {
        let reason = || self.reasons.into_iter().find(|reason| !reason.is_empty());
        let text = self.message.or_else(|| reason().map(|reason| printable(&reason)));
        match text {
            Some(text) => format!("{}, {text}", status.as_u16()),
            None => status.to_string(),
        }
    }

    pub(super) fn refused(self, status: StatusCode, payment: &Payment) -> Refused {
        Refused {
            status,
            code: self.code,
            reason: self.reasons.first().map(|reason| printable(reason)),
            message: self.message,
            help: self.help,
            payment: payment.clone(),
        }
    }
}

/// What v2's terms say is wrong; a challenge in the header dialect says nothing where no payment came.
fn v2_error(headers: &HeaderMap) -> Option<String> {
    let Some(value) = headers.get(TERMS) else {
        let is_asked = single(headers, Field::Required) == Some("true");
        let is_blamed = headers.contains_key(Field::Error.name());
        return (is_asked && !is_blamed).then(|| Reason::PaymentRequired.as_str().to_owned());
    };
    let mut json = vec![0; base64::decoded_room(value.len())];
    let json = base64::decode(value.as_bytes(), &mut json).ok()?;
    let required: Value = serde_json::from_slice(json).ok()?;
    required.get("error").and_then(Value::as_str).map(str::to_owned)
}

/// A peer's words as a terminal may show them: one short line, nothing that moves the cursor or
/// turns the direction of writing.
pub(in crate::client) fn printable(text: &str) -> String {
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
