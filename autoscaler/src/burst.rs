//! Excess burst capacity: how much more load what is ready could take at once (spec/serving.md 3.6, rule 11).
//!
//! Knative takes its activator out of the path by it. The gateway always is the path, so here it is a number to show.

/// How large a burst should find room (`target-burst-capacity`).
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum BurstCapacity {
    /// Any, written as -1.
    Unlimited,
    /// So much, in units of the metric. 0: none.
    Of(f64),
}

impl BurstCapacity {
    /// What is left over, rounded down; below 0 what is missing. `total` is what one instance can take, `load` is now.
    /// Without a limit it is -1, where no burst is wanted 0.
    #[must_use]
    pub fn excess(self, ready: u32, total: f64, load: f64) -> i64 {
        match self {
            Self::Unlimited => -1,
            Self::Of(0.0) => 0,
            Self::Of(wanted) => (f64::from(ready) * total - wanted - load).floor() as i64,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_special_values_stand_for_themselves() {
        for ready in [0, 1, 1_000] {
            assert_eq!(BurstCapacity::Unlimited.excess(ready, 100.0, 7.0), -1, "{ready} ready");
            assert_eq!(BurstCapacity::Of(0.0).excess(ready, 100.0, 7.0), 0, "{ready} ready");
        }
    }

    proptest! {
        /// P5: it is 0 or more if and only if the load and the burst fit into what is ready.
        #[test]
        fn its_sign_says_whether_a_burst_fits(
            ready in 0_u32..1_000, total in 1_u32..400, wanted in 1_u32..20_000, load in 0_u32..200_000,
        ) {
            // In quarters, which floating point adds exactly.
            let [total, wanted, load] = [total, wanted, load].map(|quarters| f64::from(quarters) / 4.0);
            let fits = wanted + load <= f64::from(ready) * total;
            prop_assert_eq!(BurstCapacity::Of(wanted).excess(ready, total, load) >= 0, fits);
        }
    }
}
