//! What a dispatcher counts. Handles are made once a trigger, never once an event.

use std::collections::BTreeMap;
use std::sync::Arc;

use metrics::{Counter, Gauge, counter, gauge};
use parking_lot::Mutex;
use pelton_client::{Cause, GroupId, TriggerId};

/// How an attempt ended, for `pelton_trigger_attempts_total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// A success.
    Success,
    /// An error that is tried again.
    Retryable,
    /// An error that is not.
    Rejected,
    /// No answer.
    NoAnswer,
    /// None was made: there is no way to ask.
    Impossible,
}

/// The handles of one trigger, or of all those that share the label `other`.
#[derive(Debug)]
pub struct TriggerMetrics {
    /// Whether gauges are of this trigger alone. Shared ones would overwrite each other, so they are left alone.
    own: bool,
    matched: Counter,
    delivered: Counter,
    retries: Counter,
    ignored_bodies: Counter,
    foreign_bodies: Counter,
    lost: Counter,
    attempts: [Counter; 5],
    dead_letters: [Counter; Cause::ALL.len()],
    sent_to_sink: Counter,
    sink_failures: Counter,
    in_flight: Gauge,
    backlog: Gauge,
    oldest: Gauge,
    standings: Mutex<BTreeMap<(GroupId, TriggerId), Standing>>,
}

/// How a trigger stands in one group.
#[derive(Debug, Clone, Copy, Default)]
struct Standing {
    in_flight: usize,
    backlog: u64,
    oldest_seconds: f64,
}

impl TriggerMetrics {
    fn new(namespace: &str, trigger: &str, broker: &str, own: bool) -> Self {
        let labels =
            [("namespace", namespace.to_owned()), ("trigger", trigger.to_owned()), ("broker", broker.to_owned())];
        let with = |key: &'static str, value: &str| {
            let mut all = labels.to_vec();
            all.push((key, value.to_owned()));
            all
        };
        Self {
            own,
            matched: counter!("pelton_trigger_matched_total", &labels),
            delivered: counter!("pelton_trigger_delivered_total", &labels),
            retries: counter!("pelton_trigger_retries_total", &labels),
            ignored_bodies: counter!("pelton_trigger_ignored_bodies_total", &with("kind", "event")),
            foreign_bodies: counter!("pelton_trigger_ignored_bodies_total", &with("kind", "other")),
            lost: counter!("pelton_trigger_lost_total", &labels),
            attempts: ["success", "retryable", "rejected", "no-answer", "impossible"]
                .map(|result| counter!("pelton_trigger_attempts_total", &with("result", result))),
            dead_letters: Cause::ALL
                .map(|cause| counter!("pelton_trigger_dead_letters_total", &with("cause", cause.as_str()))),
            sent_to_sink: counter!("pelton_trigger_dead_letter_sink_total", &labels),
            sink_failures: counter!("pelton_trigger_dead_letter_sink_failures_total", &labels),
            in_flight: gauge!("pelton_trigger_in_flight", &labels),
            backlog: gauge!("pelton_trigger_backlog_events", &labels),
            oldest: gauge!("pelton_trigger_oldest_undelivered_seconds", &labels),
            standings: Mutex::default(),
        }
    }

    /// An event matched.
    pub fn matched(&self) {
        self.matched.increment(1);
    }

    /// An event was delivered to the subscriber.
    pub fn delivered(&self) {
        self.delivered.increment(1);
    }

    /// An attempt at the subscriber ended.
    pub fn attempted(&self, ended: Ended) {
        self.attempts[ended as usize].increment(1);
    }

    /// Another attempt will be made.
    pub fn retried(&self) {
        self.retries.increment(1);
    }

    /// The answer had a CloudEvent that is not used.
    pub fn ignored_body(&self) {
        self.ignored_bodies.increment(1);
    }

    /// The answer had a body that is no CloudEvent.
    pub fn foreign_body(&self) {
        self.foreign_bodies.increment(1);
    }

    /// Events could not be read any more: the log has them no longer, or they are damaged.
    pub fn lost(&self, events: u64) {
        self.lost.increment(events);
    }

    /// A dead letter was stored.
    pub fn dead_letter(&self, cause: Cause) {
        if let Some(at) = Cause::ALL.iter().position(|known| *known == cause) {
            self.dead_letters[at].increment(1);
        }
    }

    /// The dead-letter sink took an event.
    pub fn sent_to_sink(&self) {
        self.sent_to_sink.increment(1);
    }

    /// The dead-letter sink did not take an event.
    pub fn sink_failed(&self) {
        self.sink_failures.increment(1);
    }

    /// Whether the gauges mean anything.
    #[must_use]
    pub fn has_gauges(&self) -> bool {
        self.own
    }

    /// What the trigger adds to the gauges from one group.
    #[must_use]
    pub fn gauges(self: &Arc<Self>, group: GroupId, trigger: TriggerId) -> TriggerGauges {
        TriggerGauges { metrics: self.clone(), of: (group, trigger) }
    }

    /// Changes what is known of one group, and shows all of them together: attempts and backlog as sums, the age as that
    /// of the oldest.
    fn show(&self, change: impl FnOnce(&mut BTreeMap<(GroupId, TriggerId), Standing>)) {
        if !self.own {
            return;
        }
        // Set under the lock, so that what was set last is right.
        let mut standings = self.standings.lock();
        change(&mut standings);
        self.in_flight.set(standings.values().map(|standing| standing.in_flight).sum::<usize>() as f64);
        self.backlog.set(standings.values().map(|standing| standing.backlog).sum::<u64>() as f64);
        self.oldest.set(standings.values().map(|standing| standing.oldest_seconds).fold(0.0, f64::max));
    }
}

