use core::fmt::{self, Write as _};

use super::{Network, Version};
#[cfg(feature = "embedded-io")]
use crate::headers::SignedPayment;
use crate::hex::Hex;
use crate::permit2::Permit;
use crate::plain::Plain;
use crate::{Amount, Authorization, ChainId, Transfer};

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
            Answers::V1(chain_id) => v1(f, chain_id, |f| self.payload(f)),
            Answers::V2 { accepted, resource, extensions } => {
                v2(f, accepted, [("extensions", extensions), ("resource", resource)], |f| {
                    self.payload(f)
                })
            }
        }
    }
}

fn v1(
    f: &mut fmt::Formatter<'_>,
    chain_id: ChainId,
    payload: impl Fn(&mut fmt::Formatter<'_>) -> fmt::Result,
) -> fmt::Result {
    let network = Network(Version::V1, chain_id);
    write!(f, r#"{{"x402Version":1,"scheme":"exact","network":"{network}","payload":"#)?;
    payload(f)?;
    f.write_char('}')
}

/// Of what is echoed, what is not empty.
fn v2<const N: usize>(
    f: &mut fmt::Formatter<'_>,
    accepted: &str,
    echoed: [(&str, &str); N],
    payload: impl Fn(&mut fmt::Formatter<'_>) -> fmt::Result,
) -> fmt::Result {
    f.write_str(r#"{"x402Version":2,"payload":"#)?;
    payload(f)?;
    for (name, value) in echoed {
        if !value.is_empty() {
            write!(f, r#","{}":{}"#, Plain(name), Plain(value))?;
        }
    }
    write!(f, r#","accepted":{}}}"#, Plain(accepted))
}

/// The payload of v1 that a device writes: of permits, nothing is in its image.
#[cfg(feature = "embedded-io")]
pub(crate) struct AuthorizationV1<'a> {
    pub(crate) signed: &'a SignedPayment,
    pub(crate) chain_id: ChainId,
}

#[cfg(feature = "embedded-io")]
impl fmt::Display for AuthorizationV1<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { signed, chain_id } = *self;
        v1(f, chain_id, |f| authorization(f, &signed.authorization, &signed.signature.to_rsv()))
    }
}

/// As [`AuthorizationV1`], of v2; `accepted` is byte for byte the entry that it answers.
#[cfg(feature = "embedded-io")]
pub(crate) struct AuthorizationV2<'a> {
    pub(crate) signed: &'a SignedPayment,
    pub(crate) accepted: &'a str,
}

#[cfg(feature = "embedded-io")]
impl fmt::Display for AuthorizationV2<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { signed, accepted } = *self;
        let payload = |f: &mut fmt::Formatter<'_>| {
            authorization(f, &signed.authorization, &signed.signature.to_rsv())
        };
        v2(f, accepted, [], payload)
    }
}

impl SignedPayload<'_> {
    fn payload(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.transfer {
            Transfer::Eip3009(terms) => authorization(f, terms, self.signature),
            Transfer::Permit2(permit) => {
                let signature = Hex(self.signature);
                write!(f, r#"{{"signature":"{signature}","permit2Authorization":"#)?;
                permit_to_json(permit, f)?;
                f.write_char('}')
            }
        }
    }
}

fn authorization(f: &mut fmt::Formatter<'_>, a: &Authorization, signature: &[u8]) -> fmt::Result {
    write!(f, r#"{{"authorization":{{"from":"{}","to":"{}","#, a.from, a.to)?;
    write!(f, r#""value":"{}","validAfter":"{}","#, a.value, a.valid_after)?;
    write!(f, r#""validBefore":"{}","nonce":"{}"}},"#, a.valid_before, a.nonce)?;
    write!(f, r#""signature":"{}"}}"#, Hex(signature))
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
