//! Integers modulo p for devices: k256's are unrolled, to kilobytes, and on a processor that multiplies and
//! adds twice in one instruction hardly faster.

use k256::elliptic_curve::subtle::{Choice, ConditionallySelectable};

use super::super::words::{
    self, Words, add, bytes_of, complement, power, put_product, subtract, words_of,
};

/// An integer modulo p, as any number below 2^256.
#[derive(Clone, Copy)]
pub(in crate::secp256k1) struct Field(Words);

/// p.
const PRIME: Words = [0xffff_fc2f, 0xffff_fffe, MAX, MAX, MAX, MAX, MAX, MAX];
/// p - 2, the exponent of an inverse.
const INVERSE: Words = [0xffff_fc2d, 0xffff_fffe, MAX, MAX, MAX, MAX, MAX, MAX];
/// (p + 1) / 4, the exponent of a square root.
const ROOT: Words = [0xbfff_ff0c, MAX, MAX, MAX, MAX, MAX, MAX, MAX >> 2];
const MAX: u32 = u32::MAX;

/// 2^256 modulo p is 2^32 and this.
const ABOVE: u32 = 977;

impl Field {
    pub(in crate::secp256k1) const ONE: Self = Self(words::ONE);

    pub(in crate::secp256k1) fn square(&self) -> Self {
        self.mul(self)
    }

    #[inline(never)]
    pub(in crate::secp256k1) fn mul(&self, other: &Self) -> Self {
        let mut product = [[0; 8]; 2];
        put_product(&mut product, &self.0, &other.0);
        let [low, high] = &mut product;
        let (mut carry, mut below) = (0, 0);
        for (low, high) in low.iter_mut().zip(high) {
            // At most 2^42.
            carry += u64::from(*high) * u64::from(ABOVE) + u64::from(*low) + u64::from(below);
            below = *high;
            *low = carry as u32;
            carry >>= 32;
        }
        fold(low, carry + u64::from(below))
    }

    /// n a, where n is small.
    pub(in crate::secp256k1) fn mul_single(&self, n: u32) -> Self {
        let (mut words, mut carry) = (self.0, 0);
        for word in &mut words {
            (*word, carry) = word.carrying_mul(n, carry);
        }
        fold(&words, carry.into())
    }

    /// -a. Magnitudes are k256's.
    pub(in crate::secp256k1) fn negate(&self, magnitude: u32) -> Self {
        minus(&Self([0; 8]), self, magnitude)
    }
}

/// The number with 2^256 so many times on top, of which there are less than 2^34.
#[inline(never)]
fn fold(words: &Words, above: u64) -> Field {
    let times = u128::from(above) * ((1 << 32) + u128::from(ABOVE));
    let times = [times as u32, (times >> 32) as u32, (times >> 64) as u32, 0, 0, 0, 0, 0];
    let (mut words, carry) = add(words, &times);
    // Once more: then nothing but the lowest digits can be there.
    let [w0, w1, w2, ..] = &mut words;
    let mut more = false;
    (*w0, more) = w0.carrying_add(u32::from(carry) * ABOVE, more);
    (*w1, more) = w1.carrying_add(u32::from(carry), more);
    *w2 = w2.wrapping_add(more.into());
    Field(words)
}

/// a + b.
#[inline(never)]
pub(in crate::secp256k1) fn plus(a: &Field, b: &Field) -> Field {
    let (sum, carry) = add(&a.0, &b.0);
    fold(&sum, carry.into())
}

/// a - b.
#[inline(never)]
pub(in crate::secp256k1) fn minus(a: &Field, b: &Field, _magnitude: u32) -> Field {
    // The complement of a number is 2^256 - 1 less the number.
    let difference = plus(&Field(complement(&a.0)), b);
    Field(complement(&difference.0))
}

/// n a, where n is small.
pub(in crate::secp256k1) fn times(a: &Field, n: u32) -> Field {
    a.mul_single(n)
}

/// From 32 bytes, big-endian; `None` from p on.
pub(in crate::secp256k1) fn field(bytes: &[u8; 32]) -> Option<Field> {
    let words = words_of(bytes);
    let (_, is_below) = subtract(&words, &PRIME);
    is_below.then_some(Field(words))
}

/// 32 bytes, big-endian, below p.
#[inline(never)]
pub(in crate::secp256k1) fn bytes(a: &Field) -> [u8; 32] {
    let (less, is_below) = subtract(&a.0, &PRIME);
    let is_below = Choice::from(u8::from(is_below));
    bytes_of(&Words::conditional_select(&less, &a.0, is_below))
}

/// Whether the one of them that is below p is odd.
pub(in crate::secp256k1) fn is_odd(a: &Field) -> bool {
    let [.., last] = bytes(a);
    last & 1 == 1
}

