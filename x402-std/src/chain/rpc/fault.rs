//! What can go wrong between us and a node, in texts of our own.
//!
//! Errors of hyper, rustls and alloy hold addresses, URLs and bodies; none of them is shown.

use core::error::Error;
use core::time::Duration;
use std::io;

use alloy_json_rpc::{ErrorPayload, RpcError};
use alloy_transport::{TransportError, TransportErrorKind};
use hyper_util::client::legacy;

use super::url::RpcUrl;
use crate::chain::ChainError;

/// Why a node gave no answer that is of use.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    /// The connection broke after something may have been sent.
    #[error("the connection to the node broke")]
    Broken,
    /// No connection was made: nothing was sent.
    #[error("no connection to the node: {0}")]
    Connect(Cause),
    /// It is behind what was seen before: what it says is not how things are.
    #[error("the node lags: it is at block {number}, and block {highest} was seen")]
    Lags {
        /// The newest block that it has.
        number: u64,
        /// The newest that was seen, of it or of another.
        highest: u64,
    },
    /// The answer is not what the call promises.
    #[error("the node's answer is malformed: {0}")]
    Malformed(&'static str),
    /// The node answered with an error.
    #[error("the node answers with error {}: {}", .0.code, .0.message)]
    Node(NodeError),
    /// Another HTTP status than 200.
    #[error("the node answers with HTTP status {0}")]
    Status(u16),
    /// The time limit passed.
    #[error("the node did not answer within {0:?}")]
    TimedOut(Duration),
    /// The answer is longer than the limit, in bytes.
    #[error("the node's answer is longer than {0} bytes")]
    TooLong(usize),
}

/// Why no connection was made.
#[derive(Clone, Copy, Debug, thiserror::Error)]
pub(super) enum Cause {
    #[error("its certificate is not valid")]
    Certificate,
    #[error("{0}")]
    Io(io::ErrorKind),
    #[error("its name cannot be resolved")]
    Name,
    #[error("it does not speak TLS as we do")]
    Tls,
}

/// The error of a JSON-RPC answer.
#[derive(Debug)]
pub(super) struct NodeError {
    code: i64,
    /// Redacted.
    message: String,
    pub(super) kind: Kind,
}

/// What a node means by an error: there is a standard for none of them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    /// It has the transaction already.
    AlreadyKnown,
    /// The node's own fault, or a limit of its provider: it may have acted or not.
    Failure,
    /// The transaction offers less than the base fee, or than the pool takes.
    FeeTooLow,
    /// The account cannot pay for the gas.
    Funds,
    /// Transactions before it are missing.
    NonceTooHigh,
    /// A transaction in a block has that account nonce.
    NonceTooLow,
    /// The transaction, or the call, is refused for what it is.
    Rejected,
    /// A transaction in the pool has that account nonce.
    Replacement,
    /// The contract reverted.
    Reverted,
}

impl Fault {
    /// The error of hyper's client, without what it holds.
    pub(super) fn of_client(error: &legacy::Error) -> Self {
        if error.is_connect() { Self::Connect(Cause::of(error)) } else { Self::Broken }
    }

    /// The error of alloy's client, without what it holds.
    pub(super) fn of_call(error: TransportError, url: &RpcUrl) -> Self {
        match error {
            RpcError::ErrorResp(payload) => Self::Node(NodeError::new(&payload, url)),
            RpcError::Transport(TransportErrorKind::Custom(error)) => match error.downcast() {
                Ok(fault) => *fault,
                Err(_) => Self::Malformed("not an answer to the request"),
            },
            RpcError::DeserError { .. } => Self::Malformed("the result is of another type"),
            _ => Self::Malformed("not an answer to the request"),
        }
    }

    /// What the node means, if it is the node that speaks.
    pub(super) const fn kind(&self) -> Option<Kind> {
        match self {
            Self::Node(error) => Some(error.kind),
            _ => None,
        }
    }

    /// Whether it is the node that speaks, and not of a contract that reverted.
    pub(super) fn is_nodes_word(&self) -> bool {
        self.kind().is_some_and(|kind| kind != Kind::Reverted)
    }

    /// Whether the node does not take a block's hash, or a word, in place of its number: an older one,
    /// which does not know EIP-1898, says that the parameter is of a wrong type.
    pub(super) fn refuses_parameter(&self) -> bool {
        /// Of a block that the node does not have.
        const UNKNOWN: &[&str] = &["not found", "unknown", "missing", "canonical", "pruned"];
        let Self::Node(error) = self else { return false };
        let is_params = matches!(error.code, -32700 | -32602 | -32600);
        is_params && error.kind != Kind::Reverted && !error.says(UNKNOWN)
    }