/// One group's part of a trigger's gauges: the trigger is in every group, and its gauges have the name of none. Dropped,
/// it takes its part back. (Counters stay as they are.)
#[derive(Debug)]
pub struct TriggerGauges {
    metrics: Arc<TriggerMetrics>,
    of: (GroupId, TriggerId),
}

impl TriggerGauges {
    /// How much is on its way, and how much waits at most.
    pub fn stands(&self, in_flight: usize, backlog: u64) {
        self.metrics.show(|standings| {
            let standing = standings.entry(self.of).or_default();
            (standing.in_flight, standing.backlog) = (in_flight, backlog);
        });
    }

    /// For how long the oldest of that has waited.
    pub fn oldest(&self, seconds: f64) {
        self.metrics.show(|standings| standings.entry(self.of).or_default().oldest_seconds = seconds);
    }
}

impl Drop for TriggerGauges {
    fn drop(&mut self) {
        self.metrics.show(|standings| {
            standings.remove(&self.of);
        });
    }
}

/// Hands out the triggers' metrics, and sees that there are not too many.
#[derive(Debug)]
pub struct Metrics {
    known: Mutex<BTreeMap<(String, String), Arc<TriggerMetrics>>>,
    other: Arc<TriggerMetrics>,
    max_labelled: usize,
}

impl Metrics {
    /// At most `max_labelled` triggers get labels of their own over the life of the process: a series that was made
    /// stays with the exporter.
    #[must_use]
    pub fn new(max_labelled: usize) -> Self {
        let other = Arc::new(TriggerMetrics::new("other", "other", "other", false));
        Self { known: Mutex::new(BTreeMap::new()), other, max_labelled }
    }

    /// The metrics of the trigger of that name.
    #[must_use]
    pub fn of(&self, namespace: &str, trigger: &str, broker: &str) -> Arc<TriggerMetrics> {
        let mut known = self.known.lock();
        let key = (namespace.to_owned(), trigger.to_owned());
        if let Some(metrics) = known.get(&key) {
            return metrics.clone();
        }
        if known.len() >= self.max_labelled {
            return self.other.clone();
        }
        let metrics = Arc::new(TriggerMetrics::new(namespace, trigger, broker, true));
        known.insert(key, metrics.clone());
        metrics
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Series of one trigger.
    const SERIES_EACH: usize = 16 + Cause::ALL.len();

    /// S13: at most 10,000 series in all, of which docs/metrics.md gives these so many.
    #[test]
    fn thousands_of_triggers_make_a_bounded_number_of_series() {
        let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
        metrics::with_local_recorder(&recorder, || {
            let metrics = Metrics::new(crate::Options::default().max_labelled_triggers);
            for n in 0..5_000 {
                metrics.of("ns", &n.to_string(), "default").gauges(GroupId(1), TriggerId(n)).stands(1, 1);
            }
        });
        let text = recorder.handle().render();
        let series = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).count();
        assert_eq!(series, 201 * SERIES_EACH, "docs/metrics.md says so");
        assert!(series + crate::Options::default().max_labelled_targets <= 4_600, "{series}");
    }

    #[test]
    fn gauges_of_several_groups_add_up_and_are_taken_back() {
        let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        let shown = |name: &str| {
            let text = handle.render();
            let mut lines = text.lines().filter(|line| line.starts_with(name) && line.contains("trigger=\"t\""));
            lines.next().and_then(|line| line.rsplit(' ').next()).unwrap().parse::<f64>().unwrap()
        };
        let all = || {
            ["pelton_trigger_in_flight", "pelton_trigger_backlog_events", "pelton_trigger_oldest_undelivered_seconds"]
                .map(shown)
        };
        metrics::with_local_recorder(&recorder, || {
            let metrics = Metrics::new(1).of("ns", "t", "b");
            let in_group = |group| {
                let gauges = metrics.gauges(GroupId(group), TriggerId(1));
                gauges.stands(group as usize, 10 * u64::from(group));
                gauges.oldest(f64::from(group));
                gauges
            };
            let (one, two) = (in_group(1), in_group(2));
            assert_eq!(all(), [3.0, 30.0, 2.0]);
            one.stands(0, 5);
            assert_eq!(all(), [2.0, 25.0, 2.0]);
            drop(two);
            assert_eq!(all(), [0.0, 5.0, 1.0]);
            drop(one);
            assert_eq!(all(), [0.0; 3]);
        });
    }

    #[test]
    fn series_are_bounded() {
        let metrics = Metrics::new(3);
        let of = |n: usize| metrics.of("ns", &n.to_string(), "default");
        let own: Vec<_> = (0..3).map(of).collect();
        assert!(own.iter().all(|metrics| metrics.own));
        for n in 3..1_000 {
            assert!(Arc::ptr_eq(&of(n), &metrics.other), "{n}");
        }
        assert!(Arc::ptr_eq(&of(1), &own[1]), "the same trigger keeps its own");
    }
}
