use core::fmt::{self, Write as _};
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use x402_core::ChainId;
use x402_core::wire::WireError;
use x402_std::Facilitator;
use x402_std::facilitator::{Caller, FacilitatorError, KnownSettlement, Request as Asked, Sought};

use super::MAX_BODY;
use super::metrics::Metrics;
use super::sellers::Sellers;
use crate::listener::TooSlow;

/// An answer of the service.
pub(super) type Answer = Response<Full<Bytes>>;

/// Before what is known of a settlement.
const SETTLEMENTS: &str = "/settlements/";

/// The HTTP service of a facilitator. Clones share everything.
#[derive(Clone)]
pub struct FacilitatorService {
    shared: Arc<Shared>,
}

struct Shared {
    facilitator: Arc<dyn Facilitator>,
    sellers: Sellers,
    metrics: Metrics,
    report: Option<Box<dyn Fn() -> Report + Send + Sync>>,
}

/// How the chains stand that a facilitator settles on.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Report {
    /// More lines for `/metrics`, in Prometheus' text format.
    pub metrics: String,
    /// The chains on which nothing can be settled for the moment, for what lies with the facilitator.
    pub unready: Vec<ChainId>,
    /// Whether there is a chain on which payments can be settled.
    pub is_any_ready: bool,
}

impl Report {
    /// The answer to `/healthz`: 503 where nothing can be settled at all.
    fn health(&self) -> Answer {
        let mut lines = String::from(if self.is_any_ready { "ok\n" } else { "not ready\n" });
        for chain_id in &self.unready {
            // A String takes everything.
            let _ = writeln!(lines, "nothing is settled on {chain_id}");
        }
        let mut answer = text(lines);
        if !self.is_any_ready {
            *answer.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        }
        answer
    }
}

impl fmt::Debug for FacilitatorService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FacilitatorService").finish_non_exhaustive()
    }
}

impl FacilitatorService {
    /// A service before a facilitator, for one seller. With a token, all but `/supported` and `/healthz` is
    /// answered only to who sends it (`Authorization: Bearer …`).
    #[must_use]
    pub fn new(facilitator: Arc<dyn Facilitator>, token: Option<&str>) -> Self {
        Self::with_sellers(facilitator, token.map(Sellers::one).unwrap_or_default())
    }

    /// As [`Self::new`], for several sellers, each with a token of its own.
    #[must_use]
    pub fn with_sellers(facilitator: Arc<dyn Facilitator>, sellers: Sellers) -> Self {
        let metrics = Metrics::default();
        Self { shared: Arc::new(Shared { facilitator, sellers, metrics, report: None }) }
    }

    /// The same, which says at `/healthz` and `/metrics` how the chains stand. It has no effect once a request
    /// was answered.
    #[must_use]
    pub fn reporting(mut self, report: impl Fn() -> Report + Send + Sync + 'static) -> Self {
        if let Some(shared) = Arc::get_mut(&mut self.shared) {
            shared.report = Some(Box::new(report));
        }
        self
    }

    /// Answers one request.
    pub async fn answer<B>(&self, request: Request<B>) -> Response<Full<Bytes>>
    where
        B: Body<Data = Bytes, Error: Into<Box<dyn core::error::Error + Send + Sync>>>,
    {
        let (head, body) = request.into_parts();
        let endpoint = match head.uri.path() {
            "/verify" => "verify",
            "/settle" => "settle",
            "/supported" => "supported",
            "/healthz" => "healthz",
            "/metrics" => "metrics",
            path if path.starts_with(SETTLEMENTS) => "settlements",
            _ => return fault(StatusCode::NOT_FOUND, "there is nothing at this path"),
        };
        let answer = match self.let_in(endpoint, &head) {
            Ok(caller) => self.go(endpoint, &head, caller, body).await,
            Err(answer) => *answer,
        };
        self.shared.metrics.request(endpoint, answer.status().as_u16());
        answer
    }

    fn report(&self) -> Report {
        let unknown = || Report { is_any_ready: true, ..Report::default() };
        self.shared.report.as_ref().map_or_else(unknown, |report| report())
    }

    /// Who asks; else the answer to what is not to be asked so, or by them.
    fn let_in(&self, endpoint: &'static str, head: &Parts) -> Result<Caller, Box<Answer>> {
        let is_post = matches!(endpoint, "verify" | "settle");
        let allowed = if is_post { "POST" } else { "GET, HEAD" };
        let is_allowed = match head.method {
            Method::POST => is_post,
            Method::GET | Method::HEAD => !is_post,
            _ => false,
        };
        if !is_allowed {
            let mut answer = fault(StatusCode::METHOD_NOT_ALLOWED, "there is no such method here");
            answer.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
            return Err(answer.into());
        }
        if matches!(endpoint, "healthz" | "supported") {
            return Ok(Caller::default());
        }
        let Some(caller) = self.shared.sellers.find(&head.headers) else {
            let mut answer = fault(StatusCode::UNAUTHORIZED, "a bearer token is needed");
            answer.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            return Err(answer.into());
        };
        if is_post && !is_json(&head.headers) {
            // A web page may send other types to this machine without being asked whether it may.
            let why = "the body has to be application/json";
            return Err(fault(StatusCode::UNSUPPORTED_MEDIA_TYPE, why).into());
        }
        if endpoint != "settle" {
            return Ok(caller);
        }
        let caller = self.shared.sellers.with_key(caller, &head.headers);
        caller.map_err(|why| fault(StatusCode::BAD_REQUEST, why).into())
    }

