use core::fmt::Write as _;

use x402_core::Address;
use x402_core::wire::json::{self, Object, Quoted, Value};
use x402_core::wire::{Version, WireError};

use super::message::owned;

/// The answer to `/supported`: what a facilitator can settle.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Supported {
    /// The kinds of payment.
    pub kinds: Vec<SupportedKind>,
    /// The extensions.
    pub extensions: Vec<String>,
    /// The accounts that send the transactions, by pattern of networks: `eip155:*`.
    pub signers: Vec<(String, Vec<String>)>,
}

/// One kind of payment that can be settled.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SupportedKind {
    /// The protocol version, a number: a facilitator may know more of them than we do.
    pub version: u32,
    /// The scheme's name.
    pub scheme: String,
    /// The network.
    pub network: String,
    /// `upto`: the account that the payer has to name.
    pub facilitator: Option<Address>,
}

impl Supported {
    /// Reads the body of an answer. `extensions` and `signers` may be missing.
    ///
    /// # Errors
    ///
    /// [`WireError`] where it is none.
    pub fn parse(json: &[u8]) -> Result<Self, WireError> {
        let object = json::parse(json)?.as_object().ok_or(WireError::Shape)?;
        let kinds = object.get("kinds").and_then(Value::as_array).ok_or(WireError::Shape)?;
        let extensions = object.get("extensions").and_then(Value::as_array);
        let signers = object.get("signers").and_then(Value::as_object);
        Ok(Self {
            kinds: kinds.iter().map(kind).collect::<Option<_>>().ok_or(WireError::Shape)?,
            extensions: extensions.map(texts).unwrap_or_default(),
            signers: signers
                .map(|signers| signers.iter().map(signer).collect())
                .unwrap_or_default(),
        })
    }

    /// The kind of that version, scheme and network.
    #[must_use]
    pub fn find(&self, version: Version, scheme: &str, network: &str) -> Option<&SupportedKind> {
        let number = u32::from(version.number());
        self.kinds
            .iter()
            .find(|kind| kind.version == number && kind.scheme == scheme && kind.network == network)
    }

    /// The body of an answer.
    #[must_use]
    pub fn to_json(&self) -> String {
        let kinds: Vec<_> = self.kinds.iter().map(SupportedKind::to_json).collect();
        let extensions: Vec<_> = self.extensions.iter().map(|name| quoted(name)).collect();
        let signers = self.signers.iter().map(|(network, accounts)| {
            let accounts: Vec<_> = accounts.iter().map(|account| quoted(account)).collect();
            format!("{}:[{}]", Quoted(network), accounts.join(","))
        });
        format!(
            r#"{{"kinds":[{}],"extensions":[{}],"signers":{{{}}}}}"#,
            kinds.join(","),
            extensions.join(","),
            signers.collect::<Vec<_>>().join(",")
        )
    }
}

impl SupportedKind {
    fn to_json(&self) -> String {
        let (scheme, network) = (Quoted(&self.scheme), Quoted(&self.network));
        let mut json =
            format!(r#"{{"x402Version":{},"scheme":{scheme},"network":{network}"#, self.version);
        if let Some(facilitator) = self.facilitator {
            // A String takes everything.
            let _ = write!(json, r#","extra":{{"facilitatorAddress":"{facilitator}"}}"#);
        }
        json.push('}');
        json
    }
}

fn quoted(text: &str) -> String {
    Quoted(text).to_string()
}

fn kind(value: Value<'_>) -> Option<SupportedKind> {
    let object = value.as_object()?;
    let text = |key| object.get(key)?.as_text().map(owned);
    Some(SupportedKind {
        version: object.get("x402Version")?.as_number()?.parse().ok()?,
        scheme: text("scheme")?,
        network: text("network")?,
        facilitator: object.get("extra").and_then(Value::as_object).and_then(facilitator),
    })
}

fn facilitator(extra: Object<'_>) -> Option<Address> {
    Address::parse(extra.get("facilitatorAddress")?.as_text()?.plain()?).ok()
}

fn texts(array: json::Array<'_>) -> Vec<String> {
    array.iter().filter_map(|value| value.as_text().map(owned)).collect()
}

fn signer((network, accounts): (json::Text<'_>, Value<'_>)) -> (String, Vec<String>) {
    (owned(network), accounts.as_array().map(texts).unwrap_or_default())
}
