//! A back end that is a block late: it knows the chain up to the block before the newest one, and no more.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::http::{self, Answer};

/// What it answers. Transactions are passed on: back ends tell them each other.
pub(super) fn ask(node: SocketAddr, body: &str) -> Answer {
    let mut call: Value = serde_json::from_str(body).expect("JSON-RPC");
    let newest = number(&one(node, "eth_blockNumber", json!([])));
    let late = Late { node, head: newest.saturating_sub(1) };
    match &mut call {
        Value::Array(calls) => calls.iter_mut().for_each(|call| late.respell(call)),
        call => late.respell(call),
    }
    let mut answer = http::post_json(node, &call.to_string());
    let mut said = answer.json();
    super::each(&call, &mut said, |call, said| late.forget(call, said));
    answer.body = said.to_string();
    answer
}

struct Late {
    node: SocketAddr,
    /// Its newest block.
    head: u64,
}

impl Late {
    /// Asks for its own newest block instead of the node's.
    fn respell(&self, call: &mut Value) {
        let head = json!(format!("{:#x}", self.head));
        let method = call["method"].as_str().unwrap_or_default().to_owned();
        let Some(params) = call["params"].as_array_mut() else { return };
        // Its pool is that of all: what is pending there is pending here.
        let is_pool = method == "eth_getTransactionCount";
        for param in params.iter_mut() {
            if is_newest(param) && !(is_pool && param == "pending") {
                *param = head.clone();
            }
        }
        if method == "eth_getLogs" {
            for end in ["fromBlock", "toBlock"] {
                let block = &mut params[0][end];
                if is_newest(block) || (block.is_string() && number(block) > self.head) {
                    *block = head.clone();
                }
            }
        }
    }

    /// Takes out of an answer what it cannot know yet.
    fn forget(&self, call: &Value, said: &mut Value) {
        let (params, result) = (&call["params"], &said["result"]);
        match call["method"].as_str().unwrap_or_default() {
            "eth_blockNumber" => said["result"] = json!(format!("{:#x}", self.head)),
            "eth_getTransactionReceipt" | "eth_getTransactionByHash"
                if self.is_above(&result["blockNumber"]) =>
            {
                said["result"] = Value::Null;
            }
            "eth_getBlockByHash" | "eth_getBlockByNumber" if self.is_above(&result["number"]) => {
                said["result"] = Value::Null;
            }
            "eth_getLogs" if self.is_unknown(&params[0]["blockHash"]) => no_block(said),
            "eth_call" | "eth_getTransactionCount" | "eth_getBalance" | "eth_getCode" => {
                let at = &params[1];
                let hash = if at.is_string() { &Value::Null } else { &at["blockHash"] };
                let is_number = at.as_str().is_some_and(|at| at.starts_with("0x") && at.len() < 60);
                if self.is_unknown(hash) || (is_number && number(at) > self.head) {
                    no_block(said);
                }
            }
            _ => {}
        }
    }

    /// Whether a block's number is one that it has not seen yet.
    fn is_above(&self, number: &Value) -> bool {
        number.is_string() && self::number(number) > self.head
    }

    /// Whether it has not seen the block of this hash yet.
    fn is_unknown(&self, hash: &Value) -> bool {
        let Some(hash) = hash.as_str() else { return false };
        let block = one(self.node, "eth_getBlockByHash", json!([hash, false]));
        block.is_null() || self.is_above(&block["number"])
    }
}

fn no_block(said: &mut Value) {
    let error = json!({"code": -32000, "message": "header not found"});
    *said = json!({"jsonrpc": "2.0", "id": said["id"], "error": error});
}

fn is_newest(block: &Value) -> bool {
    block == "latest" || block == "pending"
}

fn number(quantity: &Value) -> u64 {
    let digits = quantity.as_str().expect("a quantity").trim_start_matches("0x");
    u64::from_str_radix(digits, 16).expect("a number")
}

fn one(node: SocketAddr, method: &str, params: Value) -> Value {
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
    http::post_json(node, &body.to_string()).json()["result"].clone()
}
