//! JSON-RPC 2.0: a body in, a body out.
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::{Map, Value, json};

use super::{
    chain::Chain,
    failure::Failure,
    methods::{self, Answer},
    params::Args,
};

/// Requests in one batch.
const MAX_BATCH: usize = 1_000;

/// Answers a request, or a batch of them; empty if nobody waits for an answer.
pub(super) fn answer(chain: &Mutex<Chain>, body: &[u8]) -> Vec<u8> {
    let answer = match serde_json::from_slice(body) {
        Ok(Value::Array(batch)) => answer_batch(chain, &batch),
        Ok(request) => answer_one(chain, &request),
        Err(error) => Some(response(Value::Null, Err(Failure::parse(error.to_string())))),
    };
    answer.map_or_else(Vec::new, |value| value.to_string().into_bytes())
}

/// The chain, even after a panic while somebody held it: each request leaves it whole or not at
/// all.
pub(super) fn lock(chain: &Mutex<Chain>) -> MutexGuard<'_, Chain> {
    chain.lock().unwrap_or_else(PoisonError::into_inner)
}

fn answer_batch(chain: &Mutex<Chain>, batch: &[Value]) -> Option<Value> {
    if batch.is_empty() {
        return Some(response(Value::Null, Err(Failure::request("empty batch"))));
    }
    if batch.len() > MAX_BATCH {
        return Some(response(Value::Null, Err(Failure::request("batch too large"))));
    }
    let answers: Vec<Value> =
        batch.iter().filter_map(|request| answer_one(chain, request)).collect();
    (!answers.is_empty()).then_some(Value::Array(answers))
}

/// The answer to one request; none to a notification, which is a request without id.
fn answer_one(chain: &Mutex<Chain>, request: &Value) -> Option<Value> {
    let id = match request.get("id") {
        None => None,
        Some(id @ (Value::Null | Value::Number(_) | Value::String(_))) => Some(id.clone()),
        Some(_) => return Some(response(Value::Null, Err(Failure::request("invalid id")))),
    };
    let Some((method, params)) = request.as_object().and_then(parts) else {
        let invalid = Err(Failure::request("invalid request"));
        return Some(response(id.unwrap_or(Value::Null), invalid));
    };
    let answer = dispatch(chain, method, params);
    id.map(|id| response(id, answer))
}

fn parts(request: &Map<String, Value>) -> Option<(&str, Option<&Value>)> {
    let version = request.get("jsonrpc")?.as_str()?;
    let method = request.get("method")?.as_str()?;
    (version == "2.0").then_some((method, request.get("params")))
}

fn dispatch(chain: &Mutex<Chain>, name: &str, params: Option<&Value>) -> Answer {
    let (most, method) = methods::find(name).ok_or_else(|| Failure::method(name))?;
    let args = Args::new(params, most)?;
    method(&mut lock(chain), &args)
}

fn response(id: Value, answer: Answer) -> Value {
    match answer {
        Ok(result) => json!({ "jsonrpc": "2.0", "id": id, "result": result }),
        Err(failure) => json!({ "jsonrpc": "2.0", "id": id, "error": failure.to_json() }),
    }
}
