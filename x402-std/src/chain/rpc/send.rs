//! How a transaction is sent, and what a node's answer to it means.
//!
//! Whatever goes wrong here, the money cannot move twice: a token takes an authorization once, in
//! whichever transaction. What can be lost by a wrong guess is gas (the second transaction
//! reverts), or time (a nonce that no transaction has stops all later ones). So a nonce that may
//! or may not have been used up is read from the node again before the next transaction, rather
//! than counted on.

use x402_core::Claimed;

use super::RpcChain;
use super::account::{Account, State};
use super::fault::{Fault, Kind};
use super::fees::{FeeError, Fees};
use super::node::{At, Node};
use crate::chain::{Call, ChainError, Journal, Transaction, TxHash, Usage};

/// How often a payment is sent while the node says that its nonce or its fees are wrong.
const ATTEMPTS: usize = 3;

/// What became of one attempt.
pub(super) enum Attempt {
    Taken,
    /// The node refused the transaction because of its nonce or fees; another may do.
    Again {
        at_least: u64,
        why: Fault,
    },
    Failed(ChainError),
}

impl RpcChain {
    pub(super) async fn send_payment(
        &self,
        call: &Call,
        journal: &dyn Journal,
    ) -> Result<TxHash, ChainError> {
        let Some(mut state) = self.account.turn().await else { return Err(too_many()) };
        self.try_to_send(&mut state, call, journal, (0, None)).await
    }

    /// Sends a payment with a nonce that is `at_least` that; something was journalled for it already where
    /// the node has refused that.
    pub(super) async fn try_to_send(
        &self,
        state: &mut State,
        call: &Call,
        journal: &dyn Journal,
        (mut at_least, mut refusal): (u64, Option<Fault>),
    ) -> Result<TxHash, ChainError> {
        for _ in 0..ATTEMPTS {
            let terms = self.terms(state, at_least, self.options.fee_cap(call.deploys)).await;
            let (nonce, fees) = terms.map_err(|error| match &refusal {
                // Something is journalled already: nobody may think that nothing is.
                Some(refusal) => ChainError::Unsent(refusal.to_string()),
                None => ChainError::Unavailable(error.to_string()),
            })?;
            let transaction = self.account.sign(call, nonce, fees);
            journal.record(&transaction).await.map_err(ChainError::Journal)?;
            match self.attempt(state, nonce, &transaction).await {
                Attempt::Taken => return Ok(transaction.hash),
                Attempt::Again { at_least: nonce, why } => {
                    tracing::debug!(%why, nonce, "sent again");
                    (at_least, refusal) = (nonce, Some(why));
                }
                Attempt::Failed(error) => return Err(error),
            }
        }
        Err(ChainError::Unsent(refusal.map_or_else(String::new, |fault| fault.to_string())))
    }

    /// The nonce and the fees of the next transaction, and what is to be done before it is sent.
    pub(super) async fn terms(
        &self,
        state: &mut State,
        at_least: u64,
        cap: u128,
    ) -> Result<(u64, Fees), FeeError> {
        // The transaction takes the nonce itself.
        self.terms_and_gaps(state, at_least, 1, cap).await
    }

