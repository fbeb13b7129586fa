//! What a scenario measured, as one line.

use std::fmt;
use std::io::Write as _;
use std::time::Duration;

use crate::oracle::Outcome;

/// The figures of one class of faults (spec of reliability, section 5).
#[derive(Debug, Clone)]
pub struct Figures {
    pub outcome: Outcome,
    /// Tries that were refused, and tries of which nobody knows.
    pub failures: (usize, usize),
    /// For each fault, the longest that some group took no events.
    pub unavailable: Vec<Duration>,
    /// The longest of the whole scenario, and of which group.
    pub longest: (Duration, u64),
    /// The longest from healing until all was well.
    pub healed: Duration,
    pub took: Duration,
}

impl Figures {
    /// Says them past the test harness's capture: they are what a long run is for.
    pub fn publish(&self, what: &str) {
        let _ = writeln!(std::io::stderr(), "figures: {what}: {self}");
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Outcome { acknowledged, unacknowledged, sent_again, repeated, longest_wait } = self.outcome;
        let million = repeated as f64 * 1e6 / acknowledged.max(1) as f64;
        let mut sorted = self.unavailable.clone();
        sorted.sort_unstable();
        let (p50, p99, max) = (nearest(&sorted, 50), nearest(&sorted, 99), nearest(&sorted, 100));
        write!(
            f,
            "faults {}, acked {acknowledged}, lost 0, unacked but stored {unacknowledged}, sent again {sent_again}, \
             repeated {repeated} ({million:.0} per million), unexplained 0, refused {}, unknown {}, unavailable ms \
             p50/p99/max {p50}/{p99}/{max}, longest wait ms {}, healed ms {}, took s {:.0}",
            sorted.len(),
            self.failures.0,
            self.failures.1,
            longest_wait.as_millis(),
            self.healed.as_millis(),
            self.took.as_secs_f64(),
        )
    }
}

/// The nearest-rank percentile in milliseconds; 0 of nothing.
fn nearest(sorted: &[Duration], percent: usize) -> u128 {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).map_or(0, Duration::as_millis)
}

#[test]
fn percentiles_are_of_the_nearest_rank() {
    let sorted: Vec<_> = (1..=200).map(Duration::from_millis).collect();
    assert_eq!([50, 99, 100].map(|percent| nearest(&sorted, percent)), [100, 198, 200]);
    assert_eq!([50, 99, 100].map(|percent| nearest(&sorted[..1], percent)), [1, 1, 1]);
    assert_eq!(nearest(&[], 50), 0);
}
