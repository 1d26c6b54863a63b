//! The core's part of a payment: from header fields to the verdict, and each step of it alone.
//!
//! Times mean little on a shared machine; read them beside one another.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use secp256k1::{Message, ecdsa};
use x402_core::condition::{Condition, Declared, Facts, Kind, Value};
use x402_core::headers::{PaymentHeaders, SignatureForm, SignedPayment};
use x402_core::secp256k1::{K256, K256Signer, Vartime};
use x402_core::tariff::{Factor, Model, Multiplier, Tariff, Usage};
use x402_core::{
    Address, Amount, Asset, Authorization, ChainId, Moment, Nonce, Offer, Price, Recover as _,
    Signer as _, Timestamp, hex,
};

const NOW: u64 = 1_790_000_000;
/// A key that every Ethereum tool knows.
const KEY: &str = "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d";

struct Sale {
    offer: Offer<'static>,
    signer: K256Signer,
    payment: SignedPayment,
    fields: Vec<(String, String)>,
}

fn sale() -> Sale {
    let asset = *Asset::find(ChainId::ETHEREUM, "USDC").expect("USDC");
    let offer = Offer::new(asset, Address::new([0x20; 20]), Amount::from_units(10_000), 60);
    let terms = offer.requirements();
    let signer = K256Signer::from_bytes(&hex::decode(KEY).expect("hex")).expect("a key");
    let authorization = Authorization {
        from: signer.address(),
        to: terms.pay_to,
        value: terms.amount,
        valid_after: Timestamp::ZERO,
        valid_before: Timestamp::from_secs(NOW + 60),
        nonce: Nonce::new([7; 32]),
    };
    let Ok(signature) = signer.sign(&authorization.digest(&terms.domain));
    let payment = SignedPayment { authorization, signature };
    let mut fields = Vec::new();
    payment.emit(&asset, SignatureForm::Packed, |field, value| {
        fields.push((field.name().to_owned(), value.to_owned()));
    });
    Sale { offer, signer, payment, fields }
}

impl Sale {
    fn collect(&self) -> PaymentHeaders<'_> {
        let fields = self.fields.iter().map(|(name, value)| (name, value.as_bytes()));
        PaymentHeaders::collect(fields).expect("well-formed").expect("a payment")
    }
}

fn verdict(c: &mut Criterion) {
    let sale = sale();
    let (terms, moment) = (sale.offer.requirements(), Moment::at(NOW));
    let mut group = c.benchmark_group("verdict");
    group.bench_function("headers-to-verdict", |b| {
        b.iter(|| {
            let payment = black_box(&sale).collect().resolve(&sale.offer).expect("resolved");
            terms.check(&payment, &moment, &K256).expect("checked")
        });
    });
    group.bench_function("refused-before-recovery", |b| {
        let late = Moment::at(NOW + 60);
        let payment = sale.collect().resolve(&sale.offer).expect("resolved");
        b.iter(|| terms.check(black_box(&payment), &late, &K256).expect_err("late"));
    });
    group.finish();
}

fn steps(c: &mut Criterion) {
    let sale = sale();
    let domain = sale.offer.requirements().domain;
    c.bench_function("headers/collect", |b| b.iter(|| black_box(&sale).collect()));
    c.bench_function("eip712/separator", |b| {
        let domain = sale.offer.asset().domain();
        b.iter(|| black_box(&domain).separator());
    });
    c.bench_function("eip3009/digest", |b| {
        b.iter(|| black_box(&sale.payment.authorization).digest(&domain));
    });
}

/// What the gateway knows of a request.
struct Request {
    query_length: u64,
    requires_browser: bool,
}

impl Facts for Request {
    fn fact(&self, name: &str) -> Option<Value<'_>> {
        match name {
            "query_length" => Some(Value::Number(self.query_length.into())),
            "requires_browser" => Some(Value::Bool(self.requires_browser)),
            "method" => Some(Value::Text("POST")),
            _ => None,
        }
    }
}

fn price(c: &mut Criterion) {
    let price = |text| Price::parse(text).expect("a price");
    let condition = |source| Condition::parse(source).expect("a condition");
    let factor = |text| Factor::parse(text).expect("a factor");
    let request = Request { query_length: 1500, requires_browser: true };
    let mut group = c.benchmark_group("price");
    group.bench_function("parse-to-amount", |b| {
        b.iter(|| Price::parse(black_box("0.01")).and_then(|price| price.to_amount(6)));
    });
    group.bench_function("quote-per-token", |b| {
        let (input_price, output_price) = (price("0.00001"), price("0.00003"));
        let model = Model::PerToken { input_price, output_price };
        let tariff: Tariff = Tariff::new(model, 6).expect("a tariff");
        b.iter(|| tariff.quote(black_box(&Usage::tokens(1234, 4096)), &()).expect("a price"));
    });
    group.bench_function("quote-dynamic-two-conditions", |b| {
        let multipliers = [("query_length > 1000", "2.0"), ("requires_browser", "1.5")];
        let multipliers = multipliers.map(|(source, text)| Multiplier {
            condition: condition(source),
            factor: factor(text),
        });
        let model =
            Model::Dynamic { base_price: price("0.01"), multipliers: multipliers.as_slice() };
        let tariff = Tariff::new(model, 6).expect("a tariff");
        b.iter(|| tariff.quote(&Usage::default(), black_box(&request)).expect("a price"));
    });
    group.bench_function("condition-short", |b| {
        let condition = condition("query_length > 1000");
        b.iter(|| black_box(&condition).holds(&request).expect("an answer"));
    });
    group.bench_function("condition-long", |b| {
        let condition =
            condition("method == 'POST' and (query_length > 1000 or not requires_browser)");
        b.iter(|| black_box(&condition).holds(&request).expect("an answer"));
    });
    group.bench_function("condition-parse-and-check", |b| {
        let known = [Declared { name: "body_length", kind: Kind::Number }];
        b.iter(|| condition(black_box("query_length > 1000")).check(&known).expect("checked"));
    });
    group.finish();
}

fn secp256k1(c: &mut Criterion) {
    let sale = sale();
    let digest = sale.payment.authorization.digest(&sale.offer.requirements().domain);
    let signature = sale.payment.signature;
    let mut group = c.benchmark_group("secp256k1");
    group.bench_function("sign-k256", |b| b.iter(|| sale.signer.sign(black_box(&digest))));
    group.bench_function("recover-k256", |b| {
        b.iter(|| K256.recover(black_box(&digest), &signature).expect("recovered"));
    });
    group.bench_function("recover-vartime", |b| {
        b.iter(|| Vartime.recover(black_box(&digest), &signature).expect("recovered"));
    });
    let message = Message::from_digest(*digest.as_bytes());
    let id = ecdsa::RecoveryId::try_from(i32::from(signature.v()) - 27).expect("an id");
    let rs = &signature.to_rsv()[..64];
    let theirs = ecdsa::RecoverableSignature::from_compact(rs, id).expect("a signature");
    group.bench_function("recover-libsecp256k1", |b| {
        b.iter(|| theirs.recover_ecdsa(black_box(message)).expect("recovered"));
    });
    group.finish();
}

criterion_group!(benches, verdict, steps, price, secp256k1);
criterion_main!(benches);
