//! What is sold, and when: the terms that the corpora were made for.

use std::sync::LazyLock;

use x402_core::{Address, Amount, Asset, ChainId, Digest, Moment, Offer, Recover, Signature};
use x402_core::{Error, Payment, Requirements, Scheme, SignatureError, Timestamp, Transfer};

/// The clock of `tests/vectors/sdk.json`.
pub const NOW: u64 = 1_790_000_000;

pub static OFFERS: LazyLock<[Offer<'static>; 5]> = LazyLock::new(|| {
    let pay_to = Address::parse("0x209693Bc6afc0C5328bA36FaF03C514EF312287C").unwrap();
    let offer = |chain_id, symbol, units| {
        let asset = Asset::find(chain_id, symbol).unwrap();
        Offer::new(*asset, pay_to, Amount::from_units(units), 60)
    };
    let sepolia = offer(ChainId::BASE_SEPOLIA, "USDC", 10_000);
    [
        offer(ChainId::ETHEREUM, "USDC", 10_000),
        offer(ChainId::new(10), "USDC", 10_000),
        sepolia,
        sepolia.by_permit2(),
        sepolia.up_to(Address::parse("0x70997970C51812dc3A010C7d01b50e0d17dc79C8").unwrap()),
    ]
});

/// Says of every signature that this account made it, if it says so of any: what a fuzzer cannot
/// find is a signature.
#[derive(Clone, Copy, Debug)]
pub struct Word(pub Option<Address>);

impl Recover for Word {
    fn recover(&self, _: &Digest, _: &Signature) -> Result<Address, SignatureError> {
        self.0.ok_or(SignatureError::Unrecoverable)
    }
}

/// What is to come of a check, written down once more and in another way: each rule by itself, the
/// first that is broken counts.
pub fn verdict(
    terms: &Requirements,
    payment: &Payment,
    moment: &Moment,
    word: Word,
) -> Result<(), Error> {
    let transfer = &payment.transfer;
    let is_permit = matches!(transfer, Transfer::Permit2(_));
    let is_scheme = match terms.scheme {
        Scheme::Exact(method) => transfer.method() == method && transfer.facilitator().is_none(),
        Scheme::Upto { .. } => is_permit && transfer.facilitator().is_some(),
    };
    let facilitator = match terms.scheme {
        Scheme::Exact(_) => None,
        Scheme::Upto { facilitator } => Some(facilitator),
    };
    let now = crate::paper::seconds(moment.now);
    let after = crate::paper::seconds(transfer.valid_after());
    let before = crate::paper::seconds(transfer.valid_before());
    let is_begun = if is_permit { after <= now } else { after < now };
    // No time is later than the last there is.
    let end = (now + moment.margin_seconds).min(crate::paper::seconds(Timestamp::MAX));
    let signer = payment.signature.map(|_| word.0);
    let rules = [
        (payment.chain_id == terms.chain_id, Error::Network),
        (is_scheme, Error::Scheme),
        (payment.asset == terms.asset, Error::Asset),
        (transfer.to() == terms.pay_to, Error::Recipient),
        (transfer.facilitator() == facilitator, Error::Facilitator),
        (transfer.value() == terms.amount, Error::Amount),
        (is_begun, Error::NotYetValid),
        (before >= end, Error::Expired),
    ];
    if let Some((_, error)) = rules.into_iter().find(|(is_kept, _)| !is_kept) {
        return Err(error);
    }
    match signer {
        Err(error) => Err(Error::Signature(error)),
        Ok(None) => Err(Error::Signature(SignatureError::Unrecoverable)),
        Ok(Some(signer)) if signer == transfer.from() && signer != Address::ZERO => Ok(()),
        Ok(Some(_)) => Err(Error::Signer),
    }
}
