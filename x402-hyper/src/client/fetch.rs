//! One request, one answer: with limits, and with redirects where nothing is paid.

use std::error::Error as StdError;

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{Request, Response, Uri};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::Instant;
use x402_std::port;

use super::redirect;
use super::{Answer, ClientError, Event, FetchError, HttpOptions, Payment, Unresolved, Verdict};

/// Connections, and the options that every request goes by.
pub(super) struct Fetch {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    pub(super) options: HttpOptions,
}

impl Fetch {
    /// `None` where TLS cannot be set up.
    pub(super) fn new(options: HttpOptions) -> Option<Self> {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(options.connect_timeout));
        // Named, because with two providers in the program rustls would not choose but panic.
        let tls = HttpsConnectorBuilder::new()
            .with_provider_and_webpki_roots(rustls::crypto::ring::default_provider())
            .ok()?
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        let client = Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build(tls);
        Some(Self { client, options })
    }

    /// Sends a request as it is, and reads the answer.
    pub(super) async fn once(
        &self,
        request: Request<Bytes>,
    ) -> Result<Response<Bytes>, FetchError> {
        if !has_sound_port(request.uri()) {
            return Err(FetchError::Connect("the port in the URL is none".to_owned()));
        }
        let (timeout, limit) = (self.options.request_timeout, self.options.body_limit);
        let exchange = async {
            let response = self.client.request(request.map(Full::new)).await.map_err(|error| {
                let text = chain(&error);
                if error.is_connect() {
                    FetchError::Connect(text)
                } else {
                    FetchError::Broken(text)
                }
            })?;
            let (head, body) = response.into_parts();
            let body = Limited::new(body, limit).collect().await.map_err(|error| {
                if error.is::<LengthLimitError>() {
                    FetchError::TooLarge(limit)
                } else {
                    FetchError::Broken(chain(&*error))
                }
            })?;
            Ok(Response::from_parts(head, body.to_bytes()))
        };
        let in_time = tokio::time::timeout(timeout, exchange).await;
        in_time.unwrap_or(Err(FetchError::Timeout(timeout)))
    }

    /// Sends an unpaid request and follows redirects within its origin. Returns the answer, and the
    /// request that it is the answer to.
    pub(super) async fn follow(
        &self,
        mut request: Request<Bytes>,
    ) -> Result<(Response<Bytes>, Request<Bytes>), ClientError> {
        for _ in 0..=self.options.redirects {
            let response = self.once(request.clone()).await.map_err(ClientError::Unpaid)?;
            match redirect::target(&request, &response) {
                Some(uri) => *request.uri_mut() = uri,
                None => return Ok((response, request)),
            }
        }
        Err(ClientError::Redirects)
    }

    /// Sends a request with its payment, and while there is no answer to that, sends it again;
    /// `was_sent` where that was done before, by whoever did not see its end.
    pub(super) async fn repeat(
        &self,
        request: &Request<Bytes>,
        payment: Payment,
        was_sent: bool,
        watch: &mut (dyn FnMut(Event<'_>) + Send),
    ) -> Result<Answer, ClientError> {
        let mut paid = request.clone();
        paid.headers_mut().extend(payment.headers().clone());
        // Whether something may have arrived: no connection means that nothing did.
        let (mut is_sent, mut was_lost, mut deadline) = (was_sent, was_sent, None);
        let mut tries = 0;
        loop {
            tries += 1;
            let verdict = match self.once(paid.clone()).await {
                Ok(response) => Verdict::of(response, &payment, was_lost),
                Err(error) => {
                    was_lost |= !matches!(error, FetchError::Connect(_));
                    Verdict::failed(error)
                }
            };
            let (why, retry_after) = match verdict {
                Verdict::Done(response, outcome) => {
                    let payment = Some(payment.concluded(outcome));
                    return Ok(Answer { response, payment });
                }
                Verdict::Refused(refused) => return Err(ClientError::Refused(refused)),
                Verdict::Lost(why) => {
                    let unresolved = Unresolved { why, tries, payment };
                    return Err(ClientError::Unresolved(Box::new(unresolved)));
                }
                Verdict::Again { why, retry_after, unsent } => {
                    is_sent |= !unsent;
                    (why, retry_after)
                }
            };
            let deadline = *deadline.get_or_insert_with(|| Instant::now() + self.options.retry_for);
            let pause = retry_after.unwrap_or_else(|| backoff(tries));
            if tries >= self.options.tries || Instant::now() + pause > deadline {
                return Err(give_up(is_sent, why, tries, payment));
            }
            watch(Event::Waiting { pause, why: &why });
            tokio::time::sleep(pause).await;
        }
    }
}

fn give_up(is_sent: bool, why: String, tries: u32, payment: Payment) -> ClientError {
    if is_sent {
        ClientError::Unresolved(Box::new(Unresolved { why, tries, payment }))
    } else {
        ClientError::Unpaid(FetchError::Connect(why))
    }
}

/// 0.25 s, 0.5 s, 1 s, … up to 8 s.
fn backoff(tries: u32) -> core::time::Duration {
    core::time::Duration::from_millis(125 << tries.clamp(1, 6))
}

/// An error with all that it was caused by, on one line.
fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let cause = error.to_string();
        if !text.ends_with(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
        source = error.source();
    }
    text
}

/// Refuses what cannot be sent, and what must not be.
pub(super) fn check(request: &Request<Bytes>) -> Result<(), ClientError> {
    let uri = request.uri();
    let refuse = |text| Err(ClientError::Request(text));
    if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.host().is_none_or(str::is_empty) {
        return refuse("the URL must begin with http:// or https:// and name a host");
    }
    if has_user(uri) {
        return refuse("the URL holds a user or a password; send them in a header field");
    }
    if !has_sound_port(uri) {
        return refuse(
            "the port in the URL is none: write a number from 1 to 65535, or leave it out",
        );
    }
    if request.headers().keys().any(super::is_payment_field) {
        return refuse("it has payment header fields of its own");
    }
    let length = request.headers().get(CONTENT_LENGTH);
    if length.is_some_and(|length| length.as_bytes() != request.body().len().to_string().as_bytes())
    {
        return refuse("its Content-Length is not the length of its body");
    }
    Ok(())
}

pub(super) fn has_user(uri: &Uri) -> bool {
    uri.authority().is_some_and(|authority| authority.as_str().contains('@'))
}

pub(super) fn has_sound_port(uri: &Uri) -> bool {
    uri.authority().is_some_and(|authority| port::is_sound(authority.as_str()))
}
