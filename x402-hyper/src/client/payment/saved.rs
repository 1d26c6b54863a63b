//! A payment as a text, to be kept for as long as its outcome is not known.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Map, Value, json};
use x402_core::headers::Field;
use x402_core::hex::{self, Hex};
use x402_core::{Address, Amount, ChainId, LogOrder, Nonce, Timestamp};
use x402_std::config::OwnedAsset;

use super::{LoadError, Payment, Status};
use crate::client::{V1_PAYMENT, V2_PAYMENT, is_payment_field};
use crate::idempotency;

impl Payment {
    /// The payment and its request as a JSON text, to be kept for
    /// [`PayingClient::resume`](crate::client::PayingClient::resume). It is as secret as they are.
    #[must_use]
    pub fn save(&self) -> String {
        let header = |(name, value): (&HeaderName, &HeaderValue)| {
            (name.as_str().to_owned(), Value::from(value.to_str().unwrap_or_default()))
        };
        let headers: Map<_, _> = self.headers.iter().map(header).collect();
        let asset = &self.asset;
        let mut saved = json!({
            "method": self.method.as_str(),
            "url": self.uri.to_string(),
            "amount": self.amount.to_string(),
            "is_ceiling": self.is_ceiling,
            "asset": {
                "chain_id": asset.chain_id.get(),
                "symbol": asset.symbol,
                "address": asset.address.to_string(),
                "name": asset.name,
                "version": asset.version,
                "decimals": asset.decimals,
            },
            "recipient": self.recipient.to_string(),
            "payer": self.payer.to_string(),
            "nonce": self.nonce.to_string(),
            "valid_before": self.valid_before.to_string(),
            "headers": headers,
        });
        if let (Value::Object(saved), Some((fields, body))) = (&mut saved, &self.sent_with) {
            let fields = fields.iter().map(|(name, value)| {
                let mut field = Map::from_iter([("name".to_owned(), name.as_str().into())]);
                put(&mut field, "value", value.as_bytes());
                Value::Object(field)
            });
            saved.insert("fields".to_owned(), fields.collect());
            put(saved, "body", body);
        }
        format!("{saved:#}\n")
    }

    /// Reads what [`Self::save`] wrote.
    ///
    /// # Errors
    ///
    /// [`LoadError`] where it is anything else.
    pub fn load(text: &str) -> Result<Self, LoadError> {
        let saved: Value = serde_json::from_str(text).map_err(|_| LoadError)?;
        Self::from_saved(&saved).ok_or(LoadError)
    }

    fn from_saved(saved: &Value) -> Option<Self> {
        let text = |key: &str| saved.get(key)?.as_str();
        let asset = saved.get("asset")?;
        let name = |key: &str| asset.get(key)?.as_str().map(str::to_owned);
        let headers = saved.get("headers")?.as_object()?.iter();
        let headers = headers.map(|(name, value)| field(name, value.as_str()?));
        Some(Self {
            amount: Amount::parse(text("amount")?).ok()?,
            // Those of before this was said were never of a ceiling's scheme or did not say it.
            is_ceiling: saved.get("is_ceiling").and_then(Value::as_bool).unwrap_or_default(),
            asset: OwnedAsset {
                chain_id: ChainId::new(asset.get("chain_id")?.as_u64()?),
                symbol: name("symbol")?,
                address: Address::parse(&name("address")?).ok()?,
                name: name("name")?,
                version: name("version")?,
                decimals: asset.get("decimals")?.as_u64()?.try_into().ok()?,
                // A buyer reads no receipts.
                log_order: LogOrder::Unknown,
            },
            recipient: Address::parse(text("recipient")?).ok()?,
            payer: Address::parse(text("payer")?).ok()?,
            nonce: Nonce::new(hex::decode(text("nonce")?).ok()?),
            valid_before: Timestamp::parse(text("valid_before")?).ok()?,
            status: Status::Sent,
            transaction: None,
            taken: None,
            method: text("method")?.parse().ok()?,
            uri: text("url")?.parse().ok()?,
            sent_with: match saved.get("fields") {
                Some(fields) => Some((fields_of(fields)?, Bytes::from(take(saved, "body")?))),
                None => None,
            },
            headers: headers.collect::<Option<_>>()?,
        })
    }
}

/// A field of a payment; nothing else is ever read as one.
pub(in crate::client) fn field(name: &str, value: &str) -> Option<(HeaderName, HeaderValue)> {
    let name: HeaderName = name.parse().ok()?;
    let mut value: HeaderValue = value.parse().ok()?;
    let secrets = [Field::Signature.name(), V1_PAYMENT, V2_PAYMENT, idempotency::NAME];
    value.set_sensitive(secrets.iter().any(|secret| secret.eq_ignore_ascii_case(name.as_str())));
    (is_payment_field(&name) || name == idempotency::NAME).then_some((name, value))
}

/// The fields of the request itself: no payment is among them.
fn fields_of(fields: &Value) -> Option<HeaderMap> {
    let mut map = HeaderMap::new();
    for field in fields.as_array()? {
        let name: HeaderName = field.get("name")?.as_str()?.parse().ok()?;
        let value = HeaderValue::from_bytes(&take(field, "value")?).ok()?;
        if is_payment_field(&name) {
            return None;
        }
        map.append(name, value);
    }
    Some(map)
}

/// Bytes as a text where they are one, else in hex under another name.
fn put(object: &mut Map<String, Value>, key: &str, bytes: &[u8]) {
    match core::str::from_utf8(bytes) {
        Ok(text) => object.insert(key.to_owned(), text.into()),
        Err(_) => object.insert(format!("{key}_hex"), Hex(bytes).to_string().into()),
    };
}

fn take(object: &Value, key: &str) -> Option<Vec<u8>> {
    if let Some(text) = object.get(key) {
        return text.as_str().map(|text| text.as_bytes().to_vec());
    }
    let text = object.get(format!("{key}_hex"))?.as_str()?;
    let mut bytes = vec![0; text.len() / 2];
    let length = hex::decode_into(text, &mut bytes).ok()?.len();
    bytes.truncate(length);
    Some(bytes)
}
