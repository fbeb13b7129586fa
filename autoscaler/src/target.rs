//! How much load one instance is meant to take (spec/serving.md 3.5).

/// The least target.
const MIN_TARGET: f64 = 0.01;

/// What load is measured in (`metric`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Metric {
    /// Requests at the same time, on their way or queued.
    #[default]
    Concurrency,
    /// Requests that arrive in a second.
    RequestsPerSecond,
}

/// What is asked for where a revision says nothing. A default is the product's (spec/serving.md 3.10).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TargetDefaults {
    /// Requests at the same time that one instance can take, if it has no limit of its own.
    pub concurrency: f64,
    /// The part of it that is aimed at, in `0.0..=1.0`.
    pub concurrency_utilization: f64,
    /// Requests in a second that one instance can take.
    pub requests_per_second: f64,
    /// The part of it that is aimed at, in `0.0..=1.0`.
    pub requests_per_second_utilization: f64,
}

impl Default for TargetDefaults {
    fn default() -> Self {
        Self {
            concurrency: 100.0,
            concurrency_utilization: 0.7,
            requests_per_second: 200.0,
            requests_per_second_utilization: 0.7,
        }
    }
}

/// What a revision says of its target.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct TargetSettings {
    /// The metric.
    pub metric: Metric,
    /// `containerConcurrency`: the most requests that an instance is given at once. 0: no limit.
    pub container_concurrency: u32,
    /// The annotation `target`.
    pub target: Option<f64>,
    /// The annotation `target-utilization-percentage`, as a part of 1.
    pub utilization: Option<f64>,
}

/// What one instance can take, and what it is meant to take.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Target {
    /// The load for which there is to be one instance, 0.01 at least.
    pub target: f64,
    /// The load that one instance can take.
    pub total: f64,
}

impl Target {
    /// What follows from what a revision says.
    #[must_use]
    pub fn new(settings: &TargetSettings, defaults: &TargetDefaults) -> Self {
        let limit = (settings.container_concurrency > 0).then(|| f64::from(settings.container_concurrency));
        let (total, utilization) = match settings.metric {
            Metric::Concurrency => {
                let asked = settings.target.or(limit).unwrap_or(defaults.concurrency);
                (limit.map_or(asked, |limit| asked.min(limit)), defaults.concurrency_utilization)
            }
            Metric::RequestsPerSecond => {
                let asked = settings.target.unwrap_or(defaults.requests_per_second);
                (asked, defaults.requests_per_second_utilization)
            }
        };
        Self { target: (total * settings.utilization.unwrap_or(utilization)).max(MIN_TARGET), total }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONCURRENCY: Metric = Metric::Concurrency;
    const RATE: Metric = Metric::RequestsPerSecond;

    /// Metric, `containerConcurrency`, `target`, utilization, target and total.
    type Row = (Metric, u32, Option<f64>, Option<f64>, f64, f64);

    fn check(rows: &[Row], defaults: &TargetDefaults) {
        for row in rows {
            let (metric, container_concurrency, target, utilization, want_target, want_total) = *row;
            let settings = TargetSettings { metric, container_concurrency, target, utilization };
            let got = Target::new(&settings, defaults);
            assert!((got.target - want_target).abs() < 1e-9, "{row:?}: {got:?}");
            assert_eq!(got.total, want_total, "{row:?}");
        }
    }

    /// spec/serving.md 3.5, the vectors with production defaults.
    #[test]
    fn targets_follow_the_production_vectors() {
        let rows = [
            (CONCURRENCY, 0, None, None, 70.0, 100.0),
            (CONCURRENCY, 10, None, None, 7.0, 10.0),
            (CONCURRENCY, 1, None, None, 0.7, 1.0),
            (CONCURRENCY, 0, Some(50.0), None, 35.0, 50.0),
            (CONCURRENCY, 12, Some(500.0), None, 8.4, 12.0),
            (RATE, 0, None, None, 140.0, 200.0),
            (RATE, 0, Some(300.0), None, 210.0, 300.0),
        ];
        check(&rows, &TargetDefaults::default());
    }

    /// spec/serving.md 3.5, the upstream vectors: the whole concurrency is aimed at.
    #[test]
    fn targets_follow_the_upstream_vectors() {
        let rows = [
            (CONCURRENCY, 0, None, None, 100.0, 100.0),
            (CONCURRENCY, 0, None, Some(0.8), 80.0, 100.0),
            (CONCURRENCY, 12, None, Some(0.75), 9.0, 12.0),
            (CONCURRENCY, 1, None, Some(0.8), 0.8, 1.0),
            (CONCURRENCY, 0, Some(1.0), Some(0.001), 0.01, 1.0),
            (CONCURRENCY, 10, Some(1.0), None, 1.0, 1.0),
            (CONCURRENCY, 1, Some(10.0), None, 1.0, 1.0),
            (RATE, 0, None, None, 140.0, 200.0),
            (RATE, 0, Some(1.0), None, 0.7, 1.0),
            (RATE, 0, None, Some(0.75), 150.0, 200.0),
            // The limit on concurrency says nothing about a rate.
            (RATE, 10, Some(300.0), None, 210.0, 300.0),
        ];
        check(&rows, &TargetDefaults { concurrency_utilization: 1.0, ..TargetDefaults::default() });
    }
}