    /// Whether the node has not run a call, for what was offered for the gas.
    pub(super) fn is_of_price(&self) -> bool {
        /// Of clients, beside those by which transactions are refused. None is that of a call that ran.
        const WORDS: &[&str] = &[
            " fee",
            "fee cap",
            "feecap",
            "feepergas",
            "basefee",
            "gasprice",
            "gas price",
            "funds",
            "balance",
            "premium",
        ];
        match self.kind() {
            Some(Kind::FeeTooLow | Kind::Funds) => true,
            Some(Kind::Reverted) | None => false,
            Some(_) => {
                matches!(self, Self::Node(error) if error.says(WORDS)) || self.refuses_parameter()
            }
        }
    }

    /// Whether the node searches fewer blocks at once, or gives fewer logs.
    pub(super) fn is_of_range(&self) -> bool {
        /// Of providers and clients, for eth_getLogs.
        const WORDS: &[&str] =
            &["range", "results", "response size", "too large", "limited to", "blocks", "logs"];
        matches!(self, Self::Node(error) if error.says(WORDS))
    }

    /// Whether a method is not there.
    pub(super) const fn is_unsupported(&self) -> bool {
        matches!(self, Self::Node(NodeError { code: -32601 | -32004, .. }))
    }
}

impl From<Fault> for ChainError {
    fn from(fault: Fault) -> Self {
        Self::Unavailable(fault.to_string())
    }
}

impl NodeError {
    fn new<D: core::borrow::Borrow<serde_json::value::RawValue>>(
        payload: &ErrorPayload<D>,
        url: &RpcUrl,
    ) -> Self {
        let data = payload.data.as_ref().map(|data| data.borrow().get());
        let kind = Kind::of(payload.code, &payload.message.to_lowercase(), data);
        Self { code: payload.code, message: url.redact(&payload.message), kind }
    }

    fn says(&self, words: &[&str]) -> bool {
        let message = self.message.to_lowercase();
        words.iter().any(|word| message.contains(word))
    }
}

/// Words of the execution clients (Geth, Erigon, Nethermind, Besu, Reth) and of the usual gateways,
/// in lower case. The first row that matches decides.
const WORDS: &[(Kind, &[&str])] = &[
    (Kind::AlreadyKnown, &["already known", "alreadyknown", "known transaction", "already import"]),
    (Kind::NonceTooLow, &["nonce too low", "nonce is too low", "oldnonce", "nonce has already"]),
    (Kind::NonceTooHigh, &["nonce too high", "nonce is too high", "nonce gap", "noncegap"]),
    (Kind::Replacement, &["replacement", "replace existing"]),
    (Kind::FeeTooLow, &["underpriced", "less than block base fee", "fee too low", "feetoolow"]),
    (Kind::FeeTooLow, &["price too low", "gas price below", "fee cap less than"]),
    (Kind::Funds, &["insufficient funds", "insufficientfunds", "exceeds account balance"]),
    (Kind::Funds, &["insufficient balance", "have enough funds", "out of gas money"]),
    // Not the payer's fault and not for ever: our gas limit, or the node's state.
    (
        Kind::Failure,
        &["out of gas", "header not found", "missing trie node", "timeout", "timed out"],
    ),
    (Kind::Failure, &["deadline", "limit exceeded", "rate limit", "too many", "try again", "busy"]),
    (Kind::Failure, &["unavailable", "overloaded", "internal error", "capacity", "quota"]),
];

impl Kind {
    /// `message` is in lower case, `data` is JSON.
    fn of(code: i64, message: &str, data: Option<&str>) -> Self {
        // 3 is Geth's code for a revert and nothing else. -32000 and -32015 mean many things: a
        // revert then says so, or brings the bytes that the contract left.
        let has_data = data.is_some_and(|data| data.starts_with("\"0x") || is_revert(data));
        if code == 3 || is_revert(message) || (matches!(code, -32000 | -32015) && has_data) {
            return Self::Reverted;
        }
        let found = WORDS.iter().find(|(_, words)| words.iter().any(|word| message.contains(word)));
        if let Some((kind, _)) = found {
            return *kind;
        }
        match code {
            // Server error, as pools refuse; invalid request, parameters, method; rejected (-32003
            // by EIP-1474, -32010 by Nethermind and its forebears); virtual machine (-32015).
            -32000 | -32003 | -32010 | -32015 | -32602..=-32600 => Self::Rejected,
            _ => Self::Failure,
        }
    }
}

