use core::fmt;
use core::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, LOCATION, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::{sleep, timeout};
use x402_core::hex::Hex;
use x402_core::wire::Version;
use x402_core::{Reason, keccak256};
use x402_std::facilitator::{
    FacilitatorError, Request as Asked, SettleAnswer, Supported, VerifyAnswer,
};
use x402_std::{BoxFuture, Facilitator, port};

use super::MAX_BODY;
use crate::idempotency;

/// How long a call may take, as the official clients wait.
const TIMEOUT: Duration = Duration::from_secs(90);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How many redirects are followed, within the origin.
const REDIRECTS: usize = 3;
/// How often `/supported` is asked for while the answer is "too many requests".
const TRIES: usize = 3;
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// A facilitator somewhere else, over HTTP.
pub struct HttpFacilitator {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    base: String,
    token: Option<HeaderValue>,
    /// What makes the keys of our calls ours: buyers know the payments. Without randomness and without a
    /// token there is none, and no keys.
    secret: Option<[u8; 32]>,
    timeout: Duration,
}

/// The URL is none of https, or of http on this machine, or its port is none.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct InvalidUrl;

impl fmt::Display for InvalidUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "a facilitator is reached by https, or by http on this machine, at a port from 1 to 65535",
        )
    }
}

impl core::error::Error for InvalidUrl {}

impl fmt::Debug for HttpFacilitator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpFacilitator").finish_non_exhaustive()
    }
}

/// What a facilitator says of a payment.
trait Verdict {
    /// Whether it says no.
    fn is_refusal(&self) -> bool;
}

impl Verdict for VerifyAnswer {
    fn is_refusal(&self) -> bool {
        self.reason.is_some()
    }
}

impl Verdict for SettleAnswer {
    fn is_refusal(&self) -> bool {
        self.reason.is_some()
    }
}

/// What came of a call.
enum Called {
    Answered(Response<Bytes>),
    /// Nothing was sent.
    Unsent(String),
    /// It was sent, and there is no answer.
    Unanswered(String),
}

impl HttpFacilitator {
    /// The facilitator at this base URL: `/verify`, `/settle` and `/supported` are below it. `token` is
    /// sent as `Authorization: Bearer`.
    ///
    /// A request has an `Idempotency-Key` where its [`Caller`](x402_std::facilitator::Caller)
    /// can repeat it: the same for each repetition, also after a restart if there is a token.
    ///
    /// # Errors
    ///
    /// [`InvalidUrl`].
    pub fn new(url: &str, token: Option<&str>) -> Result<Self, InvalidUrl> {
        let uri: Uri = url.parse().map_err(|_| InvalidUrl)?;
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
        let is_here = host == "localhost"
            || host.parse::<core::net::IpAddr>().is_ok_and(|address| address.is_loopback());
        let is_safe = match uri.scheme_str() {
            Some("https") => !host.is_empty(),
            Some("http") => is_here,
            _ => false,
        };
        let has_user = uri.authority().is_some_and(|it| it.as_str().contains('@'));
        let is_port = port::is_sound_in(url);
        if !is_safe || !is_port || has_user || url.contains(['?', '#']) {
            return Err(InvalidUrl);
        }
        let secret = secret_of(token);
        let bearer = token.map(|token| HeaderValue::try_from(format!("Bearer {token}")));
        let mut token = bearer.transpose().map_err(|_| InvalidUrl)?;
        if let Some(token) = &mut token {
            token.set_sensitive(true);
        }
        let base = url.trim_end_matches('/').to_owned();
        let client = client().ok_or(InvalidUrl)?;
        Ok(Self { client, base, token, secret, timeout: TIMEOUT })
    }

    /// Waits no longer for an answer than this (90 s).
    #[must_use]
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    async fn call(&self, method: Method, path: &str, asked: Option<&Asked>) -> Called {
        let called = timeout(self.timeout, self.follow(method, path, asked)).await;
        called.unwrap_or_else(|_| Called::Unanswered("it took too long".to_owned()))
    }

