//! Everything that a schedule leaves to chance comes from one seed.

/// SplitMix64. Written down here so that a seed means the same schedule after every update of a library.
#[derive(Clone, Debug)]
pub(super) struct Chance(u64);

impl Chance {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Another one, which takes nothing from this: a world without what it decides stays as it was.
    pub(super) fn apart(&self) -> Self {
        Self(self.0 ^ 0x5851_f42d_4c95_7f2d)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// 0 to `n` - 1; 0 when `n` is 0.
    pub(super) fn below(&mut self, n: usize) -> usize {
        match n {
            0 => 0,
            n => (self.next() >> 16) as usize % n,
        }
    }

    /// True in so many of 1000 cases.
    pub(super) fn per_mille(&mut self, n: u32) -> bool {
        n > 0 && self.below(1000) < n as usize
    }

    pub(super) fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }
}
