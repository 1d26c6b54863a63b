use x402_core::wire::json::Text;
use x402_core::wire::{
    Answers, FacilitatorRequest, PaymentFlow, Requirements, SettleResponse, Settlement,
    SignedPayload, Verified, VerifyResponse, Version, WireError,
};
use x402_core::{Address, Amount, ChainId, Claimed, Offer};

use super::Caller;
use crate::chain::TxHash;

/// What a facilitator is asked with: JSON that was read, and who asks.
#[derive(Clone, Debug)]
pub struct Request {
    json: Vec<u8>,
    caller: Caller,
}

impl Request {
    /// Takes the body of a request.
    ///
    /// # Errors
    ///
    /// [`WireError`], as [`FacilitatorRequest::parse`].
    pub fn parse(json: Vec<u8>) -> Result<Self, WireError> {
        FacilitatorRequest::parse(&json)?;
        Ok(Self { json, caller: Caller::default() })
    }

    /// The request for a payment on the terms of an offer, in v2; `signature` is a contract's, for a
    /// payer with a key the payment has it.
    #[must_use]
    pub fn of(payment: &Claimed, signature: &[u8], offer: &Offer<'_>, flow: PaymentFlow) -> Self {
        let requirements = Requirements { offer, quote: "", flow }.to_string();
        let rsv = payment.signature().map(x402_core::Signature::to_rsv);
        let payload = SignedPayload {
            transfer: payment.transfer(),
            signature: rsv.as_ref().map_or(signature, |rsv| rsv),
            answers: Answers::V2 { accepted: &requirements, resource: "", extensions: "" },
        };
        let json = format!(
            r#"{{"x402Version":2,"paymentPayload":{payload},"paymentRequirements":{requirements}}}"#
        );
        Self { json: json.into_bytes(), caller: Caller::default() }
    }

    /// The same, asked by this caller.
    #[must_use]
    pub fn by(self, caller: Caller) -> Self {
        Self { caller, ..self }
    }

    /// Who asks.
    #[must_use]
    pub const fn caller(&self) -> &Caller {
        &self.caller
    }

    /// The JSON.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.json
    }

    /// What it says.
    ///
    /// # Errors
    ///
    /// None where the request was made by [`Self::parse`] or [`Self::of`].
    pub fn view(&self) -> Result<FacilitatorRequest<'_>, WireError> {
        FacilitatorRequest::parse(&self.json)
    }
}

/// The answer to `/verify`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct VerifyAnswer {
    /// `None` where the payment would be settled; else why not: a code of the specification's, or
    /// free text.
    pub reason: Option<String>,
    /// Why not, in words; may be empty.
    pub message: String,
    /// Who pays, once that is known.
    pub payer: Option<Address>,
}

impl VerifyAnswer {
    /// Reads the body of an answer.
    ///
    /// # Errors
    ///
    /// [`WireError`] where it is none; [`WireError::Shape`] also where it says yes and why not, or yes to a
    /// payer who is none.
    pub fn parse(json: &[u8]) -> Result<Self, WireError> {
        let answer = VerifyResponse::parse(json)?;
        let reason = reason(answer.is_valid, answer.invalid_reason)?;
        let payer = answer.payer.and_then(address);
        if reason.is_none() && payer.is_none() && is_given(answer.payer) {
            return Err(WireError::Shape);
        }
        Ok(Self { reason, message: answer.invalid_message.map(owned).unwrap_or_default(), payer })
    }

    /// The body of an answer.
    #[must_use]
    pub fn to_json(&self) -> String {
        let (reason, message) = (self.reason.as_deref(), self.message.as_str());
        Verified { reason, message, payer: self.payer }.to_string()
    }
}

/// The answer to `/settle`, and the receipt of a buyer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SettleAnswer {
    /// Which version's name the network has.
    pub version: Version,
    /// `None` where the money has moved; else why not: a code of the specification's, or free text.
    pub reason: Option<String>,
    /// Why not, in words; may be empty.
    pub message: String,
    /// The transaction, if one was sent.
    pub transaction: Option<TxHash>,
    /// The network; `None` for one that is no EVM chain, or that is not spelt as the version does.
    pub chain_id: Option<ChainId>,
    /// Who paid, once that is known.
    pub payer: Option<Address>,
    /// How much was settled, where the scheme leaves it open.
    pub amount: Option<Amount>,
}

