//! Products of scalars, and inverses. k256's are unrolled, to kilobytes that a device can use otherwise.

use k256::elliptic_curve::PrimeField as _;
use k256::elliptic_curve::ops::Reduce;
use k256::{FieldBytes, Scalar};

use super::words::{self, ONE, Words, add, add_multiple, bytes_of, power, product, words_of};

/// Whether it is those of this crate that are wanted: on a device, and where its tests are run.
const IS_SMALL: bool = cfg!(any(target_os = "none", cpubits = "32"));

/// 32 bytes, big-endian, modulo the order.
#[cfg_attr(target_os = "none", inline(never))]
pub(super) fn scalar(bytes: &[u8; 32]) -> Scalar {
    <Scalar as Reduce<FieldBytes>>::reduce(&(*bytes).into())
}

/// a b modulo the order, in the same time for all.
pub(super) fn times(a: &Scalar, b: &Scalar) -> Scalar {
    if IS_SMALL { times_in_loops(a, b) } else { *a * *b }
}

/// 1 / a modulo the order, in the same time for all; `None` of zero.
pub(super) fn inverse(a: &Scalar) -> Option<Scalar> {
    if IS_SMALL {
        (!bool::from(a.is_zero())).then(|| inverse_in_loops(a))
    } else {
        a.invert().into_option()
    }
}

/// As [`inverse`], in less time for some.
pub(super) fn inverse_vartime(a: &Scalar) -> Option<Scalar> {
    if IS_SMALL { inverse_in_less_time(a) } else { a.invert_vartime().into_option() }
}

/// The order.
const ORDER: Words =
    [0xd036_4141, 0xbfd2_5e8c, 0xaf48_a03b, 0xbaae_dce6, 0xffff_fffe, u32::MAX, u32::MAX, u32::MAX];
/// The order less 2, the exponent of an inverse.
const INVERSE: Words =
    [0xd036_413f, 0xbfd2_5e8c, 0xaf48_a03b, 0xbaae_dce6, 0xffff_fffe, u32::MAX, u32::MAX, u32::MAX];
/// 2^256 less the order.
const COMPLEMENT: Words = [0x2fc9_bebf, 0x402d_a173, 0x50b7_5fc4, 0x4551_2319, 1, 0, 0, 0];
/// -1 / the order, modulo 2^32.
const FACTOR: u32 = 0x5588_b13f;
/// 2^512 modulo the order.
#[rustfmt::skip]
const SQUARE: Words = [
    0x67d7_d140, 0x896c_f214, 0x0e7c_f878, 0x7414_96c2,
    0x5bcd_07c6, 0xe697_f5e4, 0x81c6_9bc5, 0x9d67_1cd5,
];

#[inline(never)]
fn times_in_loops(a: &Scalar, b: &Scalar) -> Scalar {
    scalar_of(&montgomery(&montgomery(&words(a), &SQUARE), &words(b)))
}

#[inline(never)]
fn inverse_in_loops(a: &Scalar) -> Scalar {
    // Times 2^256, which such products divide by.
    let [scaled, one] = [words(a), ONE].map(|number| montgomery(&number, &SQUARE));
    scalar_of(&montgomery(&power(&scaled, &INVERSE, &one, montgomery), &ONE))
}

fn inverse_in_less_time(a: &Scalar) -> Option<Scalar> {
    words::inverse_vartime(&words(a), &ORDER).map(|inverse| scalar_of(&inverse))
}

/// A number below 2^256 that is a b / 2^256 modulo the order: Montgomery's product, whose every step adds
/// the multiple of the order that makes the lowest digit zero.
#[inline(never)]
fn montgomery(a: &Words, b: &Words) -> Words {
    let (mut sum, mut above) = (product(a, b), false);
    for place in 0..8 {
        let lowest = sum.as_flattened().get(place).copied().unwrap_or_default();
        let factor = lowest.wrapping_mul(FACTOR);
        let carry = add_multiple(&mut sum, place, factor, &ORDER);
        if let Some(word) = sum.as_flattened_mut().get_mut(place + 8) {
            (*word, above) = word.carrying_add(carry, above);
        }
    }
    // With 2^256 on top it is less than that and the order together.
    let [_, high] = sum;
    let top = COMPLEMENT.map(|word| word * u32::from(above));
    add(&high, &top).0
}

fn words(scalar: &Scalar) -> Words {
    words_of(&scalar.to_repr().into())
}

fn scalar_of(words: &Words) -> Scalar {
    scalar(&bytes_of(words))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keccak256;

    #[test]
    fn products_and_inverses_are_those_of_k256() {
        let two_128 = Scalar::from(u128::MAX) + Scalar::ONE;
        let edges = [Scalar::ZERO, Scalar::ONE, Scalar::from(u128::MAX), two_128];
        let edges = edges.into_iter().flat_map(|edge| [edge, -edge, edge * two_128]);
        let mixed = (0..50_u8)
            .map(|seed| <Scalar as Reduce<FieldBytes>>::reduce(&keccak256(&[&[seed]]).into()));
        let all = edges.chain(mixed);
        for (a, b) in all.clone().flat_map(|a| all.clone().map(move |b| (a, b))) {
            assert_eq!(times_in_loops(&a, &b), a * b);
        }
        for a in all {
            let inverse = a.invert().into_option();
            assert_eq!(inverse_in_less_time(&a), inverse);
            assert_eq!(inverse_in_loops(&a), inverse.unwrap_or(Scalar::ZERO));
        }
    }
}
