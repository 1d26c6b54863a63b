//! From the bytes of a header to the verdict nothing is allocated, whoever recovers the signer.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

use allocation_counter::measure;
use x402_core::headers::{PaymentHeaders, SignatureForm, SignedPayment};
use x402_core::secp256k1::{K256, K256Signer, Vartime};
use x402_core::wire::{PaymentPayload, base64};
use x402_core::{
    Address, Amount, Asset, Authorization, ChainId, Checked, Error, Moment, Nonce, Offer, Recover,
    Signer as _, Timestamp, hex,
};
use x402_std::Libsecp256k1;

const NOW: u64 = 1_790_000_000;
/// A key that every Ethereum tool knows; it signed the vector, too.
const KEY: &str = "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d";

fn offer() -> Offer<'static> {
    let pay_to = Address::parse("0x209693Bc6afc0C5328bA36FaF03C514EF312287C").unwrap();
    let asset = *Asset::find(ChainId::BASE_SEPOLIA, "USDC").unwrap();
    Offer::new(asset, pay_to, Amount::from_units(10_000), 60)
}

/// The header of the vector `v2-01`, which the official SDK wrote.
fn header() -> String {
    let vectors = include_str!("../vectors/sdk.json");
    let vectors: serde_json::Value = serde_json::from_str(vectors).unwrap();
    let vectors = vectors["vectors"].as_array().unwrap();
    let vector = vectors.iter().find(|vector| vector["id"] == "v2-01").unwrap();
    vector["outputs"]["header"]["value"].as_str().unwrap().to_owned()
}

fn of_v2(header: &str, offer: &Offer<'_>, recover: &impl Recover) -> Result<Checked, Error> {
    let mut buffer = [0; 1024];
    let json = base64::decode(header.as_bytes(), &mut buffer);
    let json = json.map_err(|error| Error::Payload(error.into()))?;
    let payment = PaymentPayload::parse(json).map_err(Error::Payload)?.resolve(offer)?;
    offer.requirements().check(&payment, &Moment::at(NOW), recover)
}

fn fields(offer: &Offer<'_>) -> Vec<(String, String)> {
    let signer = K256Signer::from_bytes(&hex::decode(KEY).unwrap()).unwrap();
    let terms = offer.requirements();
    let authorization = Authorization {
        from: signer.address(),
        to: terms.pay_to,
        value: terms.amount,
        valid_after: Timestamp::ZERO,
        valid_before: Timestamp::from_secs(NOW + 60),
        nonce: Nonce::new([7; 32]),
    };
    let Ok(signature) = signer.sign(&authorization.digest(&terms.domain));
    let mut fields = Vec::new();
    let payment = SignedPayment { authorization, signature };
    payment.emit(offer.asset(), SignatureForm::Packed, |field, value| {
        fields.push((field.name().to_owned(), value.to_owned()));
    });
    fields
}

fn of_fields(
    fields: &[(String, String)],
    offer: &Offer<'_>,
    recover: &impl Recover,
) -> Result<Checked, Error> {
    let fields = fields.iter().map(|(name, value)| (name, value.as_bytes()));
    let payment = PaymentHeaders::collect(fields).map_err(Error::Malformed)?;
    let payment = payment.ok_or(Error::Missing)?.resolve(offer)?;
    offer.requirements().check(&payment, &Moment::at(NOW), recover)
}

fn allocates_nothing(recover: &impl Recover) {
    let (offer, header) = (offer(), header());
    let fields = fields(&offer);
    // What a thread makes once.
    assert!(of_v2(&header, &offer, recover).is_ok());
    let mut verdicts = [None; 2];
    let counted = measure(|| {
        verdicts = [of_v2(&header, &offer, recover).ok(), of_fields(&fields, &offer, recover).ok()];
    });
    assert!(verdicts.iter().all(Option::is_some));
    assert_eq!(counted.count_total, 0);
}

#[test]
fn no_verdict_allocates() {
    allocates_nothing(&K256);
    allocates_nothing(&Vartime);
    allocates_nothing(&Libsecp256k1);
}

#[test]
fn no_refusal_allocates() {
    let (offer, header) = (offer().with_amount(Amount::from_units(1)), header());
    let counted = measure(|| assert_eq!(of_v2(&header, &offer, &Vartime), Err(Error::Amount)));
    assert_eq!(counted.count_total, 0);
    // The counter can count.
    assert_eq!(measure(|| drop(header.clone())).count_total, 1);
}
