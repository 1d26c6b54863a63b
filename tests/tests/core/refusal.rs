//! What a refused buyer is told, as JSON.

use serde_json::Value;
use x402_core::headers::{Field, HeaderError};
use x402_core::{Code, Error, Reason, Refusal, SignatureError};

/// Every refusal, each fault of a header with every field that can have it.
pub(crate) fn all() -> Vec<Refusal> {
    let signature = [
        SignatureError::Compact,
        SignatureError::HighS,
        SignatureError::Length,
        SignatureError::Range,
        SignatureError::Unrecoverable,
        SignatureError::V,
    ];
    let header = |field| {
        [HeaderError::Duplicate(field), HeaderError::Invalid(field), HeaderError::Missing(field)]
    };
    let errors = [
        Error::Amount,
        Error::Asset,
        Error::AuthorizationUsed,
        Error::Balance,
        Error::Expired,
        Error::Missing,
        Error::Network,
        Error::NotYetValid,
        Error::Owing,
        Error::Payee,
        Error::Recipient,
        Error::Signer,
        Error::Simulation,
        Error::TooLong,
        Error::Zero,
    ];
    let others = [
        Refusal::Conflict,
        Refusal::InFlight,
        Refusal::HeldBack,
        Refusal::InDoubt,
        Refusal::Unproven,
        Refusal::Pending,
        Refusal::Short,
        Refusal::Returned,
        Refusal::Served,
        Refusal::TooSoon(60),
        Refusal::Unavailable,
    ];
    let malformed = Field::OF_REQUEST.into_iter().flat_map(header).map(Error::Malformed);
    let errors = errors.into_iter().chain(signature.map(Error::Signature)).chain(malformed);
    errors.map(Refusal::Payment).chain(others).collect()
}

pub(crate) fn body(refusal: Refusal) -> String {
    let mut out = [0; Refusal::MAX_LEN];
    let body = refusal.emit(&mut out).unwrap();
    core::str::from_utf8(body).unwrap().to_owned()
}

#[test]
fn every_body_is_json_that_says_what_the_refusal_says() {
    for refusal in all() {
        let body: Value = serde_json::from_str(&body(refusal)).unwrap();
        let expected = serde_json::json!({
            "code": refusal.code(),
            "reason": refusal.reason().as_str(),
            "message": refusal.to_string(),
            "help": refusal.help(),
        });
        assert_eq!(body, expected);
    }
}

#[test]
fn a_body_that_does_not_fit_is_not_written() {
    for refusal in all() {
        let length = body(refusal).len();
        let mut out = vec![0; length];
        assert_eq!(refusal.emit(&mut out).map(<[u8]>::len), Some(length));
        for short in 0..length {
            assert!(refusal.emit(&mut out[..short]).is_none(), "{refusal:?} in {short}");
        }
    }
}

#[test]
fn statuses_codes_and_reasons_belong_together() {
    for refusal in all() {
        let is_402 = refusal.status() == 402;
        let code = Code::parse(refusal.code());
        assert_eq!(code.is_some(), is_402, "{refusal:?}");
        match code {
            Some(code) => assert_eq!(refusal.reason().code(), code, "{refusal:?}"),
            None => assert_eq!(refusal.code(), refusal.status().to_string(), "{refusal:?}"),
        }
        assert_eq!(Reason::parse(refusal.reason().as_str()), Some(refusal.reason()));
    }
}
