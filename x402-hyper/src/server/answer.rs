//! The answers that are the layer's own, and what it does to those of the service behind.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, VARY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use x402_core::{Amount, ChainId, Code, Error, Offer, Refusal, Scheme, TransferMethod};
use x402_std::ledger::Answer;
use x402_std::quote::TokenError;
use x402_std::seller::{Receipt, Rejection};

use super::dialect::{self, Dialect, Terms};
use super::pricing::Sale;
use super::tokens::Quoting;

/// What an answer of the layer's own says where no payment is at fault.
pub(crate) struct Notice {
    pub(crate) status: StatusCode,
    pub(crate) reason: &'static str,
    pub(crate) message: &'static str,
    pub(crate) help: &'static str,
}

pub(super) const ABSENT: Notice = Notice {
    status: StatusCode::NOT_FOUND,
    reason: "not_found",
    message: "there is nothing at this path",
    help: "write the path as the seller does: letter for letter, without detours",
};
pub(super) const BROKEN: Notice = Notice {
    status: StatusCode::INTERNAL_SERVER_ERROR,
    reason: "unexpected_error",
    message: "the answer could not be made",
    help: "do not pay again: send the same request with the same payment once more",
};
pub(super) const BROKEN_BODY: Notice = Notice {
    status: StatusCode::BAD_REQUEST,
    reason: "invalid_body",
    message: "the request's body broke off",
    help: "do not pay again: send the whole request with the same payment once more",
};
pub(super) const LARGE_ANSWER: Notice = Notice {
    status: StatusCode::INTERNAL_SERVER_ERROR,
    reason: "unexpected_error",
    message: "the answer is too large to be held until it is paid for",
    help: "nothing was charged: ask for less, or ask the seller to settle first",
};
pub(super) const CUT_ANSWER: Notice = Notice {
    status: StatusCode::BAD_GATEWAY,
    reason: "incomplete_answer",
    message: "the answer broke off before its end, and is not given",
    help: "nothing was charged: send the same request with the same payment once more",
};
pub(super) const LARGE_BODY: Notice = Notice {
    status: StatusCode::PAYLOAD_TOO_LARGE,
    reason: "invalid_body",
    message: "the request's body is too large to be compared with the one that was paid for",
    help: "the payment was used: a new request is a new payment",
};
pub(super) const LARGE_UNPRICED: Notice = Notice {
    status: StatusCode::PAYLOAD_TOO_LARGE,
    reason: "invalid_body",
    message: "the request's body is too large to be priced",
    help: "nothing was charged: send less",
};
pub(super) const LARGE_SIGNED: Notice = Notice {
    status: StatusCode::PAYLOAD_TOO_LARGE,
    reason: "invalid_body",
    message: "the request's body is too large to be compared with what its payer has signed",
    help: "nothing was drawn: send less, or pay",
};
pub(super) const LARGE_PAYMENT: Notice = Notice {
    status: StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
    reason: "invalid_payload",
    message: "the payment headers are too large",
    help: "see the documentation of the X-Payment headers",
};
pub(super) const STRANGE_CREDIT: Notice = Notice {
    status: StatusCode::BAD_REQUEST,
    reason: "invalid_credit",
    message: "X-Payment-Credit names no balance that can pay for this",
    help: "send it as this seller has told it, or leave it out and pay",
};
pub(super) const REPLACED_CREDIT: Notice = Notice {
    status: StatusCode::FORBIDDEN,
    reason: "credit_replaced",
    message: "the name of the balance was replaced, and is good no more",
    help: "use the new name; who has lost it sends X-Payment-Credit: new with X-Payment-From and X-Payment-Proof, or pays: the answer tells it",
};
pub(super) const EXPIRED_CREDIT: Notice = Notice {
    status: StatusCode::FORBIDDEN,
    reason: "credit_expired",
    message: "the name of the balance has expired; the balance is there still",
    help: "send X-Payment-Credit: new with X-Payment-From and X-Payment-Proof, or pay: the answer tells a new name",
};
pub(super) const UNSIGNED_CREDIT: Notice = Notice {
    status: StatusCode::FORBIDDEN,
    reason: "credit_signature_required",
    message: "draws on this balance need a signature of its payer's, and there is none for this request, here and now",
    help: "send X-Payment-Proof: the payer's signature over this request, its body and its nonce, a minute old at most",
};
pub(super) const INSECURE_CREDIT: Notice = Notice {
    status: StatusCode::FORBIDDEN,
    reason: "insecure_transport",
    message: "the name of a balance is neither taken nor told over plain HTTP: others could read it",
    help: "send it over HTTPS, and ask there for a new name if this one was sent in the clear: X-Payment-Credit: new",
};
pub(super) const UNPROVEN_NAMING: Notice = Notice {
    status: StatusCode::FORBIDDEN,
    reason: "invalid_credit_proof",
    message: "X-Payment-Proof is no signature of X-Payment-From for a new name of his credit, here and now",
    help: "sign the text for this origin (the seller's `public_url`), the network, asset and payee of the price, and the present time",
};
pub(super) const OUTDATED_NAMING: Notice = Notice {
    status: StatusCode::CONFLICT,
    reason: "credit_proof_used",
    message: "this proof, or a later one, was used before",
    help: "sign anew, with a later time: a proof is good once",
};
pub(super) const NOTHING_NAMED: Notice = Notice {
    status: StatusCode::NOT_FOUND,
    reason: "no_credit",
    message: "X-Payment-From has no credit here in what this is paid with",
    help: "pay: what is not used is credit, and the answer tells its name",
};
/// What is said in place of a 402 of the service behind. Buyers pay anew at every 402: this one would have
/// them pay for what they have paid for, or somebody else.
pub(super) const UPSTREAM_PRICE: Notice = Notice {
    status: StatusCode::BAD_GATEWAY,
    reason: "upstream_payment_required",
    message: "the server behind asks for a payment of its own, which is not the buyer's to make",
    help: "if this was paid for, do not pay again: send the same request with the same payment later",
};
pub(super) const METHOD: Notice = Notice {
    status: StatusCode::METHOD_NOT_ALLOWED,
    reason: "method_not_allowed",
    message: "there is nothing at this path for this method",
    help: "use one of the methods that the header Allow names",
};

