//! Scalars as few digits: split in two halves by the curve's endomorphism, each half in digits of
//! which most are zero.

use k256::Scalar;
use k256::elliptic_curve::PrimeField as _;

use super::super::words::{Words, add, product, subtract, words_of};

/// The digits of a half: at most 128 bits, and a carry.
pub(super) const DIGITS: usize = 129;

/// An integer below 2^128 in size.
#[derive(Clone, Copy, Debug)]
pub(super) struct Half {
    pub(super) is_negative: bool,
    pub(super) size: u128,
}

// The lattice of libsecp256k1 (scalar_impl.h): (A1, -MINUS_B1) and (A2, A1) are short vectors of
// (a, b) with a + b λ = 0 modulo n; G1 and G2 are 2^384 A1 / n and 2^384 MINUS_B1 / n, rounded.
const A1: Words = [0x9284_eb15, 0xe86c_90e4, 0xa7d4_6bcd, 0x3086_d221, 0, 0, 0, 0];
const MINUS_B1: Words = [0x0abf_e4c3, 0x6f54_7fa9, 0x010e_8828, 0xe443_7ed6, 0, 0, 0, 0];
const A2: Words = [0x9d44_cfd8, 0x57c1_108d, 0xa8e2_f3f6, 0x14ca_50f7, 1, 0, 0, 0];
#[rustfmt::skip]
const G1: Words = [
    0x45db_b031, 0xe893_209a, 0x71e8_ca7f, 0x3daa_8a14,
    0x9284_eb15, 0xe86c_90e4, 0xa7d4_6bcd, 0x3086_d221,
];
#[rustfmt::skip]
const G2: Words = [
    0x8ac4_7f71, 0x1571_b4ae, 0x9df5_06c6, 0x2212_08ac,
    0x0abf_e4c4, 0x6f54_7fa9, 0x010e_8828, 0xe443_7ed6,
];

/// k1 and k2 with k = k1 + λ k2, where λ (x, y) = (β x, y) on the curve.
pub(super) fn split(k: &Scalar) -> [Half; 2] {
    let k = words_of(&k.to_repr().into());
    let (c1, c2) = (rounded(&k, &G1), rounded(&k, &G2));
    // Both are below 2^128 in size, so that what is lost modulo 2^256 makes no difference.
    let less = |from: &Words, c: &Words, by: &Words| subtract(from, &product(c, by)[0]).0;
    let k1 = less(&less(&k, &c1, &A1), &c2, &A2);
    let k2 = less(&product(&c1, &MINUS_B1)[0], &c2, &A1);
    [k1, k2].map(half)
}

/// k g / 2^384, rounded to the nearest.
fn rounded(k: &Words, g: &Words) -> Words {
    let [_, [.., below, d0, d1, d2, d3]] = product(k, g);
    add(&[d0, d1, d2, d3, 0, 0, 0, 0], &[below >> 31, 0, 0, 0, 0, 0, 0, 0]).0
}

/// From two's complement.
fn half(number: Words) -> Half {
    let [.., last] = number;
    let is_negative = last >> 31 == 1;
    let size = if is_negative { subtract(&[0; 8], &number).0 } else { number };
    let [s0, s1, s2, s3, ..] = size.map(u128::from);
    Half { is_negative, size: s3 << 96 | s2 << 64 | s1 << 32 | s0 }
}

impl Half {
    /// Digits from the lowest on, zero or odd and below 2^(width - 1) in size; of `width` that follow
    /// each other at most one is not zero.
    pub(super) fn digits(&self, width: u32) -> impl Iterator<Item = i8> {
        let (sign, radix) = (if self.is_negative { -1 } else { 1 }, 1_i16 << width);
        let mut rest = self.size;
        (0..DIGITS).map(move |_| {
            let mut digit = 0;
            if rest & 1 == 1 {
                let low = rest.to_le_bytes()[0];
                digit = i16::from(low) & (radix - 1);
                digit -= if digit < radix / 2 { 0 } else { radix };
            }
            // (rest - digit) / 2: both are odd or even alike, and their difference might not fit.
            rest = (rest >> 1).wrapping_add_signed(-i128::from(digit >> 1));
            sign * digit as i8
        })
    }
}
