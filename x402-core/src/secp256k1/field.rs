//! k256's integers modulo p.
//!
//! A field element of k256 has a magnitude, by which it may exceed the modulus: products have 1, a
//! sum has the sum, and a factor may have 8 at most. Debug builds of k256 count and check it; the
//! bounds that hold are written beside the coordinates.

use k256::Secp256k1;
use k256::elliptic_curve::hazmat::FieldArithmetic;

/// An integer modulo p, of some magnitude.
pub(super) type Field = <Secp256k1 as FieldArithmetic>::FieldElement;

/// From 32 bytes, big-endian; `None` from p on.
pub(super) fn field(bytes: &[u8; 32]) -> Option<Field> {
    Field::from_bytes(&(*bytes).into()).into_option()
}

// Not inlined where each is longer than the call.

/// a + b, of both magnitudes together.
#[cfg_attr(target_os = "none", inline(never))]
pub(super) fn plus(a: &Field, b: &Field) -> Field {
    *a + *b
}

/// a - b, where b is of this magnitude: of both together and one more.
#[cfg_attr(target_os = "none", inline(never))]
pub(super) fn minus(a: &Field, b: &Field, magnitude: u32) -> Field {
    *a + b.negate(magnitude)
}

/// n a, of magnitude 1, where n times the magnitude is below 32.
#[cfg_attr(target_os = "none", inline(never))]
pub(super) fn times(a: &Field, n: u32) -> Field {
    a.mul_single(n).normalize_weak()
}
