//! What a transaction did, by its receipt.

use x402_core::settlement::{Paid, SettlementError, Submitter};
use x402_core::{Asset, Claimed, LogOrder, Transfer, TransferMethod};

use super::RpcChain;
use super::fault::Fault;
use super::node::{At, Node, Sending};
use super::receipt::{Receipt, Verdict};
use crate::chain::{Block, ChainError, Outcome, PaidLog, Sent, TxHash};

/// Who has sent a transaction that is none of ours, where that matters.
pub(super) struct Stranger(Option<Sending>);

impl RpcChain {
    /// What a transaction did for each of these payments.
    pub(super) async fn judge(
        &self,
        node: &Node,
        payments: &[Claimed],
        sent: Sent<'_>,
    ) -> Result<Vec<Outcome>, ChainError> {
        let receipt = match node.receipt(sent.hash).await? {
            Some(receipt) if self.is_believed(node, sent.hash, &receipt).await? => receipt,
            _ => return Ok(vec![Outcome::Unknown; payments.len()]),
        };
        let stranger = if sent.is_own {
            receipt.expect_own(payments)?;
            None
        } else {
            Some(Stranger::of(node, payments, sent.hash).await?)
        };
        let submitter = stranger.as_ref().map_or(Submitter::Own, Stranger::submitter);
        let is_other = |it: &Claimed| stranger.as_ref().is_some_and(|who| who.calls_another(it));
        let judged: Vec<_> = payments.iter().filter(|it| !is_other(it)).copied().collect();
        let verdicts = receipt.judge(&judged, submitter, |it| self.log_order(it), sent.taken);
        let mut verdicts = verdicts.into_iter();
        let block = receipt.block()?;
        let mut outcomes = Vec::with_capacity(payments.len());
        for payment in payments {
            let verdict = if is_other(payment) { None } else { verdicts.next() };
            let verdict = verdict.unwrap_or(Verdict::Not(SettlementError::NotTransferred));
            let outcome = self.outcome_of(node, payment, verdict, block).await?;
            if let (Verdict::Not(error), false) = (verdict, outcome == Outcome::Reverted) {
                let transaction = sent.hash;
                tracing::warn!(payment = %payment.id(), %transaction, %error, "not settled");
            }
            outcomes.push(outcome);
        }
        let is_settled = |outcome: &&Outcome| matches!(outcome, Outcome::Settled(..));
        let settled = outcomes.iter().filter(is_settled).count();
        let (gas, price) = receipt.cost();
        self.meter.count(sent.hash, settled, gas, price);
        Ok(outcomes)
    }

    /// A log that may have paid, whoever sent the transaction and in whatever order the token writes.
    pub(super) async fn look_for_candidate(
        &self,
        node: &Node,
        payment: &Claimed,
        sent: Sent<'_>,
    ) -> Result<Option<PaidLog>, ChainError> {
        let receipt = match node.receipt(sent.hash).await? {
            Some(receipt) if self.is_believed(node, sent.hash, &receipt).await? => receipt,
            _ => return Ok(None),
        };
        // Of a permit no log says that it was used: while it is not, it may still move the money.
        let is_permit = payment.transfer().method() == TransferMethod::Permit2;
        if is_permit && !node.is_used(payment, At::Latest).await? {
            return Ok(None);
        }
        let payments = core::slice::from_ref(payment);
        // As if it were our own: each transfer of the amount is as good as another.
        let verdict =
            receipt.judge(payments, Submitter::Own, |_| LogOrder::Unknown, sent.taken).pop();
        match verdict {
            Some(Verdict::Paid(paid)) => Ok(Some(paid_log(receipt.block()?, paid.position)?)),
            _ => Ok(None),
        }
    }

    async fn outcome_of(
        &self,
        node: &Node,
        payment: &Claimed,
        verdict: Verdict,
        block: Block,
    ) -> Result<Outcome, ChainError> {
        Ok(match verdict {
            Verdict::Paid(Paid { settled, position, needs_nonce }) => {
                if needs_nonce && !self.is_nonce_of(node, payment, block).await? {
                    return Ok(Outcome::Undecided);
                }
                Outcome::Settled(settled, paid_log(block, position)?)
            }
            Verdict::Short(position, arrived) => {
                tracing::error!(
                    payment = %payment.id(),
                    %arrived,
                    signed = %payment.amount(),
                    "the token moved another amount than the one that was signed"
                );
                Outcome::Short(paid_log(block, position)?, arrived)
            }
            // A member of a batch that failed is one of these, in a transaction that did not.
            Verdict::Not(
                SettlementError::Reverted
                | SettlementError::NotUsed
                | SettlementError::NotTransferred,
            ) => Outcome::Reverted,
            Verdict::Not(_) => Outcome::Undecided,
        })
    }

