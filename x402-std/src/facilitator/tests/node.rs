//! A node that says what a case's `chainState` says, in JSON-RPC.

use core::convert::Infallible;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use alloy_consensus::{Transaction as _, TxEnvelope};
use alloy_eips::eip2718::Decodable2718 as _;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use x402_core::hex::Hex;
use x402_core::settlement::{AUTHORIZATION_USED_TOPIC, TRANSFER_TOPIC};
use x402_core::{Address, Amount, Nonce, keccak256};

pub(super) struct Node {
    pub(super) url: String,
    chain: Arc<Chain>,
    task: tokio::task::JoinHandle<()>,
}

impl Node {
    pub(super) async fn start(case: &Value) -> Self {
        let chain = Arc::new(Chain::of(case));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let served = Arc::clone(&chain);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let chain = Arc::clone(&served);
                tokio::spawn(async move {
                    let service = service_fn(move |request| answer(Arc::clone(&chain), request));
                    let connection = hyper::server::conn::http1::Builder::new();
                    let _ = connection.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self { url, chain, task }
    }

    /// Whether it says nothing of what was mined.
    pub(super) fn hides_receipts(&self) -> &AtomicBool {
        &self.chain.hides_receipts
    }

    /// How many transactions it was sent.
    pub(super) fn sent(&self) -> usize {
        self.chain.sent.load(Ordering::SeqCst)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(
    chain: Arc<Chain>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let call: Value = serde_json::from_slice(&body).unwrap();
    let result = chain.answer(call["method"].as_str().unwrap(), &call["params"]);
    let mut answer = json!({"jsonrpc": "2.0", "id": call["id"]});
    match result {
        Ok(result) => answer["result"] = result,
        Err(message) => answer["error"] = json!({"code": 3, "message": message}),
    }
    Ok(Response::new(Full::new(answer.to_string().into())))
}

/// A chain as a case describes it.
struct Chain {
    state: Value,
    id: u64,
    token: String,
    payer: String,
    /// What a transaction that settles logs.
    logs: Value,
    sent: AtomicUsize,
    hides_receipts: AtomicBool,
    /// The hash of the transaction that was sent, and the contract that it calls.
    mined: Mutex<(String, String)>,
}

impl Chain {
    fn of(case: &Value) -> Self {
        let terms = &case["paymentRequirements"];
        let payload = &case["paymentPayload"]["payload"];
        let permit = &payload["permit2Authorization"];
        let signed = if permit.is_null() { &payload["authorization"] } else { permit };
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let word = |value: &Value| Address::parse(value.as_str().unwrap()).unwrap().to_word();
        let (token, payer) = (text(&terms["asset"]), text(&signed["from"]));
        let to = if permit.is_null() { &signed["to"] } else { &permit["witness"]["to"] };
        let amount = text(&terms["amount"]) + &text(&terms["maxAmountRequired"]);
        let value = Amount::parse(&amount).unwrap_or_default().to_be_bytes();
        let topics = |topics: [[u8; 32]; 3]| topics.map(|topic| Hex(&topic).to_string());
        let mut logs = vec![json!({
            "address": token,
            "topics": topics([TRANSFER_TOPIC, word(&signed["from"]), word(to)]),
            "data": Hex(&value).to_string(),
        })];
        if permit.is_null() {
            let nonce = *Nonce::parse(&text(&signed["nonce"])).unwrap().as_bytes();
            let topics = topics([AUTHORIZATION_USED_TOPIC, word(&signed["from"]), nonce]);
            logs.push(json!({"address": token, "topics": topics, "data": "0x"}));
        }
        Self {
            state: case["chainState"].clone(),
            id: super::chain_of(case).get(),
            token: token.to_lowercase(),
            payer: payer.to_lowercase(),
            logs: logs.into(),
            sent: AtomicUsize::new(0),
            hides_receipts: AtomicBool::new(false),
            mined: Mutex::default(),
        }
    }

    fn answer(&self, method: &str, params: &Value) -> Result<Value, String> {
        Ok(match method {
            "eth_chainId" => json!(format!("{:#x}", self.id)),
            "eth_getCode" => self.code(params[0].as_str().unwrap())?,
            "eth_call" => json!(self.call(&params[0])?),
            "eth_getTransactionCount" => json!("0x0"),
            "eth_feeHistory" => json!({"baseFeePerGas": ["0x1", "0x1"], "reward": [["0x1"]]}),
            "eth_gasPrice" => json!("0x1"),
            "eth_getBalance" => json!("0xde0b6b3a7640000"),
            "eth_getBlockByNumber" => json!({
                "number": if params[0] == "0x0" { "0x0" } else { "0x1" },
                "timestamp": "0x1",
                "hash": format!("0x{}", "22".repeat(32)),
                "parentHash": format!("0x{}", "21".repeat(32)),
                "baseFeePerGas": "0x1",
            }),
            "eth_getLogs" => json!([]),
            "eth_sendRawTransaction" => self.send(params[0].as_str().unwrap())?,
            "eth_getTransactionReceipt" => self.receipt(params[0].as_str().unwrap()),
            other => panic!("{other}"),
        })
    }

    fn code(&self, address: &str) -> Result<Value, String> {
        if self.state["getCodeThrows"] == true {
            return Err("getCode failed".into());
        }
        let address = address.to_lowercase();
        let is_missing = address == self.payer
            || address == self.token && self.state["assetIsEoa"] == true
            || address.starts_with("0x4020") && self.fails("PERMIT2");
        let given = &self.state["code"][&address];
        let known = if is_missing { json!("0x") } else { json!("0x60") };
        Ok(if given.is_null() { known } else { given.clone() })
    }

    fn fails(&self, function: &str) -> bool {
        let failing = self.state["fail"].as_array();
        failing.is_some_and(|failing| failing.iter().any(|name| name == function))
    }

    fn call(&self, call: &Value) -> Result<String, String> {
        let data = call["data"].as_str().unwrap();
        let number = |text: &str| Hex(&Amount::parse(text).unwrap().to_be_bytes()).to_string();
        let stated = |key: &str| self.state[key].as_str().map(str::to_owned);
        Ok(match data.get(2..10).unwrap() {
            // transferWithAuthorization, and settle of both proxies
            "e3ee160e" | "cf092995" | "13cd3b53" | "ff11e7b4" => match self.would_revert() {
                Some(reason) => return Err(format!("execution reverted: {reason}")),
                None => "0x".into(),
            },
            "e94a0102" if self.fails("authorizationState") => {
                return Err("execution reverted".into());
            }
            "e94a0102" => number("0"),
            "4fe02b44" if stated("writeRevert").is_some_and(|why| why.contains("InvalidNonce")) => {
                Hex(&[0xff; 32]).to_string()
            }
            "4fe02b44" => number("0"),
            "70a08231" if stated("writeRevert").is_some_and(|why| why.contains("balance")) => {
                number("0")
            }
            "70a08231" => number(&stated("balance").unwrap_or("1".repeat(77))),
            // paused, isBlacklisted
            "5c975abb" | "fe575a87" => number("0"),
            "dd62ed3e" => number(&stated("allowance").unwrap_or("1".repeat(77))),
            other => panic!("{other}"),
        })
    }

    /// Whether the call that settles would revert: where the case says so, where a write would, and
    /// where the payer is a contract that says no.
    fn would_revert(&self) -> Option<String> {
        let text = |key: &str| self.state[key].as_str().map(str::to_owned);
        let written = text("writeRevert").filter(|why| !why.contains("nonce too low"));
        let refused = text("erc1271").filter(|answer| !answer.starts_with("0x1626ba7e"));
        text("simRevert").or(written).or(refused)
    }

    fn send(&self, raw: &str) -> Result<Value, String> {
        self.sent.fetch_add(1, Ordering::SeqCst);
        if let Some(why) = self.state["writeRevert"].as_str() {
            return Err(why.to_owned());
        }
        let bytes: Vec<u8> = (2..raw.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&raw[at..at + 2], 16).unwrap())
            .collect();
        let hash = Hex(&keccak256(&[&bytes])).to_string();
        if let Some(other) = self.state["tx"].as_str() {
            return Ok(json!(other));
        }
        let to = TxEnvelope::decode_2718_exact(&bytes).unwrap().to().unwrap();
        *self.mined.lock().unwrap() = (hash.clone(), to.to_string());
        Ok(json!(hash))
    }

    fn receipt(&self, hash: &str) -> Value {
        let (mined, to) = self.mined.lock().unwrap().clone();
        if mined != hash || self.hides_receipts.load(Ordering::SeqCst) {
            return Value::Null;
        }
        let is_reverted = self.state["status"] == "reverted";
        let logs = if self.state["logs"].is_null() { &self.logs } else { &self.state["logs"] };
        let mut logs = if is_reverted { json!([]) } else { logs.clone() };
        let block = format!("0x{}", "22".repeat(32));
        for log in logs.as_array_mut().unwrap() {
            log["transactionHash"] = json!(hash);
            log["blockHash"] = json!(block);
            log["blockNumber"] = json!("0x1");
        }
        json!({
            "transactionHash": hash,
            "blockHash": block,
            "blockNumber": "0x1",
            "to": to,
            "status": if is_reverted { "0x0" } else { "0x1" },
            "logs": logs,
        })
    }
}
