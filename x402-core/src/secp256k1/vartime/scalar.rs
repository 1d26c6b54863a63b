//! Scalars as few digits: split in two halves by the curve's endomorphism, each half in digits of
//! which most are zero.

use k256::Scalar;
use k256::elliptic_curve::PrimeField as _;
use ruint::aliases::U256;

use super::super::scalar::add_product;

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
const A1: U256 = U256::from_limbs([0xe86c_90e4_9284_eb15, 0x3086_d221_a7d4_6bcd, 0, 0]);
const MINUS_B1: U256 = U256::from_limbs([0x6f54_7fa9_0abf_e4c3, 0xe443_7ed6_010e_8828, 0, 0]);
const A2: U256 = U256::from_limbs([0x57c1_108d_9d44_cfd8, 0x14ca_50f7_a8e2_f3f6, 1, 0]);
const G1: U256 = U256::from_limbs([
    0xe893_209a_45db_b031,
    0x3daa_8a14_71e8_ca7f,
    0xe86c_90e4_9284_eb15,
    0x3086_d221_a7d4_6bcd,
]);
const G2: U256 = U256::from_limbs([
    0x1571_b4ae_8ac4_7f71,
    0x2212_08ac_9df5_06c6,
    0x6f54_7fa9_0abf_e4c4,
    0xe443_7ed6_010e_8828,
]);

/// k1 and k2 with k = k1 + λ k2, where λ (x, y) = (β x, y) on the curve.
pub(super) fn split(k: &Scalar) -> [Half; 2] {
    let k = U256::from_be_bytes::<32>(k.to_repr().into());
    let (c1, c2) = (rounded(&k, G1), rounded(&k, G2));
    // Both are below 2^128 in size, so that what is lost modulo 2^256 makes no difference.
    let times = |c: &U256, by: U256| low(product(c, &by));
    let k1 = k.wrapping_sub(times(&c1, A1)).wrapping_sub(times(&c2, A2));
    let k2 = times(&c1, MINUS_B1).wrapping_sub(times(&c2, A1));
    [k1, k2].map(half)
}

/// k g / 2^384, rounded to the nearest.
fn rounded(k: &U256, g: U256) -> U256 {
    let [.., below, d0, d1, d2, d3] = product(k, &g);
    let quotient = low([d0, d1, d2, d3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    quotient.wrapping_add(U256::from(below >> 31))
}

/// The product of two numbers, in digits of 32 bits, the lowest first.
fn product(a: &U256, b: &U256) -> [u32; 16] {
    let mut product = [0; 16];
    add_product(&mut product, &digits(a), &digits(b));
    product
}

/// The digits of 32 bits, the lowest first.
fn digits(number: &U256) -> [u32; 8] {
    let mut digits = [0; 8];
    for (pair, limb) in digits.as_chunks_mut::<2>().0.iter_mut().zip(number.as_limbs()) {
        *pair = [*limb as u32, (*limb >> 32) as u32];
    }
    digits
}

/// The number of the low half of the digits.
fn low(digits: [u32; 16]) -> U256 {
    let mut limbs = [0; 4];
    for (limb, [low, high]) in limbs.iter_mut().zip(digits.as_chunks::<2>().0) {
        *limb = u64::from(*high) << 32 | u64::from(*low);
    }
    U256::from_limbs(limbs)
}

/// From two's complement.
fn half(number: U256) -> Half {
    let is_negative = number.bit(255);
    let size = if is_negative { number.wrapping_neg() } else { number };
    let [low, high, ..] = size.into_limbs();
    Half { is_negative, size: u128::from(high) << 64 | u128::from(low) }
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
