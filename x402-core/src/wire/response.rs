//! What a facilitator answers, and what a seller tells the buyer of it.

use core::fmt::{self, Write as _};

use super::json::{self, Object, Quoted, Text, Value};
use super::{Network, Version, WireError};
use crate::{Address, Amount, ChainId, Nonce};

/// The answer to `/verify`, as sent. Optional members may be `null`.
#[derive(Clone, Copy, Debug)]
pub struct VerifyResponse<'a> {
    /// Whether the payment would be settled.
    pub is_valid: bool,
    /// Why not: a code.
    pub invalid_reason: Option<Text<'a>>,
    /// Why not, in words.
    pub invalid_message: Option<Text<'a>>,
    /// Who pays.
    pub payer: Option<Text<'a>>,
}

/// The answer to `/settle`, and what `PAYMENT-RESPONSE` and `X-PAYMENT-RESPONSE` carry, as sent.
#[derive(Clone, Copy, Debug)]
pub struct SettleResponse<'a> {
    /// Whether the money has moved.
    pub success: bool,
    /// Why not: a code, or free text.
    pub error_reason: Option<Text<'a>>,
    /// Why not, in words.
    pub error_message: Option<Text<'a>>,
    /// Who paid.
    pub payer: Option<Text<'a>>,
    /// The transaction's hash; empty where nothing was sent.
    pub transaction: Text<'a>,
    /// The network.
    pub network: Text<'a>,
    /// How much was settled, in atomic units.
    pub amount: Option<Text<'a>>,
}

impl<'a> VerifyResponse<'a> {
    /// Reads the JSON of an answer.
    ///
    /// # Errors
    ///
    /// [`WireError::Json`] or [`WireError::Shape`].
    pub fn parse(json: &'a [u8]) -> Result<Self, WireError> {
        let object = json::parse(json)?.as_object().ok_or(WireError::Shape)?;
        Ok(Self {
            is_valid: boolean(object, "isValid")?,
            invalid_reason: optional_text(object, "invalidReason")?,
            invalid_message: optional_text(object, "invalidMessage")?,
            payer: optional_text(object, "payer")?,
        })
    }
}

impl<'a> SettleResponse<'a> {
    /// Reads the JSON of an answer.
    ///
    /// # Errors
    ///
    /// [`WireError::Json`] or [`WireError::Shape`].
    pub fn parse(json: &'a [u8]) -> Result<Self, WireError> {
        let object = json::parse(json)?.as_object().ok_or(WireError::Shape)?;
        let text = |key| object.get(key).and_then(Value::as_text).ok_or(WireError::Shape);
        Ok(Self {
            success: boolean(object, "success")?,
            error_reason: optional_text(object, "errorReason")?,
            error_message: optional_text(object, "errorMessage")?,
            payer: optional_text(object, "payer")?,
            transaction: text("transaction")?,
            network: text("network")?,
            amount: optional_text(object, "amount")?,
        })
    }

    /// The transaction's hash, if it has the form of one of an EVM chain.
    #[must_use]
    pub fn transaction_hash(&self) -> Option<Nonce> {
        let text = self.transaction.plain().filter(|text| text.starts_with("0x"))?;
        Nonce::parse(text).ok()
    }
}

fn boolean(object: Object<'_>, key: &str) -> Result<bool, WireError> {
    object.get(key).and_then(Value::as_bool).ok_or(WireError::Shape)
}

fn optional_text<'a>(object: Object<'a>, key: &str) -> Result<Option<Text<'a>>, WireError> {
    match object.get(key).filter(|value| !value.is_null()) {
        None => Ok(None),
        Some(value) => value.as_text().map(Some).ok_or(WireError::Shape),
    }
}

/// The answer to `/verify`, to be written by [`fmt::Display`].
#[derive(Clone, Copy, Debug)]
pub struct Verified<'a> {
    /// `None` where the payment would be settled; else why not: a code.
    pub reason: Option<&'a str>,
    /// Why not, in words; may be empty.
    pub message: &'a str,
    /// Who pays, once the payload says.
    pub payer: Option<Address>,
}

impl fmt::Display for Verified<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, r#"{{"isValid":{}"#, self.reason.is_none())?;
        reason(f, "invalid", self.reason, self.message)?;
        payer(f, self.payer)?;
        f.write_char('}')
    }
}

/// The answer to `/settle`, to be written by [`fmt::Display`].
#[derive(Clone, Copy, Debug)]
pub struct Settlement<'a> {
    /// Which version's name the network has.
    pub version: Version,
    /// `None` where the money has moved; else why not: a code.
    pub reason: Option<&'a str>,
    /// Why not, in words; may be empty.
    pub message: &'a str,
    /// The transaction, if one was sent, big-endian.
    pub transaction: Option<[u8; 32]>,
    /// The network; an empty text where it is none that is known.
    pub chain_id: Option<ChainId>,
    /// Who paid.
    pub payer: Option<Address>,
    /// How much was settled, where the payload does not say it: `upto`.
    pub amount: Option<Amount>,
}

impl fmt::Display for Settlement<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, r#"{{"success":{}"#, self.reason.is_none())?;
        reason(f, "error", self.reason, self.message)?;
        payer(f, self.payer)?;
        match self.transaction {
            Some(hash) => write!(f, r#","transaction":"{}""#, crate::hex::Hex(&hash))?,
            None => f.write_str(r#","transaction":"""#)?,
        }
        match self.chain_id {
            Some(id) => write!(f, r#","network":"{}""#, Network(self.version, id))?,
            None => f.write_str(r#","network":"""#)?,
        }
        if let Some(amount) = self.amount {
            write!(f, r#","amount":"{amount}""#)?;
        }
        f.write_char('}')
    }
}

fn reason(
    f: &mut fmt::Formatter<'_>,
    prefix: &str,
    reason: Option<&str>,
    message: &str,
) -> fmt::Result {
    let Some(reason) = reason else { return Ok(()) };
    write!(f, r#","{prefix}Reason":{}"#, Quoted(reason))?;
    if message.is_empty() {
        return Ok(());
    }
    write!(f, r#","{prefix}Message":{}"#, Quoted(message))
}

fn payer(f: &mut fmt::Formatter<'_>, payer: Option<Address>) -> fmt::Result {
    payer.map_or(Ok(()), |payer| write!(f, r#","payer":"{payer}""#))
}