    /// In which order the token of a payment writes its logs.
    pub(super) fn log_order(&self, payment: &Claimed) -> LogOrder {
        let asset = Asset::find_by_address(payment.chain_id(), payment.asset());
        let is_known = self.options.transfer_next.contains(&payment.asset())
            || asset.is_some_and(|asset| asset.log_order == LogOrder::TransferNext);
        if is_known { LogOrder::TransferNext } else { LogOrder::Unknown }
    }

    /// Whether the block of a receipt is there, and so many blocks follow that it stays, as far as the
    /// operator wants to know.
    async fn is_believed(
        &self,
        node: &Node,
        transaction: TxHash,
        receipt: &Receipt,
    ) -> Result<bool, ChainError> {
        let block = receipt.block()?;
        let confirmations = self.options.confirmations;
        if confirmations <= 1 && self.heads.reach(block.number) {
            return Ok(true);
        }
        let head = node.known_header(At::Latest).await?.number();
        // A lower head than one that was seen makes nothing deeper than it is.
        let _ = self.heads.note(head);
        if head.saturating_add(1).saturating_sub(block.number) < confirmations.max(1) {
            return Ok(false);
        }
        if confirmations <= 1 {
            return Ok(true);
        }
        // The chain may have gone back between the two answers, and come as far again without it.
        let again = node.receipt(transaction).await?;
        Ok(again.map(|receipt| receipt.block()).transpose()? == Some(block))
    }

    /// As [`Self::is_first_used_in`], and not burnt there; where the node has no state of so old a block
    /// any more, nobody can tell.
    async fn is_nonce_of(
        &self,
        node: &Node,
        payment: &Claimed,
        block: Block,
    ) -> Result<bool, Fault> {
        /// Of so many blocks all nodes keep the state.
        const KEPT: u64 = 128;
        if node.uses_in(payment, block).await?.iter().any(|used| used.burns(payment)) {
            return Ok(false);
        }
        match self.is_first_used_in(node, payment, block).await {
            Err(fault)
                if fault.is_nodes_word() && self.heads.reach(block.number.saturating_add(KEPT)) =>
            {
                Ok(false)
            }
            is_first => is_first,
        }
    }

    /// Whether a permit's nonce was used in this very block: it was not in the one before.
    pub(super) async fn is_first_used_in(
        &self,
        node: &Node,
        payment: &Claimed,
        block: Block,
    ) -> Result<bool, Fault> {
        let header = node.known_header(At::Number(block.number)).await?;
        if header.block() != block {
            return Err(Fault::Malformed("the block of a receipt is no longer there"));
        }
        let parent = header.parent().ok_or(Fault::Malformed("a payment in the first block"))?;
        let is_used = node.is_used(payment, At::Block(block)).await?;
        Ok(is_used && node.was_used(payment, At::Block(parent)).await? != Some(true))
    }
}

impl Stranger {
    /// Who has sent it: of a token with EIP-3009 the logs say enough.
    pub(super) async fn of(
        node: &Node,
        payments: &[Claimed],
        transaction: TxHash,
    ) -> Result<Self, Fault> {
        let is_permit = |payment: &Claimed| payment.transfer().method() == TransferMethod::Permit2;
        if !payments.iter().any(is_permit) {
            return Ok(Self(None));
        }
        let sending = node.sending(transaction).await?;
        let missing = Fault::Malformed("the transaction of a receipt is missing");
        sending.map(|sending| Self(Some(sending))).ok_or(missing)
    }

    /// Whether it calls the proxy with another permit than the payment's: then all that the proxy does in
    /// it is that one's.
    pub(super) fn calls_another(&self, payment: &Claimed) -> bool {
        let (Some(sending), Transfer::Permit2(permit)) = (&self.0, payment.transfer()) else {
            return false;
        };
        sending.to.is_some_and(|to| to == *permit.spender().as_bytes())
            && permit.moved_by(&sending.input) != Some(payment.amount())
    }

    pub(super) fn submitter(&self) -> Submitter<'_> {
        let Some(Sending { to, input, .. }) = &self.0 else {
            return Submitter::Other { to: None, calldata: &[] };
        };
        let to = to.map(|to| x402_core::Address::new(to.into_array()));
        Submitter::Other { to, calldata: input }
    }
}

pub(super) fn paid_log(block: Block, position: usize) -> Result<PaidLog, Fault> {
    let position = u32::try_from(position).map_err(|_| Fault::Malformed("too many logs"))?;
    Ok(PaidLog { block, position })
}