/// Fields by which an origin tells shared caches to keep what `Cache-Control` says they may not.
const CACHE_OVERRIDES: [&str; 7] = [
    "surrogate-control",
    "surrogate-key",
    "cdn-cache-control",
    "cloudflare-cdn-cache-control",
    "netlify-cdn-cache-control",
    "vercel-cdn-cache-control",
    "x-accel-expires",
];

/// Fields of a connection, not of an answer; the date is that of the repetition.
const NOT_KEPT: [&str; 9] = [
    "connection",
    "date",
    "keep-alive",
    "proxy-authenticate",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// How long, in seconds, before an answer that is being made, or a chain that cannot be reached, is
/// worth another look.
const SOON: HeaderValue = HeaderValue::from_static("1");
const LATER: HeaderValue = HeaderValue::from_static("5");

impl Notice {
    pub(crate) fn answer(&self) -> Response<Bytes> {
        let Self { status, reason, message, help } = self;
        let code = status.as_str();
        // Texts of our own, without anything that JSON would have escaped.
        json(
            *status,
            format!(
                r#"{{"code":"{code}","reason":"{reason}","message":"{message}","help":"{help}"}}"#
            ),
        )
    }
}

/// 405, with what is allowed.
pub(super) fn method_not_allowed(allow: HeaderValue) -> Response<Bytes> {
    let mut answer = METHOD.answer();
    answer.headers_mut().insert(ALLOW, allow);
    answer
}

/// A request that has no price, and why.
pub(super) fn unpriced(why: &str) -> Response<Bytes> {
    let body = serde_json::json!({
        "code": "400",
        "reason": "invalid_request",
        "message": format!("the request cannot be priced: {why}"),
        "help": "nothing was charged: mend the request",
    });
    json(StatusCode::BAD_REQUEST, body.to_string())
}

/// The same answer to who asked for its head.
pub(super) fn head_of(mut answer: Response<Bytes>) -> Response<Bytes> {
    let length = HeaderValue::from(answer.body().len());
    answer.headers_mut().insert(CONTENT_LENGTH, length);
    answer.map(|_| Bytes::new())
}

/// The answer that could not be made: 500, and the work is still owed.
pub(super) fn broken() -> Response<Bytes> {
    BROKEN.answer()
}

/// What a request asked for: whose answer is being made.
#[derive(Clone)]
pub(super) struct Asked {
    pub(super) sale: Arc<Sale>,
    /// The URL, as the client wrote it.
    pub(super) url: String,
    pub(super) dialect: Dialect,
    /// How its price is signed, if it is.
    pub(super) quoting: Option<Quoting>,
    /// Whether others could read the request on its way, and can read the answer.
    pub(super) is_exposed: bool,
    /// Whether its origin may be another's.
    pub(super) is_elsewhere: bool,
}

impl Asked {
    /// The sale at the price that was quoted, where that quote is good.
    pub(super) fn redeem(&self, quote: Option<&str>) -> Option<Sale> {
        self.quoting.as_ref()?.redeem(&self.sale, quote?)
    }

    /// The origin that a payer signs a draw or a naming for; none where it may be another's.
    pub(super) fn own_origin(&self) -> Option<&str> {
        self.origin().filter(|_| !self.is_elsewhere)
    }

    /// The origin that was asked, as the client knows it.
    pub(super) fn origin(&self) -> Option<&str> {
        let (scheme, rest) = self.url.split_once("://")?;
        let authority = rest.split('/').next()?;
        self.url.get(..scheme.len() + "://".len() + authority.len())
    }
}

/// The price.
pub(super) fn required(asked: &Asked) -> Response<Bytes> {
    priced(&Refusal::Payment(Error::Missing), asked, None, None)
}

/// The price, for who has a pass that is none any more.
pub(super) fn passed(asked: &Asked, error: TokenError) -> Response<Bytes> {
    let reason = match error {
        TokenError::Expired => "pass_expired",
        _ => "invalid_pass",
    };
    let code = Some(Code::PaymentRequired);
    priced(&Refusal::Payment(Error::Missing), asked, code, Some(reason))
}

/// The price, for whose balance is smaller.
pub(super) fn short(balance: Amount, asked: &Asked, offer: &Offer<'_>) -> Response<Bytes> {
    let mut answer = rejected(&Rejection::from(Error::Balance), asked, Some(offer));
    dialect::balance(balance, offer, answer.headers_mut());
    answer
}

/// Why a payment is not taken, with the price again where another payment would help.
pub(super) fn rejected(
    rejection: &Rejection,
    asked: &Asked,
    offer: Option<&Offer<'_>>,
) -> Response<Bytes> {
    let refusal = &rejection.refusal;
    let Refusal::Payment(error) = refusal else { return postponed(rejection, asked, offer) };
    let scheme = offer.map_or(&EXACT, |offer| &offer.requirements().scheme);
    let reason = match asked.dialect {
        Dialect::Headers => error.reason(),
        Dialect::Wire(version) => error.facilitator_reason(scheme, version),
    };
    let reason = reason.as_str();
    match (rejection.payer, offer) {
        // It was tried to move the money, and it did not move.
        (Some(_), Some(offer)) => {
            let mut answer = priced(refusal, asked, Some(error.code()), Some(reason));
            let (headers, chain_id) = (answer.headers_mut(), offer.requirements().chain_id);
            asked.dialect.failure(rejection, reason, chain_id, headers);
            answer
        }
        _ if matches!(error.status(), 402 | 412) => {
            priced(refusal, asked, Some(error.code()), Some(reason))
        }
        _ => bare(refusal),
    }
}

const EXACT: Scheme = Scheme::Exact(TransferMethod::Eip3009);

/// A refusal that is not the payment's fault: it may be presented again.
fn postponed(rejection: &Rejection, asked: &Asked, offer: Option<&Offer<'_>>) -> Response<Bytes> {
    let mut answer = bare(&rejection.refusal);
    let headers = answer.headers_mut();
    match rejection.refusal {
        Refusal::HeldBack | Refusal::Pending | Refusal::Short => {
            headers.insert(RETRY_AFTER, LATER);
            if asked.dialect == Dialect::Headers {
                dialect::pending(rejection.transaction, headers);
            }
            let reason = rejection.refusal.reason().as_str();
            if let Some(offer) = offer {
                let chain_id = offer.requirements().chain_id;
                asked.dialect.failure(rejection, reason, chain_id, headers);
            }
        }
        Refusal::InFlight => drop(headers.insert(RETRY_AFTER, SOON)),
        Refusal::TooSoon(seconds) => drop(headers.insert(RETRY_AFTER, seconds.into())),
        Refusal::InDoubt | Refusal::Unavailable => drop(headers.insert(RETRY_AFTER, LATER)),
        _ => {}
    }
    answer
}

/// A refusal with the price beside it: one body that is v1's and has our own members too.
fn priced(
    refusal: &Refusal,
    asked: &Asked,
    code: Option<Code>,
    reason: Option<&str>,
) -> Response<Bytes> {
    let mut answer = bare(refusal);
    let quotes = asked.quoting.as_ref().map(|quoting| quoting.quotes(&asked.sale));
    let quotes: Vec<_> = quotes.iter().flatten().map(String::as_str).collect();
    let terms = Terms { sale: &asked.sale, url: &asked.url, quotes: &quotes };
    let v1 = dialect::challenge(&terms, code, reason, answer.headers_mut());
    let own = answer.body();
    let members = own.strip_prefix(b"{").unwrap_or_default();
    let body = [b"{", v1.as_bytes(), b",", members].concat();
    answer.map(|_| body.into())
}

fn bare(refusal: &Refusal) -> Response<Bytes> {
    let mut body = [0; Refusal::MAX_LEN];
    let body = refusal.emit(&mut body).unwrap_or_default().to_vec();
    let status = StatusCode::from_u16(refusal.status());
    json(status.unwrap_or(StatusCode::SERVICE_UNAVAILABLE), body)
}

/// An answer of the layer's own that is no refusal.
pub(super) fn said(body: &serde_json::Value) -> Response<Bytes> {
    json(StatusCode::OK, body.to_string())
}

fn json(status: StatusCode, body: impl Into<Bytes>) -> Response<Bytes> {
    let mut answer = Response::new(body.into());
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(VARY, dialect::VARY);
    answer
}

/// Makes the head of the service's answer one that was paid for: nobody's but the payer's, and with
/// nothing in it that looks like the layer's own.
pub(super) fn clean(headers: &mut HeaderMap) {
    dialect::strip_answer(headers);
    for name in CACHE_OVERRIDES {
        headers.remove(name);
    }
    let lines = headers.get_all(CACHE_CONTROL).iter().filter_map(|line| line.to_str().ok());
    let kept = private(lines);
    headers.insert(CACHE_CONTROL, kept);
}

/// `Cache-Control` without what lets shared caches keep an answer.
fn private<'a>(lines: impl Iterator<Item = &'a str>) -> HeaderValue {
    let directives = lines.flat_map(|line| line.split(',')).map(str::trim);
    let mut kept = directives
        .filter(|directive| {
            let name = directive.split('=').next().unwrap_or_default().trim();
            let dropped = ["", "public", "private", "s-maxage"];
            !dropped.iter().any(|dropped| name.eq_ignore_ascii_case(dropped))
        })
        .collect::<Vec<_>>();
    kept.insert(0, "private");
    // A value in quotes that was cut in two may be none any more.
    let value = HeaderValue::try_from(kept.join(", "));
    value.unwrap_or(HeaderValue::from_static("private"))
}

