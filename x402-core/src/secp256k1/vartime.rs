//! Recovery whose time depends on what is recovered, all of which is public.

mod generator;
mod point;
mod scalar;

use k256::Scalar;

use self::point::{Affine, Jacobian, MULTIPLES, Sum};
use self::scalar::{DIGITS, split};
use super::field::{Field, field, is_odd, plus, root};
use super::scalar::{inverse_vartime, scalar, times};
use crate::{Address, Digest, Recover, Signature, SignatureError, hex, keccak256};

/// Recovers with formulas of this crate, in variable time.
///
/// k256 takes the same time for every input, which signing needs and recovery does not: signature,
/// digest and payer are known to everyone who sees the payment. Without that burden recovery takes
/// two thirds of the time, and on a microcontroller a third of the stack, of [`K256`](super::K256),
/// which it equals in every answer.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Vartime;

impl Recover for Vartime {
    fn recover(&self, digest: &Digest, signature: &Signature) -> Result<Address, SignatureError> {
        let xy = public_key(digest, signature).ok_or(SignatureError::Unrecoverable)?;
        Ok(Address::from_word_unchecked(&keccak256(&[xy.as_flattened()])))
    }
}

// The parts are not inlined into each other: the stack then holds the largest of them, and not all.

/// x and y of r⁻¹ (s R - h G), where R is the point that the signature gives the x of.
#[inline(never)]
fn public_key(digest: &Digest, signature: &Signature) -> Option<[[u8; 32]; 2]> {
    // Both are below the order, as of every signature.
    let (r, s) = (scalar(signature.r()), scalar(signature.s()));
    let inverse = inverse_vartime(&r)?;
    let h = scalar(digest.as_bytes());
    let (sum, scale) =
        combination(&-times(&inverse, &h), &times(&inverse, &s), &nonce_point(signature)?)?;
    sum.coordinates(&scale)
}

/// The point with the x of r and a y of the parity of v, if there is one. Magnitudes at most 2.
#[inline(never)]
fn nonce_point(signature: &Signature) -> Option<Affine> {
    let x = field(signature.r())?;
    let y = root(&plus(&x.square().mul(&x), &Field::ONE.mul_single(7)))?;
    let point = Affine { x, y };
    Some(if is_odd(&y) == signature.is_y_odd() { point } else { point.negated() })
}

/// β, the cube root of 1 with λ (x, y) = (β x, y).
const BETA: [u8; 32] =
    hex::literal("0x7ae96a2b657c07106e64479eac3434e99cf0497512f58995c1396c28719501ee");

/// g G + p P, with what the z of it is to be multiplied with; `None` at infinity.
#[inline(never)]
fn combination(g: &Scalar, p: &Scalar, point: &Affine) -> Option<(Jacobian, Field)> {
    let beta = field(&BETA)?;
    let mut multiples = [*point; MULTIPLES];
    let scale = point::odd_multiples(&mut multiples)?;
    let mut sum = Sum(None);
    for digits in digits(g, p).iter().rev() {
        sum.double();
        for (column, digit) in digits.iter().enumerate().filter(|(_, digit)| **digit != 0) {
            let is_of_point = column < 2;
            let mut term = if is_of_point {
                *multiples.get(half(*digit))?
            } else {
                generator::multiple(half(*digit))?
            };
            if column % 2 == 1 {
                term.x = term.x.mul(&beta);
            }
            if *digit < 0 {
                term = term.negated();
            }
            sum.add(&term, (!is_of_point).then_some(&scale));
        }
    }
    Some((sum.0?, scale))
}

/// The digits of the halves of `p` and of `g`, from the lowest on.
#[inline(never)]
fn digits(g: &Scalar, p: &Scalar) -> [[i8; 4]; DIGITS] {
    let mut digits = [[0; 4]; DIGITS];
    let ([p1, p2], [g1, g2]) = (split(p), split(g));
    let widths = [point::WIDTH, point::WIDTH, generator::WIDTH, generator::WIDTH];
    for (column, (half, width)) in [p1, p2, g1, g2].iter().zip(widths).enumerate() {
        for (row, digit) in digits.iter_mut().zip(half.digits(width)) {
            if let Some(place) = row.get_mut(column) {
                *place = digit;
            }
        }
    }
    digits
}

