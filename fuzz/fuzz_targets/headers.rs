//! The header dialect's payment: written again it is the same, in both forms and in any order.
#![no_main]

use libfuzzer_sys::fuzz_target;
use x402_core::headers::{PaymentHeaders, SignatureForm, SignedPayment};
use x402_core::{Address, Asset, ChainId, Error, Nonce, Offer, Payment, Timestamp, Transfer};
use x402_fuzz::Cut;
use x402_fuzz::paper::{Paper, units};
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
        check_said(&fields, &payment, asset);
        check_written(&payment, offer);
    }
});

/// Each field by itself says what the payment says.
fn check_said(fields: &Fields, payment: &Payment, asset: &Asset<'_>) {
    let transfer = &payment.transfer;
    for (name, value) in fields {
        let Ok(text) = core::str::from_utf8(value) else { continue };
        match name.to_ascii_lowercase().as_str() {
            "x-payment-amount" => {
                let amount = Paper::parse(text).expect("a decimal").floor(asset.decimals);
                assert_eq!(amount, (units(transfer.value()), false));
            }
            "x-payment-asset" if text == asset.symbol => {}
            "x-payment-asset" => assert_eq!(Address::parse(text), Ok(asset.address)),
            "x-payment-from" => assert_eq!(Address::parse(text), Ok(transfer.from())),
            "x-payment-network" => assert_eq!(ChainId::parse(text), Ok(asset.chain_id)),
            "x-payment-nonce" => assert_eq!(Nonce::parse(text), Ok(transfer.nonce())),
            "x-payment-valid-after" => {
                assert_eq!(Timestamp::parse(text), Ok(transfer.valid_after()));
            }
            "x-payment-valid-before" => {
                assert_eq!(Timestamp::parse(text), Ok(transfer.valid_before()));
            }
            "x-payment-signature" => check_signature(text, payment),
            _ => {}
        }
    }
}

/// r, s and v stand at its end, and payer and times before them where it is the long form.
fn check_signature(text: &str, payment: &Payment) {
    let bytes = alloy_primitives::hex::decode(text).expect("hexadecimal");
    let rsv = bytes.last_chunk::<65>().expect("long enough");
    if let Ok(signature) = payment.signature {
        assert_eq!(&signature.to_rsv(), rsv);
    }
    if bytes.len() == 101 {
        let mut cut = Cut(&bytes);
        assert_eq!(Address::new(cut.array()), payment.transfer.from());
        assert_eq!(Timestamp::from_secs(cut.number()), payment.transfer.valid_after());
        assert_eq!(Timestamp::from_secs(cut.number()), payment.transfer.valid_before());
    }
}

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
