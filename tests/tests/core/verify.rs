//! The order of the check, and its edges.

use proptest::prelude::*;
use x402_core::secp256k1::K256;
use x402_core::{
    Address, Amount, ChainId, Error, Moment, Payment, Requirements, SignatureError, Signer as _,
    Timestamp,
};

use crate::arbitrary::{NOW, cases, offer, owed, payer, payment, price, signed, signer, usdc};

fn check(terms: &Requirements, payment: &Payment) -> Result<(), Error> {
    terms.check(payment, &Moment::at(NOW), &K256).map(|_| ())
}

/// A good payment for [`offer`], with `change` made to what was signed.
fn signed_with(change: impl Fn(&mut x402_core::Authorization)) -> Payment {
    let offer = offer();
    let mut authorization = owed(&offer);
    change(&mut authorization);
    payment(offer.requirements(), authorization)
}

/// What can be wrong, in the order in which it is found.
const FAULTS: [(Error, fn(&mut Payment)); 8] = [
    (Error::Network, |payment| payment.chain_id = ChainId::BASE),
    (Error::Asset, |payment| payment.asset = Address::new([1; 20])),
    (Error::Recipient, |payment| signed(payment).to = Address::new([2; 20])),
    (Error::Amount, |payment| signed(payment).value = Amount::from_units(9_999)),
    (Error::NotYetValid, |payment| signed(payment).valid_after = Timestamp::from_secs(NOW)),
    (Error::Expired, |payment| signed(payment).valid_before = Timestamp::from_secs(NOW)),
    (Error::Signature(SignatureError::HighS), |payment| {
        payment.signature = Err(SignatureError::HighS);
    }),
    (Error::Signer, |payment| signed(payment).from = Address::new([3; 20])),
];

#[test]
fn of_many_faults_the_first_is_named() {
    let offer = offer();
    for faults in 0_u32..1 << FAULTS.len() {
        let mut payment = payment(offer.requirements(), owed(&offer));
        let present = || FAULTS.iter().enumerate().filter(|(at, _)| faults >> at & 1 == 1);
        for (_, (_, make)) in present() {
            make(&mut payment);
        }
        let first = present().next().map(|(_, (error, _))| *error);
        assert_eq!(check(offer.requirements(), &payment).err(), first, "{faults:08b}");
    }
}

#[test]
fn nothing_is_taken_that_moves_nothing_to_anybody() {
    let mut offer = offer();
    let nothing = x402_core::Offer::new(*usdc(), offer.requirements().pay_to, Amount::ZERO, 60);
    let free = payment(nothing.requirements(), owed(&nothing));
    assert_eq!(check(nothing.requirements(), &free), Err(Error::Zero));
    let unpaid = signed_with(|a| a.value = Amount::ZERO);
    assert_eq!(check(offer.requirements(), &unpaid), Err(Error::Amount));
    for payee in [payer().address(), usdc().address, Address::ZERO] {
        offer = x402_core::Offer::new(*usdc(), payee, Amount::from_units(10_000), 60);
        let paid = payment(offer.requirements(), owed(&offer));
        assert_eq!(check(offer.requirements(), &paid), Err(Error::Payee), "{payee}");
        // Whoever took it in an earlier version still finds it.
        assert!(offer.requirements().identify(&paid, &K256).is_ok());
    }
}

#[test]
fn valid_before_leaves_the_margin() {
    let before = |time| check(offer().requirements(), &signed_with(|a| a.valid_before = time));
    for (time, is_good) in [(0, false), (NOW, false), (NOW + 5, false), (NOW + 6, true)] {
        let error = (!is_good).then_some(Error::Expired);
        assert_eq!(before(Timestamp::from_secs(time)).err(), error, "{time}");
    }
    assert_eq!(before(Timestamp::from_secs(u64::MAX)), Ok(()));
    assert_eq!(before(Timestamp::parse("18446744073709551616").unwrap()), Ok(()));
    assert_eq!(before(Timestamp::MAX), Ok(()));
}

