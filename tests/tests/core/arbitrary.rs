//! What the property tests draw from: everything, and the edges more often than chance would.

use proptest::prelude::*;
use x402_core::secp256k1::K256Signer;
use x402_core::{
    Address, Amount, Asset, Authorization, ChainId, Nonce, Offer, Payment, Requirements, Signature,
    Signer as _, Timestamp, Transfer, TransferMethod,
};

/// So many cases, and no file written next to the tests.
pub(crate) fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

pub(crate) fn word() -> impl Strategy<Value = [u8; 32]> {
    let small = any::<u8>().prop_map(|byte| {
        let mut word = [0; 32];
        word[31] = byte;
        word
    });
    prop_oneof![8 => any::<[u8; 32]>(), 1 => small, 1 => Just([0xff; 32])]
}

pub(crate) fn address() -> impl Strategy<Value = Address> {
    any::<[u8; 20]>().prop_map(Address::new)
}

pub(crate) fn amount() -> impl Strategy<Value = Amount> {
    let everyday = any::<u64>().prop_map(|units| Amount::from_units(units.into()));
    prop_oneof![everyday, word().prop_map(Amount::from_be_bytes)]
}

/// What can be paid: not nothing.
pub(crate) fn price() -> impl Strategy<Value = Amount> {
    amount().prop_filter("nothing", |amount| *amount != Amount::ZERO)
}

pub(crate) fn timestamp() -> impl Strategy<Value = Timestamp> {
    let everyday = any::<u64>().prop_map(Timestamp::from_secs);
    prop_oneof![everyday, word().prop_map(Timestamp::from_be_bytes)]
}

pub(crate) fn nonce() -> impl Strategy<Value = Nonce> {
    word().prop_map(Nonce::new)
}

pub(crate) fn authorization() -> impl Strategy<Value = Authorization> {
    (address(), address(), amount(), timestamp(), timestamp(), nonce()).prop_map(
        |(from, to, value, valid_after, valid_before, nonce)| Authorization {
            from,
            to,
            value,
            valid_after,
            valid_before,
            nonce,
        },
    )
}

pub(crate) fn key() -> impl Strategy<Value = [u8; 32]> {
    word().prop_filter("not a key", |key| K256Signer::from_bytes(key).is_ok())
}

pub(crate) fn signer() -> impl Strategy<Value = K256Signer> {
    key().prop_map(|key| K256Signer::from_bytes(&key).unwrap())
}

/// A token of the table that is paid by EIP-3009.
pub(crate) fn asset() -> impl Strategy<Value = &'static Asset<'static>> {
    let assets: Vec<_> =
        Asset::all().filter(|asset| asset.transfer_method == TransferMethod::Eip3009).collect();
    proptest::sample::select(assets)
}

/// The time at which every payment here is checked.
pub(crate) const NOW: u64 = 1_790_000_000;

pub(crate) fn usdc() -> &'static Asset<'static> {
    Asset::find(ChainId::ETHEREUM, "USDC").unwrap()
}

pub(crate) fn payee() -> Address {
    Address::parse("0x209693Bc6afc0C5328bA36FaF03C514EF312287C").unwrap()
}

/// A cent of USDC on Ethereum.
pub(crate) fn offer() -> Offer<'static> {
    Offer::new(*usdc(), payee(), Amount::from_units(10_000), 60)
}

pub(crate) fn payer() -> K256Signer {
    K256Signer::from_bytes(&[0x42; 32]).unwrap()
}

/// What [`payer`] owes for an offer: valid at [`NOW`], with the nonce 12345.
pub(crate) fn owed(offer: &Offer<'_>) -> Authorization {
    let terms = offer.requirements();
    Authorization {
        from: payer().address(),
        to: terms.pay_to,
        value: terms.amount,
        valid_after: Timestamp::ZERO,
        valid_before: Timestamp::from_secs(NOW + 60),
        nonce: Nonce::parse("12345").unwrap(),
    }
}

pub(crate) fn sign(
    signer: &K256Signer,
    terms: &Requirements,
    authorization: &Authorization,
) -> Signature {
    let Ok(signature) = signer.sign(&authorization.digest(&terms.domain));
    signature
}

/// A payment of [`payer`] for these terms, rightly signed whatever it says.
pub(crate) fn payment(terms: &Requirements, authorization: Authorization) -> Payment {
    let signature = Ok(sign(&payer(), terms, &authorization));
    let transfer = Transfer::Eip3009(authorization);
    Payment { chain_id: terms.chain_id, asset: terms.asset, transfer, signature }
}

/// What was signed, to be changed.
pub(crate) fn signed(payment: &mut Payment) -> &mut Authorization {
    match &mut payment.transfer {
        Transfer::Eip3009(authorization) => authorization,
        other => panic!("{other:?}"),
    }
}
