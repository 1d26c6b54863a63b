//! The core's part of a payment, timed: from its header to the verdict, and each step of it alone,
//! beside what others take for the same.
//!
//! Times mean little on a shared machine; read them beside one another.

#[allow(dead_code, reason = "what is read of it is of no matter")]
mod peers;
mod sale;

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use sale::{NOW, Sale};
use x402_core::condition::{Condition, Declared, Facts, Kind, Value};
use x402_core::secp256k1::{K256, Vartime};
use x402_core::tariff::{Factor, Model, Multiplier, Tariff, Usage};
use x402_core::wire::{PaymentPayload, base64};
use x402_core::{Moment, Price, Recover, Signer as _};
use x402_std::Libsecp256k1;

fn verdict(c: &mut Criterion) {
    fn with(c: &mut Criterion, name: &str, recover: &impl Recover) {
        let sale = Sale::new();
        let mut group = c.benchmark_group("verdict");
        group.bench_function(format!("v2_{name}"), |b| {
            b.iter(|| black_box(&sale).verdict(recover));
        });
        group.bench_function(format!("headers_{name}"), |b| {
            b.iter(|| black_box(&sale).verdict_of_fields(recover));
        });
        group.finish();
    }
    with(c, "libsecp256k1", &Libsecp256k1);
    with(c, "vartime", &Vartime);
    with(c, "k256", &K256);
    let sale = Sale::new();
    let (terms, late) = (sale.offer.requirements(), Moment::at(NOW + 60));
    let payment = sale.read_fields();
    c.bench_function("verdict/refused_before_recovery", |b| {
        b.iter(|| terms.check(black_box(&payment), &late, &K256).expect_err("late"));
    });
}

fn parse(c: &mut Criterion) {
    let sale = Sale::new();
    let head = sale.head();
    let mut group = c.benchmark_group("parse");
    group.bench_function("v2", |b| {
        let mut buffer = [0; 1024];
        b.iter(|| black_box(&sale).read_header(&mut buffer).expect("a payment"));
    });
    group.bench_function("v2_alone", |b| {
        let mut buffer = [0; 1024];
        b.iter(|| {
            let json = base64::decode(black_box(sale.header.as_bytes()), &mut buffer);
            PaymentPayload::parse(json.expect("base64")).expect("a payload").version
        });
    });
    group.bench_function("v2_serde_json", |b| b.iter(|| peers::serde(black_box(&sale.header))));
    group.bench_function("headers", |b| b.iter(|| black_box(&sale).read_fields()));
    group.bench_function("headers_httparse", |b| b.iter(|| peers::httparse(black_box(&head))));
    group.finish();
}

fn eip712(c: &mut Criterion) {
    let sale = Sale::new();
    let (terms, payment) = (sale.offer.requirements(), sale.read_fields());
    let mut group = c.benchmark_group("eip712");
    group.bench_function("separator", |b| {
        let domain = sale.offer.asset().domain();
        b.iter(|| black_box(&domain).separator());
    });
    group.bench_function("digest", |b| {
        b.iter(|| black_box(&payment).transfer.digest(&terms.domain, terms.chain_id));
    });
    group.finish();
}

fn recovery(c: &mut Criterion) {
    let sale = Sale::new();
    let (digest, signature) = sale.signed();
    let mut group = c.benchmark_group("recovery");
    group.bench_function("libsecp256k1_alone", |b| {
        b.iter(|| peers::libsecp256k1(black_box(&digest), &signature));
    });
    group.bench_function("libsecp256k1", |b| {
        b.iter(|| Libsecp256k1.recover(black_box(&digest), &signature).expect("recovered"));
    });
    group.bench_function("vartime", |b| {
        b.iter(|| Vartime.recover(black_box(&digest), &signature).expect("recovered"));
    });
    group.bench_function("k256", |b| {
        b.iter(|| K256.recover(black_box(&digest), &signature).expect("recovered"));
    });
    group.bench_function("known_payer", |b| {
        let key = peers::libsecp256k1(&digest, &signature);
        b.iter(|| assert!(peers::verifies(black_box(&digest), &signature, &key)));
    });
    group.bench_function("sign_k256", |b| b.iter(|| sale.signer.sign(black_box(&digest))));
    group.finish();
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

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(200)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
    targets = recovery, verdict, parse, eip712, price
}
criterion_main!(benches);
