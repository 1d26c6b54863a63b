/*!
JSON-RPC over HTTP before the [development chain](x402_std::devnet), on this machine only.

```no_run
use x402_std::devnet::{Devnet, DevnetOptions};

# async fn example() -> Result<(), Box<dyn core::error::Error>> {
let listener = tokio::net::TcpListener::bind("127.0.0.1:8545").await?;
let chain = Devnet::new(&DevnetOptions::default())?;
x402_hyper::devnet::serve(listener, chain, core::future::pending()).await?;
# Ok(())
# }
```

A chain whose keys everybody knows must not be within reach of others: [`serve`] refuses a listener
that is not on a loopback address. There are no CORS header fields, and a request must be of the type
`application/json`, which a page in a browser cannot send to another origin unasked.
*/

use core::convert::Infallible;
use core::time::Duration;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use x402_std::devnet::Devnet;

/// How long a request's body may be, in bytes.
pub const BODY_LIMIT: usize = 1 << 20;
/// How long the head of a request may take.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the body of a request may take.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// How many connections are served at a time.
const MAX_CONNECTIONS: usize = 256;

/// Serves a chain until `shutdown` is ready.
///
/// # Errors
///
/// [`io::ErrorKind::PermissionDenied`] where the listener is not on a loopback address.
pub async fn serve(
    listener: TcpListener,
    chain: Devnet,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    serve_with(listener, move |body| chain.handle(body), shutdown).await
}

/// As [`serve`], with a function in front of the chain, or in its place: it is given the body of
/// each request, and gives that of the answer. It may block.
///
/// # Errors
///
/// As [`serve`].
pub async fn serve_with(
    listener: TcpListener,
    answer: impl Fn(&[u8]) -> Vec<u8> + Send + Sync + 'static,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let address = listener.local_addr()?;
    if !address.ip().is_loopback() {
        let text =
            format!("a development chain must not listen beyond this machine, as on {address}");
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
    }
    let answer: Arc<Handler> = Arc::new(answer);
    let mut connections = JoinSet::new();
    let mut shutdown = core::pin::pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => return Ok(()),
            Some(_) = connections.join_next() => {}
            accepted = listener.accept(), if connections.len() < MAX_CONNECTIONS => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection(stream, Arc::clone(&answer)));
                }
                // Out of descriptors, most likely: some will come back.
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            },
        }
    }
}

type Handler = dyn Fn(&[u8]) -> Vec<u8> + Send + Sync;

async fn connection(stream: TcpStream, answer: Arc<Handler>) {
    // Without it small answers wait for acknowledgements. A socket that refuses it works too.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| respond(request, Arc::clone(&answer)));
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service);
    // A connection that breaks is the peer's loss.
    let _ = served.await;
}

async fn respond(
    request: Request<Incoming>,
    answer: Arc<Handler>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    if request.method() != Method::POST {
        let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "JSON-RPC is POST\n");
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
        return Ok(response);
    }
    if request.uri().path() != "/" {
        return Ok(plain(StatusCode::NOT_FOUND, "JSON-RPC is at /\n"));
    }
    if !is_json(request.headers().get(CONTENT_TYPE)) {
        let text = "Content-Type must be application/json\n";
        return Ok(plain(StatusCode::UNSUPPORTED_MEDIA_TYPE, text));
    }
    let body = Limited::new(request.into_body(), BODY_LIMIT).collect();
    let body = match tokio::time::timeout(BODY_TIMEOUT, body).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(_)) => return Ok(plain(StatusCode::PAYLOAD_TOO_LARGE, "the body is too long\n")),
        Err(_) => return Ok(plain(StatusCode::REQUEST_TIMEOUT, "the body is too slow\n")),
    };
    // A call may compute for as long as its gas lasts.
    let Ok(body) = tokio::task::spawn_blocking(move || answer(&body)).await else {
        return Ok(plain(StatusCode::INTERNAL_SERVER_ERROR, "the chain failed\n"));
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    Ok(response)
}

fn is_json(value: Option<&HeaderValue>) -> bool {
    let text = value.and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = text.split(';').next().unwrap_or_default();
    kind.trim().eq_ignore_ascii_case("application/json")
}

fn plain(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from_static(text.as_bytes())));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    response
}

#[cfg(test)]
mod tests {
    use hyper::client::conn::http1::handshake;
    use x402_std::devnet::DevnetOptions;

    use super::*;

    async fn post(kind: &str, length: usize) -> (StatusCode, Bytes) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let chain = Devnet::new(&DevnetOptions::default()).unwrap();
        let server = tokio::spawn(serve(listener, chain, core::future::pending()));
        let stream = TcpStream::connect(address).await.unwrap();
        let (mut sender, connection) = handshake(TokioIo::new(stream)).await.unwrap();
        let connection = tokio::spawn(connection);
        let mut body = br#"{"jsonrpc":"2.0","id":1,"method":"eth_chainId","params":[]}"#.to_vec();
        body.resize(length.max(body.len()), b' ');
        let body = Full::new(Bytes::from(body));
        let request = Request::post("/").header(CONTENT_TYPE, kind).body(body).unwrap();
        let response = sender.send_request(request).await.unwrap();
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        server.abort();
        connection.abort();
        (status, body)
    }

    #[tokio::test]
    async fn answers_on_this_machine() {
        let (status, body) = post("application/json; charset=utf-8", BODY_LIMIT).await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(body, br#"{"id":1,"jsonrpc":"2.0","result":"0x1"}"#[..]);
    }

    #[tokio::test]
    async fn refuses_what_is_too_long_or_of_another_type() {
        assert_eq!(post("application/json", BODY_LIMIT + 1).await.0, StatusCode::PAYLOAD_TOO_LARGE);
        assert_eq!(post("text/plain", 0).await.0, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    }

    #[tokio::test]
    async fn refuses_to_listen_beyond_this_machine() {
        let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
        let chain = Devnet::new(&DevnetOptions::default()).unwrap();
        let error = serve(listener, chain, core::future::pending()).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
    }

    #[tokio::test]
    async fn stops_when_told() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let chain = Devnet::new(&DevnetOptions::default()).unwrap();
        serve(listener, chain, async {}).await.unwrap();
    }
}
