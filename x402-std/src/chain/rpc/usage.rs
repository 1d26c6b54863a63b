//! What became of an authorization, whoever sent the transaction.

use x402_core::settlement::{Paid, SettlementError, Submitter};
use x402_core::{Asset, ChainId, Claimed, LogOrder, Transfer, TransferMethod};

use super::RpcChain;
use super::fault::Fault;
use super::node::{At, Receipt, Use};
use crate::chain::{Block, ChainError, Outcome, PaidLog, Sent, Settlement, TxHash, Usage};

/// How many ranges of blocks are searched, newest first.
const RANGES: usize = 32;

impl RpcChain {
    /// What a transaction did for each of these payments.
    pub(super) async fn judge(
        &self,
        payments: &[Claimed],
        sent: Sent<'_>,
    ) -> Result<Vec<Outcome>, ChainError> {
        let transaction = sent.hash;
        let receipt = match self.node.receipt(transaction).await? {
            Some(receipt) if self.is_deep(transaction, &receipt).await? => receipt,
            _ => return Ok(vec![Outcome::Unknown; payments.len()]),
        };
        let (number, hash) = receipt.block()?;
        let block = Block { number, hash: hash.0 };
        let at = |position: usize| PaidLog {
            block,
            position: u32::try_from(position).unwrap_or(u32::MAX),
        };
        let outcome = |(judged, payment): (_, &Claimed)| match judged {
            Ok(Paid { settled, position, .. }) => Outcome::Settled(settled, at(position)),
            Err(SettlementError::Reverted) => Outcome::Reverted,
            Err(error) => {
                tracing::warn!(payment = %payment.id(), %transaction, %error, "not settled");
                Outcome::Reverted
            }
        };
        let submitter = match sent.is_own {
            true => Submitter::Own,
            false => Submitter::Other { to: None, calldata: &[] },
        };
        let judged = receipt.judge(payments, submitter, |it| self.log_order(it), sent.taken);
        let outcomes: Vec<_> = judged.into_iter().zip(payments).map(outcome).collect();
        let is_settled = |outcome: &&Outcome| matches!(outcome, Outcome::Settled(..));
        let settled = outcomes.iter().filter(is_settled).count();
        let (gas, price) = receipt.cost();
        self.meter.count(transaction, settled, gas, price);
        Ok(outcomes)
    }

    /// In which order the token of a payment writes its logs.
    fn log_order(&self, payment: &Claimed) -> LogOrder {
        let asset = Asset::find_by_address(payment.chain_id(), payment.asset());
        let is_known = self.options.transfer_next.contains(&payment.asset())
            || asset.is_some_and(|asset| asset.log_order == LogOrder::TransferNext);
        if is_known { LogOrder::TransferNext } else { LogOrder::Unknown }
    }

    /// Whether so many blocks follow that the transaction stays, as far as the operator wants to know.
    async fn is_deep(&self, transaction: TxHash, receipt: &Receipt) -> Result<bool, ChainError> {
        if self.options.confirmations <= 1 {
            return Ok(true);
        }
        let block = receipt.block()?;
        let head = self.node.block(At::Latest).await?.number();
        if head.saturating_add(1).saturating_sub(block.0) < self.options.confirmations {
            return Ok(false);
        }
        // The chain may have gone back between the two answers, and come as far again without it.
        let again = self.node.receipt(transaction).await?;
        Ok(again.map(|receipt| receipt.block()).transpose()? == Some(block))
    }

