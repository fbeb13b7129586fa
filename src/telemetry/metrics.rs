//! The recorder behind the `metrics` macros, and its text.

use std::sync::Arc;
use std::time::Duration;

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use parking_lot::Mutex;

use super::{describe, process};

/// How often histograms are folded into their buckets. Without it they grow with every observation.
const UPKEEP: Duration = Duration::from_secs(5);

/// Bounds of every histogram in seconds: from a function call to a delivery timeout.
const SECONDS: &[f64] = &[
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
    300.0,
];

/// Bounds of every histogram in bytes: from an empty event to the largest batch.
const BYTES: &[f64] =
    &[128.0, 512.0, 1024.0, 4096.0, 16384.0, 65536.0, 131_072.0, 262_144.0, 524_288.0, 1_048_576.0, 8_388_608.0];

/// Bounds of every other histogram: counts, such as events a batch.
const COUNTS: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 4096.0];

/// Writes series that the recorder does not have, in Prometheus' text format.
type Writer = Box<dyn Fn(&mut String) + Send + Sync>;

/// The metrics of this process.
#[derive(Clone)]
pub struct Metrics {
    handle: PrometheusHandle,
    further: Arc<Mutex<Option<Writer>>>,
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Metrics {
    /// Makes the recorder that every macro of this process writes to.
    ///
    /// # Errors
    /// There is one already.
    pub fn install() -> Result<Self, BuildError> {
        let metrics = Self { handle: builder()?.install_recorder()?, further: Arc::default() };
        process::describe();
        describe::all();
        Ok(metrics)
    }

    /// Keeps histograms small. Runs until it is dropped.
    pub async fn upkeep(self) {
        let mut interval = tokio::time::interval(UPKEEP);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            interval.tick().await;
            self.handle.run_upkeep();
        }
    }

    /// Everything in the Prometheus text format, what the process uses read at this moment.
    #[must_use]
    pub fn render(&self) -> String {
        process::observe();
        let mut text = self.handle.render();
        if let Some(write) = &*self.further.lock() {
            write(&mut text);
        }
        text
    }

    /// Shows what `write` writes, too, after everything else: names that the recorder does not have.
    pub fn show(&self, write: impl Fn(&mut String) + Send + Sync + 'static) {
        *self.further.lock() = Some(Box::new(write));
    }
}

fn builder() -> Result<PrometheusBuilder, BuildError> {
    PrometheusBuilder::new()
        .set_buckets(COUNTS)?
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), SECONDS)?
        .set_buckets_for_metric(Matcher::Suffix("_bytes".into()), BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn histograms_have_the_buckets_of_their_unit() {
        let recorder = builder().unwrap().build_recorder();
        let handle = recorder.handle();
        metrics::with_local_recorder(&recorder, || {
            metrics::histogram!("a_seconds").record(0.003);
            metrics::histogram!("b_bytes").record(100.0);
            metrics::histogram!("c_events").record(3.0);
            process::describe();
            process::observe();
        });
        handle.run_upkeep();
        let text = handle.render();
        for want in [
            "a_seconds_bucket{le=\"0.0025\"} 0",
            "a_seconds_bucket{le=\"0.005\"} 1",
            "b_bytes_bucket{le=\"128\"} 1",
            "c_events_bucket{le=\"4\"} 1",
            "# TYPE process_resident_memory_bytes gauge",
            "pelton_build_info{",
        ] {
            assert!(text.contains(want), "{want} is not in:\n{text}");
        }
    }
}
