//! Multiples of the generator, in constant time.
//!
//! A scalar k is a sum of ±2^i, i below 260: with d = (k + 2^260 - 1) / 2 modulo the order, bit i of d
//! says plus. [`SPACING`] bits apart, five of these at a time are a row of the table, or its negation.

use k256::Scalar;
use k256::elliptic_curve::PrimeField as _;
use k256::elliptic_curve::subtle::{Choice, ConditionallySelectable as _, ConstantTimeEq as _};

use super::super::field::{Field, bytes, field, inverse, minus, plus, times};
use super::super::scalar::{scalar, times as times_scalar};
use crate::hex;

/// How far apart the bits of a row are.
const SPACING: usize = 52;
/// How many bits choose a row; one more says its sign.
const BITS: usize = 4;

/// x and y, each as words of 32 bits, the highest first.
type Row = [[u32; 8]; 2];

/// In row j: (2^208 ± 2^156 ± 2^104 ± 2^52 ± 1) G, where bit t of j says plus of 2^(52 t). The unit test
/// multiplies them out.
const TABLE: [Row; 1 << BITS] = [
    row(
        "0xfa794fa573ee8ab7b85b94cea4792e892b419e403342a97b8c2d7b565afc6849",
        "0xbdccabce568bf9d678aebe437424ec7264730d7e5f6b8b5ca0d37008d7885af8",
    ),
    row(
        "0xa2f3332e9af58119bfbf05cfbf26de019c61216f5efe221d671cd2a013ac0a71",
        "0x487460a90c85fdc0004f1cbc75f059a568411dc1fb85e4e11030d35917fb4155",
    ),
    row(
        "0x4ec2b23625cf66d062e5e9c29aa887f497dae364ba1696a7eaf0d8c07f62f55b",
        "0x7fd8811254d2b55fe333283301e3f42ec70eff67244cf05004ebdc7f1322d18e",
    ),
    row(
        "0x121c5f8d2048e2244ad3654e36167d5c5e809655681142c1aacb8746bcad8875",
        "0xdddcdcfc23af1a6244c57462e50a90fe04d4d94cdcb2d826895fb41ef260cd35",
    ),
    row(
        "0x80388f3c5b362124c70ac327d6c41887b3a30360f4ec0249928983f433a7f07f",
        "0xf9960655695bf9a7ceba6715cda5575e3a2e28e8f283403da02e0606dbdbd456",
    ),
    row(
        "0xf2583eab6479d4e2bbf115aed5c8671763b1b56931d4d1a8b7d30cbac835ce36",
        "0xa1aa60963c77b320e95ec3886601717ed396443d837d291b900760f495397327",
    ),
    row(
        "0x6ab63434ee2a785b94ba471d4cee0ef0e28175d56e16cd3a799cbb01684b7834",
        "0xcbad56591ab9ddc0f687340c7b5cf606aa6b7e00453d529b50885b6318d9d5f4",
    ),
    row(
        "0x20bd130442acfdbccd41982dbddaaebe055f3b24038bbea8ff20d28fd515e754",
        "0x5b95253b5b3806422f27d1651e09fc1004797eec85dde2dfca17f83768d3baad",
    ),
    row(
        "0x662faadeb3e3d6d6195db69a4c0e830a927ca54071c07944689f4bf05164386a",
        "0x6e6f54854d9a2413d8e2bb829d524962bbbd49760ea762d44d69869c8a8bfc12",
    ),
    row(
        "0x11d802b7edc81a15fe548d00cc0b2a80c16db8fdd8b2089d89953d5d8f478001",
        "0x25cf8d662d9f937088681fba797e4992e849cca1c73c2a1fc36dcc44dc194646",
    ),
    row(
        "0x16ed632ea05273596111c23ec4676457909354d266bf5d1709db6e7fc26ead14",
        "0x4f772677d14316b075251879a8a334f3f30cbcf698ad517c25c776f94bc8bc22",
    ),
    row(
        "0xf419a3b949caa66628d528ae67932504e5aebd98fbbeeba17fe61079bba98774",
        "0x8488be5a7bb1e410dfd03caf0708387fd8d504a06b8651dc81c20c012b326353",
    ),
    row(
        "0x8413ef7205cd1880b133b8c2bf7eb9b60719c14f802fb121bde81eb0321c4287",
        "0x93d3cc6f0164d8daf89870ba56085c8a43e3e34f64499bd1c9e2196acd5bb22d",
    ),
    row(
        "0x94cba2cf7ac2c5817c2caed4b06d6cf98c188cbf8dba68817ab3822ba2512f02",
        "0x208ecb1d8a9f6e8be803a9741bad8de19773d9882aad459618ef3eccd569ece5",
    ),
    row(
        "0x0392febf259e8da7ebc9ac4ab1dc8ebdd7547ebc043fbefbaf15176ef6e0ae00",
        "0x48abd5e026bd35b54b851fe3e3f95342c1c8fa53e2f85b3a0ded12d67f7ee8d2",
    ),
    row(
        "0x892a09ec30ef2135566b058b228ab159cc0fc9191d4bf2cd11f8813efd32e1cc",
        "0xab3a52b18a7f893795bdf49c0acd8f4ff2b2f5ccf43a18dd4c3c6c07464a8415",
    ),
];