/// Where a table of the odd multiples has that of a digit.
fn half(digit: i8) -> usize {
    usize::from(digit.unsigned_abs() / 2)
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use k256::elliptic_curve::PrimeField as _;
    use k256::elliptic_curve::sec1::ToSec1Point as _;
    use k256::{AffinePoint, ProjectivePoint};

    use super::*;

    fn bytes_of(point: ProjectivePoint) -> [[u8; 32]; 2] {
        let point = AffinePoint::from(point).to_sec1_point(false);
        [*point.x().unwrap(), *point.y().unwrap()].map(Into::into)
    }

    fn affine(point: ProjectivePoint) -> Affine {
        let [x, y] = bytes_of(point).map(|bytes| field(&bytes).unwrap());
        Affine { x, y }
    }

    fn lambda() -> Scalar {
        let text = "0x5363ad4cc05c30e0a5261c028812645a122e22ea20816678df02967c1b23bd72";
        Scalar::from_repr(hex::decode::<32>(text).unwrap().into()).unwrap()
    }

    /// Edges of the split and of the digits, and what is between them.
    fn scalars() -> impl Iterator<Item = Scalar> {
        let lambda = lambda();
        let two_128 = Scalar::from(u128::MAX) + Scalar::ONE;
        let edges = [
            Scalar::ZERO,
            Scalar::ONE,
            Scalar::from(2_u32),
            Scalar::from(31_u32),
            Scalar::from(u128::MAX),
            two_128,
            two_128 * two_128 - Scalar::ONE,
            lambda,
            lambda + Scalar::ONE,
            lambda * Scalar::from(u128::MAX),
        ];
        let mixed = (0..12_u8).map(|seed| scalar(&keccak256(&[&[seed]])));
        edges.into_iter().flat_map(|edge| [edge, -edge]).chain(mixed)
    }

    #[test]
    fn the_table_has_the_odd_multiples_of_the_generator() {
        let double = ProjectivePoint::GENERATOR.double();
        let mut expected = ProjectivePoint::GENERATOR;
        for half in 0..1 << (generator::WIDTH - 2) {
            let multiple = generator::multiple(half).unwrap();
            let bytes: [[u8; 32]; 2] =
                [multiple.x, multiple.y].map(|of| crate::secp256k1::field::bytes(&of));
            assert_eq!(bytes, bytes_of(expected), "{half}");
            expected += double;
        }
        assert!(generator::multiple(1 << (generator::WIDTH - 2)).is_none());
    }

    #[test]
    fn halves_and_digits_make_the_scalar_again() {
        let lambda = lambda();
        for scalar in scalars() {
            for width in [point::WIDTH, generator::WIDTH] {
                let value = |half: &scalar::Half| {
                    let digits: Vec<_> = half.digits(width).collect();
                    digits.iter().rev().fold(Scalar::ZERO, |sum, digit| {
                        let size = Scalar::from(u32::from(digit.unsigned_abs()));
                        sum + sum + if *digit < 0 { -size } else { size }
                    })
                };
                let [first, second] = split(&scalar);
                assert_eq!(value(&first) + lambda * value(&second), scalar);
            }
        }
    }

    #[test]
    fn combinations_are_those_of_k256() {
        let point = ProjectivePoint::GENERATOR * Scalar::from(0xc0ffee_u32);
        let mut at_infinity = 0;
        for (g, p) in scalars().flat_map(|g| scalars().map(move |p| (g, p))) {
            let expected = ProjectivePoint::GENERATOR * g + point * p;
            let sum = combination(&g, &p, &affine(point));
            let sum = sum.map(|(sum, scale)| sum.coordinates(&scale).unwrap());
            let is_infinity = expected == ProjectivePoint::IDENTITY;
            at_infinity += u32::from(is_infinity);
            assert_eq!(sum, (!is_infinity).then(|| bytes_of(expected)));
        }
        assert!(at_infinity > 0, "the case that is special was not tried");
    }

    #[test]
    fn sums_that_meet_themselves_are_those_of_k256() {
        // p P is near to ±g G, so that the formulas meet equal and opposite points on the way.
        let small = (1..20_u32).map(Scalar::from);
        for (k, g) in small.clone().flat_map(|k| small.clone().map(move |g| (k, g))) {
            let point = ProjectivePoint::GENERATOR * k;
            let inverse = k.invert_vartime().unwrap();
            for p in [g * inverse, -(g * inverse), inverse, -inverse, Scalar::ONE] {
                let expected = ProjectivePoint::GENERATOR * g + point * p;
                let sum = combination(&g, &p, &affine(point));
                let sum = sum.map(|(sum, scale)| sum.coordinates(&scale).unwrap());
                let is_infinity = expected == ProjectivePoint::IDENTITY;
                assert_eq!(sum, (!is_infinity).then(|| bytes_of(expected)));
            }
        }
    }
}
