//! What a JSON-RPC request is refused with, and the words execution nodes use for it.
use alloy_primitives::{Bytes, hex};
use revm::context::result::{ExecutionResult, HaltReason, InvalidTransaction};
use serde_json::{Value, json};

/// `Error(string)`, what `require` and `revert` leave behind.
const ERROR_SELECTOR: [u8; 4] = [0x08, 0xc3, 0x79, 0xa0];
/// `Panic(uint256)`, what the compiler's own checks leave behind.
const PANIC_SELECTOR: [u8; 4] = [0x4e, 0x48, 0x7b, 0x71];

/// The `error` member of an answer.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Failure {
    pub(super) code: i64,
    pub(super) message: String,
    pub(super) data: Option<Value>,
}

impl Failure {
    fn new(code: i64, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), data: None }
    }

    /// The body is not JSON.
    pub(super) fn parse(why: impl Into<String>) -> Self {
        Self::new(-32700, why)
    }

    /// The JSON is not a request.
    pub(super) fn request(why: impl Into<String>) -> Self {
        Self::new(-32600, why)
    }

    /// Nobody answers to this method.
    pub(super) fn method(name: &str) -> Self {
        let shown: String = name.chars().take(64).collect();
        Self::new(-32601, format!("the method {shown} does not exist/is not available"))
    }

    /// An argument is missing, of the wrong type or out of range.
    pub(super) fn params(why: impl Into<String>) -> Self {
        Self::new(-32602, why)
    }

    /// The request is well formed and cannot be served.
    pub(super) fn server(why: impl Into<String>) -> Self {
        Self::new(-32000, why)
    }

    /// A call that ran and was reverted; the bytes it left travel as `data`.
    pub(super) fn reverted(output: &Bytes) -> Self {
        let message = match revert_reason(output) {
            Some(reason) => format!("execution reverted: {reason}"),
            None => "execution reverted".to_owned(),
        };
        Self { code: 3, message, data: Some(json!(hex::encode_prefixed(output))) }
    }

    /// The `error` member as JSON.
    pub(super) fn to_json(&self) -> Value {
        let mut error = json!({ "code": self.code, "message": self.message });
        if let Some(data) = &self.data {
            error["data"] = data.clone();
        }
        error
    }
}

/// The bytes a call returned, or why it failed.
pub(super) fn returned(result: ExecutionResult) -> Result<Bytes, Failure> {
    match result {
        ExecutionResult::Success { output, .. } => Ok(output.into_data()),
        ExecutionResult::Revert { output, .. } => Err(Failure::reverted(&output)),
        ExecutionResult::Halt { reason, .. } => Err(halted(&reason)),
    }
}

/// A call that broke a rule of the machine.
pub(super) fn halted(reason: &HaltReason) -> Failure {
    match reason {
        HaltReason::OutOfGas(_) => Failure::server("out of gas"),
        other => Failure::server(other.to_string()),
    }
}

/// A transaction that no block may hold, in the words of the most used node.
pub(super) fn refused(reason: &InvalidTransaction) -> Failure {
    use InvalidTransaction as Invalid;
    Failure::server(match reason {
        Invalid::LackOfFundForMaxFee { fee, balance } => format!(
            "insufficient funds for gas * price + value: balance {balance}, tx cost {fee}, overshot {}",
            fee.saturating_sub(**balance)
        ),
        Invalid::CallGasCostMoreThanGasLimit { initial_gas, gas_limit } => {
            format!("intrinsic gas too low: gas {gas_limit}, minimum needed {initial_gas}")
        }
        Invalid::GasFloorMoreThanGasLimit { gas_floor, gas_limit } => format!(
            "insufficient gas for floor data gas cost: gas {gas_limit}, minimum needed {gas_floor}"
        ),
        Invalid::GasPriceLessThanBasefee => "max fee per gas less than block base fee".to_owned(),
        Invalid::PriorityFeeGreaterThanMaxFee => {
            "max priority fee per gas higher than max fee per gas".to_owned()
        }
        Invalid::CallerGasLimitMoreThanBlock => "exceeds block gas limit".to_owned(),
        Invalid::CreateInitCodeSizeLimit => "max initcode size exceeded".to_owned(),
        Invalid::InvalidChainId => "invalid chain id for signer".to_owned(),
        Invalid::NonceTooLow { tx, state } => nonce_too_low(*tx, *state),
        Invalid::NonceTooHigh { tx, state } => nonce_too_high(*tx, *state),
        Invalid::RejectCallerWithCode => "sender not an eoa".to_owned(),
        other => other.to_string(),
    })
}

/// The account has moved past this nonce.
pub(super) fn nonce_too_low(tx: u64, next: u64) -> String {
    format!("nonce too low: next nonce {next}, tx nonce {tx}")
}

/// More nonces are missing than the pool waits for.
pub(super) fn nonce_too_high(tx: u64, next: u64) -> String {
    format!("nonce too high: next nonce {next}, tx nonce {tx}")
}

/// The text of a revert: the string of `Error(string)`, or the code of `Panic(uint256)`.
fn revert_reason(output: &[u8]) -> Option<String> {
    let (selector, body) = output.split_first_chunk::<4>()?;
    match *selector {
        // offset, length, text
        ERROR_SELECTOR => {
            let length = word(body, 1)?;
            let text = body.get(64..64usize.checked_add(length)?)?;
            Some(String::from_utf8_lossy(text).into_owned())
        }
        PANIC_SELECTOR => Some(format!("panic: 0x{:02x}", word(body, 0)?)),
        _ => None,
    }
}

/// The ABI word at `index`, if it is a length that this machine can count.
fn word(body: &[u8], index: usize) -> Option<usize> {
    let start = index.checked_mul(32)?;
    let (high, low) = body.get(start..start.checked_add(32)?)?.split_at(24);
    let low = u64::from_be_bytes(low.try_into().ok()?);
    if high.iter().any(|byte| *byte != 0) { None } else { usize::try_from(low).ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn revert_text_is_read() {
        let text = hex!(
            "08c379a0"
            "0000000000000000000000000000000000000000000000000000000000000020"
            "0000000000000000000000000000000000000000000000000000000000000003"
            "6e6f210000000000000000000000000000000000000000000000000000000000"
        );
        let failure = Failure::reverted(&Bytes::from(text));
        assert_eq!(failure.code, 3);
        assert_eq!(failure.message, "execution reverted: no!");
        assert_eq!(failure.data, Some(json!(hex::encode_prefixed(text))));
    }

    #[test]
    fn revert_bytes_that_are_no_text_do_no_harm() {
        for bytes in [
            vec![],
            vec![0x08, 0xc3, 0x79],
            ERROR_SELECTOR.to_vec(),
            [&ERROR_SELECTOR[..], &[0xff; 64]].concat(),
            [&ERROR_SELECTOR[..], &[0; 56], &[0xff; 8]].concat(),
            vec![1, 2, 3, 4, 5],
        ] {
            assert_eq!(Failure::reverted(&Bytes::from(bytes)).message, "execution reverted");
        }
    }
}
