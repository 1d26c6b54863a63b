use core::fmt::{self, Write as _};

use super::json::Quoted;
use super::{PaymentFlow, Version};
use crate::plain::{Decimal, Plain};
use crate::{ChainId, Offer, Scheme, TransferMethod};

/// What a 402 says of the thing that is sold.
#[derive(Clone, Copy, Debug, Default)]
pub struct Resource<'a> {
    /// Its URL, as the client asked for it.
    pub url: &'a str,
    /// What it is, in the seller's words; may be empty.
    pub description: &'a str,
    /// The media type of the answer; may be empty.
    pub mime_type: &'a str,
}

/// The terms of a 402, in both versions.
///
/// Both are written by [`fmt::Display`]: [`emitted_len`](super::json::emitted_len) says beforehand
/// how long they get. Members come in the order of the official SDK.
#[derive(Clone, Copy, Debug)]
pub struct Challenge<'a> {
    /// Why it is a 402: `Payment required`, or the reason why a payment was refused.
    pub error: &'a str,
    /// What is sold.
    pub resource: Resource<'a>,
    /// Every way to pay for it.
    pub offers: &'a [Offer<'a>],
    /// v2: what the seller has signed of each offer, in their order, to be echoed with the payment:
    /// `extra.quote`. There may be fewer than offers, or none.
    pub quotes: &'a [&'a str],
    /// When the money moves.
    pub flow: PaymentFlow,
    /// v2: the member `extensions`, a JSON object; empty for none.
    pub extensions: &'a str,
    /// v1: the member `outputSchema` of each requirement, a JSON object; empty for none.
    pub output_schema: &'a str,
}

impl Challenge<'_> {
    /// The JSON of v2: the content of `PAYMENT-REQUIRED`.
    #[must_use]
    pub const fn v2(&self) -> impl fmt::Display {
        V2(self)
    }

    /// The members of v1, without the braces around them: other members may stand beside them.
    ///
    /// v1 knows networks by name and `exact` by EIP-3009: only offers of that kind are listed.
    #[must_use]
    pub const fn v1_members(&self) -> impl fmt::Display {
        V1Members(self)
    }
}

struct V2<'c>(&'c Challenge<'c>);

impl fmt::Display for V2<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Challenge { error, resource, offers, quotes, flow, extensions, .. } = *self.0;
        let error = Quoted(error);
        write!(f, r#"{{"x402Version":2,"error":{error},"resource":{resource},"accepts":["#)?;
        for (index, offer) in offers.iter().enumerate() {
            separate(f, index)?;
            let quote = quotes.get(index).copied().unwrap_or_default();
            Requirements { offer, quote, flow }.fmt(f)?;
        }
        f.write_char(']')?;
        if !extensions.is_empty() {
            write!(f, r#","extensions":{}"#, Plain(extensions))?;
        }
        f.write_char('}')
    }
}

struct V1Members<'c>(&'c Challenge<'c>);

impl fmt::Display for V1Members<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let challenge = self.0;
        write!(f, r#""x402Version":1,"error":{},"accepts":["#, Quoted(challenge.error))?;
        let offers = challenge.offers.iter();
        let listed = offers.filter_map(|offer| Some((offer, v1_name(offer)?)));
        for (index, (offer, network)) in listed.enumerate() {
            separate(f, index)?;
            v1_requirements(f, challenge, offer, network)?;
        }
        f.write_char(']')
    }
}

