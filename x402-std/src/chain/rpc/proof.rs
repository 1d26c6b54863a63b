//! What became of an authorization, whoever sent the transaction: proved, or not said.
//!
//! All that is concluded is concluded of one block, the view, whose state is asked for by its hash: what
//! a node that is behind, or several behind one URL, have to say of other blocks proves nothing. Where
//! the authorization is used, the block in which it came to be is found by its logs or, where they say
//! nothing, by halving the blocks up to the view; and what that block has of it is what it was used for.

use x402_core::settlement::{SettlementError, Submitter};
use x402_core::{ChainId, Claimed, Timestamp, Transfer, TransferMethod};

use super::RpcChain;
use super::fault::Fault;
use super::logs::Use;
use super::node::{At, Header, Node};
use super::receipt::Verdict;
use super::usage::{Stranger, paid_log};
use crate::chain::{ChainError, Settlement, TxHash, Usage};

/// How many ranges of blocks are searched, newest first.
const RANGES: usize = 32;
/// By how much farther each look back goes than the one before it.
const STRIDE: u64 = 4;

/// The blocks of which something is concluded.
#[derive(Clone, Copy)]
pub(super) struct View {
    /// The newest.
    pub(super) head: Header,
    /// The newest that is as deep as the operator wants it.
    pub(super) deep: Header,
}

/// The search for the use of an authorization, of one node.
struct Search<'a> {
    chain: &'a RpcChain,
    node: &'a Node,
    payment: &'a Claimed,
    since: u64,
    taken: &'a [(TxHash, u32)],
    view: Header,
}

/// Where an authorization came to be used.
enum Flip {
    In(Header),
    /// In a block that is too old to matter.
    Before,
}

impl RpcChain {
    /// The newest block, no older than one that was seen.
    pub(super) async fn newest(&self, node: &Node) -> Result<Header, Fault> {
        let mut head = node.known_header(At::Latest).await?;
        if self.heads.note(head.number()).is_err() {
            // Another question may have been answered in between, or another back end: once more.
            head = node.known_header(At::Latest).await?;
            self.heads.note(head.number())?;
        }
        Ok(head)
    }

    /// How things are now.
    pub(super) async fn view(&self, node: &Node) -> Result<View, Fault> {
        let head = self.newest(node).await?;
        if self.options.confirmations <= 1 {
            return Ok(View { head, deep: head });
        }
        let deep = head.number().saturating_add(1).saturating_sub(self.options.confirmations);
        Ok(View { head, deep: node.known_header(At::Number(deep)).await? })
    }

    /// What became of an authorization; `None` where the block of its use may still go.
    pub(super) async fn look_up(
        &self,
        node: &Node,
        payment: &Claimed,
        since: u64,
        taken: &[(TxHash, u32)],
    ) -> Result<Option<Usage>, ChainError> {
        let View { head, deep } = self.view(node).await?;
        let is_past = |header: Header| is_past(payment, header.timestamp());
        if !node.is_used(payment, At::Block(head.block())).await? {
            if !is_past(deep) {
                return Ok(Some(Usage::Unused));
            }
            self.expect_chain(node).await?;
            let is_unused = deep == head || !node.is_used(payment, At::Block(deep.block())).await?;
            // A block that is no longer there is answered for by its hash all the same.
            node.expect_block(deep.block()).await?;
            return Ok(Some(if is_unused { Usage::Expired } else { Usage::Unused }));
        }
        self.expect_chain(node).await?;
        if deep != head && !node.is_used(payment, At::Block(deep.block())).await? {
            return Ok(None);
        }
        let search = Search { chain: self, node, payment, since, taken, view: deep };
        let usage = search.usage().await?;
        node.expect_block(deep.block()).await?;
        Ok(Some(usage))
    }

    /// A URL can come to lead to another chain, whose logs would be believed.
    async fn expect_chain(&self, node: &Node) -> Result<(), ChainError> {
        let (ours, theirs) = (self.options.chain_id, ChainId::new(node.chain_id().await?));
        if ours == theirs {
            return Ok(());
        }
        Err(ChainError::Unavailable(format!("the node is on {theirs}, no longer on {ours}")))
    }
}