    pub(super) async fn look_up(
        &self,
        payment: &Claimed,
        since: u64,
        taken: &[(TxHash, u32)],
    ) -> Result<Usage, ChainError> {
        let _ = taken;
        if !self.node.is_used(payment, At::Latest).await? {
            return Ok(Usage::Unused);
        }
        self.expect_chain().await?;
        let head = self.node.block(At::Latest).await?.number();
        let mut last = head;
        for _ in 0..RANGES {
            let first = last.saturating_sub(self.options.log_range.saturating_sub(1));
            let mut uses = self.node.uses(payment, first, last).await?;
            uses.retain(|used| !used.removed);
            if let Some(usage) = self.first_payment(payment, since, &uses).await? {
                return Ok(usage);
            }
            if first == 0 || self.node.block(At::Number(first)).await?.timestamp() < since {
                return self.void(payment, head).await;
            }
            last = first.saturating_sub(1);
        }
        // To call it void would be a guess, and the payer's loss.
        Err(ChainError::Unavailable(format!(
            "the use of the authorization is further back than {RANGES} times {} blocks (log_range)",
            self.options.log_range
        )))
    }

    /// The first of these uses that moved the money, not before `since`; `None` where they decide
    /// nothing.
    async fn first_payment(
        &self,
        payment: &Claimed,
        since: u64,
        uses: &[Use],
    ) -> Result<Option<Usage>, ChainError> {
        for used in uses {
            let block = self.node.block(At::Number(used.block_number.to())).await?;
            let hash = TxHash(used.transaction_hash.0);
            let receipt = self.node.receipt(hash).await?;
            let receipt = receipt.ok_or(Fault::Malformed("the receipt of a log is missing"))?;
            if block.timestamp() >= since
                && self.is_of(payment, hash).await?
                && let Some(usage) = settled_by(payment, hash, &receipt, self.log_order(payment))
            {
                if !self.is_deep(hash, &receipt).await? {
                    return Err(ChainError::Unavailable("the block may still go".into()));
                }
                return Ok(Some(usage));
            }
        }
        let is_decided = !uses.is_empty() && payment.transfer().method() == TransferMethod::Eip3009;
        Ok(is_decided.then_some(Usage::Void))
    }

    /// Whether a transaction that moved the money of such a payment is this one's. A token says so by
    /// its log; of a permit there is only the nonce in the calldata.
    async fn is_of(&self, payment: &Claimed, transaction: TxHash) -> Result<bool, ChainError> {
        let Transfer::Permit2(permit) = payment.transfer() else { return Ok(true) };
        let input = self.node.input(transaction).await?;
        Ok(input.windows(32).any(|word| word == permit.nonce.as_bytes()))
    }

    /// No log tells of a use up to the block `head`: void, if the state of that block has the
    /// authorization as used. If not, the nodes behind the URL are not at the same block.
    async fn void(&self, payment: &Claimed, head: u64) -> Result<Usage, ChainError> {
        if self.node.is_used(payment, At::Number(head)).await? {
            return Ok(Usage::Void);
        }
        Err(ChainError::Unavailable("the node's logs are behind its state".into()))
    }

    /// A URL can come to lead to another chain, whose logs would be believed.
    async fn expect_chain(&self) -> Result<(), ChainError> {
        let (ours, theirs) = (self.options.chain_id, ChainId::new(self.node.chain_id().await?));
        if ours == theirs {
            return Ok(());
        }
        Err(ChainError::Unavailable(format!("the node is on {theirs}, no longer on {ours}")))
    }
}

fn settled_by(
    payment: &Claimed,
    transaction: TxHash,
    receipt: &Receipt,
    order: LogOrder,
) -> Option<Usage> {
    let submitter = Submitter::Other { to: None, calldata: &[] };
    match receipt.judge(core::slice::from_ref(payment), submitter, |_| order, &[]).pop()? {
        Ok(Paid { settled, position, .. }) => {
            let (number, hash) = receipt.block().ok()?;
            let block = Block { number, hash: hash.0 };
            let log = PaidLog { block, position: u32::try_from(position).ok()? };
            Some(Usage::Settled(settled, Settlement { transaction, log: Some(log) }))
        }
        Err(error) => {
            tracing::warn!(payment = %payment.id(), %transaction, %error, "used, not settled");
            None
        }
    }
}
