//! Why a token refuses a payment.

use alloy_primitives::U256;
use x402_core::{Claimed, Error, TransferMethod, permit2};

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
        let at = At::Block(self.newest(node).await?.block());
        match node.is_used(payment, at).await {
            Ok(false) => {}
            Ok(true) => return Ok(Error::AuthorizationUsed),
            // A token that cannot be asked for it has no authorizations.
            Err(fault) if !is_permit && fault.kind() == Some(Kind::Reverted) => {
                return Ok(Error::Method);
            }
            Err(fault) => return Err(fault.into()),
        }
        if let Some(error) = lacks(node, payment, at).await? {
            return Ok(error);
        }
        // A contract's signature is judged by the contract, and that is what is left.
        let is_wallet = !node.code(evm(payment.payer())).await?.is_empty();
        Ok(if is_wallet { Error::Signer } else { Error::Simulation })
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
