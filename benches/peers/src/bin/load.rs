//! `load verify|settle ADDRESS CONNECTIONS SECONDS`: asks a facilitator for verdicts, or for each payment
//! for a verdict and then for its settlement, over so many connections that are kept open; each payment
//! is another, signed before anything is measured. An answer counts where it says that the payment is
//! good, or names the transaction. Prints payments per second and latencies as JSON.
//! `load payers` prints who pays.

use std::env;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use x402_core::secp256k1::K256Signer;
use x402_core::{
    Address, Amount, Asset, Authorization, ChainId, Nonce, Offer, Signer as _, Timestamp,
};

const PAYERS: u64 = 64;
const AMOUNT: u128 = 100;
const PAY_TO: &str = "0x209693Bc6afc0C5328bA36FaF03C514EF312287C";
/// The same is asked again once all are: a verdict changes nothing.
const VERDICTS: usize = 4096;
/// More than any facilitator settles in a second.
const SETTLED_PER_SECOND: usize = 2000;

fn payers() -> Vec<K256Signer> {
    let key = |index: u64| {
        let mut key = [0x11; 32];
        key[24..].copy_from_slice(&index.to_be_bytes());
        K256Signer::from_bytes(&key).expect("a key")
    };
    (0..PAYERS).map(key).collect()
}

/// The bodies of so many requests.
fn payments(count: usize) -> Vec<Bytes> {
    let usdc = *Asset::find(ChainId::BASE_SEPOLIA, "USDC").expect("USDC");
    let pay_to = Address::parse(PAY_TO).expect("an address");
    let offer = Offer::new(usdc, pay_to, Amount::from_units(AMOUNT), 3600);
    let terms = offer.requirements();
    let now = SystemTime::UNIX_EPOCH.elapsed().expect("a time");
    let (payers, until) = (payers(), now.as_secs() + 3000);
    let payment = |index: usize| {
        let mut nonce = [0; 32];
        nonce[..16].copy_from_slice(&now.as_nanos().to_be_bytes());
        nonce[16..24].copy_from_slice(&(index as u64).to_be_bytes());
        let signer = &payers[index % payers.len()];
        let authorization = Authorization {
            from: signer.address(),
            to: pay_to,
            value: terms.amount,
            valid_after: Timestamp::ZERO,
            valid_before: Timestamp::from_secs(until),
            nonce: Nonce::new(nonce),
        };
        let Ok(signature) = signer.sign(&authorization.digest(&terms.domain));
        let accepted = json!({
            "scheme": "exact", "network": "eip155:84532", "amount": AMOUNT.to_string(),
            "asset": usdc.address.to_string(), "payTo": pay_to.to_string(),
            "maxTimeoutSeconds": 3600, "extra": { "name": &*usdc.name, "version": &*usdc.version },
        });
        let payload = json!({
            "signature": format!("0x{}", text(&signature.to_rsv())),
            "authorization": {
                "from": signer.address().to_string(), "to": pay_to.to_string(),
                "value": AMOUNT.to_string(), "validAfter": "0", "validBefore": until.to_string(),
                "nonce": format!("0x{}", text(&nonce)),
            },
        });
        let resource =
            json!({ "url": "https://api.example.com/", "description": "", "mimeType": "" });
        let payment = json!({
            "x402Version": 2, "resource": resource, "accepted": accepted, "payload": payload,
        });
        let body = json!({
            "x402Version": 2, "paymentPayload": payment, "paymentRequirements": accepted,
        });
        Bytes::from(body.to_string())
    };
    (0..count).map(payment).collect()
}

