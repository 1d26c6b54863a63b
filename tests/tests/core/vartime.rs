//! The core's own recovery, and libsecp256k1 as `x402-std` has it, against k256 and libsecp256k1.
//!
//! `X402_LONG=1` tries a million inputs of each kind of chance; do that in release mode.

use alloy_primitives::U256;
use secp256k1::SecretKey;
use serde_json::Value;
use x402_core::secp256k1::{K256, Vartime};
use x402_core::{Address, Digest, Recover as _, Signature, SignatureError, hex, keccak256};
use x402_std::Libsecp256k1;

use crate::recovery::{order, theirs};

/// What all of them recover, which must be the same.
fn agreed(digest: [u8; 32], rsv: &[u8; 65]) -> Result<Address, SignatureError> {
    let signature = Signature::from_rsv(rsv)?;
    let digest_ = Digest::new(digest);
    let recovered = Vartime.recover(&digest_, &signature);
    let shown = hex::Hex(rsv);
    assert_eq!(recovered, K256.recover(&digest_, &signature), "k256: {digest_:?} {shown}");
    assert_eq!(recovered, Libsecp256k1.recover(&digest_, &signature), "{digest_:?} {shown}");
    assert_eq!(recovered.ok(), theirs(digest, rsv), "libsecp256k1: {digest_:?} {shown}");
    recovered
}

fn rsv(r: U256, s: U256, v: u8) -> [u8; 65] {
    let mut rsv = [v; 65];
    rsv[..32].copy_from_slice(&r.to_be_bytes::<32>());
    rsv[32..64].copy_from_slice(&s.to_be_bytes::<32>());
    rsv
}

fn member<const N: usize>(vector: &Value, name: &str) -> Option<[u8; N]> {
    hex::decode(vector[name].as_str()?).ok()
}

fn vectors(file: &str) -> Vec<Value> {
    let file: Value = serde_json::from_str(file).unwrap();
    file["vectors"].as_array().unwrap().clone()
}

#[test]
fn the_known_answers_are_recovered() {
    let mut compared = 0;
    for vector in vectors(include_str!("../../vectors/recover_eth.json")) {
        let (Some(v), Some(digest)) = (vector["v"].as_u64(), member(&vector, "digest")) else {
            continue;
        };
        let (Some(r), Some(s)) = (member(&vector, "r"), member(&vector, "s")) else { continue };
        let Ok(v) = u8::try_from(v) else { continue };
        let bytes = rsv(U256::from_be_bytes::<32>(r), U256::from_be_bytes::<32>(s), v);
        let expected = vector["strict"].as_str().map(|text| Address::parse(text).unwrap());
        assert_eq!(agreed(digest, &bytes).ok(), expected, "{}", vector["src"]);
        compared += 1;
    }
    for vector in vectors(include_str!("../../vectors/wycheproof_recover_policy.json")) {
        let (Some(rs), Some(digest)) = (member::<64>(&vector, "rs"), member(&vector, "digest"))
        else {
            continue;
        };
        let signer = Address::parse(vector["expect_signer"].as_str().unwrap()).unwrap();
        let recovered = [27, 28]
            .map(|v| agreed(digest, &[&rs[..], &[v]].concat().try_into().unwrap()) == Ok(signer));
        assert_eq!(recovered.contains(&true), vector["accept_strict"] == true, "{vector}");
        compared += 1;
    }
    for vector in vectors(include_str!("../../vectors/eip3009_valid.json")) {
        let expected = Address::parse(vector["recovers"].as_str().unwrap()).unwrap();
        let (digest, signature) = (member(&vector, "digest"), member(&vector, "signature"));
        assert_eq!(agreed(digest.unwrap(), &signature.unwrap()), Ok(expected));
        compared += 1;
    }
    assert!(compared > 700, "only {compared} vectors have the form that is read here");
}

/// How many inputs are tried of each kind.
fn count() -> u64 {
    if std::env::var_os("X402_LONG").is_some_and(|value| value == "1") { 1_000_000 } else { 5_000 }
}

