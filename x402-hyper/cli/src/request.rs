//! The request of `pay` and `quote`, and what may go wrong with it.

use core::time::Duration;
use std::io::Read as _;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue, USER_AGENT};
use http::{Method, Request, Uri};
use x402_hyper::client::{BudgetError, ClientError, FetchError, HttpOptions};
use x402_std::port;

use crate::args::RequestArgs;
use crate::exit::{Exit, Failure};

/// Puts the request together.
pub(crate) fn build(
    uri: Uri,
    method: Option<Method>,
    args: &RequestArgs,
) -> Result<Request<Bytes>, Failure> {
    let body = args.data.as_deref().map(body).transpose()?;
    let default = if body.is_some() { Method::POST } else { Method::GET };
    let named = args.method.as_deref().map(|name| {
        let unknown = |_| Failure::usage(format!("{name:?} is no HTTP method"));
        name.parse().map_err(unknown)
    });
    let mut request = Request::new(body.clone().unwrap_or_default());
    *request.uri_mut() = uri;
    *request.method_mut() = method.or(named.transpose()?).unwrap_or(default);
    for header in &args.headers {
        let (name, value) = field(header)?;
        request.headers_mut().append(name, value);
    }
    let headers = request.headers_mut();
    headers
        .entry(USER_AGENT)
        .or_insert(HeaderValue::from_static(concat!("x402/", env!("CARGO_PKG_VERSION"))));
    if let Some(body) = body {
        headers.entry(CONTENT_TYPE).or_insert(content_type(&body));
    }
    Ok(request)
}

/// What these flags say otherwise than a request that was kept; nothing, if `None`. What they leave out is
/// as it was.
pub(crate) fn contradiction(
    args: &RequestArgs,
    kept: &Request<Bytes>,
) -> Result<Option<&'static str>, Failure> {
    if args.method.as_deref().is_some_and(|method| method != kept.method().as_str()) {
        return Ok(Some("method"));
    }
    if let Some(data) = &args.data
        && body(data)? != kept.body()
    {
        return Ok(Some("body"));
    }
    for header in &args.headers {
        let (name, value) = field(header)?;
        if name != USER_AGENT && !kept.headers().get_all(&name).iter().any(|it| *it == value) {
            return Ok(Some("header field"));
        }
    }
    Ok(None)
}

/// What is said where a port is none.
pub(crate) const PORT_HELP: &str =
    "write a number from 1 to 65535 behind the colon, or leave both out";

pub(crate) fn uri(text: &str) -> Result<Uri, Failure> {
    let uri: Uri = text.parse().map_err(|_| Failure::usage("the URL cannot be read"))?;
    match uri.scheme() {
        Some(_) if !port::is_sound_in(text) => {
            Err(Failure::usage("the port in the URL is none").help(PORT_HELP))
        }
        Some(_) => Ok(uri),
        None => {
            Err(Failure::usage("the URL has no scheme").help("begin it with http:// or https://"))
        }
    }
}

pub(crate) fn options(args: &RequestArgs) -> HttpOptions {
    let mut options = HttpOptions::default();
    options.request_timeout = Duration::from_secs(args.timeout);
    options
}

fn body(text: &str) -> Result<Bytes, Failure> {
    let read = match text.strip_prefix('@') {
        Some(path) => std::fs::read(path),
        None if text == "-" => {
            let mut body = Vec::new();
            std::io::stdin().read_to_end(&mut body).map(|_| body)
        }
        None => return Ok(Bytes::copy_from_slice(text.as_bytes())),
    };
    let unreadable =
        |error| Failure::usage(format!("the body cannot be read: {error}")).at_file(text);
    read.map(Bytes::from).map_err(unreadable)
}

fn content_type(body: &[u8]) -> HeaderValue {
    let is_json = serde_json::from_slice::<serde_json::Value>(body)
        .is_ok_and(|value| value.is_object() || value.is_array());
    HeaderValue::from_static(if is_json { "application/json" } else { "text/plain; charset=utf-8" })
}

/// The value is not shown where it is wrong: it may be a secret.
fn field(header: &str) -> Result<(HeaderName, HeaderValue), Failure> {
    let (name, value) = header
        .split_once(':')
        .ok_or_else(|| Failure::usage("a header has no colon").help("write -H 'Name: value'"))?;
    let wrong = || Failure::usage(format!("the header {name:?} is malformed"));
    let (name, value) = (name.trim().parse().map_err(|_| wrong())?, value.trim());
    Ok((name, value.parse().map_err(|_| wrong())?))
}

