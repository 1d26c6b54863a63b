//! One sale, paid in both dialects: what every measurement is about.

use x402_core::headers::{PaymentHeaders, SignatureForm, SignedPayment};
use x402_core::secp256k1::K256Signer;
use x402_core::wire::{PaymentPayload, base64};
use x402_core::{
    Address, Amount, Asset, Authorization, ChainId, Checked, Digest, Error, Moment, Nonce, Offer,
    Payment, Recover, Signature, Signer as _, Timestamp, hex,
};

/// A moment in which the payments of the official SDK are good.
pub(crate) const NOW: u64 = 1_790_000_000;
/// A key that every Ethereum tool knows.
const KEY: &str = "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d";

/// An offer and its payment, in v2 as the official SDK writes it and in the header dialect.
pub(crate) struct Sale {
    pub(crate) offer: Offer<'static>,
    pub(crate) signer: K256Signer,
    /// The content of `PAYMENT-SIGNATURE`.
    pub(crate) header: String,
    /// The same payment in the header dialect.
    pub(crate) fields: Vec<(String, String)>,
}

impl Sale {
    /// The payment `v2-01` of `tests/vectors/sdk.json`.
    pub(crate) fn new() -> Self {
        let vectors = include_str!("../../tests/vectors/sdk.json");
        let vectors: serde_json::Value = serde_json::from_str(vectors).expect("JSON");
        let vector = vectors["vectors"].as_array().expect("vectors").iter();
        let vector = vector.clone().find(|vector| vector["id"] == "v2-01").expect("the vector");
        let header = vector["outputs"]["header"]["value"].as_str().expect("a header").to_owned();
        let asset = *Asset::find(ChainId::BASE_SEPOLIA, "USDC").expect("USDC");
        let pay_to = vector["inputs"]["paymentRequired"]["accepts"][0]["payTo"].as_str();
        let pay_to = pay_to.and_then(|text| Address::parse(text).ok()).expect("an address");
        let offer = Offer::new(asset, pay_to, Amount::from_units(10_000), 60);
        let signer = K256Signer::from_bytes(&hex::decode(KEY).expect("hex")).expect("a key");
        let mut sale = Self { offer, signer, header, fields: Vec::new() };
        sale.sign();
        sale
    }

    fn sign(&mut self) {
        let terms = self.offer.requirements();
        let authorization = Authorization {
            from: self.signer.address(),
            to: terms.pay_to,
            value: terms.amount,
            valid_after: Timestamp::ZERO,
            valid_before: Timestamp::from_secs(NOW + 60),
            nonce: Nonce::new([7; 32]),
        };
        let Ok(signature) = self.signer.sign(&authorization.digest(&terms.domain));
        let payment = SignedPayment { authorization, signature };
        payment.emit(self.offer.asset(), SignatureForm::Packed, |field, value| {
            self.fields.push((field.name().to_owned(), value.to_owned()));
        });
    }

    /// The head of a request with the payment in the header dialect.
    pub(crate) fn head(&self) -> Vec<u8> {
        let mut head = String::from("POST /api/analyze HTTP/1.1\r\nHost: api.example.com\r\n");
        for (name, value) in &self.fields {
            head += &format!("{name}: {value}\r\n");
        }
        (head + "Content-Length: 2\r\n\r\n").into_bytes()
    }

    /// The payment in the header dialect, with what of it the offer says.
    pub(crate) fn read_fields(&self) -> Payment {
        let fields = self.fields.iter().map(|(name, value)| (name, value.as_bytes()));
        let payment = PaymentHeaders::collect(fields).expect("well-formed").expect("a payment");
        payment.resolve(&self.offer).expect("resolved")
    }

    /// What is signed in v2, and the signature.
    pub(crate) fn signed(&self) -> (Digest, Signature) {
        let terms = self.offer.requirements();
        let payment = self.read_header(&mut [0; 1024]).expect("a payment");
        let digest = payment.transfer.digest(&terms.domain, terms.chain_id);
        (digest, payment.signature.expect("a signature"))
    }

    /// The payment of v2: base64, JSON, all that was accepted beside the offer, and the numbers.
    pub(crate) fn read_header(&self, buffer: &mut [u8]) -> Result<Payment, Error> {
        let json = base64::decode(self.header.as_bytes(), buffer);
        let json = json.map_err(|error| Error::Payload(error.into()))?;
        let payload = PaymentPayload::parse(json).map_err(Error::Payload)?;
        payload.resolve(&self.offer)
    }

    /// From the header of v2 to the verdict.
    pub(crate) fn verdict(&self, recover: &impl Recover) -> Checked {
        let mut buffer = [0; 1024];
        let payment = self.read_header(&mut buffer).expect("read");
        self.offer.requirements().check(&payment, &Moment::at(NOW), recover).expect("checked")
    }

    /// From the fields of the header dialect to the verdict.
    pub(crate) fn verdict_of_fields(&self, recover: &impl Recover) -> Checked {
        let terms = self.offer.requirements();
        terms.check(&self.read_fields(), &Moment::at(NOW), recover).expect("checked")
    }
}