fn text(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What the connections share.
struct Load {
    settles: bool,
    address: String,
    payments: Vec<Bytes>,
    next: AtomicUsize,
    end: Instant,
}

/// What one connection has seen.
#[derive(Default)]
struct Seen {
    times: Vec<Duration>,
    failed: usize,
    example: Option<String>,
}

async fn post(
    load: &Load,
    sender: &mut SendRequest<Full<Bytes>>,
    path: &str,
    body: Bytes,
) -> Result<Value, String> {
    let request = Request::post(path)
        .header("host", &load.address)
        .header("content-type", "application/json")
        .body(Full::new(body))
        .expect("a request");
    let answer = sender.send_request(request).await.map_err(|error| error.to_string())?;
    let body = answer.into_body().collect().await.map_err(|error| error.to_string())?;
    let body = body.to_bytes();
    serde_json::from_slice(&body).map_err(|_| String::from_utf8_lossy(&body).into_owned())
}

async fn pay(
    load: &Load,
    sender: &mut SendRequest<Full<Bytes>>,
    body: &Bytes,
) -> Result<(), String> {
    let verdict = post(load, sender, "/verify", body.clone()).await?;
    if verdict["isValid"] != true {
        return Err(verdict.to_string());
    }
    if load.settles {
        let settled = post(load, sender, "/settle", body.clone()).await?;
        let hash = settled["transaction"].as_str().unwrap_or_default();
        if settled["success"] != true || hash.len() != 66 {
            return Err(settled.to_string());
        }
    }
    Ok(())
}

async fn ask(load: Arc<Load>) -> Seen {
    let mut seen = Seen::default();
    let mut connection = None;
    while Instant::now() < load.end {
        let index = load.next.fetch_add(1, Ordering::Relaxed);
        let index = if load.settles { index } else { index % load.payments.len() };
        let body = load.payments.get(index).expect("enough were signed");
        if connection.is_none() {
            let stream = TcpStream::connect(&load.address).await.expect("a connection");
            stream.set_nodelay(true).expect("a socket");
            let (sender, driver) = http1::handshake(TokioIo::new(stream)).await.expect("HTTP");
            tokio::spawn(async move { drop(driver.await) });
            connection = Some(sender);
        }
        let Some(sender) = &mut connection else { continue };
        let start = Instant::now();
        match pay(&load, sender, body).await {
            Ok(()) => seen.times.push(start.elapsed()),
            Err(error) => {
                seen.failed += 1;
                seen.example = Some(error);
            }
        }
        if sender.is_closed() {
            connection = None;
        }
    }
    seen
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [what, address, connections, seconds] = &arguments[..] else {
        payers().iter().for_each(|payer| println!("{}", payer.address()));
        return;
    };
    let seconds: u64 = seconds.parse().expect("seconds");
    let settles = what == "settle";
    let count = if settles { SETTLED_PER_SECOND * seconds as usize } else { VERDICTS };
    let payments = payments(count);
    let start = Instant::now();
    let end = start + Duration::from_secs(seconds);
    let next = AtomicUsize::new(0);
    let load = Arc::new(Load { settles, address: address.clone(), payments, next, end });
    let connections: usize = connections.parse().expect("connections");
    let tasks: Vec<_> = (0..connections).map(|_| tokio::spawn(ask(Arc::clone(&load)))).collect();
    let mut all = Seen::default();
    for task in tasks {
        let seen = task.await.expect("it ends");
        all.times.extend(seen.times);
        all.failed += seen.failed;
        all.example = seen.example.or(all.example);
    }
    // To the last answer, which some wait for long after the last question.
    let elapsed = start.elapsed();
    all.times.sort_unstable();
    let at = |share: usize| {
        let last = all.times.len().saturating_sub(1);
        all.times.get(last * share / 100).map_or(0.0, |time| time.as_secs_f64() * 1e3)
    };
    let answered = all.times.len();
    let rate = answered as f64 / elapsed.as_secs_f64();
    let moved = if settles { answered as u128 * AMOUNT } else { 0 };
    println!(
        "{}",
        json!({
            "rate": rate, "answered": answered, "failed": all.failed, "moved": moved,
            "p50": at(50), "p99": at(99), "example": all.example,
        })
    );
}