    async fn follow(&self, method: Method, path: &str, asked: Option<&Asked>) -> Called {
        let Ok(mut uri) = format!("{}{path}", self.base).parse::<Uri>() else {
            return Called::Unsent("the URL is none".to_owned());
        };
        for _ in 0..=REDIRECTS {
            let answer = match self.once(&method, &uri, asked).await {
                Called::Answered(answer) => answer,
                called => return called,
            };
            match redirected(&uri, &answer) {
                Some(next) => uri = next,
                None => return Called::Answered(answer),
            }
        }
        Called::Unanswered("it redirects too often".to_owned())
    }

    async fn once(&self, method: &Method, uri: &Uri, asked: Option<&Asked>) -> Called {
        let body = asked.map(|asked| asked.as_bytes().to_vec()).unwrap_or_default();
        let mut request = Request::new(Full::from(body));
        (*request.method_mut(), *request.uri_mut()) = (method.clone(), uri.clone());
        let json = HeaderValue::from_static("application/json");
        request.headers_mut().insert(CONTENT_TYPE, json);
        if let Some(token) = &self.token {
            request.headers_mut().insert(AUTHORIZATION, token.clone());
        }
        if let Some(key) = asked.and_then(|asked| self.key(asked)) {
            request.headers_mut().insert(idempotency::NAME, key);
        }
        let answer = match self.client.request(request).await {
            Ok(answer) => answer,
            // The texts of the library tell of the address at most.
            Err(error) if error.is_connect() => {
                return Called::Unsent("there is no connection".to_owned());
            }
            Err(_) => return Called::Unanswered("the connection broke".to_owned()),
        };
        let (head, body) = answer.into_parts();
        match Limited::new(body, MAX_BODY).collect().await {
            Ok(body) => Called::Answered(Response::from_parts(head, body.to_bytes())),
            Err(_) => Called::Unanswered("the answer broke off, or is too long".to_owned()),
        }
    }

    /// By what the facilitator knows that a request repeats another of ours.
    fn key(&self, asked: &Asked) -> Option<HeaderValue> {
        let (secret, call) = (self.secret?, asked.caller().call()?);
        let key = Hex(&keccak256(&[&secret, &call])).to_string();
        let mut value = HeaderValue::try_from(format!("\"{key}\"")).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    /// Asks, and reads the verdict. An answer of another status is one too, if it has the form and is
    /// a refusal.
    async fn ask<T: Verdict>(
        &self,
        path: &str,
        asked: &Asked,
        read: impl Fn(&[u8]) -> Option<T>,
    ) -> Result<T, FacilitatorError> {
        match self.call(Method::POST, path, Some(asked)).await {
            Called::Unsent(why) => Err(FacilitatorError::Unavailable(why)),
            Called::Unanswered(why) => Err(FacilitatorError::Unknown(why)),
            Called::Answered(answer) => match read(answer.body()) {
                Some(verdict) if answer.status().is_success() || verdict.is_refusal() => {
                    Ok(verdict)
                }
                Some(_) => Err(FacilitatorError::Unbelievable("it says yes with another status")),
                None if answer.status().is_success() => {
                    Err(FacilitatorError::Unbelievable("it has another form"))
                }
                None if matches!(answer.status().as_u16(), 401 | 403 | 404 | 429) => {
                    let why = format!("it answers {}", answer.status().as_u16());
                    Err(FacilitatorError::Unavailable(why))
                }
                None => {
                    let why = format!("it answers {}", answer.status().as_u16());
                    Err(FacilitatorError::Unknown(why))
                }
            },
        }
    }

    async fn ask_supported(&self) -> Result<Supported, FacilitatorError> {
        for tries in 1.. {
            let answer = match self.call(Method::GET, "/supported", None).await {
                Called::Answered(answer) => answer,
                Called::Unsent(why) | Called::Unanswered(why) => {
                    return Err(FacilitatorError::Unavailable(why));
                }
            };
            if answer.status() == StatusCode::TOO_MANY_REQUESTS && tries < TRIES {
                sleep(pause(answer.headers(), tries)).await;
                continue;
            }
            // Who stands before it says so, or it has too much to do: it may be there later.
            let status = answer.status();
            if status.is_server_error() || matches!(status.as_u16(), 408 | 429) {
                let why = format!("it answers {}", status.as_u16());
                return Err(FacilitatorError::Unavailable(why));
            }
            let shape = FacilitatorError::Unbelievable("it has another form");
            return Supported::parse(answer.body()).map_err(|_| shape);
        }
        Err(FacilitatorError::Unavailable("it is asked too often".to_owned()))
    }

    /// Settles; where the answer is that the outcome is not known yet, asks once more.
    async fn ask_to_settle(&self, asked: &Asked) -> Result<SettleAnswer, FacilitatorError> {
        let version = asked.view().map_or(Version::V2, |view| view.payload.version);
        let read = |body: &[u8]| SettleAnswer::parse(body, version).ok();
        let answer = self.ask("/settle", asked, read).await?;
        if !is_pending(&answer) {
            return Ok(answer);
        }
        // A refusal now says nothing of what was sent before: the hash is all there is to go by.
        let again = self.ask("/settle", asked, read).await;
        Ok(match again {
            Ok(again) if again.reason.is_none() || is_pending(&again) => again,
            Ok(_) | Err(_) => answer,
        })
    }
}

impl Facilitator for HttpFacilitator {
    fn verify<'a>(
        &'a self,
        request: &'a Asked,
    ) -> BoxFuture<'a, Result<VerifyAnswer, FacilitatorError>> {
        Box::pin(self.ask("/verify", request, |body| VerifyAnswer::parse(body).ok()))
    }

    fn settle<'a>(
        &'a self,
        request: &'a Asked,
    ) -> BoxFuture<'a, Result<SettleAnswer, FacilitatorError>> {
        Box::pin(self.ask_to_settle(request))
    }

    fn supported(&self) -> BoxFuture<'_, Result<Supported, FacilitatorError>> {
        Box::pin(self.ask_supported())
    }
}

