//! Integers of 256 bits, and what is needed to calculate with them modulo the numbers of the curve.

use core::hint::black_box;
use core::mem::swap;

/// Digits of 32 bits, the lowest first.
pub(super) type Words = [u32; 8];

pub(super) const ONE: Words = [1, 0, 0, 0, 0, 0, 0, 0];

/// From 32 bytes, big-endian.
pub(super) fn words_of(bytes: &[u8; 32]) -> Words {
    let mut words = [0; 8];
    for (word, chunk) in words.iter_mut().rev().zip(bytes.as_chunks().0) {
        *word = u32::from_be_bytes(*chunk);
    }
    words
}

/// 32 bytes, big-endian.
pub(super) fn bytes_of(words: &Words) -> [u8; 32] {
    let mut bytes = [0; 32];
    for (chunk, word) in bytes.as_chunks_mut().0.iter_mut().rev().zip(words) {
        *chunk = word.to_be_bytes();
    }
    bytes
}

// The steps are written out: a loop would keep the carry elsewhere than where it is needed.

/// a + b less 2^256, where it is that large, and whether it is.
#[inline(always)]
pub(super) fn add(a: &Words, b: &Words) -> (Words, bool) {
    let ([a0, a1, a2, a3, a4, a5, a6, a7], [b0, b1, b2, b3, b4, b5, b6, b7]) = (a, b);
    let (s0, carry) = a0.carrying_add(*b0, false);
    let (s1, carry) = a1.carrying_add(*b1, carry);
    let (s2, carry) = a2.carrying_add(*b2, carry);
    let (s3, carry) = a3.carrying_add(*b3, carry);
    let (s4, carry) = a4.carrying_add(*b4, carry);
    let (s5, carry) = a5.carrying_add(*b5, carry);
    let (s6, carry) = a6.carrying_add(*b6, carry);
    let (s7, carry) = a7.carrying_add(*b7, carry);
    ([s0, s1, s2, s3, s4, s5, s6, s7], carry)
}

/// a - b, and 2^256 more where it is negative, and whether it is.
#[cfg_attr(target_os = "none", inline(never))]
pub(super) fn subtract(a: &Words, b: &Words) -> (Words, bool) {
    // Of the complement of a, which is 2^256 - 1 - a.
    let (sum, is_negative) = add(&complement(a), b);
    (complement(&sum), is_negative)
}

/// 2^256 - 1 - a.
#[inline(always)]
pub(super) fn complement(a: &Words) -> Words {
    let [a0, a1, a2, a3, a4, a5, a6, a7] = a;
    [!a0, !a1, !a2, !a3, !a4, !a5, !a6, !a7]
}

/// a b, the low half and the high one.
#[cfg_attr(target_os = "none", inline(never))]
pub(super) fn product(a: &Words, b: &Words) -> [Words; 2] {
    let mut product = [[0; 8]; 2];
    put_product(&mut product, a, b);
    product
}

/// Puts a b in the place of zero.
#[cfg_attr(target_os = "none", inline(never))]
pub(super) fn put_product(product: &mut [Words; 2], a: &Words, b: &Words) {
    for (place, a) in a.iter().enumerate() {
        let above = add_multiple(product, place, *a, b);
        if let Some(word) = product.as_flattened_mut().get_mut(place + 8) {
            *word = above;
        }
    }
}

/// Adds a b to the eight digits from a place on, and returns what is carried to the one above them.
#[inline(always)]
pub(super) fn add_multiple(sum: &mut [Words; 2], place: usize, a: u32, b: &Words) -> u32 {
    let [b0, b1, b2, b3, b4, b5, b6, b7] = b;
    let row = sum.as_flattened_mut().get_mut(place..);
    let Some([s0, s1, s2, s3, s4, s5, s6, s7, ..]) = row else { return 0 };
    // Did the compiler know that it is zero, it would make the lowest product twice.
    let mut carry = black_box(0);
    (*s0, carry) = a.carrying_mul_add(*b0, *s0, carry);
    (*s1, carry) = a.carrying_mul_add(*b1, *s1, carry);
    (*s2, carry) = a.carrying_mul_add(*b2, *s2, carry);
    (*s3, carry) = a.carrying_mul_add(*b3, *s3, carry);
    (*s4, carry) = a.carrying_mul_add(*b4, *s4, carry);
    (*s5, carry) = a.carrying_mul_add(*b5, *s5, carry);
    (*s6, carry) = a.carrying_mul_add(*b6, *s6, carry);
    (*s7, carry) = a.carrying_mul_add(*b7, *s7, carry);
    carry
}

/// a to the power of an exponent that is public, where 1 and products are given.
#[cfg_attr(target_os = "none", inline(never))]
pub(super) fn power(
    a: &Words,
    exponent: &Words,
    one: &Words,
    times: fn(&Words, &Words) -> Words,
) -> Words {
    let mut powers = [*one; 16];
    let mut last = *one;
    for power in powers.iter_mut().skip(1) {
        last = times(&last, a);
        *power = last;
    }
    let mut result = *one;
    for word in exponent.iter().rev() {
        for place in (0..8).rev() {
            for _ in 0..4 {
                result = times(&result, &result);
            }
            if let Some(power) = powers.get((word >> (4 * place) & 15) as usize) {
                result = times(&result, power);
            }
        }
    }
    result
}

/// 1 / a modulo an odd prime, in a time that depends on both; `None` of zero.
#[cfg_attr(target_os = "none", inline(never))]
pub(super) fn inverse_vartime(a: &Words, prime: &Words) -> Option<Words> {
    // x a = u and y a = v, modulo the prime; u and v have no divisor in common, and v is odd.
    let (mut u, mut x, mut v, mut y) = (*a, ONE, *prime, [0; 8]);
    while u != [0; 8] {
        while is_even(&u) {
            halve(&mut u, false);
            let is_odd = !is_even(&x);
            let carry = is_odd && add_to(&mut x, prime);
            halve(&mut x, carry);
        }
        if subtract_from(&mut u, &v) {
            // It was the smaller one: the difference is the other way round.
            add_to(&mut u, &v);
            swap(&mut u, &mut v);
            swap(&mut x, &mut y);
            subtract_from(&mut u, &v);
        }
        if subtract_from(&mut x, &y) {
            add_to(&mut x, prime);
        }
    }
    (v == ONE).then_some(y)
}

#[cfg_attr(target_os = "none", inline(never))]
fn add_to(a: &mut Words, b: &Words) -> bool {
    let carry;
    (*a, carry) = add(a, b);
    carry
}

fn subtract_from(a: &mut Words, b: &Words) -> bool {
    let is_negative;
    (*a, is_negative) = subtract(a, b);
    is_negative
}

fn is_even([first, ..]: &Words) -> bool {
    first & 1 == 0
}

/// Halves an even number that may have 2^256 on top.
#[cfg_attr(target_os = "none", inline(never))]
fn halve(a: &mut Words, mut carry: bool) {
    for word in a.iter_mut().rev() {
        let lowest = *word & 1 == 1;
        *word = *word >> 1 | u32::from(carry) << 31;
        carry = lowest;
    }
}
