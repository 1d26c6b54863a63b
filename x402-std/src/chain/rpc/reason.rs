//! Why a token refuses a payment.

use alloy_primitives::U256;
use x402_core::{Claimed, Error, Timestamp, TransferMethod, permit2};

use super::fault::Kind;
use super::node::{At, Node, Token};
use super::{RpcChain, evm};
use crate::chain::ChainError;

impl RpcChain {
    /// Why the call reverts. The chain is asked, because a contract's own words are nowhere laid down.
    ///
    /// All answers are of one block, which is no older than one that was seen: back ends behind one URL
    /// that are not equally far would show an authorization unused and its value gone, and a payer who has
    /// paid would be told that he cannot.
    pub(super) async fn reason(&self, node: &Node, payment: &Claimed) -> Result<Error, ChainError> {
        let is_permit = payment.transfer().method() == TransferMethod::Permit2;
        if is_permit && node.code(evm(payment.target())).await?.is_empty() {
            return Ok(Error::Method);
        }
        let newest = self.newest(node).await?;
        let at = At::Block(newest.block());
        match node.is_used(payment, at).await {
            Ok(false) => {}
            Ok(true) => return Ok(Error::AuthorizationUsed),
            // A token that cannot be asked for it has no authorizations.
            Err(fault) if !is_permit && fault.kind() == Some(Kind::Reverted) => {
                return Ok(Error::Method);
            }
            Err(fault) => return Err(fault.into()),
        }
        // A chain may be ahead of us, or behind.
        if let Some(error) = is_out_of_time(payment, newest.timestamp()) {
            return Ok(error);
        }
        if let Some(error) = lacks(node, payment, at).await? {
            return Ok(error);
        }
        // A contract's signature is judged by the contract, and that is what is left.
        let is_wallet = !node.code(evm(payment.payer())).await?.is_empty();
        Ok(if is_wallet { Error::Signer } else { Error::Simulation })
    }
}

/// Whether a block of this time, in Unix seconds, is one that cannot take the payment.
fn is_out_of_time(payment: &Claimed, time: u64) -> Option<Error> {
    let transfer = payment.transfer();
    let time = Timestamp::from_secs(time);
    // A token takes it after the one second and before the other, Permit2's spender at both of them, too.
    let (is_early, is_late) = match transfer.method() {
        TransferMethod::Permit2 => (time < transfer.valid_after(), time > transfer.valid_before()),
        _ => (time <= transfer.valid_after(), time >= transfer.valid_before()),
    };
    match (is_late, is_early) {
        (true, _) => Some(Error::Expired),
        (false, true) => Some(Error::NotYetValid),
        (false, false) => None,
    }
}

/// What the payer has too little of.
async fn lacks(node: &Node, payment: &Claimed, at: At) -> Result<Option<Error>, ChainError> {
    let (payer, token) = (evm(payment.payer()), evm(payment.asset()));
    let value = U256::from_be_bytes(payment.amount().to_be_bytes());
    let balance = Token::balanceOfCall { account: payer };
    if node.read(token, balance, at).await? < value {
        return Ok(Some(Error::Balance));
    }
    if payment.transfer().method() == TransferMethod::Permit2 {
        let allowance = Token::allowanceCall { owner: payer, spender: evm(permit2::PERMIT2) };
        if node.read(token, allowance, at).await? < value {
            return Ok(Some(Error::Allowance));
        }
    }
    Ok(None)
}