/// Adds what a paid answer says of its payment; `taken`, how much of a ceiling, where that is known.
pub(super) fn receipt(
    headers: &mut HeaderMap,
    receipt: &Receipt,
    chain_id: ChainId,
    dialect: Dialect,
    taken: Option<Amount>,
) {
    dialect.outcome(receipt, chain_id, taken, headers);
    vary(headers);
}

/// Says that nothing was charged for an answer, nor will be. In every dialect by the same field: a receipt
/// of v1 or v2 is of a settlement, and there is none.
pub(super) fn not_charged(headers: &mut HeaderMap) {
    dialect::not_charged(headers);
    vary(headers);
}

/// An answer of our own by which nothing is charged.
pub(super) fn uncharged(notice: &Notice) -> Response<Bytes> {
    let mut answer = notice.answer();
    not_charged(answer.headers_mut());
    answer
}

/// Says that an answer depends on the payment, once: one of our own says so already.
fn vary(headers: &mut HeaderMap) {
    if !headers.get_all(VARY).iter().any(|said| *said == dialect::VARY) {
        headers.append(VARY, dialect::VARY);
    }
}

/// What is kept of an answer's head.
pub(super) fn kept(headers: &HeaderMap) -> Vec<(String, Vec<u8>)> {
    headers
        .iter()
        .filter(|(name, _)| !NOT_KEPT.contains(&name.as_str()))
        .map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec()))
        .collect()
}

