//! What a node answers, to everything that it is asked on the way of a payment: no answer does harm,
//! and nothing is settled of which the answers do not say so.
#![no_main]

use core::task::{Context, Poll};
use core::time::Duration;
use std::collections::VecDeque;
use std::sync::{Arc, LazyLock, Mutex};

use alloy_json_rpc::{RequestPacket, ResponsePacket};
use alloy_transport::TransportFut;
use alloy_transport::{BoxTransport, IntoBoxTransport as _, TransportError, TransportErrorKind};
use libfuzzer_sys::fuzz_target;
use tokio::runtime::{Builder, Runtime};
use tower_service::Service;
use x402_core::secp256k1::K256Signer;
use x402_core::{Address, Signer as _, Timestamp, Transfer};
use x402_core::{Asset, Authorization, Claim, Claimed, Moment, Nonce, Payment, Signature};
use x402_fuzz::shop::{NOW, OFFERS, Word};
use x402_std::BoxFuture;
use x402_std::chain::{Call, Chain as _, Journal, Outcome, RpcChain, RpcOptions, Sent};
use x402_std::chain::{Transaction, TxHash, Usage};
use x402_std::ledger::LedgerError;

static SIGNER: LazyLock<K256Signer> = LazyLock::new(|| K256Signer::from_bytes(&[7; 32]).unwrap());

/// The payment that is settled, or not.
static PAYMENT: LazyLock<Claimed> = LazyLock::new(|| {
    let terms = OFFERS[0].requirements();
    let from = Address::new([0x11; 20]);
    let authorization = Authorization {
        from,
        to: terms.pay_to,
        value: terms.amount,
        valid_after: Timestamp::ZERO,
        valid_before: Timestamp::from_secs(NOW + 60),
        nonce: Nonce::new([0x22; 32]),
    };
    let Ok(signature): Result<Signature, _> = SIGNER.sign(&authorization.digest(&terms.domain));
    let payment = Payment {
        chain_id: terms.chain_id,
        asset: terms.asset,
        transfer: Transfer::Eip3009(authorization),
        signature: Ok(signature),
    };
    let checked = terms.check(&payment, &Moment::at(NOW), &Word(Some(from))).unwrap();
    let claim = Claim::recorded(checked.id());
    checked.claimed(claim).unwrap()
});

const HASH: TxHash = TxHash([0x33; 32]);

/// The first block of a chain.
const GENESIS: &[u8] = br#"{"number":"0x0","timestamp":"0x1","baseFeePerGas":"0x7","hash":"0x0000000000000000000000000000000000000000000000000000000000000001","parentHash":"0x0000000000000000000000000000000000000000000000000000000000000000"}"#;

thread_local! {
    static RUNTIME: Runtime = Builder::new_current_thread().enable_time().build().unwrap();
}

fuzz_target!(|data: &[u8]| RUNTIME.with(|runtime| runtime.block_on(ask(data))));

async fn ask(data: &[u8]) {
    let Some((plan, answers)) = data.split_first() else { return };
    let lines = answers.split(|byte| *byte == b'\n').map(<[u8]>::to_vec);
    let mut lines: VecDeque<_> = lines.collect();
    // Behind the chain's number it is asked for the newest block.
    lines.insert(1, GENESIS.to_vec());
    let script = Script(Arc::new(Mutex::new(lines)));
    let wire: BoxTransport = script.into_box_transport();
    let terms = OFFERS[0].requirements();
    let options = RpcOptions { fee_cache: Duration::ZERO, ..RpcOptions::new(terms.chain_id) };
    let Ok(chain) = RpcChain::over(wire, SIGNER.clone(), options).await else { return };
    let call = Call::new(*PAYMENT, &[]).unwrap();
    let is_said = |word: &str| String::from_utf8_lossy(answers).to_ascii_lowercase().contains(word);
    // Whatever is settled, a log of the token said so, under this nonce.
    let is_settled_rightly = || is_said(&"22".repeat(32)) && is_said(&"11".repeat(20));
    match plan % 8 {
        0 => drop(chain.check_asset(Asset::all().next().unwrap()).await),
        1 => drop(chain.has_code(terms.pay_to).await),
        2 => drop(chain.simulate(&call).await),
        3 => drop(chain.simulate_batch(&Call::batch(&[call.clone(), call])).await),
        4 => drop(chain.broadcast(&call, &Forgetful).await),
        5 => {
            let raw = answers.get(..200).unwrap_or(answers).to_vec();
            let transaction = Transaction { hash: HASH, raw };
            drop(chain.rebroadcast(&call, &transaction, &Forgetful).await);
        }
        6 => {
            if let Ok(Outcome::Settled(settled, _)) = chain.outcome(&PAYMENT, Sent::own(HASH)).await
            {
                assert_eq!(settled.id(), PAYMENT.id());
                assert!(is_settled_rightly() && is_said(&"33".repeat(32)));
            }
        }
        _ => {
            if let Ok(Usage::Settled(settled, _)) = chain.find(&PAYMENT, NOW - 100, &[]).await {
                assert_eq!(settled.id(), PAYMENT.id());
                assert!(is_settled_rightly());
            }
        }
    }
    let _ = (chain.spent(), chain.balance().await, chain.head().await, chain.block(3).await);
    let _ = chain.token_balance(terms.asset, terms.pay_to).await;
}

struct Forgetful;

impl Journal for Forgetful {
    fn record<'a>(&'a self, _: &'a Transaction) -> BoxFuture<'a, Result<(), LedgerError>> {
        Box::pin(async { Ok(()) })
    }
}

/// A node that says what is written, one line for each call: `!` and an error, or a result.
#[derive(Clone)]
struct Script(Arc<Mutex<VecDeque<Vec<u8>>>>);

impl Service<RequestPacket> for Script {
    type Error = TransportError;
    type Future = TransportFut<'static>;
    type Response = ResponsePacket;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, packet: RequestPacket) -> Self::Future {
        let line = self.0.lock().unwrap().pop_front();
        Box::pin(async move {
            let silent = || TransportErrorKind::custom_str("no answer");
            answer(&packet, &line.ok_or_else(silent)?).ok_or_else(silent)
        })
    }
}

fn answer(packet: &RequestPacket, line: &[u8]) -> Option<ResponsePacket> {
    let mut ids = packet.requests().iter().map(|request| serde_json::to_string(request.id()));
    let id = ids.next_back()?.ok()?;
    let (member, line) = match line.strip_prefix(b"!") {
        Some(error) => ("error", error),
        None => ("result", line),
    };
    let line = core::str::from_utf8(line).ok()?;
    serde_json::from_str(&format!(r#"{{"jsonrpc":"2.0","id":{id},"{member}":{line}}}"#)).ok()
}
