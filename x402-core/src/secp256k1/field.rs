//! Integers modulo p: k256's, and on a device those of this crate.
//!
//! A field element of k256 has a magnitude, by which it may exceed the modulus: products have 1, a
//! sum has the sum, and a factor may have 8 at most. Debug builds of k256 count and check it; the
//! bounds that hold are written beside the coordinates.

#[cfg(any(target_os = "none", cpubits = "32", test))]
mod small;
#[cfg(not(any(target_os = "none", cpubits = "32")))]
mod wide;

#[cfg(any(target_os = "none", cpubits = "32"))]
pub(super) use self::small::{
    Field, bytes, field, inverse, inverse_vartime, is_odd, is_zero, minus, plus, root, times,
};
#[cfg(not(any(target_os = "none", cpubits = "32")))]
pub(super) use self::wide::{
    Field, bytes, field, inverse, inverse_vartime, is_odd, is_zero, minus, plus, root, times,
};