    async fn go<B>(&self, endpoint: &'static str, head: &Parts, caller: Caller, body: B) -> Answer
    where
        B: Body<Data = Bytes, Error: Into<Box<dyn core::error::Error + Send + Sync>>>,
    {
        match endpoint {
            "healthz" => self.report().health(),
            "metrics" => text(self.shared.metrics.to_text() + &self.report().metrics),
            "settlements" => self.look_up(head.uri.path(), &caller).await,
            "supported" => match self.shared.facilitator.supported().await {
                Ok(supported) => json(StatusCode::OK, supported.to_json()),
                Err(error) => no_verdict(&error),
            },
            "verify" => match read(body, "isValid", "invalidReason").await {
                Ok(asked) => self.verify(&asked.by(caller)).await,
                Err(answer) => answer,
            },
            _ => match read(body, "success", "errorReason").await {
                Ok(asked) => self.settle(asked.by(caller)).await,
                Err(answer) => answer,
            },
        }
    }

    /// What is known of the settlements that this seller has asked for.
    async fn look_up(&self, path: &str, caller: &Caller) -> Answer {
        let sought = path.strip_prefix(SETTLEMENTS).and_then(Sought::parse);
        let Some(sought) = sought else {
            let why = "name a transaction, or NETWORK/ASSET/PAYER/NONCE";
            return fault(StatusCode::BAD_REQUEST, why);
        };
        match self.shared.facilitator.settlements(&sought, caller).await {
            Ok(known) if known.is_empty() => {
                fault(StatusCode::NOT_FOUND, "there is no such settlement of yours")
            }
            Ok(known) => json(StatusCode::OK, KnownSettlement::to_json(&known)),
            Err(error) => no_verdict(&error),
        }
    }

    async fn verify(&self, asked: &Asked) -> Answer {
        match self.shared.facilitator.verify(asked).await {
            Ok(verdict) => {
                self.shared.metrics.verdict("verify", verdict.reason.as_deref());
                json(StatusCode::OK, verdict.to_json())
            }
            Err(error) => no_verdict(&error),
        }
    }

    /// In a task of its own: a seller that goes away changes nothing.
    async fn settle(&self, asked: Asked) -> Answer {
        let shared = Arc::clone(&self.shared);
        let task = tokio::spawn(async move {
            let start = Instant::now();
            let settled = shared.facilitator.settle(&asked).await;
            shared.metrics.settled_in(start.elapsed());
            if let Ok(settled) = &settled {
                shared.metrics.verdict("settle", settled.reason.as_deref());
            }
            settled
        });
        match task.await {
            Ok(Ok(settled)) => json(StatusCode::OK, settled.to_json()),
            Ok(Err(error)) => no_verdict(&error),
            Err(error) => {
                tracing::error!(%error, "settling panicked");
                fault(StatusCode::INTERNAL_SERVER_ERROR, "there is no verdict")
            }
        }
    }
}

/// Whether the body is said to be JSON, with whatever parameters.
fn is_json(headers: &HeaderMap) -> bool {
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    let (Some(kind), None) = (types.next(), types.next()) else { return false };
    let essence = kind.to_str().ok().and_then(|kind| kind.split(';').next());
    essence.is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json"))
}

/// The question in a body; else the answer to what is none.
async fn read<B>(body: B, good: &str, reason: &str) -> Result<Asked, Answer>
where
    B: Body<Data = Bytes, Error: Into<Box<dyn core::error::Error + Send + Sync>>>,
{
    let body = Limited::new(body, MAX_BODY).collect().await.map_err(|error| {
        if error.is::<LengthLimitError>() {
            fault(StatusCode::PAYLOAD_TOO_LARGE, "the body is longer than 64 KiB")
        } else if error.is::<TooSlow>() {
            late()
        } else {
            fault(StatusCode::BAD_REQUEST, "the body broke off")
        }
    })?;
    Asked::parse(body.to_bytes().to_vec()).map_err(|error| {
        let code = match error {
            WireError::Version => "invalid_x402_version",
            _ => "invalid_payload",
        };
        // Both for those who read verdicts and for those who read errors.
        let rest = if good == "success" { r#","transaction":"","network":"""# } else { "" };
        let text = format!(r#"{{"{good}":false,"{reason}":"{code}","error":"{error}"{rest}}}"#);
        json(StatusCode::BAD_REQUEST, text)
    })
}

/// Why there is none is in the log: it may tell of the inside.
fn no_verdict(error: &FacilitatorError) -> Answer {
    tracing::warn!(%error, "no verdict");
    fault(StatusCode::INTERNAL_SERVER_ERROR, "there is no verdict")
}

fn fault(status: StatusCode, message: &str) -> Answer {
    json(status, format!(r#"{{"error":"{message}"}}"#))
}

fn json(status: StatusCode, text: String) -> Answer {
    let mut answer = Response::new(Full::from(text));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

fn text(text: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(text.into()));
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    answer.headers_mut().insert(CONTENT_TYPE, kind);
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

/// The answer to a request that took too long, or whose body came too slowly.
pub(super) fn late() -> Answer {
    fault(StatusCode::REQUEST_TIMEOUT, "it took too long")
}