const fn row(x: &str, y: &str) -> Row {
    [words(hex::literal(x)), words(hex::literal(y))]
}

#[allow(clippy::indexing_slicing, reason = "evaluated at compile time only")]
const fn words(bytes: [u8; 32]) -> [u32; 8] {
    let mut words = [0; 8];
    let mut at = 0;
    while at < 32 {
        words[at / 4] = words[at / 4] << 8 | bytes[at] as u32;
        at += 1;
    }
    words
}

/// 2^260 - 1 modulo the order.
const ALL_PLUS: [u8; 32] =
    hex::literal("0x00000000000000000000000000000014551231950b75fc4402da1732fc9bebef");
/// 1/2 modulo the order.
const HALF: [u8; 32] =
    hex::literal("0x7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a1");

/// x and y of k G, 32 bytes each, big-endian; `None` where k is zero.
#[inline(never)]
pub(super) fn multiple(k: &Scalar) -> Option<[[u8; 32]; 2]> {
    let signs = times_scalar(&(*k + scalar(&ALL_PLUS)), &scalar(&HALF));
    sum(&signs.to_repr().into())?.coordinates()
}

/// The sum of all rows, from the highest bits on.
#[inline(never)]
fn sum(signs: &[u8; 32]) -> Option<Projective> {
    let [x, y] = row_of(signs, SPACING - 1)?;
    let mut sum = Projective { x, y, z: Field::ONE };
    for column in (0..SPACING - 1).rev() {
        sum = sum.double().add(&row_of(signs, column)?);
    }
    Some(sum)
}

/// x and y of the row for a column of the signs, with its sign. Magnitudes 1 and 2.
#[inline(never)]
fn row_of(signs: &[u8; 32], column: usize) -> Option<[Field; 2]> {
    let bit = |place: usize| {
        let place = column + place * SPACING;
        signs.iter().rev().nth(place / 8).map_or(0, |byte| (byte >> (place % 8)) & 1)
    };
    let is_minus = Choice::from(bit(BITS) ^ 1);
    let index = (0..BITS).fold(0, |index, place| index | bit(place) << place);
    // The row of the opposite signs, to be negated.
    let index = u8::conditional_select(&index, &(index ^ 0xf), is_minus);
    let mut words = [[0_u32; 8]; 2];
    for (row, number) in TABLE.iter().zip(0_u8..) {
        let is_it = number.ct_eq(&index);
        for (word, of_row) in words.as_flattened_mut().iter_mut().zip(row.as_flattened()) {
            word.conditional_assign(of_row, is_it);
        }
    }
    let [x, y] = words.map(|words| field(&bytes_of(words)));
    let y = y?;
    Some([x?, Field::conditional_select(&y, &y.negate(1), is_minus)])
}

fn bytes_of(words: [u32; 8]) -> [u8; 32] {
    let mut bytes = [0; 32];
    for (chunk, word) in bytes.as_chunks_mut().0.iter_mut().zip(words) {
        *chunk = word.to_be_bytes();
    }
    bytes
}

