//! Instructions, as callgrind counts them: the same on every machine of a kind.
#![allow(missing_docs, reason = "what the macros make has none")]

#[allow(dead_code, reason = "what is not counted is timed")]
mod peers;
#[allow(dead_code, reason = "what is not counted is timed")]
mod sale;

use std::hint::black_box;

use gungraun::prelude::*;
use sale::Sale;
use secp256k1::PublicKey;
use x402_core::secp256k1::{K256, Vartime};
use x402_core::wire::{PaymentPayload, Version, base64};
use x402_core::{Address, Checked, Digest, Payment, Recover, Signature, Signer as _};
use x402_std::Libsecp256k1;

/// The sale, once everything that is made once was made.
fn warm() -> Sale {
    let sale = Sale::new();
    assert_eq!(sale.verdict(&Libsecp256k1).payer(), sale.signer.address());
    // What making the sale left behind in the allocator is nothing of serde's.
    drop(peers::serde(&sale.header));
    sale
}

fn head() -> Vec<u8> {
    warm().head()
}

fn paid() -> (Payment, Sale) {
    let sale = warm();
    (sale.read_fields(), sale)
}

fn signed() -> (Digest, Signature) {
    warm().signed()
}

fn known() -> (Digest, Signature, PublicKey) {
    let (digest, signature) = signed();
    (digest, signature, peers::libsecp256k1(&digest, &signature))
}

#[library_benchmark(setup = warm)]
fn v2_libsecp256k1(sale: Sale) -> (Checked, Sale) {
    (black_box(&sale).verdict(&Libsecp256k1), sale)
}

#[library_benchmark(setup = warm)]
fn v2_vartime(sale: Sale) -> (Checked, Sale) {
    (black_box(&sale).verdict(&Vartime), sale)
}

#[library_benchmark(setup = warm)]
fn v2_k256(sale: Sale) -> (Checked, Sale) {
    (black_box(&sale).verdict(&K256), sale)
}

#[library_benchmark(setup = warm)]
fn headers_vartime(sale: Sale) -> (Checked, Sale) {
    (black_box(&sale).verdict_of_fields(&Vartime), sale)
}

#[library_benchmark(setup = warm)]
fn headers_libsecp256k1(sale: Sale) -> (Checked, Sale) {
    (black_box(&sale).verdict_of_fields(&Libsecp256k1), sale)
}

library_benchmark_group!(
    name = verdict,
    benchmarks = [v2_libsecp256k1, v2_vartime, v2_k256, headers_libsecp256k1, headers_vartime]
);

#[library_benchmark(setup = signed)]
fn libsecp256k1_alone((digest, signature): (Digest, Signature)) -> PublicKey {
    peers::libsecp256k1(black_box(&digest), &signature)
}

#[library_benchmark(setup = signed)]
fn libsecp256k1((digest, signature): (Digest, Signature)) -> Address {
    Libsecp256k1.recover(black_box(&digest), &signature).expect("an address")
}

#[library_benchmark(setup = signed)]
fn vartime((digest, signature): (Digest, Signature)) -> Address {
    Vartime.recover(black_box(&digest), &signature).expect("an address")
}

#[library_benchmark(setup = signed)]
fn k256((digest, signature): (Digest, Signature)) -> Address {
    K256.recover(black_box(&digest), &signature).expect("an address")
}

#[library_benchmark(setup = known)]
fn known_payer((digest, signature, key): (Digest, Signature, PublicKey)) -> bool {
    peers::verifies(black_box(&digest), &signature, &key)
}

library_benchmark_group!(
    name = recovery,
    benchmarks = [libsecp256k1_alone, libsecp256k1, vartime, k256, known_payer]
);

#[library_benchmark(setup = warm)]
fn v2(sale: Sale) -> (Payment, Sale) {
    (black_box(&sale).read_header(&mut [0; 1024]).expect("a payment"), sale)
}

#[library_benchmark(setup = warm)]
fn v2_alone(sale: Sale) -> (Version, Sale) {
    let mut buffer = [0; 1024];
    let json = base64::decode(black_box(sale.header.as_bytes()), &mut buffer).expect("base64");
    (PaymentPayload::parse(json).expect("a payload").version, sale)
}

#[library_benchmark(setup = warm)]
fn v2_serde_json(sale: Sale) -> (peers::Payload, Sale) {
    (peers::serde(black_box(&sale.header)), sale)
}

#[library_benchmark(setup = warm)]
fn headers(sale: Sale) -> (Payment, Sale) {
    (black_box(&sale).read_fields(), sale)
}

#[library_benchmark(setup = head)]
fn headers_httparse(head: Vec<u8>) -> (usize, Vec<u8>) {
    (peers::httparse(black_box(&head)), head)
}

library_benchmark_group!(
    name = parse,
    benchmarks = [v2, v2_alone, v2_serde_json, headers, headers_httparse]
);

#[library_benchmark(setup = warm)]
fn separator(sale: Sale) -> (x402_core::DomainSeparator, Sale) {
    (black_box(&sale.offer).asset().domain().separator(), sale)
}

#[library_benchmark(setup = paid)]
fn digest((payment, sale): (Payment, Sale)) -> (Digest, Sale) {
    let terms = sale.offer.requirements();
    (black_box(&payment).transfer.digest(&terms.domain, terms.chain_id), sale)
}

library_benchmark_group!(name = eip712, benchmarks = [separator, digest]);

main!(library_benchmark_groups = [verdict, recovery, parse, eip712]);