#[test]
fn valid_after_is_past() {
    let after = |time| check(offer().requirements(), &signed_with(|a| a.valid_after = time));
    for (time, is_good) in [(0, true), (NOW - 1, true), (NOW, false), (NOW + 1, false)] {
        let error = (!is_good).then_some(Error::NotYetValid);
        assert_eq!(after(Timestamp::from_secs(time)).err(), error, "{time}");
    }
    assert_eq!(after(Timestamp::MAX), Err(Error::NotYetValid));
    assert_eq!(after(Timestamp::parse("18446744073709551616").unwrap()), Err(Error::NotYetValid));
}

#[test]
fn the_margin_is_the_callers() {
    let offer = offer();
    let payment = signed_with(|a| a.valid_before = Timestamp::from_secs(NOW + 30));
    let check = |now, margin_seconds| {
        let moment = Moment { now, margin_seconds };
        offer.requirements().check(&payment, &moment, &K256).map(|_| ())
    };
    let now = Timestamp::from_secs(NOW);
    assert_eq!(check(now, 0), Ok(()));
    assert_eq!(check(now, 30), Ok(()));
    assert_eq!(check(now, 31), Err(Error::Expired));
    assert_eq!(check(now, u32::MAX), Err(Error::Expired));
    // At the end of time there is no time left, and no overflow.
    assert_eq!(check(Timestamp::MAX, 1), Err(Error::Expired));
}

#[test]
fn the_domain_is_the_sellers() {
    let signed = signed_with(|_| {});
    let mut terms = *offer().requirements();
    assert_eq!(check(&terms, &signed), Ok(()));
    let mut domain = usdc().domain();
    domain.name = "USDC";
    terms.domain = domain.separator();
    assert_eq!(check(&terms, &signed), Err(Error::Signer));
}

#[test]
fn nobody_signs_for_the_zero_address() {
    let zero = |_: &x402_core::Digest, _: &x402_core::Signature| Ok(Address::ZERO);
    let mut payment = signed_with(|_| {});
    signed(&mut payment).from = Address::ZERO;
    let error = offer().requirements().check(&payment, &Moment::at(NOW), &Fixed(zero));
    assert_eq!(error.map(|_| ()), Err(Error::Signer));
}

/// Recovers by a function.
struct Fixed<F>(F);

impl<F> x402_core::Recover for Fixed<F>
where
    F: Fn(&x402_core::Digest, &x402_core::Signature) -> Result<Address, SignatureError>,
{
    fn recover(
        &self,
        digest: &x402_core::Digest,
        signature: &x402_core::Signature,
    ) -> Result<Address, SignatureError> {
        (self.0)(digest, signature)
    }
}

#[test]
fn identifying_ignores_amount_and_time_only() {
    let offer = offer();
    let identify = |payment: &Payment| offer.requirements().identify(payment, &K256);
    let good = signed_with(|_| {});
    let id = identify(&good).unwrap();
    assert_eq!(id, offer.requirements().check(&good, &Moment::at(NOW), &K256).unwrap().id());
    let old = signed_with(|a| {
        a.value = Amount::from_units(1);
        a.valid_before = Timestamp::ZERO;
    });
    assert_eq!(identify(&old), Ok(id));
    for (error, make) in FAULTS {
        let mut payment = signed_with(|_| {});
        make(&mut payment);
        let expected = match error {
            // The change is not in what was signed.
            Error::Amount | Error::NotYetValid | Error::Expired => Error::Signer,
            other => other,
        };
        assert_eq!(identify(&payment), Err(expected));
    }
}

proptest! {
    #![proptest_config(cases(128))]

    #[test]
    fn only_the_price_is_the_price(price in price(), paid in price()) {
        let offer = x402_core::Offer::new(*usdc(), offer().requirements().pay_to, price, 60);
        let mut authorization = owed(&offer);
        prop_assert_eq!(check(offer.requirements(), &payment(offer.requirements(), authorization)), Ok(()));
        authorization.value = paid;
        let expected = if paid == price { Ok(()) } else { Err(Error::Amount) };
        prop_assert_eq!(check(offer.requirements(), &payment(offer.requirements(), authorization)), expected);
    }

    #[test]
    fn only_the_payer_signs_for_the_payer(signer in signer()) {
        let offer = offer();
        let authorization = owed(&offer);
        let mut stolen = payment(offer.requirements(), authorization);
        stolen.signature = Ok(crate::arbitrary::sign(&signer, offer.requirements(), &authorization));
        prop_assert_eq!(check(offer.requirements(), &stolen), Err(Error::Signer));
    }
}
