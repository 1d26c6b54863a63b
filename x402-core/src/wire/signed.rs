use core::fmt::{self, Write as _};

use super::{Network, Version};
use crate::hex::Hex;
use crate::permit2::Permit;
use crate::{Amount, ChainId, Transfer};

/// A signed payment, to be written as the payload of a version by [`fmt::Display`].
#[derive(Clone, Copy, Debug)]
pub struct SignedPayload<'a> {
    /// What was signed.
    pub transfer: &'a Transfer,
    /// The signature's bytes.
    pub signature: &'a [u8],
    /// What it answers.
    pub answers: Answers<'a>,
}

/// What a payload answers.
#[derive(Clone, Copy, Debug)]
pub enum Answers<'a> {
    /// v1: the network.
    V1(ChainId),
    /// v2: the chosen entry of `accepts`, and what is echoed of the rest of the 402.
    V2 {
        /// The entry, byte for byte.
        accepted: &'a str,
        /// The member `resource`; empty for none.
        resource: &'a str,
        /// The member `extensions`; empty for none.
        extensions: &'a str,
    },
}

impl fmt::Display for SignedPayload<'_> {
    /// Members in the order of the official SDK.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.answers {
            Answers::V1(chain_id) => {
                let network = Network(Version::V1, chain_id);
                write!(
                    f,
                    r#"{{"x402Version":1,"scheme":"exact","network":"{network}","payload":"#
                )?;
                self.payload(f)?;
                f.write_char('}')
            }
            Answers::V2 { accepted, resource, extensions } => {
                f.write_str(r#"{"x402Version":2,"payload":"#)?;
                self.payload(f)?;
                for (name, value) in [("extensions", extensions), ("resource", resource)] {
                    if !value.is_empty() {
                        write!(f, r#","{name}":{value}"#)?;
                    }
                }
                write!(f, r#","accepted":{accepted}}}"#)
            }
        }
    }
}

impl SignedPayload<'_> {
    fn payload(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let signature = Hex(self.signature);
        match self.transfer {
            Transfer::Eip3009(a) => {
                write!(f, r#"{{"authorization":{{"from":"{}","to":"{}","#, a.from, a.to)?;
                write!(f, r#""value":"{}","validAfter":"{}","#, a.value, a.valid_after)?;
                write!(f, r#""validBefore":"{}","nonce":"{}"}},"#, a.valid_before, a.nonce)?;
                write!(f, r#""signature":"{signature}"}}"#)
            }
            Transfer::Permit2(permit) => {
                write!(f, r#"{{"signature":"{signature}","permit2Authorization":"#)?;
                permit_to_json(permit, f)?;
                f.write_char('}')
            }
        }
    }
}

fn permit_to_json(permit: &Permit, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let nonce = Amount::from_be_bytes(*permit.nonce.as_bytes());
    write!(f, r#"{{"from":"{}","permitted":{{"token":"{}","#, permit.from, permit.token)?;
    write!(f, r#""amount":"{}"}},"spender":"{}","#, permit.amount, permit.spender())?;
    write!(f, r#""nonce":"{nonce}","deadline":"{}","#, permit.deadline)?;
    write!(f, r#""witness":{{"to":"{}","#, permit.to)?;
    if let Some(facilitator) = permit.facilitator() {
        write!(f, r#""facilitator":"{facilitator}","#)?;
    }
    write!(f, r#""validAfter":"{}"}}}}"#, permit.valid_after)
}