/// Sent, and not known yet.
fn is_pending(answer: &SettleAnswer) -> bool {
    let is_pending = answer.reason.as_deref() == Some(Reason::SettlementPending.as_str());
    is_pending && answer.transaction.is_some()
}

/// A secret of the seller's: of its token, so that it is the same after a restart, or else random.
fn secret_of(token: Option<&str>) -> Option<[u8; 32]> {
    match token {
        Some(token) => Some(keccak256(&[b"x402 idempotency keys", token.as_bytes()])),
        None => {
            let mut secret = [0; 32];
            getrandom::fill(&mut secret).is_ok().then_some(secret)
        }
    }
}

/// `None` where TLS cannot be set up.
fn client() -> Option<Client<HttpsConnector<HttpConnector>, Full<Bytes>>> {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
    let tls = HttpsConnectorBuilder::new()
        .with_provider_and_webpki_roots(rustls::crypto::ring::default_provider())
        .ok()?
        .https_or_http()
        .enable_http1()
        .wrap_connector(tcp);
    Some(Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build(tls))
}

/// Where an answer sends the same request, if that is within the origin.
fn redirected(from: &Uri, answer: &Response<Bytes>) -> Option<Uri> {
    let is_same_request = matches!(answer.status().as_u16(), 307 | 308);
    let to = answer.headers().get(LOCATION).filter(|_| is_same_request)?.to_str().ok()?;
    if to.starts_with('/') && !to.starts_with("//") {
        let mut parts = from.clone().into_parts();
        parts.path_and_query = Some(to.parse().ok()?);
        return Uri::from_parts(parts).ok();
    }
    let to: Uri = to.parse().ok()?;
    let is_same_origin = to.scheme() == from.scheme() && to.authority() == from.authority();
    is_same_origin.then_some(to)
}

/// What `Retry-After` says, in seconds, or 1 s, 2 s, …; at most 30 s.
fn pause(headers: &HeaderMap, tries: usize) -> Duration {
    let told = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    told.map_or(Duration::from_secs(1 << (tries - 1)), Duration::from_secs).min(LONGEST_PAUSE)
}
