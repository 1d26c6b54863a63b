//! A signed payment as header fields, in the dialect of the terms that it answers.

use http::HeaderMap;
use serde_json::{Value, json};
use x402_core::buyer::Signed;
use x402_core::headers::SignatureForm;
use x402_core::hex::Hex;
use x402_core::wire::base64::Base64;
use x402_core::wire::{Answers, SignedPayload};

use super::payment::field;
use super::{ClientError, Dialect, QUOTE, Terms, V1_PAYMENT, V2_PAYMENT};
use crate::idempotency;

/// The payment for a request that has these fields of its own.
pub(super) fn headers(
    signed: &Signed,
    terms: &Terms,
    own: &HeaderMap,
) -> Result<HeaderMap, ClientError> {
    let mut fields = match terms.dialect {
        Dialect::Headers => plain(signed, terms),
        Dialect::V1 => {
            let answers = Answers::V1(terms.asset.chain_id);
            vec![(V1_PAYMENT.to_owned(), payload(signed, answers))]
        }
        Dialect::V2 => {
            let echo = &terms.echo;
            let extensions = identified(&echo.extensions)?;
            let extensions = extensions.as_deref().unwrap_or(&echo.extensions);
            let (accepted, resource) = (&echo.accepted, &echo.resource);
            let answers = Answers::V2 { accepted, resource, extensions };
            vec![(V2_PAYMENT.to_owned(), payload(signed, answers))]
        }
    };
    // Whoever reads the payment on the chain has all of it but this: by it the seller knows the payer.
    if !own.contains_key(idempotency::NAME) {
        fields.push((idempotency::NAME.to_owned(), format!("\"{}\"", random()?)));
    }
    let headers = fields.iter().map(|(name, value)| field(name, value)).collect::<Option<_>>();
    headers.ok_or(ClientError::Request("the asset's symbol is not ASCII"))
}

fn plain(signed: &Signed, terms: &Terms) -> Vec<(String, String)> {
    let mut fields = Vec::new();
    // The dialect's terms are never of a permit.
    if let Some(payment) = signed.headers() {
        payment.emit(&terms.asset.as_asset(), SignatureForm::Packed, |field, value| {
            fields.push((field.name().to_owned(), value.to_owned()));
        });
    }
    if !terms.echo.quote.is_empty() {
        fields.push((QUOTE.to_owned(), terms.echo.quote.clone()));
    }
    fields
}

fn payload(signed: &Signed, answers: Answers<'_>) -> String {
    let signature = signed.signature.to_rsv();
    let payload = SignedPayload { transfer: &signed.transfer, signature: &signature, answers };
    Base64(payload).to_string()
}

/// The extensions with an id of ours, where the seller wants payments to have one: by that it knows
/// a repetition (the extension `payment-identifier`).
fn identified(extensions: &str) -> Result<Option<String>, ClientError> {
    const NAME: &str = "payment-identifier";
    let Ok(mut extensions) = serde_json::from_str::<Value>(extensions) else { return Ok(None) };
    let Some(Value::Object(info)) = extensions.get_mut(NAME).and_then(|it| it.get_mut("info"))
    else {
        return Ok(None);
    };
    info.insert("id".to_owned(), json!(format!("pay_{}", random()?)));
    Ok(Some(extensions.to_string()))
}

/// 128 random bits, in hex.
fn random() -> Result<String, ClientError> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|_| ClientError::System("randomness"))?;
    let text = Hex(&random).to_string();
    Ok(text.trim_start_matches("0x").to_owned())
}
