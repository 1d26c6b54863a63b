//! `eth_getLogs`: which logs, of which blocks.
use alloy_primitives::{Address, B256, Log};
use serde_json::Value;

use super::{
    block::Block,
    chain::Chain,
    failure::Failure,
    json,
    params::{BlockId, Param},
};

/// Most logs in one answer.
const MAX_LOGS: usize = 10_000;
/// Topics that a log can have.
const MAX_TOPICS: usize = 4;

/// The filter object. An empty list of addresses, or of values for a topic, means any.
#[derive(Debug)]
pub(super) struct Filter {
    block_hash: Option<B256>,
    from: Option<BlockId>,
    to: Option<BlockId>,
    addresses: Vec<Address>,
    topics: Vec<Vec<B256>>,
}

impl Param for Filter {
    fn read(value: &Value) -> Result<Self, String> {
        let object = value.as_object().ok_or("want a filter object")?;
        let member = |name: &str| object.get(name).filter(|value| !value.is_null());
        let block_hash = member("blockHash").map(B256::read).transpose()?;
        let from = member("fromBlock").map(BlockId::read).transpose()?;
        let to = member("toBlock").map(BlockId::read).transpose()?;
        if block_hash.is_some() && (from.is_some() || to.is_some()) {
            return Err("cannot specify both blockHash and fromBlock/toBlock".to_owned());
        }
        let topics = member("topics").map_or(Ok(&[][..]), |topics| {
            topics.as_array().map(Vec::as_slice).ok_or("want a list of topics")
        })?;
        if topics.len() > MAX_TOPICS {
            return Err("exceed max topics".to_owned());
        }
        Ok(Self {
            block_hash,
            from,
            to,
            addresses: one_or_more(member("address"))?,
            topics: topics
                .iter()
                .map(|topic| one_or_more(Some(topic)))
                .collect::<Result<_, _>>()?,
        })
    }
}

/// Nothing, one, or a list of them.
fn one_or_more<T: Param>(value: Option<&Value>) -> Result<Vec<T>, String> {
    match value {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(list @ Value::Array(_)) => Vec::read(list),
        Some(one) => T::read(one).map(|one| vec![one]),
    }
}

impl Filter {
    /// The logs, oldest first.
    ///
    /// # Errors
    /// The block is unknown, the range runs backwards or begins beyond the newest block, or too
    /// many match.
    pub(super) fn find(&self, chain: &Chain) -> Result<Value, Failure> {
        let mut found = Vec::new();
        for block in self.blocks(chain)? {
            for (index, mined) in block.transactions.iter().enumerate() {
                found.extend(json::logs(block, index, mined, |log| self.wants(log)));
            }
            if found.len() > MAX_LOGS {
                let why = format!("query returned more than {MAX_LOGS} results");
                return Err(Failure::server(why));
            }
        }
        Ok(found.into())
    }

    fn blocks<'a>(&self, chain: &'a Chain) -> Result<impl Iterator<Item = &'a Block>, Failure> {
        let (from, to) = match &self.block_hash {
            Some(hash) => {
                let number = number(chain, BlockId::Hash(*hash))?;
                (number, number)
            }
            None => (
                number(chain, self.from.unwrap_or(BlockId::Newest))?,
                number(chain, self.to.unwrap_or(BlockId::Newest))?,
            ),
        };
        if from > to {
            return Err(Failure::params("invalid block range params"));
        }
        if from > chain.height() {
            return Err(Failure::params("block range extends beyond current head block"));
        }
        // A last block that is yet to come is taken for the newest: whoever follows the chain asks
        // so.
        Ok((from..=to.min(chain.height())).filter_map(|number| chain.block(number)))
    }

    fn wants(&self, log: &Log) -> bool {
        let addressed = self.addresses.is_empty() || self.addresses.contains(&log.address);
        let mut topics = self.topics.iter().enumerate();
        addressed
            && topics.all(|(index, any)| match log.topics().get(index) {
                Some(topic) => any.is_empty() || any.contains(topic),
                None => false,
            })
    }
}

/// The number meant; for a hash, of a block that exists.
///
/// # Errors
/// No block has this hash.
pub(super) fn number(chain: &Chain, id: BlockId) -> Result<u64, Failure> {
    match id {
        BlockId::Newest => Ok(chain.height()),
        BlockId::Number(number) => Ok(number),
        BlockId::Hash(hash) => chain
            .block_by_hash(&hash)
            .map(|block| block.header.number)
            .ok_or_else(|| Failure::server("unknown block")),
    }
}
