//! What of a message's head is passed on, and what is not.

use core::net::IpAddr;

use http::header::{
    CONNECTION, EXPECT, FORWARDED, HOST, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE,
    TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue};
use x402_core::hex::Hex;
use x402_core::{Address, PaymentId, keccak256};

use crate::idempotency;

/// Fields of one connection.
const HOP_BY_HOP: [HeaderName; 10] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static("http2-settings"),
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRANSFER_ENCODING,
    UPGRADE,
    EXPECT,
];

/// Fields by which a client would have the upstream see another request than the one that was
/// priced, or another client.
const OVERRIDES: [&str; 20] = [
    "x-original-url",
    "x-original-uri",
    "x-original-path",
    "x-original-method",
    "x-rewrite-url",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-forwarded-path",
    "x-forwarded-prefix",
    "x-forwarded-uri",
    "x-forwarded-method",
    "x-forwarded-server",
    "x-forwarded-port",
    "x-forwarded-scheme",
    "x-envoy-original-path",
    "x-script-name",
    "x-waws-unencoded-url",
    "x-real-ip",
    "x-client-ip",
];

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const PAYER: HeaderName = HeaderName::from_static("x-payer");
const PAYMENT_ID: HeaderName = HeaderName::from_static("x-payment-id");
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static(idempotency::NAME);

/// Who asks.
pub(super) struct Origin {
    pub(super) peer: Option<IpAddr>,
    /// Who has paid, and, if it was for this request, by which payment.
    pub(super) paid: Option<(Address, Option<PaymentId>)>,
}

/// Makes the fields of a request those that the upstream is to see.
pub(super) fn to_upstream(headers: &mut HeaderMap, host: &HeaderValue, origin: &Origin) {
    let takes_trailers = takes_trailers(headers);
    strip_request(headers);
    if takes_trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
        headers.insert(CONNECTION, HeaderValue::from_static("te"));
    }
    let asked = headers.insert(HOST, host.clone());
    set(headers, FORWARDED_HOST, asked);
    set(headers, FORWARDED_PROTO, Some(HeaderValue::from_static("http")));
    set(headers, FORWARDED_FOR, origin.peer.and_then(|peer| value(&peer)));
    set(headers, PAYER, origin.paid.and_then(|(payer, _)| value(&payer)));
    let payment = origin.paid.and_then(|(_, payment)| payment);
    let id = payment.and_then(|payment| value(&Hex(&keccak256(&[&payment.to_bytes()]))));
    // Work that was cut off is asked for again: by this the upstream can tell that it is the same. A key of the
    // client's would have it take two payments for one, or one for two.
    if id.is_some() {
        set(headers, IDEMPOTENCY_KEY, id.clone());
    }
    set(headers, PAYMENT_ID, id);
}

/// Removes what a client may say neither before a body nor behind it.
fn strip_request(headers: &mut HeaderMap) {
    strip_connection(headers);
    for name in OVERRIDES {
        headers.remove(name);
    }
    headers.remove(FORWARDED);
    // Behind a CGI-like interface `X_Payer` and `X-Payer` are the same variable.
    let odd: Vec<_> = headers.keys().filter(|name| name.as_str().contains('_')).cloned().collect();
    for name in odd {
        headers.remove(name);
    }
}

/// Removes from behind a request's body what the upstream is told before it, for some servers make one of both.
pub(super) fn strip_trailers(trailers: &mut HeaderMap) {
    strip_request(trailers);
    let own = [FORWARDED_FOR, FORWARDED_HOST, FORWARDED_PROTO, PAYER, PAYMENT_ID, IDEMPOTENCY_KEY];
    for name in own {
        trailers.remove(name);
    }
}

/// Makes the fields of an answer, before its body or behind it, those that the client is to see.
pub(super) fn from_upstream(headers: &mut HeaderMap) {
    strip_connection(headers);
    let payments: Vec<_> = headers.keys().filter(|name| is_of_payment(name)).cloned().collect();
    for name in payments {
        headers.remove(name);
    }
}

/// What only the gateway says, or what is between a handler and its own payment software.
fn is_of_payment(name: &HeaderName) -> bool {
    let name = name.as_str();
    let prefixes = ["x-payment-", "payment-"];
    let names = ["x-payment", "settlement-overrides", "extension-responses"];
    prefixes.iter().any(|prefix| name.starts_with(prefix)) || names.contains(&name)
}

/// Whether the client takes fields behind an answer's body.
fn takes_trailers(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(TE).iter().filter_map(|line| line.to_str().ok());
    let mut codings = lines.flat_map(|line| line.split(','));
    codings.any(|coding| coding.trim().eq_ignore_ascii_case("trailers"))
}

fn strip_connection(headers: &mut HeaderMap) {
    let lines = headers.get_all(CONNECTION).iter().filter_map(|line| line.to_str().ok());
    let named: Vec<_> = lines
        .flat_map(|line| line.split(','))
        .filter_map(|name| HeaderName::from_bytes(name.trim().as_bytes()).ok())
        .collect();
    for name in named {
        headers.remove(name);
    }
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: Option<HeaderValue>) {
    match value {
        Some(value) => drop(headers.insert(name, value)),
        None => drop(headers.remove(name)),
    }
}

