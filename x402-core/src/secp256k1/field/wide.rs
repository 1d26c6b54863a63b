//! k256's integers modulo p.

use k256::Secp256k1;
use k256::elliptic_curve::hazmat::FieldArithmetic;

/// An integer modulo p, of some magnitude.
pub(in crate::secp256k1) type Field = <Secp256k1 as FieldArithmetic>::FieldElement;

/// a + b, of both magnitudes together.
pub(in crate::secp256k1) fn plus(a: &Field, b: &Field) -> Field {
    *a + *b
}

/// a - b, where b is of this magnitude: of both together and one more.
pub(in crate::secp256k1) fn minus(a: &Field, b: &Field, magnitude: u32) -> Field {
    *a + b.negate(magnitude)
}

/// n a, of magnitude 1, where n times the magnitude is below 32.
pub(in crate::secp256k1) fn times(a: &Field, n: u32) -> Field {
    a.mul_single(n).normalize_weak()
}

/// From 32 bytes, big-endian; `None` from p on.
pub(in crate::secp256k1) fn field(bytes: &[u8; 32]) -> Option<Field> {
    Field::from_bytes(&(*bytes).into()).into_option()
}

/// 32 bytes, big-endian, below p.
pub(in crate::secp256k1) fn bytes(a: &Field) -> [u8; 32] {
    a.to_bytes().into()
}

/// Whether the number below p is odd.
pub(in crate::secp256k1) fn is_odd(a: &Field) -> bool {
    a.normalize().is_odd().into()
}

/// Whether it is zero.
pub(in crate::secp256k1) fn is_zero(a: &Field) -> bool {
    a.normalizes_to_zero().into()
}

/// 1 / a, of magnitude 1; `None` of zero. In the same time for all.
pub(in crate::secp256k1) fn inverse(a: &Field) -> Option<Field> {
    a.normalize().invert().into_option()
}

/// As [`inverse`], in less time for some.
pub(in crate::secp256k1) fn inverse_vartime(a: &Field) -> Option<Field> {
    a.normalize().invert_vartime().into_option()
}

/// A number of which this is the square, of magnitude 1, if there is one.
pub(in crate::secp256k1) fn root(a: &Field) -> Option<Field> {
    a.sqrt().into_option()
}
