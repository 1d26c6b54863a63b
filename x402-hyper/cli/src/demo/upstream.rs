//! What is sold: a server that counts words, and knows nothing of payments.

use core::convert::Infallible;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::json;
use tokio::net::TcpListener;

use super::trace::{Trace, UPSTREAM};

/// How long a text may be.
const BODY_LIMIT: usize = 1 << 20;

/// Answers until the program ends.
pub(super) async fn serve(listener: TcpListener, trace: Trace) {
    while let Ok((stream, _)) = listener.accept().await {
        let _ = stream.set_nodelay(true);
        let trace = trace.clone();
        let service = service_fn(move |request| analyze(request, trace.clone()));
        let mut server = http1::Builder::new();
        let server = server.timer(TokioTimer::new());
        tokio::spawn(server.serve_connection(TokioIo::new(stream), service));
    }
}

async fn analyze(
    request: Request<Incoming>,
    trace: Trace,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let body = Limited::new(request.into_body(), BODY_LIMIT).collect().await;
    let Ok(body) = body.map(http_body_util::Collected::to_bytes) else {
        let mut response = Response::new(Full::new(Bytes::from_static(b"too long\n")));
        *response.status_mut() = StatusCode::PAYLOAD_TOO_LARGE;
        return Ok(response);
    };
    let answer = trace.record(UPSTREAM.to_owned(), || count(&String::from_utf8_lossy(&body)));
    let mut response = Response::new(Full::new(Bytes::from(answer)));
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    Ok(response)
}

fn count(text: &str) -> String {
    let longest = text.split_whitespace().max_by_key(|word| word.chars().count());
    let answer = json!({
        "words": text.split_whitespace().count(),
        "characters": text.chars().count(),
        "longest": longest.unwrap_or_default(),
    });
    format!("{answer}\n")
}
