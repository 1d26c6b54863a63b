//! Products of scalars. k256's are unrolled, to three kilobytes that a device can use otherwise.

use k256::elliptic_curve::PrimeField as _;
use k256::elliptic_curve::ops::Reduce;
use k256::{FieldBytes, Scalar};

/// a b modulo the order, in the same time for all.
pub(super) fn times(a: &Scalar, b: &Scalar) -> Scalar {
    if cfg!(target_os = "none") { times_in_loops(a, b) } else { *a * *b }
}

/// 2^256 less the order, in digits of 32 bits, the lowest first.
const COMPLEMENT: [u32; 5] = [0x2fc9_bebf, 0x402d_a173, 0x50b7_5fc4, 0x4551_2319, 1];
/// How often the upper half of a product is folded into the lower one until it is zero: 256 bits of
/// it become 130, then 5, then 1, then none.
const FOLDS: usize = 4;

#[inline(never)]
fn times_in_loops(a: &Scalar, b: &Scalar) -> Scalar {
    let mut wide = [0; 16];
    add_product(&mut wide, &digits_of(a), &digits_of(b));
    for _ in 0..FOLDS {
        // 2^256 is the complement, modulo the order.
        let (low, high) = wide.split_at(8);
        let mut folded = [0; 16];
        for (slot, digit) in folded.iter_mut().zip(low) {
            *slot = *digit;
        }
        add_product(&mut folded, high, &COMPLEMENT);
        wide = folded;
    }
    let mut bytes = FieldBytes::default();
    for (chunk, digit) in bytes.as_chunks_mut::<4>().0.iter_mut().rev().zip(wide) {
        *chunk = digit.to_be_bytes();
    }
    <Scalar as Reduce<FieldBytes>>::reduce(&bytes)
}

fn digits_of(scalar: &Scalar) -> [u32; 8] {
    let mut digits = [0; 8];
    let bytes = scalar.to_repr();
    for (digit, chunk) in digits.iter_mut().rev().zip(bytes.as_chunks().0) {
        *digit = u32::from_be_bytes(*chunk);
    }
    digits
}

/// Adds the product of two numbers to a third, all in digits of 32 bits, the lowest first. There is
/// room for the carries where the sum fits.
pub(super) fn add_product(sum: &mut [u32; 16], a: &[u32], b: &[u32]) {
    for (place, a) in a.iter().enumerate() {
        let mut carry = 0;
        // To the end of the sum: where the carry ends must not show.
        for (slot, b) in sum.iter_mut().skip(place).zip(b.iter().chain([0; 16].iter())) {
            let digit = u64::from(*a) * u64::from(*b) + u64::from(*slot) + carry;
            (*slot, carry) = (digit as u32, digit >> 32);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keccak256;

    #[test]
    fn products_in_loops_are_those_of_k256() {
        let two_128 = Scalar::from(u128::MAX) + Scalar::ONE;
        let edges = [Scalar::ZERO, Scalar::ONE, Scalar::from(u128::MAX), two_128];
        let edges = edges.into_iter().flat_map(|edge| [edge, -edge, edge * two_128]);
        let mixed = (0..50_u8)
            .map(|seed| <Scalar as Reduce<FieldBytes>>::reduce(&keccak256(&[&[seed]]).into()));
        let all = edges.chain(mixed);
        for (a, b) in all.clone().flat_map(|a| all.clone().map(move |b| (a, b))) {
            assert_eq!(times_in_loops(&a, &b), a * b);
        }
    }
}
