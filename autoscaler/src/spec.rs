//! What decisions about one revision follow (spec/serving.md 3.10 and 3.11).

use std::time::Duration;

use super::burst::BurstCapacity;
use super::target::{Metric, Target, TargetDefaults, TargetSettings};

/// How the seconds of a window become one number (`metric-aggregation-algorithm`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Aggregation {
    /// Each counts the same.
    #[default]
    Linear,
    /// The newer, the more.
    WeightedExponential,
}

/// What decisions about one revision follow. The bounds that 3.10 and 3.11 give are kept by whoever makes it. Defaults
/// are those of production.
#[derive(Debug, Clone, PartialEq)]
pub struct Spec {
    /// What load is measured in.
    pub metric: Metric,
    /// What an instance takes.
    pub target: Target,
    /// How large a burst should find room.
    pub burst_capacity: BurstCapacity,
    /// One decision asks for so many times what is ready at most; above 1.
    pub max_scale_up_rate: f64,
    /// One decision leaves what is ready, divided by this, at least; above 1.
    pub max_scale_down_rate: f64,
    /// Panic begins when so many times what is ready is needed: 2.0 is 200 %.
    pub panic_threshold: f64,
    /// Over how long load is averaged; 6 s to 1 h.
    pub stable_window: Duration,
    /// The part of the stable window that panic looks at; 1 to 100.
    pub panic_window_percentage: f64,
    /// Any load at all asks for so many. 1: no more than it needs.
    pub activation_scale: u32,
    /// For so long a lower number has to be enough before it is asked for.
    pub scale_down_delay: Duration,
    /// How seconds become an average.
    pub aggregation: Aggregation,
    /// The fewest. 0: none where nothing is to do.
    pub min_scale: u32,
    /// The most, 1 at least. Unset: no limit.
    pub max_scale: Option<u32>,
    /// The fewest until so many have been ready once. 0: a new revision starts with none.
    pub initial_scale: u32,
    /// Whether the last instance may go.
    pub enable_scale_to_zero: bool,
    /// For so long a revision is watched before its last instance may go.
    pub scale_to_zero_grace_period: Duration,
    /// For so long the last instance stays when it could go.
    pub scale_to_zero_retention_period: Duration,
    /// For so long a revision may take to become ready.
    pub progress_deadline: Duration,
    /// Whether a Route leads to the revision.
    pub reachable: bool,
}

impl Default for Spec {
    fn default() -> Self {
        Self {
            metric: Metric::Concurrency,
            target: Target::new(&TargetSettings::default(), &TargetDefaults::default()),
            burst_capacity: BurstCapacity::Of(211.0),
            max_scale_up_rate: 1_000.0,
            max_scale_down_rate: 2.0,
            panic_threshold: 2.0,
            stable_window: Duration::from_secs(60),
            panic_window_percentage: 10.0,
            activation_scale: 1,
            scale_down_delay: Duration::ZERO,
            aggregation: Aggregation::Linear,
            min_scale: 0,
            max_scale: None,
            initial_scale: 1,
            enable_scale_to_zero: true,
            scale_to_zero_grace_period: Duration::from_secs(30),
            scale_to_zero_retention_period: Duration::ZERO,
            progress_deadline: Duration::from_secs(600),
            reachable: true,
        }
    }
}

impl Spec {
    /// The window that panic looks at: whole seconds, one at least (spec/serving.md 3.4).
    #[must_use]
    pub fn panic_window(&self) -> Duration {
        let seconds = self.stable_window.as_secs_f64() * self.panic_window_percentage / 100.0;
        Duration::from_secs((seconds.round() as u64).max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_panic_window_is_a_part_of_the_stable_one() {
        for (stable, percentage, want) in
            [(60, 10.0, 6), (6, 10.0, 1), (6, 1.0, 1), (25, 10.0, 3), (24, 10.0, 2), (3_600, 100.0, 3_600)]
        {
            let spec = Spec {
                stable_window: Duration::from_secs(stable),
                panic_window_percentage: percentage,
                ..Spec::default()
            };
            assert_eq!(spec.panic_window(), Duration::from_secs(want), "{percentage} % of {stable} s");
        }
    }
}