/// The offer's network as v1 knows it, if v1 has a way to pay it.
fn v1_name(offer: &Offer<'_>) -> Option<&'static str> {
    let terms = offer.requirements();
    let is_known = terms.scheme == Scheme::Exact(TransferMethod::Eip3009);
    is_known.then(|| terms.chain_id.name()).flatten()
}

fn v1_requirements(
    f: &mut fmt::Formatter<'_>,
    challenge: &Challenge<'_>,
    offer: &Offer<'_>,
    network: &str,
) -> fmt::Result {
    let (asset, terms) = (offer.asset(), offer.requirements());
    let Resource { url, description, mime_type } = challenge.resource;
    let network = Plain(network);
    write!(
        f,
        r#"{{"scheme":"exact","network":"{network}","maxAmountRequired":"{}","#,
        terms.amount
    )?;
    write!(
        f,
        r#""resource":{},"description":{},"mimeType":{},"#,
        Quoted(url),
        Quoted(description),
        Quoted(mime_type)
    )?;
    let timeout = Decimal(terms.max_timeout_seconds.into());
    write!(
        f,
        r#""payTo":"{}","maxTimeoutSeconds":{timeout},"asset":"{}","#,
        terms.pay_to, terms.asset
    )?;
    if !challenge.output_schema.is_empty() {
        write!(f, r#""outputSchema":{},"#, Plain(challenge.output_schema))?;
    }
    let (name, version) = (Quoted(asset.name), Quoted(asset.version));
    write!(f, r#""extra":{{"name":{name},"version":{version}}}}}"#)
}

/// One offer as the payment requirements of v2: an entry of `accepts`, or what a facilitator is asked
/// with.
#[derive(Clone, Copy, Debug)]
pub struct Requirements<'a> {
    /// The offer.
    pub offer: &'a Offer<'a>,
    /// What the seller has signed of it; empty for nothing.
    pub quote: &'a str,
    /// When the money moves.
    pub flow: PaymentFlow,
}

impl fmt::Display for Requirements<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let terms = self.offer.requirements();
        let (scheme, network) = (Plain(terms.scheme.name()), terms.chain_id);
        write!(f, r#"{{"scheme":"{scheme}","network":"{network}","amount":"{}","#, terms.amount)?;
        write!(f, r#""asset":"{}","payTo":"{}","#, terms.asset, terms.pay_to)?;
        let timeout = Decimal(terms.max_timeout_seconds.into());
        write!(f, r#""maxTimeoutSeconds":{timeout},"extra":"#)?;
        self.extra(f)?;
        f.write_char('}')
    }
}

impl Requirements<'_> {
    fn extra(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (asset, terms) = (self.offer.asset(), self.offer.requirements());
        let (name, version) = (Quoted(asset.name), Quoted(asset.version));
        write!(f, r#"{{"name":{name},"version":{version}"#)?;
        match terms.scheme {
            // The default, which goes without saying.
            Scheme::Exact(TransferMethod::Eip3009) => {}
            Scheme::Exact(TransferMethod::Permit2) => {
                f.write_str(r#","assetTransferMethod":"permit2""#)?;
            }
            Scheme::Upto { facilitator } => write!(
                f,
                r#","assetTransferMethod":"permit2","facilitatorAddress":"{facilitator}""#
            )?,
        }
        if !self.quote.is_empty() {
            write!(f, r#","quote":{}"#, Quoted(self.quote))?;
        }
        // How much of a ceiling is taken is known afterwards.
        if self.flow == PaymentFlow::Upfront && !matches!(terms.scheme, Scheme::Upto { .. }) {
            f.write_str(r#","paymentFlow":"upfront""#)?;
        }
        f.write_char('}')
    }
}

/// A network in a version's spelling; v1 has no other than CAIP-2 for what has no name.
#[derive(Clone, Copy, Debug)]
pub struct Network(pub Version, pub ChainId);

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0, self.1.name()) {
            (Version::V1, Some(name)) => f.write_str(name),
            _ => self.1.fmt(f),
        }
    }
}

impl fmt::Display for Resource<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { url, description, mime_type } = *self;
        let (url, description, mime_type) = (Quoted(url), Quoted(description), Quoted(mime_type));
        write!(f, r#"{{"url":{url},"description":{description},"mimeType":{mime_type}}}"#)
    }
}

fn separate(f: &mut fmt::Formatter<'_>, index: usize) -> fmt::Result {
    if index == 0 { Ok(()) } else { f.write_char(',') }
}
