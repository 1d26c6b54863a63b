//! The header dialect's payment: written again it is the same, in both forms and in any order.
#![no_main]

use libfuzzer_sys::fuzz_target;
use x402_core::headers::{PaymentHeaders, SignatureForm, SignedPayment};
use x402_core::{Error, Offer, Payment, Transfer};
use x402_fuzz::shop::OFFERS;

type Fields = Vec<(String, Vec<u8>)>;

fuzz_target!(|data: &[u8]| {
    let fields: Fields = x402_fuzz::fields(data)
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.to_vec()))
        .collect();
    let mut other: Fields = fields.iter().rev().cloned().collect();
    other.iter_mut().for_each(|(name, _)| name.make_ascii_uppercase());
    other.push(("X-Payment".to_owned(), vec![0xff]));
    for offer in OFFERS.iter() {
        let resolved = resolve(&fields, offer);
        // Of what is wrong, the first is told; what is right does not depend on the order.
        assert_eq!(same(&resolve(&other, offer)), same(&resolved));
        let Ok(payment) = resolved else { continue };
        let (asset, terms) = (offer.asset(), offer.requirements());
        assert_eq!((payment.chain_id, payment.asset), (terms.chain_id, terms.asset));
        assert_eq!(payment.transfer.to(), terms.pay_to);
        check_written(&payment, offer);
        assert_eq!(asset.chain_id, terms.chain_id);
    }
});

fn resolve(fields: &Fields, offer: &Offer<'_>) -> Result<Payment, Option<Error>> {
    let fields = fields.iter().map(|(name, value)| (name, value.as_slice()));
    match PaymentHeaders::collect(fields) {
        Ok(Some(payment)) => payment.resolve(offer).map_err(Some),
        Ok(None) => Err(None),
        Err(error) => Err(Some(Error::Malformed(error))),
    }
}

fn same(resolved: &Result<Payment, Option<Error>>) -> Option<(Transfer, [u8; 65])> {
    let payment = resolved.as_ref().ok()?;
    Some((payment.transfer, payment.signature.map_or([0; 65], |signature| signature.to_rsv())))
}

fn check_written(payment: &Payment, offer: &Offer<'_>) {
    let (Ok(signature), Transfer::Eip3009(authorization)) = (payment.signature, payment.transfer)
    else {
        return;
    };
    let signed = SignedPayment { authorization, signature };
    for form in [SignatureForm::Packed, SignatureForm::Plain] {
        let mut written = Fields::new();
        signed.emit(offer.asset(), form, |field, value| {
            written.push((field.name().to_owned(), value.as_bytes().to_vec()));
        });
        let again = resolve(&written, offer);
        assert_eq!(same(&again), Some((payment.transfer, signature.to_rsv())), "{written:?}");
    }
}
