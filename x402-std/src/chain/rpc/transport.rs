//! JSON-RPC over HTTP, with limits.
//!
//! alloy-transport-http would do this with hyper too, but brings the platform's TLS with it and has
//! no limits: so the transport is ours, and alloy's client runs on it.

use core::task::{Context, Poll};
use core::time::Duration;
use std::sync::Arc;

use alloy_json_rpc::{Id, RequestPacket, Response, ResponsePacket};
use alloy_transport::{TransportError, TransportErrorKind, TransportFut};
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Request, StatusCode};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tower_service::Service;

use super::RpcOptions;
use super::fault::Fault;
use super::url::RpcUrl;

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// A pool of connections to one node. Clones share it.
#[derive(Clone)]
pub(super) struct HttpTransport(Arc<Inner>);

struct Inner {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    url: RpcUrl,
    timeout: Duration,
    max_response: usize,
}

impl HttpTransport {
    /// Connects when it is first called. `None` where TLS cannot be set up.
    pub(super) fn new(url: RpcUrl, options: &RpcOptions) -> Option<Self> {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        // Shorter than the limit of the call, so that a node that cannot be reached is known as
        // one that was sent nothing.
        tcp.set_connect_timeout(Some(options.timeout / 2));
        // Named, because with two providers in the program rustls would not choose but panic.
        let tls = HttpsConnectorBuilder::new()
            .with_provider_and_webpki_roots(rustls::crypto::ring::default_provider())
            .ok()?
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        let client = Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build(tls);
        let (timeout, max_response) = (options.timeout, options.max_response);
        Some(Self(Arc::new(Inner { client, url, timeout, max_response })))
    }
}

impl Service<RequestPacket> for HttpTransport {
    type Error = TransportError;
    type Future = TransportFut<'static>;
    type Response = ResponsePacket;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, packet: RequestPacket) -> Self::Future {
        let inner = Arc::clone(&self.0);
        Box::pin(async move { inner.exchange(packet).await.map_err(TransportErrorKind::custom) })
    }
}

impl Inner {
    async fn exchange(&self, packet: RequestPacket) -> Result<ResponsePacket, Fault> {
        let ids: Vec<Id> = packet.requests().iter().map(|request| request.id().clone()).collect();
        let body = packet.serialize().map_err(|_| Fault::Malformed("the request is no JSON"))?;
        let body = Bytes::from(Box::<str>::from(body).into_string());
        let answer = tokio::time::timeout(self.timeout, self.post(body))
            .await
            .map_err(|_| Fault::TimedOut(self.timeout))??;
        let packet: ResponsePacket =
            serde_json::from_slice(&answer).map_err(|_| Fault::Malformed("no JSON-RPC"))?;
        if is_answer(&packet, &ids) { Ok(packet) } else { Err(Fault::Malformed("a wrong id")) }
    }

    async fn post(&self, body: Bytes) -> Result<Bytes, Fault> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = self.url.uri().clone();
        let headers = request.headers_mut();
        headers.insert(ACCEPT, JSON);
        headers.insert(CONTENT_TYPE, JSON);
        if let Some(authorization) = self.url.authorization() {
            headers.insert(AUTHORIZATION, authorization.clone());
        }
        let response = self.client.request(request).await.map_err(|e| Fault::of_client(&e))?;
        // A redirection is not followed: it would take the request, and the key, elsewhere.
        if response.status() != StatusCode::OK {
            return Err(Fault::Status(response.status().as_u16()));
        }
        let body = Limited::new(response.into_body(), self.max_response);
        match body.collect().await {
            Ok(body) => Ok(body.to_bytes()),
            Err(error) if error.is::<LengthLimitError>() => Err(Fault::TooLong(self.max_response)),
            Err(_) => Err(Fault::Broken),
        }
    }
}

/// Whether each response has the id of a request, and each another one.
fn is_answer(packet: &ResponsePacket, ids: &[Id]) -> bool {
    let responses = packet.responses();
    responses.iter().enumerate().all(|(at, response)| {
        let is_first = responses.iter().take(at).all(|other| other.id != response.id);
        (ids.contains(&response.id) && is_first) || is_error_to_all(response)
    })
}

/// An error without an id is to the whole request: who limits rates does not read ids.
fn is_error_to_all(response: &Response) -> bool {
    response.id.is_none() && response.is_error()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is(json: &str, ids: &[u64]) -> bool {
        let ids: Vec<Id> = ids.iter().copied().map(Id::Number).collect();
        serde_json::from_str(json).is_ok_and(|packet| is_answer(&packet, &ids))
    }

    #[test]
    fn only_answers_to_the_request_are_taken() {
        assert!(is(r#"{"id":1,"result":null}"#, &[1]));
        assert!(is(r#"{"id":null,"error":{"code":-32005,"message":"x"}}"#, &[1]));
        assert!(is(r#"[{"id":2,"result":1},{"id":1,"result":1}]"#, &[1, 2]));
        for json in [
            r#"{"id":2,"result":1}"#,
            r#"{"id":"1","result":1}"#,
            r#"{"id":null,"result":1}"#,
            r#"{"result":1}"#,
            r#"{"id":1}"#,
            r#"{"id":1,"result":1,"result":2}"#,
            r#"{"id":1,"result":1,"error":{"code":1,"message":"x"}}"#,
            r#"{"id":1,"result":1}{"id":1,"result":2}"#,
            r#"[{"id":1,"result":1},{"id":1,"result":2}]"#,
        ] {
            assert!(!is(json, &[1]), "{json}");
        }
    }
}