/// What an answer that was not kept has handed out: its payer may not have seen it.
pub(super) fn handed_out(answer: &Answer, headers: &mut HeaderMap) {
    for name in [dialect::PASS, dialect::PASS_EXPIRES, dialect::CREDIT, dialect::CREDIT_EXPIRES] {
        let mut kept = answer.headers.iter();
        let value = kept.find(|(kept, _)| kept.eq_ignore_ascii_case(name));
        if let Some(value) = value.and_then(|(_, value)| core::str::from_utf8(value).ok()) {
            dialect::tell(headers, name, value);
        }
    }
}

/// An answer that was kept, given again.
pub(super) fn again(answer: Answer) -> Option<Response<Bytes>> {
    // Kept by a version that gave it.
    if answer.status == StatusCode::PAYMENT_REQUIRED {
        return Some(UPSTREAM_PRICE.answer());
    }
    let mut again = Response::new(Bytes::from(answer.body?));
    *again.status_mut() = StatusCode::from_u16(answer.status).ok()?;
    for (name, value) in answer.headers {
        let name = HeaderName::try_from(name).ok()?;
        again.headers_mut().append(name, HeaderValue::try_from(value).ok()?);
    }
    Some(again)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_paid_answer_is_private() {
        let cases: [(&[&str], &str); 8] = [
            (&[], "private"),
            (&["private"], "private"),
            (&["public, max-age=60"], "private, max-age=60"),
            (&["Public,S-MaxAge = 60", "no-store"], "private, no-store"),
            (&["max-age=1, s-maxage=2", "public"], "private, max-age=1"),
            (&["private=\"set-cookie\", no-cache"], "private, no-cache"),
            (&["no-store"], "private, no-store"),
            (&[",,"], "private"),
        ];
        for (lines, expected) in cases {
            assert_eq!(private(lines.iter().copied()), expected, "{lines:?}");
        }
    }

    #[test]
    fn notices_are_json() {
        for notice in [
            ABSENT,
            BROKEN,
            BROKEN_BODY,
            CUT_ANSWER,
            LARGE_ANSWER,
            LARGE_BODY,
            LARGE_PAYMENT,
            LARGE_UNPRICED,
            METHOD,
            STRANGE_CREDIT,
            REPLACED_CREDIT,
            EXPIRED_CREDIT,
            UNSIGNED_CREDIT,
            INSECURE_CREDIT,
            UNPROVEN_NAMING,
            OUTDATED_NAMING,
            NOTHING_NAMED,
            LARGE_SIGNED,
            UPSTREAM_PRICE,
        ] {
            let body = notice.answer().into_body();
            let body = core::str::from_utf8(&body).unwrap();
            assert_eq!(body.matches('"').count(), 16, "{body}");
            assert!(!body.contains('\\') && body.contains(notice.status.as_str()));
        }
    }
}
