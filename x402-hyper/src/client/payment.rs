use core::fmt;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};
use serde_json::{Value, json};
use x402_core::buyer::Signed;
use x402_core::headers::Field;
use x402_core::{Address, Amount, ChainId, LogOrder, Nonce, Price, Timestamp, hex};
use x402_std::chain::TxHash;
use x402_std::config::OwnedAsset;

use super::{ClientError, Terms, V1_PAYMENT, V2_PAYMENT, attach};

/// A payment that was signed for one request, and what became of it.
///
/// It holds the signed header fields, so that the same payment can be presented again; nothing
/// shows them but [`Payment::headers`] and [`Payment::save`].
#[derive(Clone)]
#[non_exhaustive]
pub struct Payment {
    /// How much, in atomic units of the asset.
    pub amount: Amount,
    /// With what, and on which chain.
    pub asset: OwnedAsset,
    /// To whom.
    pub recipient: Address,
    /// Who pays.
    pub payer: Address,
    /// What makes the authorization unlike any other.
    pub nonce: Nonce,
    /// Until when, in Unix seconds, the seller can take the money.
    pub valid_before: Timestamp,
    /// What is known of the outcome.
    pub status: Status,
    /// The transaction that the seller names.
    pub transaction: Option<TxHash>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
}

/// What is known of a payment's outcome: what the seller says, nobody asked the chain.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Status {
    /// The seller has taken it, and settles it later.
    Accepted,
    /// The seller serves, and the chain has not said.
    Pending,
    /// It was signed, and there is no answer yet.
    Sent,
    /// The seller names the transaction that moved the money.
    Settled,
    /// There is an answer, and no word of a transaction in it.
    Unproven,
}

impl Status {
    /// One word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Pending => "pending",
            Self::Sent => "sent",
            Self::Settled => "settled",
            Self::Unproven => "unproven",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Payment {
    pub(super) fn new(
        signed: &Signed,
        terms: &Terms,
        request: &Request<Bytes>,
    ) -> Result<Self, ClientError> {
        let transfer = &signed.transfer;
        Ok(Self {
            amount: transfer.value(),
            asset: terms.asset.clone(),
            recipient: transfer.to(),
            payer: transfer.from(),
            nonce: transfer.nonce(),
            valid_before: transfer.valid_before(),
            status: Status::Sent,
            transaction: None,
            method: request.method().clone(),
            uri: request.uri().clone(),
            headers: attach::headers(signed, terms)?,
        })
    }

    pub(super) fn concluded(self, status: Status, transaction: Option<TxHash>) -> Self {
        Self { status, transaction, ..self }
    }

    /// What was paid, in units of the asset.
    #[must_use]
    pub fn price(&self) -> Price {
        self.amount.to_price(self.asset.decimals)
    }

    /// The header fields that are the payment. Who has them can have the money moved, though to
    /// nobody but the recipient.
    #[must_use]
    pub const fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The method of the request it was signed for.
    #[must_use]
    pub const fn method(&self) -> &Method {
        &self.method
    }

    /// The URL of the request it was signed for, after redirects.
    #[must_use]
    pub const fn uri(&self) -> &Uri {
        &self.uri
    }

    /// The payment as a JSON text, to be kept for [`PayingClient::resume`](super::PayingClient::resume).
    #[must_use]
    pub fn save(&self) -> String {
        let header = |(name, value): (&HeaderName, &HeaderValue)| {
            (name.as_str().to_owned(), Value::from(value.to_str().unwrap_or_default()))
        };
        let headers: serde_json::Map<_, _> = self.headers.iter().map(header).collect();
        let asset = &self.asset;
        let saved = json!({
            "method": self.method.as_str(),
            "url": self.uri.to_string(),
            "amount": self.amount.to_string(),
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
            method: text("method")?.parse().ok()?,
            uri: text("url")?.parse().ok()?,
            headers: headers.collect::<Option<_>>()?,
        })
    }
}

/// A field of a payment; nothing else is ever read as one.
pub(super) fn field(name: &str, value: &str) -> Option<(HeaderName, HeaderValue)> {
    let name: HeaderName = name.parse().ok()?;
    let mut value: HeaderValue = value.parse().ok()?;
    let secrets = [Field::Signature.name(), V1_PAYMENT, V2_PAYMENT];
    value.set_sensitive(secrets.iter().any(|secret| secret.eq_ignore_ascii_case(name.as_str())));
    super::is_payment_field(&name).then_some((name, value))
}

impl fmt::Display for Payment {
    /// `0.01 USDC on ethereum to 0x…`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} on ", self.price(), self.asset.symbol)?;
        match self.asset.chain_id.name() {
            Some(name) => f.write_str(name)?,
            None => write!(f, "{}", self.asset.chain_id)?,
        }
        write!(f, " to {}", self.recipient)
    }
}

impl fmt::Debug for Payment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Payment")
            .field("amount", &self.amount)
            .field("asset", &self.asset)
            .field("recipient", &self.recipient)
            .field("payer", &self.payer)
            .field("nonce", &self.nonce)
            .field("valid_before", &self.valid_before)
            .field("status", &self.status)
            .field("transaction", &self.transaction)
            .finish_non_exhaustive()
    }
}

/// The text is not a payment that was saved.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not a payment that was saved")]
pub struct LoadError;
