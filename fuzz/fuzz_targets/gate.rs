//! The whole gate: from the bytes of a request, in any dialect, to the call that moves the money.
//!
//! A fuzzer finds no signatures, so this target's [`Word`] says who signed.
#![no_main]

use libfuzzer_sys::fuzz_target;
use x402_core::head::RequestHead;
use x402_core::headers::PaymentHeaders;
use x402_core::settlement::{AUTHORIZATION_USED_TOPIC, Log, Receipt, Submitter, TRANSFER_TOPIC};
use x402_core::wire::{PaymentPayload, base64};
use x402_core::{
    Address, Amount, Checked, Claim, Claimed, Moment, Nonce, Offer, Payment, PaymentId,
};
use x402_core::{LogOrder, Timestamp, Transfer};
use x402_fuzz::shop::{NOW, OFFERS, Word, verdict};
use x402_fuzz::{Cut, evm};

// The first bytes say when it is and who is said to have signed; the rest is the request.
fuzz_target!(|data: &[u8]| {
    let mut cut = Cut(data);
    let (later, word, share) = (cut.byte(), cut.byte(), cut.byte());
    let Ok(Some(head)) = RequestHead::<32>::parse(cut.0) else { return };
    let now = Timestamp::from_secs((NOW - 60).saturating_add(later.into()));
    let moment = Moment { now, margin_seconds: u32::from(word >> 2) };
    let field = |wanted: &str| {
        let mut fields = head.fields().filter(|(name, _)| name.eq_ignore_ascii_case(wanted));
        fields.next().map(|(_, value)| value)
    };
    for offer in OFFERS.iter() {
        let plain = PaymentHeaders::collect(head.fields()).ok().flatten();
        let plain = plain.and_then(|payment| payment.resolve(offer).ok());
        let by_wire = [field("X-PAYMENT"), field("PAYMENT-SIGNATURE")];
        let by_wire = by_wire.into_iter().flatten().filter_map(|value| decode(value, offer));
        for payment in plain.into_iter().chain(by_wire) {
            let word = Word(match word % 4 {
                0 => None,
                1 => Some(Address::new([word; 20])),
                _ => Some(payment.transfer.from()),
            });
            check(offer, &payment, &moment, word, share);
        }
    }
});

fn decode(value: &[u8], offer: &Offer<'_>) -> Option<Payment> {
    let mut json = vec![0; base64::decoded_room(value.len())];
    let payload = PaymentPayload::parse(base64::decode(value, &mut json).ok()?).ok()?;
    payload.payment(offer.requirements().asset).ok()
}

fn check(offer: &Offer<'_>, payment: &Payment, moment: &Moment, word: Word, share: u8) {
    let terms = offer.requirements();
    let checked = terms.check(payment, moment, &word);
    assert_eq!(checked.map(|_| ()), verdict(terms, payment, moment, word));
    match checked {
        Ok(checked) => {
            assert_eq!(terms.identify(payment, &word), Ok(checked.id()));
            check_claim(checked, payment, share);
        }
        Err(error) => {
            assert!(!error.to_string().is_empty());
            assert!(error.code().as_str().starts_with("402"));
        }
    }
    // A contract's signature is judged elsewhere, by the same terms.
    let proof = [share; 70];
    if let Ok(checked) = terms.check_wallet(payment, &proof, moment) {
        let claimed = claim(checked);
        let mut out = vec![0; Claimed::calldata_len(proof.len())];
        let theirs = evm::calldata_with_bytes(&payment.transfer, terms.amount, &proof);
        assert_eq!(claimed.calldata(&proof, &mut out), Some(theirs.as_slice()));
        assert_eq!(claimed.calldata(&proof[1..], &mut out), None);
    }
}

fn claim(checked: Checked) -> Claimed {
    let claim = Claim::recorded(checked.id());
    checked.claimed(claim).expect("the claim is for it")
}

fn check_claim(checked: Checked, payment: &Payment, share: u8) {
    let id = checked.id();
    assert_eq!(PaymentId::from_bytes(&id.to_bytes()), id);
    let other = PaymentId { nonce: Nonce::new(id.from.to_word()), ..id };
    assert_eq!(checked.claimed(Claim::recorded(other)).is_ok(), other == id);

    let signed = payment.transfer.value();
    let part = Amount::from_units(u128::from(share) * 100);
    let is_upto = payment.transfer.facilitator().is_some();
    let taken = checked.of_amount(part);
    assert_eq!(taken.is_ok(), if is_upto { part <= signed } else { part == signed });
    check_settlement(claim(checked), payment, signed);
    if let Ok(taken) = taken {
        check_settlement(claim(taken), payment, part);
    }
}

fn check_settlement(claimed: Claimed, payment: &Payment, amount: Amount) {
    assert_eq!(claimed.amount(), amount);
    assert_eq!(Claimed::from_bytes(&claimed.to_bytes()), Ok(claimed));
    let signature = claimed.signature().expect("of a key");
    assert_eq!(payment.signature.as_ref(), Ok(signature));
    let theirs = evm::calldata(&payment.transfer, amount, signature);
    let mut out = vec![0; Claimed::calldata_len(65)];
    assert_eq!(claimed.calldata(&[], &mut out), Some(theirs.as_slice()));

    // Paid is what the token says has moved, and nothing else.
    let (from, to) = (payment.transfer.from().to_word(), payment.transfer.to().to_word());
    let moved = [TRANSFER_TOPIC, from, to];
    let used = [AUTHORIZATION_USED_TOPIC, from, *payment.transfer.nonce().as_bytes()];
    let value = amount.to_be_bytes();
    let logs = |address, value| {
        [Log { address, topics: &used, data: &[] }, Log { address, topics: &moved, data: value }]
    };
    let is_paid = |succeeded, logs: &[Log<'_>]| {
        let (submitter, order) = (Submitter::Own, LogOrder::TransferNext);
        let receipt = Receipt { succeeded, logs, submitter, order };
        claimed.settled(&receipt, |_| false).is_ok()
    };
    assert!(is_paid(true, &logs(claimed.asset(), &value)));
    assert!(!is_paid(false, &logs(claimed.asset(), &value)));
    assert!(!is_paid(true, &logs(Address::ZERO, &value)));
    let less = amount.checked_sub(Amount::from_units(1)).unwrap_or(Amount::MAX).to_be_bytes();
    assert!(!is_paid(true, &logs(claimed.asset(), &less)));
    let unused = logs(claimed.asset(), &value)[1];
    let is_permit = matches!(payment.transfer, Transfer::Permit2(_));
    assert_eq!(is_paid(true, &[unused]), is_permit);
}
