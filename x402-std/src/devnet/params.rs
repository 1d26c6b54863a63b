//! Arguments of a request, from JSON.
use alloy_eips::eip2930::{AccessList, AccessListItem};
use alloy_primitives::{Address, B256, Bytes, TxKind, U256, hex};
use revm::context::TxEnv;
use serde_json::Value;

use super::{block::GAS_LIMIT, chain::Chain, failure::Failure};

/// Longest list taken in an argument.
pub(super) const MAX_LIST: usize = 1_000;

/// The arguments of one request, by position.
pub(super) struct Args<'a>(&'a [Value]);

impl<'a> Args<'a> {
    /// Reads the `params` member: a list of at most `most`, or nothing.
    ///
    /// # Errors
    /// It is something else.
    pub(super) fn new(params: Option<&'a Value>, most: usize) -> Result<Self, Failure> {
        let list = match params {
            None | Some(Value::Null) => &[][..],
            Some(Value::Array(list)) => list,
            Some(_) => return Err(Failure::params("non-array args")),
        };
        if list.len() > most {
            return Err(Failure::params(format!("too many arguments, want at most {most}")));
        }
        Ok(Self(list))
    }

    /// The argument at `index`, from 0.
    ///
    /// # Errors
    /// It is missing, null, or not a `T`.
    pub(super) fn required<T: Param>(&self, index: usize) -> Result<T, Failure> {
        self.optional(index)?
            .ok_or_else(|| Failure::params(format!("missing value for required argument {index}")))
    }

    /// The argument at `index`, from 0, if it is there and not null.
    ///
    /// # Errors
    /// It is there and not a `T`.
    pub(super) fn optional<T: Param>(&self, index: usize) -> Result<Option<T>, Failure> {
        match self.0.get(index) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => T::read(value)
                .map(Some)
                .map_err(|why| Failure::params(format!("invalid argument {index}: {why}"))),
        }
    }
}

/// What an argument can be. The error completes the sentence "invalid argument 0: …".
pub(super) trait Param: Sized {
    fn read(value: &Value) -> Result<Self, String>;
}

impl Param for bool {
    fn read(value: &Value) -> Result<Self, String> {
        value.as_bool().ok_or_else(|| "want true or false".to_owned())
    }
}

impl Param for U256 {
    /// A quantity: `0x0`, `0x1f`; digits without zeros before them, as nodes insist.
    fn read(value: &Value) -> Result<Self, String> {
        let text = value.as_str().ok_or("want a quantity in hex, as a string")?;
        let digits = text.strip_prefix("0x").ok_or("hex string without 0x prefix")?;
        if digits.is_empty() {
            return Err("hex string \"0x\"".to_owned());
        }
        if digits.len() > 1 && digits.starts_with('0') {
            return Err("hex number with leading zero digits".to_owned());
        }
        number(digits)
    }
}

impl Param for u64 {
    fn read(value: &Value) -> Result<Self, String> {
        U256::read(value)?.try_into().map_err(|_| "hex number > 64 bits".to_owned())
    }
}

impl Param for u128 {
    fn read(value: &Value) -> Result<Self, String> {
        U256::read(value)?.try_into().map_err(|_| "hex number > 128 bits".to_owned())
    }
}

/// A number of seconds, or of blocks: a quantity, or a plain JSON number.
pub(super) struct Count(pub(super) u64);

impl Param for Count {
    fn read(value: &Value) -> Result<Self, String> {
        value.as_u64().map_or_else(|| u64::read(value), Ok).map(Self)
    }
}

/// A storage slot: hex of up to 32 bytes, zeros before it allowed.
pub(super) struct Slot(pub(super) U256);

impl Param for Slot {
    fn read(value: &Value) -> Result<Self, String> {
        let text = value.as_str().ok_or("want a storage slot in hex, as a string")?;
        number(text.strip_prefix("0x").unwrap_or(text)).map(Self)
    }
}

