//! Numbers that a seed decides.

/// SplitMix64 ([Steele, Lea, Flood 2014](https://doi.org/10.1145/2714064.2660195)): small, and the
/// same everywhere.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Below `end`, which is above zero.
    pub(crate) const fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// Up to `whole`; often nothing, or all.
    pub(crate) const fn part(&mut self, whole: u64) -> u64 {
        match self.below(4) {
            0 => 0,
            1 => whole,
            _ => self.below(whole + 1),
        }
    }

    /// True so many times in a thousand.
    pub(crate) const fn chance(&mut self, permille: u64) -> bool {
        self.below(1000) < permille
    }
}