    /// The next nonce and the fees; those nonces that are missing so many behind it, and further on, are used
    /// up.
    pub(super) async fn terms_and_gaps(
        &self,
        state: &mut State,
        at_least: u64,
        behind: u64,
        cap: u128,
    ) -> Result<(u64, Fees), FeeError> {
        let mut turn = self.nodes.turn();
        loop {
            match self.account.terms(state, turn.node(), at_least, cap).await {
                Ok((nonce, fees)) => {
                    let first = nonce.saturating_add(behind);
                    self.fill_gaps_from(state, turn.node(), first, fees).await;
                    return Ok((nonce, fees));
                }
                Err(error @ FeeError::Node(_)) if turn.passes(&error) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Sends a journalled transaction.
    async fn attempt(&self, state: &mut State, nonce: u64, transaction: &Transaction) -> Attempt {
        // Unknown while the transaction is under way, and so for good if this future is dropped.
        state.next_nonce = None;
        let answer = self.nodes.send(&transaction.raw).await;
        self.judge_answer(state, nonce, transaction, answer)
    }

    /// What the node's answer to a transaction means: afterwards the next nonce is known, if it can be.
    pub(super) fn judge_answer(
        &self,
        state: &mut State,
        nonce: u64,
        transaction: &Transaction,
        answer: Result<TxHash, Fault>,
    ) -> Attempt {
        let unsent = |fault: Fault| Attempt::Failed(ChainError::Unsent(fault.to_string()));
        let fault = match answer {
            Ok(hash) if hash == transaction.hash => return self.taken(state, nonce, transaction),
            Ok(_) => Fault::Malformed("the hash of another transaction"),
            Err(fault) => fault,
        };
        match fault.kind() {
            Some(Kind::AlreadyKnown) => self.taken(state, nonce, transaction),
            Some(Kind::NonceTooLow | Kind::Replacement) => {
                Attempt::Again { at_least: nonce.saturating_add(1), why: fault }
            }
            Some(Kind::NonceTooHigh) => Attempt::Again { at_least: 0, why: fault },
            Some(Kind::FeeTooLow) => {
                state.next_nonce = Some(nonce);
                state.fees.clear();
                Attempt::Again { at_least: nonce, why: fault }
            }
            Some(Kind::Funds) => {
                self.account.report_no_funds(&fault);
                self.readiness.look_again();
                state.next_nonce = Some(nonce);
                unsent(fault)
            }
            Some(Kind::Rejected | Kind::Reverted) => {
                state.next_nonce = Some(nonce);
                unsent(fault)
            }
            None if matches!(fault, Fault::Connect(_)) => {
                state.next_nonce = Some(nonce);
                unsent(fault)
            }
            Some(Kind::Failure) | None => {
                // The node may have it, and then behind others that it lacks.
                state.note_waiting(nonce, transaction);
                Attempt::Failed(unknown(fault))
            }
        }
    }

    fn taken(&self, state: &mut State, nonce: u64, transaction: &Transaction) -> Attempt {
        state.note_taken(nonce, transaction);
        self.account.note_funds();
        Attempt::Taken
    }

    pub(super) async fn send_again(
        &self,
        call: &Call,
        transaction: &Transaction,
        journal: &dyn Journal,
    ) -> Result<TxHash, ChainError> {
        // Who sends again has reason to think that the chain lost something: perhaps more than
        // this, and then the nonces that follow are not those we count on.
        self.account.recount();
        let fault = match self.nodes.send(&transaction.raw).await {
            Ok(hash) if hash == transaction.hash => {
                return self.raise(call, transaction, journal).await;
            }
            Ok(_) => return Err(unknown(Fault::Malformed("the hash of another transaction"))),
            Err(fault) => fault,
        };
        match fault.kind() {
            Some(Kind::AlreadyKnown | Kind::FeeTooLow) => {
                self.raise(call, transaction, journal).await
            }
            // The transaction that used up the nonce can be this very one, whatever a node that lags
            // says of its receipt; and so it can be where it is refused for what it is, by one node of
            // several.
            Some(Kind::NonceTooLow | Kind::Rejected | Kind::Reverted) => {
                self.bury(call, transaction, fault).await
            }
            Some(Kind::Funds) => {
                self.account.report_no_funds(&fault);
                Err(unknown(fault))
            }
            // The transactions before it are missing: they too are journalled, and will be sent. Or
            // another has its nonce and waits: which of the two is mined, other nodes may decide.
            Some(Kind::NonceTooHigh | Kind::Replacement | Kind::Failure) | None => {
                Err(unknown(fault))
            }
        }
    }

    /// Says of a transaction that the node refuses whether it is in a block, or can never be.
    async fn bury(
        &self,
        call: &Call,
        transaction: &Transaction,
        fault: Fault,
    ) -> Result<TxHash, ChainError> {
        let Some((nonce, _)) = Account::terms_of(transaction) else {
            return Err(ChainError::Unsent(fault.to_string()));
        };
        let turn = self.nodes.turn();
        if turn.node().receipt(transaction.hash).await.map_err(unknown)?.is_some() {
            return Ok(transaction.hash);
        }
        match self.is_dead(turn.node(), call, transaction.hash, nonce).await {
            // As of a view that is older than this answer.
            Ok(true) => match turn.node().receipt(transaction.hash).await.map_err(unknown)? {
                Some(_) => Ok(transaction.hash),
                None => Err(ChainError::Unsent(fault.to_string())),
            },
            Ok(false) => Err(unknown(fault)),
            Err(error) => Err(ChainError::Unknown(error.to_string())),
        }
    }

    /// Whether another transaction has used up the account's nonce, so many blocks ago that it stays so,
    /// and did so without the payments: each of them is unused in that same block and in the newest, or
    /// was used by another transaction.
    async fn is_dead(
        &self,
        node: &Node,
        call: &Call,
        transaction: TxHash,
        nonce: u64,
    ) -> Result<bool, ChainError> {
        let view = self.view(node).await?;
        let deep = At::Block(view.deep.block());
        if node.nonce_at(self.account.address(), deep).await? <= nonce {
            return Ok(false);
        }
        for payment in &call.payments {
            let is_used = node.is_used(payment, deep).await?
                || (view.head != view.deep
                    && node.is_used(payment, At::Block(view.head.block())).await?);
            if is_used && !self.is_used_elsewhere(node, payment, transaction).await? {
                return Ok(false);
            }
        }
        node.expect_block(view.deep.block()).await?;
        Ok(true)
    }

    /// Whether it is proved that another transaction has used the authorization.
    async fn is_used_elsewhere(
        &self,
        node: &Node,
        payment: &Claimed,
        transaction: TxHash,
    ) -> Result<bool, ChainError> {
        Ok(match self.look_up(node, payment, 0, &[]).await? {
            Some(Usage::Settled(_, by)) => by.transaction != transaction,
            Some(Usage::Undecided(by)) => by != transaction,
            Some(Usage::Void) => true,
            Some(Usage::Unused | Usage::Expired) | None => false,
        })
    }

    /// Sends another transaction of the same account nonce, where the first offers less than is
    /// asked now.
    async fn raise(
        &self,
        call: &Call,
        transaction: &Transaction,
        journal: &dyn Journal,
    ) -> Result<TxHash, ChainError> {
        let Some((nonce, offered)) = Account::terms_of(transaction) else {
            return Ok(transaction.hash);
        };
        let Some(mut state) = self.account.turn().await else { return Ok(transaction.hash) };
        // The node has it, from before a restart perhaps.
        state.note_waiting(nonce, transaction);
        let turn = self.nodes.turn();
        let cap = self.options.fee_cap(call.deploys);
        let fees = match self.account.raised(&mut state, turn.node(), offered, cap).await {
            Ok(Some(fees)) => fees,
            Ok(None) => return Ok(transaction.hash),
            Err(error) => {
                tracing::debug!(%error, "the fees stay as they are");
                return Ok(transaction.hash);
            }
        };
        let raised = self.account.sign(call, nonce, fees);
        journal.record(&raised).await.map_err(ChainError::Journal)?;
        tracing::info!(from = %transaction.hash, to = %raised.hash, fee = fees.max, "more gas is offered");
        match self.nodes.send(&raised.raw).await {
            Ok(hash) if hash == raised.hash => {
                state.note_waiting(nonce, &raised);
                Ok(hash)
            }
            Ok(_) => Err(unknown(Fault::Malformed("the hash of another transaction"))),
            Err(fault) => match fault.kind() {
                // One of the two is in a block.
                Some(Kind::AlreadyKnown | Kind::NonceTooLow) => Ok(raised.hash),
                _ => Err(unknown(fault)),
            },
        }
    }
}

pub(super) fn too_many() -> ChainError {
    ChainError::Unavailable("too many payments wait to be sent".into())
}

#[allow(clippy::needless_pass_by_value, reason = "for map_err")]
fn unknown(fault: Fault) -> ChainError {
    ChainError::Unknown(fault.to_string())
}
