/*!
What signing leaves on the stack.

Who knows the nonce (k) of one signature has the key: d = (s·k − z) / r. So the signer overwrites the stack below
it once a signature is there. Here a thread whose stack is painted signs, and another one reads that stack from
`/proc/self/mem`, while the first waits.
*/
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::fs::File;
use std::hint::{black_box, spin_loop};
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hmac::{Hmac, KeyInit as _, Mac as _};
use num_bigint::BigUint;
use sha2::Sha256;
use x402_core::secp256k1::{CombSigner, K256Signer};
use x402_core::{Digest, Signer, keccak256};

/// How much of the stack is painted and read.
const DEPTH: usize = 256 * 1024;
const PAINT: u8 = 0xa5;
/// What the callers of the signer have on the stack below the mark.
const CALLERS: usize = 2048;
/// The order of the curve.
const ORDER: &str = "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141";

/// Runs this on a stack of its own, and reads what it has left below it: the nearest byte last.
fn left_by(work: impl FnOnce() + Send + 'static) -> Vec<u8> {
    let (there, read) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let thread = {
        let (there, read) = (Arc::clone(&there), Arc::clone(&read));
        std::thread::Builder::new().stack_size(4 << 20).spawn(move || {
            paint();
            work();
            let mark = 0_u8;
            there.store(black_box(&raw const mark).addr(), Ordering::SeqCst);
            while read.load(Ordering::SeqCst) == 0 {
                spin_loop();
            }
        })
    };
    let mark = loop {
        match there.load(Ordering::SeqCst) {
            0 => spin_loop(),
            mark => break mark,
        }
    };
    let mut left = vec![0; DEPTH];
    let memory = File::open("/proc/self/mem").unwrap();
    memory.read_exact_at(&mut left, (mark - DEPTH) as u64).unwrap();
    read.store(1, Ordering::SeqCst);
    thread.unwrap().join().unwrap();
    left
}

#[inline(never)]
fn paint() {
    let mut paint = [PAINT; DEPTH + 64 * 1024];
    black_box(&mut paint);
}

fn number(bytes: &[u8]) -> BigUint {
    BigUint::from_bytes_be(bytes)
}

fn word(number: &BigUint) -> [u8; 32] {
    let bytes = number.to_bytes_be();
    let mut word = [0; 32];
    word[32 - bytes.len()..].copy_from_slice(&bytes);
    word
}

fn mac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

/// The key, and what the nonce is made of and used as: RFC 6979, section 3.2.
fn secrets(key: &[u8; 32], digest: &[u8; 32]) -> Vec<(&'static str, [u8; 32])> {
    let order = BigUint::parse_bytes(ORDER.as_bytes(), 16).unwrap();
    let hash = word(&(number(digest) % &order));
    let seed = |byte: u8| [&[byte][..], key, &hash].concat();
    let first_key = mac(&[0; 32], &[&[1; 32], &seed(0)]);
    let first_value = mac(&first_key, &[&[1; 32]]);
    let second_key = mac(&first_key, &[&first_value, &seed(1)]);
    let second_value = mac(&second_key, &[&first_value]);
    let nonce = mac(&second_key, &[&second_value]);
    let inverse = number(&nonce).modpow(&(&order - 2_u32), &order);
    let padded = |padding: u8| second_key.map(|byte| byte ^ padding);
    vec![
        ("the key", *key),
        ("the nonce", nonce),
        ("the nonce, negated", word(&(&order - number(&nonce)))),
        ("the inverse of the nonce", word(&inverse)),
        ("the first key of the generator", first_key),
        ("its first value", first_value),
        ("its second key", second_key),
        ("its second key, inner", padded(0x36)),
        ("its second key, outer", padded(0x5c)),
        ("its second value", second_value),
    ]
}

/// Those of which eight bytes in a row are there, in either order of the bytes.
fn found(left: &[u8], secrets: &[(&'static str, [u8; 32])]) -> Vec<&'static str> {
    let windows: std::collections::HashSet<&[u8]> = left.windows(8).collect();
    let is_there = |secret: &[u8; 32]| {
        let mut backwards = *secret;
        backwards.reverse();
        [*secret, backwards].iter().any(|way| way.windows(8).any(|part| windows.contains(part)))
    };
    secrets.iter().filter(|(_, secret)| is_there(secret)).map(|(name, _)| *name).collect()
}

/// How far down something was written.
fn depth(left: &[u8]) -> usize {
    left.len() - left.iter().position(|byte| *byte != PAINT).unwrap_or(left.len())
}

fn key() -> [u8; 32] {
    keccak256(&[b"a key of this test"])
}

fn assert_wiped<S: Signer + Clone + Send + Sync + 'static>(signer: &S) {
    for round in 0..8_u8 {
        let digest = keccak256(&[b"what is signed", &[round]]);
        let signer = Arc::new(signer.clone());
        let left = left_by(move || {
            black_box(signer.sign(&Digest::new(digest)).ok());
        });
        assert_eq!(found(&left, &secrets(&key(), &digest)), [""; 0]);
        // Nothing is left that it has not overwritten, either: a nonce has other forms than these.
        let nearest = left.len() - CALLERS;
        let other = left[..nearest].iter().filter(|byte| ![PAINT, 0].contains(*byte)).count();
        assert!(other <= CALLERS, "{other} bytes are neither untouched nor overwritten");
    }
}

#[test]
fn nothing_of_the_nonce_is_left_on_the_stack() {
    assert_wiped(&K256Signer::from_bytes(&key()).unwrap());
    assert_wiped(&CombSigner::from_bytes(&key()).unwrap());
}

#[test]
fn nothing_of_a_key_is_left_where_it_is_loaded() {
    let key: &'static [u8; 32] = Box::leak(Box::new(key()));
    let k256 = left_by(move || {
        black_box(K256Signer::from_bytes(key).unwrap());
    });
    let comb = left_by(move || {
        black_box(CombSigner::from_bytes(key).unwrap());
    });
    for left in [k256, comb] {
        // Nearer than that whoever asked for the signer has moved it.
        let below = &left[..left.len() - CALLERS];
        assert_eq!(found(below, &secrets(key, &[0; 32])), [""; 0]);
    }
}

/// The test finds what is there: k256 by itself leaves it.
#[test]
fn what_is_left_is_found() {
    let key = key();
    let signer = Arc::new(k256::ecdsa::SigningKey::from_slice(&key).unwrap());
    let digest = keccak256(&[b"what is signed"]);
    let left = left_by(move || {
        black_box(signer.sign_prehash_recoverable(&digest));
    });
    assert!(found(&left, &secrets(&key, &digest)).contains(&"the nonce"));
    let depth = depth(&left);
    assert!(depth < 20 * 1024, "half of what is overwritten is too little: {depth} bytes deep");
}