/// Hex digits without prefix; unlike the parser behind it, takes no underscores or signs.
fn number(digits: &str) -> Result<U256, String> {
    if digits.is_empty() || digits.len() > 64 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err("want at most 64 hex digits".to_owned());
    }
    U256::from_str_radix(digits, 16).map_err(|error| error.to_string())
}

impl Param for Bytes {
    fn read(value: &Value) -> Result<Self, String> {
        let text = value.as_str().ok_or("want bytes in hex, as a string")?;
        let digits = text.strip_prefix("0x").ok_or("hex string without 0x prefix")?;
        hex::decode(digits).map(Self::from).map_err(|error| error.to_string())
    }
}

impl Param for Address {
    fn read(value: &Value) -> Result<Self, String> {
        fixed::<20>(value).map(Self::from)
    }
}

impl Param for B256 {
    fn read(value: &Value) -> Result<Self, String> {
        fixed::<32>(value).map(Self::from)
    }
}

fn fixed<const N: usize>(value: &Value) -> Result<[u8; N], String> {
    let bytes = Bytes::read(value)?;
    bytes.as_ref().try_into().map_err(|_| format!("want {N} bytes, have {}", bytes.len()))
}

impl<T: Param> Param for Vec<T> {
    fn read(value: &Value) -> Result<Self, String> {
        let list = value.as_array().ok_or("want a list")?;
        if list.len() > MAX_LIST {
            return Err(format!("list of more than {MAX_LIST}"));
        }
        list.iter().map(T::read).collect()
    }
}

/// Which block: by tag, number or hash.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum BlockId {
    /// `latest`, `pending`, `safe` or `finalized`: here every block is final as soon as it is
    /// there.
    Newest,
    Number(u64),
    Hash(B256),
}

impl Param for BlockId {
    fn read(value: &Value) -> Result<Self, String> {
        match value {
            Value::String(tag) => match tag.as_str() {
                "latest" | "pending" | "safe" | "finalized" | "" => Ok(Self::Newest),
                "earliest" => Ok(Self::Number(0)),
                text if text.len() == 66 => B256::read(value).map(Self::Hash),
                _ => u64::read(value).map(Self::Number),
            },
            // EIP-1898
            Value::Object(members) => {
                match (members.get("blockHash"), members.get("blockNumber")) {
                    (Some(hash), None) => B256::read(hash).map(Self::Hash),
                    (None, Some(number)) => Self::read(number),
                    _ => Err("want either blockHash or blockNumber".to_owned()),
                }
            }
            _ => Err("want a block number, tag or hash".to_owned()),
        }
    }
}

/// A transaction as an object: the argument of `eth_call` and `eth_estimateGas`.
#[derive(Clone, Debug, Default)]
pub(super) struct CallRequest {
    pub(super) from: Address,
    pub(super) to: Option<Address>,
    /// Gas, if the caller set a limit.
    pub(super) gas: Option<u64>,
    gas_price: Option<u128>,
    priority_fee: Option<u128>,
    value: U256,
    data: Bytes,
    access_list: Option<AccessList>,
}

impl Param for CallRequest {
    fn read(value: &Value) -> Result<Self, String> {
        let object = value.as_object().ok_or("want a transaction object")?;
        let member = |name: &str| object.get(name).filter(|value| !value.is_null());
        let fee = member("maxFeePerGas");
        let priority_fee = read(member("maxPriorityFeePerGas"))?;
        let price = member("gasPrice");
        if price.is_some() && (fee.is_some() || priority_fee.is_some()) {
            return Err(
                "both gasPrice and (maxFeePerGas or maxPriorityFeePerGas) specified".to_owned()
            );
        }
        let (data, input) = (read::<Bytes>(member("data"))?, read(member("input"))?);
        if data.is_some() && input.is_some() && data != input {
            return Err("both \"data\" and \"input\" are set and not equal".to_owned());
        }
        Ok(Self {
            from: read(member("from"))?.unwrap_or_default(),
            to: read(member("to"))?,
            gas: read(member("gas"))?,
            gas_price: read(price.or(fee))?,
            priority_fee,
            value: read(member("value"))?.unwrap_or_default(),
            data: input.or(data).unwrap_or_default(),
            access_list: member("accessList").map(access_list).transpose()?,
        })
    }
}