fn is_revert(text: &str) -> bool {
    text.to_lowercase().contains("revert")
}

impl Cause {
    /// The innermost that is known of an error and its sources.
    fn of(error: &(dyn Error + 'static)) -> Self {
        let mut found = Self::Io(io::ErrorKind::Other);
        let mut error = Some(error);
        while let Some(cause) = error {
            // hyper-util's type has no other mark.
            if cause.to_string().starts_with("dns error") {
                return Self::Name;
            }
            if let Some(io) = cause.downcast_ref::<io::Error>() {
                found = Self::Io(io.kind());
                // What an io::Error wraps is not among its sources.
                error = io.get_ref().map(|inner| inner as &(dyn Error + 'static));
                continue;
            }
            match cause.downcast_ref::<rustls::Error>() {
                Some(rustls::Error::InvalidCertificate(_)) => return Self::Certificate,
                Some(_) => return Self::Tls,
                None => error = cause.source(),
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_ran_has_not_failed_for_its_price() {
        for (code, message, is_of_price) in [
            (-32000, "max fee per gas less than block base fee", true),
            (-32000, "insufficient funds for gas * price + value", true),
            (-32009, "gasPrice is less than the current BaseFee", true),
            (-32000, "insufficient MaxFeePerGas for sender balance", true),
            (-32003, "lack of funds (1) for max fee (2)", true),
            (-32000, "miner premium is negative", true),
            (-32602, "unknown field `maxFeePerGas`", true),
            (3, "execution reverted: fee", false),
            (-32000, "out of gas", false),
            (-32003, "out of gas: gas required exceeds: 200000", false),
            (-32000, "invalid opcode: INVALID", false),
            (-32603, "EVM error InvalidFEOpcode", false),
            (-32015, "VM execution error.", false),
        ] {
            let message = message.to_owned();
            let kind = Kind::of(code, &message.to_lowercase(), None);
            let fault = Fault::Node(NodeError { code, message, kind });
            assert_eq!(fault.is_of_price(), is_of_price, "{fault}");
        }
    }

    #[test]
    fn knows_what_nodes_mean() {
        for (code, message, data, kind) in [
            (3, "execution reverted: x", Some("\"0x08c379a0\""), Kind::Reverted),
            (3, "", None, Kind::Reverted),
            (-32000, "execution reverted", None, Kind::Reverted),
            (-32000, "VM Exception", Some("\"0x\""), Kind::Reverted),
            (-32015, "VM execution error.", Some("\"Reverted 0x\""), Kind::Reverted),
            (-32603, "Error: VM: reverted with reason string 'x'", None, Kind::Reverted),
            (-32000, "already known", None, Kind::AlreadyKnown),
            (-32000, "ALREADY_EXISTS: already known", None, Kind::AlreadyKnown),
            (-32000, "Known transaction", None, Kind::AlreadyKnown),
            (-32010, "AlreadyKnown", None, Kind::AlreadyKnown),
            (-32000, "nonce too low: next nonce 7, tx nonce 5", None, Kind::NonceTooLow),
            (-32010, "OldNonce", None, Kind::NonceTooLow),
            (-32000, "nonce too high", None, Kind::NonceTooHigh),
            (-32000, "replacement transaction underpriced", None, Kind::Replacement),
            (-32000, "transaction underpriced", None, Kind::FeeTooLow),
            (-32000, "max fee per gas less than block base fee", None, Kind::FeeTooLow),
            (-32000, "insufficient funds for gas * price + value", None, Kind::Funds),
            (-32004, "Upfront cost exceeds account balance", None, Kind::Funds),
            (-32000, "out of gas", None, Kind::Failure),
            (-32005, "daily request count exceeded", None, Kind::Failure),
            (-32603, "Internal error", None, Kind::Failure),
            (429, "Too Many Requests", None, Kind::Failure),
            (-32000, "header not found", None, Kind::Failure),
            (-32005, "limit exceeded", Some("{\"see\":\"0x\"}"), Kind::Failure),
            (-32000, "intrinsic gas too low", None, Kind::Rejected),
            (-32602, "invalid argument 0", None, Kind::Rejected),
        ] {
            assert_eq!(Kind::of(code, &message.to_lowercase(), data), kind, "{code} {message}");
        }
    }
}
