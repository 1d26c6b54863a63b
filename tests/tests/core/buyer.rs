//! What a buyer pays, and what not.

use proptest::prelude::*;
use x402_core::buyer::{Policy, PolicyError, Unsigned};
use x402_core::headers::{PaymentHeaders, SignatureForm};
use x402_core::secp256k1::K256;
use x402_core::{
    Address, Amount, Asset, ChainId, Moment, Nonce, Offer, Price, Signature, Signer as _,
    Timestamp, Transfer, TransferMethod,
};

use crate::arbitrary::{NOW, amount, cases, nonce, offer, payee, payer, signer, usdc};

fn up_to(max: &str) -> Policy<'static> {
    Policy::up_to(Price::parse(max).unwrap())
}

#[test]
fn pays_up_to_the_cap_and_not_an_atomic_unit_more() {
    for (max, is_enough) in [
        ("0.01", true),
        ("0.010000", true),
        ("0.0100009", true),
        ("1000000", true),
        ("0.009999", false),
        ("0.0099999999", false),
        ("0", false),
    ] {
        let expected = if is_enough { Ok(()) } else { Err(PolicyError::Amount) };
        assert_eq!(up_to(max).admit(&offer()), expected, "{max}");
    }
    let dearer = Offer::new(*usdc(), payee(), Amount::from_units(10_001), 60);
    assert_eq!(up_to("0.0100009").admit(&dearer), Err(PolicyError::Amount));
    assert_eq!(up_to("0.010001").admit(&dearer), Ok(()));
}

#[test]
fn a_cap_that_no_amount_can_hold_admits_nothing() {
    let max = "9".repeat(77);
    assert_eq!(up_to(&max).admit(&offer()), Err(PolicyError::Amount));
    let mut asset = *usdc();
    asset.decimals = 78;
    let offer = Offer::new(asset, payee(), Amount::ZERO, 60);
    assert_eq!(up_to("1").admit(&offer), Err(PolicyError::Amount));
}

#[test]
fn pays_only_what_is_pinned() {
    let admit = |policy: Policy<'_>| policy.admit(&offer());
    let open = up_to("1");
    let address = usdc().address.to_string();
    for asset in ["USDC", &address] {
        assert_eq!(admit(Policy { asset: Some(asset), ..open }), Ok(()));
    }
    assert_eq!(admit(Policy { asset: Some("EURC"), ..open }), Err(PolicyError::Asset));
    assert_eq!(admit(Policy { network: Some(ChainId::ETHEREUM), ..open }), Ok(()));
    assert_eq!(admit(Policy { network: Some(ChainId::BASE), ..open }), Err(PolicyError::Network));
    assert_eq!(admit(Policy { recipient: Some(payee()), ..open }), Ok(()));
    let other = Some(usdc().address);
    assert_eq!(admit(Policy { recipient: other, ..open }), Err(PolicyError::Recipient));
}

#[test]
fn pays_nobody_who_is_no_seller() {
    let (now, nonce, from) = (Timestamp::from_secs(NOW), Nonce::new([1; 32]), payer().address());
    let to = |pay_to| Offer::new(*usdc(), pay_to, Amount::from_units(1), 60);
    for nobody in [Address::ZERO, usdc().address] {
        assert_eq!(up_to("1").admit(&to(nobody)), Err(PolicyError::Payee));
        // A pin on it changes nothing.
        let pinned = Policy { recipient: Some(nobody), ..up_to("1") };
        assert_eq!(pinned.admit(&to(nobody)), Err(PolicyError::Payee));
        for offer in [to(nobody), to(nobody).by_permit2()] {
            let unsigned = Unsigned::new(&offer, &up_to("1"), from, nonce, now);
            assert_eq!(unsigned.map(|_| ()), Err(PolicyError::Payee));
        }
    }
    let unsigned = Unsigned::new(&to(from), &up_to("1"), from, nonce, now);
    assert_eq!(unsigned.map(|_| ()), Err(PolicyError::Payee));
    let unsigned = Unsigned::new(&to(payee()), &up_to("1"), from, nonce, now).unwrap();
    assert_eq!((unsigned.transfer().from(), unsigned.transfer().to()), (from, payee()));
}

#[test]
fn pays_with_what_it_can_sign_for() {
    let now = Timestamp::from_secs(NOW);
    for asset in Asset::all() {
        let offer = Offer::new(*asset, payee(), Amount::from_units(1), 60);
        assert_eq!(up_to("1").admit(&offer), Ok(()), "{asset:?}");
        let unsigned =
            Unsigned::new(&offer, &up_to("1"), payer().address(), Nonce::new([1; 32]), now);
        let signed = unsigned.unwrap().sign(Signature::from_parts([1; 32], [1; 32], true).unwrap());
        assert_eq!(signed.transfer.method(), asset.transfer_method);
        // The header dialect has authorizations of EIP-3009 only.
        let is_by_token = asset.transfer_method == TransferMethod::Eip3009;
        assert_eq!(signed.headers().is_some(), is_by_token);
    }
}

#[test]
fn signs_nothing_that_it_would_not_pay() {
    let policy = up_to("0.009");
    let (from, nonce) = (payer().address(), Nonce::new([1; 32]));
    let unsigned = Unsigned::new(&offer(), &policy, from, nonce, Timestamp::from_secs(NOW));
    assert_eq!(unsigned.map(|_| ()), Err(PolicyError::Amount));
}

proptest! {
    #![proptest_config(cases(64))]

    #[test]
    fn what_a_buyer_signs_the_seller_accepts(
        signer in signer(), nonce in nonce(), units in 0_u64..1_000_000, asked in 6_u32..,
        allowed in 6_u32..,
    ) {
        let offer = Offer::new(*usdc(), payee(), Amount::from_units(units.into()), asked);
        let policy = Policy { max_timeout_seconds: allowed, ..up_to("1") };
        let now = Timestamp::from_secs(NOW);
        let unsigned = Unsigned::new(&offer, &policy, signer.address(), nonce, now).unwrap();
        let Ok(signature) = signer.sign(unsigned.digest());
        let payment = unsigned.sign(signature).headers().unwrap();
        let timeout = u64::from(asked.min(allowed));
        prop_assert_eq!(payment.authorization.valid_before, now.saturating_add(timeout));
        prop_assert_eq!(payment.authorization.valid_after, Timestamp::ZERO);

        let mut fields = Vec::new();
        payment.emit(usdc(), SignatureForm::Packed, |field, value| {
            fields.push((field.name(), value.as_bytes().to_vec()));
        });
        let headers = fields.iter().map(|(name, value)| (name, &value[..]));
        let headers = PaymentHeaders::collect(headers).unwrap().unwrap();
        let sent = headers.resolve(&offer).unwrap();
        let checked = offer.requirements().check(&sent, &Moment::at(NOW), &K256).unwrap();
        prop_assert_eq!(checked.payer(), signer.address());
        prop_assert_eq!(*checked.transfer(), Transfer::Eip3009(payment.authorization));
    }

    #[test]
    fn never_more_than_the_cap(max in amount(), price in amount(), decimals in 0_u8..=77) {
        let mut asset = *usdc();
        asset.decimals = decimals;
        let offer = Offer::new(asset, payee(), price, 60);
        let policy = Policy::up_to(max.to_price(decimals));
        prop_assert_eq!(policy.admit(&offer).is_ok(), price <= max);
    }
}
