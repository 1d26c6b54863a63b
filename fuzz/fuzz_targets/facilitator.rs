//! What a facilitator is asked with and answers: read and written again it is the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use x402_core::wire::{PaymentFlow, Version};
use x402_core::{Claim, Moment};
use x402_fuzz::shop::{NOW, OFFERS, Word};
use x402_std::facilitator::{Request, SettleAnswer, Supported, VerifyAnswer};

fuzz_target!(|data: &[u8]| {
    check_request(data);
    check_answers(data);
});

fn check_request(data: &[u8]) {
    let Ok(request) = Request::parse(data.to_vec()) else { return };
    assert_eq!(request.as_bytes(), data);
    let view = request.view().expect("it was read");
    assert_eq!(view.payload.version, view.requirements.version);
    for offer in OFFERS.iter() {
        let terms = offer.requirements();
        let Ok(payment) = view.payload.payment(terms.asset) else { return };
        let word = Word(Some(payment.transfer.from()));
        let Ok(checked) = terms.check(&payment, &Moment::at(NOW), &word) else { continue };
        let claim = Claim::recorded(checked.id());
        let claimed = checked.claimed(claim).expect("the claim is for it");
        // What we ask a facilitator of somebody else's with is this payment on these terms.
        let asked = Request::of(&claimed, &[], offer, PaymentFlow::Authorization);
        let view = asked.view().expect("we wrote it");
        let again = view.payload.payment(terms.asset).expect("we wrote it");
        assert_eq!((again.transfer, again.signature), (payment.transfer, payment.signature));
        assert_eq!((again.chain_id, again.asset), (payment.chain_id, payment.asset));
        assert_eq!(view.requirements.amount(), Some(terms.amount));
        assert_eq!(view.requirements.scheme(), Some(terms.scheme));
        assert_eq!(view.requirements.pay_to(), Some(terms.pay_to));
    }
}

/// Some members are only written where they count: what was written once is written again.
fn check_answers(data: &[u8]) {
    if let Ok(answer) = VerifyAnswer::parse(data) {
        let written = answer.to_json();
        let again = VerifyAnswer::parse(written.as_bytes()).expect("we wrote it");
        assert_eq!((&again.reason, again.payer), (&answer.reason, answer.payer));
        assert_eq!(again.to_json(), written);
    }
    for version in [Version::V1, Version::V2] {
        let Ok(answer) = SettleAnswer::parse(data, version) else { continue };
        let written = answer.to_json();
        let again = SettleAnswer::parse(written.as_bytes(), version).expect("we wrote it");
        assert_eq!((&again.reason, again.payer), (&answer.reason, answer.payer));
        assert_eq!((again.transaction, again.amount), (answer.transaction, answer.amount));
        assert_eq!(again.chain_id, answer.chain_id);
        assert_eq!(again.to_json(), written);
    }
    if let Ok(supported) = Supported::parse(data) {
        let written = supported.to_json();
        let again = Supported::parse(written.as_bytes()).expect("we wrote it");
        assert_eq!(again.to_json(), written);
    }
}
