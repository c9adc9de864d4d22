//! Random choices that a failed test can repeat.

/// Numbers that follow from a seed.
pub struct Random(u64);

impl Random {
    /// Takes the seed from `MLBUILD_TEST_SEED`, else from the clock, and prints it: a test that fails
    /// shows what it printed.
    pub fn from_env() -> Self {
        let seed = match std::env::var("MLBUILD_TEST_SEED") {
            Ok(text) => text.parse().expect("MLBUILD_TEST_SEED is a whole number"),
            Err(_) => super::layouts::fresh_seed(),
        };
        eprintln!("repeat with MLBUILD_TEST_SEED={seed}");
        Self(seed)
    }

    /// Numbers of this seed.
    pub fn of(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number, from 0 up to but not including `limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        // Knuth's MMIX generator; its high bits are the random ones.
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}
