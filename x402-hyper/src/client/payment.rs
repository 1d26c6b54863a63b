mod saved;

use core::fmt;

use bytes::Bytes;
use http::header::USER_AGENT;
use http::{HeaderMap, Method, Request, Uri};
use x402_core::buyer::Signed;
use x402_core::{Address, Amount, Nonce, Price, Scheme, Timestamp};
use x402_std::chain::TxHash;
use x402_std::config::OwnedAsset;

use super::{ClientError, Terms, attach};

pub(super) use saved::field;

/// A payment that was signed for one request, and what became of it.
///
/// It holds the signed header fields, so that the same payment can be presented again; nothing
/// shows them but [`Payment::headers`] and [`Payment::save`].
#[derive(Clone)]
#[non_exhaustive]
pub struct Payment {
    /// How much was signed for, in atomic units of the asset.
    pub amount: Amount,
    /// Whether less than that may be taken (`upto`).
    pub is_ceiling: bool,
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
    /// How much the seller says was taken, in atomic units of the asset; `None` where nothing says it.
    pub taken: Option<Amount>,
    method: Method,
    uri: Uri,
    /// The request's own fields and its body.
    sent_with: Option<(HeaderMap, Bytes)>,
    headers: HeaderMap,
}

/// What is known of a payment's outcome: what the seller says, nobody asked the chain.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Status {
    /// The seller has taken it, and settles it later.
    Accepted,
    /// The seller says that nothing was charged for this answer.
    NotCharged,
    /// The seller serves, and the chain has not said.
    Pending,
    /// It was signed, and there is no answer yet.
    Sent,
    /// The seller names the transaction that moved the money.
    Settled,
    /// There is an answer, and no word of a transaction in it.
    Unproven,
}

/// What an answer says of a payment.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Outcome {
    pub(super) status: Status,
    pub(super) transaction: Option<TxHash>,
    pub(super) taken: Option<Amount>,
}

impl Status {
    /// One word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::NotCharged => "not-charged",
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
            is_ceiling: matches!(terms.scheme, Scheme::Upto { .. }),
            asset: terms.asset.clone(),
            recipient: transfer.to(),
            payer: transfer.from(),
            nonce: transfer.nonce(),
            valid_before: transfer.valid_before(),
            status: Status::Sent,
            transaction: None,
            taken: None,
            method: request.method().clone(),
            uri: request.uri().clone(),
            sent_with: Some((request.headers().clone(), request.body().clone())),
            headers: attach::headers(signed, terms, request.headers())?,
        })
    }

    pub(super) fn concluded(self, outcome: Outcome) -> Self {
        let Outcome { status, transaction, taken } = outcome;
        Self { status, transaction, taken, ..self }
    }

    /// What was paid, in units of the asset; of a ceiling of which nobody says how much was taken, the
    /// most that it may be.
    #[must_use]
    pub fn price(&self) -> Price {
        self.taken.unwrap_or(self.amount).to_price(self.asset.decimals)
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

    /// The request it was signed for, without the payment; `None` where it was loaded from a text that
    /// does not say it.
    #[must_use]
    pub fn request(&self) -> Option<Request<Bytes>> {
        let (fields, body) = self.sent_with.as_ref()?;
        let mut request = Request::new(body.clone());
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = fields.clone();
        Some(request)
    }

    /// What makes a request another one than that it was signed for; nothing, if `None`. Who asks
    /// (`User-Agent`) does not, and what a text of before does not say cannot.
    #[must_use]
    pub fn differs_from(&self, request: &Request<Bytes>) -> Option<&'static str> {
        if self.method != request.method() {
            return Some("method");
        }
        if self.uri != *request.uri() {
            return Some("URL");
        }
        let (fields, body) = self.sent_with.as_ref()?;
        if body != request.body() {
            return Some("body");
        }
        let meant = |fields: &HeaderMap| {
            let mut fields = fields.clone();
            fields.remove(USER_AGENT);
            fields
        };
        (meant(fields) != meant(request.headers())).then_some("header fields")
    }
}

impl fmt::Display for Payment {
    /// `0.01 USDC on ethereum to 0x…`, or `at most 0.01 USDC …`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let most = if self.is_ceiling && self.taken.is_none() { "at most " } else { "" };
        write!(f, "{most}{} {} on ", self.price(), self.asset.symbol)?;
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
            .field("taken", &self.taken)
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
