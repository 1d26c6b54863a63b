//! `paid ADDRESS COUNT CONNECTIONS`: asks a gateway for `/paid` so many times over so many connections,
//! each time with a payment of its own in the header dialect, and prints requests per second and
//! latencies as JSON.
//! `paid --upstream` is the server behind the gateway; it prints its address.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};
use std::{convert::Infallible, env};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Full};
use hyper::client::conn::http1 as client;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use x402_core::headers::{SignatureForm, SignedPayment};
use x402_core::secp256k1::K256Signer;
use x402_core::{
    Address, Amount, Asset, Authorization, ChainId, Nonce, Offer, Signer as _, Timestamp, hex,
};

/// The second account of the development chain, which has the tokens.
const KEY: &str = "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d";
const PAY_TO: &str = "0x209693Bc6afc0C5328bA36FaF03C514EF312287C";

async fn goods(_: Request<hyper::body::Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(Response::new(Full::from("the goods")))
}

async fn upstream() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    println!("{}", listener.local_addr().expect("an address"));
    loop {
        let (stream, _) = listener.accept().await.expect("a connection");
        let connection =
            http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(goods));
        tokio::spawn(async move { drop(connection.await) });
    }
}

/// The fields of so many payments, signed before anything is measured.
fn payments(count: usize) -> Vec<Vec<(String, String)>> {
    let signer = K256Signer::from_bytes(&hex::decode(KEY).expect("hex")).expect("a key");
    let usdc = *Asset::find(ChainId::ETHEREUM, "USDC").expect("USDC");
    let pay_to = Address::parse(PAY_TO).expect("an address");
    let offer = Offer::new(usdc, pay_to, Amount::from_units(100), 3600);
    let now = SystemTime::UNIX_EPOCH.elapsed().expect("a time");
    let payment = |index: usize| {
        let mut nonce = [0; 32];
        nonce[..16].copy_from_slice(&now.as_nanos().to_be_bytes());
        nonce[16..24].copy_from_slice(&(index as u64).to_be_bytes());
        let terms = offer.requirements();
        let authorization = Authorization {
            from: signer.address(),
            to: terms.pay_to,
            value: terms.amount,
            valid_after: Timestamp::ZERO,
            valid_before: Timestamp::from_secs(now.as_secs() + 3600),
            nonce: Nonce::new(nonce),
        };
        let Ok(signature) = signer.sign(&authorization.digest(&terms.domain));
        let mut fields = Vec::new();
        let payment = SignedPayment { authorization, signature };
        payment.emit(offer.asset(), SignatureForm::Packed, |field, value| {
            fields.push((field.name().to_owned(), value.to_owned()));
        });
        fields
    };
    (0..count).map(payment).collect()
}

/// One connection's requests; how long each took, and how many were not answered with 200.
async fn ask(
    address: String,
    payments: Arc<Vec<Vec<(String, String)>>>,
    next: Arc<AtomicUsize>,
) -> (Vec<Duration>, usize) {
    let stream = TcpStream::connect(&address).await.expect("a connection");
    stream.set_nodelay(true).expect("a socket");
    let (mut sender, connection) = client::handshake(TokioIo::new(stream)).await.expect("HTTP");
    tokio::spawn(connection);
    let (mut times, mut failed) = (Vec::new(), 0);
    while let Some(fields) = payments.get(next.fetch_add(1, Ordering::Relaxed)) {
        let mut request = Request::get("/paid").header("host", &address);
        for (name, value) in fields {
            request = request.header(name, value);
        }
        let request = request.body(Empty::<Bytes>::new()).expect("a request");
        let start = Instant::now();
        let answer = sender.send_request(request).await.expect("an answer");
        failed += usize::from(answer.status() != 200);
        answer.into_body().collect().await.expect("a body");
        times.push(start.elapsed());
    }
    (times, failed)
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [address, count, connections] = &arguments[..] else { return upstream().await };
    let connections: usize = connections.parse().expect("a number");
    let payments = Arc::new(payments(count.parse().expect("a number")));
    let (next, start) = (Arc::new(AtomicUsize::new(0)), Instant::now());
    let ask = || ask(address.clone(), Arc::clone(&payments), Arc::clone(&next));
    let tasks: Vec<_> = (0..connections).map(|_| tokio::spawn(ask())).collect();
    let (mut times, mut failed) = (Vec::new(), 0);
    for task in tasks {
        let (of_one, failed_of_one) = task.await.expect("it ends");
        times.extend(of_one);
        failed += failed_of_one;
    }
    let rate = times.len() as f64 / start.elapsed().as_secs_f64();
    times.sort_unstable();
    let at = |share: usize| times[(times.len() - 1) * share / 100].as_secs_f64() * 1e3;
    println!(
        "{{\"rate\":{rate:.0},\"failed\":{failed},\"p50\":{:.2},\"p99\":{:.2}}}",
        at(50),
        at(99)
    );
}