impl SettleAnswer {
    /// Reads the body of an answer, or a receipt.
    ///
    /// # Errors
    ///
    /// [`WireError`] where it is none; [`WireError::Shape`] also where the transaction is neither
    /// empty nor a hash, or where it says yes and why not, or yes with a payer or an amount that is none.
    pub fn parse(json: &[u8], version: Version) -> Result<Self, WireError> {
        let answer = SettleResponse::parse(json)?;
        let transaction = match answer.transaction.plain() {
            Some("") => None,
            _ => Some(TxHash(*answer.transaction_hash().ok_or(WireError::Shape)?.as_bytes())),
        };
        let reason = reason(answer.success, answer.error_reason)?;
        let payer = answer.payer.and_then(address);
        let amount = answer.amount.and_then(|text| Amount::parse(text.plain()?).ok());
        let is_ill_formed = payer.is_none() && is_given(answer.payer)
            || amount.is_none() && answer.amount.is_some();
        if reason.is_none() && is_ill_formed {
            return Err(WireError::Shape);
        }
        Ok(Self {
            version,
            reason,
            message: answer.error_message.map(owned).unwrap_or_default(),
            transaction,
            chain_id: answer.network.plain().and_then(|text| ChainId::parse(text).ok()),
            payer,
            amount,
        })
    }

    /// The body of an answer, or a receipt.
    #[must_use]
    pub fn to_json(&self) -> String {
        Settlement {
            version: self.version,
            reason: self.reason.as_deref(),
            message: &self.message,
            transaction: self.transaction.map(|hash| hash.0),
            chain_id: self.chain_id,
            payer: self.payer,
            amount: self.amount,
        }
        .to_string()
    }
}

/// At most so much of a peer's text is kept.
const MAX_CHARS: usize = 500;

pub(super) fn owned(text: Text<'_>) -> String {
    text.chars().take(MAX_CHARS).collect()
}

/// Why not; `None` for a yes, which must not say why not.
fn reason(is_yes: bool, why_not: Option<Text<'_>>) -> Result<Option<String>, WireError> {
    match (is_yes, is_given(why_not)) {
        (true, true) => Err(WireError::Shape),
        (true, false) => Ok(None),
        (false, _) => Ok(Some(why_not.map(owned).unwrap_or_default())),
    }
}

/// Whether there is a text, and something in it.
fn is_given(text: Option<Text<'_>>) -> bool {
    text.is_some_and(|text| text.chars().next().is_some())
}

fn address(text: Text<'_>) -> Option<Address> {
    Address::parse(text.plain()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAYER: &str = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";

    #[test]
    fn a_yes_that_says_why_not_or_of_a_payer_or_an_amount_that_is_none_is_no_answer() {
        let verified = |rest: &str| {
            let json = format!(r#"{{"isValid":true{rest}}}"#);
            VerifyAnswer::parse(json.as_bytes()).map(|answer| answer.reason)
        };
        let payer = format!(r#","payer":"{PAYER}","invalidReason":"""#);
        for good in ["", r#","invalidReason":null"#, r#","payer":"""#, &payer] {
            assert_eq!(verified(good), Ok(None), "{good}");
        }
        for bad in [r#","invalidReason":"insufficient_funds""#, r#","payer":"0x12""#] {
            assert_eq!(verified(bad), Err(WireError::Shape), "{bad}");
        }
        let settled = |success: bool, rest: &str| {
            let hash = "ab".repeat(32);
            let json = format!(
                r#"{{"success":{success},"transaction":"0x{hash}","network":"eip155:8453"{rest}}}"#
            );
            SettleAnswer::parse(json.as_bytes(), Version::V2).map(|answer| answer.reason)
        };
        let payer = format!(r#","payer":"{PAYER}","amount":"7","errorReason":"""#);
        for good in ["", r#","errorReason":null"#, r#","amount":"10000""#, &payer] {
            assert_eq!(settled(true, good), Ok(None), "{good}");
        }
        for bad in [
            r#","errorReason":"invalid_transaction_state""#,
            r#","payer":"somebody""#,
            r#","amount":"""#,
            r#","amount":"1e4""#,
            r#","amount":"-1""#,
        ] {
            assert_eq!(settled(true, bad), Err(WireError::Shape), "{bad}");
            // A no is one whatever is beside it.
            assert!(settled(false, bad).unwrap().is_some(), "{bad}");
        }
    }
}
