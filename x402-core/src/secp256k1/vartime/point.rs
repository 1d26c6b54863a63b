//! Points of the curve, in coordinates that need no division.

use super::super::field::{Field, bytes, inverse_vartime, is_zero, minus, plus};

/// (x, y), which is never the point at infinity. Magnitudes at most 4.
#[derive(Clone, Copy)]
pub(super) struct Affine {
    pub(super) x: Field,
    pub(super) y: Field,
}

/// (x / z², y / z³), which is never the point at infinity. Magnitudes at most 4, 4 and 2.
#[derive(Clone, Copy)]
pub(super) struct Jacobian {
    x: Field,
    y: Field,
    z: Field,
}

impl Affine {
    /// -P, of a y of magnitude 1.
    pub(super) fn negated(self) -> Self {
        Self { y: self.y.negate(1), ..self }
    }

    /// (x u², y u³): P on the curve y² = x³ + 7 u⁶, in whose formulas the 7 has no part.
    fn scaled(&self, u: &Field) -> Self {
        let square = u.square();
        Self { x: self.x.mul(&square), y: self.y.mul(&square.mul(u)) }
    }
}

impl From<Affine> for Jacobian {
    fn from(Affine { x, y }: Affine) -> Self {
        Self { x, y, z: Field::ONE }
    }
}

impl Jacobian {
    /// Puts 2P in the place of P.
    // Not inlined, as `add`: each is called in several places and would fill the stack of all.
    #[inline(never)]
    pub(super) fn double(&mut self) {
        // m = 3x², s = 4xy²: x' = m² - 2s, y' = m (s - x') - 8y⁴, z' = 2yz.
        let square = self.y.square();
        let m = self.x.square().mul_single(3);
        let s = self.x.mul(&square.mul_single(4));
        let x = minus(&m.square(), &plus(&s, &s), 2);
        let two = plus(&square, &square).square();
        let y = minus(&m.mul(&minus(&s, &x, 4)), &plus(&two, &two), 2);
        let z = self.y.mul(&self.z);
        *self = Self { x, y, z: plus(&z, &z) };
    }

    /// Puts P + Q in the place of P, and gives z' / z; `None` at infinity. `z` is this point's, or where
    /// Q is given on another curve, times that which brings P there.
    #[inline(never)]
    fn add(&mut self, other: &Affine, z: &Field) -> Option<Field> {
        let square = z.square();
        // h = x2 - x1 and i = y1 - y2, both over the same denominator.
        let h = minus(&other.x.mul(&square), &self.x, 4);
        let i = minus(&self.y, &other.y.mul(&square.mul(z)), 1);
        if is_zero(&h) {
            return is_zero(&i).then(|| {
                let ratio = plus(&self.y, &self.y);
                self.double();
                ratio
            });
        }
        // x' = i² - h³ - 2 x1 h², y' = -i (x1 h² - x') - y1 h³, z' = z h.
        let minus_square = h.square().negate(1);
        let minus_cube = minus_square.mul(&h);
        let t = self.x.mul(&minus_square);
        let x = plus(&plus(&i.square(), &minus_cube), &plus(&t, &t));
        let y = plus(&i.mul(&plus(&t, &x)), &minus_cube.mul(&self.y));
        *self = Self { x, y, z: self.z.mul(&h) };
        Some(h)
    }

    /// x and y, 32 bytes each, big-endian. Every z is to be multiplied with `scale`.
    #[inline(never)]
    pub(super) fn coordinates(&self, scale: &Field) -> Option<[[u8; 32]; 2]> {
        // Not zero, as the point is not at infinity.
        let inverse = inverse_vartime(&self.z.mul(scale))?;
        let Affine { x, y } = Affine { x: self.x, y: self.y }.scaled(&inverse);
        Some([bytes(&x), bytes(&y)])
    }
}

/// A sum that is at infinity until something was added.
#[derive(Clone, Copy)]
pub(super) struct Sum(pub(super) Option<Jacobian>);

impl Sum {
    pub(super) fn double(&mut self) {
        if let Some(point) = &mut self.0 {
            point.double();
        }
    }

    /// Adds a point of the sum's own curve, or where there is a scale, of secp256k1, which that scales to
    /// the sum's.
    pub(super) fn add(&mut self, term: &Affine, scale: Option<&Field>) {
        match &mut self.0 {
            Some(point) => {
                let z = scale.map_or(point.z, |scale| point.z.mul(scale));
                if point.add(term, &z).is_none() {
                    self.0 = None;
                }
            }
            None => self.0 = Some(scale.map_or(*term, |scale| term.scaled(scale)).into()),
        }
    }
}

/// The width of the digits that [`odd_multiples`] serves.
pub(super) const WIDTH: u32 = 5;

/// How many odd multiples have digits of that width.
pub(super) const MULTIPLES: usize = 1 << (WIDTH - 2);

/// Puts P, 3P … 15P in the place of P, which every slot holds, on the curve that they are scaled to by
/// the field element that is given, which makes them affine without a division. Magnitudes 1.
// In place, since each copy of them is a tenth of all the stack.
#[inline(never)]
pub(super) fn odd_multiples(multiples: &mut [Affine; MULTIPLES]) -> Option<Field> {
    let [point, ..] = multiples;
    // On the curve that is scaled by its z, 2P is affine.
    let mut twice = Jacobian::from(*point);
    twice.double();
    let step = Affine { x: twice.x, y: twice.y };
    *point = point.scaled(&twice.z);
    let mut last = Jacobian::from(*point);
    let mut ratios = [Field::ONE; MULTIPLES];
    for (multiple, ratio) in multiples.iter_mut().zip(&mut ratios).skip(1) {
        let z = last.z;
        *ratio = last.add(&step, &z)?;
        *multiple = Affine { x: last.x, y: last.y };
    }
    // All of them get the z of the last one, which is then left out.
    let mut scale = Field::ONE;
    for (multiple, ratio) in multiples.iter_mut().zip(&ratios).rev() {
        *multiple = multiple.scaled(&scale);
        scale = scale.mul(ratio);
    }
    Some(last.z.mul(&twice.z))
}