impl CallRequest {
    /// The request as the machine takes it, with all the gas a block has unless it says otherwise.
    pub(super) fn tx(&self, chain: &Chain) -> TxEnv {
        let tx_type = match (self.priority_fee, &self.access_list) {
            (Some(_), _) => 2,
            (None, Some(_)) => 1,
            (None, None) => 0,
        };
        TxEnv {
            tx_type,
            caller: self.from,
            gas_limit: self.gas.unwrap_or(GAS_LIMIT).min(GAS_LIMIT),
            gas_price: self.gas_price.unwrap_or_default(),
            kind: self.to.map_or(TxKind::Create, TxKind::Call),
            value: self.value,
            data: self.data.clone(),
            nonce: chain.account(self.from).nonce,
            chain_id: Some(chain.id),
            access_list: self.access_list.clone().unwrap_or_default(),
            gas_priority_fee: self.priority_fee,
            ..TxEnv::default()
        }
    }
}

fn read<T: Param>(value: Option<&Value>) -> Result<Option<T>, String> {
    value.map(T::read).transpose()
}

fn access_list(value: &Value) -> Result<AccessList, String> {
    let list = value.as_array().ok_or("want an access list")?;
    let item = |item: &Value| {
        Ok(AccessListItem {
            address: Address::read(&item["address"])?,
            storage_keys: read(item.get("storageKeys"))?.unwrap_or_default(),
        })
    };
    list.iter().take(MAX_LIST).map(item).collect::<Result<Vec<_>, String>>().map(AccessList)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn quantities_are_strict() {
        assert_eq!(U256::read(&json!("0x0")), Ok(U256::ZERO));
        assert_eq!(u64::read(&json!("0xffffffffffffffff")), Ok(u64::MAX));
        for bad in ["", "0x", "1", "0x00", "0x01", "0xg", "0x1_0", "0x+1", "0x 1", "-0x1"] {
            assert!(U256::read(&json!(bad)).is_err(), "{bad}");
        }
        assert!(u64::read(&json!("0x10000000000000000")).is_err());
        assert!(U256::read(&json!(format!("0x1{}", "0".repeat(64)))).is_err());
        assert!(U256::read(&json!(7)).is_err());
    }

    #[test]
    fn blocks_are_named_in_every_way() {
        let hash = format!("0x{}", "ab".repeat(32));
        let by_hash = BlockId::Hash(B256::repeat_byte(0xab));
        for tag in ["latest", "pending", "safe", "finalized"] {
            assert_eq!(BlockId::read(&json!(tag)), Ok(BlockId::Newest));
        }
        assert_eq!(BlockId::read(&json!("earliest")), Ok(BlockId::Number(0)));
        assert_eq!(BlockId::read(&json!("0x10")), Ok(BlockId::Number(16)));
        assert_eq!(BlockId::read(&json!({ "blockNumber": "0x10" })), Ok(BlockId::Number(16)));
        assert_eq!(BlockId::read(&json!({ "blockHash": hash })), Ok(by_hash));
        assert!(BlockId::read(&json!({})).is_err());
        assert!(BlockId::read(&json!(1)).is_err());
        assert!(BlockId::read(&json!("newest")).is_err());
    }

    #[test]
    fn contradictions_in_a_call_are_refused() {
        for bad in [
            json!({ "data": "0x00", "input": "0x01" }),
            json!({ "gasPrice": "0x1", "maxFeePerGas": "0x1" }),
            json!({ "to": "0x00" }),
            json!({ "accessList": [{}] }),
            json!([]),
        ] {
            assert!(CallRequest::read(&bad).is_err(), "{bad}");
        }
    }
}
