//! What a gateway counts, in Prometheus' text format, version 0.0.4.

use core::convert::Infallible;
use core::fmt::Write as _;
use core::time::Duration;
use std::sync::Arc;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::shop::Shop;
use crate::standing;

const MAX_CONNECTIONS: usize = 16;
/// How long a connection may take to ask, and be idle.
const PATIENCE: Duration = Duration::from_secs(10);

/// Answers `GET /metrics`. Never ends.
pub(crate) async fn serve(listener: TcpListener, shop: Arc<Shop>) {
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let permit = Arc::clone(&room).acquire_owned().await;
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let shop = Arc::clone(&shop);
        tokio::spawn(async move {
            let _permit = permit;
            let service = service_fn(|request: Request<Incoming>| {
                let answer = answer(&request, &shop);
                async { Ok::<_, Infallible>(answer) }
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(PATIENCE)
                .serve_connection(TokioIo::new(stream), service);
            // Whoever hangs up needs no answer.
            drop(connection.await);
        });
    }
}

fn answer(request: &Request<Incoming>, shop: &Shop) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::default());
    if request.uri().path() == "/metrics" {
        let text = HeaderValue::from_static("text/plain; version=0.0.4");
        answer.headers_mut().insert(CONTENT_TYPE, text);
        *answer.body_mut() = Full::from(to_text(shop));
    } else {
        *answer.status_mut() = StatusCode::NOT_FOUND;
    }
    answer
}

/// What settling has cost, for each chain: gas by payment is the one by the other.
fn to_text(shop: &Shop) -> String {
    let spent: Vec<_> = shop.chains.iter().map(|chain| (chain.id(), chain.spent())).collect();
    let mut text = String::new();
    let mut counter = |name: &str, help: &str, count: &dyn Fn(usize) -> u128| {
        // A String takes everything.
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} counter");
        for (index, (chain_id, _)) in spent.iter().enumerate() {
            let _ = writeln!(text, "{name}{{network=\"{chain_id}\"}} {}", count(index));
        }
    };
    let of = |index: usize| spent.get(index).map(|(_, spent)| *spent).unwrap_or_default();
    counter("x402_settled_payments_total", "Payments that were settled.", &|index| {
        of(index).payments.into()
    });
    counter("x402_settling_transactions_total", "Transactions that settled payments.", &|index| {
        of(index).transactions.into()
    });
    counter("x402_settling_gas_total", "Gas of these transactions.", &|index| of(index).gas.into());
    counter("x402_settling_wei_total", "What was paid for that gas, in wei.", &|index| {
        of(index).wei
    });
    let standings: Vec<_> =
        shop.chains.iter().map(|chain| (chain.id(), chain.standing())).collect();
    text.push_str(&standing::gauges(&standings));
    text
}
