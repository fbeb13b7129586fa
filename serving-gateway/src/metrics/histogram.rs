//! A histogram of times.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The upper bounds of its buckets: Knative's (spec/serving.md, 6), and one for those faster than its fastest.
const BOUNDS: [(Duration, &str); 15] = [
    (Duration::from_millis(1), "0.001"),
    (Duration::from_millis(5), "0.005"),
    (Duration::from_millis(10), "0.01"),
    (Duration::from_millis(25), "0.025"),
    (Duration::from_millis(50), "0.05"),
    (Duration::from_millis(75), "0.075"),
    (Duration::from_millis(100), "0.1"),
    (Duration::from_millis(250), "0.25"),
    (Duration::from_millis(500), "0.5"),
    (Duration::from_millis(750), "0.75"),
    (Duration::from_secs(1), "1"),
    (Duration::from_millis(2_500), "2.5"),
    (Duration::from_secs(5), "5"),
    (Duration::from_millis(7_500), "7.5"),
    (Duration::from_secs(10), "10"),
];

/// A histogram of times.
#[derive(Debug, Default)]
pub struct Histogram {
    /// How many were at most as long as the bound of the same place and longer than the one before; the last has no bound.
    buckets: [AtomicU64; BOUNDS.len() + 1],
    nanos: AtomicU64,
}

impl Histogram {
    /// Series in its text.
    #[cfg(test)]
    pub const SERIES: usize = BOUNDS.len() + 3;

    /// Counts one.
    pub fn record(&self, time: Duration) {
        let at = BOUNDS.partition_point(|(bound, _)| *bound < time);
        self.buckets[at].fetch_add(1, Ordering::Relaxed);
        self.nanos.fetch_add(time.as_nanos() as u64, Ordering::Relaxed);
    }

    /// Writes it in Prometheus' text format. `labels` are not empty.
    pub fn write(&self, out: &mut String, name: &str, labels: &str) {
        let mut count = 0;
        let bounds = BOUNDS.iter().map(|(_, text)| *text).chain(["+Inf"]);
        for (bucket, bound) in self.buckets.iter().zip(bounds) {
            count += bucket.load(Ordering::Relaxed);
            let _ = writeln!(out, "{name}_bucket{{{labels},le=\"{bound}\"}} {count}");
        }
        let seconds = Duration::from_nanos(self.nanos.load(Ordering::Relaxed)).as_secs_f64();
        let _ = writeln!(out, "{name}_sum{{{labels}}} {seconds}");
        let _ = writeln!(out, "{name}_count{{{labels}}} {count}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_counted_in_every_bucket_whose_bound_it_does_not_exceed() {
        let histogram = Histogram::default();
        for millis in [1, 2, 75, 76, 60_000] {
            histogram.record(Duration::from_millis(millis));
        }
        let mut text = String::new();
        histogram.write(&mut text, "a_seconds", "b=\"c\"");
        assert_eq!(text.lines().count(), Histogram::SERIES);
        for want in [
            "a_seconds_bucket{b=\"c\",le=\"0.001\"} 1",
            "a_seconds_bucket{b=\"c\",le=\"0.05\"} 2",
            "a_seconds_bucket{b=\"c\",le=\"0.075\"} 3",
            "a_seconds_bucket{b=\"c\",le=\"10\"} 4",
            "a_seconds_bucket{b=\"c\",le=\"+Inf\"} 5",
            "a_seconds_sum{b=\"c\"} 60.154",
            "a_seconds_count{b=\"c\"} 5",
        ] {
            assert!(text.lines().any(|line| line == want), "{want} is not in:\n{text}");
        }
    }
}
