//! What a gateway counts, in Prometheus' text format, version 0.0.4.

use core::fmt::Write as _;
use std::sync::Arc;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::Full;
use tokio::net::TcpListener;
use x402_hyper::listener::{Listener, ListenerOptions};

use crate::shop::Shop;
use crate::standing;

const CONNECTIONS: usize = 16;

/// Answers `GET /metrics`. Never ends.
pub(crate) async fn serve(listener: TcpListener, shop: Arc<Shop>) {
    let options = ListenerOptions { connections: CONNECTIONS, ..ListenerOptions::default() };
    let handler = move |request: Request<_>| {
        let answer = answer(request.uri().path(), &shop);
        async { answer }
    };
    Listener::new(options).answer(listener, handler).await;
}

fn answer(path: &str, shop: &Shop) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::default());
    if path == "/metrics" {
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
