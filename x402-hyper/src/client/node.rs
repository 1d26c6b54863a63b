//! A node, asked whether what a buyer has signed was used.

use core::fmt;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{Request, StatusCode, Uri};
use serde_json::{Value, json};
use x402_core::hex::{self, Hex};
use x402_core::permit2::PERMIT2;
use x402_core::{Address, ChainId, Nonce};

use super::budget::{End, Method, Signed};
use super::fetch::Fetch;

/// The URL of a node, which may hold a key and is never shown.
#[derive(Clone)]
pub(super) struct NodeUrl(pub(super) Uri);

impl fmt::Debug for NodeUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NodeUrl")
    }
}

/// `authorizationState(address,bytes32)` of EIP-3009.
const AUTHORIZATION_STATE: [u8; 4] = [0xe9, 0x4a, 0x01, 0x02];
/// `nonceBitmap(address,uint256)` of Permit2.
const NONCE_BITMAP: [u8; 4] = [0x4f, 0xe0, 0x2b, 0x44];

/// How many payments a node is asked about at a time.
const ASKED: usize = 64;

/// How many seconds the newest block may still go back, where the node does not know which blocks stay.
const UNSETTLED_SECONDS: u64 = 15 * 60;

/// One block, at which everything is read.
struct View {
    number: String,
    hash: String,
    /// What is over by then stays over.
    time: u64,
}

/// What a node says has become of payments of one chain that have run out, and at what time of the
/// chain's; `None` where it cannot be asked, or is of another chain. Those are left out that could be used
/// still, and what is behind the first [`ASKED`] of the others.
pub(super) async fn ends(
    fetch: &Fetch,
    node: &NodeUrl,
    chain_id: ChainId,
    payments: &[Signed],
) -> Option<(Vec<(Nonce, End)>, u64)> {
    let id = quantity(&call(fetch, node, "eth_chainId", json!([])).await?)?;
    if id != chain_id.get() {
        return None;
    }
    let view = View::read(fetch, node).await?;
    let mut ends = Vec::new();
    let run_out = payments.iter().filter(|payment| payment.valid_before < view.time);
    for payment in run_out.take(ASKED) {
        let is_used = view.is_used(fetch, node, payment).await?;
        ends.push((payment.nonce, if is_used { End::Used } else { End::Unused }));
    }
    Some((ends, view.time))
}

impl View {
    /// The newest block that stays, or the newest where the node does not know which do.
    async fn read(fetch: &Fetch, node: &NodeUrl) -> Option<Self> {
        match Self::at(fetch, node, "finalized").await {
            Some(view) => Some(view),
            None => {
                let view = Self::at(fetch, node, "latest").await?;
                Some(Self { time: view.time.saturating_sub(UNSETTLED_SECONDS), ..view })
            }
        }
    }

    async fn at(fetch: &Fetch, node: &NodeUrl, tag: &str) -> Option<Self> {
        let block = call(fetch, node, "eth_getBlockByNumber", json!([tag, false])).await?;
        let text = |key: &str| block.get(key)?.as_str().map(str::to_owned);
        let time = quantity(block.get("timestamp")?)?;
        Some(Self { number: text("number")?, hash: text("hash")?, time })
    }

    async fn is_used(&self, fetch: &Fetch, node: &NodeUrl, payment: &Signed) -> Option<bool> {
        let (owner, nonce) = (payment.payer.to_word(), *payment.nonce.as_bytes());
        match payment.method {
            Method::Eip3009 => {
                let data = [&AUTHORIZATION_STATE[..], &owner, &nonce].concat();
                let word = self.word(fetch, node, payment.asset, &data).await?;
                let (last, rest) = word.split_last()?;
                (rest.iter().all(|byte| *byte == 0) && *last <= 1).then_some(*last == 1)
            }
            Method::Permit2 => {
                // 256 bits for each number but its last eight bits, which say the bit.
                let [ref high @ .., bit] = nonce;
                let data = [&NONCE_BITMAP[..], &owner, &[0], high].concat();
                let word = self.word(fetch, node, PERMIT2, &data).await?;
                let byte = word.iter().rev().nth(usize::from(bit / 8))?;
                Some(byte >> (bit % 8) & 1 == 1)
            }
        }
    }

    /// What a contract answers at this block: one word.
    async fn word(
        &self,
        fetch: &Fetch,
        node: &NodeUrl,
        contract: Address,
        data: &[u8],
    ) -> Option<[u8; 32]> {
        let asked = json!({"to": contract.to_string(), "data": Hex(data).to_string()});
        let by_hash = json!([asked, {"blockHash": self.hash}]);
        let word = match call(fetch, node, "eth_call", by_hash).await {
            Some(word) => word,
            // Without EIP-1898: by number, and then whether that is still the same block.
            None => {
                let word = call(fetch, node, "eth_call", json!([asked, self.number])).await?;
                let again = Self::at(fetch, node, &self.number).await?;
                Some(word).filter(|_| again.hash == self.hash)?
            }
        };
        hex::decode(word.as_str()?).ok()
    }
}

/// The result of one call; `None` where there is none.
async fn call(fetch: &Fetch, node: &NodeUrl, method: &str, params: Value) -> Option<Value> {
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
    let request = Request::post(node.0.clone()).header(CONTENT_TYPE, "application/json");
    let request = request.body(Bytes::from(body.to_string())).ok()?;
    let response = fetch.once(request).await.ok()?;
    if response.status() != StatusCode::OK {
        return None;
    }
    let mut answer: Value = serde_json::from_slice(response.body()).ok()?;
    answer.get_mut("result").map(Value::take).filter(|result| !result.is_null())
}

/// A number as nodes write it: `0x1f`.
fn quantity(value: &Value) -> Option<u64> {
    let digits = value.as_str()?.strip_prefix("0x")?;
    u64::from_str_radix(digits, 16).ok().filter(|_| digits.bytes().all(|b| b.is_ascii_hexdigit()))
}