/// The words that a seed stands for.
fn word(kind: &str, seed: u64, which: u8) -> U256 {
    U256::from_be_bytes::<32>(keccak256(&[kind.as_bytes(), &seed.to_be_bytes(), &[which]]))
}

fn low(s: U256) -> U256 {
    if s > order() >> 1 { order() - s } else { s }
}

#[test]
fn chance_is_recovered_as_by_others() {
    let mut recovered = 0;
    for seed in 0..count() {
        let [digest, r, s] = [0, 1, 2].map(|which| word("chance", seed, which));
        let s = low(s.reduce_mod(order()));
        let result = agreed(digest.to_be_bytes(), &rsv(r, s, 27 + (seed & 1) as u8));
        recovered += u64::from(result.is_ok());
    }
    // Every other number is the x of a point.
    let share = recovered * 100 / count();
    assert!((45..=55).contains(&share), "{share} % of all r were the x of a point");
}

/// A scalar out of those on which formulas and digits may fail.
fn edge(seed: U256) -> U256 {
    let (n, choice): (U256, u64) = (order(), seed.as_limbs()[0] % 12);
    let small = U256::from(seed.as_limbs()[1] % 33);
    let power = U256::from(1) << (seed.as_limbs()[1] % 256) as usize;
    let lambda = "5363ad4cc05c30e0a5261c028812645a122e22ea20816678df02967c1b23bd72";
    let lambda = U256::from_str_radix(lambda, 16).unwrap();
    let scalar = match choice {
        0..=2 => small,
        3..=5 => n - small,
        6 => power,
        7 => power.wrapping_sub(small),
        8 => lambda.mul_mod(small, n),
        9 => n - lambda.mul_mod(small + U256::from(1), n),
        10 => lambda.add_mod(small, n),
        _ => seed,
    };
    scalar.reduce_mod(n)
}

/// Points whose multiples are known, and scalars that make their sums meet.
#[test]
fn crafted_inputs_are_recovered_as_by_others() {
    let (n, mut none) = (order(), 0);
    // x of kG, by libsecp256k1.
    let points: Vec<U256> = (1..=64_u8)
        .map(|k| {
            let mut key = [0; 32];
            key[31] = k;
            let point = SecretKey::from_secret_bytes(key).unwrap().public_key();
            U256::from_be_slice(&point.serialize()[1..])
        })
        .collect();
    for seed in 0..count() {
        let choice = word("crafted", seed, 0);
        let k = choice.as_limbs()[0] as usize % points.len();
        let r = points[k];
        // u1 G + u2 R is what is recovered, of s = u2 r and a digest of -u1 r.
        let u2 = edge(word("crafted", seed, 1));
        let u1 = match choice.as_limbs()[1] % 3 {
            0 => edge(word("crafted", seed, 2)),
            // The sum is at infinity, or next to it.
            which => (n - u2).mul_mod(U256::from(k + 1), n).add_mod(U256::from(which - 1), n),
        };
        let s = low(u2.mul_mod(r, n));
        let digest = (n - u1.mul_mod(r, n)).reduce_mod(n);
        // The same digest, where it has another spelling.
        let above = digest.checked_add(n).filter(|_| choice.bit(255));
        let digest = above.unwrap_or(digest).to_be_bytes();
        for v in [27, 28] {
            let result = agreed(digest, &rsv(r, s, v));
            none += u64::from(result == Err(SignatureError::Unrecoverable));
        }
    }
    assert!(none > count() / 10, "only {none} sums were at infinity");
}

#[test]
fn a_digest_of_zero_and_an_r_that_is_no_x_are_answered() {
    let one = U256::from(1);
    let zeros = [U256::ZERO, order()].map(|digest| digest.to_be_bytes());
    for (r, digest) in (1..200_u64).flat_map(|r| zeros.map(|digest| (U256::from(r), digest))) {
        for s in [one, order() >> 1] {
            // No x is 5: 132 is no square.
            let recovered = [27, 28].map(|v| agreed(digest, &rsv(r, s, v)).is_ok());
            assert!(recovered[0] == recovered[1] && (r != U256::from(5) || !recovered[0]));
        }
    }
}
