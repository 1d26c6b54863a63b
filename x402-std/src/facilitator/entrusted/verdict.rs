//! What a facilitator's answers are worth.

use x402_core::{Amount, Error, Reason};

use crate::chain::TxHash;
use crate::facilitator::SettleAnswer;
use crate::ledger::Entry;

/// The transaction, where the answer is about the payment that was asked for.
pub(super) fn believable(answer: &SettleAnswer, entry: &Entry) -> Result<TxHash, &'static str> {
    let payment = &entry.payment;
    if answer.chain_id != Some(payment.chain_id()) {
        return Err("it names another network");
    }
    if answer.payer.is_some_and(|payer| payer != payment.payer()) {
        return Err("it names another payer");
    }
    if answer.amount.is_some_and(|amount| amount != payment.amount()) {
        return Err("it names another amount");
    }
    let is_nothing = payment.amount() == Amount::ZERO && payment.transfer().facilitator().is_some();
    match answer.transaction {
        Some(TxHash([0, ..])) if answer.transaction == Some(TxHash([0; 32])) => {
            Err("it names no transaction")
        }
        Some(hash) => Ok(hash),
        None if is_nothing => Ok(TxHash([0; 32])),
        None => Err("it names no transaction"),
    }
}

/// What is the payer's to mend; `None` for everything else, the words that nobody has laid down
/// among them.
pub(super) fn fault(reason: &str) -> Option<Error> {
    Some(match Reason::parse(reason)? {
        Reason::InsufficientBalance | Reason::InsufficientFunds | Reason::Permit2Balance => {
            Error::Balance
        }
        Reason::NonceAlreadyUsed | Reason::Permit2Nonce => Error::AuthorizationUsed,
        Reason::Permit2Allowance => Error::Allowance,
        Reason::ValidBefore | Reason::Permit2Deadline => Error::Expired,
        Reason::ValidAfter | Reason::Permit2NotYetValid => Error::NotYetValid,
        Reason::ExactSignature | Reason::Permit2Signature | Reason::Signature => Error::Signer,
        Reason::FactoryNotAllowed => Error::Undeployed,
        Reason::NotSupported | Reason::Permit2Proxy => Error::Method,
        Reason::Permit2Simulation | Reason::SimulationFailed => Error::Simulation,
        _ => return None,
    })
}

/// Whether a refusal to settle means that the money has not moved, and by this payment never will,
/// where the facilitator was asked for the first time.
///
/// That the authorization was used is none: it may have been used by the request before, whose
/// answer was lost.
pub(super) fn is_final(reason: &str) -> bool {
    match fault(reason) {
        None | Some(Error::AuthorizationUsed | Error::Simulation) => false,
        Some(_) => true,
    }
}

/// Whether a refusal, once the authorization has ended, means that the money has not moved: it does,
/// unless it says that it may have.
pub(super) fn is_final_after_the_end(reason: &str) -> bool {
    let says_moved = matches!(fault(reason), Some(Error::AuthorizationUsed));
    !says_moved && reason != Reason::SettlementPending.as_str()
}
