//! Which logs have paid.

use x402_core::hex::decode;
use x402_core::{ChainId, PaymentId};

use super::{ATTEMPTS, RedisLedger, hex, key_of, scripts, to_score};
use crate::chain::{Block, PaidLog, TxHash};
use crate::ledger::logs::{PaidRow, Paying, check_fill_in, filled_in, key};
use crate::ledger::remote::failed;
use crate::ledger::{LedgerError, PaidBy, encoding};

/// What the scripts are told of a change: `gains`, `loses` or nothing; the transaction, the position (or
/// the payment, where the whole transaction counts as used), the block, and until when it is remembered.
pub(super) fn arguments(paying: &Paying) -> [String; 5] {
    let (change, row) = match paying {
        Paying::Same => return Default::default(),
        Paying::Gains(row) => ("gains", row),
        Paying::Loses(row) => ("loses", row),
    };
    let block = row.log.map(|log| name_of_block(log.block)).unwrap_or_default();
    [
        change.to_owned(),
        name_of(row.chain_id, row.transaction),
        field(row),
        block,
        to_score(row.until),
    ]
}

pub(super) fn name_of(chain_id: ChainId, transaction: TxHash) -> String {
    hex(&key::transaction(chain_id, transaction))
}

fn name_of_block(block: Block) -> String {
    hex(&[&block.number.to_be_bytes()[..], &block.hash].concat())
}

fn name_of_chain(chain_id: ChainId) -> String {
    hex(&chain_id.get().to_be_bytes())
}

pub(super) fn field(row: &PaidRow) -> String {
    row.log.map_or_else(|| key_of(row.id), |log| log.position.to_string())
}

fn read_block(name: &str) -> Option<Block> {
    let bytes: [u8; 40] = decode(name).ok()?;
    let (number, hash) = bytes.split_first_chunk()?;
    Some(Block { number: u64::from_be_bytes(*number), hash: hash.try_into().ok()? })
}

fn read_id(name: &str) -> Option<PaymentId> {
    decode(name).ok().map(|id| PaymentId::from_bytes(&id))
}

fn read_paid(field: &str, value: &str) -> Option<(PaymentId, Option<PaidLog>)> {
    if value.is_empty() {
        return Some((read_id(field)?, None));
    }
    let (id, block) = value.split_once(' ')?;
    let log = PaidLog { block: read_block(block)?, position: field.parse().ok()? };
    Some((read_id(id)?, Some(log)))
}

impl RedisLedger {
    pub(super) async fn paid_by_now(
        &self,
        chain_id: ChainId,
        transaction: TxHash,
    ) -> Result<PaidBy, LedgerError> {
        let name = name_of(chain_id, transaction);
        let rows: Vec<String> = self.run(&scripts::PAID_BY, "", &[name.as_bytes()]).await?;
        let rows = rows.chunks_exact(2).map(|row| match row {
            [field, value] => read_paid(field, value),
            _ => None,
        });
        let paid = rows.collect::<Option<Vec<_>>>();
        let mut paid = paid.ok_or(LedgerError::Corrupt)?;
        paid.sort_unstable_by_key(|(id, _)| *id);
        Ok(paid)
    }

    pub(super) async fn unfinal_blocks_now(
        &self,
        chain_id: ChainId,
        most: usize,
    ) -> Result<Vec<Block>, LedgerError> {
        let (chain, most) = (name_of_chain(chain_id), most.to_string());
        let arguments = [chain.as_bytes(), most.as_bytes()];
        let names: Vec<String> = self.run(&scripts::UNFINAL_BLOCKS, "", &arguments).await?;
        let blocks = names.iter().map(|name| read_block(name)).collect::<Option<_>>();
        blocks.ok_or(LedgerError::Corrupt)
    }

    pub(super) async fn paid_in_now(
        &self,
        chain_id: ChainId,
        block: Block,
        after: Option<PaymentId>,
        most: usize,
    ) -> Result<Vec<PaymentId>, LedgerError> {
        let after = after.map(key_of).unwrap_or_default();
        // More than any script may count.
        let most = most.min(1 << 32).to_string();
        let texts = [name_of_chain(chain_id), name_of_block(block), after, most];
        let arguments = texts.each_ref().map(|text| text.as_bytes());
        let names: Vec<String> = self.run(&scripts::PAID_IN, "", &arguments).await?;
        let ids = names.iter().map(|name| read_id(name)).collect::<Option<_>>();
        ids.ok_or(LedgerError::Corrupt)
    }

    pub(super) async fn finalize_now(
        &self,
        chain_id: ChainId,
        block: Block,
    ) -> Result<(), LedgerError> {
        let (chain, block) = (name_of_chain(chain_id), name_of_block(block));
        let arguments = [chain.as_bytes(), block.as_bytes()];
        self.run::<u64>(&scripts::FINALIZE, "", &arguments).await.map(drop)
    }

    /// Puts logs in the place of the whole transaction. What stood there was final, and stays so.
    pub(super) async fn fill_in_now(
        &self,
        chain_id: ChainId,
        transaction: TxHash,
        logs: &[(PaymentId, PaidLog)],
    ) -> Result<(), LedgerError> {
        let ids: Vec<_> = logs.iter().map(|(id, _)| *id).collect();
        for _ in 0..ATTEMPTS {
            check_fill_in(logs, &self.paid_by_now(chain_id, transaction).await?)?;
            let mut arguments = vec![name_of(chain_id, transaction).into_bytes()];
            for ((id, log), old) in logs.iter().zip(self.read_each(&ids).await?) {
                let (id, old) = (key_of(*id), old.unwrap_or_default());
                let entry = (!old.is_empty()).then(|| encoding::decode(&old)).transpose()?;
                let filled = entry.and_then(|entry| filled_in(&entry, transaction, *log));
                let new = filled.as_ref().map(encoding::encode).unwrap_or_default();
                let position = log.position.to_string().into_bytes();
                let block = name_of_block(log.block).into_bytes();
                arguments.extend([id.into_bytes(), position, block, old, new]);
            }
            let arguments: Vec<_> = arguments.iter().map(Vec::as_slice).collect();
            if judged(self.run(&scripts::FILL_IN, "", &arguments).await?)? {
                return Ok(());
            }
        }
        Err(failed("others keep changing the payments"))
    }
}

/// What a script's answer means; `false` where it found something else than was read before.
pub(super) const fn judged(done: u8) -> Result<bool, LedgerError> {
    match done {
        scripts::DONE => Ok(true),
        scripts::TOO_MUCH => Err(LedgerError::Overflow),
        scripts::DAMAGED => Err(LedgerError::Corrupt),
        scripts::TAKEN => Err(LedgerError::LogTaken),
        scripts::REMINED => Err(LedgerError::Remined),
        scripts::MISSING => Err(LedgerError::Missing),
        _ => Ok(false),
    }
}