/// Whether it is zero.
pub(in crate::secp256k1) fn is_zero(a: &Field) -> bool {
    let differ = |other: &Words| a.0.iter().zip(other).fold(0, |all, (a, b)| all | (a ^ b)) != 0;
    !(differ(&[0; 8]) & differ(&PRIME))
}

/// a to the power of the exponent.
fn to_the(a: &Field, exponent: &Words) -> Field {
    Field(power(&a.0, exponent, &words::ONE, |a, b| Field(*a).mul(&Field(*b)).0))
}

/// 1 / a; `None` of zero. In the same time for all.
#[inline(never)]
pub(in crate::secp256k1) fn inverse(a: &Field) -> Option<Field> {
    (!is_zero(a)).then(|| to_the(a, &INVERSE))
}

/// As [`inverse`], in less time.
pub(in crate::secp256k1) fn inverse_vartime(a: &Field) -> Option<Field> {
    words::inverse_vartime(&a.0, &PRIME).map(Field)
}

/// A number of which this is the square, if there is one.
#[inline(never)]
pub(in crate::secp256k1) fn root(a: &Field) -> Option<Field> {
    let root = to_the(a, &ROOT);
    is_zero(&minus(&root.square(), a, 1)).then_some(root)
}

impl ConditionallySelectable for Field {
    fn conditional_select(a: &Self, b: &Self, choice: Choice) -> Self {
        Self(Words::conditional_select(&a.0, &b.0, choice))
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use k256::Secp256k1;
    use k256::elliptic_curve::hazmat::FieldArithmetic;

    use super::*;
    use crate::keccak256;

    type Theirs = <Secp256k1 as FieldArithmetic>::FieldElement;

    /// Edges of both ends of the range, and what is between them.
    fn numbers() -> Vec<[u8; 32]> {
        let near = |words: Words| {
            let small = (0..3).map(|small| [small, 0, 0, 0, 0, 0, 0, 0]);
            small.flat_map(move |small| [add(&words, &small).0, subtract(&words, &small).0])
        };
        let ends = [[0; 8], PRIME, [ABOVE, 1, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 1, 0, 0, 0]];
        let mixed = (0..20_u8).map(|seed| keccak256(&[&[seed]]));
        ends.into_iter().flat_map(near).map(|words| bytes_of(&words)).chain(mixed).collect()
    }

    #[test]
    fn elements_are_those_of_k256() {
        let of_theirs = |a: &Theirs| -> [u8; 32] { a.normalize().to_bytes().into() };
        let (mut all, mut above) = (Vec::new(), 0);
        for number in numbers() {
            let theirs = Theirs::from_bytes(&number.into()).into_option();
            assert_eq!(field(&number).is_some(), theirs.is_some());
            // What is not below the prime is no number from elsewhere, but one that sums may have.
            let (less, _) = subtract(&words_of(&number), &PRIME);
            let theirs = theirs.or_else(|| {
                above += 1;
                Theirs::from_bytes(&bytes_of(&less).into()).into_option()
            });
            all.push((Field(words_of(&number)), theirs.unwrap()));
        }
        assert!(above > 2, "numbers that are not below the prime were not tried");
        assert_eq!(bytes(&Field::ONE), of_theirs(&Theirs::ONE));
        for (a, theirs) in &all {
            assert_eq!(bytes(a), of_theirs(theirs));
            assert_eq!(is_odd(a), bool::from(theirs.normalize().is_odd()));
            assert_eq!(is_zero(a), bool::from(theirs.normalizes_to_zero()));
            assert_eq!(bytes(&a.square()), of_theirs(&theirs.square()));
            assert_eq!(bytes(&a.negate(1)), of_theirs(&theirs.negate(1)));
            assert_eq!(bytes(&times(a, 21)), of_theirs(&theirs.mul_single(21)));
            let inverted = theirs.invert().into_option().map(|a| of_theirs(&a));
            assert_eq!(inverse(a).map(|a| bytes(&a)), inverted);
            assert_eq!(inverse_vartime(a).map(|a| bytes(&a)), inverted);
            let is_square = bool::from(theirs.sqrt().is_some());
            assert_eq!(root(a).map(|root| bytes(&root.square())), is_square.then(|| bytes(a)));
        }
        for ((a, theirs), (b, other)) in all.iter().flat_map(|a| all.iter().map(move |b| (a, b))) {
            assert_eq!(bytes(&a.mul(b)), of_theirs(&theirs.mul(other)));
            assert_eq!(bytes(&plus(a, b)), of_theirs(&(*theirs + *other)));
            assert_eq!(bytes(&minus(a, b, 1)), of_theirs(&(*theirs + other.negate(1))));
            for (choice, chosen) in [(0, a), (1, b)] {
                assert_eq!(Field::conditional_select(a, b, choice.into()).0, chosen.0);
            }
        }
    }
}
