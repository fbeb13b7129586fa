//! Random numbers as a dependency.

use std::sync::Mutex;

use rand::{Rng, RngCore, SeedableRng, rngs::SmallRng};

/// Where chance comes from: identities, jitter, the choices of a simulation. Not for secrets.
pub trait Chance: Send + Sync + std::fmt::Debug + 'static {
    /// 64 random bits.
    fn bits(&self) -> u64;

    /// A number in `0.0..1.0`.
    fn unit(&self) -> f64 {
        // 53 bits are what an `f64` can hold exactly.
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A number in `0..bound`, or 0 when `bound` is 0.
    fn below(&self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.bits() % bound }
    }
}

/// The operating system's source, one generator a thread.
#[derive(Debug, Clone, Copy, Default)]
pub struct OsChance;

impl Chance for OsChance {
    #[allow(clippy::disallowed_methods, reason = "the one place that asks the system for chance")]
    fn bits(&self) -> u64 {
        use std::cell::RefCell;
        thread_local! {
            static GENERATOR: RefCell<SmallRng> = RefCell::new(SmallRng::from_os_rng());
        }
        GENERATOR.with_borrow_mut(RngCore::next_u64)
    }
}

/// The same sequence for the same seed.
#[derive(Debug)]
pub struct SeededChance(Mutex<SmallRng>);

impl SeededChance {
    /// A source whose every answer follows from `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(Mutex::new(SmallRng::seed_from_u64(seed)))
    }
}

impl Chance for SeededChance {
    fn bits(&self) -> u64 {
        self.0.lock().expect("no code panics while it holds the generator").random()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_gives_one_sequence() {
        let (a, b) = (SeededChance::new(7), SeededChance::new(7));
        for _ in 0..100 {
            assert_eq!(a.bits(), b.bits());
        }
    }

    #[test]
    fn units_and_bounds_stay_in_range() {
        let chance = SeededChance::new(1);
        for _ in 0..10_000 {
            assert!((0.0..1.0).contains(&chance.unit()));
            assert!(chance.below(3) < 3);
        }
        assert_eq!(OsChance.below(0), 0);
    }
}
