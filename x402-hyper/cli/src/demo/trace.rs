//! When the chain and the upstream were asked, to tell a paid request's time apart.

use core::time::Duration;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// What the gateway did behind the buyer's back.
#[derive(Clone, Default)]
pub(super) struct Trace(Arc<Mutex<Vec<Call>>>);

/// One call of the gateway's.
#[derive(Clone, Debug)]
pub(super) struct Call {
    /// The methods of a JSON-RPC body, or [`UPSTREAM`].
    pub(super) what: String,
    pub(super) started: Instant,
    pub(super) ended: Instant,
}

/// A call that was not to the chain.
pub(super) const UPSTREAM: &str = "upstream";

impl Trace {
    /// Runs `work` and records it.
    pub(super) fn record<T>(&self, what: String, work: impl FnOnce() -> T) -> T {
        let started = Instant::now();
        let result = work();
        let call = Call { what, started, ended: Instant::now() };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(call);
        result
    }

    pub(super) fn calls(&self) -> Vec<Call> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Where the time of a paid request went. The parts follow each other and add up to the whole.
#[derive(Clone, Copy, Debug)]
pub(super) struct Split {
    /// Until the token had said that it would take the payment.
    pub(super) verify: Duration,
    /// From there until the chain had shown the receipt.
    pub(super) settle: Duration,
    /// From there until the upstream had answered.
    pub(super) serve: Duration,
    /// From there until the buyer had the answer.
    pub(super) answer: Duration,
}

impl Split {
    /// `None` where the calls are not what a payment makes.
    pub(super) fn of(calls: &[Call], started: Instant, ended: Instant) -> Option<Self> {
        let calls = || calls.iter().filter(|call| call.started >= started && call.ended <= ended);
        let verified = calls().find(|call| call.what.contains("eth_call"))?.ended;
        let served = calls().find(|call| call.what == UPSTREAM)?;
        let chain = calls().filter(|call| call.what != UPSTREAM && call.ended <= served.started);
        let settled = chain.map(|call| call.ended).max()?;
        Some(Self {
            verify: verified.checked_duration_since(started)?,
            settle: settled.checked_duration_since(verified)?,
            serve: served.ended.checked_duration_since(settled)?,
            answer: ended.checked_duration_since(served.ended)?,
        })
    }
}

/// The methods in a JSON-RPC body, joined by a comma.
pub(super) fn methods(body: &[u8]) -> String {
    let body: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let requests = body.as_array().map_or(core::slice::from_ref(&body), Vec::as_slice);
    let methods = requests.iter().filter_map(|request| request["method"].as_str());
    methods.collect::<Vec<_>>().join(",")
}
