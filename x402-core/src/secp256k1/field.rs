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