fn value(text: &dyn core::fmt::Display) -> Option<HeaderValue> {
    HeaderValue::try_from(text.to_string()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(
                HeaderName::from_bytes(name.as_bytes()).unwrap(),
                HeaderValue::from_static(value),
            );
        }
        headers
    }

    fn names(headers: &HeaderMap) -> Vec<&str> {
        let mut names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn a_request_loses_what_is_not_the_upstreams() {
        let sent = [
            ("Accept-Encoding", "gzip"),
            ("Connection", "close, X-Named, X-Payer, Cookie"),
            ("Connection", "x-forwarded-for, HTTP2-Settings"),
            ("Content-Length", "4"),
            ("Cookie", "a=b"),
            ("Expect", "100-continue"),
            ("Forwarded", "for=1.2.3.4"),
            ("Host", "evil.example"),
            ("HTTP2-Settings", "AAA"),
            ("Keep-Alive", "timeout=5"),
            ("Proxy-Authorization", "Basic a"),
            ("Proxy-Connection", "keep-alive"),
            ("Range", "bytes=0-0"),
            ("If-None-Match", "*"),
            ("TE", "trailers"),
            ("Trailer", "X-Sum"),
            ("Transfer-Encoding", "chunked"),
            ("Upgrade", "h2c"),
            ("X-Forwarded-For", "1.2.3.4"),
            ("X-Forwarded-Host", "evil.example"),
            ("X-Forwarded-Proto", "https"),
            ("X-HTTP-Method-Override", "DELETE"),
            ("X-Named", "a"),
            ("X-Original-URL", "/paid"),
            ("X-Payer", "0xevil"),
            ("X_Payer", "0xevil"),
            ("X-Rewrite-URL", "/paid"),
        ];
        let host = HeaderValue::from_static("upstream:3000");
        let peer = Some(IpAddr::from([10, 0, 0, 1]));
        let mut free = headers(&sent);
        to_upstream(&mut free, &host, &Origin { peer, paid: None });
        let common = [
            "accept-encoding",
            "connection",
            "content-length",
            "host",
            "if-none-match",
            "range",
            "te",
            "trailer",
            "x-forwarded-for",
            "x-forwarded-host",
            "x-forwarded-proto",
        ];
        let with = |extra: &[&'static str]| {
            let mut names = [&common[..], extra].concat();
            names.sort_unstable();
            names
        };
        assert_eq!(names(&free), with(&[]));
        assert_eq!(
            (&free["connection"], &free["te"]),
            (&HeaderValue::from_static("te"), &HeaderValue::from_static("trailers"))
        );
        let mut paid = headers(&sent);
        let payment = PaymentId::from_bytes(&[7; PaymentId::LEN]);
        let payer = Some((Address::new([0x11; 20]), Some(payment)));
        to_upstream(&mut paid, &host, &Origin { peer, paid: payer });
        assert_eq!(names(&paid), with(&["idempotency-key", "x-payer", "x-payment-id"]));
        assert_eq!(paid["idempotency-key"], paid["x-payment-id"]);
        assert_eq!(paid["x-payment-id"].len(), 66);
        assert!(paid["x-payment-id"].to_str().unwrap().starts_with(&payment.to_string()));
        let mut keyed = headers(&[("Idempotency-Key", "the client's"), ("X-Payment-Id", "0xevil")]);
        to_upstream(&mut keyed, &host, &Origin { peer, paid: payer });
        assert_eq!(keyed["idempotency-key"], paid["x-payment-id"]);
        let mut free = headers(&[("Idempotency-Key", "the client's")]);
        to_upstream(&mut free, &host, &Origin { peer, paid: None });
        assert_eq!(free["idempotency-key"], "the client's");
        assert_eq!(keyed["x-payment-id"], paid["x-payment-id"]);
        assert_eq!(paid["x-payer"], "0x1111111111111111111111111111111111111111");
        assert_eq!(paid["host"], "upstream:3000");
        assert_eq!(paid["x-forwarded-for"], "10.0.0.1");
        assert_eq!(paid["x-forwarded-host"], "evil.example");
        assert_eq!(paid["x-forwarded-proto"], "http");
    }

    #[test]
    fn an_answer_loses_what_is_not_the_clients() {
        let mut answer = headers(&[
            ("Accept-Ranges", "bytes"),
            ("Connection", "close, X-Named"),
            ("Content-Length", "4"),
            ("ETag", "a"),
            ("EXTENSION-RESPONSES", "a"),
            ("Keep-Alive", "timeout=5"),
            ("PAYMENT-REQUIRED", "a"),
            ("PAYMENT-RESPONSE", "a"),
            ("Settlement-Overrides", "{}"),
            ("Transfer-Encoding", "chunked"),
            ("X-Named", "a"),
            ("X-PAYMENT", "a"),
            ("X-Payment-Payer", "a"),
            ("X-Payment-Response", "a"),
        ]);
        from_upstream(&mut answer);
        assert_eq!(names(&answer), ["accept-ranges", "content-length", "etag"]);
    }

    #[test]
    fn behind_a_body_nobody_is_a_payer() {
        let mut trailers = headers(&[
            ("Forwarded", "for=1.2.3.4"),
            ("Idempotency-Key", "a"),
            ("X-Forwarded-For", "1.2.3.4"),
            ("X-HTTP-Method-Override", "DELETE"),
            ("X-Payer", "0xevil"),
            ("X_Payer", "0xevil"),
            ("X-Payment-Id", "0xevil"),
            ("X-Sum", "a"),
        ]);
        strip_trailers(&mut trailers);
        assert_eq!(names(&trailers), ["x-sum"]);
    }
}
