//! The buyer, over a bare socket, so that what is shown is what was sent.

use core::fmt::Write as _;
use core::time::Duration;
use std::io;
use std::net::SocketAddr;
use std::time::{Instant, SystemTime};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use x402_core::buyer::{Policy, Unsigned};
use x402_core::head::ResponseHead;
use x402_core::headers::{ChallengeHeaders, Field, SignatureForm};
use x402_core::{Asset, Nonce, Price, Signer as _, Timestamp};

use super::stage::Stage;

/// What is bought.
pub(super) const TEXT: &str = "The quick brown fox jumps over the lazy dog";
/// The most that is paid.
const MAX: &str = "0.05";
/// No answer is as long as this, and none takes as long.
const ANSWER_LIMIT: u64 = 1 << 20;
const TIMEOUT: Duration = Duration::from_secs(60);
/// How many header fields an answer may have.
const FIELDS: usize = 64;

/// The four messages, as they were on the wire.
pub(super) struct Exchange {
    pub(super) unpaid: String,
    pub(super) challenge: Answer,
    pub(super) paid: String,
    pub(super) answer: Answer,
    /// Reading the terms, holding them against the limits, and signing.
    pub(super) sign: Duration,
}

/// An answer, and when it was asked for and there.
pub(super) struct Answer {
    pub(super) text: Vec<u8>,
    pub(super) status: u16,
    pub(super) transaction: Option<String>,
    pub(super) started: Instant,
    pub(super) ended: Instant,
}

/// Asks, pays, and asks again.
pub(super) async fn buy(stage: &Stage) -> io::Result<Exchange> {
    let unpaid = request(stage.gateway, "");
    let challenge = send(stage.gateway, &unpaid).await?;
    let started = Instant::now();
    let payment = pay(&challenge.text, stage).map_err(io::Error::other)?;
    let sign = started.elapsed();
    let paid = request(stage.gateway, &payment);
    let answer = send(stage.gateway, &paid).await?;
    Ok(Exchange { unpaid, challenge, paid, answer, sign })
}

fn request(gateway: SocketAddr, payment: &str) -> String {
    format!(
        "POST /api/analyze HTTP/1.1\r\nHost: {gateway}\r\nContent-Type: text/plain\r\n\
         Content-Length: {}\r\nConnection: close\r\n{payment}\r\n{TEXT}",
        TEXT.len()
    )
}

async fn send(address: SocketAddr, request: &str) -> io::Result<Answer> {
    let started = Instant::now();
    let exchange = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        stream.write_all(request.as_bytes()).await?;
        let mut text = Vec::new();
        stream.take(ANSWER_LIMIT).read_to_end(&mut text).await?;
        Ok::<_, io::Error>(text)
    };
    let text = tokio::time::timeout(TIMEOUT, exchange).await.map_err(io::Error::other)??;
    let ended = Instant::now();
    let head = ResponseHead::<FIELDS>::parse(&text).ok().flatten();
    let head = head.ok_or_else(|| io::Error::other("the answer is not HTTP"))?;
    let named = |(name, _): &(&str, &[u8])| name.eq_ignore_ascii_case(Field::Transaction.name());
    let transaction = head.fields().find(named);
    let transaction = transaction.map(|(_, value)| String::from_utf8_lossy(value).into_owned());
    let status = head.status;
    Ok(Answer { text, status, transaction, started, ended })
}

/// The header fields that pay what the 402 asks for.
fn pay(challenge: &[u8], stage: &Stage) -> Result<String, String> {
    let head = ResponseHead::<FIELDS>::parse(challenge).ok().flatten().ok_or("no answer")?;
    let terms = ChallengeHeaders::collect(head.fields()).map_err(|error| error.to_string())?;
    let terms = terms.ok_or("the gateway asked for no payment")?;
    let asset = Asset::find(terms.chain_id, terms.asset).ok_or("the asset is not known")?;
    let offer = terms.offer(asset).ok_or("the price does not fit the asset")?;
    let policy = Policy::up_to(Price::parse(MAX).map_err(|error| error.to_string())?);
    let mut nonce = [0; 32];
    getrandom::fill(&mut nonce).map_err(|error| error.to_string())?;
    let now = SystemTime::UNIX_EPOCH.elapsed().map_err(|error| error.to_string())?;
    let now = Timestamp::from_secs(now.as_secs());
    let unsigned = Unsigned::new(&offer, &policy, stage.buyer.address(), Nonce::new(nonce), now);
    let unsigned = unsigned.map_err(|error| error.to_string())?;
    let Ok(signature) = stage.buyer.sign(unsigned.digest());
    let mut fields = String::new();
    let signed = unsigned.sign(signature).headers().ok_or("the asset has no EIP-3009")?;
    signed.emit(asset, SignatureForm::Packed, |field, value| {
        // A String takes everything.
        let _ = write!(fields, "{field}: {value}\r\n");
    });
    Ok(fields)
}
