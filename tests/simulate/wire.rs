//! The way to the node, on which calls and answers get lost.

use core::task::{Context, Poll};
use core::time::Duration;

use alloy_json_rpc::{RequestPacket, ResponsePacket};
use alloy_transport::{TransportError, TransportErrorKind, TransportFut};
use serde_json::{Value, json};
use tokio::time::sleep;
use tower_service::Service;
use x402_core::hex::Hex;

use crate::world::{Shared, lock};

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
        let method = request["method"].as_str().unwrap();
        let result = self.ask(method, &request["params"]);
        tracing::debug!(at = lock(&self.0).milliseconds(), method, ?result);
        self.travel().await;
        if self.happens(|weather| weather.answer_lost) {
            return Err(TransportErrorKind::custom_str("lost on the way back"));
        }
        let mut answer = json!({"jsonrpc": "2.0", "id": request["id"]});
        match result {
            Ok(result) => answer["result"] = result,
            Err((code, message)) => answer["error"] = json!({"code": code, "message": message}),
        }
        Ok(serde_json::from_value(answer).unwrap())
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

    fn ask(&self, method: &str, params: &Value) -> Result<Value, (i64, &'static str)> {
        let mut world = lock(&self.0);
        let result = world.node.answer(method, params);
        if method == "eth_sendRawTransaction"
            && let Ok(Value::String(hash)) = &result
        {
            let mut pool = world.node.pool.iter();
            let sent = pool.find(|sent| Hex(&sent.hash).to_string() == *hash).cloned().unwrap();
            for terms in &sent.terms {
                world.taken(*terms, sent.nonce.unwrap(), sent.hash);
                let (stranger, cancelled) = (world.weather.stranger, world.weather.cancelled);
                if world.chance(stranger) {
                    world.counts.by_others += 1;
                    world.node.overtake(*terms, false);
                } else if world.chance(cancelled) {
                    world.node.overtake(*terms, true);
                }
            }
        }
        result
    }
}
