//! The way to the node, on which calls and answers get lost.

use core::task::{Context, Poll};
use core::time::Duration;

use alloy_json_rpc::{RequestPacket, ResponsePacket};
use alloy_transport::{TransportError, TransportErrorKind, TransportFut};
use serde_json::{Value, json};
use tokio::time::sleep;
use tower_service::Service;
use x402_core::hex::Hex;

use crate::rpc::Refused;
use crate::world::{Shared, index_of, lock};

#[derive(Clone)]
pub(crate) struct Wire(pub(crate) Shared);

impl Service<RequestPacket> for Wire {
    type Error = TransportError;
    type Future = TransportFut<'static>;
    type Response = ResponsePacket;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, packet: RequestPacket) -> Self::Future {
        let wire = self.clone();
        Box::pin(async move { wire.exchange(packet).await })
    }
}

impl Wire {
    async fn exchange(&self, packet: RequestPacket) -> Result<ResponsePacket, TransportError> {
        let request: Value = serde_json::from_str(packet.serialize().unwrap().get()).unwrap();
        self.travel().await;
        if self.happens(|weather| weather.call_fails) {
            return Err(TransportErrorKind::custom_str("lost on the way there"));
        }
        // Whichever machine takes it, takes all of it.
        let backend = {
            let mut world = lock(&self.0);
            let count = world.node.backends.len() as u64;
            world.random.below(count) as usize
        };
        let answer = match &request {
            Value::Array(calls) => calls.iter().map(|call| self.answer(backend, call)).collect(),
            call => self.answer(backend, call),
        };
        self.travel().await;
        if self.happens(|weather| weather.answer_lost) {
            return Err(TransportErrorKind::custom_str("lost on the way back"));
        }
        Ok(serde_json::from_value(answer).unwrap())
    }

    fn answer(&self, backend: usize, call: &Value) -> Value {
        let method = call["method"].as_str().unwrap();
        let result = self.ask(backend, method, &call["params"]);
        tracing::debug!(at = lock(&self.0).milliseconds(), backend, method, params = %call["params"], ?result);
        let mut answer = json!({"jsonrpc": "2.0", "id": call["id"]});
        match result {
            Ok(result) => answer["result"] = result,
            Err((code, message)) => answer["error"] = json!({"code": code, "message": message}),
        }
        answer
    }

    fn happens(&self, what: fn(&crate::weather::Weather) -> u64) -> bool {
        let mut world = lock(&self.0);
        let permille = what(&world.weather);
        world.chance(permille)
    }

    async fn travel(&self) {
        let time = {
            let mut world = lock(&self.0);
            let slow = world.weather.call_slow;
            let most = if world.chance(slow) { 15_000 } else { 40 };
            world.random.below(most)
        };
        sleep(Duration::from_millis(time)).await;
    }

    fn ask(&self, backend: usize, method: &str, params: &Value) -> Result<Value, Refused> {
        let mut world = lock(&self.0);
        world.counts.calls += 1;
        if method == "eth_getTransactionReceipt" {
            let garbled = world.weather.garbled;
            world.node.garble =
                if world.chance(garbled) { Some(world.random.below(5)) } else { None };
        }
        let result = world.node.answer(backend, method, params);
        if method == "eth_sendRawTransaction"
            && let Ok(Value::String(hash)) = &result
        {
            let mut pool = world.node.pool.iter();
            let sent = pool.find(|sent| Hex(&sent.hash).to_string() == *hash).cloned().unwrap();
            for terms in sent.terms() {
                world.taken(terms, sent.nonce.unwrap(), sent.hash);
                world.provoke(index_of(terms.nonce()));
            }
        }
        result
    }
}