/// What an error of the client is to the user. An outcome that is not known comes with what is
/// needed to go on: `advice` says where the payment is kept.
pub(crate) fn failure(error: &ClientError, advice: impl Fn() -> String) -> Failure {
    match error {
        ClientError::Budget { error, terms } => {
            let help = match error {
                BudgetError::Day(_) | BudgetError::Host(_) => {
                    "nothing was signed; raise the limit, or wait for another day. What was signed \
                     counts, also where it was refused; --rpc looks up what was never used"
                }
                _ => "nothing was signed; name a file that is a budget, or a new one",
            };
            Failure::new(Exit::Limit, format!("not paid: {error}")).at(terms).help(help)
        }
        ClientError::Limit { error, terms } => {
            let help = "nothing was signed; raise or change the limit if you agree to these terms";
            Failure::new(Exit::Limit, format!("not paid: {error}")).at(terms).help(help)
        }
        ClientError::UnknownAsset { .. } | ClientError::Price => {
            Failure::new(Exit::Limit, format!("not paid: {error}")).help("nothing was signed")
        }
        ClientError::Dialect
        | ClientError::Foreign(_)
        | ClientError::Terms(_)
        | ClientError::Wire(_) => Failure::new(Exit::Limit, error)
            .help("nothing was signed; ask the seller for the X-Payment header dialect"),
        ClientError::Refused(refused) => {
            let payment = &refused.payment;
            let advice = refused.help.as_deref().unwrap_or("the seller says no more");
            let until = payment.valid_before;
            let valid = format!("the seller could still take this payment until Unix time {until}");
            Failure::new(Exit::Refused, error).at(payment).help(format!("{advice}; {valid}"))
        }
        ClientError::Unresolved(unresolved) => {
            let payment = &unresolved.payment;
            Failure::new(Exit::Unknown, error).at(payment).help(advice())
        }
        ClientError::Request(_) => Failure::usage(error),
        ClientError::Unkept(_) => Failure::failed(error)
            .help("nothing was paid; run it where a file can be written, or set TMPDIR"),
        ClientError::Unpaid(FetchError::Connect(_)) => Failure::failed(error)
            .help("nothing was paid; is the server running, and the URL right?"),
        _ => Failure::failed(error).help("nothing was paid"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(method: Option<&str>, headers: &[&str], data: Option<&str>) -> RequestArgs {
        RequestArgs {
            method: method.map(str::to_owned),
            headers: headers.iter().map(|&header| header.to_owned()).collect(),
            data: data.map(str::to_owned),
            timeout: 1,
        }
    }

    #[test]
    fn a_body_makes_it_a_post_of_its_type() {
        let build = |args| build("http://h/".parse().unwrap(), None, &args).unwrap();
        assert_eq!(build(args(None, &[], None)).method(), Method::GET);
        assert_eq!(build(args(Some("PUT"), &[], Some("x"))).method(), Method::PUT);
        for (data, headers, kind) in [
            ("some words", &[][..], "text/plain; charset=utf-8"),
            (r#"{"a":1}"#, &[], "application/json"),
            ("{}", &["content-type: text/x"], "text/x"),
        ] {
            let request = build(args(None, headers, Some(data)));
            assert_eq!(request.method(), Method::POST);
            assert_eq!(request.headers()[CONTENT_TYPE], kind);
        }
    }

    #[test]
    fn what_is_malformed_is_refused_without_its_value() {
        for header in ["Authorization secret", "Bad Name: secret", "X: sec\u{1}ret"] {
            let failure = build("http://h/".parse().unwrap(), None, &args(None, &[header], None));
            let text = failure.unwrap_err().to_string();
            assert!(!text.contains("sec"), "{text}");
        }
        assert!(uri("127.0.0.1:1/x").is_err());
        for port in [":", ":0", ":65536", ":+80", ":0x50", ":80a"] {
            assert!(uri(&format!("http://h{port}/")).is_err(), "{port}");
        }
        assert!(uri("http://h:65535/").is_ok() && uri("https://[::1]/").is_ok());
        assert!(build("http://h/".parse().unwrap(), None, &args(Some("G T"), &[], None)).is_err());
    }
}