/// Whether a payment that is unused in a block of this time can be used in none after it.
fn is_past(payment: &Claimed, time: u64) -> bool {
    let (time, end) = (Timestamp::from_secs(time), payment.transfer().valid_before());
    match payment.transfer() {
        Transfer::Eip3009(_) => time >= end,
        Transfer::Permit2(_) => time > end,
    }
}

impl Search<'_> {
    async fn usage(&self) -> Result<Usage, ChainError> {
        if self.view.timestamp() < self.since {
            return Ok(Usage::Void);
        }
        if let Transfer::Eip3009(_) = self.payment.transfer() {
            // Logs that are there say where; those that are missing, nothing.
            match self.node.uses_up_to(self.payment, self.view.number()).await {
                Ok((uses, _)) => {
                    if let Some(used) = self.own(&uses).last() {
                        return self.by_use(used).await;
                    }
                }
                Err(fault) if fault.is_nodes_word() => {}
                Err(fault) => return Err(fault.into()),
            }
        }
        match self.flip().await {
            Ok(Flip::Before) => Ok(Usage::Void),
            Ok(Flip::In(header)) => match self.payment.transfer() {
                Transfer::Eip3009(_) => {
                    let uses = self.node.uses_in(self.payment, header.block()).await?;
                    match self.own(&uses).next() {
                        Some(used) => self.by_log(used, header).await,
                        None => Err(contradiction()),
                    }
                }
                Transfer::Permit2(_) => self.by_permit(header).await,
            },
            // Most nodes keep the state of the last blocks only.
            Err(fault) if fault.is_nodes_word() => {
                tracing::debug!(%fault, "the state of older blocks is not to be had");
                self.by_ranges().await
            }
            Err(fault) => Err(fault.into()),
        }
    }

    /// The block in which the authorization came to be used.
    async fn flip(&self) -> Result<Flip, Fault> {
        let (mut used, mut step) = (self.view.number(), 1);
        let mut unused = loop {
            let number = self.view.number().saturating_sub(step);
            let header = self.node.known_header(At::Number(number)).await?;
            if !self.was_used(At::Block(header.block())).await? {
                break number;
            }
            if header.timestamp() < self.since || number == 0 {
                return Ok(Flip::Before);
            }
            (used, step) = (number, step.saturating_mul(STRIDE));
        };
        while used.saturating_sub(unused) > 1 {
            let middle = unused.midpoint(used);
            if self.was_used(At::Number(middle)).await? {
                used = middle;
            } else {
                unused = middle;
            }
        }
        // What was read by numbers may be of several chains: this is of one.
        let header = self.node.known_header(At::Number(used)).await?;
        match self.chain.is_first_used_in(self.node, self.payment, header.block()).await? {
            true => Ok(Flip::In(header)),
            false => Err(Fault::Malformed("the states of its blocks contradict each other")),
        }
    }

    async fn was_used(&self, at: At) -> Result<bool, Fault> {
        Ok(self.node.was_used(self.payment, at).await?.unwrap_or(false))
    }

    /// Where the state of older blocks is not to be had, only logs tell: what they do not say is not
    /// known.
    async fn by_ranges(&self) -> Result<Usage, ChainError> {
        let mut last = self.view.number();
        let mut undecided = None;
        for _ in 0..RANGES {
            let (uses, first) = self.node.uses_up_to(self.payment, last).await?;
            for used in self.own(&uses) {
                match self.payment.transfer() {
                    Transfer::Eip3009(_) => return self.by_use(used).await,
                    Transfer::Permit2(_) => match self.by_transfer(used).await? {
                        Some(usage @ Usage::Undecided(_)) => undecided = Some(usage),
                        Some(usage) => return Ok(usage),
                        None => {}
                    },
                }
            }
            if first == 0 {
                break;
            }
            last = first.saturating_sub(1);
        }
        // To call it void would be a guess, and the payer's loss.
        undecided.ok_or_else(|| {
            ChainError::Unavailable(format!(
                "the use of the authorization is not found in {RANGES} times {} blocks (log_range), \
                 and the node has no state of older blocks",
                self.node.log_range()
            ))
        })
    }

    /// Those logs that are of this payment: the word that it was used or, of a permit, a transfer of its
    /// amount. Others between the two mean nothing, and anybody can write as many as he likes: of zero.
    fn own<'u>(&self, uses: &'u [Use]) -> impl Iterator<Item = &'u Use> {
        let signed = *self.payment.transfer();
        let asset = *self.payment.asset().as_bytes();
        let second = match signed {
            Transfer::Eip3009(_) => *signed.nonce().as_bytes(),
            Transfer::Permit2(_) => signed.to().to_word(),
        };
        let words = [signed.from().to_word(), second];
        let amount = self.payment.amount();
        uses.iter().filter(move |used| {
            used.address == asset
                && used.topics.iter().skip(1).map(|topic| topic.0).eq(words)
                && (signed.method() == TransferMethod::Eip3009 || used.is_of(amount))
        })
    }

    /// By a log that was found among those of many blocks.
    async fn by_use(&self, used: &Use) -> Result<Usage, ChainError> {
        let header = self.node.known_header(At::Number(used.block().number)).await?;
        if header.block() != used.block() {
            return Err(ChainError::Unavailable("the block of a log is no longer there".into()));
        }
        self.by_log(used, header).await
    }

    /// By the token's word that it was used, or cancelled.
    async fn by_log(&self, used: &Use, header: Header) -> Result<Usage, ChainError> {
        let transaction = used.transaction();
        let receipt = self.node.receipt(transaction).await?;
        let receipt = receipt.ok_or(Fault::Malformed("the receipt of a log is missing"))?;
        if receipt.block()? != header.block() || !receipt.holds(used) {
            return Err(Fault::Malformed("the receipt of a log does not hold it").into());
        }
        if used.is_cancellation() || header.timestamp() < self.since {
            return Ok(Usage::Void);
        }
        // Of a token with EIP-3009 the logs say enough.
        let submitter = Submitter::Other { to: None, calldata: &[] };
        let payment = core::slice::from_ref(self.payment);
        let order = |payment: &Claimed| self.chain.log_order(payment);
        let taken = self.taken_of(transaction);
        let verdict = receipt.judge(payment, submitter, order, &taken).pop();
        match verdict {
            Some(Verdict::Paid(paid)) => {
                let log = Some(paid_log(header.block(), paid.position)?);
                Ok(Usage::Settled(paid.settled, Settlement { transaction, log }))
            }
            Some(Verdict::Not(error @ SettlementError::NotTransferred)) => {
                let payment = self.payment.id();
                tracing::warn!(%payment, %transaction, %error, "used, not settled");
                Ok(Usage::Void)
            }
            // A pair of logs is of one authorization: that it has paid for another is the ledger's error.
            Some(
                Verdict::Short(..)
                | Verdict::Not(SettlementError::Taken | SettlementError::Undecided),
            ) => Ok(Usage::Undecided(transaction)),
            Some(Verdict::Not(_)) | None => Err(contradiction()),
        }
    }

    /// By what the block has in which a permit's nonce came to be used.
    async fn by_permit(&self, header: Header) -> Result<Usage, ChainError> {
        let uses = self.node.uses_in(self.payment, header.block()).await?;
        let is_burnt = uses.iter().any(|used| used.burns(self.payment));
        let mut undecided = None;
        let mut seen = Vec::new();
        for used in self.own(&uses) {
            let transaction = used.transaction();
            if seen.contains(&transaction) {
                continue;
            }
            seen.push(transaction);
            match self.by_payout(transaction, header, is_burnt).await? {
                Some(usage @ Usage::Undecided(_)) => undecided = Some(usage),
                Some(usage) => return Ok(usage),
                None => {}
            }
        }
        match undecided {
            Some(usage) => Ok(usage),
            // Something has used the nonce, and whatever it was is among these.
            None if !uses.is_empty() => Ok(Usage::Void),
            None => Err(contradiction()),
        }
    }

    /// Whether a transaction, in the block in which the permit's nonce came to be used, has moved its
    /// money. `None` where nothing in it can have.
    async fn by_payout(
        &self,
        transaction: TxHash,
        header: Header,
        is_burnt: bool,
    ) -> Result<Option<Usage>, ChainError> {
        let receipt = self.node.receipt(transaction).await?;
        let receipt = receipt.ok_or(Fault::Malformed("the receipt of a log is missing"))?;
        if receipt.block()? != header.block() {
            return Err(Fault::Malformed("the receipt of a log is of another block").into());
        }
        let payment = core::slice::from_ref(self.payment);
        let stranger = Stranger::of(self.node, payment, transaction).await?;
        if stranger.calls_another(self.payment) {
            return Ok(None);
        }
        let order = |payment: &Claimed| self.chain.log_order(payment);
        let taken = self.taken_of(transaction);
        match receipt.judge(payment, stranger.submitter(), order, &taken).pop() {
            Some(Verdict::Paid(_)) if header.timestamp() < self.since => Ok(Some(Usage::Void)),
            // The transfer may be another permit's, and nobody can tell.
            Some(Verdict::Paid(paid)) if paid.needs_nonce && is_burnt => {
                Ok(Some(Usage::Undecided(transaction)))
            }
            Some(Verdict::Paid(paid)) => {
                let log = Some(paid_log(header.block(), paid.position)?);
                Ok(Some(Usage::Settled(paid.settled, Settlement { transaction, log })))
            }
            _ => {
                let is_taken = |at: usize| taken.iter().any(|taken| *taken as usize == at);
                let is_open = { receipt.transfers(self.payment) }.any(|at| !is_taken(at));
                Ok(is_open.then_some(Usage::Undecided(transaction)))
            }
        }
    }

    /// By a transfer that was found among the logs of many blocks: of the nonce nothing may be known. `None`
    /// where it says nothing.
    async fn by_transfer(&self, used: &Use) -> Result<Option<Usage>, ChainError> {
        let block = used.block();
        match self.chain.is_first_used_in(self.node, self.payment, block).await {
            Ok(false) => Ok(None),
            Ok(true) => {
                let header = self.node.known_header(At::Block(block)).await?;
                self.by_permit(header).await.map(Some)
            }
            Err(fault) if fault.is_nodes_word() => {
                let header = self.node.known_header(At::Block(block)).await?;
                let usage = self.by_payout(used.transaction(), header, false).await?;
                match usage {
                    // A call that names the permit says enough; a wrapper's needs the nonce.
                    Some(Usage::Settled(..)) if !self.is_direct(used.transaction()).await? => {
                        Ok(Some(Usage::Undecided(used.transaction())))
                    }
                    Some(Usage::Undecided(_)) | None => Ok(None),
                    usage => Ok(usage),
                }
            }
            Err(fault) => Err(fault.into()),
        }
    }

    /// Whether a transaction calls the proxy with this very permit.
    async fn is_direct(&self, transaction: TxHash) -> Result<bool, ChainError> {
        let Transfer::Permit2(permit) = self.payment.transfer() else { return Ok(false) };
        let sending = self.node.sending(transaction).await?;
        Ok(sending.is_some_and(|sending| {
            sending.to.is_some_and(|to| to == *permit.spender().as_bytes())
                && permit.moved_by(&sending.input) == Some(self.payment.amount())
        }))
    }

    /// Which logs of a transaction have paid for other payments.
    fn taken_of(&self, transaction: TxHash) -> Vec<u32> {
        let of_it = self.taken.iter().filter(|(hash, _)| *hash == transaction);
        of_it.map(|(_, position)| *position).collect()
    }
}

/// What the state says and what the logs say are not of one block.
fn contradiction() -> ChainError {
    ChainError::Unavailable("the node's logs do not say what its state says".into())
}