/// (x / z, y / z), or the point at infinity where z is zero. Magnitudes at most 1, 4 and 1.
#[derive(Clone, Copy)]
struct Projective {
    x: Field,
    y: Field,
    z: Field,
}

// The complete formulas of Renes, Costello and Batina (https://eprint.iacr.org/2015/1060, (2) and (3)) for
// y² = x³ + 7: right for all points, the same ones and infinity too, so that nothing has to be asked.
impl Projective {
    /// P + Q.
    #[inline(never)]
    fn add(&self, [x, y]: &[Field; 2]) -> Self {
        let (xx, yy) = (self.x.mul(x), self.y.mul(y));
        let xy = plus(&self.x, &self.y).mul(&plus(x, y));
        let xy = minus(&xy, &plus(&xx, &yy), 2);
        let (xz, yz) = (plus(&x.mul(&self.z), &self.x), plus(&y.mul(&self.z), &self.y));
        let (z21, xz21, xx3) = (times(&self.z, 21), times(&times(&xz, 1), 21), times(&xx, 3));
        let (above, below) = (plus(&yy, &z21), minus(&yy, &z21, 1));
        Self {
            x: times(&minus(&xy.mul(&below), &yz.mul(&xz21), 1), 1),
            y: plus(&above.mul(&below), &xx3.mul(&xz21)),
            z: times(&plus(&yz.mul(&above), &xx3.mul(&xy)), 1),
        }
    }

    /// 2P.
    #[inline(never)]
    fn double(&self) -> Self {
        let (yy, zz) = (self.y.square(), self.z.square());
        let zz21 = times(&zz, 21);
        let (above, below) = (plus(&yy, &zz21), minus(&yy, &times(&zz21, 3), 1));
        let (xy, yz) = (self.x.mul(&self.y), self.y.mul(&self.z));
        Self {
            x: plus(&xy, &xy).mul(&below),
            y: plus(&above.mul(&below), &times(&zz21.mul(&yy), 8)),
            z: times(&yy.mul(&yz), 8),
        }
    }

    /// x and y, 32 bytes each, big-endian; `None` at infinity.
    #[inline(never)]
    fn coordinates(&self) -> Option<[[u8; 32]; 2]> {
        let inverse = inverse(&self.z)?;
        Some([&self.x, &self.y].map(|of| bytes(&of.mul(&inverse))))
    }
}

#[cfg(test)]
mod tests {
    use k256::elliptic_curve::Field as _;
    use k256::elliptic_curve::sec1::ToSec1Point as _;
    use k256::{AffinePoint, ProjectivePoint};

    use super::*;

    fn expected(k: &Scalar) -> [[u8; 32]; 2] {
        let point = AffinePoint::from(ProjectivePoint::GENERATOR * k).to_sec1_point(false);
        [*point.x().unwrap(), *point.y().unwrap()].map(Into::into)
    }

    fn power(exponent: usize) -> Scalar {
        (0..exponent).fold(Scalar::ONE, |power, _| power.double())
    }

    #[test]
    fn the_table_has_the_sums_that_it_says() {
        for (number, row) in TABLE.iter().enumerate() {
            let sum = (0..BITS).fold(power(BITS * SPACING), |sum, place| {
                let term = power(place * SPACING);
                if number >> place & 1 == 1 { sum + term } else { sum - term }
            });
            assert_eq!(row.map(bytes_of), expected(&sum), "{number}");
        }
    }

    #[test]
    fn constants_are_what_they_say() {
        let constant = |bytes: [u8; 32]| Scalar::from_repr(bytes.into()).unwrap();
        assert_eq!(constant(HALF).double(), Scalar::ONE);
        assert_eq!(constant(ALL_PLUS), power((BITS + 1) * SPACING) - Scalar::ONE);
    }

    #[test]
    fn multiples_are_those_of_k256() {
        let powers = (0..256).map(power);
        let near = |k: Scalar| [k, k + Scalar::ONE, k - Scalar::ONE, -k];
        let small = (1..40_u32).map(Scalar::from);
        for k in powers.chain(small).flat_map(near).filter(|k| !bool::from(k.is_zero())) {
            assert_eq!(multiple(&k), Some(expected(&k)));
        }
        assert_eq!(multiple(&Scalar::ZERO), None);
    }
}
